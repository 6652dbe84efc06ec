"""Experiments are found by name, and a wrong name is answered with the nearest ones."""

from dataclasses import dataclass

import pytest

from trued.errors import InputError
from trued.lab import experiment as module
from trued.lab.experiment import experiment, known_experiments, load_experiment


@dataclass(frozen=True)
class Scale:
    steps: int


def test_the_decorator_keeps_function_scales_and_seeds():
    @experiment("a-paper", scales={"tiny": Scale(1), "full": Scale(9)}, seeds=[4, 2])
    def run(lab):
        lab.append(1)

    calls = []
    run(calls)
    assert calls == [1]
    assert (run.slug, run.seeds, run.scale("full").steps, run.module) == ("a-paper", (4, 2), 9, __name__)
    with pytest.raises(InputError, match="has no scale 'tinny'; choose from tiny, full; did you mean tiny"):
        run.scale("tinny")


@pytest.mark.parametrize(
    "options",
    [
        {"scales": {}},
        {"scales": {"tiny": {"steps": 1}}},
        {"scales": {"tiny": Scale}},
        {"scales": {"tiny": Scale(1)}, "seeds": (1, 1)},
        {"scales": {"tiny": Scale(1)}, "seeds": ()},
    ],
)
def test_a_half_described_experiment_is_refused(options):
    with pytest.raises(ValueError, match="a-paper"):
        experiment("a-paper", **options)


def test_an_unknown_slug_is_answered_with_the_nearest(monkeypatch):
    monkeypatch.setattr(module, "known_experiments", lambda: ["c-advul", "mixat"])
    with pytest.raises(InputError, match="no experiment 'c-advull'; did you mean c-advul"):
        load_experiment("c-advull")


@pytest.mark.parametrize("slug", ["../evil", "os.path", "C-ADVUL", "", "c_advul"])
def test_a_slug_cannot_leave_the_room(slug):
    with pytest.raises(InputError, match="there is no experiment"):
        load_experiment(slug)


MODULE = """
from dataclasses import dataclass
from trued.lab.experiment import experiment

@dataclass
class Scale:
    steps: int = 1

@experiment({slug!r}, scales={{"tiny": Scale()}})
def run(lab):
    pass
"""


@pytest.fixture
def room(monkeypatch, tmp_path):
    """A folder that stands in for that of the experiments, by a name of its own."""
    folder = tmp_path / f"room_{tmp_path.name}"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "_ROOM", folder.name)
    return folder


@pytest.mark.parametrize("file", ["my_paper.py", "my_paper/__init__.py"])
def test_an_experiment_is_a_module_or_a_package_of_its_room(room, file):
    (room / file).parent.mkdir(exist_ok=True)
    (room / file).write_text(MODULE.format(slug="my-paper"))
    (room / "empty.py").touch()
    assert known_experiments() == ["empty", "my-paper"]
    assert load_experiment("my-paper").slug == "my-paper"
    assert load_experiment("my-paper").module == f"{room.name}.my_paper"
    with pytest.raises(InputError, match=rf"{room.name}\.empty defines no experiment"):
        load_experiment("empty")


def test_underscored_names_and_folders_without_code_are_no_experiments(room):
    for file in ("_shared.py", "_parts/__init__.py", "__pycache__/old.pyc", "notes/figure.svg", "paper/report.py"):
        (room / file).parent.mkdir(exist_ok=True)
        (room / file).touch()
    assert known_experiments() == []
