"""The secret: made once, the same for everyone who asks, and for this user alone."""

from __future__ import annotations

import threading

import pytest

from trued.errors import InputError
from trued.feed.mail.secret import secret


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUED_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("TRUED_SECRET", raising=False)
    return tmp_path / "data"


def test_all_who_ask_get_the_same(folder) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(secret())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert len(found[0]) > 40
    assert secret() == found[0]
    assert (folder / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["secret"]


def test_the_environment_goes_first(folder, monkeypatch) -> None:
    monkeypatch.setenv("TRUED_SECRET", "0123456789abcdef")
    assert secret() == "0123456789abcdef"
    assert not folder.exists()
    monkeypatch.setenv("TRUED_SECRET", "short")
    with pytest.raises(InputError, match="TRUED_SECRET has 5 characters") as raised:
        secret()
    assert "short" not in str(raised.value)


def test_an_empty_file_is_no_secret(folder) -> None:
    folder.mkdir()
    (folder / "secret").write_text("\n")
    with pytest.raises(InputError, match="has no secret; delete it"):
        secret()
