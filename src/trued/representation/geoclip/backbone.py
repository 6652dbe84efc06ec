"""What stands before GeoCLIP's head: frozen towers that turn pictures, and sometimes texts, into features.

Knows pictures, texts and the towers' own preparation of them. Knows nothing of places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trued.errors import InputError
from trued.fetch.hub import find_files
from trued.fetch.pretrained import read_model, read_parts
from trued.fetch.vocabulary import fit_vocabulary
from trued.language.engine.embedder import SentenceEmbedder
from trued.learn.device import open_device
from trued.vision.encoder import DEFAULT, ImageEncoder
from trued.vision.picture import picture_tensor, read_picture

if TYPE_CHECKING:
    from PIL.Image import Image

SENTENCES = "all-MiniLM-L6-v2"


@runtime_checkable
class Backbone(Protocol):
    """A frozen tower, or two into one space; what it cannot see or read, it refuses by name."""

    name: str

    def pictures(self, pictures: Sequence[Image]) -> Float[Tensor, "pictures features"]: ...

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]: ...


def open_backbone(name: str, *, device: str = "cpu") -> Backbone:
    """Open the backbone that a model was trained on.

    Args:
        name: "efficientnet-lite0", "all-MiniLM-L6-v2", or a folder or hub id of a CLIP model or a vision model.
        device: such as "cuda:1".

    Raises:
        InputError: no such device or model; what is not in a package needs the hub.
    """
    open_device(device)
    if name == SENTENCES:
        return SentenceBackbone(SentenceEmbedder.load(device=device))
    if name == DEFAULT or not _is_clip(name):
        return PictureBackbone(ImageEncoder.load(name, device=device))
    return ClipBackbone.load(name, device=device)


def text_features(texts: Sequence[str], name: str = SENTENCES) -> Float[Tensor, "texts features"]:
    """Return what the backbone `name` makes of texts."""
    return open_backbone(name).texts(list(texts))


class ClipBackbone:
    """Both towers of a CLIP model, with their projections into the space that they share.

    Args:
        model: a `CLIPModel`.
        processor: its image processor.
        tokenizer: its tokenizer.
        name: for reports.
    """

    def __init__(self, model: Any, processor: Any, tokenizer: Any, *, name: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.processor, self.tokenizer, self.name = processor, tokenizer, name

    @classmethod
    def load(cls, source: str | Path, *, device: str = "cpu") -> ClipBackbone:
        """Load a CLIP model from a folder or the hub.

        Raises:
            InputError: there is none, or the hub does not answer.
        """
        from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

        where = open_device(device)
        try:
            files = find_files(source)
            model = read_model(CLIPModel, files)
            processor, tokenizer = read_parts(CLIPImageProcessor, files), read_parts(AutoTokenizer, files)
            rows = model.text_model.embeddings.token_embedding.weight.shape[0]
            tokenizer = fit_vocabulary(tokenizer, rows, name=files.name)
        except InputError as error:
            raise _unreachable(str(source), error) from error
        return cls(model.to(where), processor, tokenizer, name=str(source))

    @torch.no_grad()
    def pictures(self, pictures: Sequence[Image]) -> Float[Tensor, "pictures features"]:
        """Return the projected features of pictures, as GeoCLIP's head was trained on them: not of unit length."""
        pixels = self.processor(images=[picture.convert("RGB") for picture in pictures], return_tensors="pt")
        return projected(self.model.get_image_features(pixel_values=pixels["pixel_values"].to(self.model.device)))

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Return the projected features of texts; what is longer than the tower reads is cut off."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        ids, mask = (tokens[key].to(self.model.device) for key in ("input_ids", "attention_mask"))
        return projected(self.model.get_text_features(input_ids=ids, attention_mask=mask))


class PictureBackbone:
    """An image encoder's last layer. It reads no text."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder, self.name = encoder, encoder.name

    def pictures(self, pictures: Sequence[Image]) -> Float[Tensor, "pictures features"]:
        """Return the features of pictures, each scaled to what the encoder expects."""
        return torch.cat([self.encoder.features(picture_tensor(picture)[None]) for picture in pictures])

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Refuse."""
        raise InputError(f"{self.name} sees pictures and reads no text: ask a model that was trained on CLIP or MiniLM")


class SentenceBackbone:
    """Sentence embeddings. It sees no pictures."""

    name = SENTENCES

    def __init__(self, embed: Callable[[Sequence[str]], np.ndarray]) -> None:
        self.embed = embed

    def pictures(self, pictures: Sequence[Image]) -> Float[Tensor, "pictures features"]:
        """Refuse."""
        raise InputError(f"{self.name} reads texts and sees no pictures: give --text, or another model")

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Return unit vectors."""
        return torch.from_numpy(self.embed(texts))


def open_pictures(paths: Sequence[str | Path]) -> list[Image]:
    """Read pictures, as `trued.vision.picture.read_picture` does.

    Raises:
        InputError: a file is missing or no picture; it is named.
    """
    return [read_picture(path) for path in paths]


def projected(output: Any) -> Tensor:
    """Return the features that `get_image_features` gave: a tensor, or from transformers 5 on an object around it.

    Raises:
        TypeError: it is neither.
    """
    features = output if isinstance(output, Tensor) else getattr(output, "pooler_output", None)
    if not isinstance(features, Tensor):
        raise TypeError(f"features came as {type(output).__name__}, which has no tensor 'pooler_output'")
    return features.float().cpu()


def _is_clip(name: str) -> bool:
    from transformers import AutoConfig

    try:
        return read_parts(AutoConfig, name).model_type == "clip"
    except InputError as error:
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[0]
    return InputError(
        f"the backbone '{name}' does not load ({reason}): download it where the hub is, and give its folder"
    )
