"""STRUCTURE beside its definition in plain NumPy; what it is invariant to; blocks; memory; what is refused."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from trued.errors import InputError
from trued.representation.structure import penalty as structure
from trued.representation.structure.penalty import StructureLoss, structure_loss, walks

ORDERS = ("normalize_center", "center_normalize")

pytestmark = pytest.mark.filterwarnings("ignore:a batch of", "ignore:at tau")


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def written_out(x, a, levels, tau, order, mask_self=False):
    """The paper's formula in float64, with SciPy's Jensen-Shannon distance."""

    def transition(v):
        v = v.double().numpy()
        if order == "center_normalize":
            v = v - v.mean(0)
        v = v / np.linalg.norm(v, axis=1, keepdims=True)
        if order == "normalize_center":
            v = v - v.mean(0)
        s = v @ v.T / tau
        if mask_self:
            np.fill_diagonal(s, -np.inf)
        e = np.exp(s - s.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    p, q, total = transition(x), transition(a), 0.0
    for l in range(1, levels + 1):
        first, second = np.linalg.matrix_power(p, l), np.linalg.matrix_power(q, l)
        total += np.mean([jensenshannon(r, s) ** 2 for r, s in zip(first, second, strict=True)]) / l
    return total / levels


@settings(deadline=None, max_examples=10)
@given(
    n=st.integers(32, 50), levels=st.integers(1, 4), tau=st.floats(0.04, 1), order=st.sampled_from(ORDERS),
    mask=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_loss_is_the_formula_whole_or_in_blocks(n, levels, tau, order, mask, seed):
    x, a = rows(n, 12, seed), rows(n, 5, seed + 100)
    expected = written_out(x, a, levels, tau, order, mask)
    given_ = {"levels": levels, "tau": tau, "order": order, "mask_self": mask}
    assert float(structure_loss(x, a, **given_)) == pytest.approx(expected, abs=2e-6)
    assert float(structure_loss(x, a, block=7, **given_)) == pytest.approx(expected, abs=2e-6)
    assert 0 <= expected <= math.log(2) * sum(1 / l for l in range(1, levels + 1)) / levels + 1e-9


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("mask", [False, True])
def test_blocks_have_the_gradient_of_the_whole_and_finite_differences_agree(levels, mask):
    x, a = rows(40, 9), rows(40, 4, 1)
    grads = []
    for block in (64, 11):
        leaf = a.clone().requires_grad_()
        structure_loss(x, leaf, levels=levels, tau=0.3, mask_self=mask, block=block).backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(grads[0], grads[1], atol=1e-7, rtol=1e-4)
    step = 1e-5 * rows(40, 4, 2)
    values = [written_out(x, a + s * step, levels, 0.3, ORDERS[0], mask) for s in (1, -1)]
    assert float((grads[0] * 2 * step).sum()) == pytest.approx(values[0] - values[1], rel=1e-2)


def test_the_features_get_no_gradient():
    x, a = rows(40, 6).requires_grad_(), rows(40, 6, 1).requires_grad_()
    for block in (16, 64):
        structure_loss(x, a, levels=2, block=block).backward()
    assert x.grad is None
    assert a.grad.abs().max() > 0


@settings(deadline=None, max_examples=8)
@given(order=st.sampled_from(ORDERS), scale=st.floats(0.01, 100), seed=st.integers(0, 99))
def test_rotation_and_scale_change_nothing(order, scale, seed):
    x, a = rows(40, 8, seed), rows(40, 6, seed + 1)
    turn = torch.linalg.qr(rows(6, 6, seed + 2)).Q
    same = structure_loss(x, a, order=order)
    torch.testing.assert_close(structure_loss(x, scale * a @ turn, order=order), same, atol=2e-6, rtol=1e-4)
    assert float(structure_loss(a, a @ turn, order=order)) < 1e-6


def test_translation_changes_nothing_only_where_centring_comes_first():
    x, a = rows(40, 8), rows(40, 6, 1)
    moved = a + 5
    first = [float(structure_loss(x, values, order="center_normalize")) for values in (a, moved)]
    assert first[0] == pytest.approx(first[1], abs=1e-5)
    papers = [float(structure_loss(x, values, order="normalize_center")) for values in (a, moved)]
    assert abs(papers[0] - papers[1]) > 0.01


def test_opposite_neighbourhoods_come_near_the_bound_and_never_pass_it():
    """Rows in pairs: in X by halves of their numbers, in A by their parity, at a temperature that sees only pairs."""
    corners = torch.eye(20)
    x = corners[torch.arange(40) // 2]
    a = corners[torch.cat([torch.arange(20), torch.arange(20)])]
    result = float(structure_loss(x, a, tau=0.02, mask_self=True))
    assert result == pytest.approx(math.log(2), abs=1e-3)
    assert result <= math.log(2) + 1e-6


def test_the_estimate_converges_with_the_root_of_the_rows():
    """Deviations from the value on many rows fall as 1 / sqrt(n): by two where n grows by four."""
    mixing = rows(6, 6, 9)

    def estimate(n, seed):
        x = rows(n, 6, seed)
        return float(structure_loss(x, x[:, :3] @ mixing[:3], tau=0.5, order="center_normalize"))

    limit = np.mean([estimate(1024, 500 + seed) for seed in range(6)])
    spread = [np.sqrt(np.mean([(estimate(n, seed) - limit) ** 2 for seed in range(16)])) for n in (64, 256)]
    assert 1.4 < spread[0] / spread[1] < 4.5


def test_descent_on_it_restores_neighbourhoods():
    x = rows(64, 5)
    leaf = rows(64, 5, 1).requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=0.05)
    start = float(structure_loss(x, leaf.detach(), tau=0.2))
    for _ in range(80):
        optimizer.zero_grad()
        loss = structure_loss(x, leaf, tau=0.2)
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.2 * start


@pytest.mark.parametrize("levels", [1, 2])
def test_memory_kept_for_the_backward_pass_is_linear_in_the_rows(levels):
    def stored_bytes(n):
        storages = {}

        def pack(tensor):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        x, a = rows(n, 4), rows(n, 4, 1).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            structure_loss(x, a, levels=levels, block=16)
        return sum(storages.values())

    few, many = stored_bytes(64), stored_bytes(256)
    assert many < 5 * few  # of four times the rows; all of their pairs would be sixteen times as many


def test_walks_are_known_for_the_very_same_tensor_and_made_anew_for_a_changed_one(monkeypatch):
    loss, x, a = StructureLoss(levels=2), rows(40, 6), rows(40, 3, 1)
    calls, real = [], structure.walks
    monkeypatch.setattr(structure, "walks", lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs))
    first = loss(x, a)
    assert torch.equal(loss(x, a), first)
    assert len(calls) == 1
    x.mul_(torch.linspace(0.1, 3, 6))
    assert float(loss(x, a)) == pytest.approx(float(structure_loss(x, a, levels=2)), abs=1e-7)
    assert not torch.equal(loss(x, a), first)
    assert len(calls) == 3  # one of them by the function itself


def test_half_precision_is_computed_in_float32():
    x, a = rows(40, 6).bfloat16(), rows(40, 3, 1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = structure_loss(x, a)
    assert float(result) == pytest.approx(written_out(x.float(), a.float(), 1, 0.05, ORDERS[0]), abs=2e-6)


def test_walks_are_stochastic_matrices():
    for walk in walks(rows(40, 6), levels=3):
        torch.testing.assert_close(walk.sum(1), torch.ones(40))


@pytest.mark.parametrize(
    ("x", "a", "sentence"),
    [
        (rows(40, 3), rows(39, 3), "40 rows of features and 39"),
        (rows(1, 3), rows(1, 3), "two rows at least"),
        (torch.cat([rows(39, 3), torch.zeros(1, 3)]), rows(40, 3), "row 39 of the features is zero"),
        (rows(40, 3), torch.cat([torch.zeros(1, 3), rows(39, 3)]), "row 0 of the images is zero"),
        (rows(40, 3) / 0, rows(40, 3), "the features hold NaN or infinity"),
        (rows(40, 3), rows(40, 3) * math.nan, "the images hold NaN or infinity"),
    ],
)
def test_unfit_rows_are_refused(x, a, sentence):
    with pytest.raises(InputError, match=sentence):
        structure_loss(x, a)


@pytest.mark.parametrize(
    "settings_", [{"levels": 0}, {"tau": 0.0}, {"tau": math.inf}, {"order": "center"}, {"block": 1}]
)
def test_unfit_settings_are_refused(settings_):
    with pytest.raises(InputError, match=next(iter(settings_))):
        StructureLoss(**settings_)


@pytest.mark.parametrize("change", [{"tau": 0.5}, {"levels": 3}, {"mask_self": True}, {"order": "center_normalize"}])
def test_a_changed_setting_does_not_meet_old_walks(change):
    x, a = rows(40, 12), rows(40, 5, 1)
    loss = StructureLoss(levels=1, tau=0.2)
    before = float(loss(x, a))
    for name, value in change.items():
        setattr(loss, name, value)
    fresh = StructureLoss(**({"levels": 1, "tau": 0.2} | change))
    assert float(loss(x, a)) == float(fresh(x, a)) != before


def test_features_of_inference_mode_are_taken():
    with torch.inference_mode():
        x = rows(40, 12)
    a = rows(40, 5, 1).requires_grad_(True)
    loss = StructureLoss(tau=0.2)
    loss(x, a).backward()
    assert float(loss(x, a)) == float(loss(x.clone(), a))


def test_it_warns_where_neighbourhoods_mean_nothing():
    with pytest.warns(UserWarning, match="a batch of 8"):
        structure_loss(rows(8, 3), rows(8, 3, 1), tau=1)
    with pytest.warns(UserWarning, match="raise tau, or set mask_self"):
        structure_loss(rows(40, 60), rows(40, 3, 1), tau=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        structure_loss(rows(40, 60), rows(40, 3, 1), tau=0.01, mask_self=True)
        structure_loss(rows(40, 60), rows(40, 3, 1), tau=0.5)
