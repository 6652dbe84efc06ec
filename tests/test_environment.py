"""The page on environment variables names those that the source reads, and no others."""

import ast
import re
from pathlib import Path

import trued

SOURCES = Path(trued.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "environment.md"
VARIABLE = re.compile(r"(TRUED|HF|OPENAI|TRANSFORMERS)_[A-Z_]+")


def read_by_the_source() -> set[str]:
    """Strings that are nothing but a variable's name; mentions in messages and docstrings are longer."""
    names: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
                names.add(node.value)
    return names


def named_on_the_page() -> set[str]:
    return {match.group() for match in re.finditer(VARIABLE, PAGE.read_text(encoding="utf-8"))}


def test_every_variable_that_is_read_is_on_the_page():
    assert {"TRUED_CACHE", "TRUED_OFFLINE", "HF_HUB_OFFLINE", "TRUED_TOKEN"} <= read_by_the_source()
    assert read_by_the_source() - named_on_the_page() == set()


def test_the_page_names_no_variable_that_nobody_reads():
    ours = {name for name in named_on_the_page() if name.startswith("TRUED_")}
    assert ours - read_by_the_source() == set()
    assert {"HF_TOKEN", "HF_HUB_OFFLINE"} <= named_on_the_page()
