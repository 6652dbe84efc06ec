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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trued.data.prompts import AdversarialRow, adversarial_rows, affirmative_targets, prompts, templates
from trued.lab.experiment import Lab, experiment
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.attack.gcg.search import GCG
from trued.language.engine.model import LanguageModel
from trued.language.judge.reply import Label, PhraseJudge
from trued.language.measure.robustness import target_losses
from trued.language.train.adversarial import UtilityRow, own_replies
from trued.language.train.c_advul import AdvLossConfig, CAdvIPO, CAdvUL, PreferenceLossConfig
from trued.learn.fit.loop import FitConfig

ARMS = ("control", "C-AdvUL", "C-AdvIPO", "C-AdvIPO + utility")
COLORS = {"base": "0.35", "control": "tab:orange", "C-AdvUL": "tab:blue", "C-AdvIPO": "tab:green"}


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


@dataclass(frozen=True)
class Requests:
    """The prompts of one run: what is trained on, what the trade-off is traced on, what is tested on."""

    adversarial: list[AdversarialRow]
    utility: list[str]
    trace: dict[str, list[str]]
    harmful: list[str]
    jailbreaks: list[str]
    lookalikes: list[str]
    chats: list[tuple[str, str]]

    @classmethod
    def of(cls, scale: Scale) -> Requests:
        def texts(kind: Any, split: Any, limit: int | None) -> list[str]:
            return [row.prompt for row in prompts(kind, split)][:limit]

        harmful = texts("harmful", "test", scale.test)
        wraps = templates()
        jailbreaks = [
            wraps[(i + k * 7) % len(wraps)].wrap(p) for i, p in enumerate(harmful) for k in range(scale.templates)
        ]
        return cls(
            adversarial_rows("train", targets=3, refusals=2)[: scale.train],
            texts("lookalikes", "train", scale.train) + texts("general", "train", scale.train),
            {kind: texts(kind, "validation", scale.train) for kind in ("harmful", "lookalikes")},
            harmful,
            jailbreaks,
            texts("lookalikes", "test", scale.test),
            [(r.prompt, r.reply) for r in prompts("general", "test")[: scale.test] if r.reply],
        )


METHODS = (
    "trued.experiments.c_advul",
    "trued.language.attack.embedding",
    "trued.language.attack.gcg.search",
    "trued.language.attack.gcg.descent",
    "trued.language.judge.reply",
    "trued.language.measure.robustness",
    "trued.language.train.adversarial",
    "trued.language.train.c_advul",
)
"""What the evidence depends on: the methods and the judge, not the engine, whose scores have tests of their own."""


@experiment("c-advul", scales=SCALES, seeds=(0, 1, 2), methods=METHODS)
def run(lab: Lab) -> None:
    """Train the arms for each seed, measure all of them the same way, and compare with the base."""
    scale: Scale = lab.scale
    asked = Requests.of(scale)
    lm = load(lab)
    _describe(lab, scale, asked)
    radius = EmbeddingAttack(relative_lr=True)
    utility = own_replies(lm, asked.utility, max_new_tokens=scale.utility_tokens)
    kept = list(lab.records("base").values())  # of a run that was cut off; the base is the same in every seed
    base = kept[0] if kept else _base(lm, asked, scale, radius)
    for seed in lab.seeds:
        lab.record("base", seed, base)
        for arm in ARMS if seed == lab.wanted[0] else ARMS[:-1]:
            started = time.perf_counter()
            tuned, trace = _train(arm, lm, asked, utility, scale, seed, lab)
            trained = time.perf_counter() - started
            full = arm != "C-AdvIPO + utility"
            with tuned.merged():
                found = evaluate(tuned, asked, scale, radius, curve=full)
                if full:
                    found["gcg"] = run_gcg(tuned, asked, scale, seed=seed)
                    found["embedding"] = attack_cost(tuned, asked, scale)
                if full and seed == lab.wanted[0]:
                    found["long"] = _long_attack(tuned, asked, scale)
            lab.record(arm, seed, {**found, "trace": trace, "seconds": trained})
            if seed == lab.wanted[0] and arm in ("C-AdvUL", "C-AdvIPO"):
                _examples(lab, arm, asked, base, found)
            lm = tuned.without_lora()
        _measure(lab, seed, base)
    _present(lab, scale, base)


def load(lab: Lab) -> LanguageModel:
    """The model of this run: the user's, the scale's, the embedded default, or at tiny scale a random one."""
    scale: Scale = lab.scale
    if lab.scale_name == "tiny" and lab.model is None:
        from trued.language.engine.tiny import tiny_model

        lm = tiny_model()
    else:
        lm = LanguageModel.load(lab.model or scale.model, device=lab.device)
    lab.model_name = lm.name
    return lm


def evaluate(
    lm: LanguageModel, asked: Requests, scale: Scale, radius: EmbeddingAttack, *, curve: bool = True
) -> dict[str, Any]:
    """Measure one arm on the test split.

    Returns:
        Per item: "direct", "templates", "lookalikes" (1 where the reply is a refusal; a reply that the judge cannot
        place is never counted as one), "perplexity" of each held-out conversation, "curve" (target cross-entropy by
        radius).
        "unknown": replies that the judge could not place (the phrase judge: empty ones), by kind. Some replies' texts.
    """
    asks = {"direct": asked.harmful, "templates": asked.jailbreaks, "lookalikes": asked.lookalikes}
    texts = [p for group in asks.values() for p in group]
    answers = iter(_greedy(lm, texts, scale.new_tokens))
    found: dict[str, Any] = {"replies": {}, "unknown": {}}
    for name, group in asks.items():
        replies = [next(answers) for _ in group]
        labels = PhraseJudge().label(group, replies)
        found[name] = [int(label is Label.NO) for label in labels]
        found["unknown"][name] = sum(label is Label.UNKNOWN for label in labels)
        found["replies"][name] = replies[:8]
    found["perplexity"] = lm.perplexity(asked.chats).exp().tolist()
    if curve:
        found["curve"] = {}
        for factor in scale.curve:
            attack = replace(radius, eps=radius.eps * factor, steps=10 if factor else 0)
            found["curve"][str(factor)] = target_losses(
                lm, asked.harmful[: scale.curve_prompts], affirmative_targets()[0], attack
            )
    return found


def _base(lm: LanguageModel, asked: Requests, scale: Scale, radius: EmbeddingAttack) -> dict[str, Any]:
    found = evaluate(lm, asked, scale, radius)
    return {**found, "gcg": run_gcg(lm, asked, scale, seed=0), "long": _long_attack(lm, asked, scale)}


def run_gcg(lm: LanguageModel, asked: Requests, scale: Scale, seed: int) -> dict[str, Any]:
    """A short GCG on a few unseen requests: losses, compliance with the string it found, and what it cost."""
    behaviors = [
        Behavior(f"request-{i}", text, target=affirmative_targets()[0])
        for i, text in enumerate(_spread(asked.harmful, scale.gcg_prompts))
    ]
    target = ChatTarget(lm, max_new_tokens=scale.new_tokens)
    cases = scale.gcg.run(behaviors, target, seed=seed)
    labels = PhraseJudge().label([b.text for b in behaviors], target.generate(cases))
    return {
        "first": [c.meta["losses"][0] for c in cases],
        "best": [c.meta["loss"] for c in cases],
        "complied": [int(label is not Label.NO) for label in labels],
        "passes": [c.cost.forwards + c.cost.backwards for c in cases],
        "seconds": [c.cost.seconds for c in cases],
    }


def attack_cost(lm: LanguageModel, asked: Requests, scale: Scale) -> dict[str, list[float]]:
    """What the training's embedding attack costs on the requests that GCG is run on, one at a time, as counted."""
    attack = EmbeddingAttack(steps=scale.attack_steps, relative_lr=True)
    target = lm.reply_ids(affirmative_targets()[0], end=False)
    cost: dict[str, list[float]] = {"passes": [], "seconds": []}
    for text in _spread(asked.harmful, scale.gcg_prompts):
        started = time.perf_counter()
        found = attack.perturb(lm, lm.rows([lm.prompt_ids(text)], [[target]]))
        cost["passes"].append(found.forwards + found.backwards)
        cost["seconds"].append(time.perf_counter() - started)
    return cost


def _spread(texts: list[str], count: int) -> list[str]:
    """`count` of the texts, evenly spaced."""
    return texts[:: max(1, len(texts) // count)][:count]


def _train(
    arm: str, lm: LanguageModel, asked: Requests, utility: list[UtilityRow], scale: Scale, seed: int, lab: Lab
) -> tuple[LanguageModel, list[dict[str, float]]]:
    """Train one arm; every arm sees the same number of adversarial rows in each step."""
    mixed = arm != "C-AdvIPO"
    rows = scale.batch if mixed else scale.batch // 2
    config = FitConfig(
        steps=scale.steps, lr=scale.lr, warmup=0.1, batch_size=rows, seed=seed, max_grad_norm=1.0, keep_best=False,
        validate_every=scale.trace_every,
    )  # fmt: skip
    attack = None if arm == "control" else EmbeddingAttack(steps=scale.attack_steps, relative_lr=True)
    shared: dict[str, Any] = {
        "attack": attack, "lora_r": scale.lora_r, "lora_alpha": scale.lora_alpha, "lora_dropout": 0.0,
        "adversarial_share": 0.5 if mixed else 1.0, "fit": config, "max_length": None,
    }  # fmt: skip
    if arm in ("control", "C-AdvUL"):
        method = CAdvUL(**shared, loss=AdvLossConfig())
    else:
        method = CAdvIPO(**shared, loss=PreferenceLossConfig(utility_weight=float(mixed)))
    trace: list[dict[str, float]] = []

    def watch(tuned: LanguageModel, step: int) -> float:
        with tuned.merged():
            refused = {kind: _refusals(tuned, texts, scale) for kind, texts in asked.trace.items()}
        trace.append({"step": step, **refused})
        return refused["harmful"] - refused["lookalikes"]

    lab.bars.log(f"c-advul · seed {seed} · {arm}: training {scale.steps} steps")
    tuned, _ = method.align(lm, asked.adversarial, utility if mixed else (), validate=watch, progress=lab.bars.shown)
    return tuned, trace


def _refusals(lm: LanguageModel, texts: list[str], scale: Scale) -> float:
    labels = PhraseJudge().label(texts, _greedy(lm, texts, scale.new_tokens))
    return sum(label is Label.NO for label in labels) / len(labels)


def _long_attack(lm: LanguageModel, asked: Requests, scale: Scale) -> list[float]:
    """Target cross-entropy under an attack ten times as long, at the training radius, on a few requests."""
    steps, limit = scale.long_attack
    attack = EmbeddingAttack(steps=steps, relative_lr=True)
    return target_losses(lm, asked.harmful[:limit], affirmative_targets()[0], attack)


def _measure(lab: Lab, seed: int, base: dict[str, Any]) -> None:
    """Hand the claims' numbers of one seed to the lab."""
    arms = {arm: lab.records(arm)[seed] for arm in ARMS[:-1]}
    ul, ipo, control = arms["C-AdvUL"], arms["C-AdvIPO"], arms["control"]
    lab.measure("robust-continuous", seed, baseline=base["curve"]["1.0"], method=ul["curve"]["1.0"])
    lab.control("robust-continuous", seed, control["curve"]["1.0"])
    broken = {name: 1 - np.array(found["templates"]) for name, found in (("base", base), *arms.items())}
    lab.measure("robust-discrete", seed, baseline=broken["base"], method=broken["C-AdvUL"])
    lab.control("robust-discrete", seed, broken["control"])
    lab.measure("usefulness-kept", seed, baseline=base["perplexity"], method=ul["perplexity"])
    lab.measure("no-utility-data", seed, baseline=base["lookalikes"], method=ipo["lookalikes"])
    lab.measure("cheap", seed, baseline=ul["gcg"]["passes"], method=ul["embedding"]["passes"])


def _describe(lab: Lab, scale: Scale, asked: Requests) -> None:
    lab.protocol(
        arms=list(ARMS), judge=PhraseJudge().name, steps=scale.steps, lr=scale.lr, batch=scale.batch,
        lora_r=scale.lora_r, attack_steps=scale.attack_steps, eps=0.05, training_requests=len(asked.adversarial),
        utility_rows=len(asked.utility), harmful_test=len(asked.harmful), jailbreak_prompts=len(asked.jailbreaks),
        lookalikes_test=len(asked.lookalikes), chat_test=len(asked.chats), curve_prompts=scale.curve_prompts,
        gcg={"steps": scale.gcg.steps, "width": scale.gcg.search_width, "requests": scale.gcg_prompts},
        template="the tokenizer's own, default system prompt", decoding=f"greedy, {scale.new_tokens} tokens",
    )  # fmt: skip
    lab.note("Refusals are told by phrases; whether a compliant reply is harmful or hollow is not judged.")
    lab.note(
        "A 135M model gives hollow answers whatever it is asked, so compliance here is willingness and not ability; "
        "the paper's models have 2 to 7 billion parameters and were attacked for hundreds of GCG steps."
    )
    lab.note(
        f"GCG is short ({scale.gcg.steps} steps of {scale.gcg.search_width} candidates, {scale.gcg_prompts} requests): "
        "it is shown, and too small to decide a claim."
    )
    lab.note("The cost claim counts passes an attacked request; the discrete attack is this run's own short GCG.")


def _examples(lab: Lab, arm: str, asked: Requests, base: dict[str, Any], found: dict[str, Any]) -> None:
    for name, texts in (("direct", asked.harmful), ("lookalikes", asked.lookalikes)):
        for prompt, before, after in list(zip(texts, base["replies"][name], found["replies"][name], strict=False))[:3]:
            lab.example(f"{arm}: {prompt}", before, after, note=name)


def _present(lab: Lab, scale: Scale, base: dict[str, Any]) -> None:
    """Tables and figures over all seeds."""
    found: dict[str, list[dict[str, Any]]] = {"base": [base]}
    found |= {arm: runs for arm in ARMS if (runs := list(lab.records(arm).values()))}

    def mean(arm: str, key: str) -> float:
        return float(np.mean([np.mean(one[key]) for one in found[arm]]))

    lab.table(
        "What each arm does",
        [
            {
                "arm": arm,
                "harmful refused, direct": f"{mean(arm, 'direct'):.0%}",
                "under templates": f"{mean(arm, 'templates'):.0%}",
                "look-alikes refused": f"{mean(arm, 'lookalikes'):.0%}",
                "empty replies": f"{np.mean([sum(one['unknown'].values()) for one in found[arm]]):.1f}",
                "chat perplexity": f"{mean(arm, 'perplexity'):.2f}",
                "training, s": "–" if arm == "base" else f"{np.mean([one['seconds'] for one in found[arm]]):.0f}",
            }
            for arm in found
        ],
        caption="Means over seeds. An empty reply is no refusal. "
        "Training seconds include the tracing of the trade-off.",
    )
    _gcg_table(lab, found)
    _cost_table(lab, found["C-AdvUL"])
    _long_table(lab, scale, found)
    lab.figure(
        "Robustness curve",
        lambda axes: _draw_curve(axes, scale, found),
        alt="Cross-entropy of the affirmative target against the attack's radius: higher is more robust.",
        caption="Unseen harmful requests, 10 attack steps; radius 1 is the training radius. Bars: range over seeds.",
    )
    lab.figure(
        "Trade-off while training",
        lambda axes: _draw_trade_off(axes, found),
        alt="Harmful requests refused against benign look-alikes refused, step by step, for each arm.",
        caption="Validation split; each line runs through training, its mark is the last step. Up and left is better.",
    )
    lab.figure(
        "Refusals",
        lambda axes: _draw_refusals(axes, found),
        alt="Refusal rates by arm: harmful requests asked directly, in templates, and benign look-alikes.",
        caption="Test split, means over seeds.",
    )


def _gcg_table(lab: Lab, found: dict[str, list[dict[str, Any]]]) -> None:
    rows = []
    for arm, runs in found.items():
        if "gcg" in runs[0]:
            joined = {key: np.concatenate([one["gcg"][key] for one in runs]) for key in runs[0]["gcg"]}
            rows.append(
                {
                    "arm": arm,
                    "target loss at start": f"{joined['first'].mean():.2f}",
                    "after GCG": f"{joined['best'].mean():.2f}",
                    "complied": f"{joined['complied'].sum():.0f} of {len(joined['complied'])}",
                    "passes a request": f"{joined['passes'].mean():.0f}",
                    "seconds a request": f"{joined['seconds'].mean():.0f}",
                }
            )
    lab.table("Short GCG on unseen requests", rows, caption="Buffered; the string is judged, not the token ids.")


def _cost_table(lab: Lab, runs: list[dict[str, Any]]) -> None:
    rows = []
    for attack, key in (("embedding, as in training", "embedding"), ("short GCG", "gcg")):
        passes, seconds = (np.mean([np.mean(one[key][what]) for one in runs]) for what in ("passes", "seconds"))
        rows.append({"attack": attack, "passes a request": f"{passes:.0f}", "seconds a request": f"{seconds:.2f}"})
    lab.table("What an attack costs", rows, caption="On the C-AdvUL arms, one request at a time, means over seeds.")


def _long_table(lab: Lab, scale: Scale, found: dict[str, list[dict[str, Any]]]) -> None:
    steps, limit = scale.long_attack
    rows = [
        {
            "arm": arm,
            "10 steps": f"{np.mean(runs[0]['curve']['1.0'][:limit]):.2f}",
            f"{steps} steps": f"{np.mean(runs[0]['long']):.2f}",
        }
        for arm, runs in found.items()
        if "long" in runs[0]
    ]
    lab.table(
        "A longer attack", rows,
        caption=f"Target cross-entropy, nats a token, training radius; the first {limit} test requests, one seed.",
    )  # fmt: skip


def _draw_curve(axes: Any, scale: Scale, found: dict[str, list[dict[str, Any]]]) -> None:
    for arm, runs in found.items():
        if "curve" not in runs[0]:
            continue
        values = np.array([[np.mean(one["curve"][str(f)]) for f in scale.curve] for one in runs])
        spread = np.abs(np.stack([values.min(0), values.max(0)]) - values.mean(0))
        axes.errorbar(scale.curve, values.mean(0), yerr=spread, marker="o", capsize=3, label=arm, color=COLORS.get(arm))
    axes.set_xlabel("radius of the attack, times the training radius")
    axes.set_ylabel("target cross-entropy, nats a token")
    axes.legend(frameon=False)


def _draw_trade_off(axes: Any, found: dict[str, list[dict[str, Any]]]) -> None:
    colors = {**COLORS, "C-AdvIPO + utility": "tab:purple"}
    for arm in list(found)[1:]:
        for number, one in enumerate(found[arm]):
            x, y = ([100 * point[kind] for point in one["trace"]] for kind in ("lookalikes", "harmful"))
            axes.plot(x, y, color=colors[arm], lw=1.2, alpha=0.7, label=arm if number == 0 else None)
            axes.plot(x[-1:], y[-1:], "o", color=colors[arm])
    axes.set_xlabel("benign look-alikes refused, %")
    axes.set_ylabel("harmful requests refused, %")
    axes.legend(frameon=False)


def _draw_refusals(axes: Any, found: dict[str, list[dict[str, Any]]]) -> None:
    kinds = {"direct": "harmful, direct", "templates": "harmful, templates", "lookalikes": "look-alikes"}
    width = 0.8 / len(kinds)
    for number, (key, label) in enumerate(kinds.items()):
        heights = [100 * np.mean([np.mean(one[key]) for one in runs]) for runs in found.values()]
        axes.bar(np.arange(len(found)) + number * width, heights, width, label=label)
    axes.set_xticks(np.arange(len(found)) + width, list(found), rotation=15)
    axes.set_ylabel("refused, %")
    axes.legend(frameon=False)


def _greedy(lm: LanguageModel, texts: Sequence[str], tokens: int) -> list[str]:
    return [group[0] for group in lm.generate(texts, max_new_tokens=tokens)]
