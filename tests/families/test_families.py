"""The families that most people use, in every check; and the page of all families, as the sweep left it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from families.kinds import KINDS
from families.outcome import Different, NoReference, Outcome, outcome_of
from families.page import families_on_page, read_table, save_table, write_page
from families.sweep import sweep
from trued.errors import InputError

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
FAST = {
    "language": (
        "llama", "qwen3", "gemma3_text", "phi3", "mistral", "gpt_oss", "granitemoehybrid", "gpt2", "bloom", "mamba2",
    ),
    "images": ("clip", "convnext", "sam_vision_model", "vit", "vit_mae"),
    "texts": ("bert", "clip", "fnet", "qwen3", "roberta", "t5"),
}  # fmt: skip
CHECKED = ("llama", "qwen3", "gemma3_text", "phi3", "mistral", "gpt_oss", "granitemoehybrid", "gpt2")
FEW = "--harmful 2 --prefilled 2 --lookalikes 2 --general 2 --attacked 2 --max-new-tokens 2 --steps 1 --prefill 1"
FURTHER = {
    "doge": ("gradients",),  # a mask that is learned
    "gemma3n_text": ("hidden", "lora_step"),  # several streams between layers; outputs that are changed in place
    "gemma4_text": ("gradients",),  # embeddings that are looked up among the ids'
    "hy_v4": ("hidden",),  # several streams, none of which is the state of a token
    "llama4_text": ("lora_step",),  # a router that is linear by its class alone
    "jamba": ("gradients",),  # norms of parts of a split
}
CONVOLUTIONAL = "is convolutional and has no first token: use pool='mean'"
REFUSALS = {
    ("convnext", "first_token"): CONVOLUTIONAL,
    ("sam_vision_model", "first_token"): CONVOLUTIONAL,
    ("hy_v4", "hidden"): "layer 1 has no one state a token",
}


@pytest.mark.parametrize(("kind", "family"), [(kind, name) for kind, names in FAST.items() for name in names])
def test_a_family_gives_what_plain_transformers_gives(kind, family):
    compare(kind, family, list(KINDS[kind].checks))


@pytest.mark.parametrize(("family", "checks"), FURTHER.items())
def test_what_sets_a_family_apart(family, checks):
    compare("language", family, checks)


def compare(kind: str, family: str, checks: Sequence[str]) -> None:
    """Run checks, and expect each of them to be ok or a refusal that is listed."""
    outcomes: dict[str, Outcome] = {}
    KINDS[kind].run(family, checks, outcomes.__setitem__)
    assert list(outcomes) == list(checks)
    for check, outcome in outcomes.items():
        if (family, check) in REFUSALS:
            assert outcome.kind == "refused"
            assert outcome.words.endswith(REFUSALS[family, check])
        else:
            assert outcome.kind == "ok", f"{check}: {outcome}"


@pytest.mark.parametrize("family", CHECKED)
def test_check_runs_from_the_command_line(family, capsys):
    from trued.cli.main import main

    with KINDS["language"].subject(family) as subject:
        assert main(["check", str(subject.folder), "--json", *FEW.split()]) == 0
    numbers = {metric["id"]: metric for metric in json.loads(capsys.readouterr().out)["metrics"]}
    assert {numbers[f"asr.{way}"]["n"] for way in ("direct", "templates")} == {2}
    assert numbers["perplexity"]["value"] > 1
    assert numbers["target-ce.0.05"]["value"] > 0


# -- the page ----------------------------------------------------------------------------------------------------------


def test_no_family_of_the_page_is_wrong_or_crashes():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) > 300
    assert [row for row in rows if "WRONG" in row or "CRASH" in row or "not run" in row] == []


def test_the_page_has_the_families_of_the_transformers_that_it_names():
    import transformers

    page = PAGE.read_text(encoding="utf-8")
    if f"transformers {transformers.__version__} " not in page:
        pytest.skip("the page was made with another version of transformers: run `make families`")
    assert list(families_on_page(page).values()) == [kind.families() for kind in KINDS.values()]


def test_a_page_shows_each_note_once_and_a_fault_as_a_fault(tmp_path):
    outcomes = {
        "a": {"load": Outcome("ok", difference=0.0), "greedy": Outcome("refused", "no *such* thing")},
        "b": {"load": Outcome("WRONG", difference=0.25), "greedy": Outcome("refused", "no *such* thing")},
    }
    stored = str(tmp_path / "table.json")
    save_table(stored, {"language": outcomes})
    path = tmp_path / "page.md"
    columns = {"language": (["a", "b", "c"], ["load", "greedy"])}
    write_page(str(path), read_table(stored), {**columns, "images": ([], []), "texts": ([], [])})
    page = path.read_text(encoding="utf-8")
    assert "| `a` | ✓ | refused 1 |\n| `b` | **WRONG** 2 | refused 1 |\n| `c` | not run | not run |" in page
    assert "1. no \\*such\\* thing\n2. off by 2.5e-01\n" in page
    assert families_on_page(page) == {"Language models": ["a", "b", "c"]}


# -- the sweep ---------------------------------------------------------------------------------------------------------


def test_outcomes_of_checks():
    def fail(error):
        def check():
            raise error

        return outcome_of(check)

    assert outcome_of(lambda: 1e-5).kind == "ok"
    assert outcome_of(lambda: 1e-3).kind == outcome_of(lambda: float("nan")).kind == "WRONG"
    assert str(fail(InputError("not this one"))) == "refused: not this one"
    assert str(fail(NoReference("none"))) == "no reference: none"
    assert str(fail(Different("another text"))) == "WRONG: another text"
    assert str(fail(KeyError("x"))).startswith("CRASH: KeyError: 'x' (families/test_families.py:")


def test_a_family_that_hangs_or_dies_ends_neither_the_sweep_nor_what_it_said():
    def subject(name, checks, report):
        report("load", Outcome("ok", difference=0.0))
        if name == "hangs":
            time.sleep(60)
        if name == "dies":
            import os

            os._exit(3)
        report("greedy", Outcome("ok", difference=0.0))

    rows = {row.family: row.outcomes for row in sweep(["hangs", "dies", "works"], ["load", "greedy"], subject, jobs=3,
                                                      patience=6)}  # fmt: skip
    assert {name: outcomes["load"].kind for name, outcomes in rows.items()} == dict.fromkeys(rows, "ok")
    assert rows["works"]["greedy"].kind == "ok"
    assert str(rows["dies"]["greedy"]) == "CRASH: the process ended with code 3"
    assert str(rows["hangs"]["greedy"]) == "CRASH: no answer in 6 seconds"
