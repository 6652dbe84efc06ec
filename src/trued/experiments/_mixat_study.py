"""MixAT's deployment study: what its figures hang on, and attacks across precisions. It decides no claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trued.data.prompts import affirmative_targets
from trued.lab import plots
from trued.lab.arms import number, share
from trued.lab.experiment import Lab
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.engine.model import LanguageModel
from trued.language.engine.precision import in_precision
from trued.language.judge.reply import PhraseJudge
from trued.language.measure.deployment import DeploymentGrid, Setting, deployed_replies, rate
from trued.language.measure.transfer import transferred_losses


def deployments(lm: LanguageModel, requests: Any, scale: Any, *, whole: bool) -> list[dict[str, Any]]:
    """The deployment study of one arm: the adapter's strength, and for MixAT all the rest."""
    grid = DeploymentGrid(
        precisions=("bfloat16", "float32", "int8"), scales=scale.scales, temperatures=scale.temperatures,
        samples=scale.samples, max_new_tokens=scale.new_tokens,
    )  # fmt: skip
    settings = grid.settings() if whole else [Setting("own", grid.precisions[0], strength) for strength in scale.scales]
    half = scale.swept // 2
    cases = requests.cases(scale.swept - half) + requests.cases(half, "persuasion")
    texts = requests.texts(scale.swept - half) + requests.texts(half)
    benign = requests.lookalikes[: max(2, half)]
    replies = deployed_replies(lm, cases, benign, grid, settings=settings)
    return [rate(setting_replies, texts, benign, PhraseJudge()).to_json() for setting_replies in replies]


def transfer(lm: LanguageModel, texts: list[str], attack: EmbeddingAttack) -> dict[str, list[float]]:
    """Embedding attacks computed on the full and on the int8 model, each tried on both."""
    models = {name: in_precision(lm, name) for name in ("bfloat16", "int8")}
    losses = transferred_losses(models, texts, affirmative_targets()[0], replace(attack, steps=10))
    return {f"{source} → {victim}": values for (source, victim), values in losses.items()}


def present_study(lab: Lab, study: Mapping[str, Any]) -> None:
    """Show the deployment study, which is of the first seed."""
    cells = study["MixAT"]
    plain = {f"{c['template']}, {c['precision']}": [c] for c in cells if c["scale"] == 1 and c["temperature"] == 0}
    lab.arm_table("Template and precision, MixAT", plain, {
        "broken [95 %]": lambda runs: "{asr:.0%} [{low:.0%}, {high:.0%}]".format(**runs[0]),
        "look-alikes answered": share("compliance"), "unknown": share("unknown"),
        "tokens a second": number(lambda cell: cell["tokens"] / cell["seconds"], ".0f"),
    }, "Direct requests and unseen persuasion, half each; adapter beside the weights in int8, else folded in.",
       first="template, precision")  # fmt: skip
    lab.arm_table(
        "Embedding attacks across precisions, MixAT", {pair: [losses] for pair, losses in study["transfer"].items()},
        {"target CE, nats a token": number(lambda losses: losses)},
        "10 steps at the training radius; lower is a stronger attack.", first="computed on → tried on",
    )  # fmt: skip
    strengths = {arm: sweep(study[arm], "scale", temperature=0.0) for arm in ("C", "MixAT")}
    lab.figure(
        "Strength of the adapter", plots.lines, xlabel="benign look-alikes answered, %",
        ylabel="harmful requests broken, %",
        drawn={arm: [(100 * c["compliance"], 100 * c["asr"]) for c in cells] for arm, cells in strengths.items()},
        texts={arm: [f"{cell['scale']:g}" for cell in cells] for arm, cells in strengths.items()},
        alt="Requests broken against look-alikes answered as the adapter's strength lambda grows, for C and MixAT.",
        caption="One seed. Each line runs from lambda 0, the base, upwards. Down and right is better.",
    )  # fmt: skip
    warm = sweep(cells, "temperature", scale=1.0)
    rates = {"mean over samples": "asr", f"at least one of {max(cell['samples'] for cell in warm)}": "asr_at_n"}
    lab.figure(
        "Temperature", plots.lines, xlabel="temperature", ylabel="requests broken, %",
        drawn={label: [(cell["temperature"], 100 * cell[key]) for cell in warm] for label, key in rates.items()},
        alt="Mean success rate and the rate of at least one success in all samples, against temperature.",
        caption="MixAT, one seed; at temperature 0 there is one reply.",
    )  # fmt: skip


def sweep(cells: list[dict[str, Any]], over: str, **fixed: float) -> list[dict[str, Any]]:
    """Return the cells of the own template and first precision, in the order of one setting."""
    same: dict[str, Any] = {"template": "own", "precision": cells[0]["precision"], **fixed}
    return sorted((cell for cell in cells if same.items() <= cell.items()), key=lambda cell: cell[over])
