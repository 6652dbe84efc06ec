"""Preference losses against closed forms, gradients and the properties that their papers rest on."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from trued.errors import InputError
from trued.learn.preference import (
    PREFERENCE_LOSSES,
    REFERENCE_FREE,
    PairLogProbs,
    preference_loss,
    windowed_mean,
)

LOSSES = sorted(PREFERENCE_LOSSES)
WITH_REFERENCE = sorted(set(LOSSES) - REFERENCE_FREE)
number = st.floats(-40, -0.5)


def pairs(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0, lengths=(4, 5)):
    columns = (torch.tensor([float(x)], dtype=torch.float64) for x in (chosen, rejected, ref_chosen, ref_rejected))
    return PairLogProbs(*columns, *(torch.tensor([n]) for n in lengths))


def value(loss, *columns, **options):
    return preference_loss(pairs(*columns), loss, **options).loss.item()


def many(count=6, seed=0):
    """Pairs in float64 whose policy numbers require gradients; ratios are nowhere zero, so no kink is hit."""
    generator = torch.Generator().manual_seed(seed)
    draw = [-1 - 20 * torch.rand(count, generator=generator, dtype=torch.float64) for _ in range(4)]
    lengths = [torch.randint(1, 9, (count,), generator=generator) for _ in range(2)]
    return draw[0].requires_grad_(), draw[1].requires_grad_(), *draw[2:], *lengths


def s(x):
    return 1 / (1 + math.exp(-x))


# lp_w = -6, lp_l = -10, ref -8 and -9: r_w = 2, r_l = -1, Delta = 3; lengths 4 and 5.
M_W, M_L = -6 / 4, -10 / 5
CLOSED_FORMS = [
    ("sigmoid", {"beta": 0.5}, -math.log(s(1.5))),
    ("dpo", {"beta": 0.5, "label_smoothing": 0.2}, -0.8 * math.log(s(1.5)) - 0.2 * math.log(s(-1.5))),
    ("sigmoid", {"beta": 0.5, "soft_label": 0.3}, -0.3 * math.log(s(1.5)) - 0.7 * math.log(s(-1.5))),
    ("sigmoid_norm", {"beta": 0.5}, -math.log(s(0.5 * (2 / 4 + 1 / 5)))),
    (
        "robust",
        {"beta": 0.5, "label_smoothing": 0.2},
        (-0.8 * math.log(s(1.5)) + 0.2 * math.log(s(-1.5))) / 0.6,
    ),
    ("hinge", {"beta": 0.25}, 0.25),
    ("hinge", {"beta": 0.5}, 0.0),
    ("ipo", {"beta": 0.25}, (2 / 4 + 1 / 5 - 2) ** 2),
    ("ipo", {"beta": 0.25, "average": False}, (3 - 2) ** 2),
    ("kto_pair", {"beta": 0.5, "kl": 0.4}, ((1 - s(0.5 * (2 - 0.4))) + (1 - s(0.5 * (0.4 + 1)))) / 2),
    ("apo_zero", {"beta": 0.5}, (1 - s(1.0)) + s(-0.5)),
    ("apo_down", {"beta": 0.5}, s(1.0) + (1 - s(1.5))),
    (
        "exo_pair",
        {"beta": 0.5, "label_smoothing": 0.1},
        s(1.5) * math.log(s(1.5) / 0.9) + s(-1.5) * math.log(s(-1.5) / 0.1),
    ),
    ("sppo_hard", {"beta": 0.25}, (2 - 2) ** 2 + (-1 + 2) ** 2),
    ("dpop", {"beta": 0.5, "penalty": 50.0}, -math.log(s(1.5))),
    ("cpo", {"beta": 0.5}, -math.log(s(2.0)) + 6 / 4),
    ("cpo", {"beta": 0.5, "alpha": 0.0, "label_smoothing": 0.1}, -0.9 * math.log(s(2.0)) - 0.1 * math.log(s(-2.0))),
    ("simpo", {"beta": 2.0, "gamma": 0.6}, -math.log(s(2 * (M_W - M_L) - 0.6))),
    (
        "orpo",
        {"beta": 0.3},
        -M_W
        - 0.3
        * math.log(s(math.log(math.exp(M_W) / (1 - math.exp(M_W))) - math.log(math.exp(M_L) / (1 - math.exp(M_L))))),
    ),
]


@pytest.mark.parametrize(("loss", "options", "expected"), CLOSED_FORMS)
def test_closed_forms(loss, options, expected):
    assert value(loss, -6, -10, -8, -9, **options) == pytest.approx(expected, abs=1e-12)


def test_every_loss_has_a_closed_form():
    assert {row[0] for row in CLOSED_FORMS} == set(PREFERENCE_LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients(loss):
    chosen, rejected, *rest = many()
    options = {"kl": 0.3} if loss == "kto_pair" else {}  # the batch estimate is detached on purpose
    options |= {"beta": 0.03} if loss == "hinge" else {}

    def total(chosen, rejected):
        return preference_loss(PairLogProbs(chosen, rejected, *rest), loss, **options).loss

    assert torch.autograd.gradcheck(total, (chosen, rejected))
    assert total(chosen, rejected).grad_fn is not None


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_rewards_and_what_is_detached(loss):
    columns = many()
    out = preference_loss(PairLogProbs(*columns), loss, beta=0.5)
    assert out.loss.shape == (6,)
    assert out.loss.requires_grad
    assert not out.chosen_reward.requires_grad
    assert not out.rejected_reward.requires_grad
    chosen, rejected, ref_chosen, ref_rejected, n_w, n_l = columns
    if loss in WITH_REFERENCE:
        expected = 0.5 * (chosen - ref_chosen), 0.5 * (rejected - ref_rejected)
    elif loss == "cpo":
        expected = 0.5 * chosen, 0.5 * rejected
    else:
        expected = 0.5 * chosen / n_w, 0.5 * rejected / n_l
    torch.testing.assert_close(out.chosen_reward, expected[0].detach())
    torch.testing.assert_close(out.margin, (expected[0] - expected[1]).detach())
    assert torch.equal(out.correct, expected[0] > expected[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_pairs_do_not_mix(loss):
    options = {"kl": 0.3} if loss == "kto_pair" else {}
    columns = [column.detach() for column in many()]
    together = preference_loss(PairLogProbs(*columns), loss, **options).loss
    alone = [preference_loss(PairLogProbs(*(c[i : i + 1] for c in columns)), loss, **options).loss for i in range(6)]
    torch.testing.assert_close(together, torch.cat(alone))


@settings(deadline=None)
@given(chosen=number, rejected=number)
def test_dpo_starts_at_log_two(chosen, rejected):
    assert value("dpo", chosen, rejected, chosen, rejected) == pytest.approx(math.log(2), abs=1e-12)


@settings(deadline=None)
@given(a=number, b=number, c=number, d=number)
def test_half_smoothing_does_not_see_the_order(a, b, c, d):
    assert value("dpo", a, b, c, d, label_smoothing=0.5) == pytest.approx(value("dpo", b, a, d, c, label_smoothing=0.5))


@settings(deadline=None)
@given(a=number, b=number, c=number, d=number, p=st.floats(0, 1))
def test_soft_labels_mix_the_two_orders(a, b, c, d, p):
    mixed = p * value("dpo", a, b, c, d) + (1 - p) * value("dpo", b, a, d, c)
    assert value("dpo", a, b, c, d, soft_label=p) == pytest.approx(mixed, abs=1e-9)


@settings(deadline=None)
@given(a=number, b=number, c=number, d=number, epsilon=st.floats(0, 0.45))
def test_robust_is_unbiased_under_flipped_labels(a, b, c, d, epsilon):
    unflipped = value("robust", a, b, c, d, label_smoothing=epsilon)
    flipped = value("robust", b, a, d, c, label_smoothing=epsilon)
    assert (1 - epsilon) * unflipped + epsilon * flipped == pytest.approx(value("dpo", a, b, c, d), abs=1e-8)


@settings(deadline=None)
@given(beta=st.floats(0.05, 2), off=st.floats(-5, 5))
def test_ipo_is_least_at_its_target_margin(beta, off):
    target = 1 / (2 * beta)
    assert value("ipo", target - 50, -50, -50, -50, beta=beta, average=False) == pytest.approx(0, abs=1e-20)
    moved = value("ipo", target + off - 50, -50, -50, -50, beta=beta, average=False)
    assert moved == pytest.approx(off**2, abs=1e-9)


@pytest.mark.parametrize("loss", ["sigmoid", "sigmoid_norm", "robust", "hinge", "cpo", "simpo", "orpo", "dpop"])
@settings(deadline=None)
@given(chosen=number, rejected=number, step=st.floats(0.1, 3))
def test_loss_falls_as_the_chosen_reply_gains_and_rises_with_the_rejected(loss, chosen, rejected, step):
    base = value(loss, chosen - step, rejected, -20, -20)
    assert value(loss, chosen, rejected, -20, -20) <= base
    assert value(loss, chosen - step, rejected + step / 10, -20, -20) >= base


def test_dpop_punishes_only_lost_likelihood():
    assert value("dpop", -5, -9, -6, -9) == value("dpo", -5, -9, -6, -9)
    assert value("dpop", -7, -19, -6, -9) > value("dpo", -7, -19, -6, -9)
    assert value("dpop", -7, -19, -6, -9, penalty=0.0) == value("dpo", -7, -19, -6, -9)


def test_exo_vanishes_where_the_policy_matches_the_target():
    margin = math.log(0.9 / 0.1) / 0.5
    assert value("exo_pair", margin - 9, -9, -9, -9, beta=0.5, label_smoothing=0.1) == pytest.approx(0, abs=1e-12)


def test_kto_reference_point_comes_from_the_other_side_clamped_and_without_gradient():
    chosen = torch.tensor([-4.0, -2.0], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([-6.0, -9.0], dtype=torch.float64)
    reference = torch.full((2,), -5.0, dtype=torch.float64)
    loss = preference_loss(PairLogProbs(chosen, rejected, reference, reference), "kto_pair", beta=1.0).loss
    # r_w = 1, 3 and r_l = -1, -4: z for chosen is max(0, -2.5) = 0, for rejected max(0, 2) = 2.
    expected = [((1 - s(1)) + (1 - s(2 + 1))) / 2, ((1 - s(3)) + (1 - s(2 + 4))) / 2]
    assert loss.tolist() == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(loss.sum(), chosen)
    assert gradient.tolist() == pytest.approx([-s(1) * s(-1) / 2, -s(3) * s(-3) / 2])


@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_margins_stay_finite(loss):
    chosen = torch.tensor([-1e4, -1e-9, -0.0], requires_grad=True)
    rejected = torch.tensor([-1e-9, -1e4, -0.0])
    n = torch.tensor([3, 3, 3])
    reference = torch.full((3,), -7.0)
    loss = preference_loss(PairLogProbs(chosen, rejected, reference, reference, n, n), loss).loss
    (gradient,) = torch.autograd.grad(loss.sum(), chosen)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()


GOOD = torch.tensor([-1.0, -2.0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((GOOD[:0], GOOD[:0]), "at least one"),
        ((GOOD, torch.tensor([-1.0, math.nan])), "rejected, pair 1: nan"),
        ((torch.tensor([-math.inf, -1.0]), GOOD), "chosen, pair 0: -inf"),
        ((GOOD, GOOD, GOOD), "ref_chosen and ref_rejected come together"),
        ((GOOD, GOOD, GOOD, GOOD, torch.tensor([3, 0]), torch.tensor([3, 3])), "chosen_lengths, pair 1: 0"),
    ],
)
def test_bad_pairs_are_named(columns, message):
    with pytest.raises(InputError, match=message):
        PairLogProbs(*columns)


def test_fields_of_unequal_length_are_refused():
    with pytest.raises((InputError, TypeCheckError), match="rejected"):  # whichever looks first
        PairLogProbs(GOOD, GOOD[:1])


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ("sigmod", {}, "did you mean sigmoid"),
        ("hinge", {"label_smoothing": 0.1}, "hinge loss has no option 'label_smoothing': it takes beta"),
        ("dpo", {"beta": 0.0}, "beta 0.0"),
        ("dpo", {"beta": math.nan}, "beta nan"),
        ("dpo", {"label_smoothing": 1.5}, r"\[0, 1\]"),
        ("dpo", {"soft_label": 1.5}, "outside"),
        ("dpo", {"soft_label": torch.tensor([0.5, 0.5, 0.5])}, "one per pair"),
        ("dpo", {"soft_label": 0.5, "label_smoothing": 0.1}, "give one of them"),
        ("robust", {"label_smoothing": 0.5}, r"\[0, 0.5\)"),
        ("exo_pair", {"label_smoothing": 0.0}, r"\(0, 1\)"),
        ("kto_pair", {"kl": -1.0}, "kl -1.0"),
        ("dpop", {"penalty": -1.0}, "penalty -1.0"),
    ],
)
def test_bad_options_are_named(loss, options, message):
    with pytest.raises(InputError, match=message):
        preference_loss(PairLogProbs(GOOD, GOOD, GOOD, GOOD), loss, **options)


def test_what_a_loss_needs_is_asked_for():
    for loss in WITH_REFERENCE:
        with pytest.raises(InputError, match="ref_chosen"):
            preference_loss(PairLogProbs(GOOD, GOOD), loss)
    for loss in ("ipo", "sigmoid_norm", "cpo", "simpo", "orpo"):
        with pytest.raises(InputError, match="chosen_lengths"):
            preference_loss(PairLogProbs(GOOD, GOOD, GOOD, GOOD), loss)
    with pytest.raises(InputError, match="at least 2 pairs"):
        value("kto_pair", -1, -2)


def test_windowed_mean_counts_tokens_that_it_does_not_add():
    log_probs = torch.tensor([[-1.0, -6.0, -5.0, math.nan], [-2.0, -0.5, -9.0, -3.0]], requires_grad=True)
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    result = windowed_mean(log_probs, mask, lo=-5.0)
    assert result.tolist() == pytest.approx([-6 / 3, -5.5 / 4])
    (gradient,) = torch.autograd.grad(result.sum(), log_probs)
    assert gradient.tolist() == [pytest.approx([1 / 3, 0, 1 / 3, 0]), pytest.approx([0.25, 0.25, 0, 0.25])]


def test_windowed_mean_without_cutoffs_is_the_mean_and_hi_cuts_likely_tokens():
    log_probs = torch.tensor([-0.25, -1.0, -4.75])
    mask = torch.ones(3, dtype=torch.bool)
    assert windowed_mean(log_probs, mask).item() == pytest.approx(-2)
    assert windowed_mean(log_probs, mask, hi=-0.5).item() == pytest.approx(-5.75 / 3)


def test_windowed_mean_refuses_empty_replies_and_windows():
    log_probs = torch.zeros(2, 3)
    with pytest.raises(InputError, match="no tokens"):
        windowed_mean(log_probs, torch.tensor([[True] * 3, [False] * 3]))
    with pytest.raises(InputError, match="is empty"):
        windowed_mean(log_probs, torch.ones(2, 3, dtype=torch.bool), lo=0.0, hi=-5.0)
