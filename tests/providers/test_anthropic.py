"""The Anthropic wire against servers that say what the real one has said."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from providers.chat.anthropic import DEFAULT_MAX_TOKENS, Anthropic, base_url, body_of
from providers.chat.base import ChatRequest, Finish, Host, Image, Message, ModelInfo, ToolCall
from providers.errors import OutOfCredit, ProviderError, RateLimited, ServiceFailed, StreamBroken
from tests.providers.raw import Answer, RawServer, ask, chunked, collect, raw_server, reply

START = {"type": "message_start", "message": {"model": "c-1", "usage": {"input_tokens": 5, "output_tokens": 1}}}
STOP = {"type": "message_stop"}


def stream(*payloads: dict[str, Any]) -> str:
    return "".join(f"event: {payload.get('type')}\ndata: {json.dumps(payload)}\n\n" for payload in payloads)


def block(*deltas: dict[str, Any], **start: Any) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": 0, "content_block": start},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
    ]


def text(*parts: str) -> list[dict[str, Any]]:
    return block(*({"type": "text_delta", "text": part} for part in parts), type="text", text="")


def ending(reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 3, **usage}}


def got_from(*answers: bytes, **request: Any) -> tuple[Answer, RawServer]:
    async def body() -> tuple[Answer, RawServer]:
        async with raw_server(*answers) as server:
            return await collect(Anthropic(server.host(key="sk-ant")), ask(**request)), server

    return asyncio.run(body())


def test_answer_with_everything_the_wire_has() -> None:
    got, server = got_from(
        chunked(
            stream(START, {"type": "ping"}),
            stream(
                *block(
                    {"type": "thinking_delta", "thinking": "hm"},
                    {"type": "signature_delta", "signature": "abc"},
                    type="thinking",
                    thinking="",
                )
            ),
            stream(*block(type="redacted_thinking", data="xyz"), {"type": "of_next_year", "text": "?"}),
            stream(*text("Hel", "lo"), *block({"type": "of_next_year"}, type="of_next_year")),
            stream(ending(cache_read_input_tokens=100, cache_creation_input_tokens=20), STOP),
        )
    )

    assert got.error is None
    assert (got.text, got.thinking) == ("Hello", "hm")
    assert got.end is not None
    assert got.end.finish is Finish.STOP
    assert got.end.model == "c-1"
    usage = got.end.usage
    assert (usage.input_tokens, usage.output_tokens) == (125, 3)
    assert (usage.cached_input_tokens, usage.cache_write_tokens) == (100, 20)
    asked = server.asked[0]
    assert asked.target == "/v1/messages"
    assert asked.headers["x-api-key"] == "sk-ant"
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in asked.headers


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", Finish.STOP),
        ("stop_sequence", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("model_context_window_exceeded", Finish.LENGTH),
        ("refusal", Finish.REFUSED),
        ("pause_turn", Finish.OTHER),
    ],
)
def test_reason_of_the_end_in_our_words(reason: str, finish: Finish) -> None:
    got, _ = got_from(chunked(stream(START, *text("a"), ending(reason), STOP)))

    assert got.end is not None
    assert got.end.finish is finish


def test_calls_of_tools_come_whole() -> None:
    parts = [{"type": "input_json_delta", "partial_json": part} for part in ("", '{"x"', ": 1}")]

    got, _ = got_from(
        chunked(
            stream(START, *text("I look."), *block(*parts, type="tool_use", id="a", name="f", input={})),
            stream(*block(type="tool_use", id="b", name="g", input={}), ending("tool_use"), STOP),
        )
    )

    assert [call for delta in got.deltas for call in delta.tool_calls] == [
        ToolCall("a", "f", '{"x": 1}'),
        ToolCall("b", "g", "{}"),
    ]
    assert got.end is not None
    assert got.end.finish is Finish.TOOL_CALLS


def test_answer_in_a_form_is_the_arguments_of_a_forced_call() -> None:
    parts = [{"type": "input_json_delta", "partial_json": part} for part in ('{"x"', ": 1}")]
    schema = {"type": "object"}

    got, server = got_from(
        chunked(
            stream(START, *block(*parts, type="tool_use", id="a", name="answer", input={}), ending("tool_use"), STOP)
        ),
        schema=schema,
        thinking=True,
    )

    assert got.text == '{"x": 1}'
    assert got.end is not None
    assert got.end.finish is Finish.STOP
    body = server.asked[0].json
    assert body["tool_choice"] == {"type": "tool", "name": "answer"}
    assert "thinking" not in body


def test_whole_answer_is_taken_where_a_stream_was_asked_for() -> None:
    whole = {
        "type": "message",
        "model": "c-1",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "Whole"},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }

    got, _ = got_from(reply(whole))

    assert (got.text, got.thinking) == ("Whole", "hm")
    assert got.deltas[-1].tool_calls == (ToolCall("a", "f", '{"x": 1}'),)
    assert got.end is not None
    assert got.end.usage.output_tokens == 2


def error(kind: str, message: str = "it is so") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (chunked(stream(START, *text("a"), error("overloaded_error"))), ServiceFailed),
        (chunked(stream(START, *text("a"), error("rate_limit_error"))), RateLimited),
        (chunked(stream(START, *text("a"), error("of_next_year"))), ServiceFailed),
        (chunked(stream(START, *text("a"))), StreamBroken),
        (reply(error("overloaded_error"), status="529 Overloaded"), ServiceFailed),
        (
            reply(error("invalid_request_error", "Your credit balance is too low"), status="400 Bad Request"),
            OutOfCredit,
        ),
    ],
)
def test_failure_becomes_the_error_of_its_cause(answer: bytes, expected: type[ProviderError]) -> None:
    got, _ = got_from(answer)

    assert isinstance(got.error, expected)


def test_end_without_the_closing_word_is_good_once_the_reason_is_known() -> None:
    got, _ = got_from(chunked(stream(START, *text("a"), ending())))

    assert got.error is None
    assert got.end is not None


def test_model_that_thinks_in_another_way_is_asked_in_that_way() -> None:
    def refused(message: str) -> bytes:
        return reply(error("invalid_request_error", message), status="400 Bad Request")

    good = chunked(stream(START, *text("a"), ending(), STOP))

    got, server = got_from(refused("thinking.type.enabled is not supported: use adaptive"), good, thinking=True)
    assert got.text == "a"
    assert server.asked[1].json["thinking"] == {"type": "adaptive"}

    got, server = got_from(refused("thinking is not supported by this model"), good, thinking=True)
    assert got.text == "a"
    assert "thinking" not in server.asked[1].json


# ---- the question


def test_question_in_the_words_of_the_wire() -> None:
    request = ChatRequest(
        "m",
        (
            Message("system", "Brief."),
            Message("system", "Polite."),
            Message("user", "See", images=(Image("image/png", b"\x89PNG"),)),
            Message("user", "again"),
            Message("assistant", "", tool_calls=(ToolCall("a", "f", '{"x": 1}'),)),
            Message("tool", "42", tool_call_id="a"),
            Message("user", " "),
            Message("assistant", "So it is \n"),
        ),
        tools=({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},),
    )

    body = body_of(request)

    assert body["system"] == "Brief.\n\nPolite."
    assert body["max_tokens"] == DEFAULT_MAX_TOKENS
    assert body["tools"] == [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
                {"type": "text", "text": "See"},
                {"type": "text", "text": "again"},
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "42"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "So it is"}]},
    ]


def test_thinking_leaves_room_for_the_answer() -> None:
    def thinking(limit: int | None, wish: bool | None) -> Any:
        return body_of(ask(max_tokens=limit, thinking=wish)).get("thinking")

    assert thinking(None, True) == {"type": "enabled", "budget_tokens": DEFAULT_MAX_TOKENS // 2}
    assert thinking(1500, True) == {"type": "enabled", "budget_tokens": 1024}
    assert thinking(1024, True) is None
    assert thinking(None, False) == {"type": "disabled"}
    assert thinking(None, None) is None


@pytest.mark.parametrize("given", ["https://a.example", "https://a.example/v1/", "https://a.example/v1/messages"])
def test_address_with_and_without_a_version(given: str) -> None:
    assert base_url(Host("lab", given)) == "https://a.example"


def test_every_page_of_the_models_is_read() -> None:
    first = {
        "data": [{"id": "a", "max_input_tokens": 9, "capabilities": {"image_input": {"supported": True}}}],
        "has_more": True,
        "last_id": "a b",
    }
    last = {"data": [{"id": "b"}, {}], "has_more": False, "last_id": "b"}

    async def body() -> None:
        async with raw_server(reply(first), reply(last)) as server:
            provider = Anthropic(server.host(key="k"))
            assert await provider.models() == [ModelInfo("a", context_tokens=9, sees_images=True), ModelInfo("b")]
            await provider.close()
            assert server.asked[1].target == "/v1/models?limit=1000&after_id=a%20b"

    asyncio.run(body())


def test_pages_without_end_are_not_read_for_ever() -> None:
    page = {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}

    async def body() -> None:
        async with raw_server(reply(page)) as server:
            provider = Anthropic(server.host(key="k"))
            await provider.models()
            await provider.close()
            assert len(server.asked) == 2

    asyncio.run(body())
