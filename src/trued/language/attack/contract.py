"""What an attack takes and gives: behaviours and a target in, test cases with their cost out.

Knows chats and counts. Knows nothing of how any attack finds its words, or of who judges the replies.
The attacks measure models that the user is responsible for; no behaviour or target ships with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.messages import Message
from trued.errors import InputError
from trued.language.engine.model import LanguageModel

AFFIRMATIVE = "Sure, here is"
"""The generic opening that stands in for a behaviour's own target, so that no harmful text is needed."""


@dataclass(frozen=True)
class Behavior:
    """One thing that the model should not do.

    Args:
        id: unique name; results are reported under it.
        text: the request.
        target: the opening of a complying reply, which optimising attacks aim at; None leaves it to the attack.
        context: a document that the request refers to; it precedes the request (HarmBench, contextual behaviours).
        category: for grouping in reports.
        tags: free labels.
    """

    id: str
    text: str
    target: str | None = None
    context: str | None = None
    category: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """The user turn of a plain request: the text, after its context if it has one."""
        return f"{self.context}\n\n---\n\n{self.text}" if self.context else self.text


@dataclass(frozen=True)
class Cost:
    """What a test case took to find. A batch of B sequences counts as B passes, whatever was cached.

    Args:
        queries: replies of the target that the attack read.
        forwards: sequences through the target's forward pass, those that precede a backward pass included.
        backwards: sequences through its backward pass.
        seconds: wall-clock time.
    """

    queries: int = 0
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.queries + other.queries,
            self.forwards + other.forwards,
            self.backwards + other.backwards,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True)
class TestCase:
    """One conversation that may break one behaviour.

    Args:
        behavior_id: the behaviour it belongs to.
        messages: the conversation up to the reply, without the target's system prompt.
        prefill: the words that the assistant's turn is made to start with.
        attack: name of the attack.
        cost: what finding it took.
        meta: what else the attack reports, e.g. a loss or the id of a template.
    """

    __test__ = False  # not a test class, though pytest would take it for one by its name

    behavior_id: str
    messages: Sequence[Message]
    prefill: str = ""
    attack: str = ""
    cost: Cost = Cost()
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ChatTarget:
    """The model under attack as it is deployed: its own chat template, a system prompt, greedy replies.

    Args:
        model: the model.
        system: system prompt of the deployment; None sends none (the template may add its own).
        max_new_tokens: length of a reply (HarmBench's completion protocol: greedy, 512).
    """

    model: LanguageModel
    system: str | None = None
    max_new_tokens: int = 512

    def conversation(self, messages: Sequence[Message]) -> list[Message]:
        """Return `messages` with the system prompt in front, unless they bring their own."""
        if self.system is None or (messages and messages[0]["role"] == "system"):
            return list(messages)
        return [{"role": "system", "content": self.system}, *messages]

    def render(self, messages: Sequence[Message], prefill: str = "") -> str:
        """Return the exact text that the model reads, the template's special tokens included."""
        return self.model.tokenizer.decode(self.model.prompt_ids(self.conversation(messages), prefill=prefill))

    def generate(self, cases: Sequence[TestCase]) -> list[str]:
        """Return the greedy reply to each case: the assistant's whole turn, its prefill included.

        A reply that adds nothing to its prefill is returned empty: the judge must not credit the attacker's own words.
        """
        turns = [self.conversation(case.messages) for case in cases]
        prefills = [case.prefill for case in cases]
        drawn = self.model.generate(turns, max_new_tokens=self.max_new_tokens, prefill=prefills)
        return [start + reply if reply.strip() else "" for start, (reply,) in zip(prefills, drawn, strict=True)]

    def nll(self, cases: Sequence[TestCase], replies: Sequence[str]) -> Float[Tensor, " cases"]:
        """Return the mean negative log-likelihood, in nats a token, of one given reply per case.

        The reply may be an opening only (no end of turn is scored), and is scored from the start of the assistant's
        turn: a case's prefill plays no part.
        """
        turns = [self.conversation(case.messages) for case in cases]
        scored = self.model.logprobs(turns, [[reply] for reply in replies], end=False)
        return torch.stack([-tokens.float().mean() for (tokens,) in scored])


@runtime_checkable
class Attack(Protocol):
    """Anything that turns behaviours into test cases."""

    @property
    def name(self) -> str: ...

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return the test cases of every behaviour, in the order of `behaviors`.

        Args:
            behaviors: what to attack.
            target: whom to attack.
            seed: the same seed gives the same cases.
            budget: the most model passes to spend on one behaviour: forward and backward passes of sequences for
                attacks that look inside, one per test case for those that only ask. None sets no limit.

        Raises:
            InputError: no behaviours, two of the same id, or one without text.
        """
        ...


def checked(behaviors: Sequence[Behavior], budget: int | None = None) -> Sequence[Behavior]:
    """Return `behaviors`, or raise `InputError` if an attack cannot run on them or with this budget."""
    if not behaviors:
        raise InputError("no behaviours to attack: give at least one Behavior(id, text)")
    if budget is not None and budget < 1:
        raise InputError(f"budget is {budget}; give at least 1 model pass per behaviour, or None for no limit")
    seen: set[str] = set()
    for behavior in behaviors:
        if behavior.id in seen:
            raise InputError(
                f"two behaviours have the id {behavior.id!r}; ids name the rows of the result: make them unique"
            )
        if not behavior.text.strip():
            raise InputError(f"behaviour {behavior.id!r} has no text; give the request that should be refused")
        seen.add(behavior.id)
    return behaviors


def generator_for(seed: int, behavior: Behavior) -> torch.Generator:
    """Return the random stream of one behaviour: independent of which others are attacked, and in which order."""
    digest = hashlib.sha256(f"{seed}:{behavior.id}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def user_turn(text: str) -> list[Message]:
    """Return a conversation of one user turn."""
    return [{"role": "user", "content": text}]
