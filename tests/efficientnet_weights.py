"""Random weights of EfficientNet-Lite0 in the published layout, for tests that need no download."""

import torch

from trued.vision.efficientnet_lite import HEAD, STAGES, STEM


def published(seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def add(conv, norm, out, wide, kernel):
        state[f"{conv}.weight"] = (
            torch.randn(out, wide, kernel, kernel, generator=generator) * (wide * kernel**2) ** -0.5
        )
        state[f"{norm}.weight"] = 1 + 0.3 * torch.randn(out, generator=generator)
        state[f"{norm}.bias"] = 0.3 * torch.randn(out, generator=generator)
        state[f"{norm}.running_mean"] = 0.3 * torch.randn(out, generator=generator)
        state[f"{norm}.running_var"] = 0.5 + torch.rand(out, generator=generator)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(1)

    add("_conv_stem", "_bn0", STEM, 3, 3)
    wide, number = STEM, 0
    for repeats, kernel, _, expansion, out in STAGES:
        for _ in range(repeats):
            block, inner = f"_blocks.{number}", wide * expansion
            if expansion > 1:
                add(f"{block}._expand_conv", f"{block}._bn0", inner, wide, 1)
            add(f"{block}._depthwise_conv", f"{block}._bn1", inner, 1, kernel)
            add(f"{block}._project_conv", f"{block}._bn2", out, inner, 1)
            wide, number = out, number + 1
    add("_conv_head", "_bn1", HEAD, wide, 1)
    state["_fc.weight"], state["_fc.bias"] = torch.zeros(1000, HEAD), torch.zeros(1000)
    return state
