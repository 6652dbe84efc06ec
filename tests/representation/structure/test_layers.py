"""Layers' features: kept and read back, paired by key, and the pair of layers that is chosen."""

from __future__ import annotations

import pytest
import torch

from trued.errors import InputError
from trued.learn.similarity import mutual_knn
from trued.representation.structure.layers import LayerFeatures, paired, random_layers, select_layers


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def sides(n=60):
    """Things with 5 properties; the first side shows them best in its middle layer, the second in its first."""
    things = rows(n, 5)

    def isometry(dim, seed):  # a map that keeps distances
        return torch.linalg.qr(rows(dim, 5, seed)).Q.T

    first = {
        f"layer {i}": things @ isometry(8, 40 + i) + noise * rows(n, 8, 10 + i) for i, noise in enumerate((3, 0.1, 1))
    }
    second = {
        f"layer {i}": things @ isometry(6, 20 + i) + noise * rows(n, 6, 30 + i) for i, noise in enumerate((0.1, 2))
    }
    return LayerFeatures(first), LayerFeatures(second)


@pytest.mark.parametrize("score", ["mutual_knn", "cka", "cka_debiased", "rsa"])
def test_the_most_similar_layers_are_chosen_by_every_score(score):
    first, second = sides()
    choice = select_layers(first, second, score, k=5)
    assert choice.pair == ("layer 1", "layer 0")
    assert choice.matrix.shape == (3, 2)
    assert choice.matrix.max() == choice.matrix[1, 0]
    assert choice.rows == 60


def test_layers_are_scored_on_no_more_than_n_pairs_drawn_by_the_seed():
    first, second = sides()
    choice = select_layers(first, second, n=40, k=5, seed=3)
    drawn = torch.randperm(60, generator=torch.Generator().manual_seed(3))[:40]
    assert choice.rows == 40
    expected = mutual_knn(first["layer 2"][drawn], second["layer 1"][drawn], 5)
    assert float(choice.matrix[2, 1]) == pytest.approx(expected)


def test_features_come_back_as_they_were_saved(tmp_path):
    features = LayerFeatures({"layer 10": rows(4, 3), "layer 9": rows(4, 2)}, ("a", "b", "c", "d"))
    result = LayerFeatures.load(features.save(tmp_path / "one.safetensors", dtype=torch.float32))
    assert result.names == ("layer 10", "layer 9")
    assert result.keys == features.keys
    assert result.last == "layer 9"
    assert torch.equal(result["layer 10"], features["layer 10"])
    half = LayerFeatures.load(features.save(tmp_path / "half.safetensors"))
    assert half.layers["layer 9"].dtype == torch.float16
    torch.testing.assert_close(half["layer 9"], features["layer 9"], atol=2e-3, rtol=2e-3)
    with pytest.raises(InputError, match=r"beyond torch\.float16"):
        LayerFeatures({"layer": rows(2, 2) * 1e6}).save(tmp_path / "large.safetensors")
    assert not (tmp_path / "large.safetensors").exists()


def test_rows_are_paired_by_their_keys():
    first = LayerFeatures({"x": torch.tensor([[1.0], [2], [3]])}, ("a", "b", "c"))
    second = LayerFeatures({"y": torch.tensor([[30.0], [10], [99]])}, ("c", "a", "z"))
    a, b = paired(first, second)
    assert a.keys == b.keys == ("a", "c")
    assert a["x"].tolist() == [[1], [3]]
    assert b["y"].tolist() == [[10], [30]]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: LayerFeatures({}), "without a layer"),
        (lambda: LayerFeatures({"a": rows(3, 2), "b": rows(4, 2)}), r"layer 'b' has shape \(4, 2\)"),
        (lambda: LayerFeatures({"a": rows(3, 2), "b": rows(3, 2) / 0}), "layer 'b', row 0"),
        (lambda: LayerFeatures({"a": rows(3, 2)}, ("x", "x", "y")), "3 keys, 2 of them different"),
        (lambda: LayerFeatures({"layer 1": rows(3, 2)})["layer 2"], "no layer 'layer 2'; did you mean layer 1"),
        (lambda: paired(LayerFeatures({"a": rows(3, 2)}), LayerFeatures({"a": rows(4, 2)})), "3 and 4 rows"),
        (
            lambda: paired(LayerFeatures({"a": rows(2, 2)}, ("x", "y")), LayerFeatures({"a": rows(2, 2)})),
            "one side has keys",
        ),
        (
            lambda: paired(LayerFeatures({"a": rows(1, 2)}, ("x",)), LayerFeatures({"a": rows(1, 2)}, ("y",))),
            "no key is on both sides",
        ),
        (lambda: select_layers(LayerFeatures({"a": rows(3, 2)}), LayerFeatures({"a": rows(4, 2)})), "3 and 4 rows"),
        (lambda: select_layers(*sides(8)), "k 10 of 8 rows"),
    ],
)
def test_unfit_features_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="does not read as safetensors"):
        LayerFeatures.load(tmp_path / "x.safetensors")


def test_layers_are_spread_from_the_first_to_the_last():
    names = [f"layer {number}" for number in range(7)]
    features = LayerFeatures({name: rows(3, 2) for name in names})
    assert features.spread(4) == ["layer 0", "layer 2", "layer 4", "layer 6"]
    assert features.spread(3) == ["layer 0", "layer 3", "layer 6"]
    assert features.spread(7) == features.spread(20) == names


def test_random_layers_are_of_the_same_things_and_agree_most_where_there_is_least_noise():
    first, second = random_layers(1), random_layers(2)
    assert first.names == ("layer 0", "layer 1", "layer 2")
    assert first["layer 0"].shape == (160, 12)
    assert torch.equal(random_layers(1)["layer 2"], first["layer 2"])
    assert not torch.equal(first["layer 1"], second["layer 1"])
    assert select_layers(first, second).pair == ("layer 1", "layer 1")
