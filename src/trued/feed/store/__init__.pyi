from .merge import merge as merge
from .merge import title_key as title_key
from .records import OWNER as OWNER
from .records import Comment as Comment
from .records import Digest as Digest
from .records import Filters as Filters
from .records import Hit as Hit
from .records import IngestReport as IngestReport
from .records import Marks as Marks
from .records import Refusal as Refusal
from .records import SavedQuery as SavedQuery
from .records import StoredPaper as StoredPaper
from .records import Subscriber as Subscriber

__all__ = [
    "OWNER",
    "Comment",
    "Digest",
    "Filters",
    "Hit",
    "IngestReport",
    "Marks",
    "Refusal",
    "SavedQuery",
    "StoredPaper",
    "Subscriber",
    "merge",
    "title_key",
]
