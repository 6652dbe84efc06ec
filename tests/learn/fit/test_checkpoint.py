"""A checkpoint comes back bit for bit, or is refused; what cannot be written leaves the one before it whole."""

import errno
import json

import pytest
import torch
from safetensors import SafetensorError

from trued.errors import InputError
from trued.files import MARKER
from trued.learn.fit import checkpoint
from trued.learn.fit.checkpoint import read_checkpoint, write_checkpoint

TENSORS = {"a": torch.randn(3, 4).t(), "b": torch.tensor(7.0), "c": torch.arange(3, dtype=torch.float64)}


def test_tensors_and_record_come_back(tmp_path):
    write_checkpoint(tmp_path / "x", TENSORS, {"step": 3, "lr": 0.1})
    tensors, record = read_checkpoint(tmp_path / "x")
    assert record == {"step": 3, "lr": 0.1}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        MARKER, "record.json", "tensors.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["record.json", "tensors.safetensors"])
@pytest.mark.parametrize("harm", ["cut", "flip", "remove"])
def test_damage_is_refused_with_the_remedy(tmp_path, name, harm):
    write_checkpoint(tmp_path / "x", TENSORS, {"step": 3})
    file = tmp_path / "x" / name
    data = bytearray(file.read_bytes())
    if harm == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif harm == "flip":
        data[0 if name == "record.json" else -1] ^= 255
        file.write_bytes(data)
    else:
        file.unlink()
    with pytest.raises(InputError, match=rf"{name}.*delete the folder, or start again without resume"):
        read_checkpoint(tmp_path / "x")


def test_another_format_is_refused(tmp_path):
    write_checkpoint(tmp_path / "x", TENSORS, {})
    file = tmp_path / "x" / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        read_checkpoint(tmp_path / "x")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path, monkeypatch, error):
    write_checkpoint(tmp_path / "x", TENSORS, {"step": 1})

    def full(tensors, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match=r"is full.*the one before it is whole"):
        write_checkpoint(tmp_path / "x", TENSORS, {"step": 2})
    assert read_checkpoint(tmp_path / "x")[1] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
