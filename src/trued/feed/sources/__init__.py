"""Sources of papers: the page's text, Hugging Face, arXiv, BibTeX, web pages and files."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
