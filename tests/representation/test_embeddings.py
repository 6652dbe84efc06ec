"""Embeddings in files and encoders over a table: in what order layers come, which rows, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trued.errors import InputError
from trued.representation import embeddings
from trued.representation.embeddings import features_of, read_embeddings
from trued.representation.structure.layers import LayerFeatures


def test_a_folder_of_arrays_is_one_layer_a_file_in_natural_order(tmp_path):
    for number in (10, 9, 1):
        np.save(tmp_path / f"layer {number}.npy", np.full((3, 2), number, dtype=np.float64))
    (tmp_path / "keys.txt").write_text("a\nb\nc\n")
    result = read_embeddings(tmp_path)
    assert result.names == ("layer 1", "layer 9", "layer 10")
    assert result.keys == ("a", "b", "c")
    assert result["layer 9"].tolist() == [[9, 9]] * 3


def test_single_files_and_a_folder_with_one(tmp_path):
    saved = LayerFeatures({"only": torch.ones(2, 3)}).save(tmp_path / "one.safetensors")
    (tmp_path / "one.keys.txt").write_text("p\nq")
    assert read_embeddings(tmp_path)["only"].shape == (2, 3)
    assert read_embeddings(saved).keys == ("p", "q")
    np.save(tmp_path / "flat.npy", np.ones((4, 2), dtype=np.float16))
    assert read_embeddings(tmp_path / "flat.npy").names == ("flat",)


def test_encoders_run_over_the_columns_of_the_table(tmp_path, monkeypatch):
    from PIL import Image

    from trued.representation import features
    from trued.vision import encoder

    class Pictures:
        size = 8

    class Images:
        pictures = Pictures()

        def features(self, images, layers):
            assert layers == "all"
            return {"mean": images.mean((2, 3))}

    class Texts:
        def features(self, texts):
            return LayerFeatures({"length": torch.tensor([[float(len(text))] for text in texts])})

    monkeypatch.setattr(encoder.ImageEncoder, "load", classmethod(lambda cls, *args, **kwargs: Images()))
    monkeypatch.setattr(features.TextEncoder, "load", classmethod(lambda cls, *args, **kwargs: Texts()))
    (tmp_path / "pictures").mkdir()
    table = []
    for i, text in enumerate(("red", "green!")):
        Image.new("RGB", (5, 9), ((255, 0, 0), (0, 255, 0))[i]).save(tmp_path / f"pictures/{i}.png")
        table.append({"image": f"pictures/{i}.png", "text": text})
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, table)))
    assert features_of("image:any", tmp_path / "pairs.jsonl")["mean"].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert features_of("text:any", tmp_path / "pairs.jsonl")["length"].tolist() == [[3], [6]]
    with pytest.raises(InputError, match="give a table"):
        features_of("text:any")


def test_encoders_run_over_emoji_and_their_names(monkeypatch):
    from trued.data import emoji
    from trued.representation import features
    from trued.vision import encoder

    class Pictures:
        size = 8

    class Images:
        pictures = Pictures()

        def features(self, images, layers):
            return {"last": images.flatten(1)}

    class Texts:
        def features(self, texts):
            return LayerFeatures({"length": torch.tensor([[float(len(text))] for text in texts])})

    monkeypatch.setattr(encoder.ImageEncoder, "load", classmethod(lambda cls, *args, **kwargs: Images()))
    monkeypatch.setattr(features.TextEncoder, "load", classmethod(lambda cls, *args, **kwargs: Texts()))
    monkeypatch.setattr(emoji, "emojis", lambda: [emoji.Emoji("🚲", "bicycle"), emoji.Emoji("🦕", "sauropod")])
    monkeypatch.setattr(emoji, "draw", lambda character, size: np.full((size, size, 3), ord(character), np.float32))
    assert features_of("image:any", embeddings.EMOJI)["last"][:, 0].tolist() == [ord("🚲"), ord("🦕")]
    assert features_of("image:any", embeddings.EMOJI)["last"].shape == (2, 3 * 8 * 8)
    assert features_of("text:any", embeddings.EMOJI)["length"].tolist() == [[7], [8]]


@pytest.mark.parametrize(
    ("name", "write", "sentence"),
    [
        ("none", lambda path: None, "no such file or folder, and no encoder"),
        ("empty", lambda path: path.mkdir(), "holds no .npy file"),
        ("x.pt", lambda path: path.write_bytes(b"pickle"), "pickles are not read"),
        ("x.npy", lambda path: np.save(path, np.array([{"a": 1}]), allow_pickle=True), "does not read as an array"),
        ("x.npy", lambda path: np.save(path, np.ones(3)), r"shape \(3,\)"),
        ("x.npy", lambda path: np.save(path, np.array([["a", "b"]])), "expected numbers"),
        ("x.npy", lambda path: np.save(path, np.array([[1.0, np.nan]])), "not finite"),
    ],
)
def test_what_is_no_embedding_is_refused(tmp_path, name, write, sentence):
    write(tmp_path / name)
    with pytest.raises(InputError, match=sentence):
        embeddings.features_of(str(tmp_path / name))


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(tmp_path):
    for name in ("banana", "gpu", "cuda:99"):
        with pytest.raises(InputError, match=f"device '{name}' is not on this machine"):
            features_of(str(tmp_path / "none"), device=name)


def test_keys_and_headers_that_do_not_decode_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    (tmp_path / "x.keys.txt").write_bytes(b"caf\xe9\nb\n")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_embeddings(tmp_path / "x.npy")
    (tmp_path / "y.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((   ")
    with pytest.raises(InputError, match="does not read as an array"):
        read_embeddings(tmp_path / "y.npy")


@pytest.mark.parametrize("entry", ["layers", "keys"])
@pytest.mark.parametrize("text", ["{", "7", "[1, 2]", '{"a": 1}'])
def test_metadata_that_save_did_not_write_are_refused(tmp_path, entry, text):
    save_file({"a": torch.ones(2, 3)}, tmp_path / "x.safetensors", metadata={entry: text})
    with pytest.raises(InputError, match=f"the metadata '{entry}' are no"):
        read_embeddings(tmp_path / "x.safetensors")


def test_keys_end_at_line_breaks_only_and_may_be_utf_16(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    (tmp_path / "x.keys.txt").write_bytes("a\u2028b\r\nc\x0bd\r\n".encode("utf-16"))
    assert read_embeddings(tmp_path / "x.npy").keys == ("a\u2028b", "c\x0bd")
