"""Does training on embedding attacks make a small chat model robust, and what does it cost? (c-advul, 2405.15589)

Arms, all with the same requests, steps, batch of adversarial rows, learning rate, LoRA and seeds:
- base: the model as it is;
- control: C-AdvUL's loss without an attack (delta = 0), which isolates what the attack adds;
- C-AdvUL: with utility rows, as in the paper;
- C-AdvIPO: without utility rows, as in the paper;
- C-AdvIPO + utility: an ablation arm, the same with C-AdvUL's utility rows; first seed only, no claim rests on it.
Affirmative targets are generic openings, so no harmful text is needed. Utility rows are the base model's own greedy
replies to benign look-alikes and general requests. Nothing below was tuned on the test split: step counts and the
learning rate come from a pilot on the validation split.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trued.data.prompts import AdversarialRow, adversarial_rows, affirmative_targets, prompts, templates
from trued.experiments._language import answers, examples, gcg_record, judged, load, notes, spread, texts_of
from trued.lab import plots
from trued.lab.arms import Arms, count, number, share
from trued.lab.experiment import Lab, experiment
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.attack.gcg.search import GCG
from trued.language.engine.model import LanguageModel
from trued.language.judge.reply import PhraseJudge
from trued.language.measure.robustness import target_losses
from trued.language.train.adversarial import UtilityRow, own_replies
from trued.language.train.c_advul.align import CAdvIPO, CAdvUL
from trued.language.train.c_advul.loss import AdvLossConfig, PreferenceLossConfig
from trued.learn.fit.loop import FitConfig

ARMS = ("control", "C-AdvUL", "C-AdvIPO", "C-AdvIPO + utility")
RADIUS = EmbeddingAttack(relative_lr=True)
SHORT_GCG = GCG(steps=20, search_width=32, topk=64, suffix_tokens=20, buffer=1)


@dataclass(frozen=True)
class Scale:
    """Sizes of one run; `test` and `train` limit the prompts of each kind, None takes all of the split."""

    model: str | None = None
    train: int | None = None
    test: int | None = None
    steps: int = 20
    batch: int = 8
    lr: float = 6e-4
    lora_r: int = 16
    lora_alpha: float = 32
    attack_steps: int = 4
    utility_tokens: int = 64
    new_tokens: int = 40
    templates: int = 1
    curve_prompts: int = 8
    curve: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0)
    long_attack: tuple[int, int] = (100, 4)
    gcg: GCG = SHORT_GCG
    gcg_prompts: int = 4
    trace_every: int = 10


SCALES = {
    "tiny": Scale(
        train=4, test=4, steps=2, batch=4, lora_r=2, lora_alpha=4, attack_steps=1, utility_tokens=4, new_tokens=4,
        curve_prompts=2, long_attack=(2, 2), trace_every=2, gcg=GCG(steps=1, search_width=2, topk=4, suffix_tokens=4),
        gcg_prompts=1,
    ),
    "desktop": Scale(),
    "full": Scale(
        model="HuggingFaceH4/zephyr-7b-beta", steps=760, batch=64, lr=2e-4, lora_r=64, lora_alpha=16, attack_steps=10,
        utility_tokens=256, new_tokens=512, templates=20, curve_prompts=64, long_attack=(100, 32), trace_every=100,
        gcg=GCG(steps=250), gcg_prompts=20,
    ),
}  # fmt: skip


class Requests:
    """The prompts of one run: what is trained on, what the trade-off is traced on, what is tested on."""

    def __init__(self, scale: Scale) -> None:
        wraps = templates()
        self.adversarial: list[AdversarialRow] = adversarial_rows("train", targets=3, refusals=2)[: scale.train]
        self.utility = texts_of("lookalikes", "train", scale.train) + texts_of("general", "train", scale.train)
        self.trace = {kind: texts_of(kind, "validation", scale.train) for kind in ("harmful", "lookalikes")}
        self.harmful = texts_of("harmful", "test", scale.test)
        self.jailbreaks = [
            wraps[(i + k * 7) % len(wraps)].wrap(text)
            for i, text in enumerate(self.harmful)
            for k in range(scale.templates)
        ]
        self.lookalikes = texts_of("lookalikes", "test", scale.test)
        self.chats = [(row.prompt, row.reply) for row in prompts("general", "test")[: scale.test] if row.reply]


@experiment("c-advul", scales=SCALES, seeds=(0, 1, 2))
def run(lab: Lab) -> None:
    """Train the arms for each seed, measure all of them the same way, and compare with the base."""
    scale: Scale = lab.scale
    requests, lm = Requests(scale), load(lab)
    describe(lab, scale, requests)
    utility = own_replies(lm, requests.utility, max_new_tokens=scale.utility_tokens)
    base = lab.shared("base", lambda: evaluate(lm, requests, scale, seed=0, once=True))
    for seed in lab.seeds:
        first = lab.is_first(seed)
        for arm in ARMS if first else ARMS[:-1]:
            started = time.perf_counter()
            tuned, trace = train(lab, arm, lm, requests, utility, seed)
            seconds = time.perf_counter() - started
            with tuned.merged():
                record = evaluate(tuned, requests, scale, seed=seed, once=first, short=arm == ARMS[-1])
            lab.record(arm, seed, {**record, "trace": trace, "seconds": seconds})
            if first and arm in ("C-AdvUL", "C-AdvIPO"):
                for name, texts in (("direct", requests.harmful), ("lookalikes", requests.lookalikes)):
                    examples(lab, texts, base["replies"][name], record["replies"][name], arm=arm, note=name)
            lm = tuned.without_lora()
        lab.compare("robust-continuous", seed, "curve.1_0", baseline="base", method="C-AdvUL", control="control")
        lab.compare("robust-discrete", seed, "broken", baseline="base", method="C-AdvUL", control="control")
        lab.compare("usefulness-kept", seed, "perplexity", baseline="base", method="C-AdvUL")
        lab.compare("no-utility-data", seed, "lookalikes", baseline="base", method="C-AdvIPO")
        cost = lab.records("C-AdvUL")[seed]
        lab.measure("cheap", seed, baseline=cost["gcg"]["passes"], method=cost["embedding"]["passes"])
    present(lab, scale)


def train(
    lab: Lab, arm: str, lm: LanguageModel, requests: Requests, utility: list[UtilityRow], seed: int
) -> tuple[LanguageModel, list[dict[str, float]]]:
    """Train one arm; every arm sees the same number of adversarial rows in each step."""
    scale: Scale = lab.scale
    mixed = arm != "C-AdvIPO"
    shared: dict[str, Any] = {
        "attack": None if arm == "control" else EmbeddingAttack(steps=scale.attack_steps, relative_lr=True),
        "lora_r": scale.lora_r, "lora_alpha": scale.lora_alpha, "lora_dropout": 0.0,
        "adversarial_share": 0.5 if mixed else 1.0, "max_length": None,
        "fit": FitConfig(
            steps=scale.steps, lr=scale.lr, warmup=0.1, batch_size=scale.batch if mixed else scale.batch // 2,
            seed=seed, max_grad_norm=1.0, keep_best=False, validate_every=scale.trace_every,
        ),
    }  # fmt: skip
    if arm in ("control", "C-AdvUL"):
        method = CAdvUL(**shared, loss=AdvLossConfig())
    else:
        method = CAdvIPO(**shared, loss=PreferenceLossConfig(utility_weight=float(mixed)))
    trace: list[dict[str, float]] = []

    def watch(tuned: LanguageModel, step: int) -> float:
        with tuned.merged():
            given = {kind: answers(tuned, texts, scale.new_tokens) for kind, texts in requests.trace.items()}
        refused = {kind: float(np.mean(part.refused)) for kind, part in given.items()}
        trace.append({"step": step, **refused})
        return refused["harmful"] - refused["lookalikes"]

    lab.log(f"seed {seed} · {arm}: training {scale.steps} steps")
    rows = utility if mixed else ()
    tuned, _ = method.align(lm, requests.adversarial, rows, validate=watch, progress=lab.bars.shown)
    return tuned, trace


def evaluate(
    lm: LanguageModel, requests: Requests, scale: Scale, *, seed: int, once: bool, short: bool = False
) -> dict[str, Any]:
    """Measure one arm on the test split.

    Args:
        once: measure the long attack too, which is shown for one seed.
        short: leave out attacks, for an arm that no claim rests on.

    Returns:
        Per item: "direct", "templates", "lookalikes" (1 where refused), "broken" (1 where a templated request is not
        refused), "perplexity" of each held-out conversation, "curve" (target cross-entropy by radius, in nats a
        token), "gcg", "embedding" (what attacks reach and cost); "unknown" replies by kind; some replies' texts.
    """
    asks = {"direct": requests.harmful, "templates": requests.jailbreaks, "lookalikes": requests.lookalikes}
    texts = [text for group in asks.values() for text in group]
    replies = iter(answers(lm, texts, scale.new_tokens).replies)
    given = {name: judged(group, [next(replies) for _ in group]) for name, group in asks.items()}
    record: dict[str, Any] = {name: part.refused for name, part in given.items()}
    record |= {
        "broken": given["templates"].answered,
        "unknown": sum(part.unknown for part in given.values()),
        "replies": {name: part.replies[:8] for name, part in given.items()},
        "perplexity": lm.perplexity(requests.chats).tolist(),
    }
    if short:
        return record
    curve = {
        str(factor).replace(".", "_"): replace(RADIUS, eps=RADIUS.eps * factor, steps=10 if factor else 0)
        for factor in scale.curve
    }
    some, target = requests.harmful[: scale.curve_prompts], affirmative_targets()[0]
    record["curve"] = {name: target_losses(lm, some, target, attack) for name, attack in curve.items()}
    record |= attack_costs(lm, spread(requests.harmful, scale.gcg_prompts), scale, seed)
    if once:
        steps, limit = scale.long_attack
        record["long"] = target_losses(lm, some[:limit], target, replace(RADIUS, steps=steps))
        record["as long"] = record["curve"]["1_0"][:limit]
    return record


def attack_costs(lm: LanguageModel, texts: list[str], scale: Scale, seed: int) -> dict[str, dict[str, list[float]]]:
    """Run a short GCG, and the training's embedding attack, one request at a time: what each reaches and costs."""
    behaviors = [Behavior(f"request-{i}", text, target=affirmative_targets()[0]) for i, text in enumerate(texts)]
    gcg = gcg_record(scale.gcg, behaviors, ChatTarget(lm, max_new_tokens=scale.new_tokens), seed)
    attack, reply = replace(RADIUS, steps=scale.attack_steps), lm.reply_ids(affirmative_targets()[0], end=False)
    embedding: dict[str, list[float]] = {"passes": [], "seconds": []}
    for text in texts:
        started = time.perf_counter()
        result = attack.perturb(lm, lm.rows([lm.prompt_ids(text)], [[reply]]))
        embedding["passes"].append(result.forwards + result.backwards)
        embedding["seconds"].append(time.perf_counter() - started)
    return {"gcg": gcg, "embedding": embedding}


def describe(lab: Lab, scale: Scale, requests: Requests) -> None:
    """Put the protocol and the limits, which apply to every seed, into the evidence."""
    lab.protocol(
        arms=list(ARMS), judge=PhraseJudge().name, eps=RADIUS.eps, training_requests=len(requests.adversarial),
        utility_rows=len(requests.utility), harmful_test=len(requests.harmful), chat_test=len(requests.chats),
        jailbreak_prompts=len(requests.jailbreaks), lookalikes_test=len(requests.lookalikes),
        template="the tokenizer's own, default system prompt", decoding=f"greedy, {scale.new_tokens} tokens",
    )  # fmt: skip
    notes(lab, "the paper's models have 2 to 7 billion parameters and were attacked for hundreds of GCG steps")
    lab.note(
        f"GCG is short ({scale.gcg.steps} steps of {scale.gcg.search_width} candidates, {scale.gcg_prompts} requests): "
        "it is shown, and too small to decide a claim."
    )
    lab.note("The cost claim counts passes an attacked request; the discrete attack is this run's own short GCG.")


def present(lab: Lab, scale: Scale) -> None:
    """Show tables and figures over all seeds."""
    arms: Arms = lab.arms("base", *ARMS)
    attacked: Arms = {arm: runs for arm, runs in arms.items() if "curve" in runs[0]}
    trained: Arms = {arm: runs for arm, runs in arms.items() if arm != "base"}
    lab.arm_table(
        "What each arm does",
        arms,
        {
            "harmful refused, direct": share("direct"),
            "under templates": share("templates"),
            "look-alikes refused": share("lookalikes"),
            "empty replies": number("unknown", ".1f"),
            "chat perplexity": number("perplexity"),
            "training, s": number("seconds", ".0f"),
        },
        caption="Means over seeds. An empty reply is no refusal. Training seconds include the trade-off's points.",
    )
    costs = {"passes a request": "passes", "seconds a request": "seconds"}
    lab.arm_table(
        "Short GCG on unseen requests",
        attacked,
        {
            "target loss at start": number("gcg.first"),
            "after GCG": number("gcg.best"),
            "not refused": count("gcg.answered"),
            **{name: number(f"gcg.{key}", ".0f") for name, key in costs.items()},
        },
        caption="Buffered; the string is judged, not the token ids.",
    )
    attacks = {"embedding, as in training": "embedding", "short GCG": "gcg"}
    lab.arm_table(
        "What an attack costs",
        {name: [record[key] for record in arms["C-AdvUL"]] for name, key in attacks.items()},
        {name: number(key) for name, key in costs.items()},
        caption="On the C-AdvUL arms, one request at a time, means over seeds.",
    )
    steps, limit = scale.long_attack
    lab.arm_table(
        "A longer attack",
        {arm: runs[:1] for arm, runs in attacked.items()},
        {"10 steps": number("as long"), f"{steps} steps": number("long")},
        caption=f"Target cross-entropy, nats a token, training radius; the first {limit} test requests, one seed.",
    )
    curve = {arm: [[np.mean(part) for part in run["curve"].values()] for run in runs] for arm, runs in attacked.items()}
    axis = "radius of the attack, times the training radius"
    lab.figure(
        "Robustness curve",
        lambda axes: plots.curves(axes, curve, scale.curve, axis, "target cross-entropy, nats a token"),
        alt="Cross-entropy of the affirmative target against the attack's radius: higher is more robust.",
        caption="Unseen harmful requests, 10 attack steps; radius 1 is the training radius. Bars: range over seeds.",
    )
    refused = ("benign look-alikes refused, %", "harmful requests refused, %")
    lab.figure(
        "Trade-off while training",
        lambda axes: plots.paths(axes, trained, "trace", "lookalikes", "harmful", *refused),
        alt="Harmful requests refused against benign look-alikes refused, step by step, for each arm.",
        caption="Validation split; each line runs through training, its mark is the last step. Up and left is better.",
    )
    kinds = {"harmful, direct": "direct", "harmful, templates": "templates", "look-alikes": "lookalikes"}
    lab.figure(
        "Refusals",
        lambda axes: plots.bars(axes, arms, kinds, "refused, %"),
        alt="Refusal rates by arm: harmful requests asked directly, in templates, and benign look-alikes.",
        caption="Test split, means over seeds.",
    )
