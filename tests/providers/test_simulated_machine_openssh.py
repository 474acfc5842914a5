"""The simulated machine to the real `ssh`, `sftp` and `scp`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from providers.simulated.machine import SimulatedMachine
from providers.simulated.services import SimulatedOllama
from tests.conftest import run
from tests.providers.machine_clients import program, ssh, ssh_options, within


@pytest.mark.parametrize("real_shell", [False, True])
def test_command_runs_with_its_output_errors_and_code(real_shell: bool) -> None:
    async def body() -> None:
        async with SimulatedMachine(real_shell=real_shell) as machine:
            done = await ssh(machine, "cat; echo bad >&2; exit 3", given=b"given\n")

            assert done == (3, b"given\n", b"bad\n")

    run(body())


def test_signal_ends_a_command() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            done = await ssh(machine, "kill -9 $$")

            assert done.code == 255

    run(body())


@pytest.mark.parametrize("real_shell", [False, True])
def test_terminal_is_one(real_shell: bool) -> None:
    async def body() -> None:
        async with SimulatedMachine(real_shell=real_shell) as machine:
            done = await ssh(machine, "-tt", "[ -t 0 ] && [ -t 1 ] && echo yes")

            assert (done.code, done.output) == (0, b"yes\r\n")

    run(body())


@pytest.mark.parametrize("real_shell", [False, True])
def test_shell_ends_with_its_input(real_shell: bool) -> None:
    async def body() -> None:
        async with SimulatedMachine(real_shell=real_shell) as machine:
            done = await ssh(machine, given=b"x=1\necho one $x\nexit 4\n")

            assert (done.code, done.output) == (4, b"one 1\n")

    run(body())


def test_unknown_key_and_wrong_user_are_denied() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, SimulatedMachine() as other:
            refused = await program(
                "ssh",
                *ssh_options(machine)[:-2],
                *("-i", str(other.key_file), "-p", str(machine.port), f"root@{machine.host}", "true"),
            )
            stranger = await program(
                "ssh", *ssh_options(machine), "-p", str(machine.port), f"somebody@{machine.host}", "true"
            )

            assert (refused.code, stranger.code) == (255, 255)
            assert b"Permission denied (publickey)" in refused.errors
            assert b"Permission denied (publickey)" in stranger.errors

    run(body())


def test_changed_host_key_is_noticed() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            options = ssh_options(machine)
            machine.new_host_key()
            done = await program("ssh", *options, "-p", str(machine.port), f"root@{machine.host}", "true")

            assert done.code == 255
            assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in done.errors

    run(body())


def test_garbage_and_refusal_are_what_ssh_expects_of_them() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.garbage = b"220 smtp.example ready\r\n"
            garbage = await ssh(machine, "true")
            await machine.refuse()
            refused = await ssh(machine, "true")

            assert (garbage.code, refused.code) == (255, 255)
            assert b"Connection refused" in refused.errors

    run(body())


def test_silent_machine_is_given_up_by_keepalives() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            asking = asyncio.ensure_future(
                ssh(machine, "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1", "sleep 600")
            )
            await within(machine.until(lambda: machine.sessions == 1))
            await machine.freeze()
            done = await within(asking)

            assert done.code == 255
            assert b"not responding" in done.errors

    run(body())


def test_port_forward_reaches_the_service_and_refusals_are_told() -> None:
    async def body() -> None:
        async with (
            SimulatedOllama() as ollama,
            SimulatedMachine(services={11434: ("127.0.0.1", ollama.port)}) as machine,
        ):
            request = b"GET /api/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            there = await ssh(machine, "-W", "127.0.0.1:11434", given=request)
            closed = await ssh(machine, "-W", "127.0.0.1:1", given=request)
            machine.forbid_forwarding()
            forbidden = await ssh(machine, "-W", "127.0.0.1:11434", given=request)

            assert there.output.startswith(b"HTTP/1.1 200 OK")
            assert b"open failed: connect failed" in closed.errors
            assert b"administratively prohibited" in forbidden.errors

    run(body())


def test_jump_host_leads_to_another_machine() -> None:
    async def body() -> None:
        async with SimulatedMachine("door") as door, SimulatedMachine("inner") as inner:
            door.neighbours["inner.example", 22] = ("127.0.0.1", inner.port)
            ours = inner.key_file.parent / "known"
            ours.write_text(f"inner.example {inner.host_key}\n")
            jump = " ".join(
                ["ssh", *ssh_options(door), "-p", str(door.port), f"root@{door.host}", "-W", "inner.example:22"]
            )
            options = ["-F", "/dev/null", "-o", f"UserKnownHostsFile={ours}", "-o", "StrictHostKeyChecking=yes"]
            options += ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", str(inner.key_file)]
            done = await program("ssh", *options, "-o", f"ProxyCommand={jump}", "root@inner.example", "hostname")

            assert done.output == b"inner\n"

    run(body())


@pytest.mark.parametrize("real_shell", [False, True])
def test_files_travel_by_scp_both_ways(tmp_path: Path, real_shell: bool) -> None:
    async def body() -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "a").write_bytes(os.urandom(200_000))
        (folder / "b").write_text("b")
        async with SimulatedMachine(real_shell=real_shell) as machine:
            options = [*ssh_options(machine), "-s", "-P", str(machine.port)]
            up = await program("scp", *options, "-r", str(folder), f"root@{machine.host}:up")
            down = await program("scp", *options, f"root@{machine.host}:up/a", str(tmp_path / "back"))
            out = await program(
                "scp", *options, f"root@{machine.host}:../../../../../etc/passwd", str(tmp_path / "taken")
            )

            assert (up.code, down.code) == (0, 0)
            assert out.code != 0
        assert (tmp_path / "back").read_bytes() == (folder / "a").read_bytes()
        assert not (tmp_path / "taken").exists()

    run(body())


def test_sftp_resumes_what_was_broken_off(tmp_path: Path) -> None:
    async def body() -> None:
        data = os.urandom(500_000)
        source, back = tmp_path / "source", tmp_path / "back"
        source.write_bytes(data)
        back.write_bytes(data[:100_000])
        script = f"pwd\nput {source} in/half\nreget in/half {back}\nreput {source} in/other\nls -1 in\nrm in/half\n"
        async with SimulatedMachine() as machine:
            (machine.home / "in").mkdir()
            (machine.home / "in" / "other").write_bytes(data[:300_000])
            options = [*ssh_options(machine), "-P", str(machine.port), "-b", "-"]
            done = await program("sftp", *options, f"root@{machine.host}", given=script.encode())

            assert done.code == 0, done.errors
            assert b"Remote working directory: /root" in done.output
            assert (machine.home / "in" / "other").read_bytes() == data
        assert back.read_bytes() == data

    run(body())
