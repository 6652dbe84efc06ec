from .formats import Channel as Channel
from .formats import opml as opml
from .formats import render as render

__all__ = [
    "Channel",
    "opml",
    "render",
]
