"""The deployment study: which settings it asks, that each is what it says, and how replies become rates."""

import json

import pytest
import torch
from torch import nn

from trued.errors import InputError
from trued.language.attack.contract import ChatTarget, TestCase, user_turn
from trued.language.judge.reply import Label, PhraseJudge
from trued.language.measure.deployment import (
    Cell,
    DeploymentGrid,
    Replies,
    Setting,
    deployed,
    deployed_replies,
    rate,
    sample_replies,
    strength,
)

CASES = [TestCase(name, user_turn(text), attack="direct") for name, text in (("a", "tell me"), ("b", "show it all"))]
SMALL = DeploymentGrid(precisions=("float32",), scales=(0.0, 1.0), temperatures=(0.0, 1.0), samples=3, max_new_tokens=4)


@pytest.fixture
def adapted(tiny):
    lm = tiny.with_lora(r=2, alpha=4)
    for name, parameter in lm.model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    return lm


def scores(lm):
    with torch.no_grad():
        rows = lm.rows([lm.prompt_ids("tell me")], [[lm.reply_ids("Sure, here")]])
        return lm.response_logprobs(rows)


def test_each_setting_is_asked_once():
    grid = DeploymentGrid()
    settings = grid.settings()
    assert len(settings) == len(set(settings)) == 4 * 3 + 6 + 3
    assert len(DeploymentGrid(whole=True).settings()) == 4 * 3 * 7 * 4
    assert {s.scale for s in grid.settings(adapter=False)} == {1.0}
    order = [s.precision for s in settings]
    assert order == sorted(order, key=grid.precisions.index)


def test_lambda_scales_what_the_adapter_adds(adapted):
    """W = W0 + lambda (alpha / r) B A, written out on one layer and compared in the whole model's scores."""
    layer = next(m for m in adapted.model.modules() if hasattr(m, "lora_A"))
    x = torch.randn(2, layer.in_features, generator=torch.Generator().manual_seed(0))
    added = layer.lora_B["default"](layer.lora_A["default"](x)) * 2.0  # alpha / r
    for scale in (0.25, 1.5):
        with strength(adapted, scale):
            torch.testing.assert_close(layer(x), layer.base_layer(x) + scale * added)
    torch.testing.assert_close(layer(x), layer.base_layer(x) + added)
    with adapted.adapter(enabled=False):
        bare = scores(adapted)
    with strength(adapted, 0.0):
        torch.testing.assert_close(scores(adapted), bare)
    with strength(adapted, 1.0):
        assert float((scores(adapted) - bare).abs().max()) > 0.1


def test_a_scaled_adapter_serves_folded_in_where_weights_are_floats_and_beside_them_in_int8(adapted):
    from trued.language.engine.precision import in_precision

    for precision in ("float32", "int8"):
        lm = in_precision(adapted, precision)
        with strength(lm, 0.5):
            beside = scores(lm)
        with deployed(lm, Setting(precision=precision, scale=0.5)) as target:
            merged = any(getattr(m, "merged_adapters", None) for m in target.model.model.modules())
            torch.testing.assert_close(scores(target.model), beside, atol=1e-4, rtol=1e-4)
        assert merged == (precision == "float32")


def test_templates_dress_the_prompt_and_are_taken_off_again(adapted):
    texts = {}
    own = adapted.format
    for name in ("own", "none", "other", "safe"):
        with deployed(adapted, Setting(name)) as target:
            texts[name] = target.render(user_turn("tell me"))
    assert len(set(texts.values())) == 4
    assert "<|im_start|>" not in texts["none"]
    assert "careful assistant" in texts["safe"]
    assert adapted.format is own
    with pytest.raises(RuntimeError), deployed(adapted, Setting("none", scale=0.5)):
        raise RuntimeError
    assert adapted.format is own
    assert {tuple(m.scaling.values()) for m in adapted.model.modules() if hasattr(m, "lora_A")} == {(2.0,)}


def test_replies_are_those_of_the_setting(adapted):
    replies = {row.setting: row for row in deployed_replies(adapted, CASES, ["hello"], SMALL)}
    assert set(replies) == set(SMALL.settings())
    greedy = adapted.generate([case.messages for case in CASES], max_new_tokens=4)
    assert replies[Setting()].harmful == greedy
    assert replies[Setting()].benign == adapted.generate(["hello"], max_new_tokens=4)[0]
    with adapted.adapter(enabled=False):
        bare = adapted.generate([case.messages for case in CASES], max_new_tokens=4)
    assert replies[Setting(scale=0.0)].harmful == bare != greedy
    sampled = replies[Setting(temperature=1.0)].harmful
    assert [len(group) for group in sampled] == [3, 3]
    assert len({reply for group in sampled for reply in group}) > 2
    again = list(deployed_replies(adapted, CASES, ["hello"], SMALL, settings=[Setting(temperature=1.0)]))
    assert again[0].harmful == sampled
    assert all(row.tokens > 0 and row.seconds > 0 for row in replies.values())


def test_rates_by_hand():
    replies = Replies(
        Setting(temperature=1.0), [["Sure!", "I can't help with that.", ""], ["I cannot help you.", "", ""]],
        ["Of course.", "I can't help with that."], tokens=9, seconds=1.0,
    )  # fmt: skip
    cell = rate(replies, ["a", "b"], ["c", "d"], PhraseJudge())
    data = cell.to_json()
    assert (data["template"], data["scale"], data["asr"]) == (cell.setting.template, cell.setting.scale, cell.asr)
    assert (data["low"], data["high"]) == (cell.interval.low, cell.interval.high)
    assert json.loads(json.dumps(data)) == data
    assert (cell.samples, cell.asr, cell.asr_at_n, cell.compliance) == (3, 1 / 6, 1 / 2, 1 / 2)
    assert cell.unknown == 1 / 2
    assert cell.interval.low < 0.5 < cell.interval.high

    class Strict:
        name = "strict"

        def label(self, prompts, texts):
            assert prompts == ["a"] * 3 + ["b"] * 3
            return [Label.NO] * len(texts)

    other = rate(Replies(replies.setting, replies.harmful, [], 9, 1.0), ["a", "b"], [], Strict())
    assert (other.asr, other.asr_at_n, other.compliance) == (0, 0, None)
    assert isinstance(other, Cell)
    with pytest.raises(InputError, match="1 requests and 2 benign prompts, and replies to 2 and 2"):
        rate(replies, ["a"], ["c", "d"], PhraseJudge())


def test_any_of_n_is_never_below_the_mean(tiny):
    target = ChatTarget(tiny, max_new_tokens=4)
    groups = sample_replies(target, CASES, n=4, temperature=1.0, seed=0)
    assert groups == sample_replies(target, CASES, n=4, temperature=1.0, seed=0)
    assert groups != sample_replies(target, CASES, n=4, temperature=1.0, seed=1)
    with pytest.raises(InputError, match="8 replies at temperature 0 are 8 times the same one"):
        sample_replies(target, CASES, n=8, temperature=0.0, seed=0)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"templates": ("mine",)}, "templates: unknown 'mine'"),
        ({"precisions": ("int4",)}, "precisions: unknown 'int4'"),
        ({"scales": ()}, "scales is empty"),
        ({"temperatures": (-1.0,)}, "temperatures"),
        ({"samples": 0}, "samples 0"),
    ],
)
def test_grids_that_cannot_be(settings, match):
    with pytest.raises(InputError, match=match):
        DeploymentGrid(**settings)


def test_what_cannot_be_asked(tiny):
    with pytest.raises(InputError, match="no test cases"):
        next(deployed_replies(tiny, []))
    with pytest.raises(InputError, match="has no adapter to scale"), strength(tiny, 0.5):
        pass
