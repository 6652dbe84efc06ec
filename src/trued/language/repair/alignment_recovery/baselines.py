"""What alignment recovery has to beat: other weights put back, the safety vector added, and a guard in the prompt.

Two more baselines train: safety fine-tuning is `trued.language.train.fine_tune` on `refusal_rows`, and soft SFT is the
same function with its token constraint, during the fine-tuning itself.

Knows two or three sets of weights, and prompts. Knows nothing of gradients or of how anything is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from trued.data.messages import Message, Prompt, as_messages
from trued.data.prompts import ReplyRow, safe_replies
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.repair.alignment_recovery.config import PAPER, RecoveryConfig
from trued.language.repair.alignment_recovery.recover import check_pair
from trued.language.repair.alignment_recovery.representation import decoder_layers, repairable
from trued.language.repair.alignment_recovery.restored import Restored
from trued.language.repair.alignment_recovery.selection import Rule, choose
from trued.learn.weights import Patch, Weights, add_difference, snapshot

GUARD = (
    "You are a careful assistant. If a request could lead to harm, to crime or to danger for anyone, decline in one "
    "sentence and say no more. Answer every other request as helpfully as you can."
)
"""The system prompt of the prompt guard."""


def restore_equally(
    lm: LanguageModel,
    aligned: Weights,
    count: int,
    *,
    rule: Rule,
    config: RecoveryConfig = PAPER,
    seed: int = 0,
) -> Patch:
    """Put back, in place, as many weights as recovery did, of the same layers, chosen without its gradients.

    Args:
        count: how many.
        rule: "random", the control, or "change": those that fine-tuning moved most.
        config: names the layers and the granularity.

    Raises:
        InputError: a rule by gradient, a count below 1, or models that do not fit.
    """
    if rule not in ("random", "change"):
        raise InputError(f"rule is {rule!r}: without gradients weights are chosen by 'random' or by 'change'")
    parameters = repairable(lm, config.depth(lm))
    check_pair(parameters, aligned)
    restored = Restored(parameters, aligned)
    restored.add(choose(parameters, aligned, count, rule=rule, granularity=config.granularity, seed=seed))
    return restored.patch(lm.base, f"{rule} restore of {count}")


def restore_layers(lm: LanguageModel, aligned: Weights, layers: Sequence[int]) -> Patch:
    """Put whole decoder layers back, norms included, in place; layers are counted from 0.

    Raises:
        InputError: no such layer, or models that do not fit.
    """
    every = list(decoder_layers(lm))
    wrong = [layer for layer in layers if not 0 <= layer < len(every)]
    if wrong or not layers:
        raise InputError(f"layers are {list(layers)}: {lm.name} has layers 0 to {len(every) - 1}, and one is needed")
    owners = {id(parameter) for layer in layers for parameter in every[layer].parameters()}
    parameters = {name: p for name, p in lm.base.named_parameters() if id(p) in owners}
    check_pair(parameters, aligned)
    restored = Restored(parameters, aligned)
    differing = {name: (p.detach() != aligned[name].to(p)).view(-1).nonzero()[:, 0] for name, p in parameters.items()}
    restored.add({name: places for name, places in differing.items() if len(places)})
    return restored.patch(lm.base, f"restore of layers {', '.join(map(str, layers))}")


def resta(
    lm: LanguageModel,
    aligned: Weights,
    unaligned: Weights,
    *,
    weight: float = 0.5,
    drop: float = 0.0,
    seed: int = 0,
) -> None:
    """Add the safety vector, in place: theta_t + w (theta_a - theta_unaligned) (RESTA, 2402.11746).

    Args:
        aligned, unaligned: the same model after and before its safety alignment.
        weight: w.
        drop: share of the vector that DARE drops, the rest rescaled.

    Raises:
        InputError: a weight that is not positive, a drop rate outside [0, 1), or models that do not fit.
    """
    if not weight > 0:
        raise InputError(f"weight is {weight}: the safety vector is added with a weight above 0")
    generator = torch.Generator().manual_seed(seed)
    add_difference(lm.base, aligned, unaligned, weight=weight, drop=drop, generator=generator)


def strongest(
    weights: Sequence[float], attempt: Callable[[float], None], undo: Callable[[], None], score: Callable[[], float],
    floor: float,
) -> float | None:  # fmt: skip
    """Leave the model with the largest weight whose score reaches `floor`: what recovery's driver grants itself.

    Args:
        weights: what is tried, from the largest down.
        attempt: changes the model by one of them.
        undo: takes the change back.

    Returns:
        The weight, or None if each costs too much; the model is then as it was.
    """
    for weight in sorted(weights, reverse=True):
        attempt(weight)
        if score() >= floor:
            return weight
        undo()
    return None


def strongest_resta(
    lm: LanguageModel, aligned: Weights, unaligned: Weights, weights: Sequence[float], score: Callable[[], float], *,
    floor: float, drop: float = 0.0, seed: int = 0,
) -> float | None:  # fmt: skip
    """Add the safety vector, in place, at the largest of the weights whose score reaches `floor`; see `strongest`."""

    def attempt(weight: float) -> None:
        resta(lm, aligned, unaligned, weight=weight, drop=drop, seed=seed)

    return strongest(weights, attempt, snapshot(lm.base), score, floor)


def refusal_rows(prompts: Sequence[Prompt], *, refusals: int | None = None) -> list[ReplyRow]:
    """Harmful questions, each with one of the shipped short refusals in turn: the data of safety fine-tuning."""
    replies = safe_replies()[:refusals]
    return [ReplyRow(prompt, replies[i % len(replies)]) for i, prompt in enumerate(prompts)]


def guarded(prompt: Prompt, guard: str = GUARD) -> list[Message]:
    """The prompt under a system prompt that asks to decline harmful requests, before any that it has already."""
    messages = as_messages(prompt)
    if messages[0]["role"] == "system":
        return [{"role": "system", "content": f"{guard}\n\n{messages[0]['content']}"}, *messages[1:]]
    return [{"role": "system", "content": guard}, *messages]
