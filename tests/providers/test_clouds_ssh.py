"""Machines of the user's own: what their commands say, and what is known without any."""

from __future__ import annotations

import asyncio
import os
import select
import shlex
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from providers.clouds.base import Bills, CannotDo, Capability, Cloud, CloudError, NotThere, State
from providers.clouds.ssh_host import SshHost, SshHosts
from providers.errors import TimedOut
from providers.registry import ssh_cloud
from tests.clocks import EagerClock
from tests.conftest import run
from tests.contracts.clouds_bench import own_host


def machines(*hosts: SshHost) -> Cloud:
    return ssh_cloud(hosts, EagerClock())


def says(words: str, code: int = 0) -> str:
    return shlex.join([sys.executable, "-I", "-S", "-c", f"print({words!r}); raise SystemExit({code})"])


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("running", State.RUNNING),
        ("Running\n", State.RUNNING),
        ("status: running", State.RUNNING),
        ("active", State.RUNNING),
        ("stopped", State.STOPPED),
        ("shut off", State.STOPPED),
        ("inactive", State.STOPPED),
        ("terminated", State.STOPPED),
        ("pending", State.STARTING),
        ("shutting-down", State.STOPPING),
        ("in shutdown", State.STOPPING),
        ("crashed", State.DIED),
        ("no idea", State.UNKNOWN),
        ("", State.UNKNOWN),
        ("\x1b[32mrunning\x1b[0m", State.UNKNOWN),
    ],
)
def test_the_words_of_a_status_command(said: str, state: State) -> None:
    seen = run(machines(SshHost("box", "127.0.0.1", status=says(said))).machine("box"))

    assert seen is not None
    assert seen.state is state
    assert seen.words.isprintable()


def test_a_status_word_counts_even_when_the_command_fails() -> None:
    """As `systemctl is-active` does it."""
    inactive = run(machines(SshHost("box", "127.0.0.1", status=says("inactive", 3))).machine("box"))
    broken = run(machines(SshHost("box", "127.0.0.1", status=says("what?", 3))).machine("box"))

    assert inactive is not None
    assert inactive.state is State.STOPPED
    assert broken is not None
    assert (broken.state, broken.message) == (State.UNKNOWN, "The status command of box ended with code 3.")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/no/such/program", "cannot be run"),
        ("'unclosed", "no command line"),
        ("   ", "is empty"),
    ],
)
def test_a_status_command_that_cannot_be_run_is_unknown(command: str, message: str) -> None:
    seen = run(machines(SshHost("box", "127.0.0.1", status=command, usd_per_hour=Decimal(1))).machine("box"))

    assert seen is not None
    assert (seen.state, seen.bills) == (State.UNKNOWN, Bills.UNKNOWN)
    assert message in seen.message


def test_commands_see_no_shell(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    program = f"import pathlib, sys; pathlib.Path({str(witness)!r}).write_text(repr(sys.argv[1:]))"
    command = f"{shlex.join([sys.executable, '-I', '-S', '-c', program])} $HOME '*' ; touch"

    run(machines(SshHost("box", "127.0.0.1", start=command)).start("box"))

    assert witness.read_text() == repr(["$HOME", "*", ";", "touch"])


def test_a_command_that_fails_says_its_last_line() -> None:
    program = "import sys; print('one', file=sys.stderr); print('two', file=sys.stderr); sys.exit(7)"
    host = SshHost("box", "127.0.0.1", stop=shlex.join([sys.executable, "-I", "-S", "-c", program]))

    with pytest.raises(CloudError, match="The stop command of box ended with code 7: two"):
        run(machines(host).stop("box"))


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    script = f"(echo x; exec sleep 60) > {shlex.quote(str(alive))} & wait"
    host = SshHost("box", "127.0.0.1", start=shlex.join(["/bin/sh", "-c", script]))
    hosts = SshHosts([host], EagerClock(), command_s=1.0)
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(TimedOut, match=r"took longer than 1 s and was ended"):
            run(hosts.start("box"))

        # The child's end of the pipe closes with the child.
        watch = select.poll()
        watch.register(reader, 0)
        assert watch.poll(10_000) == [(reader, select.POLLHUP)]
        assert os.read(reader, 9) == b"x\n"
    finally:
        os.close(reader)


def test_much_output_is_read_and_cut_off() -> None:
    program = "import sys; sys.stdout.write('running\\n' + 'x' * 5_000_000)"
    host = SshHost("box", "127.0.0.1", status=shlex.join([sys.executable, "-I", "-S", "-c", program]))

    seen = run(machines(host).machine("box"))

    assert seen is not None
    assert seen.state is State.RUNNING


@pytest.mark.parametrize(
    ("greeting", "has_stop", "state"),
    [
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], True, State.RUNNING),
        ([b"a word before\r\n", b"SSH-2.0-x\r\n"], False, State.RUNNING),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], False, State.LOST),
        ([b"\x00" * 9000], False, State.LOST),
        ([], True, State.STOPPED),
        ([], False, State.LOST),
    ],
)
def test_without_a_status_command_it_runs_when_ssh_answers(
    greeting: Sequence[bytes], has_stop: bool, state: State
) -> None:
    async def greets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in greeting:
            writer.write(line)
        writer.close()

    async def body() -> None:
        server = await asyncio.start_server(greets, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            host = SshHost("box", "127.0.0.1", port, "me", stop="true" if has_stop else None)
            (seen,) = await machines(host).machines()

        assert seen.state is state
        assert [(one.host, one.port, one.user) for one in seen.addresses] == (
            [] if state is State.STOPPED else [("127.0.0.1", port, "me")]
        )

    run(body())


def test_nobody_at_the_port_is_lost_or_stopped() -> None:
    async def body() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()

        lost, stopped, unknown = await machines(
            SshHost("a", "127.0.0.1", port, usd_per_hour=Decimal(1)),
            SshHost("b", "127.0.0.1", port, stop="true", usd_per_hour=Decimal(1)),
            SshHost("c", "127.0.0.1", port, is_direct=False, usd_per_hour=Decimal(1)),
        ).machines()

        assert (lost.state, lost.bills) == (State.LOST, Bills.UNKNOWN)
        assert (stopped.state, stopped.bills) == (State.STOPPED, Bills.NOTHING)
        assert (unknown.state, unknown.bills) == (State.UNKNOWN, Bills.UNKNOWN)

    run(body())


def test_each_machine_can_what_its_commands_can(tmp_path: Path) -> None:
    async def body() -> None:
        hosts = machines(
            own_host(tmp_path, "both"),
            own_host(tmp_path, "starts", stop=None),
            own_host(tmp_path, "stops", start=None),
            own_host(tmp_path, "neither", start=None, stop=None),
        )

        can = {name: hosts.capabilities_of(name) for name in ("both", "starts", "stops", "neither", "nobody")}
        assert can == {
            "both": {Capability.STOP}, "starts": set(), "stops": set(), "neither": set(), "nobody": set(),
        }  # fmt: skip
        assert hosts.capabilities == frozenset()
        await hosts.start("starts")
        await hosts.stop("stops")
        with pytest.raises(CannotDo) as refused:
            await hosts.stop("starts")
        assert refused.value.hint == '[machines.starts] stop = "…" sets one.'
        with pytest.raises(CannotDo):
            await hosts.start("stops")
        with pytest.raises(NotThere):
            await hosts.stop("nobody")
        assert await hosts.machine("nobody") is None

    run(body())


def test_a_machine_without_a_price_bills_nothing(tmp_path: Path) -> None:
    free, priced = run(machines(own_host(tmp_path, "a", usd_per_hour=None), own_host(tmp_path, "b")).machines())

    assert (free.bills, free.usd_per_hour, free.usd_per_hour_stopped) == (Bills.NOTHING, None, None)
    assert (priced.bills, priced.usd_per_hour) == (Bills.EVERYTHING, Decimal("0.10"))
