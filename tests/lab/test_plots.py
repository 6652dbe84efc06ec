"""Plots: what is drawn, read back from the axes."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from trued.lab import plots
from trued.lab.figure import QUIET, SERIES
from trued.learn.statistics import Interval

ARMS = {
    "base": [{"asr": [1, 1], "task": 0.5}],
    "A": [{"asr": [0, 1], "task": 0.25}, {"asr": [1, 1], "task": 0.75}],
    "B": [{"task": 1.0}],
}


@pytest.fixture
def axes():
    return Figure().add_subplot()


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_colours_are_the_same_for_the_same_arms_and_references_are_grey():
    hues = plots.colors(["base", "A", "B"])
    assert hues == {"base": QUIET, "A": SERIES[0], "B": SERIES[1]}
    assert plots.colors(["A", "unaligned", "B"]) == {"A": SERIES[0], "unaligned": QUIET, "B": SERIES[1]}
    many = plots.colors([f"arm {i}" for i in range(len(SERIES) + 1)])
    assert many["arm 0"] == many[f"arm {len(SERIES)}"]


def test_bars_are_means_over_seeds_and_arms_without_a_value_have_none(axes):
    plots.bars(axes, ARMS, {"broken": "asr", "right": "task"}, "%")
    broken, right = (container.patches for container in axes.containers if hasattr(container, "patches"))
    assert [bar.get_height() for bar in broken] == [100, 75]
    assert [bar.get_height() for bar in right] == [50, 50, 100]
    assert [bar.get_x() + bar.get_width() / 2 for bar in right] == pytest.approx([0.4, 1.4, 2.4])
    assert legend(axes) == ["broken", "right"]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(ARMS)
    ends = [line.get_segments() for line in axes.collections]
    assert ends[0][1][:, 1].tolist() == [50, 100]  # the range of A over its seeds


def test_bars_stand_together_by_value_in_the_arms_colours(axes):
    plots.bars(axes, ARMS, {"broken": "asr"}, "%", groups="values", scale=1)
    bars = [container.patches[0] for container in axes.containers if hasattr(container, "patches")]
    assert [bar.get_height() for bar in bars] == [1, 0.75]
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [QUIET, SERIES[0]]
    assert legend(axes) == ["base", "A"]


@pytest.mark.parametrize("ends", ["bars", "band", "dots"])
def test_curves_run_through_the_means(axes, ends):
    plots.curves(axes, {"A": [[1.0, 2.0], [3.0, 6.0]]}, [0.0, 0.5], "x", "y", ends=ends)
    line = axes.lines[0]
    assert np.array(line.get_xydata()).tolist() == [[0.0, 2.0], [0.5, 4.0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    if ends == "bars":
        (bars,) = [collection.get_segments() for collection in axes.collections]
        assert [segment[:, 1].tolist() for segment in bars] == [[1.0, 3.0], [2.0, 6.0]]


def test_lines_have_their_points_styles_and_words(axes):
    drawn = {"one": [(0, 1), (1, 3)], "two": [(5, 5)]}
    plots.lines(axes, drawn, "x", "y", styles={"two": {"marker": "x", "ls": ""}}, texts={"one": ["a", "b"]})
    assert [np.array(line.get_xydata()).tolist() for line in axes.lines] == [[[0, 1], [1, 3]], [[5, 5]]]
    assert [line.get_marker() for line in axes.lines] == ["o", "x"]
    assert [(note.get_text(), note.xy) for note in axes.texts] == [("a", (0, 1)), ("b", (1, 3))]
    assert legend(axes) == ["one", "two"]


def test_a_line_may_have_no_points(axes):
    plots.lines(axes, {"none": []}, "x", "y")
    assert len(np.asarray(axes.lines[0].get_xdata())) == 0


POINTS = [Interval(0.5, 0.4, 0.7, 0.95), Interval(0.2, 0.1, 0.2, 0.95)]


def test_intervals_stand_on_their_points(axes):
    plots.intervals(axes, {"score": POINTS}, [1, 2], "x", "%")
    assert np.array(axes.lines[0].get_xydata()) == pytest.approx(np.array([[1, 50], [2, 20]]))
    segments = axes.collections[0].get_segments()
    assert [segment[:, 1].tolist() for segment in segments] == [pytest.approx([40, 70]), pytest.approx([10, 20])]


def test_a_forest_lists_its_rows_from_the_top_down(axes):
    plots.forest(axes, ["first", "second"], {"test": POINTS, "held out": POINTS}, "%", line=50)
    assert dict(zip(axes.get_yticks(), (t.get_text() for t in axes.get_yticklabels()), strict=True)) == {
        1: "first", 0: "second",
    }  # fmt: skip
    test, held_out = (np.array(c.lines[0].get_xydata()) for c in axes.containers)
    assert test == pytest.approx(np.array([[50, 1.2], [20, 0.2]]))
    assert held_out == pytest.approx(np.array([[50, 0.8], [20, -0.2]]))
    assert list(axes.lines[-1].get_xdata()) == [50, 50]


def test_a_trade_off_has_one_mark_a_seed(axes):
    plots.trade_off(axes, {"A": ARMS["A"]}, "task", "asr", "x", "y")
    assert np.array(axes.lines[0].get_xydata()).tolist() == [[25, 50], [75, 100]]
    assert axes.lines[0].get_linestyle() == "None"


def test_paths_run_through_training_and_end_in_a_mark(axes):
    runs = [{"trace": [{"x": 0.0, "y": 0.1}, {"x": 0.5, "y": 0.2}]}, {"trace": [{"x": 1.0, "y": 1.0}]}]
    plots.paths(axes, {"A": runs}, "trace", "x", "y", "x", "y", log=True)
    lines = [np.array(line.get_xydata()).tolist() for line in axes.lines]
    assert lines == [[[0, 10], [50, 20]], [[50, 20]], [[100, 100]], [[100, 100]]]
    assert (axes.get_yscale(), legend(axes)) == ("log", ["A"])


def test_a_matrix_shows_its_numbers_and_names(axes):
    plots.matrix(axes, [[1, 2], [3, 9]], ["a", "b"], ["c", "d"], ".0f")
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [
        ("1", (0, 0)), ("2", (1, 0)), ("3", (0, 1)), ("9", (1, 1)),
    ]  # fmt: skip
    assert [text.get_color() for text in axes.texts] == ["0.2", "0.2", "0.2", "white"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_matrices_stand_side_by_side_under_their_titles():
    panels = Figure().subplots(1, 2)
    plots.matrices(panels, {"A": [[1, 0], [0, 1]], "B": [[0, 1], [1, 0]]}, ["x", "y"], "after", "before", ".0f")
    assert [axes.get_title() for axes in panels] == ["A", "B"]
    assert [axes.texts[0].get_text() for axes in panels] == ["1", "0"]
    assert (panels[0].get_xlabel(), panels[0].get_ylabel()) == ("after", "before")
