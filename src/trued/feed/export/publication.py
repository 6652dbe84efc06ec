"""Where and when a paper came out, as far as it says: a journal, the proceedings of a meeting, or arXiv alone.

Knows how references to journals are written. Knows nothing of formats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from trued.feed.paper import FeedPaper

_MEETING = re.compile(
    r"\b(proc(eedings|\.)|conference|symposium|workshop|meeting|NeurIPS|NIPS|ICML|ICLR|AAAI|IJCAI|CVPR|ICCV|ECCV|WACV|"
    r"ACL|EMNLP|NAACL|EACL|COLING|COLM|Interspeech|ICASSP|SIGIR|KDD|WWW|CoRL|ICRA|IROS|AISTATS|UAI|COLT|CHI)\b",
    re.IGNORECASE,
)  # fmt: skip
_YEAR = re.compile(r"(?<!\d)((?:18|19|20)\d\d)(?!\d)")
_YEAR_IN_BRACKETS = re.compile(r"\(((?:18|19|20)\d\d)\)")


@dataclass(frozen=True)
class Publication:
    """Where a paper came out.

    Args:
        kind: "preprint" where nothing else is known.
        where: the journal or the meeting, as the source writes it, or "".
        year: of the publication there, else of the preprint, or None.
    """

    kind: Literal["article", "proceedings", "preprint"]
    where: str
    year: int | None


def publication(paper: FeedPaper) -> Publication:
    """Return where and when a paper came out."""
    year = paper.published.year if paper.published else None
    where = " ".join((paper.journal or "").split())
    if not where:
        return Publication("preprint", "", year)
    # Pages look like years: Phys. Rev. D 71 (2005) 1923.
    years = _YEAR_IN_BRACKETS.findall(where) or _YEAR.findall(where)
    return Publication("proceedings" if _MEETING.search(where) else "article", where, int(years[-1]) if years else year)
