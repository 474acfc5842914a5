"""The simulated OpenAI and its relatives under the official `openai` package, and on the wire."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from providers.simulated.models import OPENAI_MODELS
from providers.simulated.services import Answer, SimulatedOpenAI, Speed, ToolUse
from tests.conftest import run
from tests.providers.simulated_clients import http_client, openai_client

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_models_are_listed_and_found_one_by_one() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            names = [model.id async for model in client.models.list()]
            one = await client.models.retrieve("gpt-4.1")

            assert names == [model.name for model in OPENAI_MODELS]
            assert (one.id, one.object) == ("gpt-4.1", "model")

    run(body())


def test_answer_in_one_piece() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            answer = await client.chat.completions.create(model="gpt-4.1", messages=user("say 3 tokens"))

            assert answer.model == "gpt-4.1-2025-04-14"
            assert answer.choices[0].message.content == "word1 word2 word3 "
            assert answer.choices[0].finish_reason == "stop"
            assert answer.usage is not None
            assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 3, 10)
            assert str(answer._request_id).startswith("req_")

    run(body())


def test_stream_opens_with_the_role_and_closes_with_usage_only_when_asked() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            plain = await client.chat.completions.create(model="gpt-4.1", messages=user("say 2 tokens"), stream=True)
            counted = await client.chat.completions.create(
                model="gpt-4.1", messages=user("say 2 tokens"), stream=True, stream_options={"include_usage": True}
            )
            without = [chunk async for chunk in plain]
            with_usage = [chunk async for chunk in counted]

            assert without[0].choices[0].delta.role == "assistant"
            assert without[0].choices[0].delta.content == ""
            assert text_of(without) == "word1 word2 "
            assert without[-1].choices[0].finish_reason == "stop"
            assert all(chunk.usage is None for chunk in [*without, *with_usage[:-1]])
            assert with_usage[-1].choices == []
            assert with_usage[-1].usage is not None
            assert with_usage[-1].usage.completion_tokens == 2

    run(body())


def test_stream_on_the_wire_ends_with_done() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, http_client(service) as client:
            request = {"model": "gpt-4.1", "messages": user("say 1 token"), "stream": True}
            answer = await client.post("/chat/completions", json=request)

            events = answer.text.split("\n\n")
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert events[-2:] == ["data: [DONE]", ""]
            assert all(json.loads(event.removeprefix("data: ")) for event in events[:-2])
            assert len(events) == 5

    run(body())


def test_tool_calls_come_in_fragments_that_join_to_the_arguments() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            service.answers.script("two cities", Answer(tool_calls=(ToolUse("a", {"x": "ü" * 9}), ToolUse("b", {}))))
            stream = await client.chat.completions.create(
                model="gpt-4.1", messages=user("two cities"), tools=[WEATHER], stream=True
            )
            chunks = [chunk async for chunk in stream]
            whole = await client.chat.completions.create(
                model="gpt-4.1", messages=user("And the weather in Rome?"), tools=[WEATHER], tool_choice="auto"
            )

            names: dict[int, str] = {}
            arguments: dict[int, str] = {}
            for chunk in chunks:
                for call in chunk.choices[0].delta.tool_calls or ():
                    assert call.function is not None
                    names[call.index] = names.get(call.index, "") + (call.function.name or "")
                    arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
            assert names == {0: "a", 1: "b"}
            assert {index: json.loads(text) for index, text in arguments.items()} == {0: {"x": "ü" * 9}, 1: {}}
            assert chunks[-1].choices[0].finish_reason == "tool_calls"
            assert whole.choices[0].message.content is None
            assert whole.choices[0].message.tool_calls is not None
            called = whole.choices[0].message.tool_calls[0]
            assert called.type == "function"
            assert json.loads(called.function.arguments) == {"city": "Rome", "days": 1}

    run(body())


def test_answer_follows_the_schema() -> None:
    async def body() -> None:
        schema = {
            "type": "object",
            "properties": {"kind": {"enum": ["a", "b"]}, "tags": {"type": "array", "items": {"type": "string"}}},
            "required": ["kind", "tags"],
            "additionalProperties": False,
        }
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            answer = await client.chat.completions.create(
                model="gpt-4.1",
                messages=user("give"),
                response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}},
            )

            assert json.loads(str(answer.choices[0].message.content)) == {"kind": "a", "tags": ["tag"]}

    run(body())


def test_embeddings_in_both_encodings_are_the_same() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            packed = await client.embeddings.create(model="text-embedding-3-small", input="a harbour")
            plain = await client.embeddings.create(
                model="text-embedding-3-small", input="a harbour", encoding_format="float"
            )
            short = await client.embeddings.create(model="text-embedding-3-large", input=["a", "b"], dimensions=256)

            assert service.requests[0].json["encoding_format"] == "base64"
            assert len(plain.data[0].embedding) == 1_536
            assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
            assert [len(entry.embedding) for entry in short.data] == [256, 256]
            assert short.usage.prompt_tokens == 2

    run(body())


def test_legacy_completions_stream_text() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            whole = await client.completions.create(model="gpt-4.1", prompt="say 2 tokens")
            stream = await client.completions.create(model="gpt-4.1", prompt="say 2 tokens", stream=True)

            assert whole.choices[0].text == "word1 word2 "
            assert "".join([chunk.choices[0].text async for chunk in stream]) == "word1 word2 "

    run(body())


def test_wrong_and_missing_keys_are_refused_in_the_usual_words() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, openai_client(service, "sk-wrong-wrong-wrong") as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                await client.models.list()
            async with http_client(service) as plain:
                del plain.headers["authorization"]
                missing = await plain.get("/models")

            assert refused.value.code == "invalid_api_key"
            assert "sk-" in refused.value.message
            assert "wrong-wrong" not in refused.value.message
            assert missing.status_code == 401
            assert missing.json()["error"]["message"].startswith("You didn't provide an API key")

    run(body())


def test_errors_have_the_classes_clients_look_for() -> None:
    async def body() -> None:
        async with SimulatedOpenAI(context_tokens=100) as service, openai_client(service) as client:
            with pytest.raises(openai.NotFoundError) as missing:
                await client.chat.completions.create(model="nosuch", messages=user("hi"))
            with pytest.raises(openai.BadRequestError) as too_long:
                await client.chat.completions.create(model="gpt-4.1", messages=user("word " * 200))
            with pytest.raises(openai.BadRequestError) as empty:
                await client.chat.completions.create(model="gpt-4.1", messages=[])
            with pytest.raises(openai.BadRequestError) as parameter:
                await client.chat.completions.create(model="o4-mini", messages=user("hi"), max_tokens=5)

            assert missing.value.code == "model_not_found"
            assert too_long.value.code == "context_length_exceeded"
            assert "maximum context length is 100 tokens" in too_long.value.message
            assert empty.value.code == "empty_array"
            assert parameter.value.code == "unsupported_parameter"

    run(body())


def test_hidden_thinking_is_counted_but_not_shown() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            stream = await client.chat.completions.create(
                model="o4-mini", messages=user("say 2 tokens"), stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]

            usage = chunks[-1].usage
            assert usage is not None
            assert usage.completion_tokens_details is not None
            assert usage.completion_tokens_details.reasoning_tokens
            assert usage.completion_tokens == usage.completion_tokens_details.reasoning_tokens + 2
            assert text_of(chunks) == "word1 word2 "

    run(body())


def test_openrouter_sends_comments_reasoning_and_cost() -> None:
    async def body() -> None:
        async with SimulatedOpenAI("openrouter", flavour="openrouter", speed=Speed(first_token_s=0.01)) as service:
            async with http_client(service) as client:
                request = {"model": "qwen/qwen3-32b", "messages": user("say 2 tokens"), "stream": True}
                answer = await client.post("/chat/completions", json=request)
                listed = (await client.get("/models")).json()["data"]

            events = [event for event in answer.text.split("\n\n") if event]
            chunks = [json.loads(event[6:]) for event in events if event.startswith("data: {")]
            assert service.base_url.endswith("/api/v1")
            assert events[0] == ": OPENROUTER PROCESSING"
            assert answer.headers["x-generation-id"].startswith("gen-")
            assert any(choice["delta"].get("reasoning") for chunk in chunks for choice in chunk["choices"])
            assert chunks[-1]["choices"] == []
            usage = chunks[-1]["usage"]
            assert usage["cost"] == pytest.approx((7 * 0.10 + usage["completion_tokens"] * 0.30) / 1e6)
            assert listed[0]["pricing"] == {
                "prompt": "0.00000002",
                "completion": "0.00000005",
                "request": "0",
                "image": "0",
            }

    run(body())


def test_vllm_and_deepseek_speak_with_their_accents() -> None:
    async def body() -> None:
        async with (
            SimulatedOpenAI("vllm", flavour="vllm", key=None, context_tokens=2_048) as vllm,
            SimulatedOpenAI("deepseek", flavour="deepseek") as deepseek,
            openai_client(vllm) as vllm_client,
            openai_client(deepseek) as deepseek_client,
        ):
            listed = [model async for model in vllm_client.models.list()]
            with pytest.raises(openai.NotFoundError) as missing:
                await vllm_client.chat.completions.create(model="nosuch", messages=user("hi"))
            thought = await vllm_client.chat.completions.create(model="Qwen/Qwen3-8B", messages=user("say 2 tokens"))
            stream = await deepseek_client.chat.completions.create(
                model="deepseek-reasoner", messages=user("say 2 tokens"), stream=True
            )
            chunks = [chunk async for chunk in stream]

            assert (listed[0].model_extra or {})["max_model_len"] == 2_048
            assert missing.value.type == "NotFoundError"
            assert (thought.choices[0].message.model_extra or {})["reasoning_content"].startswith("The user")
            assert (chunks[1].choices[0].delta.model_extra or {})["reasoning_content"] == "The"
            assert chunks[-1].usage is not None
            assert (chunks[-1].usage.model_extra or {})["prompt_cache_miss_tokens"] == 7

    run(body())


def test_unknown_paths_and_methods() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, http_client(service) as client:
            nowhere = await client.get("/nowhere")
            method = await client.get("/chat/completions")

            assert nowhere.json()["error"]["message"] == "Invalid URL (GET /v1/nowhere)"
            assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_supported")

    run(body())
