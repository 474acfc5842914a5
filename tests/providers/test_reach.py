"""A host that is not at its address: connections come from a `Reach`, and its words are told."""

from __future__ import annotations

import asyncio
import socket

import pytest

from providers.chat.base import Host
from providers.errors import ProviderError, ServiceFailed, Unreachable
from providers.http import client, opened, place, read_json
from providers.registry import chat_provider
from providers.simulated.services import SimulatedOllama
from tests.conftest import run


class Detour:
    """Leads to whatever port is set, and counts."""

    place = "port 11434"

    def __init__(self, port: int) -> None:
        self.port = port
        self.dialled = 0
        self.failure: ProviderError | None = None
        self.why: ProviderError | None = None

    async def dial(self) -> socket.socket:
        self.dialled += 1
        if self.failure is not None:
            raise self.failure
        connected = socket.socket()
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", self.port))
        return connected

    async def reason(self) -> ProviderError | None:
        return self.why


def host_over(reach: Detour) -> Host:
    return Host("gpubox", "http://127.0.0.1:11434", reach=reach)


def test_a_provider_follows_where_its_reach_leads() -> None:
    async def body() -> None:
        async with SimulatedOllama("one") as one, SimulatedOllama("two") as two:
            reach = Detour(one.port)
            provider = chat_provider("ollama", host_over(reach))
            first = await provider.models()
            await provider.models()
            assert reach.dialled == 1, "the connection is kept"
            await one.close_door()
            reach.port = two.port

            assert await provider.models() == first
            assert reach.dialled == 2
            assert two.requests_to("/api/tags")
            assert one.requests_to("/api/tags")[0].headers["host"] == "127.0.0.1:11434"
            await provider.close()

    run(body())


def test_what_keeps_it_from_connecting_is_told_as_it_is() -> None:
    async def body() -> None:
        reach = Detour(9)
        reach.failure = Unreachable("The machine is off.")
        host = host_over(reach)
        async with client(host) as http:
            with pytest.raises(Unreachable, match="The machine is off"):
                await read_json(http, host, "GET", "/")

    run(body())


@pytest.mark.parametrize("knows", [True, False])
def test_why_a_connection_ended_without_an_answer_is_asked(knows: bool) -> None:
    async def body() -> None:
        def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            reach = Detour(server.sockets[0].getsockname()[1])
            reach.why = ServiceFailed("The service is down.") if knows else None
            host = host_over(reach)
            async with client(host) as http:
                with pytest.raises(ServiceFailed if knows else Unreachable) as caught:
                    async with opened(http, host, "POST", "/", content=b"{}"):
                        raise AssertionError("nothing answered")
        assert caught.value.text == (
            "The service is down." if knows else "The connection to gpubox (port 11434) was closed before it answered."
        )

    run(body())


def test_the_place_of_a_host_behind_something_is_in_its_own_words() -> None:
    assert place(host_over(Detour(1))) == "gpubox (port 11434)"
