r"""TeX: what is there already stays, what is special is escaped, and braces are in balance whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.feed.export.tex import escape, title


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("50% of R&D, #1 & a_b", r"50\% of R\&D, \#1 \& a\_b"),
        (r"50\% of R\&D", r"50\% of R\&D"),
        (r"$\epsilon$-balls cost $5", r"$\epsilon$-balls cost \$5"),
        ("from $5 to $6", r"from \$5 to \$6"),
        (r"G\"odel, \'{e}t\'e, \v{S}", r"G\"odel, \'{e}t\'e, \v{S}"),
        (r"\textbf{bold} and \emph{a \textit{b} c}", r"\textbf{bold} and \emph{a \textit{b} c}"),
        ("{a} set", r"\textbraceleft{}a\textbraceright{} set"),
        (r"\alpha {kept}", r"\alpha {kept}"),
        (r"\alpha {lone", r"\alpha \textbraceleft{}lone"),
        (r"$\{x\}$ stays", r"$\{x\}$ stays"),
        (r"$\{x$ is mended", r"$\lbrace x$ is mended"),
        ("$a}b$", r"\$a\textbraceright{}b\$"),
        ("x ~ y ^ z \\", r"x \textasciitilde{} y \textasciicircum{} z \textbackslash{}"),
        ("naïve 学習 -- yes", "naïve 学習 -- yes"),
    ],
)
def test_escape(text: str, value: str) -> None:
    assert escape(text) == value


def test_escaping_twice_changes_nothing_more() -> None:
    for text in ("50% of R&D", r"$\epsilon$ & a_b", "x ~ y {z}"):
        assert escape(escape(text)) == escape(text)


@given(st.text(alphabet="ab {}\\$%&_#~^'\"A1", max_size=40))
def test_braces_are_balanced_and_nothing_special_is_bare(text: str) -> None:
    value = escape(text)
    depth = 0
    for c in value:
        depth += (c == "{") - (c == "}")
        assert depth >= 0
    assert depth == 0
    assert value.replace(r"\textbackslash{}", "").replace(r"\textbraceleft{}", "").count("a") >= text.count("a")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Efficient Training in LLMs with MixAT", "Efficient Training in {LLMs} with {MixAT}"),
        ("C-AdvUL and GPT-4 in 3D", "{C}-{AdvUL} and {GPT}-4 in {3D}"),
        ("A Survey", "A Survey"),
        ("On the work of Bayes and Gauss in modern learning", "On the work of {Bayes} and {Gauss} in modern learning"),
        (r"$N$-body with R\&D for LLMs", r"$N$-body with {R}\&{D} for {LLMs}"),
        (r"\textsc{MixAT} {LLMs} kept", r"\textsc{MixAT} {LLMs} kept"),
    ],
)
def test_capitals_that_a_style_would_lower_are_guarded(text: str, value: str) -> None:
    assert title(text) == value
