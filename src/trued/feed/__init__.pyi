from .mail.digest import send_digests as send_digests
from .paper import Author as Author
from .paper import FeedPaper as FeedPaper
from .paper import Link as Link
from .paper_store import PaperStore as PaperStore
from .paper_store import default_store as default_store
from .search.selection import Selection as Selection
from .store.records import Filters as Filters
from .store.records import Hit as Hit
from .store.records import IngestReport as IngestReport
from .store.records import Marks as Marks
from .store.records import StoredPaper as StoredPaper

__all__ = [
    "Author",
    "FeedPaper",
    "Filters",
    "Hit",
    "IngestReport",
    "Link",
    "Marks",
    "PaperStore",
    "Selection",
    "StoredPaper",
    "default_store",
    "send_digests",
]
