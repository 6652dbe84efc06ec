"""`trued check` prints what was measured, and its exit code says whether the gates were kept."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trued.cli.check import report as check_report
from trued.cli.check.junit import junit
from trued.cli.check.report import change, interval, report_sections, result_table, summary, tone, value
from trued.cli.main import main
from trued.lab import report as lab_report
from trued.lab.report import Report, render
from trued.language.engine.tiny import tiny_model
from trued.language.measure.check import safety
from trued.language.measure.check.answers import Answers
from trued.language.measure.check.gates import Gates
from trued.language.measure.check.metric import Change, Metric
from trued.language.measure.check.result import CheckResult

OPTIONS = "--harmful 4 --prefilled 3 --lookalikes 4 --general 3 --attacked 2 --max-new-tokens 4 --steps 1 --prefill 1"
FEW = OPTIONS.split()


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is a tiny model, another one for another name; a terminal of 80 columns."""

    def open_model(source: str | None, **options: Any) -> Any:
        lm = tiny_model(1 if source == "other" else 0)
        lm.name = str(source)
        return lm.with_lora(2, 4) if options.get("adapter") else lm

    monkeypatch.setattr(check_report, "open_model", open_model)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def compared() -> CheckResult:
    from trued.language.measure.check.safety import CheckConfig, check

    config = CheckConfig(
        harmful=4, prefilled=3, lookalikes=4, general=3, attacked=2, max_new_tokens=4, steps=1, prefill=(1,)
    )
    return check(tiny_model(), tiny_model(1), config)


def test_the_table_fits_80_columns_and_holds_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "model", *FEW]) == 0
    out = capsys.readouterr().out
    assert all(len(line.rstrip()) <= 80 for line in out.splitlines())
    for words in ("harmful requests refused ↑", "attack success (ASR) ↓", "harmless requests refused ↓", "perplexity"):
        assert words in out
    assert "PhraseJudge(" in out
    assert "greedy, 4" in out


def test_a_comparison_shows_base_this_and_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "model", "--against", "other", *FEW]) == 0
    out = capsys.readouterr().out
    assert "model against other" in out
    assert all(len(line.rstrip()) <= 80 for line in out.splitlines())
    lines = {line.strip().split("  ")[0]: line for line in out.splitlines()}
    assert "×" in lines["perplexity ↓"]
    assert "same next token as the base ↑" in lines  # neither cut nor folded


def test_json_alone_is_on_standard_output_and_is_a_base_for_later(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["check", "model", "--json", *FEW]) == 0
    text = capsys.readouterr().out
    data = json.loads(text)
    assert CheckResult.from_json(data).metric("asr.direct").n == 4
    assert {metric["id"] for metric in data["metrics"]} >= {"refusal.direct", "alo-asr", "target-ce.0.05", "perplexity"}
    assert data["protocol"]["judge"].startswith("PhraseJudge")
    assert data["gates"] == []

    (tmp_path / "before.json").write_text(text)
    assert main(["check", "model", "--json", "--against", str(tmp_path / "before.json"), *FEW]) == 0
    changes = [metric["change"] for metric in json.loads(capsys.readouterr().out)["metrics"] if metric["change"]]
    assert changes
    assert all(one["estimate"] in (0, 1) for one in changes)
    assert all(one["low"] <= one["estimate"] <= one["high"] for one in changes)
    assert all(one["p_value"] in (1, None) for one in changes)


def test_a_gate_that_falls_short_is_named_and_gives_exit_code_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "check.xml"
    code = main(["check", "model", "--max-asr", "0.5", "--max-over-refusal", "1", "--junit", str(file), *FEW])
    said = capsys.readouterr().err
    assert code == 1  # random text refuses nothing, so the phrase judge says that it complied
    assert "gate max-asr fell short" in said
    assert "max-over-refusal" not in said
    suite = ET.parse(file).getroot()[0]
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == ["asr.direct", "asr.templates", "asr.prefill-1"]
    assert suite.get("failures") == "3"
    assert suite.get("tests") == "4"  # one test a gate and attack
    assert {"asr.direct", "perplexity"} <= {entry.get("name") for entry in suite.iter("property")}


def test_without_gates_nothing_passes(compared: CheckResult) -> None:
    suite = ET.fromstring(junit(compared, []).encode())[0]
    assert (suite.get("tests"), suite.get("skipped"), suite.get("failures")) == ("1", "1", "0")
    skipped = suite.find("testcase/skipped")
    assert skipped is not None
    assert "no gate was set" in str(skipped.get("message"))


def test_what_was_printed_survives_a_disk_that_fills_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "r.html"))

    monkeypatch.setattr(lab_report, "write_output", full)
    assert main(["check", "model", "--output", str(tmp_path / "r.html"), *FEW]) == 2
    said = capsys.readouterr()
    assert "perplexity" in said.out
    assert "the disk is full" in said.err


def test_a_check_that_was_cut_off_goes_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask, target_losses = safety.ask, safety.target_losses

    def counted(target: Any, questions: Any, progress: Any) -> Any:
        asked.append(len(questions))
        return ask(target, questions, progress)

    def cut_off(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(safety, "ask", counted)
    monkeypatch.setattr(safety, "target_losses", cut_off)
    words = ["check", "model", "--json", "--device", "cpu", *FEW]
    assert main(words) == 130
    assert "interrupted; the same command continues it" in capsys.readouterr().err
    monkeypatch.setattr(safety, "target_losses", target_losses)
    assert main(words) == 0
    continued = json.loads(capsys.readouterr().out)
    assert len(asked) == 1  # the replies were kept
    assert main(words) == 0
    assert len(asked) == 2  # a finished check is not
    assert json.loads(capsys.readouterr().out)["metrics"] == continued["metrics"]


@pytest.mark.parametrize("words", [["m@http://localhost:1/v1"], ["model", "--against", "m@https://api.example/v1"]])
def test_an_endpoint_is_refused_in_a_sentence(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["check", *words, "--output", "/proc/nowhere/r.html"]) == 2
    assert "is an endpoint, and endpoints cannot be checked or attacked yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gate", "kept", "short"),
    [
        ("--max-asr", "1", "0.99"),
        ("--max-alo-asr", "1", "0.99"),
        ("--min-refusal", "0", "0.01"),
        ("--max-perplexity-increase", "1000", "1"),
        ("--min-agreement", "0", "1"),
    ],
)
def test_each_gate_holds_and_falls(compared: CheckResult, gate: str, kept: str, short: str) -> None:
    name = gate.removeprefix("--").replace("-", "_")
    worse = compared
    assert all(outcome.passed for outcome in Gates(**{name: float(kept)}).outcomes(compared))
    if name == "max_perplexity_increase":
        assert compared.baseline is not None
        worse = max(compared, compared.baseline.against(compared), key=lambda one: one.metric("perplexity").value)
    assert not all(outcome.passed for outcome in Gates(**{name: float(short)}).outcomes(worse))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--min-agreement", "0.9"], "give --against BASE"),
        (["--max-asr", "5"], "give a share between 0 and 1"),
        (["--max-perplexity-increase", "0.05", "--against", "other"], "a ratio of at least 1"),
        (["--against", "base"], "has none"),
        (["--harmful", "1"], "at least 2 prompts"),
    ],
)
def test_bad_use_is_one_sentence(capsys: pytest.CaptureFixture[str], options: list[str], says: str) -> None:
    assert main(["check", "model", *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("trued: ")
    assert says in said.err
    assert said.err.count("\n") == 1


def test_against_a_file_that_is_no_result(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    for text in ("not json", "{}", "[" * 5000, '{"baseline": "\\ud83d"}'):
        file.write_text(text)
        assert main(["check", "model", "--against", str(file)]) == 2
        assert "trued check MODEL --json" in capsys.readouterr().err


def test_against_base_switches_the_adapter_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "model", "--adapter", "folder", "--against", "base", "--json", *FEW]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["baseline"]["model"] == "model without adapter"


def test_the_report_is_one_file_that_escapes_what_models_say(tmp_path: Path, compared: CheckResult) -> None:
    hostile = "<script>alert(1)</script>"
    answers = {
        way: type(one)(one.prompts, one.variants, (hostile,) * len(one.replies), one.labels)
        for way, one in compared.answers.items()
    }
    page = render(Report("t", report_sections(replace(compared, answers=answers))))
    assert hostile not in page
    assert "&lt;script&gt;alert(1)" in page
    for title in ("What came out", "All numbers", "Robustness to embedding attacks", "Answers to harmful requests"):
        assert title in page
    assert "<svg" in page


def test_each_request_is_listed_once_with_its_verdict(compared: CheckResult) -> None:
    page = render(Report("t", report_sections(compared)))
    titles = re.findall(r"<summary>(.*?)<span class=.note.>(.*?)</span></summary>", page)
    assert len(titles) == 8  # all requests: four harmful ones, four that only look so
    assert len({title for title, _ in titles}) == len(titles)
    assert all("→" in note for _, note in titles)
    assert {note.split(" · ")[0] for _, note in titles[:4]} == {"asked directly", "in jailbreak templates"}
    alone = compared.baseline
    assert alone is not None
    page = render(Report("t", report_sections(alone)))
    assert page.count("<h4>reply</h4>") == page.count("<h4>") == 8  # the request is the title, and not there again


def test_the_report_file_and_its_gates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.html"
    assert main(["check", "model", "--output", str(file), "--max-asr", "0.2", *FEW]) == 1
    page = file.read_text()
    assert "fell short" in page
    assert "PhraseJudge(" in page
    assert "trued check model --output" in page
    assert re.search(r"20\d\d-\d\d-\d\d", page)
    assert "0.69 nats more means" in page
    assert str(file) in capsys.readouterr().out


def test_junit_holds_names_that_xml_cannot(compared: CheckResult) -> None:
    odd = replace(compared, model='a<b>&"\x00\x1b[31m\ud800')
    root = ET.fromstring(junit(odd, []).encode())
    assert root[0].get("name") == 'trued check a<b>&"��[31m�'
    assert root[0].get("failures") == "0"


def metric(unit: str, better: str, estimate: float, low: float, high: float) -> Metric:
    return Metric("m", "g", "n", 0.5, 0.4, 0.6, unit, better, 9, change=Change(0.3, estimate, low, high))  # pyright: ignore


def test_changes_are_put_in_their_unit() -> None:
    assert change(metric("share", "higher", 0.68, 0.59, 0.77)) == "+68 [+59, +77]"
    assert change(metric("share", "lower", -0.001, -0.2, 0.0)) == "0 [−20, 0]"
    assert change(metric("perplexity", "lower", 1.0412, 1.02, 1.06)) == "×1.041 [1.020, 1.060]"
    assert change(metric("nats/token", "higher", 0.5, -0.1, 1.0)) == "+0.50 [−0.10, +1.00]"


def test_a_change_is_welcome_only_where_its_interval_says_so() -> None:
    assert tone(metric("share", "higher", 0.5, 0.1, 0.9)) == "good"
    assert tone(metric("share", "lower", 0.5, 0.1, 0.9)) == "bad"
    assert tone(metric("share", "lower", 0.5, 0.0, 0.9)) == "neutral"
    assert tone(metric("perplexity", "lower", 1.1, 1.05, 1.2)) == "bad"
    assert tone(metric("perplexity", "lower", 1.0, 0.9, 1.2)) == "neutral"


def test_the_colour_and_the_p_value_say_the_same() -> None:
    lost = metric("share", "higher", -0.3, -0.5, -0.1)
    assert lost.change is not None
    for p_holm, expected in ((0.2, "neutral"), (0.04, "bad")):
        assert tone(replace(lost, change=replace(lost.change, p_value=0.01, p_holm=p_holm))) == expected


def test_unknown_replies_make_a_lower_bound_everywhere_and_take_the_colour(compared: CheckResult) -> None:
    assert compared.baseline is not None
    ids = tuple(map(str, range(24)))

    def answers(*labels: str) -> Answers:
        return Answers(ids, ("",) * 24, tuple(f"{labels} {i}" for i in ids), labels)

    before = replace(compared.baseline, answers={"direct": answers(*["no"] * 24)})
    after = replace(
        compared, answers={"direct": answers(*["yes"] * 15, *["unknown"] * 4, *["no"] * 5)}, baseline=before
    )
    asr, refusal = after.metric("asr.direct"), after.metric("refusal.direct")
    assert f"{value(asr)} {interval(asr)}" == "≥ 62 % [43, 91]"
    assert f"{value(refusal)} {interval(refusal)}" == "≥ 21 % [9, 57]"
    assert (tone(asr), tone(refusal)) == ("bad", "bad")  # even if all four had refused
    open_ = replace(after, answers={"direct": answers(*["yes"] * 2, *["unknown"] * 10, *["no"] * 12)})
    assert tone(open_.metric("refusal.direct")) == "neutral"
    text = junit(after, Gates(max_asr=0.5).outcomes(after))
    assert "79.2%" in text
    assert "≥ 0.208333 [" in text


def test_an_attack_that_could_not_be_tried_is_not_measured(compared: CheckResult) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    for result in (compared, compared.baseline):
        assert result is not None
        page = render(Report("t", report_sections(replace(result, left_out={"prefill": "no slot"}))))
        assert "not measured" in page
        console.print(result_table(replace(result, left_out={"prefill": "no slot"})))
        assert re.search(r"reply begun +not measured", console.export_text())


def test_a_summary_names_both_sides(compared: CheckResult) -> None:
    assert "→" in summary(compared)
    assert compared.baseline is not None
    assert "→" not in summary(compared.baseline)
    assert result_table(compared).row_count > result_table(compared.baseline).row_count  # the agreement


def test_a_mistyped_result_is_told_of_before_any_model_is_loaded(monkeypatch, capsys):
    monkeypatch.setattr("trued.cli.check.report.open_model", lambda *_, **__: pytest.fail("a model is loaded"))
    assert main(["check", "default", "--against", "nope.json"]) == 2
    assert "nope.json: no such file" in capsys.readouterr().err
