"""Views of pictures: what each change does, on its own, and what is refused."""

from __future__ import annotations

import pytest
import torch

from trued.errors import InputError
from trued.vision.views import Views

PLAIN = Views(16, area=(1.0, 1.0), aspect=1.0, mirrored=0, coloured=0, grey=0)


def pictures(count=3, size=16):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def views(**changes):
    return Views(**({"size": 16, "area": (1.0, 1.0), "aspect": 1.0, "mirrored": 0, "coloured": 0, "grey": 0} | changes))


def test_without_changes_a_view_is_the_picture():
    assert torch.equal(PLAIN(pictures(), 0), pictures())
    assert PLAIN(pictures(size=40), 0).shape == (3, 3, 16, 16)


def test_mirrored_and_grey():
    assert torch.equal(views(mirrored=1)(pictures(), 0), pictures().flip(-1))
    grey = views(grey=1)(pictures(), 0)
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert torch.equal(grey[:, 0], grey[:, 2])


def test_a_crop_holds_the_share_of_the_area_that_was_drawn():
    ramp = torch.arange(240, dtype=torch.uint8).expand(40, 3, 240, 240).contiguous()  # each column has its number
    views = Views(64, area=(0.25, 0.25), aspect=1.0, mirrored=0, coloured=0, grey=0)(ramp, 1)
    width = views[:, 0, 0, -1].int() - views[:, 0, 0, 0].int()
    assert ((width - 118).abs() <= 2).all()  # half of the width, less half a pixel of the view at each end
    left = views[:, 0, 0, 0].int()
    assert left.min() < 30
    assert left.max() > 90
    wide = Views(64, area=(0.3, 0.3), aspect=2.0, mirrored=0, coloured=0, grey=0)(ramp, 1)
    widths = (wide[:, 0, 0, -1].int() - wide[:, 0, 0, 0].int()) / 240
    assert widths.min() < 0.45
    assert widths.max() > 0.68  # sqrt(0.3 / 2) = 0.39 to sqrt(0.3 * 2) = 0.77


def test_colours_change_within_their_bounds_and_places_stay():
    flat = torch.full((60, 3, 16, 16), 100, dtype=torch.uint8)
    brighter = views(coloured=1, strength=0.4, hue=0)(flat, 0)
    assert (brighter == brighter[:, :, :1, :1]).all()
    assert 55 <= int(brighter.min()) < 80
    assert 120 < int(brighter.max()) <= 145
    red = torch.zeros(60, 3, 16, 16, dtype=torch.uint8)
    red[:, 0] = 200
    turned = views(coloured=1, strength=0, hue=0.1)(red, 0)
    assert (turned[:, 0] >= 198).all()  # a turn by 0.1 leaves red the strongest
    assert int(turned[:, 1].max()) > 50
    assert int(turned[:, 2].max()) > 50
    assert torch.equal(views(coloured=1, strength=0, hue=0)(red, 0), red)


def test_the_seed_and_the_place_decide():
    first, again, other = Views(16)(pictures(), 3), Views(16)(pictures(), 3), Views(16)(pictures(), 4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(Views(16)(pictures(2), 3), first[:2])


def test_what_is_no_picture_and_no_setting():
    with pytest.raises(InputError, match="give bytes"):
        PLAIN(pictures().float(), 0)
    for wrong in (
        {"size": 0},
        {"area": (0.0, 1.0)},
        {"area": (0.8, 0.5)},
        {"aspect": 0.5},
        {"grey": 1.5},
        {"hue": 0.6},
    ):
        with pytest.raises(InputError):
            Views(**wrong)
