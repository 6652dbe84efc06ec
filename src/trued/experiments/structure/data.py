"""Features of every layer for emoji and for their names, or for a user's own pairs of pictures and texts."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from trued.data.rows import read_rows
from trued.errors import InputError
from trued.files import fingerprint
from trued.lab.experiment import Lab
from trued.language.engine.embedded import embedded_model
from trued.representation.embeddings import EMOJI, features_of
from trued.representation.structure.layers import LayerFeatures, random_layers

IMAGE, TEXT, LANGUAGE_MODEL = "image", "text", "language model"


def load(lab: Lab) -> dict[str, LayerFeatures]:
    """Return side → features of the same things; a causal language model's are among them, but for a user's pairs.

    Raises:
        InputError: full scale without pairs of one's own.
    """
    scale, device = lab.scale, lab.device or "cpu"
    if lab.data is None and lab.scale_name == "tiny":
        lab.model_name = "random networks"
        return {name: random_layers(100 + seed) for seed, name in enumerate((IMAGE, TEXT, LANGUAGE_MODEL))}
    if lab.data is None and lab.scale_name == "full":
        raise InputError(
            "at full scale structure runs on pairs of your own, such as COCO 2017 captions: give --data with a JSONL "
            "or Parquet table of the columns 'image' (a path) and 'text'"
        )
    lab.model_name = f"{scale.image} and {scale.text}"
    sources = {IMAGE: (f"image:{scale.image}", scale.pixels), TEXT: (f"text:{scale.text}", None)}
    if lab.data is None:
        lab.model_name = f"EfficientNet-Lite0, all-MiniLM-L6-v2 and {embedded_model('smollm2').name}"
        sources[LANGUAGE_MODEL] = ("text:smollm2", None)
    pairs, contents = lab.data or EMOJI, contents_of(lab.data)
    return {
        side: LayerFeatures(
            lab.cached(f"structure-{side}", layers_of, source, pairs, size, device, [*contents, _encoder_of(source)])
        )
        for side, (source, size) in sources.items()
    }


def layers_of(source: str, pairs: str, size: int | None, device: str, contents: list[str | None]) -> dict[str, Tensor]:
    """Return layer → what an encoder makes of its column of the pairs; `contents` only keys the cache."""
    return dict(features_of(source, pairs, device=device, size=size).layers)


def contents_of(table: str | None) -> list[str | None]:
    """Return what tells an edited table of pairs, or an edited picture that it names, from the one before."""
    if table is None:
        return []
    pictures = [str(row[IMAGE]) for row in read_rows(table, columns={IMAGE: "text"})]
    return [fingerprint(table), *(fingerprint(Path(table).parent / picture) for picture in pictures)]


def _encoder_of(source: str) -> str | None:
    """Return what tells a local encoder's files from earlier ones; a hub id or an embedded name says what it is."""
    return fingerprint(source.partition(":")[2])
