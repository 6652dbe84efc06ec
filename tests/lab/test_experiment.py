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


def test_an_experiment_is_loaded_from_its_room(monkeypatch, tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text("")
    (tmp_path / "room" / "my_paper.py").write_text(
        "from dataclasses import dataclass\nfrom trued.lab.experiment import experiment\n"
        "@dataclass\nclass S:\n    n: int = 1\n\n"
        "@experiment('my-paper', scales={'tiny': S()})\ndef run(lab):\n    pass\n"
    )
    (tmp_path / "room" / "empty.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "_ROOM", "room")
    assert known_experiments() == ["empty", "my-paper"]
    assert load_experiment("my-paper").slug == "my-paper"
    with pytest.raises(InputError, match=r"room\.empty defines no experiment"):
        load_experiment("empty")
