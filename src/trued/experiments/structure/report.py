"""Tables and figures of the experiment on STRUCTURE, from what its seeds recorded."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from trued.lab import plots
from trued.lab.arms import Arms, Runs, number, share, values
from trued.lab.experiment import Lab

BASELINE, PENALTY = "last layers", "last layers + STRUCTURE"
CHOSEN, METHOD = "chosen layers", "chosen layers + STRUCTURE"
SHUFFLED, SHUFFLED_LAYERS = "last layers + shuffled STRUCTURE", "layers chosen on shuffled pairs"


def present(lab: Lab, scale: Any, names: list[str]) -> None:
    """Show all tables and figures over all seeds."""
    arms, probes = lab.arms(*names), list(lab.records("probes").values())
    columns = {
        "layers": layers, f"recall at {scale.recall}": share("recall", ".1%"),
        "trustworthiness": number("trustworthiness", ".3f"), "continuity": number("continuity", ".3f"),
        "rank": number("rank", ".0f"), "seconds": number("seconds", ".1f"),
    }  # fmt: skip
    rows = []
    for name, runs in arms.items():
        arm, _, change = name.partition(" | ")
        cells = {column: text(runs) for column, text in columns.items()}
        rows.append({"arm": arm, "but": "" if change.isdigit() else change, "pairs": runs[0]["pairs"], **cells})
    lab.table("Every arm", rows, (
        "Means over seeds of the test pairs; recall is that of both directions. Trustworthiness and continuity: "
        f"{scale.neighbours} neighbours against the encoder's features, the mean of both sides. Rank: effective "
        "dimensions of the space."
    ))  # fmt: skip
    rho = {score: [probe["rho"][score] for probe in probes] for score in probes[0]["rho"]}
    lab.table("What predicts recall before training", [
        {"similarity on training pairs": score.replace("_", " "),
         "rank correlation with recall": f"{np.mean(seeds):.2f}",
         "range over seeds": f"{min(seeds):.2f} to {max(seeds):.2f}"} for score, seeds in rho.items()
    ], f"{len(probes[0]['recall'])} pairs of layers with linear heads, {scale.main} training pairs.")  # fmt: skip
    lab.figure(
        "Recall against the number of pairs", partial(draw_sizes, arms=arms, scale=scale),
        alt="Recall of the baseline and of the method against the number of training pairs, both rising.",
        caption=f"Recall at {scale.recall} among {scale.test}; lines are means, dots single seeds.",
    )  # fmt: skip
    parts = {name: arms[name] for name in (BASELINE, PENALTY, CHOSEN, METHOD, SHUFFLED)}
    recall = f"recall at {scale.recall}"
    lab.figure(
        "What each part adds",
        partial(plots.trade_off, arms=parts, x="trustworthiness", y="recall",
                xlabel=f"trustworthiness, {scale.neighbours} neighbours, %", ylabel=f"{recall}, %"),
        alt="Recall against trustworthiness of the main arms, one mark a seed.",
        caption="Up is better retrieval, right is better kept neighbourhoods.",
    )  # fmt: skip
    images, texts = probes[0]["layers"]
    lab.figure(
        "Similarity before training, recall after",
        partial(plots.cloud, x=[probe["scores"] for probe in probes],
                y=100 * np.array([probe["recall"] for probe in probes]),
                groups=np.repeat(range(len(images)), len(texts)), names=images,
                xlabel=f"mutual {scale.neighbours}-nearest neighbours, training pairs",
                ylabel=f"{recall}, test pairs, %"),
        alt="Recall of linear heads against mutual nearest neighbours, one mark a pair of layers and seed.",
        caption=f"{scale.probed[0]} layers of the image encoder by {scale.probed[1]} of the text encoder.",
    )  # fmt: skip
    lab.figure(
        "Similarity of all layers",
        partial(plots.image, table=probes[0]["matrix"], xlabel="layer of the text encoder, from first to last",
                ylabel="layer of the image encoder", label="mutual nearest neighbours"),
        alt="Mutual nearest neighbours of every layer of the image encoder with every layer of the text encoder.",
        caption="First seed, training pairs. Circle: the most similar pair. Cross: the last layers.",
    )  # fmt: skip


def layers(runs: Runs) -> str:
    """Return the layers of an arm, or how many choices there were where seeds differ."""
    choices = {" × ".join(record["layers"]) for record in runs}
    return choices.pop() if len(choices) == 1 else f"{len(choices)} choices"


def draw_sizes(axes: Any, arms: Arms, scale: Any) -> None:
    """Draw recall against the number of training pairs, and that of a guess."""
    recall = {}
    for name in (BASELINE, METHOD):
        keys = [name if pairs == scale.main else f"{name} | {pairs}" for pairs in scale.sizes]
        recall[name] = 100 * np.stack([values(arms[key], "recall") for key in keys], axis=1)
    plots.curves(axes, recall, scale.sizes, "training pairs", f"recall at {scale.recall}, %", ends="dots")
    plots.doubling(axes, scale.sizes)
    axes.axhline(100 * scale.recall / scale.test, color="0.6", lw=0.8, ls=":")
    axes.set_ylim(bottom=0)
