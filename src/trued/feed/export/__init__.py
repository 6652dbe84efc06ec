"""Papers as other programs read them: BibTeX, RIS, CSL-JSON, CSV, JSON Lines and Markdown, and into Zotero."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
