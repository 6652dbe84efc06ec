"""The cache returns what was computed, only for the same question, and never a damaged entry."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from trued.lab.cache import Cache

CALLS = []


def square(x, *, times=1):
    CALLS.append(x)
    return {"x": x, "times": times}


@pytest.fixture
def cache(tmp_path):
    CALLS.clear()
    return Cache(tmp_path / "cache")


def test_the_second_call_is_a_hit_and_other_arguments_are_not(cache):
    assert cache.cached("s", square, 2) == cache.cached("s", square, 2) == {"x": 2, "times": 1}
    assert len(CALLS) == 1
    cache.cached("s", square, 2.0)
    cache.cached("s", square, 2, times=2)
    cache.cached("other", square, 2)
    assert len(CALLS) == 4


def test_arrays_and_tensors_are_keyed_by_their_content(cache):
    def total(values):
        CALLS.append(1)
        return float(values.sum())

    for values in (
        np.ones(3),
        np.ones(3),
        np.ones(4),
        torch.ones(3),
        torch.ones(3),
        torch.ones(3, dtype=torch.bfloat16),
    ):
        cache.cached("t", total, values)
    assert len(CALLS) == 4


def test_a_changed_function_or_closure_is_another_question(cache):
    def make(n):
        def f():
            CALLS.append(n)
            return n

        return f

    assert [cache.cached("f", make(n)) for n in (1, 2, 1)] == [1, 2, 1]
    assert CALLS == [1, 2]


def test_values_come_back_as_they_were(cache):
    def build():
        return {
            "tuple": (1, [2.5, None, True]),
            "array": np.arange(6, dtype=np.int16).reshape(2, 3).T,
            "scalar": np.array(1.5),
            "tensors": [torch.randn(3, 2).T.bfloat16(), torch.tensor([True])],
        }

    torch.manual_seed(0)
    first, second = cache.cached("v", build), cache.cached("v", build)
    assert first["tuple"] == second["tuple"] == (1, [2.5, None, True])
    assert second["array"].dtype == np.int16
    np.testing.assert_array_equal(second["array"], np.arange(6).reshape(2, 3).T)
    assert second["scalar"].shape == ()
    assert all(
        torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(first["tensors"], second["tensors"], strict=True)
    )


def test_a_folder_is_copied_into_the_cache(cache, tmp_path):
    def write(where):
        CALLS.append(1)
        Path(where, "sub").mkdir(parents=True)
        Path(where, "sub", "weights").write_bytes(b"123")
        return Path(where)

    result = cache.cached("adapter", write, str(tmp_path / "out"))
    assert result.is_relative_to(cache.folder)
    assert (cache.cached("adapter", write, str(tmp_path / "out")) / "sub" / "weights").read_bytes() == b"123"
    assert len(CALLS) == 1


@pytest.mark.parametrize("damage", ["value", "tensor", "missing", "empty"])
def test_a_damaged_entry_is_computed_again(cache, damage):
    def build():
        CALLS.append(1)
        return {"n": 1234, "t": torch.ones(2)}

    cache.cached("d", build)
    (manifest,) = cache.folder.rglob("manifest.json")
    tensors = manifest.with_name("tensors.safetensors")
    if damage == "value":
        manifest.write_text(manifest.read_text().replace("1234", "1235"))
    elif damage == "tensor":
        tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x01")
    elif damage == "missing":
        tensors.unlink()
    else:
        manifest.write_text("")
    assert cache.cached("d", build)["n"] == 1234
    assert len(CALLS) == 2
    cache.cached("d", build)
    assert len(CALLS) == 2


def test_a_failure_leaves_no_entry(cache):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.cached("f", fail)
    assert not list(cache.folder.rglob("manifest.json"))


class Opaque:
    pass


@pytest.mark.parametrize("value", [Opaque(), {1: 2}, np.array(["a"]), b"bytes", {1}])
def test_an_argument_that_cannot_be_keyed_is_refused(cache, value):
    with pytest.raises(TypeError, match=r"argument.* cannot key the cache"):
        cache.cached("k", square, value)
    assert not CALLS


@pytest.mark.parametrize("name", ["Opaque()", "{1: 2}", "{'$array': '0'}", "np.array(['a'])", "b'bytes'", "{1}"])
def test_a_result_that_would_need_a_pickle_is_refused_by_name(cache, name):
    def build(name):
        return eval(name)

    with pytest.raises(TypeError, match=rf"type {type(eval(name)).__name__} cannot be cached"):
        cache.cached("r", build, name)
    assert not [path for path in cache.folder.rglob("*") if path.is_file()]


def test_nothing_on_disk_is_a_pickle(cache):
    def build():
        return [np.ones(2), torch.ones(2), {"a": 1}]

    cache.cached("p", build)
    for path in cache.folder.rglob("*"):
        if path.is_file():
            with pytest.raises(Exception):  # noqa: B017, PT011
                pickle.loads(path.read_bytes())


@dataclass(frozen=True)
class Recipe:
    lr: float
    steps: int = 3


def test_dataclasses_are_keyed_by_their_fields(cache):
    def train(recipe):
        CALLS.append(1)
        return recipe.lr

    for recipe in (Recipe(0.1), Recipe(0.1), Recipe(0.2)):
        cache.cached("t", train, recipe)
    assert len(CALLS) == 2


def test_a_builtin_has_no_source_and_is_refused(cache):
    with pytest.raises(TypeError, match="has no source"):
        cache.cached("len", len, [1])
