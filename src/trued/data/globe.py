"""Places on the globe: the Equal Earth map and its inverse, great-circle distances, and noise in metres.

A place is (latitude, longitude) in degrees, in this order. The map is continuous, yet it has an edge: longitudes +180
and -180 are one meridian and lie on opposite sides of it, so distances are always taken on the sphere.

Knows coordinates. Knows nothing of pictures, encoders or what the distances are for.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from trued.errors import InputError

A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796  # Šavrič, Patterson and Jenny 2018, equation 4
DEGREES = 66.50336  # half the map's width, in degrees, over which x is ±1 (GeoCLIP's code)
SCALE = DEGREES / 180
RADIUS_KM = 6371.0088  # mean radius of the Earth (IUGG)
NORTH_EDGE = 0.486717  # y of the north pole

_ROOT3 = math.sqrt(3)
_NEWTON_STEPS = 8  # enough for float64 from any start on the map


def check_places(latlon: Tensor, *, wrap: bool = False) -> Float[Tensor, "places 2"]:
    """Return places, checked.

    Args:
        latlon: latitude and longitude in degrees, one row a place.
        wrap: bring longitudes beyond ±180 back to where they belong, instead of refusing them.

    Raises:
        InputError: not rows of two numbers, not finite, or outside ±90 and ±180 degrees; the row is named.
    """
    if latlon.ndim != 2 or latlon.shape[1] != 2:
        raise InputError(f"places of shape {tuple(latlon.shape)}: give one row of latitude and longitude a place")
    if not latlon.is_floating_point():
        latlon = latlon.float()
    if wrap:
        latlon = torch.stack([latlon[:, 0], (latlon[:, 1] + 180) % 360 - 180], dim=1)
    limit = latlon.new_tensor([90.0, 180.0])
    wrong = ~(latlon.abs() <= limit).all(1)  # NaN compares false, so it is wrong too
    if wrong.any():
        row = int(wrong.nonzero()[0])
        latitude, longitude = latlon[row].tolist()
        remedy = (
            "are they the other way round?" if abs(latitude) > 90 >= abs(longitude) else "wrap=True wraps longitude"
        )
        raise InputError(
            f"place {row} is latitude {latitude:g}, longitude {longitude:g}: latitude runs from -90 to 90 and "
            f"longitude from -180 to 180 degrees ({remedy})"
        )
    return latlon


def equal_earth(latlon: Float[Tensor, "*places 2"]) -> Float[Tensor, "*places 2"]:
    """Project places onto the Equal Earth map (GeoCLIP, section 3.2; the constants are the projection's own).

    With sin θ = (√3/2) sin φ:  x = 2√3 λ cos θ / (3 (9 A4 θ⁸ + 7 A3 θ⁶ + 3 A2 θ² + A1)),
    y = A4 θ⁹ + A3 θ⁷ + A2 θ³ + A1 θ, in radians, both times `SCALE`.

    Sums begin with the highest power, as in GeoCLIP's code: with σ = 256 the location encoder's features show the last
    bit of float32, and another order of rounding moves them by 4e-5.

    Args:
        latlon: degrees.

    Returns:
        x from -1 to 1 and y from about -0.487 to 0.487; equal areas stay equal.
    """
    phi, lam = latlon.deg2rad().unbind(-1)
    theta = torch.asin(_ROOT3 / 2 * phi.sin())
    x = 2 * _ROOT3 * lam * theta.cos() / (3 * _slope(theta))
    return torch.stack([x, _height(theta)], dim=-1) * DEGREES / 180


def inverse_equal_earth(xy: Float[Tensor, "*points 2"]) -> Float[Tensor, "*points 2"]:
    """Return the places of points on the map: Newton's method on y(θ), which rises everywhere.

    Points beside the globe's outline give NaN, as they are no place.
    """
    x, y = (xy.double() / SCALE).unbind(-1)
    theta = y / A1
    for _ in range(_NEWTON_STEPS):
        theta = theta - (_height(theta) - y) / _slope(theta)
    sine = theta.sin() * 2 / _ROOT3
    phi = torch.asin(torch.where(sine.abs() <= 1 + 1e-9, sine.clamp(-1, 1), math.nan))
    lam = x * 3 * _slope(theta) / (2 * _ROOT3 * theta.cos())
    lam = torch.where(lam.abs() <= math.pi * (1 + 1e-6), lam.clamp(-math.pi, math.pi), math.nan)
    latlon = torch.stack([phi, lam], dim=-1).rad2deg()
    outside = latlon.isnan().any(-1, keepdim=True)
    return torch.where(outside, math.nan, latlon).to(xy.dtype)


def outline(step: int = 3) -> Float[Tensor, "points 2"]:
    """Return the map's edge, both sides of the 180th meridian, as a closed line with a point every `step` degrees."""
    north = torch.arange(-90.0, 91.0, step)
    west, east = (torch.stack([north, torch.full_like(north, side)], dim=1) for side in (-180.0, 180.0))
    return equal_earth(torch.cat([west, east.flip(0), west[:1]]))


def _height(theta: Tensor) -> Tensor:
    return A4 * theta**9 + A3 * theta**7 + A2 * theta**3 + A1 * theta


def _slope(theta: Tensor) -> Tensor:
    return 9 * A4 * theta**8 + 7 * A3 * theta**6 + 3 * A2 * theta**2 + A1


def haversine_km(a: Float[Tensor, "*#places 2"], b: Float[Tensor, "*#places 2"]) -> Float[Tensor, "*places"]:
    """Return great-circle distances in kilometres, in the places' own precision; the shapes broadcast.

    The sphere has the Earth's mean radius, so distances are within 0.6 % of those on the ellipsoid.
    """
    (phi_a, lam_a), (phi_b, lam_b) = a.deg2rad().unbind(-1), b.deg2rad().unbind(-1)
    half = ((phi_a - phi_b) / 2).sin() ** 2 + phi_a.cos() * phi_b.cos() * ((lam_a - lam_b) / 2).sin() ** 2
    return 2 * RADIUS_KM * torch.asin(half.clamp(0, 1).sqrt())


def to_sphere(latlon: Float[Tensor, "*places 2"]) -> Float[Tensor, "*places 3"]:
    """Return places as unit vectors from the Earth's centre."""
    phi, lam = latlon.deg2rad().unbind(-1)
    return torch.stack([phi.cos() * lam.cos(), phi.cos() * lam.sin(), phi.sin()], dim=-1)


def from_sphere(xyz: Float[Tensor, "*places 3"]) -> Float[Tensor, "*places 2"]:
    """Return the places that vectors from the Earth's centre point to, whatever their length."""
    x, y, z = xyz.unbind(-1)
    return torch.stack([torch.atan2(z, torch.hypot(x, y)), torch.atan2(y, x)], dim=-1).rad2deg()


def jitter(
    latlon: Float[Tensor, "places 2"], std_m: float, generator: torch.Generator | None = None
) -> Float[Tensor, "places 2"]:
    """Move each place by Gaussian noise with `std_m` metres to the north and as much to the east.

    Across a pole and across the 180th meridian a place comes out where it belongs. Within a few `std_m` of a pole, east
    is hardly a direction, and the noise only roughly Gaussian.

    Args:
        latlon: degrees.
        std_m: standard deviation in metres; 0 returns the places as they are.
        generator: the source of the noise; PyTorch's default one otherwise.

    Raises:
        InputError: `std_m` is negative or not finite.
    """
    if not 0 <= std_m < math.inf:
        raise InputError(f"a noise of {std_m} metres: give a finite number from 0")
    if std_m == 0:
        return latlon
    noise = torch.randn(latlon.shape, generator=generator, dtype=latlon.dtype).to(latlon.device)
    north, east = (noise * (std_m / 1000 / RADIUS_KM)).rad2deg().unbind(-1)
    latitude, longitude = latlon.unbind(-1)
    longitude = longitude + east / latitude.deg2rad().cos().clamp(min=1e-3)
    latitude = latitude + north
    turned = (latitude + 90) % 360  # from the south pole on: up to the north pole, and down the other side from there
    over = turned > 180
    folded = torch.where(over, 270 - turned, turned - 90)
    latitude = torch.where(latitude.abs() > 90, folded, latitude).clamp(-90, 90)
    longitude = torch.where(over, longitude + 180, longitude)
    return torch.stack([latitude, ((longitude + 180) % 360 - 180).clamp(-180, 180)], dim=-1)
