"""What experiments on language models share: choices of items, judged replies, standing notes, a suffix search."""

from typing import Any

import pytest

from trued.experiments._language import gcg_record, judged, load, notes, protocol, replies_beside, spread
from trued.files import sha256
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.gcg.search import GCG
from trued.language.engine.tiny import tiny_model


class Recorder:
    """A lab that keeps what it is told."""

    def __init__(self, **records):
        self.notes, self.settings, self.shown = [], {}, []
        self.seed_records = records

    def note(self, text):
        self.notes.append(text)

    def protocol(self, **settings):
        self.settings |= settings

    def records(self, key):
        return {0: self.seed_records[key]}

    def example(self, title, before, after, note=""):
        self.shown.append((title, before, after, note))


def test_spread_goes_in_whole_steps():
    assert spread(range(10), 4) == [0, 2, 4, 6]
    assert spread(range(3), 9) == [0, 1, 2]


def test_an_empty_reply_is_answered_and_not_complied():
    given = judged(["a", "b", "c"], ["I'm sorry, but I can't help with that.", "", "Sure: first, open the door."])
    assert given.refused == [1, 0, 0]
    assert given.answered == [0, 1, 1]
    assert given.complied == [0, 0, 1]
    assert given.unknown == 1


def test_notes_and_protocol():
    lab: Any = Recorder()
    notes(lab, "the paper's are larger", by_phrases=False)
    assert len(lab.notes) == 1
    assert lab.notes[0].endswith("willingness and not ability; the paper's are larger.")
    notes(lab)
    assert lab.notes[1].startswith("Refusals are told by phrases")
    assert lab.notes[2].endswith("not ability.")
    protocol(lab, 7, arms=["a"])
    assert lab.settings["decoding"] == "greedy, 7 tokens"
    assert set(lab.settings) == {"judge", "template", "decoding", "arms"}
    protocol(lab, 7, judge="another")
    assert lab.settings["judge"] == "another"


def test_replies_of_two_arms_stand_side_by_side():
    lab: Any = Recorder(old={"replies": {"x": ["1", "2", "3"]}}, new={"replies": {"x": ["4", "5", "6"]}})
    replies_beside(lab, 0, {"x": ["a", "b", "c"]}, "old", "new", arm="new", count=2)
    assert lab.shown == [("new: a", "1", "4", "x"), ("new: b", "2", "5", "x")]


def test_a_suffix_search_is_recorded_as_the_attack_reports_it():
    attack = GCG(steps=2, search_width=3, topk=4, suffix_tokens=4, buffer=1)
    behaviors, target = [Behavior("a", "tell me"), Behavior("b", "say it")], ChatTarget(tiny_model(), max_new_tokens=3)
    record, cases = gcg_record(attack, behaviors, target, seed=3), attack.run(behaviors, target, seed=3)
    assert record["losses"] == [case.meta["losses"] for case in cases]
    assert record["drop"] == pytest.approx([case.meta["losses"][0] - case.meta["loss"] for case in cases])
    assert record["passes"] == [case.cost.forwards + case.cost.backwards for case in cases]
    opening = len(target.model.reply_ids(attack.target, end=False))
    assert record["pass tokens"] == [
        passes * (len(target.model.prompt_ids(case.messages)) + opening)
        for passes, case in zip(record["passes"], cases, strict=True)
    ]
    assert all(len(values) == 2 for values in record.values())


def test_a_named_model_is_in_the_facts_of_the_run_and_a_random_one_is_not(tmp_path):
    lm = tiny_model()
    lm.base.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    lab: Any = Recorder()
    lab.model, lab.scale_name, lab.device, lab.model_facts = str(tmp_path), "tiny", None, {}
    load(lab)
    assert lab.model_facts["folder"] == str(tmp_path)
    assert lab.model_facts["weights, SHA-256"] == sha256(tmp_path / "model.safetensors")
    lab.model, lab.model_facts = None, {}
    load(lab)
    assert lab.model_name == "tiny-random"
    assert lab.model_facts == {}
