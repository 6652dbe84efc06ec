"""Do embedding attacks around rewritten requests lower the worst case over attacks? (mixat, 2505.16947)

Arms, all with the same batches of requests and utility rows, steps, learning rate, LoRA and seeds:
- base: the model as it is;
- control: the same loss on plain requests without an attack, which isolates what both perturbations add;
- D: rewritten requests without an attack (the paper's PAP-AT);
- C: embedding attacks on plain requests (C-AdvUL);
- Dual: D and C in turn, never both (DualAT);
- MixAT: half of the batches C, half of them embedding attacks on rewritten requests.
Rewrites are frames of twelve persuasion techniques; the others are kept for the evaluation, as are all jailbreak
templates. Affirmative targets are generic openings, so no harmful text is needed. Utility rows are the base model's own
greedy replies. Settings come from a pilot on the validation split; nothing was tuned on the test split.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from trued.data.prompts import AdversarialRow, PromptRow, adversarial_rows, affirmative_targets, prompts, templates
from trued.experiments._language import load
from trued.experiments._mixat_report import WAYS, present
from trued.lab.experiment import Lab, experiment
from trued.language.attack.contract import Behavior, ChatTarget, TestCase, user_turn
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.attack.gcg.search import GCG
from trued.language.attack.persuasion import PERSUASION
from trued.language.engine.model import LanguageModel
from trued.language.engine.precision import in_precision
from trued.language.judge.reply import Label, PhraseJudge
from trued.language.measure.alo import alo_asr
from trued.language.measure.check.answers import spread
from trued.language.measure.deployment import Cell, DeploymentGrid, Setting, deployed_replies, rate, sample_replies
from trued.language.measure.geometry import BOTH, RANDOM, REWRITTEN, prompt_geometry
from trued.language.measure.robustness import target_losses
from trued.language.measure.transfer import transferred_losses
from trued.language.train.adversarial import UtilityRow, own_replies
from trued.language.train.mixat.align import MixAT, what_was_trained_on
from trued.language.train.mixat.rewriters import PAPRewriter
from trued.language.train.mixat.schedule import Variant
from trued.learn.fit.loop import FitConfig

ARMS: dict[str, Variant] = {"control": "clean", "D": "d", "C": "c", "Dual": "dual", "MixAT": "mixat"}
TAUGHT = PERSUASION[::3][:12]
UNSEEN = tuple(one for one in PERSUASION if one not in TAUGHT)
GCG_SHARE = 0.1
SHORT_GCG = GCG(steps=15, search_width=32, topk=64, suffix_tokens=20, buffer=1)


@dataclass(frozen=True)
class Scale:
    """Sizes of one run; `test` and `train` limit the prompts of each kind, None takes all of the split."""

    model: str | None = None
    train: int | None = None
    test: int | None = 60
    steps: int = 16
    batch: int = 8
    lr: float = 6e-4
    lora_r: int = 16
    lora_alpha: float = 32
    attack_steps: int = 4
    utility_tokens: int = 48
    new_tokens: int = 24
    frames: int = 2
    attacked: int = 12
    sampled: int = 20
    samples: int = 8
    placed: int = 12
    gcg: GCG = SHORT_GCG
    gcg_prompts: int = 2
    swept: int = 30
    transferred: int = 8
    scales: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    temperatures: tuple[float, ...] = (0.0, 0.3, 0.7, 1.0)


SCALES = {
    "tiny": Scale(
        train=4, test=3, steps=2, batch=4, lora_r=2, lora_alpha=4, attack_steps=1, utility_tokens=4, new_tokens=4,
        frames=1, attacked=2, sampled=2, samples=2, placed=2, gcg=GCG(steps=1, search_width=2, topk=4, suffix_tokens=4),
        gcg_prompts=1, swept=2, transferred=2, scales=(0.0, 1.0), temperatures=(0.0, 1.0),
    ),
    "desktop": Scale(),
    "full": Scale(
        model="HuggingFaceH4/zephyr-7b-beta", test=None, steps=760, batch=64, lr=2e-4, lora_r=64, lora_alpha=16,
        attack_steps=10, utility_tokens=256, new_tokens=512, frames=10, attacked=64, sampled=60, placed=40,
        gcg=GCG(steps=250), gcg_prompts=20, swept=60, transferred=40,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Requests:
    """The prompts of one run: what is trained on, and what is tested."""

    adversarial: list[AdversarialRow]
    utility: list[str]
    harmful: list[PromptRow]
    cases: list[TestCase]
    lookalikes: list[str]

    @classmethod
    def of(cls, scale: Scale, split: Any = "test") -> Requests:
        harmful = spread(prompts("harmful", split), scale.test)
        wraps = {"templates": [one.wrap for one in templates()], "persuasion": [one.wrap for one in UNSEEN]}
        cases = [TestCase(row.id, user_turn(row.prompt), attack="direct") for row in harmful]
        for way, frames in wraps.items():
            for i, row in enumerate(harmful):
                for k in range(scale.frames):
                    text = frames[(i * scale.frames + k) % len(frames)](row.prompt)
                    cases.append(TestCase(row.id, user_turn(text), attack=way))
        kept = [row.prompt for kind in ("lookalikes", "general") for row in prompts(kind, "train")[: scale.train]]  # pyright: ignore
        return cls(
            adversarial_rows("train", targets=3, refusals=2)[: scale.train],
            kept,
            harmful,
            cases,
            [row.prompt for row in spread(prompts("lookalikes", split), scale.test)],
        )

    def text(self, case: TestCase) -> str:
        return next(row.prompt for row in self.harmful if row.id == case.behavior_id)

    def some(self, way: str, count: int) -> list[TestCase]:
        """One case each of `count` requests put in this way."""
        cases = {case.behavior_id: case for case in self.cases if case.attack == way}
        return [cases[row.id] for row in spread(self.harmful, count)]


@experiment("mixat", scales=SCALES, seeds=(0, 1, 2))
def run(lab: Lab) -> None:
    """Train the arms for each seed, measure all of them the same way; study the deployment on the first seed."""
    scale: Scale = lab.scale
    asked = Requests.of(scale)
    lm = load(lab)
    _describe(lab, scale, asked)
    utility = own_replies(lm, asked.utility, max_new_tokens=scale.utility_tokens)
    kept = list(lab.records("base").values())  # of a run that was cut off; the base is the same in every seed
    base = kept[0] if kept else evaluate(lm, asked, scale) | {"gcg": run_gcg(lm, asked, scale, scale.gcg_prompts)}
    for seed in lab.seeds:
        first = seed == lab.wanted[0]
        lab.record("base", seed, base)
        lab.record("geometry", seed, geometry(lm, asked, scale, seed))
        for arm in ARMS:
            lab.bars.log(f"mixat · seed {seed} · {arm}: training {scale.steps} steps")
            tuned, found = train(arm, lm, asked, utility, scale, seed, progress=lab.bars.shown)
            with tuned.merged():
                found |= evaluate(tuned, asked, scale)
                if first or arm == "MixAT":
                    found["gcg"] = run_gcg(tuned, asked, scale, scale.gcg_prompts if first else 1)
                if arm == "MixAT":
                    found["sampled"] = sample(tuned, asked, scale, seed)
            if first and arm in ("C", "MixAT"):
                found["cells"] = study(tuned, asked, scale, whole=arm == "MixAT")
            if first and arm == "MixAT":
                found["transfer"] = transfer(tuned, asked, scale)
                _examples(lab, asked, base, found)
            lab.record(arm, seed, found)
            lm = tuned.without_lora()
        _measure(lab, scale, seed)
    present(lab, base, tuple(ARMS), requests=len(asked.harmful), attacked=scale.attacked)


def train(
    arm: str, lm: LanguageModel, asked: Requests, utility: list[UtilityRow], scale: Scale, seed: int, *, progress: bool
) -> tuple[LanguageModel, dict[str, Any]]:
    """Train one arm; every arm sees the same rows in the same batches."""
    method = MixAT(
        variant=ARMS[arm],
        attack=training_attack(scale),
        lora_r=scale.lora_r,
        lora_alpha=scale.lora_alpha,
        lora_dropout=0.0,
        adversarial_share=0.5,
        max_length=None,
        fit=FitConfig(steps=scale.steps, lr=scale.lr, warmup=0.1, batch_size=scale.batch, seed=seed, keep_best=False),
    )
    started = time.perf_counter()
    rewriter = PAPRewriter(techniques=TAUGHT)
    tuned, result = method.align(lm, asked.adversarial, utility, rewriter=rewriter, progress=progress)
    return tuned, {
        "seconds": time.perf_counter() - started,
        "pass_tokens": [step["pass_tokens"] for step in result.history],
        "trained_on": what_was_trained_on(result),
    }


def training_attack(scale: Scale) -> EmbeddingAttack:
    """The embedding attack of training, at MixAT's radius."""
    return EmbeddingAttack(eps=0.075, steps=scale.attack_steps, relative_lr=True)


def evaluate(lm: LanguageModel, asked: Requests, scale: Scale) -> dict[str, Any]:
    """Measure one arm on unseen requests.

    Returns:
        Per request: by way of asking and for "alo", 1 where at least one reply is no refusal (an empty reply is
        unknown, and counts as no refusal); "lookalikes", 1 where answered; "clean" and "attacked", target
        cross-entropies. Also the share of unknown replies, and some texts.
    """
    turns = [case.messages for case in asked.cases] + [user_turn(text) for text in asked.lookalikes]
    replies = [reply for (reply,) in lm.generate(turns, max_new_tokens=scale.new_tokens)]
    n = len(asked.cases)
    labels = PhraseJudge().label([asked.text(case) for case in asked.cases], replies[:n])
    answered = PhraseJudge().label(asked.lookalikes, replies[n:])
    found: dict[str, Any] = {"unknown": labels.count(Label.UNKNOWN) / n, "replies": {}}
    broken: dict[str, dict[str, list[Label]]] = {way: {row.id: [] for row in asked.harmful} for way in WAYS}
    for case, label in zip(asked.cases, labels, strict=True):
        broken[case.attack][case.behavior_id].append(Label.NO if label is Label.NO else Label.YES)
    success = alo_asr(broken)
    for way in WAYS:
        found[way] = [int(success.cells[row.id][way] is Label.YES) for row in asked.harmful]
        found["replies"][way] = [replies[i] for i, case in enumerate(asked.cases) if case.attack == way][:3]
    found["alo"] = [int(bool(success.broken_by(row.id))) for row in asked.harmful]
    found["lookalikes"] = [int(label is Label.YES) for label in answered]
    texts = [row.prompt for row in spread(asked.harmful, scale.attacked)]
    for name, steps in (("clean", 0), ("attacked", 10)):
        attack = replace(training_attack(scale), steps=steps)
        found[name] = target_losses(lm, texts, affirmative_targets()[0], attack)
    return found


def run_gcg(lm: LanguageModel, asked: Requests, scale: Scale, count: int) -> dict[str, Any]:
    """A short GCG on a few unseen requests: losses, compliance with the string it found, and what it cost in tokens."""
    target = affirmative_targets()[0]
    behaviors = [Behavior(row.id, row.prompt, target=target) for row in spread(asked.harmful, count)]
    asks = ChatTarget(lm, max_new_tokens=scale.new_tokens)
    cases = scale.gcg.run(behaviors, asks, seed=0)
    labels = PhraseJudge().label([b.text for b in behaviors], asks.generate(cases))
    opening = len(lm.reply_ids(target, end=False))
    return {
        "first": [case.meta["losses"][0] for case in cases],
        "best": [case.meta["loss"] for case in cases],
        "complied": [int(label is not Label.NO) for label in labels],
        "pass_tokens": [
            (case.cost.forwards + case.cost.backwards) * (len(lm.prompt_ids(case.messages)) + opening) for case in cases
        ],
    }


def sample(lm: LanguageModel, asked: Requests, scale: Scale, seed: int) -> dict[str, list[float]]:
    """Success per request in unseen persuasion: mean over samples, any of them, and the greedy reply."""
    cases = asked.some("persuasion", scale.sampled)
    target = ChatTarget(lm, max_new_tokens=scale.new_tokens)
    broken = {}
    for name, n, temperature in (("samples", scale.samples, 1.0), ("greedy", 1, 0.0)):
        groups = sample_replies(target, cases, n=n, temperature=temperature, seed=seed)
        texts = [asked.text(case) for case, group in zip(cases, groups, strict=True) for _ in group]
        labels = PhraseJudge().label(texts, [reply for group in groups for reply in group])
        broken[name] = np.array([label is not Label.NO for label in labels]).reshape(len(cases), n)
    return {
        "mean": broken["samples"].mean(1).tolist(),
        "any": broken["samples"].any(1).astype(float).tolist(),
        "greedy": broken["greedy"].any(1).astype(float).tolist(),
    }


def geometry(lm: LanguageModel, asked: Requests, scale: Scale, seed: int) -> dict[str, Any]:
    """How far requests of the base model's move when they are rewritten, attacked or both."""
    texts = [row.prompt for row in spread(asked.harmful, scale.placed)]
    rewrites = PAPRewriter(techniques=UNSEEN, per="prompt").rewrite(texts, model=lm, seed=seed)
    found = prompt_geometry(
        lm, texts, rewrites, affirmative_targets()[0], training_attack(scale),
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    distances = {form: found.distances(form) for form in (REWRITTEN, BOTH, RANDOM)}
    return {"forms": list(found.points), "cosines": found.table().tolist(), "distances": distances}


def study(lm: LanguageModel, asked: Requests, scale: Scale, *, whole: bool) -> list[dict[str, Any]]:
    """The deployment study of one arm: the adapter's strength, and for MixAT all the rest."""
    grid = DeploymentGrid(
        precisions=("bfloat16", "float32", "int8"), scales=scale.scales, temperatures=scale.temperatures,
        samples=scale.samples, max_new_tokens=scale.new_tokens,
    )  # fmt: skip
    settings = grid.settings() if whole else [Setting("own", grid.precisions[0], one) for one in scale.scales]
    half = scale.swept // 2
    cases = asked.some("direct", scale.swept - half) + asked.some("persuasion", half)
    benign = asked.lookalikes[: max(2, scale.swept // 2)]
    texts = [asked.text(case) for case in cases]
    replies = deployed_replies(lm, cases, benign, grid, settings=settings)
    return [_cell(rate(one, texts, benign, PhraseJudge())) for one in replies]


def transfer(lm: LanguageModel, asked: Requests, scale: Scale) -> dict[str, list[float]]:
    """Embedding attacks computed on the full and on the int8 model, each tried on both."""
    models = {name: in_precision(lm, name) for name in ("bfloat16", "int8")}
    texts = [row.prompt for row in spread(asked.harmful, scale.transferred)]
    attack = replace(training_attack(scale), steps=10)
    losses = transferred_losses(models, texts, affirmative_targets()[0], attack)
    return {f"{source} → {victim}": values for (source, victim), values in losses.items()}


def _cell(cell: Cell) -> dict[str, Any]:
    interval = (cell.interval.low, cell.interval.high)
    return {
        **vars(cell.setting), "n": cell.samples, "asr": cell.asr, "asr_at_n": cell.asr_at_n, "interval": interval,
        "unknown": cell.unknown, "compliance": cell.compliance, "tokens": cell.tokens, "seconds": cell.seconds,
    }  # fmt: skip


def _measure(lab: Lab, scale: Scale, seed: int) -> None:
    """Hand the claims' numbers of one seed to the lab."""
    arms = {arm: lab.records(arm)[seed] for arm in ARMS}
    mixat, c, control = arms["MixAT"], arms["C"], arms["control"]
    lab.measure("worst-case-falls", seed, baseline=c["alo"], method=mixat["alo"])
    lab.control("worst-case-falls", seed, control["alo"])
    lab.measure("stacking-beats-turns", seed, baseline=arms["Dual"]["alo"], method=mixat["alo"])
    lab.control("stacking-beats-turns", seed, control["alo"])
    lab.measure("rewrites-alone-fall-short", seed, baseline=arms["D"]["attacked"], method=mixat["attacked"])
    lab.control("rewrites-alone-fall-short", seed, control["attacked"])
    lab.measure("usefulness-kept", seed, baseline=c["lookalikes"], method=mixat["lookalikes"])
    lab.measure("comparable-cost", seed, baseline=c["pass_tokens"], method=mixat["pass_tokens"])
    searches = GCG_SHARE * (scale.batch / 2) * float(np.mean(mixat["gcg"]["pass_tokens"]))
    lab.control("comparable-cost", seed, np.array(mixat["pass_tokens"]) + searches)
    sampled = mixat["sampled"]
    lab.measure("samples-widen-risk", seed, baseline=sampled["mean"], method=sampled["any"])
    lab.control("samples-widen-risk", seed, sampled["greedy"])
    distances = lab.records("geometry")[seed]["distances"]
    lab.measure("furthest-together", seed, baseline=distances[REWRITTEN], method=distances[BOTH])
    lab.control("furthest-together", seed, distances[RANDOM])


def _describe(lab: Lab, scale: Scale, asked: Requests) -> None:
    lab.protocol(
        arms=list(ARMS), judge=PhraseJudge().name, steps=scale.steps, lr=scale.lr, batch=scale.batch,
        lora_r=scale.lora_r, attack_steps=scale.attack_steps, eps=training_attack(scale).eps,
        training_requests=len(asked.adversarial), utility_rows=len(asked.utility), alpha=0.5,
        rewriter=PAPRewriter(techniques=TAUGHT).name, taught=[one.name for one in TAUGHT],
        harmful_test=len(asked.harmful), cases=len(asked.cases), lookalikes_test=len(asked.lookalikes),
        embeddings_attacked=scale.attacked, samples=scale.samples,
        gcg={"steps": scale.gcg.steps, "width": scale.gcg.search_width, "requests": scale.gcg_prompts},
        template="the tokenizer's own, default system prompt", decoding=f"greedy, {scale.new_tokens} tokens",
    )  # fmt: skip
    lab.note("Refusals are told by phrases; whether a compliant reply is harmful or hollow is not judged.")
    lab.note("Rewrites are rule-based frames; the paper's are written by a large language model in every step.")
    lab.note(
        "A 135M model gives hollow answers whatever it is asked, so compliance here is willingness and not ability; "
        "the paper's models have 7 to 32 billion parameters, and its worst case is over seven attacks."
    )
    lab.note(
        "The control of the cost claim is composed: MixAT's tokens as counted, and in a tenth of the batches one short "
        "suffix search a request, as counted on MixAT's model."
    )
    lab.note("The deployment study and the short GCG are of the first seed: they are shown, and decide no claim.")


def _examples(lab: Lab, asked: Requests, base: dict[str, Any], found: dict[str, Any]) -> None:
    for way in WAYS:
        texts = [case.messages[-1]["content"] for case in asked.cases if case.attack == way]
        for text, before, after in list(zip(texts, base["replies"][way], found["replies"][way], strict=False))[:2]:
            lab.example(f"MixAT: {text}", before, after, note=way)
