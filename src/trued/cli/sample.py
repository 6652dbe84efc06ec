"""`trued sample`: text from a masked model, by any of the samplers, with what it cost and how good it is.

Knows options, files and how to print. Knows nothing of how anything is sampled.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from trued.cli.methods import options
from trued.cli.options import JsonSwitch, WholeNumber, whole_number
from trued.cli.settings import with_settings
from trued.cli.terminal import console, messages, print_json
from trued.errors import InputError
from trued.lab.wording import duration

if TYPE_CHECKING:
    from trued.generation.masked.sampler import MaskedSampler
    from trued.generation.masked.state import SampleResult
    from trued.generation.masked.text import MaskedText
    from trued.generation.quality import Quality
    from trued.language.engine.model import LanguageModel

    SamplerOptions = Any
else:
    SamplerOptions = options("sample", group="Sampler")


def sample(
    model: str = "plays",
    *,
    prompt: str = "",
    length: WholeNumber | None = None,
    n: Annotated[int, Parameter(name=["--n", "-n"], converter=whole_number)] = 4,
    seed: WholeNumber = 0,
    reference: str | None = None,
    device: str | None = None,
    config: Path | None = None,
    sampler: SamplerOptions = None,
    as_json: JsonSwitch = False,
) -> None:
    """Draw text from a masked language model: exactly and fast by default, or in the other ways there are.

    Parameters
    ----------
    model
        A folder or a hub id of a Hugging Face masked model, the folder of a small one, or "plays" for a small model of
        Shakespeare's plays, which is trained on first use (some minutes).
    prompt
        What is given. Each [MASK] in it is a gap of one token; with --length, gaps follow behind it.
    length
        Tokens in all; 64 if nothing else says where the gaps are.
    n
        How many texts.
    seed
        Of all random numbers.
    reference
        A language model to score the texts with: a folder, a hub id, or "default" for SmolLM2-135M-Instruct.
    device
        Such as cpu or cuda:1.
    config
        A TOML or YAML file of the sampler's settings; options on the command line go before it.
    """

    from trued.generation.masked.sampler import MaskedSampler
    from trued.generation.masked.state import EXACT
    from trued.generation.masked.text import MaskedText
    from trued.generation.quality import gen_quality
    from trued.learn.device import open_device
    from trued.learn.seed import seeded

    masked_sampler = with_settings(MaskedSampler(), config, sampler)
    if n < 1:
        raise InputError(f"-n {n}: draw at least 1 text")
    generator = seeded(seed)
    open_device(device)
    if length is None and "[MASK]" not in prompt:
        length = 64
    text = MaskedText.load(model, device=device, progress=True)
    start = text.start(prompt, length, n)
    judge = None if reference is None else _reference(reference, device)
    began = time.perf_counter()
    result = masked_sampler.sample(text.model, start, generator=generator)
    seconds = time.perf_counter() - began
    written = text.texts(result.ids)
    quality = None if judge is None else gen_quality(result.ids, written, judge)
    if as_json:
        print_json(_record(text, masked_sampler, result, written, quality, seconds, seed))
        return
    out = console()
    for number, line in enumerate(written, start=1):
        out.print(f"{number}", style="bold")
        out.print(line.strip("\n"), soft_wrap=True)
        out.print()
    out.print(_account(result, seconds, n))
    out.print(_worth(result, quality, reference))
    if result.law != EXACT:
        messages().print(f"trued: the texts do not have the model's own law: {result.law}")


def _reference(name: str, device: str | None) -> LanguageModel:
    from trued.cli.check.report import open_model

    return open_model(name, device=device)


def _account(result: SampleResult, seconds: float, n: int) -> str:
    calls = f"{result.calls} network call{'s' if result.calls != 1 else ''}"
    return f"{calls} for {n} texts, {result.draws / n:.0f} draws a text, {duration(seconds)}"


def _worth(result: SampleResult, quality: Quality | None, reference: str | None) -> str:
    from trued.generation.quality import distinct, token_entropy

    entropy = f"entropy {float(token_entropy(result.ids).mean()):.2f} nats"
    if result.ids.shape[1] > 1:
        entropy += f", distinct bigrams {float(distinct(result.ids, 2).mean()):.0%}"
    if quality is None:
        return f"{entropy} (--reference MODEL adds the generative perplexity)"
    return f"{entropy}, generative perplexity {quality.perplexity:.1f} under {reference}"


def _record(
    text: MaskedText, sampler: MaskedSampler, result: SampleResult, written: Sequence[str], quality: Quality | None,
    seconds: float, seed: int,
) -> dict[str, Any]:  # fmt: skip
    from trued.generation.quality import token_entropy

    return {
        "model": text.name,
        "sampler": asdict(sampler),
        "seed": seed,
        "law": result.law,
        "texts": list(written),
        "calls": result.calls,
        "evaluations": result.evaluations.tolist(),
        "draws": result.draws,
        "seconds": seconds,
        "entropy": token_entropy(result.ids).tolist(),
        "nll": None if quality is None else quality.nll.tolist(),
    }
