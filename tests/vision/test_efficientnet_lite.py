"""EfficientNet-Lite0: batch norms folded as defined, padding as TensorFlow pads, the published weights as published."""

from __future__ import annotations

import pytest
import torch
from efficientnet_weights import published
from torch.nn import functional as F

from trued.errors import InputError
from trued.vision.efficientnet_lite import BN_EPS, MEAN, STAGES, STD, EfficientNetLite0


def unfolded(state, x):
    """The network written out with its batch norms, and padding counted from the definition of "SAME"."""

    def conv(x, name, norm, stride=1, groups=1, active=True):
        weight = state[f"{name}.weight"]
        for side in (3, 2):  # width, height
            size, kernel = x.shape[side], weight.shape[side]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pad = (total // 2, total - total // 2)
            x = F.pad(x, (*pad, 0, 0) if side == 3 else (0, 0, *pad))
        x = F.conv2d(x, weight, stride=stride, groups=groups)
        parts = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        x = F.batch_norm(x, *parts, eps=BN_EPS)
        return x.clamp(0, 6) if active else x

    x, outs, number = conv(x, "_conv_stem", "_bn0", 2), [], 0
    for repeats, _, stride, expansion, _ in STAGES:
        for repeat in range(repeats):
            block, inner = f"_blocks.{number}", x
            if expansion > 1:
                inner = conv(inner, f"{block}._expand_conv", f"{block}._bn0")
            inner = conv(
                inner, f"{block}._depthwise_conv", f"{block}._bn1", 1 if repeat else stride, groups=inner.shape[1]
            )
            inner = conv(inner, f"{block}._project_conv", f"{block}._bn2", active=False)
            x = x + inner if repeat else inner
            outs.append(x)
            number += 1
    return [*outs, conv(x, "_conv_head", "_bn1")]


def test_folded_batch_norms_and_padding_change_nothing():
    state = published()
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    maps = EfficientNetLite0().take(state)(x)
    assert list(maps) == [*(f"block {i}" for i in range(1, 17)), "head"]
    for ours, theirs in zip(maps.values(), unfolded(state, x), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_it_is_frozen():
    net = EfficientNetLite0().take(published())
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not net.training


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("_blocks.3._bn1.bias"), r"no tensor '_blocks\.3\._bn1\.bias'"),
        (lambda s: s.update({"_conv_stem.weight": torch.zeros(32, 3, 5, 5)}), r"shape \(32, 3, 5, 5\)"),
        (lambda s: s.update({"_se_reduce.weight": torch.zeros(1)}), "_se_reduce.weight and 0 more have no place"),
    ],
)
def test_other_weights_are_refused(change, sentence):
    state = published()
    change(state)
    with pytest.raises(InputError, match=sentence):
        EfficientNetLite0().take(state, "weights.pth")


def test_a_users_weights_are_safetensors(tmp_path):
    from safetensors.torch import save_file

    state = published()
    save_file(state, tmp_path / "weights.safetensors")
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ours, theirs = EfficientNetLite0.load(tmp_path / "weights.safetensors")(x), EfficientNetLite0().take(state)(x)
    assert torch.equal(ours["head"], theirs["head"])
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="is a pickle, which is not read: convert it"):
        EfficientNetLite0.load(tmp_path / "weights.pth")
    (tmp_path / "broken.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="does not read as safetensors"):
        EfficientNetLite0.load(tmp_path / "broken.safetensors")


def test_odd_sides_are_refused():
    with pytest.raises(ValueError, match="multiples of 32"):
        EfficientNetLite0()(torch.zeros(1, 3, 100, 64))


# Computed once with the code of the package efficientnet-lite-pytorch 0.1.0 on the picture below: the first and the
# last channel's mean, and the norm of all channels' means, of every block and of the head.
PINNED = [
    (0.31531, -0.83039, 8.96047), (-6.72502, 2.87497, 27.32363), (-5.64881, 2.17067, 29.59276),
    (-13.40142, 4.67278, 36.01817), (-12.5634, 8.088, 37.04118), (0.08844, -3.37805, 42.6035),
    (-1.34826, -1.03384, 47.13034), (-3.7592, -0.03376, 49.95366), (0.68448, 0.19646, 30.45724),
    (1.68754, -0.03685, 34.10002), (2.13244, 1.54132, 39.074), (1.24389, 1.09322, 38.6317),
    (2.89839, -0.48527, 43.29428), (4.02524, -1.74816, 49.88505), (4.89892, -1.65619, 54.77708),
    (2.12257, -0.5912, 34.45071), (0.0, 0.0, 15.13904),
]  # fmt: skip


def picture():
    ramp = torch.linspace(0, 1, 224)
    disc = ((ramp[None] - 0.5) ** 2 + (ramp[:, None] - 0.5) ** 2 < 0.1).float()
    return torch.stack([ramp[None].expand(224, 224), ramp[:, None].expand(224, 224), disc])[None]


@pytest.mark.slow
def test_the_published_weights_give_what_the_package_gives():
    maps = EfficientNetLite0.load()((picture() - MEAN) / STD)
    for features, pinned in zip(maps.values(), PINNED, strict=True):
        means = features.mean((2, 3))[0]
        torch.testing.assert_close(
            torch.stack([means[0], means[-1], means.norm()]), torch.tensor(pinned), atol=2e-4, rtol=1e-4
        )
