"""Is first-hitting sampling exact, and does 32-bit noise sharpen what masked models draw? (first-hitting, 2409.02908)

Four measurements a seed, the first two in `_first_hitting_laws`:
- *source*: a Markov chain whose conditionals are exact, so that every sampler's law can be held against the truth;
- *zipf*: a context-free law over a vocabulary, drawn by ancestral sampling with 64-bit, 32-bit and mended 32-bit noise,
  beside the closed form of what 32 bits leave;
- *bounds*: three small networks trained alike on Shakespeare's plays: a masked model, the same one told the time (the
  first has the same clock, but it stands still), and an autoregressive one; bounds on unseen plays over times, over
  numbers of masked tokens, and after half of the training;
- *texts*: what the samplers write with the model whose clock stands still, what it costs in calls, draws and seconds,
  and how likely and how varied it is, under a language model that had no part in it; beside it the autoregressive one.
Every arm has the same model, length, batch and kind of start. Sizes come from the time that a desktop has, the learning
rate is a usual one, tuned for no arm, and there are so many steps that the networks know clearly more than how frequent
tokens are, as losses on training text showed. Of two earlier runs on the test plays, the first had networks that did
not, and the second a clock that was added to the tokens' embeddings and slowed the learning; here it moves the norms.
A vocabulary's surprisal spreads by 2.5 nats, so the 48 and 96 tokens a seed of earlier runs could not show the loss of
0.86 nats that the closed form has; 640 know it to 0.15.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trued.data.plays import plays, read_bpe, train_bpe, windows
from trued.data.prompts import prompts
from trued.experiments._language import load
from trued.experiments.first_hitting.laws import FEW, SYMBOLS, TOKENS, closed_form, on_source, on_zipf
from trued.experiments.first_hitting.report import present
from trued.generation.masked.ancestral_steps import ancestral
from trued.generation.masked.confidence_order import confidence
from trued.generation.masked.first_hitting import Hits, first_hitting
from trued.generation.masked.loss import causal_nll, masked_nelbo, mdm_nelbo
from trued.generation.masked.model import MaskedConfig, TinyMaskedLM
from trued.generation.masked.parallel_hitting import parallel_first_hitting
from trued.generation.masked.schedule import LINEAR, Cosine
from trued.generation.masked.state import SampleResult, all_masked
from trued.generation.masked.train import bound_per_token, train_masked_lm
from trued.generation.quality import gen_quality
from trued.lab.experiment import Lab, experiment
from trued.language.engine.model import LanguageModel
from trued.learn.categorical import Draw
from trued.learn.fit.loop import FitConfig


@dataclass(frozen=True)
class Scale:
    """Sizes of one run."""

    model: str | None = None  # scores the texts
    vocab: int = 8192
    length: int = 128
    width: int = 192
    layers: int = 4
    heads: int = 6
    steps: int = 300
    batch: int = 20
    lr: float = 2e-3
    bf16: bool = True
    windows: int = 32
    repeats: int = 24
    source_samples: int = 30_000
    source_steps: int = 1024
    zipf: int = 8192
    zipf_tokens: int = 640
    zipf_steps: tuple[int, ...] = (16, 64, 256, 1024, 4096)
    timed: int = 2
    timed_steps: int = 1024
    texts: int = 8
    text_steps: int = 2048
    temperatures: tuple[float, ...] = (0.7, 0.8, 0.9, 1.1)


SCALES = {
    "tiny": Scale(
        vocab=300, length=16, width=24, layers=1, heads=2, steps=4, batch=4, bf16=False, windows=2, repeats=2,
        source_samples=500, source_steps=16, zipf=64, zipf_tokens=4, zipf_steps=(4, 16), timed=2, timed_steps=16,
        texts=2, text_steps=16, temperatures=(0.8, 1.2),
    ),
    "desktop": Scale(),
    "full": Scale(
        length=1024, width=768, layers=12, heads=12, steps=100_000, batch=128, lr=3e-4, windows=256, repeats=64,
        source_samples=1_000_000, zipf=50_257, zipf_tokens=1024, timed=16, texts=512, text_steps=4096,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Corpus:
    """Windows to train on and unseen ones to test, with the tokenizer that made them."""

    train: Tensor
    test: Tensor
    bpe: str

    @classmethod
    def of(cls, lab: Lab, scale: Scale) -> Corpus:
        """The plays; at tiny scale the prompts that are shipped, which need no network."""
        if lab.scale_name == "tiny":
            rows = [row.prompt for kind in ("general", "lookalikes") for row in prompts(kind, "train")]
            train, test = ["\n".join(rows[::2])], ["\n".join(rows[1::2])]
        else:
            train, test = list(plays("train").values()), list(plays("test").values())
        bpe = lab.cached("plays-bpe", train_bpe, train, scale.vocab)
        tokenizer = read_bpe(bpe)
        unseen = evenly(windows(tokenizer, test, scale.length), scale.windows)
        return cls(windows(tokenizer, train, scale.length), unseen, bpe)


STOPPED, TOLD, CAUSAL = "clock stopped", "told the time", "autoregressive"


def networks(scale: Scale) -> dict[str, MaskedConfig]:
    """Name → shape of the networks that are trained alike."""

    def shape(**kind: Any) -> MaskedConfig:
        return MaskedConfig(scale.vocab, scale.length, scale.width, scale.layers, scale.heads, **kind)

    return {STOPPED: shape(clock="stopped"), TOLD: shape(clock="running"), CAUSAL: shape(causal=True)}


def evenly(rows: Tensor, limit: int) -> Tensor:
    """At most `limit` rows, evenly spaced."""
    count = min(limit, len(rows))
    return rows[torch.arange(count) * len(rows) // count]


@experiment("first-hitting", scales=SCALES, seeds=(0, 1, 2))
def run(lab: Lab) -> None:
    """Measure source, zipf, bounds and texts for each seed."""
    scale: Scale = lab.scale
    corpus = Corpus.of(lab, scale)
    lm = load(lab)
    _describe(lab, scale, corpus, lm)
    for seed in lab.seeds:
        lab.log(f"seed {seed} · source and vocabulary")
        lab.record("source", seed, on_source(scale.source_samples, scale.source_steps, seed))
        lab.record("zipf", seed, on_zipf(scale.zipf, scale.zipf_tokens, scale.zipf_steps, seed))
        trained = {}
        for arm, config in networks(scale).items():
            lab.log(f"seed {seed} · training, {arm}: {scale.steps} steps")
            recipe = _recipe(scale, seed)
            trained[arm] = lab.cached("masked-lm-2", train, corpus.train, corpus.test, config, recipe, scale.repeats)
            trained[arm]["model"] = _restored(config, trained[arm]["state"])
        lab.record("bounds", seed, bounds(trained, corpus, scale, seed))
        lab.log(f"seed {seed} · sampling")
        model = trained[STOPPED]["model"]
        lab.record("seconds", seed, seconds(model, scale, seed))
        lab.record("texts", seed, texts(model, trained[CAUSAL]["model"], corpus, lm, scale, seed))
        _measure(lab, seed)
    present(lab, lab.cached("truncated-zipf", closed_form, scale.zipf, list(scale.zipf_steps)))


# -- the bounds --------------------------------------------------------------------------------------------------------


def train(rows: Tensor, unseen: Tensor, config: MaskedConfig, recipe: FitConfig, repeats: int) -> dict[str, Any]:
    """Train one model; its bound on unseen windows after half of the steps is kept beside its weights."""
    half: list[list[float]] = []

    def look(model: TinyMaskedLM, step: int) -> float:
        if step == recipe.validate_every:
            half.append(_bound(model, unseen, repeats, recipe.seed))
        return 0.0

    started = time.perf_counter()
    model, result = train_masked_lm(rows, config, recipe, validate=look)
    losses = [step["loss"] for step in result.history]
    state = dict(model.state_dict())
    return {"state": state, "half": half[0], "losses": losses, "seconds": time.perf_counter() - started}


def bounds(trained: dict[str, Any], corpus: Corpus, scale: Scale, seed: int) -> dict[str, Any]:
    """Bounds in nats a token on each unseen window; arms that are compared see the same masks."""
    free, told, unseen = trained[STOPPED], trained[TOLD], corpus.test

    def over_times(weight: Any) -> list[float]:
        generator = torch.Generator().manual_seed(seed)
        cosine = Cosine()
        return bound_per_token(
            lambda ids: mdm_nelbo(free["model"], ids, schedule=cosine, weight=weight, generator=generator),
            unseen, repeats=scale.repeats,
        ).tolist()  # fmt: skip

    return {
        "counted": _bound(free["model"], unseen, scale.repeats, seed),
        "told": _bound(told["model"], unseen, scale.repeats, seed),
        "half": free["half"],
        "autoregressive": _bound(trained[CAUSAL]["model"], unseen, scale.repeats, seed),
        "frequencies": by_frequency(corpus.train, unseen, scale.vocab),
        "cosine": over_times(None),
        "cosine, linear weight": over_times(LINEAR),
        "losses": {arm: trained[arm]["losses"] for arm in (STOPPED, TOLD)},
        "training seconds": {arm: one["seconds"] for arm, one in trained.items()},
    }


def by_frequency(rows: Tensor, unseen: Tensor, vocab: int) -> list[float]:
    """Nats a token of each unseen window by how frequent its tokens are in training: what takes no context to know."""
    counts = torch.bincount(rows.flatten(), minlength=vocab).double() + 1
    return (-(counts / counts.sum()).log()[unseen].mean(1)).tolist()


@torch.no_grad()
def _bound(model: TinyMaskedLM, unseen: Tensor, repeats: int, seed: int) -> list[float]:
    if model.config.causal:
        return (causal_nll(model, unseen) / unseen.shape[1]).tolist()
    generator = torch.Generator().manual_seed(seed)
    return bound_per_token(lambda ids: masked_nelbo(model, ids, generator=generator), unseen, repeats=repeats).tolist()


def _recipe(scale: Scale, seed: int) -> FitConfig:
    return FitConfig(
        steps=scale.steps, lr=scale.lr, batch_size=scale.batch, weight_decay=0.01, seed=seed, keep_best=False,
        mixed_precision="bf16" if scale.bf16 else "no", validate_every=scale.steps // 2,
    )  # fmt: skip


def _restored(config: MaskedConfig, state: dict[str, Tensor]) -> TinyMaskedLM:
    model = TinyMaskedLM(config)
    model.load_state_dict(state)
    return model.eval()


# -- the texts ---------------------------------------------------------------------------------------------------------


def seconds(model: TinyMaskedLM, scale: Scale, seed: int) -> dict[str, Any]:
    """Wall-clock seconds, calls and draws of one sequence at a time; samplers take turns."""
    start = all_masked(model, 1, scale.length)
    generator = torch.Generator().manual_seed(seed)
    arms: dict[str, Callable[[], SampleResult]] = {
        "ancestral": lambda: ancestral(model, start, scale.timed_steps, draw="gumbel64", generator=generator),
        "first-hitting": lambda: first_hitting(model, start, generator=generator),
        "ancestral again": lambda: ancestral(model, start, scale.timed_steps, draw="gumbel64", generator=generator),
        "ancestral, two-stage": lambda: ancestral(
            model, start, scale.timed_steps, draw="two_stage", generator=generator
        ),
        "first-hitting, a quarter of the calls": lambda: parallel_first_hitting(
            model, start, scale.length // 4, generator=generator
        ),
    }
    first_hitting(model, start, generator=generator)  # warm
    found: dict[str, Any] = {arm: {"seconds": [], "calls": [], "draws": []} for arm in arms}
    for _ in range(scale.timed):
        for arm, draw in arms.items():
            began = time.perf_counter()
            result = draw()
            found[arm]["seconds"].append(time.perf_counter() - began)
            found[arm]["calls"].append(result.calls)
            found[arm]["draws"].append(result.draws)
    return found


def texts(
    model: TinyMaskedLM, causal: TinyMaskedLM, corpus: Corpus, lm: LanguageModel, scale: Scale, seed: int
) -> dict[str, Any]:
    """What each sampler writes: likelihood under the reference, entropy and distinct bigrams of each sequence."""
    tokenizer = read_bpe(corpus.bpe)
    start = all_masked(model, scale.texts, scale.length)
    generator = torch.Generator().manual_seed(seed)

    def grid(draw: Draw) -> SampleResult:
        return ancestral(model, start, scale.text_steps, draw=draw, generator=generator)

    def parallel(calls: int, **options: Any) -> SampleResult:
        return parallel_first_hitting(model, start, calls, generator=generator, **options)

    def exact(temperature: float = 1.0) -> SampleResult:
        return first_hitting(model, start, temperature=temperature, generator=generator)

    def in_order(temperature: float = 1.0) -> SampleResult:
        hits = Hits.in_order(start == causal.mask_id)
        return first_hitting(causal, start, temperature=temperature, generator=generator, hits=hits)

    quarter = max(1, scale.length // 4)
    arms: dict[str, Callable[[], SampleResult]] = {
        "ancestral, exact": lambda: grid("two_stage"),
        "ancestral, exact again": lambda: grid("two_stage"),
        "ancestral, float32": lambda: grid("gumbel32"),
        "first-hitting": exact,
        "first-hitting again": exact,
        "parallel": lambda: parallel(quarter),
        "parallel, order 2": lambda: parallel(quarter, order=2),
        "parallel, corrected": lambda: parallel(max(1, quarter // 2), order=2, variant="correct"),
        "confidence": lambda: confidence(model, start, quarter, generator=generator),
        CAUSAL: in_order,
    }
    for temperature in scale.temperatures:
        arms[f"first-hitting, T = {temperature:g}"] = partial(exact, temperature)
        arms[f"{CAUSAL}, T = {temperature:g}"] = partial(in_order, temperature)
    found: dict[str, Any] = {}
    for arm, draw in arms.items():
        result = draw()
        written = [tokenizer.decode(row.tolist()) for row in result.ids]
        found[arm] = _quality(result.ids, written, lm) | {"calls": result.calls, "text": written[0]}
    some = evenly(corpus.test, scale.texts)
    found["the plays"] = _quality(some, [tokenizer.decode(row.tolist()) for row in some], lm) | {"calls": 0, "text": ""}
    return found


def _quality(ids: Tensor, written: list[str], lm: LanguageModel) -> dict[str, list[float]]:
    found = gen_quality(ids, written, lm, ngrams=(2,))
    return {"nll": found.nll.tolist(), "entropy": found.entropy.tolist(), "distinct": found.distinct[2].tolist()}


# -- the claims --------------------------------------------------------------------------------------------------------


def _measure(lab: Lab, seed: int) -> None:
    """Hand the claims' numbers of one seed to the lab."""
    source, zipf, bound, cost, written = (
        lab.records(key)[seed] for key in ("source", "zipf", "bounds", "seconds", "texts")
    )
    first_order = source["order 1"][str(FEW)]["tv"]
    lab.measure("same-distribution", seed, baseline=source["ancestral"]["tv"], method=source["first-hitting"]["tv"])
    lab.control("same-distribution", seed, first_order)
    lab.measure("high-order", seed, baseline=first_order, method=source["order 2"][str(FEW)]["tv"])
    lab.control("high-order", seed, source["order 1 again"]["tv"])
    lab.measure(
        "faster", seed, baseline=cost["ancestral"]["seconds"], method=cost["first-hitting"]["seconds"], timed=True
    )
    lab.control("faster", seed, cost["ancestral again"]["seconds"])
    lab.measure("time-free-loss", seed, baseline=bound["counted"], method=bound["cosine"])
    lab.control("time-free-loss", seed, bound["cosine, linear weight"])
    lab.measure("time-is-idle", seed, baseline=bound["counted"], method=bound["told"])
    lab.control("time-is-idle", seed, bound["half"])
    steps = max(zipf["gumbel32"], key=int)
    lab.measure("float32-sharpens", seed, baseline=zipf["gumbel64"], method=zipf["gumbel32"][steps])
    lab.control("float32-sharpens", seed, zipf["log1p32"])
    exact, again = written["ancestral, exact"], written["ancestral, exact again"]
    for claim, key in (("float32-flatters", "nll"), ("float32-costs-diversity", "entropy")):
        lab.measure(claim, seed, baseline=exact[key], method=written["ancestral, float32"][key])
        lab.control(claim, seed, again[key])
    masked, autoregressive = above_frontier(written, "first-hitting"), above_frontier(written, CAUSAL)
    lab.measure("autoregressive-at-equal-entropy", seed, baseline=masked, method=autoregressive)
    lab.control("autoregressive-at-equal-entropy", seed, above_frontier(written, "first-hitting again"))


def above_frontier(written: dict[str, Any], arm: str) -> list[float]:
    """How many nats each text of an arm has above the masked model's curve at the text's own entropy.

    The curve is a parabola through the first-hitting texts of all temperatures, least squares, one point a text.
    """
    drawn = [one for name, one in written.items() if name == "first-hitting" or name.startswith("first-hitting, T")]
    entropy, nll = (np.concatenate([one[key] for one in drawn]) for key in ("entropy", "nll"))
    curve = np.polynomial.Polynomial.fit(entropy, nll, 2)
    return (np.array(written[arm]["nll"]) - curve(np.array(written[arm]["entropy"]))).tolist()


def _describe(lab: Lab, scale: Scale, corpus: Corpus, lm: LanguageModel) -> None:
    size, causal = (
        sum(parameter.numel() for parameter in TinyMaskedLM(networks(scale)[arm]).parameters())
        for arm in (STOPPED, CAUSAL)
    )
    lab.model_name = f"masked model of {size / 1e6:.1f}M parameters"
    lab.protocol(
        parameters=size, autoregressive_parameters=causal, vocabulary=scale.vocab, length=scale.length,
        training_windows=len(corpus.train), unseen_windows=len(corpus.test), steps=scale.steps, batch=scale.batch,
        lr=scale.lr, precision="bfloat16 in training, float32 in sampling" if scale.bf16 else "float32",
        source=f"{TOKENS} tokens of {SYMBOLS} symbols, {scale.source_samples} sequences",
        zipf=f"exponent 1.2 over {scale.zipf}, {scale.zipf_tokens} tokens",
        timed=f"{scale.timed} sequences of {scale.length}, {scale.timed_steps} steps, one at a time",
        texts=f"{scale.texts} sequences an arm, {scale.text_steps} steps", reference=lm.name,
    )  # fmt: skip
    lab.note(
        f"A model of {size / 1e6:.0f}M parameters after minutes of training writes no sense; the claims are about laws "
        "and arithmetic, and hold or fail whatever the model knows. The paper's is trained on OpenWebText."
    )
    lab.note("The speed-up depends on what a call costs beside the draws: a larger network makes it smaller.")
    lab.note(
        "By two-stage draws ancestral sampling has the same law without a random number for every token and step. It "
        "is in the table: what it saves is the part of the speed-up that is over draws and not over the sampler."
    )
    lab.note("The coefficients of the second-order sampler are ours; the paper's were not at hand.")
    lab.note(
        "The autoregressive model learns from every token of a window in a step, the masked one from half of them on "
        "average; both see the same windows as often. The paper compares them after long training."
    )
