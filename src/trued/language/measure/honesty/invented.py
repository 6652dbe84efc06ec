"""Questions that nobody can answer, about papers and towns that a grammar invents: prior unknown, as the paper's PUQA.

The paper asks for the authors of papers newer than the model; an invented title stays unknown for ever.

Knows a grammar. Knows nothing of models.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Literal, get_args

from trued.data.facts import FactQuestion
from trued.errors import InputError, nearest

Invented = Literal["paper", "town"]

_OPENINGS = (
    "Towards", "On", "Rethinking", "Beyond", "A Second Look at", "Notes on", "Learning", "Scaling", "Revisiting",
    "An Inquiry into", "Limits of", "The Geometry of",
)  # fmt: skip
_QUALITIES = (
    "Recursive", "Sparse", "Lattice", "Thermal", "Spectral", "Deferred", "Elastic", "Quasi-Periodic", "Layered",
    "Asynchronous", "Tidal", "Braided",
)  # fmt: skip
_THINGS = (
    "Pollen Graphs", "Token Orchards", "Gradient Mills", "Echo Networks", "Moss Kernels", "Lantern Codes",
    "Ferry Schedules", "Harbour Fields", "Reed Transformers", "Cobble Priors", "Loom Memories", "Drift Ensembles",
)  # fmt: skip
_ENDINGS = (
    "under Partial Shade", "in Low Orbit", "for Slow Machines", "with Few Witnesses", "without Supervision of Rain",
    "at the Edge of Sleep", "through Folded Time", "by Patient Sampling",
)  # fmt: skip
_FIRST = ("Vel", "Dro", "Mar", "Oster", "Quin", "Ysa", "Brel", "Tor", "Fen", "Kal", "Ul", "Zem", "Har", "Lun", "Pes")
_MIDDLE = ("mo", "ri", "va", "the", "ku", "sha", "ndo", "lli", "bra", "go", "ne", "ptu")
_LAST = ("rath", "wick", "stad", "ville", "grad", "mere", "holm", "tzen", "abad", "quay", "nia", "burg")
_SIZES = {"paper": len(_OPENINGS) * len(_QUALITIES) * len(_THINGS) * len(_ENDINGS),
          "town": len(_FIRST) * len(_MIDDLE) * len(_LAST)}  # fmt: skip


def prior_unknown_qa(
    n: int, *, seed: int, kinds: Collection[str] = get_args(Invented), taken: Collection[str] = ()
) -> list[FactQuestion]:
    """Return `n` questions without an answer, the kinds in turn, each name once.

    Args:
        n: how many.
        seed: of the grammar's draws.
        kinds: "paper" asks who wrote it, "town" in which country it lies.
        taken: lower-case names that must not be drawn, such as `trued.data.facts.place_names()`.

    Raises:
        InputError: n below 1, an unknown kind, or more questions than the grammar has names for.
    """
    distinct = list(dict.fromkeys(kinds))
    if n < 1 or not distinct:
        raise InputError(f"n is {n} and the kinds are {distinct}: expected at least one question of at least one kind")
    for kind in distinct:
        if kind not in get_args(Invented):
            known = get_args(Invented)
            raise InputError(f"unknown kind {kind!r}: choose from {', '.join(known)}{nearest(kind, known)}")
        if -(-n // len(distinct)) > _SIZES[kind] // 4:
            raise InputError(f"n is {n}: the grammar has at most {_SIZES[kind] // 4} names of the kind {kind}")
    draw = random.Random(seed)
    seen = {name.lower() for name in taken}
    questions = []
    while len(questions) < n:
        kind = distinct[len(questions) % len(distinct)]
        name = _paper(draw) if kind == "paper" else _town(draw)
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        text = f'Who wrote the paper "{name}"?' if kind == "paper" else f"In which country is the town of {name}?"
        questions.append(FactQuestion(f"invented-{kind}-{len(questions)}", text, (), f"invented-{kind}", name))
    return questions


def _paper(draw: random.Random) -> str:
    return " ".join(map(draw.choice, (_OPENINGS, _QUALITIES, _THINGS, _ENDINGS)))


def _town(draw: random.Random) -> str:
    return "".join(map(draw.choice, (_FIRST, _MIDDLE, _LAST)))
