"""Asking the web for papers: with patience, politely, within bounds, and no more often than needed.

Knows requests, retries, redirects and what was answered before. Knows nothing of papers.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2

from trued import __version__
from trued.errors import InputError
from trued.feed.http.cache import HttpCache, Kept
from trued.feed.http.guard import origin, origins, transport, web_address
from trued.feed.http.pace import Pace
from trued.files import cache_dir

LARGEST = 20 << 20  # bytes of an answer
EVERY = 1.0  # seconds between two requests to one host, where it names no longer pause
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # another attempt may do better
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOST_HOPS = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds
_LONGEST_ASKED_PAUSE = 120.0  # seconds that a server may ask us to wait; for longer ones there is another day


class FetchError(InputError):
    """An address could not be fetched. `status` is what the server answered, or None where it did not answer at all."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class TooLargeError(FetchError):
    """An address answers with more than is read."""


@dataclass(frozen=True)
class Answer:
    """What an address returned.

    Args:
        url: where it came from in the end, behind all redirects.
        kind: its media type, without parameters.
        fetched: when it was last known to be current, in UTC.
        fresh: false where the server said that nothing has changed, or was not asked.
    """

    url: str
    kind: str
    content: bytes
    fetched: datetime
    fresh: bool = True


class _PassingError(Exception):
    """A failure that may pass. `pause` is how long the server asks to wait, or None."""

    def __init__(self, reason: str, pause: float | None = None, status: int | None = None) -> None:
        super().__init__(reason)
        self.pause, self.status = pause, status


class Client:
    """Fetches addresses, politely.

    Failures that may pass (no connection, timeouts, answers that break off, the statuses 408, 425, 429 and 5xx) are
    tried again with growing pauses or after the time that the server names. What was fetched is kept on the disk
    and fetched again only if it has changed.

    Args:
        bases: addresses that the user configured; they alone may lie in a private network.
        offline: answer from the disk only.
        timeout: seconds without a byte.
        deadline: seconds for one attempt in all, however slowly bytes come in.
        retries: attempts after the first.
        folder: where answers and turns are kept; `feed` in the cache if None.
        wait: sleeps for so many seconds.
    """

    def __init__(
        self,
        *,
        bases: Iterable[str] = (),
        offline: bool = False,
        timeout: float = 20.0,
        deadline: float = 120.0,
        retries: int = 4,
        folder: Path | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        folder = folder or cache_dir() / "feed"
        self._private = origins(bases)
        self.offline = offline
        self._timeout, self._deadline, self._retries, self._wait = timeout, deadline, retries, wait
        self._kept = HttpCache(folder / "answers")
        self._pace = Pace(folder / "turns", wait)
        self._jitter = random.Random()

    def get(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        accept: str = "*/*",
        every: float | None = None,
        largest: int = LARGEST,
        busy: Callable[[bytes], bool] | None = None,
    ) -> Answer:
        """Fetch an address.

        Args:
            params: of the query.
            accept: the media types that are wanted.
            every: least seconds between two requests to this host; `EVERY` if None.
            largest: most bytes of the answer, unpacked.
            busy: true for an answer that says, with success, that the server was asked too often.

        Raises:
            FetchError: the server can't be reached, refuses, or answers too much.
            InputError: no http(s) address, a private one, or offline and never fetched.
        """
        first, every = web_address(url), EVERY if every is None else every
        if params:
            first = first.copy_merge_params(dict(params))
        cached = self._kept.get(str(first), accept)
        if self.offline:
            if cached is None:
                raise FetchError(f"{first} was never fetched, and this is offline; fetch it once with a network")
            return Answer(cached.url, cached.kind, cached.content, cached.kept, fresh=False)
        for attempt in range(1, self._retries + 2):
            try:
                return self._once(first, accept, every, largest, busy, cached)
            except _PassingError as error:
                pause = self._pause(attempt) if error.pause is None else error.pause
                if attempt > self._retries or pause > _LONGEST_ASKED_PAUSE:
                    raise self._given_up(first, error, attempt, cached) from None
                self._wait(pause)
        raise AssertionError("the last attempt returns or raises")

    def _once(
        self,
        first: httpx2.URL,
        accept: str,
        every: float,
        largest: int,
        busy: Callable[[bytes], bool] | None,
        cached: Kept | None,
    ) -> Answer:
        """Make one attempt, redirects included."""
        marks = {}
        if cached is not None:
            marks = {"If-None-Match": cached.etag, "If-Modified-Since": cached.last_modified}
        headers = {"User-Agent": f"trued/{__version__}", "Accept": accept, "Accept-Encoding": "gzip"}
        headers |= {name: mark for name, mark in marks.items() if mark}
        url = first
        for _ in range(_MOST_HOPS + 1):
            # A public address must not lead into a private network, not even into one that the user configured.
            private = origin(url) in self._private and origin(first) in self._private
            with self._pace.turn(url.host, every):
                status, got, content = self._exchange(url, headers, largest, private)
            if status == 304 and cached is not None:
                current = replace(cached, kept=datetime.now(UTC))
                self._kept.put(str(first), accept, current)
                return Answer(cached.url, cached.kind, cached.content, current.kept, fresh=False)
            if status in _MOVED and "location" in got:
                url = web_address(str(url.join(got["location"])))
                continue
            if status in _PASSING:
                raise _PassingError(f"it answered {_words(status)}", _asked_pause(got), status)
            if status != 200:
                raise FetchError(f"{url} answered {_words(status)}; {_advice(status)}", status)
            if busy is not None and busy(content):
                raise _PassingError("it says that it was asked too often", status=429)
            kind = got.get("content-type", "").partition(";")[0].strip().lower()
            answer = Kept(str(url), kind, content, datetime.now(UTC), got.get("etag", ""), got.get("last-modified", ""))
            self._kept.put(str(first), accept, answer)
            return Answer(answer.url, kind, content, answer.kept)
        raise FetchError(f"{first} was redirected more than {_MOST_HOPS} times; not followed further")

    def _exchange(
        self, url: httpx2.URL, headers: Mapping[str, str], largest: int, private: bool
    ) -> tuple[int, httpx2.Headers, bytes]:
        """Send one request, and return status, headers and the whole content.

        Raises:
            TooLargeError: as it says.
            _PassingError: there is no whole answer.
        """
        late = f"it did not answer whole within {self._deadline:g} s"
        started = time.monotonic()
        with httpx2.Client(transport=transport(url, private=private), timeout=self._timeout, trust_env=False) as http:
            # A timeout counts from byte to byte; only closing the connection ends an answer that drips for ever.
            watch = threading.Timer(self._deadline, http.close)
            watch.daemon = True
            watch.start()
            try:
                with http.stream("GET", url, headers=dict(headers)) as response:
                    length = response.headers.get("content-length", "")
                    if length.isdecimal() and int(length) > largest:
                        raise _too_large(url, largest)
                    content = bytearray()
                    for piece in response.iter_bytes(1 << 16):
                        content += piece
                        if len(content) > largest:
                            raise _too_large(url, largest)
                        if time.monotonic() - started > self._deadline:
                            raise _PassingError(late)
                    return response.status_code, response.headers, bytes(content)
            except httpx2.TimeoutException:
                raise _PassingError(f"it sent nothing for {self._timeout:g} s") from None
            except httpx2.DecodingError:
                raise _PassingError("its answer was packed wrongly") from None
            except httpx2.TransportError as error:
                reason = late if time.monotonic() - started > self._deadline else _reason(error)
                raise _PassingError(reason) from None
            finally:
                watch.cancel()

    def _pause(self, attempt: int) -> float:
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1)) * self._jitter.uniform(1.0, 1.25)

    def _given_up(self, url: httpx2.URL, error: _PassingError, attempts: int, cached: Kept | None) -> FetchError:
        if error.pause is not None and error.pause > _LONGEST_ASKED_PAUSE:
            how = f"asks to wait for {error.pause:.0f} s; try again then"
        else:
            how = f"could not be fetched ({attempts} attempt{'s' if attempts > 1 else ''}): {error}; try again later"
        copy = f", or offline: there is a copy of {cached.kept:%Y-%m-%d %H:%M} UTC" if cached else ""
        return FetchError(f"{url} {how}{copy}", error.status)


HF_URL, ARXIV_URL = "https://huggingface.co", "https://export.arxiv.org"


def base_url(variable: str, default: str) -> str:
    """Return the base address that an environment variable names, or the default, without a slash at its end.

    Raises:
        InputError: it is no http(s) address.
    """
    named = os.environ.get(variable, "").strip()
    if named:
        web_address(named)
    return (named or default).rstrip("/")


def default_client(*, bases: Iterable[str] = (), offline: bool | None = None, **patience: Any) -> Client:
    """Return a client as the environment configures it.

    `TRUED_HF_URL` and `TRUED_ARXIV_URL` name other servers, and may be private; `TRUED_OFFLINE=1` keeps it offline.

    Args:
        bases: further addresses that the caller configured.
        offline: in place of what the environment says.
        patience: `timeout`, `deadline` and `retries` of the client, where somebody waits for the answer.
    """
    named = [url for variable in ("TRUED_HF_URL", "TRUED_ARXIV_URL") if (url := os.environ.get(variable, "").strip())]
    silent = os.environ.get("TRUED_OFFLINE", "").strip().lower() in ("1", "true", "yes")
    return Client(bases=[*named, *bases], offline=silent if offline is None else offline, **patience)


def _asked_pause(headers: httpx2.Headers) -> float | None:
    """Return the seconds of Retry-After, as a number or as a date, or None."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _words(status: int) -> str:
    return f"{status} {httpx2.codes.get_reason_phrase(status)}".strip()


def _advice(status: int) -> str:
    if status in (401, 403):
        return "it does not let everybody in"
    return "nothing is there; check the address" if status in (404, 410) else "check the address"


def _reason(error: httpx2.TransportError) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError):
        return f"its answer broke off ({text})"
    return f"no connection ({text})"


def _too_large(url: httpx2.URL, largest: int) -> TooLargeError:
    return TooLargeError(f"{url} answers with more than {largest / (1 << 20):g} MiB; that much is not read")
