"""What a suite found on one model: rates with intervals, costs, curves, and how two models compare.

Knows cases, replies and labels. Knows nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool

from trued.errors import InputError
from trued.language.attack.contract import Behavior, Cost, TestCase
from trued.language.attack.success import ALO, AttackSuccess, SuccessRate, attack_success
from trued.language.judge.reply import Label, unknown_warning
from trued.language.judge.thoughts import cut_warning
from trued.learn.statistics.paired import McNemar, mcnemar

_NO_RATE = {"asr": None, "low": None, "high": None}


@dataclass(frozen=True)
class AttackCost:
    """What one attack took, a behaviour on average, judging and the final replies left out.

    Args:
        attack: its name.
        cases: test cases in all.
        queries, forwards, backwards, seconds: of finding them, a behaviour (see `Cost`).
    """

    attack: str
    cases: int
    queries: float
    forwards: float
    backwards: float
    seconds: float


@dataclass(frozen=True)
class SuiteResult:
    """Everything that a suite recorded of one model.

    Args:
        model: its name.
        target: how it was asked: template, system prompt, decoding, dtype.
        protocol: what all models of the suite share: attacks, judge, behaviours, decoding, seed, budget.
        calibration: how the judge's labels agree with people's on labelled replies.
        behaviors: what was to be attacked.
        attacks: the names of all attacks of the suite, also of those without a case.
        cases: all test cases.
        replies: the reply to each; of a prefilled turn what follows the prefill.
        labels: the judge's label of each reply.
        left_out: attack → why it could not be run on this model.
        remarks: what the endpoints that attacked or judged have to say, such as how many replies a filter held back.
    """

    model: str
    target: dict[str, Any]
    protocol: dict[str, Any]
    calibration: dict[str, Any]
    behaviors: tuple[Behavior, ...]
    attacks: tuple[str, ...]
    cases: tuple[TestCase, ...]
    replies: tuple[str, ...]
    labels: tuple[Label, ...]
    left_out: dict[str, str]
    remarks: tuple[str, ...] = ()

    @cached_property
    def success(self) -> AttackSuccess:
        """The outcome of every attack on every behaviour, and all rates."""
        return attack_success(self.cases, self.replies, self.labels, behaviors=self.behaviors, attacks=self.attacks)

    @property
    def rates(self) -> list[SuccessRate]:
        """One rate an attack, then ALO-ASR; `interval()` of each is Wilson's."""
        return [*self.success.attacks, self.success.alo]

    @property
    def not_measured(self) -> list[str]:
        """The attacks that have no case on this model: they could not be run, or found nothing to ask."""
        return [rate.name for rate in self.success.attacks if not rate.measured]

    def broken(self, attack: str = ALO) -> Bool[np.ndarray, " behaviors"]:
        """Return for each behaviour whether an attack broke it for certain; by default whether any did.

        Raises:
            InputError: the suite has no such attack.
        """
        known = [rate.name for rate in self.rates]
        if attack not in known:
            raise InputError(f"the suite of {self.model} has no attack {attack!r} (it has {', '.join(known)})")
        cells = self.success.cells
        if attack == ALO:
            return np.array([Label.YES in cells[b.id].values() for b in self.behaviors])
        return np.array([cells[b.id][attack] is Label.YES for b in self.behaviors])

    @property
    def costs(self) -> list[AttackCost]:
        """What each attack took, in the order of the rates."""
        table = []
        for attack in (rate.name for rate in self.success.attacks):
            own = [case for case in self.cases if case.attack == attack]
            total, n = sum((case.cost for case in own), Cost()), len(self.behaviors)
            table.append(
                AttackCost(
                    attack, len(own), total.queries / n, total.forwards / n, total.backwards / n, total.seconds / n
                )
            )
        return table

    def rate_at(self, attack: str, counts: Sequence[int]) -> list[float]:
        """Return ASR@n: the share of behaviours that the first n cases of an attack broke, for each n.

        The order is the attack's own: templates as drawn, prefills from the shortest on.
        """
        own: dict[str, list[bool]] = {behavior.id: [] for behavior in self.behaviors}
        for case, label in zip(self.cases, self.labels, strict=True):
            if case.attack == attack:
                own[case.behavior_id].append(label is Label.YES)
        if not any(own.values()):
            raise InputError(f"the suite of {self.model} has no case of {attack!r}")
        return [float(np.mean([any(hits[:n]) for hits in own.values()])) for n in counts]

    def by_variant(self, attack: str) -> dict[str, list[int]]:
        """Return for each variant of an attack, in the order of its first case, 1 for every behaviour that it broke."""
        place = {behavior.id: number for number, behavior in enumerate(self.behaviors)}
        table: dict[str, list[int]] = {}
        for case, label in zip(self.cases, self.labels, strict=True):
            if case.attack == attack:
                row = table.setdefault(str(case.meta["variant"]), [0] * len(place))
                row[place[case.behavior_id]] |= int(label is Label.YES)
        return table

    def loss_curves(self, attack: str) -> list[list[float]]:
        """Return the losses of an optimising attack, one list a case; none for an attack that has no losses."""
        return [list(case.meta["losses"]) for case in self.cases if case.attack == attack and "losses" in case.meta]

    def broken_by(self) -> dict[str, list[str]]:
        """Return for each behaviour the attacks that broke it."""
        return {behavior.id: self.success.broken_by(behavior.id) for behavior in self.behaviors}

    def against(self, other: SuiteResult) -> dict[str, McNemar]:
        """Return McNemar's test for each attack that both models underwent, `other` being the baseline.

        `gained` counts behaviours broken here and not there.

        Raises:
            InputError: the two have other behaviours or another protocol.
        """
        if self.protocol != other.protocol or [b.id for b in self.behaviors] != [b.id for b in other.behaviors]:
            raise InputError(f"{self.model} and {other.model} were attacked under different protocols; run one suite")
        there = {rate.name for rate in other.rates}
        return {
            rate.name: mcnemar(other.broken(rate.name), self.broken(rate.name))
            for rate in self.rates
            if rate.name in there
        }

    @property
    def notes(self) -> list[str]:
        """What a reader of the rates has to know, in sentences."""
        judge = self.protocol["judge"]
        notes = list(self.target.get("notes", ()))
        if names := self.not_measured:
            reasons = "; ".join(f"{name} ({self.left_out.get(name, 'it made no case')})" for name in names)
            notes.append(f"{len(names)} of {len(self.success.attacks)} attacks not measured: {reasons}")
        for attack, guides in self.protocol["guides"].items():
            if judge in guides:
                notes.append(
                    f"{attack} was guided by the judge that counts its success, so its rate is optimistic: judge by "
                    "another one"
                )
        warnings = filter(None, (unknown_warning(self.labels, judge), cut_warning(self.replies)))
        return [*notes, *warnings, *self.remarks]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers for machines; cases and replies are in the journal."""
        return {
            "model": self.model,
            "target": self.target,
            "attacks": [
                {
                    "attack": rate.name, "measured": rate.measured,
                    **({"asr": bounds.least, "low": bounds.low, "high": bounds.high} if rate.measured else _NO_RATE),
                    "broken": rate.broken, "held": rate.held, "unknown": rate.unknown, "missing": rate.missing,
                    "lower_bound": rate.lower_bound,
                }
                for rate in self.rates
                for bounds in [rate.bounds()]
            ],
            "costs": [cost.__dict__ for cost in self.costs],
            "broken_by": self.broken_by(),
            "notes": self.notes,
        }  # fmt: skip
