"""`hawser link up` as a process: what it says and holds, and how it takes being stopped, killed and shadowed."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.simulated.relay import Relay
from tests.flows.kit import PATIENCE_S, Hawser, Services, complaint, finish
from tests.flows.link_kit import ECHO, Echo


class Berth:
    """A machine with an echo service behind a relay, and an ssh configuration that leads to it."""

    def __init__(self, services: Services, folder: Path) -> None:
        from providers.simulated.machine import SimulatedMachine

        self._services = services
        self.echo = Echo()
        services.do(self.echo.__aenter__())
        self.machine = SimulatedMachine("berth", services={ECHO: self.echo.address})
        services.do(self.machine.__aenter__())
        self.relay = Relay((self.machine.host, self.machine.port))
        services.do(self.relay.__aenter__())
        self.config = folder / "ssh_config"
        self.known = folder / "known_hosts"
        self.known.write_text(f"[127.0.0.1]:{self.relay.port} {self.machine.host_key}\n")
        self.write_config()

    def write_config(self) -> None:
        self.config.write_text(
            f"Host berth\n  HostName 127.0.0.1\n  Port {self.relay.port}\n  User {self.machine.user}\n"
            f"  IdentityFile {self.machine.key_file}\n  UserKnownHostsFile {self.known}\n"
        )

    def close(self) -> None:
        for part in (self.relay, self.machine, self.echo):
            self._services.do(part.__aexit__(None, None, None))

    def at_once(self, act: Any) -> None:
        """Do something on the loop of the services."""

        async def body() -> None:
            act()

        self._services.do(body())


class Up:
    """A running `hawser link up --jsonl`."""

    def __init__(self, hawser: Hawser, *words: str) -> None:
        self.process = hawser.start("link", "up", *words, "--jsonl")
        assert self.process.stdout is not None
        self._lines = self.process.stdout

    def event(self, word: str) -> dict[str, Any]:
        """The next event of a kind; what comes before it is passed over."""
        timer = _Alarm(self.process)
        try:
            for line in self._lines:
                event = json.loads(line)
                assert isinstance(event["t"], float)
                if event["ev"] == word:
                    assert isinstance(event, dict)
                    return event
        finally:
            timer.cancel()
        raise AssertionError(f"it ended without {word!r}: {finish(self.process).err}")

    def stop(self) -> subprocess.Popen[bytes]:
        self.process.terminate()
        self._lines.read()
        return self.process


class _Alarm:
    """Ends a process that keeps a test waiting for ever."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        import threading

        self._timer = threading.Timer(PATIENCE_S, process.kill)
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()


@pytest.fixture
def berth(services: Services, tmp_path: Path) -> Iterator[Berth]:
    each = Berth(services, tmp_path)
    yield each
    each.close()


@pytest.fixture
def user(tmp_path: Path) -> Hawser:
    return Hawser(tmp_path / "hawser")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def echo(port: int, limit_s: float = PATIENCE_S) -> socket.socket:
    """A connection over which a word went there and back."""
    connection = socket.create_connection(("127.0.0.1", port), limit_s)
    assert said(connection, b"ping") == b"ping"
    return connection


def said(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(len(text))


def up(berth: Berth, hawser: Hawser, port: int, *words: str) -> Up:
    return Up(hawser, "berth", "--ssh-config", str(berth.config), "--forward", f"{port}:{ECHO}", *words)


def test_it_tells_its_ports_and_carries_bytes_until_it_is_stopped(berth: Berth, user: Hawser) -> None:
    port = free_port()
    running = up(berth, user, port, "--forward", f"0:{ECHO}")

    pinned, came_up = running.event("pinned"), running.event("up")

    assert pinned["how"] == "known_hosts"
    assert pinned["fingerprint"].startswith("SHA256:")
    [fixed, free] = came_up["forwards"]
    assert fixed == {"local_port": port, "remote_port": ECHO}
    assert free["remote_port"] == ECHO
    for each in (port, free["local_port"]):
        echo(each).close()
    done = finish(running.stop())
    assert complaint(done, 130) == "Interrupted."
    with pytest.raises(ConnectionRefusedError):
        echo(port)


def test_a_stranger_is_refused_with_known_only(berth: Berth, user: Hawser) -> None:
    berth.known.unlink()

    done = user.run("link", "up", "berth", "--ssh-config", str(berth.config), "--known-only")

    assert "is not known" in complaint(done, 3)
    assert "SHA256:" in done.err


def test_a_stranger_is_pinned_without_a_terminal_and_told_on_stderr(berth: Berth, user: Hawser) -> None:
    berth.known.unlink()
    running = up(berth, user, free_port())

    pinned = running.event("pinned")
    running.event("up")

    assert pinned["how"] == "accepted"
    assert pinned["fingerprint"] in finish(running.stop()).err


def test_a_name_that_leads_nowhere_ends_it_at_once(user: Hawser, tmp_path: Path) -> None:
    done = user.run("link", "up", "me@", "--ssh-config", str(tmp_path / "none"))

    assert complaint(done, 3)


def test_a_forward_that_is_none_is_refused(user: Hawser) -> None:
    for wrong in ("7", "a:7", "7:0", "70000:7", "1:2:3:4"):
        assert "is not a forward" in complaint(user.run("link", "up", "berth", "--forward", wrong), 2)


def test_a_process_that_was_stopped_for_long_serves_again_at_once(berth: Berth, user: Hawser) -> None:
    port = free_port()
    running = up(berth, user, port)
    running.event("up")
    stream = echo(port)

    running.process.send_signal(signal.SIGSTOP)
    berth.at_once(berth.relay.lose_flows)
    time_stopped(8.0)
    running.process.send_signal(signal.SIGCONT)
    woken = time.monotonic()

    echo(port).close()
    assert time.monotonic() - woken < 10
    assert running.event("switched")["forwards"] == [{"local_port": port, "remote_port": ECHO}]
    stream.close()
    finish(running.stop())


def time_stopped(seconds: float) -> None:
    """The time that a process stands still; only real time can pass for it."""
    asyncio.run(asyncio.sleep(seconds))


def test_a_killed_owner_leaves_no_port_and_no_connection(berth: Berth, user: Hawser, services: Services) -> None:
    port = free_port()
    running = up(berth, user, port)
    running.event("up")
    stream = echo(port)

    running.process.kill()
    assert finish(running.process).code == -signal.SIGKILL

    services.do(berth.machine.until(lambda: berth.machine.connections == 0))
    services.do(berth.machine.until(lambda: berth.machine.forwards == 0))
    with pytest.raises(ConnectionRefusedError):
        echo(port)
    stream.close()
    again = up(berth, user, port)
    assert again.event("up")["forwards"][0]["local_port"] == port
    echo(port).close()
    finish(again.stop())


def test_the_second_to_want_a_port_is_told_who_has_it(berth: Berth, user: Hawser) -> None:
    port = free_port()
    running = up(berth, user, port)
    running.event("up")

    done = user.run("link", "up", "berth", "--ssh-config", str(berth.config), "--forward", f"{port}:{ECHO}")

    assert complaint(done, 3).startswith(f"Local port {port} is in use by ")
    assert f"process {running.process.pid}." in done.err
    assert "is free." in done.err
    echo(port).close()
    finish(running.stop())


def test_a_lost_stream_is_reset_and_the_next_is_served(berth: Berth, user: Hawser) -> None:
    port = free_port()
    running = up(berth, user, port)
    running.event("up")
    stream = echo(port)

    berth.at_once(berth.relay.reset_flows)

    running.event("lost")
    with pytest.raises(ConnectionResetError):
        stream.recv(1)
    stream.close()
    echo(port).close()
    running.event("up")
    finish(running.stop())


def test_an_unknown_host_is_an_outage_and_said_in_words(berth: Berth, user: Hawser) -> None:
    berth.config.write_text("Host berth\n  HostName nowhere.invalid\n")
    running = up(berth, user, free_port())

    waiting = running.event("waiting")

    assert "nowhere.invalid" in waiting["reason"]
    assert waiting["next_try_s"] >= 0
    finish(running.stop())


def test_sentences_are_for_people(berth: Berth, user: Hawser) -> None:
    port = free_port()
    process = user.start("link", "up", "berth", "--ssh-config", str(berth.config), "--forward", f"{port}:{ECHO}")
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    process.send_signal(signal.SIGINT)
    done = finish(process)

    assert first.decode() == f"Connecting to berth. Local ports: {port} → 127.0.0.1:{ECHO}.\n"
    assert second == b"berth is up.\n"
    assert done.code == 130


def test_the_unit_starts_what_was_asked_for(user: Hawser, tmp_path: Path) -> None:
    config = tmp_path / "my config"
    done = user.run(
        "link", "up", "me@gpu.example:22", "--forward", "11434:11434", "--ssh-config", str(config), "--unit"
    )

    assert done.code == 0
    lines = done.out.decode().splitlines()
    assert "# Save as ~/.config/systemd/user/hawser-me-gpu-example-22.service, then:" in lines
    [start] = [line for line in lines if line.startswith("ExecStart=")]
    assert start.endswith(f'link up me@gpu.example:22 --known-only --forward 11434:11434 --ssh-config "{config}"')
    assert f"Environment=HAWSER_HOME={user.home}" in lines
    assert "hawser link up" in start
    assert {"Restart=always", "SuccessExitStatus=130", "WantedBy=default.target"} <= set(lines)
