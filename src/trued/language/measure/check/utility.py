"""Is the model still useful? How well it predicts held-out replies, and whether it would say the same next word.

Knows conversations and log-probabilities. Knows nothing of refusals, attacks or what the numbers are compared with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from trued.data.messages import Prompt
from trued.errors import InputError
from trued.language.engine.generation import plan_batches
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import HEAD_CHUNK, full_logits

BATCH_TOKENS = 8192


@dataclass(frozen=True)
class HeldOut:
    """How a model reads replies that it did not write.

    Args:
        ids: the conversations.
        nll: mean negative log-likelihood of each reply, end of turn included, in nats a token.
        choices: the arg-max token at each position of each reply.
        tokens: digest of the replies' token ids; models with another tokenizer have another one, and neither
            log-likelihoods a token nor choices compare between them.
    """

    ids: tuple[str, ...]
    nll: tuple[float, ...]
    choices: tuple[tuple[int, ...], ...]
    tokens: str

    def matches(self, other: HeldOut) -> tuple[list[bool], list[str]]:
        """Return for each token whether both models' arg-max is the same, and the conversation that it is from."""
        same = [[a == b for a, b in zip(x, y, strict=True)] for x, y in zip(self.choices, other.choices, strict=True)]
        owners = [name for name, row in zip(self.ids, same, strict=True) for _ in row]
        return [hit for row in same for hit in row], owners


@torch.no_grad()
def held_out(
    lm: LanguageModel,
    conversations: Sequence[tuple[Prompt, str]],
    ids: Sequence[str],
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int], None] | None = None,
) -> HeldOut:
    """Score the reply of each conversation and note the model's own choice at each of its tokens.

    Raises:
        InputError: a log-likelihood that is not finite, or a conversation longer than the context.
    """
    prompts = [lm.prompt_ids(prompt) for prompt, _ in conversations]
    replies = [lm.reply_ids(reply) for _, reply in conversations]
    nll, choices = [float("nan")] * len(prompts), [()] * len(prompts)
    widths = [len(p) + len(r) for p, r in zip(prompts, replies, strict=True)]
    done = 0
    for batch in plan_batches(widths, new_tokens=0, copies=1, budget=batch_tokens):
        rows = lm.rows([prompts[i] for i in batch], [[replies[i]] for i in batch])
        scores, best = _read(lm, lm.states(rows), rows.targets)
        lengths = rows.lengths.tolist()
        for index, score, choice in zip(batch, scores.split(lengths), best.split(lengths), strict=True):
            nll[index], choices[index] = -float(score.mean()), tuple(choice.tolist())
        done += len(batch)
        if progress is not None:
            progress(done)
    if not np.isfinite(nll).all():
        raise InputError(
            f"{lm.name} gives replies a likelihood that is not finite: its weights are damaged, or overflow in "
            f"{lm.dtype}; load it in float32"
        )
    digest = hashlib.sha256(repr(replies).encode()).hexdigest()[:16]
    return HeldOut(tuple(ids), tuple(nll), tuple(choices), digest)


def text_perplexity(lm: LanguageModel) -> Callable[[Sequence[str]], Float[np.ndarray, " texts"]]:
    """Return a function that gives the perplexity of plain texts under `lm`, its adapter off: a judge of fluency.

    Each text is read from the tokenizer's start or end token on, outside any chat. An empty text has none: NaN.
    """
    start = lm.tokenizer.bos_token_id
    start = lm.tokenizer.eos_token_id if start is None else start
    start = 0 if start is None else int(start)

    @torch.no_grad()
    def score(texts: Sequence[str]) -> Float[np.ndarray, " texts"]:
        ids = [lm.reply_ids(text, end=False)[: lm.context - 1] for text in texts]
        result = np.full(len(texts), np.nan)
        read = [i for i, row in enumerate(ids) if row]
        with lm.adapter(enabled=False) if lm.has_adapter else nullcontext():
            for batch in plan_batches([len(ids[i]) for i in read], new_tokens=1, copies=1, budget=BATCH_TOKENS):
                rows = lm.rows([[start]] * len(batch), [[ids[read[i]]] for i in batch])
                parts = lm.response_logprobs(rows).split(rows.lengths.tolist())
                for i, part in zip(batch, parts, strict=True):
                    result[read[i]] = float(torch.exp(-part.mean()))
        return result

    return score


def _read(lm: LanguageModel, states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of the targets and the arg-max tokens, from one pass of the head, in chunks."""
    scores, best = [], []
    for state, target in zip(states.split(HEAD_CHUNK), targets.split(HEAD_CHUNK), strict=True):
        logits = full_logits(state, lm.head, lm.config)
        scores.append(logits.gather(-1, target[:, None])[:, 0] - logits.logsumexp(-1))
        best.append(logits.argmax(-1))
    return torch.cat(scores).cpu(), torch.cat(best).cpu()
