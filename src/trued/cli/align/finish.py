"""What a training leaves: the adapter or the model, its record, and the lines that say where they are."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trued.cli.align.job import RECORD
from trued.cli.terminal import console, print_json
from trued.files import add_text, whole_folder
from trued.lab.wording import duration

if TYPE_CHECKING:
    from trued.language.engine.card import AdapterCard
    from trued.language.engine.model import LanguageModel
    from trued.language.train.recipe import TradeOff
    from trued.learn.fit.loop import FitResult


def finish(
    method: str,
    tuned: LanguageModel,
    result: FitResult,
    output: Path,
    settings: dict[str, Any],
    looks: list[TradeOff],
    *,
    as_json: bool,
) -> None:
    """Write the adapter, or the whole model where all of it was trained, and the settings, and say where they are."""
    kind = "adapter" if tuned.has_adapter else "model"
    card = training_card(method, result, settings, looks)
    folder = tuned.save_adapter(output, card) if kind == "adapter" else save_model(tuned, output)
    notes = tuned.format.limits
    record = {
        "base": tuned.name, "settings": settings, "steps": result.steps, "best_step": result.best_step,
        "seconds": result.seconds, "peak_memory_bytes": result.peak_memory_bytes,
        "looks": [asdict(look) for look in looks], "history": result.history,
        **({"notes": notes} if notes else {}),
    }  # fmt: skip
    add_text(folder, RECORD, json.dumps(record, indent=1, default=str))
    if as_json:
        print_json({kind: str(folder), **{k: record[k] for k in ("base", "steps", "best_step", "seconds")}})
        return
    out = console()
    best = "" if result.best_step is None else f", the best of them step {result.best_step}"
    out.print(f"{result.steps} steps{best} in {duration(result.seconds)}, peak memory {_gib(result.peak_memory_bytes)}")
    out.print(f"{kind:<8} {folder}", soft_wrap=True)
    against = "base" if kind == "adapter" else shlex.quote(tuned.name)
    for note in notes:
        out.print(f"note: {note}", soft_wrap=True)
    out.print(f"again    trued check {folder} --against {against}", soft_wrap=True)


def training_card(method: str, result: FitResult, settings: dict[str, Any], looks: Sequence[TradeOff]) -> AdapterCard:
    """What the model card says of a training, and of the looks at validation prompts, the first against the best."""
    from trued.language.engine.card import AdapterCard

    fit = settings.get("fit") or settings
    training = {
        "steps": result.steps,
        "best step": result.best_step,
        "learning rate": fit.get("lr"),
        "batch size": fit.get("batch_size"),
        "seed": fit.get("seed"),
        "seconds": round(result.seconds),
    }
    if not looks:
        return AdapterCard(method, training)
    first, best = looks[0], next((look for look in looks if look.step == result.best_step), looks[-1])
    rows = [
        ("harmful requests refused", first.refused, best.refused),
        ("harmful requests in templates refused", first.refused_in_templates, best.refused_in_templates),
        ("harmless look-alikes refused", first.over_refused, best.over_refused),
    ]
    return AdapterCard(method, training, tuple((f"{name} (validation)", f"{a:.0%}", f"{b:.0%}") for name, a, b in rows))


def save_model(tuned: LanguageModel, output: Path) -> Path:
    """Write all weights and the tokenizer, atomically, as transformers loads them."""
    with whole_folder(output, kind="model") as work:
        tuned.model.save_pretrained(work, safe_serialization=True)
        tuned.tokenizer.save_pretrained(work)
    return output


def look_line(look: TradeOff) -> str:
    """One look at the validation prompts in a line."""
    return (
        f"step {look.step:>3}: harmful refused {look.refused:.0%}, in templates {look.refused_in_templates:.0%}, "
        f"look-alikes refused {look.over_refused:.0%}"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
