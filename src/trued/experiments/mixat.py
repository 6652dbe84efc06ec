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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trued.data.prompts import adversarial_rows, affirmative_targets, prompts, templates
from trued.experiments._language import evenly, gcg_record, judged, load, notes, protocol, replies_beside
from trued.lab import plots
from trued.lab.arms import count, number, share
from trued.lab.experiment import Lab, experiment
from trued.language.attack.contract import Behavior, ChatTarget, TestCase, user_turn
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.attack.gcg.search import GCG
from trued.language.attack.persuasion import PERSUASION
from trued.language.engine.model import LanguageModel
from trued.language.engine.precision import in_precision
from trued.language.judge.reply import PhraseJudge
from trued.language.measure.deployment import DeploymentGrid, Setting, deployed_replies, rate, sample_replies
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
WAYS = ("direct", "templates", "persuasion")
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


class Requests:
    """The prompts of one run: what is trained on, and what is tested, put directly, in templates and in persuasion."""

    def __init__(self, scale: Scale) -> None:
        def training(kind: Any) -> list[str]:
            return [row.prompt for row in prompts(kind, "train")[: scale.train]]

        self.adversarial = adversarial_rows("train", targets=3, refusals=2)[: scale.train]
        self.utility = training("lookalikes") + training("general")
        self.harmful = {row.id: row.prompt for row in evenly(prompts("harmful", "test"), scale.test)}
        self.lookalikes = [row.prompt for row in evenly(prompts("lookalikes", "test"), scale.test)]
        wraps = {"templates": [frame.wrap for frame in templates()], "persuasion": [frame.wrap for frame in UNSEEN]}
        self.cases = [TestCase(id, user_turn(text), attack="direct") for id, text in self.harmful.items()]
        self.cases += [
            TestCase(id, user_turn(frames[(i * scale.frames + k) % len(frames)](text)), attack=way)
            for way, frames in wraps.items()
            for i, (id, text) in enumerate(self.harmful.items())
            for k in range(scale.frames)
        ]

    def texts(self, cases: list[TestCase]) -> list[str]:
        """Return the request behind each case, as the judge sees it."""
        return [self.harmful[case.behavior_id] for case in cases]

    def some(self, count: int, way: str = "direct") -> list[TestCase]:
        """Return one case each of `count` requests put in this way."""
        cases = {case.behavior_id: case for case in self.cases if case.attack == way}
        return [cases[id] for id in evenly(list(self.harmful), count)]


@experiment("mixat", scales=SCALES, seeds=(0, 1, 2))
def run(lab: Lab) -> None:
    """Train the arms for each seed, measure all of them the same way; study the deployment on the first seed."""
    scale: Scale = lab.scale
    requests, lm = Requests(scale), load(lab)
    describe(lab, scale, requests)
    utility = own_replies(lm, requests.utility, max_new_tokens=scale.utility_tokens)
    lab.shared("base", lambda: evaluate(lm, requests, scale, scale.gcg_prompts))
    for seed in lab.seeds:
        first, study = lab.is_first(seed), {}
        lab.record("geometry", seed, geometry(lm, requests, scale, seed))
        for arm in ARMS:
            lab.log(f"seed {seed} · {arm}: training {scale.steps} steps")
            tuned, record = train(lab, arm, lm, requests, utility, seed)
            with tuned.merged():
                record |= evaluate(tuned, requests, scale, scale.gcg_prompts if first else int(arm == "MixAT"))
                if arm == "MixAT":
                    lab.record("sampled", seed, sample(tuned, requests, scale, seed))
            if first and arm in ("C", "MixAT"):
                study[arm] = deployments(tuned, requests, scale, whole=arm == "MixAT")
            if first and arm == "MixAT":
                lab.record("study", seed, {**study, "transfer": transfer(tuned, requests, scale)})
            lab.record(arm, seed, record)
            lm = tuned.without_lora()
        lab.compare("worst-case-falls", seed, "alo", baseline="C", method="MixAT", control="control")
        lab.compare("stacking-beats-turns", seed, "alo", baseline="Dual", method="MixAT", control="control")
        lab.compare("rewrites-alone-fall-short", seed, "attacked", baseline="D", method="MixAT", control="control")
        lab.compare("usefulness-kept", seed, "lookalikes", baseline="C", method="MixAT")
        cost = lab.records("MixAT")[seed]
        searches = GCG_SHARE * (scale.batch / 2) * float(np.mean(cost["gcg"]["pass tokens"]))
        lab.compare("comparable-cost", seed, "pass_tokens", baseline="C", method="MixAT")
        lab.control("comparable-cost", seed, np.array(cost["pass_tokens"]) + searches)
        lab.measure("samples-widen-risk", seed, **lab.records("sampled")[seed])
        far = lab.records("geometry")[seed]["distances"]
        lab.measure("furthest-together", seed, baseline=far[REWRITTEN], method=far[BOTH], control=far[RANDOM])
        if first:
            cases = {way: [case for case in requests.cases if case.attack == way] for way in WAYS}
            asked = {way: [case.messages[-1]["content"] for case in own] for way, own in cases.items()}
            replies_beside(lab, seed, asked, "base", "MixAT", arm="MixAT", count=2)
    present(lab, scale, len(requests.harmful))


def train(
    lab: Lab, arm: str, lm: LanguageModel, requests: Requests, utility: list[UtilityRow], seed: int
) -> tuple[LanguageModel, dict[str, Any]]:
    """Train one arm; every arm sees the same rows in the same batches."""
    scale: Scale = lab.scale
    method = MixAT(
        variant=ARMS[arm], attack=attack(scale), lora_r=scale.lora_r, lora_alpha=scale.lora_alpha, lora_dropout=0.0,
        adversarial_share=0.5, max_length=None,
        fit=FitConfig(steps=scale.steps, lr=scale.lr, warmup=0.1, batch_size=scale.batch, seed=seed, keep_best=False),
    )  # fmt: skip
    started, rewriter = time.perf_counter(), PAPRewriter(techniques=TAUGHT)
    tuned, result = method.align(lm, requests.adversarial, utility, rewriter=rewriter, progress=lab.bars.shown)
    tokens = [step["pass_tokens"] for step in result.history]
    trained_on = what_was_trained_on(result)
    return tuned, {"seconds": time.perf_counter() - started, "pass_tokens": tokens, "trained_on": trained_on}


def attack(scale: Scale, steps: int | None = None) -> EmbeddingAttack:
    """The embedding attack of training, at MixAT's radius."""
    return EmbeddingAttack(eps=0.075, steps=scale.attack_steps if steps is None else steps, relative_lr=True)


def evaluate(lm: LanguageModel, requests: Requests, scale: Scale, searched: int) -> dict[str, Any]:
    """Measure one arm on unseen requests; `searched` of them with a short GCG.

    Returns:
        Per request: by way of asking and for "alo", 1 where at least one reply is no refusal (an empty reply is
        unknown, and counts as no refusal); "lookalikes", 1 where answered; "clean" and "attacked", target
        cross-entropies; "gcg". Also the share of unknown replies, and some texts.
    """
    n = len(requests.cases)
    turns = [case.messages for case in requests.cases] + [user_turn(text) for text in requests.lookalikes]
    replies = [reply for (reply,) in lm.generate(turns, max_new_tokens=scale.new_tokens)]
    given = judged(requests.texts(requests.cases), replies[:n])
    broken = {way: dict.fromkeys(requests.harmful, 0) for way in WAYS}
    said: dict[str, list[str]] = {way: [] for way in WAYS}
    for case, reply, answered in zip(requests.cases, given.replies, given.answered, strict=True):
        broken[case.attack][case.behavior_id] |= answered
        said[case.attack].append(reply)
    record: dict[str, Any] = {way: list(own.values()) for way, own in broken.items()}
    record |= {
        "alo": [max(cells) for cells in zip(*record.values(), strict=True)],
        "lookalikes": judged(requests.lookalikes, replies[n:]).complied,
        "unknown": given.unknown / n,
        "replies": {way: texts[:3] for way, texts in said.items()},
    }
    target, some = affirmative_targets()[0], requests.texts(requests.some(scale.attacked))
    for name, steps in (("clean", 0), ("attacked", 10)):
        record[name] = target_losses(lm, some, target, attack(scale, steps))
    if searched:
        behaviors = [
            Behavior(case.behavior_id, requests.harmful[case.behavior_id], target=target)
            for case in requests.some(searched)
        ]
        gcg = gcg_record(scale.gcg, behaviors, ChatTarget(lm, max_new_tokens=scale.new_tokens), seed=0)
        opening = len(lm.reply_ids(target, end=False))
        cost = zip(gcg["passes"], gcg["prompt tokens"], strict=True)
        record["gcg"] = {**gcg, "pass tokens": [passes * (tokens + opening) for passes, tokens in cost]}
    return record


def sample(lm: LanguageModel, requests: Requests, scale: Scale, seed: int) -> dict[str, list[float]]:
    """Success per request in unseen persuasion: mean over samples, any of them, and the greedy reply."""
    cases, target = requests.some(scale.sampled, "persuasion"), ChatTarget(lm, max_new_tokens=scale.new_tokens)

    def broken(n: int, temperature: float) -> np.ndarray:
        groups = sample_replies(target, cases, n=n, temperature=temperature, seed=seed)
        texts = [text for text in requests.texts(cases) for _ in range(n)]
        return np.array(judged(texts, [reply for group in groups for reply in group]).answered).reshape(-1, n)

    samples, greedy = broken(scale.samples, 1.0), broken(1, 0.0)
    return {"baseline": samples.mean(1).tolist(), "method": samples.max(1).tolist(), "control": greedy[:, 0].tolist()}


def geometry(lm: LanguageModel, requests: Requests, scale: Scale, seed: int) -> dict[str, Any]:
    """How far requests of the base model's move when they are rewritten, attacked or both."""
    texts = requests.texts(requests.some(scale.placed))
    rewrites = PAPRewriter(techniques=UNSEEN, per="prompt").rewrite(texts, model=lm, seed=seed)
    generator, target = torch.Generator().manual_seed(seed), affirmative_targets()[0]
    points = prompt_geometry(lm, texts, rewrites, target, attack(scale), generator=generator)
    distances = {form: points.distances(form) for form in (REWRITTEN, BOTH, RANDOM)}
    return {"forms": list(points.points), "cosines": points.table().tolist(), "distances": distances}


def deployments(lm: LanguageModel, requests: Requests, scale: Scale, *, whole: bool) -> list[dict[str, Any]]:
    """The deployment study of one arm: the adapter's strength, and for MixAT all the rest."""
    grid = DeploymentGrid(
        precisions=("bfloat16", "float32", "int8"), scales=scale.scales, temperatures=scale.temperatures,
        samples=scale.samples, max_new_tokens=scale.new_tokens,
    )  # fmt: skip
    settings = grid.settings() if whole else [Setting("own", grid.precisions[0], strength) for strength in scale.scales]
    half = scale.swept // 2
    cases = requests.some(scale.swept - half) + requests.some(half, "persuasion")
    benign, texts = requests.lookalikes[: max(2, half)], requests.texts(cases)
    replies = deployed_replies(lm, cases, benign, grid, settings=settings)
    return [rate(one, texts, benign, PhraseJudge()).to_json() for one in replies]


def transfer(lm: LanguageModel, requests: Requests, scale: Scale) -> dict[str, list[float]]:
    """Embedding attacks computed on the full and on the int8 model, each tried on both."""
    models = {name: in_precision(lm, name) for name in ("bfloat16", "int8")}
    texts = requests.texts(requests.some(scale.transferred))
    losses = transferred_losses(models, texts, affirmative_targets()[0], attack(scale, 10))
    return {f"{source} → {victim}": values for (source, victim), values in losses.items()}


def describe(lab: Lab, scale: Scale, requests: Requests) -> None:
    """Put the protocol and the limits, which hold for every seed, into the evidence."""
    protocol(
        lab, scale.new_tokens, arms=list(ARMS), eps=attack(scale).eps, alpha=0.5,
        training_requests=len(requests.adversarial), utility_rows=len(requests.utility),
        rewriter=PAPRewriter(techniques=TAUGHT).name, taught=[technique.name for technique in TAUGHT],
        harmful_test=len(requests.harmful), cases=len(requests.cases), lookalikes_test=len(requests.lookalikes),
    )  # fmt: skip
    notes(lab, "the paper's models have 7 to 32 billion parameters, and its worst case is over seven attacks")
    lab.note("Rewrites are rule-based frames; the paper's are written by a large language model in every step.")
    lab.note(
        "The control of the cost claim is composed: MixAT's tokens as counted, and in a tenth of the batches one short "
        "suffix search a request, as counted on MixAT's model."
    )
    lab.note("The deployment study and the short GCG are of the first seed: they are shown, and decide no claim.")


def present(lab: Lab, scale: Scale, requests: int) -> None:
    """Show tables and figures over all seeds."""
    arms = lab.arms("base", *ARMS)
    ways = {way: way for way in WAYS}
    lab.arm_table("What each arm does", arms, {
        **{f"broken, {way}": share(way) for way in WAYS}, "at least one": share("alo"),
        "look-alikes answered": share("lookalikes"), "target CE": number("clean"), "attacked": number("attacked"),
        "unknown": share("unknown", ".1%"),
    }, "Means over seeds. Broken: not refused; an empty reply is unknown, and no refusal. CE in nats a token.")  # fmt: skip
    lab.arm_table("What each arm trained on, and its cost", lab.arms(*ARMS), {
        "batches rewritten": share("trained_on.rewritten"), "attacked": share("trained_on.continuous"),
        "rewrites given up": share("trained_on.lost"), "pass tokens a step": number("pass_tokens", ".0f"),
        "seconds": number("seconds", ".0f"),
    }, "Tokens forward and backward through the trained model; steps and batches are the same for all arms.")  # fmt: skip
    lab.arm_table("Short GCG on unseen requests, one seed", {arm: runs[:1] for arm, runs in arms.items()}, {
        "target loss at start": number("gcg.first"), "after GCG": number("gcg.best"),
        "complied": count("gcg.answered"), "pass tokens a request": number("gcg.pass tokens", ".0f"),
    }, "Too few requests to decide anything.")  # fmt: skip
    lab.figure(
        "Worst case over attacks", plots.bars, arms=arms, shown={**ways, "at least one": "alo"}, groups="values",
        ylabel="requests broken, %",
        alt="Share of unseen harmful requests broken by each way of asking and by at least one, for each arm.",
        caption=f"{requests} unseen requests, means over seeds; thin bars: range over seeds.",
    )  # fmt: skip
    lab.figure(
        "In embedding space", plots.bars, arms=arms, shown={"clean": "clean", "attacked": "attacked"}, scale=1,
        ylabel="target cross-entropy, nats a token",
        alt="Cross-entropy of the affirmative target for each arm, on the clean prompt and under the embedding attack.",
        caption=f"{scale.attacked} unseen requests, 10 attack steps at the training radius. Higher is more robust.",
    )  # fmt: skip
    for study in lab.records("study").values():
        present_study(lab, study)
    placed = list(lab.records("geometry").values())
    forms = placed[0]["forms"]
    lab.figure(
        "Where rewritten and attacked requests lie", plots.matrix, rows=forms, columns=forms,
        table=np.mean([run["cosines"] for run in placed], axis=0),
        alt="Mean cosine between the representations of a request in its forms: plain, attacked, rewritten, both.",
        caption="Last layer, mean over the prompt's tokens, model before training; unseen requests and techniques.",
    )  # fmt: skip


def present_study(lab: Lab, study: Mapping[str, Any]) -> None:
    """Show the deployment study, which is of the first seed."""
    cells = study["MixAT"]
    plain = {f"{c['template']}, {c['precision']}": [c] for c in cells if c["scale"] == 1 and c["temperature"] == 0}
    lab.arm_table("Template and precision, MixAT", plain, {
        "broken [95 %]": lambda runs: "{asr:.0%} [{low:.0%}, {high:.0%}]".format(**runs[0]),
        "look-alikes answered": share("compliance"), "unknown": share("unknown"),
        "tokens a second": number(lambda cell: cell["tokens"] / cell["seconds"], ".0f"),
    }, "Direct requests and unseen persuasion, half each; adapter beside the weights in int8, else folded in.",
       first="template, precision")  # fmt: skip
    lab.arm_table(
        "Embedding attacks across precisions, MixAT", {pair: [losses] for pair, losses in study["transfer"].items()},
        {"target CE, nats a token": number(lambda losses: losses)},
        "10 steps at the training radius; lower is a stronger attack.", first="computed on → tried on",
    )  # fmt: skip
    strengths = {arm: sweep(study[arm], "scale", temperature=0.0) for arm in ("C", "MixAT")}
    lab.figure(
        "Strength of the adapter", plots.lines, xlabel="benign look-alikes answered, %",
        ylabel="harmful requests broken, %",
        drawn={arm: [(100 * c["compliance"], 100 * c["asr"]) for c in cells] for arm, cells in strengths.items()},
        texts={arm: [f"{cell['scale']:g}" for cell in cells] for arm, cells in strengths.items()},
        alt="Requests broken against look-alikes answered as the adapter's strength lambda grows, for C and MixAT.",
        caption="One seed. Each line runs from lambda 0, the base, upwards. Down and right is better.",
    )  # fmt: skip
    warm = sweep(cells, "temperature", scale=1.0)
    rates = {"mean over samples": "asr", f"at least one of {max(cell['samples'] for cell in warm)}": "asr_at_n"}
    lab.figure(
        "Temperature", plots.lines, xlabel="temperature", ylabel="requests broken, %",
        drawn={label: [(cell["temperature"], 100 * cell[key]) for cell in warm] for label, key in rates.items()},
        alt="Mean success rate and the rate of at least one success in all samples, against temperature.",
        caption="MixAT, one seed; at temperature 0 there is one reply.",
    )  # fmt: skip


def sweep(cells: list[dict[str, Any]], over: str, **fixed: float) -> list[dict[str, Any]]:
    """Return the cells of the own template and first precision, in the order of one setting."""
    fixed: dict[str, Any] = {"template": "own", "precision": cells[0]["precision"], **fixed}
    chosen = [cell for cell in cells if all(cell[name] == value for name, value in fixed.items())]
    return sorted(chosen, key=lambda cell: cell[over])
