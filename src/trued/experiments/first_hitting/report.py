"""What the experiment on first-hitting sampling shows: tables, figures and examples of what it recorded.

Knows records and the lab. Measures nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trued.errors import InputError
from trued.experiments.first_hitting.laws import zipf_law
from trued.generation.quality import FrontierPoint, nll_at_entropy
from trued.lab.experiment import Lab
from trued.learn.gumbel.rounded import rounded_move_law
from trued.learn.gumbel.truncated import effective_temperature

EXACT, FLOAT32, FIRST, CAUSAL = "ancestral, exact", "ancestral, float32", "first-hitting", "autoregressive"


def present(lab: Lab, closed_form: list[dict[str, float]]) -> None:
    """Draw everything from the records of all seeds."""
    source, zipf, bounds, seconds, texts = (
        list(lab.records(key).values()) for key in ("source", "zipf", "bounds", "seconds", "texts")
    )
    _costs(lab, seconds)
    _texts(lab, texts)
    _frontier(lab, texts)
    real = [lab.cached("rounded-zipf", rounded, lab.scale.zipf, int(row["steps"])) for row in closed_form]
    _vocabulary(lab, zipf, [cut | one for cut, one in zip(closed_form, real, strict=True)])
    _source(lab, source)
    _bounds(lab, bounds)
    for arm in (FIRST, EXACT, FLOAT32):
        lab.example(f"{arm} (first seed)", "all masked", texts[0][arm]["text"], note="the first sequence, not chosen")


def _costs(lab: Lab, seconds: list[dict[str, Any]]) -> None:
    base = _pooled(seconds, "ancestral", "seconds")
    lab.table(
        "What a sequence costs",
        [
            {
                "sampler": arm,
                "network calls": f"{_pooled(seconds, arm, 'calls'):.0f}",
                "categorical draws": f"{_pooled(seconds, arm, 'draws'):,.0f}",
                "seconds": f"{_pooled(seconds, arm, 'seconds'):.2f}",
                "times as fast": f"{base / _pooled(seconds, arm, 'seconds'):.1f}",
            }
            for arm in seconds[0]
        ],
        caption="One sequence at a time, samplers in turn; means over sequences and seeds. Draws: rows, each a race "
        "over the whole vocabulary in ancestral sampling.",
    )


def _texts(lab: Lab, texts: list[dict[str, Any]]) -> None:
    lab.table(
        "What the samplers write",
        [
            {
                "sampler": arm,
                "calls": texts[0][arm]["calls"] or "–",
                "perplexity": f"{np.exp(_pooled(texts, arm, 'nll')):.0f}",
                "entropy": f"{_pooled(texts, arm, 'entropy'):.3f}",
                "distinct bigrams": f"{_pooled(texts, arm, 'distinct'):.1%}",
            }
            for arm in texts[0]
        ],
        caption="Perplexity under the reference model, to be read with the entropy of the tokens in a sequence (nats). "
        "Calls are of a whole batch.",
    )


def _frontier(lab: Lab, texts: list[dict[str, Any]]) -> None:
    points, causal = _points(texts, FIRST), _points(texts, CAUSAL)
    float32, exact = ((_pooled(texts, arm, "nll"), _pooled(texts, arm, "entropy")) for arm in (FLOAT32, EXACT))
    try:
        matched = nll_at_entropy(points, float32[1])
        said = f"At the entropy of the 32-bit texts, exact draws at a lower temperature have {matched:.2f} nats, "
        said += f"32-bit ones {float32[0]:.2f}, exact ones at temperature 1 {exact[0]:.2f}."
    except InputError:
        said = "The entropy of the 32-bit texts lies outside the temperatures drawn."

    def draw(axes: Any) -> None:
        axes.plot([p.entropy for p in points], [p.nll for p in points], "o-", label="first-hitting, by temperature")
        axes.plot([p.entropy for p in causal], [p.nll for p in causal], "D--", label=f"{CAUSAL}, by temperature")
        for point in points + causal:
            axes.annotate(f"{point.temperature:g}", (point.entropy, point.nll), xytext=(4, -9),
                          textcoords="offset points", fontsize="x-small")  # fmt: skip
        for marker, arm in (("s", EXACT), ("X", FLOAT32), ("^", "parallel"), ("v", "confidence"), ("*", "the plays")):
            axes.plot([_pooled(texts, arm, "entropy")], [_pooled(texts, arm, "nll")], marker, ms=7, label=arm)
        axes.set_xlabel("entropy of the tokens in a sequence, nats")
        axes.set_ylabel("NLL under the reference, nats a token")
        axes.legend(fontsize="x-small")

    lab.figure(
        "Likelihood against diversity", draw,
        alt="Negative log-likelihood against entropy: the curves of first-hitting sampling and of the "
        "autoregressive model over temperatures, and points of the other samplers and of the plays themselves.",
        caption=f"Lower right is better. {said}",
    )  # fmt: skip


def rounded(classes: int, steps: int) -> dict[str, float]:
    """What the tokens are under noise that is rounded to the grid of 32-bit numbers, as it is in fact."""
    p = zipf_law(classes)
    law = rounded_move_law(p, [1 / k for k in range(steps, 0, -1)])
    law = law / law.sum()
    return {"rounded": float(-(law * p.log()).sum()), "rounded temperature": effective_temperature(law, p)}


def _vocabulary(lab: Lab, zipf: list[dict[str, Any]], closed_form: list[dict[str, float]]) -> None:
    steps = sorted(zipf[0]["gumbel32"], key=int)
    measured = {count: np.array([np.mean(one["gumbel32"][count]) for one in zipf]) for count in steps}
    lab.table(
        "32-bit Gumbel noise over a vocabulary",
        [
            {
                "steps": f"{row['steps']:g}",
                "surprisal, noise cut off": f"{row['surprisal']:.3f}",
                "noise rounded": f"{row['rounded']:.3f}",
                "measured": f"{measured[key].mean():.3f}" if (key := f"{row['steps']:g}") in measured else "–",
                "entropy": f"{row['entropy']:.3f}",
                "effective temperature": f"{row['temperature']:.3f}",
                "the same, rounded": f"{row['rounded temperature']:.3f}",
                "left for the last step": f"{row['left for the last step']:.2%}",
            }
            for row in closed_form
        ],
        caption="Nats. One step of ancestral sampling is a plain draw; the more steps, the smaller the share that a "
        "step gives to all tokens together, and the more of them 32 bits cannot draw. The paper's closed form cuts the "
        "noise off where 32 bits end; entropy, temperature and what is left are by it. In fact the noise beyond is "
        "rounded to the end, which keeps more of rare tokens; we found that after the measurement disagreed.",
    )

    def draw(axes: Any) -> None:
        axes.semilogx([r["steps"] for r in closed_form], [r["surprisal"] for r in closed_form], label="noise cut off")
        axes.semilogx([r["steps"] for r in closed_form], [r["rounded"] for r in closed_form], "--",
                      label="noise rounded")  # fmt: skip
        x, mean = [int(count) for count in steps], np.array([measured[count].mean() for count in steps])
        ends = np.array([[measured[count].min(), measured[count].max()] for count in steps]).T
        axes.errorbar(x, mean, np.abs(ends - mean), fmt="o", capsize=3, label="float32, measured")
        for marker, arm in (("s", "gumbel64"), ("^", "log1p32")):
            axes.plot([x[-1]], [np.mean([np.mean(one[arm]) for one in zipf])], marker, label=arm)
        axes.set_xlabel("steps of ancestral sampling")
        axes.set_ylabel("surprisal under the true law, nats")
        axes.legend(fontsize="small")

    lab.figure(
        "What 32 bits leave of a vocabulary", draw,
        alt="Mean surprisal of drawn tokens against the number of steps, falling for float32 noise along the "
        "closed form of rounded noise, above that of noise that is cut off, and level for float64 and mended float32 "
        "noise.",
        caption="Means over seeds with their range; lines are closed forms. Exact draws would lie on their left end.",
    )  # fmt: skip


def _source(lab: Lab, source: list[dict[str, Any]]) -> None:
    def draw(axes: Any) -> None:
        for name, style in (("order 1", "o-"), ("order 2", "s--"), ("corrected", "^:"), ("by time", "v-.")):
            points = [(_mean(source, name, key, "calls"), _mean(source, name, key, "tv")) for key in source[0][name]]
            axes.plot(*zip(*points, strict=True), style, label=name)
        floor = np.mean([one["ancestral"]["tv"] for one in source])
        axes.axhline(floor, color="0.5", lw=0.8, ls=":", label="ancestral sampling")
        axes.plot([_calls(source)], [np.mean([one[FIRST]["tv"] for one in source])], "*", ms=9, label="first-hitting")
        axes.set_xlabel("network calls a sequence")
        axes.set_ylabel("total variation from the law")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="x-small")

    lab.figure(
        "Fewer calls than tokens", draw,
        alt="Total variation from the exact law against the number of network calls, for first and second order, the "
        "corrected variant and parts of equal time; as many calls as tokens meet ancestral sampling.",
        caption="A source whose conditionals are exact. What is left at the exact samplers is the noise of the sample.",
    )  # fmt: skip


def _bounds(lab: Lab, bounds: list[dict[str, Any]]) -> None:
    names = {
        "counted": "over numbers of masked tokens", "cosine": "over times, cosine schedule",
        "cosine, linear weight": "over times, wrong weight", "told": "told the time, over numbers",
        "half": "half of the training, over numbers", "autoregressive": "autoregressive, its own likelihood",
        "frequencies": "how frequent each token is, no network",
    }  # fmt: skip
    lab.table(
        "Bounds on unseen plays, nats a token",
        [
            {"bound": name, **{f"seed {i}": f"{np.mean(one[key]):.3f}" for i, one in enumerate(bounds)}}
            for key, name in names.items()
        ],
        caption="Means over windows; rows over numbers of masked tokens share their masks.",
    )

    def draw(axes: Any) -> None:
        for number, one in enumerate(bounds):
            for style, (arm, losses) in zip(("-", "--"), one["losses"].items(), strict=True):
                width = max(1, len(losses) // 20)
                smooth = np.convolve(losses, np.ones(width) / width, "valid")
                axes.plot(smooth, style, color=f"C{number}", lw=1, label=arm if number == 0 else None)
        axes.set_xlabel("training step")
        axes.set_ylabel("bound in training, nats a token")
        axes.legend(fontsize="small")

    lab.figure(
        "With and without a clock", draw,
        alt="Training loss against steps for each seed, of the network whose clock stands still and of the one that is "
        "told the time.",
        caption="A colour a seed; moving means.",
    )  # fmt: skip


def _points(texts: list[dict[str, Any]], model: str) -> list[FrontierPoint]:
    points = [
        FrontierPoint(_temperature(arm), _pooled(texts, arm, "nll"), _pooled(texts, arm, "entropy"))
        for arm in texts[0]
        if arm == model or arm.startswith(f"{model}, T")
    ]
    return sorted(points, key=lambda point: point.entropy)


def _temperature(arm: str) -> float:
    return float(arm.rpartition("= ")[2]) if "=" in arm else 1.0


def _pooled(runs: list[dict[str, Any]], arm: str, key: str) -> float:
    return float(np.mean([np.mean(one[arm][key]) for one in runs]))


def _mean(runs: list[dict[str, Any]], arm: str, calls: str, key: str) -> float:
    return float(np.mean([one[arm][calls][key] for one in runs]))


def _calls(runs: list[dict[str, Any]]) -> float:
    return float(np.mean([one[FIRST]["calls"] for one in runs]))
