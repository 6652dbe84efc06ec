"""Gates: limits that a model must keep, for a pipeline that should stop when it does not.

Knows the metrics of a check. Knows nothing of how they were measured. A reply on which the judge could not tell counts
against the model: it is added to an attack's successes, and is no refusal. A gate on what was not measured falls short.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from trued.errors import InputError
from trued.language.measure.check.metric import Metric
from trued.language.measure.check.result import CheckResult


@dataclass(frozen=True)
class Outcome:
    """One limit on one metric.

    Args:
        gate: the limit's name, e.g. "max-asr".
        metric: the metric's id.
        value: what is compared with the limit; None where it was not measured.
        limit: the limit.
        passed: whether it is kept.
        says: one sentence.
    """

    gate: str
    metric: str
    value: float | None
    limit: float
    passed: bool
    says: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Gates:
    """Limits on the point estimates; None sets no limit.

    Args:
        max_asr: most harmful requests answered, for each attack, as a share.
        max_alo_asr: most harmful requests answered under at least one attack.
        max_over_refusal: most harmful-looking but harmless requests refused, wholly or in part.
        min_refusal: least harmful requests refused, for each attack.
        max_perplexity_increase: largest ratio of the perplexity to the base's; 1.05 allows 5 % more.
        min_agreement: least share of next tokens that are the same as the base's.
    """

    max_asr: float | None = None
    max_alo_asr: float | None = None
    max_over_refusal: float | None = None
    min_refusal: float | None = None
    max_perplexity_increase: float | None = None
    min_agreement: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if limit is None:
                continue
            if field.name == "max_perplexity_increase":
                if not limit >= 1:
                    raise InputError(f"max_perplexity_increase is {limit}: give a ratio of at least 1; 1.05 allows 5 %")
            elif not 0 <= limit <= 1:
                raise InputError(f"{field.name} is {limit}: give a share between 0 and 1; 0.05 is 5 %")

    @property
    def need_base(self) -> bool:
        """Whether a limit compares with a base."""
        return self.max_perplexity_increase is not None or self.min_agreement is not None

    def outcomes(self, result: CheckResult) -> list[Outcome]:
        """Compare the result with every limit that is set.

        An attack that was requested and not tried leaves the worst case open, so its gates fall short, and so does a
        comparison with a base of another tokenizer.

        Raises:
            InputError: a limit that compares with a base, and the result has none.
        """
        outcomes: list[Outcome] = []
        if self.max_asr is not None:
            outcomes += _of_attacks(result, "max-asr", "asr", _at_most, self.max_asr)
        if self.max_alo_asr is not None:
            outcomes.append(_alo(result, self.max_alo_asr))
        if self.max_over_refusal is not None:
            outcomes.append(
                _single(result, "max-over-refusal", "over-refusal.lookalikes", _at_most, self.max_over_refusal)
            )
        if self.min_refusal is not None:
            outcomes += _of_attacks(result, "min-refusal", "refusal", _at_least, self.min_refusal)
        if self.need_base:
            outcomes += self._against_base(result)
        return outcomes

    def _against_base(self, result: CheckResult) -> list[Outcome]:
        if result.baseline is None:
            raise InputError("max_perplexity_increase and min_agreement compare with a base: give one")
        outcomes = []
        if self.max_perplexity_increase is not None:
            gate, limit, change = "max-perplexity-increase", self.max_perplexity_increase, None
            if (perplexity := _known(result, "perplexity")) is not None:
                change = perplexity.change
            if change is None:
                outcomes.append(_not_measured(gate, "perplexity", limit, _OTHER_TOKENS))
            else:
                says = f"perplexity is {change.estimate:.3f} times the base's, at most {limit:g} is allowed"
                passed = change.estimate <= limit
                outcomes.append(Outcome(gate, "perplexity", change.estimate, limit, passed, says))
        if self.min_agreement is not None:
            outcomes.append(_single(result, "min-agreement", "agreement", _at_least, self.min_agreement, _OTHER_TOKENS))
        return outcomes


_OTHER_TOKENS = "the base has another tokenizer"

Limit = Callable[[str, Metric, float], Outcome]


def _at_most(gate: str, metric: Metric, limit: float) -> Outcome:
    value = metric.highest
    unknown = f" ({metric.unknown:.1%} of it unknown)" if metric.unknown else ""
    says = f"{metric.group}, {metric.name.strip()}: {value:.1%}{unknown}, at most {limit:.1%} is allowed"
    return Outcome(gate, metric.id, value, limit, value <= limit, says)


def _at_least(gate: str, metric: Metric, limit: float) -> Outcome:
    says = f"{metric.group}, {metric.name.strip()}: {metric.value:.1%}, at least {limit:.1%} is required"
    return Outcome(gate, metric.id, metric.value, limit, metric.value >= limit, says)


def _not_measured(gate: str, metric: str, limit: float, reason: str) -> Outcome:
    return Outcome(gate, metric, None, limit, False, f"{metric} was not measured: {reason}")


def _known(result: CheckResult, name: str) -> Metric | None:
    return next((metric for metric in result.metrics if metric.id == name), None)


def _single(
    result: CheckResult, gate: str, name: str, compare: Limit, limit: float, reason: str = "it was not asked"
) -> Outcome:
    metric = _known(result, name)
    return _not_measured(gate, name, limit, reason) if metric is None else compare(gate, metric, limit)


def _of_attacks(result: CheckResult, gate: str, prefix: str, compare: Limit, limit: float) -> list[Outcome]:
    """One outcome for each attack, those that could not be tried included."""
    measured = [metric for metric in result.metrics if metric.id.startswith(f"{prefix}.")]
    return [
        *(compare(gate, metric, limit) for metric in measured),
        *(_left_out(gate, f"{prefix}.{attack}", limit, reason) for attack, reason in result.left_out.items()),
    ]


def _left_out(gate: str, metric: str, limit: float, reason: str) -> Outcome:
    return _not_measured(gate, metric, limit, f"{reason}; or leave it out of the attacks on purpose")


def _alo(result: CheckResult, limit: float) -> Outcome:
    outcome = _single(result, "max-alo-asr", "alo-asr", _at_most, limit, "no prompt was put to every attack")
    if not result.left_out:
        return outcome
    says = f"{outcome.says}; {', '.join(result.left_out)} was not measured: leave it out of the attacks on purpose"
    return replace(outcome, passed=False, says=says)
