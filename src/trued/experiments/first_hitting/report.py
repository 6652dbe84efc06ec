"""Tables, figures and examples of the experiment on first-hitting sampling, from what its seeds recorded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from trued.errors import InputError
from trued.experiments.first_hitting.laws import KINDS
from trued.generation.quality import FrontierPoint, nll_at_entropy
from trued.lab import plots
from trued.lab.arms import Arms, by_arm, mean, number, rows, share, spread
from trued.lab.experiment import Lab
from trued.lab.figure import QUIET

EXACT, FLOAT32, FIRST, CAUSAL = "ancestral, exact", "ancestral, float32", "first-hitting", "autoregressive"
PLAYS = "the plays"
BOUNDS = {
    "counted": "over numbers of masked tokens", "cosine": "over times, cosine schedule",
    "cosine, linear weight": "over times, wrong weight", "told": "told the time, over numbers",
    "half": "half of the training, over numbers", "autoregressive": "autoregressive, its own likelihood",
    "frequencies": "how frequent each token is, no network",
}  # fmt: skip


def present(lab: Lab, forms: list[dict[str, Any]]) -> None:
    """Show everything from the records of all seeds; `forms` are what is left of a law under 32-bit noise."""
    source, zipf, bounds, seconds, texts = (
        list(lab.records(key).values()) for key in ("source", "zipf", "bounds", "seconds", "texts")
    )
    costs, written = by_arm(seconds), by_arm(texts)
    base = mean(costs["ancestral"], "seconds")
    lab.table("What a sequence costs", rows(costs, {
        "network calls": number("calls", ".0f"), "categorical draws": number("draws", ",.0f"),
        "seconds": number("seconds"), "times as fast": lambda runs: f"{base / mean(runs, 'seconds'):.1f}",
    }, "sampler"), "One sequence at a time, samplers in turn; means over sequences and seeds. Draws: rows, each a race "
                   "over the whole vocabulary in ancestral sampling.")  # fmt: skip
    lab.table("What the samplers write", rows(written, {
        "calls": lambda runs: runs[0]["calls"] or "–", "perplexity": lambda runs: f"{np.exp(mean(runs, 'nll')):.0f}",
        "entropy": number("entropy", ".3f"), "distinct bigrams": share("distinct", ".1%"),
    }, "sampler"), "Perplexity under the reference model, to be read with the entropy of the tokens in a sequence "
                   "(nats). Calls are of a whole batch.")  # fmt: skip
    frontier(lab, written)
    vocabulary(lab, zipf, forms)
    lab.figure(
        "Fewer calls than tokens", partial(draw_source, arms=by_arm(source)),
        alt="Total variation from the exact law against the number of network calls, for first and second order, the "
        "corrected variant and parts of equal time; as many calls as tokens meet ancestral sampling.",
        caption="A source whose conditionals are exact. What is left at the exact samplers is the noise of the sample.",
    )  # fmt: skip
    lab.table("Bounds on unseen plays, nats a token", [
        {"bound": name, **{f"seed {i}": f"{np.mean(seed[key]):.3f}" for i, seed in enumerate(bounds)}}
        for key, name in BOUNDS.items()
    ], "Means over windows; rows over numbers of masked tokens share their masks.")  # fmt: skip
    lab.figure(
        "With and without a clock",
        partial(plots.histories, series=by_arm(seed["losses"] for seed in bounds), xlabel="training step",
                ylabel="bound in training, nats a token"),
        alt="Training loss against steps for each seed, of the network whose clock stands still and of the one that is "
        "told the time.",
        caption="A colour a seed; moving means.",
    )  # fmt: skip
    for arm in (FIRST, EXACT, FLOAT32):
        lab.example(f"{arm} (first seed)", "all masked", texts[0][arm]["text"], note="the first sequence, not chosen")


def frontier(lab: Lab, written: Arms) -> None:
    """Show likelihood against diversity."""
    points: dict[str, list[FrontierPoint]] = {}
    for model in (FIRST, CAUSAL):
        line = [FrontierPoint(runs[0]["temperature"], mean(runs, "nll"), mean(runs, "entropy"))
                for runs in at_temperatures(written, model).values()]  # fmt: skip
        points[f"{model}, by temperature"] = sorted(line, key=lambda point: point.entropy)
    at = {arm: (mean(written[arm], "entropy"), mean(written[arm], "nll"))
          for arm in (EXACT, FLOAT32, "parallel", "confidence", PLAYS)}  # fmt: skip
    try:
        matched = nll_at_entropy(points[f"{FIRST}, by temperature"], at[FLOAT32][0])
        matching = f"At the entropy of the 32-bit texts, exact draws at a lower temperature have {matched:.2f} nats, "
        matching += f"32-bit ones {at[FLOAT32][1]:.2f}, exact ones at temperature 1 {at[EXACT][1]:.2f}."
    except InputError:
        matching = "The entropy of the 32-bit texts lies outside the temperatures drawn."
    lab.figure(
        "Likelihood against diversity",
        partial(plots.lines,
                drawn={label: [(p.entropy, p.nll) for p in line] for label, line in points.items()} | at,
                texts={label: [f"{p.temperature:g}" for p in line] for label, line in points.items()},
                xlabel="entropy of the tokens in a sequence, nats", ylabel="NLL under the reference, nats a token"),
        alt="Negative log-likelihood against entropy: the curves of first-hitting sampling and of the "
        "autoregressive model over temperatures, and points of the other samplers and of the plays themselves.",
        caption=f"Lower right is better. {matching}",
    )  # fmt: skip


def at_temperatures(written: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return what a model writes at every temperature, 1 first."""
    return {arm: texts for arm, texts in written.items() if arm == model or arm.startswith(f"{model}, T = ")}


def vocabulary(lab: Lab, zipf: list[dict[str, Any]], forms: list[dict[str, Any]]) -> None:
    """Show what 32-bit noise leaves of a law."""
    measured = by_arm(seed["gumbel32"] for seed in zipf)
    means = {steps: np.mean(runs, axis=1) for steps, runs in measured.items()}
    lab.table("32-bit Gumbel noise over a vocabulary", [
        {"steps": steps, "surprisal, noise cut off": f"{form['cut']['surprisal']:.3f}",
         "noise rounded": f"{form['rounded']['surprisal']:.3f}",
         "measured": f"{means[steps].mean():.3f}" if steps in means else "–",
         "entropy": f"{form['cut']['entropy']:.3f}",
         "effective temperature": f"{form['cut']['temperature']:.3f}",
         "the same, rounded": f"{form['rounded']['temperature']:.3f}",
         "left for the last step": f"{form['cut']['last']:.2%}"}
        for form in forms for steps in [str(form["steps"])]
    ], "Nats. One step of ancestral sampling is a plain draw; the more steps, the smaller the share that a step gives "
       "to all tokens together, and the more of them 32 bits cannot draw. The paper's closed form cuts the noise off "
       "where 32 bits end; entropy, temperature and what is left are by it. In fact the noise beyond is rounded to the "
       "end, which keeps more of rare tokens; we found that after the measurement disagreed.")  # fmt: skip

    def draw(axes: Any) -> None:
        grid = sorted(means, key=int)
        table = np.stack([means[steps] for steps in grid], axis=1)
        exact = {draw: (int(grid[-1]), np.mean([seed[draw][grid[-1]] for seed in zipf]))
                 for draw in ("gumbel64", "log1p32")}  # fmt: skip
        closed = {f"noise {name}": [(form["steps"], form[key]["surprisal"]) for form in forms]
                  for name, key in (("cut off", "cut"), ("rounded", "rounded"))}  # fmt: skip
        x = [int(steps) for steps in grid]
        axes.errorbar(x, table.mean(0), spread(table), fmt="o", color=QUIET, capsize=3, label="float32, measured")
        plots.lines(axes, closed | exact, "steps of ancestral sampling", "surprisal under the true law, nats")
        axes.set_xscale("log")

    lab.figure(
        "What 32 bits leave of a vocabulary", draw,
        alt="Mean surprisal of drawn tokens against the number of steps, falling for float32 noise along the "
        "closed form of rounded noise, above that of noise that is cut off, and level for float64 and mended float32 "
        "noise.",
        caption="Means over seeds with their range; lines are closed forms. Exact draws would lie on their left end.",
    )  # fmt: skip


def draw_source(axes: Any, arms: Arms) -> None:
    """Draw total variation against calls, for every way to share calls among tokens."""
    at = {name: (mean(runs, "calls"), mean(runs, "tv")) for name, runs in arms.items()}
    points = {kind: [at[f"{kind}, {calls}"] for calls in numbers] for kind, (numbers, _) in KINDS.items()}
    plots.lines(axes, {**points, FIRST: at[FIRST]}, "network calls a sequence", "total variation from the law")
    axes.axhline(at["ancestral"][1], color=QUIET, lw=0.8, ls=":", label="ancestral sampling")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="x-small")
