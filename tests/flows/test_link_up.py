"""`hawser link up` as a process: what it says and holds, and how it survives being stopped, killed and shadowed."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.simulated.relay import Relay
from providers.simulated.services import SimulatedOllama
from tests.flows.kit import PATIENCE_S, Hawser, Services, complaint, finish, read_until
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

    def __init__(self, hawser: Hawser, *words: str, terminal: int | None = None) -> None:
        stdin, stderr = (subprocess.DEVNULL, subprocess.PIPE) if terminal is None else (terminal, terminal)
        self.process = hawser.start("link", "up", *words, "--jsonl", stdin=stdin, stderr=stderr)
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


def up(berth: Berth, hawser: Hawser, port: int, *words: str, terminal: int | None = None) -> Up:
    words = ("berth", "--ssh-config", str(berth.config), "--forward", f"{port}:{ECHO}", *words)
    return Up(hawser, *words, terminal=terminal)


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


def test_a_code_is_asked_for_on_the_terminal_and_not_again_until_enter_is_pressed(berth: Berth, user: Hawser) -> None:
    berth.machine.second_factor = "271828"
    port = free_port()
    ours, its = pty.openpty()
    running = up(berth, user, port, terminal=its)
    os.close(its)
    try:
        assert running.event("asking")["question"] == "Verification code:"
        came = read_until(ours, lambda came: came.endswith(b"Verification code: "))
        assert b"berth says: Open your authenticator." in came
        os.write(ours, b"271828\n")
        running.event("up")
        echo(port).close()

        berth.at_once(berth.relay.reset_flows)
        waiting = running.event("waiting")
        assert waiting["reason"] == "berth asks a person at its login."
        assert waiting["next_try_s"] > 5
        os.write(ours, b"\n")
        running.event("asking")
        came += read_until(ours, lambda came: came.endswith(b"Verification code: "))
        os.write(ours, b"271828\n")
        running.event("up")
        echo(port).close()

        running.process.terminate()
        came += read_until(ours, lambda came: b"Interrupted." in came)
    finally:
        running.process.kill()
        finish(running.process)
        os.close(ours)
    assert b"271828" not in came
    assert "271828" not in user.log


def test_a_code_that_nobody_can_be_asked_for_blocks_with_a_sentence(berth: Berth, user: Hawser) -> None:
    berth.machine.second_factor = "271828"
    running = up(berth, user, free_port())

    blocked = running.event("blocked")

    assert "such as a code" in blocked["reason"]
    assert "there is nobody to ask" in blocked["reason"]
    assert blocked["hint"] == "Log in from a terminal, or let a key be enough there."
    assert berth.machine.codes_asked == 0
    assert finish(running.stop()).code == 130


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


def test_who_wants_a_port_of_another_program_is_told_who_has_it(berth: Berth, user: Hawser) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        done = user.run("link", "up", "berth", "--ssh-config", str(berth.config), "--forward", f"{port}:{ECHO}")

    assert complaint(done, 3).startswith(f"Local port {port} is in use by ")
    assert f"process {os.getpid()}." in done.err
    assert "is free." in done.err


def test_the_second_to_want_a_tunnel_uses_the_first_and_takes_over_when_it_is_killed(
    berth: Berth, user: Hawser
) -> None:
    port = free_port()
    first = up(berth, user, port)
    first.event("up")
    until_published(user, first.process.pid)
    second = up(berth, user, port)
    elsewhere = second.event("elsewhere")
    echo(port).close()
    logins = berth.machine.logins

    first.process.kill()
    finish(first.process)

    assert (elsewhere["pid"], elsewhere["local_port"]) == (first.process.pid, port)
    assert logins == 1
    assert second.event("taken-over")["forwards"] == [{"local_port": port, "remote_port": ECHO}]
    echo(port).close()
    until_published(user, second.process.pid)
    finish(second.stop())
    assert user.run("link", "ls", "--json").json() == {"schema": 1, "items": []}


def test_published_tunnels_are_listed(berth: Berth, user: Hawser) -> None:
    port = free_port()
    running = up(berth, user, port)
    running.event("up")

    (item,) = until_published(user, running.process.pid)
    table = user.run("link", "ls")

    assert (item["machine"], item["service"], item["local_port"]) == ("berth", str(ECHO), port)
    assert (item["remote_port"], item["state"], item["probe"]) == (ECHO, "up", None)
    assert item["heartbeat_age_s"] < PATIENCE_S
    words = table.out.decode().split()
    assert {"berth", str(port), "up", str(running.process.pid)} <= set(words)
    finish(running.stop())
    assert "No tunnel is up." in user.run("link", "ls").err


def test_the_services_of_a_machine_are_at_their_ports_and_their_answers_are_told(
    berth: Berth, user: Hawser, services: Services
) -> None:
    ollama = services.start(SimulatedOllama())
    address = ("127.0.0.1", ollama.port)
    berth.machine.services.update({11434: address, 11435: address, 9000: address})
    ports = {"ollama": free_port(), "ollama2": free_port(), "comfyui": free_port()}
    table = ", ".join(f"{name} = {port}" for name, port in ports.items())
    own = '{ name = "own", port = 9000, probe = "/no/such" }'
    user.settings(f'[machines.gpu]\ncloud = "ssh"\nhost = "berth"\nservices = ["ollama", {own}]\nports = {{ {table} }}')
    running = Up(user, "gpu", "--ssh-config", str(berth.config))
    forwards = running.event("up")["forwards"]

    items = {item["service"]: item for item in until_probed(user, 4)}

    local = {each["remote_port"]: each["local_port"] for each in forwards}
    assert (local[11434], local[11435], local[8188]) == tuple(ports.values())
    assert {name: items[name]["local_port"] for name in ports} == ports
    assert items["own"]["local_port"] == local[9000]
    assert {name: item["probe"]["ok"] for name, item in items.items()} == {
        "ollama": True,
        "ollama2": True,
        "comfyui": False,
        "own": False,
    }
    assert items["ollama"]["probe"]["round_trip_ms"] > 0
    assert items["own"]["probe"]["error"] == "own answers 404 to /no/such."
    assert "closed before it answered" in items["comfyui"]["probe"]["error"]
    finish(running.stop())


def until_probed(user: Hawser, count: int) -> list[dict[str, Any]]:
    """What `hawser link ls` shows, once so many services were asked while the link was up."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        items = user.run("link", "ls", "gpu", "--json").json()["items"]
        asked = [item for item in items if item["probe"] and "link to" not in (item["probe"]["error"] or "")]
        if len(asked) == count:
            return asked
        assert time.monotonic() < deadline, items


def until_published(user: Hawser, pid: int) -> list[dict[str, Any]]:
    """What `hawser link ls` shows, once a process has published that it is up."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        items = user.run("link", "ls", "--json").json()["items"]
        if any(item["pid"] == pid and item["state"] == "up" for item in items):
            assert isinstance(items, list)
            return items
        assert time.monotonic() < deadline, items


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
    assert start.startswith("ExecStart=/") or "hawser link" in start
    assert {"Restart=always", "SuccessExitStatus=130", "WantedBy=default.target"} <= set(lines)
