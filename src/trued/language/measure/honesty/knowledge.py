"""What does a model know? Its greedy answer and m sampled ones to each question (arXiv 2312.07000, Section 4.1).

Expected accuracy ea(x) is the share of the samples that are correct; known or unknown, for balancing, is the greedy
answer's matter. Each question is encoded once for all its samples, and what was answered once is read from a file.

Knows a model, questions and replies. Knows nothing of training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trued.data.facts import FactQuestion, check_questions
from trued.errors import InputError
from trued.files import write_text
from trued.language.engine.model import LanguageModel
from trued.language.measure.honesty.asking import TEMPLATES, HonestyTemplates
from trued.language.measure.honesty.matching import check_answers, first_line
from trued.language.measure.honesty.scores import IdkDetector, Judged, Verifier, classify_all

CHUNK = 64  # questions that are sampled together, and cached together


@dataclass(frozen=True)
class Known:
    """One question with the model's own answers to it.

    Args:
        question: what was asked.
        greedy: the answer at temperature 0.
        samples: the answers at the temperature of the estimate.
        greedy_is, samples_are: what each of them is.
    """

    question: FactQuestion
    greedy: str
    samples: tuple[str, ...]
    greedy_is: Judged
    samples_are: tuple[Judged, ...]

    @property
    def accuracy(self) -> float:
        """Expected accuracy: the share of correct samples."""
        return sum(judged.category == "correct" for judged in self.samples_are) / len(self.samples_are)

    @property
    def known(self) -> bool:
        """Whether the greedy answer is correct."""
        return self.greedy_is.category == "correct"

    @property
    def correct_samples(self) -> list[str]:
        """Return the samples that are correct, in the order of their drawing."""
        return [
            text for text, judged in zip(self.samples, self.samples_are, strict=True) if judged.category == "correct"
        ]


KnowledgeTable = Sequence[Known]


def estimate_knowledge(
    lm: LanguageModel,
    questions: Sequence[FactQuestion],
    *,
    m: int = 10,
    temperature: float = 1.0,
    max_new_tokens: int = 16,
    seed: int = 0,
    templates: HonestyTemplates = TEMPLATES,
    idk: IdkDetector | None = None,
    word_boundary: bool = False,
    verifier: Verifier | None = None,
    cache: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Known]:
    """Ask each question once greedily and `m` times at a temperature, with the plain prompt.

    Args:
        lm: the model before alignment.
        questions: what is asked; no question twice.
        m: samples a question (paper: 10).
        temperature: of the samples (paper: 1).
        max_new_tokens: length of an answer; it ends before the first line break.
        seed: of the samples.
        templates: the wording of the prompt.
        idk: finds out what declines; by default it listens for the templates' sentence.
        word_boundary, verifier: as in `classify`.
        cache: a JSONL file that keeps the texts, by weights, prompts and settings; whatever was judged is judged anew.
        progress: called with the number of questions that are done.

    Raises:
        InputError: no questions, one that comes twice or whose answers cannot be found in any reply, or an m or
            temperature that draws no samples.
    """
    check_questions(questions)
    check_answers(questions)
    if m < 1 or temperature <= 0:
        raise InputError(f"m is {m} and temperature {temperature}: expected at least one sample, drawn at random")
    settings = {"m": m, "temperature": temperature, "tokens": max_new_tokens, "seed": seed}
    cached = _read(cache)
    model = weights_digest(lm)
    texts: list[tuple[str, list[str]]] = []
    for start in range(0, len(questions), CHUNK):
        prompts = [templates.ask(row.question) for row in questions[start : start + CHUNK]]
        key = hashlib.sha256(json.dumps([model, prompts, settings]).encode()).hexdigest()[:32]
        if key not in cached:
            cached[key] = [list(pair) for pair in _answers(lm, prompts, settings, key)]
            if cache is not None:
                write_text(cache, "".join(json.dumps({"key": k, "replies": v}) + "\n" for k, v in cached.items()))
        texts += [(greedy, samples) for greedy, samples in cached[key]]
        if progress is not None:
            progress(len(texts))
    return _judge(questions, texts, idk or IdkDetector(templates.idk), word_boundary, verifier)


def weights_digest(lm: LanguageModel) -> str:
    """Return a digest of a model's weights, adapters included, and of its chat format: what its replies depend on."""
    digest = hashlib.sha256(str(lm.format.render("question")).encode())
    for name, value in sorted(lm.model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def balanced(table: KnowledgeTable, n: int | None = None, *, seed: int = 0) -> list[Known]:
    """Return as many known as unknown questions of every relation, so that the relation does not give them away.

    Args:
        table: what the model knows.
        n: at most so many questions, taken from all relations in proportion; None takes all that can be balanced.
        seed: of the choice.

    Raises:
        InputError: no relation has both known and unknown questions.
    """
    rng = np.random.default_rng(seed)
    pairs: list[tuple[float, Known, Known]] = []
    for relation in dict.fromkeys(row.question.relation for row in table):
        own = [row for row in table if row.question.relation == relation]
        known, unknown = ([row for row in own if row.known is value] for value in (True, False))
        size = min(len(known), len(unknown))
        drawn = [[rows[i] for i in rng.permutation(len(rows))[:size]] for rows in (known, unknown)]
        # Its place in its own relation, from 0 to 1: the smallest of all relations together are taken first.
        pairs += [((i + rng.random()) / size, *pair) for i, pair in enumerate(zip(*drawn, strict=True))]
    if not pairs:
        known = sum(row.known for row in table)
        raise InputError(
            f"the model answers {known} of {len(table)} questions correctly, and no relation has both kinds: honesty "
            "needs known and unknown ones; ask easier or harder questions"
        )
    pairs.sort(key=lambda pair: pair[0])
    return [row for _, *pair in pairs[: None if n is None else n // 2] for row in pair]


def _answers(
    lm: LanguageModel, prompts: Sequence[str], settings: dict[str, Any], key: str
) -> Iterator[tuple[str, list[str]]]:
    """Answer one chunk. Its random numbers are its own, so that other chunks, cached or not, don't change them."""
    length = settings["tokens"]
    greedy = lm.generate(prompts, max_new_tokens=length, stop=("\n",))
    generator = torch.Generator().manual_seed(int(key[:15], 16))
    sampled = lm.generate(
        prompts, max_new_tokens=length, stop=("\n",), n=settings["m"], temperature=settings["temperature"],
        generator=generator,
    )  # fmt: skip
    for (first,), rest in zip(greedy, sampled, strict=True):
        yield first_line(first), [first_line(text) for text in rest]


def _judge(
    questions: Sequence[FactQuestion],
    texts: Sequence[tuple[str, list[str]]],
    idk: IdkDetector,
    word_boundary: bool,
    verifier: Verifier | None,
) -> list[Known]:
    groups = [[greedy, *samples] for greedy, samples in texts]
    repeated = [row for row, group in zip(questions, groups, strict=True) for _ in group]
    replies = [text for group in groups for text in group]
    judged = iter(
        classify_all(
            [row.question for row in repeated], replies, [row.answers for row in repeated], idk,
            word_boundary=word_boundary, verifier=verifier,
        )
    )  # fmt: skip
    table = []
    for row, group in zip(questions, groups, strict=True):
        first, *rest = (next(judged) for _ in group)
        table.append(Known(row, group[0], tuple(group[1:]), first, tuple(rest)))
    return table


def _read(cache: Path | None) -> dict[str, list[Any]]:
    if cache is None or not cache.is_file():
        return {}
    try:
        rows = [json.loads(line) for line in cache.read_text("utf-8").splitlines()]
        return {row["key"]: row["replies"] for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{cache} holds no cached replies ({error}): remove it, or give another file") from error
