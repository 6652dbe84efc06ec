"""Where a model's weights come from: what reports, evidence, adapters and model cards say of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

BASE_FILE = "base_model.json"
"""Beside a saved adapter: the origin of the weights that it was trained on."""


@dataclass(frozen=True)
class Origin:
    """Where a model's weights come from.

    Args:
        name: what reports call the model; weights that were quantised are named so.
        hub: the model's id on the hub; None for a folder of the user's own.
        revision: the commit on the hub, where it is known.
        folder: the folder of the user's own, absolute; None for a model with a hub id.
        quantised: the format that the weights went through before they were unpacked, "" for the original ones.
        adapter: where its adapter comes from, "" without one.
        own: what the adapter's folder has in place of the base model's: "tokenizer", "embeddings".
        notes: sentences for a report on what loading changed or left out.
    """

    name: str
    hub: str | None = None
    revision: str | None = None
    folder: str | None = None
    quantised: str = ""
    adapter: str = ""
    own: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The model's own name, without its owner and without what became of its weights."""
        return (self.hub or self.name).rpartition("/")[2]

    @property
    def limits(self) -> tuple[str, ...]:
        """Sentences for a report on what this origin means for what was measured."""
        if not self.quantised:
            return self.notes
        return (
            f"The model is {self.hub or self.name} from a copy in {self.quantised}, dequantised; with the original "
            "weights the figures may differ.",
            *self.notes,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, without the path of a folder on this machine."""
        facts = {key: value for key, value in asdict(self).items() if key not in ("folder", "own", "notes")}
        return facts | {key: list(value) for key in ("own", "notes") if (value := getattr(self, key))}
