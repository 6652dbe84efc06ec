"""Embedding attack with free vectors after the instruction, kept on the simplex over the vocabulary (the paper's
`region="suffix"`; upstream only stubs it).

Each of n slots holds a probability row over the vocabulary; its embedding is the row times the embedding matrix. Rows
are updated by gradient steps and projected back on the simplex by sorting (Duchi et al., ICML 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.messages import Prompt, as_messages
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.prefix import new_cache
from trued.language.engine.scoring import token_logprobs


@dataclass(frozen=True)
class SuffixResult:
    """The slots' probability rows and the mean target cross-entropy, nats a token, before each update."""

    rows: Float[Tensor, "slots vocab"]
    losses: list[float]


@dataclass(frozen=True)
class SoftSuffixAttack:
    """Optimise n soft tokens appended to one instruction.

    Args:
        slots: number of soft tokens (spec: 10).
        steps: gradient steps.
        lr: step on the probability rows; the gradient of each row is scaled to unit largest entry.
        marker: a text that the chat template leaves alone, used to find where the instruction ends.
    """

    slots: int = 10
    steps: int = 10
    lr: float = 0.3
    marker: str = "\u2063suffix\u2063"

    def perturb(self, lm: LanguageModel, prompt: Prompt, target: str, *, generator: torch.Generator) -> SuffixResult:
        """Attack one prompt; the prefix before the slots is encoded once and its keys and values are reused.

        Raises:
            InputError: an empty target, a chat template that drops or repeats the user's text, or a model that needs
                token ids.
        """
        if not lm.takes_embeddings:
            raise InputError(f"{lm.name} uses token ids beside its embeddings: a mixture of tokens has no place in it")
        before, after = self._split(lm, prompt)
        reply = lm.reply_ids(target, end=False)
        if not reply:
            raise InputError("the target is empty: give the reply that the attack should make likely")
        weight = lm.base.get_input_embeddings().weight
        rows = torch.rand(self.slots, weight.shape[0], generator=generator).to(lm.device)
        rows = project_simplex(rows)
        targets = torch.tensor(reply, device=lm.device)
        losses = []
        with torch.no_grad():
            table = torch.cat([lm.embed(ids) for ids in torch.arange(len(weight), device=lm.device).split(8192)])
            tail = lm.embed(torch.tensor([after + reply], device=lm.device))
            ids = torch.tensor([before], device=lm.device)
            cache = None
            if lm.reuses_prefix(len(before) + self.slots + len(after) + len(reply)):
                cache = new_cache(lm.config)
                lm.backbone(input_ids=ids, past_key_values=cache, use_cache=True)
            head = lm.embed(ids)
        for _ in range(self.steps):
            rows.requires_grad_(True)
            soft = (rows.to(table.dtype) @ table)[None]
            if cache is not None:
                embeddings, options = torch.cat([soft, tail], 1), {"past_key_values": cache.expand(1)}
            else:
                embeddings, options = torch.cat([head, soft, tail], 1), {}
            out = lm.backbone(inputs_embeds=embeddings, use_cache=cache is not None, **options)
            states = out.last_hidden_state[0, -len(reply) - 1 : -1]
            loss = -token_logprobs(states, targets, lm.head, lm.config).mean()
            (gradient,) = torch.autograd.grad(loss, rows)
            losses.append(float(loss.detach()))
            with torch.no_grad():
                scale = gradient.abs().amax(-1, keepdim=True).clamp(min=1e-12)
                rows = project_simplex(rows - self.lr * gradient / scale)
        return SuffixResult(rows.detach(), losses)

    def _split(self, lm: LanguageModel, prompt: Prompt) -> tuple[list[int], list[int]]:
        messages = as_messages(prompt)
        messages[-1]["content"] += self.marker
        parts = lm.format.render(messages).split(self.marker)
        if len(parts) != 2:
            raise InputError("the chat template drops or repeats the user's text: the suffix has no place in it")
        return lm.format.cut_ids(parts[0], parts[1])


def project_simplex(rows: Float[Tensor, "slots vocab"]) -> Float[Tensor, "slots vocab"]:
    """Euclidean projection of each row on the probability simplex, by sorting (Duchi et al. 2008, Figure 1)."""
    ranked = rows.sort(-1, descending=True).values
    excess = ranked.cumsum(-1) - 1
    counts = torch.arange(1, rows.shape[-1] + 1, device=rows.device, dtype=rows.dtype)
    support = (ranked - excess / counts > 0).sum(-1, keepdim=True)
    threshold = excess.gather(-1, support - 1) / support
    return (rows - threshold).clamp(min=0)
