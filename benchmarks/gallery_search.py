"""A query against a million places: the cells of the map first, beside comparing with all of them.

A user gives one picture at a time, so queries are asked one by one. Ours looks for the likeliest cells and compares
with their places; `exact` compares all queries with all places in blocks; the peer keeps the vectors, too, and compares
with all of them in float32. The package `geoclip` encodes its gallery in every call: a fiftieth of that is measured and
multiplied. `findings` says how often ours has the exact answer, and how far its probability is off.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from side_by_side import Benchmark, Side, Work, floor_of

PART = 50  # of the gallery, encoded for the last side


def shared(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Encode the gallery once, and make queries: as near to a place as pictures are, and not in the gallery."""
    import torch
    from safetensors.torch import save_file
    from torch.nn import functional as F

    from trued.data.globe import from_sphere, jitter
    from trued.representation.geoclip.location_encoder import LocationEncoder

    generator = torch.Generator().manual_seed(0)
    encoder = encoder_of(settings)
    assert isinstance(encoder, LocationEncoder)
    if settings["tiny"]:
        places = from_sphere(torch.randn(settings["places"], 3, generator=generator))
    else:
        from trued.data.earth import land_grid

        places = land_grid(settings["degrees"])[: settings["places"]]
    order = torch.randperm(len(places), generator=generator)[: settings["queries"]]
    near = encoder.embed(jitter(places[order], 5000.0, generator))
    noise = F.normalize(torch.randn(near.shape, generator=generator), dim=1)
    cosine = settings["cosine"]
    queries = F.normalize(cosine * near + (1 - cosine**2) ** 0.5 * noise, dim=1)
    file = folder / "gallery.safetensors"
    save_file({"places": places, "vectors": encoder.embed(places).half(), "queries": queries}, file)
    return {"file": str(file)}


def encoder_of(settings: dict[str, Any]):
    from trued.representation.geoclip.location_encoder import LocationEncoder, LocationEncoderConfig

    if settings["tiny"]:
        return LocationEncoder(LocationEncoderConfig(features=16, hidden=32, depth=1, dim=32)).eval()
    return LocationEncoder.released()


def load(settings: dict[str, Any]):
    from safetensors.torch import load_file

    from trued.representation.geoclip.gallery import Gallery

    tensors = load_file(settings["file"])
    return Gallery(tensors["places"], tensors["vectors"]), tensors["queries"]


def answers(results: list[Any], seconds: float) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "amount": len(results),
        "cosines": [round(float(result.cosines[0, 0]), 6) for result in results],
        "shares": [float(result.probabilities[0, 0]) for result in results],
    }


def by_cells(settings: dict[str, Any]) -> Work:
    from trued.representation.geoclip.gallery_index import GalleryIndex

    gallery, queries = load(settings)
    index = GalleryIndex(gallery, members=settings["members"], probes=settings["probes"])
    dim, cells = gallery.vectors.shape[1], len(index.counts)

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        results = [index.search(query[None], settings["top_k"], scale=settings["scale"]) for query in queries]
        return answers(results, time.perf_counter() - start)

    def floor() -> dict[str, Any]:
        rows = index.probes * len(gallery) / cells
        work = len(queries) * dim * (2 * cells + rows)
        traffic = len(queries) * dim * (2 * 4 * cells + 2 * rows)
        return {"floor": floor_of(2 * work, traffic), "cells": cells}

    return Work(run, warm_up=lambda: index.search(queries[:1], settings["top_k"]), after=floor)


def exact(settings: dict[str, Any]) -> Work:
    gallery, queries = load(settings)

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        result = gallery.search(queries, settings["top_k"], scale=settings["scale"])
        seconds = time.perf_counter() - start
        rows = [type(result)(*(part[i : i + 1] for part in (result.indices, result.cosines, result.probabilities)))
                for i in range(len(queries))]  # fmt: skip
        return answers(rows, seconds)

    return Work(run, warm_up=lambda: gallery.search(queries[:1], settings["top_k"]))


def plain(settings: dict[str, Any]) -> Work:
    """What one writes first: a product with all vectors in float32, softmax, top k."""
    from trued.representation.geoclip.search import Found

    gallery, queries = load(settings)
    vectors = gallery.vectors.float()

    def nearest(query: Any) -> Found:
        scores = query[None] @ vectors.T
        best = (settings["scale"] * scores).softmax(1).topk(settings["top_k"], dim=1)
        return Found(best.indices, scores.gather(1, best.indices), best.values)

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        results = [nearest(query) for query in queries]
        return answers(results, time.perf_counter() - start)

    return Work(run, warm_up=lambda: nearest(queries[0]))


def encoding(settings: dict[str, Any]) -> Work:
    """Encode the gallery anew for every query, as `GeoCLIP.predict` of the package does."""
    gallery, queries = load(settings)
    encoder = encoder_of(settings)
    part = gallery.places[: max(1, len(gallery) // PART)]

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        encoder.embed(part)
        seconds = (time.perf_counter() - start) * len(gallery) / len(part)
        return {"seconds": seconds * len(queries), "amount": len(queries)}

    return Work(run, warm_up=lambda: encoder.embed(part[:64]))


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    import statistics

    ours, truth = values["trued"][0], values["plain product"][0]
    same = [abs(a - b) < 2e-3 for a, b in zip(ours["cosines"], truth["cosines"], strict=True)]
    off = [abs(a / b - 1) for a, b, hit in zip(ours["shares"], truth["shares"], same, strict=True) if hit]
    exactly = [abs(a - b) < 2e-3 for a, b in zip(values["exact"][0]["cosines"], truth["cosines"], strict=True)]
    return {
        "likeliest place found": f"{sum(same)} of {len(same)} (exact: {sum(exactly)})",
        "its probability is off by (median)": f"{statistics.median(off):.1%}" if off else "–",
        "cells": ours["cells"],
    }


BENCHMARK = Benchmark(
    name="gallery_search",
    what="Search a gallery of 10^6 places, one query at a time",
    peer="all vectors kept in float32, one product a query; or encoding the gallery in every call",
    target="under 10 ms a query; at least 100x as fast as encoding in every call",
    unit="queries",
    sides=[
        Side("trued", by_cells),
        Side("exact", exact),
        Side("plain product", plain),
        Side("encoding in every call", encoding),
    ],
    compare=compare,
    settings={
        "places": 10**6,
        "degrees": 0.1195,
        "queries": 64,
        "cosine": 0.35,
        "members": 128,
        "probes": 32,
        "top_k": 5,
        "scale": 39.7,
    },
    tiny={
        "places": 3000,
        "degrees": 0,
        "queries": 8,
        "cosine": 0.5,
        "members": 16,
        "probes": 16,
        "top_k": 5,
        "scale": 39.7,
    },
    shared=shared,
    ratios=[("trued", "plain product"), ("trued", "encoding in every call"), ("exact", "plain product")],
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
