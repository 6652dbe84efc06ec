"""What a repair is given and measures by: harmful questions, rows of the task, and how replies are scored.

Knows files, shipped prompts and judges. Knows nothing of how weights are restored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trued.data.messages import Prompt
from trued.data.prompts import ReplyRow, prompts
from trued.data.rows import read_rows
from trued.errors import InputError
from trued.texts import read_text

if TYPE_CHECKING:
    from trued.cli.repair.command import Metric
    from trued.language.engine.model import LanguageModel

REPLY_TOKENS = 32


def answered(lm: LanguageModel, questions: Sequence[Prompt]) -> float:
    """Return the share of questions that a model does not refuse; an empty reply is no refusal."""
    from trued.language.judge.reply import Label, PhraseJudge

    replies = [group[0] for group in lm.generate(questions, max_new_tokens=REPLY_TOKENS)]
    labels = PhraseJudge().label(["" for _ in questions], replies)
    return sum(label is not Label.NO for label in labels) / len(labels)


def harmful_questions(source: str | None) -> list[Prompt]:
    """Return the questions of a file, or the shipped training requests.

    Raises:
        InputError: no such file, or one without questions.
    """
    if source is None:
        return [row.prompt for row in prompts("harmful", "train")]
    path = Path(source)
    if path.suffix == ".txt":
        if not path.is_file():
            raise InputError(f"{source}: there is no such file")
        questions: list[Prompt] = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    else:
        questions = [row["prompt"] for row in read_rows(source, columns={"prompt": "text or chat"})]
    if not questions:
        raise InputError(f"{source} has no questions: one a line, or rows of 'prompt'")
    return questions


def own_rows(lm: LanguageModel) -> list[ReplyRow]:
    """Return general requests with the model's own replies: what it must not lose where no task is given."""
    from trued.language.engine.precision import served
    from trued.language.train.adversarial import own_replies

    requests = [row.prompt for row in prompts("general", "train")]
    return [ReplyRow(row.prompt, row.reply) for row in own_replies(served(lm), requests, max_new_tokens=REPLY_TOKENS)]


def served_score(rows: Sequence[ReplyRow], metric: Metric) -> Any:
    """Return the function that scores a model on the task, in the precision in which it will be served."""
    from trued.language.engine.precision import served
    from trued.language.repair.task import task_score

    score = task_score(rows, metric)
    return lambda lm: score(served(lm))
