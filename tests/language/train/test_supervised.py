"""Fine-tuning on replies: one row around a shared beginning gives what separate rows give."""

import pytest
import torch

from trued.data.prompts import ReplyRow
from trued.errors import InputError
from trued.language.train.supervised import collate, encode, reply_loss

PROMPT = "Answer shortly. Q: {}"
ROWS = [
    ReplyRow(PROMPT.format("one?"), "yes"),
    ReplyRow(PROMPT.format("a longer one?"), "no, not this", 2.0),
    ReplyRow(PROMPT.format("one?"), "perhaps", 0.5),
]


def plain_loss(lm, rows):
    """The definition: each reply scored alone, tokens weighted by their row."""
    nll = [
        (-lm.response_logprobs(lm.rows([lm.prompt_ids(r.prompt)], [[lm.reply_ids(r.reply)]])), r.weight) for r in rows
    ]
    return sum(weight * part.sum() for part, weight in nll) / sum(weight * len(part) for part, weight in nll)


def gradient(lm, loss):
    lm.model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in lm.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], [ROWS[0], ROWS[2]]])
def test_loss_and_gradient_are_those_of_separate_rows(tiny, rows):
    lm = tiny.with_lora(2, 4)
    with torch.no_grad():
        for name, p in lm.model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.1)
    result = reply_loss(lm, collate(lm, encode(lm, rows)))
    wanted = plain_loss(lm, rows)
    assert result["loss"].item() == pytest.approx(wanted.item(), rel=1e-5)
    ours, theirs = gradient(lm, result["loss"]), gradient(lm, wanted)
    assert ours.keys() == theirs.keys()
    assert ours
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-6, msg=name)


def test_the_shared_beginning_is_computed_once(tiny):
    batch = collate(tiny, encode(tiny, ROWS))
    alone = [collate(tiny, encode(tiny, [row])).rows.tokens for row in ROWS]
    shared = len(tiny.prompt_ids(PROMPT.format("one?"))) - len(
        tiny.reply_ids("one?<|im_end|>\n<|im_start|>assistant\n", end=False)
    )
    assert batch.rows.tokens == sum(alone) - 2 * shared
    assert batch.is_reply.sum() == sum(len(tiny.reply_ids(row.reply)) for row in ROWS)


def test_prompts_without_anything_in_common_are_rows_of_their_own(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "prompt_ids", lambda prompt: list(prompt.encode())[:9])
    rows = [ReplyRow("abc", "x"), ReplyRow("xyz and more", "longer")]
    result = reply_loss(tiny, collate(tiny, encode(tiny, rows)))
    assert result["loss"].item() == pytest.approx(plain_loss(tiny, rows).item(), rel=1e-5)


def test_weights_count_as_so_many_equal_rows(tiny):
    once = reply_loss(tiny, collate(tiny, encode(tiny, [ROWS[0], ReplyRow(ROWS[1].prompt, ROWS[1].reply, 3)])))
    often = reply_loss(tiny, collate(tiny, encode(tiny, [ROWS[0], *[ReplyRow(ROWS[1].prompt, ROWS[1].reply)] * 3])))
    assert once["loss"].item() == pytest.approx(often["loss"].item(), rel=1e-5)
    assert once["weight"] == often["weight"]


def test_bad_rows_are_named(tiny):
    with pytest.raises(InputError, match="nothing to train on"):
        encode(tiny, [])
    with pytest.raises(InputError, match="row 2: the reply is ' '"):
        encode(tiny, [ROWS[0], ReplyRow("q", " ")])
    with pytest.raises(InputError, match=r"row 1: .* weight 0"):
        encode(tiny, [ReplyRow("q", "r", 0)])
    with pytest.raises(InputError, match=r"row 1: prompt and reply are \d+ tokens .* holds 2048"):
        encode(tiny, [ReplyRow("q" * 3000, "r")])
