"""Each fault of the simulated services, on every wire, as a client sees it on the socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest

from providers.simulated.services import (
    Answer,
    Fault,
    FaultKind,
    Faults,
    SimulatedAnthropic,
    SimulatedOllama,
    SimulatedOpenAI,
    SimulatedService,
)
from tests.conftest import run
from tests.providers.simulated_clients import HeldClock, anthropic_client, http_client, ollama_client, openai_client


@dataclass(frozen=True)
class Wire:
    """How to ask for a streamed answer, and what closes it properly."""

    service: Callable[[], SimulatedService]
    path: str
    request: dict[str, Any]
    closing: str
    text: Callable[[dict[str, Any]], str]
    error: dict[str, Any] = field(default_factory=dict)
    comment: bytes = b": keep-alive\n\n"


def _openai_text(value: dict[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in value.get("choices", ()))


def _anthropic_text(value: dict[str, Any]) -> str:
    return str(value.get("delta", {}).get("text", ""))


WIRES = {
    "ollama": Wire(
        SimulatedOllama,
        "/api/chat",
        {"model": "llama3.1:8b"},
        '"done":true',
        lambda value: str(value.get("message", {}).get("content", "")),
        {"error": "llama runner process has terminated: exit status 2"},
        b"\n{",
    ),
    "ollama-openai": Wire(
        SimulatedOllama, "/v1/chat/completions", {"model": "llama3.1:8b"}, "data: [DONE]", _openai_text
    ),
    "openai": Wire(SimulatedOpenAI, "/chat/completions", {"model": "gpt-4.1"}, "data: [DONE]", _openai_text),
    "openrouter": Wire(
        lambda: SimulatedOpenAI(flavour="openrouter"),
        "/chat/completions",
        {"model": "openai/gpt-4.1-mini"},
        "data: [DONE]",
        _openai_text,
    ),
    "anthropic": Wire(
        SimulatedAnthropic,
        "/v1/messages",
        {"model": "claude-sonnet-5-5", "max_tokens": 1_000},
        "event: message_stop",
        _anthropic_text,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        b"event: ping\n",
    ),
}


@dataclass
class Seen:
    """What came over the wire, and how it ended."""

    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    raw: bytes = b""
    ended: str = "whole"

    def values(self) -> list[dict[str, Any]]:
        """The JSON objects of the lines that came whole."""
        values = []
        for line in self.raw.decode(errors="replace").splitlines():
            with suppress(ValueError):
                value = json.loads(line.removeprefix("data: "))
                values.append(value if isinstance(value, dict) else {})
        return values


async def ask(service: SimulatedService, wire: Wire, prompt: str = "say 10 tokens", **more: Any) -> Seen:
    seen = Seen()
    request = wire.request | {"messages": [{"role": "user", "content": prompt}], "stream": True} | more
    async with http_client(service) as client:
        try:
            async with client.stream("POST", wire.path, json=request) as answer:
                seen.status, seen.headers = answer.status_code, answer.headers
                async for piece in answer.aiter_raw():
                    seen.raw += piece
        except httpx.RemoteProtocolError:
            seen.ended = "cut"
        except httpx.ReadError:
            seen.ended = "reset"
    return seen


def text_of(wire: Wire, seen: Seen) -> str:
    return "".join(wire.text(value) for value in seen.values())


TEN = "".join(f"word{n} " for n in range(1, 11))
THREE = "word1 word2 word3 "


@pytest.fixture(params=list(WIRES))
def wire(request: pytest.FixtureRequest) -> Wire:
    return WIRES[request.param]


def test_no_fault_means_a_whole_answer(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            seen = await ask(service, wire)

            assert (seen.status, seen.ended) == (200, "whole")
            assert text_of(wire, seen) == TEN
            assert wire.closing in seen.raw.decode()

    run(body())


@pytest.mark.parametrize(
    ("kind", "ended", "text"),
    [
        (FaultKind.CUT, "cut", THREE),
        (FaultKind.RESET, "reset", THREE),
        (FaultKind.END_EARLY, "whole", THREE),
        (FaultKind.CUT_LINE, "cut", THREE),
        (FaultKind.CUT_CHARACTER, "cut", THREE),
        (FaultKind.GARBAGE, "whole", TEN),
        (FaultKind.CRLF, "whole", TEN),
        (FaultKind.COMMENTS, "whole", TEN),
        (FaultKind.TINY_WRITES, "whole", TEN),
        (FaultKind.NO_USAGE, "whole", TEN),
        (FaultKind.WRONG_TYPE, "whole", TEN),
        (FaultKind.EMPTY, "whole", ""),
    ],
)
def test_how_an_answer_ends(wire: Wire, kind: FaultKind, ended: str, text: str) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(kind, 3)
            seen = await ask(service, wire)
            after = await ask(service, wire)

            assert (seen.status, seen.ended) == (200, ended)
            assert text_of(wire, seen) == text
            assert (wire.closing in seen.raw.decode(errors="replace")) is (text != THREE)
            assert text_of(wire, after) == TEN

    run(body())


def test_line_ends_comments_and_content_type_are_as_asked(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.CRLF)
            crlf = await ask(service, wire)
            service.faults.once(FaultKind.COMMENTS)
            comments = await ask(service, wire)
            service.faults.once(FaultKind.WRONG_TYPE)
            typed = await ask(service, wire)

            assert crlf.raw.count(b"\r\n") == crlf.raw.count(b"\n")
            assert comments.raw.count(wire.comment) >= 10
            assert typed.headers["content-type"].startswith("text/plain")

    run(body())


def test_cut_comes_at_the_end_of_a_shorter_answer(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.CUT, 500)
            seen = await ask(service, wire)

            assert seen.ended == "cut"
            assert text_of(wire, seen) == TEN
            assert wire.closing not in seen.raw.decode()

    run(body())


def test_cut_in_a_line_or_character_leaves_it_unfinished(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.CUT_LINE, 2)
            line = await ask(service, wire)
            service.faults.once(FaultKind.CUT_CHARACTER, 2)
            character = await ask(service, wire)

            assert line.raw.endswith(b'"unf')
            with pytest.raises(UnicodeDecodeError):
                character.raw.decode()
            assert character.raw[:-1].decode().endswith('"')

    run(body())


def test_error_object_ends_the_stream(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(Fault(FaultKind.ERROR, 3, message="out of memory"))
            seen = await ask(service, wire)

            last = seen.values()[-1]
            assert (seen.status, seen.ended) == (200, "whole")
            assert text_of(wire, seen) == THREE
            assert "out of memory" in json.dumps(last["error"])
            assert wire.closing not in seen.raw.decode()

    run(body())


def test_error_object_has_usual_words_of_its_own() -> None:
    async def body() -> None:
        for name in ("ollama", "anthropic"):
            wire = WIRES[name]
            async with wire.service() as service:
                service.faults.once(FaultKind.ERROR, 3)
                seen = await ask(service, wire)

                assert seen.values()[-1] == wire.error

    run(body())


def test_stall_holds_the_connection_until_the_client_leaves(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service, http_client(service) as client:
            service.faults.once(FaultKind.STALL, 3)
            messages = [{"role": "user", "content": "say 10 tokens"}]
            request = wire.request | {"messages": messages, "stream": True}
            raw = b""
            async with client.stream("POST", wire.path, json=request) as answer:
                async for piece in answer.aiter_raw():
                    raw += piece
                    if b"word3 " in raw:
                        break
                running = service.running_requests
            await service.until_idle()

            assert running == 1
            assert service.cancelled_requests == 1
            assert b"word4 " not in raw

    run(body())


def test_endless_answer_stops_when_the_client_leaves(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service, http_client(service) as client:
            service.faults.once(FaultKind.ENDLESS)
            request = wire.request | {"messages": [{"role": "user", "content": "Tell me all"}], "stream": True}
            got = 0
            async with client.stream("POST", wire.path, json=request) as answer:
                async for piece in answer.aiter_raw():
                    got += len(piece)
                    if got > 1_000_000:
                        break
            await service.until_idle()
            sent = service.tokens_sent
            await asyncio.sleep(0)

            assert service.cancelled_requests == 1
            assert service.tokens_sent == sent > 1_000

    run(body())


def test_slow_first_token_sends_no_token_before_its_time(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service, http_client(service) as client:
            service.faults.once(FaultKind.SLOW)
            request = wire.request | {"messages": [{"role": "user", "content": "hi"}], "stream": True}
            waiting = asyncio.create_task(client.post(wire.path, json=request))
            await service.until_running()
            waiting.cancel()
            await asyncio.wait([waiting])
            await service.until_idle()

            assert service.tokens_sent == 0
            assert service.cancelled_requests == 1

    run(body())


def test_long_line_is_one_line_and_the_answer_goes_on(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.LONG_LINE, 300_000)
            seen = await ask(service, wire)

            lines = seen.raw.split(b"\n")
            assert 299_000 < max(map(len, lines)) <= 300_000
            assert text_of(wire, seen).replace("x" * 100, "").replace("x", "") == TEN
            assert wire.closing in seen.raw.decode()

    run(body())


def test_escapes_are_in_the_answer(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.ESCAPES)
            seen = await ask(service, wire)

            assert "\x1b]52;c;" in text_of(wire, seen)
            assert "\x07" in text_of(wire, seen)

    run(body())


def test_truncation_is_reported_as_fewer_prompt_tokens(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.TRUNCATE, 50)
            seen = await ask(service, wire, "many words " * 200, stream_options={"include_usage": True})

            reported = json.dumps(seen.values())
            assert (
                ('"prompt_tokens": 50' in reported) or ('_count": 50' in reported) or ('input_tokens": 50' in reported)
            )

    run(body())


def test_no_usage_leaves_the_counts_out(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.NO_USAGE)
            without = await ask(service, wire, stream_options={"include_usage": True})
            with_usage = await ask(service, wire, stream_options={"include_usage": True})

            def counted(seen: Seen) -> bool:
                raw = seen.raw.decode()
                return '_tokens":' in raw or "eval_count" in raw

            assert not counted(without)
            assert counted(with_usage)

    run(body())


def test_status_has_the_error_object_of_the_wire(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.STATUS, 429)
            limited = await ask(service, wire)
            service.faults.once(Fault(FaultKind.STATUS, 503, retry_after_s=7, message="full"))
            full = await ask(service, wire)
            service.faults.once(Fault(FaultKind.STATUS, 500, body="plain words"))
            odd = await ask(service, wire)

            assert (limited.status, limited.headers["retry-after"]) == (429, "1")
            assert "error" in json.loads(limited.raw)
            assert (full.status, full.headers["retry-after"]) == (503, "7")
            assert b"full" in full.raw
            assert (odd.status, odd.raw) == (500, b"plain words")

    run(body())


def test_html_page_of_a_proxy(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.HTML)
            seen = await ask(service, wire)

            assert (seen.status, seen.headers["content-type"]) == (502, "text/html")
            assert seen.raw.startswith(b"<html>")

    run(body())


def test_model_that_is_gone_is_an_error_although_listed(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.MODEL_GONE)
            seen = await ask(service, wire)

            assert seen.status in (400, 404)
            assert str(wire.request["model"]) in seen.raw.decode()

    run(body())


@pytest.mark.parametrize(
    ("kind", "ended"), [(FaultKind.CUT, "cut"), (FaultKind.RESET, "reset"), (FaultKind.GARBAGE, "whole")]
)
def test_answers_in_one_piece_break_too(wire: Wire, kind: FaultKind, ended: str) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(kind)
            seen = await ask(service, wire, stream=False)

            assert seen.ended == ended
            with pytest.raises(ValueError):
                json.loads(seen.raw)

    run(body())


def test_door_that_closed_opens_again_on_the_same_port(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            base_url = service.base_url
            await service.close_door()
            with pytest.raises(httpx.ConnectError):
                await ask(service, wire)
            await service.open_door()
            seen = await ask(service, wire)

            assert service.base_url == base_url
            assert seen.ended == "whole"

    run(body())


def test_closing_the_door_breaks_what_is_running(wire: Wire) -> None:
    async def body() -> None:
        async with wire.service() as service:
            service.faults.once(FaultKind.STALL, 2)
            asking = asyncio.create_task(ask(service, wire))
            await service.until_running()
            await service.close_door()
            seen = await asking

            assert seen.ended in ("cut", "reset")
            assert service.running_requests == 0

    run(body())


def test_refusing_from_the_start_ends_after_its_time() -> None:
    async def body() -> None:
        wire = WIRES["ollama"]
        clock = HeldClock()
        async with SimulatedOllama(faults=[Fault(FaultKind.REFUSE, 30)], clock=clock) as service:
            with pytest.raises(httpx.ConnectError):
                await ask(service, wire)
            clock.go.set()
            await service.until_open()
            seen = await ask(service, wire)

            assert seen.ended == "whole"
            assert clock.slept_s == [30]

    run(body())


def test_faults_count_down_and_keep_to_their_paths() -> None:
    faults = Faults([Fault(FaultKind.STATUS, 500, times=2), Fault(FaultKind.CRLF), Fault(FaultKind.HTML, on="/tags")])

    taken = [faults.take("/api/chat", is_answer=True) for _ in range(3)]
    listing = faults.take("/api/tags", is_answer=False)

    assert [FaultKind.STATUS in active for active in taken] == [True, True, False]
    assert all(FaultKind.CRLF in active for active in taken)
    assert not any(FaultKind.HTML in active for active in taken)
    assert FaultKind.HTML in listing
    assert FaultKind.CRLF not in listing


def test_faults_of_one_kind_wait_for_their_turn() -> None:
    faults = Faults()
    faults.once(FaultKind.CUT, 1)
    faults.once(FaultKind.CUT, 2)

    first, second, third = (faults.take("/x", is_answer=True).get(FaultKind.CUT) for _ in range(3))

    assert first is not None
    assert second is not None
    assert (first.argument, second.argument, third) == (1, 2, None)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cut", Fault(FaultKind.CUT)),
        ("cut:3", Fault(FaultKind.CUT, 3)),
        ("status:429*2", Fault(FaultKind.STATUS, 429, times=2)),
        ("empty*1", Fault(FaultKind.EMPTY, times=1)),
        ("slow:0.5", Fault(FaultKind.SLOW, 0.5)),
    ],
)
def test_faults_are_read_from_words(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize("text", ["nonsense", "cut:many", "cut*x", ""])
def test_words_that_are_no_fault_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Fault.parse(text)


def test_official_clients_raise_their_own_errors() -> None:
    async def body() -> None:
        message: Any = [{"role": "user", "content": "hi"}]
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            service.faults.once(FaultKind.STATUS, 429)
            with pytest.raises(openai.RateLimitError) as limited:
                await client.chat.completions.create(model="gpt-4.1", messages=message)
            service.faults.once(Fault(FaultKind.ERROR, 0, message="broken"))
            stream = await client.chat.completions.create(model="gpt-4.1", messages=message, stream=True)
            with pytest.raises(openai.APIError, match="broken"):
                _ = [chunk async for chunk in stream]
            assert limited.value.response.headers["retry-after"] == "1"
        async with SimulatedAnthropic() as claude, anthropic_client(claude) as client_:
            claude.faults.once(FaultKind.STATUS, 529)
            with pytest.raises(anthropic.APIStatusError) as overloaded:
                await client_.messages.create(model="claude-sonnet-5-5", max_tokens=9, messages=message)
            claude.faults.once(FaultKind.ERROR, 1)
            with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
                async with client_.messages.stream(model="claude-sonnet-5-5", max_tokens=9, messages=message) as events:
                    await events.get_final_message()
            assert overloaded.value.status_code == 529
        async with SimulatedOllama() as host, ollama_client(host) as client__:
            host.faults.once(FaultKind.ERROR, 1)
            with pytest.raises(ollama.ResponseError, match="runner process"):
                _ = [part async for part in await client__.chat("llama3.1:8b", message, stream=True)]

    run(body())


def test_faults_hit_answers_in_thinking_too() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service:
            service.answers.queue(Answer("text", thinking="one two three four"))
            service.faults.once(FaultKind.CUT, 2)
            seen = await ask(service, WIRES["ollama"])

            thought = [value["message"].get("thinking") for value in seen.values()]
            assert thought == ["one", " two"]
            assert seen.ended == "cut"

    run(body())
