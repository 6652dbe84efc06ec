"""The one reader of pictures: whatever a file holds becomes red, green and blue in bytes, upright and on white.

| mode of the file | what becomes of it |
|---|---|
| 8 bits a channel, grey or a palette, CMYK and the like | converted to RGB |
| 16 bits (`I;16`, or `I` with values to 65,535) | scaled by 65,535 |
| floats from 0 to 1 (`F`) | scaled by 1 |
| with transparency | laid on white |
| with a note of the camera's orientation (EXIF) | turned upright |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trued.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

_SIXTEEN_BITS = 65_535


def read_picture(path: str | Path) -> Image:
    """Read a picture of any format that Pillow reads, as RGB.

    Raises:
        InputError: no such file, none that decodes as a picture, or numbers that say nothing of how bright they are.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            return _rgb(ImageOps.exif_transpose(file))
    except FileNotFoundError:
        raise InputError(f"{path} is no picture: there is no such file") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # decoders of damaged files fail in ways of their own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} is no picture that can be read ({reason}): give a JPEG, PNG or WebP file") from error


def picture_tensor(picture: Image) -> Float[Tensor, "3 height width"]:
    """Return a picture as encoders take it: red, green and blue from 0 to 1."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float() / 255


def square_picture(path: str | Path, size: int) -> Float[Tensor, "3 size size"]:
    """Read a picture and scale it to a square, whatever its proportions.

    Raises:
        InputError: as `read_picture`.
    """
    from PIL.Image import Resampling

    return picture_tensor(read_picture(path).resize((size, size), Resampling.BICUBIC))


def _rgb(picture: Image) -> Image:
    from PIL import Image

    if picture.mode.startswith("I"):
        return _scaled(picture, _SIXTEEN_BITS)
    if picture.mode == "F":
        return _scaled(picture, 1)
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        white = Image.new("RGBA", above.size, "white")
        return Image.alpha_composite(white, above).convert("RGB")
    return picture.convert("RGB")


def _scaled(picture: Image, largest: int) -> Image:
    """Grey numbers from 0 to `largest`, as RGB in bytes."""
    from PIL import Image

    values = np.asarray(picture, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= largest):  # NaN fails the comparison
        raise InputError(
            f"its values run from {low:g} to {high:g}, those of mode {picture.mode} from 0 to {largest:,}: scale them"
        )
    return Image.fromarray(np.round(values * (255 / largest)).astype(np.uint8)).convert("RGB")
