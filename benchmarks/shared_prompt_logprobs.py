"""Log-probabilities of several responses to each prompt, beside a plain padded forward pass with full logits.

The plain side repeats the prompt in front of each of its responses, pads the rows of a prompt to one batch, computes
logits at every position and picks the responses' tokens from their log-softmax. The same run compares the numbers: in
bfloat16 as timed, and in float32, where they agree to rounding, for the first prompt.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from side_by_side import Benchmark, Side, Size, Work, floor_of, seen_pairs, text_of


def load(settings: dict[str, Any]):
    """The model in bfloat16, and texts of the requested lengths."""
    import torch

    from trued.language.engine.model import LanguageModel
    from trued.language.engine.tiny import tiny_model

    lm = tiny_model() if settings["tiny"] else LanguageModel.load(dtype=torch.bfloat16)
    lm.model.to(torch.bfloat16)
    generator = random.Random(0)
    template, ends = len(lm.prompt_ids("")), len(lm.format.end_ids)

    def text(tokens: int) -> str:
        return text_of(max(tokens, 1), lambda t: len(lm.reply_ids(t, end=False)), generator)

    prompts = [text(settings["prompt"] - template) for _ in range(settings["prompts"])]
    replies = [[text(settings["reply"] - ends) for _ in range(settings["replies"])] for _ in prompts]
    return lm, prompts, replies


def plain(lm: Any, prompt: str, replies: list[str]) -> list[float]:
    """Log-probabilities of all tokens of the responses to one prompt, one after the other."""
    import torch

    head = lm.prompt_ids(prompt)
    tails = [lm.reply_ids(text) for text in replies]
    width = len(head) + max(map(len, tails))
    ids = torch.tensor([head + tail + [lm.pad_id] * (width - len(head) - len(tail)) for tail in tails])
    mask = torch.tensor([[1] * (len(head) + len(tail)) + [0] * (width - len(head) - len(tail)) for tail in tails])
    with torch.no_grad():
        logits = lm.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        log_probs = logits.float().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    first = len(head) - 1
    return [
        value for row, tail in zip(log_probs, tails, strict=True) for value in row[first : first + len(tail)].tolist()
    ]


def shared(lm: Any, prompts: list[str], replies: list[list[str]]) -> list[float]:
    return [float(x) for group in lm.logprobs(prompts, replies) for reply in group for x in reply]


def padded(lm: Any, prompts: list[str], replies: list[list[str]]) -> list[float]:
    return [x for prompt, group in zip(prompts, replies, strict=True) for x in plain(lm, prompt, group)]


def side(score: Any, *, ours: bool):
    def prepare(settings: dict[str, Any]) -> Work:
        lm, prompts, replies = load(settings)
        if not ours:
            lm.base.set_attn_implementation("sdpa")  # transformers' own

        def run() -> dict[str, Any]:
            log_probs = score(lm, prompts, replies)
            return {"bfloat16": log_probs, "amount": sum(map(len, replies))}

        def after() -> dict[str, Any]:
            size = Size.of(lm)
            lm.model.float()
            values: dict[str, Any] = {"float32": score(lm, prompts[:1], replies[:1])}
            if ours:
                values["floor"] = floor(lm, size, prompts, replies)
            return values

        return Work(run, warm_up=lambda: score(lm, prompts[:1], replies[:1]), after=after)

    return prepare


def floor(lm: Any, size: Size, prompts: list[str], replies: list[list[str]]) -> dict[str, float]:
    """Each prompt and each response once through the layers, responses through the head, weights read once."""
    flops = 0.0
    for prompt, group in zip(prompts, replies, strict=True):
        head, tails = len(lm.prompt_ids(prompt)), [len(lm.reply_ids(text)) for text in group]
        flops += size.forward(head + sum(tails), sum(tails), seen_pairs(head, tails))
    return floor_of(flops, size.weight_bytes)


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    ours, theirs = (ones[0] for ones in values.values())
    findings: dict[str, Any] = {"tokens compared": len(ours["bfloat16"])}
    for kind in ("float32", "bfloat16"):
        gaps = [abs(a - b) for a, b in zip(ours[kind], theirs[kind], strict=True)]
        findings[f"difference in {kind}"] = f"at most {max(gaps):.2g} nats, on average {sum(gaps) / len(gaps):.2g}"
    return findings


BENCHMARK = Benchmark(
    name="shared_prompt_logprobs",
    what="Log-probabilities of 8 responses of 40 tokens to each prompt of 400 tokens, SmolLM2-135M in bfloat16",
    peer="padded forward pass, full logits",
    target="at least 4x responses/s",
    unit="responses",
    sides=[Side("trued", side(shared, ours=True)), Side("padded, full logits", side(padded, ours=False))],
    compare=compare,
    settings={"prompts": 4, "prompt": 400, "replies": 8, "reply": 40},
    tiny={"prompts": 2, "prompt": 80, "replies": 3, "reply": 12},
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
