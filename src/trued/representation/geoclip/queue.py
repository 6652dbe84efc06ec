"""A queue of earlier places, whose encodings serve as further negatives (GeoCLIP, section 3.3).

Coordinates are kept, not embeddings: they are encoded anew at each step, so they are never stale and carry a gradient.

Knows places. Knows nothing of encoders or losses.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.globe import jitter
from trued.learn.contrastive import Queue


class LocationQueue(Queue):
    """First in, first out. It begins empty and grows, so nothing is in it that was not pushed.

    Args:
        capacity: how many places it holds at most; it need not be a multiple of the batch. The paper's is 4096.

    Raises:
        InputError: the capacity is below 1.
    """

    def __init__(self, capacity: int = 4096) -> None:
        super().__init__(capacity, 2)

    def sample(self, noise_m: float = 1000.0, generator: torch.Generator | None = None) -> Float[Tensor, "queued 2"]:
        """Return the queued places, each moved by Gaussian noise of `noise_m` metres (the paper's augmentation)."""
        return jitter(self.rows(), noise_m, generator)
