"""The refusal-tuned base: made once, named by its recipe, merged without rounding, and honest about what it reached."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trued.data.prompts import prompts
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.train import aligned_base as room
from trued.language.train.aligned_base import AlignedRecipe, aligned_model
from trued.language.train.recipe import Recipe, TradeOff

SHORT = Recipe(
    steps=1, batch_size=4, lora_r=2, attack_steps=1, validate_every=1, new_tokens=1, utility_tokens=2,
    attacked_share=0.0, targets=1, lr=0.05,
)  # fmt: skip
RECIPE = AlignedRecipe(recipe=SHORT)


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A saved tiny model, a cache of its own, and no replies, whose generation would take most of the time."""
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(LanguageModel, "generate", lambda self, calls, **_: [["Sure."] for _ in calls])
    lm = tiny_model()
    folder = tmp_path / "base"
    lm.base.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return str(folder)


def test_questions_held_out_are_neither_taught_nor_tested():
    recipe = AlignedRecipe(held_out=2)
    taught, unseen = {row.prompt for row in recipe.taught()}, recipe.unseen_harmful()
    assert len(taught) == 52
    assert len(unseen) == 26 + 26
    assert not taught & {row.prompt for row in unseen}
    assert not {row.prompt for row in unseen} & {row.prompt for row in prompts("harmful", "test")}
    held = recipe.unseen_harmful(validation=False)
    assert {sum(row.category == c for row in held) for c in {row.category for row in held}} == {2}
    assert len(AlignedRecipe(held_out=0).taught()) == 78
    assert len(AlignedRecipe().unseen_harmful()) == 13 + 26


def test_it_is_made_once_and_loads_as_whole_weights(base, monkeypatch):
    made = aligned_model(base, RECIPE, progress=False)
    assert {"model.safetensors", "config.json", "tokenizer.json", "aligned.json"} <= {
        p.name for p in made.folder.iterdir()
    }
    before, after = (LanguageModel.load(f, dtype=torch.float32).base.state_dict() for f in (base, made.folder))
    assert before.keys() == after.keys()
    differ = {name for name in before if not torch.equal(before[name], after[name])}
    assert differ
    assert all("proj" in name for name in differ)
    assert made.about["recipe"]["held_out"] == 1
    assert not made.reached
    monkeypatch.setattr(room, "_make", lambda *_: pytest.fail("it was made again"))
    assert aligned_model(base, RECIPE) == made


def test_another_recipe_or_damage_makes_another(base):
    first = aligned_model(base, RECIPE, progress=False)
    assert first.folder.name != f"aligned-{room._key(base, replace(RECIPE, held_out=2))}"
    assert RECIPE.describe()["hash"] != AlignedRecipe().describe()["hash"]
    weights = first.folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    again = aligned_model(base, RECIPE, progress=False)
    assert again.folder == first.folder
    assert weights.stat().st_size == len(whole)
    (first.folder / "aligned.json").write_text("{")
    assert room._read(first.folder) is None


def test_what_it_is_meant_to_reach():
    recipe = AlignedRecipe()
    assert recipe.reached(TradeOff(8, 0.8, 0.0, 0.1))
    assert not recipe.reached(TradeOff(8, 0.79, 1.0, 0.0))
    assert not recipe.reached(TradeOff(8, 1.0, 1.0, 0.11))


def test_the_command_says_where_it_is_and_whether_it_will_do(base, capsys):
    from trued.cli.main import main

    short = {"steps": 1, "batch-size": 4, "lora-r": 2, "validate-every": 1, "new-tokens": 1, "utility-tokens": 2}
    words = [word for name, value in short.items() for word in (f"--recipe.{name}", str(value))]
    assert main(["align", "base", "--model", base, *words, "--json"]) == 1
    reports = capsys.readouterr()
    about = json.loads(reports.out)
    assert (Path(about["folder"]) / "model.safetensors").exists()
    assert about["recipe"]["recipe"]["steps"] == 1
    assert about["recipe"]["recipe"]["attacked_share"] == 0.0
    assert "at least 80%" in reports.err
