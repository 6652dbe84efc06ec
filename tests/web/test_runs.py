"""The run page over HTTP: started by the owner alone, followed by events and without scripts, stopped, read back."""

import json
import sys
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from trued.lab.runs import Run, RunStore
from trued.web import runs as runs_module
from trued.web.accounts import invitation
from trued.web.runner import Runner

PLANTED = Path(__file__).with_name("planted_job.py")
TOKEN = "the-token-of-this-server"


@pytest.fixture
def planted(site, tmp_path, monkeypatch):
    """The site with planted experiments, which wait for files in the folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(runs_module, "TICK", 0.05)
    site.state.runner = Runner(site.state.settings.database_url, (sys.executable, str(PLANTED), str(tmp_path)))
    yield tmp_path
    site.state.runner.close()


def kept_run(url, *, status="failed", slug="c-advul"):
    """Put a run into the store, as `trued run` leaves it."""
    run = RunStore(url).start(slug, "tiny", model="a/model", settings={"options": {"model": None}}, settings_digest="d")
    if status != "running":
        run.stop(status)
    return run.id


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def parsed(stream):
    """Return (name, data) of the events in a stream's text."""
    blocks = [block.split("\n") for block in stream.split("\n\n") if block.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_an_experiment_is_started_watched_to_its_end_and_read_back(owner, planted):
    assert "/runs" in owner.get("/runs").text
    sent = owner.fill("/runs", {"slug": "c-advul", "scale": "tiny", "seeds": ""})
    assert (sent.status_code, sent.headers["location"]) == (303, "/runs/now")
    starting = owner.get("/runs/now")
    assert starting.status_code in (200, 303)
    if starting.status_code == 200:
        assert '<meta http-equiv="refresh" content="1">' in starting.text
    busy = owner.fill("/runs", {"slug": "mixat", "scale": "tiny"})
    assert busy.status_code == 409
    assert "is running (c-advul)" in busy.text
    until(lambda: owner.get("/runs/now").status_code == 303)
    where = owner.get("/runs/now").headers["location"]

    until(lambda: owner.app.state.runner.latest.screen.steps)
    page = owner.get(where).text
    assert "<label>waiting <progress" in page
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert f'data-events="{where}/events"' in page
    assert "seed 0: running" in page
    assert "Stop; finished seeds are kept" in page
    assert "is running at tiny scale" in owner.get("/runs").text
    state = owner.get(where, headers={"accept": "application/json"}).json()
    assert (state["state"], state["done"], state["total"]) == ("running", 0, 3)

    for seed in range(3):
        (planted / f"go-{seed}").touch()
    answer = owner.get(f"{where}/events")  # ends with the run
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    events = parsed(answer.text)
    assert [name for name, _ in events[-2:]] == ["progress", "over"]
    assert events[-1][1] == {"state": "finished"}
    statuses = [data["status"] for name, data in events if name == "progress"]
    assert statuses[-1] == "finished, 3 of 3 seeds finished"
    assert len(set(statuses)) > 1
    assert owner.app.state.watchers == 0

    page = owner.get(where).text
    assert '<tbody class="ran" id="claim-robust-continuous">' in page
    assert "http-equiv" not in page
    report = owner.get(f"{where}/report")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in report.text
    assert "<script" not in report.text
    policy = report.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert where in owner.get("/runs/history/c-advul").text
    assert owner.fill(f"{where}/stop").status_code == 409


def test_a_run_is_stopped_from_the_page(owner, planted):
    owner.fill("/runs", {"slug": "c-advul", "scale": "tiny", "seeds": "2"})
    job = owner.app.state.runner.latest
    until(lambda: job.run_id and job.screen.steps)
    assert owner.ask(f"/runs/{job.run_id}/stop") == {"stopping": True}
    assert job.wait(60)
    page = owner.get("/runs/now", follow_redirects=True).text
    assert "stopped, can be continued" in page
    assert "0 of 2 seeds are finished and kept" in page
    assert "trued run c-advul --scale tiny" in page


def test_the_server_stops_its_run_when_it_ends(site, planted):
    with TestClient(site):
        site.state.runner.command = (sys.executable, "-c", "import time; time.sleep(99)")
        job = site.state.runner.start(runs_module.RunRequest("c-advul"))
    assert job.over


def test_what_cannot_be_run_is_refused_in_a_sentence(owner):
    for data, says in (
        ({"slug": "c-advool"}, "did you mean c-advul"),
        ({"slug": "talon"}, "no experiment on talon yet"),
        ({"slug": "c-advul", "scale": "huge"}, "choose tiny, desktop, full"),
        ({"slug": "c-advul", "seeds": "many"}, "give a number such as 3"),
        ({"slug": "c-advul", "seeds": "²"}, "give a number such as 3"),
        ({"slug": "c-advul", "seeds": "99"}, "give 1 to 20"),
        ({"slug": "c-advul", "model": "x" * 501}, "at most 500"),
    ):
        page = owner.fill("/runs", data)
        assert page.status_code == 422, data
        assert says in page.text, data
    assert owner.get("/runs/now").headers["location"] == "/runs"


def test_only_the_owner_at_this_machine_starts_and_stops(public_site, browse):
    settings = public_site.state.settings
    ada = invitation(settings, "ada")
    for address, host, token, may_look in (
        ("127.0.0.1", "127.0.0.1:8000", None, False),  # at the machine, but nobody
        ("203.0.113.9", "papers.example", TOKEN, True),  # the owner, but elsewhere
        ("127.0.0.1", "papers.example", TOKEN, True),  # by a proxy that keeps the name
        ("127.0.0.1", "127.0.0.1:8000", ada, True),  # at the machine, but a guest
    ):
        browser = browse(public_site, address, host)
        if token:
            assert browser.fill("/sign-in", {"token": token}).status_code == 303
        started = browser.fill("/runs", {"slug": "c-advul", "scale": "tiny"})
        assert started.status_code == 403
        assert browser.fill("/runs/abcdef12/stop").status_code == 403
        assert browser.get("/runs").status_code == (200 if may_look else 303)
        if may_look:
            assert 'action="/runs"' not in browser.get("/runs").text
    assert getattr(public_site.state, "runner", None) is None or public_site.state.runner.latest is None
    here = browse(public_site, "127.0.0.1", "127.0.0.1:8000")
    here.fill("/sign-in", {"token": TOKEN})
    assert 'action="/runs"' in here.get("/runs").text


def test_runs_of_a_terminal_are_shown_as_well(owner, tmp_path):
    url = owner.app.state.settings.database_url
    open_, failed = kept_run(url, status="running"), kept_run(url)
    page = owner.get("/runs").text
    assert "open: it runs elsewhere, or was cut off" in page
    assert f"/runs/{failed}" in page
    assert "open: it runs elsewhere" in owner.get(f"/runs/{open_[:8]}").text
    answer = owner.get(f"/runs/{failed}/events")
    assert [name for name, _ in parsed(answer.text)] == ["progress", "over"]
    assert owner.get(f"/runs/{failed}/report").status_code == 404
    assert owner.fill(f"/runs/{open_}/stop").status_code == 409
    for unknown in ("abcdef12", "abcdef12/events", "abcdef12/report"):
        assert owner.get(f"/runs/{unknown}").status_code == 404
    assert owner.get("/runs/..%2f..%2fetc").status_code in (404, 422)
    assert owner.get("/runs/history/no-such-paper").status_code == 404


def test_no_more_watchers_than_there_are_places(owner):
    failed = kept_run(owner.app.state.settings.database_url)
    owner.app.state.watchers = runs_module.MOST_WATCHERS
    answer = owner.get(f"/runs/{failed}/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


def test_a_silent_run_shows_a_sign_of_life(owner, monkeypatch):
    monkeypatch.setattr(runs_module, "TICK", 0.01)
    monkeypatch.setattr(runs_module, "SILENCE", 0.03)
    url = owner.app.state.settings.database_url
    store, run_id = RunStore(url), kept_run(url, status="running")
    calls, real = 0, runs_module.progress

    def later(*args):
        nonlocal calls
        calls += 1
        if calls == 12:
            Run(store, run_id).stop("interrupted")
        return real(*args)

    monkeypatch.setattr(runs_module, "progress", later)
    text = owner.get(f"/runs/{run_id}/events").text
    assert text.count("event: progress") == 2  # as it was found, and as it ended
    assert ": still here\n\n" in text
    assert text.endswith('event: over\ndata: {"state": "interrupted"}\n\n')
