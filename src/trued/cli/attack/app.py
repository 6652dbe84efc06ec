"""`trued attack`: how often a model that one is responsible for can be made to comply, by one attack or by a suite.

Knows options, files and how to print. Knows nothing of how an attack works. Every hyper-parameter of an attack is an
option, named as in its dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from cyclopts import Parameter

from trued.cli.attack.job import Job, Writer, run
from trued.cli.help import CommandGroup
from trued.cli.methods import options
from trued.cli.options import JsonSwitch, Models
from trued.cli.settings import laid_over
from trued.cli.terminal import console, plain_table, print_json

app = CommandGroup(name="attack", help="Attack a model that you are responsible for, and count how often it complies.")
app.command(
    "trued.cli.attack.deployment:deployment", name="deployment",
    help="What of a model's robustness hangs on template, precision, adapter strength and temperature.",
)  # fmt: skip

Settings = Parameter(name="*")
Given = Annotated[Job, Settings]
Writing = Annotated[Writer, Settings]
JOB, WRITER = Job(), Writer()

_COMMANDS: dict[str, Callable[..., int | None]] = {}


def command(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add a function to `trued attack` by its name; its parameter `method` takes the settings of that attack."""
    name = function.__name__.replace("_", "-")
    _COMMANDS[f"attack {name}"] = function
    line = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
    app.command(f"{__name__}:attack {name}", name=name, help=line)
    return function


def __getattr__(name: str) -> Callable[..., int | None]:
    """Return the function of `trued attack NAME`; only for the one that is called or explained are options made."""
    if name not in _COMMANDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = _COMMANDS[name]
    if "method" in function.__annotations__:
        function.__annotations__["method"] = options(name)
    return function


@command
def direct(model: Models = (), *, job: Given = JOB, as_json: JsonSwitch = False) -> int:
    """Requests as they are, without any attack: what the others are compared with."""
    from trued.language.attack.direct import Direct

    return run(job, model, lambda _: [Direct()], "direct", as_json=as_json)


@command
def gcg(model: Models = (), *, job: Given = JOB, method: Any = None, as_json: JsonSwitch = False) -> int:
    """GCG (arXiv 2307.15043): a suffix found by gradients. Defaults are the paper's; a laptop wants far fewer steps."""
    from trued.language.attack.direct import Direct
    from trued.language.attack.gcg.search import GCG

    attack = job.settings(GCG(), method)
    return run(job, model, lambda _: [Direct(), attack], "gcg", as_json=as_json)


@command
def autodan(
    model: Models = (),
    *,
    job: Given = JOB,
    writing: Writing = WRITER,
    method: Any = None,
    as_json: JsonSwitch = False,
) -> int:
    """AutoDAN (arXiv 2310.04451): natural prefixes by a genetic algorithm; --hierarchical breeds words too.

    Offspring mutate by synonyms, or with --attacker by a model's paraphrases.
    """
    from trued.language.attack.autodan.mutator import ModelMutator
    from trued.language.attack.autodan.search import AutoDAN
    from trued.language.attack.direct import Direct

    job.check(model)
    attack = job.settings(AutoDAN(), method)
    attacker = writing.open(job.device)
    if attacker is not None:
        attack = replace(attack, mutator=ModelMutator(attacker))
    return run(job, model, lambda guide: [Direct(), replace(attack, judge=guide)], "autodan", as_json=as_json)


@command
def pair(
    model: Models = (),
    *,
    job: Given = JOB,
    writing: Writing = WRITER,
    method: Any = None,
    as_json: JsonSwitch = False,
) -> int:
    """PAIR (arXiv 2310.08419): an attacker model improves its prompts from the target's scored replies."""
    from trued.language.attack.direct import Direct
    from trued.language.attack.pair import PAIR
    from trued.language.attack.scorer import LabelScorer

    job.check(model)
    attacker = writing.required("pair", job.device)
    attack = job.settings(PAIR(attacker), method)
    return run(
        job, model, lambda guide: [Direct(), replace(attack, scorer=LabelScorer(guide))], "pair", as_json=as_json
    )


@command
def pair_lite(model: Models = (), *, job: Given = JOB, method: Any = None, as_json: JsonSwitch = False) -> int:
    """PAIR's loop with a grammar of rewrites in place of the attacker model: an offline stand-in, not PAIR."""
    from trued.language.attack.direct import Direct
    from trued.language.attack.pair_lite import PAIRLite
    from trued.language.attack.scorer import LabelScorer

    attack = job.settings(PAIRLite(), method)
    return run(
        job, model, lambda guide: [Direct(), replace(attack, scorer=LabelScorer(guide))], "pair-lite", as_json=as_json
    )


@command
def tap(
    model: Models = (),
    *,
    job: Given = JOB,
    writing: Writing = WRITER,
    method: Any = None,
    as_json: JsonSwitch = False,
) -> int:
    """TAP (arXiv 2312.02119): a tree of an attacker model's prompts, pruned by topic and by score."""
    from trued.language.attack.direct import Direct
    from trued.language.attack.scorer import LabelScorer, ModelTopic
    from trued.language.attack.tap import TAP

    job.check(model)
    attacker = writing.required("tap", job.device)
    attack = job.settings(TAP(attacker, ModelTopic(attacker.model)), method)
    return run(job, model, lambda guide: [Direct(), replace(attack, scorer=LabelScorer(guide))], "tap", as_json=as_json)


@command
def pap(
    model: Models = (),
    *,
    job: Given = JOB,
    writing: Writing = WRITER,
    method: Any = None,
    as_json: JsonSwitch = False,
) -> int:
    """PAP (arXiv 2401.06373): requests in persuasive words; without --attacker by fixed frames, a stand-in."""
    from trued.language.attack.direct import Direct
    from trued.language.attack.pap import PAP

    job.check(model)
    attack = job.settings(PAP(writing.open(job.device)), method)
    return run(job, model, lambda _: [Direct(), attack], "pap", as_json=as_json)


@command
def templates(model: Models = (), *, job: Given = JOB, method: Any = None, as_json: JsonSwitch = False) -> int:
    """Human jailbreak templates around each request: all shipped ones, or --count of them."""
    from trued.language.attack.direct import Direct
    from trued.language.attack.templates import Templates

    attack = job.settings(Templates(), method)
    return run(job, model, lambda _: [Direct(), attack], "templates", as_json=as_json)


@command
def prefill(model: Models = (), *, job: Given = JOB, method: Any = None, as_json: JsonSwitch = False) -> int:
    """The assistant's turn is begun with the first tokens of a complying reply."""
    from trued.language.attack.direct import Direct
    from trued.language.attack.prefill import Prefill

    attack = job.settings(Prefill(), method)
    return run(job, model, lambda _: [Direct(), attack], "prefill", as_json=as_json)


@command
def suite(
    model: Models = (),
    *,
    job: Given = JOB,
    attacks: str | None = None,
    writing: Writing = WRITER,
    method: Any = None,
    as_json: JsonSwitch = False,
) -> int:
    """Several attacks and how often at least one works, for one or more models in one table.

    Sizes are for a laptop; --gcg.steps, --autodan.steps and the like make the attacks stronger.

    Parameters
    ----------
    attacks
        Names with commas between them: direct, templates, prefill, pap, pair-lite, autodan, gcg, and with --attacker
        pair and tap; by default those that need no attacker.
    """
    from trued.language.attack.red_team import RedTeam
    from trued.language.attack.scorer import ModelTopic

    job.check(model)
    red_team = job.settings(RedTeam(), method)
    if attacks is not None:
        red_team = laid_over(red_team, {"attacks": [name.strip() for name in attacks.split(",") if name.strip()]})
    attacker = writing.open(job.device)
    topic = ModelTopic(attacker.model) if attacker is not None else None
    red_team.chosen(attacker=attacker, topic=topic)  # what cannot be run is said before a model is loaded
    return run(
        job, model, lambda guide: red_team.chosen(guide=guide, attacker=attacker, topic=topic), "suite", as_json=as_json
    )


@command
def embedding(
    model: Models = (),
    *,
    job: Given = JOB,
    target: str = "Sure, here is a step-by-step guide:",
    method: Any = None,
    as_json: JsonSwitch = False,
) -> None:
    """Embedding attack (arXiv 2405.15589): how likely a complying opening can be made within a radius.

    No text comes of it, so there is nothing to judge: the cross-entropy of the opening is what is reported.

    Parameters
    ----------
    target
        The opening of a complying reply, for behaviours without a target of their own.
    """
    from trued.language.attack.contract import ChatTarget, user_turn
    from trued.language.attack.embedding import EmbeddingAttack
    from trued.language.measure.robustness import target_losses

    job.check(model)
    attack = job.settings(EmbeddingAttack(relative_lr=True, return_best=True), method)
    behaviors = job.wanted()
    rows = []
    for source in model or ("default",):
        lm = job.open(source)
        chat = ChatTarget(lm, job.system)
        row: dict[str, Any] = {"model": lm.name, "eps": attack.eps, "steps": attack.steps}
        for name, variant in (("clean", replace(attack, eps=0.0)), ("attacked", attack)):
            row[name] = [
                target_losses(lm, [chat.conversation(user_turn(b.prompt))], b.target or target, variant)[0]
                for b in behaviors
            ]
        rows.append(row)
    if as_json:
        print_json(rows)
        return
    table = plain_table("model", "clean", "attacked", right=("clean", "attacked"))
    for row in rows:
        table.add_row(row["model"], *(f"{sum(row[name]) / len(row[name]):.2f}" for name in ("clean", "attacked")))
    console().print(table)
    console().print(
        f"cross-entropy of the opening in nats a token, mean of {len(behaviors)} behaviours; {attack.steps} steps "
        f"within {attack.eps:g} of the mean embedding norm. Higher resists more.",
        style="dim",
    )
