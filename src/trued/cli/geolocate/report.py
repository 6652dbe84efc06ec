"""What `trued geolocate` finds: the model opened, pictures and phrases located, and the map that shows it.

Knows GeoCLIP, its backbones and galleries, and the report. Knows nothing of options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trued.data.globe import equal_earth
from trued.lab.figure import QUIET, RULE, SERIES, draw_svg
from trued.lab.report import Figure, Prose, Report, Section, Table, write_report
from trued.lab.wording import duration
from trued.learn.device import open_device
from trued.representation.geoclip.backbone import Backbone, open_backbone, open_pictures
from trued.representation.geoclip.gallery import Gallery
from trued.representation.geoclip.metrics import spread_km
from trued.representation.geoclip.model import GeoCLIP, Guess
from trued.representation.geoclip.places import read_places, released_places
from trued.representation.geoclip.search import places_to_return

MAPPED = 2000  # places that the map shows, the likeliest ones
PRIVACY = (
    "Where a picture was taken may tell where somebody lives. Locate only pictures that you may locate, and read the "
    "shares: a likely place is no address."
)


@dataclass(frozen=True)
class Answer:
    """Where one picture or phrase was placed.

    Attributes:
        query: the file's name or the phrase.
        kind: "picture" or "text".
        guesses: the likeliest places, best first.
        spread_km: radius about the likeliest place that holds half of the gallery's probability.
        likely: the likeliest places of the gallery for the map, with their shares.
    """

    query: str
    kind: str
    guesses: list[Guess]
    spread_km: float
    likely: list[Guess]

    @property
    def spread(self) -> str:
        """The uncertainty, as text."""
        return f"half of the probability lies within {self.spread_km:,.0f} km of the first place"


class Locator:
    """A model with its gallery, ready to answer."""

    def __init__(
        self, model: GeoCLIP, backbone: Backbone, gallery: Gallery, pictures: dict[str, Any], *, top_k: int
    ) -> None:
        self.model, self.backbone, self.gallery, self.top_k = model, backbone, gallery, top_k
        self._pictures = pictures

    @classmethod
    def open(
        cls, images: Sequence[Path], *, model: Path | None, backbone: str | None, gallery: Path | None, top_k: int,
        device: str,
    ) -> Locator:  # fmt: skip
        """Open the pictures first, then the gallery's places, the model, and what takes longest last.

        Raises:
            InputError: no such device, no place to return, a file that is none of these, or no backbone.
        """
        where = open_device(device)
        places_to_return(top_k, 1)
        opened = dict(zip(map(str, images), open_pictures(images), strict=True))
        places = None if gallery is None else read_places(gallery)
        geoclip = GeoCLIP.released() if model is None else GeoCLIP.load(model)
        tower = open_backbone(backbone or geoclip.config.backbone, device=device)
        places = released_places() if places is None else places
        geoclip.to(where)
        encoded = Gallery.encode(places, geoclip.location, keep=True)
        return cls(geoclip, tower, encoded, opened, top_k=places_to_return(top_k, len(places)))

    def pictures(self) -> list[Answer]:
        """Locate the pictures."""
        if not self._pictures:
            return []
        features = self.backbone.pictures(list(self._pictures.values()))
        return self._answers(list(self._pictures), "picture", features)

    def texts(self, texts: Sequence[str]) -> list[Answer]:
        """Locate phrases."""
        return self._answers(list(texts), "text", self.backbone.texts(texts)) if texts else []

    def _answers(self, queries: list[str], kind: str, features: Tensor) -> list[Answer]:
        most = max(self.top_k, MAPPED)
        answers = []
        for query, row in zip(queries, self.model.embed(features), strict=True):
            result = self.gallery.search(row[None], len(self.gallery), scale=self.model.scale.item())
            places, shares = self.gallery.places[result.indices[0]], result.probabilities[0]
            likely = [
                Guess(*place, probability=share)
                for place, share in zip(places[:most].tolist(), shares[:most].tolist(), strict=True)
            ]
            answers.append(Answer(query, kind, likely[: self.top_k], spread_km(places, shares), likely))
        return answers


def draw_map(answer: Answer) -> str:
    """Return an Equal Earth map as SVG: likely places by their share, and the first ones numbered."""

    def draw(axes: Any) -> None:
        for degrees in range(-180, 181, 30):
            line = torch.tensor([[float(lat), float(degrees)] for lat in range(-90, 91, 5)])
            axes.plot(*equal_earth(line).T.numpy(), color=RULE, lw=1.0 if abs(degrees) == 180 else 0.4)
        for degrees in range(-60, 61, 30):
            line = torch.tensor([[float(degrees), -180.0], [float(degrees), 180.0]])
            axes.plot(*equal_earth(line).T.numpy(), color=RULE, lw=0.4)
        points = equal_earth(torch.tensor([(guess.latitude, guess.longitude) for guess in answer.likely])).numpy()
        shares = torch.tensor([guess.probability for guess in answer.likely])
        axes.scatter(*points.T, s=1 + 60 * (shares / shares.max()).numpy(), color=SERIES[0], alpha=0.35, linewidths=0)
        for number, (x, y) in enumerate(points[: len(answer.guesses)], 1):
            axes.annotate(
                str(number),
                (x, y),
                xytext=(4, 4),
                textcoords="offset points",
                color=SERIES[1],
                fontsize=8,
                weight="bold",
            )
            axes.plot(x, y, "+", color=SERIES[1], markersize=5)
        axes.text(0, -0.53, answer.spread, ha="center", color=QUIET, fontsize=7)
        axes.set_aspect("equal")
        axes.axis("off")

    return draw_svg(draw, width=7.0, height=3.6)


def report(path: Path, answers: Sequence[Answer], locator: Locator, seconds: float) -> None:
    """Write one HTML file: for each picture or phrase its places and its map."""
    sections = []
    for answer in answers:
        rows = [
            [number, f"{g.latitude:.4f}", f"{g.longitude:.4f}", f"{100 * g.probability:.2f} %"]
            for number, g in enumerate(answer.guesses, 1)
        ]
        first = answer.guesses[0]
        where = f"latitude {first.latitude:.1f}, longitude {first.longitude:.1f}"
        alt = f"World map: the likeliest place is {where}; {answer.spread}."
        sections.append(
            Section(
                answer.query,
                [
                    Figure(f"Where is {answer.query}?", draw_map(answer), alt, "Larger dots are likelier places."),
                    Table(["", "latitude", "longitude", "share"], rows, f"{answer.spread.capitalize()}."),
                ],
            )
        )
    sections.append(Section("What this is, and what it is not", [Prose([PRIVACY])]))
    write_report(
        path,
        Report(
            title="Where on Earth?",
            kicker="trued geolocate",
            facts=[locator.model.config.backbone, f"{len(locator.gallery):,} places", duration(seconds)],
            lead=f"{len(answers)} located by GeoCLIP: likely places out of a gallery, with their shares.",
            sections=sections,
            footer="The shares sum to 1 over the gallery: a place that is not in it cannot be found.",
        ),
    )
