"""Samplers of masked models: their laws on a source that is known, their costs, given tokens, and bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from scipy import stats

from trued.errors import InputError
from trued.generation.masked.ancestral_steps import ancestral
from trued.generation.masked.confidence_order import confidence
from trued.generation.masked.exact_source import MarkovSource
from trued.generation.masked.first_hitting import Hits, first_hitting
from trued.generation.masked.model import FromLogits
from trued.generation.masked.parallel_hitting import parallel_first_hitting
from trued.generation.masked.sampler import MaskedSampler
from trued.generation.masked.schedule import LINEAR, SCHEDULES, Cosine
from trued.generation.masked.state import all_masked

SOURCE = MarkovSource(4, 3, seed=2)
COUNT = 8000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def start(count=COUNT, model=SOURCE, length=4):
    return all_masked(model, count, length)


def chi_square(ids):
    counts = torch.bincount(SOURCE.number(ids), minlength=81).double()
    expected = SOURCE.law() * len(ids)
    frequent = expected > 5
    rest = torch.tensor([float(counts[~frequent].sum())]), torch.tensor([float(expected[~frequent].sum())])
    seen, hoped = torch.cat([counts[frequent], rest[0].double()]), torch.cat([expected[frequent], rest[1].double()])
    return stats.chisquare(seen.numpy(), hoped.numpy()).pvalue


EXACT = {
    "first-hitting": lambda: first_hitting(SOURCE, start(), generator=seeded(1)),
    "by a race": lambda: first_hitting(SOURCE, start(), draw="gumbel64", generator=seeded(2)),
    "cosine": lambda: first_hitting(SOURCE, start(), schedule=Cosine(), generator=seeded(3)),
    "a call a token": lambda: parallel_first_hitting(SOURCE, start(), 4, generator=seeded(4)),
    "order 2, a call a token": lambda: parallel_first_hitting(
        SOURCE, start(), [1, 1, 1, 1], order=2, variant="correct", generator=seeded(5)
    ),
    "ancestral": lambda: ancestral(SOURCE, start(), 400, draw="two_stage", generator=seeded(6)),
    "ancestral by a race": lambda: ancestral(SOURCE, start(4000), 200, draw="gumbel64", generator=seeded(7)),
    "ancestral, geometric": lambda: ancestral(
        SOURCE, start(4000), 400, schedule=SCHEDULES["geometric"], draw="inverse_cdf64", generator=seeded(8)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_exact_samplers_have_the_sources_law(name):
    result = EXACT[name]()
    assert chi_square(result.ids) > 1e-3
    assert (result.law == "exact") == (not name.startswith("ancestral"))


SHARED = "tokens that share a call are independent given the rest"
SECOND = f"{SHARED}, each with logits of its own (order 2, "


@pytest.mark.parametrize(
    ("sampler", "law"),
    [
        (MaskedSampler(), "exact"),
        (MaskedSampler(steps=4), "exact"),
        (MaskedSampler(steps=4, order=2), "exact"),
        (MaskedSampler(steps=4, cut="time"), SHARED),
        (MaskedSampler(steps=2), SHARED),
        (MaskedSampler(steps=3), SHARED),
        (MaskedSampler(steps=2, order=2), f"{SECOND}extrapolate)"),
        (MaskedSampler(steps=2, order=2, variant="correct", top_p=0.9), f"{SECOND}correct); top-p 0.9"),
        (MaskedSampler("ancestral", steps=1), "1 step, whose tokens are independent given the rest"),
        (MaskedSampler("ancestral", draw="two_stage"), "1,024 steps, whose tokens are independent given the rest"),
        (MaskedSampler("confidence", steps=4, temperature=0.5),
         "the order is that of confidence, which no law of the model has; temperature 0.5"),
    ],
    ids=str,
)  # fmt: skip
def test_each_sampler_states_its_own_law(sampler, law):
    assert sampler.sample(SOURCE, start(5), generator=seeded()).law == law


def test_a_sampler_that_is_not_exact_on_the_source_does_not_say_so():
    for sampler in (MaskedSampler(steps=2), MaskedSampler(steps=2, order=2), MaskedSampler("ancestral", steps=1)):
        result = sampler.sample(SOURCE, start(), generator=seeded(3))
        assert chi_square(result.ids) < 1e-6
        assert result.law != "exact"


def test_one_gap_is_filled_exactly_by_any_number_of_steps():
    gap = torch.tensor([[0, 1, 3, 2]])
    for sampler in (MaskedSampler("ancestral", steps=1), MaskedSampler(steps=1), MaskedSampler(steps=1, cut="time")):
        assert sampler.sample(SOURCE, gap, generator=seeded()).law == "exact"


def reading(ids):
    """The source as a model that reads from left to right: each token given the one before it."""
    before = torch.nn.functional.pad(ids[:, :-1], (1, 0), value=3)
    rows = torch.cat([SOURCE.transition, SOURCE.initial[None]])[before].log()
    return torch.nn.functional.pad(rows, (0, 1), value=-math.inf)


CAUSAL = FromLogits(reading, 3, 4, causal=True)


def test_a_model_that_reads_from_left_to_right_is_filled_in_order():
    result = first_hitting(CAUSAL, start(), generator=seeded(1))
    assert chi_square(result.ids) > 1e-3
    assert result.law == "exact"
    assert bool((result.hit_times.diff(dim=1) < 0).all())
    # in random order its law is another one
    blind = FromLogits(reading, 3, 4)
    assert SOURCE.total_variation(first_hitting(blind, start(), generator=seeded(1)).ids) > 0.15
    shared = parallel_first_hitting(CAUSAL, start(9), 2, generator=seeded())
    assert shared.law == SHARED
    assert (shared.hit_times[:, 1] > shared.hit_times[:, 2]).all()


def test_a_model_that_reads_from_left_to_right_says_what_it_does_not_see():
    ahead, behind = torch.tensor([[0, 1, 3, 3]]), torch.tensor([[3, 3, 0, 1]])
    assert first_hitting(CAUSAL, ahead, generator=seeded()).law == "exact"
    assert "does not see what was given behind a gap" in first_hitting(CAUSAL, behind, generator=seeded()).law
    assert first_hitting(SOURCE, behind, generator=seeded()).law == "exact"


def test_a_model_that_reads_from_left_to_right_is_not_filled_in_another_order():
    hits = Hits(torch.tensor([[1, 0, 2, 3]]), torch.ones(1, 4).double(), torch.tensor([4]))
    calls = {
        "ancestral sampling fills in another order": lambda: ancestral(CAUSAL, start(1), 9, generator=seeded()),
        "confidence sampling fills in another order": lambda: confidence(CAUSAL, start(1), 9, generator=seeded()),
        r"use Hits\.in_order": lambda: first_hitting(CAUSAL, start(1), hits=hits, generator=seeded()),
    }
    for message, call in calls.items():
        with pytest.raises(InputError, match=message):
            call()


def test_hits_of_other_masks_are_refused_and_given_tokens_stay():
    given = torch.tensor([[0, 3, 3, 3], [3, 3, 3, 1]])
    of_others = {
        "hits of row 0 are of tokens that are given": given.flip(0) == 3,
        r"hits of \(2, 4\) positions, 8 of them masked": torch.ones(2, 4, dtype=torch.bool),
        r"hits of \(3, 4\) positions": torch.ones(3, 4, dtype=torch.bool),
    }
    for message, masked in of_others.items():
        hits = Hits.draw(masked, LINEAR, seeded())
        with pytest.raises(InputError, match=message):
            first_hitting(SOURCE, given, hits=hits, generator=seeded())
        with pytest.raises(InputError, match=message):
            parallel_first_hitting(SOURCE, given, 2, hits=hits, generator=seeded())
    fitting = Hits.draw(given == 3, LINEAR, seeded())
    ids = first_hitting(SOURCE, given, hits=fitting, generator=seeded()).ids
    assert torch.equal(ids[given != 3], given[given != 3])
    with pytest.raises(InputError, match="give one a position"):
        first_hitting(SOURCE, given, uniforms=torch.rand(2, 3), generator=seeded())


def test_tokens_that_share_a_call_lose_what_they_have_to_do_with_each_other():
    output = {n: parallel_first_hitting(SOURCE, start(), n, generator=seeded(n)) for n in (1, 2, 4)}
    tv = {n: SOURCE.total_variation(result.ids) for n, result in output.items()}
    assert tv[1] > tv[2] + 0.05 > tv[4] + 0.1
    assert chi_square(output[1].ids) < 1e-9
    # one call draws from the product of the marginals: known in closed form
    product = SOURCE.initial
    for _ in range(3):
        product = (product[:, None] * SOURCE.initial).flatten()
    assert tv[1] == pytest.approx(0.5 * float((product - SOURCE.law()).abs().sum()), abs=0.03)


def test_the_corrected_variant_restores_part_of_it_for_one_more_call():
    plain = parallel_first_hitting(SOURCE, start(), 1, generator=seeded(1))
    corrected = parallel_first_hitting(SOURCE, start(), 1, order=2, variant="correct", generator=seeded(2))
    assert SOURCE.total_variation(corrected.ids) < SOURCE.total_variation(plain.ids) - 0.05
    assert (plain.calls, corrected.calls) == (1, 2)


def test_extrapolation_continues_the_line_of_the_last_two_calls():
    """Logits that are a straight line in what was unmasked so far are met where they would be at the hit's own time."""
    slope, length = 3.0, 6

    def logits(ids):
        share = (ids != 2).double().mean(1)
        return torch.stack([share * slope, torch.zeros(len(ids)).double()], -1)[:, None].expand(-1, length, -1)

    model = FromLogits(lambda ids: torch.nn.functional.pad(logits(ids), (0, 1)), 2, 3)
    count = 20_000
    hits = Hits.draw(torch.ones(count, length, dtype=torch.bool), LINEAR, seeded(0))
    # times that fall evenly make time and the share of unmasked tokens the same axis
    hits = Hits(hits.order, (1 - torch.arange(length) / length).double().expand(count, -1), hits.counts)
    result = parallel_first_hitting(model, all_masked(model, count, length), 3, order=2, generator=seeded(1), hits=hits)
    first = (result.ids.gather(1, hits.order) == 0).double().mean(0)
    # parts of two hits each begin with 0, 2 and 4 tokens unmasked; the second hit of a later part is half a part on
    shares = torch.tensor([0, 0, 2, 2 + 1, 4, 4 + 1]) / length
    assert first.tolist() == pytest.approx((slope * shares).sigmoid().tolist(), abs=0.012)


def test_hitting_times_are_those_of_independent_positions():
    for schedule in (LINEAR, Cosine()):
        hits = Hits.draw(torch.ones(4000, 5, dtype=torch.bool), schedule, seeded(0))
        assert bool((hits.times.diff(dim=1) <= 0).all())
        # the k-th largest of five independent uniform q is Beta(5 - k, 1 + k)
        for k in range(5):
            q = schedule.masked(hits.times[:, k])
            assert stats.kstest(q.numpy(), stats.beta(5 - k, 1 + k).cdf).pvalue > 1e-3
    assert stats.chisquare(torch.bincount(hits.order[:, 0], minlength=5).numpy()).pvalue > 1e-3


def test_times_of_many_positions_do_not_underflow():
    hits = Hits.draw(torch.ones(2, 3000, dtype=torch.bool), LINEAR, seeded(0))
    assert bool((hits.times > 0).all())
    assert bool(hits.times.isfinite().all())
    assert sorted(hits.order[0].tolist()) == list(range(3000))


def test_calls_and_draws_are_what_the_formulas_say():
    count, length, steps = 300, 8, 64
    source = MarkovSource(length, 2)
    every = all_masked(source, count, length)
    fast = first_hitting(source, every, generator=seeded())
    assert (fast.calls, fast.draws, fast.evaluations.tolist()) == (length, count * length, [length] * count)
    slow = ancestral(source, every, steps, draw="gumbel64", generator=seeded())
    expected = steps * (1 - (1 - 1 / steps) ** length)
    assert float(slow.evaluations.double().mean()) == pytest.approx(expected, abs=0.15)
    # a position is masked at the beginning of (steps + 1) / 2 steps on average
    assert slow.draws / count == pytest.approx(length * (steps + 1) / 2, rel=0.03)
    eager = ancestral(source, every[:5], steps, cache=False, draw="two_stage", generator=seeded())
    assert int(eager.evaluations.max()) > 2 * length


def test_the_hits_of_ancestral_sampling_are_on_its_grid():
    result = ancestral(SOURCE, start(500), 10, draw="two_stage", generator=seeded())
    grid = result.hit_times * 10
    assert torch.allclose(grid, grid.round())
    assert stats.chisquare(torch.bincount(grid.round().long().flatten(), minlength=10).numpy()).pvalue > 1e-3


def test_reading_in_order_fills_each_rows_gaps_from_left_to_right():
    masked = torch.tensor([[True, False, True, True], [False, False, False, True], [False] * 4])
    hits = Hits.in_order(masked)
    assert hits.counts.tolist() == [3, 1, 0]
    assert hits.order[0, :3].tolist() == [0, 2, 3]
    assert hits.order[1, 0] == 3
    assert hits.times[0].tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])
    given = torch.tensor([[3, 1, 3, 3], [0, 1, 2, 3], [2, 1, 0, 0]])
    ids = first_hitting(SOURCE, given, hits=hits, generator=seeded()).ids
    assert torch.equal(ids[~masked], given[~masked])
    assert int(ids.max()) < 3


def test_a_timed_model_is_told_the_time_and_asked_in_every_step():
    times: list[float] = []

    def logits(ids, time):
        times.append(float(time[0]))
        return torch.zeros(*ids.shape, 3)

    model = FromLogits(logits, 2, 3, timed=True)
    ancestral(model, all_masked(model, 1, 30), 4, generator=seeded())
    assert times == [1.0, 0.75, 0.5, 0.25]
    times.clear()
    result = first_hitting(model, all_masked(model, 1, 5), generator=seeded())
    assert times == pytest.approx(sorted(result.hit_times[0].tolist(), reverse=True))
    times.clear()
    parallel_first_hitting(model, all_masked(model, 1, 6), 2, generator=seeded())
    assert len(times) == 2
    assert times[0] > times[1]


SAMPLERS = [
    MaskedSampler(), MaskedSampler(steps=2), MaskedSampler(steps=2, order=2), MaskedSampler(steps=2, cut="time"),
    MaskedSampler(steps=2, order=2, variant="correct"), MaskedSampler("ancestral", steps=9, draw="gumbel32"),
    MaskedSampler("ancestral", steps=9, draw="two_stage"), MaskedSampler("confidence", steps=2),
]  # fmt: skip


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@budget(max_examples=15)
@given(
    rows=st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=4), seed=st.integers(0, 9)
)
def test_given_tokens_stay_and_nothing_stays_masked(sampler, rows, seed):
    ids = torch.tensor(rows)
    most = int((ids == 3).sum(1).max())
    if sampler.steps is not None and sampler.sampler == "first-hitting" and sampler.steps > most > 0:
        return
    before = ids.clone()
    first, second = (sampler.sample(SOURCE, ids, generator=seeded(seed)) for _ in range(2))
    assert torch.equal(ids, before)
    assert bool((first.ids != 3).all())
    assert torch.equal(first.ids[ids != 3], ids[ids != 3])
    assert torch.equal(first.ids, second.ids)
    if sampler.sampler != "confidence":
        assert torch.equal(first.hit_times.isnan(), ids != 3)
    if most == 0:
        assert first.calls == first.draws == 0


def test_pairs_share_their_noise():
    hits = Hits.draw(torch.ones(50, 4, dtype=torch.bool), LINEAR, seeded(0))
    u = torch.rand(50, 4, generator=seeded(1), dtype=torch.float64)
    first, second = (first_hitting(SOURCE, start(50), generator=seeded(s), hits=hits, uniforms=u) for s in (2, 3))
    assert torch.equal(first.ids, second.ids)
    assert not torch.equal(first.ids, first_hitting(SOURCE, start(50), generator=seeded(2), hits=hits).ids)


def test_a_temperature_cools_tokens_and_not_times():
    cold, warm = (
        ancestral(SOURCE, start(2000), 20, temperature=T, draw="gumbel64", generator=seeded()) for T in (0.05, 1)
    )
    assert cold.law == "20 steps, whose tokens are independent given the rest; temperature 0.05"
    assert float(cold.hit_times.mean()) == pytest.approx(float(warm.hit_times.mean()), abs=0.02)
    seen = [len(torch.unique(SOURCE.number(result.ids))) for result in (cold, warm)]
    assert seen[0] < seen[1]
    assert first_hitting(SOURCE, start(9), top_p=0.5, generator=seeded()).law == "top-p 0.5"
    assert first_hitting(SOURCE, start(9), draw="gumbel32", generator=seeded()).law == "32-bit Gumbel noise"


def test_confidence_takes_the_surest_first_and_follows_the_cosine():
    sure = torch.tensor([3.0, 0.1, 5.0, 1.0, 4.0, 2.0, 0.2, 6.0])
    masked_counts: list[int] = []

    def logits(ids):
        masked_counts.append(int((ids == 2).sum()))
        return torch.stack([sure, torch.zeros(8), torch.zeros(8)], -1)[None]

    model = FromLogits(logits, 2, 3)
    confidence(model, all_masked(model, 1, 8), 4, choice_temperature=0.0, temperature=0.1, generator=seeded())
    assert masked_counts == [8, *(math.floor(8 * math.cos(math.pi / 2 * k / 4)) for k in (1, 2, 3))]


def bad(logits):
    return FromLogits(lambda ids: logits.expand(*ids.shape, -1), 2, 3)


def test_bad_input_is_one_sentence():
    every = start(2)
    cases = {
        "mask_id is 3": lambda: first_hitting(FromLogits(lambda i: i, 3, 3), every, generator=seeded()),
        "expected ids": lambda: first_hitting(SOURCE, torch.zeros(2, 4), generator=seeded()),
        "start holds ids up to 9": lambda: first_hitting(SOURCE, torch.full((1, 4), 9), generator=seeded()),
        "steps is 0: ancestral": lambda: ancestral(SOURCE, every, 0, generator=seeded()),
        "steps is 0: first-hitting": lambda: parallel_first_hitting(SOURCE, every, 0, generator=seeded()),
        "at least 1, and 0 or more": lambda: confidence(SOURCE, every, 0, generator=seeded()),
        r"counts \[1, 2\] add up to 3": lambda: parallel_first_hitting(SOURCE, every, [1, 2], generator=seeded()),
        "cut 'tokens'": lambda: parallel_first_hitting(SOURCE, every, 2, cut="tokens", generator=seeded()),  # pyright: ignore
        "temperature is 0": lambda: first_hitting(SOURCE, every, temperature=0.0, generator=seeded()),
        "top_p is 0.0: it": lambda: first_hitting(SOURCE, every, top_p=0.0, generator=seeded()),
        "draw is 'gumbel'": lambda: first_hitting(SOURCE, every, draw="gumbel", generator=seeded()),  # pyright: ignore
        "gave NaN": lambda: first_hitting(
            bad(torch.tensor([math.nan, 0, 0])), torch.full((1, 4), 2), generator=seeded()
        ),
        "(?s)NaN|nothing but -inf": lambda: first_hitting(
            bad(torch.tensor([-math.inf, -math.inf, 0])), torch.full((1, 4), 2), generator=seeded()
        ),
        "batch 0": lambda: all_masked(SOURCE, 0, 4),
        "did you mean ancestral": lambda: MaskedSampler("ancestrel"),  # pyright: ignore
        "order 2 is for several": lambda: MaskedSampler(order=2),
        "steps is -1": lambda: MaskedSampler(steps=-1),
        "steps is 2.7": lambda: MaskedSampler(steps=2.7),  # pyright: ignore
        "top_p is 0": lambda: MaskedSampler(top_p=0.0),
        "temperature is inf": lambda: MaskedSampler(temperature=math.inf),
        "order is 3": lambda: MaskedSampler(order=3),  # pyright: ignore
        "did you mean correct": lambda: MaskedSampler(variant="corect"),  # pyright: ignore
        "cut is 'tokens'": lambda: MaskedSampler(cut="tokens"),  # pyright: ignore
        "did you mean linear": lambda: MaskedSampler(schedule="liner"),
    }
    for message, call in cases.items():
        with pytest.raises(InputError, match=message):
            call()


def test_more_calls_than_tokens_warn_and_a_finished_prompt_comes_back():
    with pytest.warns(UserWarning, match="4 calls are exact already"):
        result = parallel_first_hitting(SOURCE, start(3), 9, generator=seeded())
    assert result.calls == 4
    done = torch.tensor([[0, 1, 2, 0]])
    assert torch.equal(MaskedSampler(steps=3).sample(SOURCE, done, generator=seeded()).ids, done)
