"""Which weights go back, against the rule written out one weight at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trued.errors import InputError
from trued.language.repair.alignment_recovery.selection import choose, known, scores


def model(seed, shapes=((3, 4), (2, 5), (6,))):
    generator = torch.Generator().manual_seed(seed)
    parameters, goal = {}, {}
    for number, shape in enumerate(shapes):
        parameter = torch.nn.Parameter(torch.randn(shape, generator=generator))
        # Coarse gradients, so that there are ties and zeros.
        parameter.grad = torch.randint(-3, 4, shape, generator=generator).float()
        parameters[f"p{number}"] = parameter
        moved = torch.rand(shape, generator=generator) < 0.7
        goal[f"p{number}"] = parameter.detach() + moved * torch.randn(shape, generator=generator)
    return parameters, goal


def promised(parameters, goal, rule):
    """(score, name, index) of every weight that may go back, in order of index."""
    for name, parameter in parameters.items():
        now, want, gradient = (x.detach().flatten().tolist() for x in (parameter, goal[name], parameter.grad))
        for index, (a, b, g) in enumerate(zip(now, want, gradient, strict=True)):
            same_way = (a > b and g > 0) or (a < b and g < 0)
            score = {"sign": abs(g) if same_way else 0, "gradient": abs(g) * (a != b), "change": abs(a - b)}[rule]
            if score:
                yield score, name, index


@given(st.integers(0, 1000), st.integers(1, 30), st.sampled_from(["sign", "gradient", "change"]))
@settings(max_examples=40)
def test_exactly_k_of_the_highest_scores(seed, k, rule):
    parameters, goal = model(seed)
    best = sorted(promised(parameters, goal, rule), key=lambda item: -item[0])[:k]
    result = choose(parameters, goal, k, rule=rule)
    assert sorted((name, i) for name, places in result.items() for i in places.tolist()) == sorted(b[1:] for b in best)
    assert all(places.tolist() == sorted(places.tolist()) and len(places) for places in result.values())
    again = choose(parameters, goal, k, rule=rule, consume=True)
    assert again.keys() == result.keys()
    assert all(torch.equal(again[name], result[name]) for name in result)


def test_a_chosen_weight_goes_down_the_gradient():
    parameters, goal = model(3)
    for name, places in choose(parameters, goal, 10).items():
        step = (goal[name] - parameters[name].detach()).view(-1)[places]
        assert (step * parameters[name].grad.view(-1)[places] < 0).all()


def test_a_tiny_gradient_times_a_tiny_change_is_no_zero():
    now, goal = torch.tensor([1e-30]), torch.tensor([0.0])
    assert scores(now, goal, torch.tensor([1e-30]), "sign").tolist() == [pytest.approx(1e-30)]
    assert scores(now, goal, torch.tensor([-1e-30]), "sign").tolist() == [0.0]


def test_random_is_random_by_seed_and_touches_only_what_differs():
    parameters, goal = model(1, shapes=((40, 50),))
    differs = (parameters["p0"].detach() != goal["p0"]).view(-1)
    first, again, different = (choose(parameters, goal, 100, rule="random", seed=s)["p0"] for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, different)
    assert len(first) == 100
    assert differs[first].all()
    assert len(set(first.tolist()) & set(different.tolist())) < 30


def test_units_are_chosen_whole_by_mean_score():
    parameters, goal = model(5)
    for granularity in ("neuron", "lora"):
        result = choose(parameters, goal, 6, granularity=granularity)
        units = []
        for name, parameter in parameters.items():
            rows = len(parameter) if granularity == "neuron" else 1
            score = scores(parameter.detach(), goal[name], parameter.grad, "sign").view(rows, -1).mean(1)
            differs = (parameter.detach() != goal[name]).view(rows, -1)
            size = differs.shape[1]
            units += [
                (-float(score[r]), name, r, [r * size + i for i in differs[r].nonzero()[:, 0].tolist()])
                for r in range(rows) if score[r] > 0
            ]  # fmt: skip
        units.sort(key=lambda unit: unit[0])
        expected, covered = set(), 0
        for _, name, _, places in units:
            if covered >= 6:
                break
            expected |= {(name, place) for place in places}
            covered += len(places)
        assert {(name, i) for name, places in result.items() for i in places.tolist()} == expected


def test_fewer_than_k_are_all_chosen_and_none_is_none():
    parameters, goal = model(2)
    count = len(list(promised(parameters, goal, "sign")))
    assert sum(map(len, choose(parameters, goal, 10_000).values())) == count
    for parameter in parameters.values():
        parameter.grad.zero_()
    assert choose(parameters, goal, 3) == {}
    assert choose(parameters, goal, 3, granularity="neuron") == {}


def test_unknown_names_and_missing_gradients_are_named():
    parameters, goal = model(0)
    with pytest.raises(InputError, match=r"unknown rule 'signs': choose one of .*did you mean sign"):
        known("signs", "scalar")
    with pytest.raises(InputError, match="unknown granularity 'row'"):
        known("sign", "row")
    parameters["p1"].grad = None
    with pytest.raises(InputError, match="ranks by gradient"):
        choose(parameters, goal, 3)
    assert choose(parameters, goal, 3, rule="change")
    parameters["p1"].grad = torch.full((2, 5), float("inf"))
    with pytest.raises(InputError, match="infinite or not a number"):
        choose(parameters, goal, 3)
