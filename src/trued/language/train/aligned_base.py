"""The refusal-tuned base: the default model, taught to refuse, made once and kept in the cache.

The default model refuses a part of what it should. Experiments that study how alignment is lost, restored or attacked
need one that clearly refuses, and the same one in all of them. Its folder is named by a hash of the recipe and of the
weights it starts from, so a changed recipe makes another folder, and an evidence file can name what it stood on.

Knows a recipe, caches and files. Knows nothing of the experiments that use it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from trued.data.prompts import AdversarialRow, PromptRow, adversarial_rows, prompts
from trued.fetch.wheel import Report
from trued.files import CACHE, cache_dir, sha256, whole_folder, write_text
from trued.language.engine.embedded import alone, sweep
from trued.language.engine.loading import default_embedded
from trued.language.engine.model import LanguageModel
from trued.language.engine.precision import served
from trued.language.judge.reply import PhraseJudge
from trued.language.train.recipe import Recipe, TradeOff, trade_off

MANIFEST = "aligned.json"


@dataclass(frozen=True)
class AlignedRecipe:
    """How the refusal-tuned base is made: the default recipe without its attack, merged into float32 weights.

    A LoRA learns short refusals of shipped harmful training requests and keeps the model's own replies to benign ones
    (divergence from the model before); the best look at the validation prompts is kept.

    Args:
        held_out: the last requests of each category's training split that it is not taught on, so that methods which
            need harmful questions that neither model saw find them in `unseen_harmful`.
        recipe: the settings of the training.
        least_refused, most_over_refused: what it is meant to reach on validation prompts.
    """

    held_out: int = 1
    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            steps=72, adversarial_share=0.3, attacked_share=0.0, targets=1, validate_every=12
        )
    )
    least_refused: float = 0.8
    most_over_refused: float = 0.1

    def taught(self) -> list[AdversarialRow]:
        """The harmful requests that it learns to refuse."""
        rows = adversarial_rows("train", targets=self.recipe.targets, refusals=self.recipe.refusals)
        unseen = {row.prompt for row in self.unseen_harmful(validation=False)}
        return [row for row in rows if row.prompt not in unseen]

    def unseen_harmful(self, *, validation: bool = True) -> list[PromptRow]:
        """The harmful requests that it is not taught on: those held out, and the validation split, which chose a step.

        The test split stays for tests.
        """
        train = prompts("harmful", "train")
        last = [
            row for i, row in enumerate(train)
            if sum(later.category == row.category for later in train[i + 1 :]) < self.held_out
        ]  # fmt: skip
        return last + (prompts("harmful", "validation") if validation else [])

    def describe(self) -> dict[str, Any]:
        """The recipe in plain values, for evidence; its hash is in the folder's name."""
        text = json.dumps(asdict(self), sort_keys=True)
        return {"recipe": asdict(self), "hash": hashlib.sha256(text.encode()).hexdigest()[:12]}

    def reached(self, look: TradeOff) -> bool:
        """Whether a look at the validation prompts is what the base is meant to be."""
        return look.refused >= self.least_refused and look.over_refused <= self.most_over_refused


@dataclass(frozen=True)
class AlignedModel:
    """A refusal-tuned base in the cache.

    Args:
        folder: float32 weights, configuration and tokenizer, as `LanguageModel.load` reads them.
        about: recipe, base, and what it does with the validation prompts, before and after.
    """

    folder: Path
    about: dict[str, Any]

    @property
    def reached(self) -> bool:
        """Whether it refuses what it should, and little else."""
        return bool(self.about["reached"])


def aligned_model(
    model: str | None = None,
    recipe: AlignedRecipe = AlignedRecipe(),
    *,
    report: Report | None = None,
    looked: Callable[[TradeOff], None] | None = None,
    progress: bool = True,
) -> AlignedModel:
    """Return the refusal-tuned base, made on the first call (a few minutes on two cores), found on every later one.

    Several processes may call at once: one makes it, the others wait.

    Args:
        model: what it is made from; the embedded default otherwise.
        report: told when another process is waited for.
        looked: called after each look at the validation prompts while it trains.

    Raises:
        InputError: the model cannot be loaded.
    """
    tell = report or (lambda stage, done, total: None)
    folder = cache_dir() / "models" / f"aligned-{_key(model, recipe)}"
    record = _read(folder)
    if record is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder, tell):
            record = _read(folder)  # another process may have made it meanwhile
            if record is None:
                sweep(folder)
                _make(model, recipe, folder, looked, progress)
                record = _read(folder)
    assert record is not None
    return AlignedModel(folder, record)


def _key(model: str | None, recipe: AlignedRecipe) -> str:
    """Name the recipe and the weights that it starts from; a hub id stands for itself."""
    embedded = default_embedded(model)
    source = embedded.folder if embedded is not None else Path(str(model))
    start = [sha256(path) for path in sorted(source.glob("*.safetensors"))] if source.is_dir() else [str(model)]
    return hashlib.sha256(json.dumps([recipe.describe()["hash"], start]).encode()).hexdigest()[:16]


def _read(folder: Path) -> dict[str, Any] | None:
    """Return what a folder says of itself if its files are as it says, sizes only."""
    try:
        about = json.loads((folder / MANIFEST).read_text("utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in about["files"].items())
        return about if whole and about["files"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _make(
    model: str | None,
    recipe: AlignedRecipe,
    folder: Path,
    looked: Callable[[TradeOff], None] | None,
    progress: bool,
) -> None:
    lm = LanguageModel.load(model)
    before = trade_off(lm, 0, PhraseJudge(), recipe.recipe.new_tokens)
    if looked is not None:
        looked(before)
    tuned, result, looks = recipe.recipe.align(lm, adversarial=recipe.taught(), looked=looked, progress=progress)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.adapter.") as adapter:
        tuned.save_adapter(Path(adapter) / "adapter")
        del tuned, lm
        merged = merged_in_float32(model, Path(adapter) / "adapter")
    after = trade_off(served(merged), result.best_step or result.steps, PhraseJudge(), recipe.recipe.new_tokens)
    with whole_folder(folder, kind=CACHE) as work:
        save_model(merged, work)
        about = {
            **recipe.describe(),
            "base": merged.name,
            "looks": [asdict(look) for look in looks],
            "before": asdict(before),
            "after": asdict(after),
            "reached": recipe.reached(after),
            "seconds": round(result.seconds, 1),
            "files": {path.name: path.stat().st_size for path in sorted(work.iterdir())},
        }
        write_text(work / MANIFEST, json.dumps(about, indent=1) + "\n")


def merged_in_float32(
    model: str | Path | None,
    adapter: str | Path | None = None,
    *,
    device: str | None = None,
    template: str | None = None,
) -> LanguageModel:
    """Load a model in float32 and fold its adapter, if it has one, into its weights there: nothing is rounded twice.

    Raises:
        InputError: see `LanguageModel.load`.
    """
    lm = LanguageModel.load(model, dtype=torch.float32, adapter=adapter, device=device, template=template)
    if not hasattr(lm.model, "merge_and_unload"):
        return lm
    merged: Any = lm.model.merge_and_unload()
    return lm.around(merged.eval())


def save_model(lm: LanguageModel, folder: Path) -> None:
    """Write a model without an adapter, and its tokenizer, as transformers read them; safetensors."""
    lm.base.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
