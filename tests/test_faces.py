"""Faces: every name that a package exports is there, whatever was imported before, and looking costs no torch."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import trued

ROOT = Path(trued.__file__).parent
FACES = sorted(
    ".".join(("trued", *stub.parent.relative_to(ROOT).parts)) for stub in ROOT.rglob("__init__.pyi")
)  # fmt: skip
HEAVY = {"torch", "transformers", "numpy", "scipy", "sqlalchemy", "matplotlib"}


def test_all_fields_have_a_face():
    rooms = {"trued", "trued.language", "trued.vision", "trued.representation", "trued.generation", "trued.data"}
    assert rooms <= set(FACES)


@pytest.mark.parametrize("face", FACES)
def test_every_name_of_a_face_is_there(face):
    package = importlib.import_module(face)
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert not isinstance(getattr(package, name), type(package)), f"{name} is a module"


@pytest.mark.parametrize("face", FACES)
def test_no_name_of_a_face_is_the_name_of_a_module_in_it(face):
    """Once the module is imported, it would stand in the name's place; `measure.check` is a package that is called."""
    package = importlib.import_module(face)
    folder = ROOT.joinpath(*face.split(".")[1:])
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert modules & set(package.__all__) <= {"check"}


def test_faces_import_nothing_heavy():
    code = f"import sys\nfor face in {FACES}: __import__(face)\nprint(*sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("first", ["", "import trued.language.measure.check.gates\n"])
def test_check_is_called_whatever_was_imported_before(first):
    # The module of the real function imports torch, for many seconds.
    stub = (
        "import sys, types\n"
        "safety = sys.modules['trued.language.measure.check.safety'] = types.ModuleType('safety')\n"
        "safety.check = lambda *models: print('checked', *models)\n"
    )
    code = f"{stub}{first}from trued.language.measure import check\ncheck('a model')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "checked a model\n"
