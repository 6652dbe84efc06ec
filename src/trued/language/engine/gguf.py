"""A GGUF file to a plain folder of safetensors that transformers, TRL, vLLM and PEFT load.

Weights are unpacked and kept in float32: a value of Q4_1 is d·q + m with half-precision d and m, which neither float16
nor bfloat16 holds exactly (a quarter to four fifths of the weights would be rounded once more).

Knows GGUF, weights and tokenizers. Knows nothing of where the file came from.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from trued.errors import InputError
from trued.fetch.wheel import Report

STEPS = 4


def convert(path: Path, folder: Path, *, name: str, report: Report) -> None:
    """Write model and tokenizer of a GGUF file to `folder` as `config.json`, `model.safetensors`, `tokenizer.json`….

    transformers refuses `save_pretrained` for a model that was loaded from GGUF, so the weights move, every name
    accounted for, into a fresh model of the same config, and that one is saved, read back and compared bit for bit.

    Args:
        path: the GGUF file.
        folder: an existing, empty folder.
        name: what the report calls the model.
        report: told of the steps.

    Raises:
        InputError: what was written does not read back as it was.
    """
    stage = f"converting {name}"
    report(stage, 0, STEPS)
    # One of the progress bars inside cannot be switched off; this one's reader has `report`. Errors come as exceptions.
    with redirect_stderr(io.StringIO()):
        model = _fresh(_loaded(path))
        report(stage, 1, STEPS)
        model.save_pretrained(folder)
        report(stage, 2, STEPS)
        _save_tokenizer(path, folder, length=model.config.max_position_embeddings)
        report(stage, 3, STEPS)
    _compare(model, folder / "model.safetensors")
    report(stage, STEPS, STEPS)


def _loaded(path: Path) -> Any:
    import torch
    import transformers

    from trued.fetch.pretrained import read_gguf

    packed = getattr(transformers, "GgufConfig", None)  # newer releases may keep the weights packed unless told
    options = {"quantization_config": packed(dequantize=True)} if packed else {}
    return read_gguf(transformers.AutoModelForCausalLM, path, dtype=torch.float32, **options)


def _fresh(loaded: Any) -> Any:
    """Return a model of the same config, with the same tensors, that does not know that it came from GGUF."""
    import torch
    from transformers import AutoModelForCausalLM

    foreign = {"quantization_config", "_name_or_path", "_model_name_or_path"}
    facts = {key: value for key, value in loaded.config.to_dict().items() if key not in foreign}
    config = type(loaded.config).from_dict(facts)
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    model.load_state_dict(loaded.state_dict(), strict=True, assign=True)
    model.tie_weights()
    return model.eval()


def _save_tokenizer(path: Path, folder: Path, *, length: int) -> None:
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    from trued.fetch.pretrained import read_gguf_parts

    tokenizer = read_gguf_parts(AutoTokenizer, path)
    field = GGUFReader(path).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        # transformers drops this rule of the file: every digit stands alone, before words are cut.
        digits = pre_tokenizers.Digits(individual_digits=True)
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.model_max_length = length
    tokenizer.save_pretrained(folder)


def _compare(model: Any, path: Path) -> None:
    import torch
    from safetensors import safe_open

    expected = model.state_dict()
    with safe_open(path, framework="pt") as written:
        names = set(written.keys())
        same = all(torch.equal(written.get_tensor(name), expected[name]) for name in names)
    written_at = {expected[name].data_ptr() for name in names}  # a tied tensor is written once, under one of its names
    if not same or any(tensor.data_ptr() not in written_at for tensor in expected.values()):
        raise InputError(f"{path} does not read back as it was written: check the disk, then try again")
