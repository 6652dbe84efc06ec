"""Sentence embeddings: pooled as defined, whatever the batch."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from trued.cli.papers import search as papers_search
from trued.errors import InputError
from trued.language.engine.embedder import LONGEST, SentenceEmbedder


def tiny_embedder(batch_tokens=64):
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3} | {letter: 4 + i for i, letter in enumerate("abcdefgh")}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")
    config = BertConfig(
        vocab_size=12,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SentenceEmbedder(BertModel(config), tokenizer, batch_tokens=batch_tokens)


EMBED = tiny_embedder()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text("abcdefgh ", max_size=30), max_size=9))
def test_each_vector_is_the_unit_mean_of_its_own_tokens(texts):
    vectors = EMBED(texts)
    assert vectors.shape == (len(texts), 16)
    assert vectors.dtype == np.float32
    for text, vector in zip(texts, vectors, strict=True):
        with torch.no_grad():
            mean = EMBED.model(**EMBED.tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)


def test_batches_respect_their_budget_and_cover_every_text():
    ids = [[1] * length for length in (3, 30, 5, 200, 5, 1)]
    order = sorted(range(6), key=lambda i: len(ids[i]))
    batches = EMBED._batches(order, ids)
    assert [i for batch in batches for i in batch] == order
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(len(ids[i]) for i in batch) <= 64


def test_long_texts_are_cut_where_the_model_was_trained_to():
    long, cut = " ".join("abcdefgh" * 100), " ".join(("abcdefgh" * 100)[: LONGEST - 2])
    a, b = EMBED([long, cut])
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_shorter_limit_reads_only_the_beginning():
    short = SentenceEmbedder(EMBED.model, EMBED.tokenizer, longest=5)
    np.testing.assert_allclose(short(["a b c d e f"]), EMBED(["a b c"]), atol=1e-6)
    assert papers_search.LONGEST == LONGEST, "the command states the limit without loading the model's library"
    for longest in (2, LONGEST + 1):
        with pytest.raises(InputError, match="give 3 to 256"):
            SentenceEmbedder(EMBED.model, EMBED.tokenizer, longest=longest)


def test_vectors_of_bfloat16_are_unit_and_near_those_of_float32():
    rough = SentenceEmbedder(copy.deepcopy(EMBED.model).bfloat16(), EMBED.tokenizer)
    texts = ["a b c d", "h", "g f e d c b a"]
    vectors = rough(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors * EMBED(texts)).sum(1).min() > 0.999


def test_one_string_is_not_a_list_of_letters():
    with pytest.raises(InputError, match="give a list of texts"):
        EMBED("abc")


@pytest.mark.slow
def test_minilm_puts_like_meanings_near():
    texts = ["A man is eating food.", "Someone is having a meal.", "The stock market fell today.", "Equities dropped."]
    vectors = SentenceEmbedder.load()(texts)
    assert vectors.shape == (4, 384)
    cosine = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(cosine), 1, atol=1e-5)
    assert min(cosine[0, 1], cosine[2, 3]) > max(cosine[:2, 2:].max(), 0) + 0.3


def test_an_encoder_that_takes_padding_in_reads_texts_of_one_length_together(tmp_path):
    from transformers import FNetConfig, FNetModel

    config = FNetConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=2, intermediate_size=24, initializer_range=0.5, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        FNetModel(config).save_pretrained(tmp_path)
    EMBED.tokenizer.save_pretrained(tmp_path)
    embedder = SentenceEmbedder.load(tmp_path)
    assert not embedder.masks_padding
    texts = ["a b", "c d e f g h a b c", "e f"]
    for text, vector in zip(texts, embedder(texts), strict=True):
        np.testing.assert_allclose(vector, embedder([text])[0], atol=1e-5)
