"""The one reader of pictures: the same picture in every mode, upright, on white; and each broken file in a sentence."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from trued.errors import InputError
from trued.representation.geoclip.backbone import open_pictures
from trued.vision.picture import picture_tensor, read_picture, square_picture

RAMP = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)
COLOURS = np.stack([RAMP, RAMP.T, 255 - RAMP], -1)


def bytes_of(path):
    return np.asarray(read_picture(path))


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("8.png", Image.fromarray(RAMP)),
        ("16.png", Image.fromarray(RAMP.astype(np.uint16) * 257)),
        ("16.tif", Image.fromarray(RAMP.astype(np.uint16) * 257)),
        ("32.tif", Image.fromarray(RAMP.astype(np.int32) * 257)),
        ("float.tif", Image.fromarray(RAMP.astype(np.float32) / 255)),
        ("16.pgm", Image.fromarray(RAMP.astype(np.int32) * 257)),
        ("palette.png", Image.fromarray(RAMP).convert("P")),
        ("clear.png", Image.merge("LA", [Image.fromarray(RAMP), Image.new("L", (8, 8), 255)])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_grey_is_the_same_whatever_its_numbers(tmp_path, name, picture):
    picture.save(tmp_path / name)
    assert np.abs(bytes_of(tmp_path / name).astype(int) - RAMP[..., None]).max() <= 1


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.bmp", "x.tif"])
def test_colours_come_back(tmp_path, name):
    Image.fromarray(COLOURS).save(tmp_path / name, **({"lossless": True} if name == "x.webp" else {}))
    assert np.array_equal(bytes_of(tmp_path / name), COLOURS)


def test_what_is_clear_lies_on_white(tmp_path):
    alpha = np.full((8, 8), 255, np.uint8)
    alpha[:4], alpha[4] = 0, 51
    Image.fromarray(np.dstack([COLOURS, alpha])).save(tmp_path / "x.png")
    seen = bytes_of(tmp_path / "x.png").astype(float)
    assert (seen[:4] == 255).all()
    assert np.abs(seen[4] - (0.2 * COLOURS[4] + 0.8 * 255)).max() <= 1
    assert np.array_equal(seen[5:], COLOURS[5:])
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / "p.png", transparency=1)
    assert (bytes_of(tmp_path / "p.png") == 255).all()


def test_a_picture_is_turned_upright_by_both_doors(tmp_path):
    wide = Image.new("RGB", (8, 4), "red")
    wide.paste("blue", (4, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned to the left
    wide.save(tmp_path / "x.png", exif=exif)
    assert read_picture(tmp_path / "x.png").size == (4, 8)
    (opened,) = open_pictures([tmp_path / "x.png"])
    assert np.array_equal(np.asarray(opened), bytes_of(tmp_path / "x.png"))
    square = square_picture(tmp_path / "x.png", 8)
    assert square.shape == (3, 8, 8)
    assert square[:, 0, 4].tolist() == [1, 0, 0]
    assert square[:, -1, 4].tolist() == [0, 0, 1]


def test_tensors_run_from_0_to_1():
    picture = picture_tensor(Image.fromarray(COLOURS))
    torch.testing.assert_close(picture, torch.from_numpy(COLOURS).permute(2, 0, 1) / 255)
    assert picture_tensor(Image.fromarray(RAMP)).shape == (3, 8, 8)


def encoded(kind):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damaged_files_are_one_sentence_or_a_picture(tmp_path, kind):
    whole, random = encoded(kind), np.random.default_rng(1)
    path = tmp_path / "x"
    refused = 0
    for attempt in range(40):
        broken = bytearray(whole)
        if attempt % 2:
            broken = broken[: random.integers(1, len(whole))]
        else:
            for place in random.integers(0, min(200, len(broken)), 8):
                broken[place] = random.integers(0, 256)
        path.write_bytes(broken)
        sentence = ""
        try:
            assert read_picture(path).mode == "RGB"
        except InputError as error:
            sentence = str(error)
        assert not sentence or "is no picture that can be read" in sentence
        assert "\n" not in sentence
        refused += bool(sentence)
    assert refused


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes\.txt is no picture that can be read"):
        read_picture(tmp_path / "notes.txt")
    with pytest.raises(InputError, match=r"nowhere\.png is no picture: there is no such file"):
        read_picture(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match="is no picture that can be read"):
        read_picture(tmp_path)
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "far.tif")
    with pytest.raises(InputError, match=r"values run from 0 to 255, those of mode F from 0 to 1: scale them"):
        read_picture(tmp_path / "far.tif")
    Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(InputError, match="values run from nan"):
        read_picture(tmp_path / "nan.tif")
