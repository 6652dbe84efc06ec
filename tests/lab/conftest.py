"""Cards, stores and labs for the tests of the lab."""

from dataclasses import dataclass
from datetime import date

import pytest

from trued.lab import executor
from trued.lab.cache import Cache
from trued.lab.lab import Lab
from trued.lab.runs import RunStore
from trued.papers.card import Card, Claim, Margin, PaperFigures


@dataclass(frozen=True)
class Scale:
    """Sizes of the planted experiments."""

    items: int = 40


def make_claim(better="higher", margin=0.1, *, ratio=False, unit=None, id="better", control=None, paper=None):
    unit = unit or ("ratio" if ratio else "nats")
    return Claim(
        id, "The method is better.", "a metric", unit, better, Margin(margin, ratio), control, paper or PaperFigures()
    )


def make_card(*claims, slug="planted"):
    return Card(
        slug, "A Planted Paper", date(2024, 5, 24), "language", ("text",), "A summary.", claims, arxiv="2405.00001"
    )


@pytest.fixture
def claim():
    return make_claim


@pytest.fixture
def card():
    return make_card


@pytest.fixture
def store():
    return RunStore("sqlite://")


@pytest.fixture
def lab(store, tmp_path):
    """Make a lab on a run of its own: `lab(claim, …, seeds=(0, 1, 2))`."""

    def make(*claims, seeds=(0, 1, 2), run=None):
        run = run or store.start("planted", "tiny", model="none", settings={}, settings_digest="x")
        return Lab(
            card=make_card(*claims), scale=Scale(), scale_name="tiny", wanted=seeds, store=run, folder=tmp_path,
            cache=Cache(tmp_path / "cache"),
        )  # fmt: skip

    return make


@pytest.fixture
def plant(monkeypatch, tmp_path):
    """Put an experiment and its card in the place of the catalogue's, in an empty folder with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TRUED_DATABASE_URL", raising=False)

    def put(experiment, *claims):
        monkeypatch.setattr(executor, "load_experiment", lambda slug: experiment)
        monkeypatch.setattr(executor, "load_card", lambda slug: make_card(*claims, slug=slug))

    return put
