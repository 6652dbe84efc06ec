"""Which dataclass holds the settings of which command, and the table that help is made from.

The table, `method_settings.json`, is written by ``python -m trued.cli.methods`` from the dataclasses themselves, and a
test compares it with them. It spares help the import of torch; what a command does with the options it gets, it does
with the dataclass.

Knows where dataclasses are. Knows nothing of what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from trued.cli.settings import described, options_of

TABLE = Path(__file__).with_name("method_settings.json")


@dataclass(frozen=True)
class Method:
    """A dataclass of settings.

    Args:
        path: ``module:name`` of the class, of what makes an instance of it, or of an instance.
        arguments: what a class is called with where a command has defaults of its own.
        skip: fields that are no settings, at every depth.
    """

    path: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    skip: tuple[str, ...] = ()

    def load(self) -> Any:
        """Return an instance with the command's defaults; this imports the method."""
        made = self._resolved()
        return made(**self.arguments) if callable(made) else made

    def describe(self, classes: dict[str, Any]) -> dict[str, Any]:
        """Return the settings in plain values; see `trued.cli.settings.described`."""
        target = self.load() if self.arguments else self._resolved()
        return described(target, skip=self.skip, classes=classes)

    def _resolved(self) -> Any:
        module, _, names = self.path.partition(":")
        value: Any = import_module(module)
        for name in names.split("."):
            value = getattr(value, name)
        return value


def _attack(path: str, **arguments: Any) -> Method:
    skip = ("attacker", "scorer", "topic", "judge", "mutator", "pool", "attacks")
    return Method(f"trued.language.attack.{path}", arguments, skip)


def _honesty(variant: str) -> Method:
    skip = ("method",) if variant == "absolute" else ("method", "tau")
    return Method("trued.language.train.honesty.align:HonestyTraining.of", {"method": variant}, skip)


METHODS = {
    "align base": Method("trued.language.train.aligned_base:AlignedRecipe"),
    "align c-advipo": Method("trued.language.train.c_advul:CAdvIPO"),
    "align c-advul": Method("trued.language.train.c_advul:CAdvUL"),
    "align dpo": Method("trued.language.train.preference:PreferenceTraining"),
    "align fine-tune": Method("trued.language.train.fine_tune:FineTuning"),
    "align honesty-absolute": _honesty("absolute"),
    "align honesty-confidence-num": _honesty("confidence-num"),
    "align honesty-confidence-verb": _honesty("confidence-verb"),
    "align honesty-fine-tuned": _honesty("fine-tuned"),
    "align honesty-multisample": _honesty("multisample"),
    "align mixat": Method("trued.language.train.mixat.align:MixAT"),
    "align refusal": Method("trued.language.train.recipe:Recipe"),
    "attack autodan": _attack("autodan.search:AutoDAN"),
    "attack deployment": Method("trued.language.measure.deployment:DeploymentGrid"),
    "attack embedding": _attack("embedding:EmbeddingAttack", relative_lr=True, return_best=True),
    "attack gcg": _attack("gcg.search:GCG"),
    "attack pair": _attack("pair:PAIR"),
    "attack pair-lite": _attack("pair_lite:PAIRLite"),
    "attack pap": _attack("pap:PAP"),
    "attack prefill": _attack("prefill:Prefill"),
    "attack suite": _attack("red_team:RedTeam"),
    "attack tap": _attack("tap:TAP"),
    "attack templates": _attack("templates:Templates"),
    "check": Method("trued.language.measure.check.safety:CheckConfig"),
    "check gates": Method("trued.language.measure.check.gates:Gates"),
    "repair": Method("trued.language.repair.alignment_recovery.config:PAPER"),
    "represent structure": Method("trued.representation.structure.train:Aligner", skip=("loss", "trackers")),
    "sample": Method("trued.generation.masked.sampler:MaskedSampler"),
}
"""The settings of each command, by its words."""


def options(command: str, *, group: str = "Settings") -> Any:
    """Return the annotation of a parameter that takes the settings of a command as options.

    Args:
        command: a key of `METHODS`. One that the table does not have yet is read from its dataclass.
        group: the heading in the command's help.
    """
    table = _table()
    classes, description = table["classes"], table["methods"].get(command)
    if description is None:
        classes = {}
        description = METHODS[command].describe(classes)
    return Annotated[options_of(description, classes) | None, Parameter(name="*", group=group)]


def table() -> str:
    """Return the table's text, from the dataclasses as they are now."""
    classes: dict[str, Any] = {}
    methods = {command: method.describe(classes) for command, method in METHODS.items()}
    lines = [f"{json.dumps(key)}: {_lines(part, 2)}" for key, part in (("classes", classes), ("methods", methods))]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _lines(value: Mapping[str, Any], depth: int) -> str:
    """Return JSON with one entry a line down to a depth, sorted there, so that a change is a line of a diff."""
    if depth == 0:
        return json.dumps(value, ensure_ascii=False)
    pad = "  " * (3 - depth)
    names = sorted(value) if depth == 2 else value
    parts = []
    for name in names:
        entry = value[name]
        text = _lines(entry, depth - 1) if isinstance(entry, Mapping) else json.dumps(entry, ensure_ascii=False)
        parts.append(f"{pad}{json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n" + pad[2:] + "}"


@cache
def _table() -> dict[str, Any]:
    if not TABLE.is_file():
        return {"classes": {}, "methods": {}}
    return json.loads(TABLE.read_text("utf-8"))


if __name__ == "__main__":
    from trued.files import write_text

    print(write_text(TABLE, table()))
