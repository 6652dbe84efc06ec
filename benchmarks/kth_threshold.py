"""The exact k-th largest gradient of a model, beside joining all gradients and sorting them.

Alignment recovery restores the weights with the largest gradients, so each of its steps needs the k-th largest
magnitude among those of all layers. The gradients lie in as many tensors as the model has weights. Ours counts the bits
of one block after the other, twice; the peers join the tensors first and then sort, select the top k, or select the
k-th, all by PyTorch. `findings` compares the values that they find.
"""

from __future__ import annotations

import sys
from typing import Any

from side_by_side import Benchmark, Side, Work, floor_of


def load(settings: dict[str, Any]):
    """Gradients of the shapes of the embedded model's weights: normal, with another scale in each tensor."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from trued.language.engine.embedded import default_model
    from trued.language.engine.tiny import tiny_model

    if settings["tiny"]:
        shapes = [parameter.shape for parameter in tiny_model().base.parameters()]
    else:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(default_model())
            shapes = [parameter.shape for parameter in AutoModelForCausalLM.from_config(config).parameters()]
    generator = torch.Generator().manual_seed(0)
    gradients = []
    for shape in shapes:
        scale = 10 ** (4 * torch.rand((), generator=generator) - 6)
        gradients.append(torch.randn(shape, generator=generator).mul_(scale))
    count = sum(gradient.numel() for gradient in gradients)
    return gradients, max(1, round(settings["rate"] * count)), count


def trued(settings: dict[str, Any]) -> Work:
    from trued.learn.radix import kth_largest

    gradients, k, count = load(settings)

    def floor() -> dict[str, Any]:
        return {"floor": floor_of(0, 2 * 4 * count), "gradient_bytes": 4 * count}

    return Work(
        lambda: {"value": kth_largest(lambda: gradients, k).value, "amount": count / 1e6},
        warm_up=lambda: kth_largest(lambda: gradients[-1:], 1),
        after=floor,
    )


def joined(settings: dict[str, Any], find: Any) -> Work:
    import torch

    gradients, k, count = load(settings)

    def run() -> dict[str, Any]:
        every = torch.cat([gradient.flatten() for gradient in gradients]).abs_()
        return {"value": float(find(every, k)), "amount": count / 1e6}

    return Work(run, warm_up=lambda: find(gradients[-1].flatten().abs(), 1))


def by_sort(settings: dict[str, Any]) -> Work:
    return joined(settings, lambda every, k: every.sort(descending=True).values[k - 1])


def by_topk(settings: dict[str, Any]) -> Work:
    return joined(settings, lambda every, k: every.topk(k).values[-1])


def by_kthvalue(settings: dict[str, Any]) -> Work:
    return joined(settings, lambda every, k: every.kthvalue(len(every) - k + 1).values)


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    ours = values["trued"][0]
    thresholds = {f"value found by {name}": f"{first['value']:.9g}" for name, (first, *_) in values.items()}
    same = all(run["value"] == ours["value"] for ones in values.values() for run in ones)
    return {
        **thresholds,
        "same value": "yes" if same else "NO",
        "the gradients": f"{ours['gradient_bytes'] / 1e6:,.0f} MB",
    }


BENCHMARK = Benchmark(
    name="kth_threshold",
    what="The k-th largest of all gradients of SmolLM2-135M, exact, k = 0.2 % of them",
    peer="torch.cat, then sort, topk or kthvalue",
    target="at least 5x as fast as sort, and at most 0.2 of the gradients' size beside them",
    unit="million gradients",
    sides=[
        Side("trued", trued),
        Side("joined and sorted", by_sort),
        Side("joined, topk", by_topk),
        Side("joined, kthvalue", by_kthvalue),
    ],
    compare=compare,
    settings={"rate": 0.002},
    tiny={"rate": 0.002},
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
