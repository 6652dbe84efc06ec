"""One chat request to an OpenAI-compatible endpoint: sent, repeated where waiting helps, its failure put in a sentence.

Knows the `openai` client, its errors, and the key, which goes into the request's header and nowhere else. Knows
nothing of prompts, caches or threads, but that a caller may call the whole thing off.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from trued.errors import InputError, MissingExtra, nearest

_OPENAI = "https://api.openai.com/v1"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds
_PASSING = frozenset({408, 409, 429})  # and 5xx: another attempt may do better
_LONGEST_QUOTE = 300  # characters of a server's own words


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
        # Retries are counted here and not in the client, so that giving up cuts a pause short.
        self._client = openai.OpenAI(api_key=_key(api_key_env), base_url=base_url, timeout=timeout, max_retries=0)

    @property
    def official(self) -> bool:
        return urlsplit(self.url).hostname == "api.openai.com"

    def send(self, body: Mapping[str, Any], extra: Mapping[str, Any], called_off: threading.Event) -> dict[str, Any]:
        """Send one chat-completions request, and return the answer as plain data.

        Raises:
            InputError: it failed for good.
            CalledOffError: `called_off` was set before an answer came.
        """
        for attempt in range(1, self.retries + 2):
            if called_off.is_set():
                raise CalledOffError
            try:
                answer = self._client.chat.completions.create(**body, extra_body=dict(extra) or None)
                return answer.model_dump(warnings=False)
            except self._openai.APIError as error:
                if attempt > self.retries or not _passes(error):
                    # "from None": the client's errors hold the request, and with it the header that holds the key.
                    raise self._explained(error, str(body["model"]), attempt) from None
                called_off.wait(_pause(attempt, error))
            except (ValueError, TypeError, AttributeError) as error:  # the client's, for a body that is no completion
                raise self.malformed(f"not a chat completion ({type(error).__name__})") from None
        raise CalledOffError

    def malformed(self, what: str) -> InputError:
        """Return the error for an answer that cannot be read."""
        return InputError(f"{self.url} gave a malformed answer: {what}; is it an OpenAI-compatible /v1 address?")

    def _explained(self, error: Any, model: str, attempts: int) -> InputError:
        tries = f"{attempts} attempt{'s' if attempts > 1 else ''}"
        if isinstance(error, self._openai.APITimeoutError):
            advice = "raise the timeout or lower the concurrency"
            return InputError(f"{self.url} did not answer within {self.timeout:g} s ({tries}): {advice}")
        if isinstance(error, self._openai.APIConnectionError):
            cause = self._quoted(error.__cause__ or error)
            return InputError(f"{self.url} cannot be reached ({tries}): {cause}; check the address and the network")
        status = getattr(error, "status_code", None)
        if status is None or status < 400:
            return self.malformed(self._quoted(error))
        words = self._quoted(error)
        if status in (401, 403):
            key = f"the key in {self.key_name}" if self.key_name else "a request without a key"
            return InputError(f"{self.url} refuses {key} ({status}: {words})")
        if status == 404:
            return InputError(
                f"{self.url} knows no model {model!r}{self._offered(model)} ({status}: {words}): "
                "check the model's name, and that the address ends in /v1 or what your server has instead"
            )
        return InputError(f"{self.url} failed with status {status} ({tries}): {words}")

    def _offered(self, model: str) -> str:
        """Name the models that the endpoint does have, where it tells."""
        with contextlib.suppress(Exception):  # only a hint inside another error's message
            names = [entry.id for entry in self._client.models.list()]
            return nearest(model, names) or (f"; it has {', '.join(sorted(names)[:5])}" if names else "")
        return ""

    def _quoted(self, error: Any) -> str:
        """Return a server's or a network's own words on one line, without the key should they repeat it."""
        body = getattr(error, "body", None)
        words = body.get("message") if isinstance(body, dict) else None
        text = " ".join(str(words or getattr(error, "message", None) or error).split())
        if self.key_name:
            text = text.replace(self._client.api_key, "***")
        return text[:_LONGEST_QUOTE].rstrip(".") or type(error).__name__


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


def _passes(error: Any) -> bool:
    status = getattr(error, "status_code", None)
    if status is None:
        return type(error).__name__ in ("APIConnectionError", "APITimeoutError")
    return status in _PASSING or status >= 500


def _pause(attempt: int, error: Any) -> float:
    """Seconds before the next attempt: what the server asks for, else doubling, spread so that threads part."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        with contextlib.suppress(
            KeyError, ValueError
        ):  # a date instead of seconds is legal, and rare: back off as usual
            return min(max(float(headers[name]) * unit, 0.0), _LONGEST_PAUSE)
    return min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE) * random.uniform(0.5, 1.0)
