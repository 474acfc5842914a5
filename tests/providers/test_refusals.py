"""What refusals mean, in the words of real servers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from providers.chat.base import Host
from providers.errors import (
    BadReply,
    ContextTooLong,
    KeyMissing,
    KeyRefused,
    ModelMissing,
    OutOfCredit,
    ProviderError,
    RateLimited,
    RequestRefused,
    ServiceFailed,
)
from providers.http import load_httpx
from providers.refusals import come_back, read_refusal
from providers.registry import WIRES, chat_provider

HOST = Host("lab", "https://api.example/v1", key="sk-very-secret")


def meant(status: int, body: Any, host: Host = HOST) -> ProviderError:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    error, _ = read_refusal(content, host, status, model="m-1")
    return error


def openai(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, openai("Incorrect API key provided"), KeyRefused),
        (403, openai("Your input was flagged"), RequestRefused),
        (403, {"error": "Forbidden"}, KeyRefused),
        (400, openai("No connected db.", type="no_db_connection", code="400"), KeyRefused),
        (402, openai("This request requires more credits", code=402), OutOfCredit),
        (429, openai("You exceeded your current quota", type="insufficient_quota"), OutOfCredit),
        (429, openai("Rate limit reached for gpt"), RateLimited),
        (404, openai("The model `m-1` does not exist", code="model_not_found"), ModelMissing),
        (404, {"object": "error", "message": "The model `m-1` does not exist.", "code": 404}, ModelMissing),
        (400, openai("m-1 is not a valid model ID", code=400), ModelMissing),
        (404, openai("No endpoints found for m-1."), ModelMissing),
        (404, {"detail": "Not Found"}, BadReply),
        (404, "404 page not found", BadReply),
        (400, openai("This model's maximum context length is 8192", code="context_length_exceeded"), ContextTooLong),
        (400, {"error": {"type": "exceed_context_size_error", "message": "too big"}}, ContextTooLong),
        (
            422,
            {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "validation"},
            ContextTooLong,
        ),
        (413, {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}, ContextTooLong),
        (413, "Payload Too Large", RequestRefused),
        (400, {"detail": [{"loc": ["body"], "msg": "field required"}]}, RequestRefused),
        (422, {"errors": ["bad"]}, RequestRefused),
        (408, "", ServiceFailed),
        (500, "Internal Server Error", ServiceFailed),
        (500, {"error": "model requires more system memory (9 GiB) than is available"}, ServiceFailed),
        (503, [], ServiceFailed),
        (504, "<html><head><title>504 Gateway Time-out</title>", ServiceFailed),
        (429, "<html>", RateLimited),
        (403, "<HTML><TITLE >Just a moment...</TITLE>", BadReply),
        (401, "<html>", KeyRefused),
        (418, "null", RequestRefused),
        (400, "[" * 100_000, RequestRefused),
        (400, {"error": {"message": {"odd": 1}}}, RequestRefused),
        (400, {"error": [[1]]}, RequestRefused),
    ],
)
def test_refusal_becomes_the_error_of_its_cause(status: int, body: Any, expected: type[ProviderError]) -> None:
    error = meant(status, body)

    assert type(error) is expected
    assert "lab (api.example)" in str(error)


def test_missing_key_is_told_from_a_refused_one() -> None:
    assert type(meant(401, openai("no"), Host("lab", "http://x"))) is KeyMissing


def test_words_of_a_service_are_bounded_and_neutral_and_without_the_key() -> None:
    error = meant(400, openai("Bad key sk-very-secret \x1b[31m\x07\nred" + "x" * 100_000))

    assert "sk-very-secret" not in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 700


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Fri, 01 May 2026 12:00:30 GMT", 30.0),
        ("Fri, 01 May 2026 11:00:00 GMT", 0.0),
        ("Fri, 01 May 2026 12:00:30", 30.0),
        ("soon", None),
        ("", None),
        ("inf", None),
        ("nan", None),
        ("Fri, 99 Foo 2026", None),
    ],
)
def test_time_to_come_back(said: str, seconds: float | None) -> None:
    headers = load_httpx().Headers({"Retry-After": said})

    assert come_back(headers, datetime(2026, 5, 1, 12, tzinfo=UTC)) == seconds


def test_time_to_come_back_is_read_where_a_proxy_passes_it_on() -> None:
    headers = load_httpx().Headers({"llm_provider-retry-after": "7"})

    assert come_back(headers, datetime(2026, 5, 1, 12, tzinfo=UTC)) == 7


def test_unknown_wire_names_the_nearest() -> None:
    with pytest.raises(RequestRefused, match="'olama'") as caught:
        chat_provider("olama", HOST)
    assert caught.value.hint == "Did you mean 'ollama'?"

    with pytest.raises(RequestRefused) as caught:
        chat_provider("zzz", HOST)
    assert caught.value.hint == f"The wires are {', '.join(WIRES)}."
