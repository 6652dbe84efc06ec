"""What the attack suite adds to plain generation: its cases, journal, labels and calibration, beside the replies alone.

Both generate the same replies with the same engine and the same model: the suite for direct requests and jailbreak
templates, journalled and judged by phrases; the plain side in one call of `LanguageModel.generate`. No token ends a
reply on either side. Not a race with a peer: the suite is to keep at least 80 % of the engine's own throughput.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from generation import load
from side_by_side import Benchmark, Side, Work


def attacked(settings: dict[str, Any]):
    """The target, and the behaviours and attacks of the suite."""
    from trued.language.attack.behaviors import shipped_behaviors
    from trued.language.attack.contract import ChatTarget
    from trued.language.attack.direct import Direct
    from trued.language.attack.templates import Templates

    lm, _ = load({**settings, "prompts": 8})
    attacks = [Direct(), Templates(count=settings["templates"])]
    return ChatTarget(lm, max_new_tokens=settings["tokens"]), shipped_behaviors(limit=settings["behaviors"]), attacks


def suite(settings: dict[str, Any]) -> Work:
    from trued.language.attack.suite import Suite
    from trued.language.judge.reply import PhraseJudge

    target, behaviors, attacks = attacked(settings)

    def run() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "results.jsonl"
            result = Suite(attacks).evaluate(target, behaviors, PhraseJudge(), journal=journal)
        return {"texts": list(result.replies), "amount": len(result.replies) * settings["tokens"]}

    return Work(run, warm_up=lambda: target.model.generate(["Hello."] * 8, max_new_tokens=4))


def plain(settings: dict[str, Any]) -> Work:
    target, behaviors, attacks = attacked(settings)
    turns = [case.messages for attack in attacks for b in behaviors for case in attack.run([b], target, seed=0)]

    def run() -> dict[str, Any]:
        texts = [reply for (reply,) in target.model.generate(turns, max_new_tokens=settings["tokens"])]
        return {"texts": texts, "amount": len(texts) * settings["tokens"]}

    return Work(run, warm_up=lambda: target.model.generate(["Hello."] * 8, max_new_tokens=4))


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    ours, theirs = (ones[0]["texts"] for ones in values.values())
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    return {"identical replies": f"{same} of {len(ours)}"}


BENCHMARK = Benchmark(
    name="suite_evaluation",
    what="The suite on 16 requests, direct and in 10 templates, 40 tokens a reply, SmolLM2-135M in bfloat16",
    peer="LanguageModel.generate alone",
    target="at least 0.8x tokens/s",
    unit="tokens",
    sides=[Side("trued", suite), Side("LanguageModel.generate alone", plain)],
    compare=compare,
    settings={"behaviors": 16, "templates": 10, "tokens": 40},
    tiny={"behaviors": 3, "templates": 2, "tokens": 4},
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
