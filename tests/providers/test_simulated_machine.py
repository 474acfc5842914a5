"""The simulated machine to a healthy client: who gets in, commands, sessions, forwarding, files."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import asyncssh
import pytest

from providers.simulated.machine import SimulatedMachine
from providers.simulated.services import SimulatedOllama
from tests.conftest import run
from tests.providers.machine_clients import LIMIT_S, connect, logged_in, trusting, within

ROOT = Path(__file__).parents[2]


def test_its_key_logs_in_and_nothing_else_does() -> None:
    async def body() -> None:
        other_key = asyncssh.generate_private_key("ssh-ed25519")
        async with SimulatedMachine() as machine:
            async with logged_in(machine) as connection:
                result = await connection.run("whoami")

            assert (result.stdout, machine.logins) == ("root\n", 1)
            for options in (
                {"client_keys": [other_key]},
                {"username": "somebody"},
                {"client_keys": None, "password": "x"},
            ):
                with pytest.raises(asyncssh.PermissionDenied):
                    await connect(machine, **options)
            assert machine.logins == 1

    run(body())


def test_key_file_is_private_and_goes_with_the_machine() -> None:
    async def body() -> Path:
        async with SimulatedMachine() as machine:
            assert stat.S_IMODE(machine.key_file.stat().st_mode) == 0o600
            assert stat.S_IMODE(machine.key_file.parent.stat().st_mode) == 0o700
            return machine.key_file

    key_file = run(body())

    assert not key_file.parent.parent.exists()


def test_further_keys_and_certificates_can_be_let_in() -> None:
    async def body() -> None:
        key, authority = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        certificate = authority.generate_user_certificate(key, "me", principals=["root"])
        async with SimulatedMachine() as machine:
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(machine, client_keys=[(key, certificate)])
            machine.authorise_authority(authority.export_public_key().decode())
            async with logged_in(machine, client_keys=[(key, certificate)]):
                assert machine.logged_in == 1
            machine.authorise(key.export_public_key().decode())
            async with logged_in(machine, client_keys=[key]):
                assert machine.logins == 2

    run(body())


def test_machines_have_keys_and_folders_of_their_own() -> None:
    async def body() -> None:
        async with SimulatedMachine("one") as one, SimulatedMachine("two", user="ubuntu") as two:
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(two, client_keys=[str(one.key_file)])
            with pytest.raises(asyncssh.HostKeyNotVerifiable):
                await connect(two, known_hosts=asyncssh.import_known_hosts(f"[127.0.0.1]:{two.port} {one.host_key}\n"))
            async with logged_in(one) as first, logged_in(two) as second:
                await first.run("echo here > file")
                found = await second.run("pwd; ls; hostname")

            assert found.stdout == "/home/ubuntu\ntwo\n"

    run(body())


def test_output_errors_and_exit_code_are_apart() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            result = await connection.run("echo out; echo err >&2; exit 3")
            killed = await connection.run("kill -9 $$")

            assert (result.stdout, result.stderr, result.exit_status) == ("out\n", "err\n", 3)
            assert killed.exit_signal is not None
            assert killed.exit_signal[0] == "KILL"

    run(body())


def test_input_reaches_the_command_byte_for_byte() -> None:
    async def body() -> None:
        data = os.urandom(1_000_000)
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            stored = await connection.run("cat > blob; wc -c < blob", input=data, encoding=None)
            read = await connection.run("cat blob", encoding=None)

            assert stored.stdout == b"1000000\n"
            assert read.stdout == data

    run(body())


def test_output_streams_while_the_command_runs() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            async with connection.create_process("echo first; cat") as process:
                first = await within(process.stdout.readline())
                process.stdin.write("second\n")
                second = await within(process.stdout.readline())
                process.stdin.write_eof()
                await within(process.wait())

            assert (first, second, process.exit_status) == ("first\n", "second\n", 0)

    run(body())


def test_session_lasts_as_long_as_somebody_holds_its_output() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            held = await within(connection.run("(tail -f --pid=$$ /dev/null; echo late) & echo early"))
            let_go = await within(connection.run("sleep 600 >/dev/null 2>&1 </dev/null & echo $!"))

            assert held.stdout == "early\nlate\n"
            assert let_go.stdout is not None
            number = int(let_go.stdout)
            assert (await connection.run(f"kill -0 {number} && kill {number}")).exit_status == 0

    run(body())


def test_client_that_goes_leaves_its_command_running_without_a_terminal() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            async with logged_in(machine) as connection:
                process = await connection.create_process("echo $$; sleep 600")
                number = int(await within(process.stdout.readline()))
            await within(machine.until(lambda: machine.connections == 0))
            async with logged_in(machine) as connection:
                assert (await connection.run(f"kill -0 {number}")).exit_status == 0

    run(body())


def test_client_that_goes_hangs_up_on_what_runs_on_its_terminal() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            async with logged_in(machine) as connection:
                process = await connection.create_process("echo $$; nohup sleep 600 & sleep 600", term_type="xterm")
                number = int(await within(process.stdout.readline()))
            await within(machine.until(lambda: machine.connections == 0))
            async with logged_in(machine) as connection:
                left = await within(
                    connection.run(f"while kill -0 {number} 2>/dev/null; do sleep 0.01; done; pgrep -f -l sleep.600")
                )

            assert left.stdout is not None
            assert left.stdout.count("sleep 600") == 1

    run(body())


def test_control_c_ends_what_runs_in_front_and_not_the_shell() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            process = await connection.create_process(term_type="xterm")
            await within(process.stdout.readuntil("# "))
            process.stdin.write("echo go; sleep 600\r")
            await within(process.stdout.readuntil("\ngo"))
            process.stdin.write("\x03")
            await within(process.stdout.readuntil("# "))
            process.stdin.write("echo $?\r")
            shown = await within(process.stdout.readuntil("# "))
            process.stdin.write("\x04")
            await within(process.wait())

            assert "\n130\r" in shown
            assert process.exit_status == 0

    run(body())


def test_control_c_ends_a_command_on_a_terminal_by_signal() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            process = await connection.create_process("echo go; sleep 600", term_type="xterm")
            await within(process.stdout.readline())
            process.stdin.write("\x03")
            await within(process.wait())

            assert process.exit_signal is not None
            assert process.exit_signal[0] == "INT"

    run(body())


def test_terminal_edits_lines_and_echoes() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            process = await connection.create_process(term_type="xterm")
            await within(process.stdout.readuntil("# "))
            process.stdin.write("echo wrong\x15echo rught\x7f\x7f\x7f\x7fight\r")
            shown = await within(process.stdout.readuntil("# "))
            process.stdin.write("if true\r")
            await within(process.stdout.readuntil("> "))
            process.stdin.write("then exit 7; fi\r")
            await within(process.wait())

            assert "\r\nright\r\n" in shown
            assert process.exit_status == 7

    run(body())


@pytest.mark.parametrize(("user", "signal"), [("ubuntu", "TERM"), ("root", None)])
def test_signals_are_refused_for_root_as_openssh_does(user: str, signal: str | None) -> None:
    async def body() -> None:
        async with SimulatedMachine(user=user) as machine, logged_in(machine) as connection:
            process = await connection.create_process("echo go; cat")
            await within(process.stdout.readline())
            process.terminate()
            process.stdin.write_eof()
            await within(process.wait())

            assert (process.exit_signal[0] if process.exit_signal else None) == signal

    run(body())


def test_services_answer_on_the_machines_own_ports() -> None:
    async def body() -> None:
        async with (
            SimulatedOllama() as ollama,
            SimulatedMachine(services={11434: ("127.0.0.1", ollama.port)}) as machine,
            logged_in(machine) as connection,
        ):
            reader, writer = await connection.open_connection("127.0.0.1", 11434)
            writer.write(b"GET /api/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await within(reader.read())

            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert machine.forwards_opened == 1
            writer.close()
            await within(machine.until(lambda: machine.forwards == 0))
            await within(ollama.until_idle())

    run(body())


async def _refused(connection: asyncssh.SSHClientConnection, host: str, port: int) -> int:
    with pytest.raises(asyncssh.ChannelOpenError) as refused:
        await connection.open_connection(host, port)
    return refused.value.code


def test_what_is_not_there_is_refused_with_openssh_codes() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            machine.services[9] = ("127.0.0.1", 1)

            assert await _refused(connection, "127.0.0.1", 11434) == asyncssh.OPEN_CONNECT_FAILED
            assert await _refused(connection, "127.0.0.1", 9) == asyncssh.OPEN_CONNECT_FAILED
            assert await _refused(connection, "no.such.host", 80) == asyncssh.OPEN_CONNECT_FAILED
            with pytest.raises(asyncssh.ChannelOpenError) as refused:
                await connection.open_unix_connection("/run/socket")
            assert refused.value.code == asyncssh.OPEN_CONNECT_FAILED
            with pytest.raises(asyncssh.ChannelListenError):
                await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1)
            machine.forbid_forwarding()
            assert await _refused(connection, "127.0.0.1", 11434) == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
            machine.forbid_forwarding(False)
            assert await _refused(connection, "127.0.0.1", 11434) == asyncssh.OPEN_CONNECT_FAILED

    run(body())


def test_forward_passes_both_ways_in_bulk_and_closes_in_halves() -> None:
    async def body() -> None:
        async def echo_when_done(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read())
            await writer.drain()
            writer.close()

        data = os.urandom(4_000_000)
        server = await asyncio.start_server(echo_when_done, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with (
            server,
            SimulatedMachine(services={7: ("127.0.0.1", port)}) as machine,
            logged_in(machine) as connection,
        ):
            reader, writer = await connection.open_connection("localhost", 7)
            writer.write(data)
            writer.write_eof()

            assert await within(reader.read()) == data

    run(body())


def test_one_machine_is_the_way_to_another() -> None:
    async def body() -> None:
        async with SimulatedMachine("door") as door, SimulatedMachine("inner") as inner:
            door.neighbours["inner.example", 22] = ("127.0.0.1", inner.port)
            async with logged_in(door) as jump:
                known = asyncssh.import_known_hosts(f"inner.example {inner.host_key}\n")
                connection = await asyncssh.connect(
                    "inner.example",
                    22,
                    tunnel=jump,
                    username="root",
                    client_keys=[str(inner.key_file)],
                    known_hosts=known,
                    config=None,
                )
                async with connection:
                    assert (await connection.run("hostname")).stdout == "inner\n"

    run(body())


def test_counts_go_up_and_down() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            async with logged_in(machine) as connection:
                process = await connection.create_process("cat")
                await within(machine.until(lambda: machine.sessions == 1))
                assert (machine.connections, machine.logged_in, machine.channels) == (1, 1, 1)
                process.stdin.write_eof()
                await within(process.wait())
                await within(machine.until(lambda: machine.sessions == 0))
            await within(machine.until(lambda: machine.connections == 0))

            assert (machine.accepted, machine.logins, machine.sessions_opened) == (1, 1, 1)

    run(body())


def test_sessions_on_one_connection_are_limited_and_forwards_are_not() -> None:
    async def body() -> None:
        async with (
            SimulatedOllama() as ollama,
            SimulatedMachine(services={1: ("127.0.0.1", ollama.port)}) as machine,
            logged_in(machine) as connection,
        ):
            machine.max_sessions = 2
            for _ in range(2):
                await connection.create_process("cat")
            with pytest.raises(asyncssh.ChannelOpenError) as refused:
                await connection.create_process("cat")
            for _ in range(5):
                await connection.open_connection("127.0.0.1", 1)

            assert refused.value.code == asyncssh.OPEN_CONNECT_FAILED
            assert machine.forwards == 5

    run(body())


def test_two_hundred_aborted_connects_leave_nothing() -> None:
    async def body() -> None:
        async with (
            SimulatedOllama() as ollama,
            SimulatedMachine(services={1: ("127.0.0.1", ollama.port)}) as machine,
            logged_in(machine) as connection,
        ):
            for _ in range(200):
                _, writer = await connection.open_connection("127.0.0.1", 1)
                writer.channel.abort()
            await within(machine.until(lambda: machine.forwards == 0))

            assert machine.forwards_opened == 200
        assert not machine.open_forwards

    run(body())


def test_machine_that_ends_ends_everything() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            connection = await connect(machine)
            await connection.create_process("sleep 600", term_type="xterm")
            await connection.create_process("sleep 600 & cat")
            await machine.freeze()
        await within(connection.wait_closed())

        assert (machine.connections, machine.sessions, machine.forwards) == (0, 0, 0)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    run(body())


# files


def test_files_travel_by_sftp_and_start_in_the_home(tmp_path: Path) -> None:
    async def body() -> None:
        source, back = tmp_path / "source", tmp_path / "back"
        source.write_bytes(os.urandom(300_000))
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            async with connection.start_sftp_client() as files:
                await files.put(source, "copy")
                await files.get("/root/copy", back)
                listed = await files.listdir("/")
                place = await files.realpath(".")
            seen = await connection.run("wc -c < copy")

            assert back.read_bytes() == source.read_bytes()
            assert (machine.home / "copy").read_bytes() == source.read_bytes()
            assert (place, seen.stdout) == ("/root", "300000\n")
            assert set(listed) - {".", ".."} == {"etc", "root", "tmp"}

    run(body())


_WAYS_OUT = [
    "../../../../../../../../etc/passwd",
    "/etc/passwd",
    "/../../etc/passwd",
    "~/../../../etc/passwd",
    "way/passwd",
]


@pytest.mark.parametrize("real_shell", [False, True])
@pytest.mark.parametrize("name", [*_WAYS_OUT, "link"])
def test_no_path_leads_out_by_sftp(name: str, real_shell: bool) -> None:
    async def body() -> None:
        async with SimulatedMachine(real_shell=real_shell) as machine, logged_in(machine) as connection:
            # links that somebody on our side has left there
            (machine.home / "way").symlink_to("/etc")
            (machine.home / "link").symlink_to("/etc/passwd")
            async with connection.start_sftp_client() as files:
                for work in (files.open(name), files.stat(name), files.lstat(name), files.remove(name)):
                    with pytest.raises(asyncssh.SFTPError):
                        await work
                for make in (files.symlink, files.link):
                    with pytest.raises(asyncssh.SFTPError):
                        await make("/etc/passwd", "made")
                with pytest.raises(asyncssh.SFTPError):
                    await files.readlink("link")

    before = _account_file()
    run(body())
    assert _account_file() == before


def test_writing_through_a_link_is_refused_by_sftp(tmp_path: Path) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            (machine.home / "way").symlink_to(tmp_path)
            (machine.home / "link").symlink_to(tmp_path / "file")
            async with connection.start_sftp_client() as files:
                for name in ("way/file", "link", f"..{tmp_path}/file"):
                    with pytest.raises(asyncssh.SFTPError):
                        await files.open(name, "w")
                with pytest.raises(asyncssh.SFTPError):
                    await files.mkdir("way/made")

    run(body())

    assert list(tmp_path.iterdir()) == []


def _account_file() -> tuple[int, int]:
    found = Path("/etc/passwd").stat()
    return found.st_mtime_ns, found.st_size


@pytest.mark.parametrize("name", [*_WAYS_OUT, "link"])
@pytest.mark.parametrize(
    "command",
    [
        "cat {}",
        "cat < {}",
        "head -n 1 {}",
        "cp {} here",
        "wc {}",
        ". {}",
        "grep root {}",
        "cat x > {}",
        "dd if={}",
        "stat {}",
    ],
)
def test_no_command_of_the_built_in_shell_reads_or_writes_outside(name: str, command: str) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            (machine.home / "way").symlink_to("/etc")
            (machine.home / "link").symlink_to("/etc/passwd")
            result = await connection.run(command.format(name))

            assert result.exit_status != 0
            assert isinstance(result.stdout, str)
            assert "root:" not in result.stdout

    before = _account_file()
    run(body())
    assert _account_file() == before


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf way/",
        "rm -r link/..",
        "rm -rf /../..",
        "mv way/hosts mine",
        "mkdir -p way/made",
        "cp -r way mine",
        "ls way",
        "cd way",
    ],
)
def test_no_command_changes_what_a_link_points_at(command: str, tmp_path: Path) -> None:
    async def body() -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "hosts").write_text("precious")
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            (machine.home / "way").symlink_to(outside)
            (machine.home / "link").symlink_to(outside / "hosts")
            result = await connection.run(command)

            assert result.exit_status != 0
            assert isinstance(result.stdout, str)
            assert "hosts" not in result.stdout
            assert not (machine.home / "mine" / "hosts").exists()
        assert sorted(path.name for path in outside.iterdir()) == ["hosts"]
        assert (outside / "hosts").read_text() == "precious"

    run(body())


def test_disk_fills_up() -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine, logged_in(machine) as connection:
            machine.limit_disk(100_000)
            full = await connection.run("dd if=/dev/zero of=big bs=1K count=200")
            async with connection.start_sftp_client() as files:
                with pytest.raises(asyncssh.SFTPError, match="No space left"):
                    async with files.open("other", "wb") as file:
                        await file.write(bytes(90_000))
            freed = await connection.run("rm -f big other; dd if=/dev/zero of=small bs=1K count=50; wc -c < small")

            assert full.exit_status == 1
            assert isinstance(full.stderr, str)
            assert "No space left on device" in full.stderr
            assert isinstance(freed.stdout, str)
            assert freed.stdout.strip() == "51200"

    run(body())


# a real shell


def test_real_shell_has_a_home_of_its_own_and_a_stand_in(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            SimulatedMachine(real_shell=True, gpus=("NVIDIA L40S",)) as machine,
            logged_in(machine) as connection,
        ):
            result = await connection.run(
                'echo "$HOME $PWD"; cat; nvidia-smi -L; command -v nvidia-smi', input="given\n"
            )
            async with connection.start_sftp_client() as files:
                place = await files.realpath(".")

            assert isinstance(result.stdout, str)
            lines = result.stdout.splitlines()
            assert lines[0] == f"{machine.home} {machine.home}" == f"{place} {place}"
            assert lines[1] == "given"
            assert lines[2].startswith("GPU 0: NVIDIA L40S (UUID: GPU-")
            assert lines[3] == f"{machine.disk}/bin/nvidia-smi"

    run(body())


def test_real_shell_on_a_terminal_is_hung_up_on() -> None:
    async def body() -> None:
        async with SimulatedMachine(real_shell=True) as machine, logged_in(machine) as connection:
            process = await connection.create_process("tty; echo $$; exec sleep 600", term_type="xterm")
            assert (await within(process.stdout.readline())).startswith("/dev/pts/")
            number = int(await within(process.stdout.readline()))
            process.close()
            waiting = f"while kill -0 {number} 2>/dev/null; do sleep 0.05; done; echo gone"

            assert (await within(connection.run(waiting))).stdout == "gone\n"

    run(body())


def test_real_shell_leaves_no_process_behind() -> None:
    async def body() -> int:
        async with SimulatedMachine(real_shell=True) as machine, logged_in(machine) as connection:
            result = await connection.run("setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!")
            assert isinstance(result.stdout, str)
            return int(result.stdout)

    number = run(body())

    async def gone() -> None:
        while _is_alive(number):  # the kernel ends it in its own time
            await asyncio.sleep(0.01)

    run(within(gone()))
    assert not _is_alive(number)


def _is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_world_without_machines_loads_no_asyncssh() -> None:
    code = "import asyncio, sys\nfrom providers.simulated.services import World\n"
    code += "async def body():\n    async with World():\n        print('asyncssh' in sys.modules)\nasyncio.run(body())"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )

    assert shown.stdout == "False\n"


def test_known_hosts_line_is_what_clients_need() -> None:
    async def body() -> None:
        async with SimulatedMachine(host_key="ecdsa-sha2-nistp256") as machine:
            assert machine.host_key.startswith("ecdsa-sha2-nistp256 ")
            async with logged_in(machine, known_hosts=trusting(machine)) as connection:
                assert (await connection.run("true")).exit_status == 0

    run(body())
