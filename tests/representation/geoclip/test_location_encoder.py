"""The location encoder against its formula by hand, and the released weights against the package's own code."""

import math

import pytest
import torch
from torch.nn import functional as F

from trued.data.globe import equal_earth
from trued.errors import InputError
from trued.representation.geoclip.location_encoder import (
    FourierFeatures,
    LocationEncoder,
    LocationEncoderConfig,
    _own_name,
)

SMALL = LocationEncoderConfig(sigmas=(1.0, 16.0), features=5, hidden=7, depth=2, dim=6)
TOWNS = torch.tensor([[48.8566, 2.3522], [-33.8688, 151.2093], [64.1466, -21.9426], [0.0, 180.0], [0.0, -180.0]])


def test_the_encoder_is_the_sum_of_its_capsules():
    encoder = LocationEncoder(SMALL, seed=3)
    total = torch.zeros(len(TOWNS), 6)
    for capsule in encoder.capsules:
        phase = 2 * math.pi * equal_earth(TOWNS) @ capsule[0].b.T
        x = torch.cat([phase.cos(), phase.sin()], 1)
        for layer in (1, 3):
            x = torch.relu(x @ capsule[layer].weight.T + capsule[layer].bias)
        total += x @ capsule[5].weight.T + capsule[5].bias
    torch.testing.assert_close(encoder(TOWNS), total)
    torch.testing.assert_close(encoder.embed(TOWNS, chunk=2), F.normalize(total, dim=1))


def test_frequencies_have_their_sigma_and_the_seed_decides_them():
    b = FourierFeatures(16.0, 4000, torch.Generator().manual_seed(0)).b
    assert b.std().item() == pytest.approx(16, rel=0.03)
    encoder, same, other = (LocationEncoder(SMALL, seed=seed) for seed in (1, 1, 2))
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name])
        assert not torch.equal(tensor, other.state_dict()[name])


def test_making_an_encoder_leaves_the_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    LocationEncoder(SMALL)
    assert torch.equal(torch.rand(3), expected)


def test_phases_stay_in_float32_under_autocast():
    """σ = 256: in bfloat16 the phase would be off by whole turns."""
    features = FourierFeatures(256.0, 64, torch.Generator().manual_seed(0))
    xy = equal_earth(TOWNS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = features(xy)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, features(xy))
    rough = 2 * math.pi * xy.bfloat16() @ features.b.bfloat16().T
    assert (rough.float().cos() - inside[:, :64]).abs().mean() > 0.1


def test_no_frequency_is_one_capsule_on_the_map():
    encoder = LocationEncoder(LocationEncoderConfig(sigmas=(), hidden=7, depth=1, dim=6))
    (capsule,) = encoder.capsules
    hidden = torch.relu(equal_earth(TOWNS) @ capsule[1].weight.T + capsule[1].bias)
    torch.testing.assert_close(encoder(TOWNS), hidden @ capsule[3].weight.T + capsule[3].bias)


def test_another_projection_is_used_as_it_is():
    encoder = LocationEncoder(SMALL, projection=lambda latlon: latlon / 180)
    plain = LocationEncoder(SMALL)
    assert not torch.allclose(encoder(TOWNS), plain(TOWNS))
    torch.testing.assert_close(encoder(TOWNS[:0]), torch.zeros(0, 6))


def test_the_edge_of_the_map_is_told_apart():
    east, west = LocationEncoder(SMALL).embed(TOWNS[3:])
    assert east @ west < 0.999  # one meridian, two encodings: documented, and the reason for distances on the sphere


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"sigmas": (1.0, 0.0)}, "above 0"), ({"sigmas": (math.nan,)}, "above 0"), ({"dim": 0}, "dim is 0"),
     ({"depth": 0}, "depth is 0")],
)  # fmt: skip
def test_a_shape_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        LocationEncoderConfig(**changes)


def test_embedding_refuses_what_is_no_place():
    with pytest.raises(InputError, match="latitude 100"):
        LocationEncoder(SMALL).embed(torch.tensor([[100.0, 0.0]]))


def test_released_names_become_ours():
    assert _own_name("LocEnc2.capsule.0.b") == "capsules.2.0.b"
    assert _own_name("LocEnc0.capsule.5.weight") == "capsules.0.5.weight"
    assert _own_name("LocEnc1.head.0.bias") == "capsules.1.7.bias"
    assert len(LocationEncoder().state_dict()) == 27


@pytest.mark.slow
def test_released_weights_give_what_the_package_gives():
    """Pinned: computed once with `geoclip` 1.3.0's own code.

    Phases of a thousand radians in float32 are known to about 2e-4 only, so the order of operations in the projection
    shows in the fifth decimal.
    """
    encoder = LocationEncoder.released()
    with torch.no_grad():
        result = encoder(TOWNS)
    first = [[-0.01307, 0.0074, -0.00653, 0.00747], [-0.01793, 0.01372, 0.00831, -0.01434],
             [0.01887, 0.02922, 0.00598, 0.02159], [-0.02231, -0.01487, -0.00207, 0.01571],
             [-0.01462, -0.00208, 0.00551, -0.02334]]  # fmt: skip
    torch.testing.assert_close(result[:, :4], torch.tensor(first), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        result.norm(dim=1), torch.tensor([0.24007, 0.27192, 0.31861, 0.38514, 0.30801]), atol=1e-4, rtol=0
    )
    cosine = encoder.embed(TOWNS) @ encoder.embed(TOWNS[:1])[0]
    torch.testing.assert_close(cosine, torch.tensor([1.0, 0.28979, 0.16362, -0.05812, 0.01095]), atol=1e-4, rtol=0)
