"""Plots of tables, clouds and axes: what is drawn where."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from trued.lab import plots


@pytest.fixture
def axes():
    return Figure().add_subplot()


def test_an_image_marks_the_largest_number_and_the_last_row_and_column(axes):
    plots.image(axes, [[0.0, 0.2, 0.1], [0.5, 0.3, 0.4]], "x", "y", "similarity")
    circle, cross = axes.lines
    assert circle.get_xydata().tolist() == [[0, 1]]
    assert cross.get_xydata().tolist() == [[2, 1]]
    assert axes.images[0].get_array().shape == (2, 3)
    assert axes.get_ylim() == (-0.5, 1.5)  # the first row below
    assert axes.figure.axes[1].get_ylabel() == "similarity"


def test_a_cloud_has_a_mark_for_every_item_of_every_seed_in_the_colour_of_its_group(axes):
    plots.cloud(axes, [[0.1, 0.2], [0.3, 0.4]], np.array([[1, 2], [3, 4]]), [0, 1], ["first", "last"], "x", "y")
    dots = axes.collections[0]
    assert dots.get_offsets().tolist() == [[0.1, 1], [0.2, 2], [0.3, 3], [0.4, 4]]
    assert np.ravel(dots.get_array()).tolist() == [0, 1, 0, 1]
    bar = axes.figure.axes[1]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["first", "last"]


def test_a_doubling_axis_has_ticks_where_the_numbers_are(axes):
    plots.doubling(axes, (500, 1000, 2000))
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["500", "1,000", "2,000"]
    assert not len(axes.get_xticks(minor=True))
