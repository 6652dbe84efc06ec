"""The model card of a saved adapter: its base, how it was trained, and what a check gave.

Knows facts and Markdown. Knows nothing of models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trued.language.engine.origin import Origin


@dataclass(frozen=True)
class AdapterCard:
    """What a model card says beyond the adapter's own configuration.

    Args:
        method: how it was trained, such as "c-advul"; "" if that is not known.
        training: facts of the training, name to value.
        check: what was measured before and after it: (what, before, after), as they are printed.
    """

    method: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    check: Sequence[tuple[str, str, str]] = ()

    def render(self, title: str, origin: Origin | None, config: Mapping[str, Any]) -> str:
        """Return the card as Markdown with the metadata that the hub reads.

        Args:
            title: the adapter's name.
            origin: where its base model came from.
            config: the adapter's `adapter_config.json`.
        """
        return "\n".join([*self._metadata(origin), "", *self._text(title, origin, config)]) + "\n"

    def _metadata(self, origin: Origin | None) -> list[str]:
        tags = ["lora", "trued", *([self.method] if self.method else [])]
        lines = ["---", "library_name: peft", "pipeline_tag: text-generation"]
        if origin is not None and origin.hub:
            lines += [f"base_model: {json.dumps(origin.hub)}", "base_model_relation: adapter"]
        return [*lines, "tags:", *(f"- {json.dumps(tag)}" for tag in tags), "---"]

    def _text(self, title: str, origin: Origin | None, config: Mapping[str, Any]) -> list[str]:
        lines = [f"# {title}", "", f"An adapter for {_base(origin)}, trained with trued."]
        if origin is not None and origin.limits:
            lines += ["", f"It was trained on weights that went through {origin.quantised}, not on the original ones."]
        facts = {
            "method": self.method or None,
            "LoRA rank": config.get("r"),
            "LoRA alpha": config.get("lora_alpha"),
            **self.training,
        }
        rows = [(name, value) for name, value in facts.items() if value is not None]
        if rows:
            lines += ["", "## Training", "", "| | |", "|---|---|"]
            lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows]
        lines += ["", "## Check", ""]
        if self.check:
            lines += ["| | before | after |", "|---|---|---|"]
            lines += [f"| {' | '.join(map(_cell, row))} |" for row in self.check]
        else:
            lines += ["No check was made when it was saved. `trued check` measures safety, robustness and usefulness."]
        lines += ["", "## Use", "", "```python", "from trued.language import LanguageModel", ""]
        return [*lines, f'model = LanguageModel.load("{title}")', "```"]


def _base(origin: Origin | None) -> str:
    if origin is None:
        return "a model that had no name"
    if not origin.hub:
        return "a model from a folder that is not on the hub"
    at = f" at revision `{origin.revision}`" if origin.revision else ""
    return f"[{origin.hub}](https://huggingface.co/{origin.hub}){at}"


def _cell(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
