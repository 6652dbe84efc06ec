"""The Markov source: its conditionals and its law, against enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch

from trued.errors import InputError
from trued.generation.masked.exact_source import MarkovSource

SOURCE = MarkovSource(4, 3, seed=1)
STRINGS = torch.tensor(list(itertools.product(range(3), repeat=4)))


def test_the_law_is_the_chain_and_strings_have_their_number():
    assert SOURCE.number(STRINGS).tolist() == list(range(81))
    law = SOURCE.law()
    assert float(law.sum()) == pytest.approx(1.0)
    for row, p in zip(STRINGS, law, strict=True):
        steps = [SOURCE.transition[a, b] for a, b in itertools.pairwise(row.tolist())]
        assert float(p) == pytest.approx(float(SOURCE.initial[row[0]] * torch.stack(steps).prod()))
    assert (SOURCE.initial @ SOURCE.transition).tolist() == pytest.approx(SOURCE.initial.tolist())


def test_every_conditional_is_what_enumeration_gives():
    law = SOURCE.law()
    for known in itertools.product([True, False], repeat=4):
        for row in STRINGS[::7]:
            ids = row.masked_fill(~torch.tensor(known), 3)[None]
            where = ids == 3
            fits = (STRINGS[:, torch.tensor(known)] == row[torch.tensor(known)]).all(1)
            expected = [
                [float(law[fits & (STRINGS[:, place] == v)].sum() / law[fits].sum()) for v in range(3)]
                for place in range(4)
                if not known[place]
            ]
            result = SOURCE(ids, where).exp()
            assert result[:, 3].tolist() == [0.0] * len(expected)
            assert result[:, :3].tolist() == [pytest.approx(expected_row) for expected_row in expected]


def test_total_variation_of_samples():
    law = SOURCE.law()
    drawn = STRINGS[torch.multinomial(law, 40_000, replacement=True, generator=torch.Generator().manual_seed(0))]
    assert SOURCE.total_variation(drawn) < 0.03
    assert SOURCE.total_variation(STRINGS[:1]) == pytest.approx(1 - float(law[0]))
    with pytest.raises(InputError, match="10 million"):
        MarkovSource(20, 4)
