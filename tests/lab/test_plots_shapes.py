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


def test_dots_stand_in_a_row_for_each_arm_with_the_first_above(axes):
    arms = {"first": [{"a": 0.1, "b": 0.5}, {"a": 0.3, "b": 0.7}], "second": [{"a": 0.2, "b": 0.2}] * 2}
    plots.dots(axes, arms, {"ten": "a", "twenty": "b"}, "right, %")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    assert axes.get_yticks().tolist() == [1, 0]
    means = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_label() for line in means] == ["ten", "twenty"]
    assert means[0].get_xdata() == pytest.approx([20, 20])
    assert means[1].get_xdata() == pytest.approx([60, 20])
    assert means[0].get_ydata() == pytest.approx([0.89, -0.11])
    seeds = [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "."]
    assert np.sort(np.concatenate(seeds)) == pytest.approx([10, 20, 20, 20, 20, 30, 50, 70])


def test_lines_go_through_the_points_and_a_lone_point_is_a_mark(axes):
    points = {"many": [[1, 2], [3, 4]], "lone": (5, 6)}
    plots.lines(axes, points, "x", "y", texts={"many": ["first", "last"]})
    many, lone = axes.lines
    assert many.get_xydata().tolist() == [[1, 2], [3, 4]]
    assert many.get_linestyle() == "-"
    assert lone.get_xydata().tolist() == [[5, 6]]
    assert lone.get_linestyle() == "None"
    assert [text.get_text() for text in axes.texts] == ["first", "last"]
    assert axes.texts[1].xy == pytest.approx((3, 4))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["many", "lone"]


def test_histories_are_moving_means_in_a_colour_a_seed_and_a_style_a_label(axes):
    history = np.arange(40.0)
    plots.histories(axes, {"plain": [history, history + 1], "told": [history]}, "step", "loss")
    first, second, told = axes.lines
    assert first.get_ydata() == pytest.approx(np.arange(39) + 0.5)  # over two steps, a twentieth of forty
    assert second.get_ydata() == pytest.approx(first.get_ydata() + 1)
    assert first.get_color() == told.get_color() != second.get_color()
    assert first.get_linestyle() == second.get_linestyle() != told.get_linestyle()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["plain", "told"]
