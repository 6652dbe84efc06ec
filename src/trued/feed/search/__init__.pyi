from .query import Query as Query
from .query import parse as parse
from .ranking import fuse as fuse
from .search import Search as Search
from .selection import Selection as Selection
from .snippet import snippet as snippet

__all__ = [
    "Query",
    "Search",
    "Selection",
    "fuse",
    "parse",
    "snippet",
]
