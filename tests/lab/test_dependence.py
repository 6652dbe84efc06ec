"""What a result rests on: the code and data that are found, and what changes their hash."""

import ast
import os
import re
import shutil
from pathlib import Path

import pytest

from trued.errors import InputError
from trued.lab import dependence
from trued.lab.cache import Cache
from trued.lab.dependence import ENGINE, closure, digest_of
from trued.lab.experiment import known_experiments, module_of

TESTS = Path(__file__).parents[1]

CODE = '''"""A method."""
import numpy as np
from trued.learn.statistics import wilson
from trued.learn.fit.batches import plan

def rate(hits, trials=10):
    """Say how often."""
    # counted
    return f"{hits / trials:.2f}", wilson, plan, np
'''
SAME = {
    "layout": CODE.replace("hits, trials=10", "hits,\n         trials = 10,").replace("return f", "return  f"),
    "comments": CODE.replace("# counted", "# as counted by hand"),
    "docstrings": CODE.replace('"""Say how often."""', '"""Say it otherwise."""').replace('"""A method."""\n', ""),
    "where a name comes from": CODE.replace("trued.learn.statistics", "trued.statistics"),
    "the order of imports": CODE.replace("from trued.learn.statistics import wilson\n", "").replace(
        "import plan\n", "import plan\nfrom trued.learn.statistics import wilson\n"
    ),
    "an import within a function": CODE.replace("import numpy as np\n", "").replace(
        "    # counted\n", "    import numpy as np\n"
    ),
    "imports for type checking": CODE.replace(
        "\ndef", "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trued.x import Y\n\ndef"
    ).replace("\nfrom typing import TYPE_CHECKING", ""),
    "what it exports": CODE + '\n__all__ = ["rate"]\n',
}
OTHER = {
    "a default": CODE.replace("trials=10", "trials=11"),
    "an operator": CODE.replace("hits / trials", "hits * trials"),
    "a name": CODE.replace("wilson", "wald"),
    "another thing under the same name": CODE.replace("import wilson", "import wald as wilson"),
    "another library": CODE.replace("import numpy as np", "import torch as np"),
    "a format": CODE.replace(".2f", ".3f"),
    "a statement": CODE.replace("    # counted\n", "    hits += 1\n"),
    "a string": CODE.replace("# counted", "'counted'"),
}


@pytest.mark.parametrize("what", SAME)
def test_how_code_is_written_down_leaves_the_digest_as_it_is(what):
    assert SAME[what] != CODE
    assert digest_of(SAME[what]) == digest_of(CODE)


@pytest.mark.parametrize("what", OTHER)
def test_what_code_does_changes_the_digest(what):
    assert OTHER[what] != CODE
    assert digest_of(OTHER[what]) != digest_of(CODE)


def test_the_digest_is_the_same_in_every_version_of_python():
    assert digest_of("def one(x: int = 1) -> str:\n    return f'{x!r:>3}'\n") == (
        "061efea56c6283b626b10ba152a319da490a4bd63b5f60113e0985acbee9c8d8"
    )


# A small package


@pytest.fixture
def package(tmp_path):
    """Write a package trued of the given files, in place of an earlier one, and return its folder."""
    root = tmp_path / "trued"

    def write(files: dict[str, str]) -> Path:
        shutil.rmtree(root, ignore_errors=True)
        for name, text in {"__init__.py": "", **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            for folder in (root / name).relative_to(root).parents:
                if name.endswith(".py"):
                    (root / folder / "__init__.py").touch()
        return root

    return write


FILES = {
    "experiments/paper.py": "from trued.method import step\nfrom trued.lab.experiment import Lab\nRUN = step\n",
    "method.py": "def step(x):\n    from trued.learn import loss\n    return loss.of(x)\n",
    "learn/loss.py": "from .deeper import half\ndef of(x):\n    return half(x)\n",
    "learn/deeper.py": "def half(x):\n    return x / 2\n",
    "learn/other.py": "OTHER = 1\n",
    "lab/experiment.py": "Lab = None\n",
}
PAPER = "trued.experiments.paper"


def test_imports_are_followed_to_the_end_and_the_engine_is_left_out(package):
    assert closure(PAPER, package(FILES)).modules == (
        PAPER, "trued.learn.deeper", "trued.learn.loss", "trued.method",
    )  # fmt: skip


def test_what_the_engine_imports_counts_where_it_is_none_itself(package):
    files = FILES | {"lab/experiment.py": "from trued.learn.other import OTHER\nLab = None\n"}
    assert "trued.learn.other" in closure(PAPER, package(files)).modules


@pytest.mark.parametrize("edited", ["experiments/paper.py", "method.py", "learn/loss.py", "learn/deeper.py"])
def test_an_edit_anywhere_below_changes_the_digest(package, edited):
    before = closure(PAPER, package(FILES)).digest
    assert closure(PAPER, package(FILES | {edited: FILES[edited] + "MORE = 1\n"})).digest != before


@pytest.mark.parametrize("edited", ["learn/other.py", "lab/experiment.py"])
def test_an_edit_elsewhere_does_not(package, edited):
    before = closure(PAPER, package(FILES)).digest
    assert closure(PAPER, package(FILES | {edited: FILES[edited] + "MORE = 1\n"})).digest == before


def test_moving_and_renaming_files_leaves_the_digest_as_it_is(package):
    before = closure(PAPER, package(FILES)).digest
    moved = {
        "experiments/paper.py": FILES["experiments/paper.py"].replace("trued.method", "trued.rooms.ways.way"),
        "rooms/ways/way.py": "def step(x):\n    from trued.rooms import losses\n    return losses.of(x)\n",
        "rooms/losses.py": "from trued.rooms.a_half import half\ndef of(x):\n    return half(x)\n",
        "rooms/a_half.py": FILES["learn/deeper.py"],
        "lab/experiment.py": FILES["lab/experiment.py"],
    }
    assert closure(PAPER, package(moved)).digest == before


def test_imports_for_type_checking_do_not_count(package):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trued.learn.other import OTHER\n"
    files = FILES | {"method.py": text + FILES["method.py"]}
    assert "trued.learn.other" not in closure(PAPER, package(files)).modules
    files = FILES | {"method.py": text + "else:\n    from trued.learn.other import OTHER\n" + FILES["method.py"]}
    assert "trued.learn.other" in closure(PAPER, package(files)).modules


STUB = {
    "learn/__init__.py": '"""Learning."""\nimport lazy_loader\n\n'
    "__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n",
    "learn/__init__.pyi": "from . import loss\nfrom .deeper import half as halve\nfrom .other import OTHER\n",
}


@pytest.mark.parametrize(
    "face",
    [
        STUB,
        {"learn/__init__.py": "from trued.learn.deeper import half as halve\nfrom .other import OTHER\n"},
        {
            "learn/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from trued.learn.deeper import half as halve\n    from trued.learn.other import OTHER\n"
            "def __getattr__(name):\n    raise AttributeError(name)\n"
        },
    ],
    ids=["stub", "re-exports", "getattr"],
)
def test_a_face_leads_to_the_module_that_defines_a_name(package, face):
    deep = FILES | {"experiments/paper.py": "from trued.learn.deeper import half as halve\nRUN = halve\n"}
    through = FILES | face | {"experiments/paper.py": "from trued.learn import halve\nRUN = halve\n"}
    assert closure(PAPER, package(through)).modules == (PAPER, "trued.learn.deeper")
    assert closure(PAPER, package(deep)).modules == (PAPER, "trued.learn.deeper")
    deep["experiments/paper.py"] = "from trued.learn.deeper import half\nRUN = half\n"
    other = face | {name: text.replace("half as halve", "half") for name, text in face.items()}
    through = FILES | other | {"experiments/paper.py": "from trued.learn import half\nRUN = half\n"}
    assert closure(PAPER, package(through)).digest == closure(PAPER, package(deep)).digest


@pytest.mark.parametrize("line", ["from trued.learn import *", "import trued.learn", "from trued import learn"])
def test_of_a_face_as_a_whole_everything_may_be_used(package, line):
    names = closure(PAPER, package(FILES | STUB | {"experiments/paper.py": line})).modules
    assert {"trued.learn.deeper", "trued.learn.other", "trued.learn.loss"} <= set(names)


def test_a_package_that_computes_something_counts_when_what_is_in_it_is_imported(package):
    files = FILES | {"learn/__init__.py": "from trued.learn.other import OTHER\nOTHER += 1\n"}
    assert {"trued.learn", "trued.learn.other"} <= set(closure(PAPER, package(files)).modules)
    assert "trued.learn" not in closure(PAPER, package(FILES)).modules


def test_data_files_count_where_a_module_reads_beside_itself(package):
    reads = FILES | {
        "learn/loss.py": 'from pathlib import Path\nROWS = Path(__file__).parents[1] / "tables" / "rows"\nof = ROWS\n',
        "learn/beside.csv": "1", "tables/rows/a.jsonl": "{}", "tables/other.jsonl": "{}",
    }  # fmt: skip
    before = closure(PAPER, package(reads)).digest
    for name, changes in {"tables/rows/a.jsonl": True, "learn/beside.csv": True, "method.csv": False}.items():
        assert (closure(PAPER, package(reads | {name: "2"})).digest != before) is changes, name
    blind = reads | {"learn/loss.py": 'of = "tables"\n'}
    before = closure(PAPER, package(blind)).digest
    assert closure(PAPER, package(blind | {"tables/rows/a.jsonl": "2"})).digest == before


def test_data_may_move_with_the_module_that_reads_it(package):
    digests = []
    for room in ("learn", "rooms"):
        files = {
            "experiments/paper.py": f"from trued.{room}.loss import of\nRUN = of\n",
            f"{room}/loss.py": 'from pathlib import Path\nof = Path(__file__).with_name("rows")\n',
            f"{room}/rows/a.jsonl": "{}",
        }
        digests.append(closure(PAPER, package(files)).digest)
    assert digests[0] == digests[1]


def test_what_has_no_source_is_refused(package):
    root = package({"broken.py": "def ("})
    for name in ("trued.no_such_module", "no_such_module_at_all", "math"):
        with pytest.raises(InputError, match=f"module {name} has no source file"):
            closure(name, root)
    with pytest.raises(InputError, match=r"broken\.py is not Python"):
        closure("trued.broken", root)


# The real one


def digests(root: Path) -> dict[str, str]:
    return {slug: closure(module_of(slug), root).digest for slug in known_experiments()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the package, for edits that are taken back."""
    root = tmp_path_factory.mktemp("source") / "trued"
    return Path(shutil.copytree(dependence.ROOT, root, ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture(scope="module")
def before(source):
    return digests(source)


@pytest.fixture
def edit():
    """Change what a file computes, until the test is over."""
    edited = []

    def edit(file: Path) -> None:
        edited.append((file, file.read_bytes(), file.stat()))
        file.write_bytes(file.read_bytes() + b"\nEDITED = True\n")

    yield edit
    for file, content, status in edited:
        file.write_bytes(content)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def changed(root: Path, before: dict[str, str]) -> set[str]:
    return {slug for slug, digest in digests(root).items() if digest != before[slug]}


def test_the_digests_do_not_depend_on_where_the_package_lies(before):
    assert changed(dependence.ROOT, before) == set()


@pytest.mark.parametrize(
    ("place", "slugs"),
    [
        ("language/attack/gcg/descent.py", {"mixat", "c-advul", "attacks"}),
        ("language/attack/gcg/loss.py", {"mixat", "c-advul", "attacks"}),
        ("vision/encoder.py", {"structure", "geoclip"}),
        ("data/shipped/harmful.jsonl", {"mixat", "c-advul", "attacks", "alignment-recovery", "first-hitting"}),
        ("learn/fit/loop.py", set(known_experiments())),
        ("lab/committed.py", set()),
    ],
)
def test_an_edit_makes_stale_what_rests_on_it(source, before, edit, place, slugs):
    edit(source / place)
    stale = changed(source, before)
    assert slugs <= stale
    assert slugs or not stale


def test_a_moved_file_makes_nothing_stale(source, before, tmp_path):
    source = Path(shutil.copytree(source, tmp_path / "trued"))
    file = source / "language" / "attack" / "gcg" / "descent.py"
    old = ".".join(("trued", *file.relative_to(source).with_suffix("").parts))
    (source / "another_room").mkdir()
    (source / "another_room" / "__init__.py").touch()
    file.rename(source / "another_room" / "descent.py")
    edited = 0
    for other in source.rglob("*.py"):
        text = other.read_text()
        if old in text:
            other.write_text(text.replace(old, "trued.another_room.descent"))
            edited += 1
    assert edited
    assert "trued.another_room.descent" in closure(module_of("mixat"), source).modules
    assert changed(source, before) == set()


CALLS = []


def features():
    CALLS.append(1)
    return [0.5]


def test_features_are_computed_anew_when_the_encoder_is_edited(source, edit, tmp_path, monkeypatch):
    monkeypatch.setattr(dependence, "ROOT", source)
    monkeypatch.setattr(features, "__module__", module_of("structure"))
    CALLS.clear()
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        cache.cached("features", features)
    assert len(CALLS) == 1
    edit(source / "vision" / "encoder.py")
    cache.cached("features", features)
    cache.cached("features", features)
    assert len(CALLS) == 2


@pytest.mark.parametrize("slug", known_experiments())
def test_no_code_under_evidence_imports_by_a_name_that_it_makes_up(slug):
    package = dependence._Package(dependence.ROOT)
    for module in closure(module_of(slug)).modules:
        names = {node.attr for node in ast.walk(package.file(module).tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(package.file(module).tree) if isinstance(node, ast.Name)}
        assert not names & {"import_module", "__import__", "exec", "attach"}, f"{module}: the closure cannot see it"


ELSEWHERE = {
    "trued.database": "feed/store/test_database.py",
    "trued.errors": "cli/test_main.py",
    "trued.language.engine.loading": "language/engine/test_model.py",
    "trued.language.engine.decoders": "language/engine/test_abilities.py",
    "trued.language.engine.forward": "language/engine/test_abilities.py",
    "trued.language.engine.head": "language/engine/test_abilities.py",
    "trued.language.engine.masks": "language/engine/test_abilities.py",
    "trued.language.engine.prefix": "language/engine/test_generation.py",
    "trued.data.rows": "data/test_prompts.py",
    "trued.language.engine.scoring": "language/engine/test_model.py",
    "trued.language.engine.sources": "language/engine/test_embedded.py",
    "trued.language.engine.template": "language/engine/test_model.py",
    "trued.data.messages": "language/engine/test_model.py",
}
"""Engine modules whose tests are not in the file or folder that mirrors them."""


@pytest.mark.parametrize("name", ENGINE)
def test_every_engine_module_exists_and_is_tested(name):
    place = dependence.ROOT.joinpath(*name.split(".")[1:])
    assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
    *rooms, last = name.split(".")[1:]
    mirror = TESTS.joinpath(*rooms)
    tests = [TESTS / ELSEWHERE[name]] if name in ELSEWHERE else [mirror / f"test_{last}.py", mirror / last]
    assert any(test.is_file() or list(test.glob("test_*.py")) for test in tests), f"{name} has no tests"


def test_the_list_of_engine_modules_is_in_order():
    assert list(ENGINE) == sorted(set(ENGINE))
    assert not [name for name in ENGINE if any(name.startswith(f"{other}.") for other in ENGINE)]
    assert all(re.fullmatch(r"trued(\.[a-z_]+)+", name) for name in ENGINE)
