"""A tokenizer that merges letters, so that some token sequences do not survive as text."""

import pytest
import torch


@pytest.fixture
def merging():
    """The tiny chat model with a tokenizer that also has the tokens "ab" and "ex"."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from trued.language.engine.model import LanguageModel
    from trued.language.engine.tiny import tiny_model

    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ab", "ex"]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(letters)}, [("a", "b"), ("e", "x")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tiny = tiny_model()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"]
    )
    fast.chat_template = tiny.tokenizer.chat_template
    padded = len(fast) + 6  # a vocabulary padded to a round number, as many checkpoints have
    config = LlamaConfig(**{**tiny.model.config.to_dict(), "vocab_size": padded})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LlamaForCausalLM(config).eval()
    return LanguageModel(network, fast, name="merging")


class Scripted:
    """An attacker model whose reply is a function of the prompt's last message and the seed; it counts its calls."""

    name = "scripted"

    def __init__(self, reply):
        self.reply, self.calls = reply, []

    def generate(self, prompts, *, max_new_tokens, temperature=0.0, top_p=1.0, seed=None):
        self.calls.append(list(prompts))
        last = [prompt if isinstance(prompt, str) else prompt[-1]["content"] for prompt in prompts]
        return [[self.reply(text, seed)] for text in last]


@pytest.fixture
def scripted():
    return Scripted
