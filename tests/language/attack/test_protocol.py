"""Digests of models and descriptions of settings: the same for the same, and another one after any change."""

import torch

from trued.data.prompts import Template
from trued.language.attack.attacker import Attacker
from trued.language.attack.contract import ChatTarget
from trued.language.attack.gcg.search import GCG
from trued.language.attack.pair_lite import PAIRLite
from trued.language.attack.pap import PAP
from trued.language.attack.protocol import describe_target, described, weights_digest
from trued.language.attack.scorer import LabelScorer
from trued.language.attack.templates import Templates
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.judge.reply import PhraseJudge


def test_a_weights_digest_changes_with_training(tiny):
    first = weights_digest(tiny.model)
    assert first == weights_digest(tiny_model().model) != weights_digest(tiny_model(1).model)
    tuned = tiny.with_lora(2, 4)
    start = weights_digest(tuned.model)
    with torch.no_grad():
        for name, parameter in tuned.model.named_parameters():
            if "lora_B" in name:
                parameter += 0.01
    assert len({first, start, weights_digest(tuned.model)}) == 3


def test_a_target_is_told_by_its_template(tiny):
    own = describe_target(ChatTarget(tiny))
    plain = describe_target(ChatTarget(LanguageModel(tiny.model, tiny.tokenizer, template="none")))
    given = describe_target(ChatTarget(LanguageModel(tiny.model, tiny.tokenizer, template="{{ messages[0].content }}")))
    assert own["template"].startswith("the tokenizer's own (")
    assert plain["template"] == "none (plain text)"
    assert given["template"].startswith("given (")
    assert "notes" not in own
    assert "shows no reply" in given["notes"][0]
    assert own["weights"] == plain["weights"]
    assert own["dtype"] == "float32"


def test_settings_are_json_with_models_by_name(scripted):
    assert described(GCG(steps=7))["GCG"]["steps"] == 7
    judge = PhraseJudge(window=7)
    assert described(PAIRLite(LabelScorer(judge)))["PAIRLite"]["scorer"] == {"LabelScorer": {"judge": judge.name}}
    settings = described(PAP(Attacker(scripted(None)), techniques=3))["PAP"]
    assert settings["techniques"] == 3
    assert settings["attacker"]["Attacker"]["model"] == "scripted"
    first, second = (described(Templates(pool=(Template("t", "f", text + " {prompt}"),))) for text in "ab")
    assert first != second
