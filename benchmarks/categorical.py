"""One token from each of 64 rows over 50,257, exactly, beside Gumbel noise in 32 bits, which is not exact.

Ours is inversion: one uniform number a row in 64 bits, blocks of weights summed in float64. The others race: noise for
every class, in 32 bits, in 64 bits, as exponentials, and in 32 bits with the tail repaired. `findings` holds the
surprisal of what was drawn against the law's entropy: all of them are right here, where no step of a process makes
classes rare.
"""

from __future__ import annotations

import sys
from typing import Any

from side_by_side import Benchmark, Side, Work, floor_of


def load(settings: dict[str, Any]) -> Any:
    import torch

    generator = torch.Generator().manual_seed(0)
    zipf = -1.2 * torch.arange(1, settings["classes"] + 1).log()
    return (zipf + 0.1 * torch.randn(settings["rows"], settings["classes"], generator=generator)).log_softmax(-1)


def drawing(settings: dict[str, Any], draw: Any) -> Work:
    import torch

    from trued.learn.categorical import sample_categorical

    log_probs, generator = load(settings), torch.Generator().manual_seed(1)

    def run() -> dict[str, Any]:
        surprisal = 0.0
        for _ in range(settings["times"]):
            drawn = sample_categorical(log_probs, draw=draw, generator=generator)
            surprisal -= float(log_probs.gather(-1, drawn[:, None]).mean())
        return {"amount": settings["times"] * settings["rows"], "surprisal": surprisal / settings["times"]}

    def after() -> dict[str, Any]:
        entropy = -float((log_probs.exp() * log_probs).sum(-1).mean())
        count = settings["times"] * log_probs.numel()
        return {"entropy": entropy, "floor": floor_of(count, 4 * count)}

    return Work(run, warm_up=lambda: sample_categorical(log_probs, draw=draw, generator=generator), after=after)


def side(name: str, draw: str) -> Side:
    return Side(name, lambda settings: drawing(settings, draw))


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    surprisals = {
        f"surprisal drawn by {name}": f"{first['surprisal']:.3f} nats" for name, (first, *_) in values.items()
    }
    return {**surprisals, "entropy of the law": f"{values['trued'][0]['entropy']:.3f} nats"}


BENCHMARK = Benchmark(
    name="categorical",
    what="One exact draw from each of 64 rows over 50,257 classes",
    peer="Gumbel noise in 32 bits",
    target="at most 1.3x the cost of 32 bits, which is not exact",
    unit="draws",
    sides=[
        side("trued", "inverse_cdf64"),
        side("float32 Gumbel", "gumbel32"),
        side("float64 Gumbel", "gumbel64"),
        side("float64 exponential", "exp64"),
        side("float32 Gumbel, tail repaired", "log1p32"),
    ],
    compare=compare,
    settings={"rows": 64, "classes": 50_257, "times": 20},
    tiny={"rows": 4, "classes": 500, "times": 2},
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
