"""First-hitting sampling beside ancestral sampling of the same masked model, one sequence at a time.

Both draw from the same law (tests/generation/test_masked_sampler.py holds them against a source that is known), so
equal quality is a matter of steps alone, and 1,024 are enough for 128 tokens. The model is the one of the experiment,
untrained: what it knows has no part in the time. The peer caches the network's answers while nothing changes; a second
peer also leaves out the draws that are not needed, which is ours, too. `findings` has calls and draws.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from side_by_side import Benchmark, Side, Work, floor_of


def load(settings: dict[str, Any]) -> tuple[Any, Any]:
    from trued.generation.masked.model import MaskedConfig, TinyMaskedLM
    from trued.generation.masked.state import all_masked

    config = MaskedConfig(
        settings["vocab"], settings["length"], settings["width"], settings["layers"], settings["heads"]
    )
    model = TinyMaskedLM(config).eval()
    return model, all_masked(model, 1, config.length)


def work(settings: dict[str, Any], draw: Callable[[Any, Any, Any], Any], after: Any = dict) -> Work:
    import torch

    model, start = load(settings)
    generator = torch.Generator().manual_seed(0)

    def run() -> dict[str, Any]:
        results = [draw(model, start, generator) for _ in range(settings["sequences"])]
        return {
            "amount": len(results),
            "calls": sum(result.calls for result in results) / len(results),
            "draws": sum(result.draws for result in results) / len(results),
        }

    return Work(run, warm_up=lambda: draw(model, start, generator), after=after)


def trued(settings: dict[str, Any]) -> Work:
    from trued.generation.masked.first_hitting import first_hitting

    def floor() -> dict[str, Any]:
        model, _ = load(settings)
        length, width = settings["length"], settings["width"]
        layers = sum(p.numel() for p in model.blocks.parameters())
        pairs = settings["layers"] * length * width
        flops = length * (length * (2 * layers + 4 * pairs) + 2 * settings["vocab"] * width)
        traffic = length * 4 * (layers + settings["vocab"] * width)
        return {"floor": floor_of(settings["sequences"] * flops, settings["sequences"] * traffic)}

    return work(settings, lambda model, start, generator: first_hitting(model, start, generator=generator), floor)


def by_steps(settings: dict[str, Any], draw: Any) -> Work:
    from trued.generation.masked.ancestral_steps import ancestral

    return work(
        settings,
        lambda model, start, generator: ancestral(model, start, settings["steps"], draw=draw, generator=generator),
    )


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        f"{name}, a sequence": f"{one['calls']:.0f} network calls, {one['draws']:,.0f} draws"
        for name, (one, *_) in values.items()
    }


BENCHMARK = Benchmark(
    name="first_hitting",
    what="A sequence of 128 tokens over 8,192 from a masked model of 3.4 M parameters, by first-hitting sampling",
    peer="ancestral sampling, 1,024 steps, cached, float64 noise",
    target="the paper: up to 20x",
    unit="sequences",
    sides=[
        Side("trued", trued),
        Side("ancestral", lambda settings: by_steps(settings, "gumbel64")),
        Side("ancestral, two-stage draws", lambda settings: by_steps(settings, "two_stage")),
    ],
    compare=compare,
    settings={
        "vocab": 8192, "length": 128, "width": 192, "layers": 4, "heads": 6, "steps": 1024, "sequences": 2,
    },
    tiny={"vocab": 300, "length": 12, "width": 16, "layers": 1, "heads": 2, "steps": 24, "sequences": 2},
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
