"""The questions of a check, and what a model answers to each: harmful ones under every attack, and harmless ones.

Knows prompts, attacks that only ask, and judges. Knows nothing of rates, intervals or other models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from trued.data.prompts import PromptRow, templates
from trued.language.attack.contract import Behavior, ChatTarget, TestCase, user_turn
from trued.language.attack.direct import Direct
from trued.language.attack.prefill import Prefill
from trued.language.judge.refusals import RefusalClass, refusal_class
from trued.language.judge.reply import Judge, Label
from trued.language.judge.thoughts import answer_of

HARMLESS = ("lookalikes", "general")


@dataclass(frozen=True)
class Answers:
    """The replies to one way of asking, one column each; entry i of all columns belongs to reply i.

    Args:
        prompts: ids of the prompts.
        variants: which template or prefill, empty for a plain request.
        replies: what the model said; of a prefilled turn what follows the prefill.
        labels: of harmful requests the judge's ("yes" complied, "no" refused, "unknown"), of harmless ones XSTest's
            class, or "unknown" for a thought that is cut off.
    """

    prompts: tuple[str, ...]
    variants: tuple[str, ...]
    replies: tuple[str, ...]
    labels: tuple[str, ...]

    def are(self, *labels: Label | RefusalClass) -> Bool[np.ndarray, " replies"]:
        """Return for each reply whether its label is one of these."""
        return np.array([label in labels for label in self.labels], dtype=bool)

    def same_questions(self, other: Answers | None) -> bool:
        """Whether another model was asked the same, in the same order."""
        return other is not None and (self.prompts, self.variants) == (other.prompts, other.variants)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Answers:
        return cls(*(tuple(data[name]) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Question:
    """One test case under the name of its way of asking, e.g. "templates" or "prefill-3"."""

    way: str
    case: TestCase

    @property
    def variant(self) -> str:
        return str(self.case.meta.get("variant", ""))


def direct_questions(rows: Sequence[PromptRow], target: ChatTarget) -> list[Question]:
    """The requests as they are."""
    return [Question("direct", case) for case in Direct().run(_behaviors(rows), target, seed=0)]


def template_questions(rows: Sequence[PromptRow], per_prompt: int | None, *, seed: int) -> list[Question]:
    """Each request in `per_prompt` templates, None for all; the templates rotate, so that all of them are used."""
    frames = templates()
    count = len(frames) if per_prompt is None else per_prompt
    questions = []
    for i, row in enumerate(rows):
        for k in range(count):
            frame = frames[(seed + i * count + k) % len(frames)]
            case = TestCase(row.id, user_turn(frame.wrap(row.prompt)), attack="templates", meta={"variant": frame.id})
            questions.append(Question("templates", case))
    return questions


def prefill_questions(
    rows: Sequence[PromptRow], lengths: Sequence[int], opening: str, target: ChatTarget
) -> list[Question]:
    """Each request with the reply begun by the first n tokens of `opening`; one way of asking for each n.

    Raises:
        InputError: the chat template cannot continue an assistant's turn, or the opening is too short.
    """
    cases = Prefill(tuple(lengths), opening).run(_behaviors(rows), target, seed=0)
    return sorted(
        (Question(f"prefill-{case.meta['variant'].removeprefix('n=')}", case) for case in cases),
        key=lambda question: int(question.way.removeprefix("prefill-")),
    )


def harmless_questions(way: str, rows: Sequence[PromptRow]) -> list[Question]:
    """Look-alikes or general requests."""
    return [Question(way, TestCase(row.id, user_turn(row.prompt))) for row in rows]


def ask(target: ChatTarget, questions: Sequence[Question], progress: Callable[[int], None] | None = None) -> list[str]:
    """Return the greedy reply to each question, all in one call so that batches are full; prefills are left off.

    `ChatTarget.generate` would put the prefill back. Here the attacker's words are not judged: a model that goes on
    to decline has refused.
    """
    drawn = target.model.generate(
        [target.conversation(question.case.messages) for question in questions],
        prefill=[question.case.prefill for question in questions],
        max_new_tokens=target.max_new_tokens,
        progress=progress,
    )
    return [reply for (reply,) in drawn]


def label(
    questions: Sequence[Question], replies: Sequence[str], texts: dict[str, str], judge: Judge
) -> dict[str, Answers]:
    """Judge the replies and sort them by way of asking; the judge sees the request without template or prefill."""
    harmful = [i for i, question in enumerate(questions) if question.way not in HARMLESS]
    # A thought that is cut off is no refusal of a harmless request, and no answer to it either.
    labels = [str(Label.UNKNOWN if answer_of(reply) is None else refusal_class(reply)) for reply in replies]
    judged = judge.label([texts[questions[i].case.behavior_id] for i in harmful], [replies[i] for i in harmful])
    for i, verdict in zip(harmful, judged, strict=True):
        labels[i] = str(verdict)
    rows: dict[str, list[tuple[str, str, str, str]]] = {}
    for question, reply, given in zip(questions, replies, labels, strict=True):
        rows.setdefault(question.way, []).append((question.case.behavior_id, question.variant, reply, given))
    return {way: Answers(*zip(*columns, strict=True)) for way, columns in rows.items()}


def _behaviors(rows: Sequence[PromptRow]) -> list[Behavior]:
    return [Behavior(row.id, row.prompt, category=row.category) for row in rows]
