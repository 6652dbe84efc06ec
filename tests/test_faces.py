"""The faces: every name that a package exports is there, and importing them imports no torch."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

FACES = (
    "trued.data", "trued.generation", "trued.generation.masked", "trued.representation",
    "trued.representation.geoclip", "trued.representation.structure", "trued.vision",
)  # fmt: skip


@pytest.mark.parametrize("name", FACES)
def test_every_name_is_there_and_is_no_module(name):
    face = importlib.import_module(name)
    assert face.__all__
    for exported in face.__all__:
        assert not isinstance(getattr(face, exported), type(sys))


def test_importing_the_faces_imports_no_torch():
    code = f"import sys\nfor name in {FACES}: __import__(name)\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.returncode, done.stderr
