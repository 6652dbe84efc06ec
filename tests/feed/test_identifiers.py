"""arXiv ids and DOIs wherever they stand; and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.feed.identifiers import arxiv_id, cited_arxiv_id, doi


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2405.15589", ("2405.15589", None)),
        (" arXiv:2405.15589v3 ", ("2405.15589", 3)),
        ("2405.15589v2 [cs.LG]", ("2405.15589", 2)),
        ("0704.0001", ("0704.0001", None)),
        ("hep-th/9901001v2", ("hep-th/9901001", 2)),
        ("solv-int/9707001v1", ("solv-int/9707001", 1)),
        ("solv-int/9707001", ("solv-int/9707001", None)),
        ("math.AG/0601001", ("math.AG/0601001", None)),
        ("http://arxiv.org/abs/hep-th/9901001v2", ("hep-th/9901001", 2)),
        ("https://arxiv.org/pdf/2405.15589v1.pdf", ("2405.15589", 1)),
        ("https://www.arxiv.org/html/2405.15589v1", ("2405.15589", 1)),
        ("https://export.arxiv.org/abs/2405.15589?context=cs", ("2405.15589", None)),
        ("https://huggingface.co/papers/2405.15589#community", ("2405.15589", None)),
        ("https://huggingface.co/papers/2405.15589.md", ("2405.15589", None)),
        ("https://www.alphaxiv.org/abs/2405.15589v2", ("2405.15589", 2)),
        ("10.48550/arXiv.2405.15589", ("2405.15589", None)),
        ("https://doi.org/10.48550/arXiv.2405.15589", ("2405.15589", None)),
    ],
)
def test_an_arxiv_id_is_found(text: str, found: tuple[str, int | None]) -> None:
    assert arxiv_id(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "2405.123", "2413.15589", "2400.15589", "2405.155891", "2405.15589v", "2405.15589v0", "v2", "9901001",
        "hep-th/990100", "https://example.org/abs/2405.15589", "https://arxiv.org/list/cs.LG/new",
        "https://arxiv.org.evil.example/abs/2405.15589", "https://[::1/abs/2405.15589", "ftp://arxiv.org/abs/2405.15589",
        "A title about 2405.15589", "10.1145/3592979", "https://arxiv.org/abs/https://arxiv.org/abs/2405.15589",
    ],
)  # fmt: skip
def test_what_is_no_arxiv_id_is_none(text: str) -> None:
    assert arxiv_id(text) is None


@given(st.integers(7, 99), st.integers(1, 12), st.integers(0, 99_999), st.none() | st.integers(1, 99))
def test_an_id_is_read_back_from_all_its_forms(year: int, month: int, number: int, version: int | None) -> None:
    identity = f"{year:02}{month:02}.{number:05}"
    whole = identity + (f"v{version}" if version else "")

    for form in (
        "{}",
        "arXiv:{}",
        "https://arxiv.org/abs/{}",
        "http://arxiv.org/pdf/{}.pdf",
        "https://hf.co/papers/{}",
    ):
        assert arxiv_id(form.format(whole)) == (identity, version)
    assert cited_arxiv_id(f"arXiv preprint arXiv:{whole}, 2024") == (identity, version)


def test_a_citation_has_to_name_arxiv() -> None:
    assert cited_arxiv_id("CoRR abs/2405.15589") is None
    assert cited_arxiv_id("pages 2405.15589") is None
    assert cited_arxiv_id("ArXiv: hep-th/9901001v2") == ("hep-th/9901001", 2)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.1145/3592979.3593407", "10.1145/3592979.3593407"),
        ("doi: 10.1000/xyz", "10.1000/xyz"),
        ("https://doi.org/10.1016/S0021-9258(19)52451-6", "10.1016/S0021-9258(19)52451-6"),
        ("http://dx.doi.org/10.1002/a%2Fb", "10.1002/a/b"),
        ("10.1145", None),
        ("10.1145/a b", None),
        ("https://example.org/10.1145/3592979", None),
    ],
)
def test_a_doi_is_found(text: str, found: str | None) -> None:
    assert doi(text) == found
