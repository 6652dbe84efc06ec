"""Files and folders are written whole or not at all."""

import os
from pathlib import Path

import pytest

from trued import files
from trued.errors import InputError


def test_text_is_replaced_whole(tmp_path):
    target = tmp_path / "a" / "note.txt"
    files.write_text(target, "one")
    files.write_text(target, "two")
    assert target.read_text() == "two"
    assert [p.name for p in target.parent.iterdir()] == ["note.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = files.write_text(tmp_path / "note.txt", "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        files.write_text(target, "new")
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_appears_only_when_its_block_ends(tmp_path):
    target = tmp_path / "model"
    with files.whole_folder(target, kind="model") as work:
        (work / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(target)
    assert (target / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    target = tmp_path / "model"
    _saved(target, "old")
    replace = os.replace

    def failing(source, destination):
        if Path(destination) == target and not str(source).endswith(".old"):
            raise OSError("refused")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="refused"), files.whole_folder(target, kind="model") as work:
        (work / "a").write_text("new")
    assert (target / "a").read_text() == "old"


def test_others_may_read_a_folder_whatever_mode_its_files_were_written_in(tmp_path):
    with files.whole_folder(tmp_path / "model", kind="model") as work:
        (work / "part").mkdir(mode=0o700)
        for path in (work / "weights", work / "part" / "weights"):
            path.write_text("1")
            path.chmod(0o600)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "model", *(tmp_path / "model").rglob("*")]}
    assert modes == {"model": 0o755, "part": 0o755, "weights": 0o644, files.MARKER: 0o644}


def test_cache_dir_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path))
    assert files.cache_dir() == tmp_path
    assert files.sha256(files.write_bytes(tmp_path / "x", b"abc")).startswith("ba7816bf")


def test_data_dir_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TRUED_DATA", raising=False)
    assert not files.data_dir().is_relative_to(tmp_path / "cache")  # a cache may be emptied at any time
    monkeypatch.setenv("TRUED_DATA", str(tmp_path / "data"))
    assert files.data_dir() == tmp_path / "data"
    assert files.cache_dir() == tmp_path / "cache"


def test_a_folder_of_the_same_kind_is_replaced(tmp_path):
    target = _saved(tmp_path / "model", "old")
    _saved(target, "new")
    assert (target / "a").read_text() == "new"
    assert sorted(p.name for p in target.iterdir()) == [files.MARKER, "a"]


@pytest.mark.parametrize(
    "case", ["unmarked", "another kind", "one file more", "a file", "a subfolder", "a broken mark"]
)
def test_what_is_not_its_own_survives(tmp_path, case):
    target = tmp_path / "output"
    if case == "a file":
        target.write_text("precious")
    elif case in ("unmarked", "a subfolder", "a broken mark"):
        (target / "deep").mkdir(parents=True)
        (target / "deep" / "notes.txt").write_text("precious")
        if case == "unmarked":
            (target / "notes.txt").write_text("precious")
        if case == "a broken mark":
            (target / files.MARKER).write_text("{")
    else:
        _saved(target, "precious", kind="adapter" if case == "another kind" else "model")
        if case == "one file more":
            (target / "notes.txt").write_text("precious")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="Nothing was changed"):
        _saved(target, "new")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_empty_and_littered_folders_are_free(tmp_path):
    for name in ("empty", "littered"):
        (tmp_path / name).mkdir()
    (tmp_path / "littered" / ".DS_Store").write_bytes(b"x")
    for name in ("empty", "littered"):
        assert (_saved(tmp_path / name, "new") / "a").read_text() == "new"


def test_the_checkpoint_of_an_unfinished_training_gives_way(tmp_path):
    target = tmp_path / "output"
    _saved(target / files.CHECKPOINT, "1", kind=files.CHECKPOINT)
    assert (_saved(target, "new") / "a").read_text() == "new"
    assert not (target / files.CHECKPOINT).exists()
    _saved(target / files.CHECKPOINT, "1", kind=files.CHECKPOINT)
    (target / files.CHECKPOINT / "notes.txt").write_text("precious")
    with pytest.raises(InputError, match=r"checkpoint/notes\.txt"):
        _saved(target, "newer")


def test_files_that_came_meanwhile_survive_and_the_work_does_too(tmp_path):
    target = tmp_path / "output"
    with pytest.raises(InputError) as error, files.whole_folder(target, kind="model") as work:  # noqa: PT012
        (work / "a").write_text("new")
        target.mkdir()
        (target / "notes.txt").write_text("precious")
    assert (target / "notes.txt").read_text() == "precious"
    assert (tmp_path / "output-2" / "a").read_text() == "new"
    assert "output-2" in error.value.__notes__[0]


def test_the_folder_one_is_in_and_home_are_no_output(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for path, whole in ((".", True), (".", False), ("..", True), (str(tmp_path / "home"), False)):
        with pytest.raises(InputError, match="give a new folder as output"):
            files.claim_output(path, kind="model", whole=whole)


def test_a_file_with_its_mark_is_replaced_and_another_is_not(tmp_path):
    target = tmp_path / "page.html"
    files.write_output(target, f"<!-- {files.mark('report')} -->", kind="report")
    files.write_output(target, f"<!-- {files.mark('report')} --> again", kind="report")
    with pytest.raises(InputError, match="not written by trued as a map"):
        files.claim_output(target, kind="map")
    target.write_text("<p>precious")
    with pytest.raises(InputError, match="not written by trued as a report"):
        files.write_output(target, "new", kind="report")
    assert target.read_text() == "<p>precious"


def test_a_file_without_a_mark_is_replaced_as_long_as_nobody_edits_it(tmp_path):
    target = tmp_path / "papers.csv"
    files.write_output(target, "one", kind="list")
    files.write_output(target, "two", kind="list")
    target.write_text("two, edited")
    with pytest.raises(InputError, match="not written by trued"):
        files.write_output(target, "three", kind="list")
    assert target.read_text() == "two, edited"


def test_a_link_is_written_through_and_stays(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    _saved(tmp_path / "near", "new")
    assert (tmp_path / "near").is_symlink()
    assert (tmp_path / "far" / "a").read_text() == "new"


@pytest.mark.parametrize("given", ["/proc/nowhere/report.html", "file/report.html", "/dev/null"])
def test_what_cannot_be_written_is_said_at_once_by_the_name_that_was_given(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=given):
        files.claim_output(given, kind="report")


def test_a_full_disk_is_seen_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match=r"report\.html cannot be written, for the disk is full"):
        files.claim_output(tmp_path / "report.html", kind="report")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_added_belongs_to_the_folder(tmp_path):
    target = _saved(tmp_path / "model", "old")
    files.add_text(target, "training.json", "{}")
    assert (_saved(target, "new") / "a").read_text() == "new"


def _saved(target, text, kind="model"):
    with files.whole_folder(target, kind=kind) as work:
        (work / "a").write_text(text)
    return target


def _interrupted(target):
    with files.whole_folder(target, kind="model") as work:
        (work / "a").write_text("2")
        raise KeyboardInterrupt
