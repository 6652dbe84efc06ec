"""Where a request lies in a model's representations once it is rewritten, attacked, or both (MixAT, Figure 6).

Knows models, prompts and the embedding attack. Knows nothing of training or reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from trued.data.messages import Prompt
from trued.errors import InputError
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import Rows

PLAIN, ATTACKED, REWRITTEN, BOTH, RANDOM = "x", "x + δ", "R(x)", "R(x) + δ", "R(x) + random"


@dataclass(frozen=True)
class Geometry:
    """Pooled representations of each request in each form.

    `points[form]` is [requests, dim]; the forms are "x", "x + δ", "R(x)", "R(x) + δ", and "R(x) + random": the rewrite
    moved as far in a random direction. Further forms, such as requests with an optimised suffix, go by their name.
    """

    points: dict[str, Float[Tensor, "requests dim"]]

    def cosines(self, form: str, other: str) -> Float[Tensor, " requests"]:
        """Cosine of two forms of each request."""
        return F.cosine_similarity(self.points[form], self.points[other], dim=-1)

    def distances(self, form: str, origin: str = PLAIN) -> list[float]:
        """One minus the cosine of a form and the origin, for each request."""
        return (1 - self.cosines(form, origin)).tolist()

    def table(self) -> Float[Tensor, "forms forms"]:
        """Mean cosine of every two forms, in the order of `points`."""
        return torch.stack([torch.stack([self.cosines(a, b).mean() for b in self.points]) for a in self.points])


def prompt_geometry(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    rewrites: Sequence[Prompt],
    target: str,
    attack: EmbeddingAttack,
    *,
    generator: torch.Generator,
    others: dict[str, Sequence[Prompt]] | None = None,
) -> Geometry:
    """Pool the last hidden states over the prompt's tokens, for requests and rewrites with and without attack.

    Args:
        lm: the model.
        prompts: requests.
        rewrites: the same requests, rewritten.
        target: the reply that the attack makes likely.
        attack: the embedding attack.
        generator: of the random direction, whose length is the attack's for each token.
        others: further forms of the same requests.

    Raises:
        InputError: no prompts, or not one rewrite (or other form) a prompt.
    """
    forms = {PLAIN: prompts, REWRITTEN: rewrites, **(others or {})}
    if not prompts or any(len(texts) != len(prompts) for texts in forms.values()):
        raise InputError(
            f"{', '.join(f'{len(texts)} of {name}' for name, texts in forms.items())}: one of each for each request"
        )
    points: dict[str, list[Tensor]] = {}
    for row in range(len(prompts)):
        for name, texts in forms.items():
            rows = lm.rows([lm.prompt_ids(texts[row])], [[lm.reply_ids(target, end=False)]])
            points.setdefault(name, []).append(pooled(lm, rows, None))
            moved = {PLAIN: ATTACKED, REWRITTEN: BOTH}.get(name)
            if moved is None:
                continue
            delta = attack.perturb(lm, rows).delta
            points.setdefault(moved, []).append(pooled(lm, rows, delta))
            if name == REWRITTEN:
                noise = torch.randn(delta.shape, generator=generator).to(delta)
                noise = F.normalize(noise, dim=-1) * delta.norm(dim=-1, keepdim=True)
                points.setdefault(RANDOM, []).append(pooled(lm, rows, noise))
    return Geometry({name: torch.cat(vectors) for name, vectors in points.items()})


@torch.no_grad()
def pooled(lm: LanguageModel, rows: Rows, delta: Float[Tensor, "rows time dim"] | None) -> Float[Tensor, "rows dim"]:
    """Mean of the last hidden states over each prompt's tokens, float32; `delta` is added to their embeddings."""
    mask = rows.prompt_mask[..., None].float()
    states = lm.row_states(rows, lm.row_embeddings(rows, delta))
    return (states.float() * mask).sum(1) / mask.sum(1)
