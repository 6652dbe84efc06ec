"""Alignment for honesty: supervised fine-tuning on what the model itself knows (arXiv 2312.07000, Section 4).

Every variant puts the same question with the prompt that permits to decline, and differs in the reply that is learned:

- fine-tuned: the known reply; for a question without a correct sample the right answer (the paper's baseline);
- absolute: the known reply if the expected accuracy is at least tau, else the sentence that declines. The released
  data processing has no tau: it teaches the known reply wherever there is one, so also a correct greedy reply of which
  no sample is correct, which is declined here;
- confidence-num, confidence-verb: the known reply after its expected accuracy in per cent, or in one of five grades of
  words; a question without a correct sample is declined;
- multisample: each sample if it is correct, else the sentence that declines, so that the shares speak for themselves.

The known reply is the greedy one if it is correct, else the first correct sample. The paper fine-tunes all weights of a
13B model at lr 1e-6; here it is LoRA, whose learning rate is another one.

Knows a table of what a model knows, templates and the training loop. Knows nothing of scores, cards or the terminal.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from trued.data.facts import FactQuestion
from trued.data.prompts import ReplyRow
from trued.errors import InputError, nearest
from trued.language.engine.model import LanguageModel
from trued.language.measure.honesty.asking import TEMPLATES, HonestyTemplates
from trued.language.measure.honesty.knowledge import KnowledgeTable, Known, balanced, estimate_knowledge
from trued.language.measure.honesty.scores import IdkDetector, Verifier
from trued.language.train.supervised import collate, encode, reply_loss
from trued.learn.fit.loop import FitConfig, FitResult, StepLog, fit

__all__ = [
    "HonestyTemplates", "HonestyTraining", "Variant", "build_sft", "known_reply", "lower_first", "target_replies",
]  # fmt: skip

_OPTION = re.compile(r"[A-D](?:[).]|\Z)")

Variant = Literal["fine-tuned", "absolute", "confidence-num", "confidence-verb", "multisample"]


def build_sft(
    table: KnowledgeTable,
    method: Variant,
    *,
    tau: float = 0.1,
    n: int | None = 8000,
    balance: bool = True,
    seed: int = 0,
    templates: HonestyTemplates = TEMPLATES,
    keep_acronyms: bool = True,
) -> list[ReplyRow]:
    """Return the training rows of one variant.

    Args:
        table: what the model knows, before alignment.
        method: the variant.
        tau: of "absolute": a higher one makes the model more prudent, and more conservative.
        n: at most so many questions (paper: 8,000).
        balance: as many known as unknown questions in each relation (paper: over all).
        seed: of the choice of questions: every variant gets the same ones.
        templates: the wordings.
        keep_acronyms: as in `lower_first`.

    Returns:
        A row a question, in the order of the balanced table. For "multisample" the m rows of a question are merged
        where their replies are equal, with their number as weight, so that a weight of 1 is a whole question in every
        variant.

    Raises:
        InputError: an unknown variant, a tau outside [0, 1], no questions, or none of a kind that balance needs.
    """
    if method not in get_args(Variant):
        known = get_args(Variant)
        raise InputError(f"unknown variant {method!r}: choose one of {', '.join(known)}{nearest(str(method), known)}")
    if not 0 <= tau <= 1:
        raise InputError(f"tau is {tau}: an expected accuracy lies between 0 and 1")
    if not table or (n is not None and n < 2):
        raise InputError(f"{len(table)} questions, of which {n} are wanted: expected at least 2")
    questions = balanced(table, n, seed=seed) if balance else list(table)[:n]
    rows = []
    for row in questions:
        prompt = templates.ask(row.question.question, honest=True)
        replies = target_replies(row, method, tau=tau, templates=templates, keep_acronyms=keep_acronyms)
        rows += [ReplyRow(prompt, reply, weight / replies.total()) for reply, weight in replies.items()]
    return rows


def target_replies(
    row: Known,
    method: Variant,
    *,
    tau: float = 0.1,
    templates: HonestyTemplates = TEMPLATES,
    keep_acronyms: bool = True,
) -> Counter[str]:
    """Return the replies that one question is taught with, and how often each (Section 4.2)."""
    accuracy, reply = row.accuracy, known_reply(row)
    if method == "multisample":
        right = Counter(row.correct_samples)
        declined = len(row.samples) - right.total()
        return right + Counter({templates.idk: declined})
    if method == "fine-tuned":
        return Counter([reply or _as_sentence(row.question)])
    if method == "absolute":
        return Counter([reply if reply and accuracy >= tau else templates.idk])
    if not row.correct_samples or not reply:
        return Counter([templates.idk])
    if method == "confidence-num":
        return Counter([templates.numeric(accuracy) + reply])
    prefix = templates.verbal[templates.grade(accuracy)]
    return Counter([prefix + lower_first(reply, keep_acronyms=keep_acronyms)])


def known_reply(row: Known) -> str | None:
    """Return the greedy reply if it is correct, else the first correct sample, else None."""
    return row.greedy if row.known else next(iter(row.correct_samples), None)


def lower_first(text: str, *, keep_acronyms: bool = True) -> str:
    """Return a sentence that goes on from a prefix: its first letter in lower case.

    With `keep_acronyms` only where the second letter is lower case too, so that "USA" and the letter of an option stay
    as they are; without, as in the released data processing, every first letter but that of an option: "A" to "D",
    alone or before a bracket or a dot.
    """
    if not text[1:2].islower() if keep_acronyms else _OPTION.match(text):
        return text
    return text[:1].lower() + text[1:]


def _as_sentence(question: FactQuestion) -> str:
    """The right answer as a reply. The released data processing also lowers every letter but the first, names' too."""
    if not question.answers:
        raise InputError(f"{question.id} has no answer to teach: leave it out of training, or give its answers")
    text = question.answers[0]
    return f"{text[:1].upper()}{text[1:]}."


@dataclass(frozen=True)
class HonestyTraining:
    """One variant of alignment for honesty, from questions to an adapter.

    Args:
        method: which replies are taught.
        tau: of "absolute".
        m: samples a question, which show how surely the model knows it.
        temperature: of the samples.
        answer_tokens: length of a sample, in tokens.
        questions: at most so many, half of them known, in every relation.
        word_boundary: aliases count as whole words only.
        keep_acronyms: as in `lower_first`.
        lora_r: rank of the adapter.
        lora_alpha: the adapter's updates are scaled by lora_alpha / lora_r.
        fit: of the optimiser; weight decay, warm-up, batch and epochs are the paper's, the learning rate is LoRA's.
        templates: the wordings.
    """

    method: Variant = "absolute"
    tau: float = 0.1
    m: int = 10
    temperature: float = 1.0
    answer_tokens: int = 16
    questions: int = 8000
    word_boundary: bool = True
    keep_acronyms: bool = True
    lora_r: int = 32
    lora_alpha: float = 64
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=2, lr=2e-4, weight_decay=0.1, warmup=0.05, batch_size=8)
    )
    templates: HonestyTemplates = TEMPLATES

    @classmethod
    def of(cls, method: Variant) -> HonestyTraining:
        """Return a variant with the paper's number of epochs: 2, and 1 for multisample, which has m rows a question."""
        plain = cls(method)
        return replace(plain, fit=replace(plain.fit, epochs=1)) if method == "multisample" else plain

    def learn_table(
        self,
        lm: LanguageModel,
        questions: Sequence[FactQuestion],
        *,
        idk: IdkDetector | None = None,
        verifier: Verifier | None = None,
        cache: Path | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Known]:
        """Ask the model what it knows, with these settings; see `estimate_knowledge`."""
        return estimate_knowledge(
            lm, questions, m=self.m, temperature=self.temperature, max_new_tokens=self.answer_tokens,
            seed=self.fit.seed, templates=self.templates, idk=idk, word_boundary=self.word_boundary,
            verifier=verifier, cache=cache, progress=progress,
        )  # fmt: skip

    def align(
        self,
        lm: LanguageModel,
        table: KnowledgeTable,
        *,
        output: Path | None = None,
        resume: bool = False,
        report: Callable[[StepLog], None] | None = None,
        progress: bool = True,
    ) -> tuple[LanguageModel, FitResult]:
        """Train a LoRA adapter on `lm`; return the adapted model and the record of its training.

        Args:
            table: what `lm` knows, from `learn_table`.
            output, resume, report, progress: as in `trued.learn.fit.loop.fit`; the caller saves the adapter.

        Raises:
            InputError: see `build_sft` and `trued.language.train.supervised.encode`.
        """
        rows = build_sft(
            table, self.method, tau=self.tau, n=self.questions, seed=self.fit.seed, templates=self.templates,
            keep_acronyms=self.keep_acronyms,
        )  # fmt: skip
        examples = encode(lm, rows)
        tuned = lm.with_lora(self.lora_r, self.lora_alpha, seed=self.fit.seed)
        result = fit(
            tuned.model,
            lambda _, batch: reply_loss(tuned, batch),
            examples,
            self.fit,
            collate=lambda batch: collate(tuned, batch),
            output=output,
            resume=resume,
            report=report,
            progress=progress,
        )
        tuned.model.eval()
        return tuned, result
