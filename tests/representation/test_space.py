"""A shared space: saved and read back, what it measures, what it refuses."""

from __future__ import annotations

import pytest
import torch

from trued.errors import InputError
from trued.learn.contrastive import same_pairs
from trued.representation.heads import Standardize
from trued.representation.space import SharedSpace, quality


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("head", ["linear", "mlp", "csa"])
def test_a_space_comes_back_as_it_was_saved(tmp_path, head):
    space = SharedSpace({"image": 5, "text": 7}, head=head, dim=4, hidden=3, layers={"image": "block 3"}, seed=1)
    x = 100 * rows(30, 5) + 7
    space.inputs["image"] = Standardize.of(x)
    result = SharedSpace.from_pretrained(space.save_pretrained(tmp_path / "space"))
    assert result.config == space.config
    assert torch.equal(result.transform(x, "image"), space.transform(x, "image"))
    torch.testing.assert_close(result.transform(x, "image").norm(dim=1), torch.ones(30))


def test_the_quality_of_a_perfect_and_of_a_collapsed_space():
    x = rows(40, 6)
    space = SharedSpace({"a": 6, "b": 6}, dim=6)
    space.heads["b"].load_state_dict(space.heads["a"].state_dict())
    result = quality(space, {"a": x, "b": x})
    assert result.recall.mean() == 1
    # Not quite 1, since unit vectors have another mean than what they were made from.
    assert min(result.mean("trustworthiness").mean(), result.mean("continuity").mean()) > 0.98
    twins = {"a": x.repeat(2, 1), "b": x.repeat(2, 1)}
    same = same_pairs([i % 40 for i in range(80)])
    assert quality(space, twins, recall=1, same=same).recall.mean() > quality(space, twins, recall=1).recall.mean()
    for head in space.heads.values():
        head.weight.data[1:] = 0
    assert quality(space, {"a": x, "b": x}).mean("trustworthiness").mean() < 0.9


def test_zero_shot_takes_the_nearest_class_of_averaged_templates():
    space = SharedSpace({"image": 3, "text": 3}, dim=3)
    space.heads["text"].load_state_dict(space.heads["image"].state_dict())
    classes = {"x": torch.tensor([[1.0, 0.1, 0], [1, -0.1, 0]]), "y": torch.tensor([[0.0, 1, 0]])}
    assert space.zero_shot(torch.tensor([[2.0, 0.3, 0], [0, 1, 0.5]]), "image", classes, by="text") == ["x", "y"]


def test_what_is_no_space_is_refused(tmp_path):
    space = SharedSpace({"image": 5, "text": 7}, dim=4)
    with pytest.raises(InputError, match="no modality 'imge'; did you mean image"):
        space.transform(rows(2, 5), "imge")
    with pytest.raises(InputError, match=r"this space takes \[rows, 5\]"):
        space.transform(rows(2, 6), "image")
    with pytest.raises(InputError, match="unknown head 'tree'"):
        SharedSpace({"image": 5, "text": 7}, head="tree")
    with pytest.raises(InputError, match="1 modalities"):
        SharedSpace({"image": 5})
    with pytest.raises(InputError, match="holds no shared space"):
        SharedSpace.from_pretrained(tmp_path)
    folder = space.save_pretrained(tmp_path / "space")
    (folder / "heads.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="holds no shared space"):
        SharedSpace.from_pretrained(folder)
