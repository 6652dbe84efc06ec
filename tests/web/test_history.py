"""A paper's claims over its runs: in order, in words, and on a chart that shows where every interval lies."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from matplotlib.figure import Figure

from trued.lab.evidence import Evidence, Measurement, assess_all
from trued.lab.runs import RunRow, RunStore
from trued.papers import catalogue
from trued.papers.card import Margin
from trued.web import history as history_module
from trued.web.history import draw, histories

CLAIMS = catalogue.card("c-advul").claims[:3]  # higher in nats, lower in points, equal as a ratio
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def evidence(gains, *, scale="desktop", seed=0, claims=CLAIMS):
    """Evidence in which the method's level is the baseline's plus a gain, or times it for a ratio."""
    rng = np.random.default_rng(seed)
    measurements = {}
    for claim, gain in zip(claims, gains, strict=True):
        if gain is None:
            continue
        baseline = rng.uniform(0.4, 0.6, (3, 20))
        method = baseline * gain if claim.margin.ratio else baseline + gain
        rows = [tuple(map(tuple, arm.tolist())) for arm in (baseline, method)]
        measurements[claim.id] = Measurement((0, 1, 2), *rows)
    return Evidence(
        slug="c-advul", title="T", arxiv=None, date="2026-03-01", scale=scale, settings={}, model="a/model",
        seeds=(0, 1, 2), protocol={}, claims=claims, measurements=measurements,
        assessments=assess_all(claims, measurements), figures=(), tables=(), notes=(), versions={}, platform={},
        seconds=1.0, peak_memory=0, modules=(), method_digest="",
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return RunStore(f"sqlite:///{tmp_path}/runs.db")


def keep(store, evidence, day, slug="c-advul"):
    run = store.start(slug, evidence.scale, model=evidence.model, settings={}, settings_digest="d")
    run.finish(evidence.to_json(), [])
    with store.session() as session:
        session.get_one(RunRow, run.id).started = START + timedelta(days=day)
    return run.id


def test_runs_come_in_order_with_what_each_measured(store):
    later = keep(store, evidence((1.0, -0.4, 1.01)), 5)
    first = keep(store, evidence((0.0, None, 1.3), scale="full"), 0)
    store.start("c-advul", "tiny", model="m", settings={}, settings_digest="d")  # not finished
    keep(store, evidence((9.0, 9.0, 9.0)), 1, slug="mixat")
    charts = histories(store, "c-advul")
    assert [chart.claim.id for chart in charts] == [claim.id for claim in CLAIMS]
    assert [[outcome.run_id for outcome in history.outcomes] for history in charts] == [
        [first, later],
        [later],
        [first, later],
    ]
    assert [outcome.verdict for outcome in charts[0].outcomes] == ["contradicted", "supported"]
    assert [outcome.verdict for outcome in charts[2].outcomes] == ["contradicted", "supported"]
    assert charts[0].outcomes[1].effect.estimate == pytest.approx(1.0)
    assert charts[0].outcomes[0].started == START
    assert "2 runs: 1 contradicted, 1 supported" in charts[0].alt
    assert histories(store, "mixat")[0].outcomes[0].effect.estimate == pytest.approx(9.0)
    assert histories(store, "deal") == []


def test_evidence_of_another_version_is_left_out_and_old_runs_go(store, monkeypatch):
    monkeypatch.setattr(history_module, "MOST", 5)
    with store.session() as session:
        run = store.start("c-advul", "tiny", model="m", settings={}, settings_digest="d")
        session.get_one(RunRow, run.id).status = "finished"
    run.finish({"model": "m", "schema": 99}, [])
    assert histories(store, "c-advul") == []
    for day in range(7):
        last = keep(store, evidence((1.0, -0.4, 1.0)), day)
    outcomes = histories(store, "c-advul")[0].outcomes
    assert len(outcomes) == 4  # the unreadable one is among the latest five
    assert outcomes[-1].run_id == last


def drawn(history):
    ax = Figure().add_subplot()
    draw(history)(ax)
    return ax


@pytest.mark.parametrize("index", range(3))
def test_the_chart_shows_each_interval_at_its_place(store, index):
    for day, gains in enumerate(((0.2, -0.05, 1.2), (1.0, -0.4, 1.01))):
        keep(store, evidence(gains, seed=day), day)
    history = histories(store, "c-advul")[index]
    points = 100 if history.claim.unit == "points" else 1
    printed = np.exp if history.claim.margin.ratio else lambda value: value * points
    ax = drawn(history)
    bars = [line for line in ax.collections if line.__class__.__name__ == "LineCollection"]
    segments = np.concatenate([np.asarray(bar.get_segments()) for bar in bars])
    for i, outcome in enumerate(history.outcomes):
        low, high = segments[i][:, 1]
        assert (low, high) == pytest.approx((printed(outcome.effect.low), printed(outcome.effect.high)))
        assert segments[i][:, 0] == pytest.approx([i, i])
    nothing = next(line for line in ax.lines if len(set(line.get_ydata())) == 1 and len(line.get_xdata()) == 2)
    assert nothing.get_ydata()[0] == pytest.approx(1.0 if history.claim.margin.ratio else 0.0)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["01 Mar", "02 Mar"]


def test_what_counts_is_shaded(store):
    keep(store, evidence((1.0, -0.4, 1.01)), 0)
    higher, lower, equal = histories(store, "c-advul")
    spans = []
    for history in (higher, lower, equal):
        shape = drawn(history).patches[0]
        spans.append((shape.get_y(), shape.get_y() + shape.get_height()))
    assert spans[0][0] == pytest.approx(0.5)
    assert spans[0][1] >= higher.outcomes[0].effect.high
    assert spans[1][0] == pytest.approx(10.0)  # points
    assert spans[2] == pytest.approx((1 / 1.05, 1.05))


def test_a_claim_is_judged_in_each_run_by_its_own_margin(store):
    strict = tuple(replace(claim, margin=Margin(2.0)) if not claim.margin.ratio else claim for claim in CLAIMS)
    keep(store, evidence((1.0, -0.4, 1.0)), 0)
    keep(store, evidence((1.0, -0.4, 1.0), claims=strict), 1)
    history = histories(store, "c-advul")[0]
    assert [outcome.verdict for outcome in history.outcomes] == ["supported", "contradicted"]
    assert history.claim.margin == Margin(2.0)


def test_the_page_shows_charts_without_style_attributes_and_tables(owner):
    store = RunStore(owner.app.state.settings.database_url)
    run = keep(store, evidence((1.0, -0.4, 1.01)), 0)
    page = owner.get("/runs/history/c-advul").text
    assert page.count('role="img"') == 3
    assert page.count("<svg") == 3
    assert not re.search(r"\sstyle=", page)
    assert page.count(f'href="/runs/{run}"') == 3
    assert "1 run: 1 supported" in page
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    empty = owner.get("/runs/history/deal").text
    assert "No run of this paper has finished" in empty
