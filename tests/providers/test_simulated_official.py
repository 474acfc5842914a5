"""What users of the official packages do on any wire: leave early, meet a break, be told to come back, send a picture,
use the blocking client. The packages' own tests know only the real services."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

import anthropic
import httpx
import httpx2
import ollama
import openai
import pytest
from pydantic import BaseModel

from providers.simulated.services import (
    Answer,
    Fault,
    FaultKind,
    Question,
    SimulatedAnthropic,
    SimulatedOllama,
    SimulatedOpenAI,
    SimulatedService,
    Speed,
)
from tests.conftest import run
from tests.contracts.bench import PIXEL, TEXT
from tests.providers.simulated_clients import anthropic_client, ollama_client, openai_client

PICTURE = base64.b64encode(PIXEL.content).decode()
SLOWLY = Speed(tokens_per_second=200)


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


class Package(NamedTuple):
    """One official package: its service, an answer streamed by it, a picture sent with it, its blocking client."""

    service: Callable[[], SimulatedService]
    stream: Callable[[Any, str], AsyncGenerator[str, None]]
    picture: Callable[[Any], Awaitable[Any]]
    blocking: Callable[[Any], str]
    broken: type[Exception]


async def by_openai(service: SimulatedOpenAI, text: str) -> AsyncGenerator[str, None]:
    async with (
        openai_client(service) as client,
        await client.chat.completions.create(model="gpt-4.1", messages=user(text), stream=True) as chunks,
    ):
        async for chunk in chunks:
            yield chunk.choices[0].delta.content or ""


async def picture_by_openai(service: SimulatedOpenAI) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    ]
    async with openai_client(service) as client:
        await client.chat.completions.create(model="gpt-4.1", messages=user(parts))


def blocking_by_openai(service: SimulatedOpenAI) -> str:
    with openai.OpenAI(base_url=service.base_url, api_key=service.key, max_retries=0, timeout=20) as client:
        chunks = client.chat.completions.create(model="gpt-4.1", messages=user("hawser"), stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def by_anthropic(service: SimulatedAnthropic, text: str) -> AsyncGenerator[str, None]:
    async with (
        anthropic_client(service) as client,
        client.messages.stream(model="claude-sonnet-5-5", max_tokens=5000, messages=user(text)) as events,
    ):
        async for piece in events.text_stream:
            yield piece


async def picture_by_anthropic(service: SimulatedAnthropic) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    async with anthropic_client(service) as client:
        await client.messages.create(model="claude-sonnet-5-5", max_tokens=50, messages=user(parts))


def blocking_by_anthropic(service: SimulatedAnthropic) -> str:
    with (
        anthropic.Anthropic(base_url=service.base_url, api_key=service.key, max_retries=0, timeout=20) as client,
        client.messages.stream(model="claude-sonnet-5-5", max_tokens=500, messages=user("hawser")) as events,
    ):
        return "".join(events.text_stream)


async def by_ollama(service: SimulatedOllama, text: str) -> AsyncGenerator[str, None]:
    async with ollama_client(service) as client:
        parts = await client.chat("llama3.1:8b", user(text), stream=True)
        assert isinstance(parts, AsyncGenerator)
        async with aclosing(parts):
            async for part in parts:
                yield part.message.content or ""


async def picture_by_ollama(service: SimulatedOllama) -> None:
    async with ollama_client(service) as client:
        message = ollama.Message(role="user", content="What is this?", images=[ollama.Image(value=PIXEL.content)])
        await client.chat("llava:latest", [message])


def blocking_by_ollama(service: SimulatedOllama) -> str:
    with ollama.Client(host=service.base_url, trust_env=False) as client:
        parts = client.chat("llama3.1:8b", user("hawser"), stream=True)
        return "".join(part.message.content or "" for part in parts)


PACKAGES = {
    "openai": Package(SimulatedOpenAI, by_openai, picture_by_openai, blocking_by_openai, openai.APIConnectionError),
    "anthropic": Package(
        SimulatedAnthropic, by_anthropic, picture_by_anthropic, blocking_by_anthropic, httpx2.TransportError
    ),
    "ollama": Package(SimulatedOllama, by_ollama, picture_by_ollama, blocking_by_ollama, httpx.TransportError),
}


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> Package:
    return PACKAGES[request.param]


@asynccontextmanager
async def served(package: Package) -> AsyncGenerator[SimulatedService, None]:
    """The package's service; it must be left without an open request."""
    async with package.service() as service:
        yield service
        await asyncio.wait_for(service.until_idle(), 5)


def test_stream_is_byte_exact(package: Package) -> None:
    async def body() -> None:
        async with served(package) as service:
            service.answers.script("hawser", TEXT)

            assert "".join([piece async for piece in package.stream(service, "hawser")]) == TEXT

    run(body())


def test_leaving_early_ends_the_answer_at_the_service(package: Package) -> None:
    async def body() -> None:
        async with served(package) as service:
            service.speed = SLOWLY
            service.faults.always(FaultKind.ENDLESS)

            async with aclosing(package.stream(service, "hawser")) as pieces:
                async for piece in pieces:
                    if piece:
                        break

            await asyncio.wait_for(service.until_idle(), 5)
            assert service.cancelled_requests == 1

    run(body())


@pytest.mark.parametrize("fault", [FaultKind.CUT, FaultKind.RESET, FaultKind.CUT_LINE])
def test_broken_connection_is_an_error_after_the_text_before_it(package: Package, fault: FaultKind) -> None:
    async def body() -> None:
        async with served(package) as service:
            service.speed = SLOWLY
            service.answers.script("hawser", Answer(tokens=tuple(f"t{n} " for n in range(20))))
            service.faults.always(fault, 6)
            said = ""

            with pytest.raises(package.broken):
                async for piece in package.stream(service, "hawser"):
                    said += piece

            assert said.startswith("t0 t1 t2")

    run(body())


def test_picture_is_seen(package: Package) -> None:
    async def body() -> None:
        heard: list[Question] = []

        def listen(question: Question) -> str:
            heard.append(question)
            return "A pixel."

        async with served(package) as service:
            service.answers.script("", listen)

            await package.picture(service)

        (turn,) = heard[0].turns
        assert (turn.text, turn.images) == ("What is this?", 1)

    run(body())


def test_blocking_client_is_served_as_well(package: Package) -> None:
    async def body() -> None:
        async with served(package) as service:
            service.answers.script("hawser", TEXT)

            assert await asyncio.to_thread(package.blocking, service) == TEXT

    run(body())


@pytest.mark.parametrize("status", [429, 503])
def test_clients_that_come_back_by_themselves_get_their_answer(status: int) -> None:
    async def body() -> None:
        wait = Fault(FaultKind.STATUS, status, retry_after_s=0.01)
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            service.faults.next(2, wait)
            answer = await client.with_options(max_retries=2).chat.completions.create(
                model="gpt-4.1", messages=user("echo back")
            )
            assert answer.choices[0].message.content == "back"
            assert len(service.requests) == 3
        async with SimulatedAnthropic() as claude, anthropic_client(claude) as client_:
            claude.faults.next(2, wait)
            message = await client_.with_options(max_retries=2).messages.create(
                model="claude-sonnet-5-5", max_tokens=50, messages=user("echo back")
            )
            assert message.content[0].type == "text"
            assert message.content[0].text == "back"
            assert len(claude.requests) == 3

    run(body())


class City(BaseModel):
    name: str
    people: int


def test_helpers_that_parse_an_answer_find_what_they_need() -> None:
    async def body() -> None:
        async with SimulatedOpenAI() as service, openai_client(service) as client:
            parsed = await client.chat.completions.parse(
                model="gpt-4.1", messages=user("Bremen?"), response_format=City
            )
            async with client.chat.completions.stream(model="gpt-4.1", messages=user("echo hello")) as events:
                kinds = [event.type async for event in events]
                final = await events.get_final_completion()
        assert isinstance(parsed.choices[0].message.parsed, City)
        assert final.choices[0].message.content == "hello"
        assert {"chunk", "content.delta", "content.done"} <= set(kinds)
        async with SimulatedOllama() as host, ollama_client(host) as client_:
            answer = await client_.chat("llama3.1:8b", user("Bremen?"), format=City.model_json_schema())
        assert City.model_validate_json(answer.message.content or "").name

    run(body())
