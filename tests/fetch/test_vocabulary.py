"""Tokens without embeddings are refused; placeholders for pictures become ordinary text."""

import pytest
import torch
from tokenizers import AddedToken

from trued.errors import InputError
from trued.fetch.vocabulary import fit_vocabulary
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model


def with_tokens(*names: str):
    tokenizer = tiny_model().tokenizer
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return tokenizer


def test_a_tokenizer_that_fits_is_left_alone():
    tokenizer = with_tokens("<|new|>")
    assert fit_vocabulary(tokenizer, len(tokenizer), name="m") is tokenizer
    assert tokenizer.encode("<|new|>") == [len(tokenizer) - 1]


def test_tokens_without_embeddings_are_one_sentence(tmp_path):
    tiny = tiny_model()
    rows = tiny.head.weight.shape[0]
    tiny.model.save_pretrained(tmp_path)
    with_tokens("<|new1|>", "<|new2|>").save_pretrained(tmp_path)
    with pytest.raises(
        InputError, match=rf"2 tokens that the model has no embedding for, such as '<\|new1\|>' \({rows}"
    ):
        LanguageModel.load(tmp_path, dtype=torch.float32)


def test_a_placeholder_for_pictures_is_ordinary_text(tmp_path):
    tiny = tiny_model()
    rows = tiny.head.weight.shape[0]
    tiny.model.save_pretrained(tmp_path)
    with_tokens("<image_soft_token>").save_pretrained(tmp_path)
    lm = LanguageModel.load(tmp_path, dtype=torch.float32)
    ids = lm.tokenizer.encode("see <image_soft_token>")
    assert max(ids) < rows
    assert lm.tokenizer.decode(ids) == "see <image_soft_token>"
    assert lm.logprobs(["<image_soft_token>"], [["no"]])[0][0].isfinite().all()


def test_an_end_of_turn_without_embedding_is_refused_whatever_its_name():
    tokenizer = with_tokens("<image_end>")
    tokenizer.eos_token = "<image_end>"
    with pytest.raises(InputError, match="no embedding for"):
        fit_vocabulary(tokenizer, len(tokenizer) - 1, name="m")
