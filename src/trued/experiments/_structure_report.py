"""Tables and figures of the experiment on STRUCTURE, from what its seeds recorded.

Knows the records of arms and layer pairs. Knows nothing of how they were measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trued.lab.experiment import Lab
from trued.lab.figure import SERIES

Runs = list[dict[str, Any]]


@dataclass(frozen=True)
class Names:
    """The arms by their names in the records."""

    baseline: str
    method: str
    penalty: str
    chosen: str
    shuffled_penalty: str

    @property
    def main(self) -> tuple[str, ...]:
        return (self.baseline, self.penalty, self.chosen, self.method, self.shuffled_penalty)


def present(lab: Lab, scale: Any, names: Names) -> None:
    """All tables and figures over all seeds."""
    arms, probes = list(lab.records("arms").values()), list(lab.records("probes").values())
    lab.table(
        "Every arm",
        [_row(name, [one[name] for one in arms], scale) for name in arms[0]],
        caption=(
            "Means over seeds of the test pairs; recall is that of both directions. Trustworthiness and continuity: "
            f"{scale.neighbours} neighbours against the encoder's features, the mean of both sides. Rank: effective "
            "dimensions of the space."
        ),
    )
    lab.table(
        "What predicts recall before training",
        [
            {
                "similarity on training pairs": score.replace("_", " "),
                "rank correlation with recall": f"{np.mean(values):.2f}",
                "range over seeds": f"{min(values):.2f} to {max(values):.2f}",
            }
            for score, values in ((score, [one["rho"][score] for one in probes]) for score in probes[0]["rho"])
        ],
        caption=f"{len(probes[0]['recall'])} pairs of layers with linear heads, {scale.main} training pairs.",
    )
    lab.figure(
        "Recall against the number of pairs",
        lambda axes: _draw_sizes(axes, arms, scale, names),
        alt="Recall of the baseline and of the method against the number of training pairs, both rising.",
        caption=f"Recall at {scale.recall} among {scale.test}; lines are means, dots single seeds.",
    )
    lab.figure(
        "What each part adds",
        lambda axes: _draw_parts(axes, arms, scale, names),
        alt="Recall against trustworthiness of the main arms, one mark a seed.",
        caption="Up is better retrieval, right is better kept neighbourhoods.",
    )
    lab.figure(
        "Similarity before training, recall after",
        lambda axes: _draw_probes(axes, probes, scale),
        alt="Recall of linear heads against mutual nearest neighbours, one mark a pair of layers and seed.",
        caption=f"{scale.probed[0]} layers of the image encoder by {scale.probed[1]} of the text encoder.",
    )
    lab.figure(
        "Similarity of all layers",
        lambda axes: _draw_matrix(axes, probes),
        alt="Mutual nearest neighbours of every layer of the image encoder with every layer of the text encoder.",
        caption="First seed, training pairs. Circle: the most similar pair. Cross: the last layers.",
    )


def _row(name: str, runs: Runs, scale: Any) -> dict[str, Any]:
    arm, _, what = name.partition(" | ")
    layers = {" × ".join(one["layers"]) for one in runs}
    return {
        "arm": arm,
        "but": what if not what.isdigit() else "",
        "pairs": runs[0]["pairs"],
        "layers": layers.pop() if len(layers) == 1 else f"{len(layers)} choices",
        f"recall at {scale.recall}": f"{_mean(runs, 'recall'):.1%}",
        "trustworthiness": f"{_mean(runs, 'trustworthiness'):.3f}",
        "continuity": f"{_mean(runs, 'continuity'):.3f}",
        "rank": f"{np.mean([one['rank'] for one in runs]):.0f}",
        "seconds": f"{np.mean([one['seconds'] for one in runs]):.1f}",
    }


def _draw_sizes(axes: Any, arms: Runs, scale: Any, names: Names) -> None:
    for color, name in zip(SERIES, (names.baseline, names.method), strict=False):
        keys = [name if pairs == scale.main else f"{name} | {pairs}" for pairs in scale.sizes]
        values = 100 * np.array([[np.mean(one[key]["recall"]) for key in keys] for one in arms])
        axes.plot(scale.sizes, values.mean(0), "-", color=color, label=name)
        axes.plot(scale.sizes, values.T, ".", color=color, alpha=0.5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(scale.sizes, [f"{pairs:,}" for pairs in scale.sizes])
    axes.minorticks_off()
    axes.axhline(100 * scale.recall / scale.test, color="0.6", lw=0.8, ls=":")
    axes.set_xlabel("training pairs")
    axes.set_ylabel(f"recall at {scale.recall}, %")
    axes.set_ylim(bottom=0)
    axes.legend()


def _draw_parts(axes: Any, arms: Runs, scale: Any, names: Names) -> None:
    for color, name in zip(SERIES, names.main, strict=False):
        x = [np.mean(one[name]["trustworthiness"]) for one in arms]
        y = [100 * np.mean(one[name]["recall"]) for one in arms]
        axes.plot(x, y, "o", color=color, label=name)
    axes.set_xlabel(f"trustworthiness, {scale.neighbours} neighbours")
    axes.set_ylabel(f"recall at {scale.recall}, %")
    axes.legend(fontsize="x-small")


def _draw_probes(axes: Any, probes: Runs, scale: Any) -> None:
    depth = np.repeat(np.arange(len(probes[0]["layers"][0])), len(probes[0]["layers"][1]))
    for one in probes:
        dots = axes.scatter(one["scores"]["mutual_knn"], 100 * np.array(one["recall"]), c=depth, cmap="viridis", s=14)
    bar = axes.figure.colorbar(dots, ax=axes, ticks=range(len(probes[0]["layers"][0])))
    bar.ax.set_yticklabels(probes[0]["layers"][0], fontsize="x-small")
    axes.set_xlabel(f"mutual {scale.neighbours}-nearest neighbours, training pairs")
    axes.set_ylabel(f"recall at {scale.recall}, test pairs, %")


def _draw_matrix(axes: Any, probes: Runs) -> None:
    matrix = np.array(probes[0]["matrix"])
    shown = axes.imshow(matrix, cmap="viridis", aspect="auto", origin="lower")
    row, column = np.unravel_index(matrix.argmax(), matrix.shape)
    axes.plot(column, row, "o", mfc="none", mec="white", ms=9)
    axes.plot(matrix.shape[1] - 1, matrix.shape[0] - 1, "x", color="white", ms=7)
    axes.grid(False)
    axes.set_xlabel("layer of the text encoder, from first to last")
    axes.set_ylabel("layer of the image encoder")
    axes.figure.colorbar(shown, ax=axes, label="mutual nearest neighbours")


def _mean(runs: Runs, key: str) -> float:
    return float(np.mean([np.mean(one[key]) for one in runs]))
