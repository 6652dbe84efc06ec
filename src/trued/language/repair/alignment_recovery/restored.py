"""Weights that went back to an earlier model's values, and can go forth again.

A model with some weights restored is the fine-tuned one plus a list of places: nothing else has to be kept, so no
second copy of the fine-tuned model is needed, and a checkpoint is that list.

Knows a model's parameters, the earlier values, and places. Knows nothing of how places are chosen.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trued.language.repair.alignment_recovery.selection import Indices
from trued.learn.weights import Change, Patch, Weights, shape_digest

Places = dict[str, tuple[Tensor, Tensor]]
"""By parameter: flat indices, in the order in which they were restored, and the values that were there before."""


class Restored:
    """The restored part of a model's weights.

    Args:
        parameters: what may change; they are changed in place.
        earlier: the values that are copied, exactly.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], earlier: Weights) -> None:
        self.parameters, self.earlier = parameters, earlier
        self._places: Places = {}

    @property
    def count(self) -> int:
        return sum(len(indices) for indices, _ in self._places.values())

    @torch.no_grad()
    def add(self, selection: Indices) -> dict[str, Tensor]:
        """Copy the earlier values to these places, none of which is restored yet; returns the values before."""
        replaced: dict[str, Tensor] = {}
        for name, indices in selection.items():
            values = self.parameters[name].view(-1)
            before, old = self._places.get(name, (indices[:0], values[:0]))
            replaced[name] = values[indices].clone()
            self._places[name] = (torch.cat([before, indices]), torch.cat([old, replaced[name]]))
            values[indices] = self.earlier[name].view(-1).to(values)[indices]
        return replaced

    @torch.no_grad()
    def remove(self, selection: Indices) -> None:
        """Give these places, all of them restored, their fine-tuned values back."""
        for name, indices in selection.items():
            places, old = self._places[name]
            gone = torch.isin(places, indices)
            self.parameters[name].view(-1)[places[gone]] = old[gone]
            self._places[name] = (places[~gone], old[~gone])

    def finetuned(self, name: str) -> Tensor:
        """Return a parameter as fine-tuning left it."""
        values = self.parameters[name].detach().clone()
        if name in self._places:
            places, old = self._places[name]
            values.view(-1)[places] = old
        return values

    def checkpoint(self) -> Places:
        """Return what is restored now, for `go_to`; tensors in it are never written to."""
        return dict(self._places)

    @torch.no_grad()
    def go_to(self, places: Places) -> None:
        """Restore exactly what a checkpoint says; an empty one is the fine-tuned model."""
        for name, (indices, old) in self._places.items():
            self.parameters[name].view(-1)[indices] = old
        self._places = {}
        self.add({name: indices for name, (indices, _) in places.items()})

    def patch(self, model: nn.Module, about: str = "") -> Patch:
        """Return the change from the fine-tuned model as a patch."""
        changes = {}
        for name, (places, old) in self._places.items():
            if len(places):
                order = places.argsort()
                new = self.parameters[name].detach().view(-1)[places[order]]
                changes[name] = Change(places[order].cpu(), old[order].cpu(), new.cpu())
        return Patch(changes, shape_digest(model), about)
