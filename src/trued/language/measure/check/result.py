"""What a check found: every reply and every value, and the numbers that follow from them.

Knows replies, curves and held-out scores as data. Knows nothing of models: a result read from a file says as much as
one just measured, and two results of the same questions can be compared whenever they were made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool

from trued.data.spacing import evenly_spaced_places
from trued.errors import InputError, nearest
from trued.language.judge.reply import Label, unknown_warning
from trued.language.judge.thoughts import cut_warning
from trued.language.measure.check.answers import Answers
from trued.language.measure.check.derive import derive, way_name
from trued.language.measure.check.metric import Metric
from trued.language.measure.check.record import Curve, Record
from trued.language.measure.check.utility import HeldOut

_SCHEMA = 1


@dataclass(frozen=True)
class Example:
    """One request with the reply of this model, and of the one that it is compared with."""

    id: str
    way: str
    variant: str
    prompt: str
    reply: str
    label: str
    before: str | None = None
    before_label: str | None = None


@dataclass(frozen=True)
class CheckResult:
    """One model's answers and values; `metrics` follows from them.

    Args:
        model: its name.
        protocol: what every rate is to be read with: judge, chat template, system prompt, number type, settings.
        texts: prompt id → text.
        answers: way of asking → replies; "direct", "templates", "prefill-<n>", "lookalikes", "general".
        curve: robustness to embedding attacks.
        chat: held-out conversations.
        left_out: attacks that were requested and could not be tried, with the reason.
        baseline: the result that this one is compared with.
    """

    model: str
    protocol: dict[str, Any]
    texts: dict[str, str]
    answers: dict[str, Answers]
    curve: Curve
    chat: HeldOut
    left_out: dict[str, str]
    baseline: CheckResult | None = None

    @property
    def seed(self) -> int:
        """Of the intervals."""
        return int(self.protocol["settings"]["seed"])

    @property
    def record(self) -> Record:
        """What was recorded, item by item."""
        return Record(self.answers, self.curve, self.chat, self.left_out)

    @property
    def harmful_ways(self) -> list[str]:
        """The ways in which harmful requests were put."""
        return self.record.harmful_ways

    def against(self, baseline: CheckResult) -> CheckResult:
        """Return this result with every metric compared with `baseline`'s, item by item.

        Raises:
            InputError: the two were not asked the same, by the same judge and settings.
        """
        comparable(baseline, self.protocol)
        return replace(self, baseline=replace(baseline, baseline=None))

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """All numbers of the check; what a judge could not tell widens a rate's interval and counts in no rate."""
        return derive(self.record, self.baseline.record if self.baseline is not None else None, seed=self.seed)

    def metric(self, name: str) -> Metric:
        """Return one number by its id.

        Raises:
            InputError: no such metric.
        """
        for metric in self.metrics:
            if metric.id == name:
                return metric
        known = [metric.id for metric in self.metrics]
        raise InputError(f"no metric is called {name!r}{nearest(name, known)} (known: {', '.join(known)})")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before trusting the numbers."""
        judge = self.protocol["judge"]
        notes = list(self.protocol.get("notes", ()))
        if self.left_out:
            wanted = len(self.protocol["settings"]["attacks"])
            reasons = "; ".join(f"{attack} ({reason})" for attack, reason in self.left_out.items())
            notes.append(f"{len(self.left_out)} of {wanted} attacks not measured: {reasons}")
        for way in self.harmful_ways:
            if warning := unknown_warning([Label(label) for label in self.answers[way].labels], judge):
                notes.append(f"{way_name(way)}: {warning}")
        replies = [reply for answers in self.answers.values() for reply in answers.replies]
        notes += filter(None, [cut_warning(replies)])
        if self.baseline is not None and not self.same_tokens:
            notes.append(
                f"{self.baseline.model} has another tokenizer: perplexity, agreement and cross-entropy count other "
                "tokens and are not compared"
            )
        return tuple(notes)

    @property
    def same_tokens(self) -> bool:
        """Whether the baseline cuts text into the same tokens, so that numbers a token compare."""
        return self.baseline is not None and self.record.same_tokens(self.baseline.record)

    def alo(self) -> tuple[list[str], Bool[np.ndarray, " prompts"], Bool[np.ndarray, " prompts"]]:
        """Return what `Record.alo` does: prompts, whether any attack got an answer, and whether that is undecided."""
        return self.record.alo()

    def examples(self, way: str, limit: int) -> list[Example]:
        """Return replies to one way of asking, evenly spaced, not chosen by what was said."""
        here = self.answers.get(way)
        if here is None:
            return []
        there = self.baseline.answers.get(way) if self.baseline is not None else None
        there = there if here.same_questions(there) else None
        return [
            Example(
                here.prompts[i], way, here.variants[i], self.texts[here.prompts[i]], here.replies[i], here.labels[i],
                there.replies[i] if there else None, there.labels[i] if there else None,
            )
            for i in evenly_spaced_places(len(here.prompts), limit)
        ]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return the whole result as plain data, metrics included."""
        return {
            "schema": _SCHEMA,
            "model": self.model,
            "protocol": self.protocol,
            "metrics": [metric.to_json() for metric in self.metrics],
            "notes": list(self.notes),
            "left_out": self.left_out,
            "texts": self.texts,
            "answers": {way: answers.to_json() for way, answers in self.answers.items()},
            "curve": asdict(self.curve),
            "chat": asdict(self.chat),
            "baseline": self.baseline.to_json() if self.baseline is not None else None,
        }

    @classmethod
    def from_json(cls, data: Any, source: str = "the result") -> CheckResult:
        """Read what `to_json` wrote; the metrics are computed again from the items.

        Raises:
            InputError: not a result of a check.
        """
        if not isinstance(data, dict) or data.get("schema") != _SCHEMA:
            raise InputError(f"{source} is no result of a check: give what `trued check MODEL --json` printed")
        try:
            return cls(
                model=data["model"],
                protocol=data["protocol"],
                texts=data["texts"],
                answers={way: Answers.from_json(columns) for way, columns in data["answers"].items()},
                curve=Curve(*(_tuples(data["curve"][name]) for name in Curve.__dataclass_fields__)),
                chat=HeldOut(*(_tuples(data["chat"][name]) for name in HeldOut.__dataclass_fields__)),
                left_out=data["left_out"],
                baseline=cls.from_json(data["baseline"], source) if data["baseline"] else None,
            )
        except InputError:
            raise
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{source} is not a whole result of a check ({error}): make it again") from error


def comparable(baseline: CheckResult, protocol: dict[str, Any]) -> None:
    """Raise `InputError` if a check under `protocol` cannot be compared with `baseline`."""
    theirs = {"judge": baseline.protocol["judge"], **baseline.protocol["settings"]}
    ours = {"judge": protocol["judge"], **protocol["settings"]}
    different = [name for name in ours if theirs.get(name) != ours[name]]
    if different:
        name = different[0]
        raise InputError(
            f"the result of {baseline.model} was made with {name} {theirs.get(name)!r}, this one with {ours[name]!r}: "
            "check both with the same settings"
        )


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, at any depth."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
