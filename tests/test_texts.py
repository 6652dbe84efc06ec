"""Text and JSON from outside: whole characters, sane depth, one sentence for everything else."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.texts import DEEPEST, decoded, has_half, read_json, read_text, unpacked, whole

ANY_TEXT = st.text(st.characters(exclude_categories=()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(ANY_TEXT)
def test_whole_text_can_be_written_and_keeps_what_was_whole(text):
    mended = whole(text)
    assert not has_half(mended)
    assert mended.encode().decode() == mended
    if not has_half(text):
        assert mended == text


def test_halves_that_belong_together_are_joined():
    assert whole("a \ud83d\ude00 b") == "a 😀 b"
    assert whole("a \ude00\ud83d b") == "a \ufffd\ufffd b"


@given(JSON)
def test_json_is_read_as_the_standard_library_reads_it(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert read_json(text) == value


@given(st.binary() | ANY_TEXT.map(lambda text: json.dumps({"a": [text]}).encode()) | st.just(b"[" * 5000))
def test_any_bytes_are_json_without_halves_or_an_input_error(data):
    try:
        value = read_json(decoded(data), halves="replace")
    except InputError:
        return
    assert not has_half(json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (r'{"a": "x \ud83d"}', r"\\ud83d is half of a character"),
        (r'{"a": "\uDE00\uD83D"}', "is half of a character"),
        (r'{"\ud83d": 1}', "is half of a character"),
        ('{"a": "\ud83d"}', "is half of a character"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested more than 100 levels deep"),
        ('{"n": ' + "9" * 5000 + "}", "a number of 5,000 digits, 999999999999…"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ('{"a": }', r"not valid JSON \(Expecting value at character 7\)"),
        ('{"a": 1,\n "b" 2}', "at line 2, character 6"),
        ("", "not valid JSON"),
    ],
)
def test_what_is_refused_and_in_which_words(text, says):
    with pytest.raises(InputError, match=says):
        read_json(text)


def test_what_only_looks_like_half_or_deep_is_read():
    assert read_json(r'"\ud83d\ude00"') == "😀"
    assert read_json(r'"\\ud83d"') == r"\ud83d"
    assert read_json(r'"a \ud83d b"', halves="replace") == "a \ufffd b"
    assert read_json('"' + "[" * 500 + '"') == "[" * 500
    assert read_json("[" + "[]," * 500 + "[]]") == [[]] * 501
    assert read_json('{"a": 1, "a": "\n"}', forgiving=True) == {"a": "\n"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_encodings_are_read(encoding, tmp_path):
    (tmp_path / "a.txt").write_bytes("Wälz 😀".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "Wälz 😀"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"W\xe4lz", r"no text in UTF-8 \(byte 1 is 0xe4\); save it as UTF-8"),
        ("ab".encode("utf-16")[:-1], "no text in UTF-16"),
        ("ab".encode("utf-16-le"), "zero bytes"),
    ],
)
def test_other_bytes_are_told_apart(data, says, tmp_path):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.txt is .*{says}"):
        read_text(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"none\.txt cannot be read: No such file"):
        read_text(tmp_path / "none.txt")


def test_gzip_is_unpacked_up_to_a_size():
    packed = gzip.compress(b"a" * 1000) + gzip.compress(b"b")
    assert unpacked(packed, 2000) == b"a" * 1000 + b"b"
    for data, most, says in (
        (packed[:-9], 2000, "cut off"), (b"\x1f\x8bnone", 2000, "damaged gzip"), (packed, 1000, "larger than"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=says):
            unpacked(data, most)
