"""Batches by tokens, nuclei, and caches that grow in place."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache

from trued.language.engine.generation import Sampling, plan_batches
from trued.language.engine.prefix import GrowingCache, new_cache


@given(st.lists(st.integers(1, 300), max_size=40), st.integers(0, 50), st.integers(1, 4), st.integers(1, 2000))
def test_batches_hold_every_prompt_once_within_the_budget(lengths, new_tokens, copies, budget):
    batches = plan_batches(lengths, new_tokens=new_tokens, copies=copies, budget=budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        width = max(lengths[i] for i in batch) + new_tokens
        assert len(batch) == 1 or len(batch) * copies * width <= budget


def test_a_nucleus_is_the_smallest_set_of_that_probability():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().expand(4000, 4)
    generator = torch.Generator().manual_seed(0)
    drawn = Sampling(1.0, 0.75, generator).choose(logits)
    assert set(drawn.tolist()) == {0, 1}
    assert abs((drawn == 0).float().mean() - 0.5 / 0.8) < 0.03
    assert set(Sampling(1.0, 1e-9, generator).choose(logits).tolist()) == {0}
    cold = Sampling(0.01, 1.0, generator).choose(logits)
    assert set(cold.tolist()) == {0}


def test_a_growing_cache_equals_transformers_own(tiny):
    """The same keys and values after prefill, single steps, dropped rows and more steps."""
    ids = torch.randint(0, 200, (3, 9), generator=torch.Generator().manual_seed(0))
    ours, theirs = GrowingCache(tiny.config.num_hidden_layers, reserve=2), DynamicCache(config=tiny.config)
    with torch.no_grad():
        for cache in (ours, theirs):
            tiny.backbone(input_ids=ids[:, :4], past_key_values=cache, use_cache=True)
            for column in (4, 5, 6):
                tiny.backbone(input_ids=ids[:, column : column + 1], past_key_values=cache, use_cache=True)
            (cache.select if cache is ours else cache.batch_select_indices)(torch.tensor([2, 0, 0]))
            for column in (7, 8):
                tiny.backbone(input_ids=ids[[2, 0, 0], column : column + 1], past_key_values=cache, use_cache=True)
    assert ours.get_seq_length() == theirs.get_seq_length() == 9
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        torch.testing.assert_close(mine.keys, other.keys)
        torch.testing.assert_close(mine.values, other.values)


def test_expanding_shares_the_prefix_and_leaves_it_alone(tiny):
    prefix = GrowingCache(tiny.config.num_hidden_layers)
    with torch.no_grad():
        tiny.backbone(input_ids=torch.tensor([[5, 6, 7]]), past_key_values=prefix, use_cache=True)
        before = prefix.layers[0].keys.clone()
        wide = prefix.expand(4)
        assert wide.layers[0].keys.data_ptr() == prefix.layers[0].keys.data_ptr()
        tails = torch.tensor([[1], [2], [3], [4]])
        states = tiny.backbone(input_ids=tails, past_key_values=wide, use_cache=True).last_hidden_state[:, -1]
        full = torch.cat([torch.tensor([[5, 6, 7]]).expand(4, 3), tails], 1)
        expected = tiny.backbone(input_ids=full, use_cache=False).last_hidden_state[:, -1]
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(prefix.layers[0].keys, before)
    with pytest.raises(ValueError, match="one row"):
        wide.expand(2)


def test_a_cache_keeps_every_key_of_sliding_layers_too(tiny):
    """What a query may look at is the mask's business, so that a prefix can be cropped beyond a window."""
    tiny.config.sliding_window = 2
    tiny.config.layer_types = ["sliding_attention", "full_attention"]
    cache = new_cache(tiny.config)
    with torch.no_grad():
        tiny.backbone(input_ids=torch.tensor([[5, 6, 7, 8, 9]]), past_key_values=cache, use_cache=True)
    assert isinstance(cache, GrowingCache)
    assert [layer.keys.shape[-2] for layer in cache.layers] == [5, 5]
