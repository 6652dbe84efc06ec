"""Masked models with their tokenizer: prompts with gaps, folders, Hugging Face models, and what is refused."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,  # pyright: ignore[reportAttributeAccessIssue]
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
)

from trued.data.plays import read_bpe, train_bpe
from trued.errors import InputError
from trued.generation.masked import text as masked_text
from trued.generation.masked.model import HuggingFaceMaskedLM, MaskedConfig, TinyMaskedLM
from trued.generation.masked.sampler import MaskedSampler
from trued.generation.masked.text import MaskedText, plays_model, save_tiny

BPE = train_bpe(["to be or not to be that is the question " * 4], 280)


@pytest.fixture
def small():
    return MaskedText.tiny(TinyMaskedLM(MaskedConfig(280, 12, 8, 1, 2)).eval(), read_bpe(BPE), "small")


def test_gaps_stand_where_the_prompt_says_and_behind_it(small):
    ids = small.start("to be[MASK] not", None, 2)
    tokens = read_bpe(BPE)
    expected = [*tokens.encode("to be").ids, 279, *tokens.encode(" not").ids]
    assert ids.tolist() == [expected, expected]
    assert small.start("to", 5, 1).tolist() == [[*tokens.encode("to").ids, *[279] * (5 - len(tokens.encode("to").ids))]]
    assert small.start("", 3, 1).tolist() == [[279] * 3]
    for prompt, length, batch, message in (
        ("to be or not", 1, 1, "give a length above it"), ("", None, 1, "give a prompt or a length"),
        ("", 3, 0, "at least 1 sequence"), ("", 13, 1, "small takes 12 at most"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            small.start(prompt, length, batch)


def test_a_folder_gives_the_same_model_back(small, tmp_path):
    save_tiny(small.model, BPE, tmp_path / "m")
    again = MaskedText.load(tmp_path / "m")
    ids, where = small.start("", 6, 1), torch.ones(1, 6, dtype=torch.bool)
    assert torch.equal(small.model(ids, where), again.model(ids, where))
    assert again.texts(torch.tensor([again.encode("to be")])) == ["to be"]
    config = tmp_path / "m" / "config.json"
    whole = config.read_text()
    config.write_text(whole.replace('"width"', '"breadth"'))
    with pytest.raises(InputError, match="does not hold a whole model"):
        MaskedText.load(tmp_path / "m")
    config.write_text(whole)
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(InputError, match="does not hold a whole model"):
        MaskedText.load(tmp_path / "m")


def test_a_hugging_face_model_is_filled_between_its_special_tokens(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "to", "be", "or", "not"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "m")
    shape = BertConfig(
        vocab_size=9, max_position_embeddings=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    BertForMaskedLM(shape).save_pretrained(tmp_path / "m")
    text = MaskedText.load(tmp_path / "m")
    start = text.start("to [MASK] or", None, 3)
    assert start.tolist() == [[2, 5, 4, 7, 3]] * 3
    result = MaskedSampler().sample(text.model, start, generator=torch.Generator().manual_seed(0))
    assert result.calls == 1
    assert bool((result.ids != 4).all())
    assert all(line.startswith("to ") and line.endswith(" or") for line in text.texts(result.ids))
    with pytest.raises(InputError, match="takes 10 at most"):
        text.start("", 11, 1)


def test_what_is_no_masked_model_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not load as a masked language model"):
        MaskedText.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="device 'gpu' is not on this machine"):
        MaskedText.load(tmp_path / "nothing", device="gpu")


def test_special_tokens_and_nameless_ids_are_never_drawn(tmp_path):
    """Even by a model that finds them likeliest."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "to", "be", "or", "not"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "m")
    shape = BertConfig(
        vocab_size=12, max_position_embeddings=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    model = BertForMaskedLM(shape)
    with torch.no_grad():
        model.cls.predictions.bias[[0, 1, 2, 3, 9, 10, 11]] = 20.0
    model.save_pretrained(tmp_path / "m")
    text = MaskedText.load(tmp_path / "m")
    drawn = MaskedSampler().sample(text.model, text.start("", 6, 40), generator=torch.Generator().manual_seed(0)).ids
    assert set(drawn[:, 1:-1].flatten().tolist()) == {5, 6, 7, 8}
    with pytest.raises(InputError, match="forbidden ids 3 to 99"):
        HuggingFaceMaskedLM(model, 4, [3, 99])


def test_a_text_is_as_long_as_the_model_has_positions_for(tmp_path):
    """RoBERTa's positions begin behind its padding id, so two of them are none."""
    shape = RobertaConfig(
        vocab_size=9, max_position_embeddings=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, pad_token_id=1,
    )  # fmt: skip
    words = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "c", "d"])}
    RobertaTokenizer(vocab=words, merges=[]).save_pretrained(tmp_path / "m")
    RobertaForMaskedLM(shape).save_pretrained(tmp_path / "m")
    text = MaskedText.load(tmp_path / "m")
    assert text.longest == 10
    start = text.start("", 8, 1)
    assert start.shape == (1, 10)
    assert bool((MaskedSampler().sample(text.model, start, generator=torch.Generator().manual_seed(0)).ids != 4).all())
    with pytest.raises(InputError, match=r"11 tokens: .* takes 10 at most"):
        text.start("", 9, 1)


def test_the_model_of_the_plays_is_trained_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path))
    monkeypatch.setattr(masked_text, "plays", lambda split: {"one": "to be or not to be that is the question " * 30})
    folder = plays_model(steps=1, vocab=280, length=8)
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert plays_model(steps=1, vocab=280, length=8) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    assert MaskedText.load(folder).longest == 8
