"""`trued align`: train an adapter that refuses what it should, by one of the methods, on any chat model.

Knows options, files and how to print. Knows nothing of how a method trains. Every hyper-parameter of a method is an
option, named as in its dataclass.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import App, Parameter

from trued.cli.check.report import open_model
from trued.cli.options import JsonSwitch, Switch
from trued.cli.settings import laid_over, options_of, read_settings
from trued.cli.terminal import console, messages, print_json
from trued.data.prompts import AdversarialRow, adversarial, adversarial_rows, chats, prompts
from trued.errors import InputError
from trued.files import add_text, claim_output, whole_folder
from trued.lab.wording import duration
from trued.language.engine.model import LanguageModel
from trued.language.train.adversarial import UtilityRow, own_replies
from trued.language.train.c_advul import CAdvIPO, CAdvUL
from trued.language.train.recipe import Recipe, TradeOff
from trued.learn.fit.loop import FitResult

app = App(name="align", help="Train an adapter that refuses what it should, under attack too.")

HONESTY = {
    "absolute": "Decline where too few of the model's own samples are right (arXiv 2312.07000).",
    "confidence-num": "State a confidence in per cent before the answer, or decline.",
    "confidence-verb": "Say in words how sure the model is before the answer, or decline.",
    "multisample": "Learn every right sample, and declining in place of every wrong one.",
    "fine-tuned": "Learn right answers alone: the baseline of the other four.",
}
for _variant, _help in HONESTY.items():
    app.command(f"trued.cli.align.honesty:{_variant.replace('-', '_')}", name=f"honesty-{_variant}", help=_help)

T = TypeVar("T")

Settings = Parameter(name="*")
if TYPE_CHECKING:
    RecipeOptions = Any
    CAdvULOptions = Any
    CAdvIPOOptions = Any
else:
    RecipeOptions = Annotated[options_of(Recipe()) | None, Settings]
    CAdvULOptions = Annotated[options_of(CAdvUL()) | None, Settings]
    CAdvIPOOptions = Annotated[options_of(CAdvIPO()) | None, Settings]


@dataclass(frozen=True)
class Work:  # what inherits from it elsewhere needs its annotations as objects: no `annotations` from the future here
    """What every method and every variant of honesty is given.

    Args:
        output: the folder that receives the adapter, in PEFT's layout.
        model: a local folder or a hub id; the embedded SmolLM2-135M-Instruct otherwise.
        device: such as cpu or cuda:1.
        template: "none" for a model without a chat template, or a Jinja template.
        config: a TOML or YAML file of the settings below; options on the command line go before it.
        resume: continue a run that was interrupted.
    """

    output: Annotated[Path, Parameter(name=["--output", "-o"])]
    model: str | None = None
    device: str | None = None
    template: str | None = None
    config: Path | None = None
    resume: Switch = False

    def settings(self, method: T, options: Any) -> T:
        """Return `method` with the configuration file and then the options laid over it."""
        return laid_over(laid_over(method, read_settings(self.config)), options)

    def open(self) -> LanguageModel:
        """Load the model, once the output is known to be free."""
        check_output(self.output, resume=self.resume)
        return open_model(self.model, device=self.device, template=self.template)


@dataclass(frozen=True)
class Job(Work):
    """What every method is given.

    Args:
        data: rows of prompt, targets and safe_reply (JSONL, Parquet, a data set); the shipped requests otherwise.
        utility: conversations to keep (messages, or prompt and completion); where a method uses them, the model's own
            replies otherwise.
    """

    data: str | None = None
    utility: str | None = None

    def rows(self) -> list[AdversarialRow] | None:
        return None if self.data is None else adversarial(self.data)

    def kept(self) -> list[UtilityRow] | None:
        return None if self.utility is None else [UtilityRow(row.prompt, row.reply) for row in chats(self.utility)]


Given = Annotated[Job, Settings]


app.command("trued.cli.align.base:base", name="base")
app.command(
    "trued.cli.align.mixat:mixat", name="mixat",
    help="MixAT (arXiv 2505.16947): embedding attacks around rewritten requests, and its ablations.",
)  # fmt: skip


@app.command
def refusal(*, job: Given, recipe: RecipeOptions = None, as_json: JsonSwitch = False) -> None:
    """Teach refusal under attack and keep answering the rest: the default recipe, with early stopping."""
    chosen = job.settings(Recipe(), recipe)
    rows, kept = job.rows(), job.kept()
    tuned, result, looks = chosen.align(
        job.open(), adversarial=rows, utility=kept, output=job.output, resume=job.resume, looked=_say(as_json)
    )
    finish(tuned, result, job.output, asdict(chosen), looks, as_json=as_json)


@app.command(name="c-advul")
def c_advul(*, job: Given, attack: bool = True, method: CAdvULOptions = None, as_json: JsonSwitch = False) -> None:
    """C-AdvUL (arXiv 2405.15589): unlikelihood under embedding attacks, with utility rows. Defaults are the paper's.

    Parameters
    ----------
    attack
        --no-attack trains on clean prompts: the control that isolates what the attack adds.
    """
    _train(job, job.settings(CAdvUL(), method), attack=attack, as_json=as_json)


@app.command(name="c-advipo")
def c_advipo(*, job: Given, attack: bool = True, method: CAdvIPOOptions = None, as_json: JsonSwitch = False) -> None:
    """C-AdvIPO (arXiv 2405.15589): a preference loss under embedding attacks. Defaults are the paper's.

    Utility rows count only with --adversarial-share below 1 and --loss.utility-weight above 0.

    Parameters
    ----------
    attack
        --no-attack trains on clean prompts: the control that isolates what the attack adds.
    """
    _train(job, job.settings(CAdvIPO(), method), attack=attack, as_json=as_json)


def _train(job: Job, method: CAdvUL | CAdvIPO, *, attack: bool, as_json: bool) -> None:
    rows, kept = job.rows() or adversarial_rows("train"), job.kept() or []
    lm = job.open()
    if not attack:
        method = replace(method, attack=None)
    elif method.attack is not None and (reach := method.attack.reach(lm)) < 1:
        messages().print(
            f"trued: {method.attack.steps} steps of {method.attack.lr:g} reach {reach:.0%} of the attack's radius on "
            "this model: --attack.relative-lr scales the step to it."
        )
    if method.adversarial_share < 1 and not kept:
        asked = [row.prompt for kind in ("lookalikes", "general") for row in prompts(kind, "train")]
        kept = own_replies(lm, asked)
    tuned, result = method.align(lm, rows, kept, output=job.output, resume=job.resume, progress=not as_json)
    finish(tuned, result, job.output, asdict(method), [], as_json=as_json)


def check_output(output: Path, *, resume: bool) -> None:
    """Refuse a folder that holds an adapter, a model or files of others, before the long work starts."""
    for file, what in (("adapter_config.json", "an adapter"), ("config.json", "a model")):
        if (output / file).exists() and not resume:
            raise InputError(f"{output} holds {what} already: give another --output, or remove it. Nothing was trained")
    claim_output(output, kind="adapter")


def finish(
    tuned: LanguageModel,
    result: FitResult,
    output: Path,
    settings: dict[str, Any],
    looks: list[TradeOff],
    *,
    as_json: bool,
) -> None:
    """Write the adapter, or the whole model where all of it was trained, and the settings, and say where they are."""
    kind = "adapter" if hasattr(tuned.model, "peft_config") else "model"
    folder = tuned.save_adapter(output) if kind == "adapter" else save_model(tuned, output)
    record = {
        "base": tuned.name, "settings": settings, "steps": result.steps, "best_step": result.best_step,
        "seconds": result.seconds, "peak_memory_bytes": result.peak_memory_bytes,
        "looks": [asdict(look) for look in looks], "history": result.history,
    }  # fmt: skip
    import json

    add_text(folder, "training.json", json.dumps(record, indent=1, default=str))
    if as_json:
        print_json({kind: str(folder), **{k: record[k] for k in ("base", "steps", "best_step", "seconds")}})
        return
    out = console()
    best = "" if result.best_step is None else f", the best of them step {result.best_step}"
    out.print(f"{result.steps} steps{best} in {duration(result.seconds)}, peak memory {_gib(result.peak_memory_bytes)}")
    out.print(f"{kind:<8} {folder}", soft_wrap=True)
    out.print(f"again    trued check {folder} --against {tuned.name}", soft_wrap=True)


def save_model(tuned: LanguageModel, output: Path) -> Path:
    """Write all weights and the tokenizer, atomically, as transformers loads them."""
    with whole_folder(output, kind="model") as work:
        tuned.model.save_pretrained(work, safe_serialization=True)
        tuned.tokenizer.save_pretrained(work)
    return output


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _say(quiet: bool) -> Callable[[TradeOff], None]:
    def looked(look: TradeOff) -> None:
        if not quiet:
            messages().print(look_line(look))

    return looked


def look_line(look: TradeOff) -> str:
    """One look at the validation prompts in a line."""
    return (
        f"step {look.step:>3}: harmful refused {look.refused:.0%}, in templates {look.refused_in_templates:.0%}, "
        f"look-alikes refused {look.over_refused:.0%}"
    )
