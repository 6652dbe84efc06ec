"""Arithmetic on weights: read them lazily, add and drop differences, scale LoRA, and keep a sparse change as a patch.

Knows names, tensors and safetensors files. Knows nothing of what the weights compute, or why they are changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trued.errors import InputError, nearest
from trued.files import claim_output, write_bytes

Weights = Mapping[str, Tensor]
PATCH_FORMAT = "trued-patch-1"
_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


class WeightsFolder(Mapping[str, Tensor]):
    """The weights of a saved model, mapped into memory: a tensor is read on each access, and not kept.

    Raises:
        InputError: the folder has no safetensors, or one of them is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        from safetensors import SafetensorError, safe_open

        paths = sorted(Path(folder).glob("model*.safetensors"))
        if not paths:
            raise InputError(f"{folder} has no model*.safetensors: save the model as safetensors, pickles stay shut")
        self._files: dict[str, Any] = {}
        for path in paths:
            try:
                file = safe_open(path, "pt")
                self._files |= dict.fromkeys(file.keys(), file)
            except (SafetensorError, OSError) as error:
                raise InputError(f"{path} is truncated or damaged ({error}): fetch it again") from error

    @property
    def dtype(self) -> torch.dtype:
        """The widest of the weights' types: what they can be read in without rounding."""
        kinds = {str(self._files[name].get_slice(name).get_dtype()) for name in self._files}
        return torch.float32 if len(kinds) > 1 else _DTYPES.get(kinds.pop(), torch.float32)

    def __getitem__(self, name: str) -> Tensor:
        return self._files[name].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's parameters by name, as views: nothing is copied. A tied tensor has one of its names."""
    return {name: parameter.data for name, parameter in model.named_parameters()}


def snapshot(model: nn.Module) -> Callable[[], None]:
    """Copy a model's parameters, and return a function that gives them back; buffers are left alone."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def restore() -> None:
        for name, parameter in model.named_parameters():
            parameter.copy_(before[name])

    return restore


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Give a model the parameters that it has now back after the block; for a while it takes its memory twice."""
    restore = snapshot(model)
    try:
        yield
    finally:
        restore()


# -- differences -------------------------------------------------------------------------------------------------------


def dare(delta: Float[Tensor, "*shape"], rate: float, generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Drop entries of a difference at random and rescale the rest, which keeps its expectation (DARE, 2311.03099).

    Args:
        delta: a difference of weights.
        rate: the share that is dropped, from 0 to below 1; the rest is divided by 1 - rate.

    Raises:
        InputError: the rate is outside that range.
    """
    if not 0 <= rate < 1:
        raise InputError(f"the drop rate is {rate}: it lies from 0 to below 1")
    if rate == 0:
        return delta
    mask = torch.rand(delta.shape, generator=generator).to(delta.device) >= rate
    return delta * mask / (1 - rate)


@torch.no_grad()
def add_difference(
    model: nn.Module,
    minuend: Weights,
    subtrahend: Weights,
    *,
    weight: float = 1.0,
    drop: float = 0.0,
    generator: torch.Generator | None = None,
) -> None:
    """Add ``weight * DARE(minuend - subtrahend)`` to a model, in place and parameter by parameter.

    With a safety-aligned model as minuend and its unaligned version as subtrahend this is RESTA (2402.11746). Where
    one of the tensors has more rows than another, as a resized embedding has, the rows that all have are changed.

    Raises:
        InputError: a parameter that the others lack, shapes that differ beyond rows, or a drop rate without generator.
    """
    if drop and generator is None:
        raise InputError("dropping at random needs a torch.Generator, so that the same seed gives the same weights")
    for name, parameter in model.named_parameters():
        up, down = tensor_like(parameter, minuend, name), tensor_like(parameter, subtrahend, name)
        rows = min(len(parameter), len(up), len(down)) if parameter.ndim else 1
        delta = up.float()[:rows] - down.float()[:rows]
        if drop:
            assert generator is not None
            delta = dare(delta, drop, generator)
        parameter[:rows] += (weight * delta).to(parameter.dtype)


def tensor_like(parameter: Tensor, weights: Weights, name: str) -> Tensor:
    """Return the tensor of that name, on the parameter's device, if it fits; numbers of rows may differ.

    Raises:
        InputError: there is none, or its shape is another one.
    """
    if name not in weights:
        raise InputError(f"the other model has no weight '{name}'{nearest(name, weights)}: both need one architecture")
    other = weights[name]
    if other.ndim != parameter.ndim or other.shape[1:] != parameter.shape[1:]:
        raise InputError(
            f"'{name}' has shape {list(parameter.shape)} here and {list(other.shape)} in the other model: both need "
            "one architecture of one size"
        )
    return other.to(parameter.device)


@contextmanager
def lora_scaled(model: nn.Module, scale: float) -> Iterator[None]:
    """Multiply what LoRA adds by `scale` for a while; 0 is the base model, 1 the adapter as it was trained.

    Raises:
        InputError: the model has no LoRA layers.
    """
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    if not layers:
        raise InputError("this model has no LoRA layers to scale: load it with its adapter")
    scalings = [dict(layer.scaling) for layer in layers]
    try:
        for layer, scaling in zip(layers, scalings, strict=True):
            layer.scaling.update({name: value * scale for name, value in scaling.items()})
        yield
    finally:
        for layer, scaling in zip(layers, scalings, strict=True):
            layer.scaling.update(scaling)


# -- patches -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """What changes in one tensor: flat indices, ascending, with the values before and after."""

    indices: Int[Tensor, " changed"]
    old: Tensor
    new: Tensor

    @property
    def count(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Patch:
    """A sparse, reversible change of a model's weights.

    Args:
        changes: by parameter name.
        model: digest of the names and shapes of the model that it was made for; see `shape_digest`.
        about: free words on where it comes from.
    """

    changes: Mapping[str, Change]
    model: str
    about: str = ""

    @property
    def count(self) -> int:
        """The number of weights that it changes."""
        return sum(change.count for change in self.changes.values())

    def save(self, path: str | Path) -> Path:
        """Write the patch as one safetensors file, whole or not at all.

        Raises:
            InputError: something else than a patch lies there, or it cannot be written.
        """
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {}
        for name, change in self.changes.items():
            for part in ("indices", "old", "new"):
                tensors[f"{name}:{part}"] = getattr(change, part).detach().cpu().contiguous()
        about = {"format": PATCH_FORMAT, "model": self.model, "about": self.about}
        target = claim_output(path, kind="patch", own=_is_patch)
        return write_bytes(target, save(tensors, metadata=about))

    @classmethod
    def load(cls, path: str | Path) -> Patch:
        """Read a patch.

        Raises:
            InputError: no such file, a damaged one, or one that is no patch.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise InputError(f"{path}: there is no such patch: give the patch.safetensors that a repair wrote")
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                if about.get("format") != PATCH_FORMAT:
                    raise InputError(f"{path} is no patch: give the patch.safetensors that a repair wrote")
                names = sorted({key.rpartition(":")[0] for key in file.keys()})  # noqa: SIM118 - not a dict
                parts = {n: [file.get_tensor(f"{n}:{part}") for part in ("indices", "old", "new")] for n in names}
        except SafetensorError as error:
            raise InputError(f"{path} is truncated or damaged ({error}): fetch it again") from error
        return cls({name: Change(*tensors) for name, tensors in parts.items()}, about["model"], about.get("about", ""))

    def apply(self, model: nn.Module) -> None:
        """Put the new values in place of the old ones.

        Raises:
            InputError: another model, or one whose weights at these places are not the old values; nothing is changed.
        """
        self._move(model, "old", "new", "applied to")

    def revert(self, model: nn.Module) -> None:
        """Put the old values back; what `apply` did is undone bit for bit.

        Raises:
            InputError: another model, or one that does not carry the patch; nothing is changed.
        """
        self._move(model, "new", "old", "taken off")

    @torch.no_grad()
    def _move(self, model: nn.Module, before: str, after: str, done: str) -> None:
        parameters = dict(model.named_parameters())
        if shape_digest(model) != self.model:
            raise InputError(
                f"the patch belongs to another model: names or shapes of its weights differ (digest {self.model}, here "
                f"{shape_digest(model)}). Nothing was changed"
            )
        wrong, other = 0, 0
        for name, change in self.changes.items():
            weights = parameters[name].view(-1)[change.indices.to(parameters[name].device)].cpu()
            wrong += int((weights != getattr(change, before).to(weights.dtype)).sum())
            other += int((weights != getattr(change, after).to(weights.dtype)).sum())
        if wrong:
            reason = "it is there already" if not other and done == "applied to" else "it is not there"
            reason = (
                reason if not other else f"{wrong} of {self.count} weights have other values than the patch expects"
            )
            raise InputError(f"the patch cannot be {done} this model: {reason}. Nothing was changed")
        for name, change in self.changes.items():
            parameter = parameters[name]
            parameter.view(-1)[change.indices.to(parameter.device)] = getattr(change, after).to(parameter)


def _is_patch(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("format") == PATCH_FORMAT
    except (OSError, SafetensorError):
        return False


def shape_digest(model: nn.Module) -> str:
    """Return a short digest of the names and shapes of a model's parameters."""
    shapes = sorted((name, list(parameter.shape)) for name, parameter in model.named_parameters())
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:16]
