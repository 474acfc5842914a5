"""The OpenAI wire against servers that say what real ones have said."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from providers.chat.base import ChatRequest, Finish, Host, Image, Message, ModelInfo, ToolCall
from providers.chat.openai import OpenAI, base_url, body_of
from providers.errors import BadReply, KeyMissing, RequestRefused, ServiceFailed, StreamBroken
from tests.providers.raw import Answer, RawServer, ask, chunked, collect, raw_server, reply


def events(*payloads: dict[str, Any] | str, newline: str = "\n") -> str:
    lines = (payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads)
    return "".join(f"data: {line}{newline}{newline}" for line in lines)


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def got_from(*answers: bytes, key: str | None = "sk-1", **request: Any) -> tuple[Answer, RawServer]:
    async def body() -> tuple[Answer, RawServer]:
        async with raw_server(*answers) as server:
            return await collect(OpenAI(server.host(key=key)), ask(**request)), server

    return asyncio.run(body())


def test_answer_with_everything_that_servers_add() -> None:
    got, server = got_from(
        chunked(
            ": OPENROUTER PROCESSING\r\n\r\n",
            events({**delta(role="assistant", content=""), "model": "m-1", "provider": "X"}, newline="\r\n"),
            events({"choices": None}, {"choices": []}, {"id": "x", "object": "unknown"}),
            events(delta(content="Hel"), delta(content=None), delta(content="lo")),
            events(delta("stop")),
            events({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.000123}}, "[DONE]"),
        )
    )

    assert got.error is None
    assert got.text == "Hello"
    assert got.end is not None
    assert got.end.finish is Finish.STOP
    assert got.end.model == "m-1"
    assert (got.end.usage.input_tokens, got.end.usage.output_tokens) == (3, 2)
    assert got.end.cost_usd == Decimal("0.000123")
    assert server.asked[0].target == "/v1/chat/completions"
    assert server.asked[0].headers["authorization"] == "Bearer sk-1"
    assert server.asked[0].json["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"content": "<think>\nhm</think>\n\n"},
    ],
)
def test_thinking_is_found_wherever_a_server_puts_it(fields: dict[str, Any]) -> None:
    got, _ = got_from(chunked(events(delta(**fields), delta(content="Yes"), delta("stop"), "[DONE]")))

    assert got.text == "Yes"
    assert got.thinking.strip() == "hm"


def test_thinking_told_twice_is_taken_once() -> None:
    twice: dict[str, Any] = {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}

    got, _ = got_from(chunked(events(delta(**twice), delta("stop"))))

    assert got.thinking == "hm"


def test_tags_later_in_an_answer_are_text() -> None:
    got, _ = got_from(chunked(events(delta(content="Use <think>"), delta(content="x</think>"), delta("stop"))))

    assert got.text == "Use <think>x</think>"


def test_fragments_of_calls_are_put_together() -> None:
    def part(index: int, **function: str) -> dict[str, Any]:
        return {"index": index, "function": function}

    got, _ = got_from(
        chunked(
            events(
                delta(tool_calls=[{**part(0, name="f", arguments=""), "id": "a"}]),
                delta(tool_calls=[part(0, arguments='{"x"')]),
                delta(tool_calls=[{**part(1, name="g", arguments="{}"), "id": "b"}]),
                delta(tool_calls=[part(0, arguments=": 1}")]),
                delta("stop"),
                "[DONE]",
            )
        )
    )

    assert [call for one in got.deltas for call in one.tool_calls] == [
        ToolCall("a", "f", '{"x": 1}'),
        ToolCall("b", "g", "{}"),
    ]
    assert got.end is not None
    assert got.end.finish is Finish.TOOL_CALLS


@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        (events(delta(content="I "), delta("content_filter")), Finish.REFUSED),
        (events(delta(refusal="I cannot."), delta("stop")), Finish.REFUSED),
        (events(delta(content="a"), delta("length")), Finish.LENGTH),
        (events(delta(content="a"), delta("eos_token")), Finish.STOP),
        (events(delta(content="a"), delta("sunset")), Finish.OTHER),
        (events(delta(content="a"), "[DONE]"), Finish.STOP),
        (events(delta(content="a"), delta("stop")), Finish.STOP),
        (events(delta(content="a"), delta("stop")) + 'data: {"choi', Finish.STOP),
        (events(delta(content="a"), delta("stop")).rstrip("\n"), Finish.STOP),
    ],
)
def test_end_in_every_way_a_server_has(answer: str, finish: Finish) -> None:
    got, _ = got_from(chunked(answer))

    assert got.error is None
    assert got.end is not None
    assert got.end.finish is finish


def test_end_is_not_waited_for_when_the_server_forgets_to_hang_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.chat.answers.GRACE_S", 0.05)

    async def forgetful(asked: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(events(delta(content="a"), delta("stop")), end=False))
        await asyncio.Event().wait()

    async def body() -> None:
        async with raw_server(forgetful) as server:
            got = await collect(OpenAI(server.host()), ask())
        assert got.text == "a"
        assert got.end is not None

    asyncio.run(body())


def test_connection_cut_after_the_reason_is_a_good_end() -> None:
    got, _ = got_from(chunked(events(delta(content="a"), delta("stop")), end=False))

    assert got.error is None
    assert got.end is not None


@pytest.mark.parametrize("answer", [chunked(), reply(b""), chunked(": hello\n\n"), chunked(events(delta(content="a")))])
def test_end_without_a_reason_is_a_break(answer: bytes) -> None:
    got, _ = got_from(answer)

    assert isinstance(got.error, StreamBroken)


def test_whole_answer_is_taken_where_a_stream_was_asked_for() -> None:
    message = {"role": "assistant", "content": "Whole", "reasoning_content": "hm"}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}

    got, _ = got_from(reply("\n  " + json.dumps(whole, indent=1)))

    assert (got.text, got.thinking) == ("Whole", "hm")
    assert got.end is not None
    assert got.end.usage.input_tokens == 1


def test_error_object_in_a_good_answer_is_an_error() -> None:
    got, _ = got_from(reply({"error": {"message": "no GPU", "code": 502}}))
    assert isinstance(got.error, ServiceFailed)
    assert "no GPU" in str(got.error)

    provider = {"error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": "upstream died"}}}
    got, _ = got_from(chunked(events(delta(content="a"), {**delta("error", content=""), **provider})))
    assert got.text == "a"
    assert "upstream died" in str(got.error)

    got, _ = got_from(chunked("event: error\n" + events({"message": "broken"})))
    assert "broken" in str(got.error)


def test_usage_of_every_dialect_is_read() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    got, _ = got_from(chunked(events(delta("stop"), {"choices": [], "usage": usage}, "[DONE]")))
    assert got.end is not None
    assert (got.end.usage.cached_input_tokens, got.end.usage.cache_write_tokens) == (4, 2)
    assert got.end.usage.thinking_tokens == 3

    last = {
        **delta("stop"),
        "timings": {"prompt_ms": 12.5, "predicted_ms": 100},
        "x_groq": {"usage": {"prompt_tokens": 8}},
    }
    got, _ = got_from(chunked(events(last, "[DONE]")))
    assert got.end is not None
    assert got.end.timings.prompt_ms == 12.5
    assert got.end.usage.input_tokens == 8

    got, _ = got_from(
        chunked(events(delta("stop"), {"usage": {"prompt_cache_hit_tokens": 7, "prompt_tokens": 0.5e1}}, "[DONE]"))
    )
    assert got.end is not None
    assert got.end.usage.cached_input_tokens == 7


def test_cost_is_as_exact_as_it_was_sent() -> None:
    said = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"cost":0.00012345678901234567}}\n\n'

    got, _ = got_from(chunked(said))

    assert got.end is not None
    assert got.end.cost_usd == Decimal("0.00012345678901234567")


# ---- asking differently


def refused(message: str, param: str | None = None) -> bytes:
    return reply(
        {"error": {"message": message, "param": param, "type": "invalid_request_error"}}, status="400 Bad Request"
    )


def test_host_that_does_not_know_a_parameter_is_asked_without_it() -> None:
    good = chunked(events(delta(content="a"), delta("stop"), "[DONE]"))

    got, server = got_from(refused("Unrecognized request argument supplied: stream_options"), good)
    assert got.text == "a"
    assert "stream_options" not in server.asked[1].json

    got, server = got_from(
        refused("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens"),
        good,
        max_tokens=9,
    )
    assert got.text == "a"
    assert "max_tokens" not in server.asked[1].json
    assert server.asked[1].json["max_completion_tokens"] == 9

    got, server = got_from(refused("Invalid schema for response_format 'answer'"), good, schema={"type": "object"})
    assert got.text == "a"
    assert server.asked[1].json["response_format"]["json_schema"]["strict"] is False  # type: ignore[index]


def test_host_that_refuses_again_is_not_asked_for_ever() -> None:
    got, server = got_from(refused("stream_options are bad"), refused("no"), max_tokens=3)
    assert isinstance(got.error, RequestRefused)
    assert len(server.asked) == 2

    got, server = got_from(refused("stream_options, schema, max_completion_tokens"), max_tokens=3, schema={})
    assert isinstance(got.error, RequestRefused)
    assert len(server.asked) == 4


# ---- the question


def test_question_in_the_words_of_the_wire() -> None:
    picture = Image("image/png", b"\x89PNG")
    request = ChatRequest(
        "m",
        (
            Message("system", "Brief."),
            Message("user", "See", images=(picture,)),
            Message("assistant", "", tool_calls=(ToolCall("a", "f", "{}"),)),
            Message("tool", "42", tool_call_id="a"),
        ),
        params={"temperature": 0, "stream_options": None},
        tools=({"name": "f", "input_schema": {"type": "object"}},),
    )

    body = body_of(request)

    assert body["messages"] == [
        {"role": "system", "content": "Brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "42", "tool_call_id": "a"},
    ]
    assert body["tools"][0]["function"]["parameters"] == {"type": "object"}
    assert body["temperature"] == 0


def test_text_that_is_no_unicode_is_sent_all_the_same() -> None:
    got, server = got_from(chunked(events(delta("stop"))), text="a\udcffb")

    assert got.error is None
    assert server.asked[0].json["messages"] == [{"role": "user", "content": "a?b"}]


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_parameter_that_is_no_json_is_refused_before_it_is_sent(value: object) -> None:
    got, server = got_from(reply(b""), params={"seed": value})

    assert isinstance(got.error, RequestRefused)
    assert server.asked == []


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://box:8000", "http://box:8000/v1"),
        ("http://box:8000/", "http://box:8000/v1"),
        ("http://box:8000/v1/", "http://box:8000/v1"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("https://openrouter.ai/api", "https://openrouter.ai/api/v1"),
        ("https://x.example/v1beta/openai", "https://x.example/v1beta/openai"),
        ("https://x.example/paas/v4", "https://x.example/paas/v4"),
        ("https://v2.example", "https://v2.example/v1"),
        ("http://box/v1/chat/completions", "http://box/v1"),
    ],
)
def test_address_with_and_without_a_version(given: str, used: str) -> None:
    assert base_url(Host("lab", given)) == used


# ---- models


def test_models_of_every_dialect_are_read() -> None:
    listed = {
        "data": [
            {"id": "vllm", "max_model_len": 8192},
            {
                "id": "router",
                "context_length": 1000,
                "pricing": {"prompt": "0.00000025", "completion": "0.000001"},
                "architecture": {"input_modalities": ["text", "image"]},
            },
            {"id": "auto", "pricing": {"prompt": "-1", "completion": "-1"}},
            {"id": "llama", "meta": {"n_ctx_train": 4096, "size": 77}},
            {"id": "mistral", "capabilities": {"vision": False}, "max_context_length": 5},
            {"id": 7},
            "odd",
        ]
    }

    async def body() -> None:
        async with raw_server(reply(listed), reply(listed["data"]), reply({"data": None}), reply("7")) as server:
            provider = OpenAI(server.host())
            found = await provider.models()
            assert await provider.models() == found
            assert await provider.models() == []
            assert await provider.models() == []
            await provider.close()
        assert found == [
            ModelInfo("vllm", context_tokens=8192),
            ModelInfo(
                "router",
                context_tokens=1000,
                sees_images=True,
                price_input_usd_per_million=Decimal("0.25"),
                price_output_usd_per_million=Decimal(1),
            ),
            ModelInfo("auto"),
            ModelInfo("llama", size_bytes=77, context_tokens=4096),
            ModelInfo("mistral", context_tokens=5, sees_images=False),
        ]

    asyncio.run(body())


def test_page_and_missing_key_in_place_of_models() -> None:
    async def body() -> None:
        page = reply("<!doctype html><title>Sign&nbsp;in</title>", kind="text/html")
        async with raw_server(page, reply({"detail": "Not authenticated"}, status="403 Forbidden")) as server:
            provider = OpenAI(server.host())
            with pytest.raises(BadReply, match="titled 'Sign in'"):
                await provider.models()
            with pytest.raises(KeyMissing, match="Not authenticated"):
                await provider.models()
            await provider.close()

    asyncio.run(body())
