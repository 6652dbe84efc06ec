"""The house around the code: what answers at once, which way imports run, and files that must agree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from trued import __version__
from trued.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "peft", "accelerate", "scipy", "matplotlib", "sqlalchemy", "jinja2", "datasets")

# Refuses heavy modules as they are asked for, so that the test says who did it.
GUARD = f"""
import sys
class Guard:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {HEAVY!r}:
            raise RuntimeError(name + " is imported")
sys.meta_path.insert(0, Guard())
from trued.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["papers", "list"], ["papers", "show", "c-advul"], ["run", "--help"]]
)
def test_what_needs_no_model_imports_nothing_heavy(words):
    done = subprocess.run([sys.executable, "-c", GUARD, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_guard_would_notice():
    done = subprocess.run([sys.executable, "-c", GUARD, "loop", "--help"], capture_output=True, text=True)
    assert "is imported" in done.stderr


def test_imports_run_down_only():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(\d+) kept, 0 broken", done.stdout)


def test_versions_agree():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == __version__
    assert __version__ in (ROOT / "CHANGELOG.md").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]


def test_torch_is_pinned_and_so_is_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {plain(line.partition("==")[0]) for line in lines if "==" in line}
    assert len(pinned) == len(lines)
    assert "torch==2.13.0" in lines
    assert not {plain(re.split(r"[\[<>=~;]", one)[0]) for one in wanted} - pinned


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/start.md", ".ci/run"])
def test_documents_name_commands_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    if page.endswith(".md"):
        text = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    made = set(re.findall(r"^`?make ([a-z]+)", text, re.MULTILINE))
    assert made
    assert made <= targets
    assert set(re.findall(r"^`?trued ([a-z]+)", text, re.MULTILINE)) <= set(COMMANDS)


def test_the_ci_script_stops_at_the_first_failure():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert "make test" in text
    assert "make lint" in text
