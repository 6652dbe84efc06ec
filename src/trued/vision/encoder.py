"""Frozen image encoders behind one door: pictures in, one vector a picture out, of the last layer or of every one.

Knows pictures as floats from 0 to 1, their resizing, normalisation and pooling. Knows nothing of what the vectors are
for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from trued.errors import InputError
from trued.fetch.completeness import POOLER
from trued.fetch.hub import find_files
from trued.fetch.pretrained import read_model
from trued.learn.device import open_device

DEFAULT = "efficientnet-lite0"
Pool = Literal["mean", "cls"]


@dataclass(frozen=True)
class Pictures:
    """What an encoder was trained to see.

    Args:
        size: pixels a side; pictures are scaled to it, whatever their proportions.
        mean, std: of each channel; pictures are shifted and scaled by them.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 size size"]:
        """Scale pictures with values from 0 to 1 to the size and the range of values that the encoder expects."""
        if images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (self.mean, self.std))
        return (images - mean) / std


class ImageEncoder:
    """A frozen image encoder.

    Args:
        model: the network, for its device.
        maps: gives what every layer puts out for prepared pictures, in their order from first to last: [batch,
            channels, rows, columns] of a convolutional layer, [batch, tokens, dim] of a transformer's.
        pictures: how pictures are prepared.
        name: for reports.
    """

    def __init__(
        self, model: nn.Module, maps: Callable[[Tensor], dict[str, Tensor]], pictures: Pictures, *, name: str = ""
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.maps, self.pictures, self.name = maps, pictures, name
        self._widths: dict[str, int] | None = None

    @classmethod
    def load(cls, source: str | Path = DEFAULT, *, device: str = "cpu", size: int | None = None) -> ImageEncoder:
        """Load EfficientNet-Lite0 with its published weights, or any vision model of transformers.

        Args:
            source: "efficientnet-lite0", or a folder or hub id such as "facebook/dinov2-base"; of a model of pictures
                and text, the half for pictures is taken.
            device: such as "cuda:1".
            size: pixels a side, if not those that the encoder was trained on.

        Raises:
            InputError: no such device or model, one that does not see pictures, or a size it cannot take.
        """
        where = open_device(device)
        encoder = _efficientnet(size) if str(source) == DEFAULT else _transformer(str(source), size)
        encoder.model.to(where)
        return encoder

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, from first to last."""
        return tuple(self.widths)

    @property
    def widths(self) -> dict[str, int]:
        """The width of each layer's vectors, by its name."""
        if self._widths is None:
            blank = torch.full((1, 3, self.pictures.size, self.pictures.size), 0.5)
            self._widths = {name: x.shape[-1] for name, x in self.features(blank, layers="all").items()}
        return self._widths

    @property
    def dim(self) -> int:
        """The width of the last layer's vectors."""
        return self.widths[self.layers[-1]]

    @overload
    def features(
        self, images: Tensor, layers: Literal["last"] = "last", *, pool: Pool = "mean", batch: int = 32
    ) -> Tensor: ...

    @overload
    def features(
        self, images: Tensor, layers: Literal["all"] | Sequence[str], *, pool: Pool = "mean", batch: int = 32
    ) -> dict[str, Tensor]: ...

    @torch.no_grad()
    def features(
        self,
        images: Float[Tensor, "batch 3 height width"],
        layers: Literal["last", "all"] | Sequence[str] = "last",
        *,
        pool: Pool = "mean",
        batch: int = 32,
    ) -> Float[Tensor, "batch dim"] | dict[str, Float[Tensor, "batch _"]]:
        """Return one vector a picture, float32, on the CPU.

        Args:
            images: values from 0 to 1, any size.
            layers: "last" for one tensor; "all", or names, for a dict of them in the layers' order.
            pool: "mean" over positions or tokens; "cls" takes a transformer's first token.
            batch: pictures at a time.

        Raises:
            InputError: not pictures with values from 0 to 1, no such layer, or "cls" of a convolutional layer.
        """
        _check(images)
        chunks: dict[str, list[Tensor]] = {}
        for part in images.split(batch):
            maps = self.maps(self.pictures(part.float().to(next(self.model.parameters()).device)))
            for name in _wanted(layers, list(maps)):
                chunks.setdefault(name, []).append(_pooled(maps[name], name, pool).float().cpu())
        by_layer = {name: torch.cat(parts).clone() for name, parts in chunks.items()}
        return next(iter(by_layer.values())) if layers == "last" else by_layer


def _check(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not len(images):
        raise InputError(f"pictures of shape {tuple(images.shape)}: expected [batch, 3, height, width], one at least")
    low, high = images.aminmax()
    if not images.is_floating_point() or not (low >= 0 and high <= 1):  # NaN fails the comparison
        raise InputError(
            f"pictures of {images.dtype} from {low.item():g} to {high.item():g}: give floats from 0 to 1, such as "
            "bytes / 255"
        )


def _wanted(layers: Literal["last", "all"] | Sequence[str], known: list[str]) -> list[str]:
    if layers == "last":
        return known[-1:]
    if layers == "all":
        return known
    wanted = [layers] if isinstance(layers, str) else list(layers)
    strange = [name for name in wanted if name not in known]
    if strange or isinstance(layers, str):
        raise InputError(
            f"no layer {(strange or wanted)[0]!r}: there are 'last' and 'all', or give a tuple of {', '.join(known)}"
        )
    return [name for name in known if name in layers]


def _pooled(x: Tensor, name: str, pool: Pool) -> Float[Tensor, "batch dim"]:
    if pool not in ("mean", "cls"):
        raise InputError(f"unknown pooling {pool!r}: 'mean' or 'cls'")
    if x.ndim == 4:
        if pool == "cls":
            raise InputError(f"layer '{name}' is convolutional and has no first token: use pool='mean'")
        return x.mean((2, 3))
    return x.mean(1) if pool == "mean" else x[:, 0]


def _efficientnet(size: int | None) -> ImageEncoder:
    from trued.vision.efficientnet_lite import MEAN, SIZE, STD, STRIDE, EfficientNetLite0

    if size is not None and (size < STRIDE or size % STRIDE):
        raise InputError(f"size {size}: {DEFAULT} takes multiples of {STRIDE} pixels a side")
    model = EfficientNetLite0.load()
    return ImageEncoder(model, model, Pictures(size or SIZE, (MEAN,) * 3, (STD,) * 3), name=DEFAULT)


def _transformer(source: str, size: int | None) -> ImageEncoder:
    """Any vision model of transformers: its hidden states, the last of them as the model puts it out."""
    from transformers import AutoModel
    from transformers.image_processing_utils import ImageProcessingMixin

    try:
        files = find_files(source)
        model: Any = read_model(AutoModel, files, dtype=torch.float32, unused=POOLER)
        settings, _ = ImageProcessingMixin.get_image_processor_dict(str(files.folder))
    except (OSError, ValueError) as error:
        line = str(error).strip().splitlines()[0]
        raise InputError(f"no image encoder '{source}' ({line}): give {DEFAULT}, a folder or a hub id") from error
    model = getattr(model, "vision_model", model)
    if "pixel_values" not in inspect.signature(model.forward).parameters:
        raise InputError(f"'{source}' sees no pictures: it is of the kind {type(model).__name__}")
    if getattr(model.config, "mask_ratio", None):
        model.config.mask_ratio = 0.0  # a masked autoencoder hides patches at random, from its encoder too

    def maps(pixels: Tensor) -> dict[str, Tensor]:
        out = model(pixel_values=pixels, output_hidden_states=True)
        states = [*out.hidden_states[:-1], out.last_hidden_state]  # many normalise after the last layer
        return {f"layer {number}": _channels_first(state, model.config) for number, state in enumerate(states)}

    pictures = _pictures(settings, model.config, size)
    _check_maps(model.eval(), maps, pictures, source)
    return ImageEncoder(model, maps, pictures, name=source)


def _channels_first(x: Tensor, config: Any) -> Tensor:
    """Turn a feature map whose channels come last, as in some transformers over windows, to [batch, channels, ...]."""
    if x.ndim != 4:
        return x
    widths = {getattr(config, "hidden_size", None)}
    if isinstance(base := getattr(config, "embed_dim", None), int):
        widths |= {base << stage for stage in range(len(getattr(config, "depths", ())))}
    return x.permute(0, 3, 1, 2) if x.shape[-1] in widths and x.shape[1] not in widths else x


@torch.no_grad()
def _check_maps(model: Any, maps: Callable[[Tensor], dict[str, Tensor]], pictures: Pictures, source: str) -> None:
    """Look at two grey pictures, so that a model that cannot says so before the work.

    Raises:
        InputError: it takes no pictures of this size or needs more than pictures, or gives no layers.
    """
    kind = type(model).__name__
    try:
        layers = maps(pictures(torch.full((2, 3, pictures.size, pictures.size), 0.5)))
    except Exception as error:  # what a model says of pictures that it cannot take is its author's choice
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"'{source}' ({kind}) gives no features of pictures of {pictures.size} pixels a side ({reason}): give "
            "another size or another encoder"
        ) from error
    for name, x in layers.items():
        if x.ndim not in (3, 4) or len(x) != 2:
            raise InputError(
                f"'{source}' ({kind}) gives numbers of shape {tuple(x.shape)} in {name} for 2 pictures: encoders of "
                "single pictures are supported, whose layers are maps or tokens"
            )


def _pictures(settings: dict[str, Any], config: Any, size: int | None) -> Pictures:
    """What a transformers image processor would make of a picture, without its crop."""
    stated = settings.get("crop_size") or settings.get("size") or getattr(config, "image_size", 224)
    if isinstance(stated, dict):
        stated = next(stated[key] for key in ("height", "shortest_edge", *stated) if key in stated)
    mean, std = (tuple(map(float, settings.get(key) or (0.5,) * 3)) for key in ("image_mean", "image_std"))
    return Pictures(size or int(stated), mean, std)
