"""One odd answer among others costs one reply and is told; what concerns every request ends the run in a sentence."""

import json
import math

import pytest
from chat_server import KEY, completion

from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.direct import Direct
from trued.language.attack.pap import PAP
from trued.language.attack.protocol import notes_of
from trued.language.attack.scorer import LabelScorer, ModelTopic
from trued.language.endpoint.chat import ChatEndpoint
from trued.language.judge.models import HarmBenchJudge, LLMJudge, StrongRejectJudge
from trued.language.judge.reply import Label


@pytest.fixture
def chat(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("trued.language.endpoint.request._FIRST_PAUSE", 0.001)
    return lambda **options: ChatEndpoint("model-7b", server.url, **{"concurrency": 1, "retries": 1} | options)


def odd(status, data, times=99):
    """Answer "odd" with the given, `times` times, and all else properly."""
    left = [times]

    def answer(body):
        if "odd" in body["messages"][-1]["content"] and left[0]:
            left[0] -= 1
            return status, data
        return 200, completion("fine")

    return answer


def error(message, **more):
    return {"error": {"message": message, "type": "invalid_request_error"} | more}


CALL = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
FILTER = "held back by a content filter"
PROPER = [  # status, data, what is told of it; the endpoint has answered, and a second attempt would not help
    (400, error("The prompt was filtered", code="content_filter"), FILTER),
    (400, error("x", innererror={"code": "ResponsibleAIPolicyViolation"}), FILTER),
    (403, error("Chosen model requires moderation", metadata={"reasons": ["x"]}), FILTER),
    (400, error("Blocked by our content management policy"), FILTER),
    (200, error("blocked", code="content_filter"), FILTER),
    (200, completion(None, finish_reason="content_filter"), FILTER),
    (200, completion("Sure, he", finish_reason="content_filter"), FILTER),
    (200, completion(None, message={"content": None, "reasoning_content": "hm"}), "reasoning without a reply"),
    (200, completion(None, finish_reason="length"), "an empty reply"),
    (200, completion(None), "an empty reply"),
    (200, completion(" "), "an empty reply"),
    (200, completion(None, message={"content": None, "tool_calls": CALL}), "a tool call without text"),
]
DOUBTFUL = [
    (200, {"choices": []}, "an answer that cannot be read"),
    (200, b'{"choices": [{"index"', "an answer that cannot be read"),
    (200, b"<html><title>Gateway</title></html>", "an answer that cannot be read"),
    (200, completion(12), "an answer that cannot be read"),
    (400, error("too long", code="context_length_exceeded"), "too long for the model"),
    (400, error("This model's maximum context length is 512 tokens"), "too long for the model"),
    (413, b"", "too long for the model"),
]


@pytest.mark.parametrize(("status", "data", "reason"), PROPER + DOUBTFUL)
def test_one_odd_answer_is_an_empty_reply_and_is_told(server, chat, status, data, reason):
    server.answer = odd(status, data)
    endpoint = chat()
    replies = endpoint.generate(["a", "odd", "c"])
    assert [text.strip() for (text,) in replies] == ["fine", "", "fine"]
    (note,) = endpoint.notes
    assert note.startswith(f"model-7b at {server.url} gave no text for 1 of 3 requests: 1 {reason}")
    assert note.endswith("; they count as unknown")
    endpoint.generate(["odd one", "odd two"])
    assert f"for 3 of 5 requests: 3 {reason}" in endpoint.notes[0]


@pytest.mark.parametrize(("status", "data", "reason"), PROPER)
def test_a_proper_answer_without_text_is_kept_with_its_reason(server, chat, tmp_path, status, data, reason):
    server.answer = odd(status, data)
    chat(cache=tmp_path).generate(["a", "odd"])
    count, again = len(server.requests), chat(cache=tmp_path)
    assert again.generate(["a", "odd"])[0] == ["fine"]
    assert len(server.requests) == count
    assert f"1 of 2 requests: 1 {reason}" in again.notes[0]


@pytest.mark.parametrize(("status", "data", "reason"), DOUBTFUL)
def test_a_doubtful_answer_is_not_kept_and_alone_ends_the_run(server, chat, tmp_path, status, data, reason):
    server.answer = odd(status, data)
    chat(cache=tmp_path).generate(["a", "odd"])
    assert len(list(tmp_path.rglob("*.json"))) == 1
    server.requests.clear()
    with pytest.raises(InputError, match=server.url):
        chat(concurrency=1).generate([f"odd {i}" for i in range(40)])
    assert len(server.requests) < 12, "a wrong address is not asked for everything"


def test_an_answer_that_cannot_be_read_is_asked_for_again(server, chat):
    server.answer = odd(200, b'{"choices": [', times=1)
    endpoint = chat()
    assert endpoint.generate(["a", "odd"]) == [["fine"], ["fine"]]
    assert endpoint.notes == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            error("the provider is overloaded", code=502),
            r"failed with status 502 \(2 attempts\): the provider is overl",
        ),
        ({"error": "no capacity"}, r"answered with an error \(2 attempts\): no capacity"),
        (error("bad key", code=401), "refuses the key in OPENAI_API_KEY .401: bad key"),
        (completion(None) | {"choices": [{"error": {"message": "lost", "code": 503}}]}, "status 503 .*: lost"),
    ],
)
def test_an_error_inside_a_success_is_told_in_the_servers_words(server, chat, data, sentence):
    server.answer = odd(200, data)
    with pytest.raises(InputError, match=sentence):
        chat().generate(["a", "odd"])


@pytest.mark.parametrize(
    ("status", "data", "words"),
    [
        (400, error("bad role"), "bad role"),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "Field required"}]}, r"Field required \(body\.x\)"),
        (400, b"<!doctype html><head><title>Bad \x1b[31mgate</title></head>", r"Bad \[31mgate"),
        (401, error(f"wrong key {KEY}"), r"wrong key \*\*\*"),
        (404, error("no such model"), "knows no model 'model-7b'.*no such model"),
        (429, error("pay first", code="insufficient_quota"), r"\(1 attempt\): pay first"),
        (503, b"", "no reason given"),
    ],
)
def test_what_concerns_every_request_ends_the_run_in_the_servers_words(server, chat, status, data, words):
    server.answer = odd(status, data)
    with pytest.raises(InputError, match=words) as caught:
        chat().generate(["a", "odd"])
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


# -- parameters --------------------------------------------------------------------------------------------------------


def refusing(*names, status=400, body=None):
    def answer(request):
        for name in names:
            if name in request:
                return status, (body or unsupported)(name)
        return 200, completion("fine")

    return answer


def unsupported(name):
    other = {"max_tokens": " Use 'max_completion_tokens' instead.", "max_completion_tokens": " Use 'max_tokens'."}
    return error(f"Unsupported parameter: '{name}'.{other.get(name, '')}", param=name, code="unsupported_parameter")


def test_the_limit_goes_by_its_other_name_from_then_on(server, chat):
    server.answer = refusing("max_tokens")
    endpoint = chat()
    assert endpoint.generate(["a", "b"], max_new_tokens=7) == [["fine"], ["fine"]]
    assert [request.get("max_completion_tokens") for request in server.requests] == [None, 7, 7]
    assert endpoint.notes == [], "the request means the same"


def test_a_server_that_takes_neither_name_is_told_as_it_is(server, chat):
    server.answer = refusing("max_tokens", "max_completion_tokens")
    with pytest.raises(InputError, match="Unsupported parameter: 'max_completion_tokens'"):
        chat().generate(["a"])
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        unsupported,
        lambda name: error(f"Unsupported value: '{name}' does not support 0.5 with this model.", param=name),
        lambda name: {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are no"}]},
        lambda name: {"message": f"Unrecognized request argument supplied: {name}"},
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_parameters_that_the_server_names_are_left_out_once_and_for_all(server, chat, tmp_path, body, status):
    server.answer = refusing("temperature", "seed", "top_p", status=status, body=body)
    endpoint = chat(cache=tmp_path)
    ask = {"temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["x"]}
    assert endpoint.generate(["a", "b"], **ask) == [["fine"], ["fine"]]
    assert len(server.requests) == 5
    assert set(server.requests[-1]) == {"model", "messages", "max_tokens", "stop"}
    (note,) = endpoint.notes
    assert "does not take temperature and top_p and seed" in note
    assert "sampled at its own temperature" in note
    again = chat(cache=tmp_path)
    assert again.generate(["a", "b"], **ask) == [["fine"], ["fine"]]
    assert again.notes == [note]


@pytest.mark.parametrize(
    "message", ["temperature must be at most 2", "max_tokens is too large: 256. This model supports at most 99", "no"]
)
def test_a_bad_value_is_no_unsupported_parameter(server, chat, message):
    server.answer = lambda body: (400, error(message, param="temperature"))
    with pytest.raises(InputError, match=message):
        chat().generate(["a"])
    assert len(server.requests) == 1


# -- half characters, pauses -------------------------------------------------------------------------------------------


def test_half_of_an_emoji_in_a_reply_is_replaced(server, chat, tmp_path):
    tokens = [{"token": "\ud83d", "logprob": -0.1}, {"token": "A", "logprob": -3.0}]
    logprobs = {"content": [{"token": "A", "logprob": -3.0, "top_logprobs": tokens}]}
    server.answer = lambda body: (200, completion("fine \ud83d", logprobs=logprobs))
    endpoint = chat(cache=tmp_path)
    assert endpoint.generate(["a"]) == [["fine \ufffd"]]
    assert chat(cache=tmp_path).generate(["a"]) == [["fine \ufffd"]]
    assert endpoint.choice_logprobs(["a"], ["A"])[0, 0] == pytest.approx(-3.0)


def test_half_of_an_emoji_in_a_request_is_refused(server, chat):
    for call in (
        {"prompts": ["a \ud83d"]},
        {"prompts": ["a"], "prefill": "\ud83d"},
        {"prompts": ["a"], "stop": ["\udc00"]},
    ):
        with pytest.raises(InputError, match="half of a character"):
            chat().generate(**call)
    assert server.requests == []


def test_content_in_parts_is_joined(server, chat):
    parts = [{"type": "text", "text": "fi"}, {"type": "thinking", "thinking": []}, {"type": "text", "text": "ne"}]
    server.answer = lambda body: (200, completion(None, message={"role": "assistant", "content": parts}))
    assert chat().generate(["a"]) == [["fine"]]


@pytest.mark.parametrize("value", ["0", "0.01", "Thu, 01 Jan 2015 00:00:00 GMT", "nan", "soon", "-3", ""])
def test_any_retry_after_is_obeyed_or_passed_over(server, chat, value):
    server.answer, server.headers = odd(429, error("slow down"), times=2), {"Retry-After": value}
    assert chat(retries=2).generate(["odd"]) == [["fine"]]
    assert len(server.requests) == 3


# -- what judges and attacks make of it --------------------------------------------------------------------------------


def test_choices_of_a_request_without_an_answer_are_unknown(server, chat):
    tokens = [{"token": "A", "logprob": -0.5}]
    fine = completion("A", logprobs={"content": [{"token": "A", "logprob": -0.5, "top_logprobs": tokens}]})
    held_back = completion(None, finish_reason="content_filter")
    server.answer = lambda body: (200, held_back if body["messages"][-1]["content"] == "odd" else fine)
    table = chat().choice_logprobs(["a", "odd"], ["A", "B"])
    assert list(table[0]) == [-0.5, -math.inf]
    assert all(math.isnan(value) for value in table[1])


@pytest.mark.parametrize("kind", [HarmBenchJudge, LLMJudge, StrongRejectJudge])
def test_judges_count_an_answer_that_was_held_back_as_unknown(server, chat, kind):
    server.answer = odd(400, error("filtered", code="content_filter"))
    judge = kind(chat())
    assert judge.label(["odd"], ["a reply"]) == [Label.UNKNOWN]
    assert notes_of(judge) == judge.model.notes != []
    assert notes_of(LabelScorer(judge)) == judge.model.notes


def test_attackers_count_it_as_unreadable_and_topics_as_on_topic(server, chat):
    server.answer = odd(400, error("filtered", code="content_filter"))
    endpoint = chat()
    read = lambda text: text if text.strip() else None  # noqa: E731
    values, unreadable = Attacker(endpoint, retries=2).write_until(["odd", "a"], read, seed=0)
    assert (values, unreadable) == ([None, "fine"], 3)
    assert ModelTopic(endpoint).same(["odd"], ["odd"]) == [True]
    assert notes_of(PAP(Attacker(endpoint))) == endpoint.notes
    assert notes_of(Direct()) == []


def test_reports_get_texts_that_can_be_written(server, chat):
    server.answer = odd(400, error("no \ud83d \x00 <b>", code="content_filter"))
    endpoint = chat()
    endpoint.generate(["odd", "a"])
    assert json.dumps(endpoint.notes, ensure_ascii=False).encode()
    assert endpoint.notes[0].isprintable()
