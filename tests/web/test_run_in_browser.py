"""The run page in a real browser: live without reloading, whole without scripts, within its security policy."""

import socket
import sys
import threading
import time
from pathlib import Path

import pytest
import uvicorn

from trued.web import runs as runs_module
from trued.web.runner import Runner

playwright = pytest.importorskip("playwright.sync_api")
PLANTED = Path(__file__).with_name("planted_job.py")
SECONDS = 60_000  # milliseconds; a busy machine takes its time to start a process


@pytest.fixture
def address(site, tmp_path, monkeypatch):
    """The address of a server with planted experiments, which wait for files in the folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(runs_module, "TICK", 0.1)
    site.state.runner = Runner(site.state.settings.database_url, (sys.executable, str(PLANTED), str(tmp_path)))
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(site, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_a_run_is_followed_live_and_stopped_by_keyboard(chromium, address, site, tmp_path):
    complaints = []
    page = chromium.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/runs")
    page.get_by_label("Paper", exact=True).select_option("c-advul")
    page.get_by_label("Scale").select_option("tiny")
    page.get_by_role("button", name="Run").press("Enter")
    page.get_by_text("seed 0: running").wait_for(timeout=SECONDS)
    loaded = page.evaluate("window.loaded = performance.timeOrigin")
    (tmp_path / "go-0").touch()
    page.get_by_text("seed 0: finished").wait_for(timeout=SECONDS)
    row = page.locator("#claim-robust-continuous")
    assert "ran" in row.inner_text()  # a tiny run decides nothing
    assert page.evaluate("window.loaded") == loaded  # it was not loaded anew
    assert "1 of 3 seeds finished" in page.locator("#status").text_content()

    there = page.url
    page.goto(f"{address}/runs")
    until(lambda: site.state.watchers == 0)  # a page that is left does not hold its place
    page.goto(there)
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Stop").press("Enter")
    page.get_by_text("stopped, can be continued").first.wait_for(timeout=SECONDS)
    assert page.get_by_role("button", name="Stop").count() == 0
    page.get_by_role("button", name="Continue").press("Enter")
    page.get_by_text("seed 1: running").wait_for(timeout=SECONDS)
    assert page.get_by_text("seed 0: finished").count() == 1
    assert page.url == there
    assert complaints == []


def test_without_scripts_the_page_reloads_itself_until_the_end(chromium, address, tmp_path):
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(f"{address}/runs")
    page.get_by_label("Paper", exact=True).select_option("c-advul")
    page.get_by_label("Scale").select_option("tiny")
    page.get_by_label("Seeds").fill("1")
    page.get_by_role("button", name="Run").click()
    page.get_by_text("seed 0: running").wait_for(timeout=SECONDS)
    (tmp_path / "go-0").touch()
    page.get_by_role("link", name="The whole report").wait_for(timeout=SECONDS)
    page.get_by_role("link", name="The whole report").click()
    hostile = page.get_by_text("<script>alert(1)</script>")
    hostile.wait_for(timeout=SECONDS)
    assert hostile.count() == 1, "it is shown as text"
    assert page.url.endswith("/report")
