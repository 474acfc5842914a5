"""Tunnels shared between processes: who has them, who may use them, and who takes over when a process dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from console.clock import SystemClock
from console.errors import StoreLocked
from console.history import tunnels
from console.history.owner import is_alive, this_process
from console.links.health import Reading
from console.links.ports import holds
from console.links.shared import FRESH_S, Published, Shared
from tests.console.store_kit import ROOT, opened, paths_in
from tests.sshd_kit import free_port

PATIENCE_S = 30.0

# A process that wants a tunnel to "box": it uses another's while that lives, else it claims it and listens on the port.
# It prints what it does, one line of JSON each, and does one more thing for each line that it reads.
CITIZEN = """
import asyncio, json, sys, time
from pathlib import Path
from console.clock import SystemClock
from console.links.shared import Shared
from tests.console.store_kit import opened

def say(**facts):
    print(json.dumps({"at": time.time(), **facts}), flush=True)

async def main(folder, port):
    async with opened(folder, clock=SystemClock(), wait_s=30) as store, Shared(store, SystemClock()) as shared:
        await asyncio.to_thread(sys.stdin.readline)
        while True:
            claim = await shared.publish("box", "ollama", remote_port=11434)
            if claim.is_mine:
                server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
                own = server.sockets[0].getsockname()[1]
                await shared.publish("box", "ollama", remote_port=11434, local_port=own, state="up")
                say(does="owns", port=own)
                await asyncio.to_thread(sys.stdin.readline)
                server.close()
                return
            there = await shared.until_up("box", "ollama", limit_s=20)
            if there is None:
                continue
            say(does="uses", port=there.local_port, pid=there.pid)
            await shared.until_gone(there)
            say(does="sees it gone")

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


class Citizen:
    def __init__(self, folder: Path, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CITIZEN, str(folder), str(port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> Self:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self

    def says(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "it ended"
        said = json.loads(line)
        assert isinstance(said, dict)
        return said

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def hold_still(self, folder: Path) -> None:
        """Stop it, though not while it writes: the store would be locked for everybody."""
        with closing(sqlite3.connect(paths_in(folder).store_file, isolation_level=None, timeout=0.1)) as store:
            while True:
                self.send(signal.SIGSTOP)
                try:
                    store.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    self.send(signal.SIGCONT)
                else:
                    store.execute("ROLLBACK")
                    return

    def end(self) -> None:
        with self._process:
            self._process.kill()


@contextmanager
def citizens(folder: Path, count: int, port: int = 0) -> Iterator[list[Citizen]]:
    there = [Citizen(folder, port) for _ in range(count)]
    try:
        yield there
    finally:
        for one in there:
            one.end()


class MovedClock(SystemClock):
    """The real clock, set forward or back by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@asynccontextmanager
async def shared_in(folder: Path, clock: SystemClock | None = None, **options: Any) -> AsyncIterator[Shared]:
    clock = clock or SystemClock()
    async with opened(folder, clock=clock) as store, Shared(store, clock, **options) as shared:
        yield shared


@contextmanager
def listening(port: int = 0) -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        yield server.getsockname()[1]


def row(port: int, owner: str | None = None, *, age_s: float = 0.0, state: str = "up") -> Published:
    beat = int((time.time() - age_s) * 1000)
    return Published("box", "ollama", 11434, port, owner or this_process(), state, beat, beat, None, None, None)


async def put(shared: Shared, published: Published) -> None:
    await shared._store.run(lambda c: tunnels.claim(c, published, tunnels.get(c, "box", "ollama")), write=True)


@contextmanager
def other_process() -> Iterator[str]:
    """A process of nobody's; its name as an owner."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        try:
            yield f"{process.pid}:{stat[19]}"
        finally:
            process.kill()


def test_a_tunnel_is_found_by_others_and_gone_after_its_owner(tmp_path: Path) -> None:
    async def body() -> None:
        with listening() as port:
            async with shared_in(tmp_path) as other:
                async with shared_in(tmp_path) as owner:
                    claim = await owner.publish("box", "ollama", remote_port=11434, local_port=port, state="up")
                    found = await other.live("box", "ollama")

                    assert claim.is_mine
                    assert found is not None
                    assert (found.local_port, found.pid) == (port, os.getpid())
                    assert await other.live("box", "comfyui") is None
                assert await other.live("box", "ollama") is None
                assert await other.every() == []

    asyncio.run(body())


def test_one_that_only_begins_cannot_be_used_yet(tmp_path: Path) -> None:
    async def body() -> None:
        async with shared_in(tmp_path) as shared:
            claim = await shared.publish("box", "ollama", remote_port=11434)

            assert claim.is_mine
            assert claim.published.state == "starting"
            assert await shared.live("box", "ollama") is None
            assert await shared.until_up("box", "ollama", limit_s=0.1) is None

    asyncio.run(body())


def test_what_makes_a_tunnel_unusable(tmp_path: Path) -> None:
    async def body() -> None:
        clock = MovedClock()
        async with shared_in(tmp_path, clock) as shared:
            with listening() as port, other_process() as somebody:
                await put(shared, row(port))
                assert await shared.live("box", "ollama") is not None

                await put(shared, row(port, age_s=FRESH_S + 1))
                assert await shared.live("box", "ollama") is None, "its heartbeat is old"

                await put(shared, row(port, age_s=-FRESH_S - 60))
                assert await shared.live("box", "ollama") is None, "its heartbeat is of the future"

                await put(shared, row(port, f"{os.getpid()}:1"))
                assert await shared.live("box", "ollama") is None, "another process had this number"

                await put(shared, row(port, somebody))
                assert await shared.live("box", "ollama") is None, "it runs, but another one listens"
            await put(shared, row(port))
            assert await shared.live("box", "ollama") is None, "nobody listens"

    asyncio.run(body())


def test_a_process_holds_only_its_own_ports(tmp_path: Path) -> None:
    with listening() as port, other_process() as somebody:
        assert holds(os.getpid(), port)
        assert not holds(int(somebody.partition(":")[0]), port)
        assert not holds(os.getpid(), free_port())


def test_a_process_that_is_over_but_not_asked_for_is_not_alive() -> None:
    process = subprocess.Popen(["/bin/sleep", "1000"])
    owner = f"{process.pid}:" + Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    assert is_alive(owner)

    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert not is_alive(owner)
    process.wait()


def test_ghosts_are_cleaned_at_the_start(tmp_path: Path) -> None:
    async def body() -> None:
        with listening() as port, other_process() as somebody:
            async with shared_in(tmp_path) as before:
                await put(before, row(port, "999999999:1"))
                async with shared_in(tmp_path) as shared:
                    assert await shared.every() == []

                await put(before, row(port, somebody, state="starting"))
                async with shared_in(tmp_path) as shared:
                    assert len(await shared.every()) == 1, "it may be about to listen"

    asyncio.run(body())


def test_a_claim_waits_for_an_owner_that_only_slept(tmp_path: Path) -> None:
    async def body() -> None:
        with listening() as port, other_process() as somebody:
            async with shared_in(tmp_path) as shared:
                asleep = row(0, somebody, age_s=90, state="starting")
                await put(shared, asleep)
                claiming = asyncio.create_task(shared.publish("box", "ollama", remote_port=11434))
                await asyncio.sleep(0)
                awake = asleep._replace(beat_ms=int(time.time() * 1000))
                await shared._store.run(lambda c: tunnels.claim(c, awake, asleep), write=True)

                claim = await claiming

                assert not claim.is_mine
                assert claim.published.owner == somebody
                assert port

    asyncio.run(body())


def test_a_claim_takes_what_an_owner_that_stands_still_had(tmp_path: Path) -> None:
    async def body() -> None:
        with other_process() as somebody:
            async with shared_in(tmp_path) as shared:
                await put(shared, row(0, somebody, age_s=90, state="starting"))

                claim = await shared.publish("box", "ollama", remote_port=11434)

                assert claim.is_mine

    asyncio.run(body())


def test_an_owner_learns_that_it_was_replaced(tmp_path: Path) -> None:
    async def body() -> None:
        lost: list[tuple[str, str]] = []
        with listening() as port, other_process() as somebody:
            async with shared_in(tmp_path, on_lost=lambda machine, service: lost.append((machine, service))) as shared:
                await shared.publish("box", "ollama", remote_port=11434, local_port=port, state="up")
                await put(shared, row(port, somebody, state="starting"))

                await shared.beat()

                assert lost == [("box", "ollama")]
                (there,) = await shared.every()
                assert there.owner == somebody
            async with shared_in(tmp_path) as later:
                assert len(await later.every()) == 1, "only its own is withdrawn"

    asyncio.run(body())


def test_a_heartbeat_carries_state_and_probe(tmp_path: Path) -> None:
    async def body() -> None:
        with listening() as port:
            async with shared_in(tmp_path) as shared:
                await shared.publish("box", "ollama", remote_port=11434, local_port=port, state="up")
                at = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
                shared.note("box", "ollama", reading=Reading(True, 12.5, None, at))
                shared.note("box", "ollama", state="waiting")
                await shared.beat()
                there = await shared.live("box", "ollama")

                assert there is not None
                assert (there.state, there.probe_ms, there.probe_error) == ("waiting", 12.5, None)
                assert there.probed_ms == int(at.timestamp() * 1000)
                await shared.publish("box", "ollama", remote_port=11434, local_port=port, state="up")
                there = await shared.live("box", "ollama")
                assert there is not None
                assert (there.state, there.probe_ms) == ("up", 12.5)

    asyncio.run(body())


def test_what_was_to_be_told_is_told_later_when_the_store_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        with listening() as port:
            async with shared_in(tmp_path) as shared:
                await shared.publish("box", "ollama", remote_port=11434, local_port=port, state="up")
                shared.note("box", "ollama", state="blocked")

                async def locked(*_: object, **__: object) -> None:
                    raise StoreLocked("Another process holds it.")

                with monkeypatch.context() as patch:
                    patch.setattr(shared._store, "run", locked)
                    with pytest.raises(StoreLocked):
                        await shared.beat()
                shared.note("box", "ollama", reading=Reading(False, None, "No answer.", datetime.now(UTC)))
                await shared.beat()

                (there,) = await shared.every()
                assert (there.state, there.probe_error) == ("blocked", "No answer.")

    asyncio.run(body())


def test_local_ports_are_remembered(tmp_path: Path) -> None:
    async def body() -> None:
        async with shared_in(tmp_path) as shared:
            await shared.remember_port("box", "ollama", 40001)
            await shared.remember_port("box", "comfyui", 40002)
            await shared.remember_port("box", "ollama", 40003)
        async with shared_in(tmp_path) as later:
            assert await later.remembered_ports() == {("box", "ollama"): 40003, ("box", "comfyui"): 40002}

    asyncio.run(body())


def test_of_many_processes_one_owns_and_the_others_use_its_port(tmp_path: Path) -> None:
    with citizens(tmp_path, 4, free_port()) as there:
        for one in there:
            one.go()
        said = [one.says() for one in there]

    owners = [one for one, what in zip(there, said, strict=True) if what["does"] == "owns"]
    assert len(owners) == 1
    assert {what["port"] for what in said} == {said[there.index(owners[0])]["port"]}
    assert {what["pid"] for what in said if what["does"] == "uses"} == {owners[0].pid}


def test_when_the_owner_is_killed_another_takes_over_with_the_same_port(tmp_path: Path) -> None:
    port = free_port()
    with citizens(tmp_path, 3, port) as there:
        assert there[0].go().says()["does"] == "owns"
        for one in there[1:]:
            assert one.go().says()["does"] == "uses"

        killed_at = time.time()
        there[0].send(signal.SIGKILL)
        gone = [one.says() for one in there[1:]]
        after = [one.says() for one in there[1:]]

    assert [what["does"] for what in gone] == ["sees it gone", "sees it gone"]
    assert sorted(what["does"] for what in after) == ["owns", "uses"]
    assert {what["port"] for what in after} == {port}
    owned_at = next(what["at"] for what in after if what["does"] == "owns")
    assert owned_at - killed_at < PATIENCE_S


def test_when_the_owner_leaves_in_order_another_takes_over(tmp_path: Path) -> None:
    with citizens(tmp_path, 2, free_port()) as there:
        assert there[0].go().says()["does"] == "owns"
        assert there[1].go().says()["does"] == "uses"

        there[0].go()

        assert there[1].says()["does"] == "sees it gone"
        assert there[1].says()["does"] == "owns"


def test_a_tunnel_that_its_owner_gives_up_is_seen_to_be_gone(tmp_path: Path) -> None:
    async def body() -> None:
        with listening() as port, other_process() as somebody:
            async with shared_in(tmp_path) as shared:
                await put(shared, row(port, somebody, state="starting"))
                (there,) = await shared.every()
                watching = asyncio.create_task(shared.until_gone(there))
                await asyncio.sleep(0)
                await shared._store.run(lambda c: tunnels.withdraw(c, somebody), write=True)

                async with asyncio.timeout(PATIENCE_S):
                    await watching

    asyncio.run(body())


def test_a_tunnel_of_a_process_that_stands_still_is_given_up(tmp_path: Path) -> None:
    with citizens(tmp_path, 2) as there:
        first = there[0].go().says()
        assert there[1].go().says()["does"] == "uses"

        there[0].hold_still(tmp_path)

        assert there[1].says()["does"] == "sees it gone"
        taken = there[1].says()
        assert taken["does"] == "owns"
        assert taken["port"] != first["port"]
        there[0].send(signal.SIGCONT)
