"""Real processes: an experiment is started, followed seed by seed, stopped, continued, killed, and refused."""

import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from trued.errors import InputError
from trued.lab.evidence import from_json
from trued.lab.runs import RunStore
from trued.web import job as job_module
from trued.web.progress import latest_runs, progress, run_row
from trued.web.runner import Busy, Runner, RunRequest

PLANTED = Path(__file__).with_name("planted_job.py")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A runner of planted experiments, the store that it fills, and the folder whose files lead it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    url = f"sqlite:///{tmp_path}/runs.db"
    runner = Runner(url, (sys.executable, str(PLANTED), str(tmp_path)))
    yield runner, RunStore(url), tmp_path
    runner.close()


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return found


def test_a_run_is_followed_stopped_and_continued_to_its_end(place):
    runner, store, folder = place
    job = runner.start(RunRequest("c-advul", "tiny"))
    with pytest.raises(Busy, match=r"is running \(c-advul\)"):
        runner.start(RunRequest("mixat", "tiny"))
    until(lambda: job.run_id and job.screen.steps)
    before = progress(store, job.run_id, job)
    assert (before.state, before.done, before.total, before.rows, before.over) == ("running", 0, 3, (), False)
    assert [seed.status for seed in before.seeds] == ["running", "waiting", "waiting"]
    assert before.steps[0].what == "waiting"
    until(lambda: "an experiment may print" in progress(store, job.run_id, job).lines)

    (folder / "go-0").touch()
    until(lambda: progress(store, job.run_id, job).done == 1)
    middle = progress(store, job.run_id, job)
    assert [seed.status for seed in middle.seeds] == ["finished", "running", "waiting"]
    assert middle.left
    row = middle.rows[0]
    assert (row.id, row.verdict) == ("robust-continuous", "ran")
    assert "→" in row.ours
    assert {row.ours for row in middle.rows[1:]} == {"–"}
    elsewhere = progress(store, job.run_id[:8])
    assert (elsewhere.state, elsewhere.total, elsewhere.done) == ("elsewhere", None, 1)

    runner.close()  # as the server does at its end
    assert job.over
    stopped = progress(store, job.run_id, job)
    assert (stopped.state, stopped.done, stopped.over) == ("interrupted", 1, True)
    assert "1 of 3 seeds are finished and kept" in stopped.error
    assert stopped.command == "trued run c-advul --scale tiny"
    assert stopped.again == RunRequest("c-advul", "tiny")

    for seed in (1, 2):
        (folder / f"go-{seed}").touch()
    again = runner.start(RunRequest("c-advul", "tiny"))
    assert again.wait(60)
    assert again.error == ""
    assert again.run_id == job.run_id
    assert runner.job(job.run_id) is again
    assert Path(again.report).is_file()
    done = progress(store, again.run_id, again)
    assert (done.state, done.done, done.total, done.error, done.again) == ("finished", 3, 3, "", None)
    assert done.rows[0].verdict == "ran"  # a tiny run decides nothing
    evidence = from_json(run_row(store, again.run_id).evidence)
    assert evidence.seeds == (0, 1, 2)
    assert done.command.endswith("--fresh")
    assert [row.id for row in latest_runs(store, "c-advul")] == [again.run_id]
    assert latest_runs(store, "mixat") == []


def test_a_run_that_is_killed_is_said_to_be_interrupted(tmp_path):
    store = RunStore(f"sqlite:///{tmp_path}/runs.db")
    run = store.start("c-advul", "tiny", model="m", settings={}, settings_digest="d")
    opening = json.dumps({"run": run.id, "seeds": [0, 1]})
    script = f"import time; print({opening!r}, flush=True); time.sleep(99)"
    job = Runner(str(store.engine.url), (sys.executable, "-c", script)).start(RunRequest("c-advul", "tiny", seeds=2))
    until(lambda: job.run_id)
    assert progress(store, run.id, job).state == "running"
    os.kill(job._process.pid, signal.SIGKILL)
    assert job.wait(60)
    run_progress = progress(store, run.id, job)
    assert (run_progress.state, run_progress.total) == ("interrupted", 2)
    assert "code -9" in run_progress.error


def test_a_run_that_does_not_listen_is_ended_when_it_is_asked_again(tmp_path):
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('x', flush=True); time.sleep(99)"
    job = Runner(None, (sys.executable, "-u", "-c", deaf)).start(RunRequest("c-advul"))
    time.sleep(0.5)
    job.stop()
    assert not job.wait(0.5)
    job.stop()
    assert job.wait(30)
    assert job.error == "stopped; the seeds that were finished are kept"


def test_a_process_that_says_nothing_is_explained():
    silent = "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"
    job = Runner(None, (sys.executable, "-c", silent)).start(RunRequest("c-advul"))
    assert job.wait(30)
    assert (job.run_id, job.error) == (None, "the run ended with code 3: no such thing")


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"slug": "c-advool"}, "no paper has the slug 'c-advool'; did you mean c-advul"),
        ({"slug": "../../etc/passwd"}, "no paper has the slug"),
        ({"slug": "talon"}, "there is no experiment on talon yet"),
        ({"slug": "c-advul", "scale": "huge"}, "no scale 'huge'; choose tiny, desktop, full"),
        ({"slug": "c-advul", "seeds": 0}, "give 1 to 20"),
        ({"slug": "c-advul", "seeds": 10**9}, "give 1 to 20"),
        ({"slug": "c-advul", "model": "a\nb"}, "does not fit on a line"),
        ({"slug": "c-advul", "model": "x" * 501}, "does not fit on a line"),
    ],
)
def test_what_cannot_be_run_is_refused_before_a_process_starts(order, says):
    with pytest.raises(InputError, match=says):
        RunRequest(**order)


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (InputError("not this one"), 2, "not this one"),
        (KeyboardInterrupt("1 of 3 kept"), 130, "1 of 3 kept"),
        (ZeroDivisionError("planted"), None, "ZeroDivisionError: planted. Continue with: trued run x"),
    ],
)
def test_the_job_says_how_it_ended(monkeypatch, raised, code, says):
    def fail(*_, **__):
        if code is None:
            raised.add_note("Continue with: trued run x")
        raise raised

    monkeypatch.setattr(job_module.executor, "run", fail)
    out = io.StringIO()
    order = {"slug": "c-advul", "scale": "tiny", "seeds": 2, "model": None, "fresh": False, "database_url": "sqlite://"}
    if code is None:
        with pytest.raises(ZeroDivisionError):
            job_module.carry_out(order, out)
    else:
        assert job_module.carry_out(order, out) == code
    assert json.loads(out.getvalue()) == {"error": says}


def test_an_experiment_does_not_learn_the_servers_secrets(monkeypatch):
    for name in ("TRUED_TOKEN", "TRUED_SECRET", "TRUED_SMTP_PASSWORD", "TRUED_CACHE"):
        monkeypatch.setenv(name, f"value of {name}")
    script = "import os, sys; print(*sorted(v for v in os.environ.values() if 'value of' in v), file=sys.stderr)"
    job = Runner(None, (sys.executable, "-c", script)).start(RunRequest("c-advul"))
    assert job.wait(30)
    assert list(job.screen.lines) == ["value of TRUED_CACHE"]


def test_a_run_is_found_by_the_start_of_its_id_alone(tmp_path):
    store = RunStore(f"sqlite:///{tmp_path}/runs.db")
    runs = [store.start("c-advul", "tiny", model="m", settings={}, settings_digest="d") for _ in range(2)]
    assert run_row(store, runs[0].id[:20]).id == runs[0].id
    for unfit, says in (("", "several runs"), ("%", "no run"), ("zz", "no run")):
        with pytest.raises(InputError, match=says):
            run_row(store, unfit)
