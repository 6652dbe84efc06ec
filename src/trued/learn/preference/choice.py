"""A preference loss by its name.

Knows names and options. Knows nothing of what a loss computes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType

from trued.errors import InputError, nearest
from trued.learn.preference.losses import (
    apo_down,
    apo_zero,
    cpo,
    dpo,
    dpop,
    exo_pair,
    hinge,
    ipo,
    kto_pair,
    orpo,
    robust,
    sigmoid_norm,
    simpo,
    sppo_hard,
)
from trued.learn.preference.pairs import PairLogProbs, PreferenceOutput

PREFERENCE_LOSSES: Mapping[str, Callable[..., PreferenceOutput]] = MappingProxyType(
    {
        "sigmoid": dpo,
        "dpo": dpo,
        **{f.__name__: f for f in (sigmoid_norm, robust, hinge, ipo, kto_pair, apo_zero, apo_down, exo_pair)},
        **{f.__name__: f for f in (sppo_hard, dpop, cpo, simpo, orpo)},
    }
)
"""Losses by TRL's names; "dpo" and "sigmoid" are the same one."""


def preference_loss(pairs: PairLogProbs, loss: str = "sigmoid", **options: object) -> PreferenceOutput:
    """Compute the named loss of each pair.

    Args:
        pairs: log-probabilities of the policy and, unless `loss` is in `REFERENCE_FREE`, of a reference.
        loss: a key of `PREFERENCE_LOSSES`.
        options: keyword arguments of that loss (`beta`, `label_smoothing`, …); its own defaults apply otherwise.

    Raises:
        InputError: an unknown loss, an option that the loss would ignore, or values that it cannot take.
    """
    if loss not in PREFERENCE_LOSSES:
        raise InputError(f"unknown preference loss {loss!r}{nearest(loss, PREFERENCE_LOSSES)}")
    function = PREFERENCE_LOSSES[loss]
    known = [name for name in inspect.signature(function).parameters if name != "pairs"]
    for name in options:
        if name not in known:
            raise InputError(f"the {loss} loss has no option {name!r}: it takes {', '.join(known)}")
    return function(pairs, **options)
