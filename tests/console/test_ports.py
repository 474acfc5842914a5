"""Who holds a local port."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from console.links.ports import free_port_near, holder_of

LISTEN = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""
HAS_PROC = Path("/proc/net/tcp").exists()


def test_the_holder_is_named_by_pid_and_program() -> None:
    with subprocess.Popen([sys.executable, "-c", LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())

        holder = holder_of(port)
        other.communicate(b"")

    assert (holder is not None) == HAS_PROC
    if holder is not None:
        assert holder.pid == other.pid
        assert holder.program.startswith("python")


def test_a_port_that_nobody_holds_has_no_holder() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        assert holder_of(bound.getsockname()[1]) is None


def test_without_proc_nobody_is_named(tmp_path: Path) -> None:
    assert holder_of(22, tmp_path) is None


def test_a_script_is_named_rather_than_its_interpreter(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    row = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x"
    (tmp_path / "net" / "tcp").write_text(f"  sl  local_address …\n{row}\n")
    process = tmp_path / "42"
    (process / "fd").mkdir(parents=True)
    (process / "fd" / "3").symlink_to("socket:[4711]")
    (process / "cmdline").write_bytes(b"/usr/bin/python3\0-W\0/opt/bin/hawser\0link\0")
    (process / "comm").write_text("python3\n")

    holder = holder_of(0x1F90, tmp_path)

    assert holder == (42, "hawser")


def test_the_port_that_is_offered_can_be_had() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        offered = free_port_near(port)

        assert offered != port
        with socket.socket() as free:
            free.bind(("127.0.0.1", offered))
            assert free.getsockname()[1] == offered
