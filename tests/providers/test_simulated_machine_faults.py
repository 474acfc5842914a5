"""The ways in which the simulated machine goes wrong on request."""

from __future__ import annotations

import asyncio
import socket

import asyncssh
import pytest

from providers.simulated.machine import SimulatedMachine
from providers.simulated.machine_faults import MachineFault, MachineFaultKind
from providers.simulated.services import SimulatedOllama
from tests.conftest import run
from tests.providers.machine_clients import LIMIT_S, connect, logged_in, within


def test_refusing_machine_keeps_its_port_and_its_connections() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            port = machine.port
            await machine.refuse()
            with pytest.raises(ConnectionRefusedError):
                await connect(machine)

            assert (await connection.run("echo here")).stdout == "here\n"
            await machine.accept()
            async with logged_in(machine):
                assert machine.port == port
                assert machine.connections == 2

    run(body())


def test_frozen_machine_is_silent_with_open_sockets_and_goes_on_after_it() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            await machine.freeze()
            asked = asyncio.ensure_future(connection.run("echo thawed"))
            newcomer = asyncio.ensure_future(connect(machine))
            done, _ = await asyncio.wait({asked, newcomer}, timeout=0.2)

            assert done == set()
            assert machine.connections == 1
            await machine.thaw()
            assert (await within(asked)).stdout == "thawed\n"
            (await within(newcomer)).abort()

    run(body())


def test_frozen_machine_takes_tcp_connections_and_says_nothing() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            await machine.freeze()
            reader, writer = await within(asyncio.open_connection(machine.host, machine.port))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
            await machine.thaw()

            assert (await within(reader.readline())).startswith(b"SSH-2.0-")
            writer.close()

    run(body())


def test_keepalives_find_a_frozen_machine_out() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            connection = await connect(machine, keepalive_interval=0.05, keepalive_count_max=2)
            await machine.freeze()
            await within(connection.wait_closed())

            assert connection.is_closed()
            assert machine.connections == 1  # nobody has told it

    run(body())


def test_dropped_connections_end_with_a_reset_and_new_ones_are_welcome() -> None:
    async def body() -> None:
        lost: list[Exception | None] = []

        class Client(asyncssh.SSHClient):
            def connection_lost(self, exc: Exception | None) -> None:
                lost.append(exc)

        async with SimulatedMachine() as machine:
            connection = await connect(machine, client_factory=Client)
            await machine.drop()
            await within(connection.wait_closed())

            assert isinstance(lost[0], ConnectionResetError)
            assert machine.connections == 0
            async with logged_in(machine):
                assert machine.connections == 1

    run(body())


def test_dropped_connection_cuts_what_was_forwarded_through_it() -> None:
    async def body() -> None:
        async with SimulatedOllama() as ollama, SimulatedMachine(services={1: ("127.0.0.1", ollama.port)}) as machine:
            connection = await connect(machine)
            await connection.open_connection("127.0.0.1", 1)
            await within(machine.until(lambda: machine.forwards == 1))
            await machine.drop()
            await within(machine.until(lambda: machine.forwards == 0))
            await within(connection.wait_closed())

            assert ollama.running_requests == 0

    run(body())


def test_closed_connections_end_in_order() -> None:
    async def body() -> None:
        lost: list[Exception | None] = []

        class Client(asyncssh.SSHClient):
            def connection_lost(self, exc: Exception | None) -> None:
                lost.append(exc)

        async with SimulatedMachine() as machine:
            connection = await connect(machine, client_factory=Client)
            await within(machine.close_connections())
            await within(connection.wait_closed())

            assert not isinstance(lost[0], OSError)

    run(body())


def test_lost_connections_stay_lost_and_new_ones_are_welcome() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as lost:
            await machine.lose_connections()
            asked = asyncio.ensure_future(lost.run("echo never"))
            async with logged_in(machine) as connection:
                assert (await connection.run("echo here")).stdout == "here\n"
            await machine.thaw()
            done, _ = await asyncio.wait({asked}, timeout=0.2)

            assert done == set()
            asked.cancel()

    run(body())


def test_another_host_key_is_noticed() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            before = asyncssh.import_known_hosts(machine.known_hosts_line)
            old_key = machine.host_key
            new_key = machine.new_host_key()
            with pytest.raises(asyncssh.HostKeyNotVerifiable):
                await connect(machine, known_hosts=before)

            assert new_key == machine.host_key != old_key
            async with logged_in(machine):
                assert machine.logins == 1

    run(body())


def test_moved_machine_answers_elsewhere_and_the_old_port_refuses() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as old:
            old_port = machine.port
            new_port = await machine.move()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(machine.host, old_port)
            silent = asyncio.ensure_future(old.run("echo never"))

            async with logged_in(machine) as connection:
                assert (await connection.run("echo here")).stdout == "here\n"
            assert machine.port == new_port != old_port
            assert not silent.done()
            silent.cancel()
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind((machine.host, old_port))  # nobody else gets it meanwhile

    run(body())


def test_rejected_logins_are_permission_denied_until_they_are_not() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.reject_login()
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(machine)
            machine.reject_login(False)
            async with logged_in(machine):
                assert machine.logins == 1

    run(body())


def test_slow_login_and_slow_banner_run_into_the_clients_limit() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.login_delay_s = 600
            with pytest.raises(asyncssh.ConnectionLost):
                await connect(machine, login_timeout=0.2)
            machine.login_delay_s, machine.banner_delay_s = 0, 600
            with pytest.raises(TimeoutError):
                await connect(machine, connect_timeout=0.2)
            machine.banner_delay_s = 0
            async with logged_in(machine):
                assert machine.logins == 1

    run(body())


def test_garbage_before_login_is_no_ssh() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.garbage = b"\x00\xff garbage\r\n"
            with pytest.raises((asyncssh.Error, OSError)):
                await connect(machine)
            reader, writer = await asyncio.open_connection(machine.host, machine.port)

            assert await within(reader.read()) == machine.garbage
            writer.close()
            await within(machine.until(lambda: machine.connections == 0))

    run(body())


def test_handshakes_beyond_the_limit_are_closed_at_once() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine):
            machine.max_handshakes = 1
            waiting_reader, waiting = await asyncio.open_connection(machine.host, machine.port)
            await within(waiting_reader.readline())
            beyond_reader, beyond = await asyncio.open_connection(machine.host, machine.port)

            assert await within(beyond_reader.read()) == b""
            beyond.close()
            waiting.close()
            await within(machine.until(lambda: machine.connections == 1))
            async with logged_in(machine):
                assert machine.logins == 2

    run(body())


def test_distance_takes_time() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            machine.conditions.latency_s = 0.05
            loop = asyncio.get_running_loop()
            before = loop.time()
            await connection.run("true")

            assert loop.time() - before >= 0.2  # open and exec, there and back

    run(body())


# from the start, as the command line has them


@pytest.mark.parametrize(
    ("text", "kind", "argument"),
    [
        ("refuse", MachineFaultKind.REFUSE, None),
        ("refuse:2", MachineFaultKind.REFUSE, 2),
        ("drop", MachineFaultKind.DROP, 10),
        ("latency:12.5", MachineFaultKind.LATENCY, 12.5),
    ],
)
def test_faults_are_read_from_text(text: str, kind: MachineFaultKind, argument: float | None) -> None:
    assert MachineFault.parse(text) == MachineFault(kind, argument)


@pytest.mark.parametrize("text", ["", "explode", "drop:soon", "drop:-1", "drop:inf", "drop:nan"])
def test_wrong_faults_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fault|number"):
        MachineFault.parse(text)


def test_every_state_holds_from_the_start() -> None:
    async def body() -> None:
        words = [
            "reject-login",
            "forbid-forwarding",
            "slow-login:1",
            "slow-banner:2",
            "max-sessions:3",
            "max-handshakes:4",
        ]
        faults = [MachineFault.parse(word) for word in [*words, "garbage", "latency:5", "refuse"]]
        async with SimulatedMachine(faults=faults) as machine:
            assert machine.login_rejected
            assert machine.forwarding_forbidden
            assert (machine.login_delay_s, machine.banner_delay_s) == (1, 2)
            assert (machine.max_sessions, machine.max_handshakes) == (3, 4)
            assert machine.garbage is not None
            assert machine.conditions.latency_s == 0.005
            with pytest.raises(ConnectionRefusedError):
                await connect(machine)

    run(body())


@pytest.mark.parametrize("word", ["refuse:0.05", "freeze:0.05"])
def test_passing_troubles_pass(word: str) -> None:
    async def body() -> None:
        async with SimulatedMachine(faults=[MachineFault.parse(word)]) as machine:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    try:
                        connection = await connect(machine)
                    except ConnectionRefusedError:
                        await asyncio.sleep(0.01)
                        continue
                    break
            connection.abort()
            await connection.wait_closed()

            assert machine.logins == 1

    run(body())


@pytest.mark.parametrize("word", ["drop:0.1", "close:0.1"])
def test_recurring_troubles_end_connections(word: str) -> None:
    async def body() -> None:
        async with SimulatedMachine(faults=[MachineFault.parse(word)]) as machine, asyncio.timeout(LIMIT_S):
            while machine.logins < 2:
                try:
                    connection = await connect(machine)
                except (OSError, asyncssh.Error):  # hit while it logged in
                    continue
                await connection.wait_closed()
            await machine.until(lambda: machine.connections == 0)

            assert machine.accepted >= 2

    run(body())


def test_machine_changes_its_key_and_its_place_in_time() -> None:
    async def body() -> None:
        faults = [
            MachineFault.parse("new-host-key:0.01"),
            MachineFault.parse("move:0.02"),
            MachineFault.parse("lose:0.1"),
        ]
        async with SimulatedMachine(faults=faults) as machine:
            key, port = machine.host_key, machine.port
            async with asyncio.timeout(LIMIT_S):
                while machine.host_key == key or machine.port == port:
                    await asyncio.sleep(0.01)

            assert machine.host_key != key
            assert machine.port != port

    run(body())
