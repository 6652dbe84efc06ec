"""Mutual k-nearest neighbours of two sets of features, beside the dense way of the scripts in use.

Both sides find the 10 nearest rows of every row by cosine, in two sets of 50,000 rows of 768 numbers, and count what
they have in common. Ours computes half of the similarities, tile by tile, and sorts nothing. The peers compute all of
them and sort every row (`argsort`, as the metric scripts of the Platonic Representation Hypothesis do) or select by
`topk`; they go through the rows in blocks of 1,024, since all similarities at once would take 10 GB, and their sort 30.
The rows are normal with a spectrum that falls as features' do, and both sets share half of it.
"""

from __future__ import annotations

import sys
from typing import Any

from side_by_side import Benchmark, Side, Work, floor_of


def load(settings: dict[str, Any]):
    """Two sets of rows that share the first half of their directions."""
    import torch

    generator = torch.Generator().manual_seed(0)
    rows, dim = settings["rows"], settings["dim"]
    spectrum = torch.arange(1, dim + 1).float() ** -0.5
    shared = torch.randn(rows, dim, generator=generator)
    sides = []
    for _ in range(2):
        own = torch.randn(rows, dim, generator=generator)
        own[:, : dim // 2] = shared[:, : dim // 2]
        sides.append(own.mul_(spectrum))
    return sides


def trued(settings: dict[str, Any]) -> Work:
    from trued.learn.similarity import mutual_knn

    x, y = load(settings)
    few = slice(0, 2048)

    def floor() -> dict[str, Any]:
        rows, dim = x.shape
        return {"floor": floor_of(2 * rows * rows * dim, 2 * 4 * rows * dim)}

    return Work(
        lambda: {"value": mutual_knn(x, y, settings["k"]), "amount": 2 * len(x) / 1000},
        warm_up=lambda: mutual_knn(x[few], y[few], settings["k"]),
        after=floor,
    )


def dense(settings: dict[str, Any], nearest: Any) -> Work:
    import torch

    x, y = load(settings)
    k = settings["k"]

    def neighbours(z):
        z = torch.nn.functional.normalize(z - z.mean(0), dim=1)
        nearby = []
        for start in range(0, len(z), 1024):
            tile = z[start : start + 1024] @ z.T
            own = torch.arange(len(tile))
            tile[own, start + own] = -1e8
            nearby.append(nearest(tile, k).clone())  # a view would keep the whole sort alive
        return torch.cat(nearby)

    def run(x, y) -> dict[str, Any]:
        a, b = neighbours(x), neighbours(y)
        common = (a[:, :, None] == b[:, None, :]).any(2).float().mean()
        return {"value": float(common), "amount": 2 * len(x) / 1000}

    few = slice(0, 2048)
    return Work(lambda: run(x, y), warm_up=lambda: run(x[few], y[few]))


def by_argsort(settings: dict[str, Any]) -> Work:
    return dense(settings, lambda tile, k: tile.argsort(dim=1, descending=True)[:, :k])


def by_topk(settings: dict[str, Any]) -> Work:
    return dense(settings, lambda tile, k: tile.topk(k, 1).indices)


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    scores = {f"score by {name}": f"{first['value']:.6f}" for name, (first, *_) in values.items()}
    ours = values["trued"][0]["value"]
    worst = max(abs(run["value"] - ours) for ones in values.values() for run in ones)
    return {**scores, "largest difference": f"{worst:.1e}"}


BENCHMARK = Benchmark(
    name="mutual_knn",
    what="Mutual 10-nearest neighbours of two sets of 50,000 × 768 features",
    peer="all similarities in blocks of rows, then argsort or topk",
    target="at least 5x as fast as argsort, and under 2 GB",
    unit="thousand rows",
    sides=[Side("trued", trued), Side("dense, argsort", by_argsort), Side("dense, topk", by_topk)],
    compare=compare,
    settings={"rows": 50_000, "dim": 768, "k": 10},
    tiny={"rows": 3000, "dim": 32, "k": 10},
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
