"""What the fields of language and learning export: every name is there, and looking costs no torch."""

import importlib
import subprocess
import sys

import pytest

FACES = (
    "trued.language.attack",
    "trued.language.measure",
    "trued.language.measure.check",
    "trued.language.repair",
    "trued.language.train",
    "trued.language.train.c_advul",
    "trued.learn",
    "trued.learn.fit",
    "trued.learn.preference",
    "trued.learn.statistics",
)


@pytest.mark.parametrize("name", FACES)
def test_every_name_is_there_and_belongs_to_trued(name):
    face = importlib.import_module(name)
    assert face.__all__
    for exported in face.__all__:
        assert getattr(face, exported) is not None


def test_faces_are_cheap():
    heavy = {"torch", "numpy", "scipy"}
    code = f"import sys\nfor name in {FACES}: __import__(name)\nassert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_check_is_called_whatever_was_imported_before():
    for first in ("", "import trued.language.measure.check.gates\n"):
        code = f"{first}from trued.language.measure import check\ncheck(None)"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "in _measure" in out.stderr  # the function ran, as far as it gets without a model
