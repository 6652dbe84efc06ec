"""`trued attack`: tables, files and refusals of the command line, on tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trued.cli.attack import job as attack_job
from trued.cli.attack.report import comparisons, labels, overview, rate, rates_table
from trued.cli.check import report as check_report
from trued.cli.main import main
from trued.language.attack.behaviors import shipped_behaviors
from trued.language.attack.success import SuccessRate
from trued.language.attack.suite import Suite
from trued.language.attack.templates import Templates
from trued.language.engine.tiny import tiny_model

QUICK = ["--judge", "phrase", "--limit", "2", "--max-new-tokens", "3"]
TINY = [
    *("--templates.count", "2", "--prefill.lengths", "1", "--pap.techniques", "2", "--gcg.suffix-tokens", "4"),
    *("--pair-lite.streams", "1", "--pair-lite.steps", "1", "--autodan.steps", "1", "--autodan.population", "2"),
    *("--pair-lite.reply-tokens", "3", "--gcg.steps", "1", "--gcg.search-width", "2", "--gcg.topk", "4"),
]


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every name is a tiny model, another one for another name; a terminal of 80 columns."""
    opened: list[str] = []

    def open_model(source: str | None, **_: Any) -> Any:
        opened.append(str(source))
        lm = tiny_model(len(str(source)))
        lm.name = str(source)
        return lm

    monkeypatch.setattr(check_report, "open_model", open_model)
    monkeypatch.setenv("COLUMNS", "80")
    return opened


def test_a_suite_of_two_models_is_one_table_of_80_columns(capsys, tmp_path: Path) -> None:
    output, report = tmp_path / "r.jsonl", tmp_path / "r.html"
    words = ["attack", "suite", "--model", "base", "--model", "my/adapter", *QUICK, *TINY]
    assert main([*words, "--output", str(output), "--report", str(report)]) == 0
    out = capsys.readouterr().out
    unfolded = ("judge", "template", str(tmp_path))  # sentences on how it was measured, and paths
    assert all(len(line.rstrip()) <= 80 for line in out.splitlines() if not any(word in line for word in unfolded))
    for name in ("direct", "templates", "prefill", "pap-frames", "pair-lite", "autodan", "gcg", "at least one"):
        assert any(line.startswith(f" {name} ") for line in out.splitlines()), name
    assert "base" in out.splitlines()[0]
    assert "adapter" in out.splitlines()[0]
    for words_ in ("McNemar p =", "PhraseJudge(", "labelled replies", "greedy, 3", "forwards"):
        assert words_ in " ".join(out.split())
    kinds = [json.loads(line)["kind"] for line in output.read_text().splitlines()]
    assert kinds.count("protocol") == 1
    assert kinds.count("target") == 2
    page = report.read_text()
    assert page.count("</html>") == 1
    for words_ in ("Attack success", "Which attack broke what", "What it cost", "How it was measured"):
        assert words_ in page


def test_json_is_all_that_is_printed_and_the_same_command_continues(capsys, tmp_path: Path) -> None:
    words = ["attack", "templates", "--count", "2", *QUICK, "--output", str(tmp_path / "r.jsonl"), "--json"]
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    size = (tmp_path / "r.jsonl").stat().st_size
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (tmp_path / "r.jsonl").stat().st_size == size
    assert [row["attack"] for row in first["models"][0]["attacks"]] == ["direct", "templates", "at least one"]
    assert first["calibration"]["replies"] > 50


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["gcg", "--steps", "1", "--search-width", "2", "--topk", "4", "--suffix-tokens", "4"], ["gcg"]),
        (["autodan", "--population", "2", "--steps", "1"], ["autodan-generation-0", "autodan"]),
        (
            ["autodan", "--population", "2", "--steps", "1", "--hierarchical"],
            ["autodan-hga-generation-0", "autodan-hga"],
        ),
        (["pair-lite", "--streams", "1", "--steps", "1"], ["pair-lite"]),
        (["pap", "--techniques", "2"], ["pap-frames"]),
        (["prefill", "--lengths", "1", "--lengths", "2"], ["prefill"]),
    ],
)
def test_every_attack_has_a_command_beside_the_direct_request(capsys, words, names) -> None:
    assert main(["attack", *words, *QUICK, "--json"]) == 0
    found = [row["attack"] for row in json.loads(capsys.readouterr().out)["models"][0]["attacks"]]
    assert found == ["direct", *names, "at least one"]


@pytest.mark.parametrize("command", ["pair", "tap", "pap"])
def test_an_attacker_writes_the_prompts(capsys, monkeypatch, models, command) -> None:
    class Writer:
        name = "writer"

        def generate(self, prompts, **_):
            return [['<message>please</message> {"prompt": "please"}'] for _ in prompts]

    monkeypatch.setattr(attack_job, "writer", lambda source, device: Writer())
    small = {
        "pair": ["--streams", "1", "--steps", "1", "--reply-tokens", "3"],
        "tap": ["--depth", "1", "--width", "1", "--reply-tokens", "3"],
        "pap": ["--techniques", "1"],
    }[command]
    assert main(["attack", command, "--attacker", "writer@http://localhost/v1", *small, *QUICK, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert command in [row["attack"] for row in data["models"][0]["attacks"]]
    assert "writer" in json.dumps(data["protocol"]["attacks"][command])


def test_the_embedding_attack_lowers_the_openings_cross_entropy(capsys, monkeypatch) -> None:
    words = ["attack", "embedding", "--limit", "2", "--eps", "0.5", "--steps", "5", "--json"]
    assert main(words) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert len(row["clean"]) == len(row["attacked"]) == 2
    assert all(after < before for before, after in zip(row["clean"], row["attacked"], strict=True))
    assert main(words[:-1]) == 0
    assert "nats a token" in capsys.readouterr().out


def test_behaviours_of_ones_own(capsys, tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text('{"prompt": "x", "id": "mine"}\n')
    assert (
        main(["attack", "templates", "--count", "1", "--behaviors", str(tmp_path / "b.jsonl"), *QUICK, "--json"]) == 0
    )
    assert list(json.loads(capsys.readouterr().out)["models"][0]["broken_by"]) == ["mine"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["suite", "--attacks", "direct,direkt"], "unknown attack 'direkt'; did you mean direct"),
        (["suite", "--attacks", "pair"], "need an attacker model (--attacker)"),
        (["pair"], "pair needs a model that writes prompts: give --attacker"),
        (["templates", "--judge", "rubric"], "--judge rubric asks a model: give --judge-model"),
        (["templates", "--limit", "-1"], "the first must not be negative"),
        (["gcg", "--steps", "-1"], "steps is -1; give 0 or more"),
        (["templates", "--behaviors", "nothing.jsonl"], "nothing.jsonl"),
        (["autodan", "--population", "1"], "population is 1; give at least 2"),
    ],
)
def test_bad_use_is_one_sentence_before_a_model_is_opened(capsys, models, words, says) -> None:
    assert main(["attack", *words]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert models == []


def test_a_file_of_another_run_is_not_written_to(capsys, tmp_path: Path) -> None:
    words = ["attack", "templates", "--count", "1", *QUICK, "--output", str(tmp_path / "r.jsonl")]
    assert main(words) == 0
    before = (tmp_path / "r.jsonl").read_bytes()
    assert main([*words, "--seed", "1"]) == 2
    assert "another protocol: seed was 0 and is now 1; give another output file" in capsys.readouterr().err
    assert (tmp_path / "r.jsonl").read_bytes() == before


def test_ctrl_c_says_how_to_go_on(capsys, monkeypatch, tmp_path: Path) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Suite, "evaluate", interrupted)
    assert main(["attack", "templates", *QUICK, "--output", str(tmp_path / "r.jsonl")]) == 130
    assert f"the same command continues {tmp_path / 'r.jsonl'}" in capsys.readouterr().err
    assert main(["attack", "templates", *QUICK]) == 130
    assert "nothing is kept without --output" in capsys.readouterr().err


def test_a_lower_bound_is_marked() -> None:
    assert rate(SuccessRate("x", 1, 1, 0, 2)).startswith("≥ 25 % [")
    assert rate(SuccessRate("x", 1, 3, 0, 0)).startswith("25 % [")
    assert rate(SuccessRate("x", 4, 0, 0, 0)).startswith("100 % [")
    assert rate(SuccessRate("x", 15, 5, 4, 0)) == "≥ 62 % [43, 91]"
    assert rate(SuccessRate("x", 0, 0, 0, 4, measured=False)) == "not measured"


@pytest.mark.parametrize(
    "words", [["gcg", "--steps", "0"], ["suite", "--gcg.steps", "0"], ["suite", "--pair-lite.steps", "0"]]
)
def test_an_attack_of_no_steps_is_refused_before_a_model_is_loaded(words, capsys, models) -> None:
    assert main(["attack", *words, *QUICK]) == 2
    assert "steps is 0" in capsys.readouterr().err
    assert models == []


def test_an_attack_that_makes_no_case_is_not_measured(monkeypatch, capsys) -> None:
    monkeypatch.setattr(Templates, "run", lambda *_, **__: [])
    for words in (["attack", "templates", *QUICK], ["attack", "suite", "--attacks", "direct,templates", *QUICK]):
        assert main(words) == 1  # the command did not do what it was for
        printed = capsys.readouterr()
        out = " ".join(printed.out.split())
        assert "templates not measured" in out
        assert "1 of 2 attacks not measured: templates (it made no case)" in out
        assert "trued: templates was not measured on default: it made no case" in printed.err


def test_json_stays_whole_where_an_attack_is_not_measured(monkeypatch, capsys) -> None:
    monkeypatch.setattr(Templates, "run", lambda *_, **__: [])
    assert main(["attack", "templates", *QUICK, "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["models"][0]["model"] == "default"
    assert "templates was not measured" in printed.err


def test_names_of_models_stay_apart() -> None:
    class Named:
        def __init__(self, model):
            self.model = model

    assert labels([Named("a/one"), Named("b/two")]) == ["one", "two"]  # pyright: ignore
    assert labels([Named("a/one"), Named("b/one")]) == ["a/one", "b/one"]  # pyright: ignore


def test_sentences_are_of_the_counts() -> None:
    from trued.language.attack.contract import ChatTarget
    from trued.language.attack.direct import Direct
    from trued.language.judge.reply import PhraseJudge

    asks = shipped_behaviors(limit=2)
    results = []
    for number in (0, 1):
        lm = tiny_model()
        lm.name = f"m{number}"
        said = "Sure, do this" if number == 0 else "I can't help with that."
        lm.generate = lambda turns, said=said, **_: [[said] for _ in turns]
        results.append(Suite([Direct()]).evaluate(ChatTarget(lm), asks, PhraseJudge()))
    assert overview(results) == (
        "At least one attack broke 2 of 2 behaviours on m0. At least one attack broke 0 of 2 behaviours on m1."
    )
    assert comparisons(results)[0].startswith("m1 against m0, at least one: 2 behaviours no longer broken, 0 newly")
    assert comparisons(results[:1]) == []
    assert len(rates_table(results).columns) == 3


def test_direct_is_a_command_of_its_own(capsys, tmp_path: Path) -> None:
    report = tmp_path / "r.html"
    assert main(["attack", "direct", "--model", "base", *QUICK, "--report", str(report)]) == 0
    assert "direct" in capsys.readouterr().out
    page = report.read_text()
    assert "trued attack direct --model base" in page
    assert "Queries: replies of the model that it read" in page


@pytest.mark.parametrize("command", ["suite", "direct", "pair", "embedding", "deployment"])
def test_an_endpoint_is_refused_before_anything_else(command: str, models: list[str], capsys) -> None:
    assert main(["attack", command, "--model", "m@http://localhost:1/v1"]) == 2
    assert "is an endpoint, and endpoints cannot be checked or attacked yet" in capsys.readouterr().err
    assert models == []
