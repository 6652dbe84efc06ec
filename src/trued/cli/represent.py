"""`trued represent`: work on representations of two frozen encoders.

Knows options, files and how to print. Knows nothing of how heads are trained or layers compared.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from trued.cli.help import CommandGroup
from trued.cli.methods import options
from trued.cli.options import JsonSwitch, Switch
from trued.cli.settings import with_settings
from trued.cli.terminal import console, messages, plain_table, print_json
from trued.errors import InputError
from trued.files import add_text, claim_output

app = CommandGroup(name="represent", help="Bring frozen encoders into one space, from few pairs.")

if TYPE_CHECKING:
    from trued.representation.structure.low_data import Measured

    AlignerOptions = Any
else:
    AlignerOptions = options("represent structure")


@app.command
def structure(
    first: str,
    second: str,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    pairs: Path | None = None,
    layers: Literal["chosen", "last"] = "chosen",
    score: Literal["mutual_knn", "cka", "cka_debiased", "rsa"] = "mutual_knn",
    loss: Literal["clip", "siglip"] = "clip",
    test: float = 0.2,
    validation: float = 0.1,
    compare: Switch = False,
    sweep: Switch = False,
    device: str = "cpu",
    config: Path | None = None,
    method: AlignerOptions = None,
    as_json: JsonSwitch = False,
) -> None:
    """STRUCTURE (arXiv 2506.16895): align two frozen encoders from few pairs, and keep what each knew of its samples.

    FIRST and SECOND are embeddings, row by row of the same things: a .safetensors file (a tensor a layer), a .npy
    file, or a folder of .npy files (one a layer), with names of the rows in keys.txt where rows are to be paired by
    name. Or they are encoders, image:SOURCE and text:SOURCE, such as image:facebook/dinov2-base and text:minilm, run
    over --pairs.

    Parameters
    ----------
    output
        The folder that receives the heads, and structure.json with what was measured.
    pairs
        A JSONL or Parquet table with the columns 'image' (a path, from the table's folder) and 'text'; or "emoji", for
        all emoji and their names.
    layers
        "chosen" takes the most similar pair of layers on the training pairs, "last" the last ones.
    score
        What layers are compared by.
    loss
        The contrastive loss that the penalty is added to.
    test
        Share of the pairs that is held out to measure on.
    validation
        Share that is held out to pick the best step, and the settings with --sweep.
    compare
        Train the last layers without a penalty, too, and each part alone, and show them side by side.
    sweep
        Pick lambda, levels and tau on the validation pairs: 27 trainings.
    device
        Of the encoders, such as cuda:1.
    config
        A TOML or YAML file of the settings below; options on the command line go before it.
    """
    from trued.representation.embeddings import features_of
    from trued.representation.structure.layers import paired
    from trued.representation.structure.low_data import Split, align_two, compared
    from trued.representation.structure.train import Aligner

    if (output / "space.json").exists():
        raise InputError(f"{output} already contains a space: give another --output, or remove it. Nothing was trained")
    from trued.learn.device import open_device

    open_device(device)
    claim_output(output, kind="space")
    aligner = replace(with_settings(Aligner(), config, method), loss=loss)
    first_vectors, second_vectors = paired(*(features_of(side, pairs, device=device) for side in (first, second)))
    split = Split.of(len(first_vectors), test=test, validation=validation, seed=aligner.fit.seed)
    sides = {"first": first_vectors, "second": second_vectors}
    if not as_json:
        messages().print(f"{len(first_vectors)} pairs: {len(split.train)} to train, {len(split.test)} to measure on")
    done = align_two(sides, split, aligner, layers=layers, score=score, swept=sweep, progress=True)
    arms = [done.measured, *(compared(sides, split, done, progress=True) if compare else [])]
    if not as_json:
        _print(arms)
    folder = done.space.save_pretrained(output)
    record = {
        "first": first, "second": second, "settings": asdict(replace(done.aligner, loss=loss)),
        "score": score, "similarity": None if done.choice is None else done.choice.matrix.tolist(),
        "layers": {name: list(side.names) for name, side in sides.items()},
        "arms": [asdict(arm) for arm in arms], "pairs": len(first_vectors), "tested": len(split.test),
    }  # fmt: skip
    add_text(folder, "structure.json", json.dumps(record, indent=1) + "\n")
    if as_json:
        print_json({"space": str(folder), "arms": record["arms"]})
        return
    console().print(f"space    {folder}", soft_wrap=True)


def _print(arms: list[Measured]) -> None:
    table = plain_table("", "layers", "R@1", "R@5", "trust", "cont", right=("R@1", "R@5", "trust", "cont"))
    for arm in arms:
        table.add_row(
            arm.name, " × ".join(arm.layers), f"{arm.recall_at_1:.1%}", f"{arm.recall_at_5:.1%}",
            f"{arm.trustworthiness:.3f}", f"{arm.continuity:.3f}",
        )  # fmt: skip
    console().print(table)
