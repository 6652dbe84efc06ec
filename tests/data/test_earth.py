"""Tiles: cut where they are said to be, split by blocks, on land. On a painted map; once on the real one."""

import gzip

import numpy as np
import pytest
import torch
from PIL import Image

from trued.data import earth as module
from trued.data.earth import SPLITS, blue_marble, land_grid, land_map, on_land
from trued.errors import InputError

ROWS, COLUMNS = 180, 360  # a pixel a degree


@pytest.fixture(autouse=True)
def painted(tmp_path, monkeypatch, request):
    """Red tells the row, green and blue the column; land is the western hemisphere north of 30° south, with a lake."""
    if "slow" in request.keywords:
        yield
        return
    row, column = np.mgrid[:ROWS, :COLUMNS]
    picture = np.stack([row, column // 2, column % 2], -1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "map.png")
    land = np.zeros((2160, 4320), np.uint8)  # from the south pole on, as the package has it
    land[720:, :2160] = 1
    land[1080:1200, 0:120] = 2  # from the equator to 10° north, at the antimeridian
    (tmp_path / "mask.bin").write_bytes(gzip.compress(land.tobytes()))
    monkeypatch.setattr(
        module, "asset_path", lambda asset: tmp_path / ("map.png" if asset is module.PICTURE else "mask.bin")
    )
    for cached in (module._picture, module._mask):
        cached.cache_clear()
    yield
    for cached in (module._picture, module._mask):
        cached.cache_clear()


def tiles(**options):
    return {split: blue_marble(split, size=4, block=2, **options) for split in SPLITS}


def test_a_tile_shows_what_lies_about_its_place():
    result = tiles()["train"]
    assert result.images.shape[1:] == (3, 4, 4)
    for image, (latitude, longitude) in zip(result.images.long(), result.places.tolist(), strict=True):
        rows, columns = image[0], 2 * image[1] + image[2]
        assert 90 - (rows.float().mean() + 0.5).item() == pytest.approx(latitude)
        assert (columns.float().mean() + 0.5).item() - 180 == pytest.approx(longitude)
        assert rows[0, 0] < rows[-1, 0]  # north up
    assert result.floats().max() <= 1


def test_tiles_do_not_overlap_and_blocks_stay_together():
    result = tiles()
    every = torch.cat([part.places for part in result.values()])
    assert len(every.unique(dim=0)) == len(every)
    block_of = {}
    for split, part in result.items():
        for latitude, longitude in part.places.tolist():
            block = (int((90 - latitude) // 8), int((longitude + 180) // 8))
            assert block_of.setdefault(block, split) == split
    shares = {split: len(part) / len(every) for split, part in result.items()}
    assert shares["train"] == pytest.approx(0.6, abs=0.1)
    assert all(len(part) for part in result.values())
    assert torch.equal(blue_marble("test", size=4, block=2).places, result["test"].places)


def test_tiles_lie_on_land_within_the_latitude():
    result = torch.cat([part.places for part in tiles(latitude=50.0).values()])
    assert result[:, 0].abs().max() <= 48
    assert result[:, 0].min() >= -30
    assert result[:, 1].max() < 0
    assert on_land(result).all()
    sea = torch.cat([part.places for part in tiles(land=0.0).values()])
    assert len(sea) > len(result)


def test_land_is_north_up_and_lakes_and_nan_are_none():
    places = [[10.0, -100.0], [-40.0, -100.0], [10.0, 100.0], [5.0, -175.0], [90.0, -180.0], [90.0, 180.0]]
    assert on_land(torch.tensor(places)).tolist() == [True, False, False, False, True, True]
    assert on_land(torch.tensor([[float("nan"), 0.0]])).tolist() == [False]


def test_the_map_of_land_is_north_up():
    land = land_map(90, 181)
    assert land.shape == (90, 181)
    assert land[10:40, 60:90].all()  # the northern half of the western hemisphere
    assert not land[:, 91:].any()
    assert not land[80:].any()
    assert not land[45, 0]  # beside the globe, or in the lake


def test_the_grid_is_of_places_on_land():
    grid = land_grid(10.0, latitude=60.0)
    assert on_land(grid).all()
    assert len(grid) == 9 * 18 - 1  # nine rows of 18 on land, and one of them in the lake
    assert (grid[0] - grid[1]).tolist() == [0.0, -10.0]


def test_a_shrunk_map_has_the_same_places():
    whole, shrunk = blue_marble("test", size=4, block=2), blue_marble("test", size=2, block=2, shrink=2)
    assert torch.equal(whole.places, shrunk.places)


def test_what_leaves_no_tile_is_said():
    with pytest.raises(InputError, match="no split 'dev'"):
        blue_marble("dev")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="no tile of 4 pixels"):
        blue_marble("train", size=4, latitude=1.0)
    for options in ({"size": 0}, {"block": 0}, {"shrink": 0}):
        with pytest.raises(InputError, match="each is at least 1"):
            blue_marble("train", **options)
    for degrees in (0.0, 100.0):
        with pytest.raises(InputError, match="above 0 and up to 90"):
            land_grid(degrees)


@pytest.mark.slow
def test_the_real_map_has_land_where_land_is():
    inland = torch.tensor([[48.85, 2.35], [38.0, -98.0], [-33.0, 147.0], [-25.0, 25.0], [60.0, 100.0]])
    sea = torch.tensor([[0.0, -30.0], [0.0, -150.0], [-50.0, 80.0], [40.0, -40.0]])
    assert on_land(inland).all()
    assert not on_land(sea).any()
    assert [len(blue_marble(split)) for split in SPLITS] == [1831, 427, 814]
    sahara = blue_marble("train").images[
        (blue_marble("train").places - torch.tensor([23.0, 10.0])).norm(dim=1).argmin()
    ]
    red, _, blue = sahara.float().mean((1, 2))
    assert red > 1.3 * blue


def test_latitudes_beyond_the_poles_and_other_shares_are_refused():
    for options in ({"latitude": 151.0}, {"latitude": 0.0}, {"land": 1.5}):
        with pytest.raises(InputError, match="give degrees from 0 to 90, and a share from 0 to 1"):
            blue_marble("train", **options)
    with pytest.raises(InputError, match="latitude 151"):
        on_land(torch.tensor([[0.0, 0.0], [151.0, 0.0]]))
