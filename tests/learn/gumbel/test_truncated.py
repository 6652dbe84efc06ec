"""The law of a race whose noise ends early: against integrals, simulation, and what is known at its ends."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from trued.errors import InputError
from trued.learn.gumbel.truncated import (
    effective_temperature,
    gumbel_limit,
    truncated_gumbel_probs,
    truncated_move_law,
)

weights = st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=8)


def law(values):
    p = torch.tensor(values, dtype=torch.float64)
    return p / p.sum()


def by_integral(p, M):
    """P(n wins) as an integral over its key, with the truncated Gumbel's own density and distribution."""
    c = math.exp(-M)

    def below(key, share):  # P(log p + G <= key) for G <= M
        return 1.0 if key >= math.log(share) + M else math.exp(c - share * math.exp(-key))

    def density(key, share):
        return share * math.exp(-key) * math.exp(c - share * math.exp(-key))

    result = []
    for n, share in enumerate(p):
        others = [other for k, other in enumerate(p) if k != n]
        corners = sorted({math.log(other) + M for other in p if math.log(other) < math.log(share)})
        end = math.log(share) + M
        value, _ = integrate.quad(
            lambda key, share=share, others=others: density(key, share) * math.prod(below(key, o) for o in others),
            end - 60, end, points=corners or None, limit=400,
        )  # fmt: skip
        result.append(value)
    return result


@pytest.mark.parametrize("M", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("p", [[0.7, 0.2, 0.1], [0.25, 0.25, 0.5], [0.001, 0.009, 0.09, 0.9]])
def test_it_is_the_integral_over_the_winners_key(p, M):
    result = truncated_gumbel_probs(torch.tensor(p).double(), M)
    assert result.tolist() == pytest.approx(by_integral(p, M), abs=1e-7)


def test_it_is_what_such_a_race_draws():
    p, M = law([5, 3, 1, 0.5, 0.0]), 1.0
    u = torch.rand(200_000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = -(-(u * math.exp(-math.exp(-M))).log()).log()  # uniform below the value at which the noise is M
    counts = torch.bincount((noise + p.log()).argmax(-1), minlength=5)
    result = truncated_gumbel_probs(p, M)
    assert float(result[4]) == 0
    assert stats.chisquare(counts[:4].numpy(), 200_000 * result[:4].numpy()).pvalue > 1e-3


@given(weights, st.floats(-1.0, 40.0))
def test_it_is_a_law_that_favours_large_classes(values, M):
    p = law(values)
    result = truncated_gumbel_probs(p, M)
    assert float(result.sum()) == pytest.approx(1.0, abs=1e-9)
    factor = (result / p)[p.argsort()]
    assert bool((factor.diff() >= -1e-9).all())


@given(weights)
def test_without_an_end_it_is_the_law_itself(values):
    p = law(values)
    assert truncated_gumbel_probs(p, 60.0).tolist() == pytest.approx(p.tolist(), rel=1e-9)
    assert truncated_gumbel_probs(p.flip(0).expand(2, -1), 1.0)[1].flip(0).tolist() == pytest.approx(
        truncated_gumbel_probs(p, 1.0).tolist(), rel=1e-9
    )


@pytest.mark.parametrize("M", [math.inf, 750.0, 60.0])
def test_noise_without_an_end_leaves_classes_of_probability_0_and_all_others_as_they_are(M):
    p = torch.tensor([[0, 0.25, 0.75], [0.75, 0, 0.25], [0, 0, 1]]).double()
    assert torch.equal(truncated_gumbel_probs(p, M) == 0, p == 0)
    assert torch.allclose(truncated_gumbel_probs(p, M), p, rtol=1e-12)


def test_an_end_that_is_no_number_is_refused():
    for M in (math.nan, -math.inf, -701.0):
        with pytest.raises(InputError, match=f"M is {M}"):
            truncated_gumbel_probs(law([1, 2]), M)
    assert truncated_gumbel_probs(law([1, 2]), -699.0).tolist() == [0.0, 1.0]  # only the largest can win


def test_the_limits_of_the_types():
    assert gumbel_limit(torch.float32) == pytest.approx(16.6355, abs=1e-4)
    assert gumbel_limit(torch.float64) == pytest.approx(36.7368, abs=1e-4)
    assert gumbel_limit() == pytest.approx(-math.log(-math.log(1 - 2.0**-24)), rel=1e-6)
    with pytest.raises(InputError, match=r"torch\.float16"):
        gumbel_limit(torch.float16)


@pytest.mark.parametrize(
    ("steps", "entropy", "ratio"), [(1, 5.38, 1.00), (64, 4.82, 0.93), (1024, 4.04, 0.82), (4096, 3.57, 0.75)]
)
def test_zipf_over_a_large_vocabulary(steps, entropy, ratio):
    """Figures worked out once by hand for Zipf(1.2) over 50,257 classes that share a mass of 1/N; exact is 5.40."""
    p = torch.arange(1, 50_258, dtype=torch.float64) ** -1.2
    p /= p.sum()
    step = truncated_gumbel_probs(torch.cat([p / steps, torch.tensor([1 - 1 / steps]).double()]))[:-1]
    drawn = step / step.sum()
    possible = drawn > 0
    assert float(-(drawn[possible] * drawn[possible].log()).sum()) == pytest.approx(entropy, abs=0.006)
    assert float(step.sum()) * steps == pytest.approx(ratio, abs=0.006)


def test_a_state_that_is_left_follows_its_steps():
    p = law([6, 3, 1])
    moves = [0.1, 0.5, 1.0]
    exact, left = truncated_move_law(p, moves, 60.0)
    assert exact.tolist() == pytest.approx(p.tolist(), abs=1e-9)
    assert left.tolist() == pytest.approx(moves, abs=1e-9)
    cut, left = truncated_move_law(p, moves, 1.0)
    assert float(cut.sum()) == pytest.approx(1.0)
    assert float(left[0]) < 0.1  # staying is the largest class
    assert float(cut[0]) > float(p[0])


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=8), st.floats(0.3, 3.0))
def test_the_temperature_of_a_tempered_law_is_found(values, T):
    p = law(values)
    if float(p.log().std()) < 1e-3:
        return  # every temperature gives the uniform law
    assert effective_temperature((p.log() / T).softmax(0), p) == pytest.approx(T, rel=1e-4)


def test_temperatures_at_the_ends_and_of_no_laws():
    p = law([6, 3, 1])
    assert effective_temperature(torch.tensor([1.0, 0, 0]).double(), p) == 0.0
    assert effective_temperature(law([1, 1, 1]), p) == math.inf
    assert effective_temperature(truncated_gumbel_probs(p, 0.5), p) < 1
    with pytest.raises(InputError, match="mass where true has none"):
        effective_temperature(p, law([1, 1, 0]))
    with pytest.raises(InputError, match="p is no distribution"):
        truncated_gumbel_probs(torch.tensor([0.5, 0.2]))
    with pytest.raises(InputError, match="drawn is no distribution"):
        effective_temperature(torch.tensor([-0.5, 1.5, 0]).double(), p)
