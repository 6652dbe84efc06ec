"""What the Gumbel-max trick draws when its noise ends early: the law in closed form, and its effective temperature.

With G limited to G <= M, c = e^-M, probabilities in ascending order pi_1 <= ... <= pi_K and S_i = sum_{k >= i} pi_k,
    beta_i = e^{(K - i + 1) c} / S_i * (exp(-S_i c / pi_i) - exp(-S_i c / pi_{i-1})),   the second term 0 for i = 1,
    P(argmax = n) = pi_n * sum_{i <= n} beta_i
(arXiv 2409.02908, Section 5). The factor beside pi_n never falls with n: large classes gain, small ones lose.

Knows probabilities. Knows nothing of how they are drawn, or of what the classes stand for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from trued.errors import InputError
from trued.learn.gumbel.distribution import check_distribution

_LOWEST = 700  # e^700 is nearly the largest float64
_BITS = {torch.float32: 24, torch.float64: 53}


def gumbel_limit(dtype: torch.dtype = torch.float32) -> float:
    """The largest Gumbel noise -log(-log u) of a uniform number of this type, 1 - 2^-24 or 1 - 2^-53.

    Raises:
        InputError: a type other than float32 and float64.
    """
    if dtype not in _BITS:
        raise InputError(f"dtype is {dtype}: uniform numbers are made in torch.float32 or torch.float64")
    return -math.log(-math.log1p(-(2.0 ** -_BITS[dtype])))


def truncated_gumbel_probs(
    p: Float[Tensor, "*batch classes"], M: float | None = None, *, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*batch classes"]:
    """Return the law of argmax_k (log p_k + G_k) with G <= M.

    Args:
        p: probabilities; each row sums to 1.
        M: where the noise ends, above -700; the limit of `dtype` by default, and infinity for noise without an end.
        dtype: of the uniform numbers.

    Returns:
        float64 probabilities, in the order of `p`.

    Raises:
        InputError: rows that are not distributions, or an end below -700.
    """
    check_distribution(p, "p")
    if M is not None and not M > -_LOWEST:
        raise InputError(f"M is {M}: the end of the noise is a number above -{_LOWEST}")
    c = math.exp(-(gumbel_limit(dtype) if M is None else M))
    pi, index = p.double().sort(-1)
    K = pi.shape[-1]
    S = pi.flip(-1).cumsum(-1).flip(-1)
    ratio = torch.where(pi > 0, S * c / pi.clamp_min(1e-300), math.inf)
    smaller = pi.roll(1, -1)
    smaller[..., 0] = 0.0
    before = torch.where(smaller > 0, S * c / smaller.clamp_min(1e-300), math.inf)  # S_i c / pi_{i-1}
    rising = torch.arange(K, 0, -1, dtype=torch.float64, device=p.device) * c  # (K - i + 1) c
    gap = torch.where(ratio.isfinite(), ratio - before, 0.0)  # e^-a - e^-b = -e^-a expm1(a - b) loses no digits
    beta = torch.where(pi > 0, (rising - ratio).exp() * -torch.expm1(gap) / S.clamp_min(1e-300), 0.0)
    return torch.zeros_like(pi).scatter(-1, index, pi * beta.cumsum(-1))


def truncated_move_law(
    p: Float[Tensor, " classes"], moves: Iterable[float], M: float | None = None, *, dtype: torch.dtype = torch.float32
) -> tuple[Float[Tensor, " classes"], Float[Tensor, " steps"]]:
    """Follow a state that is left with probability `move` in each step, by races whose noise ends at M.

    In each step the classes have probability move * p and staying has 1 - move; that is the ancestral sampler of a
    masked position whose prediction stays p. With exact noise the class that is moved to has the law p.

    Args:
        p: the law of the classes.
        moves: the probability of leaving in each step; the last one is usually 1.

    Returns:
        The law of the class that is moved to (summing to the probability of having moved at all), and for each step
        the probability of leaving in it, given that the state was not left before.

    Raises:
        InputError: `p` is no distribution.
    """
    check_distribution(p, "p")
    here, law, left = 1.0, torch.zeros_like(p, dtype=torch.float64), []
    for move in moves:
        step = truncated_gumbel_probs(torch.cat([move * p.double(), p.new_tensor([1 - move]).double()]), M, dtype=dtype)
        law += here * step[:-1]
        left.append(float(step[:-1].sum()))
        here *= float(step[-1])
    return law, torch.tensor(left, dtype=torch.float64)


def effective_temperature(drawn: Float[Tensor, " classes"], true: Float[Tensor, " classes"]) -> float:
    """Return argmin_T KL(drawn || softmax(log true / T)): below 1 where `drawn` is sharper than `true`.

    The divergence is convex in 1 / T, and least where both have the same mean of log `true`. A law that is as sharp as
    can be has temperature 0, one that is no sharper than uniform has infinity.

    Raises:
        InputError: not distributions, or `drawn` has mass where `true` has none.
    """
    from scipy.optimize import brentq

    for law, name in ((drawn, "drawn"), (true, "true")):
        check_distribution(law, name)
    p, q = true.double(), drawn.double()
    if bool(((p == 0) & (q > 0)).any()):
        raise InputError("drawn has mass where true has none: no temperature makes that")
    possible = p > 0
    logs, q = p[possible].log(), q[possible]
    wanted = float((q * logs).sum())

    def excess(inverse: float) -> float:
        return float(((logs * inverse).softmax(0) * logs).sum()) - wanted

    if excess(0.0) >= 0:
        return math.inf
    if wanted >= float(logs.max()) - 1e-12:
        return 0.0
    high = 1.0
    while excess(high) < 0:
        high *= 2
    return 1 / float(brentq(excess, 0.0, high, xtol=1e-14))  # pyright: ignore[reportArgumentType]
