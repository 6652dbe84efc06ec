"""Log-probabilities of responses, with the prompt that several responses share computed once.

A row is a prompt followed by all its responses. Position ids restart after the prompt for every response, and a
response sees the prompt and itself only, so every response gets the log-probabilities it would get alone. Families that
cannot be run so get the same rows, one response at a time (`engine.forward`). The output head runs on scored positions
only, in chunks, and never keeps a [tokens, vocabulary] tensor for backward.

Knows token ids, embeddings and hidden states. Knows nothing of text, chats or papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trued.errors import InputError
from trued.language.engine.head import OwnHead

HEAD_CHUNK = 256  # scored positions a head call: 256 x 49k float32 logits are 50 MB


@dataclass(frozen=True)
class Rows:
    """Prompts and their responses, laid out for one forward pass.

    `segments` is 0 on prompt tokens, 1, 2, … on the row's responses and -1 on padding. Scored token n is read from the
    hidden state at flat position `source[n]` (row-major in [rows, time]), is `targets[n]`, and belongs to response
    `owner[n]`, counted through all rows in order; `lengths[r]` tokens belong to response r.
    """

    input_ids: Int[Tensor, "rows time"]
    positions: Int[Tensor, "rows time"]
    segments: Int[Tensor, "rows time"]
    source: Int[Tensor, " scored"]
    targets: Int[Tensor, " scored"]
    owner: Int[Tensor, " scored"]
    lengths: Int[Tensor, " responses"]

    @property
    def prompt_mask(self) -> Bool[Tensor, "rows time"]:
        """True on the tokens of prompts (template and BOS included), False on responses and padding."""
        return self.segments == 0

    @property
    def tokens(self) -> int:
        """The number of tokens computed, padding not counted."""
        return int((self.segments >= 0).sum())

    def to(self, device: torch.device | str) -> Rows:
        return Rows(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def pack_rows(
    prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[Sequence[int]]], *, pad: int, device: object = "cpu"
) -> Rows:
    """Lay out one row per prompt: the prompt, then each of its responses.

    Raises:
        InputError: an empty prompt or response, or numbers of prompts and response lists that differ.
    """
    if len(prompts) != len(responses):
        raise InputError(f"{len(prompts)} prompts and {len(responses)} lists of responses: one list a prompt")
    width = max((len(p) + sum(map(len, r)) for p, r in zip(prompts, responses, strict=True)), default=0)
    ids, positions, segments = [], [], []
    source, targets, owner, lengths = [], [], [], []
    for row, (prompt, replies) in enumerate(zip(prompts, responses, strict=True)):
        if not prompt or not replies or not all(replies):
            raise InputError(f"row {row + 1}: the prompt and each of its responses need at least one token")
        row_ids, row_positions, row_segments = list(prompt), list(range(len(prompt))), [0] * len(prompt)
        for number, reply in enumerate(replies, start=1):
            start = len(row_ids)
            offset = row * width
            source += [offset + len(prompt) - 1, *range(offset + start, offset + start + len(reply) - 1)]
            targets += reply
            owner += [len(lengths)] * len(reply)
            lengths.append(len(reply))
            row_ids += reply
            row_positions += range(len(prompt), len(prompt) + len(reply))
            row_segments += [number] * len(reply)
        gap = width - len(row_ids)
        ids.append(row_ids + [pad] * gap)
        positions.append(row_positions + [0] * gap)
        segments.append(row_segments + [-1] * gap)
    table = (ids, positions, segments, source, targets, owner, lengths)
    return Rows(*(torch.tensor(column, dtype=torch.long, device=device) for column in table))  # pyright: ignore


def visible(segments: Int[Tensor, "rows time"]) -> Bool[Tensor, "rows time time"]:
    """What each token may look at: causal, and a response sees the prompt (segment 0) and itself, never a sibling."""
    time = segments.shape[1]
    causal = torch.ones(time, time, dtype=torch.bool, device=segments.device).tril()
    queries, keys = segments[:, :, None], segments[:, None, :]
    seen = causal & (keys >= 0) & ((keys == 0) | (keys == queries))
    return seen | torch.eye(time, dtype=torch.bool, device=segments.device)  # padding looks at itself: no empty softmax


def block_mask(segments: Int[Tensor, "rows time"], dtype: torch.dtype) -> Float[Tensor, "rows 1 time time"]:
    """`visible` as one additive mask for all layers: right for families that attend fully in each of them."""
    seen = visible(segments)
    mask = torch.zeros(seen.shape, dtype=dtype, device=segments.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def token_logprobs(
    hidden: Float[Tensor, "scored dim"], targets: Int[Tensor, " scored"], head: nn.Module, config: object | None = None
) -> Float[Tensor, " scored"]:
    """Log-probabilities of `targets` in float32, from hidden states, in chunks of the vocabulary projection.

    With a frozen plain linear head the gradient of each log-probability with respect to its hidden state,
    ``W[target] - softmax(W h) W``, is computed in the forward pass, chunk by chunk, so backward holds [scored, dim]
    numbers instead of [scored, vocabulary]. Otherwise the chunks are recomputed in backward.

    Args:
        hidden: final hidden states, after the last norm.
        targets: the token each of them should predict.
        head: the output embedding; `config` supplies soft-capping or logit scaling where a family has it.
    """
    plain = type(head) is nn.Linear and head.bias is None and not _has_logit_transform(config)
    if plain and not head.weight.requires_grad:
        return _FrozenHead.apply(hidden, targets, head.weight)  # pyright: ignore
    chunks = zip(hidden.split(HEAD_CHUNK), targets.split(HEAD_CHUNK), strict=True)
    if not torch.is_grad_enabled():
        parts = [_chunk(h, t, head, config) for h, t in chunks]
    else:
        from torch.utils.checkpoint import checkpoint

        parts = [checkpoint(_chunk, h, t, head, config, use_reentrant=False) for h, t in chunks]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)  # pyright: ignore


def _has_logit_transform(config: object | None) -> bool:
    return any(getattr(config, name, None) for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"))


def full_logits(hidden: Float[Tensor, "... dim"], head: nn.Module, config: object | None) -> Float[Tensor, "... vocab"]:
    """Logits in float32, with the family's soft-capping (Gemma 2), scale (Cohere) or divisor (Granite).

    `LanguageModel.head` is one of which this holds; a family that does something else there has an `OwnHead`.
    """
    logits = head(hidden).float()
    if isinstance(head, OwnHead):
        return logits
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if divisor := getattr(config, "logits_scaling", None):
        logits = logits / divisor
    return logits


def _chunk(hidden: Tensor, targets: Tensor, head: nn.Module, config: object | None) -> Tensor:
    logits = full_logits(hidden, head, config)
    return logits.gather(-1, targets[:, None])[:, 0] - logits.logsumexp(-1)


class _FrozenHead(torch.autograd.Function):
    """Chunked log-softmax of a frozen linear head; the Jacobian row of each token is kept instead of its logits."""

    @staticmethod
    def forward(ctx, hidden: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        keep = hidden.requires_grad
        logprobs, jacobian = [], []
        with torch.autocast(hidden.device.type, enabled=False):
            for h, t in zip(hidden.to(weight.dtype).split(HEAD_CHUNK), targets.split(HEAD_CHUNK), strict=True):
                logits = (h @ weight.T).float()
                target_logits = logits.gather(-1, t[:, None])
                if keep:
                    probabilities = torch.softmax(logits, -1)
                    logprobs.append((target_logits - logits.logsumexp(-1, keepdim=True))[:, 0])
                    jacobian.append(weight[t] - probabilities.to(weight.dtype) @ weight)
                else:
                    logprobs.append((target_logits - logits.logsumexp(-1, keepdim=True))[:, 0])
        ctx.save_for_backward(torch.cat(jacobian) if jacobian else None)
        ctx.dtype = hidden.dtype
        return torch.cat(logprobs) if logprobs else hidden.new_zeros(0, dtype=torch.float32)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (jacobian,) = ctx.saved_tensors
        return (grad[:, None] * jacobian).to(ctx.dtype), None, None


def per_response(values: Float[Tensor, " scored"], rows: Rows) -> Float[Tensor, " responses"]:
    """Sum token values over each response."""
    return values.new_zeros(len(rows.lengths)).index_add(0, rows.owner, values)
