"""The globe: the map against its own definition and back, distances against closed forms, noise of the right size."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trued.data.globe import (
    NORTH_EDGE,
    RADIUS_KM,
    SCALE,
    check_places,
    equal_earth,
    from_sphere,
    haversine_km,
    inverse_equal_earth,
    jitter,
    outline,
    to_sphere,
)
from trued.errors import InputError
from trued.representation.geoclip.location_encoder import FourierFeatures, LocationEncoder

PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def place(*latlon):
    return torch.tensor([latlon], dtype=torch.float64)


@given(PLACES)
def test_the_inverse_leads_back(latlon):
    there = place(*latlon)
    back = inverse_equal_earth(equal_earth(there))
    assert haversine_km(there, back).item() < 1e-3


def test_the_map_is_the_published_one():
    """Values by the package `geoclip` 1.3.0, whose constants and scale are the same."""
    towns = torch.tensor([[48.8566, 2.3522], [-33.8688, 151.2093], [-54.8019, -68.3030], [0.0, 180.0], [90.0, 0.0]])
    theirs = [[0.0109, 0.3411], [0.7711, -0.2456], [-0.3004, -0.3750], [1.0, 0.0], [0.0, 0.4867]]
    torch.testing.assert_close(equal_earth(towns), torch.tensor(theirs), atol=5e-5, rtol=0)
    assert equal_earth(place(90, 0))[0, 1].item() == pytest.approx(NORTH_EDGE, abs=1e-6)


def in_the_order_of_geoclip(places):
    """The map's equations with every float32 rounding where the package `geoclip` 1.3.0 has it."""
    phi, lam = torch.deg2rad(places).unbind(1)
    root = torch.tensor(3.0).sqrt()
    theta = torch.asin(root / 2 * phi.sin())
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    slope = ((9 * a4 * theta.pow(8) + 7 * a3 * theta.pow(6)) + 3 * a2 * theta.pow(2)) + a1
    y = ((a4 * theta.pow(9) + a3 * theta.pow(7)) + a2 * theta.pow(3)) + a1 * theta
    return torch.stack([2 * root * lam * theta.cos() / (3 * slope), y], 1) * 66.50336 / 180


def test_the_map_rounds_as_the_released_package_does():
    """Phases of the finest features run to thousands of radians, where the last bit of the map can be seen."""
    places = from_sphere(torch.randn(5000, 3, generator=torch.Generator().manual_seed(0)))
    ours, theirs = equal_earth(places), in_the_order_of_geoclip(places)
    fourier = FourierFeatures(256.0, 256, torch.Generator().manual_seed(1))
    assert (fourier(ours) - fourier(theirs)).abs().max() <= 1e-5
    encoder, same = LocationEncoder(seed=1), LocationEncoder(seed=1, projection=in_the_order_of_geoclip)
    assert (encoder.embed(places) - same.embed(places)).abs().max() <= 1e-5
    precise = equal_earth(places.double())
    assert (ours - precise).abs().max() < 5e-7


@given(st.floats(-80, 80), st.floats(-170, 170))
def test_equal_areas_stay_equal(latitude, longitude):
    """The Jacobian's determinant is cos(latitude) times a constant: the definition of an equal-area map."""
    at = torch.tensor([latitude, longitude], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(equal_earth, at)
    area = torch.linalg.det(jacobian).abs().item() / math.cos(math.radians(latitude))
    assert area == pytest.approx((math.pi / 180 * SCALE) ** 2, rel=1e-6)


def test_beside_the_globe_is_no_place():
    points = torch.tensor([[0.99, 0.45], [0.0, 0.6], [0.0, 0.0]])
    assert inverse_equal_earth(points).isnan().all(1).tolist() == [True, True, False]


@given(PLACES, PLACES)
def test_distances_are_those_between_vectors(a, b):
    a, b = place(*a), place(*b)
    x, y = to_sphere(a)[0].numpy(), to_sphere(b)[0].numpy()
    angle = math.atan2(np.linalg.norm(np.cross(x, y)), float(x @ y))  # exact at every angle, unlike the arc cosine
    assert haversine_km(a, b).item() == pytest.approx(RADIUS_KM * angle, abs=1e-3)


def test_the_antimeridian_is_no_distance():
    assert haversine_km(place(10, 179.9), place(10, -179.9)).item() == pytest.approx(
        RADIUS_KM * math.radians(0.2) * math.cos(math.radians(10)), rel=1e-5
    )
    assert haversine_km(place(0, 180), place(0, -180)).item() < 1e-6
    east, west = equal_earth(place(0, 180)), equal_earth(place(0, -180))
    assert (east - west).abs().max() == pytest.approx(2, abs=1e-4)  # and still the map has an edge there


@given(PLACES)
def test_vectors_lead_back(latlon):
    assert haversine_km(place(*latlon), from_sphere(3 * to_sphere(place(*latlon)))).item() < 1e-6


@pytest.mark.parametrize("latitude", [0.0, 60.0])
def test_noise_has_its_size_in_metres_both_ways(latitude):
    places = torch.tensor([[latitude, 179.999]], dtype=torch.float64).expand(20_000, 2)
    moved = jitter(places, 1000.0, torch.Generator().manual_seed(0))
    check_places(moved)
    north = haversine_km(places, torch.stack([moved[:, 0], places[:, 1]], 1))
    east = haversine_km(places, torch.stack([places[:, 0], moved[:, 1]], 1))
    assert north.square().mean().sqrt().item() == pytest.approx(1.0, rel=0.03)
    assert east.square().mean().sqrt().item() == pytest.approx(1.0, rel=0.03)
    assert ((moved[:, 1] < 0).double().mean() - 0.5).abs() < 0.2  # half of them crossed the meridian


@pytest.mark.parametrize("metres", [1e7, 2e7, 1e8])
def test_noise_as_large_as_the_globe_does_not_leave_it(metres):
    places = from_sphere(torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)))
    check_places(jitter(places, metres, torch.Generator().manual_seed(1)))


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1e5), st.integers(0, 99))
def test_noise_never_leaves_the_globe(latitude, longitude, metres, seed):
    moved = jitter(place(latitude, longitude), metres, torch.Generator().manual_seed(seed))
    check_places(moved)
    assert haversine_km(place(latitude, longitude), moved).item() <= 8 * metres / 1000 + 1e-6


@pytest.mark.parametrize("metres", [-1.0, math.nan, math.inf])
def test_noise_is_a_length(metres):
    with pytest.raises(InputError, match="finite number from 0"):
        jitter(place(0, 0), metres)


@pytest.mark.parametrize(
    ("latlon", "message"),
    [
        ([[0.0, 0.0], [91.0, 0.0]], "place 1 is latitude 91.*the other way round"),
        ([[0.0, 181.0]], "longitude 181.*wrap=True"),
        ([[math.nan, 0.0]], "latitude nan"),
        ([[0.0, math.inf]], "longitude inf"),
        ([0.0, 0.0], "one row of latitude and longitude"),
        ([[0.0, 0.0, 0.0]], "one row of latitude and longitude"),
    ],
)
def test_what_is_no_place_is_named(latlon, message):
    with pytest.raises(InputError, match=message):
        check_places(torch.tensor(latlon))


def test_longitudes_wrap_if_asked_and_latitudes_never():
    wrapped = check_places(torch.tensor([[1.0, 190.0], [2.0, -540.0], [3.0, 12.0]]), wrap=True)
    assert wrapped.tolist() == [[1.0, -170.0], [2.0, -180.0], [3.0, 12.0]]
    with pytest.raises(InputError, match="latitude -91"):
        check_places(torch.tensor([[-91.0, 0.0]]), wrap=True)


def test_the_outline_is_a_closed_line_along_both_sides_of_the_map():
    line = outline(10)
    assert len(line) == 2 * 19 + 1
    assert torch.equal(line[0], line[-1])
    assert line[:, 0].min() == pytest.approx(-1, abs=1e-4)
    assert line[:, 0].max() == pytest.approx(1, abs=1e-4)
    assert line[:, 1].abs().max() == pytest.approx(NORTH_EDGE, abs=1e-4)
    west = inverse_equal_earth(line[1:18].double())
    torch.testing.assert_close(west[:, 1], torch.full((17,), -180.0, dtype=torch.float64), atol=1e-3, rtol=0)
