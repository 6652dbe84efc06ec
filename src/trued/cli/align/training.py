"""How each kind of method is called: its rows are read, the model is loaded, and the result is written.

One function a kind of data. Each takes the work, the method's settings and the model's name. Data and folders are
looked at before a model is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from trued.cli.align.finish import finish, look_line
from trued.cli.align.job import (
    AdversarialWork,
    AttackedWork,
    PreferenceWork,
    QuestionWork,
    ReplyWork,
    RewrittenWork,
    Work,
    prepare_output,
)
from trued.cli.check.report import check_bar, open_model
from trued.cli.terminal import console, messages
from trued.data.facts import fact_questions, read_questions
from trued.data.prompts import AdversarialRow, ReplyRow, adversarial, adversarial_rows, chats, preferences, prompts
from trued.files import cache_dir
from trued.language.engine.model import LanguageModel
from trued.language.train.adversarial import UtilityRow, own_replies
from trued.language.train.c_advul import CAdvIPO, CAdvUL
from trued.language.train.fine_tune import FineTuning
from trued.language.train.honesty.align import HonestyTraining, build_sft
from trued.language.train.mixat.align import MixAT, what_was_trained_on
from trued.language.train.mixat.intent import IntentFilter, cosine_by
from trued.language.train.mixat.rewriters import OWN_WORDS, PAPRewriter, Rewriter, TemplateRewriter
from trued.language.train.preference import PreferenceTraining
from trued.language.train.recipe import Recipe, TradeOff


def recipe(work: AdversarialWork, method: Recipe, model: str | None, *, as_json: bool) -> None:
    """Train by the default recipe, with a line for each look at the validation prompts."""
    rows, utility = _adversarial(work), _utility(work)
    tuned, result, looks = method.align(
        _open(work, model), adversarial=rows, utility=utility, output=work.output, resume=work.resume,
        looked=_print_look, progress=True,
    )  # fmt: skip
    finish("refusal", tuned, result, work.output, asdict(method), looks, as_json=as_json)


def adversarial_training(work: AttackedWork, method: CAdvUL | CAdvIPO, model: str | None, *, as_json: bool) -> None:
    """Train by C-AdvUL or C-AdvIPO."""
    rows, utility = _adversarial(work) or adversarial_rows("train"), _utility(work) or []
    lm = _open(work, model)
    if not work.attack:
        method = replace(method, attack=None)
    elif method.attack is not None:
        _warn_of_short_steps(method.attack, lm)
    if method.adversarial_share < 1 and not utility:
        utility = _own_utility(lm)
    tuned, result = method.align(
        lm, rows, utility, output=work.output, resume=work.resume, progress=True
    )  # fmt: skip
    finish(
        "c-advipo" if isinstance(method, CAdvIPO) else "c-advul",
        tuned,
        result,
        work.output,
        asdict(method),
        [],
        as_json=as_json,
    )


def mixed_training(work: RewrittenWork, method: MixAT, model: str | None, *, as_json: bool) -> None:
    """Train by MixAT, and say how much of the training was rewritten and attacked."""
    rows, utility = _adversarial(work) or adversarial_rows("train"), _utility(work) or []
    intent = _intent(work, method.tau)
    prepare_output(work)
    rewriter = _rewriter(work)
    lm = open_model(model, device=work.device, template=work.template)
    _warn_of_short_steps(method.attack, lm)
    if method.adversarial_share < 1 and not utility:
        utility = _own_utility(lm)
    tuned, result = method.align(
        lm, rows, utility, rewriter=rewriter, keeps=intent, output=work.output, resume=work.resume,
        progress=True,
    )  # fmt: skip
    shares = what_was_trained_on(result)
    messages().print(
        f"{rewriter.name}: {shares['rewritten']:.0%} of the batches rewritten, {shares['continuous']:.0%} attacked; "
        f"{shares['lost']:.0%} of the rewrites had lost the request, which was trained on as it was."
    )
    rewriting = {"rewriter": work.rewriter, "attacker": work.attacker, "similarity": work.similarity}
    finish("mixat", tuned, result, work.output, asdict(method) | rewriting | shares, [], as_json=as_json)


def preference_training(
    work: PreferenceWork, method: PreferenceTraining, model: str | None, *, as_json: bool
) -> None:  # fmt: skip
    """Train by DPO or another preference loss, and say how the pairs are told apart in the end."""
    rows = preferences(work.data, names=work.names)
    tuned, result = method.align(
        _open(work, model), rows, output=work.output, resume=work.resume, progress=True
    )  # fmt: skip
    last = result.history[-1] if result.history else {}
    if not as_json and {"accuracy", "margin"} <= last.keys():
        console().print(
            f"{method.loss}: in the last step {last['accuracy']:.0%} of the pairs ranked right, reward margin "
            f"{last['margin']:.3f}"
        )
    finish(method.loss, tuned, result, work.output, asdict(method), [], as_json=as_json)


def fine_tuning(work: ReplyWork, method: FineTuning, model: str | None, *, as_json: bool) -> None:
    """Train on conversations."""
    rows = [ReplyRow(row.prompt, row.reply) for row in chats(work.data, names=work.names)]
    tuned, result = method.align(
        _open(work, model), rows, output=work.output, resume=work.resume, progress=True
    )  # fmt: skip
    finish("fine-tune", tuned, result, work.output, asdict(method), [], as_json=as_json)


def honesty_training(work: QuestionWork, method: HonestyTraining, model: str | None, *, as_json: bool) -> None:
    """Ask the model what it knows, and teach it to say so."""
    questions = fact_questions("train") if work.data is None else read_questions(work.data, names=work.names)
    lm = _open(work, model)
    cache = cache_dir() / "knowledge" / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', lm.name)}.jsonl"
    with check_bar() as bar:
        table = method.learn_table(
            lm, questions, cache=cache, progress=lambda done: bar(done, len(questions), "what the model knows")
        )  # fmt: skip
    rows = build_sft(table, method.method, tau=method.tau, n=method.questions, seed=method.fit.seed)
    tuned, result = method.align(lm, table, output=work.output, resume=work.resume, progress=True)
    finish(f"honesty-{method.method}", tuned, result, work.output, asdict(method), [], as_json=as_json)
    if not as_json:
        known = sum(row.known for row in table)
        out = console()
        out.print(f"taught   {len(rows)} rows; the model knew {known} of {len(table)} questions")
        out.print(f"honesty  trued check {work.output} --against base --honesty", soft_wrap=True)


# -- what they share ---------------------------------------------------------------------------------------------------


def _open(work: Work, model: str | None) -> LanguageModel:
    """Load the model, once the output is known to be free."""
    prepare_output(work)
    return open_model(model, device=work.device, template=work.template)


def _adversarial(work: AdversarialWork) -> list[AdversarialRow] | None:
    return None if work.data is None else adversarial(work.data, names=work.names)


def _utility(work: AdversarialWork) -> list[UtilityRow] | None:
    return None if work.utility is None else [UtilityRow(row.prompt, row.reply) for row in chats(work.utility)]


def _own_utility(lm: LanguageModel) -> Sequence[UtilityRow]:
    requests = [row.prompt for kind in ("lookalikes", "general") for row in prompts(kind, "train")]
    messages().print(f"asking {lm.name} {len(requests)} harmless requests: its own replies are what it keeps")
    return own_replies(lm, requests)


def _intent(work: RewrittenWork, tau: float) -> IntentFilter:
    if work.similarity == "words":
        return IntentFilter(tau)
    from trued.language.engine.embedder import SentenceEmbedder

    return IntentFilter(tau, cosine_by(SentenceEmbedder.load()))


def _rewriter(work: RewrittenWork) -> Rewriter:
    if work.rewriter == "templates":
        return TemplateRewriter()
    if work.rewriter == "frames":
        return PAPRewriter()
    if work.attacker is None:
        return PAPRewriter("self")
    from trued.cli.attack.job import writer

    return PAPRewriter(replace(OWN_WORDS, model=writer(work.attacker, work.device)))


def _warn_of_short_steps(attack: Any, lm: LanguageModel) -> None:
    if (reach := attack.reach(lm)) < 1:
        messages().print(
            f"trued: {attack.steps} steps of {attack.lr:g} reach {reach:.0%} of the attack's radius on this model: "
            "--attack.relative-lr scales the step to it."
        )


def _print_look(look: TradeOff) -> None:
    messages().print(look_line(look))
