"""Greedy generation for many prompts, beside `model.generate` on rows in batches of eight.

Both produce the requested number of tokens for each prompt: no token ends a reply on either side. The plain side takes
the prompts as they come, left-pads each eight of them and calls transformers' `generate` on the same bfloat16 model.
Replies are compared: in bfloat16 a tie between two tokens can fall either way with the shape of a batch, and a reply
that has parted stays apart, so the share of identical texts lies below one on both sides of any change of batch.
"""

from __future__ import annotations

import sys
from typing import Any

from side_by_side import Benchmark, Side, Size, Work, floor_of, seen_pairs


def load(settings: dict[str, Any]):
    """The model in bfloat16 with nothing that stops it, and shipped benign requests."""
    import torch

    from trued.data.prompts import prompts
    from trued.language.engine.model import LanguageModel
    from trued.language.engine.tiny import tiny_model

    lm = tiny_model() if settings["tiny"] else LanguageModel.load(dtype=torch.bfloat16)
    lm.model.to(torch.bfloat16)
    lm.format.stop_ids = frozenset()
    lm.model.generation_config.eos_token_id = None
    texts = [row.prompt for kind in ("general", "lookalikes") for row in prompts(kind)]
    return lm, texts[: settings["prompts"]]


def trued(settings: dict[str, Any]) -> Work:
    lm, requests = load(settings)
    new = settings["tokens"]

    def run() -> dict[str, Any]:
        texts = [replies[0] for replies in lm.generate(requests, max_new_tokens=new)]
        return {"texts": texts, "amount": len(requests) * new}

    def floor() -> dict[str, Any]:
        """Weights once a step for all prompts together, and each prompt's keys and values as they have grown."""
        size, flops, cached = Size.of(lm), 0.0, 0.0
        for prompt in requests:
            length = len(lm.prompt_ids(prompt))
            flops += size.forward(length + new - 1, new, seen_pairs(length, [new - 1]))
            cached += (length + new / 2) * (new - 1)
        width = size.weight_bytes / (size.linear + size.head)
        return {"floor": floor_of(flops, size.weight_bytes * new + cached * size.cache * width)}

    return Work(run, warm_up=lambda: lm.generate(requests[:8], max_new_tokens=4), after=floor)


def transformers(settings: dict[str, Any]) -> Work:
    import torch

    lm, requests = load(settings)
    lm.base.set_attn_implementation("sdpa")  # transformers' own
    ids = [lm.prompt_ids(prompt) for prompt in requests]

    def generate(rows: list[list[int]], new: int) -> list[str]:
        width = max(map(len, rows))
        padded = torch.tensor([[lm.pad_id] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        out = lm.model.generate(
            input_ids=padded, attention_mask=mask, do_sample=False, max_new_tokens=new, pad_token_id=lm.pad_id
        )
        if out.shape[1] != width + new:
            raise RuntimeError(f"{out.shape[1] - width} tokens were generated, {new} were requested")
        return lm.tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)

    def run() -> dict[str, Any]:
        batches = [ids[start : start + settings["rows"]] for start in range(0, len(ids), settings["rows"])]
        texts = [text for rows in batches for text in generate(rows, settings["tokens"])]
        return {"texts": texts, "amount": len(ids) * settings["tokens"]}

    return Work(run, warm_up=lambda: generate(ids[: settings["rows"]], 4))


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    ours, theirs = (ones[0]["texts"] for ones in values.values())
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    parted = [
        next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))) / max(len(b), 1)
        for a, b in zip(ours, theirs, strict=True)
        if a != b
    ]
    findings: dict[str, Any] = {"identical replies": f"{same} of {len(ours)}"}
    if parted:
        findings["the others part"] = f"after {sum(parted) / len(parted):.0%} of their text, on average"
    return findings


BENCHMARK = Benchmark(
    name="generation",
    what="Greedy generation, 64 prompts x 64 tokens, SmolLM2-135M in bfloat16",
    peer="model.generate, rows of 8",
    target="at least 1.5x tokens/s",
    unit="tokens",
    sides=[Side("trued", trued), Side("model.generate, rows of 8", transformers)],
    compare=compare,
    settings={"prompts": 64, "tokens": 64, "rows": 8},
    tiny={"prompts": 6, "tokens": 8, "rows": 2},
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
