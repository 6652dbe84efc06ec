"""What every `trued align` is given, and the folder that it writes: looked at before the long work, filled after it."""

# No `annotations` from the future: cyclopts reads the annotations of these dataclasses, inherited ones too.

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from trued.cli.options import Switch, columns_of
from trued.errors import InputError
from trued.files import CHECKPOINT, TRACKERS, claim_output

RECORD = "training.json"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every method is given.

    Args:
        output: the folder that receives the adapter, in PEFT's layout.
        columns: what the columns of the data are called, such as prompt=Goal,chosen=Best.
        device: such as cpu or cuda:1.
        template: "none" for a model without a chat template, or a Jinja template.
        config: a TOML or YAML file of the settings below; options on the command line go before it.
        resume: continue a run that was interrupted.
        fresh: start anew, and lose what an earlier run left in the output folder.
    """

    output: Annotated[Path, Parameter(name=["--output", "-o"])]
    columns: str | None = None
    device: str | None = None
    template: str | None = None
    config: Path | None = None
    resume: Switch = False
    fresh: Switch = False

    @property
    def names(self) -> dict[str, str]:
        """The data's own names of the columns."""
        return columns_of(self.columns)


@dataclass(frozen=True, kw_only=True)
class AdversarialWork(Work):
    """What a method is given that trains refusals.

    Args:
        data: rows of prompt, targets and safe_reply (JSONL, Parquet, a data set); the shipped requests otherwise.
        utility: conversations to keep (messages, or prompt and completion); where a method uses them, the model's own
            replies otherwise.
    """

    data: str | None = None
    utility: str | None = None


@dataclass(frozen=True, kw_only=True)
class AttackedWork(AdversarialWork):
    """What a method is given whose attack can be left out.

    Args:
        attack: --no-attack trains on clean prompts: the control that isolates what the attack adds.
    """

    attack: bool = True


@dataclass(frozen=True, kw_only=True)
class RewrittenWork(AdversarialWork):
    """What a method is given that trains on rewritten requests.

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


@dataclass(frozen=True, kw_only=True)
class PreferenceWork(Work):
    """What a preference method is given.

    Args:
        data: rows of prompt, chosen and rejected, texts or messages as in TRL (JSONL, Parquet, a data set).
    """

    data: str


@dataclass(frozen=True, kw_only=True)
class ReplyWork(Work):
    """What supervised fine-tuning is given.

    Args:
        data: conversations to learn: messages, or prompt and completion (JSONL, Parquet, a data set).
    """

    data: str


@dataclass(frozen=True, kw_only=True)
class QuestionWork(Work):
    """What alignment for honesty is given.

    Args:
        data: rows of question and answers (JSONL, Parquet, a data set); the packaged facts otherwise.
    """

    data: str | None = None


def prepare_output(work: Work) -> None:
    """See that the output folder can be written and loses nothing, before the long work starts.

    Raises:
        InputError: the folder has something that is not to be replaced, cannot be written, or has nothing to resume.
    """
    output = work.output
    if work.resume and work.fresh:
        raise InputError("--resume and --fresh were both given: a run is continued, or started anew")
    _refuse_finished(work)
    claim_output(output, kind="model")
    if output.is_file():
        raise InputError(f"{output} is a file: give a folder as --output. Nothing was trained")
    started = (output / CHECKPOINT).is_dir()
    if work.resume:
        if not started:
            raise InputError(f"{output} has no checkpoint to resume: leave --resume out to start a run")
        return
    if work.fresh:
        for name in (CHECKPOINT, TRACKERS):
            shutil.rmtree(output / name, ignore_errors=True)
        return
    if started:
        raise InputError(
            f"{output} contains the checkpoint of an earlier run: --resume continues it, --fresh starts anew. Nothing "
            "was trained"
        )


def _refuse_finished(work: Work) -> None:
    """Refuse a folder with a finished adapter or model, unless the run is to start anew."""
    output = work.output
    if work.resume or work.fresh:
        return
    for file, what in (("adapter_config.json", "an adapter"), ("config.json", "a model")):
        if (output / file).exists():
            raise InputError(
                f"{output} already contains {what}: give another --output, or --fresh to replace what an earlier "
                "training of trued wrote. Nothing was trained"
            )
