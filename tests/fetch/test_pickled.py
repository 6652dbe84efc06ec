"""Pinned pickles are read once, by hash, and kept as safetensors; a user's pickle is never read."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from trued.errors import InputError
from trued.fetch import pickled
from trued.fetch.assets import Asset
from trued.fetch.pickled import SINGLE, pinned_tensors, user_tensors
from trued.fetch.wheel import Member, Wheel


@pytest.fixture
def pin(tmp_path, monkeypatch):
    """Return a function that pickles a value and pins the file."""
    monkeypatch.setattr(pickled, "cache_dir", lambda: tmp_path / "cache")

    def pinned(value, digest: str | None = None) -> Asset:
        path = tmp_path / "weights.pth"
        torch.save(value, path)
        monkeypatch.setattr(pickled, "asset_path", lambda asset: path)
        wheel = Wheel("spokes", "1.0", "spokes-1.0-py3-none-any.whl", "0" * 64, 100)
        return Asset(Member(wheel, "spokes/weights.pth"), digest or hashlib.sha256(path.read_bytes()).hexdigest())

    return pinned


def test_a_pickle_is_read_once_and_kept_as_safetensors(pin, monkeypatch):
    weights = {"a": torch.randn(3, 4).t(), "b": torch.arange(3)}
    asset = pin(weights)
    first = pinned_tensors(asset)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled twice"))
    for tensors in (first, pinned_tensors(asset)):
        assert tensors.keys() == weights.keys()
        assert all(torch.equal(tensors[name], weights[name]) for name in weights)


def test_a_tensor_alone_and_two_names_of_one(pin):
    assert torch.equal(pinned_tensors(pin(torch.tensor(2.5)))[SINGLE], torch.tensor(2.5))
    shared = torch.randn(4)
    assert torch.equal(pinned_tensors(pin({"a": shared, "b": shared}))["b"], shared)


def test_other_bytes_than_the_pinned_ones_are_not_unpickled(pin, monkeypatch):
    asset = pin({"a": torch.zeros(1)}, digest="1" * 64)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled"))
    with pytest.raises(InputError, match="pinned is 111111111111"):
        pinned_tensors(asset)


def test_a_copy_that_was_cut_off_is_made_again(pin, tmp_path):
    asset = pin({"a": torch.ones(2)})
    pinned_tensors(asset)
    (copy,) = (tmp_path / "cache").rglob("*.safetensors")
    copy.write_bytes(b"")
    assert torch.equal(pinned_tensors(asset)["a"], torch.ones(2))
    assert torch.equal(pinned_tensors(asset)["a"], torch.ones(2))


def test_a_users_file_is_safetensors_or_refused(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "weights.safetensors")
    assert torch.equal(user_tensors(tmp_path / "weights.safetensors")["a"], torch.ones(2))
    torch.save({"a": torch.ones(2)}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"is a pickle, which is not read: convert it .*save_file\(torch\.load"):
        user_tensors(tmp_path / "weights.pth")
    (tmp_path / "weights.pth").rename(tmp_path / "renamed.safetensors")
    with pytest.raises(InputError, match="does not read as safetensors"):
        user_tensors(tmp_path / "renamed.safetensors")
    with pytest.raises(InputError, match="no such file"):
        user_tensors(tmp_path / "gone.safetensors")
