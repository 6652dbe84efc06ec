"""Tables and figures of the experiment on MixAT, from what its seeds recorded.

Knows the records of the arms. Knows nothing of how they were measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trued.lab.experiment import Lab

Runs = list[dict[str, Any]]
WAYS = ("direct", "templates", "persuasion")
COLORS = {
    "base": "0.35", "control": "tab:orange", "D": "tab:purple", "C": "tab:blue", "Dual": "tab:olive",
    "MixAT": "tab:green",
}  # fmt: skip


def present(lab: Lab, base: dict[str, Any], arms: tuple[str, ...], *, requests: int, attacked: int) -> None:
    """All tables and figures over all seeds."""
    found: dict[str, Runs] = {"base": [base]} | {arm: list(lab.records(arm).values()) for arm in arms}
    lab.table(
        "What each arm does",
        [
            {
                "arm": arm,
                **{f"broken, {way}": f"{_mean(runs, way):.0%}" for way in WAYS},
                "at least one": f"{_mean(runs, 'alo'):.0%}",
                "look-alikes answered": f"{_mean(runs, 'lookalikes'):.0%}",
                "target CE": f"{_mean(runs, 'clean'):.2f}",
                "attacked": f"{_mean(runs, 'attacked'):.2f}",
                "unknown": f"{_mean(runs, 'unknown'):.1%}",
            }
            for arm, runs in found.items()
        ],
        caption="Means over seeds. Broken: not refused; an empty reply is unknown, and no refusal. CE in nats a token.",
    )
    lab.table(
        "What each arm trained on, and its cost",
        [
            {
                "arm": arm,
                "batches rewritten": f"{_mean_of(runs, 'rewritten'):.0%}",
                "attacked": f"{_mean_of(runs, 'continuous'):.0%}",
                "rewrites given up": f"{_mean_of(runs, 'lost'):.0%}",
                "pass tokens a step": f"{_mean(runs, 'pass_tokens'):.0f}",
                "seconds": f"{np.mean([one['seconds'] for one in runs]):.0f}",
            }
            for arm, runs in found.items()
            if arm != "base"
        ],
        caption="Tokens forward and backward through the trained model; steps and batches are the same for all arms.",
    )
    _gcg_table(lab, found)
    lab.figure(
        "Worst case over attacks",
        lambda axes: _draw_broken(axes, found),
        alt="Share of unseen harmful requests broken by each way of asking and by at least one, for each arm.",
        caption=f"{requests} unseen requests, means over seeds; thin bars: range over seeds.",
    )
    lab.figure(
        "In embedding space",
        lambda axes: _draw_embedding(axes, found),
        alt="Cross-entropy of the affirmative target for each arm, on the clean prompt and under the embedding attack.",
        caption=f"{attacked} unseen requests, 10 attack steps at the training radius. Higher is more robust.",
    )
    _present_study(lab, found)
    placed = list(lab.records("geometry").values())
    lab.figure(
        "Where rewritten and attacked requests lie",
        lambda axes: _draw_geometry(axes, placed),
        alt="Mean cosine between the representations of a request in its forms: plain, attacked, rewritten, both.",
        caption="Last layer, mean over the prompt's tokens, model before training; unseen requests and techniques.",
    )


def _present_study(lab: Lab, found: dict[str, Runs]) -> None:
    """The deployment study, which is of the first seed."""
    mixat = next((one for one in found["MixAT"] if "cells" in one), None)
    c = next((one for one in found["C"] if "cells" in one), None)
    if mixat is None or c is None:
        return
    cells = mixat["cells"]
    lab.table(
        "Template and precision, MixAT",
        [
            {
                "template": cell["template"],
                "precision": cell["precision"],
                "broken [95 %]": f"{cell['asr']:.0%} [{cell['interval'][0]:.0%}, {cell['interval'][1]:.0%}]",
                "look-alikes answered": f"{cell['compliance']:.0%}",
                "unknown": f"{cell['unknown']:.0%}",
                "tokens a second": f"{cell['tokens'] / cell['seconds']:.0f}",
            }
            for cell in cells
            if cell["scale"] == 1 and cell["temperature"] == 0
        ],
        caption="Direct requests and unseen persuasion, half each; adapter beside the weights in int8, else folded in.",
    )
    lab.table(
        "Embedding attacks across precisions, MixAT",
        [
            {"computed on → tried on": pair, "target CE, nats a token": f"{np.mean(values):.2f}"}
            for pair, values in mixat["transfer"].items()
        ],
        caption="10 steps at the training radius; lower is a stronger attack.",
    )
    strengths = {arm: _sweep(one["cells"], "scale", temperature=0.0) for arm, one in (("C", c), ("MixAT", mixat))}
    lab.figure(
        "Strength of the adapter",
        lambda axes: _draw_strength(axes, strengths),
        alt="Requests broken against look-alikes answered as the adapter's strength lambda grows, for C and MixAT.",
        caption="One seed. Each line runs from lambda 0 (the base, open mark) upwards. Down and right is better.",
    )
    lab.figure(
        "Temperature",
        lambda axes: _draw_temperature(axes, _sweep(cells, "temperature", scale=1.0)),
        alt="Mean success rate and the rate of at least one success in all samples, against temperature.",
        caption="MixAT, one seed; at temperature 0 there is one reply.",
    )


def _sweep(cells: Runs, over: str, **fixed: float) -> Runs:
    """The cells of the own template and first precision, in the order of one setting."""
    first = cells[0]["precision"]
    chosen = [c for c in cells if c["template"] == "own" and c["precision"] == first]
    return sorted((c for c in chosen if all(c[k] == v for k, v in fixed.items())), key=lambda c: c[over])


def _gcg_table(lab: Lab, found: dict[str, Runs]) -> None:
    rows = []
    for arm, runs in found.items():
        gcg = runs[0].get("gcg")
        if gcg:
            rows.append(
                {
                    "arm": arm,
                    "target loss at start": f"{np.mean(gcg['first']):.2f}",
                    "after GCG": f"{np.mean(gcg['best']):.2f}",
                    "complied": f"{sum(gcg['complied'])} of {len(gcg['complied'])}",
                    "pass tokens a request": f"{np.mean(gcg['pass_tokens']):.0f}",
                }
            )
    lab.table("Short GCG on unseen requests, one seed", rows, caption="Too few requests to decide anything.")


def _draw_broken(axes: Any, found: dict[str, Runs]) -> None:
    groups = (*WAYS, "alo")
    width = 0.8 / len(found)
    for number, (arm, runs) in enumerate(found.items()):
        values = 100 * np.array([[np.mean(one[way]) for way in groups] for one in runs])
        spread = np.abs(np.stack([values.min(0), values.max(0)]) - values.mean(0))
        places = np.arange(len(groups)) + number * width
        axes.bar(places, values.mean(0), width, yerr=spread, label=arm, color=COLORS[arm], error_kw={"lw": 1})
    axes.set_xticks(np.arange(len(groups)) + 0.4 - width / 2, [*WAYS, "at least one"])
    axes.set_ylabel("requests broken, %")
    axes.legend(frameon=False, ncols=3, fontsize="small")


def _draw_embedding(axes: Any, found: dict[str, Runs]) -> None:
    for number, (name, shade) in enumerate((("clean", 0.45), ("attacked", 1.0))):
        for place, (arm, runs) in enumerate(found.items()):
            label = name if place == len(found) - 1 else None
            axes.bar(place + 0.4 * number, _mean(runs, name), 0.38, color=COLORS[arm], alpha=shade, label=label)
    axes.set_xticks(np.arange(len(found)) + 0.2, list(found))
    axes.set_ylabel("target cross-entropy, nats a token")
    axes.legend(frameon=False)


def _draw_strength(axes: Any, strengths: dict[str, Runs]) -> None:
    for arm, cells in strengths.items():
        x, y = [100 * cell["compliance"] for cell in cells], [100 * cell["asr"] for cell in cells]
        axes.plot(x, y, "o-", color=COLORS[arm], label=arm)
        axes.plot(x[:1], y[:1], "o", color=COLORS[arm], mfc="white")
        for cell, a, b in zip(cells, x, y, strict=True):
            axes.annotate(f"{cell['scale']:g}", (a, b), textcoords="offset points", xytext=(4, 4), fontsize="x-small")
    axes.set_xlabel("benign look-alikes answered, %")
    axes.set_ylabel("harmful requests broken, %")
    axes.legend(frameon=False)


def _draw_temperature(axes: Any, cells: Runs) -> None:
    x = [cell["temperature"] for cell in cells]
    samples = max(cell["n"] for cell in cells)
    axes.plot(x, [100 * cell["asr"] for cell in cells], "o-", label="mean over samples", color=COLORS["MixAT"])
    axes.plot(x, [100 * cell["asr_at_n"] for cell in cells], "s--", label=f"at least one of {samples}", color="tab:red")
    axes.set_xlabel("temperature")
    axes.set_ylabel("requests broken, %")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _draw_geometry(axes: Any, placed: Runs) -> None:
    forms, table = placed[0]["forms"], np.mean([one["cosines"] for one in placed], 0)
    axes.grid(False)
    axes.imshow(table, cmap="viridis", vmax=1)
    for (row, column), value in np.ndenumerate(table):
        dark = value < table.min() + 0.6 * (1 - table.min())
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(forms)), forms, rotation=25, ha="right")
    axes.set_yticks(range(len(forms)), forms)


def _mean(runs: Runs, key: str) -> float:
    return float(np.mean([np.mean(one[key]) for one in runs]))


def _mean_of(runs: Runs, key: str) -> float:
    return float(np.mean([one["trained_on"][key] for one in runs]))
