"""Categorical draws: every exact way has the law, the inexact one has its own, and bad rows are named."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trued.errors import InputError
from trued.learn.categorical import DRAWS, EXACT, _gumbel, nucleus, sample_categorical, sample_or_stay

P = torch.tensor([0.4, 0.0, 0.25, 0.2, 0.1, 0.05, 0.0])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def p_value(drawn, p, total=None):
    possible = p > 0
    counts = torch.bincount(drawn, minlength=len(p))
    assert int(counts[~possible].sum()) == 0
    return stats.chisquare(
        counts[possible].numpy(), (p[possible] / p[possible].sum() * int(counts.sum())).numpy()
    ).pvalue


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("classes", [7, 300])  # within one block of the inversion, and over several
def test_frequencies_are_the_probabilities(draw, classes):
    p = P.double() if classes == 7 else torch.cat([torch.zeros(130), torch.arange(170.0)]).double()
    p = p / p.sum()
    drawn = sample_categorical(p.log().float().expand(20_000, -1), draw=draw, generator=seeded(3))
    assert p_value(drawn, p) > 1e-3


@pytest.mark.parametrize("draw", DRAWS)
def test_staying_is_one_class_more(draw):
    p = (P / P.sum()).double()
    drawn = sample_or_stay(p.log().float().expand(20_000, -1), 0.3, draw=draw, generator=seeded(4))
    assert p_value(drawn, torch.cat([0.3 * p, torch.tensor([0.7]).double()])) > 1e-3
    assert (sample_or_stay(p.log().expand(9, -1), 0.0, draw=draw, generator=seeded()) == 7).all()
    assert (sample_or_stay(p.log().expand(9, -1), 1.0, draw=draw, generator=seeded()) < 7).all()


def test_the_noise_ends_early_in_32_bits_and_not_where_it_is_corrected(monkeypatch):
    """The ends of what the generators give, made certain: the largest and the smallest uniform numbers."""

    def ends(*uniforms):
        monkeypatch.setattr(torch, "rand", lambda *_, dtype=torch.float32, **__: torch.tensor(uniforms, dtype=dtype))
        return lambda draw: _gumbel((len(uniforms),), draw, None, torch.device("cpu")).tolist()

    assert ends(1 - 2.0**-24, 0.0)("gumbel32") == [pytest.approx(16.6355, abs=1e-4), -math.inf]
    assert ends(1 - 2.0**-53, 0.0)("gumbel64") == [pytest.approx(36.7368, abs=1e-4), -math.inf]
    tail = ends(2.0**-53, 2.0**-30, 0.5, 0.0)("log1p32")
    assert tail[:3] == [pytest.approx(-math.log(-math.log1p(-u)), rel=1e-6) for u in (2.0**-53, 2.0**-30, 0.5)]
    assert math.isfinite(tail[3])


def test_a_class_that_needs_more_noise_than_there_is_never_wins(monkeypatch):
    """A class of probability 2^-27 with the best noise there is, against a sure one with noise 0."""
    log_probs = torch.tensor([[-27 * math.log(2), 0.0]])
    best = {"gumbel32": 1 - 2.0**-24, "gumbel64": 1 - 2.0**-53}
    won = {}
    for draw, u in best.items():
        monkeypatch.setattr(
            torch, "rand", lambda *_, dtype=torch.float32, u=u, **__: torch.tensor([[u, math.exp(-1)]], dtype=dtype)
        )
        won[draw] = int(sample_categorical(log_probs, draw=draw, generator=seeded()))  # pyright: ignore[reportArgumentType]
    assert won == {"gumbel32": 1, "gumbel64": 0}


def test_ties_of_32_bit_noise_go_to_the_lower_class():
    noise = {d: _gumbel((1 << 21,), d, seeded(2), torch.device("cpu")) for d in ("gumbel32", "gumbel64")}
    high = {d: n[n > 8] for d, n in noise.items()}
    assert len(high["gumbel32"].unique()) < len(high["gumbel32"])  # a grid of 2^24 numbers: equal keys happen
    assert len(high["gumbel64"].unique()) == len(high["gumbel64"])
    equal = torch.zeros(1, 4)
    assert int(equal.max(-1).indices) == 0


@given(
    logits=st.lists(st.floats(-30, 30), min_size=1, max_size=300),
    u=st.floats(0, 1, exclude_max=True),
)
def test_inversion_finds_where_the_running_sum_passes_u(logits, u):
    row = torch.tensor([logits], dtype=torch.float64)
    got = int(sample_categorical(row, uniforms=torch.tensor([u])))
    sums = row.softmax(-1)[0].cumsum(-1)
    low = float(sums[got - 1]) if got else 0.0
    assert low - 1e-9 <= u * float(sums[-1]) <= float(sums[got]) + 1e-9
    assert float(row.softmax(-1)[0, got]) > 0


def test_inversion_never_falls_off_the_end_or_onto_an_impossible_class():
    row = torch.full((1, 400), -math.inf)
    row[0, [3, 200]] = 0.0
    ends = torch.tensor([0.0, 0.5 - 1e-17, 0.5, 1 - 2.0**-53])
    assert sample_categorical(row.expand(4, -1), uniforms=ends).tolist() in ([3, 3, 200, 200], [3, 200, 200, 200])


@pytest.mark.parametrize("draw", DRAWS)
def test_half_precision_shape_temperature_and_seed(draw):
    logits = torch.randn(2, 3, 50, generator=seeded()).bfloat16()
    first = sample_categorical(logits, draw=draw, generator=seeded(5), temperature=0.7)
    assert first.shape == (2, 3)
    assert torch.equal(first, sample_categorical(logits, draw=draw, generator=seeded(5), temperature=0.7))
    cold = sample_categorical(logits.float(), draw=draw, generator=seeded(6), temperature=1e-4)
    assert torch.equal(cold, logits.float().argmax(-1))


def test_a_temperature_is_a_power_of_the_law():
    p = P[P > 0].double()
    drawn = sample_categorical(p.log().expand(20_000, -1), temperature=0.5, generator=seeded(7))
    assert p_value(drawn, p**2 / (p**2).sum()) > 1e-3


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize(("bad", "message"), [(math.nan, "NaN"), (math.inf, r"\+inf"), (-math.inf, "nothing but -inf")])
def test_rows_from_which_nothing_can_be_drawn_are_named(draw, bad, message):
    logits = torch.zeros(3, 5)
    logits[1] = bad
    with pytest.raises(InputError, match=f"row 1 of 3 has {message}"):
        sample_categorical(logits, draw=draw, generator=seeded())


def test_settings_that_do_not_fit():
    row = torch.zeros(1, 3)
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="temperature is"):
            sample_categorical(row, temperature=temperature, generator=seeded())
    with pytest.raises(InputError, match=r"'gumbel23'.*did you mean gumbel32"):
        sample_categorical(row, draw="gumbel23", generator=seeded())  # pyright: ignore
    with pytest.raises(InputError, match="neither a generator nor uniforms"):
        sample_categorical(row)
    with pytest.raises(InputError, match="uniforms go with"):
        sample_categorical(row, draw="gumbel64", uniforms=torch.zeros(1))
    with pytest.raises(InputError, match="move is"):
        sample_or_stay(row, 1.5, generator=seeded())
    with pytest.raises(InputError, match="top_p is 0"):
        nucleus(row, 0.0)
    assert "gumbel32" not in EXACT


def test_a_nucleus_keeps_the_fewest_classes_that_reach_its_share():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    assert nucleus(logits, 0.69).isfinite().tolist() == [[False, True, False, True]]
    assert nucleus(logits, 0.71).isfinite().tolist() == [[False, True, True, True]]
    assert torch.equal(nucleus(logits, 1.0), logits)


MEASURED = """
import resource, sys, torch
from trued.learn.categorical import sample_categorical
rows, classes = int(sys.argv[1]), int(sys.argv[2])
generator = torch.Generator().manual_seed(0)
logits = torch.randn(rows, classes, generator=generator)
sample_categorical(logits[:2], generator=generator)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sample_categorical(logits, generator=generator)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (logits.numel() * 4))
"""


@pytest.mark.parametrize(("rows", "classes"), [(8_000_000, 2), (2_000_000, 8), (120_000, 129), (80, 200_000)])
def test_the_default_draw_takes_at_most_four_times_the_memory_of_its_input(rows, classes):
    done = subprocess.run([sys.executable, "-c", MEASURED, str(rows), str(classes)], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert float(done.stdout) <= 4


@pytest.mark.parametrize("classes", [1, 2, 3, 127, 128, 129, 300])
def test_inversion_has_the_law_whatever_the_number_of_classes(classes):
    p = torch.rand(classes, generator=seeded(classes)).double().add(0.05)
    p /= p.sum()
    u = (torch.arange(40_000).double() + 0.5) / 40_000
    drawn = torch.bincount(sample_categorical(p.log().expand(40_000, -1), uniforms=u), minlength=classes)
    assert (drawn / 40_000 - p).abs().max() <= 1 / 40_000


def test_logits_without_a_class_are_refused():
    with pytest.raises(InputError, match="have no class"):
        sample_categorical(torch.zeros(3, 0), generator=seeded())


def test_no_rows_give_no_draws():
    assert sample_categorical(torch.zeros(0, 5), generator=seeded()).shape == (0,)
    assert sample_or_stay(torch.zeros(0, 5), 0.5, generator=seeded()).shape == (0,)
