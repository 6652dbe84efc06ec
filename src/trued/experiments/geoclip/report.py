"""What GeoCLIP's experiment shows: maps, error curves, tables, and the limits of what was measured."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trued.data.earth import land_map
from trued.data.globe import NORTH_EDGE, equal_earth, outline
from trued.experiments.geoclip.data import SEEN, UNSEEN
from trued.lab import maps, plots
from trued.lab.arms import Arms, Column, Runs, at_most, by_arm, number, ranged, rows, share, share_interval
from trued.lab.experiment import Lab
from trued.lab.figure import QUIET
from trued.representation.geoclip.located import Located
from trued.representation.geoclip.metrics import CONTINENT, COUNTRY, REGION, error_curve, game_score
from trued.representation.geoclip.model import GeoCLIP

CURVES = ("GeoCLIP", "GeoCLIP, 20 %", "cells", "sphere regression", "nearest picture", "no Fourier features")
SHUFFLED = "places shuffled"
ARROWS = 70  # more hide the map


def single(sigma: float) -> str:
    """Return the name of the arm with one frequency."""
    return f"σ = {sigma:g} alone"


def describe(lab: Lab, tiles: Located, texts: Located) -> None:
    """Put the protocol and the limits, which apply to every seed, into the evidence."""
    scale, fit, location = lab.scale, lab.scale.training.fit, lab.scale.location
    lab.protocol(
        tiles=", ".join(f"{len(places)} {name}" for name, places in tiles.places.items()),
        backbone=tiles.backbone, gallery=f"{len(tiles.gallery)} places",
        location_encoder=f"σ {location.sigmas}, {location.features} Fourier features, {location.depth} layers of "
        f"{location.hidden}, {location.dim} numbers out",
        views=f"{scale.views} of each training tile, in one arm",
        training=f"{fit.steps} steps of {fit.batch_size}, lr {fit.lr:g}, the best of validations every "
        f"{fit.validate_every} steps; queue {scale.training.queue_size}; noise {scale.training.batch_noise_m / 1000:g} "
        f"km, half a tile; no negatives within {scale.training.same_place_km:g} km",
        cities=f"{scale.tests} asked, {', '.join(map(str, scale.labels))} labelled",
        words=", ".join(f"{len(places)} {name}" for name, places in texts.places.items())
        + f"; as “{texts.texts['train'][0]}”",
    )  # fmt: skip
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


def present(lab: Lab, names: list[str]) -> None:
    """Show the tables and figures that are of all seeds."""
    arms, ways = lab.arms(*names), by_arm(lab.records("countries").values())
    counts = {f"{count} labels": str(count) for count in lab.scale.labels}
    lab.arm_table("Where the arms place test pictures", arms, {
        "within 200 km": share_interval(at_most("km", REGION), ".1%"),
        "within 750 km": share_interval(at_most("km", COUNTRY), ".1%"),
        "within 2,500 km": share_interval(at_most("km", CONTINENT), ".1%"),
        "median km": number(lambda record: np.median(record["km"]), ",.0f"),
        "score": number(lambda record: game_score(np.array(record["km"])), ",.0f"),
    }, "Means over seeds, 95 % intervals over seeds and pictures. Score: the geography game's, of 5,000.")  # fmt: skip
    lab.table("Country from coordinates", rows(
        ways, {label: ranged(count, ".1%") for label, count in counts.items()}, "features"
    ), "Share right of the same test cities, mean and range over seeds; a logistic regression on each, but for the "
       "nearest city.")  # fmt: skip
    columns: dict[str, Column] = {}
    for part in (SEEN, UNSEEN):
        columns[f"{part}: within 750 km"] = share(at_most(part, COUNTRY))
        columns[f"{part}: within 2,500 km"] = share(at_most(part, CONTINENT))
        columns[f"{part}: median km"] = partial(median_of_all, part)
    lab.table(
        "Cities by their words", rows(lab.arms("words", "shuffled", "one guess"), columns, "trained on"),
        "All seeds together. One guess: the place that has the most training cities within 2,500 km.",
    )  # fmt: skip
    lab.figure(
        "Error curves", partial(draw_curves, arms=arms),
        alt="Share of test pictures placed within a distance of the truth, for distances from 50 to 20,000 km, one "
        "curve an arm; the band is the range over seeds.",
        caption="Test tiles of blocks that were held out. Dotted: 200, 750 and 2,500 km.",
    )  # fmt: skip
    lab.figure(
        "What a place is to a classifier",
        partial(plots.dots, arms=ways, shown=counts, xlabel="country right, %"),
        alt="Share of cities whose country is found from coordinates, by kind of feature and number of labels.",
        caption="Points: seeds.",
    )


def median_of_all(key: str, runs: Runs) -> str:
    """Return the median error over seeds and cities."""
    return f"{np.median([record[key] for record in runs]):,.0f}"


def draw_curves(axes: Any, arms: Arms) -> None:
    """Draw the share of errors up to each distance."""
    km = np.logspace(np.log10(50), np.log10(20_100), 160)
    curves = {
        name: [100 * error_curve(np.array(record["km"]), km) for record in arms[name]] for name in (*CURVES, SHUFFLED)
    }
    hues = plots.colors(CURVES) | {SHUFFLED: QUIET}
    plots.curves(axes, curves, km.tolist(), "distance from the truth, km", "test pictures within it, %", ends="band",
                 hues=hues)  # fmt: skip
    for limit in (REGION, COUNTRY, CONTINENT):
        axes.axvline(limit, color=QUIET, lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.set_xlim(km[0], km[-1])
    axes.set_ylim(0, 100)


def world(lab: Lab) -> maps.Globe:
    """Return the Equal Earth map; at tiny scale without land, which needs a file."""
    land = None if lab.scale_name == "tiny" else land_map()
    return maps.Globe(outline(), (-1, 1, -NORTH_EDGE, NORTH_EDGE), land)


def world_map(lab: Lab, tiles: Located, predicted: Tensor) -> None:
    """Show test pictures and where they were placed, of the first seed."""
    true, km = tiles.places["test"], tiles.errors("test", predicted)
    far = [int(i) for i in np.flatnonzero(km > COUNTRY) if abs(true[i, 1] - predicted[i, 1]) <= 180]
    every = max(1, len(true) // ARROWS)
    lab.figure(
        "World map of predictions",
        partial(maps.errors, globe=world(lab), at=equal_earth(true), to=equal_earth(predicted), km=km,
                arrows=far[::every]),
        alt=f"Equal Earth map of the {len(true)} test tiles, coloured by how far off they were placed, with arrows "
        f"from {min(ARROWS, len(true))} of them to where GeoCLIP placed them.",
        caption=f"Seed {lab.wanted[0]}. Arrows: every {every}th tile off by more than 750 km, from where it is to "
        "where it was placed; an arrow across the map's edge is left out.",
    )  # fmt: skip


def heat_maps(lab: Lab, model: GeoCLIP, texts: Located) -> None:
    """Show where the words of two test cities lead: of a country trained on, and of one left out."""
    globe, count = world(lab), 20 if lab.scale_name == "tiny" else 72
    named = {part: f"“{texts.texts[part][0]}”, of the {part}" for part in (SEEN, UNSEEN)}

    def draw(panels: Any) -> None:
        for axes, part in zip(panels, named, strict=True):
            heat = model.heatmap(texts.features[part][:1], box=(-60.0, -180.0, 80.0, 180.0), rows=count)
            grid = torch.stack(torch.meshgrid(heat.latitudes, heat.longitudes, indexing="ij"), dim=-1)
            maps.density(
                axes, globe, equal_earth(grid), heat.probability / heat.latitudes.deg2rad().cos()[:, None],
                mark=equal_earth(texts.places[part][0]), title=f"{texts.texts[part][0]} ({part})",
            )  # fmt: skip

    lab.figure(
        "Words on the map", draw, panels=2,
        alt=f"Two maps of the probability of places for {' and '.join(named.values())}; a cross is where the city is.",
        caption=f"Seed {lab.wanted[0]}; the first test city of each set. Darker is likelier, on a scale of roots.",
    )  # fmt: skip
