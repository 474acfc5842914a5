"""`hawser link pin`: what it shows, what it asks, and when it refuses; and questions on a real terminal."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.cli import run as run_command_line
from console.links.known_hosts import fingerprint
from console.links.pins import Pins
from console.paths import find_paths
from console.shell import Shell
from console.terminal_ask import TerminalAsk, terminal_ask
from tests.console.ssh_kit import OpenSshServer, block, make_key, public_line
from tests.flows.kit import Hawser, complaint, finish, read_until


@pytest.fixture
def hawser(tmp_path: Path) -> Hawser:
    return Hawser(tmp_path / "hawser")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpenSshServer]:
    with OpenSshServer(tmp_path / "sshd") as running:
        (tmp_path / "ssh_config").write_text(running.host("lab", f"IdentityFile {running.key_file}"))
        yield running


@pytest.fixture
def config(tmp_path: Path) -> tuple[str, str]:
    return "--ssh-config", str(tmp_path / "ssh_config")


def pins_of(hawser: Hawser) -> Pins:
    return Pins(find_paths(hawser.env))


def test_without_a_terminal_the_key_is_pinned_and_told(
    hawser: Hawser, server: OpenSshServer, config: tuple[str, str]
) -> None:
    done = hawser.run("link", "pin", "lab", *config)

    shown = fingerprint(server.host_key)
    assert done.code == 0
    assert done.err == (
        f"hawser: 'lab' at 127.0.0.1:{server.port} is met for the first time; its host key is {shown}. It is pinned.\n"
    )
    assert done.out.decode().splitlines()[1].split() == ["lab", "ssh:lab", "ssh-ed25519", shown, "pinned"]
    assert pins_of(hawser).get("ssh:lab") == (server.host_key,)
    assert "Accepted" not in server.log, "pinning is no login"


def test_json_tells_what_is_pinned_and_what_is_forgotten(
    hawser: Hawser, server: OpenSshServer, config: tuple[str, str]
) -> None:
    expected = {
        "target": "lab",
        "identity": "ssh:lab",
        "type": "ssh-ed25519",
        "fingerprint": fingerprint(server.host_key),
    }

    for words, state in (((), "accepted"), ((), "pinned"), (("--forget",), "forgotten")):
        done = hawser.run("link", "pin", "lab", "--json", *words, *config)
        assert done.json() == {"schema": 1, "items": [{**expected, "state": state}]}
    assert pins_of(hawser).all() == {}


def test_a_key_can_be_forgotten_by_name_or_identity_but_only_once(hawser: Hawser) -> None:
    pins = pins_of(hawser)
    key = public_line(make_key(hawser.home / "key"))
    hawser.settings('[machines.box]\ncloud = "ssh"\nhost = "me@127.0.0.1"')
    pins.pin("ssh:box", key)
    pins.pin("vast:77", key)

    assert hawser.run("link", "pin", "box", "--forget").code == 0
    assert hawser.run("link", "pin", "vast:77", "--forget").code == 0
    assert complaint(hawser.run("link", "pin", "box", "--forget"), 2) == "No host key is pinned for 'box'."
    assert pins.all() == {}


def test_known_only_refuses_a_machine_that_nobody_knows(
    hawser: Hawser, server: OpenSshServer, config: tuple[str, str]
) -> None:
    sentence = complaint(hawser.run("link", "pin", "lab", "--known-only", *config), 3)

    assert fingerprint(server.host_key) in sentence
    assert pins_of(hawser).all() == {}


def test_a_key_that_the_users_known_hosts_has_is_taken_over(
    hawser: Hawser, server: OpenSshServer, config: tuple[str, str], tmp_path: Path
) -> None:
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    (tmp_path / "ssh_config").write_text(server.host("lab", f"UserKnownHostsFile {known}"))

    done = hawser.run("link", "pin", "lab", "--known-only", "--json", *config)

    assert done.json()["items"][0]["state"] == "known_hosts"
    assert done.err == ""


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("-x", 2, ""),
        ("a;b", 3, "'a;b' names no machine"),
        ("lab", 4, "refuses connections"),
        ("gpu", 3, "Nothing is known of where 'gpu' is"),
    ],
)
def test_every_failure_is_a_sentence_and_an_exit_code(
    hawser: Hawser, config: tuple[str, str], tmp_path: Path, target: str, code: int, words: str
) -> None:
    hawser.settings('[machines.gpu]\ncloud = "vast"')
    (tmp_path / "ssh_config").write_text(block("lab", 1, "me"))

    assert words in complaint(hawser.run("link", "pin", target, *config), code)


def test_help_names_only_what_there_is() -> None:
    for words in (["link", "--help"], ["link", "pin", "--help"], ["vm", "--help"], ["vm", "ssh", "--help"]):
        stdout, stderr = io.StringIO(), io.StringIO()
        try:
            code = run_command_line(words, Shell(None, stdout, stderr, {}))
        except SystemExit as end:
            code = int(end.code or 0)
        assert (code, stderr.getvalue()) == (0, "")


# On a terminal


@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"n\n", 3), (b"\n", 3), (b"\x04", 3)])
def test_on_a_terminal_somebody_is_asked(
    hawser: Hawser, server: OpenSshServer, config: tuple[str, str], typed: bytes, code: int
) -> None:
    ours, its = pty.openpty()
    process = hawser.start("link", "pin", "lab", *config, stdin=its, stderr=its)
    os.close(its)
    try:
        question = read_until(ours, lambda came: came.endswith(b"[y/N] "))
        os.write(ours, typed)
        done = finish(process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)

    assert fingerprint(server.host_key).encode() in question
    assert done.code == code
    assert bool(pins_of(hawser).get("ssh:lab")) is (code == 0)


def _terminal_shell(terminal: int) -> Shell:
    return Shell(os.fdopen(os.dup(terminal)), io.StringIO(), os.fdopen(os.dup(terminal), "w"), {})


def _close(shell: Shell) -> None:
    assert shell.stdin is not None
    shell.stdin.close()
    shell.stderr.close()


def test_a_passphrase_is_not_echoed_and_the_terminal_is_as_before(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    shell = _terminal_shell(its)

    async def body() -> str | None:
        asking = asyncio.create_task(terminal_ask(shell).passphrase("/home/me/key"))
        loop = asyncio.get_running_loop()
        question = await loop.run_in_executor(None, read_until, ours, lambda came: came.endswith(b"shown): "))
        assert b"/home/me/key" in question
        os.write(ours, b"open sesame\n")
        return await asking

    before = termios.tcgetattr(its)
    typed = asyncio.run(body())
    after = termios.tcgetattr(its)
    echoed = read_until(ours, lambda came: b"\n" in came)
    _close(shell)
    for each in (ours, its):
        os.close(each)

    assert typed == "open sesame"
    assert b"sesame" not in echoed
    assert after == before


def test_a_question_that_is_given_up_leaves_the_terminal_as_before() -> None:
    ours, its = pty.openpty()
    shell = _terminal_shell(its)

    async def body() -> None:
        asking = asyncio.create_task(TerminalAsk(shell).passphrase("key"))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, read_until, ours, lambda came: came.endswith(b"shown): "))
        while termios.tcgetattr(its)[3] & termios.ECHO:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    before = termios.tcgetattr(its)
    asyncio.run(body())
    after = termios.tcgetattr(its)
    _close(shell)
    for each in (ours, its):
        os.close(each)

    assert after == before


def test_without_a_terminal_there_is_no_passphrase() -> None:
    shell = Shell(io.StringIO("secret\n"), io.StringIO(), io.StringIO(), {})

    assert asyncio.run(TerminalAsk(shell).passphrase("key")) is None
