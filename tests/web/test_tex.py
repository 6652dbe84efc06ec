"""TeX becomes readable, and nothing becomes markup that was not."""

from __future__ import annotations

import re
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.web.tex import readable, readable_html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (r"a gain of 78.2\% over A\&B", "a gain of 78.2% over A&amp;B"),
        ("tokens $x_{i}$ and $x_i^2$", "tokens x<sub>i</sub> and x<sub>i</sub><sup>2</sup>"),
        (r"an $\ell_{\infty}$ ball of $\epsilon = 8/255$", "an ℓ<sub>∞</sub> ball of ϵ = 8/255"),
        (r"$x^{y_{i}}$ and $10\%$", "x<sup>y<sub>i</sub></sup> and 10%"),
        (r"Schr\"odinger and G{\"o}del", "Schrödinger and Gödel"),
        (r"a \textbf{bold} claim", "a bold claim"),
        ("$5 and $10 a month", "$5 and $10 a month"),
        ("a < b & $c$ <b>no</b>", "a &lt; b &amp; c &lt;b&gt;no&lt;/b&gt;"),
        (r"C:\users and \unknown", r"C:\users and \unknown"),
        ("plain", "plain"),
        (
            "Values -- a survey of 3--5 --- and more -- or well-known --options",
            "Values – a survey of 3–5 — and more – or well-known --options",
        ),
        ("the ``open'' question", "the “open” question"),
    ],
)
def test_tex_is_readable(text, html):
    assert str(readable(text)) == html


@given(st.text(st.sampled_from("$\\{}_^<>&%a1 \"'x"), max_size=60) | st.text(max_size=40))
def test_no_text_becomes_markup(text):
    left = re.sub(r"</?su[bp]>", "", str(readable(text)))
    assert "<" not in left
    assert ">" not in left


@pytest.mark.parametrize(
    ("passage", "html"),
    [
        (r"by <mark>5</mark>\% in R\&amp;D", "by <mark>5</mark>% in R&amp;D"),
        (
            r"an <mark>attack</mark> of $\ell_2$ on $x_{i} \in D$",
            "an <mark>attack</mark> of ℓ<sub>2</sub> on x<sub>i</sub>∈ D",
        ),
        (r"a norm $x_{<mark>train</mark>} &lt; 1$", "a norm x<sub>train</sub> &lt; 1"),
        (r"\textbf{<mark>Robust</mark> and} safe", "<mark>Robust</mark> and safe"),
        ("values -- <mark>a</mark>", "values – <mark>a</mark>"),
        ("&lt;b&gt; &#x27;q&#x27; &amp;amp;", "&lt;b&gt; &#39;q&#39; &amp;amp;"),
    ],
)
def test_a_passage_keeps_its_marks(passage, html):
    assert str(readable_html(passage)) == html


@given(st.lists(st.tuples(st.text("$\\{}_^<>&%a1 \"'x", max_size=20), st.booleans()), max_size=5))
def test_a_passage_gets_no_markup_but_its_marks(pieces):
    passage = "".join(f"<mark>{escape(text)}</mark>" if marked else escape(text) for text, marked in pieces)
    left = re.sub(r"</?(su[bp]|mark)>", "", str(readable_html(passage)))
    assert "<" not in left
    assert ">" not in left
