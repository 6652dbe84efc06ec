from .bibtex import to_bibtex as to_bibtex
from .csl import to_csl as to_csl
from .csv import to_csv as to_csv
from .formats import FORMATS as FORMATS
from .formats import Exported as Exported
from .formats import Format as Format
from .formats import export as export
from .formats import format_of as format_of
from .jsonl import to_jsonl as to_jsonl
from .markdown import to_markdown as to_markdown
from .ris import to_ris as to_ris

__all__ = [
    "FORMATS",
    "Exported",
    "Format",
    "export",
    "format_of",
    "to_bibtex",
    "to_csl",
    "to_csv",
    "to_jsonl",
    "to_markdown",
    "to_ris",
]
