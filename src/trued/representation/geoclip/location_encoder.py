"""The location encoder of GeoCLIP (arXiv 2309.16020, section 3.2): a continuous function from the globe to vectors.

Places go onto the Equal Earth map, through random Fourier features of several frequencies, through one MLP a frequency
(a capsule), and the capsules' outputs are added.

Knows places and vectors. Knows nothing of pictures, losses or galleries.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trued.data.globe import check_places, equal_earth
from trued.errors import InputError
from trued.fetch.assets import Asset
from trued.fetch.pickled import pinned_tensors
from trued.fetch.wheel import Member, Wheel
from trued.learn.unit import unit_rows

WHEEL = Wheel(
    "geoclip",
    "1.3.0",
    "geoclip-1.3.0-py3-none-any.whl",
    "08a93791166a279d52b95c466a952c75f17f654cc61bdf6ab20355325b564dec",
    40_292_198,
)
RELEASED = Asset(
    Member(WHEEL, "geoclip/model/weights/location_encoder_weights.pth"),
    "94b80ae3af89fca78539e129dd2929d321247f5ceeeb0a31bc2c31041a253394",
)
Projection = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LocationEncoderConfig:
    """The shape of a location encoder; the defaults are the paper's.

    Args:
        sigmas: standard deviations of the Fourier matrices, coarse to fine, one capsule each; none at all gives one
            capsule on the bare map coordinates.
        features: rows of each Fourier matrix; a capsule sees twice as many numbers.
        hidden: width of a capsule's layers.
        depth: hidden layers of a capsule.
        dim: width of the output.

    Raises:
        InputError: a number is not above 0.
    """

    sigmas: tuple[float, ...] = (1.0, 16.0, 256.0)
    features: int = 256
    hidden: int = 1024
    depth: int = 3
    dim: int = 512

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", tuple(float(sigma) for sigma in self.sigmas))
        for name in ("features", "hidden", "depth", "dim"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if not all(0 < sigma < math.inf for sigma in self.sigmas):
            raise InputError(f"sigmas are {self.sigmas}: each must be a finite number above 0")


class FourierFeatures(nn.Module):
    """γ(x) = [cos 2πBx, sin 2πBx] with B drawn once from N(0, σ²) (Tancik et al. 2020; GeoCLIP, equation 3).

    Always computed in float32: with σ = 256 the phase runs to thousands of radians, and bfloat16 keeps none of it.

    Args:
        sigma: standard deviation of B.
        features: its rows.
        generator: draws it.
    """

    b: Tensor

    def __init__(self, sigma: float, features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("b", torch.randn(features, 2, generator=generator) * sigma)

    def forward(self, xy: Float[Tensor, "places 2"]) -> Float[Tensor, "places features"]:
        with torch.autocast(xy.device.type, enabled=False):
            phase = 2 * math.pi * xy.float() @ self.b.float().T
            return torch.cat([phase.cos(), phase.sin()], dim=-1)


class LocationEncoder(nn.Module):
    """L(place) = Σ_i capsule_i(γ_i(equal_earth(place))).

    Longitudes +180 and -180 are one meridian with two different encodings, for the map has an edge there.

    Args:
        config: its shape.
        projection: places in degrees to points on a map; Equal Earth by default.
        seed: decides the Fourier matrices and the first weights.
    """

    def __init__(
        self,
        config: LocationEncoderConfig = LocationEncoderConfig(),
        *,
        projection: Projection = equal_earth,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.projection = config, projection
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.capsules = nn.ModuleList(_capsule(config, sigma, generator) for sigma in config.sigmas or (None,))

    @classmethod
    def released(cls) -> LocationEncoder:
        """Return the authors' trained encoder, out of the package `geoclip`, its Fourier matrices included.

        Raises:
            InputError: the package is neither installed nor to be had.
        """
        published = pinned_tensors(RELEASED)
        encoder = cls()
        encoder.load_state_dict({_own_name(name): tensor for name, tensor in published.items()}, strict=True)
        return encoder.eval()

    def fingerprint(self) -> str:
        """Return a hash of the weights, under which encoded galleries are kept."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def forward(self, latlon: Float[Tensor, "places 2"]) -> Float[Tensor, "places dim"]:
        """Encode places, in degrees; the vectors have any length.

        Raises:
            InputError: coordinates that are no place.
        """
        xy = self.projection(check_places(latlon).float())
        return torch.stack([capsule(xy) for capsule in self.capsules]).sum(0)

    @torch.no_grad()
    def embed(self, latlon: Float[Tensor, "places 2"], *, chunk: int = 4096) -> Float[Tensor, "places dim"]:
        """Return unit vectors, `chunk` places at a time, without a gradient.

        Raises:
            InputError: coordinates that are no place.
        """
        latlon = check_places(latlon)
        device = next(self.parameters()).device
        out = torch.empty(len(latlon), self.config.dim)
        for start in range(0, len(latlon), chunk):
            part = self(latlon[start : start + chunk].to(device)).float()
            out[start : start + chunk] = unit_rows(part)
        return out


def _capsule(config: LocationEncoderConfig, sigma: float | None, generator: torch.Generator) -> nn.Sequential:
    """One frequency's branch; None stands for the bare coordinates."""
    if sigma is None:
        first, width = nn.Identity(), 2
    else:
        first, width = FourierFeatures(sigma, config.features, generator), 2 * config.features
    layers: list[nn.Module] = [first]
    for _ in range(config.depth):
        layers += [nn.Linear(width, config.hidden), nn.ReLU()]
        width = config.hidden
    return nn.Sequential(*layers, nn.Linear(width, config.dim))


def _own_name(name: str) -> str:
    """Return our name of a released tensor: LocEnc0.capsule.0.b is capsules.0.0.b, and the head is the last layer."""
    branch, part, layer, *rest = name.split(".")
    number = branch.removeprefix("LocEnc")
    place = layer if part == "capsule" else str(1 + 2 * LocationEncoderConfig.depth)
    return ".".join(["capsules", number, place, *rest])
