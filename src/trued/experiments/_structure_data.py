"""What the experiment on STRUCTURE is measured on: features of every layer for emoji and their names, and the splits.

Knows emoji, encoders, the lab's cache and a user's own pairs. Knows nothing of heads or claims.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trued.errors import InputError
from trued.lab.experiment import Lab
from trued.language.engine.embedded import embedded_model
from trued.representation.embeddings import features_of
from trued.representation.structure.layers import LayerFeatures

IMAGE, TEXT, OTHER = "image", "text", "language model"
DEVELOPMENT = 2025  # of the permutation that sets the development pairs apart, the same for every seed


@dataclass(frozen=True)
class Data:
    """Features of the same things by two encoders, and by a causal language model where there is one.

    Args:
        sides: "image", "text" and perhaps "language model" → features.
        development: pairs that settings were chosen on and training is validated on; never trained or tested on.
        rest: the other pairs, which each seed splits anew.
    """

    sides: dict[str, LayerFeatures]
    development: Tensor
    rest: Tensor

    def split(self, seed: int, test: int) -> tuple[Tensor, Tensor]:
        """Return a pool of training pairs, in the order in which they are taken, and the test pairs."""
        order = self.rest[torch.randperm(len(self.rest), generator=torch.Generator().manual_seed(seed))]
        return order[test:], order[:test]


def data(lab: Lab) -> Data:
    """Features at this scale: emoji; random networks' at tiny scale; those of the user's pairs where `lab.data` is set.

    Raises:
        InputError: too few pairs, or full scale without pairs of one's own.
    """
    scale, device = lab.scale, lab.device or "cpu"
    if lab.data is not None:
        sides = {
            IMAGE: LayerFeatures(
                lab.cached("own-images", _own, scale.image, lab.data, scale.pixels, lab.device or "cpu")
            ),
            TEXT: LayerFeatures(lab.cached("own-texts", _own, scale.text, lab.data, None, device)),
        }
        lab.model_name = f"{scale.image} and {scale.text}"
    elif lab.scale_name == "tiny":
        sides = {name: LayerFeatures(_made_up(seed)) for seed, name in enumerate((IMAGE, TEXT, OTHER))}
        lab.model_name = "random networks"
    elif lab.scale_name == "full":
        raise InputError(
            "at full scale structure runs on pairs of your own, such as COCO 2017 captions: give --data with a JSONL "
            "or Parquet table of the columns 'image' (a path) and 'text'"
        )
    else:
        sides = {
            IMAGE: LayerFeatures(lab.cached("emoji-pictures", _pictures, scale.pixels)),
            TEXT: LayerFeatures(lab.cached("emoji-names", _names, "minilm")),
            OTHER: LayerFeatures(lab.cached("emoji-names", _names, "smollm2")),
        }
        lab.model_name = f"EfficientNet-Lite0, all-MiniLM-L6-v2 and {embedded_model('smollm2').name}"
    rows = len(sides[IMAGE])
    needed = scale.development + scale.test + max(scale.sizes)
    if rows < needed:
        raise InputError(f"{rows} pairs: this scale needs {needed} for development, test and training")
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(DEVELOPMENT))
    return Data(sides, order[: scale.development], order[scale.development :])


def _pictures(pixels: int) -> dict[str, Tensor]:
    from trued.data.emoji import emojis, pictures
    from trued.vision.encoder import ImageEncoder

    drawn = pictures([one.character for one in emojis()], pixels)
    return ImageEncoder.load(size=pixels).features(drawn, layers="all")


def _names(encoder: str) -> dict[str, Tensor]:
    from trued.data.emoji import emojis
    from trued.representation.features import TextEncoder

    return dict(TextEncoder.load(encoder).features([one.name for one in emojis()]).layers)


def _own(source: str, pairs: str, size: int | None, device: str) -> dict[str, Tensor]:
    return dict(features_of(source, pairs, device=device, size=size).layers)


def _made_up(seed: int, rows: int = 160) -> dict[str, Tensor]:
    """Layers of a random network over things that have six properties: the middle one shows most of them."""
    things = torch.randn(rows, 6, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(100 + seed)
    found = {}
    for number, noise in enumerate((2.0, 0.3, 1.0)):
        mixed = torch.tanh(things @ torch.randn(6, 12, generator=generator))
        found[f"layer {number}"] = mixed + noise * torch.randn(rows, 12, generator=generator)
    return found
