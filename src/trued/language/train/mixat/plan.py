"""The batches of a whole run, laid out before it starts, and the rewriting of their requests when their turn comes.

`fit` draws its batches from a seed, so what batch n holds, and which of the adversarial batches it is, is known
beforehand. Batches are handed to `fit` whole, each with its mode; so a run that is resumed, or accumulates over several
batches a step, trains on the same modes and the same rewrites as one that is not.

Knows examples, modes and rewriters. Knows nothing of losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from trued.data.messages import Prompt
from trued.data.prompts import AdversarialRow
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.train.adversarial import Chat, Example, Pair, encode_pairs
from trued.language.train.mixat.attack_target import Lend
from trued.language.train.mixat.intent import Filtered, IntentFilter
from trued.language.train.mixat.rewriters import Rewriter, instruction, with_instruction
from trued.language.train.mixat.schedule import MixSchedule, Mode
from trued.learn.fit.batches import Batches, derived_seed
from trued.learn.fit.config import FitConfig


@dataclass(frozen=True)
class Request(Pair):
    """An adversarial example that still knows its text, so that it can be rewritten."""

    text: Prompt = ""


@dataclass(frozen=True)
class PlannedBatch:
    """Batch `number` of a run with the mode of its adversarial rows; None where it has none."""

    number: int
    mode: Mode | None
    examples: tuple[Example, ...]

    @property
    def letter(self) -> str | None:
        """The rewriter that it asks for: "D", "G" or none."""
        return next((letter for letter in ("D", "G") if self.mode and letter in self.mode), None)

    @property
    def requests(self) -> list[Request]:
        return [example for example in self.examples if isinstance(example, Request)]


def encode_requests(
    lm: LanguageModel, rows: Sequence[AdversarialRow], *, max_length: int | None = None
) -> list[Request]:
    """Every target of a row becomes an example; see `encode_pairs`."""
    texts = [row.prompt for row in rows for _ in row.targets]
    pairs = encode_pairs(lm, rows, max_length=max_length)
    return [
        Request(pair.prompt, pair.target, pair.safe, pair.reference, text)
        for pair, text in zip(pairs, texts, strict=True)
    ]


def lay_out(
    examples: Sequence[Example], config: FitConfig, schedule: MixSchedule, *, processes: int = 1
) -> tuple[list[PlannedBatch], FitConfig]:
    """Return a run's batches, placed so that `fit` takes them in their order, and the settings to give it with them.

    The batches are those that `fit` would have drawn from `examples` with `config`.

    Args:
        examples: one epoch's rows.
        config: the settings.
        schedule: which mode each batch with adversarial rows gets.
        processes: of the launch; each takes its own batches.
    """
    lengths = None
    if config.max_tokens is not None:
        lengths = [_length(example) for example in examples]
    plan = Batches(len(examples), config.batch_size, config.max_tokens, lengths, config.seed)
    per_step = config.accumulation * processes
    steps = config.steps or math.ceil((config.epochs or 0) * len(plan) / per_step)
    batches = [tuple(examples[i] for i in plan[n]) for n in range(steps * per_step)]
    adversarial = [n for n, rows in enumerate(batches) if any(isinstance(row, Pair) for row in rows)]
    modes = dict(zip(adversarial, schedule.modes(len(adversarial)), strict=True))
    placed: dict[int, PlannedBatch] = {}
    for number, (place,) in enumerate(Batches(len(batches), 1, seed=config.seed).epoch(0)):
        placed[place] = PlannedBatch(number, modes.get(number), batches[number])
    own = replace(config, steps=steps, epochs=None, batch_size=1, max_tokens=None)
    return [placed[place] for place in range(len(batches))], own


def _length(example: Example) -> int:
    if isinstance(example, Chat):
        return len(example.prompt) + len(example.reply)
    return len(example.prompt) + len(example.safe) + len(example.target)


@dataclass
class Rewriting:
    """Rewrites the requests of a batch when it is due; those that need no look at the model are written ahead.

    Args:
        lm: the model, for its tokens.
        lend: lends the model that rewriters may look at.
        rewriters: "D" and "G" → who rewrites.
        keeps: decides whether a rewrite still asks for the same.
        batches: the run's batches.
        seed: of the rewrites, together with the number of the batch.
        max_length: tokens of prompt and reply; a rewrite that leaves no room for the reply is cut at its end.
        ahead: batches that are written in the background while earlier ones train; an endpoint's answers then cost no
            waiting.
    """

    lm: LanguageModel
    lend: Lend
    rewriters: Mapping[str, Rewriter]
    keeps: IntentFilter
    batches: Sequence[PlannedBatch]
    seed: int
    max_length: int | None = None
    ahead: int = 0
    _waiting: dict[int, Future[list[str]]] = field(default_factory=dict, init=False)
    _pool: ThreadPoolExecutor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        due = sorted((batch for batch in self.batches if batch.letter), key=lambda batch: batch.number)
        for letter in {batch.letter for batch in due} - set(self.rewriters):
            raise InputError(f"the schedule has batches of mode {letter} and there is no rewriter for them: give one")
        self._due = due
        self._place = {batch.number: place for place, batch in enumerate(due)}

    @contextmanager
    def running(self) -> Iterator[Rewriting]:
        """Keep a thread for the writing ahead while the block runs."""
        if self.ahead:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="rewriter")
        try:
            yield self
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None
                self._waiting.clear()

    def __call__(self, batch: PlannedBatch) -> tuple[list[Example], float]:
        """Return the batch's examples, requests rewritten where its mode says so, and the share that was lost.

        A lost request is trained on as it was asked.
        """
        if batch.letter is None:
            return list(batch.examples), 0.0
        filtered = self._filtered(batch)
        texts = iter(filtered.texts)
        examples = [
            self._reworded(example, next(texts)) if isinstance(example, Request) else example
            for example in batch.examples
        ]
        return examples, sum(filtered.lost) / len(filtered.lost)

    def _filtered(self, batch: PlannedBatch) -> Filtered:
        requests, written = batch.requests, self._written(batch)
        cut = [self._cut(request, text) for request, text in zip(requests, written, strict=True)]
        return self.keeps([instruction(request.text) for request in requests], cut)

    def _written(self, batch: PlannedBatch) -> list[str]:
        rewriter = self.rewriters[str(batch.letter)]
        if self._pool is None or rewriter.reads_model:
            with self.lend() as model:
                return self._write(batch, model)
        start = self._place[batch.number]
        for planned in self._due[start : start + 1 + self.ahead]:
            if planned.number not in self._waiting and not self.rewriters[str(planned.letter)].reads_model:
                self._waiting[planned.number] = self._pool.submit(self._write, planned, self.lm)
        return self._waiting.pop(batch.number).result()

    def _write(self, batch: PlannedBatch, model: LanguageModel) -> list[str]:
        prompts, rewriter = [request.text for request in batch.requests], self.rewriters[str(batch.letter)]
        texts = rewriter.rewrite(prompts, model=model, seed=derived_seed("rewrite", self.seed, batch.number))
        if len(texts) != len(prompts):
            raise InputError(f"{rewriter.name} returned {len(texts)} texts for {len(prompts)} requests: one for each")
        return list(texts)

    def _room(self, request: Request) -> int:
        longest = self.lm.context if self.max_length is None else min(self.max_length, self.lm.context)
        return longest - max(len(request.target), len(request.safe))

    def _cut(self, request: Request, text: str) -> str:
        """Cut the rewrite's end where prompt and reply would be too long; the filter sees what is left of it."""
        over = len(self.lm.prompt_ids(with_instruction(request.text, text))) - self._room(request)
        if over <= 0:
            return text
        ids = self.lm.reply_ids(text, end=False)[:-over]
        return str(self.lm.tokenizer.decode(ids)).strip()

    def _reworded(self, request: Request, text: str) -> Request:
        if text == instruction(request.text):
            return request
        ids = self.lm.prompt_ids(with_instruction(request.text, text))
        return request if len(ids) > self._room(request) else replace(request, prompt=ids)
