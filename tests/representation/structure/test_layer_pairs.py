"""Heads on layer pairs: what is trained on what, and a grid against training each pair by hand."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from trued.errors import InputError
from trued.learn.fit.loop import FitConfig
from trued.learn.similarity import mutual_knn
from trued.representation.structure.layer_pairs import align_layers, layer_grid
from trued.representation.structure.layers import LayerFeatures, random_layers
from trued.representation.structure.low_data import Split
from trued.representation.structure.train import Aligner

SIDES = {"image": random_layers(1), "text": random_layers(2)}
SPLIT = Split.anew(160, validation=30, test=40, train=90)
ALIGNER = Aligner(dim=6, lam=0.0, fit=FitConfig(steps=40, lr=1e-2, batch_size=90, seed=3, validate_every=20))


def test_heads_learn_on_the_training_rows_and_are_measured_on_the_test_rows():
    layers = {"image": "layer 1", "text": "layer 1"}
    reached = align_layers(SIDES, layers, SPLIT, ALIGNER)
    record = reached.record()
    assert record["layers"] == ["layer 1", "layer 1"]
    assert record["pairs"] == 90
    assert len(record["recall"]) == len(record["trustworthiness"]) == len(record["continuity"]) == 40
    assert reached.quality.recall.mean() > 3 * 5 / 40  # three times a guess
    assert 1 < record["rank"] <= 6
    assert record["seconds"] > 0

    spoilt = {side: LayerFeatures({name: x.clone() for name, x in SIDES[side].layers.items()}) for side in SIDES}
    for side in spoilt.values():
        for x in side.layers.values():
            x[SPLIT.test] = torch.randn(40, x.shape[1], generator=torch.Generator().manual_seed(9))
    assert align_layers(spoilt, layers, SPLIT, ALIGNER).quality.recall.mean() < reached.quality.recall.mean()


def test_the_closed_form_takes_no_time_and_few_pairs_are_few():
    aligner = Aligner(head="csa", dim=6, lam=0.0, fit=ALIGNER.fit)
    reached = align_layers(SIDES, {"image": "layer 1", "text": "layer 2"}, SPLIT.first(50), aligner)
    assert reached.seconds == 0
    assert reached.pairs == 50


def test_a_penalty_towards_shuffled_neighbourhoods_keeps_fewer_of_the_pairs_own():
    aligner = Aligner(dim=6, lam=100.0, fit=ALIGNER.fit)
    layers = {"image": "layer 1", "text": "layer 1"}
    own = align_layers(SIDES, layers, SPLIT, aligner)
    mixed = SPLIT.train[torch.randperm(90, generator=torch.Generator().manual_seed(0))]
    shuffled = align_layers(SIDES, layers, SPLIT, aligner, reference=mixed)
    assert own.quality.mean("trustworthiness").mean() > shuffled.quality.mean("trustworthiness").mean()


def test_a_grid_is_every_pair_of_layers_in_turn():
    tracked = []
    grid = layer_grid(
        SIDES, SPLIT, ALIGNER, counts=(2, 3), neighbours=8, progress=lambda pairs: tracked.extend(pairs) or pairs
    )
    assert grid.layers == (["layer 0", "layer 2"], ["layer 0", "layer 1", "layer 2"])
    assert tracked[1] == ("layer 0", "layer 1")
    alone = align_layers(SIDES, {"image": "layer 2", "text": "layer 0"}, SPLIT, ALIGNER, neighbours=8)
    assert float(grid.recall[3]) == pytest.approx(float(alone.quality.recall.mean()))
    rows = SPLIT.train
    expected = mutual_knn(SIDES["image"]["layer 2"][rows], SIDES["text"]["layer 0"][rows], 8)
    assert float(grid.scores["mutual_knn"][3]) == pytest.approx(expected)
    rho = stats.spearmanr(grid.scores["cka"], grid.recall).statistic
    assert grid.rank_correlation("cka") == pytest.approx(rho)
    turned = stats.spearmanr(grid.scores["cka"].flip(0), grid.recall).statistic
    assert grid.rank_correlation("cka", torch.arange(5, -1, -1)) == pytest.approx(turned)


def test_a_grid_is_of_two_sides():
    with pytest.raises(InputError, match="1 sides"):
        layer_grid({"image": SIDES["image"]}, SPLIT, ALIGNER, counts=(1, 1))


def test_the_rows_that_are_validated_on_are_the_same_for_every_seed_and_no_row_stands_twice():
    first, second = (Split.anew(60, validation=10, test=20, train=30, seed=seed) for seed in (0, 1))
    assert torch.equal(first.validation, second.validation)
    assert not torch.equal(first.test, second.test)
    for split in (first, second):
        assert torch.cat([split.train, split.validation, split.test]).sort().values.tolist() == list(range(60))
    assert torch.equal(first.first(7).train, first.train[:7])
    assert torch.equal(first.first(7).test, first.test)
    with pytest.raises(InputError, match="60 pairs: 10 for development, 20 to test and 31 to train on are 61"):
        Split.anew(60, validation=10, test=20, train=31)
