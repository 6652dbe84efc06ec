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

from trued.data.prompts import adversarial_rows, affirmative_targets, prompts, templates
from trued.data.spacing import evenly_spaced
from trued.experiments._language import answers, gcg_record, judged, load, notes, protocol, replies_beside
from trued.experiments._mixat_study import deployments, present_study, transfer
from trued.lab import plots
from trued.lab.arms import count, number, share
from trued.lab.experiment import Lab, experiment
from trued.language.attack.contract import Behavior, ChatTarget, TestCase, user_turn
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.attack.gcg.search import GCG
from trued.language.attack.persuasion import PERSUASION
from trued.language.engine.model import LanguageModel
from trued.language.measure.deployment import sample_replies
from trued.language.measure.geometry import BOTH, RANDOM, REWRITTEN, prompt_geometry
from trued.language.measure.robustness import target_losses
from trued.language.train.adversarial import UtilityRow, own_replies
from trued.language.train.mixat.align import MixAT, what_was_trained_on
from trued.language.train.mixat.rewriters import PAPRewriter
from trued.language.train.mixat.schedule import Variant
from trued.learn.fit.loop import FitConfig

ARMS: dict[str, Variant] = {"control": "clean", "D": "d", "C": "c", "Dual": "dual", "MixAT": "mixat"}
TAUGHT = PERSUASION[::3][:12]
UNSEEN = tuple(technique for technique in PERSUASION if technique not in TAUGHT)
WAYS = ("direct", "templates", "persuasion")
ATTACK = EmbeddingAttack(eps=0.075, relative_lr=True)
"""The embedding attack of training, at MixAT's radius."""
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
    """The prompts of one run; `put` holds the harmful test requests in every way of asking, `frames` times in two."""

    def __init__(self, scale: Scale) -> None:
        self.adversarial = adversarial_rows("train", targets=3, refusals=2)[: scale.train]
        kinds: Any = ("lookalikes", "general")
        self.utility = [row.prompt for kind in kinds for row in prompts(kind, "train")[: scale.train]]
        self.rows = evenly_spaced(prompts("harmful", "test"), scale.test)
        self.lookalikes = [row.prompt for row in evenly_spaced(prompts("lookalikes", "test"), scale.test)]
        self.put = {"direct": [row.prompt for row in self.rows]}
        for way, wraps in (("templates", templates()), ("persuasion", UNSEEN)):
            self.put[way] = [
                wraps[(i * scale.frames + k) % len(wraps)].wrap(row.prompt)
                for i, row in enumerate(self.rows)
                for k in range(scale.frames)
            ]

    def texts(self, count: int) -> list[str]:
        """Return some of the harmful requests."""
        return evenly_spaced(self.put["direct"], count)

    def cases(self, count: int, way: str = "direct") -> list[TestCase]:
        """Return one case for each of these requests, put in this way."""
        times = len(self.put[way]) // len(self.rows)
        texts = evenly_spaced(self.put[way][times - 1 :: times], count)
        return [TestCase(str(i), user_turn(text), attack=way) for i, text in enumerate(texts)]


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
                study["transfer"] = transfer(tuned, requests.texts(scale.transferred), ATTACK)
                lab.record("study", seed, study)
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
            replies_beside(lab, seed, requests.put, "base", "MixAT", arm="MixAT", count=2)
    present(lab, scale, len(requests.rows))


def train(
    lab: Lab, arm: str, lm: LanguageModel, requests: Requests, utility: list[UtilityRow], seed: int
) -> tuple[LanguageModel, dict[str, Any]]:
    """Train one arm; every arm sees the same rows in the same batches."""
    scale: Scale = lab.scale
    method = MixAT(
        variant=ARMS[arm], attack=replace(ATTACK, steps=scale.attack_steps), lora_r=scale.lora_r,
        lora_alpha=scale.lora_alpha, lora_dropout=0.0, adversarial_share=0.5, max_length=None,
        fit=FitConfig(steps=scale.steps, lr=scale.lr, warmup=0.1, batch_size=scale.batch, seed=seed, keep_best=False),
    )  # fmt: skip
    started, rewriter = time.perf_counter(), PAPRewriter(techniques=TAUGHT)
    tuned, result = method.align(lm, requests.adversarial, utility, rewriter=rewriter, progress=lab.bars.shown)
    tokens, trained_on = [step["pass_tokens"] for step in result.history], what_was_trained_on(result)
    return tuned, {"seconds": time.perf_counter() - started, "pass_tokens": tokens, "trained_on": trained_on}


def evaluate(lm: LanguageModel, requests: Requests, scale: Scale, searched: int) -> dict[str, Any]:
    """Measure one arm on unseen requests; `searched` of them with a short GCG.

    Returns:
        Per request: by way of asking and for "alo", 1 where at least one reply is no refusal (an empty reply is
        unknown, and counts as no refusal); "lookalikes", 1 where answered; "clean" and "attacked", target
        cross-entropies; "gcg". Also the share of unknown replies, and some texts.
    """
    put, n = {**requests.put, "lookalikes": requests.lookalikes}, len(requests.rows)
    replies = iter(answers(lm, [text for texts in put.values() for text in texts], scale.new_tokens).replies)
    given = {}
    for way, texts in put.items():
        plain = requests.lookalikes if way == "lookalikes" else requests.put["direct"]
        behind = [text for text in plain for _ in range(len(texts) // len(plain))]
        given[way] = judged(behind, [next(replies) for _ in texts])
    record: dict[str, Any] = {way: np.reshape(given[way].answered, (n, -1)).max(1).tolist() for way in WAYS}
    some, target = requests.texts(scale.attacked), affirmative_targets()[0]
    record |= {
        "alo": np.max([record[way] for way in WAYS], axis=0).tolist(),
        "lookalikes": given["lookalikes"].complied,
        "unknown": sum(given[way].unknown for way in WAYS) / sum(map(len, requests.put.values())),
        "replies": {way: given[way].replies[:3] for way in WAYS},
        "clean": target_losses(lm, some, target, replace(ATTACK, steps=0)),
        "attacked": target_losses(lm, some, target, replace(ATTACK, steps=10)),
    }
    if searched:
        behaviors = [Behavior(row.id, row.prompt) for row in evenly_spaced(requests.rows, searched)]
        chat = ChatTarget(lm, max_new_tokens=scale.new_tokens)
        record["gcg"] = gcg_record(replace(scale.gcg, target=target), behaviors, chat, seed=0)
    return record


def sample(lm: LanguageModel, requests: Requests, scale: Scale, seed: int) -> dict[str, list[float]]:
    """Success per request in unseen persuasion: mean over samples, any of them, and the greedy reply."""
    target, texts = ChatTarget(lm, max_new_tokens=scale.new_tokens), requests.texts(scale.sampled)

    def broken(n: int, temperature: float) -> np.ndarray:
        cases = requests.cases(scale.sampled, "persuasion")
        groups = sample_replies(target, cases, n=n, temperature=temperature, seed=seed)
        behind = [text for text in texts for _ in range(n)]
        return np.reshape(judged(behind, [reply for group in groups for reply in group]).answered, (-1, n))

    samples, greedy = broken(scale.samples, 1.0), broken(1, 0.0)
    return {"baseline": samples.mean(1).tolist(), "method": samples.max(1).tolist(), "control": greedy[:, 0].tolist()}


def geometry(lm: LanguageModel, requests: Requests, scale: Scale, seed: int) -> dict[str, Any]:
    """How far requests of the base model's move when they are rewritten, attacked or both."""
    texts = requests.texts(scale.placed)
    rewrites = PAPRewriter(techniques=UNSEEN, per="prompt").rewrite(texts, model=lm, seed=seed)
    generator, target = torch.Generator().manual_seed(seed), affirmative_targets()[0]
    attack = replace(ATTACK, steps=scale.attack_steps)
    points = prompt_geometry(lm, texts, rewrites, target, attack, generator=generator)
    distances = {form: points.distances(form) for form in (REWRITTEN, BOTH, RANDOM)}
    return {"forms": list(points.points), "cosines": points.table().tolist(), "distances": distances}


def describe(lab: Lab, scale: Scale, requests: Requests) -> None:
    """Put the protocol and the limits, which apply to every seed, into the evidence."""
    protocol(
        lab, scale.new_tokens, arms=list(ARMS), eps=ATTACK.eps, alpha=0.5, training_requests=len(requests.adversarial),
        utility_rows=len(requests.utility), rewriter=PAPRewriter(techniques=TAUGHT).name,
        taught=[technique.name for technique in TAUGHT], harmful_test=len(requests.rows),
        cases=sum(map(len, requests.put.values())), lookalikes_test=len(requests.lookalikes),
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
    }, "Means over seeds. Broken: not refused; an empty reply is unknown, and no refusal. CE in nats a token."
    )  # fmt: skip
    lab.arm_table("What each arm trained on, and its cost", lab.arms(*ARMS), {
        "batches rewritten": share("trained_on.rewritten"), "attacked": share("trained_on.continuous"),
        "rewrites given up": share("trained_on.lost"), "pass tokens a step": number("pass_tokens", ".0f"),
        "seconds": number("seconds", ".0f"),
    }, "Tokens forward and backward through the trained model; steps and batches are the same for all arms."
    )  # fmt: skip
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
