"""The plan hands `fit` the batches it would have drawn, in their order, and each batch is rewritten the same always."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from trued.data.prompts import AdversarialRow
from trued.errors import InputError
from trued.language.train.adversarial import UtilityRow, encode_chats
from trued.language.train.mixat.intent import IntentFilter
from trued.language.train.mixat.plan import Rewriting, encode_requests, lay_out
from trued.language.train.mixat.rewriters import PAPRewriter
from trued.language.train.mixat.schedule import schedule_of
from trued.learn.fit.loop import FitConfig, fit

ROWS = [AdversarialRow(f"request number {i}", ("Sure, here", "Of course"), "No, I won't.") for i in range(6)]


@pytest.fixture
def examples(tiny):
    return [*encode_requests(tiny, ROWS), *encode_chats(tiny, [UtilityRow(f"hello {i}", "hi") for i in range(8)])]


def seen_by_fit(dataset, config, tmp_path=None, **options):
    """What a run's batches held, in order."""
    seen, model = [], nn.Linear(1, 1)

    def collate(rows):
        seen.append(rows)
        return rows

    def loss(model, rows):
        return {"loss": model.weight.sum()}

    fit(model, loss, dataset, config, collate=collate, output=tmp_path, progress=False, **options)
    return seen


@pytest.mark.parametrize("accumulation", [1, 3])
def test_fit_gets_the_batches_that_it_would_have_drawn(examples, accumulation):
    config = FitConfig(epochs=2, batch_size=4, accumulation=accumulation, seed=5)
    drawn = seen_by_fit(examples, config)
    batches, own = lay_out(examples, config, schedule_of("mixat"))
    planned = [batch for (batch,) in seen_by_fit(batches, own)]
    assert [batch.number for batch in planned] == list(range(len(planned)))
    assert [list(batch.examples) for batch in planned] == drawn


def test_token_budgets_are_planned_too(examples):
    longest = max(len(e.prompt) + len(getattr(e, "safe", [])) + len(getattr(e, "target", [])) for e in examples)
    config = FitConfig(epochs=1, max_tokens=3 * (longest + 10), seed=1)
    batches, own = lay_out(examples, config, schedule_of("c"))
    held = [example for batch in batches for example in batch.examples]
    assert {id(example) for example in held} == {id(example) for example in examples}
    assert own.max_tokens is None


def test_only_adversarial_batches_use_the_schedule_up(examples):
    schedule = schedule_of("mixat", seed=2)
    batches, _ = lay_out(examples, FitConfig(steps=20, batch_size=2, seed=2), schedule)
    modes = [b.mode for b in sorted(batches, key=lambda b: b.number)]
    adversarial = [mode for mode in modes if mode is not None]
    assert None in modes
    assert adversarial == schedule.modes(len(adversarial))
    assert all((batch.mode is None) == (not batch.requests) for batch in batches)


def rewriting(tiny, batches, **options):
    @contextmanager
    def lend():
        yield tiny

    settings = {"rewriters": {"D": PAPRewriter(per="prompt")}, "keeps": IntentFilter(), "seed": 7, **options}
    return Rewriting(tiny, lend, batches=batches, **settings)


def test_rewrites_depend_on_the_batch_and_not_on_when_it_comes(tiny, examples):
    batches, _ = lay_out(examples, FitConfig(steps=12, batch_size=4, seed=0), schedule_of("d"))
    at_once = {b.number: rewriting(tiny, batches)(b) for b in batches}
    with rewriting(tiny, batches, ahead=3).running() as written_ahead:
        for batch in sorted(batches, key=lambda b: b.number)[5:]:  # as a run that is resumed
            assert written_ahead(batch) == at_once[batch.number]
    texts = {tuple(e.prompt) for rows, _ in at_once.values() for e in rows}
    assert len(texts) > 20  # fresh in every batch


def test_prompts_change_and_replies_do_not(tiny, examples):
    batches, _ = lay_out(examples, FitConfig(steps=6, batch_size=4, seed=0), schedule_of("d"))
    for batch in batches:
        rows, lost = rewriting(tiny, batches)(batch)
        assert lost == 0
        for before, after in zip(batch.examples, rows, strict=True):
            changed = before.prompt != after.prompt
            assert changed == (before in batch.requests)
            if changed:
                assert (after.target, after.safe) == (before.target, before.safe)
                assert before.text in tiny.tokenizer.decode(after.prompt)


def test_a_long_rewrite_is_cut_and_a_lost_one_falls_back(tiny, examples):
    batches, _ = lay_out(examples, FitConfig(steps=6, batch_size=4, seed=0), schedule_of("d"))
    room = max(len(e.prompt) for e in examples) + 24
    cut = rewriting(tiny, batches, max_length=room + 12)
    for batch in batches:
        rows, lost = cut(batch)
        assert lost > 0 or not batch.requests  # the frames put the request behind what is left of them
        for before, after in zip(batch.examples, rows, strict=True):
            if before in batch.requests:
                assert len(after.prompt) + max(len(after.target), len(after.safe)) <= room + 12
                assert before.text in tiny.tokenizer.decode(after.prompt)


class Broken:
    name, reads_model = "broken", False

    def __init__(self, texts):
        self.texts = texts

    def rewrite(self, prompts, *, model, seed):
        return self.texts


@pytest.mark.parametrize("ahead", [0, 2])
def test_bad_rewriters_are_said(tiny, examples, ahead):
    batches, _ = lay_out(examples, FitConfig(steps=2, batch_size=20, seed=0), schedule_of("d"))
    with (
        pytest.raises(InputError, match="broken returned 1 texts for 12"),
        rewriting(tiny, batches, rewriters={"D": Broken(["one"])}, ahead=ahead).running() as run,
    ):
        run(batches[0])
    with rewriting(tiny, batches, rewriters={"D": Broken([""] * 12)}, ahead=ahead).running() as run:
        assert run(batches[0]) == (list(batches[0].examples), 1.0)  # one empty text ends no training
    with pytest.raises(InputError, match="batches of mode D and there is no rewriter"):
        rewriting(tiny, batches, rewriters={})


def test_requests_keep_their_texts(tiny):
    requests = encode_requests(tiny, ROWS[:2])
    assert [r.text for r in requests] == ["request number 0"] * 2 + ["request number 1"] * 2
    assert torch.equal(torch.tensor(requests[0].prompt), torch.tensor(tiny.prompt_ids("request number 0")))
