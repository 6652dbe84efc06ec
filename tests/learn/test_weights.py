"""Arithmetic on weights: differences against the formula, patches bit for bit there and back."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trued.errors import InputError
from trued.language.engine.tiny import tiny_model
from trued.learn.weights import (
    Change,
    Patch,
    WeightsFolder,
    add_difference,
    dare,
    lora_scaled,
    shape_digest,
    snapshot,
    tensor_like,
    unchanged,
    weights_of,
)


def layer(seed, rows=3):
    model = nn.Linear(4, rows, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed)))
    return model


def test_dare_drops_that_share_and_keeps_the_mean():
    delta = torch.ones(200_000)
    dropped = dare(delta, 0.75, torch.Generator().manual_seed(0))
    assert set(dropped.unique().tolist()) == {0.0, 4.0}
    assert float((dropped == 0).float().mean()) == pytest.approx(0.75, abs=0.005)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)
    assert dare(delta, 0, torch.Generator()) is delta
    with pytest.raises(InputError, match="drop rate is 1"):
        dare(delta, 1, torch.Generator())


def test_a_difference_is_added_as_the_formula_says():
    model, up, down = layer(0), layer(1), layer(2)
    expected = model.weight.detach() + 0.5 * (up.weight - down.weight).detach()
    add_difference(model, weights_of(up), weights_of(down), weight=0.5)
    torch.testing.assert_close(model.weight.detach(), expected)
    with pytest.raises(InputError, match=r"needs a torch\.Generator"):
        add_difference(model, weights_of(up), weights_of(down), drop=0.5)


def test_rows_that_only_one_model_has_stay():
    model, up, down = layer(0, rows=5), layer(1), layer(2)
    before = model.weight.detach().clone()
    add_difference(model, weights_of(up), weights_of(down))
    assert torch.equal(model.weight[3:], before[3:])
    torch.testing.assert_close(model.weight[:3].detach(), before[:3] + (up.weight - down.weight).detach())


def test_what_does_not_fit_is_named():
    model = layer(0)
    with pytest.raises(InputError, match="no weight 'weight'; did you mean weigth"):
        tensor_like(model.weight, {"weigth": torch.zeros(3, 4)}, "weight")
    with pytest.raises(InputError, match=r"shape \[3, 4\] here and \[3, 5\]"):
        tensor_like(model.weight, {"weight": torch.zeros(3, 5)}, "weight")


def test_lora_scales_between_base_and_adapter(tiny):
    ids = torch.tensor([[5, 6, 7]])
    base = tiny.base(ids).logits
    tuned = tiny.with_lora(2)
    with torch.no_grad():
        for name, parameter in tuned.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    whole = tuned.model(ids).logits
    with lora_scaled(tuned.model, 0.0):
        torch.testing.assert_close(tuned.model(ids).logits, base)
    torch.testing.assert_close(tuned.model(ids).logits, whole)
    assert not torch.allclose(whole, base)
    with pytest.raises(InputError, match="no LoRA layers"), lora_scaled(nn.Linear(1, 1), 0.5):
        pass


def test_a_folder_is_read_lazily_and_its_patch_is_no_part_of_it(tmp_path, tiny):
    tiny.base.save_pretrained(tmp_path)
    patch(tiny.base).save(tmp_path / "patch.safetensors")
    folder = WeightsFolder(tmp_path)
    mine = weights_of(tiny.base)
    assert set(folder) == set(mine)
    assert all(torch.equal(folder[name], mine[name]) for name in folder)
    assert folder.dtype == torch.float32
    with pytest.raises(InputError, match=r"no model\*.safetensors"):
        WeightsFolder(tmp_path / "none")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:1000])
    with pytest.raises(InputError, match="truncated or damaged"):
        WeightsFolder(tmp_path)


def patch(model):
    name = "model.layers.1.mlp.up_proj.weight"
    flat = dict(model.named_parameters())[name].detach().view(-1)
    places = torch.tensor([3, 10, 11])
    return Patch({name: Change(places, flat[places].clone(), flat[places] + 1)}, shape_digest(model), "test")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_patch_goes_on_and_off_bit_for_bit(tiny, tmp_path, dtype):
    model = tiny.base.to(dtype)
    before = {name: parameter.clone() for name, parameter in weights_of(model).items()}
    made = patch(model)
    read = Patch.load(made.save(tmp_path / "patch.safetensors"))
    assert (read.count, read.about, read.model) == (3, "test", made.model)
    read.apply(model)
    changed = {name for name, parameter in weights_of(model).items() if not torch.equal(parameter, before[name])}
    assert changed == set(made.changes)
    read.revert(model)
    assert all(torch.equal(parameter, before[name]) for name, parameter in weights_of(model).items())


def test_a_patch_replaces_a_patch_and_nothing_else(tiny, tmp_path):
    path, made = tmp_path / "patch.safetensors", patch(tiny.base)
    path.write_bytes(b"")
    made.save(path)
    Patch(made.changes, made.model, "newer").save(path)
    assert Patch.load(path).about == "newer"
    save_file({"weight": torch.ones(2)}, path)
    theirs = path.read_bytes()
    with pytest.raises(InputError, match="was not written by trued as a patch"):
        made.save(path)
    assert path.read_bytes() == theirs
    path.write_text("notes")
    with pytest.raises(InputError, match="was not written by trued as a patch"):
        made.save(path)
    assert path.read_text() == "notes"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    with pytest.raises(InputError, match="contains file"):
        made.save(tmp_path / "folder")


def test_a_patch_refuses_what_it_was_not_made_for(tiny, tmp_path):
    made = patch(tiny.base)
    with pytest.raises(InputError, match="belongs to another model"):
        made.apply(tiny_model(layers=3).base)
    with pytest.raises(InputError, match="taken off this model: it is not there"):
        made.revert(tiny.base)
    made.apply(tiny.base)
    with pytest.raises(InputError, match="applied to this model: it is there already"):
        made.apply(tiny.base)
    other = tiny_model(1).base
    before = weights_of(other)["model.layers.1.mlp.up_proj.weight"].clone()
    with pytest.raises(InputError, match="3 of 3 weights have other values"):
        made.apply(other)
    assert torch.equal(weights_of(other)["model.layers.1.mlp.up_proj.weight"], before)


def test_a_file_that_is_no_patch_is_named(tiny, tmp_path):
    with pytest.raises(InputError, match="there is no such patch"):
        Patch.load(tmp_path / "none.safetensors")
    tiny.base.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="is no patch"):
        Patch.load(tmp_path / "model.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(InputError, match="truncated or damaged"):
        Patch.load(tmp_path / "cut.safetensors")


def test_a_snapshot_gives_the_parameters_back():
    model = layer(0)
    before = model.weight.detach().clone()
    restore = snapshot(model)
    for _ in range(2):
        add_difference(model, weights_of(layer(1)), weights_of(layer(2)))
        assert not torch.equal(model.weight, before)
        restore()
        assert torch.equal(model.weight, before)


def test_a_model_is_unchanged_after_the_block_even_if_it_fails():
    model = layer(0)
    before, place = model.weight.detach().clone(), model.weight.data_ptr()
    with pytest.raises(ZeroDivisionError), unchanged(model):  # noqa: PT012
        add_difference(model, weights_of(layer(1)), weights_of(layer(2)))
        raise ZeroDivisionError
    assert torch.equal(model.weight, before)
    assert model.weight.data_ptr() == place
