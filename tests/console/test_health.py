"""Health is what a service answers: real HTTP on loopback, with everything that can be wrong behind a port."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from console.clock import SystemClock
from console.errors import SettingsError
from console.events import Bus
from console.links.health import Health, Reading, RoundTrips, ServiceChanged, ServiceProbed, percentile, probe
from console.machines.services import SERVICES, Service, read_service, service_named, service_on, services_of
from providers.simulated.services import SimulatedOllama
from tests.sshd_kit import free_port

CLOCK = SystemClock()
PATIENCE_S = 30.0
AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


class Counter:
    """A small service whose answer can be changed."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        self.then: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
            if self.then is not None:
                await self.then(writer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client was not patient; the test knows
        finally:
            if task.cancelling():
                writer.transport.abort()  # what was not sent yet would have to wait for the client
            else:
                writer.close()
            self._serving.discard(task)

    async def end(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


@asynccontextmanager
async def counter() -> AsyncIterator[Counter]:
    made = Counter()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()
        await server.wait_closed()


def service(limit_s: float = 5.0) -> Service:
    return Service("vllm", 8000, "/health", "vLLM", limit_s)


def answer(status: int, *, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} Some\r\n{headers}content-length: 0\r\n\r\n".encode()


def test_a_service_that_answers_is_well_and_asked_plainly() -> None:
    async def body() -> None:
        async with counter() as there:
            reading = await probe(service(), there.port, CLOCK)

            assert reading.ok
            assert reading.error is None
            assert reading.round_trip_ms is not None
            assert reading.round_trip_ms >= 0
            (asked,) = there.asked
            assert asked.startswith(b"GET /health HTTP/1.1\r\n")
            assert b"authorization" not in asked.lower()
            assert b"cookie" not in asked.lower()

    asyncio.run(body())


def test_a_real_service_of_the_table_answers_its_probe() -> None:
    async def body() -> None:
        async with SimulatedOllama() as ollama:
            reading = await probe(SERVICES["ollama"], ollama.port, CLOCK)
        assert reading.ok

    asyncio.run(body())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, None),
        (302, None),
        (401, None),
        (403, None),
        (404, "vLLM answers 404 to /health."),
        (500, "vLLM answers 500 to /health."),
        (503, "vLLM answers 503 to /health."),
    ],
)
def test_what_an_answer_says(status: int, error: str | None) -> None:
    async def body() -> None:
        async with counter() as there, counter() as elsewhere:
            there.answer = answer(status, headers=f"location: http://127.0.0.1:{elsewhere.port}/\r\n")
            reading = await probe(service(), there.port, CLOCK)

            assert (reading.ok, reading.error) == (error is None, error)
            assert elsewhere.asked == []

    asyncio.run(body())


def test_nothing_listening_is_told() -> None:
    reading = asyncio.run(probe(service(), free_port(), CLOCK))

    assert not reading.ok
    assert reading.round_trip_ms is None
    assert reading.error is not None
    assert "the connection was refused" in reading.error


def test_a_connection_that_is_reset_is_told() -> None:
    async def body() -> None:
        async with counter() as there:

            async def reset(writer: asyncio.StreamWriter) -> None:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

            there.answer, there.then = b"", reset
            reading = await probe(service(), there.port, CLOCK)

            assert not reading.ok
            assert reading.error is not None
            assert "closed before it answered" in reading.error

    asyncio.run(body())


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"])
def test_one_that_does_not_answer_in_time_is_not_waited_for(begun: bytes) -> None:
    async def body() -> None:
        async with counter() as there:
            done = asyncio.Event()

            async def say_nothing(writer: asyncio.StreamWriter) -> None:
                await done.wait()

            there.answer, there.then = begun, say_nothing
            reading = await probe(service(limit_s=0.2), there.port, CLOCK)
            done.set()

            assert (reading.ok, reading.error) == (False, "vLLM did not answer within 0.2 s.")

    asyncio.run(body())


def test_a_body_without_end_is_read_up_to_a_bound() -> None:
    async def body() -> None:
        async with counter() as there:
            there.answer = b"HTTP/1.1 200 OK\r\n\r\n"

            async def pour(writer: asyncio.StreamWriter) -> None:
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()

            there.then = pour
            assert (await probe(service(), there.port, CLOCK)).ok

    asyncio.run(body())


def test_garbage_is_not_an_answer() -> None:
    async def body() -> None:
        async with counter() as there:
            there.answer = b"SSH-2.0-OpenSSH_9.2\r\n\r\n"
            reading = await probe(service(), there.port, CLOCK)
            assert reading.error is not None
            assert "not HTTP" in reading.error

    asyncio.run(body())


def test_a_service_without_http_counts_when_it_keeps_a_connection() -> None:
    async def body() -> None:
        stays = asyncio.Event()

        async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await stays.wait()
            writer.close()

        async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hello\r\n")
            await reader.read()
            writer.close()

        async def found_at(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Reading:
            over = asyncio.Event()

            async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await serve(reader, writer)
                over.set()

            async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
                reading = await probe(Service("raw", 9, None), server.sockets[0].getsockname()[1], CLOCK)
                stays.set()
                await over.wait()
            return reading

        found = [await found_at(serve) for serve in (stay, leave, greet)]
        found.append(await probe(Service("raw", 9, None), free_port(), CLOCK))

        assert [reading.ok for reading in found] == [True, False, True, False]
        assert found[1].error == "The connection was closed at once."
        assert "Nothing is listening" in (found[3].error or "")

    asyncio.run(body())


def test_a_reading_ages() -> None:
    reading = Reading(True, 1.0, None, AT)

    assert reading.age(AT + timedelta(seconds=7)) == timedelta(seconds=7)
    assert reading.age(AT - timedelta(seconds=7)) == timedelta(0)


def test_statistics_over_the_last_round_trips() -> None:
    trips = RoundTrips(kept=100)
    assert (trips.last_ms, trips.p95_ms) == (None, None)

    for value in range(1, 151):
        trips.add(float(value))

    assert (trips.last_ms, trips.p95_ms) == (150.0, 145.0)
    assert percentile([7.0], 0.95) == 7.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_a_watch_tells_samples_and_changes() -> None:
    async def body() -> None:
        bus = Bus()
        told: list[Reading] = []
        async with counter() as there:
            with bus.subscribe() as events:
                async with Health("box", service(), there.port, CLOCK, bus, again_s=0.01, tell=told.append) as health:
                    facts: list[ServiceChanged] = []
                    samples: list[ServiceProbed] = []
                    async with asyncio.timeout(PATIENCE_S):
                        async for event in events:
                            if isinstance(event, ServiceProbed):
                                samples.append(event)
                            if isinstance(event, ServiceChanged):
                                facts.append(event)
                                if len(facts) == 3:
                                    break
                                there.answer = answer(503 if event.is_ok else 200)
                                health.kick()
                    assert health.reading is not None
                    assert health.reading.ok

        assert [fact.is_ok for fact in facts] == [True, False, True]
        assert told[0].ok
        assert {sample.key for sample in samples} == {("box", "vllm")}
        assert samples[-1].p95_ms is not None

    asyncio.run(body())


def test_a_service_that_works_is_asked_again_only_after_a_while() -> None:
    async def body() -> None:
        async with counter() as there:
            async with Health("box", service(), there.port, CLOCK, Bus(), every_s=3600) as health:
                async with asyncio.timeout(PATIENCE_S):
                    while not there.asked:
                        await asyncio.sleep(0)
                    health.kick()
                    while len(there.asked) < 2:
                        await asyncio.sleep(0)

            assert len(there.asked) == 2

    asyncio.run(body())


# ---- the table


def test_the_table_of_services() -> None:
    table = {name: (each.port, each.probe_path) for name, each in SERVICES.items()}

    assert table == {
        "ollama": (11434, "/api/tags"),
        "comfyui": (8188, "/system_stats"),
        "openwebui": (3000, "/health"),
        "vllm": (8000, "/health"),
        "myai": (8080, "/"),
        "myai-api": (8000, "/health"),
        "mlflow": (5001, "/health"),
    }
    assert {each.probe_limit_s for each in SERVICES.values()} == {5.0}


def test_the_second_of_a_kind_has_the_next_port() -> None:
    assert service_named("ollama2") == Service("ollama2", 11435, "/api/tags", "Ollama 2", wire="ollama")
    assert service_on(8188).name == "comfyui"
    assert service_on(4242) == Service("4242", 4242, None)


def test_the_services_of_a_machine() -> None:
    written = ["ollama", {"name": "jupyter", "port": 8888, "probe": "/api"}, {"name": "comfyui", "port": 9000}]
    services = services_of(written, {"ollama": 11434, "ollama2": 11435, "jupyter": 8888})

    assert {name: (each.port, each.probe_path) for name, each in services.items()} == {
        "ollama": (11434, "/api/tags"),
        "jupyter": (8888, "/api"),
        "comfyui": (9000, "/system_stats"),
        "ollama2": (11435, "/api/tags"),
    }
    assert services_of([]) == {}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("olama", "no service 'olama'"),
        ("ollama0", "no service"),
        ("ollama1", "no service"),
        (7, "a name or a table"),
        ({"port": 1}, "needs a name"),
        ({"name": "x", "prot": 1}, "no 'prot'"),
        ({"name": "x", "port": 70000}, "1 to 65535"),
        ({"name": "x", "port": True}, "1 to 65535"),
        ({"name": "x", "probe": "/"}, "1 to 65535"),
        ({"name": "x", "port": 1, "probe": "health"}, "a path such as"),
        ({"name": "x", "port": 1, "probe": "/a b"}, "a path such as"),
        ({"name": "x", "port": 1, "probe": "/a\r\nx: y"}, "a path such as"),
    ],
)
def test_a_service_that_makes_no_sense_is_refused(written: object, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_service(written)


def test_a_service_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="there twice"):
        services_of(["ollama", {"name": "ollama", "port": 11500}])
