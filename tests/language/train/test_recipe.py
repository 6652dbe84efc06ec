"""The default recipe: what it trains on, what it looks at, and which weights it keeps."""

import pytest

from trued.data.prompts import prompts, safe_replies
from trued.language.judge.reply import Label
from trued.language.train.recipe import Recipe, TradeOff, trade_off


class ScriptedJudge:
    """Calls a reply a refusal where the request's text is in a list."""

    name = "scripted"

    def __init__(self, refused):
        self.refused = set(refused)

    def label(self, requests, replies):
        assert len(requests) == len(replies)
        return [Label.NO if text in self.refused else Label.UNKNOWN for text in requests]


def test_score_charges_needless_refusals_double():
    assert TradeOff(8, 0.8, 0.6, 0.1).score == pytest.approx(0.7 - 0.2)
    blanket = TradeOff(8, 1.0, 1.0, 1.0)
    assert blanket.score < TradeOff(8, 0.2, 0.2, 0.0).score


def test_look_counts_each_kind_of_prompt_apart(tiny):
    harmful = [row.prompt for row in prompts("harmful", "validation")]
    benign = [row.prompt for row in prompts("lookalikes", "validation")]
    look = trade_off(tiny, 3, ScriptedJudge([*harmful[:13], *benign[:6]]), new_tokens=1)
    assert look == TradeOff(3, 13 / len(harmful), 13 / len(harmful), 6 / len(benign))


def test_it_keeps_the_best_look_and_shows_training_no_test_prompt(tiny, monkeypatch):
    seen = []
    original = tiny.format.render
    monkeypatch.setattr(tiny.format, "render", lambda prompt: seen.append(prompt) or original(prompt))
    judge = ScriptedJudge([row.prompt for row in prompts("harmful", "validation")])
    recipe = Recipe(steps=2, batch_size=4, lora_r=2, attack_steps=1, validate_every=1, new_tokens=1, utility_tokens=2)
    tuned, result, looks = recipe.align(tiny, judge=judge, progress=False)
    assert [look.step for look in looks] == [1, 2]
    assert result.best_step == 1  # both looks are the same, so the earlier one is kept
    assert result.best_value == pytest.approx(looks[0].score)
    assert {"away", "toward", "utility"} <= result.history[0].keys()
    texts = [text for text in seen if isinstance(text, str)]
    tested = {row.prompt for kind in ("harmful", "lookalikes", "general") for row in prompts(kind, "test")}
    assert texts
    assert not any(test in text for test in tested for text in texts)
    assert hasattr(tuned.model, "peft_config")


def test_few_refusals_and_openings_take_turns(tiny):
    from trued.data.prompts import adversarial_rows

    rows = adversarial_rows("train", targets=3, refusals=2)
    assert {row.safe_reply for row in rows} == set(safe_replies()[:2])
    assert all(len(set(row.targets)) == 3 for row in rows)
    assert rows[0].targets != rows[1].targets
