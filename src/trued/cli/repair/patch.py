"""A patch put on a model or taken off, and where a model's weights lie.

Knows folders and patches. Knows nothing of how a patch was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trued.cli.terminal import console, print_json
from trued.errors import InputError
from trued.files import whole_folder

REPAIR = "repaired model"
"""What the folder is called among the kinds of output."""
PATCH = "patch.safetensors"


def weights_folder(source: str) -> Path | None:
    """Return the folder of a saved model, if its weights lie there as they are used."""
    from trued.language.engine.loading import default_embedded

    embedded = default_embedded(source)
    folder = embedded.folder if embedded is not None else Path(source)
    return folder if (folder / "config.json").is_file() else None


def move_patch(
    source: str | None, apply: Path | None, revert: Path | None, output: Path, device: str | None, *, as_json: bool
) -> int:
    """Put the patch `apply` on a model, or take the patch `revert` off, and write the result to `output`.

    Raises:
        InputError: no model is named, or the patch does not belong to it.
    """
    from trued.language.engine.model import LanguageModel
    from trued.language.train.aligned_base import save_model
    from trued.learn.weights import Patch, WeightsFolder

    if source is None:
        raise InputError("which model? Give --finetuned MODEL, the one that the patch is put on or taken off")
    patch = Patch.load(apply or revert or "")
    folder = weights_folder(source)
    dtype: Any = "auto" if folder is None else WeightsFolder(folder).dtype
    lm = LanguageModel.load(source, dtype=dtype, device=device)
    if apply is not None:
        patch.apply(lm.base)
    else:
        patch.revert(lm.base)
    with whole_folder(output, kind=REPAIR) as work:
        save_model(lm, work)
    done = "applied" if apply is not None else "reverted"
    if as_json:
        print_json({"patch": done, "weights": patch.count, "output": str(output)})
    else:
        console().print(f"{patch.count:,} weights {done}\nmodel    {output}", soft_wrap=True)
    return 0
