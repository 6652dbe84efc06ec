"""The honesty check: a model against the one that it came from, on questions of fact, asked so that it may decline.

The earlier model gets the plain prompt and the later one the prompt that permits to decline, as in the paper (arXiv
2312.07000, Section 4). Without an earlier one it is the same model: then the check shows what the prompt alone does.

Knows models and questions. Knows nothing of files or the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from trued.data.facts import FactQuestion, check_questions, fact_questions, place_names
from trued.language.engine.model import LanguageModel
from trued.language.measure.honesty.asking import TEMPLATES, HonestyTemplates
from trued.language.measure.honesty.invented import prior_unknown_qa
from trued.language.measure.honesty.matching import check_answers, first_line
from trued.language.measure.honesty.scores import HonestyReport, IdkDetector, Judged, classify_all, evolution
from trued.learn.statistics.interval import Interval
from trued.learn.statistics.rates import wilson

INVENTED = 60
NEW_TOKENS = 32  # a prefix that states a confidence, and the answer after it


@dataclass(frozen=True)
class HonestyCheck:
    """What the honesty check found.

    Args:
        model, base: names; `base` says with which prompt it was asked.
        report: the nine categories and the scores.
        declined_invented: share of questions about invented things that the model declines.
        invented: how many of these were asked.
        substring_only: replies that hold the answer as part of another word alone, and therefore count as wrong here,
            though they count as correct upstream.
        replies: question id → (before, after).
        judged: question id → what they are.
    """

    model: str
    base: str
    report: HonestyReport
    declined_invented: Interval
    invented: int
    substring_only: int
    replies: dict[str, tuple[str, str]]
    judged: dict[str, tuple[Judged, Judged]]

    def to_json(self) -> dict[str, Any]:
        """Return plain data, every reply included."""
        return {
            "model": self.model,
            "base": self.base,
            **self.report.to_json(),
            "declined_invented": {**vars(self.declined_invented), "n": self.invented},
            "substring_only": self.substring_only,
            "replies": {
                name: {
                    "before": before,
                    "after": after,
                    "category": [judgement.category for judgement in self.judged[name]],
                }
                for name, (before, after) in self.replies.items()
            },
        }


def check_honesty(
    lm: LanguageModel,
    base: LanguageModel | None = None,
    questions: Sequence[FactQuestion] | None = None,
    *,
    templates: HonestyTemplates = TEMPLATES,
    idk: IdkDetector | None = None,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> HonestyCheck:
    """Ask both models and compare their replies question by question.

    Args:
        lm: the model, its adapter folded into the weights.
        base: what it came from; the same model with its adapter off where both share their weights, or without one the
            model itself.
        questions: with their answers; the test split of the packaged facts by default.
        templates: the wordings.
        idk: finds out what declines; by default it listens for the templates' sentence.
        seed: of the intervals and the invented things.
        progress: called with what is done, the whole of it, and what it is.

    Raises:
        InputError: no questions, one that comes twice, or one whose answers cannot be found in any reply.
        MissingExtra: no questions are given, and the packages of facts are not installed.
    """
    facts = fact_questions("test") if questions is None else list(questions)
    check_questions(facts)
    check_answers(facts)
    invented = prior_unknown_qa(INVENTED, seed=seed, taken=place_names() if questions is None else ())
    listener = idk or IdkDetector(templates.idk)
    earlier = lm if base is None else base
    shared = base is not None and base.base is lm.base

    def counted(what: str, total: int) -> Callable[[int], None]:
        return lambda done: progress(done, total, what) if progress is not None else None

    with _deployed(lm if shared else earlier, adapter=not shared):
        before = ask(earlier, facts, templates, progress=counted("facts, before", len(facts)))
    everything = [*facts, *invented]
    with _deployed(lm, adapter=True):
        after = ask(lm, everything, templates, honest=True, progress=counted("facts, after", len(everything)))
    pairs = dict(zip((row.id for row in facts), zip(before, after, strict=False), strict=True))
    first, second = judge(facts, before, listener), judge(everything, after, listener)
    loose = judge([*facts, *facts], [*before, *after[: len(facts)]], listener, word_boundary=False)
    strict = [*first, *second[: len(facts)]]
    judged = dict(zip(pairs, zip(first, second, strict=False), strict=True))
    declined = sum(judgement.category == "idk" for judgement in second[len(facts) :])
    return HonestyCheck(
        lm.name,
        f"{earlier.name}{' without adapter' if shared else ''}, plain prompt",
        evolution(
            {i: judgement for i, (judgement, _) in judged.items()},
            {i: judgement for i, (_, judgement) in judged.items()},
            seed=seed,
        ),
        wilson(declined, len(invented)),
        len(invented),
        sum(a.loosely_correct != b.loosely_correct for a, b in zip(loose, strict, strict=True)),
        pairs,
        judged,
    )


def ask(
    lm: LanguageModel,
    questions: Sequence[FactQuestion],
    templates: HonestyTemplates = TEMPLATES,
    *,
    honest: bool = False,
    max_new_tokens: int = NEW_TOKENS,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Return the greedy reply to each question, its first line."""
    prompts = [templates.ask(row.question, honest=honest) for row in questions]
    replies = lm.generate(prompts, max_new_tokens=max_new_tokens, stop=("\n",), progress=progress)
    return [first_line(group[0]) for group in replies]


def judge(
    questions: Sequence[FactQuestion], replies: Sequence[str], idk: IdkDetector, *, word_boundary: bool = True
) -> list[Judged]:
    """Return what each reply is."""
    texts, answers = [row.question for row in questions], [row.answers for row in questions]
    return classify_all(texts, replies, answers, idk, word_boundary=word_boundary)


def _deployed(lm: LanguageModel, *, adapter: bool) -> AbstractContextManager[None]:
    """The model as it would serve: its adapter folded into the weights, or off."""
    return lm.merged() if adapter else lm.adapter(enabled=False)
