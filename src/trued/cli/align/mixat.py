"""`trued align mixat`: embedding attacks around rewritten requests, with every variant of the paper's ablations.

Knows options, files and how to print. Knows nothing of how MixAT trains: `trued.language.train.mixat.align` does that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from trued.cli.align.app import Given, finish
from trued.cli.attack.job import writer
from trued.cli.options import JsonSwitch
from trued.cli.settings import options_of
from trued.cli.terminal import messages
from trued.data.prompts import adversarial_rows, prompts
from trued.errors import InputError
from trued.language.train.adversarial import own_replies
from trued.language.train.mixat.align import MixAT, what_was_trained_on
from trued.language.train.mixat.intent import IntentFilter, cosine_by
from trued.language.train.mixat.rewriters import OWN_WORDS, PAPRewriter, Rewriter, TemplateRewriter

if TYPE_CHECKING:
    MixATOptions = Any
else:
    MixATOptions = Annotated[options_of(MixAT()) | None, Parameter(name="*")]


@dataclass(frozen=True)
class Rewrites:
    """Who rewrites the requests, and how it is seen to that they still ask for the same.

    Args:
        rewriter: frames sets each request in a persuasion technique's frame, templates in a jailbreak template, self
            has the model that is trained rewrite it, and attacker has --attacker do so.
        attacker: a folder, a hub id, or NAME@URL of an OpenAI-compatible endpoint (key in OPENAI_API_KEY, if any).
        similarity: words compares the words of request and rewrite, embeddings their sentence embeddings (MiniLM);
            --tau is the least of either.
    """

    rewriter: Literal["frames", "templates", "self", "attacker"] = "frames"
    attacker: str | None = None
    similarity: Literal["words", "embeddings"] = "words"

    def __post_init__(self) -> None:
        if (self.rewriter == "attacker") != (self.attacker is not None):
            raise InputError(
                f"--rewriter {self.rewriter} and --attacker {self.attacker}: an attacker needs both, --rewriter "
                "attacker and --attacker with a folder, a hub id or NAME@URL"
            )

    def open(self, device: str | None) -> Rewriter:
        if self.rewriter == "templates":
            return TemplateRewriter()
        if self.rewriter == "frames":
            return PAPRewriter()
        if self.attacker is None:
            return PAPRewriter("self")
        return PAPRewriter(replace(OWN_WORDS, model=writer(self.attacker, device)))

    def keeps(self, tau: float) -> IntentFilter:
        if self.similarity == "words":
            return IntentFilter(tau)
        from trued.language.engine.embedder import SentenceEmbedder

        return IntentFilter(tau, cosine_by(SentenceEmbedder.load()))


def mixat(
    *,
    job: Given,
    rewrites: Annotated[Rewrites, Parameter(name="*")] = Rewrites(),
    method: MixATOptions = None,
    as_json: JsonSwitch = False,
) -> None:
    """MixAT (arXiv 2505.16947): embedding attacks on requests that a rewriter has put into other words.

    Defaults are the paper's, except that rewrites are frames unless --rewriter says who writes them. --variant c, d,
    dual and mixat-gcg are the paper's ablations, clean the control; --alpha-end makes --alpha a curriculum.
    """
    chosen: MixAT = job.settings(MixAT(), method)
    rows, kept = job.rows() or adversarial_rows("train"), job.kept() or []
    keeps, rewriter = rewrites.keeps(chosen.tau), rewrites.open(job.device)
    lm = job.open()
    if (reach := chosen.attack.reach(lm)) < 1:
        messages().print(
            f"trued: {chosen.attack.steps} steps of {chosen.attack.lr:g} reach {reach:.0%} of the attack's radius on "
            "this model: --attack.relative-lr scales the step to it."
        )
    if chosen.adversarial_share < 1 and not kept:
        kept = own_replies(lm, [row.prompt for kind in ("lookalikes", "general") for row in prompts(kind, "train")])
    tuned, result = chosen.align(
        lm, rows, kept, rewriter=rewriter, keeps=keeps, output=job.output, resume=job.resume, progress=not as_json
    )
    seen = what_was_trained_on(result)
    if not as_json:
        messages().print(
            f"{rewriter.name}: {seen['rewritten']:.0%} of the batches rewritten, {seen['continuous']:.0%} attacked; "
            f"{seen['lost']:.0%} of the rewrites had lost the request, which was trained on as it was."
        )
    settings = asdict(chosen) | asdict(rewrites) | seen
    finish("mixat", tuned, result, job.output, settings, [], as_json=as_json)
