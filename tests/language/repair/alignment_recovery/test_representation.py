"""States half-way up a model against plain forward passes, and which weights may change."""

import pytest
import torch

from trued.errors import InputError
from trued.language.engine.tiny import tiny_model
from trued.language.repair.alignment_recovery.representation import (
    all_states,
    decoder_layers,
    direction,
    one_minus_cosine,
    repairable,
    states,
)

CHATS = ["hello there", "a", "what is all of this about?"]
PLAIN = [[5, 3, 4], [7, 8, 1, 2], [9, 9]]


def by_hand(lm, prompts, depth, position):
    outs = [lm.backbone(input_ids=torch.tensor([p]), output_hidden_states=True).hidden_states for p in prompts]
    return torch.stack([out[depth][0, position] for out in outs])


@pytest.mark.parametrize("position", [-1, -2])
@pytest.mark.parametrize("shared", [True, False])
def test_states_are_those_of_a_prompt_alone(shared, position):
    lm = tiny_model(layers=3)
    prompts = [lm.prompt_ids(text) for text in CHATS] if shared else PLAIN
    expected = by_hand(lm, prompts, 2, position)
    torch.testing.assert_close(states(lm, prompts, depth=2, position=position), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(all_states(lm, prompts, depth=2, position=position), expected, atol=1e-5, rtol=1e-4)
    single = [states(lm, [prompt], depth=2, position=position)[0] for prompt in prompts]
    torch.testing.assert_close(torch.stack(single), expected, atol=1e-5, rtol=1e-4)


def test_the_gradient_is_that_of_prompts_alone_and_stays_below_the_cut():
    lm = tiny_model(layers=3)
    prompts = [lm.prompt_ids(text) for text in CHATS]
    parameters = repairable(lm, 2)
    result = torch.autograd.grad(states(lm, prompts, depth=2).mean(0).sum(), list(parameters.values()))
    expected = torch.autograd.grad(by_hand(lm, prompts, 2, -1).mean(0).sum(), list(parameters.values()))
    for a, b in zip(result, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_norms_embeddings_and_deeper_layers_never_change():
    lm = tiny_model(layers=3)
    names = list(repairable(lm, 2))
    assert len(names) == 2 * 7
    assert not [n for n in names if "norm" in n or "embed" in n or "layers.2" in n]
    assert len(decoder_layers(lm)) == 3


def test_a_norm_is_told_by_its_class_and_not_by_its_name():
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from trued.language.engine.model import LanguageModel

    config = Qwen3Config(
        vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    lm = LanguageModel(Qwen3ForCausalLM(config), tiny_model().tokenizer)
    assert any("q_norm" in name for name, _ in lm.base.named_parameters())
    assert not [name for name in repairable(lm, 2) if "norm" in name]


@pytest.mark.parametrize(
    ("depth", "position", "message"),
    [
        (0, -1, "layers 1 to 2"),
        (3, -1, "layers 1 to 2"),
        (1, 0, "count from the end"),
        (1, -3, "shortest prompt has"),
    ],
)
def test_what_cannot_be_read_is_named(tiny, depth, position, message):
    with pytest.raises(InputError, match=message):
        states(tiny, PLAIN, depth=depth, position=position)


def test_directions():
    generator = torch.Generator().manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(16, generator=generator), dim=0)
    there = torch.randn(40, 16, generator=generator)
    here = there + axis * torch.rand(40, 1, generator=generator) + 0.01 * torch.randn(40, 16, generator=generator)
    assert torch.equal(direction(here), here.mean(0))
    result = direction(here, there, "principal")
    assert float(result.norm()) == pytest.approx(1, abs=1e-5)
    assert float(result @ axis) > 0.999
    assert float(direction(there, here, "principal") @ axis) < -0.999
    with pytest.raises(InputError, match="both models' states"):
        direction(here, None, "principal")
    with pytest.raises(InputError, match="no difference to point along"):
        direction(here, here, "principal")


def test_a_small_angle_keeps_its_digits():
    angle = 1e-6
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([1.0, angle])
    assert float(one_minus_cosine(a, b)) == pytest.approx(angle**2 / 2, rel=1e-6)
    assert float(one_minus_cosine(a, -a)) == pytest.approx(2)
