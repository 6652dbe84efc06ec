"""`trued align METHOD`: train an adapter by one of the methods, on any chat model.

Each method is an entry of a table: what it is given, and which function trains by it. Its hyper-parameters are options,
named as in its dataclass. A new method needs an entry here and one in `trued.cli.methods`, and no file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from trued.cli.align.job import (
    AdversarialWork,
    AttackedWork,
    PreferenceWork,
    QuestionWork,
    ReplyWork,
    RewrittenWork,
    Work,
)
from trued.cli.help import CommandGroup
from trued.cli.methods import METHODS, options
from trued.cli.options import JsonSwitch, Model
from trued.cli.settings import with_settings


@dataclass(frozen=True)
class AlignMethod:
    """One method of the table.

    Args:
        help: what `--help` says; its first line stands in the list of methods.
        work: what the method is given, as a dataclass whose fields are options.
        train: the function of `trued.cli.align.training` that trains by it.
    """

    help: str
    work: type[Work]
    train: str


ALIGN: dict[str, AlignMethod] = {
    "refusal": AlignMethod(
        "Teach refusal under attack and keep answering the rest: the default recipe, with early stopping.",
        AdversarialWork, "recipe",
    ),
    "c-advul": AlignMethod(
        "C-AdvUL (arXiv 2405.15589): unlikelihood under embedding attacks, with utility rows.\n\n"
        "Defaults are the paper's.",
        AttackedWork, "adversarial_training",
    ),
    "c-advipo": AlignMethod(
        "C-AdvIPO (arXiv 2405.15589): a preference loss under embedding attacks.\n\n"
        "Defaults are the paper's. Utility rows count only with --adversarial-share below 1 and --loss.utility-weight "
        "above 0.",
        AttackedWork, "adversarial_training",
    ),
    "mixat": AlignMethod(
        "MixAT (arXiv 2505.16947): embedding attacks around rewritten requests, and its ablations.\n\n"
        "Defaults are the paper's, except that rewrites are frames unless --rewriter says who writes them. --variant "
        "c, d, dual and mixat-gcg are the paper's ablations, clean the control; --alpha-end makes --alpha a "
        "curriculum.",
        RewrittenWork, "mixed_training",
    ),
    "dpo": AlignMethod(
        "DPO (arXiv 2305.18290) and its relatives: learn from a better and a worse reply to each prompt.\n\n"
        "--loss names another one: sigmoid_norm, robust, hinge, ipo, kto_pair, apo_zero, apo_down, exo_pair, "
        "sppo_hard, dpop, and without a reference model cpo, simpo and orpo.",
        PreferenceWork, "preference_training",
    ),
    "fine-tune": AlignMethod(
        "Supervised fine-tuning on replies: a LoRA adapter, or all weights with --tune full.",
        ReplyWork, "fine_tuning",
    ),
    "honesty-absolute": AlignMethod(
        "ABSOLUTE (arXiv 2312.07000): decline where fewer than tau of the model's own samples are right.",
        QuestionWork, "honesty_training",
    ),
    "honesty-confidence-num": AlignMethod(
        "CONFIDENCE-NUM (arXiv 2312.07000): state the share of right samples in per cent before the answer.",
        QuestionWork, "honesty_training",
    ),
    "honesty-confidence-verb": AlignMethod(
        "CONFIDENCE-VERB (arXiv 2312.07000): state how sure the model is before the answer.",
        QuestionWork, "honesty_training",
    ),
    "honesty-multisample": AlignMethod(
        "MULTISAMPLE (arXiv 2312.07000): learn every right sample, and declining in place of every wrong one.",
        QuestionWork, "honesty_training",
    ),
    "honesty-fine-tuned": AlignMethod(
        "The paper's baseline (arXiv 2312.07000): learn right answers, and never to decline.",
        QuestionWork, "honesty_training",
    ),
}  # fmt: skip
"""The methods by their slugs."""

app = CommandGroup(
    name="align", help="Train an adapter that refuses what it should, under attack too; DPO and fine-tuning."
)
app.command(
    "trued.cli.align.base:base", name="base",
    help="Make the refusal-tuned base model of the experiments, or find it in the cache.",
)  # fmt: skip
for _slug, _entry in ALIGN.items():
    app.command(f"trued.cli.align.app:{_slug}", name=_slug, help=_entry.help.partition("\n")[0])


def __getattr__(slug: str) -> Callable[..., None]:
    """Return the function of `trued align SLUG`; only the one that is called or explained is made."""
    if slug not in ALIGN:
        raise AttributeError(f"module {__name__!r} has no attribute {slug!r}")
    entry = ALIGN[slug]

    def align(model: str | None = None, *, job: Any, settings: Any = None, as_json: bool = False) -> None:
        from trued.cli.align import training

        method = with_settings(METHODS[f"align {slug}"].load(), job.config, settings)
        getattr(training, entry.train)(job, method, model, as_json=as_json)

    align.__doc__ = entry.help
    align.__annotations__ = {
        "model": Model,
        "job": Annotated[entry.work, Parameter(name="*")],
        "settings": options(f"align {slug}", group="Settings"),
        "as_json": JsonSwitch,
        "return": None,
    }
    return align
