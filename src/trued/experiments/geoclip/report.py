"""What GeoCLIP's experiment shows: maps, error curves, tables, and the limits of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trued.data.earth import on_land
from trued.data.globe import NORTH_EDGE, equal_earth, inverse_equal_earth
from trued.experiments.geoclip.data import Pictures, Words, described
from trued.lab.experiment import Lab
from trued.lab.figure import QUIET, RULE, SERIES
from trued.learn.statistics.resampling import paired_bootstrap
from trued.representation.geoclip.metrics import CONTINENT, COUNTRY, REGION, error_curve, errors_km, game_score
from trued.representation.geoclip.model import GeoCLIP, Heatmap

CURVES = (
    "GeoCLIP", "GeoCLIP, 20 %", "cells", "sphere regression", "nearest picture", "no Fourier features",
    "places shuffled",
)  # fmt: skip
_ARROWS = 70  # more hide the map
_MAP = (180, 370)  # rows and columns of the land behind the arrows


def single(sigma: float) -> str:
    """Return the name of the arm with one frequency."""
    return f"σ = {sigma:g} alone"


def protocol(lab: Lab, tiles: Pictures, texts: Words) -> None:
    """Sizes and limits, which hold for every seed."""
    scale = lab.scale
    lab.protocol(
        tiles=", ".join(f"{len(places)} {name}" for name, places in tiles.places.items()),
        backbone=tiles.backbone,
        gallery=f"{len(tiles.gallery)} places",
        location_encoder=f"σ {scale.location.sigmas}, {scale.location.features} Fourier features, "
        f"{scale.location.depth} layers of {scale.location.hidden}, {scale.location.dim} numbers out",
        views=f"{scale.views} of each training tile, in one arm",
        training=f"{scale.steps} steps of {scale.batch}, lr {scale.lr:g}, the best of validations every "
        f"{scale.validate_every} steps; queue {scale.queue}; noise {scale.noise_km:g} km, half a tile; "
        f"no negatives within {scale.same_place_km:g} km",
        cities=f"{scale.tests} asked, {', '.join(map(str, scale.labels))} labelled",
        words=", ".join(f"{len(found)} {name}" for name, found in texts.cities.items()) + f"; as “{_example(texts)}”",
    )
    if lab.scale_name == "tiny":
        lab.note("Pictures, encoders and words were made up for this scale. No number means anything.")
        return
    lab.note(
        "Tiles seen from space stand for photographs, 237 km a side: what a picture cannot show to 200 km, no method "
        "finds. The street and city levels of the paper are out of reach here."
    )
    lab.note(
        "The paper's noise of 150 m and 1,000 m on places is that of photographs; here it is half a tile, as a tile's "
        "centre stands for all of it."
    )
    lab.note(
        "The paper's backbone for words is CLIP's own text tower, which comes from the hub. Here sentence embeddings "
        "take its place, so the claim on words is about the space of places, not about CLIP."
    )
    lab.note(
        "The released encoder was trained on photographs from everywhere, test cities' surroundings included; the "
        "untrained one was not. That is what a user of it gets, and no test of generalisation to unseen land."
    )


def tables(lab: Lab) -> None:
    """What every arm reached, over all seeds."""
    runs = list(lab.records("errors").values())
    if runs:
        lab.table(
            "Where the arms place test pictures",
            [_row(name, [np.array(one[name], float) for one in runs]) for name in runs[0]],
            caption="Means over seeds, 95 % intervals over seeds and pictures. Score: the geography game's, of 5,000.",
        )
    countries = list(lab.records("countries").values())
    if countries:
        counts = list(countries[0])
        rows = [
            {
                "features": name,
                **{f"{count} labels": _mean([one[count][name] for one in countries]) for count in counts},
            }
            for name in countries[0][counts[0]]
        ]
        lab.table("Country from coordinates", rows, caption="Share right of the same test cities, mean and range over "
                  "seeds; a logistic regression on each, but for the nearest city.")  # fmt: skip
    words = list(lab.records("words").values())
    if words:
        rows = []
        for name in words[0]:
            cells = {}
            for part in words[0][name]:
                found = np.array([one[name][part] for one in words], float)
                cells[f"{part}: within 750 km"] = f"{np.mean(found <= COUNTRY):.0%}"
                cells[f"{part}: within 2,500 km"] = f"{np.mean(found <= CONTINENT):.0%}"
                cells[f"{part}: median km"] = f"{np.median(found):,.0f}"
            rows.append({"trained on": name, **cells})
        lab.table("Cities by their words", rows, caption="All seeds together. One guess: the place that has the most "
                  "training cities within 2,500 km.")  # fmt: skip


def _row(name: str, errors: Sequence[np.ndarray]) -> dict[str, str]:
    cells = {"arm": name}
    for label, limit in (("200 km", REGION), ("750 km", COUNTRY), ("2,500 km", CONTINENT)):
        near = np.array([found <= limit for found in errors], float)
        interval = paired_bootstrap(np.zeros_like(near), near, seed=0)
        cells[f"within {label}"] = f"{interval.estimate:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
    cells["median km"] = f"{np.mean([np.median(found) for found in errors]):,.0f}"
    cells["score"] = f"{np.mean([game_score(found) for found in errors]):,.0f}"
    return cells


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.1%} ({min(values):.1%}–{max(values):.1%})"


def _example(texts: Words) -> str:
    return described(texts.cities["train"][0])


# -- figures -----------------------------------------------------------------------------------------------------------


def figures(lab: Lab) -> None:
    """Error curves and the classifier's accuracy, over all seeds."""
    runs = list(lab.records("errors").values())
    if runs:
        lab.figure(
            "Error curves",
            lambda axes: _draw_curves(axes, runs),
            alt="Share of test pictures placed within a distance of the truth, for distances from 50 to 20,000 km, one "
            "curve an arm; the band is the range over seeds.",
            caption="Test tiles of blocks that were held out. Dotted: 200, 750 and 2,500 km.",
        )
    countries = list(lab.records("countries").values())
    if countries:
        lab.figure(
            "What a place is to a classifier",
            lambda axes: _draw_countries(axes, countries),
            alt="Share of cities whose country is found from coordinates, by kind of feature and number of labels.",
            caption="Points: seeds.",
        )


def world_map(lab: Lab, tiles: Pictures, predicted: Tensor) -> None:
    """Test pictures and where they were placed, of the first seed."""
    true = tiles.places["test"]
    errors, land = errors_km(predicted, true), _land(lab)
    lab.figure(
        "World map of predictions",
        lambda axes: _draw_map(axes, land, true, predicted, errors),
        alt=f"Equal Earth map of the {len(true)} test tiles, coloured by how far off they were placed, with arrows "
        f"from {min(_ARROWS, len(true))} of them to where GeoCLIP placed them.",
        caption=f"Seed {lab.wanted[0]}. Arrows: every {max(1, len(true) // _ARROWS)}th tile off by more than 750 km, "
        "from where it is to where it was placed; an arrow across the map's edge is left out.",
    )


def heat_maps(lab: Lab, model: GeoCLIP, texts: Words) -> None:
    """Where the words of two test cities lead: of a country trained on, and of one left out."""
    chosen = [(part, texts.cities[part][0]) for part in ("seen countries", "unseen countries")]
    maps = []
    for part, city in chosen:
        features = (texts.embed([described(city)]) - texts.mean) / texts.std
        rows = 20 if lab.scale_name == "tiny" else 72
        maps.append((part, city, model.heatmap(features, box=(-60.0, -180.0, 80.0, 180.0), rows=rows)))
    land = _land(lab)
    lab.figure(
        "Words on the map",
        lambda panels: _draw_heats(panels, land, maps),
        panels=2,
        alt="Two maps of the probability of places for "
        + " and ".join(f"“{described(city)}”, of the {part}" for part, city in chosen)
        + "; a cross is where the city is.",
        caption=f"Seed {lab.wanted[0]}; the first test city of each set. Darker is likelier, on a scale of roots.",
    )


def _draw_map(axes: Any, land: np.ndarray | None, true: Tensor, predicted: Tensor, errors: np.ndarray) -> None:
    _draw_globe(axes, land)
    at, to = equal_earth(true).numpy(), equal_earth(predicted).numpy()
    dots = axes.scatter(
        *at.T, c=np.log10(np.maximum(errors, 100)), s=5, cmap="viridis_r", vmin=2, vmax=4.3, linewidths=0
    )
    far = [i for i in np.flatnonzero(errors > COUNTRY) if abs(true[i, 1] - predicted[i, 1]) <= 180]
    for i in far[:: max(1, len(errors) // _ARROWS)]:
        axes.annotate(
            "", to[i], at[i], arrowprops={"arrowstyle": "->", "color": QUIET, "lw": 0.5, "shrinkA": 1, "shrinkB": 0}
        )
    bar = axes.figure.colorbar(dots, ax=axes, orientation="horizontal", fraction=0.04, pad=0.02, aspect=60)
    bar.set_ticks([2, 3, 4], labels=["100", "1,000", "10,000"])
    bar.set_label("error, km")


def _draw_heats(panels: Any, land: np.ndarray | None, maps: Sequence[tuple[str, Any, Heatmap]]) -> None:
    for axes, one in zip(panels, maps, strict=True):
        _draw_heat(axes, land, *one)


def _draw_heat(axes: Any, land: np.ndarray | None, part: str, city: Any, found: Heatmap) -> None:
    grid = torch.stack(torch.meshgrid(found.latitudes, found.longitudes, indexing="ij"), dim=-1)
    density = found.probability / found.latitudes.deg2rad().cos()[:, None]
    xy = equal_earth(grid)
    _draw_globe(axes, land, outline=True)
    axes.pcolormesh(
        xy[..., 0].numpy(), xy[..., 1].numpy(), density.sqrt().numpy(), cmap="Blues", shading="nearest", rasterized=True
    )  # fmt: skip
    x, y = equal_earth(torch.tensor([city.latitude, city.longitude])).tolist()
    axes.plot(x, y, "x", color=SERIES[1], markersize=6)
    axes.set_title(f"{described(city)} ({part})")


def _land(lab: Lab) -> np.ndarray | None:
    """Where land is on the Equal Earth map, north up; None at tiny scale, which needs no file."""
    if lab.scale_name == "tiny":
        return None
    rows, columns = _MAP
    y, x = torch.linspace(NORTH_EDGE, -NORTH_EDGE, rows), torch.linspace(-1, 1, columns)
    points = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).reshape(-1, 2)
    return on_land(inverse_equal_earth(points)).reshape(rows, columns).numpy()


def _draw_globe(axes: Any, land: np.ndarray | None, outline: bool = False) -> None:
    """The globe's edge and its land: a quiet picture behind everything, or its outline above all."""
    if land is not None and outline:
        rows, columns = land.shape
        x, y = np.linspace(-1, 1, columns), np.linspace(NORTH_EDGE, -NORTH_EDGE, rows)
        axes.contour(x, y, land, [0.5], colors=[QUIET], linewidths=0.4, zorder=3)
    elif land is not None:
        picture = np.ma.masked_where(~land, np.ones(land.shape))
        extent = (-1, 1, -NORTH_EDGE, NORTH_EDGE)
        axes.imshow(picture, extent=extent, cmap=_one_colour(), vmin=0, vmax=1, interpolation="nearest")
    edge = torch.tensor(
        [[lat, lon] for lon, lats in ((-180.0, range(-90, 91, 3)), (180.0, range(90, -91, -3))) for lat in lats]
    )
    axes.plot(*equal_earth(torch.cat([edge, edge[:1]])).T.numpy(), color=RULE, lw=0.6)
    axes.set_aspect("equal")
    axes.axis("off")


def _one_colour() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([RULE])


def _draw_curves(axes: Any, runs: Sequence[dict[str, list[float]]]) -> None:
    km = np.logspace(np.log10(50), np.log10(20_100), 160)
    for number, name in enumerate(CURVES):
        shares = 100 * np.array([error_curve(np.array(one[name], float), km) for one in runs])
        quiet = name == "places shuffled"
        colour = QUIET if quiet else SERIES[number % len(SERIES)]
        axes.plot(
            km, shares.mean(0), label=name, color=colour, ls="--" if quiet else "-", lw=2.2 if number == 0 else 1.3
        )
        if len(runs) > 1:
            axes.fill_between(km, shares.min(0), shares.max(0), color=colour, alpha=0.15, lw=0)
    for limit in (REGION, COUNTRY, CONTINENT):
        axes.axvline(limit, color=QUIET, lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.set_xlim(km[0], km[-1])
    axes.set_ylim(0, 100)
    axes.set_xlabel("distance from the truth, km")
    axes.set_ylabel("test pictures within it, %")
    axes.legend(fontsize=7)


def _draw_countries(axes: Any, countries: Sequence[dict[str, dict[str, float]]]) -> None:
    counts = list(countries[0])
    names = list(countries[0][counts[0]])[::-1]
    for offset, count in enumerate(counts):
        places = np.arange(len(names)) + 0.22 * (offset - (len(counts) - 1) / 2)
        values = 100 * np.array([[one[count][name] for name in names] for one in countries])
        axes.plot(values.mean(0), places, "o", color=SERIES[offset], label=f"{count} labels")
        for row in values:
            axes.plot(row, places, ".", color=SERIES[offset], alpha=0.4, markersize=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("country right, %")
    axes.legend(loc="lower left")
