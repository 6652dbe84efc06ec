"""The first suffixes of a search. What it refuses to start from is tested with the search itself."""

import torch

from trued.language.attack.gcg.start import FILLERS, first_suffixes, first_tokens
from trued.language.attack.gcg.suffix import allowed_ids


def test_the_first_suffix_is_the_init_and_the_others_are_fillers_of_its_length(tiny):
    init = first_tokens(tiny, "abcd", 20)
    allowed = allowed_ids(tiny.tokenizer, tiny.config.vocab_size)
    rows = first_suffixes(tiny, init, 9, allowed, torch.Generator().manual_seed(0))
    first, *others = (tiny.tokenizer.decode(row) for row in rows)
    assert first == "abcd"
    assert all(len(text) == 4 and set(text) <= set(FILLERS) for text in others)
    assert len(set(others)) > 4
    few = allowed[:2]  # no filler among them: anything that may be used will do
    assert set(first_suffixes(tiny, init, 9, few, torch.Generator().manual_seed(0))[1:].flatten().tolist()) <= set(
        few.tolist()
    )


def test_without_an_init_it_starts_from_so_many_tokens_of_x(tiny):
    assert tiny.tokenizer.decode(first_tokens(tiny, None, 5)) == "x x x"
    assert len(first_tokens(tiny, None, 20)) == 20
