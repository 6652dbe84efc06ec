"""One chat request to an OpenAI-compatible endpoint: sent, repeated where waiting helps, its failure put in a sentence.

Knows the `openai` client, its errors, and the key, which goes into the request's header and nowhere else. Knows
nothing of prompts, caches or threads, but that a caller may call the whole thing off. What one odd answer means for
that request alone, and what for the whole run, is decided here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from trued.errors import InputError, MissingExtra, nearest
from trued.language.endpoint.answer import FILTERED, UNREADABLE, Answer, UnreadableError, read_answer
from trued.language.endpoint.complaint import LIMITS, Complaint, complaint_in, one_line

_log = logging.getLogger(__name__)

_OPENAI = "https://api.openai.com/v1"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds
_LONGEST_WAIT = 120.0  # seconds, where the server asks for more


class CalledOffError(Exception):
    """The caller has given up; there is nobody left to answer."""


class Endpoint:
    """An address, a key and a patience.

    Args:
        base_url: such as "http://localhost:8000/v1"; without it `OPENAI_BASE_URL`, or OpenAI itself.
        api_key_env: the environment variable that holds the key; None for a server that needs none.
        timeout: seconds for one attempt.
        retries: attempts after the first one.

    Raises:
        MissingExtra: the `openai` package is not installed.
        InputError: no key, or an address that is none.
    """

    def __init__(self, base_url: str | None, api_key_env: str | None, *, timeout: float, retries: int) -> None:
        try:
            import openai
        except ImportError:
            raise MissingExtra("openai", "endpoint") from None
        if retries < 0 or timeout <= 0:
            raise InputError(
                f"retries={retries}, timeout={timeout}: retries must be at least 0, timeout above 0 seconds"
            )
        self.key_name = api_key_env
        self.timeout, self.retries = timeout, retries
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI
        self.url = _public(base_url)
        self._openai = openai
        self._unsupported: set[str] = set()
        self._lock = threading.Lock()
        self._answers = threading.Event()  # set with the first proper answer
        # Retries are counted here and not in the client, so that giving up cuts a pause short.
        self._client = openai.OpenAI(api_key=_key(api_key_env), base_url=base_url, timeout=timeout, max_retries=0)

    @property
    def answers(self) -> bool:
        """True once the endpoint has answered properly, so that its address and the model are right."""
        return self._answers.is_set()

    @property
    def official(self) -> bool:
        return urlsplit(self.url).hostname == "api.openai.com"

    def send(self, body: Mapping[str, Any], extra: Mapping[str, Any], called_off: threading.Event) -> Answer:
        """Send one chat-completions request, and return the answer, or why this request gets none.

        A parameter that the server names as one that it does not take is left out, or goes by its other name, from
        then on.

        Raises:
            InputError: it failed for a reason that concerns every request.
            CalledOffError: `called_off` was set before an answer came.
        """
        for attempt in range(1, self.retries + 2):
            if called_off.is_set():
                raise CalledOffError
            left = self.retries + 1 - attempt
            pause: float | None = None
            try:
                return self._answer(body, extra)
            except UnreadableError as error:
                # Before the first proper answer the address may be wrong, and asking again would not help.
                if not left or not self._answers.is_set():
                    return Answer("", missing=UNREADABLE, words=str(error), doubt=self.malformed(str(error)))
            except _ComplaintError as error:
                complaint = error.complaint
                if missing := complaint.missing():
                    if missing is FILTERED:
                        self._answers.set()
                    doubt = None if missing is FILTERED else self._refused(complaint, str(body["model"]), attempt)
                    return Answer("", missing=missing, words=self._quoted(complaint.words), doubt=doubt)
                if not left or not complaint.passing:
                    raise self._refused(complaint, str(body["model"]), attempt) from None
                pause = error.pause
            except self._openai.APIConnectionError as error:
                if not left:
                    # "from None": the client's errors hold the request, and with it the header that holds the key.
                    raise self._unreached(error, attempt) from None
            called_off.wait(_backoff(attempt) if pause is None else pause)
        raise CalledOffError

    def left_out(self, names: Collection[str]) -> tuple[str, ...]:
        """Return those of a request's parameters that are not sent, since the server does not take them."""
        return tuple(name for name in names if name in self._unsupported and name not in LIMITS)

    def malformed(self, what: str) -> InputError:
        """Return the error for an answer that cannot be read."""
        return InputError(f"{self.url} gave a malformed answer: {what}; is it an OpenAI-compatible /v1 address?")

    def _answer(self, body: Mapping[str, Any], extra: Mapping[str, Any]) -> Answer:
        while True:
            sent = self._adapted(body)
            try:
                response = self._client.chat.completions.create(**sent, extra_body=dict(extra) or None)
                plain = response.model_dump(warnings=False)
            except self._openai.APIStatusError as error:
                complaint = Complaint(error.status_code, error.body if error.body is not None else error.response.text)
                if error.status_code < 400:
                    raise UnreadableError(self._quoted(complaint.words) or f"status {error.status_code}") from None
                if self._learns(complaint, sent):
                    continue
                raise _ComplaintError(complaint, _requested_pause(error.response.headers)) from None
            except self._openai.APIConnectionError:
                raise
            except (self._openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
                # The client's own, for a body that is no completion; its text may hold the request.
                raise UnreadableError(f"not a chat completion ({type(error).__name__})") from None
            if complaint := complaint_in(plain):
                raise _ComplaintError(complaint)
            answer = read_answer(plain)
            self._answers.set()
            return replace(answer, left_out=self.left_out(body)) if self._unsupported else answer

    def _adapted(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request with the parameters that the server takes."""
        sent = {}
        for name, value in body.items():
            if name not in self._unsupported:
                sent[name] = value
            elif name in LIMITS:
                sent[LIMITS[1 - LIMITS.index(name)]] = value
        return sent

    def _learns(self, complaint: Complaint, sent: Collection[str]) -> bool:
        """True if the server names a parameter that it does not take, and the request can do without it."""
        name = complaint.unsupported(sent)
        if name is None or (name in LIMITS and not self._unsupported.isdisjoint(set(LIMITS) - {name})):
            return False
        with self._lock:
            new = name not in self._unsupported
            self._unsupported.add(name)
        if new and name not in LIMITS:
            _log.warning("%s does not take %s (%s): it is left out", self.url, name, self._quoted(complaint.words))
        return True

    def _unreached(self, error: Any, attempts: int) -> InputError:
        if isinstance(error, self._openai.APITimeoutError):
            advice = "raise the timeout or lower the concurrency"
            return InputError(f"{self.url} did not answer within {self.timeout:g} s ({_tries(attempts)}): {advice}")
        cause = self._quoted(one_line(str(error.__cause__ or error))) or type(error).__name__
        return InputError(
            f"{self.url} cannot be reached ({_tries(attempts)}): {cause}; check the address and the network"
        )

    def _refused(self, complaint: Complaint, model: str, attempts: int) -> InputError:
        """Return the error for a complaint that concerns every request."""
        status, words = complaint.status, self._quoted(complaint.words) or "no reason given"
        if status in (401, 403):
            key = f"the key in {self.key_name}" if self.key_name else "a request without a key"
            return InputError(f"{self.url} refuses {key} ({status}: {words})")
        if status == 404:
            return InputError(
                f"{self.url} knows no model {model!r}{self._offered(model)} ({status}: {words}): "
                "check the model's name, and that the address ends in /v1 or what your server has instead"
            )
        what = f"failed with status {status}" if status else "answered with an error"
        return InputError(f"{self.url} {what} ({_tries(attempts)}): {words}")

    def _offered(self, model: str) -> str:
        """Name the models that the endpoint does have, where it tells."""
        with contextlib.suppress(Exception):  # only a hint inside another error's message
            names = [entry.id for entry in self._client.models.list()]
            return nearest(model, names) or (f"; it has {', '.join(sorted(names)[:5])}" if names else "")
        return ""

    def _quoted(self, words: str) -> str:
        """Return a server's or a network's own words without the key, should they repeat it."""
        return words.replace(self._client.api_key, "***") if self.key_name else words


class _ComplaintError(Exception):
    """The server complains; `pause` is the seconds that it asks for, where it does."""

    def __init__(self, complaint: Complaint, pause: float | None = None) -> None:
        super().__init__(complaint.words)
        self.complaint, self.pause = complaint, pause


def _tries(attempts: int) -> str:
    return f"{attempts} attempt{'s' if attempts > 1 else ''}"


def _key(name: str | None) -> str:
    if name is None:
        return "none"  # the client wants some text
    key = os.environ.get(name, "").strip()
    if not key:
        raise InputError(
            f"the environment variable {name} holds no key: set it, name another one with api_key_env, "
            "or pass api_key_env=None for a server that needs none"
        )
    return key


def _public(url: str) -> str:
    """Return an address without the user, password and query that may be in it."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{url!r} is not the address of an endpoint: expected one such as http://localhost:8000/v1")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _requested_pause(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait for, told in seconds or as a date; None where it tells none."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name, "")
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            if re.fullmatch(r"\s*\d+(\.\d*)?\s*", value):
                return min(float(value) * unit, _LONGEST_WAIT)
            if name == "retry-after" and value:
                seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
                return min(max(seconds, 0.0), _LONGEST_WAIT)
    return None


def _backoff(attempt: int) -> float:
    """Return the seconds before the next attempt: doubling, spread so that threads part."""
    return min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE) * random.uniform(0.5, 1.0)
