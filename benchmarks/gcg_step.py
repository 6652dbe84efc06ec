"""A step of GCG, beside nanoGCG: gradient, 128 candidates, their losses, and the choice of the best.

Both search for the same prompt, target and first suffix with the same settings. Each draws its own candidates (the
random streams differ), so that how low the loss falls is comparable, but not equal; the findings therefore also give
both sides' losses of the same fixed candidates, which have to agree to what bfloat16 holds. Some of the candidates that
either draws do not survive as text and are dropped, by the same rule; that is counted for neither. Timed are the steps
after the first; what precedes the first (which tokens may be used, above all) is part of the whole run, given apart.

nanoGCG 0.3 runs with transformers 4.47, in an environment of its own, which needs nothing of trued. It removes the text
of a BOS token from the prompt, wherever it stands; SmolLM2's is `<|im_start|>`, which opens every turn. So it gets the
prompt as text, under a tokenizer that names another BOS token. It also gets the model's configuration as transformers
4.47 reads it, where the rotary base is a field of its own.

    python -m venv nanogcg-venv
    nanogcg-venv/bin/pip install torch==2.13.0 nanogcg==0.3.0 transformers==4.47.1
    python benchmarks/gcg_step.py --peer-python nanogcg-venv/bin/python
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from side_by_side import Benchmark, Side, Size, Work, floor_of, seen_pairs

SEED = 0


def shared(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the model's folder, another as nanoGCG's environment reads it, the rendered prompt, and candidates."""
    import torch

    from trued.language.attack.gcg.candidates import draw_candidates
    from trued.language.attack.gcg.start import first_tokens
    from trued.language.attack.gcg.suffix import SLOT, SlottedPrompt, allowed_ids
    from trued.language.engine.embedded import default_model
    from trued.language.engine.model import LanguageModel
    from trued.language.engine.tiny import tiny_model

    if settings["tiny"]:
        lm, model = tiny_model(), folder / "model"
        lm.model.save_pretrained(model)
        lm.tokenizer.save_pretrained(model)
    else:
        model = default_model()
        lm = LanguageModel.load(model)
    prompt = SlottedPrompt.render(lm, settings["prompt"])
    allowed = allowed_ids(lm.tokenizer, lm.config.vocab_size)
    first = torch.tensor(first_tokens(lm, None, settings["suffix"]))
    generator = torch.Generator().manual_seed(SEED)
    candidates = draw_candidates(first, allowed.expand(len(first), -1), settings["width"], 1, generator)
    return {
        "model": str(model),
        "older": str(as_older(Path(model), folder / "older")),
        "rendered": SLOT.join(prompt.texts),
        "ids": [prompt.before, prompt.after, lm.reply_ids(settings["target"], end=False)],
        "init": lm.tokenizer.decode(first),
        "candidates": candidates[: settings["same"]].tolist(),
    }


def as_older(model: Path, copy: Path) -> Path:
    """Copy a model's folder, its configuration changed to what transformers 4.47 reads."""
    shutil.copytree(model, copy)
    config = json.loads((copy / "config.json").read_text())
    config["rope_theta"] = config.get("rope_parameters", config).get("rope_theta", 10_000.0)
    config["torch_dtype"] = config.get("dtype", "float32")
    (copy / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((copy / "tokenizer_config.json").read_text())
    tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    tokenizer.pop("extra_special_tokens", None)
    (copy / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return copy


def timed(search: Callable[[int, list[float]], list[float]], steps: int) -> dict[str, Any]:
    """Seconds of the steps after the first, and of the whole run; `search` notes when each step ended."""
    ends: list[float] = []
    start = time.perf_counter()
    losses = search(steps, ends)
    whole = time.perf_counter() - start
    return {"seconds": ends[-1] - ends[0], "amount": len(ends) - 1, "whole_seconds": whole, "losses": losses}


def trued(settings: dict[str, Any]) -> Work:
    from dataclasses import replace

    import torch

    from trued.language.attack.gcg.loss import SuffixLoss
    from trued.language.attack.gcg.search import GCG
    from trued.language.engine.model import LanguageModel

    lm = LanguageModel.load(settings["model"], dtype=torch.bfloat16)
    lm.model.requires_grad_(False)
    gcg = GCG(
        search_width=settings["width"],
        topk=settings["topk"],
        init=settings["init"],
        batch_size=settings["width"],
    )

    def search(steps: int, ends: list[float]) -> list[float]:
        result = replace(gcg, steps=steps).optimise(
            lm,
            settings["prompt"],
            settings["target"],
            generator=torch.Generator().manual_seed(SEED),
            progress=lambda *_: ends.append(time.perf_counter()),
        )
        return result.losses[1:]

    def after() -> dict[str, Any]:
        before, rest, target = settings["ids"]
        candidates = torch.tensor(settings["candidates"])
        losses, _ = SuffixLoss(lm, before, rest, target, batch_size=settings["width"])(candidates)
        return {"same": losses.tolist(), "floor": floor(lm, settings)}

    return Work(lambda: timed(search, settings["steps"]), warm_up=lambda: search(1, []), after=after)


def floor(lm: Any, settings: dict[str, Any]) -> dict[str, float]:
    """Of the timed steps: a gradient, and of each candidate what follows the position that it changes, which is any."""
    before, rest, target = map(len, settings["ids"])
    size, suffix = Size.of(lm), settings["suffix"]
    whole = suffix + rest + target - 1
    flops = size.forward(whole, target, seen_pairs(before, [whole]) - before**2 / 2)
    flops += size.backward(whole, target, seen_pairs(before, [whole]) - before**2 / 2)
    for position in range(suffix):
        tokens, seen = whole - position, before + position
        each = size.forward(tokens, target, seen_pairs(seen, [tokens]) - seen**2 / 2)
        flops += each * settings["width"] / suffix
    return floor_of(flops * (settings["steps"] - 1), 3 * size.weight_bytes * (settings["steps"] - 1))


def nano(settings: dict[str, Any]) -> Work:
    import torch
    from nanogcg import gcg as nanogcg
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(settings["older"], torch_dtype=torch.bfloat16)
    model.requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(settings["older"])
    tokenizer.bos_token = tokenizer.eos_token
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    runs: list[Any] = []

    def search(steps: int, ends: list[float]) -> list[float]:
        def clock(numbers: Iterable[int]) -> Iterator[int]:
            for number in numbers:
                yield number
                ends.append(time.perf_counter())

        nanogcg.tqdm = clock  # its progress bar stands around the steps
        config = nanogcg.GCGConfig(
            num_steps=steps,
            search_width=settings["width"],
            topk=settings["topk"],
            optim_str_init=settings["init"],
            seed=SEED,
            verbosity="WARNING",
        )
        runs.append(nanogcg.GCG(model, tokenizer, config))
        result = runs[-1].run(settings["rendered"], settings["target"])
        return [float(loss) for loss in result.losses]

    def after() -> dict[str, Any]:
        gcg = runs[-1]
        parts = [gcg.before_embeds, gcg.after_embeds, gcg.target_embeds]
        lengths = [part.shape[1] for part in parts]
        if lengths != [len(ids) for ids in settings["ids"]]:
            raise SystemExit(f"nanoGCG reads a prompt of other lengths: {lengths}")
        candidates = torch.tensor(settings["candidates"])
        embeds = [gcg.embedding_layer(candidates), *(part.repeat(len(candidates), 1, 1) for part in parts[1:])]
        losses = gcg._compute_candidates_loss_original(len(candidates), torch.cat(embeds, 1))
        return {"same": losses.tolist()}

    return Work(lambda: timed(search, settings["steps"]), warm_up=lambda: search(1, []), after=after)


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    ours, peers = (ones[0]["same"] for ones in values.values())
    gaps = [abs(a - b) for a, b in zip(ours, peers, strict=True)]
    findings: dict[str, Any] = {
        f"losses of the same {len(gaps)} candidates": f"{statistics.mean(ours):.3f} and {statistics.mean(peers):.3f} "
        f"on average; they differ by {statistics.mean(gaps):.3f}, at most {max(gaps):.3f}"
    }
    for name, (first, *_) in values.items():
        findings[name] = (
            f"target cross-entropy {first['losses'][0]:.3f} after step 1, {min(first['losses']):.3f} at best in "
            f"{len(first['losses'])} steps; whole run {first['whole_seconds']:.2f} s"
        )
    return findings


BENCHMARK = Benchmark(
    name="gcg_step",
    what="A step of GCG, 128 candidates, top-k 64, suffix of 20 tokens, SmolLM2-135M in bfloat16",
    peer="nanoGCG 0.3.0",
    target="at least 1.5x steps/s, the same losses",
    unit="steps",
    sides=[Side("trued", trued), Side("nanoGCG", nano, elsewhere=True)],
    compare=compare,
    settings={
        "steps": 6,
        "width": 128,
        "topk": 64,
        "suffix": 20,
        "same": 64,
        "prompt": "Describe how a bridge is built across a wide river.",
        "target": "Sure, here is",
    },
    tiny={
        "steps": 3,
        "width": 16,
        "topk": 8,
        "suffix": 8,
        "same": 8,
        "prompt": "Tell me.",
        "target": "Sure",
    },
    shared=shared,
    elsewhere="the interpreter of an environment with nanoGCG: python -m venv nanogcg-venv && "
    "nanogcg-venv/bin/pip install torch==2.13.0 nanogcg==0.3.0 transformers==4.47.1",
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
