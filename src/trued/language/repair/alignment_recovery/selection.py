"""Which weights go back: ranked by gradient, by change or at random; one by one, by neuron, or by layer.

Knows weights, where they would go back to, and their gradients. Knows nothing of what the gradient is of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.errors import InputError, nearest
from trued.learn.fit.batches import derived_seed
from trued.learn.radix import TopK, kth_largest
from trued.learn.weights import Weights

Rule = Literal["sign", "gradient", "change", "random"]
Granularity = Literal["scalar", "neuron", "lora"]
Indices = dict[str, Int[Tensor, " chosen"]]


def known(rule: str, granularity: str) -> None:
    """Refuse a rule or a granularity that there is none of.

    Raises:
        InputError: naming the nearest ones.
    """
    for what, value, names in (("rule", rule, get_args(Rule)), ("granularity", granularity, get_args(Granularity))):
        if value not in names:
            raise InputError(f"unknown {what} {value!r}: choose one of {', '.join(names)}{nearest(value, names)}")


def scores(
    now: Float[Tensor, "*shape"],
    goal: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"] | None,
    rule: Rule,
    seed: int = 0,
) -> Float[Tensor, "*shape"]:
    """How much it promises to set each weight to its goal; 0 where it must not be done.

    - "sign", the paper's: |g| where sign(now - goal) = sign(g) ≠ 0, so that the step goes down the gradient
      (2504.09757, selection mask);
    - "gradient": |g| wherever the weight differs from its goal, an ablation;
    - "change": |now - goal|, which needs no gradient;
    - "random": uniform wherever the weight differs from its goal, from `seed`.

    Raises:
        InputError: a rule by gradient without one.
    """
    change = now - goal
    if rule == "change":
        return change.abs()
    if rule == "random":
        drawn = 1 - torch.rand(now.shape, generator=torch.Generator().manual_seed(seed))
        return drawn.to(now.device) * (change != 0)
    if gradient is None:
        raise InputError(f"the rule {rule!r} ranks by gradient, and a weight has none: run a backward pass first")
    allowed = change.sign() == gradient.sign() if rule == "sign" else torch.ones_like(change, dtype=torch.bool)
    return gradient.abs() * (allowed & (change != 0))


def choose(
    parameters: Mapping[str, Tensor],
    goal: Weights,
    k: int,
    *,
    rule: Rule = "sign",
    granularity: Granularity = "scalar",
    seed: int = 0,
    consume: bool = False,
) -> Indices:
    """Choose the k weights with the highest scores, or all that have one, where those are fewer.

    Ties go to the lower index, in the order of `parameters`, so exactly k are chosen where the paper's code compares
    with a strict ``>``. With granularity "neuron" rows of matrices are chosen whole, with "lora" whole matrices, which
    is what taking an adapter off a layer does: the units of the highest mean score, until they hold k differing weights
    (the last one may go beyond).

    Args:
        parameters: what is now; `.grad` holds the gradients, in float32.
        goal: what a chosen weight would be set to.
        consume: the gradients are not needed afterwards, so the scores, which are read three times, may take their
            place instead of being computed three times.

    Returns:
        Flat indices, ascending, by name; names of which nothing is chosen are absent.

    Raises:
        InputError: an unknown rule or granularity, k below 1, or a gradient that is not finite.
    """
    known(rule, granularity)

    def score(name: str) -> Tensor:
        now = parameters[name]
        return scores(
            now.detach().float(), goal[name].to(now.device).float(), now.grad, rule, derived_seed("restore", seed, name)
        )

    read = score
    if consume and rule in ("sign", "gradient"):
        for name, parameter in parameters.items():
            filled = score(name)
            assert parameter.grad is not None  # else there was no score
            parameter.grad.copy_(filled)
        read = _gradient_of(parameters)
    if granularity == "scalar":
        selection = _scalars(parameters, read, k)
    else:
        selection = _units(parameters, goal, read, k, rows=granularity == "neuron")
    return {name: indices for name, indices in selection if len(indices)}


def _gradient_of(parameters: Mapping[str, Tensor]) -> Callable[[str], Tensor]:
    def gradient(name: str) -> Tensor:
        grad = parameters[name].grad
        assert grad is not None
        return grad

    return gradient


def _scalars(
    parameters: Mapping[str, Tensor], score: Callable[[str], Tensor], k: int
) -> Iterator[tuple[str, Int[Tensor, " chosen"]]]:
    top = TopK(kth_largest(lambda: map(score, parameters), k))
    for name in parameters:
        yield name, top.indices(score(name))


def _units(
    parameters: Mapping[str, Tensor], goal: Weights, score: Callable[[str], Tensor], k: int, *, rows: bool
) -> Iterator[tuple[str, Int[Tensor, " chosen"]]]:
    ranked, sizes, owners = [], [], []
    for number, name in enumerate(parameters):
        now = parameters[name].detach()
        units = (len(now), -1) if rows else (1, -1)
        ranked.append(score(name).view(units).mean(1).cpu())
        sizes.append((now != goal[name].to(now.device)).view(units).sum(1).cpu())
        owners.append(torch.full((len(ranked[-1]),), number))
    means, counts, owner = torch.cat(ranked), torch.cat(sizes), torch.cat(owners)
    order = means.sort(descending=True, stable=True).indices
    order = order[means[order] > 0]
    covered = counts[order].cumsum(0)
    top_units = order[: int(torch.searchsorted(covered, k)) + 1]
    first = 0
    for number, name in enumerate(parameters):
        now = parameters[name].detach()
        mine = torch.zeros(len(ranked[number]), dtype=torch.bool)
        mine[top_units[owner[top_units] == number] - first] = True
        first += len(mine)
        whole = mine.to(now.device)[:, None].expand(-1, now.numel() // len(mine))
        yield name, (whole.reshape(-1) & (now != goal[name].to(now.device)).view(-1)).nonzero()[:, 0]
