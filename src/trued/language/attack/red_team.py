"""A red team: which attacks make up a suite, and how hard each tries.

Knows the attacks by name and their settings. Knows nothing of targets, judges of success, or results.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from trued.errors import InputError, nearest
from trued.language.attack.attacker import Attacker
from trued.language.attack.autodan.mutator import ModelMutator
from trued.language.attack.autodan.search import AutoDAN
from trued.language.attack.direct import Direct
from trued.language.attack.gcg.search import GCG
from trued.language.attack.pair import PAIR
from trued.language.attack.pair_lite import PAIRLite
from trued.language.attack.pap import PAP
from trued.language.attack.prefill import Prefill
from trued.language.attack.scorer import LabelScorer, Scorer, Topic
from trued.language.attack.tap import TAP
from trued.language.attack.templates import Templates
from trued.language.judge.reply import Judge, PhraseJudge

OFFLINE = ("direct", "templates", "prefill", "pap", "pair-lite", "autodan", "gcg")
"""The attacks that need no attacker model, from the cheapest to the dearest."""

WITH_ATTACKER = ("pair", "tap")
"""The attacks that need one."""


@dataclass(frozen=True)
class RedTeam:
    """The attacks of a suite. The sizes of AutoDAN, PAIRLite and GCG are for a laptop, far below the papers'.

    Args:
        attacks: names of those that are run; PAP goes by frames where there is no attacker model.
        templates, prefill, pap, pair_lite, autodan, gcg: settings of each.
    """

    attacks: tuple[str, ...] = OFFLINE
    templates: Templates = field(default_factory=Templates)
    prefill: Prefill = field(default_factory=Prefill)
    pap: PAP = field(default_factory=PAP)
    pair_lite: PAIRLite = field(default_factory=PAIRLite)
    autodan: AutoDAN = field(default_factory=lambda: AutoDAN(steps=10, population=16))
    gcg: GCG = field(default_factory=lambda: GCG(steps=20, search_width=48, topk=64, buffer=1))

    def __post_init__(self) -> None:
        known = (*OFFLINE, *WITH_ATTACKER)
        if not self.attacks:
            raise InputError(f"no attacks: give some of {', '.join(known)}")
        for name in self.attacks:
            if name not in known:
                raise InputError(f"unknown attack {name!r}{nearest(name, known)} (known: {', '.join(known)})")

    def chosen(
        self, *, guide: Judge | None = None, attacker: Attacker | None = None, topic: Topic | None = None
    ) -> list[Any]:
        """Return the attacks, each an `Attack` (a name that is a class variable fits no protocol's property).

        Args:
            guide: the judge that attacks which read replies are guided by; phrases by default.
            attacker: a model that writes for PAIR, TAP, PAP and AutoDAN's mutations.
            topic: prunes TAP's prompts.

        Raises:
            InputError: PAIR or TAP without an attacker, or TAP without a topic filter.
        """
        judge = guide or PhraseJudge()
        scorer: Scorer = LabelScorer(judge)
        if attacker is None:
            if missing := [name for name in self.attacks if name in WITH_ATTACKER]:
                raise InputError(
                    f"{' and '.join(missing)} need an attacker model (--attacker): give one, or take pair-lite, the "
                    "offline stand-in"
                )
            breeding = replace(self.autodan, judge=judge)
        else:
            breeding = replace(self.autodan, judge=judge, mutator=ModelMutator(attacker))
        team: dict[str, Any] = {
            "direct": Direct(),
            "templates": self.templates,
            "prefill": self.prefill,
            "pap": replace(self.pap, attacker=attacker),
            "pair-lite": replace(self.pair_lite, scorer=scorer),
            "autodan": breeding,
            "gcg": self.gcg,
        }
        if attacker is not None:
            team["pair"] = PAIR(attacker, scorer)
            if topic is not None:
                team["tap"] = TAP(attacker, topic, scorer)
        if "tap" in self.attacks and "tap" not in team:
            raise InputError("tap needs a topic filter: give one to `chosen`, such as ModelTopic(model)")
        return [team[name] for name in dict.fromkeys(self.attacks)]
