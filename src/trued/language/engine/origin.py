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
    """

    name: str
    hub: str | None = None
    revision: str | None = None
    folder: str | None = None
    quantised: str = ""
    adapter: str = ""

    @property
    def title(self) -> str:
        """The model's own name, without its owner and without what became of its weights."""
        return (self.hub or self.name).rpartition("/")[2]

    @property
    def limits(self) -> tuple[str, ...]:
        """Sentences for a report on what this origin means for what was measured."""
        if not self.quantised:
            return ()
        return (
            f"The model is {self.hub or self.name} from a copy in {self.quantised}, dequantised; with the original "
            "weights the figures may differ.",
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, without the path of a folder on this machine."""
        return {key: value for key, value in asdict(self).items() if key != "folder"}
