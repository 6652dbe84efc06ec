"""Seeds: what PyTorch takes for one, checked where it comes in."""

from __future__ import annotations

import torch

from trued.errors import InputError

LARGEST = 2**63 - 1


def check_seed(seed: int) -> int:
    """Return the seed.

    Raises:
        InputError: not a whole number from 0 to 2^63 - 1, which is what every generator takes.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST:
        raise InputError(f"seed is {seed}: give a whole number from 0 to 2^63 - 1 ({LARGEST})")
    return seed


def seeded(seed: int) -> torch.Generator:
    """Return a new generator of random numbers with this seed.

    Raises:
        InputError: as `check_seed`.
    """
    return torch.Generator().manual_seed(check_seed(seed))
