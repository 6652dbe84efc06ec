"""The search over suffixes: draw candidates, drop those that do not survive as text, score the rest, keep the best.

Knows losses, prompts and the numbers of a search. Knows nothing of behaviours, budgets or judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.language.attack.gcg.candidates import Buffer, Entry, draw_candidates, steepest_tokens
from trued.language.attack.gcg.ensemble import SummedLoss
from trued.language.attack.gcg.loss import require_finite
from trued.language.attack.gcg.probe_sampling import Score, probe_sample
from trued.language.attack.gcg.start import first_suffixes
from trued.language.attack.gcg.suffix import SlottedPrompt

Draw = Callable[[Int[Tensor, " n"]], tuple[Int[Tensor, "candidates n"], Any]]


@dataclass(frozen=True)
class Scored:
    """Candidates, their losses, and whether greedy decoding after each gives exactly the target."""

    suffixes: Int[Tensor, "rows n"]
    losses: Float[Tensor, " rows"]
    exact: Bool[Tensor, " rows"]


@dataclass(frozen=True)
class Descent:
    """One search under way (GCG, Algorithms 1 and 2).

    Args:
        prompts: where the suffix sits, in every prompt of every model.
        loss: what is lowered.
        draft: with a draft model, its loss, by which candidates are probe-sampled.
        allowed: token ids that a suffix may use.
        generator: the source of all randomness.
        steps: token replacements to make.
        search_width: candidates a step.
        topk: per position, the tokens of steepest descent from which candidates are drawn; None draws from all that are
            allowed, without a gradient.
        n_replace: positions that a candidate changes.
        buffer: suffixes that are kept; 0 moves to a step's best candidate even where it is worse.
        check: which candidates survive: see `SlottedPrompt.survivors`; None keeps all.
        early_stop: stop once greedy decoding after a candidate gives exactly the target.
    """

    prompts: Sequence[SlottedPrompt]
    loss: SummedLoss
    draft: SummedLoss | None
    allowed: Int[Tensor, " allowed"]
    generator: torch.Generator
    steps: int
    search_width: int
    topk: int | None
    n_replace: int = 1
    buffer: int = 0
    check: Literal["suffix", "prompt"] | None = "suffix"
    early_stop: bool = False

    def walk(self, init: Sequence[int], progress: Callable[[int, float], None] | None) -> list[Entry]:
        """Return the suffixes kept at the start and after each step."""
        draw = self._drawing()
        buffer = self._fresh_buffer(init)
        held = [buffer.best]
        for step in range(1, self.steps + 1):
            if self.early_stop and held[-1].exact:
                break
            held.append(self._step(step, buffer, draw))
            if progress is not None:
                progress(step, min(entry.loss for entry in held))
        return held

    def _drawing(self) -> Draw:
        """Return how candidates are drawn around a suffix: along the gradient, or for the control anywhere."""
        loss, allowed, topk = self.loss, self.allowed, self.topk
        embeddings = None if topk is None else loss.embed(allowed).detach()

        def draw(suffix: Int[Tensor, " n"]) -> tuple[Int[Tensor, "candidates n"], Any]:
            if embeddings is None or topk is None:
                tokens, base = allowed.expand(len(suffix), -1), loss.encode(suffix)
            else:
                gradient, base = loss.gradient(suffix)
                tokens = steepest_tokens(gradient, embeddings, allowed, topk)
            return draw_candidates(suffix, tokens, self.search_width, self.n_replace, self.generator), base

        return draw

    def _step(self, step: int, buffer: Buffer, draw: Draw) -> Entry:
        """Try one round of candidates around the buffer's best, and return the entry that is kept afterwards."""
        origin = buffer.best.suffix
        candidates, base = draw(origin)
        scored = self._score(step, self._surviving(step, candidates), origin, base)
        stop = self.early_stop and bool(scored.exact.any())
        best = int((scored.losses.masked_fill(~scored.exact, torch.inf) if stop else scored.losses).argmin())
        entry = Entry(float(scored.losses[best]), scored.suffixes[best], bool(scored.exact[best]))
        buffer.offer(entry)
        return entry if stop else buffer.best

    def _surviving(self, step: int, candidates: Int[Tensor, "candidates n"]) -> Int[Tensor, "kept n"]:
        """Return the candidates that every prompt shows and that are the same tokens again as text.

        If `check` is "prompt", they are the same within every prompt, else by themselves, which the first one tells.
        """
        check = self.check
        if check is None:
            return candidates
        drawn = len(candidates)
        for number, prompt in enumerate(self.prompts):
            tell = number == 0 or check == "prompt"
            candidates = candidates[prompt.survivors(candidates, check) if tell else prompt.shown(candidates)]
            if not len(candidates):
                raise InputError(
                    f"step {step}: none of {drawn} candidates survives as text (they encode to other "
                    "tokens, or the chat template shows them otherwise); "
                    "raise search_width, start from another init, or set check to None"
                )
        return candidates

    def _score(self, step: int, candidates: Int[Tensor, "kept n"], origin: Int[Tensor, " n"], base: Any) -> Scored:
        """Return the candidates with their losses: all of them, or with a draft those of the probe sample."""

        def scorer(loss: SummedLoss, start: Any) -> Score:
            def score(suffixes: Int[Tensor, "rows n"]) -> tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
                losses, exact = loss(suffixes, start)
                require_finite(losses, step, *loss.models)
                return losses, exact

            return score

        target = scorer(self.loss, base)
        if self.draft is None:
            return Scored(candidates, *target(candidates))
        draft = scorer(self.draft, self.draft.encode(origin))
        probed = probe_sample(candidates, target, draft, generator=self.generator)
        return Scored(candidates[probed.rows], probed.losses, probed.exact)

    def _fresh_buffer(self, init: Sequence[int]) -> Buffer:
        """Return a buffer that holds the init, filled up with strings of random punctuation and letters."""
        size = max(1, self.buffer)
        first = first_suffixes(self.loss.models[0], init, size, self.allowed, self.generator)
        losses, exact = self.loss(first)
        require_finite(losses, 0, *self.loss.models)
        buffer = Buffer(self.buffer)
        for row in range(len(first)):
            buffer.offer(Entry(float(losses[row]), first[row], bool(exact[row])))
        return buffer
