"""`trued geolocate`: where on Earth was a picture taken, and where does a phrase point to?

Knows options, files and how to print. Knows nothing of how places are encoded or searched.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from trued.cli.options import JsonSwitch, whole_number
from trued.cli.terminal import console, messages, plain_table, print_json
from trued.errors import InputError
from trued.files import claim_output, write_output

if TYPE_CHECKING:
    from trued.cli.geolocate.report import Answer


def geolocate(
    *images: Path,
    text: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    model: Path | None = None,
    backbone: str | None = None,
    gallery: Path | None = None,
    top_k: Annotated[int, Parameter(name=["--top-k", "-k"], converter=whole_number)] = 5,
    device: str = "cpu",
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    map_file: Annotated[Path | None, Parameter(name="--map")] = None,
    as_json: JsonSwitch = False,
) -> None:
    """Say where on Earth pictures were taken, or where phrases point to: likely places, never a single pin.

    Parameters
    ----------
    images
        Pictures: JPEG, PNG, WebP.
    text
        A phrase to look for on the map, such as "a desert with red sand"; may be given several times.
    model
        A folder with a model of your own, as `GeoCLIP.save` writes it; the authors' released one otherwise.
    backbone
        What turns pictures and phrases into features, if not what the model was trained on: a folder or a hub id. The
        released model's CLIP comes from the hub once.
    gallery
        A CSV file with columns lat and lon: the places that are searched; the authors' 100,000 otherwise.
    top_k
        How many places to print for each; a gallery with fewer gives all of them.
    device
        Such as cuda:1.
    output
        Write a report with a map for each: one HTML file.
    map_file
        Write the map of the first one as SVG.
    """
    if not images and not text:
        raise InputError("nothing to locate: give pictures, or --text with a phrase")
    if map_file is not None and map_file.suffix != ".svg":
        raise InputError(f"--map {map_file}: the map is written as SVG, so give a name that ends in .svg")
    if any(not phrase.strip() for phrase in text):
        raise InputError("--text is empty: give a phrase")
    for path, kind in ((map_file, "map"), (output, "report")):
        if path is not None:
            claim_output(path, kind=kind)
    from trued.cli.geolocate.report import Locator, draw_map, report

    started = time.perf_counter()
    locator = Locator.open(images, model=model, backbone=backbone, gallery=gallery, top_k=top_k, device=device)
    answers = [*locator.pictures(), *locator.texts(text)]
    if as_json:
        print_json([_as_dict(answer) for answer in answers])
    else:
        _print(answers)
    if map_file is not None:
        write_output(map_file, draw_map(answers[0]), kind="map")
        messages().print(f"map     {map_file}", soft_wrap=True)
    if output is not None:
        report(output, answers, locator, time.perf_counter() - started)
        messages().print(f"report  {output}", soft_wrap=True)


def _print(answers: list[Answer]) -> None:
    out = console()
    for answer in answers:
        out.print(answer.query, style="bold")
        table = plain_table("", "latitude", "longitude", "share", right=("", "latitude", "longitude", "share"))
        for number, guess in enumerate(answer.guesses, 1):
            table.add_row(
                str(number), f"{guess.latitude:.4f}", f"{guess.longitude:.4f}", f"{100 * guess.probability:.2f} %"
            )
        out.print(table)
        out.print(f"{answer.spread}\n", style="dim")


def _as_dict(answer: Answer) -> dict[str, Any]:
    return {
        "query": answer.query,
        "kind": answer.kind,
        "places": [asdict(guess) for guess in answer.guesses],
        "spread_km": answer.spread_km,
    }
