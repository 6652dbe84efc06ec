"""The part of a model that reads texts, and texts of different lengths in one batch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from trued.errors import InputError
from trued.language.engine.text_part import embedding_rows, padding_is_masked, text_part

SHORT, LONG = [3, 1], [4, 1, 5, 9, 2, 6]
TABLE = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))


def layers(rows, mix=lambda states, mask: states):
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return mask, [TABLE[ids], mix(TABLE[ids], mask)]


def test_padding_that_is_masked_and_padding_that_is_not():
    def masked_mean(states, mask):
        weights = mask[..., None].float()
        return states + (states * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)

    assert padding_is_masked(lambda rows: layers(rows, masked_mean), SHORT, LONG, "masked")
    assert not padding_is_masked(
        lambda rows: layers(rows, lambda states, _: states + states.mean(1, keepdim=True)), SHORT, LONG, "not masked"
    )


def test_what_gives_no_features_of_texts_is_refused_in_a_sentence():
    def failing(rows):
        raise TypeError("forward() takes pictures")

    with pytest.raises(InputError, match=r"'x' does not read texts \(forward\(\) takes pictures\)"):
        padding_is_masked(failing, SHORT, LONG, "x")
    with pytest.raises(InputError, match="'x' gives no states of a text's tokens"):
        padding_is_masked(lambda rows: (layers(rows)[0], None), SHORT, LONG, "x")  # pyright: ignore
    with pytest.raises(InputError, match="'x' gives no states of a text's tokens"):
        padding_is_masked(lambda rows: (layers(rows)[0], [TABLE[None, :1]]), SHORT, LONG, "x")
    with pytest.raises(InputError, match="'x' gives other features each time"):
        padding_is_masked(
            lambda rows: layers(rows, lambda states, _: states + torch.rand(states.shape)), SHORT, LONG, "x"
        )


def test_the_half_for_texts_and_the_encoder():
    encoder = SimpleNamespace(config=SimpleNamespace())
    both = SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=True), get_encoder=lambda: encoder)
    assert text_part(both) is encoder
    assert text_part(SimpleNamespace(text_model=encoder)) is encoder
    assert text_part(encoder) is encoder


def test_rows_of_embeddings():
    class Hashed:
        def get_input_embeddings(self):
            raise NotImplementedError

    module = torch.nn.Embedding(7, 2)
    assert embedding_rows(SimpleNamespace(get_input_embeddings=lambda: module)) == 7
    assert embedding_rows(Hashed()) is None
