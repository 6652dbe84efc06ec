"""What holds for every card and every experiment, those of later papers included."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from trued.lab import committed, evidence, executor
from trued.lab.experiment import known_experiments, load_experiment
from trued.lab.verdict import Kind
from trued.papers import catalogue

EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence"
RUNNING = known_experiments()


@pytest.mark.parametrize("slug", catalogue.slugs())
def test_a_card_is_whole(slug):
    card = catalogue.card(slug)
    assert card.slug == slug
    assert card.arxiv
    assert card.title.strip() == card.title
    assert 2 <= len([part for part in card.summary.replace("?", ".").split(". ") if part]) <= 6
    assert all(claim.says.endswith(".") for claim in card.claims)
    assert (catalogue.state(slug) == "runs") == (slug in RUNNING)


@pytest.mark.parametrize("slug", catalogue.slugs())
def test_a_card_holds_only_figures_that_were_read_in_the_paper(slug):
    for claim in catalogue.card(slug).claims:
        where = (claim.paper.where or "").lower()
        assert (claim.paper.method is None) or where, f"{claim.id}: a figure without its place in the paper"
        assert not any(word in where for word in ("secondary", "third-party", "third party")), claim.id


def test_every_experiment_has_a_card():
    assert RUNNING
    assert set(RUNNING) <= set(catalogue.slugs())


@pytest.mark.parametrize("slug", RUNNING)
def test_an_experiment_can_give_evidence(slug):
    found = load_experiment(slug)
    assert {"tiny", "desktop", "full"} <= set(found.scales)
    assert len(found.seeds) >= 3
    assert any(claim.control for claim in catalogue.card(slug).claims)


@pytest.mark.parametrize("slug", RUNNING)
def test_an_experiment_runs_at_tiny_scale(slug, tmp_path):
    result = executor.run(
        slug, scale="tiny", seeds=executor.TINY_SEEDS, device="cpu", output=tmp_path / "out", progress=False
    )
    found = result.evidence
    assert found.seeds == (0, 1)
    assert found.measurements
    for claim in catalogue.card(slug).claims:
        assessment = found.assessments[claim.id]
        assert assessment.verdict.kind in Kind
        assert assessment.verdict.why
        assert (assessment.effect is not None) == (claim.id in found.measurements)
        if claim.control and claim.id in found.measurements:
            assert assessment.control is not None, f"{claim.id}: the card names a control, and it was not measured"
    written = json.loads((result.folder / "evidence.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(found.to_json())) == written
    assert json.loads(json.dumps(evidence.from_json(written).to_json())) == written
    assert evidence.assess_all(found.claims, found.measurements) == found.assessments
    assert not evidence.is_stale(found)
    page = result.report.read_text(encoding="utf-8")
    assert page.count("</html>") == 1
    assert len(list((result.folder / "figures").glob("*.svg"))) == len(found.figures)
    agrees_with_what_is_committed(slug, executor.repeatable(found.measurements))


def agrees_with_what_is_committed(slug, numbers):
    """Evidence that calls itself fresh has the numbers that the tiny run gives today."""
    if not committed.path_of(slug, EVIDENCE).is_file():
        return
    shown = committed.read(slug, EVIDENCE)
    if not evidence.is_stale(shown):
        changed = committed.differences(shown.tiny, numbers)
        assert not changed, f"{slug} is stale, whatever its digest says: {'; '.join(changed)}"


def test_fresh_evidence_with_other_numbers_would_be_noticed():
    fresh = [shown for shown in committed.read_all(EVIDENCE).values() if not evidence.is_stale(shown)]
    for shown in fresh:
        claim, row = next(iter(shown.tiny.items()))
        first, *rest = row.method[0]
        numbers = {**shown.tiny, claim: replace(row, method=((first + 0.01 * (1 + first), *rest), *row.method[1:]))}
        agrees_with_what_is_committed(shown.slug, shown.tiny)
        with pytest.raises(AssertionError, match=f"{claim}, method, seed 0"):
            agrees_with_what_is_committed(shown.slug, numbers)
