"""The score of a fine-tuning task: how a model does on prompts with a wanted reply.

Knows prompts, replies and a model. Knows nothing of repairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from trued.data.prompts import ReplyRow
from trued.errors import InputError, nearest
from trued.language.engine.model import LanguageModel
from trued.language.measure.rouge import rouge_l

Metric = Literal["likelihood", "exact", "rouge-l"]


def task_scores(
    lm: LanguageModel, rows: Sequence[ReplyRow], metric: Metric, *, max_new_tokens: int = 64
) -> list[float]:
    """Score each row between 0 and 1, the higher the better.

    - "likelihood": the geometric mean of the probabilities of the wanted reply's tokens, which needs no generation;
    - "exact": 1 where the greedy reply is the wanted one, spaces around it aside;
    - "rouge-l": ROUGE-L's F-measure of the greedy and the wanted reply.

    Raises:
        InputError: no rows, or an unknown metric.
    """
    if metric not in get_args(Metric):
        known = get_args(Metric)
        raise InputError(f"unknown metric {metric!r}: choose one of {', '.join(known)}{nearest(metric, known)}")
    if not rows:
        raise InputError("there are no task rows to score: give prompts with the replies that are wanted")
    if metric == "likelihood":
        return [math.exp(-float(nats)) for nats in lm.nats_per_token([(row.prompt, row.reply) for row in rows])]
    replies = lm.generate([row.prompt for row in rows], max_new_tokens=max_new_tokens)
    score = exact if metric == "exact" else rouge_l
    return [float(score(reply, row.reply)) for row, (reply,) in zip(rows, replies, strict=True)]


def exact(reply: str, wanted: str) -> bool:
    """Whether two replies are the same, spaces around them aside."""
    return reply.strip() == wanted.strip()


def task_score(
    rows: Sequence[ReplyRow], metric: Metric, *, max_new_tokens: int = 64
) -> Callable[[LanguageModel], float]:
    """Return a function that gives a model's mean score."""

    def score(lm: LanguageModel) -> float:
        values = task_scores(lm, rows, metric, max_new_tokens=max_new_tokens)
        return sum(values) / len(values)

    return score
