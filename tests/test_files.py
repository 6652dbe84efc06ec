"""Files and folders are written whole or not at all."""

import os
from pathlib import Path

import pytest

from trued import files


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
    with files.whole_folder(target) as work:
        (work / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(target)
    assert (target / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    target = tmp_path / "model"
    target.mkdir()
    (target / "a").write_text("old")
    replace = os.replace

    def failing(source, destination):
        if Path(destination) == target and not str(source).endswith(".old"):
            raise OSError("refused")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="refused"), files.whole_folder(target) as work:
        (work / "a").write_text("new")
    assert (target / "a").read_text() == "old"


def test_others_may_read_a_folder_whatever_mode_its_files_were_written_in(tmp_path):
    with files.whole_folder(tmp_path / "model") as work:
        (work / "part").mkdir(mode=0o700)
        for path in (work / "weights", work / "part" / "weights"):
            path.write_text("1")
            path.chmod(0o600)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "model", *(tmp_path / "model").rglob("*")]}
    assert modes == {"model": 0o755, "part": 0o755, "weights": 0o644}


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


def _interrupted(target):
    with files.whole_folder(target) as work:
        (work / "a").write_text("2")
        raise KeyboardInterrupt
