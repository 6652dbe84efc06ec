"""The training loop: what a step descends, when it stops, and that a cut-off run ends in the same weights."""

import math
import os
import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

from trued.errors import InputError
from trued.learn.fit.batches import Batches
from trued.learn.fit.checkpoint import read_checkpoint
from trued.learn.fit.loop import FitConfig, Interrupted, StepLog, TrainingDiverged, fit

ROWS = 10


def rows():
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(ROWS, 3, generator=generator)
    return list(zip(x, (x @ torch.tensor([1.0, -2.0, 0.5])).sin(), strict=True))


def collate(batch):
    return torch.stack([x for x, _ in batch]), torch.stack([y for _, y in batch])


def mlp(dropout=0.0):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))


def squared_error(model, batch):
    x, y = batch
    return {"loss": (model(x).squeeze(-1) - y).square().mean()}


def config(**changes):
    return FitConfig(**{"steps": 12, "lr": 0.02, "batch_size": 4, "warmup": 0.0, "weight_decay": 0.01, **changes})


def train(model, settings, loss=squared_error, data=None, **options):
    return fit(model, loss, rows() if data is None else data, settings, collate=collate, progress=False, **options)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first, other):
    return first.keys() == other.keys() and all(torch.equal(first[name], other[name]) for name in first)


def breaking(at, error):
    """A loss that raises `error` on its `at`-th call."""
    calls = 0

    def loss(model, batch):
        nonlocal calls
        calls += 1
        if calls == at:
            raise error
        return squared_error(model, batch)

    return loss


# What a step descends


def test_it_is_the_loop_one_would_write_by_hand_to_the_last_bit():
    model, reference = mlp(), mlp()
    data = rows()[:4]
    train(model, config(schedule="linear", batch_size=4, max_grad_norm=0.5), data=data)

    decay, rest = [reference[0].weight, reference[3].weight], [reference[0].bias, reference[3].bias]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}])

    for step in range(12):
        batch = collate([data[row] for row in Batches(4, batch_size=4)[step]])
        optimizer.zero_grad()
        squared_error(reference, batch)["loss"].backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / 12)
        optimizer.step()
    assert same(weights(model), weights(reference))


def test_accumulating_two_batches_is_one_batch_of_twice_the_size_even_where_the_last_one_is_smaller():
    small, large = mlp(), mlp()
    # 10 rows: batches of 5 and 5 accumulated, or of 4, 4 and 2 accumulated, are the whole data.
    for model, size, count in ((small, 4, 3), (large, 10, 1)):
        train(model, config(steps=5, batch_size=size, accumulation=count))
    for parameter, other in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, atol=1e-5, rtol=1e-4)


def test_a_loss_normalised_by_its_own_units_is_accumulated_by_their_number():
    def per_token(model, batch):
        x, y = batch
        units = (x[:, 0] > 0).float() * 3 + 1
        loss = ((model(x).squeeze(-1) - y).square() * units).sum() / units.sum()
        return {"loss": loss, "weight": units.sum(), "share": units.mean()}

    pieces, whole = mlp(), mlp()
    cut = train(pieces, config(steps=4, batch_size=3, accumulation=4), per_token)
    joint = train(whole, config(steps=4, batch_size=10), per_token)
    for a, b in zip(pieces.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    for a, b in zip(cut.history, joint.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert "weight" not in a


def test_the_gradient_is_clipped_and_its_norm_before_clipping_is_logged():
    # With eps far above the gradient, AdamW's first step is lr * gradient / eps: its length is the clipped norm's.
    lengths = {}
    for limit in (None, 0.01):
        model = mlp()
        before = torch.cat([p.detach().clone().flatten() for p in model.parameters()])
        result = train(model, config(steps=1, lr=1.0, eps=1e4, weight_decay=0.0, max_grad_norm=limit))
        after = torch.cat([p.detach().flatten() for p in model.parameters()])
        lengths[limit] = float((after - before).norm()) * 1e4, result.history[0]["grad_norm"]
    assert lengths[None][0] == pytest.approx(lengths[None][1], rel=1e-2)
    assert lengths[0.01][0] == pytest.approx(0.01, rel=1e-2)
    assert lengths[0.01][1] == lengths[None][1] > 0.1


def test_what_is_frozen_stays_and_only_the_rest_is_in_the_checkpoint(tmp_path):
    model = mlp()
    model[0].requires_grad_(False)
    before = weights(model)
    train(model, config(), output=tmp_path)
    after = weights(model)
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["3.weight"], after["3.weight"])
    tensors, _ = read_checkpoint(tmp_path / "checkpoint")
    assert {name.split("/")[1] for name in tensors} == {"3.weight", "3.bias"}


def test_bf16_computes_in_bf16_and_keeps_float32_weights_and_states(tmp_path):
    seen = set()

    def loss(model, batch):
        x, y = batch
        out = model(x)
        seen.add(out.dtype)
        return {"loss": (out.squeeze(-1).float() - y).square().mean()}

    model = mlp()
    result = train(model, config(steps=30, mixed_precision="bf16"), loss, output=tmp_path)
    assert seen == {torch.bfloat16}
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
    tensors, _ = read_checkpoint(tmp_path / "checkpoint")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_the_callers_random_numbers_and_modes_are_given_back():
    model = mlp(dropout=0.5)
    model[2].eval()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(model, config())
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert not model[2].training


def test_the_seed_alone_decides_the_weights():
    ends = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        model = mlp(dropout=0.5)
        train(model, config(seed=seed, batch_size=ROWS))
        ends.append(weights(model))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


# Exact resumption


@pytest.mark.parametrize("k", [1, 2, 7, 23])
def test_ctrl_c_in_a_step_and_resuming_ends_in_the_same_weights(tmp_path, k):
    settings = config(accumulation=2, validate_every=3, schedule="cosine", warmup=0.2)

    def fresh():
        model = mlp(dropout=0.3)
        return model, lambda step: -squared_error(model, collate(rows()))["loss"].item() + torch.rand(()).item() * 1e-9

    whole, validate = fresh()
    uncut = train(whole, settings, validate=validate)

    model, validate = fresh()
    with pytest.raises(Interrupted) as stop:
        train(model, settings, breaking(k, KeyboardInterrupt()), output=tmp_path, validate=validate)
    done = (k - 1) // 2
    assert f"after step {done} of 12" in str(stop.value)
    assert (stop.value.checkpoint is not None) == (done > 0) == ("resume" in str(stop.value))

    model, validate = fresh()
    result = train(model, settings, output=tmp_path, resume=True, validate=validate)
    assert same(weights(model), weights(whole))
    assert (result.best_step, len(result.history)) == (uncut.best_step, 12)
    assert [record["loss"] for record in result.history] == [record["loss"] for record in uncut.history]


@pytest.mark.parametrize("culprit", ["report", "validate"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_between_steps_costs_nothing(tmp_path, culprit, error):
    settings = config(checkpoint_every=2, validate_every=3, patience=3)
    steps = []

    def value(step):
        steps.append(step)
        return float(-((step - 6) ** 2))

    whole = mlp(dropout=0.3)
    train(whole, settings, validate=value)
    expected, steps[:] = list(steps), []

    def fail_at_nine(x):
        if (x.step if isinstance(x, StepLog) else x) == 9:
            raise error
        return None if isinstance(x, StepLog) else value(x)

    hooks = {"validate": value} | {culprit: fail_at_nine}
    with pytest.raises(error):
        train(mlp(dropout=0.3), settings, output=tmp_path, **hooks)
    model = mlp(dropout=0.3)
    result = train(model, settings, output=tmp_path, resume=True, validate=value)
    assert steps == expected
    assert result.best_step == 6
    assert same(weights(model), weights(whole))


def test_a_real_ctrl_c_inside_the_optimiser_waits_for_the_whole_step(tmp_path):
    whole, model = mlp(), mlp()
    train(whole, config())

    steps = 0
    plain = torch.optim.AdamW.step

    def pressed(self, *args, **kwargs):
        nonlocal steps
        steps += 1
        if steps == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", pressed)
        with pytest.raises(Interrupted, match="after step 5 of 12"):
            train(model, config(), output=tmp_path)
    model = mlp()
    train(model, config(), output=tmp_path, resume=True)
    assert same(weights(model), weights(whole))


def test_resuming_a_finished_run_trains_and_validates_nothing_and_gives_the_same_result(tmp_path):
    model, again = mlp(), mlp()
    settings = config(validate_every=4)
    first = train(model, settings, output=tmp_path, validate={4: 0.1, 8: 0.9, 12: 0.3}.__getitem__)
    second = train(
        again, settings, breaking(1, AssertionError()), output=tmp_path, resume=True, validate={}.__getitem__
    )
    assert same(weights(model), weights(again))
    assert (second.history, second.best_step, second.best_value) == (first.history, 8, 0.9)


def test_resume_without_a_checkpoint_starts_and_without_a_folder_is_refused(tmp_path):
    assert train(mlp(), config(), output=tmp_path / "new", resume=True).steps == 12
    with pytest.raises(InputError, match="pass output"):
        train(mlp(), config(), resume=True)


@pytest.mark.parametrize(
    ("changes", "data", "named"),
    [({"lr": 0.5}, 10, "lr was 0.02 and is now 0.5"), ({}, 9, "rows was 10 and is now 9")],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, data, named):
    train(mlp(), config(), output=tmp_path)
    with pytest.raises(InputError, match=named):
        train(mlp(), config(**changes), data=rows()[:data], output=tmp_path, resume=True)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    train(mlp(), config(), output=tmp_path)
    model = mlp()
    model[0].requires_grad_(False)
    with pytest.raises(InputError, match="trainable parameters"):
        train(model, config(), output=tmp_path, resume=True)


def test_a_truncated_checkpoint_is_refused_with_the_remedy(tmp_path):
    train(mlp(), config(), output=tmp_path)
    file = tmp_path / "checkpoint" / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(InputError, match="start again without resume"):
        train(mlp(), config(), output=tmp_path, resume=True)


# When it stops


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_and_the_last_good_checkpoint_stays(tmp_path, bad):
    calls = 0

    def loss(model, batch):
        nonlocal calls
        calls += 1
        values = squared_error(model, batch)
        return {"loss": values["loss"] * (bad if calls == 8 else 1.0)}

    good = mlp()
    with pytest.raises(Interrupted):
        train(good, config(), breaking(7, KeyboardInterrupt()))
    with pytest.raises(TrainingDiverged, match=r"step 8 of 12.*of step 6, is .*checkpoint"):
        train(mlp(), config(checkpoint_every=3), loss, output=tmp_path)
    tensors, record = read_checkpoint(tmp_path / "checkpoint")
    assert record["state"]["step"] == 6
    assert same({n.removeprefix("weight/"): t for n, t in tensors.items() if n.startswith("weight/")}, weights(good))


def test_a_gradient_that_is_no_number_stops_before_the_weights_take_it_in():
    def loss(model, batch):
        finite = squared_error(model, batch)["loss"]
        return {"loss": finite + (finite - finite).sqrt()}  # 0 at a kink: the gradient is not a number

    model = mlp()
    before = weights(model)
    with pytest.raises(TrainingDiverged, match=r"gradient's norm is nan at step 1 of 12 \(nothing was written\)"):
        train(model, config(), loss)
    assert same(weights(model), before)
    assert all(param.grad is None for param in model.parameters())


def test_patience_stops_and_the_best_weights_come_back():
    settings = config(steps=100, validate_every=2, patience=2, schedule="constant")
    at_six = mlp()
    train(at_six, config(steps=6, schedule="constant"))
    for keep in (True, False):
        model = mlp()
        result = train(model, replace(settings, keep_best=keep), validate=lambda step: -abs(step - 6.0))
        assert (result.steps, result.best_step, result.best_value, result.stopped_early) == (10, 6, 0.0, True)
        assert same(weights(model), weights(at_six)) == keep
        assert [r["validation"] for r in result.history if "validation" in r] == [-4, -2, 0, -2, -4]


def test_validation_sees_evaluation_mode_and_does_not_change_what_is_learnt():
    plain, validated = mlp(dropout=0.5), mlp(dropout=0.5)
    modes = []

    def validate(step):
        modes.append(validated.training)
        return torch.rand(1000).mean().item()

    train(plain, config(keep_best=False))
    train(validated, config(keep_best=False, validate_every=5), validate=validate)
    assert modes == [False] * 3
    assert same(weights(plain), weights(validated))


def test_a_validation_that_is_no_number_is_no_improvement_but_an_error():
    with pytest.raises(TrainingDiverged, match="the validation is nan at step 12"):
        train(mlp(), config(), validate=lambda step: math.nan)


# What it says


def test_each_step_is_reported_with_its_numbers():
    logs = []
    result = fit(
        mlp(),
        lambda model, batch: {**squared_error(model, batch), "bias": model(batch[0]).mean()},
        rows(),
        FitConfig(epochs=2, max_tokens=8, accumulation=2, lr=0.01, warmup=0.5, schedule="linear"),
        collate=collate,
        lengths=[1, 2] * 5,
        report=logs.append,
        progress=False,
    )
    # Of the budget of 8 come three batches an epoch, so two epochs are three steps of two batches.
    assert [(log.step, log.steps) for log in logs] == [(1, 3), (2, 3), (3, 3)]
    assert [log.lr for log in logs] == [0.005, 0.01, 0.01]
    assert all(log.values.keys() == {"loss", "bias"} for log in logs)
    assert sum(log.tokens for log in logs) == 2 * 15
    assert all(log.grad_norm > 0 and log.seconds > 0 for log in logs)
    assert result.history == [log.flat() for log in logs]
    assert result.peak_memory_bytes > 1e6
    assert result.seconds == pytest.approx(sum(log.seconds for log in logs))


def test_tokens_are_taken_from_the_loss_before_the_lengths():
    result = train(mlp(), config(steps=1), lambda m, b: {**squared_error(m, b), "tokens": 123}, lengths=[1] * ROWS)
    assert result.history[0]["tokens"] == 123


def test_it_is_quiet_where_there_is_no_terminal(capfd):
    fit(mlp(), squared_error, rows(), config(), collate=collate)
    assert capfd.readouterr() == ("", "")


# Bad use


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda m, b: {"objective": m(b[0]).mean()}, "a tensor named 'loss' is needed"),
        (lambda m, b: {"loss": m(b[0])}, r"shape \[4, 1\]"),
        (lambda m, b: {"loss": m(b[0]).mean().detach()}, "no trainable parameter"),
        (lambda m, b: {"loss": m(b[0]).mean(), "lr": 1.0}, "returned lr"),
        (lambda m, b: {"loss": m(b[0]).mean(), "weight": 0}, "sum to 0"),
    ],
)
def test_an_unfit_loss_is_named(loss, message):
    with pytest.raises(InputError, match=message):
        train(mlp(), config(), loss)


def test_unfit_input_is_named_before_training(tmp_path):
    with pytest.raises(InputError, match="no rows"):
        train(mlp(), config(), data=[])
    with pytest.raises(InputError, match="unfreeze"):
        train(mlp().requires_grad_(False), config())
    with pytest.raises(InputError, match=r"0\.weight is torch\.bfloat16"):
        train(mlp().bfloat16(), config())
    with pytest.raises(InputError, match="nothing is validated"):
        train(mlp(), config(patience=1))
    with pytest.raises(InputError, match="did you mean tensorboard"):
        train(mlp(), config(trackers=("tensorbord",)), output=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="output folder"):
        train(mlp(), config(), output=tmp_path / "file" / "sub")


def test_lora_on_a_language_model_learns_in_float32_over_a_bf16_base(tmp_path, tiny):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base = tiny.model.to(torch.bfloat16)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], lora_dropout=0.1))
    frozen = {name: param.detach().clone() for name, param in model.named_parameters() if not param.requires_grad}
    texts = [tiny.reply_ids("the wheel is trued"), tiny.reply_ids("spin and measure!")]

    def batch(rows):
        width = max(map(len, rows))
        ids = torch.tensor([row + [row[0]] * (width - len(row)) for row in rows])
        return {"input_ids": ids, "labels": ids.clone()}

    result = fit(
        model,
        lambda model, batch: {"loss": model(**batch).loss},
        texts,
        FitConfig(steps=25, lr=2e-2, max_tokens=64, weight_decay=0.0),
        collate=batch,
        lengths=[len(text) for text in texts],
        output=tmp_path,
        progress=False,
    )
    assert result.history[-1]["loss"] < result.history[0]["loss"] - 0.3
    assert all(torch.equal(param, frozen[name]) for name, param in model.named_parameters() if name in frozen)
    tensors, _ = read_checkpoint(tmp_path / "checkpoint")
    assert all("lora_" in name and tensor.dtype == torch.float32 for name, tensor in tensors.items())
    assert sum(name.startswith("weight/") for name in tensors) == 2 * 2 * 2
