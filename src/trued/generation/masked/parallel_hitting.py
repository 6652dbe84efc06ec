"""First-hitting sampling in fewer calls than tokens: several hits share a call, to first or second order.

The hitting times of all positions are drawn first (arXiv 2409.02908, Section 4). Hits that fall into one part of the
time are drawn from the logits at the part's beginning: first order. Second order lets a hit at time tau have logits of
its own, between or beyond those of two calls. The coefficients are ours; the paper's were not available.

Tokens that share a call are independent given the context, whatever their own logits are, so no variant restores what
they have to do with each other: only more calls do.

Knows a masked model and a schedule. Knows nothing of text.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from trued.errors import InputError
from trued.generation.masked.first_hitting import Hits
from trued.generation.masked.model import MaskedModel
from trued.generation.masked.schedule import LINEAR, MaskSchedule
from trued.generation.masked.state import EXACT, Filling, SampleResult
from trued.learn.categorical import Draw

Cut = Literal["count", "time"]
Variant = Literal["extrapolate", "correct"]


def parallel_first_hitting(
    model: MaskedModel,
    start: Int[Tensor, "batch length"],
    steps: int | Sequence[int],
    *,
    cut: Cut = "count",
    order: Literal[1, 2] = 1,
    variant: Variant = "extrapolate",
    schedule: MaskSchedule = LINEAR,
    draw: Draw = "inverse_cdf64",
    temperature: float = 1.0,
    top_p: float = 1.0,
    generator: torch.Generator,
    hits: Hits | None = None,
) -> SampleResult:
    """Unmask in `steps` calls; as many calls as tokens is the exact sampler.

    Args:
        model: the masked model.
        start: ids; given tokens stay.
        steps: the number of calls, or how many tokens each of them unmasks. More calls than tokens are as many as
            tokens, with a warning.
        cut: parts with equally many hits, or parts of equal length in time (some of which have none, and cost none).
        order: 1 or 2.
        variant: of order 2. "extrapolate" continues the line through the log-probabilities of the last two calls,
            l_i + (t_i - tau) / (t_{i-1} - t_i) (l_i - l_{i-1}), to the hit's own time, no further than one step. It
            costs no call. "correct" draws as order 1 does, masks the later half of the part again, asks once more, and
            draws that half from (1 - w) mu_i + w mu', w = (t_i - tau) / (t_i - t_{i+1}).
        schedule, draw, temperature, top_p, generator, hits: as in `first_hitting`.

    Returns:
        Sequences whose law is exact only where no call can unmask two tokens of a row.

    Raises:
        InputError: fewer than one call, token counts that do not add up to the masked positions of every row, or
            settings that do not fit.
    """
    if cut not in ("count", "time") or order not in (1, 2) or variant not in ("extrapolate", "correct"):
        raise InputError(
            f"cut {cut!r}, order {order}, variant {variant!r}: cut is count or time, order 1 or 2, and the variant "
            "extrapolate or correct"
        )
    filling = Filling(model, start, draw=draw, temperature=temperature, top_p=top_p, generator=generator)
    hits = Hits.for_filling(filling, schedule, hits)
    parts = _parts(hits, steps, cut)
    before: _Known | None = None
    for number in range(int(parts.max()) + 1 if parts.numel() else 0):
        rows = (parts == number).any(1).nonzero()[:, 0]
        if not len(rows):
            continue
        now = _positions(hits, parts, number, rows)
        ahead = _positions(hits, parts, number + 1, rows) if order == 2 and variant == "extrapolate" else None
        tau = _by_position(hits)[rows]
        begins = torch.where(now, tau, -1.0).amax(1)
        wanted = now if ahead is None else now | ahead
        log_probs = filling.log_probs(rows, wanted, begins)
        logs = log_probs[now[wanted]]
        if before is not None:
            logs = _extrapolated(logs, before, rows, now, tau, begins)
        _place(filling, rows, now, filling.draw_tokens(logs), tau)
        if order == 2 and variant == "correct":
            ends = _positions(hits, parts, number + 1, rows)
            following = torch.where(ends, tau, 0.0).amax(1)
            _correct(filling, hits, rows, now, logs, tau, begins, following)
        if ahead is not None:
            before = _Known.of(rows, ahead, log_probs[ahead[wanted]], begins, start.shape)
    return filling.result(_law(parts, cut, order, variant, most=filling.most_masked))


def _law(parts: Tensor, cut: Cut, order: int, variant: Variant, *, most: int) -> str:
    """What is different about the law: nothing, where every call unmasks one token of a row at most."""
    neighbours = ((parts[:, 1:] == parts[:, :-1]) & (parts[:, 1:] >= 0)).any()
    if not (most > 1 if cut == "time" else neighbours):  # how many hits fall into a part of the time is drawn
        return EXACT
    own = "" if order == 1 else f", each with logits of its own (order 2, {variant})"
    return f"tokens that share a call are independent given the rest{own}"


@dataclass(frozen=True)
class _Known:
    """What the last call said of the positions that the next one will unmask: an index into `logs`, or -1."""

    index: Tensor
    logs: Tensor
    begins: Tensor

    @classmethod
    def of(cls, rows: Tensor, where: Tensor, logs: Tensor, begins: Tensor, shape: torch.Size) -> _Known:
        index, times = torch.full(shape, -1), torch.zeros(shape[0], dtype=torch.float64)
        places = where.nonzero()
        index[rows[places[:, 0]], places[:, 1]] = torch.arange(len(places))
        times[rows] = begins
        return cls(index, logs, times)


def _extrapolated(logs: Tensor, before: _Known, rows: Tensor, now: Tensor, tau: Tensor, begins: Tensor) -> Tensor:
    local, columns = now.nonzero().unbind(1)
    index = before.index[rows[local], columns]
    earlier = before.logs[index.clamp_min(0)]
    span = (before.begins[rows[local]] - begins[local]).clamp_min(1e-12)
    beyond = ((begins[local] - tau[local, columns]) / span).clamp(0.0, 1.0)
    beyond = torch.where(index >= 0, beyond, 0.0).to(logs.dtype)[:, None]
    step = torch.where(logs.isfinite() & earlier.isfinite(), logs - earlier, 0.0)
    return (logs + beyond * step).log_softmax(-1)


def _correct(
    filling: Filling, hits: Hits, rows: Tensor, now: Tensor, logs: Tensor, tau: Tensor, begins: Tensor, ends: Tensor
) -> None:
    """Draw the later half of each part again, given its earlier half."""
    rank = torch.where(now, tau, -1.0).argsort(-1, descending=True).argsort(-1)
    later = now & (rank >= (now.sum(1, keepdim=True) + 1) // 2)
    some = later.any(1)
    if not bool(some.any()):
        return
    inputs = filling.ids[rows[some]].masked_fill(later[some], filling.model.mask_id)
    again = filling.log_probs(rows[some], later[some], ends[some], ids=inputs)
    local, columns = later.nonzero().unbind(1)
    w = (begins[local] - tau[local, columns]) / (begins[local] - ends[local]).clamp_min(1e-12)
    w = w.clamp(0.0, 1.0).to(again.dtype)[:, None]
    mixed = torch.logaddexp(torch.log1p(-w) + logs[later[now]], w.log() + again)
    _place(filling, rows, later, filling.draw_tokens(mixed), tau)


def _place(filling: Filling, rows: Tensor, where: Tensor, tokens: Tensor, tau: Tensor) -> None:
    local, columns = where.nonzero().unbind(1)
    filling.ids[rows[local], columns] = tokens
    filling.hit_times[rows[local], columns] = tau[local, columns]


def _parts(hits: Hits, steps: int | Sequence[int], cut: Cut) -> Tensor:
    """The number of the call that each hit belongs to, in the order of hits; -1 behind the last one."""
    length = hits.order.shape[1]
    k, most = torch.arange(length), int(hits.counts.max()) if len(hits.counts) else 0
    if not isinstance(steps, int):
        counts = torch.tensor(list(steps))
        if not len(counts) or int(counts.min()) < 1 or bool((hits.counts != int(counts.sum())).any()):
            raise InputError(
                f"counts {list(steps)} add up to {sum(steps)}: each call unmasks at least 1 token, and together they "
                f"unmask all {most} of every row"
            )
        parts = torch.repeat_interleave(torch.arange(len(counts)), counts)
        parts = torch.cat([parts, torch.full((length - len(parts),), -1)]).expand_as(hits.order)
    else:
        if steps < 1:
            raise InputError(f"steps is {steps}: first-hitting sampling needs at least 1 call")
        if steps > most > 0:
            warnings.warn(f"{steps} calls for {most} masked tokens: {most} calls are exact already", stacklevel=3)
            steps = most
        if cut == "time":
            parts = ((1 - hits.times) * steps).floor().long().clamp(0, steps - 1)
        else:
            parts = k * steps // hits.counts[:, None].clamp_min(1)
    return torch.where(k < hits.counts[:, None], parts, -1)


def _positions(hits: Hits, parts: Tensor, number: int, rows: Tensor) -> Tensor:
    """Which positions of these rows belong to a part."""
    return torch.zeros_like(parts[rows], dtype=torch.bool).scatter_(1, hits.order[rows], parts[rows] == number)


def _by_position(hits: Hits) -> Tensor:
    return torch.zeros_like(hits.times).scatter_(1, hits.order, hits.times)
