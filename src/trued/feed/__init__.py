"""The daily papers: where they come from, how they are stored, searched, exported and mailed.

    from trued.feed import PaperStore
    from trued.feed.sources import read_source

Importing it is cheap.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
