"""Addresses in abstracts: without the sentence around them, each once, and what stands there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.feed.links import link, links_in, merged
from trued.feed.paper import Link


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("Code: https://github.com/a/b.", "https://github.com/a/b"),
        ("(see https://github.com/a/b), which", "https://github.com/a/b"),
        ("https://github.com/a/b; and", "https://github.com/a/b"),
        (
            "at https://en.wikipedia.org/wiki/Wheel_(disambiguation).",
            "https://en.wikipedia.org/wiki/Wheel_(disambiguation)",
        ),
        (r"\url{https://github.com/a/b\_c}", "https://github.com/a/b_c"),
        ("<https://a.org/x?y=1&z=2>", "https://a.org/x?y=1&z=2"),
        ("“https://a.org/x”", "https://a.org/x"),
        ("HTTPS://GitHub.com/a/b", "HTTPS://GitHub.com/a/b"),
        ("code at github.com/a/b-c.", "https://github.com/a/b-c"),
    ],
)
def test_an_address_ends_where_the_sentence_goes_on(text: str, url: str) -> None:
    assert [one.url for one in links_in(text)] == [url]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://github.com/a/b/tree/main", "code"),
        ("https://gitlab.com/a/b", "code"),
        ("https://github.com/a", "other"),
        ("https://a.github.io/b", "project"),
        ("https://wheels.example.com", "project"),
        ("https://sites.google.com/view/x", "project"),
        ("https://huggingface.co/a/b", "hub"),
        ("https://huggingface.co/datasets/a/b", "hub"),
        ("https://huggingface.co/papers/2405.15589", "other"),
        ("https://zenodo.org/records/1", "hub"),
        ("https://anonymous.4open.science/r/X", "review"),
        ("https://openreview.net/forum?id=x", "review"),
        ("https://arxiv.org/abs/2405.15589", "other"),
        ("https://doi.org/10.1/x", "other"),
        ("https://notgithub.com/a/b", "project"),
        ("https://www.youtube.com/watch", "other"),
    ],
)
def test_the_host_tells_what_stands_there(url: str, kind: str) -> None:
    found = link(url)
    assert found is not None
    assert (found.url, found.kind) == (url, kind)


@pytest.mark.parametrize(
    "url",
    [None, 3, "", "javascript:alert(1)", "ftp://a.org/x", "https://", "http://[::1", "https://localhost/a", "a.org",
     "https://a.org/" + "x" * 2000],
)  # fmt: skip
def test_only_addresses_of_the_web_are_links(url: object) -> None:
    assert link(url) is None


def test_each_address_once_as_the_first_tells_of_it() -> None:
    assert [one.url for one in links_in("https://a.org/x. Again https://a.org/x, and https://b.org/y")] == [
        "https://a.org/x",
        "https://b.org/y",
    ]
    code, plain = Link("https://a.org/x", "code"), Link("https://a.org/x/", "project")
    assert merged((code, None), (plain,)) == (code,)


@given(st.text())
def test_what_is_found_is_an_address_without_blanks(text: str) -> None:
    for one in links_in(text):
        assert one.url.lower().startswith(("http://", "https://"))
        assert not any(char.isspace() for char in one.url)
