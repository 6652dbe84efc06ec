"""`ChatEndpoint`: any OpenAI-compatible endpoint, with the same `generate` as `LanguageModel`, for judges and targets.

Requests run in threads up to a limit, and what was answered once is answered from a cache on the disk.

Knows chats, samples and cached answers. Knows nothing of what the answers are used for.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from trued.data.messages import Prompt, as_messages
from trued.errors import InputError
from trued.files import write_text
from trued.language.endpoint.answer import Answer
from trued.language.endpoint.oddities import Oddities
from trued.language.endpoint.request import Endpoint
from trued.texts import has_half, read_json

_TOP_LOGPROBS = 20  # the most that endpoints give
_MOST_DOUBTS = 5  # unreadable answers and none that is proper: then it is not one odd answer
_MOST_STOPS = 4  # more stop strings than these are refused by some endpoints; all of them are applied here again


class ChatEndpoint:
    """A chat model behind an OpenAI-compatible endpoint: OpenAI, vLLM, llama.cpp, Ollama, LiteLLM and others.

    Args:
        model: its name at the endpoint.
        base_url: such as "http://localhost:8000/v1"; without it `OPENAI_BASE_URL`, or OpenAI itself.
        api_key_env: the environment variable that holds the key; None for a server that needs none.
        concurrency: how many requests of one call may be under way at once.
        timeout: seconds for one attempt.
        retries: attempts after the first, for timeouts, lost connections and the statuses 408, 409, 429 and 5xx, with
            growing pauses or those that the server asks for. Any other 4xx is final.
        cache: a folder for answers, or None to ask anew each time. Failures and the key are never kept; that a filter
            held an answer back is.
        extra_body: fields that only some servers know, sent with every request.

    Raises:
        MissingExtra: the `openai` package is not installed.
        InputError: no key, or an address that is none.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        *,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 4,
        cache: str | Path | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        if concurrency < 1:
            raise InputError(f"concurrency={concurrency}: at least one request must be allowed at once")
        self.name = model
        self.endpoint = Endpoint(base_url, api_key_env, timeout=timeout, retries=retries)
        self.concurrency = concurrency
        self.cache = Path(cache) if cache is not None else None
        self.extra_body = dict(extra_body or {})
        self._oddities = Oddities()

    @property
    def notes(self) -> list[str]:
        """What a reader of any number from these replies has to know: how many had no text, and what was left out."""
        return self._oddities.notes(self.name, self.endpoint.url)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = 256,
        n: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        prefill: str | Sequence[str] = "",
        seed: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[list[str]]:
        """Answer each prompt `n` times: greedily at temperature 0, else sampled with `seed`.

        Every sample is a request with a seed of its own, derived from `seed` and its number among the samples of the
        same prompt. Servers may ignore seeds; with a cache the same call gives the same replies.

        Args:
            prompts: texts or lists of messages.
            stop: a reply ends before the first of these strings.
            prefill: how the assistant's turn begins (one for all, or one a prompt), sent as a last message of the
                assistant. The server must continue such a message: some do so unasked, vLLM with `extra_body=
                {"continue_final_message": True, "add_generation_prompt": False}`, OpenAI does not. It is not part of
                the returned text.
            progress: called with the number of prompts that are done.

        Returns:
            [prompt][n] replies. A request that got no text has the reply "", which judges count as unknown: the server
            held it back by a filter, gave a tool call, or an answer that cannot be read. `notes` tells how many.

        Raises:
            InputError: sampling without a seed, mismatched prefills, or a failure that concerns every request, such as
                a wrong key, address or model; answers that came before it are in the cache.
        """
        _check_sampling(n, temperature, seed, stop)
        prefills = [prefill] * len(prompts) if isinstance(prefill, str) else list(prefill)
        if any(map(has_half, (*prefills, *stop))):
            raise InputError("a prefill or a stop text contains half of a character (a lone surrogate): write it whole")
        if len(prefills) != len(prompts):
            raise InputError(f"{len(prompts)} prompts and {len(prefills)} prefills: one each, or one for all")
        drawn: Counter[str] = Counter()
        bodies = []
        for prompt, start in zip(prompts, prefills, strict=True):
            body = self._body(prompt, start, max_new_tokens) | {"temperature": temperature}
            body |= ({"top_p": top_p} if top_p < 1 else {}) | ({"stop": list(stop)[:_MOST_STOPS]} if stop else {})
            for _ in range(n):
                own = {}
                if temperature > 0:
                    key = self._key(body)
                    own = {"seed": _derived_seed(seed, drawn[key])}
                    drawn[key] += 1
                bodies.append(body | own)
        answers = self._ask(bodies, per_prompt=n, progress=progress)
        texts = [_trimmed(answer.text, prefills[place // n], stop) for place, answer in enumerate(answers)]
        return [texts[i * n : (i + 1) * n] for i in range(len(prompts))]

    def choice_logprobs(
        self,
        prompts: Sequence[Prompt],
        choices: Sequence[str],
        *,
        prefill: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> Float[np.ndarray, "prompts choices"]:
        """Log-probability that the reply's first token is each choice, for judges that answer with one letter or word.

        Tokens that differ only in the spaces around them are one choice, and their probabilities are added.

        Args:
            choices: what the reply may begin with; each must be a single token to the model, such as "A" or "Yes".

        Returns:
            Natural logarithms; minus infinity for a choice outside the 20 likeliest tokens, and NaN throughout for a
            prompt that got no answer (see `notes`).

        Raises:
            InputError: repeated or empty choices, a server that gives no log-probabilities, or a failed request.
        """
        labels = [choice.strip() for choice in choices]
        if not all(labels) or len(set(labels)) < len(labels):
            raise InputError(f"choices {list(choices)}: each must be a different text that is not empty")
        options = {"temperature": 0.0, "logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        answers = self._ask([self._body(p, prefill, 1) | options for p in prompts], per_prompt=1, progress=progress)
        table = np.full((len(prompts), len(labels)), -math.inf)
        for row, answer in enumerate(answers):
            if answer.missing and answer.top is None:
                table[row] = math.nan
                continue
            if answer.top is None:
                raise InputError(
                    f"{self.endpoint.url} gave no log-probabilities for {self.name!r}: "
                    "use a server and a model that do, or judge by the reply's text"
                )
            for token, logprob in answer.top:
                if token.strip() in labels:
                    column = labels.index(token.strip())
                    table[row, column] = np.logaddexp(table[row, column], logprob)
        return table

    # -- requests --------------------------------------------------------------------------------------------------

    def _body(self, prompt: Prompt, prefill: str, length: int) -> dict[str, Any]:
        messages = as_messages(prompt) + ([{"role": "assistant", "content": prefill}] if prefill else [])
        # OpenAI's newer models refuse the older name, many other servers know only that.
        limit = "max_completion_tokens" if self.endpoint.official else "max_tokens"
        return {"model": self.name, "messages": messages, limit: length}

    def _ask(
        self, bodies: Sequence[dict[str, Any]], *, per_prompt: int, progress: Callable[[int], None] | None
    ) -> list[Answer]:
        """Answer every request, equal ones once; the order is kept."""
        keys = [self._key(body) for body in bodies]
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        answers: dict[str, Answer] = {}
        left = Counter(place // per_prompt for place in range(len(bodies)))

        def arrived(key: str, answer: Answer) -> None:
            answers[key] = answer
            left.subtract(place // per_prompt for place in places[key])
            if progress is not None:
                progress(sum(count == 0 for count in left.values()))

        for key in places:
            if (answer := self._cached(key)) is not None:
                arrived(key, answer)
        missing = {key: bodies[at[0]] for key, at in places.items() if key not in answers}
        doubts: list[InputError] = []
        called_off = threading.Event()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="endpoint")
        try:
            waiting = {pool.submit(self._fetch, key, body, called_off): key for key, body in missing.items()}
            for future in as_completed(waiting):
                answer = future.result()
                doubts += [answer.doubt] if answer.doubt is not None else []
                if len(doubts) >= _MOST_DOUBTS and not self.endpoint.answers:
                    raise doubts[0]
                arrived(waiting[future], answer)
        finally:  # after an error or Ctrl-C nothing more is sent, and nobody waits for what is under way
            called_off.set()
            pool.shutdown(wait=False, cancel_futures=True)
        if doubts and not self.endpoint.answers:
            raise doubts[0]
        self._oddities.count([answers[key] for key in keys])
        return [answers[key] for key in keys]

    def _fetch(self, key: str, body: dict[str, Any], called_off: threading.Event) -> Answer:
        answer = self.endpoint.send(body, self.extra_body, called_off)
        if self.cache is not None and answer.doubt is None:
            record = self._identity(body) | {"answer": answer.record()}
            try:
                write_text(self._path(key), json.dumps(record, ensure_ascii=False, indent=1) + "\n")
            except OSError as error:
                raise InputError(f"answers cannot be kept in {self.cache}: {error.strerror}") from error
        return answer

    # -- cache -----------------------------------------------------------------------------------------------------

    def _identity(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"url": self.endpoint.url, "request": {**body, **self.extra_body}}

    def _key(self, body: Mapping[str, Any]) -> str:
        return hashlib.sha256(json.dumps(self._identity(body), sort_keys=True).encode()).hexdigest()

    def _path(self, key: str) -> Path:
        assert self.cache is not None
        return self.cache / key[:2] / f"{key}.json"

    def _cached(self, key: str) -> Answer | None:
        if self.cache is None:
            return None
        try:
            return Answer.of_record(read_json(self._path(key).read_text(encoding="utf-8"))["answer"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # absent, or spoilt from outside: asked again and overwritten


def _check_sampling(n: int, temperature: float, seed: int | None, stop: Sequence[str]) -> None:
    if n < 1:
        raise InputError(f"n={n}: at least one reply a prompt")
    if temperature > 0 and seed is None:
        raise InputError("sampling needs a seed, so that the same seed gives the same replies")
    if n > 1 and temperature == 0:
        raise InputError(f"n={n} greedy replies would all be the same: set a temperature")
    if isinstance(stop, str) or not all(stop):
        raise InputError(f"stop={stop!r}: expected a list of texts that are not empty")


def _derived_seed(seed: int | None, index: int) -> int:
    """Return a seed that no other (seed, index) is likely to share, within what servers take (31 bits)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:4], "big") >> 1


def _trimmed(text: str, prefill: str, stop: Sequence[str]) -> str:
    """Drop a prefill that the server repeated, and what follows a stop string that it let pass."""
    text = text.removeprefix(prefill)
    return text[: min((at for s in stop if (at := text.find(s)) >= 0), default=len(text))]
