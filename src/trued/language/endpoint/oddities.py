"""How many answers had no text, and why, put in sentences for whoever reads the numbers.

Knows answers. Knows nothing of how they came.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from trued.language.endpoint.answer import Answer

_log = logging.getLogger(__name__)

_LOSS = {
    "temperature": "replies are sampled at its own temperature",
    "top_p": "replies are sampled from its own nucleus",
    "seed": "the same seed may give other replies",
}


class Oddities:
    """Counts over all calls of one endpoint."""

    def __init__(self) -> None:
        self.total = 0
        self.missing: Counter[str] = Counter()
        self.words: dict[str, str] = {}
        self.left_out: dict[str, None] = {}

    def count(self, answers: Sequence[Answer]) -> None:
        """Add the answers of one call; the first of each kind is logged."""
        self.total += len(answers)
        for answer in answers:
            self.left_out |= dict.fromkeys(answer.left_out)
            if answer.missing is None:
                continue
            if answer.missing not in self.missing:
                _log.warning("no text for a request: %s%s", answer.missing, _quote(answer.words))
            self.missing[answer.missing] += 1
            if answer.words:
                self.words.setdefault(answer.missing, answer.words)

    def notes(self, model: str, url: str) -> list[str]:
        """Return a sentence on what had no text, and one on what was left out of the requests."""
        notes = []
        if self.missing:
            reasons = ", ".join(
                f"{number} {reason}{_quote(self.words.get(reason, ''))}"
                for reason, number in self.missing.most_common()
            )
            notes.append(
                f"{model} at {url} gave no text for {self.missing.total()} of {self.total} requests: {reasons}; they "
                "count as unknown"
            )
        if self.left_out:
            names = " and ".join(self.left_out)
            losses = "; ".join(_LOSS[name] for name in self.left_out if name in _LOSS)
            notes.append(f"{model} at {url} does not take {names}: left out{f', so {losses}' if losses else ''}")
        return notes


def _quote(words: str) -> str:
    return f" (“{words[:120]}”)" if words else ""
