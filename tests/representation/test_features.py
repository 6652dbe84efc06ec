"""Features of every layer: pooled over a text's own tokens, and read from modules by hooks."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn
from transformers import RobertaConfig, RobertaModel, RobertaTokenizer

from trued.errors import InputError
from trued.language.engine.tiny import tiny_model
from trued.representation.features import TextEncoder, hashed_words, module_features, pooled_tokens

TEXTS = ["a cat", "the quick brown fox jumps over it", "dog", "two words more"]


@pytest.fixture(scope="module")
def encoder():
    lm = tiny_model()
    return TextEncoder(lm.base.model, lm.tokenizer)


@pytest.mark.parametrize("pool", ["mean", "cls", "last"])
def test_each_text_is_pooled_over_its_own_tokens(encoder, pool):
    result = encoder.features(TEXTS, pool=pool, batch_tokens=40)
    assert result.names == ("layer 0", "layer 1", "layer 2")
    for i, text in enumerate(TEXTS):
        ids = torch.tensor([encoder.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = encoder.model(input_ids=ids, output_hidden_states=True).hidden_states
        for layer, state in zip(result.names, states, strict=True):
            expected = {"mean": state[0].mean(0), "cls": state[0, 0], "last": state[0, -1]}[pool]
            torch.testing.assert_close(result[layer][i], expected.float(), atol=1e-4, rtol=1e-3)


def test_padding_on_either_side_is_left_out():
    states = torch.arange(12.0).reshape(1, 4, 3)
    left, right = torch.tensor([[0, 1, 1, 1]]), torch.tensor([[1, 1, 1, 0]])
    assert pooled_tokens(states, left, "cls").tolist() == [[3, 4, 5]]
    assert pooled_tokens(states, left, "last").tolist() == [[9, 10, 11]]
    assert pooled_tokens(states, right, "last").tolist() == [[6, 7, 8]]
    assert pooled_tokens(states, right, "mean").tolist() == [[3, 4, 5]]


def test_bad_texts_are_refused(encoder, tmp_path):
    with pytest.raises(InputError, match="one string or empty"):
        encoder.features("a cat")
    with pytest.raises(InputError, match="one string or empty"):
        encoder.features([])
    with pytest.raises(InputError, match="text 1 is empty"):
        encoder.features(["a", ""])
    with pytest.raises(InputError, match="unknown pooling 'max'"):
        encoder.features(["a"], pool="max")
    with pytest.raises(InputError, match="no text encoder"):
        TextEncoder.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="device 'banana' is not on this machine"):
        TextEncoder.load(tmp_path / "nothing", device="banana")


def test_features_can_be_trained_on(encoder):
    features = encoder.features(TEXTS)["layer 1"]
    assert not features.is_inference()
    head = nn.Linear(features.shape[1], 2)
    head(features).sum().backward()
    assert head.weight.grad is not None


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """A RoBERTa of 12 positions, two of which lie at and before its padding id."""
    folder = tmp_path_factory.mktemp("roberta")
    words = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "c", "d"])}
    RobertaTokenizer(vocab=words, merges=[]).save_pretrained(folder)
    shape = RobertaConfig(
        vocab_size=9, max_position_embeddings=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, pad_token_id=1,
    )  # fmt: skip
    RobertaModel(shape).save_pretrained(folder)
    return folder


def test_a_text_that_is_longer_than_the_usable_positions_is_cut_off(roberta):
    encoder = TextEncoder.load(roberta)
    whole, more = encoder.features(["abcdabcd"]), encoder.features(["abcdabcdabcdabcd"])
    assert torch.equal(whole["layer 1"], more["layer 1"])  # eight letters between the ends


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", b"{"), ("config.json", b"\xff"), ("model.safetensors", b"cut off"), ("config.json", b"[]")],
)
def test_a_folder_with_broken_files_is_one_sentence(roberta, tmp_path, name, content):
    shutil.copytree(roberta, tmp_path / "m")
    (tmp_path / "m" / name).write_bytes(content)
    with pytest.raises(InputError, match=r"no text encoder .*: give "):
        TextEncoder.load(tmp_path / "m")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)

    def forward(self, x, scale=1.0):
        return self.head(self.drop(self.conv(x)).mean((2, 3)) * scale)


def test_named_modules_of_any_network_are_read_by_hooks():
    net, batches = Net().train(), [torch.randn(3, 3, 4, 5), torch.randn(2, 3, 4, 5)]
    result = module_features(net, batches, ["conv", "head"])
    whole = torch.cat(batches)
    with torch.no_grad():
        maps = net.conv(whole)
        torch.testing.assert_close(result["conv"], maps.mean((2, 3)))
        torch.testing.assert_close(result["head"], net.head(maps.mean((2, 3))))
    assert net.training
    assert not net.conv._forward_hooks
    named = module_features(net, [{"x": whole, "scale": 2.0}], ["head"])["head"]
    assert torch.equal(named, module_features(net, [(whole, 2.0)], ["head"])["head"])
    assert not torch.equal(named, result["head"])


def test_modules_that_cannot_be_read_are_refused():
    net = Net()
    with pytest.raises(InputError, match="no module 'cnv'; did you mean conv"):
        module_features(net, [torch.zeros(1, 3, 2, 2)], ["cnv"])
    with pytest.raises(InputError, match="nothing to read"):
        module_features(net, [], ["conv"])
    with pytest.raises(InputError, match="two to four dimensions"):
        module_features(nn.Sequential(nn.Flatten(0)), [torch.zeros(1, 3)], ["0"])


def test_hashed_words_count_each_word_at_its_own_place():
    rows = hashed_words(["red house", "house red", "red red", ""], width=64)
    assert rows.shape == (4, 64)
    assert torch.equal(rows[0], rows[1])
    assert rows.sum(1).tolist() == [2, 2, 2, 0]
    assert rows[2].max() == 2
    assert torch.equal(hashed_words(["red house"], width=64)[0], rows[0])
