"""The exact k-th magnitude against sorting, ties and zeros included."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trued.errors import InputError
from trued.learn import radix
from trued.learn.radix import Threshold, TopK, kth_largest

floats = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1.5]),
)
chunked = st.lists(st.lists(floats, max_size=9), min_size=1, max_size=5).filter(any)


@given(chunked, st.integers(1, 50))
@settings(max_examples=60)
def test_it_chooses_what_a_stable_sort_chooses(values, k):
    chunks = [torch.tensor(part, dtype=torch.float32) for part in values]
    joined = torch.cat(chunks).abs()
    order = joined.sort(descending=True, stable=True).indices[: min(k, int((joined > 0).sum()))]
    result = kth_largest(lambda: chunks, k)
    top = TopK(result)
    mask = torch.cat([top.mask(part) for part in chunks])
    assert sorted(order.tolist()) == mask.nonzero()[:, 0].tolist()
    assert result.count == len(order)
    if len(order) == k:
        assert result.value == float(joined[order[-1]])


def test_blocks_and_shapes_do_not_matter(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(40, 50, generator=generator) * 10 ** torch.randint(-20, 20, (40, 50), generator=generator)
    expected = values.abs().flatten().sort(descending=True).values[776]
    assert kth_largest(lambda: [values], 777).value == float(expected)
    monkeypatch.setattr(radix, "BLOCK", 7)
    assert kth_largest(lambda: iter(values.split(3)), 777) == Threshold(float(expected), 776, 1)


def test_indices_are_flat_and_ascending():
    chunk = torch.tensor([[3.0, -1.0], [0.0, -3.0]])
    top = TopK(kth_largest(lambda: [chunk], 2))
    assert top.indices(chunk).tolist() == [0, 3]


def test_nothing_but_zeros_chooses_nothing():
    result = kth_largest(lambda: [torch.zeros(3)], 2)
    assert result == Threshold(0.0, 0, 0)
    assert not TopK(result).mask(torch.zeros(3)).any()


@pytest.mark.parametrize(
    ("values", "k", "message"),
    [
        (torch.ones(2), 0, "k is 0"),
        (torch.ones(2, dtype=torch.bfloat16), 1, "bfloat16: give float32"),
        (torch.tensor([1.0, float("nan")]), 1, "infinite or not a number"),
        (torch.tensor([1.0, float("-inf")]), 1, "infinite or not a number"),
    ],
)
def test_what_cannot_be_ranked_is_named(values, k, message):
    with pytest.raises(InputError, match=message):
        kth_largest(lambda: [values], k)
