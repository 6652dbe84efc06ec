"""Data files of packages: the cache, the installed package, the wheel, and what is refused."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from trued.errors import InputError
from trued.fetch import assets
from trued.fetch.assets import Asset, asset_path
from trued.fetch.wheel import Member, UnavailableError, Wheel

WORDS = b"spin, measure, turn a spoke\n"


@pytest.fixture
def asset(tmp_path, monkeypatch) -> Asset:
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path / "cache")
    wheel = Wheel("spokes", "1.0", "spokes-1.0-py3-none-any.whl", "0" * 64, 100)
    return Asset(Member(wheel, "spokes_of_no_package/words.txt"), hashlib.sha256(WORDS).hexdigest())


def _served(words: bytes, calls: list[str]):
    def fetch(wheel: Wheel, folder: Path, report) -> Path:
        calls.append(wheel.requirement)
        with zipfile.ZipFile(folder / wheel.filename, "w") as archive:
            archive.writestr("spokes_of_no_package/words.txt", words)
        return folder / wheel.filename

    return fetch


def test_a_wheel_is_fetched_once_and_leaves_only_the_file(asset, monkeypatch):
    calls: list[str] = []
    monkeypatch.setattr(assets, "fetch", _served(WORDS, calls))
    first, second = asset_path(asset), asset_path(asset)
    assert first == second
    assert first.read_bytes() == WORDS
    assert calls == ["spokes==1.0"]
    assert not list(first.parent.glob(".fetch.*"))


def test_an_installed_package_with_the_pinned_bytes_needs_no_fetch(asset, tmp_path, monkeypatch):
    here = tmp_path / "words.txt"
    here.write_bytes(WORDS)
    monkeypatch.setattr(assets, "installed", lambda member: here)
    monkeypatch.setattr(assets, "fetch", _served(WORDS, calls := []))
    assert asset_path(asset) == here
    assert not calls


def test_an_installed_package_with_other_bytes_is_passed_over(asset, tmp_path, monkeypatch):
    here = tmp_path / "words.txt"
    here.write_bytes(b"another version")
    monkeypatch.setattr(assets, "installed", lambda member: here)
    monkeypatch.setattr(assets, "fetch", _served(WORDS, calls := []))
    assert asset_path(asset).read_bytes() == WORDS
    assert calls == ["spokes==1.0"]


def test_bytes_that_do_not_match_the_pin_are_refused_and_not_kept(asset, monkeypatch):
    monkeypatch.setattr(assets, "fetch", _served(b"tampered", []))
    with pytest.raises(InputError, match="SHA-256"):
        asset_path(asset)
    monkeypatch.setattr(assets, "fetch", _served(WORDS, []))
    assert asset_path(asset).read_bytes() == WORDS


def test_no_network_is_one_sentence_with_the_remedy(asset, monkeypatch):
    def fetch(wheel, folder, report):
        raise UnavailableError("pip download spokes==1.0: no such host")

    monkeypatch.setattr(assets, "fetch", fetch)
    with pytest.raises(InputError, match=r"no such host.*pip install --no-deps spokes==1\.0"):
        asset_path(asset)
