"""Features of every layer of a frozen model, and which layers of two models to align (arXiv 2506.16895).

Knows matrices by the name of their layer, and where they are kept. Knows nothing of heads or training; what runs a
model to get them is in `trued.representation.features`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from trued.errors import InputError, nearest
from trued.files import write_bytes
from trued.learn.similarity import Score, similarity_matrix


@dataclass(frozen=True)
class LayerFeatures:
    """One vector a thing, for each layer of a model.

    Args:
        layers: name → [rows, width], from the first layer to the last; at least one row and one layer.
        keys: names of the rows, where they have any, by which two sides are paired; each stands once.

    Raises:
        InputError: layers that differ in their rows, features that are not finite, or a key for each row is missing.
    """

    layers: Mapping[str, Float[Tensor, "rows _"]]
    keys: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("features without a layer: give one matrix at least")
        rows = len(next(iter(self.layers.values())))
        for name, x in self.layers.items():
            if x.ndim != 2 or len(x) != rows or not rows:
                raise InputError(
                    f"layer '{name}' has shape {tuple(x.shape)}: expected [rows, width] with the {rows} rows of the "
                    "first layer, one at least"
                )
            if not torch.isfinite(x).all():
                row = int((~torch.isfinite(x).all(1)).nonzero()[0])
                raise InputError(f"layer '{name}', row {row}: the features are not finite; fix or drop the row")
        if self.keys is not None and (len(self.keys) != rows or len(set(self.keys)) != rows):
            raise InputError(
                f"{len(self.keys)} keys, {len(set(self.keys))} of them different, for {rows} rows: one each"
            )

    def __len__(self) -> int:
        return len(next(iter(self.layers.values())))

    def __getitem__(self, layer: str) -> Float[Tensor, "rows width"]:
        if layer not in self.layers:
            raise InputError(f"no layer '{layer}'{nearest(layer, self.layers)} (there are {', '.join(self.layers)})")
        return self.layers[layer].float()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.layers)

    @property
    def last(self) -> str:
        """The name of the last layer."""
        return self.names[-1]

    def spread(self, count: int) -> list[str]:
        """Return the names of at most `count` layers, evenly spaced, the first and the last among them."""
        places = torch.linspace(0, len(self.names) - 1, count, dtype=torch.float64)
        return [self.names[i] for i in sorted({round(place) for place in places.tolist()})]

    def take(self, rows: Sequence[int] | Tensor) -> LayerFeatures:
        """Return the features of some rows, in the order given."""
        index = torch.as_tensor(rows)
        keys = None if self.keys is None else tuple(self.keys[i] for i in index.tolist())
        return LayerFeatures({name: x[index] for name, x in self.layers.items()}, keys)

    def save(self, path: str | Path, *, dtype: torch.dtype = torch.float16) -> Path:
        """Write the features to a safetensors file, whole or not at all; half precision unless `dtype` says otherwise.

        Raises:
            InputError: a value is too large for `dtype`.
        """
        from safetensors.torch import save

        tensors = {name: x.to(dtype).contiguous() for name, x in self.layers.items()}
        for name, x in tensors.items():
            if not torch.isfinite(x).all():
                raise InputError(f"layer '{name}' has values beyond {dtype}: save it with dtype=torch.float32")
        metadata = {"layers": json.dumps(list(self.layers))}
        keys = {} if self.keys is None else {"keys": json.dumps(self.keys)}
        return write_bytes(path, save(tensors, metadata | keys))

    @classmethod
    def load(cls, path: str | Path) -> LayerFeatures:
        """Read a safetensors file: one tensor a layer, in the order that `save` noted, or else that of their names.

        Raises:
            InputError: no such file, another format, or metadata that `save` did not write.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                names = _names(path, metadata, "layers") or tuple(sorted(file.keys()))
                layers = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} does not read as safetensors: {str(error).splitlines()[0]}") from error
        return cls(layers, _names(path, metadata, "keys"))


def _names(path: str | Path, metadata: Mapping[str, str], entry: str) -> tuple[str, ...] | None:
    """The list of names that an entry of a file's metadata holds, as JSON; None where there is no such entry."""
    if entry not in metadata:
        return None
    try:
        names = json.loads(metadata[entry])
    except ValueError as error:
        raise InputError(f"{path}: the metadata '{entry}' are no JSON ({error}): save the features again") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: the metadata '{entry}' are no list of names: save the features again")
    return tuple(names)


def random_layers(
    seed: int = 0, *, rows: int = 160, properties: int = 6, width: int = 12, noise: Sequence[float] = (2.0, 0.3, 1.0)
) -> LayerFeatures:
    """Return the layers of a random network over random things, to try methods out on.

    The things are the same for every seed; the seeds are encoders that see them in their own ways, in each layer the
    better the less noise it has. Layer i is tanh(things M_i) + noise_i N_i, with M_i and N_i standard normal.

    Args:
        seed: of the network.
        rows, properties: how many things, and how many numbers they are made of.
        width: of the layers.
        noise: of each layer.
    """
    things = torch.randn(rows, properties, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for number, deviation in enumerate(noise):
        mixed = torch.tanh(things @ torch.randn(properties, width, generator=generator))
        layers[f"layer {number}"] = mixed + deviation * torch.randn(rows, width, generator=generator)
    return LayerFeatures(layers)


def paired(first: LayerFeatures, second: LayerFeatures) -> tuple[LayerFeatures, LayerFeatures]:
    """Return both sides with the same things in the same rows: by their keys, or row by row where there are none.

    Raises:
        InputError: keys on one side only, no key in common, or, without keys, another number of rows.
    """
    if (first.keys is None) != (second.keys is None):
        raise InputError("one side has keys and the other has none: rows cannot be paired; give both or neither")
    if first.keys is None or second.keys is None:
        if len(first) != len(second):
            raise InputError(
                f"{len(first)} and {len(second)} rows without keys: expected one row a pair on either side"
            )
        return first, second
    places = {key: i for i, key in enumerate(second.keys)}
    both = [(i, places[key]) for i, key in enumerate(first.keys) if key in places]
    if not both:
        raise InputError(f"no key is on both sides (the first ones are '{first.keys[0]}' and '{second.keys[0]}')")
    rows_a, rows_b = zip(*both, strict=True)
    return first.take(rows_a), second.take(rows_b)


@dataclass(frozen=True)
class LayerChoice:
    """The two layers to align, and the score of every pair of layers.

    Args:
        pair: the names of the layers, of the first and of the second model.
        matrix: [first's layers, second's layers].
        score: what was scored.
        rows: how many pairs of things it was computed from.
    """

    pair: tuple[str, str]
    matrix: Float[Tensor, "first second"]
    score: Score
    rows: int


def select_layers(
    first: LayerFeatures,
    second: LayerFeatures,
    score: Score = "mutual_knn",
    *,
    n: int = 1000,
    k: int = 10,
    seed: int = 0,
) -> LayerChoice:
    """Return the most similar pair of layers, scored on pairs that are to be trained on.

    Give it training pairs only: chosen on test pairs, layers leak what is tested.

    Args:
        first, second: features of the same things, in the same order.
        score: "mutual_knn" is the paper's.
        n: of more pairs than these, as many are drawn.
        k: neighbours of "mutual_knn".
        seed: of the draw.

    Raises:
        InputError: not the same rows, or too few of them for the score.
    """
    if len(first) != len(second):
        raise InputError(f"{len(first)} and {len(second)} rows: expected the same things on both sides; see `paired`")
    if len(first) > n:
        drawn = torch.randperm(len(first), generator=torch.Generator().manual_seed(seed))[:n]
        first, second = first.take(drawn), second.take(drawn)
    sides = [[side[name] for name in side.names] for side in (first, second)]
    matrix = similarity_matrix(sides[0], sides[1], score, k=k, seed=seed)
    row, column = divmod(int(matrix.argmax()), matrix.shape[1])
    return LayerChoice((first.names[row], second.names[column]), matrix, score, len(first))
