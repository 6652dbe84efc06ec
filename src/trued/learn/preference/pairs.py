"""What a preference loss is given, and what it gives: log-probabilities of pairs in, a loss and rewards out."""

from __future__ import annotations

from dataclasses import dataclass, fields

from jaxtyping import Bool, Float, Int
from torch import Tensor

from trued.errors import InputError

REFERENCE_FREE = frozenset({"cpo", "simpo", "orpo"})
"""Names of the losses that need no reference log-probabilities."""


@dataclass(frozen=True)
class PairLogProbs:
    """What a preference loss sees of a batch: one number per reply, row i of every field belonging to pair i.

    Args:
        chosen: log-probability of the preferred reply under the policy, summed over its tokens, in nats.
        rejected: the same of the other reply.
        ref_chosen: the same of the preferred reply under the reference; None for losses without one.
        ref_rejected: the same of the other reply under the reference.
        chosen_lengths: number of tokens that were summed; needed by losses that average over them.
        rejected_lengths: the same for the other reply.

    Raises:
        InputError: no pairs, fields of unequal length, half a reference, an empty reply, a NaN or infinite number.
    """

    chosen: Float[Tensor, " pairs"]
    rejected: Float[Tensor, " pairs"]
    ref_chosen: Float[Tensor, " pairs"] | None = None
    ref_rejected: Float[Tensor, " pairs"] | None = None
    chosen_lengths: Int[Tensor, " pairs"] | None = None
    rejected_lengths: Int[Tensor, " pairs"] | None = None

    def __post_init__(self) -> None:
        if self.chosen.ndim != 1 or not len(self.chosen):
            raise InputError(f"chosen has shape {tuple(self.chosen.shape)}: one log-probability per pair, at least one")
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in given.items():
            if value is None:
                continue
            if value.shape != self.chosen.shape:
                raise InputError(
                    f"chosen and {name} differ in shape ({tuple(self.chosen.shape)} and {tuple(value.shape)}): "
                    "one of each per pair"
                )
            bad = value < 1 if name.endswith("lengths") else ~value.isfinite()
            if bad.any():
                row = int(bad.nonzero()[0])
                expected = "at least one token" if name.endswith("lengths") else "a finite log-probability"
                raise InputError(f"{name}, pair {row}: {value[row].item()} is not {expected}; drop or fix that pair")
        for first, other in (("ref_chosen", "ref_rejected"), ("chosen_lengths", "rejected_lengths")):
            if (given[first] is None) != (given[other] is None):
                raise InputError(f"{first} and {other} come together: give both or neither")

    def ratios(self) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
        """Return the log-ratios r(chosen), r(rejected) of the policy to the reference."""
        if self.ref_chosen is None or self.ref_rejected is None:
            raise InputError(
                "this loss compares with a reference: give ref_chosen and ref_rejected, "
                f"or choose one without ({', '.join(sorted(REFERENCE_FREE))})"
            )
        return self.chosen - self.ref_chosen, self.rejected - self.ref_rejected

    def per_token(
        self, chosen: Float[Tensor, " pairs"], rejected: Float[Tensor, " pairs"]
    ) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
        """Return per-reply sums divided by the replies' lengths."""
        if self.chosen_lengths is None or self.rejected_lengths is None:
            raise InputError("this loss averages over tokens: give chosen_lengths and rejected_lengths")
        return chosen / self.chosen_lengths, rejected / self.rejected_lengths


@dataclass(frozen=True)
class PreferenceOutput:
    """Per-pair loss, not reduced, and the implicit rewards it assigns, detached from the graph."""

    loss: Float[Tensor, " pairs"]
    chosen_reward: Float[Tensor, " pairs"]
    rejected_reward: Float[Tensor, " pairs"]

    @property
    def margin(self) -> Float[Tensor, " pairs"]:
        """Reward of the chosen reply minus reward of the rejected one."""
        return self.chosen_reward - self.rejected_reward

    @property
    def correct(self) -> Bool[Tensor, " pairs"]:
        """True where the chosen reply has the larger reward; its mean is the usual reward accuracy."""
        return self.margin > 0
