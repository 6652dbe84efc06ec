"""Is the right answer in the reply? By its words, or by the letter of an option.

Knows texts and aliases. Knows nothing of models or of declining.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence

from trued.data.facts import FactQuestion
from trued.errors import InputError
from trued.language.judge.thoughts import answer_of

_SPACED = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_LETTER = r"\(?\b([A-Z])\b\)?"
_LETTER_PATTERNS = (
    re.compile(rf"^{_LETTER}[.:)]?$"),
    re.compile(r"^\(?([A-Z])[.:)]\s"),
    re.compile(rf"\b(?:answer|option|choice)(?: is| would be)?:? {_LETTER}(?![\w'])", re.IGNORECASE),
    re.compile(r"\(([A-Z])\)"),
)


def first_line(reply: str) -> str:
    """Return what was answered: the first line that is not empty. A model that goes on with "Q: …" is cut there.

    A thought before the answer is left out; one that is cut off has answered nothing.
    """
    return (answer_of(reply) or "").strip().partition("\n")[0].strip()


def normal_answer(text: str) -> str:
    """Return a text as answers are compared, as TriviaQA does (Joshi et al. 2017).

    Lower case; punctuation and underscores become spaces; articles go; spaces are squeezed.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_SPACED)).split())


def check_answers(questions: Sequence[FactQuestion]) -> None:
    """Raise `InputError` if a question has answers and none of them can be found in a reply: before any is asked."""
    for question in questions:
        if question.answers and not any(map(normal_answer, question.answers)):
            raise InputError(
                f"question {question.id!r} has the answers {list(question.answers)}, of which nothing is left without "
                "punctuation and articles: give one that can be found in a reply, or leave the question out"
            )


def holds_answer(reply: str, answers: Sequence[str], *, word_boundary: bool = False) -> bool:
    """Whether any of the aliases occurs in the reply, both normalised.

    Args:
        reply: one line.
        answers: aliases of one answer.
        word_boundary: an alias must stand as whole words. Without it, as upstream, "ra" is found in "Brazil".

    Raises:
        InputError: aliases of which nothing is left by normalisation: they would match anything.
    """
    wanted = [alias for alias in map(normal_answer, answers) if alias]
    if answers and not wanted:
        raise InputError(
            f"nothing is left of the answers {list(answers)} without punctuation and articles: give one that can be "
            "found in a reply"
        )
    edge = " " if word_boundary else ""
    text = f"{edge}{normal_answer(reply)}{edge}"
    return any(f"{edge}{alias}{edge}" in text for alias in wanted)


def chosen_option(reply: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the option that a reply chooses, or None where it names none or several (MMLU).

    The text of an option counts first; one that lies within another named option (as "iron" in "iron oxide") does not
    count beside it. Else a single letter counts: alone, before a dot, in brackets, or after "answer", "option".

    Args:
        reply: one line.
        options: letter → text of the choice.

    Raises:
        InputError: no options, or letters that are not single capitals.
    """
    if not options or not all(re.fullmatch("[A-Z]", letter) for letter in options):
        raise InputError(f"options are {list(options)}: expected single capital letters, such as A to D")
    text = f" {normal_answer(reply)} "
    named = {letter: choice for letter, words in options.items() if (choice := normal_answer(words))}
    present = {letter: choice for letter, choice in named.items() if f" {choice} " in text}
    widest = [k for k, choice in present.items() if not any(choice != o and choice in o for o in present.values())]
    if widest:
        return widest[0] if len(widest) == 1 else None
    line = reply.strip()
    for pattern in _LETTER_PATTERNS:
        letters = {match.upper() for match in pattern.findall(line)} & set(options)
        if letters:
            return letters.pop() if len(letters) == 1 else None
    return None
