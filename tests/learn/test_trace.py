"""A call that is cut off at a module: its output, its gradient, and nothing computed after it."""

import pytest
import torch
from torch import nn

from trued.errors import InputError
from trued.learn.trace import output_of, outputs_of


class Counted(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def test_it_returns_the_output_with_its_gradient_and_stops_there():
    first, last = nn.Linear(3, 3), Counted(3, 3)
    model = nn.Sequential(first, last)
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    out = output_of(first, lambda: model(x))
    assert torch.equal(out, first(x))
    assert last.calls == 0
    out.sum().backward()
    assert first.weight.grad is not None
    model(x)
    assert last.calls == 1  # the hook is gone


def test_the_first_part_of_a_tuple_counts():
    class Pair(nn.Module):
        def forward(self, x):
            return x + 1, "cache"

    pair = Pair()
    assert output_of(pair, lambda: pair(torch.zeros(1))) == 1


def test_a_module_that_does_not_run_is_named_and_errors_pass_through():
    with pytest.raises(InputError, match="Linear whose output is wanted took no part"):
        output_of(nn.Linear(1, 1), lambda: None)
    idle = nn.Linear(1, 1)
    with pytest.raises(ZeroDivisionError):
        output_of(idle, lambda: 1 / 0)
    assert not idle._forward_hooks


def test_outputs_of_several_modules_in_the_order_asked_for():
    first, last = nn.Linear(3, 3), nn.Linear(3, 2)
    model, x = nn.Sequential(first, nn.ReLU(), last), torch.ones(1, 3)
    result = outputs_of({"last": last, "first": first}, lambda: model(x))
    assert list(result) == ["last", "first"]
    assert torch.equal(result["first"], first(x))
    assert torch.equal(result["last"], model(x))
    assert not first._forward_hooks
    with pytest.raises(InputError, match="'idle', whose output is wanted, took no part"):
        outputs_of({"first": first, "idle": nn.Linear(1, 1)}, lambda: model(x))
    assert not first._forward_hooks
