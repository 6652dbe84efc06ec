"""The faster forward passes that `LanguageModel` gives a model, and how its own ones are put back.

Attention for short sequences, RMS norms, SwiGLU blocks and LoRA layers get the forward passes of this package. Nothing
else of a model is touched, and no weight is. When the last holder of a model's `Patches` goes, or at `restore`, the
model computes as it did before.

Knows modules and which passes there are. Knows nothing of how they compute.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from trued.language.engine.attention import restore_attention, use_short_attention
from trued.language.engine.fused import patch_norms_and_activations, restore_norms_and_activations
from trued.language.engine.lora import patch_lora_forward, restore_lora_forward

_IN_USE: weakref.WeakKeyDictionary[nn.Module, weakref.ref[Patches]] = weakref.WeakKeyDictionary()


class Patches:
    """The faster passes of one Hugging Face model; `patched` makes it. While it lives, the model has them."""

    def __init__(self, model: Any) -> None:
        self._model = weakref.ref(model)
        self._given_up = False
        self.apply()
        self._undo = weakref.finalize(self, _restore, self._model)
        self._undo.atexit = False

    def apply(self) -> None:
        """Patch what is not patched yet, such as LoRA layers that have come since."""
        model = self._model()
        if model is not None:
            if not self._given_up:
                use_short_attention(model)
                patch_norms_and_activations(model)
            patch_lora_forward(model)

    def restore(self) -> None:
        """Put the model's own passes back now."""
        _restore(self._model)

    def give_up(self) -> None:
        """Put the model's own attention, norms and activations back for good; LoRA layers keep theirs."""
        self._given_up = True
        self.restore()
        self.apply()

    @contextmanager
    def off(self) -> Iterator[None]:
        """Let the model compute with its own passes for a while."""
        self.restore()
        try:
            yield
        finally:
            self.apply()

    def __deepcopy__(self, memo: dict[int, Any]) -> Patches:
        return patched(copy.deepcopy(self._model(), memo))


def patched(model: Any) -> Patches:
    """Give a model the faster passes, and return what holds them; all holders of one model share it."""
    holder = _IN_USE.get(model)
    patches = holder() if holder is not None else None
    if patches is None:
        patches = Patches(model)
        _IN_USE[model] = weakref.ref(patches)
    else:
        patches.apply()
    return patches


def _restore(reference: weakref.ref[Any]) -> None:
    model = reference()
    if model is not None:
        restore_attention(model)
        restore_norms_and_activations(model)
        restore_lora_forward(model)
