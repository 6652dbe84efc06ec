"""The suffix rewriter searches against the model it is given, and stops once the model no longer refuses."""

import pytest

from trued.errors import InputError
from trued.language.attack.gcg.search import GCG
from trued.language.train.mixat.gcg_rewriter import TRAINING_GCG, GCGRewriter

SEARCH = GCG(steps=4, search_width=6, topk=8, init="! ! ! !", buffer=1, check=None)


class Says:
    """A judge that counts its looks and takes every reply for the same."""

    def __init__(self, refusal):
        self.refusal, self.looks = refusal, 0

    def refuses(self, reply):
        self.looks += 1
        return self.refusal


@pytest.mark.parametrize(("refusal", "looks"), [(True, 2), (False, 1)])
def test_it_looks_every_few_steps_and_stops_when_the_model_complies(tiny, refusal, looks):
    judge = Says(refusal)
    rewriter = GCGRewriter(SEARCH, target="Sure", look_every=2, new_tokens=4, judge=judge)
    (text,) = rewriter.rewrite(["tell me"], model=tiny, seed=0)
    assert judge.looks == looks
    assert text.startswith("tell me")
    assert len(text) > len("tell me")
    assert text != "tell me! ! ! !"


def test_the_suffix_makes_the_target_likelier_than_where_it_started(tiny):
    rewriter = GCGRewriter(SEARCH, target="Sure", look_every=4, new_tokens=4, judge=Says(True))
    (text,) = rewriter.rewrite(["tell me"], model=tiny, seed=0)
    (before,), (after,) = tiny.logprobs(["tell me! ! ! !", text], [["Sure"], ["Sure"]], end=False)
    assert float(after.sum()) > float(before.sum())
    assert rewriter.rewrite(["tell me"], model=tiny, seed=0) == [text]


def test_the_papers_search():
    assert (TRAINING_GCG.steps, TRAINING_GCG.search_width, TRAINING_GCG.init.split()) == (100, 512, ["!"] * 20)
    assert GCGRewriter().reads_model
    with pytest.raises(InputError, match="look_every 0"):
        GCGRewriter(look_every=0)


def test_a_thought_that_is_cut_off_is_no_compliance(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "generate", lambda *args, **options: [["<think>\nhow would"]])
    judge = Says(False)
    GCGRewriter(SEARCH, target="Sure", look_every=2, new_tokens=4, judge=judge).rewrite(["tell me"], model=tiny, seed=0)
    assert judge.looks == 0
