"""Finding and fetching a file on the user's package index without pip's help, and without running anything in it.

`pip download` builds what it downloads where there is no wheel, and so runs the release's own code. This asks the index
itself, by the simple interface (PEP 503, and PEP 691 where the index speaks JSON), with pip's own settings: the index,
the further ones, local folders and the certificates.

Knows index pages, addresses and bytes. Knows nothing of archives, or of what the files are for.
"""

from __future__ import annotations

import ast
import base64
import html.parser
import importlib.util
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

DEFAULT = "https://pypi.org/simple"
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_BLOCK = 1 << 20
_TIMEOUT = 30.0  # seconds without an answer
_LARGEST_PAGE = 1 << 26
_SECTIONS = ("global", "install", "download", ":env:")


class UnavailableError(Exception):
    """A way of getting a file is closed; the message says why, as a clause of a longer sentence."""


@dataclass(frozen=True)
class Settings:
    """Where to look: addresses of indices, local folders, and a file of certificates."""

    indices: tuple[str, ...] = (DEFAULT,)
    folders: tuple[Path, ...] = ()
    certificates: str | None = None


def settings() -> Settings:
    """Return pip's settings of this environment and user; without pip, those of pip's environment variables."""
    values = _variables(os.environ)
    if importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        values = _lines(done.stdout) | values
    indices = [] if values.get("no-index", "").lower() in ("1", "true", "yes", "on") else [
        values.get("index-url", DEFAULT), *values.get("extra-index-url", "").split()
    ]  # fmt: skip
    folders = [_local(link) for link in values.get("find-links", "").split()]
    return Settings(tuple(indices), tuple(path for path in folders if path is not None), values.get("cert"))


def fetch(
    package: str, filename: str, sha256: str, target: Path, *, report: Callable[[int], None] = lambda _: None
) -> None:
    """Write the file `filename` of `package` to `target`; the caller checks its hash.

    Args:
        package: the project's name.
        filename: of the release's file.
        sha256: files that the index lists with another hash are passed over.
        target: where the bytes go.
        report: called with the number of bytes that have come.

    Raises:
        UnavailableError: no index has such a file, or none answers.
    """
    where, closed = settings(), []
    context = ssl.create_default_context(cafile=where.certificates)
    for folder in where.folders:
        if (folder / filename).is_file():
            _copy((folder / filename).as_uri(), target, context, report)
            return
    for index in where.indices:
        page = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', package).lower()}/"
        try:
            for name, url, digest in links(*_page(page, context)):
                if name == filename and digest in (None, sha256):
                    _copy(url, target, context, report)
                    return
            closed.append(f"{_shown(page)} lists no {filename} with the pinned hash")
        except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as error:
            reason = getattr(error, "reason", None) or error
            closed.append(f"{_shown(page)}: {reason}")
    raise UnavailableError(
        "; ".join(closed) or "pip is configured to use no index, and no folder of its links has the file"
    )


def links(url: str, kind: str, text: str) -> Iterator[tuple[str, str, str | None]]:
    """Read one project's page: name, address and SHA-256 (None if it is not said) of each file.

    Args:
        url: of the page, which relative addresses are relative to.
        kind: the content type that it came with.
        text: the page.
    """
    if "json" in kind:
        for file in json.loads(text)["files"]:
            yield file["filename"], urljoin(url, file["url"]), file.get("hashes", {}).get("sha256")
        return
    anchors = _Anchors()
    anchors.feed(text)
    for address in anchors.links:
        whole, fragment = urldefrag(urljoin(url, address))
        digest = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
        yield unquote(urlsplit(whole).path).rpartition("/")[2], whole, digest


class _Anchors(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _page(url: str, context: ssl.SSLContext) -> tuple[str, str, str]:
    """Return the address after redirections, the content type and the text of a page."""
    if (folder := _local(url)) is not None and folder.is_dir():
        return url, "text/html", (folder / "index.html").read_text(encoding="utf-8")
    with urllib.request.urlopen(_request(url, {"Accept": ACCEPT}), timeout=_TIMEOUT, context=context) as answer:
        text = answer.read(_LARGEST_PAGE).decode("utf-8", "replace")
        return answer.geturl() or url, answer.headers.get("Content-Type", "text/html"), text


def _copy(url: str, target: Path, context: ssl.SSLContext, report: Callable[[int], None]) -> None:
    with (
        urllib.request.urlopen(_request(url, {}), timeout=_TIMEOUT, context=context) as answer,
        open(target, "wb") as out,
    ):
        while block := answer.read(_BLOCK):
            out.write(block)
            report(out.tell())


def _request(url: str, headers: Mapping[str, str]) -> urllib.request.Request:
    """A request whose name and password, where the address holds them, go into a header as servers expect them."""
    parts = urlsplit(url)
    sent = dict(headers)
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        sent["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return urllib.request.Request(url, headers=sent)


def _shown(url: str) -> str:
    """The address without what may be a password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _local(link: str) -> Path | None:
    """The folder or file that a link names on this machine, or None for one elsewhere."""
    parts = urlsplit(link)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    return Path(link).expanduser() if len(parts.scheme) < 2 else None  # one letter is a drive


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    names = ("index-url", "extra-index-url", "find-links", "cert", "no-index")
    values = {name: environment.get(f"PIP_{name.upper().replace('-', '_')}", "") for name in names}
    return {name: value for name, value in values.items() if value}


def _lines(text: str) -> dict[str, str]:
    """Read `pip config list`: lines such as ``global.index-url='https://…'``, the section that counts most last."""
    values: dict[str, str] = {}
    rows = [re.fullmatch(r"(:env:|[\w-]+)\.([\w-]+)=(.+)", line.strip()) for line in text.splitlines()]
    for section in _SECTIONS:
        for row in rows:
            if row and row[1] == section:
                try:
                    values[row[2]] = str(ast.literal_eval(row[3]))
                except (ValueError, SyntaxError):
                    continue
    return values
