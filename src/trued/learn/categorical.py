"""Drawing from categorical distributions: exactly, and in the ways that only look exact.

The Gumbel-max trick, argmax_k (log p_k + G_k) with G = -log(-log u), is exact for real numbers. A float32 u below 1 is
at most 1 - 2^-24, so G ends at 16.64, and classes that need more never win: large classes gain what small ones lose
(arXiv 2409.02908, Section 5). `trued.learn.gumbel.truncated` has the law that comes out.

Knows logits and random numbers. Knows nothing of tokens, samplers or what the classes stand for.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.errors import InputError, nearest

Draw = Literal["inverse_cdf64", "two_stage", "gumbel64", "exp64", "log1p32", "gumbel32"]
"""How to draw: by inversion; stay or move first, then by inversion; a race with Gumbel noise in 64 bits; the same race
with exponential noise; Gumbel noise in 32 bits whose tail is resolved; Gumbel noise in 32 bits as it is often written,
which is not exact and is here to be measured."""

DRAWS: tuple[Draw, ...] = get_args(Draw)
EXACT = tuple(name for name in DRAWS if name != "gumbel32")
INVERSION = ("inverse_cdf64", "two_stage")
_RACE = 1 << 20  # classes whose noise is held at once: 8 MB in 64 bits
_BLOCK = 128  # classes summed at once by inversion; a sequential sum over all of them would cost more than the draw
_ROWS = 1 << 14  # rows inverted at once at most: what a row needs beside its classes then stays below 2 MB


def sample_categorical(
    logits: Float[Tensor, "*batch classes"],
    *,
    draw: Draw = "inverse_cdf64",
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    uniforms: Float[Tensor, "*batch"] | None = None,
) -> Int[Tensor, "*batch"]:
    """Draw one class of softmax(logits / temperature) from each row.

    Args:
        logits: unnormalised log-probabilities; -inf rules a class out. Half precision is widened before anything else.
        draw: see `Draw`; "two_stage" is the same as "inverse_cdf64" here.
        temperature: above 0.
        generator: of the noise; needed unless `uniforms` is given.
        uniforms: one number of [0, 1) a row, drawn beforehand, for draws by inversion: rows that share it are coupled.

    Raises:
        InputError: an unknown draw, a temperature that is not above 0, no source of noise, or rows from which nothing
            can be drawn (NaN, +inf, or nothing but -inf).
    """
    rows = _rows(logits, draw, temperature)
    _noise_given(draw, generator, uniforms)
    if draw in INVERSION:
        if uniforms is None:
            uniforms = torch.rand(len(rows), generator=generator, dtype=torch.float64, device=rows.device)
        drawn = _invert(rows, uniforms.reshape(-1).double())
    else:
        drawn = torch.cat([_race(part, draw, generator)[1] for part in rows.split(_at_once(rows))])
    return drawn.view(logits.shape[:-1])


def sample_or_stay(
    log_probs: Float[Tensor, "rows classes"],
    move: float,
    *,
    draw: Draw = "inverse_cdf64",
    generator: torch.Generator,
) -> Int[Tensor, " rows"]:
    """Draw from move * p over the classes and 1 - move for staying: one step of a process that leaves a state.

    With a race, staying is one class more, as in the ancestral sampler of masked diffusion models: where `move` is
    small, every class has a small key, and what 32 bits cut off is cut off there. By inversion only rows that move
    look at their classes.

    Args:
        log_probs: normalised log-probabilities.
        move: the probability of leaving, in [0, 1].

    Returns:
        The class, or the number of classes for a row that stays.

    Raises:
        InputError: as `sample_categorical`, or `move` outside [0, 1].
    """
    if not 0 <= move <= 1:
        raise InputError(f"move is {move}: a probability lies in [0, 1]")
    rows = _rows(log_probs, draw, 1.0)
    count, classes = rows.shape
    if draw in INVERSION:
        u = torch.rand(count, generator=generator, dtype=torch.float64, device=rows.device)
        moved = u < move
        drawn = torch.full((count,), classes, device=rows.device)
        if draw == "two_stage":
            rest = torch.rand(int(moved.sum()), generator=generator, dtype=torch.float64, device=rows.device)
        else:
            rest = u[moved] / max(move, 1e-300)  # what is left of a uniform number is uniform
        drawn[moved] = _invert(rows[moved], rest)
        return drawn
    drawn = []
    for part in rows.split(_at_once(rows)):
        best, index = _race(part, draw, generator)
        alone = _gumbel((len(part),), draw, generator, rows.device)
        stays = alone + _log(1 - move) > best + _log(move)
        drawn.append(index.masked_fill(stays, classes))
    return torch.cat(drawn)


def nucleus(logits: Float[Tensor, "*batch classes"], top_p: float) -> Float[Tensor, "*batch classes"]:
    """Rule out all but the most probable classes whose probabilities reach `top_p`; this changes the law.

    Raises:
        InputError: `top_p` outside (0, 1].
    """
    if not 0 < top_p <= 1:
        raise InputError(f"top_p is {top_p}: it must lie in (0, 1]")
    if top_p == 1:
        return logits
    ordered, index = logits.double().softmax(-1).sort(descending=True, stable=True)
    beyond = ordered.cumsum(-1) - ordered >= top_p
    return logits.masked_fill(torch.zeros_like(beyond).scatter(-1, index, beyond), -math.inf)


# -- the draws ---------------------------------------------------------------------------------------------------------


def _invert(rows: Tensor, uniforms: Tensor) -> Tensor:
    """Find where the running sum of probabilities passes u: first among sums of blocks, then within one block.

    Sums are float64; a float32 weight has a relative error of 1e-7 wherever it lies, and no class is lost before it is
    e^-103 of the largest. A vocabulary smaller than a block is one block of its own size.
    """
    count, classes = rows.shape
    wide = min(_BLOCK, classes)
    blocks = -(-classes // wide)
    drawn = torch.empty(count, dtype=torch.long, device=rows.device)
    step = max(1, min(_RACE // classes, _ROWS))
    for start in range(0, count, step):
        part, u = rows[start : start + step], uniforms[start : start + step]
        weights = part.new_zeros(len(part), blocks * wide)
        torch.sub(part, part.amax(-1, keepdim=True), out=weights[:, :classes])
        weights[:, :classes].exp_()
        weights = weights.view(len(part), blocks, wide)
        sums = weights.sum(-1, dtype=torch.float64).cumsum(-1)
        target = u[:, None] * sums[:, -1:]
        block = _passed(sums, target)
        before = torch.where(block > 0, sums.gather(-1, (block - 1).clamp_min(0)), 0.0)
        inside = weights.gather(1, block[..., None].expand(-1, -1, wide))[:, 0].double().cumsum(-1)
        drawn[start : start + step] = (block * wide + _passed(inside, target - before))[:, 0]
    return drawn


def _passed(sums: Tensor, target: Tensor) -> Tensor:
    """The first place of each row where the running sum is above the target.

    A target that rounding lifts to the very end belongs to the last place that adds anything.
    """
    last = (sums < sums[:, -1:]).sum(-1, keepdim=True)
    return torch.minimum(torch.searchsorted(sums, target, right=True), last)


def _race(rows: Tensor, draw: Draw, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """The largest key log p + G of each row, and whose it is; ties go to the lower index."""
    keys = _gumbel(rows.shape, draw, generator, rows.device).add_(rows)
    best, index = keys.max(-1)
    return best, index


def _gumbel(shape: tuple[int, ...], draw: Draw, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Gumbel noise; u = 0 gives -inf, which loses every race, and needs no guard that would shift the law."""
    if draw == "gumbel32":
        return torch.rand(shape, generator=generator, device=device).log_().neg_().log_().neg_()
    if draw == "gumbel64":
        u = torch.rand(shape, generator=generator, device=device, dtype=torch.float64)
        return u.log_().neg_().log_().neg_()
    if draw == "exp64":
        e = torch.empty(shape, device=device, dtype=torch.float64).exponential_(generator=generator)
        return e.log_().neg_()
    # -log(1 - u) is as small as u, so large noise comes from small u, of which 53 random bits leave 2^-53 and above.
    u = torch.rand(shape, generator=generator, device=device, dtype=torch.float64).float()
    return u.clamp_min_(2.0**-54).neg_().log1p_().neg_().log_().neg_()


def _at_once(rows: Tensor) -> int:
    return max(1, _RACE // max(1, rows.shape[-1]))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _noise_given(draw: Draw, generator: torch.Generator | None, uniforms: Tensor | None) -> None:
    if generator is None and uniforms is None:
        raise InputError("neither a generator nor uniforms: pass generator=torch.Generator().manual_seed(0), say")
    if uniforms is not None and draw not in INVERSION:
        raise InputError(f"uniforms go with {' or '.join(INVERSION)}, not with {draw}, which needs one a class")


def _rows(logits: Tensor, draw: str, temperature: float) -> Tensor:
    """Check, widen, cool: rows in float32 or float64, each with at least one class to draw."""
    if draw not in DRAWS:
        raise InputError(f"draw is {draw!r}: choose one of {', '.join(DRAWS)}{nearest(draw, DRAWS)}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise InputError(f"temperature is {temperature}: it must be a finite number above 0")
    if not logits.shape[-1]:
        raise InputError(f"logits of shape {tuple(logits.shape)} have no class: give at least 1")
    rows = logits.reshape(-1, logits.shape[-1])
    rows = rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
    if len(rows):
        peaks = rows.amax(-1)
        broken = torch.nonzero(~peaks.isfinite()).flatten()
        if len(broken):
            peak = float(peaks[broken[0]])
            what = "NaN" if math.isnan(peak) else "+inf" if peak > 0 else "nothing but -inf"
            raise InputError(
                f"row {int(broken[0])} of {len(rows)} has {what}, so nothing can be drawn from it: look at what made "
                "the logits"
            )
    return rows if temperature == 1 else rows / temperature
