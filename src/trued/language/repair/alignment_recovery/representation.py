"""How a model represents a prompt half-way up: the hidden state after a layer at one of the prompt's last tokens.

Only the layers up to there run, on the tokens of prompts alone; what the prompts of a batch begin with (a chat
template's system prompt, often half of all tokens) is computed once for all of them, with its gradient.

Knows a model's decoder layers, and prompts as token ids. Knows nothing of what the states are compared for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trued.errors import InputError
from trued.language.engine.generation import SHARED_PREFIX, plan_batches
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import Rows, pack_rows

DirectionKind = Literal["mean", "principal"]

BATCH_TOKENS = 4096


def decoder_layers(lm: LanguageModel) -> nn.ModuleList:
    """Return the decoder's layers: its list of as many modules as the configuration counts.

    Raises:
        InputError: the decoder has no such list, or several.
    """
    count = lm.config.num_hidden_layers
    lists = [m for m in lm.backbone.children() if isinstance(m, nn.ModuleList) and len(m) == count]
    if len(lists) != 1:
        raise InputError(
            f"the decoder of {lm.name} ({type(lm.backbone).__name__}) has {len(lists)} lists of {count} layers where "
            "one is expected: this architecture cannot be cut after a layer"
        )
    return lists[0]


def repairable(lm: LanguageModel, depth: int) -> dict[str, nn.Parameter]:
    """Return the weights that may change: of the first `depth` decoder layers, norms left out.

    Embeddings, head and deeper layers are never among them. A norm is told by its module's class, whatever its name.
    """
    owners = {id(p) for layer in list(decoder_layers(lm))[:depth] for p in _without_norms(layer)}
    return {name: parameter for name, parameter in lm.base.named_parameters() if id(parameter) in owners}


def _without_norms(layer: nn.Module) -> Iterator[nn.Parameter]:
    for module in layer.modules():
        if "norm" not in type(module).__name__.lower():
            yield from module.parameters(recurse=False)


def states(
    lm: LanguageModel, prompts: Sequence[Sequence[int]], *, depth: int, position: int = -1
) -> Float[Tensor, "prompts dim"]:
    """Hidden states of prompts after the first `depth` layers, without the final norm, in float32, with gradient.

    Args:
        prompts: token ids, the assistant's turn opened.
        depth: how many layers run.
        position: the token that is read, counted from the end of each prompt; -1 is the last.

    Raises:
        InputError: a depth outside the model, an empty prompt, or one too short for the position.
    """
    layers = decoder_layers(lm)
    if not 1 <= depth <= len(layers):
        raise InputError(f"depth is {depth}: {lm.name} has layers 1 to {len(layers)}")
    shortest = min(map(len, prompts), default=0)
    if position >= 0 or shortest < -position:
        raise InputError(
            f"position is {position} and the shortest prompt has {shortest} tokens: count from the end, -1 is the last"
        )
    rows, places = _packed(lm, prompts, position)
    out = lm.row_states(rows, until=layers[depth - 1])
    return out.flatten(0, 1)[places].float()


def _packed(lm: LanguageModel, prompts: Sequence[Sequence[int]], position: int) -> tuple[Rows, Int[Tensor, " prompts"]]:
    """Lay the prompts out as siblings after what they share, or, where that is little, in rows of their own."""
    shared = _common_prefix(prompts, tail=-position)
    if len(prompts) > 1 and shared >= SHARED_PREFIX:
        rows = pack_rows([prompts[0][:shared]], [[p[shared:] for p in prompts]], pad=lm.pad_id, device=lm.device)
        ends = shared + rows.lengths.cumsum(0)
        return rows, ends + position
    # One token is cut off as the "response" that `pack_rows` asks for: a sibling alone is plain causal attention.
    rows = pack_rows([p[:-1] or p for p in prompts], [[p[-1:]] for p in prompts], pad=lm.pad_id, device=lm.device)
    width = rows.input_ids.shape[1]
    ends = torch.tensor([len(p) for p in prompts], device=lm.device)
    return rows, torch.arange(len(prompts), device=lm.device) * width + ends + position


def _common_prefix(prompts: Sequence[Sequence[int]], *, tail: int) -> int:
    """Tokens that all prompts begin with, leaving at least `tail` of each."""
    limit = min(map(len, prompts)) - tail
    first = prompts[0]
    for index in range(limit):
        if any(p[index] != first[index] for p in prompts[1:]):
            return index
    return max(limit, 0)


@torch.no_grad()
def all_states(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    depth: int,
    position: int = -1,
    progress: Callable[[int], None] | None = None,
) -> Float[Tensor, "prompts dim"]:
    """The states of any number of prompts, without gradient, in batches of similar length."""
    result: list[Tensor] = [torch.empty(0)] * len(prompts)
    done = 0
    for batch in plan_batches([len(p) for p in prompts], new_tokens=0, copies=1, budget=BATCH_TOKENS):
        for index, state in zip(
            batch, states(lm, [prompts[i] for i in batch], depth=depth, position=position), strict=True
        ):
            result[index] = state
        done += len(batch)
        if progress is not None:
            progress(done)
    return torch.stack(result)


def direction(
    here: Float[Tensor, "prompts dim"], there: Float[Tensor, "prompts dim"] | None = None, kind: DirectionKind = "mean"
) -> Float[Tensor, " dim"]:
    """What a set of states points at.

    "mean" is their mean (2504.09757). "principal" is the first principal component, uncentred, of the differences
    between `here`, the same prompts' states in the model that has the behaviour, and `there`, those in the one that
    does not; it has unit length and points from `there` to `here`.

    Raises:
        InputError: "principal" without the other model's states, or with equal ones.
    """
    if kind == "mean":
        return here.mean(0)
    if there is None or there.shape != here.shape:
        raise InputError("a principal direction needs differences: give both models' states of the same prompts")
    differences = here - there
    if not differences.any():
        raise InputError("both models have the same states for these prompts: there is no difference to point along")
    axis = torch.linalg.svd(differences.double(), full_matrices=False).Vh[0].float()
    return axis if float(differences.mean(0) @ axis) >= 0 else -axis


def one_minus_cosine(a: Float[Tensor, " dim"], b: Float[Tensor, " dim"]) -> Float[Tensor, ""]:
    """1 - cos(a, b) in float64, from the difference of the unit vectors.

    Mean states share most of their length, so the cosine starts near 0.99, where subtracting it from 1 loses digits:
    ``1 - cos = |a/|a| - b/|b||^2 / 2`` does not.
    """
    a, b = (x.double() / x.double().norm() for x in (a, b))
    return (a - b).square().sum() / 2
