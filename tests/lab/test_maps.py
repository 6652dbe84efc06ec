"""Maps: what lies where, with and without land."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from trued.lab import maps

OUTLINE = [[-1, -0.5], [-1, 0.5], [1, 0.5], [1, -0.5], [-1, -0.5]]
LAND = [[1, 0, 0], [0, 0, 0]]


@pytest.fixture
def axes():
    return Figure().add_subplot()


def globe(land=None):
    return maps.Globe(OUTLINE, (-1, 1, -0.5, 0.5), land)


def test_land_lies_behind_with_its_first_row_above(axes):
    globe(LAND).draw(axes)
    assert axes.lines[0].get_xydata().tolist() == OUTLINE
    picture = axes.images[0]
    assert picture.get_extent() == [-1, 1, -0.5, 0.5]
    assert picture.get_array().mask.tolist() == [[False, True, True], [True, True, True]]
    assert picture.origin == "upper"


def test_the_outline_of_land_lies_above(axes):
    globe(np.kron(LAND, np.ones((4, 4)))).draw(axes, lines=True)
    assert not axes.images
    lines = axes.collections[0]
    points = np.concatenate([path.vertices for path in lines.get_paths()])
    assert points[:, 0].max() < 0
    assert points[:, 1].min() > -0.2
    assert lines.get_zorder() == 3


def test_errors_are_coloured_by_their_logarithm_and_some_have_arrows(axes):
    at, to = np.array([[0, 0.1], [0.5, 0.2], [-0.5, 0]]), np.array([[0.1, 0.1], [-0.5, 0], [0.5, 0]])
    maps.errors(axes, globe(), at, to, [10, 1000, 10_000], arrows=[1])
    dots = axes.collections[0]
    assert dots.get_offsets().tolist() == at.tolist()
    assert dots.get_array().tolist() == [2, 3, 4]
    (arrow,) = axes.texts
    assert (list(arrow.xy), list(arrow.get_position())) == ([-0.5, 0], [0.5, 0.2])


def test_a_density_is_drawn_by_roots_with_a_cross(axes):
    at = np.stack(np.meshgrid([-0.5, 0, 0.5], [0.2, -0.2]), axis=-1)
    maps.density(axes, globe(LAND), at, [[0, 1, 4], [9, 16, 25]], mark=[0.3, 0.1], title="there")
    mesh = next(
        collection
        for collection in axes.collections
        if collection.get_array() is not None and collection.get_array().size == 6
    )
    assert np.ravel(mesh.get_array()).tolist() == [0, 1, 2, 3, 4, 5]
    assert axes.lines[-1].get_xydata().tolist() == [[0.3, 0.1]]
    assert axes.get_title(loc="left") + axes.get_title() == "there"
