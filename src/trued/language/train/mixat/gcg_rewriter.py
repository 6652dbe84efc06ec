"""Requests with a suffix optimised against the model as it is now: MixAT+GCG's rewriter (arXiv 2505.16947).

Knows the search and how to tell that it may stop. Knows nothing of training. One step of it costs as much as thousands
of plain ones, which is why the paper takes it for a tenth of the batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from trued.data.messages import Prompt, as_messages
from trued.errors import InputError
from trued.language.attack.contract import AFFIRMATIVE
from trued.language.attack.gcg.search import GCG
from trued.language.attack.gcg.suffix import fill, with_slot
from trued.language.engine.model import LanguageModel
from trued.language.judge.reply import PhraseJudge, answered
from trued.language.train.mixat.rewriters import instruction
from trued.learn.fit.batches import derived_seed

TRAINING_GCG = GCG(steps=100, search_width=512, suffix_tokens=20, init=" ".join("!" * 20))
"""The search as the paper trains with it: 100 steps from twenty exclamation marks."""


@dataclass(frozen=True)
class GCGRewriter:
    """Append a suffix after which the model no longer refuses.

    Args:
        search: the settings of the search; its `steps` are the most.
        target: the opening to make likely.
        look_every: steps after which a reply is read; the search stops once it is no refusal.
        new_tokens: length of that reply.
        judge: decides on refusals.
    """

    search: GCG = TRAINING_GCG
    target: str = AFFIRMATIVE
    look_every: int = 25
    new_tokens: int = 32
    judge: PhraseJudge = field(default_factory=PhraseJudge)

    name = "GCG"
    reads_model = True

    def __post_init__(self) -> None:
        if self.look_every < 1 or self.new_tokens < 1:
            raise InputError(f"look_every {self.look_every} and new_tokens {self.new_tokens}: give at least 1 of each")

    def rewrite(self, prompts: Sequence[Prompt], *, model: LanguageModel, seed: int) -> list[str]:
        """See `trued.language.train.mixat.rewriters.Rewriter`; one search a prompt.

        Raises:
            InputError: what `GCG.optimise` raises.
        """
        texts = []
        for place, prompt in enumerate(prompts):
            generator = torch.Generator().manual_seed(derived_seed("suffix", seed, place))
            texts.append(self._suffixed(prompt, model, generator))
        return texts

    def _suffixed(self, prompt: Prompt, model: LanguageModel, generator: torch.Generator) -> str:
        slotted = with_slot(as_messages(prompt))
        search, done, text = self.search, 0, instruction(prompt)
        while done < self.search.steps:
            steps = min(self.look_every, self.search.steps - done)
            result = replace(search, steps=steps).optimise(model, slotted, self.target, generator=generator)
            filled = fill(slotted, result.best_string)
            search, done, text = replace(search, init=result.best_string), done + steps, instruction(filled)
            ((reply,),) = model.generate([filled], max_new_tokens=self.new_tokens)
            if answered(reply) and not self.judge.refuses(reply):
                break
        return text
