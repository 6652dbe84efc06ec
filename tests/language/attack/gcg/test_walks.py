"""Random walks of token replacements, and how many of their suffixes survive as text."""

import torch

from trued.language.attack.contract import user_turn
from trued.language.attack.gcg.suffix import SlottedPrompt, allowed_ids
from trued.language.attack.gcg.walks import random_walks, round_trips

SIZE = {"walks": 2, "steps": 3, "width": 5, "suffix_tokens": 4}


def prompts(lm):
    return [SlottedPrompt.render(lm, user_turn(text)) for text in ("tell me", "say it")]


def test_walks_replace_one_token_a_step(tiny):
    last = random_walks(tiny, prompts(tiny)[0], torch.Generator().manual_seed(0), checked=False, **SIZE)
    assert last.shape[1] == 4
    assert 2 <= len(last) <= 10
    allowed = set(allowed_ids(tiny.tokenizer, tiny.base.get_input_embeddings().weight.shape[0]).tolist())
    assert set(last.flatten().tolist()) <= allowed | set(tiny.tokenizer("x x")["input_ids"])
    again = random_walks(tiny, prompts(tiny)[0], torch.Generator().manual_seed(0), checked=False, **SIZE)
    assert torch.equal(last, again)


def test_a_checked_walk_goes_on_from_survivors_alone(tiny, monkeypatch):
    even = lambda self, rows, check="prompt": rows.sum(1) % 2 == 0  # noqa: E731
    monkeypatch.setattr(SlottedPrompt, "survivors", even)
    last = random_walks(tiny, prompts(tiny)[0], torch.Generator().manual_seed(0), checked=True, **SIZE)
    start = random_walks(tiny, prompts(tiny)[0], torch.Generator(), checked=True, **{**SIZE, "steps": 0})
    assert all(int(row.sum()) % 2 == 0 or row.tolist() in start.tolist() for row in last)


def test_round_trips_are_shares_a_prompt(tiny, monkeypatch):
    monkeypatch.setattr(SlottedPrompt, "survivors", lambda self, rows, check="prompt": rows.sum(1) % 2 == 0)
    shares = round_trips(tiny, prompts(tiny), torch.Generator().manual_seed(0), **SIZE)
    generator = torch.Generator().manual_seed(0)
    walks = [random_walks(tiny, prompts(tiny)[0], generator, checked=kind, **SIZE) for kind in (True, False)]
    expected = [float((rows.sum(1) % 2 == 0).float().mean()) for rows in walks]
    assert shares == {"checked": [expected[0]] * 2, "unchecked": [expected[1]] * 2, "known": [1.0, 1.0]}


def test_of_no_survivors_all_survive(tiny, monkeypatch):
    never = lambda self, rows, check="prompt": torch.zeros(len(rows), dtype=torch.bool)  # noqa: E731
    monkeypatch.setattr(SlottedPrompt, "survivors", never)
    shares = round_trips(tiny, prompts(tiny), torch.Generator().manual_seed(0), **SIZE)
    assert shares == {"checked": [0.0, 0.0], "unchecked": [0.0, 0.0], "known": [1.0, 1.0]}
