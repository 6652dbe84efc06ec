"""Random walks of token replacements: suffixes such as a search visits, found without a loss.

They show how often a suffix of tokens is still the same tokens once it is text, with and without the search's check.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from trued.language.attack.gcg.candidates import draw_candidates
from trued.language.attack.gcg.start import first_tokens
from trued.language.attack.gcg.suffix import SlottedPrompt, allowed_ids
from trued.language.engine.model import LanguageModel


def random_walks(
    lm: LanguageModel,
    prompt: SlottedPrompt,
    generator: torch.Generator,
    *,
    walks: int,
    steps: int,
    width: int,
    suffix_tokens: int = 20,
    checked: bool,
) -> Int[Tensor, "candidates n"]:
    """Return the last candidates of some walks, which start as a search does and go on from one at random.

    Args:
        prompt: where the suffix stands.
        walks, steps: how many walks, of how many replacements each.
        width: candidates a step.
        checked: go on only from candidates whose text encodes to the same ids by itself; a step without any is left
            out.
    """
    allowed = allowed_ids(lm.tokenizer, lm.base.get_input_embeddings().weight.shape[0])
    last = []
    for _ in range(walks):
        suffix = torch.tensor(first_tokens(lm, None, suffix_tokens))
        candidates = suffix[None]
        for _ in range(steps):
            drawn = draw_candidates(suffix, allowed.expand(len(suffix), -1), width, 1, generator)
            surviving = drawn[prompt.survivors(drawn, "suffix")] if checked else drawn
            if len(surviving):
                candidates = surviving
                suffix = surviving[int(torch.randint(len(surviving), (), generator=generator))]
        last.append(candidates)
    return torch.cat(last)


def round_trips(
    lm: LanguageModel, prompts: Sequence[SlottedPrompt], generator: torch.Generator, *, walks: int, steps: int,
    width: int, suffix_tokens: int = 20,
) -> dict[str, list[float]]:  # fmt: skip
    """Return for each prompt the share of suffixes that are the same tokens within the whole of it.

    The walks stand in the first prompt; their sizes are those of `random_walks`.

    Returns:
        "checked" and "unchecked", of the walks with and without the search's check; "known", of those that survived
        in the prompt already, 1 where there are none.
    """
    checked, unchecked = (
        random_walks(
            lm, prompts[0], generator, walks=walks, steps=steps, width=width, suffix_tokens=suffix_tokens, checked=kind
        )
        for kind in (True, False)
    )

    def share(prompt: SlottedPrompt, suffixes: Int[Tensor, "rows n"]) -> float:
        return float(prompt.survivors(suffixes, "prompt").float().mean()) if len(suffixes) else 1.0

    return {
        "checked": [share(prompt, checked) for prompt in prompts],
        "unchecked": [share(prompt, unchecked) for prompt in prompts],
        "known": [share(prompt, checked[prompt.survivors(checked, "prompt")]) for prompt in prompts],
    }
