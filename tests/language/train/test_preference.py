"""Preference training against the plain computation: two forward passes, full logits, one row a reply."""

import math

import pytest
import torch
import torch.nn.functional as F

from trued.data.prompts import PreferenceRow
from trued.errors import InputError
from trued.language.engine.scoring import per_response
from trued.language.engine.tiny import tiny_model
from trued.language.train.preference import (
    PreferenceTraining,
    collate_pairs,
    encode_preferences,
    pair_logprobs,
    with_references,
)
from trued.learn.fit.loop import FitConfig

ROWS = [
    PreferenceRow("which is larger", "the first", "neither of them is"),
    PreferenceRow("a much longer question, of several words", "yes", "no"),
    PreferenceRow([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}], "hi", "well, hi"),
]


def fitted(**settings):
    return FitConfig(**{"steps": 12, "lr": 2e-2, "batch_size": 3, "warmup": 0.0, "schedule": "constant", **settings})


def moved(lm):
    """An adapter that is no longer its reference: fresh LoRA has B = 0 and computes nothing."""
    tuned = lm.with_lora(r=4, alpha=8)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in tuned.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05, generator=generator)
    return tuned


def plain(lm, pairs, side):
    """Summed log-probabilities of one reply of each pair: a padded batch of its own, with full logits."""
    sequences = [pair.prompt + getattr(pair, side) for pair in pairs]
    width = max(map(len, sequences))
    ids = torch.tensor([s + [lm.pad_id] * (width - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences])
    logprobs = lm.model(input_ids=ids, attention_mask=mask).logits[:, :-1].log_softmax(-1)
    each = logprobs.gather(-1, ids[:, 1:, None])[..., 0]
    return torch.stack(
        [each[i, len(p.prompt) - 1 : len(s) - 1].sum() for i, (p, s) in enumerate(zip(pairs, sequences, strict=True))]
    )


def gradients(lm):
    result = {n: p.grad.clone() for n, p in lm.model.named_parameters() if p.grad is not None}
    lm.model.zero_grad(set_to_none=True)
    return result


def test_loss_and_gradients_are_those_of_two_plain_forward_passes(tiny):
    lm = moved(tiny)
    pairs = with_references(lm, encode_preferences(lm, ROWS))
    log = PreferenceTraining(beta=0.3, label_smoothing=0.1).losses(lm, collate_pairs(lm, pairs))
    log["loss"].backward()
    shared = gradients(lm)

    with torch.no_grad(), lm.adapter(enabled=False):
        reference = plain(lm, pairs, "chosen") - plain(lm, pairs, "rejected")
    chosen, rejected = plain(lm, pairs, "chosen"), plain(lm, pairs, "rejected")
    logits = 0.3 * (chosen - rejected - reference)
    loss = (-0.9 * F.logsigmoid(logits) - 0.1 * F.logsigmoid(-logits)).mean()
    loss.backward()
    expected = gradients(lm)

    assert abs(float(loss.detach()) - math.log(2)) > 1e-3, "the adapter has to differ from its reference"
    torch.testing.assert_close(log["loss"], loss, atol=1e-5, rtol=0)
    assert float(log["margin"]) == pytest.approx(float(logits.detach().mean()), abs=1e-4)
    assert shared.keys() == expected.keys()
    assert len(shared) > 10
    for name, gradient in expected.items():
        torch.testing.assert_close(shared[name], gradient, atol=1e-5, rtol=0, msg=name)


def test_training_raises_accuracy_and_logs_from_log_2(tiny):
    seen = []
    training = PreferenceTraining(lora_r=4, lora_alpha=8, fit=fitted())
    tuned, result = training.align(tiny, ROWS, report=seen.append, progress=False)
    first, last = result.history[0], result.history[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["margin"] == pytest.approx(0, abs=1e-4)
    assert first["drift"] == pytest.approx(0, abs=1e-5)
    assert last["loss"] < 0.5
    assert last["accuracy"] == 1
    assert last["margin"] > first["margin"]
    assert last["chosen"] - first["chosen"] == pytest.approx(last["drift"], abs=1e-4)  # one batch holds all rows
    assert len(seen) == result.steps == 12
    pairs = encode_preferences(tuned, ROWS)
    policy = pair_logprobs(tuned, collate_pairs(tuned, pairs).rows)
    with tuned.adapter(enabled=False):
        base = pair_logprobs(tuned, collate_pairs(tuned, pairs).rows)
    assert bool(((policy - base)[:, 0] > (policy - base)[:, 1]).all())


def test_references_belong_to_their_example_and_to_the_base(tiny):
    lm = moved(tiny)
    pairs = encode_preferences(lm, ROWS)
    together, apart = with_references(lm, pairs), with_references(lm, pairs, batch_tokens=1)
    with lm.adapter(enabled=False):
        chosen, rejected = plain(lm, pairs, "chosen"), plain(lm, pairs, "rejected")
    for i, (pair, other) in enumerate(zip(together, apart, strict=True)):
        assert (pair.prompt, pair.chosen) == (pairs[i].prompt, pairs[i].chosen)
        assert pair.reference == pytest.approx(other.reference, abs=1e-4)
        assert pair.reference == pytest.approx((float(chosen[i].detach()), float(rejected[i].detach())), abs=1e-4)
    backwards = collate_pairs(lm, together[::-1]).references
    assert backwards is not None
    assert backwards[:, 0].tolist() == [p.reference and pytest.approx(p.reference[0]) for p in together[::-1]]


def test_references_ignore_dropout_and_leave_the_mode(tiny):
    lm = tiny.with_lora(r=4, alpha=8, dropout=0.5)
    pairs = encode_preferences(lm, ROWS)
    lm.model.train()
    first, second = with_references(lm, pairs), with_references(lm, pairs)
    assert lm.model.training
    assert [p.reference for p in first] == [p.reference for p in second]


def test_a_start_that_is_not_the_reference_is_refused(tiny):
    lm = tiny.with_lora(r=4, alpha=8)
    training = PreferenceTraining(beta=0.5)
    pairs = with_references(lm, encode_preferences(lm, ROWS))
    training.check_start(lm, pairs)
    swapped = [type(p)(p.prompt, p.chosen, p.rejected, q.reference) for p, q in zip(pairs, pairs[::-1], strict=True)]
    with pytest.raises(InputError, match=r"with the policy equal to its reference it is 0\.6931"):
        training.check_start(lm, swapped)
    with pytest.raises(InputError, match="missing"):
        training.check_start(lm, encode_preferences(lm, ROWS))


@pytest.mark.parametrize("loss", ["ipo", "simpo", "kto_pair", "apo_zero"])
def test_other_losses_train(tiny, loss):
    training = PreferenceTraining(loss=loss, lora_r=4, lora_alpha=8, fit=fitted(steps=6))
    _, result = training.align(tiny, ROWS, progress=False)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert ("drift" in result.history[0]) == (loss != "simpo")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mixed_precision_starts_at_its_reference(tiny, dtype):
    tiny.model.to(dtype)
    training = PreferenceTraining(lora_r=4, lora_alpha=8, dropout=0.1, fit=fitted(steps=4, mixed_precision="bf16"))
    _, result = training.align(
        tiny, ROWS, validate=lambda lm, _: float(len(lm.logprobs(["a"], [["b"]]))), progress=False
    )
    assert result.history[0]["loss"] == pytest.approx(math.log(2), abs=0.02)
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def kept_for_backward(compute):
    """The result, and the bytes of activations that autograd holds on to."""
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    with torch.autocast("cpu", dtype=torch.bfloat16), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        return compute(), sum(storage.nbytes() for storage in storages.values())


def test_leaving_out_the_cast_keeps_every_bit_and_less_memory(tiny):
    tiny.model.to(torch.bfloat16)
    lm = moved(tiny)
    for module in lm.model.modules():
        module.__dict__.pop("forward", None)  # PEFT's own layers, which dropout brings back
    rows = collate_pairs(lm, encode_preferences(lm, ROWS)).rows
    (spared, less), (cast, more) = (
        kept_for_backward(lambda: pair_logprobs(lm, rows)),
        kept_for_backward(lambda: per_response(lm.response_logprobs(rows), rows).unflatten(0, (-1, 2))),
    )
    assert torch.equal(spared, cast)
    assert less < 0.9 * more


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_checkpointing_learns_the_same_and_is_switched_off_again(precision):
    runs = []
    for checkpointing in (False, True):
        fit = fitted(steps=4, mixed_precision=precision)
        training = PreferenceTraining(lora_r=4, lora_alpha=8, fit=fit, checkpointing=checkpointing)
        tuned, result = training.align(tiny_model(), ROWS, progress=False)
        assert not tuned.base.is_gradient_checkpointing
        runs.append([step["loss"] for step in result.history])
    assert runs[0][-1] < runs[0][0]
    assert runs[1] == pytest.approx(runs[0], abs=1e-6 if precision == "no" else 1e-3)


def test_checkpointing_keeps_less(tiny):
    tiny.model.train()
    lm = moved(tiny)
    lm.model.train()
    rows = collate_pairs(lm, encode_preferences(lm, ROWS)).rows
    _, all_of_it = kept_for_backward(lambda: pair_logprobs(lm, rows))
    with PreferenceTraining(checkpointing=True)._checkpointed(lm):
        _, checkpoints = kept_for_backward(lambda: pair_logprobs(lm, rows))
    assert checkpoints < 0.7 * all_of_it


def test_rows_that_are_too_long_are_named(tiny):
    with pytest.raises(InputError, match=r"row 2: the prompt is \d+ tokens and its longer reply 4, more than 60"):
        encode_preferences(tiny, ROWS, max_length=60)
    long = PreferenceRow("hello", "x" * 3000, "y")
    with pytest.raises(InputError, match=r"row 1: .* more than 2048"):
        PreferenceTraining(fit=fitted()).align(tiny, [long], progress=False)
    with pytest.raises(InputError, match="no preference rows"):
        encode_preferences(tiny, [])


def test_settings_are_checked_before_any_work():
    with pytest.raises(InputError, match="did you mean sigmoid"):
        PreferenceTraining(loss="sigmoyd")
    with pytest.raises(InputError, match="no option 'label_smoothing'"):
        PreferenceTraining(loss="ipo", label_smoothing=0.1)
    with pytest.raises(InputError, match="beta -1"):
        PreferenceTraining(beta=-1)
