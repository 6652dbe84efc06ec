"""Packed rows against the examples alone: the same losses, the same gradients, no leak from neighbour to neighbour."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from transformers import LlamaConfig, LlamaForCausalLM

from trued.errors import InputError
from trued.learn.packing import PackedBatch, block_causal_mask, pack, packed, sft_loss, token_losses

VOCABULARY = 40
LENGTHS = (7, 3, 9, 2, 5, 12, 4)


@pytest.fixture(scope="module")
def llama():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,  # large enough that attention to a neighbour shows
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def examples():
    """Prompts are not learned: the first third of the labels is masked, as in a chat."""
    generator = torch.Generator().manual_seed(1)
    rows = []
    for length in LENGTHS:
        ids = torch.randint(1, VOCABULARY, (length,), generator=generator).tolist()
        rows.append({"input_ids": ids, "labels": [-100] * (length // 3) + ids[length // 3 :]})
    return rows


def losses(model, batch: PackedBatch):
    logits = model(
        input_ids=batch.input_ids, position_ids=batch.position_ids, attention_mask=batch.attention_mask()
    ).logits
    return token_losses(logits, batch.labels)


def packed_loss(model, batch, norm):
    return sft_loss(losses(model, batch), batch.segment_ids, batch.labels != -100, norm=norm)


def alone(model, example):
    """Summed loss and number of learned tokens of one example, by the model's own forward pass."""
    ids, labels = torch.tensor([example["input_ids"]]), torch.tensor([example["labels"]])
    labels[:, 0] = -100
    count = (labels != -100).sum()
    return model(input_ids=ids, labels=labels).loss * count, count


def gradients(model, loss):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.parametrize("norm", ["token", "sample"])
@pytest.mark.parametrize("capacity", [12, 20, 60])
def test_packed_losses_and_gradients_are_the_unpacked_ones(llama, examples, norm, capacity):
    batch = packed(examples, capacity, pad=0)
    ours = packed_loss(llama, batch, norm)
    sums, counts = zip(*(alone(llama, example) for example in examples), strict=True)
    if norm == "token":
        expected = torch.stack(sums).sum() / sum(counts)
    else:
        expected = (torch.stack(sums) / torch.stack(counts)).mean()
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    first, other = gradients(llama, ours), gradients(llama, expected)
    assert (first - other).abs().max() / other.abs().max() < 1e-4


def test_the_two_norms_differ(llama, examples):
    batch = packed(examples, 20, pad=0)
    assert abs(packed_loss(llama, batch, "token") - packed_loss(llama, batch, "sample")) > 1e-3


@pytest.mark.parametrize("changed", range(len(LENGTHS)))
def test_changing_one_example_leaves_its_neighbours_alone(llama, examples, changed):
    before = packed(examples, 60, pad=0)
    assert len(before.input_ids) == 1
    ids = examples[changed]["input_ids"]
    examples[changed] = {"input_ids": [(token + 1) % VOCABULARY for token in ids], "labels": ids}
    after = packed(examples, 60, pad=0)
    assert torch.equal(before.segment_ids, after.segment_ids)
    first, other = losses(llama, before), losses(llama, after)
    others = before.segment_ids != changed
    torch.testing.assert_close(first[others], other[others], rtol=0, atol=1e-6)
    assert (first[~others] - other[~others]).abs().max() > 0.1


def test_naive_concatenation_is_something_else(llama, examples):
    """The negative control: without isolation, or without restarting positions, the loss is another one."""
    batch = packed(examples, 60, pad=0)
    right = packed_loss(llama, batch, "token").item()
    scored = batch.labels != -100
    time = torch.arange(batch.input_ids.shape[1])[None]
    causal = block_causal_mask(torch.zeros_like(batch.segment_ids))
    naive = llama(input_ids=batch.input_ids, position_ids=time, attention_mask=causal).logits
    assert abs(sft_loss(token_losses(naive, batch.labels), batch.segment_ids, scored).item() - right) > 1e-2
    leaking = llama(input_ids=batch.input_ids, position_ids=batch.position_ids, attention_mask=causal).logits
    assert abs(sft_loss(token_losses(leaking, batch.labels), batch.segment_ids, scored).item() - right) > 1e-2


def test_layout(examples):
    batch = packed(examples, 20, pad=39)
    for row in range(len(batch.input_ids)):
        for segment in batch.segment_ids[row].unique().tolist():
            here = batch.segment_ids[row] == segment
            if segment == -1:
                assert (batch.input_ids[row, here] == 39).all()
                assert (batch.labels[row, here] == -100).all()
                continue
            assert batch.input_ids[row, here].tolist() == examples[segment]["input_ids"]
            assert batch.position_ids[row, here].tolist() == list(range(LENGTHS[segment]))
            assert batch.labels[row, here].tolist() == [-100, *examples[segment]["labels"][1:]]
    used = sum(LENGTHS)
    assert batch.utilisation() == pytest.approx(used / batch.input_ids.numel())
    assert batch.utilisation() > used / (len(LENGTHS) * max(LENGTHS))


def test_labels_default_to_every_token_but_the_first():
    batch = packed([{"input_ids": [5, 6, 7]}], 8, pad=0)
    assert batch.labels.tolist() == [[-100, 6, 7]]


def test_mask_by_its_definition():
    segments = torch.tensor([[4, 4, 2, 2, 2, -1, -1]])
    mask = block_causal_mask(segments)
    assert mask.shape == (1, 1, 7, 7)
    for query, key in itertools.product(range(7), repeat=2):
        assert mask[0, 0, query, key] == (key <= query and segments[0, key] == segments[0, query])
    assert mask.any(-1).all()


def test_sft_loss_by_hand_leaves_out_padding_and_first_tokens():
    values = torch.tensor([[9.0, 1.0, 2.0, 9.0, 6.0, 9.0]], requires_grad=True)
    segments = torch.tensor([[0, 0, 0, 1, 1, -1]])
    everything = torch.ones_like(segments, dtype=torch.bool)
    assert sft_loss(values, segments, everything, norm="token").item() == pytest.approx(9 / 3)
    assert sft_loss(values, segments, everything, norm="sample").item() == pytest.approx((1.5 + 6) / 2)
    (gradient,) = torch.autograd.grad(sft_loss(values, segments, everything, norm="sample"), values)
    assert gradient.tolist() == [[0, 0.25, 0.25, 0, 0.5, 0]]
    without_second = everything & (segments != 1)
    assert sft_loss(values, segments, without_second, norm="sample").item() == pytest.approx(1.5)


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), max_size=60))
def test_every_item_is_placed_once_and_no_bin_overflows(lengths):
    bins = pack(lengths, 30)
    assert sorted(itertools.chain(*bins)) == list(range(len(lengths)))
    assert all(0 < sum(lengths[i] for i in members) <= 30 for members in bins)


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), max_size=40))
def test_bins_are_those_of_plain_first_fit_decreasing(lengths):
    plain: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        for members in plain:
            if sum(lengths[i] for i in members) + lengths[item] <= 20:
                members.append(item)
                break
        else:
            plain.append([item])
    assert pack(lengths, 20) == plain


def fewest(lengths, capacity):
    """The least number of bins, by trying every assignment up to the order of bins."""
    best = len(lengths)

    def place(index, rooms):
        nonlocal best
        if len(rooms) >= best:
            return
        if index == len(lengths):
            best = len(rooms)
            return
        for bin in range(len(rooms)):
            if rooms[bin] >= lengths[index]:
                place(index + 1, [r - lengths[index] * (b == bin) for b, r in enumerate(rooms)])
        place(index + 1, [*rooms, capacity - lengths[index]])

    place(0, [])
    return best


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_bins_are_within_the_bound_of_the_fewest(lengths):
    assert len(pack(lengths, 12)) <= math.floor(11 / 9 * fewest(lengths, 12) + 6 / 9)


def test_packing_many_items_is_fast_and_tight():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 200, (20_000,), generator=generator).tolist()
    assert len(pack(lengths, 512)) <= 1.01 * sum(lengths) / 512 + 1


def test_long_examples_stop_or_are_dropped_with_their_number(examples):
    with pytest.raises(InputError, match=r"2 of 7 examples are longer than the capacity 8, the longest has 12"):
        packed(examples, 8, pad=0)
    with pytest.warns(UserWarning, match="2 of 7 examples are longer than 8 tokens and were dropped"):
        batch = packed(examples, 8, pad=0, too_long="drop")
    assert batch.dropped == (2, 5)
    assert set(batch.segment_ids.unique().tolist()) == {-1, 0, 1, 3, 4, 6}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pack([3, 0], 4), "1 of 2 examples are empty, first number 1"),
        (lambda: pack([3], 0), "capacity 0"),
        (lambda: packed([], 4, pad=0), "no example is left"),
        (lambda: packed([{"input_ids": [1, 2], "labels": [1]}], 4, pad=0), "2 input_ids and 1 labels"),
        (lambda: packed([{"input_ids": [1]}], 4, pad=0), "example 0 has no label to learn"),
        (lambda: packed([{"input_ids": [1, 2]}], 4, pad=0, too_long="cut"), "'cut'"),
        (lambda: sft_loss(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2) > 0), "no token"),
        (
            lambda: sft_loss(torch.ones(1, 2), torch.zeros(1, 2).long(), torch.ones(1, 2) > 0, norm="row"),
            "'row'",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((InputError, TypeCheckError), match=message):  # runtime type checks may see it first
        call()
