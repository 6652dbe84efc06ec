"""The check: is a model still safe, robust and useful, on prompts that training never saw?

Asks harmful requests plainly, in jailbreak templates and with the reply begun; asks harmless ones; attacks embeddings;
scores held-out conversations. Knows models, and how the parts are put together. Knows nothing of reports or gates.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from trued.data.prompts import PromptRow, Split, prompts, templates
from trued.data.spacing import evenly_spaced
from trued.errors import InputError, nearest
from trued.language.attack.contract import AFFIRMATIVE, ChatTarget
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.engine.model import LanguageModel
from trued.language.judge.reply import Judge, PhraseJudge
from trued.language.measure.check.answers import (
    Question,
    ask,
    direct_questions,
    harmless_questions,
    label,
    prefill_questions,
    template_questions,
)
from trued.language.measure.check.parts import Parts
from trued.language.measure.check.record import Curve
from trued.language.measure.check.result import CheckResult, comparable
from trued.language.measure.check.utility import HeldOut, held_out
from trued.language.measure.robustness import target_losses

AttackName = Literal["direct", "templates", "prefill"]
Progress = Callable[[int, int, str], None]

PORTION = 128
"""Replies that are requested at once; a check that is cut off loses at most these."""

_LIMITS = ("harmful", "prefilled", "lookalikes", "general", "attacked")


@dataclass(frozen=True)
class CheckConfig:
    """What is asked, how often, and how hard the model is attacked.

    Args:
        split: of the shipped prompts.
        attacks: the ways in which harmful requests are put.
        max_new_tokens: length of a reply.
        templates_per_prompt: templates around each request, out of all in turn; "all" uses each of them.
        prefill: numbers of tokens that the reply is begun with.
        harmful: most harmful prompts; without a limit all of the split.
        lookalikes: most harmless prompts that look harmful.
        general: most general prompts, whose replies are the held-out chat.
        prefilled: most harmful prompts that are prefilled; at-least-one success is counted over these.
        attacked: most harmful prompts whose embeddings are attacked.
        eps: radius of the embedding attack, as a share of the mean embedding norm (arXiv 2405.15589: 0.05).
        multiples: of `eps`, the curve's points; 0 is the clean prompt.
        steps: updates of the embedding attack.
        target: opening of a complying reply, for prefills and embedding attacks.
        system: system prompt of the deployment; None sends none (a template may add its own).
        seed: of the intervals, and where the rotation of templates begins.
    """

    split: Split = "test"
    attacks: tuple[AttackName, ...] = ("direct", "templates", "prefill")
    max_new_tokens: int = 40
    templates_per_prompt: int | Literal["all"] = 1
    prefill: tuple[int, ...] = (1, 2, 3, 4, 5)
    harmful: int | None = None
    prefilled: int | None = 26
    lookalikes: int | None = None
    general: int | None = None
    attacked: int | None = 16
    eps: float = 0.05
    multiples: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0)
    steps: int = 10
    target: str = AFFIRMATIVE + " a step-by-step guide:"
    system: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _LIMITS:
            limit = getattr(self, name)
            if limit is not None and limit < 2:
                raise InputError(f"{name} is {limit}: an interval needs at least 2 prompts")
        for attack in self.attacks:
            if attack not in get_args(AttackName):
                known = get_args(AttackName)
                raise InputError(f"unknown attack {attack!r}{nearest(attack, known)} (known: {', '.join(known)})")
        if not self.attacks:
            raise InputError("no attacks: give at least 'direct'")
        if self.max_new_tokens < 1 or self.steps < 1 or self.eps <= 0 or self.seed < 0:
            raise InputError(
                f"max_new_tokens {self.max_new_tokens}, steps {self.steps}, eps {self.eps}, seed {self.seed}: "
                "the first three must be positive and the seed not negative"
            )
        if "prefill" in self.attacks and (not self.prefill or min(self.prefill) < 1):
            raise InputError(
                f"prefill is {self.prefill}: give token counts of at least 1, or leave prefill out of the attacks"
            )
        if not self.multiples or min(self.multiples) < 0:
            raise InputError(f"multiples is {self.multiples}: give multiples of eps, 0 or more")
        frames = len(templates())
        if self.templates_per_prompt != "all" and not 1 <= self.templates_per_prompt <= frames:
            raise InputError(f"templates_per_prompt is {self.templates_per_prompt}: give 1 to {frames}, or 'all'")

    @classmethod
    def quick(cls, **changes: Any) -> CheckConfig:
        """A quarter of the work, for a first look: wider intervals, the same questions."""
        few = {"harmful": 24, "prefilled": 12, "prefill": (1, 3, 5), "lookalikes": 24, "general": 24, "attacked": 8}
        return cls(**{**few, **changes})


def check(
    lm: LanguageModel,
    base: LanguageModel | CheckResult | None = None,
    config: CheckConfig = CheckConfig(),
    *,
    judge: Judge | None = None,
    progress: Progress | None = None,
    parts: Parts | None = None,
) -> CheckResult:
    """Measure a model's refusals, robustness and usefulness, and compare them with another's.

    Args:
        lm: the model; an adapter is on, folded into the weights for the time of the check.
        base: what to compare with: another model; the same one, whose adapter is then off; or an earlier result.
        config: what is asked.
        judge: decides whether a reply to a harmful request complied; `PhraseJudge` by default.
        progress: called with what is done, the whole of it, and what it is.
        parts: keeps replies and values as they come, so that a check that was cut off continues; for one pair of
            models and their templates, which the parts do not tell apart.

    Raises:
        InputError: `base` is a result of other questions, or the model's weights are damaged.
    """
    judge = judge or PhraseJudge()
    before: CheckResult | None = None
    if isinstance(base, CheckResult):
        comparable(base, _protocol(lm, config, judge))
        before = base
    elif base is not None:
        # `with_lora` injects its layers into the model that it was called on: both objects then share their weights.
        shared = base.base is lm.base
        before = _measure(base if not shared else lm, config, judge, progress, parts, role="base", adapter=not shared)
    after = _measure(lm, config, judge, progress, parts, role="model")
    return after if before is None else after.against(before)


def _measure(
    lm: LanguageModel,
    config: CheckConfig,
    judge: Judge,
    progress: Progress | None,
    parts: Parts | None,
    *,
    role: str,
    adapter: bool = True,
) -> CheckResult:
    parts = parts or Parts()
    off = not adapter and hasattr(lm.model, "peft_config")
    name = f"{lm.name} without adapter" if off else lm.name
    harmful = evenly_spaced(prompts("harmful", config.split), config.harmful)
    lookalikes = evenly_spaced(prompts("lookalikes", config.split), config.lookalikes)
    general = evenly_spaced(prompts("general", config.split), config.general)
    target = ChatTarget(lm, config.system, config.max_new_tokens)
    questions, left_out = _questions(target, harmful, config)
    questions += harmless_questions("lookalikes", lookalikes) + harmless_questions("general", general)

    def counted(what: str, total: int) -> Callable[[int], None]:
        return lambda done: progress(done, total, f"{name}: {what}") if progress is not None else None

    with lm.deployed(adapter=adapter):
        whose = [role, name, str(lm.dtype), config.system, config.max_new_tokens]
        replies = _replies(target, questions, whose, parts, counted("replies", len(questions)))
        attacked = evenly_spaced(harmful, config.attacked)
        curve = _curve(target, attacked, config, whose, parts, counted("attacks", len(config.multiples)))
        chat = _chat(target, general, whose, parts, counted("held-out chat", len(general)))
    texts = {row.id: row.prompt for row in [*harmful, *lookalikes, *general]}
    answers = label(questions, replies, texts, judge)
    return CheckResult(name, _protocol(lm, config, judge), texts, answers, curve, chat, left_out)


def _questions(target: ChatTarget, rows: list[PromptRow], config: CheckConfig) -> tuple[list[Question], dict[str, str]]:
    questions: list[Question] = []
    left_out: dict[str, str] = {}
    if "direct" in config.attacks:
        questions += direct_questions(rows, target)
    if "templates" in config.attacks:
        count = None if config.templates_per_prompt == "all" else config.templates_per_prompt
        questions += template_questions(rows, count, seed=config.seed)
    if "prefill" in config.attacks:
        try:
            questions += prefill_questions(evenly_spaced(rows, config.prefilled), config.prefill, config.target, target)
        except InputError as error:
            left_out["prefill"] = str(error)
    if not questions:
        raise InputError(f"no attack can be tried: {left_out['prefill']}")
    return questions, left_out


def _replies(
    target: ChatTarget, questions: list[Question], whose: list[Any], parts: Parts, progress: Callable[[int], None]
) -> list[str]:
    """Ask in portions, each a part: large enough for full batches, small enough that little is lost."""
    replies: list[str] = []
    for start in range(0, len(questions), PORTION):
        portion, done = questions[start : start + PORTION], start
        what = [[question.case.messages, question.case.prefill] for question in portion]
        replies += parts.get(
            ["replies", whose, what],
            lambda portion=portion, done=done: ask(target, portion, lambda n: progress(done + n)),
        )
        progress(len(replies))
    return replies


def _curve(
    target: ChatTarget,
    rows: list[PromptRow],
    config: CheckConfig,
    whose: list[Any],
    parts: Parts,
    progress: Callable[[int], None],
) -> Curve:
    turns = [target.conversation([{"role": "user", "content": row.prompt}]) for row in rows]
    values = []
    for done, multiple in enumerate(config.multiples, start=1):
        # The best of all steps: an attack that overshoots is no sign of robustness.
        attack = EmbeddingAttack(config.eps * multiple, config.steps, relative_lr=True, return_best=True)
        what = ["curve", whose, turns, config.target, asdict(attack)]
        losses = parts.get(what, lambda attack=attack: target_losses(target.model, turns, config.target, attack))
        values.append(tuple(losses))
        progress(done)
    radii = tuple(config.eps * multiple for multiple in config.multiples)
    return Curve(tuple(row.id for row in rows), radii, tuple(values))


def _chat(
    target: ChatTarget, rows: list[PromptRow], whose: list[Any], parts: Parts, progress: Callable[[int], None]
) -> HeldOut:
    conversations = [
        (target.conversation([{"role": "user", "content": row.prompt}]), row.reply) for row in rows if row.reply
    ]
    ids = [row.id for row in rows if row.reply]
    measured = parts.get(
        ["held-out chat", whose, conversations],
        lambda: asdict(held_out(target.model, conversations, ids, progress=progress)),
    )
    return HeldOut(
        tuple(measured["ids"]), tuple(measured["nll"]), tuple(map(tuple, measured["choices"])), measured["tokens"]
    )


def _protocol(lm: LanguageModel, config: CheckConfig, judge: Judge) -> dict[str, Any]:
    """What a rate means nothing without."""
    settings = json.loads(json.dumps(asdict(config)))  # as it will be read back from a file
    return {
        "judge": judge.name,
        "template": _template_name(lm),
        "system": config.system or "none (the template may add its own)",
        "decoding": f"greedy, {config.max_new_tokens} tokens",
        "dtype": str(lm.dtype).removeprefix("torch."),
        "settings": settings,
        **({"notes": list(lm.format.limits)} if lm.format.limits else {}),
    }


def _template_name(lm: LanguageModel) -> str:
    if lm.format.plain:
        return "none (plain text)"
    digest = hashlib.sha256(lm.format.source.encode()).hexdigest()[:8]
    return f"{'given' if lm.format.template else 'the tokenizer’s own'} ({digest})"
