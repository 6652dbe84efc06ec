"""Features of a user's own: embeddings in files, or an encoder's over pictures and texts that a table lists.

Knows files and the doors of the encoders. Knows nothing of what the features are for.

Embeddings are a `.safetensors` file with a tensor a layer, a `.npy` file with one layer, or a folder of `.npy` files,
one a layer, in the order of their names; `keys.txt` in the folder, or NAME.keys.txt beside the file, names the rows.
An encoder is `image:SOURCE` or `text:SOURCE`, such as `image:facebook/dinov2-base` and `text:minilm`. It runs over a
table of a user's own, or over emoji and their names.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trued.errors import InputError
from trued.learn.device import open_device
from trued.representation.structure.layers import LayerFeatures
from trued.texts import read_text

KINDS = ("image", "text")
EMOJI = "emoji"  # in place of a table


def features_of(
    source: str, pairs: str | Path | None = None, *, device: str = "cpu", size: int | None = None
) -> LayerFeatures:
    """Return the features that `source` names: from files, or by running an encoder over the rows of `pairs`.

    Args:
        source: a path of embeddings, or `image:SOURCE` or `text:SOURCE`.
        pairs: a JSONL or Parquet table with the columns `image` (a path, from the table's folder) and `text`, which
            encoders need; or "emoji", for all emoji and their names.
        device: of encoders.
        size: pixels a side of pictures, if not the encoder's own.

    Raises:
        InputError: no such device, nothing of that name, no table for an encoder, or files that do not read.
    """
    open_device(device)
    kind, _, name = source.partition(":")
    if kind not in KINDS or not name:
        return read_embeddings(source)
    if pairs is None:
        raise InputError(f"{source} is an encoder: give a table with the columns 'image' and 'text' for it to run over")
    if str(pairs) == EMOJI:
        return _emoji_features(kind, name, device, size)
    from trued.data.rows import read_rows

    rows = [str(row[kind]) for row in read_rows(pairs, columns={kind: "text"})]
    if kind == "text":
        from trued.representation.features import TextEncoder

        return TextEncoder.load(name, device=device).features(rows)
    from trued.vision.encoder import ImageEncoder
    from trued.vision.picture import square_picture

    encoder = ImageEncoder.load(name, device=device, size=size)
    folder = Path(pairs).parent
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(rows), 32):
        images = torch.stack([square_picture(folder / row, encoder.pictures.size) for row in rows[start : start + 32]])
        for layer, x in encoder.features(images, layers="all").items():
            parts.setdefault(layer, []).append(x)
    return LayerFeatures({layer: torch.cat(vectors) for layer, vectors in parts.items()})


def _emoji_features(kind: str, name: str, device: str, size: int | None) -> LayerFeatures:
    from trued.data.emoji import emojis, pictures

    known = emojis()
    if kind == "text":
        from trued.representation.features import TextEncoder

        return TextEncoder.load(name, device=device).features([emoji.name for emoji in known])
    from trued.vision.encoder import ImageEncoder

    encoder = ImageEncoder.load(name, device=device, size=size)
    drawn = pictures([emoji.character for emoji in known], encoder.pictures.size)
    return LayerFeatures(encoder.features(drawn, layers="all"))


def read_embeddings(path: str | Path) -> LayerFeatures:
    """Read embeddings from a file or a folder, as the module says.

    Raises:
        InputError: nothing there, another kind of file, or arrays that are no matrices of numbers.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.npy"), key=_naturally)
        if not files:
            held = sorted(path.glob("*.safetensors"))
            if len(held) == 1:
                return read_embeddings(held[0])
            raise InputError(f"{path} holds no .npy file: expected one a layer, or a single .safetensors file")
        return LayerFeatures({file.stem: _array(file) for file in files}, _keys(path / "keys.txt"))
    if not path.is_file():
        raise InputError(
            f"{path}: no such file or folder, and no encoder either; those are image:SOURCE and text:SOURCE"
        )
    keys = _keys(path.with_suffix(".keys.txt"))
    if path.suffix == ".npy":
        return LayerFeatures({path.stem: _array(path)}, keys)
    if path.suffix == ".safetensors":
        features = LayerFeatures.load(path)
        return features if keys is None else LayerFeatures(features.layers, keys)
    raise InputError(f"{path}: embeddings are .npy or .safetensors files; pickles are not read")


def _array(path: Path) -> Tensor:
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged header fails in ways of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} does not read as an array ({reason}): save it with numpy.save") from error
    if array.dtype.kind not in "fiu" or array.ndim != 2:
        raise InputError(f"{path} holds {array.dtype} of shape {array.shape}: expected numbers, [rows, width]")
    return torch.from_numpy(array.astype(np.float32))


def _keys(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    # Other signs at which Python would break a line are part of a name.
    text = read_text(path).replace("\r\n", "\n").removesuffix("\n")
    return tuple(text.split("\n")) if text else ()


def _naturally(path: Path) -> list[tuple[int, str]]:
    """Sort "layer 10" behind "layer 9"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.stem)]
