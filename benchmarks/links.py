"""What links promise, measured beside `ssh -L` against a real sshd on loopback: `python -m benchmarks.links`.

`hawser link up` runs as a process of its own, and so do sshd, ssh and the service. Rounds alternate between the two, so
that a busy moment of the machine hits both. For recovery, ssh runs in a loop that starts it anew when it ends, with the
keepalive that is usually advised (5 s, twice).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.sshd_kit import SSHD, Sshd, free_port

ROOT = Path(__file__).parent.parent
CIPHER = "aes128-gcm@openssh.com"
LONGEST_S = 30.0

SERVICE = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(server.getsockname()[1], flush=True)
def serve(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    block = bytes(1 << 18)
    try:
        while True:
            head = b""
            while len(head) < 9:
                piece = client.recv(9 - len(head))
                if not piece:
                    return
                head += piece
            left = int.from_bytes(head[1:], "big")
            if head[:1] == b"D":
                while left > 0:
                    client.sendall(block[:left])
                    left -= len(block)
            else:
                while left:
                    left -= len(client.recv(min(left, 1 << 18)))
                client.sendall(b"k")
    except OSError:
        pass
    finally:
        client.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

RELAY = """
import asyncio, sys
from providers.simulated.relay import Relay
async def main():
    async with Relay(("127.0.0.1", int(sys.argv[1])), latency_s=float(sys.argv[2])) as relay:
        print(relay.port, flush=True)
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while await commands.readline():
            relay.lose_flows()
            print("lost", flush=True)
asyncio.run(main())
"""


class Row(NamedTuple):
    measure: str
    ours: str
    theirs: str
    reach: str
    is_met: bool


# Programs


class Program:
    """A process that prints what it is ready with, ended with the block."""

    def __init__(self, command: Sequence[str], **how: Any) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True, **how
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        assert self.process.stdout is not None
        line: str = self.process.stdout.readline()
        return line

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


def service() -> Program:
    return Program([sys.executable, "-c", SERVICE])


def relay(port: int, latency_s: float = 0.0) -> Program:
    return Program([sys.executable, "-c", RELAY, str(port), str(latency_s)])


class Up(Program):
    """`hawser link up`, with one forward."""

    def __init__(self, config: Path, home: Path, port: int) -> None:
        code = "from console.cli import entry; entry()"
        words = ["link", "up", "box", "--ssh-config", str(config), "--forward", f"0:{port}", "--jsonl"]
        super().__init__(
            [sys.executable, "-c", code, *words],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1"},
            stderr=subprocess.DEVNULL,
        )
        self.port: int = self.event("up")["forwards"][0]["local_port"]

    def event(self, *words: str) -> dict[str, Any]:
        while line := self.line():
            event: dict[str, Any] = json.loads(line)
            if event["ev"] in words:
                return event
        raise AssertionError(f"it ended without {words}")


class Ssh:
    """`ssh -L`, started anew whenever it ends."""

    def __init__(self, config: Path, port: int) -> None:
        self.port = free_port()
        forward = f"127.0.0.1:{self.port}:127.0.0.1:{port}"
        options = ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=2", "-o", "ConnectTimeout=5"]
        self._command = ["ssh", "-F", str(config), "-N", *options, "-L", forward, "box"]
        self._is_wanted = True
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Ssh:
        self._keeper.start()
        assert first_answer_s(self.port) is not None
        return self

    def __exit__(self, *_: object) -> None:
        self._is_wanted = False
        if self._process is not None:
            self._process.kill()
        self._keeper.join()

    def _keep(self) -> None:
        while self._is_wanted:
            self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
            self._process.wait()
            threading.Event().wait(0.25)


def write_config(folder: Path, sshd: Sshd, port: int) -> Path:
    known = folder / f"known_{port}"
    known.write_text(f"[127.0.0.1]:{port} {sshd.host_key}\n")
    config = folder / f"config_{port}"
    config.write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {port}\n  User {sshd.user}\n  IdentityFile {sshd.key_file}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  Ciphers {CIPHER}\n  Compression no\n"
    )
    return config


# Clients


def head(kind: bytes, count: int) -> bytes:
    return kind + count.to_bytes(8, "big")


_SPACE = bytearray(1 << 18)


def receive(client: socket.socket, count: int) -> None:
    space = _SPACE
    while count > 0:
        got = client.recv_into(space, min(count, len(space)))
        if not got:
            raise EOFError
        count -= got


def connected(port: int, limit_s: float = LONGEST_S) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), limit_s)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def down_mb_s(port: int, count: int) -> float:
    with connected(port) as client:
        begun = time.perf_counter()
        client.sendall(head(b"D", count))
        receive(client, count)
        return count / (time.perf_counter() - begun) / 1e6


def up_mb_s(port: int, count: int) -> float:
    block = bytes(1 << 18)
    with connected(port) as client:
        begun = time.perf_counter()
        client.sendall(head(b"U", count))
        left = count
        while left > 0:
            client.sendall(block[:left])
            left -= len(block)
        receive(client, 1)
        return count / (time.perf_counter() - begun) / 1e6


def request_ms(port: int, count: int = 400) -> list[float]:
    with connected(port) as client:
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            client.sendall(head(b"D", 1024))
            receive(client, 1024)
            times.append((time.perf_counter() - begun) * 1e3)
    return times


def first_answer_s(port: int, limit_s: float = LONGEST_S) -> float | None:
    """Seconds until a new request is answered; a request is given a second and a half before the next is made."""
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < limit_s:
        try:
            with connected(port, min(1.5, limit_s - spent)) as client:
                client.sendall(head(b"D", 16))
                receive(client, 16)
                return time.perf_counter() - begun
        except (OSError, EOFError):
            threading.Event().wait(0.02)
    return None


# Measures


def seconds(value: float | None) -> str:
    return f"{value:.2f} s" if value is not None else f"> {LONGEST_S:.0f} s"


def recovery(name: str, reach_s: float, ours: float | None, theirs: float | None) -> Row:
    return Row(name, seconds(ours), seconds(theirs), f"≤ {reach_s:g} s", ours is not None and ours <= reach_s)


def after_restart(sshd: Sshd, port: int) -> float | None:
    """From when the server accepts again, with somebody waiting all the time."""
    sshd.stop()
    came: list[float] = []
    waiter = threading.Thread(target=lambda: came.append(time.perf_counter() if first_answer_s(port) else 0.0))
    waiter.start()
    threading.Event().wait(3.0)
    sshd.start()
    accepts = time.perf_counter()
    waiter.join()
    return max(came[0] - accepts, 0.0) if came and came[0] else None


def after_loss(way: Program, port: int) -> float | None:
    assert first_answer_s(port) is not None
    way.tell("lose")
    way.line()
    return first_answer_s(port)


def after_suspend(way: Program, up: Up, for_s: float) -> float | None:
    assert first_answer_s(up.port) is not None
    up.process.send_signal(signal.SIGSTOP)
    way.tell("lose")
    way.line()
    threading.Event().wait(for_s)
    up.process.send_signal(signal.SIGCONT)
    return first_answer_s(up.port)


def idle_detection(way: Program, up: Up) -> float:
    way.tell("lose")
    way.line()
    begun = time.monotonic()
    found: float = up.event("suspect", "lost")["t"]
    up.event("switched", "up")
    return found - begun


def measure_recovery(folder: Path, suspend_s: float) -> Iterator[Row]:
    with ExitStack() as stack:
        bytes_service = stack.enter_context(service())
        port = int(bytes_service.line())
        sshd = stack.enter_context(Sshd(folder / "sshd"))
        way = stack.enter_context(relay(sshd.port))
        config = write_config(folder, sshd, int(way.line()))
        ssh = stack.enter_context(Ssh(config, port))
        up = stack.enter_context(Up(config, folder / "home", port))
        yield recovery("server killed, then back", 1, after_restart(sshd, up.port), after_restart(sshd, ssh.port))
        assert first_answer_s(up.port) is not None
        threading.Event().wait(3.0)
        yield recovery("flow lost in silence, demand", 3, after_loss(way, up.port), after_loss(way, ssh.port))
        threading.Event().wait(1.0)
        yield recovery(f"{suspend_s:g} s suspended, flow lost", 3, after_suspend(way, up, suspend_s), None)._replace(
            theirs="-"
        )
        threading.Event().wait(1.0)
        while up.event("switched", "up", "suspect")["t"] < time.monotonic() - 1.5:
            pass
        found = idle_detection(way, up)
        yield Row("dead link noticed while idle", seconds(found), "10 to 15 s", "≤ 7 s", found <= 7)


def measure_speed(folder: Path, count: int, rounds: int) -> Iterator[Row]:
    with ExitStack() as stack:
        bytes_service = stack.enter_context(service())
        port = int(bytes_service.line())
        sshd = stack.enter_context(Sshd(folder / "sshd"))
        config = write_config(folder, sshd, sshd.port)
        ssh = stack.enter_context(Ssh(config, port))
        up = stack.enter_context(Up(config, folder / "home", port))
        for name, reach, move in (("down", 0.8, down_mb_s), ("up", 0.7, up_mb_s)):
            both = [(move(up.port, count), move(ssh.port, count)) for _ in range(rounds)]
            ours, theirs = (statistics.median(side) for side in zip(*both, strict=True))
            ratio = statistics.median(each[0] / each[1] for each in both)
            yield Row(
                f"throughput {name}",
                f"{ours:.0f} MB/s",
                f"{theirs:.0f} MB/s",
                f"≥ {reach:g} (is {ratio:.2f})",
                ratio >= reach,
            )
        ours_ms: list[float] = []
        theirs_ms: list[float] = []
        for _ in range(rounds):
            ours_ms += request_ms(up.port)
            theirs_ms += request_ms(ssh.port)
        ours, theirs = statistics.median(ours_ms), statistics.median(theirs_ms)
        yield Row("1 KB request", f"{ours:.3f} ms", f"{theirs:.3f} ms", "≤ +0.15 ms", ours - theirs <= 0.15)
    with ExitStack() as stack:
        bytes_service = stack.enter_context(service())
        port = int(bytes_service.line())
        sshd = stack.enter_context(Sshd(folder / "far"))
        way = stack.enter_context(relay(sshd.port, 0.025))
        config = write_config(folder, sshd, int(way.line()))
        ssh = stack.enter_context(Ssh(config, port))
        up = stack.enter_context(Up(config, folder / "far_home", port))
        ours, theirs = (max(down_mb_s(each, count) for _ in range(2)) for each in (up.port, ssh.port))
        yield Row("down at 50 ms round trip", f"{ours:.0f} MB/s", f"{theirs:.0f} MB/s", "≥ 100 MB/s", ours >= 100)


def measure_many(folder: Path) -> Iterator[Row]:
    """Sixteen machines in one process, and ten thousand clients that leave; told by that process."""
    with service() as bytes_service, Sshd(folder / "sshd") as sshd:
        port = int(bytes_service.line())
        facts = [sshd.host_key, str(sshd.port), sshd.user, str(sshd.key_file), str(port), str(folder / "many")]
        with Program([sys.executable, "-m", "benchmarks.links", "--inner", *facts]) as inner:
            line = inner.line()
    found = json.loads(line)
    yield Row("16 machines × 4 forwards, up", f"{found['up_s']:.2f} s", "-", "≤ 0.5 s", found["up_s"] <= 0.5)
    yield Row("  memory", f"{found['memory_mb']:.0f} MB", "-", "≤ 60 MB", found["memory_mb"] <= 60)
    yield Row("  processor while idle", f"{found['idle_percent']:.2f} %", "-", "≤ 1 %", found["idle_percent"] <= 1)
    left = found["left"]
    yield Row(
        f"{found['aborted']:,} aborted connects ({found['aborted_s']:.0f} s)",
        ", ".join(f"{count} {name}" for name, count in left.items()),
        "leaks",
        "none left",
        not any(left.values()),
    )


async def many(host_key: str, port: int, user: str, key_file: str, service_port: int, folder: Path) -> dict[str, Any]:
    import asyncssh  # noqa: F401 - the time to load it is not measured

    from console.clock import SystemClock
    from console.events import Bus
    from console.links.connector import Nobody
    from console.links.identity import Pins, Target, connect
    from console.links.links import Links
    from console.links.tunnels import Forward, Tunnels
    from console.paths import Paths

    pins = Pins(Paths(folder, folder, folder, folder))
    bus = Bus()

    def connect_to(name: str) -> Callable[[], Any]:
        target = Target(name, f"ssh:{name}", "127.0.0.1", port, user, (key_file,))
        return lambda: connect(target, pins, ask=Nobody(), first="known-only")

    names = [f"machine{number}" for number in range(16)]
    for name in names:
        pins.pin(f"ssh:{name}", host_key)
    links, ports = Links(connect_to, SystemClock(), bus), Tunnels(bus)
    begun = time.perf_counter()
    made = [links.make(name) for name in names]
    tunnels = [(await ports.open(link, [Forward(service_port)] * 4)) for link in made]
    await asyncio.gather(*(link.start() for link in made))
    await asyncio.gather(*(link.wait_up(LONGEST_S) for link in made))
    up_s = time.perf_counter() - begun
    memory_mb = resident_mb()
    await asyncio.sleep(2)
    spent, begun = time.process_time(), time.perf_counter()
    await asyncio.sleep(10)
    idle_percent = (time.process_time() - spent) / (time.perf_counter() - begun) * 100

    tunnel, connection = tunnels[0][0], await made[0].connection()

    def state() -> dict[str, int]:
        return {
            "channels": len(connection._channels),
            "sockets": len(list(Path("/proc/self/fd").iterdir())),
            "tasks": len(asyncio.all_tasks()),
        }

    before = state()
    begun = time.perf_counter()
    aborted = 10_000
    for _ in range(aborted // 50):
        await asyncio.gather(*(leave(tunnel.local_port) for _ in range(50)))
    deadline = time.monotonic() + LONGEST_S
    while state() != before and time.monotonic() < deadline:  # noqa: ASYNC110 - sockets tell nobody when they close
        await asyncio.sleep(0.05)
    aborted_s = time.perf_counter() - begun
    left = {name: count - before[name] for name, count in state().items()}
    await ports.close()
    await links.close()
    return {
        "up_s": up_s,
        "memory_mb": memory_mb,
        "idle_percent": idle_percent,
        "aborted": aborted,
        "aborted_s": aborted_s,
        "left": left,
    }


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


async def leave(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def folder_of_our_own() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["recovery", "speed", "many"], help="one part of it")
    parser.add_argument("--suspend", type=float, default=90.0, metavar="S", help="how long the link is suspended")
    parser.add_argument("--mb", type=int, default=200, help="how much goes through for the throughput")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inner", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        host_key, port, user, key_file, service_port, folder = options.inner
        print(json.dumps(asyncio.run(many(host_key, int(port), user, key_file, int(service_port), Path(folder)))))
        return
    if SSHD is None or shutil.which("ssh") is None:
        print("Nothing to measure beside: OpenSSH (ssh and sshd) is not installed.")
        return
    parts: dict[str, Callable[[Path], Iterator[Row]]] = {
        "recovery": lambda folder: measure_recovery(folder, options.suspend),
        "speed": lambda folder: measure_speed(folder, options.mb * 1_000_000, options.rounds),
        "many": measure_many,
    }
    print(f"{'measure':40} {'hawser':>24} {'ssh -L':>12}   reach")
    for name, part in parts.items():
        if options.only in (None, name):
            with folder_of_our_own() as folder:
                for row in part(folder):
                    verdict = "" if row.is_met else "   MISSED"
                    print(f"{row.measure:40} {row.ours:>24} {row.theirs:>12}   {row.reach}{verdict}", flush=True)


if __name__ == "__main__":
    main()
