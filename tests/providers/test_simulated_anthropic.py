"""The simulated Anthropic under the official `anthropic` package, and on the wire."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from providers.simulated.services import Answer, SimulatedAnthropic, ToolUse
from tests.conftest import run
from tests.providers.simulated_clients import anthropic_client, http_client

MODEL = "claude-sonnet-5-5"
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
IMAGE: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def test_models_come_in_pages() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, anthropic_client(service) as client:
            first = await client.models.list(limit=2)
            names = [model.id async for model in client.models.list(limit=2)]
            one = await client.models.retrieve("claude-haiku-4-5")

            assert (first.has_more, first.first_id, first.last_id) == (True, "claude-sonnet-5-5", "claude-opus-5-5")
            assert names == [model.name for model in service.models]
            assert one.display_name == "Claude Haiku 4.5"

    run(body())


def test_answer_in_one_piece() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, anthropic_client(service) as client:
            answer = await client.messages.create(
                model="claude-haiku-4-5", max_tokens=100, messages=user("say 3 tokens"), system="Be brief."
            )

            assert answer.model == "claude-haiku-4-5-20251001"
            assert [block.type for block in answer.content] == ["text"]
            assert answer.stop_reason == "end_turn"
            assert answer.usage.output_tokens == 3
            assert answer.usage.input_tokens > 7
            assert str(answer._request_id).startswith("req_")

    run(body())


def test_events_come_in_the_order_of_the_real_service() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, http_client(service) as client:
            request = {"model": MODEL, "max_tokens": 10, "messages": user("say 2 tokens"), "stream": True}
            answer = await client.post("/v1/messages", json=request)

            events = [event.split("\n") for event in answer.text.split("\n\n") if event]
            assert [lines[0].removeprefix("event: ") for lines in events] == [
                "message_start",
                "content_block_start",
                "ping",
                "content_block_delta",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
            ]
            values = [json.loads(lines[1].removeprefix("data: ")) for lines in events]
            assert [value["type"] for value in values] == [lines[0][7:] for lines in events]
            assert values[0]["message"]["stop_reason"] is None
            assert values[6] == {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {
                    "input_tokens": 7,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 2,
                },
            }

    run(body())


def test_thinking_is_streamed_signed_and_followed_by_text() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, anthropic_client(service) as client:
            async with client.messages.stream(
                model=MODEL,
                max_tokens=4_000,
                thinking={"type": "enabled", "budget_tokens": 1_024},
                messages=user("say 2 tokens"),
            ) as stream:
                kinds = [event.delta.type async for event in stream if event.type == "content_block_delta"]
                final = await stream.get_final_message()

            thinking, text = final.content
            assert (thinking.type, text.type) == ("thinking", "text")
            assert thinking.type == "thinking"
            assert thinking.thinking.startswith("The user")
            assert thinking.signature
            assert kinds[-3:] == ["signature_delta", "text_delta", "text_delta"]
            assert final.usage.output_tokens == len(kinds) - 1

    run(body())


def test_tool_use_is_streamed_in_fragments() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, anthropic_client(service) as client:
            async with client.messages.stream(
                model=MODEL, max_tokens=500, tools=[WEATHER], messages=user("What is the weather in Oslo?")
            ) as stream:
                final = await stream.get_final_message()
            block = final.content[0]
            assert block.type == "tool_use"
            result = {"type": "tool_result", "tool_use_id": block.id, "content": "snow"}
            told = [
                *user("What is the weather in Oslo?"),
                {"role": "assistant", "content": [block.model_dump(include={"type", "id", "name", "input"})]},
                *user([result]),
            ]
            after = await client.messages.create(model=MODEL, max_tokens=500, tools=[WEATHER], messages=told)

            assert (block.name, block.input) == ("get_weather", {"city": "Oslo"})
            assert final.stop_reason == "tool_use"
            assert after.content[0].type == "text"
            assert "snow" in after.content[0].text

    run(body())


def test_text_and_several_tools_in_one_answer_keep_their_places() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, anthropic_client(service) as client:
            service.answers.queue(Answer("Both.", tool_calls=(ToolUse("a", {"x": 1}), ToolUse("b", {}))))
            async with client.messages.stream(model=MODEL, max_tokens=50, messages=user("go")) as stream:
                final = await stream.get_final_message()

            assert [block.type for block in final.content] == ["text", "tool_use", "tool_use"]
            assert [block.input for block in final.content if block.type == "tool_use"] == [{"x": 1}, {}]

    run(body())


def test_limits_and_stop_sequences_are_told() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, anthropic_client(service) as client:
            short = await client.messages.create(model=MODEL, max_tokens=5, messages=user("say 50 tokens"))
            stopped = await client.messages.create(
                model=MODEL, max_tokens=50, messages=user("say 50 tokens"), stop_sequences=["word4"]
            )

            assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 5)
            assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "word4")

    run(body())


def test_images_and_token_counts() -> None:
    async def body() -> None:
        content = [IMAGE, {"type": "text", "text": "Describe the harbour"}]
        async with SimulatedAnthropic() as service, anthropic_client(service) as client:
            seen = await client.messages.create(model=MODEL, max_tokens=500, messages=user(content))
            counted = await client.messages.count_tokens(model=MODEL, messages=user(content))

            assert seen.content[0].type == "text"
            assert "I can see an image" in seen.content[0].text
            assert counted.input_tokens == seen.usage.input_tokens > 768

    run(body())


def test_cache_is_written_once_and_read_after() -> None:
    async def body() -> None:
        system: Any = [{"type": "text", "text": "rule " * 3_000, "cache_control": {"type": "ephemeral"}}]
        async with SimulatedAnthropic() as service, anthropic_client(service) as client:
            first = await client.messages.create(model=MODEL, max_tokens=5, system=system, messages=user("one"))
            second = await client.messages.create(model=MODEL, max_tokens=5, system=system, messages=user("two"))

            assert first.usage.cache_creation_input_tokens == second.usage.cache_read_input_tokens
            assert (first.usage.cache_read_input_tokens, second.usage.cache_creation_input_tokens) == (0, 0)
            assert (first.usage.cache_creation_input_tokens or 0) > 2_000
            assert second.usage.input_tokens < 50

    run(body())


def test_answer_follows_the_schema() -> None:
    async def body() -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        async with SimulatedAnthropic() as service, http_client(service) as client:
            wanted = {"format": {"type": "json_schema", "schema": schema}}
            request = {"model": MODEL, "max_tokens": 50, "messages": user("give"), "output_config": wanted}
            answer = await client.post("/v1/messages", json=request)

            assert json.loads(answer.json()["content"][0]["text"]) == {"n": 1}

    run(body())


def test_keys_are_checked_in_both_headers() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, anthropic_client(service, "wrong") as client:
            with pytest.raises(anthropic.AuthenticationError) as refused:
                await client.models.list()
            async with http_client(service) as plain:
                del plain.headers["authorization"]
                by_key = await plain.get("/v1/models")
                plain.headers["x-api-key"] = "wrong"
                wrong = await plain.get("/v1/models")
                del plain.headers["x-api-key"]
                missing = await plain.get("/v1/models")

            assert refused.value.status_code == 401
            assert by_key.status_code == 200
            assert wrong.json()["error"] == {"type": "authentication_error", "message": "invalid x-api-key"}
            assert wrong.json()["request_id"] == wrong.headers["request-id"]
            assert missing.json()["error"]["message"] == "x-api-key header is required"

    run(body())


@pytest.mark.parametrize(
    ("change", "status", "kind", "message"),
    [
        ({"model": "nosuch"}, 404, "not_found_error", "model: nosuch"),
        ({"max_tokens": None}, 400, "invalid_request_error", "max_tokens: Field required"),
        ({"max_tokens": 0}, 400, "invalid_request_error", "max_tokens: must be greater"),
        ({"max_tokens": 900_000}, 400, "invalid_request_error", "which is the maximum allowed number of output tokens"),
        ({"messages": []}, 400, "invalid_request_error", "messages: at least one message is required"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "invalid_request_error", "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, 400, "invalid_request_error", "must be non-empty"),
        ({"messages": [{"role": "user", "content": "a " * 300}]}, 400, "invalid_request_error", "prompt is too long: "),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, 400, "invalid_request_error", "budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4_000}}, 400, "invalid_request_error", "`max_tokens` must"),
        (
            {"model": "claude-3-haiku-20240307", "thinking": {"type": "adaptive"}},
            400,
            "invalid_request_error",
            "does not support thinking",
        ),
    ],
)
def test_wrong_requests_are_refused(change: dict[str, Any], status: int, kind: str, message: str) -> None:
    async def body() -> None:
        async with SimulatedAnthropic(context_tokens=200) as service, http_client(service) as client:
            request = {"model": MODEL, "max_tokens": 2_000, "messages": user("hi")} | change
            request = {name: value for name, value in request.items() if value is not None}
            answer = await client.post("/v1/messages", json=request)

            error = answer.json()["error"]
            assert (answer.status_code, answer.json()["type"], error["type"]) == (status, "error", kind)
            assert message in error["message"]

    run(body())


def test_version_header_is_required() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, http_client(service) as client:
            del client.headers["anthropic-version"]
            answer = await client.get("/v1/models")

            assert answer.status_code == 400
            assert answer.json()["error"]["message"] == "anthropic-version: header is required"

    run(body())


def test_unknown_paths_and_methods() -> None:
    async def body() -> None:
        async with SimulatedAnthropic() as service, http_client(service) as client:
            assert (await client.get("/v1/nowhere")).json()["error"]["type"] == "not_found_error"
            assert (await client.get("/v1/messages")).status_code == 405

    run(body())
