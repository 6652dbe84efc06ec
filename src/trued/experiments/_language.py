"""What experiments on language models share: the model, the refusal-tuned base, judged replies, the standing notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from trued.data.messages import Prompt
from trued.data.prompts import prompts
from trued.lab.experiment import Lab
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.gcg.search import GCG
from trued.language.engine.model import LanguageModel
from trued.language.judge.reply import CompositeJudge, Judge, Label, PhraseJudge
from trued.language.provenance import provenance

T = TypeVar("T")


def is_random(lab: Lab) -> bool:
    """Tell whether this run works on a model of random weights: at tiny scale, unless the user names one."""
    return lab.scale_name == "tiny" and lab.model is None


def load(lab: Lab) -> LanguageModel:
    """Return the model of this run: the user's, the scale's, the embedded default, or at tiny scale a random one."""
    if is_random(lab):
        from trued.language.engine.tiny import tiny_model

        lm = tiny_model()
    else:
        lm = LanguageModel.load(lab.model or lab.scale.model, device=lab.device)
    lab.model_name = lm.name
    if not is_random(lab):
        lab.model_facts = provenance(lm, lab.model or lab.scale.model)
    for sentence in lm.limits:
        lab.note(sentence)
    return lm


def load_aligned(lab: Lab, *, layers: int = 2, **options: Any) -> tuple[LanguageModel, LanguageModel]:
    """Return the refusal-tuned base and the model that it was made from; at tiny scale two random models.

    Args:
        layers: of the random models.
        options: handed to `LanguageModel.load`, such as `dtype`.
    """
    if is_random(lab):
        from trued.language.engine.tiny import tiny_model

        lab.model_name = "tiny-random"
        return tiny_model(0, layers=layers), tiny_model(1, layers=layers)
    from trued.language.train.aligned_base import aligned_model

    start = lab.model or lab.scale.model
    lab.log("making the refusal-tuned base, or finding it in the cache")
    made = aligned_model(start, progress=lab.bars.shown)
    lab.protocol(base=made.about["recipe"], base_hash=made.about["hash"], base_reached=made.reached)
    unaligned = LanguageModel.load(start, device=lab.device, **options)
    lab.model_name = f"{unaligned.name}, refusal-tuned"
    for sentence in unaligned.limits:
        lab.note(sentence)
    lm = LanguageModel.load(made.folder, device=lab.device, **options)
    base = {f"refusal-tuned {key}": value for key, value in provenance(lm, str(made.folder)).items()}
    lab.model_facts = {**provenance(unaligned, start), **base}
    return lm, unaligned


def composite_judge(lab: Lab, reader: LanguageModel) -> Judge:
    """Return a judge by similarity, phrases and the fluency that `reader` sees; for a random model phrases alone."""
    if is_random(lab):
        return PhraseJudge()
    from trued.language.engine.embedder import SentenceEmbedder
    from trued.language.measure.check.utility import text_perplexity

    return CompositeJudge(embed=SentenceEmbedder.load(), perplexity=text_perplexity(reader))


@dataclass(frozen=True)
class Answers:
    """Greedy replies to prompts and what the phrase judge makes of them.

    Attributes:
        replies: one a prompt.
        refused: 1 where the reply is a refusal. A reply that the judge cannot place is none.
        unknown: how many replies the judge could not place; the phrase judge: empty ones.
        complied: 1 where the judge says so, which it does not of a reply that it cannot place.
    """

    replies: list[str]
    refused: list[int]
    unknown: int
    complied: list[int]

    @property
    def answered(self) -> list[int]:
        """1 where the reply is no refusal; an empty reply counts as one that was answered."""
        return [1 - refused for refused in self.refused]


def answers(lm: LanguageModel, texts: Sequence[str], tokens: int, prompts: Sequence[Prompt] | None = None) -> Answers:
    """Ask a model greedily and tell its refusals by phrases.

    Args:
        texts: the requests, which the judge sees.
        prompts: what is sent, where it is not the requests themselves.
    """
    replies = [group[0] for group in lm.generate(list(prompts or texts), max_new_tokens=tokens)]
    return judged(texts, replies)


def judged(texts: Sequence[str], replies: Sequence[str]) -> Answers:
    """Tell refusals among replies by phrases."""
    labels = PhraseJudge().label(list(texts), list(replies))
    refused = [int(label is Label.NO) for label in labels]
    complied = [int(label is Label.YES) for label in labels]
    return Answers(list(replies), refused, sum(label is Label.UNKNOWN for label in labels), complied)


def gcg_record(attack: GCG, behaviors: Sequence[Behavior], target: ChatTarget, seed: int) -> dict[str, list[Any]]:
    """Run a suffix search, one request at a time: what it reaches and costs.

    Returns:
        Per request: "losses" of the target by step, in nats a token, with "first", "best" and "drop"; "stable", 1 where
        the suffix's text encodes to its tokens; "answered", 1 where the reply to it is no refusal by phrases, and
        "complied", where it is not empty either; "passes" of sequences, forward and backward, and the "pass tokens" of
        prompt and target in these; "seconds".
    """
    cases = attack.run(behaviors, target, seed=seed)
    losses = [list(case.meta["losses"]) for case in cases]
    replies = judged([behavior.prompt for behavior in behaviors], target.generate(cases))
    opening = len(target.model.reply_ids(attack.target, end=False))
    return {
        "losses": losses,
        "first": [path[0] for path in losses],
        "best": [case.meta["loss"] for case in cases],
        "drop": [path[0] - case.meta["loss"] for path, case in zip(losses, cases, strict=True)],
        "stable": [int(case.meta["stable"]) for case in cases],
        "answered": replies.answered,
        "complied": replies.complied,
        "passes": [case.cost.forwards + case.cost.backwards for case in cases],
        "seconds": [case.cost.seconds for case in cases],
        "pass tokens": [
            (case.cost.forwards + case.cost.backwards) * (len(target.model.prompt_ids(case.messages)) + opening)
            for case in cases
        ],
    }


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return `count` of the items, evenly spaced."""
    return list(items[:: max(1, len(items) // count)][:count])


def texts_of(kind: Any, split: Any, limit: int | None) -> list[str]:
    """Return the shipped requests of a kind and split, the first `limit` of them."""
    return [row.prompt for row in prompts(kind, split)][:limit]


def protocol(lab: Lab, tokens: int, **settings: Any) -> None:
    """Put settings into the evidence, and how all of these experiments ask and judge.

    Args:
        tokens: length of a reply.
        settings: what is particular; it may name another judge.
    """
    usual = {"template": "the tokenizer's own, default system prompt", "decoding": f"greedy, {tokens} tokens"}
    lab.protocol(**{"judge": PhraseJudge().name, **usual, **settings})


def notes(lab: Lab, paper: str = "", *, by_phrases: bool = True) -> None:
    """State the limits of every experiment with a small model.

    Args:
        paper: what the paper's models are, as the end of a sentence.
        by_phrases: whether refusals are detected by phrases alone.
    """
    if by_phrases:
        lab.note("Refusals are told by phrases; whether a compliant reply is harmful or hollow is not judged.")
    lab.note(
        "A 135M model gives hollow answers whatever it is asked, so compliance here is willingness and not ability"
        + (f"; {paper}." if paper else ".")
    )


def examples(
    lab: Lab, texts: Sequence[str], before: Sequence[str], after: Sequence[str], *, arm: str = "", note: str = ""
) -> None:
    """Show the first three replies before and after; they are not chosen by what they say."""
    for text, old, new in list(zip(texts, before, after, strict=False))[:3]:
        lab.example(f"{arm}: {text}" if arm else text, old, new, note=note)


def replies_beside(
    lab: Lab, seed: int, texts: Mapping[str, Sequence[str]], before: str, after: str, *, arm: str = "", count: int = 3
) -> None:
    """Show the first replies of two arms, which recorded them by kind as "replies".

    Args:
        texts: kind → what was asked.
    """
    old, new = (lab.records(name)[seed]["replies"] for name in (before, after))
    for kind, group in texts.items():
        examples(lab, group[:count], old[kind], new[kind], arm=arm, note=kind)
