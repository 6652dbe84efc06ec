"""The kinds of models that the sweep knows: their families, their checks, and how a family is made."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import configurations, images, language, texts
from .outcome import Outcome, outcome_of

_FOLDER = re.compile(r"[^\s'\"]*/family-\w+")  # a temporary name, which would be another in each sweep


@dataclass(frozen=True)
class Kind:
    """A kind of models.

    Args:
        families: gives their names, as `model_type` spells them.
        checks: by name, in the order of the table's columns.
        make: builds the subject of the checks in a folder.
    """

    families: Callable[[], list[str]]
    checks: dict[str, Callable[[Any], float]]
    make: Callable[[str, Path], Any]

    @contextmanager
    def subject(self, family: str) -> Iterator[Any]:
        """Make a family's model in a temporary folder.

        Raises:
            NoReference: transformers cannot build or run it.
        """
        folder = Path(tempfile.mkdtemp(prefix="family-"))
        try:
            yield self.make(family, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def run(self, family: str, checks: Sequence[str], report: Callable[[str, Outcome], None]) -> None:
        """Report the outcome of each check. What keeps a model from being made or loaded is that of all of them.

        Where plain transformers cannot run a model, all that counts is whether trued says so when it loads it.
        """

        def tell(check: str, outcome: Outcome) -> None:
            report(check, replace(outcome, words=_FOLDER.sub("MODEL", outcome.words)))

        def all_checks() -> float:
            with self.subject(family) as subject:
                loaded = outcome_of(lambda: self.checks["load"](subject))
                for check in checks:
                    if loaded.kind in ("refused", "CRASH"):
                        tell(check, loaded)
                    elif subject.without:
                        tell(check, Outcome("no reference", str(subject.without)))
                    else:
                        tell(check, outcome_of(lambda run=self.checks[check]: run(subject)))
            return 0.0

        made = outcome_of(all_checks)
        if made.kind != "ok":
            for check in checks:
                tell(check, made)


KINDS = {
    "language": Kind(configurations.families, language.CHECKS, language.Family),
    "images": Kind(images.families, images.CHECKS, images.Subject),
    "texts": Kind(texts.families, texts.CHECKS, texts.Subject),
}
