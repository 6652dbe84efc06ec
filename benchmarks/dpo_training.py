"""DPO with LoRA, beside TRL's DPOTrainer: pairs a second, peak memory, and the loss after the same steps.

Both train the same bfloat16 model under bfloat16 autocast with a float32 adapter from the same seed (r 16, all linear
layers), on the same tokens in the same order, with AdamW at a constant learning rate. TRL appears three times:

- "TRL, as it comes": its defaults, so the reference is computed in each step and activations are checkpointed;
- "TRL, references precomputed": `precompute_ref_log_probs=True`, as trued always does;
- "TRL, precomputed, no checkpointing": the same with `gradient_checkpointing=False`, faster and larger.

Ours appears twice, for a like comparison of memory: keeping activations (its default), and "checkpointed".

Timed are the steps after the first. What comes before the first step (adapter, tokens and, where they are precomputed,
references) is measured apart, and the findings also give the ratio over the whole run, that part included.

TRL lives in an environment of its own, which needs nothing of trued:

    python -m venv trl-venv
    trl-venv/bin/pip install torch==2.13.0 'trl[peft]==1.16.0'
    python benchmarks/dpo_training.py --peer-python trl-venv/bin/python
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from side_by_side import Benchmark, Side, Size, Work, floor_of, seen_pairs, text_of

BETA, LORA_R, LORA_ALPHA, SEED = 0.1, 16, 32, 0


def shared(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the model's folder and the rows, each prompt also as the text that the chat template makes of it."""
    from trued.language.engine.embedded import default_model
    from trued.language.engine.model import LanguageModel
    from trued.language.engine.tiny import tiny_model
    from trued.learn.fit.batches import Batches

    if settings["tiny"]:
        lm = tiny_model()
        lm.model.save_pretrained(folder / "model")
        lm.tokenizer.save_pretrained(folder / "model")
        model = folder / "model"
    else:
        model = default_model()
        lm = LanguageModel.load(model)
    generator = random.Random(SEED)
    template, ends = len(lm.prompt_ids("")), len(lm.format.end_ids)
    rows = []
    for _ in range(settings["steps"] * settings["pairs"]):
        prompt, *replies = (
            max(1, round(wanted * generator.uniform(0.85, 1.15)) - extra)
            for wanted, extra in ((settings["prompt"], template), *[(settings["reply"], ends)] * 2)
        )
        texts = [text_of(n, lambda t: len(lm.reply_ids(t, end=False)), generator) for n in (prompt, *replies)]
        rows.append(dict(zip(("prompt", "chosen", "rejected"), texts, strict=True)))
    plan = Batches(len(rows), settings["pairs"], seed=SEED)
    order = [row for step in range(settings["steps"]) for row in plan[step]]
    rendered = [{**row, "prompt": lm.format.render(row["prompt"])} for row in rows]
    return {"model": str(model), "rows": rows, "rendered": [rendered[i] for i in order]}


def timed(settings: dict[str, Any], start: float, first: float, ends: list[float]) -> dict[str, Any]:
    """Seconds of the steps after the first, of what came before it, and of everything."""
    return {
        "seconds": ends[-1] - ends[0],
        "amount": (len(ends) - 1) * settings["pairs"],
        "before_seconds": first - start,
        "whole_seconds": ends[-1] - start,
    }


def trued(settings: dict[str, Any], **options: Any) -> Work:
    import peft.helpers  # noqa: F401 - loaded later otherwise, and its code counted as memory of the training
    import torch

    from trued.data.prompts import PreferenceRow
    from trued.language.engine.model import LanguageModel
    from trued.language.train.preference import PreferenceTraining, encode_preferences
    from trued.learn.fit.loop import FitConfig

    lm = LanguageModel.load(settings["model"], dtype=torch.bfloat16)
    rows = [PreferenceRow(**row) for row in settings["rows"]]
    pairs = encode_preferences(lm, rows)
    size = Size.of(lm)
    recipe = FitConfig(
        steps=settings["steps"],
        lr=settings["lr"],
        batch_size=settings["pairs"],
        schedule="constant",
        warmup=0.0,
        mixed_precision="bf16",
        seed=SEED,
    )
    training = PreferenceTraining(beta=BETA, lora_r=LORA_R, lora_alpha=LORA_ALPHA, fit=recipe, **options)

    def run() -> dict[str, Any]:
        ends: list[float] = []
        start = time.perf_counter()
        _, result = training.align(lm, rows, report=lambda _: ends.append(time.perf_counter()), progress=False)
        first = ends[0] - result.history[0]["seconds"]
        tokens = sum(len(p.prompt) * 2 + len(p.chosen) + len(p.rejected) for p in pairs)
        losses = [step["loss"] for step in result.history]
        return timed(settings, start, first, ends) | {"tokens": tokens, "losses": losses}

    def floor() -> dict[str, Any]:
        """Of the timed steps, adapter and references left out; weights are read once a pass."""
        timed_share = (settings["steps"] - 1) / settings["steps"]
        flops = 0.0
        for pair in pairs:
            replies = [len(pair.chosen), len(pair.rejected)]
            work = (pair.tokens, sum(replies), seen_pairs(len(pair.prompt), replies))
            flops += size.forward(*work) + size.backward(*work)
        return {"floor": floor_of(flops * timed_share, 2 * size.weight_bytes * (settings["steps"] - 1))}

    return Work(run, after=floor)


def trl(settings: dict[str, Any], **options: Any) -> Work:
    """TRL's trainer; `options` go to its DPOConfig."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    model = AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    rows = Dataset.from_list(settings["rendered"])
    config = DPOConfig(
        output_dir=str(Path(settings["folder"]) / "trl"),
        per_device_train_batch_size=settings["pairs"],
        max_steps=settings["steps"],
        learning_rate=settings["lr"],
        lr_scheduler_type="constant",
        beta=BETA,
        max_length=None,
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        bf16=True,
        seed=SEED,
        **options,
    )
    shape: dict[str, Any] = {"r": LORA_R, "lora_alpha": LORA_ALPHA, "lora_dropout": 0.0}
    adapter = LoraConfig(**shape, target_modules="all-linear", task_type="CAUSAL_LM")

    class Clock(TrainerCallback):
        begun: list[float] = []  # noqa: RUF012 - one trainer a process
        ends: list[float] = []  # noqa: RUF012

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.begun.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ends.append(time.perf_counter())

    def run() -> dict[str, Any]:
        clock, start = Clock(), time.perf_counter()
        torch.manual_seed(SEED)  # the trainer makes the adapter before it seeds anything itself
        trainer = DPOTrainer(
            model, args=config, train_dataset=rows, processing_class=tokenizer, peft_config=adapter, callbacks=[clock]
        )
        trainer.train()
        ids = trainer.train_dataset
        tokens = sum(len(row["prompt_ids"]) * 2 + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in ids)
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        return timed(settings, start, clock.begun[0], clock.ends) | {"tokens": tokens, "losses": losses}

    return Work(run)


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The same tokens? the same loss, log 2 first? and what does the whole run cost?"""
    findings: dict[str, Any] = {"same tokens": len({run["tokens"] for ones in values.values() for run in ones}) == 1}
    whole = {name: statistics.median(run["whole_seconds"] for run in ones) for name, ones in values.items()}
    for name, (first, *_) in values.items():
        before = statistics.median(v["before_seconds"] for v in values[name])
        findings[name] = (
            f"loss {first['losses'][0]:.4f} at step 1, {first['losses'][-1]:.4f} at step {len(first['losses'])}; "
            f"{before:.2f} s before the first step; whole run {whole[name]:.2f} s"
            + ("" if name == "trued" else f" ({whole[name] / whole['trued']:.2f}x ours)")
        )
    return findings


BENCHMARK = Benchmark(
    name="dpo_training",
    what="DPO LoRA training (r 16, all linear), SmolLM2-135M in bfloat16, 4 pairs a step, prompts of about 180 tokens, "
    "replies of about 62",
    peer="TRL 1.16 DPOTrainer",
    target="at least 3x pairs/s, at most 60 % of peak memory, same loss",
    unit="pairs",
    sides=[
        Side("trued", trued),
        Side("trued, checkpointed", partial(trued, checkpointing=True)),
        Side("TRL, as it comes", trl, elsewhere=True),
        Side("TRL, references precomputed", partial(trl, precompute_ref_log_probs=True), elsewhere=True),
        Side(
            "TRL, precomputed, no checkpointing",
            partial(trl, precompute_ref_log_probs=True, gradient_checkpointing=False),
            elsewhere=True,
        ),
    ],
    compare=compare,
    ratios=[
        ("trued", "TRL, as it comes"),
        ("trued", "TRL, references precomputed"),
        ("trued", "TRL, precomputed, no checkpointing"),
        ("trued, checkpointed", "TRL, as it comes"),
        ("trued, checkpointed", "TRL, references precomputed"),
    ],
    settings={"steps": 5, "pairs": 4, "prompt": 180, "reply": 62, "lr": 1e-4},
    tiny={"steps": 3, "pairs": 2, "prompt": 90, "reply": 20, "lr": 1e-3},
    shared=shared,
    elsewhere="the interpreter of an environment with TRL: python -m venv trl-venv && "
    "trl-venv/bin/pip install torch==2.13.0 'trl[peft]==1.16.0'",
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
