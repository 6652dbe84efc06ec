"""What a result depends on: which modules, and when their hash changes."""

import pytest

from trued.errors import InputError
from trued.lab.dependence import digest, methods_of

CODE = '''"""A method."""
from trued.learn.statistics import wilson

def rate(hits, trials=10):
    """Say how often."""
    # counted
    return f"{hits / trials:.2f}", wilson
'''
SAME = {
    "layout": CODE.replace("hits, trials=10", "hits,\n         trials = 10,").replace("return f", "return  f"),
    "comments": CODE.replace("# counted", "# as counted by hand"),
    "docstrings": CODE.replace('"""Say how often."""', '"""Say it otherwise."""').replace('"""A method."""\n', ""),
    "where a name comes from": CODE.replace("trued.learn.statistics", "trued.statistics"),
}
OTHER = {
    "a default": CODE.replace("trials=10", "trials=11"),
    "an operator": CODE.replace("hits / trials", "hits * trials"),
    "a name": CODE.replace("wilson", "wald"),
    "a format": CODE.replace(".2f", ".3f"),
    "a statement": CODE.replace("    # counted\n", "    hits += 1\n"),
    "a string": CODE.replace("# counted", "'counted'"),
}


@pytest.fixture
def hashed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def hashed(code: str) -> str:
        (tmp_path / "a_method_of_no_package.py").write_text(code)
        return digest(["a_method_of_no_package"])

    return hashed


@pytest.mark.parametrize("what", SAME)
def test_how_code_is_written_down_leaves_the_digest_as_it_is(hashed, what):
    assert SAME[what] != CODE
    assert hashed(SAME[what]) == hashed(CODE)


@pytest.mark.parametrize("what", OTHER)
def test_what_code_does_changes_the_digest(hashed, what):
    assert OTHER[what] != CODE
    assert hashed(OTHER[what]) != hashed(CODE)


def test_the_digest_is_the_same_in_every_version_of_python(hashed):
    assert hashed("def one(x: int = 1) -> str:\n    return f'{x!r:>3}'\n") == (
        "5a49b108d02ccee1bbbf9b66e5888cbcf5f4865739335fdfb3ccb7b4c592c31c"
    )


def test_the_digest_depends_on_source_and_names_but_not_on_order():
    assert digest(["json", "ast"]) == digest(["ast", "json"])
    assert len({digest(["json"]), digest(["ast"]), digest(["json", "ast"])}) == 3
    with pytest.raises(InputError, match="no source file"):
        digest(["trued.no_such_module"])


def test_methods_are_read_from_the_imports_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "an_experiment.py").write_text(
        "import numpy\nfrom trued.lab.experiment import Lab\nfrom trued.papers import card\n"
        "from trued.learn import statistics\n\n"
        "def run(lab):\n    from trued.learn.preference import anything\n    import trued.learn.fit.loop\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert methods_of("an_experiment") == (
        "an_experiment", "trued.learn.fit.loop", "trued.learn.preference", "trued.learn.statistics",
    )  # fmt: skip
