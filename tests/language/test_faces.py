"""Faces: what a user imports is there, and importing a package loads nothing heavy."""

import importlib
import subprocess
import sys

import pytest

FACES = ("trued.language", "trued.language.engine", "trued.language.judge", "trued.language.endpoint", "trued.data")


@pytest.mark.parametrize("face", FACES)
def test_every_name_of_a_face_is_there(face):
    package = importlib.import_module(face)
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert not isinstance(getattr(package, name), type(package)), f"{name} is a module"


def test_faces_import_nothing_heavy():
    code = f"import sys, {', '.join(FACES)}; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
