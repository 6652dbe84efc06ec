"""The house around the code: what answers at once, which way imports run, and files that must agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import trued
from trued import __version__, errors
from trued.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch", "transformers", "peft", "accelerate", "scipy", "numpy", "sklearn", "matplotlib", "sqlalchemy", "jinja2",
    "datasets", "PIL",
)  # fmt: skip
MODELS = ("torch", "transformers", "peft", "accelerate", "safetensors", "gguf", "tokenizers", "huggingface_hub")

# Refuses modules as they are asked for, so that the test says who did it.
GUARD = """
import sys
class Guard:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {names!r}:
            raise {error}
sys.meta_path.insert(0, Guard())
"""
NOTHING_HEAVY = GUARD.format(names=HEAVY, error='RuntimeError(name + " is imported")')
WITHOUT_MODELS = GUARD.format(names=MODELS, error="ModuleNotFoundError(f'No module named {name!r}', name=name)")
MAIN = "from trued.cli.main import main\nsys.exit(main(sys.argv[1:]))"
EVERY_HELP = """
from trued.cli.main import app, main
def walk(commands, words):
    yield words
    for name in commands:
        if not name.startswith("-"):
            yield from walk(commands[name], [*words, name])
every = list(walk(app, []))
for words in every:
    assert main([*words, "--help"]) == 0, words
assert len(every) > 50
assert main(["--version"]) == main(["papers", "list"]) == main(["papers", "show", "c-advul"]) == 0
"""


def python(code: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_no_help_imports_anything_heavy():
    done = python(NOTHING_HEAVY + EVERY_HELP)
    assert done.returncode == 0, done.stderr
    for option in ("--fit.lr", "--loss.toward-cutoff", "--max-asr", "--gcg.steps", "--honesty", "--columns"):
        assert option in done.stdout


def test_importing_the_library_imports_nothing_heavy():
    done = python(NOTHING_HEAVY + "import trued; print(trued.__version__, *trued.__all__)")
    assert done.returncode == 0, done.stderr
    assert {"LanguageModel", "check", "Gates", "Suite"} <= set(done.stdout.split())


def test_the_guard_would_notice():
    done = python(NOTHING_HEAVY + "from trued import LanguageModel")
    assert "torch is imported" in done.stderr


@pytest.mark.parametrize("name", trued.__all__)
def test_every_name_of_the_library_is_there(name):
    assert getattr(trued, name) is not None


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "trued", "-V"], capture_output=True, text=True)
    assert done.stdout == f"trued {__version__}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["papers", "list"], "c-advul"),
        (["serve", "--help"], "Serve the page"),
        (["align", "dpo", "--help"], "--beta"),
    ],
)
def test_papers_need_no_model_extra(tmp_path, words, says):
    done = python(WITHOUT_MODELS + MAIN, *words, TRUED_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert says.lower() in (done.stdout + done.stderr).lower()


def test_search_falls_back_to_words_without_the_model_extra(tmp_path):
    code = """
from trued.feed.sources.shipped import shipped_page
from trued.feed.paper_store import default_store
page = shipped_page()
store = default_store()
store.ingest(page.papers, day=page.day)
store.close()
"""
    done = python(WITHOUT_MODELS + code + MAIN, "papers", "search", "language", TRUED_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "language" in done.stdout.lower()
    assert "pip install -e '.[models]'" in done.stderr.replace("\n", " ")


def test_the_page_needs_no_model_extra(tmp_path):
    code = """
from fastapi.testclient import TestClient
from trued.feed.sources.shipped import shipped_page
from trued.web.app import create_app
app = create_app()
page = shipped_page()
app.state.store.ingest(page.papers, day=page.day)
client = TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 1))
for path in ("/", "/search?q=language", "/claims", "/papers/1"):
    print(path, client.get(path).status_code)
"""
    done = python(WITHOUT_MODELS + code, TRUED_CACHE=str(tmp_path), TRUED_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert "/ 200" in done.stdout
    assert "/search?q=language 200" in done.stdout


def test_a_command_that_needs_a_model_names_the_extra(tmp_path):
    done = python(WITHOUT_MODELS + MAIN, "check", "./nowhere", TRUED_CACHE=str(tmp_path))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("trued: torch is not installed: pip install -e '.[models]' in ")
    assert done.stderr.count("\n") == 1


def test_the_remedy_fits_how_trued_was_installed(monkeypatch, tmp_path):
    assert errors.install_command("models") == f"pip install -e '.[models]' in {ROOT}"
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "site-packages" / "trued" / "errors.py"))
    assert errors.install_command("models") == "pip install 'trued[models]'"


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
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(name for extra in extras.values() for name in extra)]
    wanted = [name for name in wanted if not name.startswith("trued[")]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {plain(line.partition("==")[0]) for line in lines if "==" in line}
    assert len(pinned) == len(lines)
    assert "torch==2.13.0" in lines
    assert not {plain(re.split(r"[\[<>=~;]", name)[0]) for name in wanted} - pinned


def test_the_core_needs_no_model_and_every_extra_is_in_all():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {plain(re.split(r"[\[<>=~;]", name)[0]) for name in project["dependencies"]}
    assert not core & {"torch", "transformers", "peft", "accelerate", "safetensors", "gguf"}
    assert {"fastapi", "uvicorn"} <= core  # `trued serve` runs after `make demo`
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.findall(r"[a-z]+", everything.partition("[")[2])) == set(extras) - {"all", "dev", "docs"}


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
