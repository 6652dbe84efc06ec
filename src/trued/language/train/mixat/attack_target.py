"""Who is attacked while a model trains: the model as it is at that moment, or as it was at the beginning.

Knows models and their training mode. Knows nothing of losses, rewriters or schedules.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from trued.language.attack.embedding import AttackResult, EmbeddingAttack
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import Rows

Lend = Callable[[], AbstractContextManager[LanguageModel]]
"""Lends a model in evaluation mode for the length of a block."""


@contextmanager
def current(lm: LanguageModel) -> Iterator[LanguageModel]:
    """Lend the model in training, in evaluation mode, and put every module's mode back."""
    with lm.evaluating():
        yield lm


def initial(lm: LanguageModel) -> Lend:
    """Return what lends the model as it is now, whatever training makes of it.

    With an adapter that is the model with the adapter off, provided that it has learned nothing yet; without one it is
    a copy.
    """
    if not hasattr(lm.model, "peft_config"):
        frozen = around(copy.deepcopy(lm.model).requires_grad_(False), lm)
        return lambda: current(frozen)

    @contextmanager
    def without_adapter() -> Iterator[LanguageModel]:
        with current(lm), lm.adapter(enabled=False):
            yield lm

    return without_adapter


def around(model: Any, lm: LanguageModel) -> LanguageModel:
    """Return another model with the tokenizer, chat format and name of `lm`."""
    return lm.around(model)


@dataclass(frozen=True)
class FrozenTarget(EmbeddingAttack):
    """The embedding attack aimed at a model that does not learn, whatever model it is asked to attack.

    Args:
        lend: lends that model.
    """

    lend: Lend | None = None

    def perturb(self, lm: LanguageModel, rows: Rows) -> AttackResult:
        """See `EmbeddingAttack.perturb`; `lm` is attacked only where no other model is lent."""
        if self.lend is None:
            return super().perturb(lm, rows)
        with self.lend() as frozen:
            return super().perturb(frozen, rows)
