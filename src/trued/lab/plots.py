"""The usual plots of an experiment: bars by arm, curves with their range over seeds, trade-offs, tables as colours.

Each draws on a matplotlib `Axes` that `Lab.figure` hands over. Knows arms and records. Knows nothing of what they mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from trued.lab.arms import Arms, Value, read, spread, values
from trued.lab.figure import QUIET, SERIES
from trued.learn.statistics import Interval

REFERENCES = ("base", "aligned", "unaligned")
"""Names of arms that are no treatment; they are drawn in grey."""


def colors(arms: Collection[str]) -> dict[str, str]:
    """Return a colour for every arm, the same for the same arms in the same order."""
    arms = list(arms)
    treated = [arm for arm in arms if arm not in REFERENCES]
    return dict.fromkeys(arms, QUIET) | {arm: SERIES[i % len(SERIES)] for i, arm in enumerate(treated)}


def bars(
    axes: Any,
    arms: Arms,
    shown: Mapping[str, Value],
    ylabel: str,
    *,
    scale: float = 100,
    groups: Literal["arms", "values"] = "arms",
) -> None:
    """Draw means over seeds as bars, with thin lines for their range over seeds.

    Args:
        arms: those that lack a value get no bar for it.
        shown: label → value.
        scale: 100 shows shares in percent.
        groups: bars that stand together: all values of an arm, or all arms of a value.
    """
    table = {(arm, label): _seeds(runs, value) for arm, runs in arms.items() for label, value in shown.items()}
    outer, inner = (list(arms), list(shown)) if groups == "arms" else (list(shown), list(arms))
    hue = colors(inner) if groups == "values" else dict(zip(inner, SERIES, strict=False))
    width = 0.8 / len(inner)
    for offset, name in enumerate(inner):
        cells = [table[(group, name) if groups == "arms" else (name, group)] for group in outer]
        places = [place for place, cell in enumerate(cells) if cell is not None]
        heights = [scale * cell for cell in cells if cell is not None]
        if heights:
            x = np.array(places) + offset * width
            ends = np.array([spread(height) for height in heights]).T
            axes.bar(x, [height.mean() for height in heights], width, yerr=ends, label=name, color=hue[name],
                     error_kw={"lw": 1})  # fmt: skip
    axes.set_xticks(np.arange(len(outer)) + 0.4 - width / 2, outer, rotation=15 if len(outer) > 3 else 0)
    axes.set_ylabel(ylabel)
    _legend_above(axes)


def _legend_above(axes: Any) -> None:
    """Put the legend above what fills the axes."""
    axes.legend(fontsize="small", ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)


def _seeds(runs: Any, value: Value) -> np.ndarray | None:
    try:
        return values(runs, value)
    except KeyError:
        return None


def curves(
    axes: Any,
    series: Mapping[str, Any],
    x: Sequence[float],
    xlabel: str,
    ylabel: str,
    *,
    ends: Literal["bars", "band", "dots"] = "bars",
    hues: Mapping[str, str] | None = None,
) -> None:
    """Draw one curve a series, the mean over seeds, with the range over seeds.

    Args:
        series: label → [seeds, len(x)].
        ends: how the range is shown: error bars, a band, or a dot for every seed.
        hues: label → colour; by default those of `colors`.
    """
    hues = hues or colors(series)
    for label, raw in series.items():
        table, color = np.asarray(raw, float), hues[label]
        if ends == "bars":
            axes.errorbar(x, table.mean(0), yerr=spread(table), marker="o", capsize=3, label=label, color=color)
            continue
        axes.plot(x, table.mean(0), label=label, color=color)
        if ends == "band":
            axes.fill_between(x, table.min(0), table.max(0), alpha=0.15, color=color, lw=0)
        else:
            axes.plot(x, table.T, ".", color=color, alpha=0.5)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(fontsize="small")


def lines(
    axes: Any,
    drawn: Mapping[str, Any],
    xlabel: str,
    ylabel: str,
    *,
    styles: Mapping[str, Mapping[str, Any]] | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Draw single lines through points, each with its marks; a single point is a mark alone.

    Args:
        drawn: label → points (x, y), [points, 2].
        styles: label → matplotlib's properties of that line, such as {"ls": "--"}.
        texts: label → a word beside each of its points.
    """
    for number, (label, points) in enumerate(drawn.items()):
        table = np.array(points, float).reshape(-1, 2)
        line = ("-", "--", ":", "-.")[number % 4] if len(table) > 1 else ""
        style = {"marker": "osD^vX*P"[number % 8], "ls": line, "label": label, **(styles or {}).get(label, {})}
        axes.plot(*table.T, **style)
        for text, point in zip((texts or {}).get(label, ()), points, strict=False):
            axes.annotate(text, point, textcoords="offset points", xytext=(4, 4), fontsize="x-small")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(fontsize="small")


def intervals(
    axes: Any, series: Mapping[str, Sequence[Interval]], x: Sequence[float], xlabel: str, ylabel: str,
    *, scale: float = 100,
) -> None:  # fmt: skip
    """Draw one curve a series, with the interval of every point as a bar.

    Args:
        series: label → one interval for each of `x`.
    """
    for label, points in series.items():
        middle, ends = _ends(points, scale)
        axes.errorbar(list(x), middle, yerr=ends, marker="o", capsize=3, label=label)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(fontsize="small")


def forest(
    axes: Any, rows: Sequence[str], series: Mapping[str, Sequence[Interval]], xlabel: str,
    *, scale: float = 100, line: float | None = None,
) -> None:  # fmt: skip
    """Draw intervals lying, one row for each name from the top down, the series of a row close together.

    Args:
        rows: the names.
        series: label → one interval a row.
        line: where a vertical line stands, on the scale that is shown.
    """
    places = np.arange(len(rows))[::-1]
    for number, (label, points) in enumerate(series.items()):
        middle, ends = _ends(points, scale)
        shift = 0.4 * ((len(series) - 1) / 2 - number) / max(1, len(series) - 1)
        axes.errorbar(middle, places + shift, xerr=ends, fmt="o", capsize=3, label=label)
    if line is not None:
        axes.axvline(line, color=QUIET, lw=1, zorder=0)
    axes.set_yticks(places, rows)
    axes.set_xlabel(xlabel)
    _legend_above(axes)


def _ends(points: Sequence[Interval], scale: float) -> tuple[np.ndarray, np.ndarray]:
    table = scale * np.array([[point.estimate, point.low, point.high] for point in points])
    return table[:, 0], np.abs(table[:, 1:] - table[:, :1]).T


def trade_off(axes: Any, arms: Arms, x: Value, y: Value, xlabel: str, ylabel: str, *, scale: float = 100) -> None:
    """Draw one mark a seed and arm, at two values."""
    hues = colors(arms)
    for arm, runs in arms.items():
        axes.plot(scale * values(runs, x), scale * values(runs, y), "o", color=hues[arm], label=arm)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(fontsize="small")


def paths(
    axes: Any, arms: Arms, trace: Value, x: str, y: str, xlabel: str, ylabel: str, *, scale: float = 100,
    log: bool = False,
) -> None:  # fmt: skip
    """Draw each run as a line through two values while it trained; a mark is where it ends.

    Args:
        trace: a list of records, in the order of training.
        x, y: keys of those.
        log: whether y is drawn on a logarithmic scale.
    """
    hues = colors(arms)
    for arm, runs in arms.items():
        for number, record in enumerate(runs):
            points = np.array([[scale * point[x], scale * point[y]] for point in read(record, trace)])
            axes.plot(*points.T, color=hues[arm], lw=1.2, alpha=0.7, label=None if number else arm)
            axes.plot(*points[-1:].T, "o", color=hues[arm])
    if log:
        axes.set_yscale("log")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(fontsize="small")


def matrix(axes: Any, table: Any, rows: Sequence[str], columns: Sequence[str], spec: str = ".2f") -> None:
    """Draw a small table of numbers as colours, with the numbers in the cells."""
    table = np.asarray(table, float)
    axes.grid(False)
    axes.imshow(table, cmap="Blues")
    middle = (table.min() + table.max()) / 2
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if value > middle else "0.2"
        axes.text(column, row, format(value, spec), ha="center", va="center", color=ink)
    axes.set_xticks(range(len(columns)), columns, rotation=25 if max(map(len, columns)) > 8 else 0, ha="center")
    axes.set_yticks(range(len(rows)), rows)


def matrices(
    panels: Sequence[Any], tables: Mapping[str, Any], names: Sequence[str], xlabel: str, ylabel: str, spec: str = ".2f"
) -> None:
    """Draw square tables side by side, each with its title.

    Args:
        tables: title → [len(names), len(names)], rows along y.
    """
    for axes, (title, table) in zip(panels, tables.items(), strict=True):
        matrix(axes, table, names, names, spec)
        axes.set(title=title, xlabel=xlabel, ylabel=ylabel)


def image(axes: Any, table: Any, xlabel: str, ylabel: str, label: str) -> None:
    """Draw a large table of numbers as colours, the first row below, with a bar that says what they mean.

    A circle marks the largest number, a cross the last row and column.
    """
    table = np.asarray(table, float)
    axes.grid(False)
    colours = axes.imshow(table, cmap="viridis", aspect="auto", origin="lower")
    row, column = np.unravel_index(table.argmax(), table.shape)
    axes.plot(column, row, "o", mfc="none", mec="white", ms=9)
    axes.plot(table.shape[1] - 1, table.shape[0] - 1, "x", color="white", ms=7)
    axes.locator_params(integer=True)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.figure.colorbar(colours, ax=axes, label=label)


def cloud(axes: Any, x: Any, y: Any, groups: Any, names: Sequence[str], xlabel: str, ylabel: str) -> None:
    """Draw a mark for every pair of numbers, coloured by its group, with a bar that names the groups.

    Args:
        x, y: [seeds, items] or [items].
        groups: number of each item's group, [items].
    """
    x, y = np.atleast_2d(x), np.atleast_2d(y)
    hue = np.broadcast_to(groups, x.shape)
    dots = axes.scatter(x, y, c=hue, cmap="viridis", s=14)
    bar = axes.figure.colorbar(dots, ax=axes, ticks=range(len(names)))
    bar.ax.set_yticklabels(names, fontsize="x-small")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def doubling(axes: Any, x: Sequence[float]) -> None:
    """Make the x axis logarithmic to base 2, with a tick at each of `x` and at no other place."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(x, [f"{value:,}" for value in x])
    axes.minorticks_off()


def dots(axes: Any, arms: Arms, shown: Mapping[str, Value], xlabel: str, *, scale: float = 100) -> None:
    """Draw a row of dots for every arm, the first above: the mean over seeds, and small dots for the seeds.

    Args:
        shown: label → value; their dots stand a little apart.
        scale: 100 shows shares in percent.
    """
    height = np.arange(len(arms))[::-1]
    for number, (label, value) in enumerate(shown.items()):
        table = scale * np.stack([values(runs, value) for runs in arms.values()], axis=1)
        color, places = SERIES[number % len(SERIES)], height + 0.22 * (number - (len(shown) - 1) / 2)
        axes.plot(table.mean(0), places, "o", color=color, label=label)
        axes.plot(table.T, places, ".", color=color, alpha=0.4, markersize=3)
    axes.set_yticks(height, list(arms))
    axes.set_xlabel(xlabel)
    axes.legend(fontsize="small")


def histories(axes: Any, series: Mapping[str, Any], xlabel: str, ylabel: str) -> None:
    """Draw what was measured step by step as moving means over a twentieth of it: a colour a seed, a style a label.

    Args:
        series: label → [seeds][steps].
    """
    for style, (label, runs) in zip(("-", "--", ":", "-."), series.items(), strict=False):
        for seed, history in enumerate(runs):
            width = max(1, len(history) // 20)
            smooth = np.convolve(history, np.ones(width) / width, "valid")
            color = SERIES[seed % len(SERIES)]
            axes.plot(smooth, style, color=color, lw=1, label=None if seed else label)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(fontsize="small")
