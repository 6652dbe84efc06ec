"""How likely an affirmative reply can be made by an attack on embeddings: the robustness curve's points.

Knows attacks and log-probabilities. Knows nothing of training, of judges or of reports.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trued.data.messages import Prompt
from trued.errors import InputError
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import per_response


def target_losses(
    lm: LanguageModel, prompts: Sequence[Prompt], target: str, attack: EmbeddingAttack, *, batch: int = 16
) -> list[float]:
    """Cross-entropy of `target` after each prompt, nats a token, under `attack`; clean where its eps or steps are 0.

    Higher is more robust: the reply that the attack pushes for stays unlikely.

    Raises:
        InputError: no prompts, or an empty target.
    """
    reply = lm.reply_ids(target, end=False)
    if not prompts or not reply:
        raise InputError(f"{len(prompts)} prompts and a target of {len(reply)} tokens: both need at least one")
    losses: list[float] = []
    for start in range(0, len(prompts), batch):
        ids = [lm.prompt_ids(prompt) for prompt in prompts[start : start + batch]]
        rows = lm.rows(ids, [[reply]] * len(ids))
        delta = attack.perturb(lm, rows).delta if attack.eps and attack.steps else None
        with torch.no_grad():
            scores = lm.response_logprobs(rows, delta)
        losses += (-per_response(scores, rows) / rows.lengths).tolist()
    return losses
