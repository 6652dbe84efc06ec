"""What a suffix search starts from: its first tokens, further ones for a buffer, and what is wrong with the request.

Knows tokenizers, contexts and random numbers. Knows nothing of losses or search.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from trued.errors import InputError
from trued.language.attack.gcg.suffix import SlottedPrompt
from trued.language.engine.model import LanguageModel

FILLERS = ".,:;!?()[]{}@#$%&*vwxyz"
"""Characters of which the further entries of a fresh buffer are drawn."""


def first_tokens(model: LanguageModel, init: str | None, length: int) -> list[int]:
    """Return the token ids of `init`, or without one the first `length` of "x x x …"."""
    if init is not None:
        return list(model.tokenizer(init, add_special_tokens=False)["input_ids"])
    return model.tokenizer(" ".join("x" * length), add_special_tokens=False)["input_ids"][:length]


def first_suffixes(
    model: LanguageModel, init: Sequence[int], rows: int, allowed: Int[Tensor, " allowed"], generator: torch.Generator
) -> Int[Tensor, "rows n"]:
    """Return `init`, followed by strings of random punctuation and letters of the same length."""
    encoded = [model.tokenizer(character, add_special_tokens=False)["input_ids"] for character in FILLERS]
    usable = set(allowed.tolist())
    pool = torch.tensor([ids[0] for ids in encoded if len(ids) == 1 and ids[0] in usable] or allowed.tolist())
    picks = torch.randint(len(pool), (rows - 1, len(init)), generator=generator, device=generator.device).cpu()
    return torch.cat([torch.tensor([list(init)]), pool[picks]])


def require_startable(
    prompt: SlottedPrompt,
    init: Sequence[int],
    target: Sequence[int],
    allowed: Int[Tensor, " allowed"],
    *,
    n_replace: int,
    topk: int | None,
) -> None:
    """Raise `InputError` if a search from `init` towards `target` cannot be made.

    Args:
        prompt: the prompt with its slot.
        init: token ids to start from.
        target: token ids of the reply.
        allowed: token ids that a suffix may use.
        n_replace: positions that a candidate changes.
        topk: tokens a position from which candidates are drawn; None for all that are allowed.
    """
    model = prompt.model
    if not target:
        raise InputError("the target is empty; give the opening of a complying reply, e.g. 'Sure, here is'")
    if not init:
        raise InputError("init has no tokens; give a text to start from, or None for 'x x x …'")
    if forbidden := sorted(set(init) - set(allowed.tolist())):
        examples = [model.tokenizer.decode([token]) for token in forbidden[:3]]
        raise InputError(
            f"init has tokens that a suffix may not use ({examples}); change it, or set ascii_only to False"
        )
    if n_replace > len(init):
        raise InputError(f"n_replace is {n_replace} and the suffix has {len(init)} tokens; give at most that many")
    if topk is not None and topk > len(allowed):
        raise InputError(f"topk is {topk} and only {len(allowed)} tokens may be used; give at most that many")
    length = len(prompt.before) + len(init) + len(prompt.after) + len(target)
    if length > model.context:
        raise InputError(
            f"prompt, suffix and target are {length} tokens, and the context of {model.name} is {model.context}; "
            "shorten one of them"
        )
