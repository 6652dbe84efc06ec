"""Random views of pictures: cropped, mirrored, in other colours, at times in grey, as GeoCLIP's training sees them.

Knows pictures as bytes. Knows nothing of encoders or of what is learnt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from trued.errors import InputError

_HUES = 256  # of Pillow's HSV


@dataclass(frozen=True)
class Views:
    """How a view is drawn; the defaults are GeoCLIP's (its released code), and those of most contrastive training.

    Args:
        size: pixels a side.
        area: least and largest share of the picture that is kept.
        aspect: widest proportions of what is kept, before it is scaled to a square.
        mirrored: how often left and right are exchanged.
        coloured: how often colours are changed: brightness, contrast and saturation by a factor, the hue by a turn.
        strength: how far these factors lie from 1, at most.
        hue: the largest turn, as a share of the circle.
        grey: how often all colour is taken away.

    Raises:
        InputError: a setting out of range.
    """

    size: int = 224
    area: tuple[float, float] = (0.08, 1.0)
    aspect: float = 4 / 3
    mirrored: float = 0.5
    coloured: float = 0.8
    strength: float = 0.4
    hue: float = 0.1
    grey: float = 0.2

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 < self.area[0] <= self.area[1] <= 1 or self.aspect < 1:
            raise InputError(f"{self}: a size from 1, shares of the area in (0, 1], an aspect from 1")
        if not all(0 <= share <= 1 for share in (self.mirrored, self.coloured, self.strength, self.grey)):
            raise InputError(f"{self}: shares and the strength lie between 0 and 1")
        if not 0 <= self.hue <= 0.5:
            raise InputError(f"{self}: the hue turns by 0 to 0.5 of the circle")

    def __call__(self, images: UInt8[Tensor, "pictures 3 height width"], seed: int) -> UInt8[Tensor, "pictures 3 _ _"]:
        """Return one view of each picture; the seed and a picture's place decide its view.

        Raises:
            InputError: not pictures of bytes.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
            raise InputError(
                f"pictures of {images.dtype} and shape {tuple(images.shape)}: give bytes [pictures, 3, h, w]"
            )
        drawn = [
            np.asarray(self._view(Image.fromarray(picture), np.random.default_rng((seed, place))))
            for place, picture in enumerate(images.permute(0, 2, 3, 1).contiguous().numpy())
        ]
        return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()

    def _view(self, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        view = picture.resize((self.size, self.size), Image.Resampling.BILINEAR, box=self._box(*picture.size, rng))
        if rng.random() < self.mirrored:
            view = ImageOps.mirror(view)
        if rng.random() < self.coloured:
            for change in rng.permutation(4):
                view = self._coloured(view, int(change), rng)
        if rng.random() < self.grey:
            view = view.convert("L").convert("RGB")
        return view

    def _box(self, width: int, height: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
        """What is kept: a share of the area, of drawn proportions, and no more than the picture has."""
        area = rng.uniform(*self.area) * width * height
        ratio = math.exp(rng.uniform(-1, 1) * math.log(self.aspect))
        wide, high = min(math.sqrt(area * ratio), width), min(math.sqrt(area / ratio), height)
        left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
        return left, top, left + wide, top + high

    def _coloured(self, view: Image.Image, change: int, rng: np.random.Generator) -> Image.Image:
        if change == 3:
            hue, saturation, value = view.convert("HSV").split()
            turn = round(rng.uniform(-self.hue, self.hue) * _HUES)
            turned = Image.fromarray(np.asarray(hue) + np.uint8(turn % _HUES))
            return Image.merge("HSV", (turned, saturation, value)).convert("RGB")
        way = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[change]
        return way(view).enhance(rng.uniform(1 - self.strength, 1 + self.strength))
