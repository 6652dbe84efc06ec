"""Train heads into a shared space from few pairs: any contrastive loss, with STRUCTURE beside it (arXiv 2506.16895).

    L = sum_pairs L_A(f_m(x_m), f_n(x_n)) + lambda sum_m R(x_m, f_m(x_m))

Knows features, losses and the training loop. Knows nothing of encoders, or of which layers the features come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trued.errors import InputError
from trued.learn.contrastive import Temperature, clip_loss, same_pairs, siglip_loss
from trued.learn.fit.loop import FitConfig, FitResult, fit
from trued.representation.heads import Kind, Standardize, canonical
from trued.representation.retrieval import recall_at
from trued.representation.space import SharedSpace, check_paired
from trued.representation.structure.penalty import Order, StructureLoss

Features = Mapping[str, Float[Tensor, "rows _"]]
Loss = Callable[..., Float[Tensor, ""]]
DEFAULT_FIT = FitConfig(steps=600, lr=1e-3, batch_size=512, validate_every=50)
RECALL = 5  # how many are looked at in validation

SIGLIP_START = (0.1, -10.0)  # temperature and bias (arXiv 2303.15343, 3.2)


@dataclass(frozen=True)
class Aligner:
    """How heads are trained.

    Args:
        head: "linear"; "mlp", with one hidden layer; or "csa", in closed form, which without a penalty takes no steps
            and with one is trained on from there.
        dim: of the shared space.
        hidden: of the layer between, for "mlp".
        loss: "clip", "siglip", or a function of two matrices of the space, the scale and `same`, as `clip_loss` is.
        temperature: of the contrastive loss, at the start; it is learnt.
        lam: lambda, the weight of STRUCTURE; 0 leaves it out.
        lam_warmup: fraction of the steps over which lambda rises linearly from 0.
        levels, tau, order, mask_self: as `StructureLoss`.
        standardize: shift and scale every feature by the training rows' mean and deviation, for the heads and for the
            neighbourhoods that are kept.
        ridge: of "csa".
        fit: the training loop; a batch is also the set of rows in which neighbourhoods are seen.
    """

    head: Kind = "linear"
    dim: int = 512
    hidden: int = 512
    loss: str | Loss = "clip"
    temperature: float = 0.07
    lam: float = 10.0
    lam_warmup: float = 0.0
    levels: int = 1
    tau: float = 0.05
    order: Order = "normalize_center"
    mask_self: bool = False
    standardize: bool = True
    ridge: float = 0.1
    fit: FitConfig = DEFAULT_FIT

    def __post_init__(self) -> None:
        if not callable(self.loss) and self.loss not in ("clip", "siglip"):
            raise InputError(f"unknown loss {self.loss!r}: 'clip', 'siglip', or a function")
        if not 0 <= self.lam < math.inf or not 0 <= self.lam_warmup <= 1:
            raise InputError(
                f"lam {self.lam} and lam_warmup {self.lam_warmup}: expected from 0, and a share from 0 to 1"
            )
        if self.fit.max_tokens is not None:
            raise InputError("features have no tokens: give fit.batch_size, not fit.max_tokens")
        StructureLoss(self.levels, self.tau, self.order, self.mask_self)

    def align(
        self,
        features: Features,
        *,
        validation: Features | None = None,
        reference: Features | None = None,
        identities: Sequence[Sequence[Hashable]] = (),
        layers: Mapping[str, str] | None = None,
        progress: bool = True,
    ) -> tuple[SharedSpace, FitResult | None]:
        """Train heads on pairs (or triples and so on) of features.

        Args:
            features: modality → features of the same things, row by row.
            validation: other pairs; recall on them picks the step whose heads are kept, if `fit.keep_best` is set.
            reference: features whose neighbourhoods are kept, if not those of `features`.
            identities: what each row shows, as `same_pairs` takes it: equal rows are no negatives of each other.
            layers: the encoders' layers, for the record in the space.
            progress: show a bar.

        Returns:
            The space, frozen; and what the training did, None where the closed form was all of it.

        Raises:
            InputError: unpaired, too few or unfit features, or settings that do not go together.
        """
        rows = check_paired(features)
        if rows < 2:
            raise InputError(f"{rows} pair: neighbours and negatives need two at least")
        for other in (validation, reference):
            if other is not None:
                check_paired(other, list(features))
        if any(len(kind) != rows for kind in identities):
            raise InputError(f"identities of {len(identities[0])} rows and {rows} pairs: give one of each per pair")
        if reference is not None and check_paired(reference) != rows:
            raise InputError(
                f"{check_paired(reference)} rows of reference and {rows} of features: one of each per pair"
            )
        widths = {name: x.shape[1] for name, x in features.items()}
        space = SharedSpace(widths, head=self.head, dim=self.dim, hidden=self.hidden, layers=layers, seed=self.fit.seed)
        for name, x in features.items():
            made = Standardize.of(x)
            if self.standardize:
                space.inputs[name] = made
        seen = {name: space.inputs[name](x.float()) for name, x in features.items()}
        if self.head == "csa":
            _canonical_heads(space, seen, self.ridge)
            if not self.lam:
                return space.eval().requires_grad_(False), None
        reference_inputs = {name: space.inputs[name](x.float()) for name, x in (reference or features).items()}
        trained = _Trained(space, self)
        result = fit(
            trained,
            _Objective(self),
            range(rows),
            self._evenly(rows),
            collate=_Collate(seen, reference_inputs if reference is not None else seen, identities),
            validate=None if validation is None else partial(_recall, space, validation),
            progress=progress,
        )
        return space.eval().requires_grad_(False), result

    def _evenly(self, rows: int) -> FitConfig:
        """The training settings, with batches of nearly one size: neighbourhoods in a small remainder mean little."""
        size = self.fit.batch_size or rows
        return replace(self.fit, batch_size=math.ceil(rows / math.ceil(rows / size)))


class _Trained(nn.Module):
    """The heads, and what their loss learns beside them."""

    def __init__(self, space: SharedSpace, settings: Aligner) -> None:
        super().__init__()
        sigmoid = settings.loss == "siglip"
        self.heads = space.heads
        self.temperature = Temperature(SIGLIP_START[0] if sigmoid else settings.temperature)
        self.bias = nn.Parameter(torch.tensor(SIGLIP_START[1])) if sigmoid else None


class _Collate:
    """Rows of the data as tensors; for all rows it hands out the same tensors, whose walks are then known."""

    def __init__(
        self, x: dict[str, Tensor], reference: dict[str, Tensor], identities: Sequence[Sequence[Hashable]] = ()
    ) -> None:
        self.x, self.reference, self.identities = x, reference, identities
        self.rows = check_paired(x)
        self.whole: dict[str, Any] | None = None

    def __call__(self, rows: list[int]) -> dict[str, Any]:
        if len(rows) < self.rows:
            return self._batch(rows)
        if self.whole is None:
            self.whole = self._batch(None)
        return self.whole

    def _batch(self, rows: list[int] | None) -> dict[str, Any]:
        some = slice(None) if rows is None else torch.tensor(rows)
        names = [values if rows is None else [values[i] for i in rows] for values in self.identities]
        return {
            "x": {name: values[some] for name, values in self.x.items()},
            "reference": {name: values[some] for name, values in self.reference.items()},
            "same": same_pairs(*names) if names else None,
        }


class _Objective:
    """The loss of a batch. It counts its calls, for the warm-up of lambda."""

    def __init__(self, settings: Aligner) -> None:
        self.settings, self.calls = settings, 0
        make = partial(StructureLoss, settings.levels, settings.tau, settings.order, settings.mask_self)
        self.penalties: dict[str, StructureLoss] = {}
        self.make = make

    def __call__(self, model: Any, batch: dict[str, Any]) -> dict[str, Any]:
        placed = {name: model.heads[name](x) for name, x in batch["x"].items()}
        scale, same = model.temperature(), batch["same"]
        match self.settings.loss:
            case "clip":
                contrast: Loss = clip_loss
            case "siglip":
                contrast = partial(siglip_loss, bias=model.bias)
            case other:
                contrast = other  # pyright: ignore
        alignment = torch.stack(
            [contrast(placed[a], placed[b], scale, same=same) for a, b in combinations(placed, 2)]
        ).sum()
        lam = self._lam(model)
        if not self.settings.lam:
            return {"loss": alignment, "alignment": alignment.detach()}
        structure = torch.stack(
            [self.penalties.setdefault(name, self.make())(batch["reference"][name], a) for name, a in placed.items()]
        ).sum()
        return {"loss": alignment + lam * structure, "alignment": alignment.detach(), "structure": structure.detach()}

    def _lam(self, model: nn.Module) -> float:
        settings = self.settings
        if model.training:
            self.calls += 1
        rising = settings.lam_warmup * (settings.fit.steps or 0) * settings.fit.accumulation
        return settings.lam if self.calls > rising else settings.lam * self.calls / rising


def _canonical_heads(space: SharedSpace, seen: dict[str, Tensor], ridge: float) -> None:
    if len(seen) != 2:
        raise InputError(f"'csa' correlates two modalities, and there are {len(seen)}: use 'linear' or 'mlp'")
    (a, x), (b, y) = seen.items()
    space.heads[a], space.heads[b] = canonical(x, y, space.config["dim"], ridge=ridge)


def _recall(space: SharedSpace, validation: Features, step: int) -> float:
    placed = {name: space.transform(x, name) for name, x in validation.items()}
    k = min(RECALL, check_paired(validation))
    return float(torch.stack([recall_at(k, placed[a], placed[b]).mean() for a, b in combinations(placed, 2)]).mean())
