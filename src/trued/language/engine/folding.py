"""An adapter folded into the base weights for a while, and taken out again without a trace.

PEFT's own unmerging subtracts what merging added, which in floating point does not give the weights back, and some
kinds of adapters cannot be merged into some layers. Here everything that merging may touch is put back from a copy, and
a merge counts only if one small batch gives the logits that the unmerged adapter gives.

Knows PEFT's layers. Knows nothing of text or files.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trued.language.engine.probe import agree, probe

_logger = logging.getLogger(__name__)


def tuner_layers(model: nn.Module) -> list[Any]:
    """Return the layers of a model that an adapter was injected into."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


@contextmanager
def folded(base: Any) -> Iterator[None]:
    """Fold an adapter into the base weights for a while, for generation at the base model's speed.

    Weights, biases, expert parameters and PEFT's own state are restored bit for bit afterwards. Merged bfloat16 weights
    round, so logits differ slightly from unmerged ones. An adapter that cannot be merged, or whose merge gives other
    logits, stays beside the weights: slower, and right. An adapter that is switched off or merged already is left so.
    """
    layers = [layer for layer in tuner_layers(base) if _folds(layer)]
    if not layers:
        yield
        return
    expected = probe(base)
    before = _State(layers)
    try:
        reason = _fold(layers)
        if reason is None and not agree(expected, probe(base), base.get_input_embeddings().weight.dtype):
            reason = "merged, it gives other logits"
        if reason is not None:
            before.restore()
            _logger.warning("the adapter stays beside the weights, which is slower: %s", reason)
        yield
    finally:
        before.restore()


def _folds(layer: Any) -> bool:
    """Whether a layer is to be merged: rows of trained tokens are used in place and gain nothing by it."""
    from peft.tuners.trainable_tokens import TrainableTokensLayer

    idle = layer.disable_adapters or layer.merged or not layer.active_adapters
    return not (idle or isinstance(layer, TrainableTokensLayer))


def _fold(layers: Sequence[Any]) -> str | None:
    """Merge all layers; return why it is not possible, or None."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            for layer in layers:
                layer.merge()
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:  # each kind of adapter has its own
        return " ".join(str(error).split()) or type(error).__name__
    return None


class _State:
    """What merging may change: modules and tensors below each layer, their values, and PEFT's lists of what is merged.

    Args:
        layers: PEFT's layers.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        self.members: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.containers: list[tuple[Any, Any]] = []
        self.values: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        for layer in layers:
            for module in layer.modules():
                for members in (module._modules, module._parameters, module._buffers):
                    self.members.append((members, dict(members)))
            for name, value in vars(layer).items():
                if isinstance(value, list | dict | set) and (not name.startswith("_") or name == "_caches"):
                    self.containers.append((value, copy.copy(value)))
            base = layer.get_base_layer()
            for tensor in (*base.parameters(), *base.buffers()):
                if id(tensor) not in self.values:
                    self.values[id(tensor)] = (tensor, tensor.data, tensor.detach().clone())

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back."""
        for members, saved in self.members:
            members.clear()
            members.update(saved)
        for tensor, data, value in self.values.values():
            tensor.data = data
            data.copy_(value)
        for container, saved in self.containers:
            container.clear()
            (container.extend if isinstance(container, list) else container.update)(saved)
