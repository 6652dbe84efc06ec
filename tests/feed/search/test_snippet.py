"""A snippet shows the words of the query, marked, and lets nothing of the text through unescaped."""

from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from trued.feed.search.query import Term, parse
from trued.feed.search.snippet import akin, snippet, spans

LONG = "Nothing of note stands here. " * 30 + "Then a continuous attack on embeddings. " + "And so on it goes. " * 30


def test_markup_of_the_text_is_escaped_and_words_are_marked():
    html = snippet("<script>alert('attack')</script> & more", [Term(("attack",))])
    assert html == "&lt;script&gt;alert(&#x27;<mark>attack</mark>&#x27;)&lt;/script&gt; &amp; more"


def test_the_passage_with_the_words_is_shown():
    html = snippet(LONG, parse("continuous attack").wanted)
    assert "<mark>continuous</mark> <mark>attack</mark> on embeddings" in html
    assert html.startswith("…")
    assert html.endswith("…")
    assert len(html) < 300


def test_phrases_are_marked_whole_and_prefixes_and_endings_are_seen():
    assert "<mark>Continuous   attack</mark>" in snippet("Continuous   attack", [Term(("continuous", "attack"))])
    assert "<mark>robustness</mark>" in snippet("for robustness", [Term(("robus",), prefix=True)])
    assert "<mark>attacks</mark>" in snippet("many attacks", [Term(("attacking",))])
    assert "<mark>Schrödinger</mark>" in snippet("by Schrödinger", [Term(("schrodinger",))])
    assert "<mark>" not in snippet("attackers of a text", [Term(("at",))])


def test_akin_words_share_a_stem_and_others_do_not():
    assert akin("aligning", "alignment")
    assert akin("policies", "policy")
    assert not akin("image", "imagine")
    assert not akin("car", "care")


def test_without_a_word_it_is_the_beginning():
    assert snippet(LONG, []).startswith("Nothing of note")
    assert snippet("", [Term(("a",))]) == ""


@given(st.text(), st.lists(st.text(min_size=1), max_size=3), st.integers(20, 100))
def test_without_its_marks_a_snippet_is_a_piece_of_the_text(text, wanted, width):
    terms = [term for q in wanted for term in parse(q).wanted]
    html = snippet(text, terms, width)
    plain = html.replace("<mark>", "").replace("</mark>", "")
    assert "<" not in plain
    assert ">" not in plain
    assert unescape(plain).strip("…") in text or unescape(plain) in text
    assert html.count("<mark>") == html.count("</mark>")
    found = spans(text, terms)
    assert all(left < right for left, right in found)
