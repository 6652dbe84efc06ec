"""Masked models with their tokenizer: text in, text out, in a folder of their own or in Hugging Face's.

Knows texts, tokenizers and folders. Knows nothing of how tokens are drawn.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock
from jaxtyping import Int
from torch import Tensor

from trued.data.plays import MASK, plays, read_bpe, train_bpe, windows
from trued.errors import InputError
from trued.fetch.completeness import POOLER
from trued.fetch.hub import find_files
from trued.fetch.pretrained import read_model, read_parts
from trued.fetch.vocabulary import fit_vocabulary
from trued.files import cache_dir, whole_folder
from trued.generation.masked.model import HuggingFaceMaskedLM, MaskedConfig, MaskedModel, TinyMaskedLM
from trued.generation.masked.train import train_masked_lm
from trued.language.engine.text_length import longest_text
from trued.learn.device import open_device
from trued.learn.fit.loop import FitConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KIND = "trued-tiny-masked-lm"
PLAYS = "plays"
PLAYS_STEPS = 300


@dataclass(frozen=True)
class MaskedText:
    """A masked model and what turns its ids into text.

    Attributes:
        model: the masked model.
        encode, decode: text to ids and back, special tokens left out.
        name: for reports.
        before, after: ids that every sequence begins and ends with.
        longest: the most tokens that the model takes.
    """

    model: MaskedModel
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    name: str
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    longest: int = 1 << 20

    def start(self, prompt: str, length: int | None, batch: int) -> Int[Tensor, "batch length"]:
        """Return sequences to fill: the prompt, each `[MASK]` in it a gap of one token, then gaps up to `length`.

        Args:
            prompt: what is given, or "".
            length: tokens in all; None adds no gap behind the prompt.
            batch: how many copies.

        Raises:
            InputError: nothing at all, a prompt longer than `length`, or more than the model takes.
        """
        pieces = [self.encode(part) if part else [] for part in prompt.split(MASK)]
        ids = pieces[0] + [token for piece in pieces[1:] for token in (self.model.mask_id, *piece)]
        if length is not None and length < len(ids):
            raise InputError(f"the prompt has {len(ids)} tokens and length is {length}: give a length above it")
        ids += [self.model.mask_id] * ((length or len(ids)) - len(ids))
        ids = [*self.before, *ids, *self.after]
        if not ids or batch < 1:
            raise InputError(
                f"{len(ids)} tokens, {batch} sequences: give a prompt or a length, and at least 1 sequence"
            )
        if len(ids) > self.longest:
            raise InputError(f"{len(ids)} tokens: {self.name} takes {self.longest} at most")
        return torch.tensor([ids] * batch)

    def texts(self, ids: Int[Tensor, "batch length"]) -> list[str]:
        """Return sequences as text, without what they all begin and end with."""
        end = ids.shape[1] - len(self.after)
        return [self.decode(row[len(self.before) : end].tolist()) for row in ids]

    @classmethod
    def tiny(cls, model: TinyMaskedLM, tokenizer: Tokenizer, name: str) -> MaskedText:
        """Put a small model and its tokenizer together."""

        def encode(text: str) -> list[int]:
            return tokenizer.encode(text).ids

        def decode(ids: list[int]) -> str:
            return tokenizer.decode(ids, skip_special_tokens=False)

        return cls(model, encode, decode, name, longest=model.config.length)

    @classmethod
    def load(cls, source: str | Path, *, device: str | None = None, progress: bool = False) -> MaskedText:
        """Load a small model from its folder, "plays" (trained on the first call), or a Hugging Face masked model.

        Weights come from safetensors only, and no code of a model's repository is run: a model that needs its own code
        is loaded by the caller, and put into `HuggingFaceMaskedLM`.

        Args:
            source: which model.
            device: such as "cuda:1"; the CPU by default.
            progress: show a bar while the model of the plays is trained.

        Raises:
            InputError: no such device or model, or a model without MASK.
        """
        where = open_device(device or "cpu")
        if source == PLAYS:
            source = plays_model(progress=progress)
        folder = Path(source)
        if (folder / "config.json").is_file() and (settings := _settings(folder)).pop("kind", None) == KIND:
            return _read_tiny(folder, settings, where)
        return _hugging_face(str(source), where)


def save_tiny(model: TinyMaskedLM, tokenizer: str, folder: str | Path) -> Path:
    """Write a small model, its shape and its tokenizer (JSON), whole or not at all."""
    from safetensors.torch import save_file

    with whole_folder(folder, kind="masked model") as work:
        save_file(model.state_dict(), work / "model.safetensors")
        (work / "config.json").write_text(json.dumps({"kind": KIND, **asdict(model.config)}, indent=1) + "\n")
        (work / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    return Path(folder)


def plays_model(*, steps: int = PLAYS_STEPS, vocab: int = 8192, length: int = 128, progress: bool = False) -> Path:
    """Return the folder of a small model of Shakespeare's plays, trained on the first call, which takes minutes."""
    folder = cache_dir() / "models" / f"plays-masked-local-{vocab}-{length}-{steps}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not folder.exists():
            texts = list(plays("train").values())
            tokenizer = train_bpe(texts, vocab)
            recipe = FitConfig(
                steps=steps, lr=2e-3, batch_size=32, weight_decay=0.01, mixed_precision="bf16", keep_best=False
            )
            rows = windows(read_bpe(tokenizer), texts, length)
            model, _ = train_masked_lm(rows, MaskedConfig(vocab, length), recipe, progress=progress)
            save_tiny(model, tokenizer, folder)
    return folder


def _settings(folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'config.json'} is no JSON ({error}): save the model again") from error
    if not isinstance(settings, dict):
        raise InputError(f"{folder / 'config.json'} holds a {type(settings).__name__}: a model's settings have names")
    return settings


def _read_tiny(folder: Path, settings: dict[str, Any], device: torch.device) -> MaskedText:
    from safetensors.torch import load_file

    try:
        model = TinyMaskedLM(MaskedConfig(**settings))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        tokenizer = read_bpe((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except Exception as error:  # files that are cut off or of another shape fail in ways of their own
        raise InputError(f"{folder} does not hold a whole model: {' '.join(str(error).split())[:200]}") from error
    return MaskedText.tiny(model.eval().to(device), tokenizer, folder.name)


def _hugging_face(source: str, device: torch.device) -> MaskedText:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    try:
        files = find_files(source)
        model = read_model(AutoModelForMaskedLM, files, dtype=torch.float32, unused=POOLER).to(device)
        rows = model.get_input_embeddings().weight.shape[0]
        tokenizer = fit_vocabulary(read_parts(AutoTokenizer, files), rows, name=files.name)
    except InputError as error:
        raise InputError(
            f"{source!r} does not load as a masked language model ({error}): give {PLAYS!r}, a folder or a hub id of "
            "a model with a MASK token, in safetensors"
        ) from error
    if tokenizer.mask_token_id is None:
        raise InputError(f"the tokenizer of {source} has no MASK token: sampling starts from MASK")
    vocab = int(model.config.vocab_size)
    nameless = range(len(tokenizer), vocab)  # rows that only fill up the embedding
    forbidden = [*(token for token in tokenizer.all_special_ids if token < vocab), *nameless]
    wrapped = HuggingFaceMaskedLM(model, int(tokenizer.mask_token_id), forbidden)
    ends = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    before, after = (() if token is None else (int(token),) for token in ends)

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    return MaskedText(
        wrapped, encode, tokenizer.decode, source, before, after, longest_text(model, tokenizer)
    )  # fmt: skip
