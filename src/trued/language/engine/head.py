"""The output head of families that do more to hidden states than one linear layer and the transforms that are known.

Knows a Hugging Face causal language model and its decoder. Knows nothing of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput


class OwnHead(nn.Module):
    """Logits as the model's own forward pass makes them from its decoder's hidden states.

    The model runs with hidden states put in the place of its decoder's output, so whatever it does after the decoder
    (scales, caps, a prediction block before the projection) is done.
    """

    def __init__(self, base: Any, backbone: nn.Module) -> None:
        super().__init__()
        self.parts = (base, backbone)  # a tuple: the head owns neither, and lists none of their weights

    def forward(self, hidden: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape vocab"]:
        base, backbone = self.parts
        flat = hidden.reshape(1, -1, hidden.shape[-1])
        ids = torch.zeros(flat.shape[:2], dtype=torch.long, device=flat.device)
        with _answering(backbone, flat):
            logits = base(input_ids=ids, use_cache=False).logits
        return logits.view(*hidden.shape[:-1], logits.shape[-1])


class _Output(BaseModelOutput):
    """A decoder's output with nothing in it but hidden states, whatever else a family looks for there."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


@contextmanager
def _answering(backbone: Any, hidden: Tensor) -> Iterator[None]:
    """Let the decoder return `hidden` whatever it is given."""
    own = vars(backbone).get("forward")
    backbone.forward = lambda *_, **__: _Output(last_hidden_state=hidden)  # pyright: ignore
    try:
        yield
    finally:
        del backbone.forward
        if own is not None:
            backbone.forward = own
