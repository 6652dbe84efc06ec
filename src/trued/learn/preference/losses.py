"""Preference losses, each a small function of a `PairLogProbs`.

Notation, per pair: lp(y) the summed log-probability of reply y, n its length, r(y) = lp(y) - lp_ref(y) the log-ratio,
Delta = r(chosen) - r(rejected), s the logistic function. Names and values are those of TRL; where a paper and TRL
differ, the docstring says which is meant.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from trued.errors import InputError
from trued.learn.preference.pairs import PairLogProbs, PreferenceOutput


def dpo(
    pairs: PairLogProbs,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    soft_label: Float[Tensor, " pairs"] | float | None = None,
) -> PreferenceOutput:
    """Direct preference optimisation (arXiv 2305.18290, eq. 7): -log s(beta Delta).

    With `label_smoothing` epsilon it is conservative DPO, the cross-entropy against P(chosen is better) = 1 - epsilon;
    with `soft_label` that probability is given, as votes or a feedback model supply it.

    Args:
        pairs: log-probabilities with a reference.
        beta: strength of the pull towards the reference.
        label_smoothing: share of labels taken to be flipped, in [0, 1].
        soft_label: P(chosen is better), one number or one per pair, in [0, 1]; not together with smoothing.

    Raises:
        InputError: no reference, or an option outside its range.
    """
    _check_beta(beta)
    r_w, r_l = pairs.ratios()
    return _output(_cross_entropy(beta * (r_w - r_l), label_smoothing, soft_label), beta * r_w, beta * r_l)


def sigmoid_norm(pairs: PairLogProbs, *, beta: float = 0.1, label_smoothing: float = 0.0) -> PreferenceOutput:
    """Length-normalised DPO (Tulu 3, arXiv 2411.15124): -log s(beta (r_w / n_w - r_l / n_l))."""
    _check_beta(beta)
    r_w, r_l = pairs.ratios()
    mean_w, mean_l = pairs.per_token(r_w, r_l)
    return _output(_cross_entropy(beta * (mean_w - mean_l), label_smoothing), beta * r_w, beta * r_l)


def robust(pairs: PairLogProbs, *, beta: float = 0.1, label_smoothing: float = 0.1) -> PreferenceOutput:
    """Robust DPO (arXiv 2403.00409): unbiased when labels are flipped with probability epsilon = `label_smoothing`.

    (-(1 - epsilon) log s(beta Delta) + epsilon log s(-beta Delta)) / (1 - 2 epsilon).

    Raises:
        InputError: `label_smoothing` outside [0, 0.5): at one half the labels carry no information.
    """
    _check_beta(beta)
    if not 0 <= label_smoothing < 0.5:
        raise InputError(f"label_smoothing {label_smoothing}: the robust loss needs a flip rate in [0, 0.5)")
    r_w, r_l = pairs.ratios()
    logits = beta * (r_w - r_l)
    loss = label_smoothing * F.logsigmoid(-logits) - (1 - label_smoothing) * F.logsigmoid(logits)
    return _output(loss / (1 - 2 * label_smoothing), beta * r_w, beta * r_l)


def hinge(pairs: PairLogProbs, *, beta: float = 0.1) -> PreferenceOutput:
    """Hinge on the normalised likelihood (SLiC, arXiv 2305.10425; form of RSO, 2309.06657): max(0, 1 - beta Delta)."""
    _check_beta(beta)
    r_w, r_l = pairs.ratios()
    return _output(torch.relu(1 - beta * (r_w - r_l)), beta * r_w, beta * r_l)


def ipo(pairs: PairLogProbs, *, beta: float = 0.1, average: bool = True) -> PreferenceOutput:
    """Identity preference optimisation (arXiv 2310.12036, eq. 17): (Delta - 1 / (2 beta))^2.

    Args:
        pairs: log-probabilities with a reference.
        beta: regularisation, tau in the paper; the loss is zero at the margin 1 / (2 beta).
        average: divide each log-ratio by its reply's length, as TRL does and as the authors' results were computed;
            False reads the equation literally, for sums or for numbers that are averages already.
    """
    _check_beta(beta)
    r_w, r_l = pairs.ratios()
    score_w, score_l = pairs.per_token(r_w, r_l) if average else (r_w, r_l)
    return _output((score_w - score_l - 1 / (2 * beta)) ** 2, beta * r_w, beta * r_l)


def kto_pair(pairs: PairLogProbs, *, beta: float = 0.1, kl: float | None = None) -> PreferenceOutput:
    """Kahneman-Tversky loss on pairs (arXiv 2402.01306, eq. 7): mean of s(-beta (r_w - z)) and s(-beta (z - r_l)).

    The reference point z takes no gradient. Without `kl` the batch supplies it: for chosen replies the mean log-ratio
    of the rejected ones, for rejected replies that of the chosen ones, each clamped at zero.

    Args:
        pairs: log-probabilities with a reference; at least two pairs unless `kl` is given.
        beta: risk aversion.
        kl: the divergence from the reference measured elsewhere, for example on mismatched prompts and replies.

    Raises:
        InputError: a single pair without `kl`, or a negative `kl`.
    """
    _check_beta(beta)
    r_w, r_l = pairs.ratios()
    if kl is None:
        if len(r_w) < 2:
            raise InputError("kto_pair estimates its reference point on the batch: give at least 2 pairs, or kl")
        z_w, z_l = r_l.detach().mean().clamp(min=0), r_w.detach().mean().clamp(min=0)
    else:
        if not (math.isfinite(kl) and kl >= 0):
            raise InputError(f"kl {kl}: a divergence is finite and not negative; clamp an estimate at 0")
        z_w = z_l = torch.as_tensor(kl, dtype=r_w.dtype, device=r_w.device)
    loss = (torch.sigmoid(-beta * (r_w - z_w)) + torch.sigmoid(-beta * (z_l - r_l))) / 2
    return _output(loss, beta * r_w, beta * r_l)


def apo_zero(pairs: PairLogProbs, *, beta: float = 0.1) -> PreferenceOutput:
    """Anchored preference optimisation, zero (arXiv 2408.06266, eq. 7): s(-beta r_w) + s(beta r_l).

    Raises chosen replies and lowers rejected ones: for chosen replies better than the model's own.
    """
    _check_beta(beta)
    r_w, r_l = pairs.ratios()
    return _output(torch.sigmoid(-beta * r_w) + torch.sigmoid(beta * r_l), beta * r_w, beta * r_l)


def apo_down(pairs: PairLogProbs, *, beta: float = 0.1) -> PreferenceOutput:
    """Anchored preference optimisation, down (arXiv 2408.06266, eq. 8): s(beta r_w) + s(-beta Delta).

    Lowers both replies, the rejected one more: for chosen replies worse than the model's own.
    """
    _check_beta(beta)
    r_w, r_l = pairs.ratios()
    return _output(torch.sigmoid(beta * r_w) + torch.sigmoid(-beta * (r_w - r_l)), beta * r_w, beta * r_l)


def exo_pair(pairs: PairLogProbs, *, beta: float = 0.1, label_smoothing: float = 1e-3) -> PreferenceOutput:
    """Exact optimisation on pairs (arXiv 2402.00856, eq. 16): KL(q || p) with q = (s(beta Delta), s(-beta Delta)).

    The target is p = (1 - epsilon, epsilon), epsilon = `label_smoothing`.

    Raises:
        InputError: `label_smoothing` outside (0, 1): the divergence is infinite at both ends.
    """
    _check_beta(beta)
    if not 0 < label_smoothing < 1:
        raise InputError(f"label_smoothing {label_smoothing}: exo_pair needs a flip rate inside (0, 1), such as 0.001")
    r_w, r_l = pairs.ratios()
    logits = beta * (r_w - r_l)
    better = torch.sigmoid(logits) * (F.logsigmoid(logits) - math.log1p(-label_smoothing))
    worse = torch.sigmoid(-logits) * (F.logsigmoid(-logits) - math.log(label_smoothing))
    return _output(better + worse, beta * r_w, beta * r_l)


def sppo_hard(pairs: PairLogProbs, *, beta: float = 0.1) -> PreferenceOutput:
    """Self-play preference optimisation, win rates 1 and 0 (arXiv 2405.00675, eq. 4.7).

    (r_w - 1 / (2 beta))^2 + (r_l + 1 / (2 beta))^2.
    """
    _check_beta(beta)
    r_w, r_l = pairs.ratios()
    target = 1 / (2 * beta)
    return _output((r_w - target) ** 2 + (r_l + target) ** 2, beta * r_w, beta * r_l)


def dpop(pairs: PairLogProbs, *, beta: float = 0.1, penalty: float = 50.0) -> PreferenceOutput:
    """DPO-positive (arXiv 2402.13228): -log s(beta (Delta - lambda max(0, -r_w))), lambda = `penalty`.

    The penalty keeps the chosen reply at least as likely as under the reference, which DPO alone does not.

    Raises:
        InputError: a negative `penalty`.
    """
    _check_beta(beta)
    if not penalty >= 0:
        raise InputError(f"penalty {penalty}: the weight of the lost likelihood is not negative (0 is plain DPO)")
    r_w, r_l = pairs.ratios()
    return _output(-F.logsigmoid(beta * (r_w - r_l - penalty * torch.relu(-r_w))), beta * r_w, beta * r_l)


def cpo(
    pairs: PairLogProbs, *, beta: float = 0.1, label_smoothing: float = 0.0, alpha: float = 1.0
) -> PreferenceOutput:
    """Contrastive preference optimisation (arXiv 2401.08417, eq. 3): -log s(beta (lp_w - lp_l)) - alpha lp_w / n_w.

    The last term, the cross-entropy of the chosen reply, is averaged over that reply's tokens; TRL averages it over
    the batch's tokens, which is the same for one pair.
    """
    _check_beta(beta)
    w, l = pairs.chosen, pairs.rejected
    loss = _cross_entropy(beta * (w - l), label_smoothing)
    if alpha:
        loss = loss - alpha * pairs.per_token(w, l)[0]
    return _output(loss, beta * w, beta * l)


def simpo(
    pairs: PairLogProbs, *, beta: float = 2.0, gamma: float = 1.0, label_smoothing: float = 0.0
) -> PreferenceOutput:
    """Simple preference optimisation (arXiv 2405.14734, eq. 6): -log s(beta (lp_w / n_w - lp_l / n_l) - gamma)."""
    _check_beta(beta)
    w, l = pairs.per_token(pairs.chosen, pairs.rejected)
    return _output(_cross_entropy(beta * (w - l) - gamma, label_smoothing), beta * w, beta * l)


def orpo(pairs: PairLogProbs, *, beta: float = 0.1) -> PreferenceOutput:
    """Odds-ratio preference optimisation (arXiv 2403.07691, eqs. 6 and 7): CE(chosen) - beta log s(log odds ratio).

    With m = lp / n, the odds of a reply are exp(m) / (1 - exp(m)); CE(chosen) = -m_w covers the reply only (TRL's
    covers the prompt, too). `beta` is the paper's lambda. A reply of probability one has infinite odds; m is
    held one rounding step below zero.
    """
    _check_beta(beta)
    w, l = pairs.per_token(pairs.chosen, pairs.rejected)
    log_odds_ratio = _log_odds(w) - _log_odds(l)
    return _output(-w - beta * F.logsigmoid(log_odds_ratio), beta * w, beta * l)


def _output(
    loss: Float[Tensor, " pairs"], chosen: Float[Tensor, " pairs"], rejected: Float[Tensor, " pairs"]
) -> PreferenceOutput:
    return PreferenceOutput(loss, chosen.detach(), rejected.detach())


def _check_beta(beta: float) -> None:
    if not (math.isfinite(beta) and beta > 0):
        raise InputError(f"beta {beta}: expected a positive number, such as 0.1")


def _cross_entropy(
    logits: Float[Tensor, " pairs"],
    label_smoothing: float,
    soft_label: Tensor | float | None = None,
) -> Float[Tensor, " pairs"]:
    """Cross-entropy of s(logits) against P(chosen is better), 1 - label_smoothing unless given."""
    if not 0 <= label_smoothing <= 1:
        raise InputError(f"label_smoothing {label_smoothing}: a share of flipped labels lies in [0, 1]")
    if soft_label is None:
        p = 1 - label_smoothing
    else:
        if label_smoothing:
            raise InputError("soft_label and label_smoothing both state the label's certainty: give one of them")
        p = torch.as_tensor(soft_label, dtype=logits.dtype, device=logits.device)
        if p.ndim and p.shape != logits.shape:
            raise InputError(f"soft_label has shape {tuple(p.shape)}: one per pair, of which there are {len(logits)}")
        if not ((p >= 0) & (p <= 1)).all():
            raise InputError("soft_label holds a value outside [0, 1]: it is the probability that chosen is better")
    return -p * F.logsigmoid(logits) - (1 - p) * F.logsigmoid(-logits)


def _log_odds(mean: Float[Tensor, " pairs"]) -> Float[Tensor, " pairs"]:
    """log(p / (1 - p)) of p = exp(mean)."""
    mean = mean.clamp(max=-torch.finfo(mean.dtype).eps)
    return mean - torch.log(-torch.expm1(mean))
