"""A shared space: one head for each modality, what they take, and how good the space is.

Knows features by the name of their modality. Knows nothing of encoders or of how heads are trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trued.errors import InputError, nearest
from trued.files import whole_folder, write_text
from trued.learn.neighbours import continuity, trustworthiness
from trued.learn.unit import unit_rows
from trued.representation.heads import Kind, Standardize, linear, mlp
from trued.representation.retrieval import class_embeddings, recall_at, zero_shot

WEIGHTS, CONFIG = "heads.safetensors", "space.json"


class SharedSpace(nn.Module):
    """Heads into one space, compared by cosine.

    Args:
        widths: modality → width of its features; two at least.
        head: "linear", "mlp" or "csa", which is linear as well.
        dim: of the space.
        hidden: of the layer between, for "mlp".
        layers: modality → the layer of its encoder that the features come from, for the record.
        seed: of the heads' first weights.

    Raises:
        InputError: an unknown head, or fewer than two modalities.
    """

    def __init__(
        self, widths: Mapping[str, int], *, head: Kind = "linear", dim: int = 512, hidden: int = 512,
        layers: Mapping[str, str] | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if head not in ("linear", "mlp", "csa"):
            raise InputError(f"unknown head {head!r}: 'linear', 'mlp' or 'csa'")
        if len(widths) < 2 or min(dim, hidden, *widths.values()) < 1:
            raise InputError(f"{len(widths)} modalities, dim {dim}, hidden {hidden}: expected 2, 1 and 1 at least")
        self.config: dict[str, Any] = {
            "widths": dict(widths), "head": head, "dim": dim, "hidden": hidden, "layers": dict(layers or {}),
        }  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        self.inputs = nn.ModuleDict({name: Standardize(width) for name, width in widths.items()})
        self.heads = nn.ModuleDict(
            {
                name: mlp(width, hidden, dim, generator) if head == "mlp" else linear(width, dim, generator)
                for name, width in widths.items()
            }
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.config["widths"])

    @torch.no_grad()
    def transform(self, x: Float[Tensor, "rows width"], modality: str) -> Float[Tensor, "rows dim"]:
        """Return unit vectors in the shared space.

        Raises:
            InputError: no such modality, or features of another width.
        """
        if modality not in self.modalities:
            raise InputError(
                f"no modality '{modality}'{nearest(modality, self.modalities)} ({', '.join(self.modalities)})"
            )
        width = self.config["widths"][modality]
        if x.ndim != 2 or x.shape[1] != width:
            raise InputError(f"{modality} features of shape {tuple(x.shape)}: this space takes [rows, {width}]")
        return unit_rows(self.heads[modality](self.inputs[modality](x.float())))

    def zero_shot(
        self, x: Float[Tensor, "rows width"], modality: str, classes: Mapping[str, Float[Tensor, "templates width"]],
        *, by: str,
    ) -> list[str]:  # fmt: skip
        """Return the nearest class of each row.

        Args:
            x: what is classified.
            modality: its modality.
            classes: class → features of its name in several templates.
            by: the modality of these.
        """
        names, embeddings = class_embeddings({name: self.transform(rows, by) for name, rows in classes.items()})
        return zero_shot(self.transform(x, modality), names, embeddings)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the heads (safetensors) and the settings to a folder that appears whole or not at all."""
        from safetensors.torch import save_file

        with whole_folder(folder, kind="space") as work:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}, work / WEIGHTS
            )
            write_text(work / CONFIG, json.dumps(self.config, indent=1) + "\n")
        return Path(folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> SharedSpace:
        """Read what `save_pretrained` wrote.

        Raises:
            InputError: the folder does not hold a space, or a damaged one.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            config = json.loads(Path(folder, CONFIG).read_text("utf-8"))
            space = cls(config.pop("widths"), **config)
            space.load_state_dict(load_file(Path(folder, WEIGHTS)))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{folder} holds no shared space ({line}): give a folder that `save_pretrained` wrote"
            ) from error
        return space.eval().requires_grad_(False)


@dataclass(frozen=True)
class Quality:
    """How good a space is, row by row.

    Args:
        recall: how often a row's partner is among the first k, the mean of both directions and of all pairs of
            modalities.
        trustworthiness: modality → how far neighbours in the space were neighbours before.
        continuity: modality → how far neighbours before are neighbours in the space.
    """

    recall: Float[Tensor, " rows"]
    trustworthiness: dict[str, Float[Tensor, " rows"]]
    continuity: dict[str, Float[Tensor, " rows"]]

    def mean(self, what: str) -> Float[Tensor, " rows"]:
        """The mean over modalities of "trustworthiness" or "continuity", for each row."""
        return torch.stack(list(getattr(self, what).values())).mean(0)


def quality(
    space: SharedSpace, features: Mapping[str, Float[Tensor, "rows _"]], *, recall: int = 5, neighbours: int = 10,
    same: Bool[Tensor, "rows rows"] | None = None,
) -> Quality:  # fmt: skip
    """Measure a space on rows that it was not trained on.

    Args:
        space: the space.
        features: modality → features of the same things.
        recall: k of the recall.
        neighbours: k of trustworthiness and continuity, against the standardised features; fewer than half the rows.
        same: rows that show the same thing, and are right as well.
    """
    placed = {name: space.transform(x, name) for name, x in features.items()}
    kinds = {"same": same} if same is not None else {}
    recalls = torch.stack([recall_at(recall, placed[a], placed[b], **kinds) for a, b in combinations(placed, 2)])
    before = {name: space.inputs[name](x.float()) for name, x in features.items()}
    preserved = [
        {name: measure(before[name], placed[name], neighbours) for name in placed}
        for measure in (trustworthiness, continuity)
    ]
    return Quality(recalls.mean(0), *preserved)


def check_paired(features: Mapping[str, Tensor], names: Sequence[str] | None = None) -> int:
    """Return how many rows the modalities share.

    Raises:
        InputError: fewer than two modalities, others than `names`, or rows that differ.
    """
    if len(features) < 2 or (names is not None and set(names) != set(features)):
        raise InputError(
            f"modalities {', '.join(features) or 'none'}: expected {', '.join(names or ('two', 'at least'))}"
        )
    counts = {name: len(x) for name, x in features.items()}
    if len(set(counts.values())) > 1:
        raise InputError(
            f"{', '.join(f'{n} rows of {name}' for name, n in counts.items())}: expected one of each per pair"
        )
    return next(iter(counts.values()))
