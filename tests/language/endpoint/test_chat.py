"""`ChatEndpoint` against a real HTTP server on this machine that speaks /v1/chat/completions."""

import json
import logging
import math
import sys
import threading
import time

import pytest
from chat_server import KEY, completion, echo

from trued.errors import InputError, MissingExtra
from trued.language.endpoint.chat import ChatEndpoint


@pytest.fixture
def chat(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return lambda **options: ChatEndpoint("model-7b", server.url, **options)


# -- replies -----------------------------------------------------------------------------------------------------------


def test_replies_come_in_the_order_of_the_prompts_whatever_the_order_of_the_answers(server, chat):
    def slow_first(body):
        number = int(body["messages"][-1]["content"])
        time.sleep(0.005 * (12 - number))
        return echo(body)

    server.answer = slow_first
    done = []
    replies = chat(concurrency=12).generate([str(i) for i in range(12)], progress=done.append)
    assert replies == [[f"reply to {i}"] for i in range(12)]
    assert done == list(range(1, 13))


def test_no_more_requests_than_allowed_are_in_flight_and_the_limit_is_used(server, chat):
    server.delay = 0.03
    chat(concurrency=3).generate([str(i) for i in range(12)])
    assert server.most_in_flight == 3
    assert len(server.requests) == 12


def test_request_carries_messages_prefill_settings_and_extra_fields(server, chat):
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    endpoint = chat(extra_body={"continue_final_message": True})
    endpoint.generate([history], max_new_tokens=7, temperature=0.5, top_p=0.9, stop=["\n"], prefill="Sure", seed=3)
    (body,) = server.requests
    assert body["messages"] == [*history, {"role": "assistant", "content": "Sure"}]
    assert body["model"] == "model-7b"
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["stop"]) == (7, 0.5, 0.9, ["\n"])
    assert body["continue_final_message"] is True
    assert server.keys == [f"Bearer {KEY}"]


def test_repeated_prefill_and_text_after_a_stop_are_cut(server, chat):
    server.answer = lambda body: (200, completion("Sure, one. STOP two"))
    assert chat().generate(["a"], prefill="Sure,", stop=["e", "d", "c", "b", "STOP"]) == [[" on"]]
    assert len(server.requests[0]["stop"]) == 4
    assert chat().generate(["a"], stop=["STOP"]) == [["Sure, one. "]]


def test_samples_of_a_prompt_have_seeds_of_their_own_that_the_seed_fixes(server, chat):
    server.answer = lambda body: (200, completion(f"{body['messages'][-1]['content']} {body['seed']}"))
    ask = lambda seed: chat().generate(["a", "b", "a"], n=3, temperature=1.0, seed=seed)  # noqa: E731
    first, again, other = ask(0), ask(0), ask(1)
    assert [len(row) for row in first] == [3, 3, 3]
    assert first == again
    assert len({*first[0], *first[2]}) == 6, "a prompt that stands twice is sampled afresh"
    assert not {*first[0], *first[1]} & {*other[0], *other[1]}
    assert all(text.startswith(prompt) for prompt, row in zip("aba", first, strict=True) for text in row)


def test_equal_greedy_requests_are_sent_once(server, chat):
    assert chat().generate(["a", "a", "b"]) == [["reply to a"], ["reply to a"], ["reply to b"]]
    assert len(server.requests) == 2


def test_refusal_field_is_the_reply_and_a_filtered_answer_is_empty(server, chat):
    refusal = {"message": {"role": "assistant", "content": None, "refusal": "I can't help with that."}}
    server.answer = lambda body: (200, completion(None, **refusal))
    assert chat().generate(["a"]) == [["I can't help with that."]]
    server.answer = lambda body: (200, completion(None, finish_reason="content_filter"))
    assert chat().generate(["a"]) == [[""]]


def test_no_prompts_no_requests(server, chat):
    assert chat().generate([]) == []
    assert chat().choice_logprobs([], ["A", "B"]).shape == (0, 2)
    assert server.requests == []


# -- choices -----------------------------------------------------------------------------------------------------------


def test_choice_logprobs_add_up_spellings_and_give_minus_infinity_to_absent_ones(server, chat):
    top = [("A", 0.5), (" A", 0.25), ("B", 0.125), ("zebra", 0.01)]
    tokens = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in top]
    first = tokens[0] | {"top_logprobs": tokens}
    server.answer = lambda body: (200, completion("A", logprobs={"content": [first], "refusal": None}))
    table = chat().choice_logprobs(["one", "two"], ["A", "B", "C"])
    assert table.shape == (2, 3)
    assert table[0] == pytest.approx([math.log(0.75), math.log(0.125), -math.inf])
    assert server.requests[0]["logprobs"] is True
    assert server.requests[0]["max_tokens"] == 1


def test_server_without_logprobs_is_named(server, chat):
    with pytest.raises(InputError, match="gave no log-probabilities for 'model-7b'"):
        chat().choice_logprobs(["one"], ["A", "B"])
    with pytest.raises(InputError, match="each must be a different text"):
        chat().choice_logprobs(["one"], ["A", " A"])


# -- retries -----------------------------------------------------------------------------------------------------------


def failing(times, status, then=echo):
    left = [times]

    def answer(body):
        if left[0] > 0:
            left[0] -= 1
            return status, {"error": {"message": "slow down"}}
        return then(body)

    return answer


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_passing_failures_are_retried(server, chat, status):
    server.answer, server.headers = failing(2, status), {"retry-after-ms": "1"}
    assert chat(retries=2).generate(["a"]) == [["reply to a"]]
    assert len(server.requests) == 3


def test_pause_grows_where_the_server_names_none(server, chat):
    server.answer = failing(2, 500)
    started = time.monotonic()
    chat(retries=2).generate(["a"])
    assert 0.75 <= time.monotonic() - started < 4, "half of 0.5 s and of 1 s at least"


def test_lasting_failure_ends_in_one_sentence_with_status_and_attempts(server, chat):
    server.answer, server.headers = failing(99, 500), {"retry-after-ms": "1"}
    with pytest.raises(InputError, match=r"failed with status 500 \(3 attempts\): slow down") as caught:
        chat(retries=2).generate(["a"])
    assert server.url in str(caught.value)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_final_failures_are_not_retried(server, chat, status):
    server.answer = failing(99, status)
    with pytest.raises(InputError, match=str(status)):
        chat().generate(["a"])
    assert len(server.requests) == 1


def test_unknown_model_names_the_nearest_one(server, chat):
    server.answer = failing(99, 404)
    with pytest.raises(InputError, match="knows no model 'model-7b'; did you mean modal-7b"):
        chat().generate(["a"])


def test_timeout_is_retried_and_then_named(server, chat, monkeypatch):
    monkeypatch.setattr("trued.language.endpoint.request._FIRST_PAUSE", 0.01)
    server.delay = 0.4
    with pytest.raises(InputError, match=r"did not answer within 0\.1 s \(2 attempts\)"):
        chat(timeout=0.1, retries=1).generate(["a"])
    assert len(server.requests) == 2


def test_unreachable_host_names_the_address(server, chat, monkeypatch):
    monkeypatch.setattr("trued.language.endpoint.request._FIRST_PAUSE", 0.01)
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(InputError, match=rf"{server.url} cannot be reached \(2 attempts\)"):
        chat(retries=1).generate(["a"])


def test_one_failure_stops_the_rest_and_leaves_what_was_answered_in_the_cache(server, chat, tmp_path):
    def only_early(body):
        return echo(body) if body["messages"][-1]["content"] in "012" else (400, {"error": {"message": "no"}})

    server.answer = only_early
    prompts = [str(i) for i in range(40)]
    with pytest.raises(InputError, match="400"):
        chat(concurrency=1, cache=tmp_path).generate(prompts)
    for thread in threading.enumerate():
        if thread.name.startswith("endpoint"):
            thread.join(10)  # a request that was under way when the call gave up still belongs to the first server
    assert len(server.requests) < 10
    server.answer, calls = echo, len(server.requests)
    assert chat(cache=tmp_path).generate(prompts) == [[f"reply to {i}"] for i in range(40)]
    again = {request["messages"][-1]["content"] for request in server.requests[calls:]}
    assert again == set(prompts[3:])


@pytest.mark.parametrize(
    "data",
    [
        b"<html>hello</html>",
        b'{"choices": ',
        b'"text"',
        b"[]",
        b"null",
        {"choices": []},
        {"choices": None},
        {"object": "other"},
        completion(12),
        {"choices": [{"index": 0}]},
    ],
)
def test_malformed_answers_are_one_sentence_and_never_cached(server, chat, tmp_path, data):
    server.answer = lambda body: (200, data)
    with pytest.raises(InputError, match="gave a malformed answer"):
        chat(cache=tmp_path, retries=0).generate(["a"])
    assert not list(tmp_path.rglob("*.json"))


# -- cache -------------------------------------------------------------------------------------------------------------


def test_second_call_asks_nothing_and_another_setting_does(server, chat, tmp_path):
    endpoint = chat(cache=tmp_path)
    first = endpoint.generate(["a", "b"])
    assert chat(cache=tmp_path).generate(["a", "b"]) == first
    assert len(server.requests) == 2
    endpoint.generate(["a"], max_new_tokens=5)
    chat(cache=tmp_path, extra_body={"top_k": 1}).generate(["a"])
    assert len(server.requests) == 4


def test_samples_are_cached_by_seed_and_number(server, chat, tmp_path):
    numbers = iter(range(1000))
    server.answer = lambda body: (200, completion(str(next(numbers))))
    ask = lambda n, seed: chat(cache=tmp_path).generate(["a"], n=n, temperature=1.0, seed=seed)  # noqa: E731
    three = ask(3, 0)
    assert ask(3, 0) == three
    assert ask(5, 0)[0][:3] == three[0]
    assert len(server.requests) == 5
    assert not set(ask(3, 1)[0]) & set(three[0])


def test_spoilt_cache_file_is_asked_again_and_mended(server, chat, tmp_path):
    endpoint = chat(cache=tmp_path)
    expected = endpoint.generate(["a"])
    (path,) = tmp_path.rglob("*.json")
    for spoilt in ("", "{", "[]", '{"answer": {"text": 3}}'):
        path.write_text(spoilt)
        assert endpoint.generate(["a"]) == expected
    assert len(server.requests) == 5
    assert json.loads(path.read_text())["answer"]["text"] == "reply to a"


def test_failures_are_not_cached(server, chat, tmp_path):
    server.answer = failing(1, 400)
    with pytest.raises(InputError):
        chat(cache=tmp_path).generate(["a"])
    assert chat(cache=tmp_path).generate(["a"]) == [["reply to a"]]


def test_key_is_nowhere_but_in_the_header(server, chat, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    endpoint = chat(cache=tmp_path)
    endpoint.generate(["a"])
    server.answer = lambda body: (401, {"error": {"message": f"wrong key {KEY} given"}})
    with pytest.raises(InputError, match=r"refuses the key in OPENAI_API_KEY \(401: wrong key \*\*\* given") as caught:
        endpoint.generate(["b"])
    assert caught.value.__suppress_context__
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 1
    assert not any(KEY in text for text in [*written, str(caught.value), repr(vars(endpoint)), caplog.text])


# -- bad use -----------------------------------------------------------------------------------------------------------


def test_absent_key_says_what_to_set_and_none_is_a_choice(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="the environment variable OPENAI_API_KEY holds no key"):
        ChatEndpoint("m", server.url)
    assert ChatEndpoint("m", server.url, api_key_env=None).generate(["a"]) == [["reply to a"]]


def test_absent_client_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"pip install -e '.\[endpoint\]'"):
        ChatEndpoint("m", "http://127.0.0.1:9/v1", None)


def test_address_comes_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert ChatEndpoint("m", api_key_env=None).generate(["a"]) == [["reply to a"]]


@pytest.mark.parametrize("address", ["localhost:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_address_that_is_none_is_found_before_any_request(address):
    with pytest.raises(InputError, match="is not the address of an endpoint"):
        ChatEndpoint("m", address, None)


def test_password_in_the_address_is_not_repeated(tmp_path):
    endpoint = ChatEndpoint("m", "http://user:hunter2@127.0.0.1:9/v1?token=hunter3", None, retries=0, timeout=1)
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9/v1 cannot be reached") as caught:
        endpoint.generate(["a"])
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 1.0}, "sampling needs a seed"),
        ({"n": 2}, "greedy replies would all be the same"),
        ({"n": 0}, "at least one reply"),
        ({"stop": "abc"}, "expected a list of texts"),
        ({"stop": [""]}, "expected a list of texts"),
        ({"prefill": ["x", "y"]}, "1 prompts and 2 prefills"),
    ],
)
def test_bad_use_is_found_before_any_request(server, chat, options, message):
    with pytest.raises(InputError, match=message):
        chat().generate(["a"], **options)
    assert server.requests == []


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"retries": -1}, {"timeout": 0}])
def test_settings_out_of_range_are_refused(chat, options):
    with pytest.raises(InputError, match=next(iter(options))):
        chat(**options)
