"""The package index without pip: both kinds of page, pip's settings, source archives, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from trued.errors import InputError
from trued.fetch import assets
from trued.fetch import pypi as index
from trued.fetch.assets import archive_path
from trued.fetch.pypi import Settings, UnavailableError
from trued.fetch.wheel import Member, Wheel, packed

NAME, INSIDE = "Spokes_Of.Old-1.0.tar.gz", "spokes-1.0/words.txt"


def archive() -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for path, data in (("spokes-1.0/setup.py", b"raise SystemExit('never run')"), (INSIDE, b"rim and hub\n")):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("spokes-1.0/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return raw.getvalue()


RAW = archive()
SHA = hashlib.sha256(RAW).hexdigest()
PIN = Wheel("Spokes_Of.Old", "1.0", NAME, SHA, len(RAW))


@pytest.fixture
def shop(monkeypatch):
    """An index on this machine that counts what it is asked, and pip's settings pointing at it."""
    pages: dict[str, tuple[str, bytes]] = {}
    requests: list[tuple[str, str | None, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, self.headers.get("Accept"), self.headers.get("Authorization")))
            kind, data = pages.get(self.path, ("text/plain", b""))
            self.send_response(200 if self.path in pages else 404)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    place = f"127.0.0.1:{http.server_port}"
    monkeypatch.setattr(index, "settings", lambda: Settings((f"http://{place}/simple/",)))
    yield SimpleNamespace(pages=pages, requests=requests, place=place)
    http.shutdown()
    http.server_close()


def json_page(*files):
    return "application/vnd.pypi.simple.v1+json", json.dumps({"files": list(files)}).encode()


def html_page(*anchors):
    return "text/html", f"<html><body>{''.join(anchors)}</body></html>".encode()


@pytest.mark.parametrize("kind", ["json", "html", "html without a hash"])
def test_a_file_is_found_on_either_kind_of_page(shop, tmp_path, kind):
    other = {"filename": "other.tar.gz", "url": "other.tar.gz", "hashes": {}}
    shop.pages["/simple/spokes-of-old/"] = {
        "json": json_page(other, {"filename": NAME, "url": "../../files/x", "hashes": {"sha256": SHA}}),
        "html": html_page('<a href="/other">o</a>', f'<a href="../../files/{NAME}#sha256={SHA}" rel="x">n</a>'),
        "html without a hash": html_page(f"<a href='../../files/{NAME}'>n</a>"),
    }[kind]
    shop.pages["/files/x"] = shop.pages[f"/files/{NAME}"] = ("application/gzip", RAW)
    index.fetch(PIN.package, NAME, SHA, tmp_path / "got", report=(seen := []).append)
    assert (tmp_path / "got").read_bytes() == RAW
    assert seen == [len(RAW)]
    assert "vnd.pypi.simple" in shop.requests[0][1]


def test_a_file_of_another_hash_and_a_missing_project_are_named(shop, tmp_path):
    with pytest.raises(UnavailableError, match=r"/simple/spokes-of-old/: Not Found"):
        index.fetch(PIN.package, NAME, SHA, tmp_path / "got")
    shop.pages["/simple/spokes-of-old/"] = json_page({"filename": NAME, "url": "x", "hashes": {"sha256": "0" * 64}})
    with pytest.raises(UnavailableError, match=f"lists no {NAME} with the pinned hash"):
        index.fetch(PIN.package, NAME, SHA, tmp_path / "got")


def test_a_password_goes_into_a_header_and_never_into_a_message(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "settings", lambda: Settings((f"http://me:s%40crt@{shop.place}/simple",)))
    with pytest.raises(UnavailableError) as caught:
        index.fetch(PIN.package, NAME, SHA, tmp_path / "got")
    assert "crt" not in str(caught.value)
    assert shop.requests[0][2] == "Basic " + base64.b64encode(b"me:s@crt").decode()


def test_a_local_folder_and_a_local_index_serve_too(tmp_path, monkeypatch):
    shelf = tmp_path / "shelf"
    (shelf / "spokes-of-old").mkdir(parents=True)
    (shelf / NAME).write_bytes(RAW)
    (shelf / "spokes-of-old" / "index.html").write_text(f'<a href="../{NAME}#sha256={SHA}">{NAME}</a>')
    for where in (Settings((), (shelf,)), Settings((shelf.as_uri(),))):
        monkeypatch.setattr(index, "settings", lambda where=where: where)
        index.fetch(PIN.package, NAME, SHA, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == RAW
        (tmp_path / "got").unlink()
    monkeypatch.setattr(index, "settings", lambda: Settings(()))
    with pytest.raises(UnavailableError, match="no index"):
        index.fetch(PIN.package, NAME, SHA, tmp_path / "got")


def test_pips_settings_are_read_by_their_rank(tmp_path, monkeypatch):
    text = (
        "global.index-url='https://a/simple'\nglobal.extra-index-url='https://b https://c'\n"
        "download.index-url='https://d'\nfreeze.index-url='https://no'\nglobal.broken=[\n"
    )
    assert index._lines(text) == {"index-url": "https://d", "extra-index-url": "https://b https://c"}
    monkeypatch.setattr(index.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=text))
    for name in ("INDEX_URL", "EXTRA_INDEX_URL", "CERT", "NO_INDEX"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path} https://elsewhere/links")
    result = index.settings()
    assert result.indices == ("https://d", "https://b", "https://c")
    assert result.folders == (tmp_path,)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mine")
    assert index.settings().indices[0] == "https://mine"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert index.settings().indices == ()


def test_a_source_archive_is_fetched_once_checked_and_read_without_running_it(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path)
    shop.pages["/simple/spokes-of-old/"] = json_page({"filename": NAME, "url": "/x", "hashes": {"sha256": SHA}})
    shop.pages["/x"] = ("application/gzip", RAW[:-9])
    with pytest.raises(InputError, match=r"has SHA-256 .*put the file with SHA-256"):
        archive_path(PIN)
    shop.pages["/x"] = ("application/gzip", RAW)
    path = archive_path(PIN)
    count = len(shop.requests)
    assert archive_path(PIN) == path
    assert len(shop.requests) == count
    with packed(path, Member(PIN, INSIDE)) as stream:
        assert stream.read() == b"rim and hub\n"
    for absent in ("spokes-1.0/none.txt", "spokes-1.0/link.txt", "spokes-1.0"):
        with pytest.raises(UnavailableError, match="has no spokes"), packed(path, Member(PIN, absent)):
            pass
    assert not list(path.parent.glob(".fetch.*"))
