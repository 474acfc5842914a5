"""The Ollama wire, and the administration of its hosts."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import datetime
from typing import Any

import pytest

from providers.chat.base import ChatRequest, Finish, Host, Image, LoadState, Message, ModelInfo, ToolCall
from providers.chat.ollama import Ollama, base_url, body_of, keep_alive
from providers.chat.ollama_admin import OllamaAdmin, Progress
from providers.errors import (
    BadReply,
    KeyRefused,
    ModelMissing,
    ProviderError,
    ServiceFailed,
    StreamBroken,
    TimedOut,
    TlsFailed,
    Unreachable,
)
from providers.simulated.services import SimulatedOllama
from tests.providers.raw import Answer, Asked, RawServer, ask, chunked, collect, raw_server, reply

NDJSON = "application/x-ndjson"
DONE = {"model": "tiny", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}


def lines(*rows: dict[str, Any]) -> bytes:
    return chunked("".join(json.dumps(row) + "\n" for row in rows), kind=NDJSON)


def said(content: str = "", **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **more}, "done": False}


def got_from(*answers: bytes, **request: Any) -> tuple[Answer, RawServer]:
    async def body() -> tuple[Answer, RawServer]:
        async with raw_server(*answers) as server:
            return await collect(Ollama(server.host()), ask(**request)), server

    return asyncio.run(body())


# ---- answers


def test_answer_ends_with_the_servers_figures() -> None:
    last = {**DONE, "prompt_eval_count": 7, "eval_count": 3, "load_duration": 2_500_000, "eval_duration": 1_000_000}

    got, server = got_from(lines(said("Hel"), said("lo", thinking="hm"), last))

    assert (got.text, got.thinking) == ("Hello", "hm")
    assert got.end is not None
    assert (got.end.usage.input_tokens, got.end.usage.output_tokens) == (7, 3)
    assert (got.end.timings.load_ms, got.end.timings.prompt_ms, got.end.timings.answer_ms) == (2.5, None, 1.0)
    assert server.asked[0].target == "/api/chat"


def test_calls_of_tools_get_an_id_where_the_server_gives_none() -> None:
    calls = [
        {"function": {"name": "f", "arguments": {"x": "ö"}}},
        {"id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]

    got, _ = got_from(lines(said(tool_calls=calls), DONE))

    assert got.deltas[0].tool_calls == (ToolCall("call_1", "f", '{"x": "ö"}'), ToolCall("b", "g", "{}"))
    assert got.end is not None
    assert got.end.finish is Finish.TOOL_CALLS


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lines(said("a"), {"error": "model runner has unexpectedly stopped"}), ServiceFailed),
        (lines(said("a")), StreamBroken),
        (chunked(b'{"message": {"content": "a"}}\n{"mess', kind=NDJSON), StreamBroken),
        (chunked("data: {}\n\n"), BadReply),
        (chunked("[1]\n"), BadReply),
        (reply({"error": "model 'tiny' not found"}, status="404 Not Found"), ModelMissing),
        (reply("404 page not found", status="404 Not Found", kind="text/plain"), BadReply),
    ],
)
def test_failure_becomes_the_error_of_its_cause(answer: bytes, expected: type[ProviderError]) -> None:
    got, _ = got_from(answer)

    assert isinstance(got.error, expected)


def test_missing_model_names_the_remedy() -> None:
    got, _ = got_from(reply({"error": "model 'tiny' not found"}, status="404 Not Found"))

    assert isinstance(got.error, ModelMissing)
    assert got.error.hint == "Fetch it with: hawser model pull lab/tiny"


def test_model_that_cannot_think_is_asked_without() -> None:
    cannot = reply({"error": '"tiny" does not support thinking'}, status="400 Bad Request")

    got, server = got_from(cannot, lines(said("a"), DONE), thinking=True)

    assert got.text == "a"
    assert server.asked[0].json["think"] is True
    assert "think" not in server.asked[1].json


# ---- the question


def test_question_in_the_words_of_the_wire() -> None:
    request = ChatRequest(
        "m",
        (
            Message("user", "See", images=(Image("image/png", b"\x89PNG"),)),
            Message("assistant", "", tool_calls=(ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", "{broken"))),
            Message("tool", "42", tool_call_id="a"),
        ),
        max_tokens=5,
        params={"temperature": 0, "top_k": 3, "logprobs": True, "options": {"seed": 1}},
        schema={"type": "object"},
        thinking=False,
        context_tokens=4096,
        keep_alive="-1",
    )

    body = body_of(request)

    assert body["options"] == {"temperature": 0, "top_k": 3, "seed": 1, "num_predict": 5, "num_ctx": 4096}
    assert (body["think"], body["keep_alive"], body["format"], body["logprobs"]) == (
        False,
        -1,
        {"type": "object"},
        True,
    )
    assert body["messages"] == [
        {"role": "user", "content": "See", "images": ["iVBORw=="]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"function": {"name": "f", "arguments": {"x": 1}}},
                {"function": {"name": "g", "arguments": {"arguments": "{broken"}}},
            ],
        },
        {"role": "tool", "content": "42", "tool_call_id": "a", "tool_name": "f"},
    ]


def test_plain_question_sets_nothing() -> None:
    assert set(body_of(ask())) == {"model", "messages", "stream"}


def test_time_to_stay_is_a_number_or_has_a_unit() -> None:
    assert [keep_alive(wish) for wish in ("5m", "0", "-1", "300")] == ["5m", 0, -1, 300]


@pytest.mark.parametrize("given", ["http://box:1", "http://box:1/", "http://box:1/api/", "http://box:1/v1"])
def test_address_is_the_root_of_the_service(given: str) -> None:
    assert base_url(Host("lab", given)) == "http://box:1"


# ---- models and their state


def test_models_with_what_the_host_says() -> None:
    rows = [
        {"name": "llava:7b", "size": 4, "digest": "d", "details": {"family": "llama", "families": ["llama", "clip"]}},
        {"model": "m", "details": {"parameter_size": "7B", "quantization_level": "Q4"}, "capabilities": ["vision"]},
        {"name": None},
    ]

    async def body() -> None:
        async with raw_server(reply({"models": rows})) as server:
            provider = Ollama(server.host())
            assert await provider.models() == [
                ModelInfo("llava:7b", size_bytes=4, digest="d", family="llama", sees_images=True),
                ModelInfo("m", parameters="7B", quantization="Q4", sees_images=True),
            ]
            await provider.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (reply({"models": [{"name": "tiny:latest"}]}), LoadState.LOADED),
        (reply({"models": []}), LoadState.LOADING),
        (reply({"models": [{"name": "tiny:7b"}, {"name": 4}]}), LoadState.LOADING),
        (reply([]), LoadState.UNKNOWN),
        (reply({}, status="500 Internal Server Error"), LoadState.UNKNOWN),
        (b"", LoadState.UNKNOWN),
    ],
)
def test_state_of_a_model(answer: bytes, state: LoadState) -> None:
    async def body() -> None:
        async with raw_server(answer) as server:
            provider = Ollama(server.host())
            assert await provider.load_state("tiny") is state
            await provider.close()

    asyncio.run(body())


# ---- administration


def test_host_is_looked_after_through_the_official_client() -> None:
    async def body() -> None:
        async with (
            SimulatedOllama(installed=("llama3.1:8b", "bge-m3:latest")) as service,
            OllamaAdmin(Host("lab", service.base_url)) as admin,
        ):
            assert "llama3.1:8b" in [model.name for model in await admin.models()]
            assert await admin.loaded() == []

            await admin.load("llama3.1:8b", keep="30m")
            (loaded,) = await admin.loaded()
            assert loaded.name == "llama3.1:8b"
            assert loaded.vram_bytes
            assert isinstance(loaded.expires_at, datetime)
            assert await admin.unload("llama3.1:8b")
            assert not await admin.unload("llama3.1:8b")

            await admin.load("bge-m3")
            assert [model.name for model in await admin.loaded()] == ["bge-m3:latest"]
            (vector, _) = await admin.embed("bge-m3", ["a", "b"])
            assert len(vector) > 100

            details = await admin.show("llama3.1:8b")
            assert details.info.context_tokens == 131_072
            assert "completion" in details.capabilities

            await admin.copy("llama3.1:8b", "mine")
            await admin.create("brief", base="mine", system="Be brief.")
            await admin.delete("mine")
            assert {"brief:latest"} <= {model.name for model in await admin.models()}

            steps = [step async for step in admin.pull("mistral:7b")]
            assert steps[-1].status == "success"
            assert steps[-1].completed_bytes == steps[-1].total_bytes > 1_000_000_000

    asyncio.run(body())


def test_key_goes_only_to_the_host_it_was_stored_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "of-someone-else")
    monkeypatch.setenv("OLLAMA_HOST", "http://192.0.2.1:1")

    async def body() -> None:
        async with raw_server(reply({"models": []})) as server:
            for host in (server.host(), server.host(key="sk-1", headers={"X-A": "b", "User-Agent": "hawser/9"})):
                async with OllamaAdmin(host) as admin:
                    assert await admin.models() == []
            assert "authorization" not in server.asked[0].headers
            assert server.asked[1].headers["authorization"] == "Bearer sk-1"
            assert server.asked[1].headers["x-a"] == "b"
            assert [asked.headers["user-agent"] for asked in server.asked] == ["hawser", "hawser/9"]

    asyncio.run(body())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", Unreachable),
        (reply({"error": "model 'x' not found"}, status="404 Not Found"), ModelMissing),
        (reply({"error": "oh"}, status="500 Internal Server Error"), ServiceFailed),
        (reply("<html><title>Gate</title>", status="502 Bad Gateway", kind="text/html"), ServiceFailed),
        (reply({"error": "no"}, status="401 Unauthorized"), KeyRefused),
        (reply("no json"), BadReply),
        (reply("[]"), BadReply),
        (b"SSH-2.0\r\n", BadReply),
    ],
)
def test_errors_of_the_client_become_ours(answer: bytes, expected: type[ProviderError]) -> None:
    async def body() -> None:
        async with raw_server(answer) as server, OllamaAdmin(server.host(key="sk-1")) as admin:
            with pytest.raises(expected):
                await admin.show("x")

    asyncio.run(body())


def test_host_that_is_not_there_is_unreachable() -> None:
    async def body() -> None:
        async with OllamaAdmin(Host("lab", "http://127.0.0.1:1")) as admin:
            with pytest.raises(Unreachable, match="Nothing is listening"):
                await admin.models()
            with pytest.raises(Unreachable, match="Nothing is listening"):
                async for _ in admin.pull("x"):
                    pass

    asyncio.run(body())


def test_silent_host_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.chat.ollama_admin.ASK_LIMIT_S", 0.05)
    monkeypatch.setattr("providers.chat.ollama_admin.STALL_LIMIT_S", 0.05)

    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked('{"status": "pulling"}\n', kind=NDJSON, end=False))
        await asyncio.Event().wait()

    async def body() -> None:
        async with raw_server(silent) as server, OllamaAdmin(server.host()) as admin:
            with pytest.raises(TimedOut):
                await admin.models()
            async with aclosing(admin.pull("x")) as steps:
                assert await anext(steps) == Progress("pulling", 0, 0)
                with pytest.raises(TimedOut, match="said nothing"):
                    await anext(steps)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (chunked('{"status": "pulling"}\n', kind=NDJSON), StreamBroken),
        (chunked('{"status": "pulling"}\n', kind=NDJSON, end=False), StreamBroken),
        (chunked('{"status": "pulling"}\n{"error": "pull model manifest: file does not exist"}\n'), ModelMissing),
        (chunked('{"status": "pulling"}\n{"error": "no space left on device"}\n'), ServiceFailed),
        (chunked('{"status": \n'), BadReply),
    ],
)
def test_pull_that_fails_says_why(answer: bytes, expected: type[ProviderError]) -> None:
    async def body() -> None:
        async with raw_server(answer) as server, OllamaAdmin(server.host()) as admin:
            with pytest.raises(expected):
                async for _ in admin.pull("x"):
                    pass

    asyncio.run(body())


def test_pull_that_is_left_ends_at_the_host() -> None:
    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked('{"status": "pulling"}\n', kind=NDJSON, end=False))
        while True:
            writer.write(b"1\r\n\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def body() -> None:
        async with raw_server(slow) as server, OllamaAdmin(server.host()) as admin:
            async with aclosing(admin.pull("x")) as steps:
                async for step in steps:
                    assert step.status == "pulling"
                    break
            await asyncio.wait_for(server.hung_up.wait(), 2)

    asyncio.run(body())


def test_certificate_is_judged_as_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.providers.test_http import CERTIFICATE, secure

    async def body() -> None:
        async with raw_server(reply({"models": []}), tls=secure()) as server:
            async with OllamaAdmin(server.host()) as admin:
                with pytest.raises(TlsFailed):
                    await admin.models()
            monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
            async with OllamaAdmin(server.host()) as admin:
                assert await admin.models() == []

    asyncio.run(body())
