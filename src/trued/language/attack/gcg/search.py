"""Greedy Coordinate Gradient: a suffix, found token by token, after which a target reply is likely (arXiv 2307.15043).

One suffix can be made for several prompts and models at once, and a draft model can sort its candidates.

Knows settings, prompts and budgets. Knows nothing of judges: whether the suffix works is decided by the reply to its
text. It is here to measure, and to train against, how far a refusal holds in models that one is responsible for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar, Literal

import torch

from trued.data.messages import Prompt
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
from trued.language.attack.gcg.descent import Descent
from trued.language.attack.gcg.ensemble import SummedLoss, require_one_vocabulary
from trued.language.attack.gcg.loss import SuffixLoss
from trued.language.attack.gcg.result import GCGResult
from trued.language.attack.gcg.start import first_tokens, require_startable
from trued.language.attack.gcg.suffix import SlottedPrompt, allowed_ids, fill, with_slot
from trued.language.engine.model import LanguageModel


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
        self,
        behaviors: Sequence[Behavior],
        target: ChatTarget,
        *,
        seed: int,
        budget: int | None = None,
        draft: LanguageModel | None = None,
    ) -> list[TestCase]:
        """Return one test case per behaviour: the request with its best suffix; `meta` has losses, `stable` and suffix.

        With a `draft` the candidates are probe-sampled, see `optimise_universal`.

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
                draft=draft,
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
        draft: LanguageModel | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> GCGResult:
        """Search a suffix after which `model` is likely to reply with `target` (paper, Algorithm 1).

        Args:
            model: the model; its weights are left alone.
            messages: the prompt. The suffix goes where it has ``{optim_str}``, or to the end of its last user turn.
            target: the opening of the reply to make likely.
            generator: the source of all randomness.
            draft: see `optimise_universal`.
            progress: called after each step with the number of steps done and the least loss so far.

        Raises:
            InputError: what `optimise_universal` raises.
        """
        aims = [(messages, target)]
        return self.optimise_universal([model], aims, generator=generator, draft=draft, progress=progress)

    def optimise_universal(
        self,
        models: Sequence[LanguageModel],
        aims: Sequence[tuple[Prompt, str]],
        *,
        generator: torch.Generator,
        draft: LanguageModel | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> GCGResult:
        """Search one suffix of least summed loss over several prompts and models (paper, Algorithm 2).

        All prompts count from the first step on; the paper adds one whenever those so far have been broken.

        Args:
            models: the models, which share one tokenizer; each reads the prompts in its own chat template.
            aims: prompts, each with the opening of the reply to make likely.
            generator: the source of all randomness.
            draft: a small model of the same tokenizer that sorts the candidates, so that the models score few of them
                (`probe_sample`); it reads what the first model reads, and its passes are not part of the cost.
            progress: called after each step with the number of steps done and the least loss so far.

        Raises:
            InputError: no models or prompts, tokenizers that differ, an empty target, a prompt longer than the context,
                more top-k tokens than may be used, more replaced positions than the suffix has, a step of whose
                candidates none survives as text, or a loss that is not finite.
        """
        started = time.perf_counter()
        if not models or not aims:
            raise InputError(f"{len(models)} models and {len(aims)} prompts to search on: give at least one of each")
        everyone = [*models, *([draft] if draft is not None else [])]
        require_one_vocabulary(everyone, "an ensemble" if draft is None else "probe sampling")
        rows = min(model.base.get_input_embeddings().weight.shape[0] for model in everyone)
        allowed = allowed_ids(models[0].tokenizer, rows, ascii_only=self.ascii_only)
        init = first_tokens(models[0], self.init, self.suffix_tokens)
        prompts = [[SlottedPrompt.render(model, messages) for messages, _ in aims] for model in models]
        targets = [[model.reply_ids(target, end=False) for _, target in aims] for model in models]
        topk = self.topk if self.use_gradient else None
        everywhere = list(chain(*prompts))
        drafted = [] if draft is None else [replace(prompt, model=draft) for prompt in prompts[0]]
        for prompt, target in zip([*everywhere, *drafted], chain(*targets, targets[0][: len(drafted)]), strict=True):
            require_startable(prompt, init, target, allowed, n_replace=self.n_replace, topk=topk)
        with ExitStack() as stack:
            for model in everyone:
                stack.enter_context(model.evaluating())
            loss = SummedLoss([self._losses(*group) for group in zip(models, prompts, targets, strict=True)])
            guess = None if draft is None else SummedLoss([self._losses(draft, drafted, targets[0])])
            descent = Descent(
                everywhere, loss, guess, allowed, generator,
                steps=self.steps, search_width=self.search_width, topk=topk, n_replace=self.n_replace,
                buffer=self.buffer, check=self.check, early_stop=self.early_stop,
            )  # fmt: skip
            held = descent.walk(init, progress)
            cost = Cost(0, loss.forwards, loss.backwards, time.perf_counter() - started)
            result = GCGResult.of(everywhere, held, cost, stopped=self.early_stop and held[-1].exact)
            if result.stable:
                return result
            # What is sent has other tokens than what was searched on, and its own loss.
            sent = [
                self._sent(prompt, target, result.best_string)
                for prompt, target in zip(everywhere, chain(*targets), strict=True)
            ]
        return replace(result, best_loss=sum(value for value, _ in sent), exact=all(hit for _, hit in sent))

    def _sent(self, prompt: SlottedPrompt, target: Sequence[int], suffix: str) -> tuple[float, bool]:
        """Return the loss of a target after a message with a suffix as text, and whether it is decoded greedily."""
        ids = prompt.ids(suffix)
        if len(ids) + len(target) > prompt.model.context:
            return float("inf"), False
        loss = SuffixLoss(prompt.model, ids[:-1], [], target, mellowmax=self.mellowmax, batch_size=1, cached=False)
        losses, exact = loss(torch.tensor([ids[-1:]]))
        return float(losses[0]), bool(exact[0])

    def _losses(
        self, model: LanguageModel, prompts: Sequence[SlottedPrompt], targets: Sequence[Sequence[int]]
    ) -> list[SuffixLoss]:
        options: dict[str, Any] = {
            "mellowmax": self.mellowmax,
            "batch_size": self.batch_size,
            "cached": self.cached,
        }
        pairs = zip(prompts, targets, strict=True)
        return [SuffixLoss(model, prompt.before, prompt.after, target, **options) for prompt, target in pairs]
