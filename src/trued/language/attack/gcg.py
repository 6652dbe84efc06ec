"""Greedy Coordinate Gradient: a suffix, found token by token, after which a target reply is likely (arXiv 2307.15043).

Knows suffix losses and search. Knows nothing of judges: whether the suffix works is decided by the reply to its text.
It is here to measure, and to train against, how far a refusal holds in models that one is responsible for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from trued.errors import InputError
from trued.language.attack.contract import (
    AFFIRMATIVE,
    Behavior,
    ChatTarget,
    Cost,
    TestCase,
    checked,
    generator_for,
    user_turn,
)
from trued.language.attack.suffix import SlottedPrompt, allowed_ids, fill, with_slot
from trued.language.attack.suffix_loss import Encoded, SuffixLoss, require_finite
from trued.language.attack.suffix_search import Buffer, Entry, draw_candidates, steepest_tokens
from trued.language.model import LanguageModel
from trued.language.template import Prompt

FILLERS = ".,:;!?()[]{}@#$%&*vwxyz"
"""Characters of which the further entries of a fresh buffer are drawn."""

Draw = Callable[[Int[Tensor, " n"]], tuple[Int[Tensor, "candidates n"], Encoded | None]]


@dataclass(frozen=True)
class GCGResult:
    """What a search found.

    Args:
        best_string: the suffix of least loss, to be put into the slot as text.
        best_loss: its loss, computed on its token ids.
        losses: loss of the suffix held before the first step and after each one; `strings` are those suffixes.
        stable: whether the whole rendered prompt, with the suffix in it as text, encodes to the optimised ids.
        exact: whether greedy decoding after the suffix gave exactly the target.
        cost: what it took.
    """

    best_string: str
    best_loss: float
    losses: list[float]
    strings: list[str]
    stable: bool
    exact: bool
    cost: Cost


@dataclass(frozen=True)
class GCG:
    """The attack, with the paper's defaults as its reference implementations have them.

    Args:
        steps: token replacements to make.
        search_width: candidates a step.
        topk: per position, the tokens of steepest descent from which candidates are drawn.
        suffix_tokens: length of the suffix.
        n_replace: positions that a candidate changes.
        buffer: 0 moves to a step's best candidate even where it is worse; b keeps the b best suffixes seen and goes on
            from the best of them, so the loss never rises.
        mellowmax: None for the mean cross-entropy of the target; a number for the mellowmax loss with that alpha.
        check: which candidates are kept: those whose text encodes to the same ids by itself ("suffix"), or within the
            whole prompt ("prompt"); None keeps all.
        use_gradient: False draws the tokens uniformly: the random-search control, of the same number of evaluations.
        early_stop: stop once greedy decoding after a candidate gives exactly the target.
        ascii_only: use printable ASCII tokens only.
        init: None starts from "x x x …"; a text starts from its tokens, and their number replaces `suffix_tokens`.
        target: the reply to aim at for behaviours that bring none of their own.
        batch_size: candidates a forward pass; halved when memory runs out.
        cached: reuse the keys and values that candidates have in common.
    """

    steps: int = 250
    search_width: int = 512
    topk: int = 256
    suffix_tokens: int = 20
    n_replace: int = 1
    buffer: int = 0
    mellowmax: float | None = None
    check: Literal["suffix", "prompt"] | None = "suffix"
    use_gradient: bool = True
    early_stop: bool = False
    ascii_only: bool = True
    init: str | None = None
    target: str = AFFIRMATIVE
    batch_size: int = 64
    cached: bool = True

    name: ClassVar[str] = "gcg"

    def __post_init__(self) -> None:
        for field, least in (("steps", 0), ("buffer", 0)):
            if getattr(self, field) < least:
                raise InputError(f"{field} is {getattr(self, field)}; give {least} or more")
        for field in ("search_width", "topk", "suffix_tokens", "n_replace", "batch_size"):
            if getattr(self, field) < 1:
                raise InputError(f"{field} is {getattr(self, field)}; give at least 1")
        if self.mellowmax is not None and self.mellowmax <= 0:
            raise InputError(f"mellowmax is {self.mellowmax}; give an alpha above 0, or None for the cross-entropy")

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return one test case per behaviour: the request with its best suffix; `meta` has losses, `stable` and suffix.

        Raises:
            InputError: a budget that does not pay for one step, or what `optimise` raises.
        """
        attack = self if budget is None else self.within(budget)
        cases = []
        for behavior in checked(behaviors, budget):
            messages = with_slot(user_turn(behavior.prompt))
            result = attack.optimise(
                target.model,
                target.conversation(messages),
                behavior.target or self.target,
                generator=generator_for(seed, behavior),
            )
            meta = {
                "suffix": result.best_string,
                "loss": result.best_loss,
                "losses": result.losses,
                "stable": result.stable,
                "exact": result.exact,
            }
            turns = fill(messages, result.best_string)
            cases.append(TestCase(behavior.id, turns, attack=self.name, cost=result.cost, meta=meta))
        return cases

    def within(self, budget: int) -> GCG:
        """Return this attack with as many steps as `budget` passes of sequences pay for.

        Raises:
            InputError: the budget does not pay for a single step.
        """
        start = 1 + max(1, self.buffer)  # the prompt before the slot, and the first suffixes
        step = self.search_width + (2 if self.use_gradient else 1)
        if budget < start + step:
            raise InputError(
                f"budget is {budget} passes, and one step of GCG takes {start + step}; raise the budget or lower "
                f"search_width (it is {self.search_width})"
            )
        settings = {**self.__dict__, "steps": min(self.steps, (budget - start) // step)}
        return GCG(**settings)

    def optimise(
        self,
        model: LanguageModel,
        messages: Prompt,
        target: str,
        *,
        generator: torch.Generator,
        progress: Callable[[int, float], None] | None = None,
    ) -> GCGResult:
        """Search a suffix after which `model` is likely to reply with `target` (paper, Algorithm 1).

        Args:
            model: the model; its weights are left alone.
            messages: the prompt. The suffix goes where it has ``{optim_str}``, or to the end of its last user turn.
            target: the opening of the reply to make likely.
            generator: the source of all randomness.
            progress: called after each step with the number of steps done and the least loss so far.

        Raises:
            InputError: an empty target, a prompt longer than the context, more top-k tokens than may be used, more
                replaced positions than the suffix has, a step of whose candidates none survives as text, or a loss
                that is not finite.
        """
        started = time.perf_counter()
        prompt = SlottedPrompt.render(model, messages)
        target_ids = model.reply_ids(target, end=False)
        rows = model.base.get_input_embeddings().weight.shape[0]
        allowed = allowed_ids(model.tokenizer, rows, ascii_only=self.ascii_only)
        init = self._init(model)
        self._check(prompt, init, target_ids, allowed)
        with _evaluating(model):
            loss = SuffixLoss(
                model,
                prompt.before,
                prompt.after,
                target_ids,
                mellowmax=self.mellowmax,
                batch_size=self.batch_size,
                cached=self.cached,
            )
            draw = self._drawing(model, loss, allowed, generator)
            buffer = self._fresh_buffer(loss, init, allowed, generator)
            held = [buffer.best]
            for step in range(1, self.steps + 1):
                if self.early_stop and held[-1].exact:
                    break
                held.append(self._step(step, prompt, loss, buffer, draw))
                if progress is not None:
                    progress(step, min(entry.loss for entry in held))
        return self._result(prompt, held, Cost(0, loss.forwards, loss.backwards, time.perf_counter() - started))

    def _drawing(
        self, model: LanguageModel, loss: SuffixLoss, allowed: Int[Tensor, " allowed"], generator: torch.Generator
    ) -> Draw:
        """Return how candidates are drawn around a suffix: along the gradient, or for the control anywhere."""
        embeddings = model.embed(allowed.to(model.device)).detach() if self.use_gradient else None

        def draw(suffix: Int[Tensor, " n"]) -> tuple[Int[Tensor, "candidates n"], Encoded | None]:
            if embeddings is None:
                tokens, base = allowed.expand(len(suffix), -1), loss.encode(suffix)
            else:
                gradient, base = loss.gradient(suffix)
                tokens = steepest_tokens(gradient, embeddings, allowed, self.topk)
            return draw_candidates(suffix, tokens, self.search_width, self.n_replace, generator), base

        return draw

    def _step(self, step: int, prompt: SlottedPrompt, loss: SuffixLoss, buffer: Buffer, draw: Draw) -> Entry:
        """Try one round of candidates around the buffer's best, and return the entry that is held afterwards."""
        candidates, base = draw(buffer.best.suffix)
        if self.check is not None:
            drawn = len(candidates)
            candidates = candidates[prompt.survivors(candidates, self.check)]
            if not len(candidates):
                raise InputError(
                    f"step {step}: none of {drawn} candidates survives as text (they encode to other tokens); "
                    "raise search_width, start from another init, or set check to None"
                )
        losses, exact = loss(candidates, base)
        require_finite(losses, step, prompt.model)
        stop = self.early_stop and bool(exact.any())
        best = int((losses.masked_fill(~exact, torch.inf) if stop else losses).argmin())
        entry = Entry(float(losses[best]), candidates[best], bool(exact[best]))
        buffer.offer(entry)
        return entry if stop else buffer.best

    def _init(self, model: LanguageModel) -> list[int]:
        if self.init is not None:
            return list(model.tokenizer(self.init, add_special_tokens=False)["input_ids"])
        return model.tokenizer(" ".join("x" * self.suffix_tokens), add_special_tokens=False)["input_ids"][
            : self.suffix_tokens
        ]

    def _fresh_buffer(
        self, loss: SuffixLoss, init: list[int], allowed: Int[Tensor, " allowed"], generator: torch.Generator
    ) -> Buffer:
        """Return a buffer that holds the init, filled up with strings of random punctuation and letters."""
        tokenizer = loss.model.tokenizer
        fillers = [tokenizer(character, add_special_tokens=False)["input_ids"] for character in FILLERS]
        usable = set(allowed.tolist())
        pool = torch.tensor([ids[0] for ids in fillers if len(ids) == 1 and ids[0] in usable] or allowed.tolist())
        shape = (max(1, self.buffer) - 1, len(init))
        picks = torch.randint(len(pool), shape, generator=generator, device=generator.device).cpu()
        first = torch.cat([torch.tensor([init]), pool[picks]])
        losses, exact = loss(first)
        require_finite(losses, 0, loss.model)
        buffer = Buffer(self.buffer)
        for row in range(len(first)):
            buffer.offer(Entry(float(losses[row]), first[row], bool(exact[row])))
        return buffer

    def _check(
        self,
        prompt: SlottedPrompt,
        init: Sequence[int],
        target: Sequence[int],
        allowed: Int[Tensor, " allowed"],
    ) -> None:
        model = prompt.model
        if not target:
            raise InputError("the target is empty; give the opening of a complying reply, e.g. 'Sure, here is'")
        if not init:
            raise InputError("init has no tokens; give a text to start from, or None for 'x x x …'")
        if forbidden := sorted(set(init) - set(allowed.tolist())):
            shown = [model.tokenizer.decode([token]) for token in forbidden[:3]]
            raise InputError(
                f"init has tokens that a suffix may not use ({shown}); change it, or set ascii_only to False"
            )
        if self.n_replace > len(init):
            raise InputError(
                f"n_replace is {self.n_replace} and the suffix has {len(init)} tokens; give at most that many"
            )
        if self.use_gradient and self.topk > len(allowed):
            raise InputError(f"topk is {self.topk} and only {len(allowed)} tokens may be used; give at most that many")
        length = len(prompt.before) + len(init) + len(prompt.after) + len(target)
        if length > model.context:
            raise InputError(
                f"prompt, suffix and target are {length} tokens, and the context of {model.name} is {model.context}; "
                "shorten one of them"
            )

    def _result(self, prompt: SlottedPrompt, held: list[Entry], cost: Cost) -> GCGResult:
        # A search that stopped early ends on a suffix that gives the target; else the least loss of all steps counts.
        stopped = self.early_stop and held[-1].exact
        best = len(held) - 1 if stopped else min(range(len(held)), key=lambda index: held[index].loss)
        strings = prompt.strings(torch.stack([entry.suffix for entry in held]))
        return GCGResult(
            best_string=strings[best],
            best_loss=held[best].loss,
            losses=[entry.loss for entry in held],
            strings=strings,
            stable=bool(prompt.survivors(held[best].suffix[None], "prompt")),
            exact=held[best].exact,
            cost=cost,
        )


@contextmanager
def _evaluating(model: LanguageModel) -> Iterator[None]:
    """Switch dropout off for a while."""
    training = model.model.training
    model.model.eval()
    try:
        yield
    finally:
        model.model.train(training)
