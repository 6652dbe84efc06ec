"""Each face gives what it names, and importing it loads nothing heavy."""

import importlib
import subprocess
import sys

import pytest

FACES = (
    "feed",
    "feed.export",
    "feed.http",
    "feed.mail",
    "feed.search",
    "feed.sources",
    "feed.store",
    "feed.syndication",
)


@pytest.mark.parametrize("name", FACES)
def test_a_face_gives_what_it_names(name):
    face = importlib.import_module(f"trued.{name}")
    assert face.__all__
    for exported in face.__all__:
        assert getattr(face, exported) is not None


def test_importing_the_faces_loads_nothing_heavy():
    code = f"import sys; [__import__('trued.' + name) for name in {FACES}]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "numpy", "sqlalchemy", "httpx2", "jinja2", "bibtexparser"}.isdisjoint(loaded)
