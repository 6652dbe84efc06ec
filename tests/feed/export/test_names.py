"""Names in parts, and keys made of them: the same for the same papers in any order."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_papers import stored

from trued.feed.export.keys import citation_keys
from trued.feed.export.names import Name, parse_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Sophie Xhonneux", Name("Xhonneux", "Sophie")),
        ("Ludwig van der Berg Jr.", Name("Berg", "Ludwig", "van der", "Jr.")),
        ("van der Berg, Ludwig", Name("Berg", "Ludwig", "van der")),
        ("Berg, Jr., Ludwig", Name("Berg", "Ludwig", "", "Jr.")),
        ("Berg, Ludwig, III", Name("Berg", "Ludwig", "", "III")),
        ("Henry Ford, Jr.", Name("Ford", "Henry", "", "Jr.")),
        ("Plato", Name("Plato")),
        ("山田太郎", Name("山田太郎")),
        ("J. R. R. Tolkien", Name("Tolkien", "J. R. R.")),
        ("bell hooks", Name("hooks", "bell")),
        ("", Name("")),
    ],
)
def test_a_name_is_taken_apart(text: str, name: Name) -> None:
    assert parse_name(text) == name


@given(st.text(max_size=30))
def test_no_word_of_a_name_is_lost(text: str) -> None:
    name = parse_name(text)
    kept = " ".join((name.given, name.particle, name.family, name.suffix)).split()
    if text.count(",") <= 1:
        assert sorted(kept) == sorted(text.replace(",", " ").split())


def keys(*papers) -> list[str]:
    return citation_keys(papers)


def test_a_key_is_name_year_and_word() -> None:
    assert keys(
        stored("The Efficient Training", "Sophie Xhonneux", published=date(2024, 5, 24)),
        stored("$\\alpha$-Divergence", "Kurt Gödel", published=date(2023, 1, 1)),
        stored("3D Ward", "Bjørn Østergård", published=date(2023, 1, 1)),
        stored("No Year", "Ada van der Berg"),
        stored("Moving Pictures", organization="Kling Team", published=date(2025, 1, 1)),
        stored("学習", published=date(2025, 1, 1)),
    ) == [
        "xhonneux2024efficient",
        "godel2023alpha",
        "ostergard20233d",
        "bergno",
        "klingteam2025moving",
        "anonymous2025",
    ]


def test_keys_that_meet_get_letters_whatever_the_order() -> None:
    papers = [
        stored("Deep Nets Again", "A Lee", uid=1, arxiv="2401.00002", published=date(2024, 1, 1)),
        stored("Deep Nets", "B Lee", uid=2, arxiv="2401.00001", published=date(2024, 1, 1)),
        stored("Deepa", "C Lee", uid=3, published=date(2024, 1, 1)),
    ]
    assert keys(*papers) == ["lee2024deepc", "lee2024deepb", "lee2024deepa"]
    assert keys(*papers[::-1]) == keys(*papers)[::-1]


def test_many_that_meet_are_all_different() -> None:
    papers = [stored("Deep", "A Lee", uid=uid, arxiv=f"2401.{uid:05}") for uid in range(800)]
    made = keys(*papers)
    assert len(set(made)) == 800
    assert made[0] == "leedeepa"
    assert made[26] == "leedeepaa"
