"""Discrete rewrites of requests, the R in MixAT's neighbourhood R(x) + B(0, epsilon) (arXiv 2505.16947).

Persuasion (PAP), jailbreak templates, chains of both, and any of them written once before training. The optimised
suffix is `trued.language.train.mixat.gcg_rewriter`. Knows texts and who writes them. Knows nothing of training.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from trued.data.messages import Message, Prompt, as_messages
from trued.data.prompts import Template, templates
from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.persuasion import PERSUASION, Technique, rewrite_prompt, rewritten
from trued.language.engine.model import LanguageModel
from trued.learn.fit.batches import derived_seed

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "`": "`"}


@runtime_checkable
class Rewriter(Protocol):
    """Puts requests into other words. `reads_model`: whether it looks at the model that is trained."""

    @property
    def name(self) -> str: ...

    @property
    def reads_model(self) -> bool: ...

    def rewrite(self, prompts: Sequence[Prompt], *, model: LanguageModel, seed: int) -> list[str]:
        """Return a new text for the last user turn of each prompt.

        Args:
            prompts: the requests.
            model: the model that is trained, in evaluation mode; its weights are left alone.
            seed: the same seed gives the same texts.

        Returns:
            One text a prompt; an empty one where nothing could be written, which counts as lost.
        """
        ...


def instruction(prompt: Prompt) -> str:
    """Return the text of a prompt's last user turn.

    Raises:
        InputError: no user turn.
    """
    return as_messages(prompt)[_user_turn(prompt)]["content"]


def with_instruction(prompt: Prompt, text: str) -> Prompt:
    """Return the prompt with `text` as its last user turn."""
    if isinstance(prompt, str):
        return text
    messages = as_messages(prompt)
    messages[_user_turn(prompt)]["content"] = text
    return messages


def _user_turn(prompt: Prompt) -> int:
    messages: list[Message] = as_messages(prompt)
    users = [i for i, message in enumerate(messages) if message["role"] == "user"]
    if not users:
        raise InputError(f"a prompt has {len(messages)} messages and none of the user: there is nothing to rewrite")
    return users[-1]


OWN_WORDS = Attacker(None, temperature=1.0, top_p=0.7, max_new_tokens=200, retries=2)
"""How the model that is trained writes, where it is its own attacker (the paper's sampling of its attacker)."""


@dataclass(frozen=True)
class PAPRewriter:
    """Persuasive rewrites by a technique of the taxonomy, drawn at random (PAP; MixAT's default rewriter).

    Args:
        attacker: who writes: a model or an endpoint (paper: Mixtral-8x7B-Instruct at temperature 1, top-p 0.7, 200
            tokens), "self" for the model that is trained, or None for the techniques' own frames, without any model.
        techniques: to draw from, such as the first k of `PERSUASION`.
        per: draw one technique a "batch", as the paper does, or one a "prompt".
    """

    attacker: Attacker | Literal["self"] | None = None
    techniques: tuple[Technique, ...] = PERSUASION
    per: Literal["batch", "prompt"] = "batch"

    def __post_init__(self) -> None:
        if not self.techniques:
            raise InputError("there are no techniques to draw from: give at least one of PERSUASION")

    @property
    def name(self) -> str:
        writer = self.attacker.name if isinstance(self.attacker, Attacker) else self.attacker or "frames"
        return f"PAP({writer}, {len(self.techniques)} techniques)"

    @property
    def reads_model(self) -> bool:
        return self.attacker == "self"

    def rewrite(self, prompts: Sequence[Prompt], *, model: LanguageModel, seed: int) -> list[str]:
        """See `Rewriter`. A reply without the requested format is taken as it is, without its quotes.

        Where the attacker keeps giving empty replies the text is empty.
        """
        requests = [instruction(prompt) for prompt in prompts]
        drawn = self._techniques(len(requests), seed)
        if self.attacker is None:
            return [technique.wrap(text) for technique, text in zip(drawn, requests, strict=True)]
        writer = self.attacker if isinstance(self.attacker, Attacker) else replace(OWN_WORDS, model=model)
        chats = [rewrite_prompt(technique, text) for technique, text in zip(drawn, requests, strict=True)]
        rewrites, _ = writer.write_until(
            chats, lambda reply: unquoted(rewritten(reply) or reply) or None, seed=derived_seed("attacker", seed)
        )
        return [text or "" for text in rewrites]

    def _techniques(self, count: int, seed: int) -> list[Technique]:
        rng = random.Random(derived_seed("technique", seed))
        if self.per == "batch":
            return [rng.choice(self.techniques)] * count
        return [rng.choice(self.techniques) for _ in range(count)]


@dataclass(frozen=True)
class TemplateRewriter:
    """Each request in a template drawn at random; None draws from all that ship."""

    frames: tuple[Template, ...] | None = None

    reads_model = False

    @property
    def name(self) -> str:
        return f"templates({len(self._pool())})"

    def _pool(self) -> Sequence[Template]:
        pool = templates() if self.frames is None else self.frames
        if not pool:
            raise InputError("there are no templates to draw from: give at least one, or None for those that ship")
        return pool

    def rewrite(self, prompts: Sequence[Prompt], *, model: LanguageModel, seed: int) -> list[str]:
        """See `Rewriter`."""
        rng, pool = random.Random(derived_seed("template", seed)), self._pool()
        return [rng.choice(pool).wrap(instruction(prompt)) for prompt in prompts]


@dataclass(frozen=True)
class ChainRewriter:
    """One rewriter after the other, each on what the one before it wrote."""

    links: tuple[Rewriter, ...]

    def __post_init__(self) -> None:
        if not self.links:
            raise InputError("the chain has no rewriters: give at least one")

    @property
    def name(self) -> str:
        return " → ".join(link.name for link in self.links)

    @property
    def reads_model(self) -> bool:
        return any(link.reads_model for link in self.links)

    def rewrite(self, prompts: Sequence[Prompt], *, model: LanguageModel, seed: int) -> list[str]:
        """See `Rewriter`. Where any link gives an empty text, so does the chain."""
        empty = [False] * len(prompts)
        for place, link in enumerate(self.links):
            texts = link.rewrite(prompts, model=model, seed=derived_seed("link", seed, place))
            empty = [before or not text.strip() for before, text in zip(empty, texts, strict=True)]
            pairs = zip(prompts, texts, strict=True)
            prompts = [with_instruction(prompt, text) if text.strip() else prompt for prompt, text in pairs]
        return ["" if nothing else instruction(prompt) for nothing, prompt in zip(empty, prompts, strict=True)]


@dataclass(frozen=True)
class StaticRewriter:
    """Rewrites written once before training, the paper's ablation of fresh ones (`static`)."""

    name: str
    texts: Mapping[str, str] = field(repr=False)

    reads_model = False

    @classmethod
    def written_by(
        cls, rewriter: Rewriter, prompts: Sequence[Prompt], *, model: LanguageModel, seed: int, batch: int = 8
    ) -> StaticRewriter:
        """Have `rewriter` write each different prompt once, `batch` of them at a time."""
        distinct = {_key(prompt): prompt for prompt in prompts}
        keys, texts = list(distinct), []
        for start in range(0, len(keys), batch):
            part = [distinct[key] for key in keys[start : start + batch]]
            texts += rewriter.rewrite(part, model=model, seed=derived_seed("static", seed, start))
        return cls(f"{rewriter.name}, static", dict(zip(keys, texts, strict=True)))

    def rewrite(self, prompts: Sequence[Prompt], *, model: LanguageModel, seed: int) -> list[str]:
        """See `Rewriter`; the seed plays no part.

        Raises:
            InputError: a prompt that was not written beforehand.
        """
        missing = [prompt for prompt in prompts if _key(prompt) not in self.texts]
        if missing:
            raise InputError(f"{self.name}: {instruction(missing[0])!r} was not written beforehand: write all prompts")
        return [self.texts[_key(prompt)] for prompt in prompts]


def unquoted(text: str) -> str:
    """Return `text` without surrounding space and without the quotation marks that enclose the whole of it."""
    text = text.strip()
    while len(text) >= 2 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


def _key(prompt: Prompt) -> str:
    return json.dumps(as_messages(prompt), sort_keys=True)
