"""Long work on machines: it outlives the connection, runs once, and is found again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from console.errors import LinkBroken, NotFound, UsageError
from console.links.detached import Detached, Piece
from console.links.remote import run
from tests.console.machines_kit import Box, box, on_every_machine, on_every_shell, runs, until


class Yard:
    """A machine, its jobs, and a folder whose files let jobs go on."""

    def __init__(self, machine: Box, folder: Path) -> None:
        self.machine = machine
        self.jobs = Detached(machine.connect, machine="berth")
        self.folder = folder

    def gate_there(self, name: str) -> str:
        """Shell that waits for a file in the home there."""
        return f'while [ ! -e "$HOME/{name}" ]; do sleep 0.05; done'

    def open_there(self, name: str) -> None:
        (self.machine.home / name).touch()

    def log_on_disk(self, job_id: str) -> dict[str, int]:
        job = self.machine.home / ".hawser" / "jobs" / job_id
        return {file.name: file.stat().st_size for file in job.glob("log*")}

    def gate(self, name: str) -> str:
        """Shell that waits for a file."""
        return f"while [ ! -e {self.folder / name} ]; do sleep 0.05; done"

    def open(self, name: str) -> None:
        (self.folder / name).touch()


@asynccontextmanager
async def yard(kind: str, folder: Path) -> AsyncIterator[Yard]:
    async with box(kind, folder) as machine:
        made = Yard(machine, folder)
        try:
            yield made
        finally:
            for job in await made.jobs.jobs():
                await made.jobs.stop(job.id, grace_s=1)


async def read_all(jobs: Detached, job_id: str, offset: int = 0) -> bytes:
    came = b""
    async for piece in jobs.follow(job_id, offset):
        assert piece.offset == offset + len(came)
        came += piece.content
    return came


@on_every_shell
def test_a_job_runs_and_its_log_and_exit_code_are_kept(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            started = await made.jobs.start("one", "echo out; echo err >&2; echo end; exit 3")
            ended = await made.jobs.wait("one")

            assert started.state in ("running", "ended")
            assert (ended.state, ended.exit_code) == ("ended", 3)
            assert ended.began is not None
            assert ended.ended is not None
            log = await made.jobs.log("one")
            assert log.content == b"out\nerr\nend\n"
            assert ended.log_bytes == len(log.content)
            assert await read_all(made.jobs, "one") == log.content
            assert (await made.jobs.log("one", 4, longest=3)).content == b"err"

    asyncio.run(body())


@on_every_machine
def test_a_job_begins_at_home(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            await made.jobs.start("one", "pwd")
            await made.jobs.wait("one")

            assert (await made.jobs.log("one")).content == f"{made.machine.home}\n".encode()

    asyncio.run(body())


@on_every_shell
def test_it_goes_on_over_a_drop_and_is_followed_on(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            await made.jobs.start("long", f"echo first; {made.gate_there('go')}; echo second")
            pieces: list[Piece] = []

            async def follow() -> None:
                async for piece in made.jobs.follow("long"):
                    pieces.append(piece)

            following = asyncio.create_task(follow())
            await until(lambda: pieces)
            await made.machine.cut()
            made.open_there("go")
            await following

            assert b"".join(piece.content for piece in pieces) == b"first\nsecond\n"
            assert made.machine.connections >= 2
            assert (await made.jobs.wait("long")).exit_code == 0

    asyncio.run(body())


@on_every_machine
def test_the_same_id_runs_once(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            command = f"echo ran >> {tmp_path / 'runs'}; {made.gate('go')}"
            await asyncio.gather(*(made.jobs.start("once", command) for _ in range(5)))
            made.open("go")
            await made.jobs.wait("once")
            again = await made.jobs.start("once", command)

            assert again.state == "ended"
            assert made.machine.connections == 1
            assert (tmp_path / "runs").read_text() == "ran\n"
            with pytest.raises(UsageError, match="with another command"):
                await made.jobs.start("once", "echo other")

    asyncio.run(body())


@on_every_machine
def test_a_command_that_did_not_arrive_whole_is_not_run(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            jobs = made.jobs
            whole = jobs._call

            async def torn(*arguments: object, stdin: bytes = b"", **options: object) -> object:
                return await whole(*arguments, stdin=stdin[:-5], **options)  # type: ignore[arg-type]

            jobs._call = torn  # type: ignore[assignment, method-assign]
            with pytest.raises(LinkBroken, match="did not arrive whole"):
                await jobs.start("torn", f"touch {tmp_path / 'ran'}; true")
            jobs._call = whole  # type: ignore[method-assign]

            with pytest.raises(NotFound):
                await jobs.job("torn")
            await jobs.start("torn", f"touch {tmp_path / 'whole'}")
            assert (await jobs.wait("torn")).exit_code == 0
        assert not (tmp_path / "ran").exists()
        assert (tmp_path / "whole").exists()

    asyncio.run(body())


@on_every_machine
def test_stopping_ends_all_of_it_and_says_so(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            await made.jobs.start("polite", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done")
            await made.jobs.start("stubborn", "trap '' TERM; echo up; while :; do sleep 0.05; done")
            for job_id in ("polite", "stubborn"):
                pieces = made.jobs.follow(job_id)
                assert (await anext(pieces)).content == b"up\n"
                await pieces.aclose()

            polite = await made.jobs.stop("polite")
            stubborn = await made.jobs.stop("stubborn", grace_s=0.3)

            assert (polite.state, polite.exit_code) == ("stopped", 5)
            assert (stubborn.state, stubborn.exit_code) == ("stopped", 137)
            assert (await made.jobs.log("polite")).content.endswith(b"bye\n")
            assert await made.jobs.stop("polite") == polite

    asyncio.run(body())


@on_every_machine
def test_one_that_was_killed_from_outside_is_lost_and_not_running(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            await made.jobs.start("gone", "sleep 1000")
            said = await run(made.machine.connect, 'cat "$HOME/.hawser/jobs/gone/pid"')
            os.killpg(int(said.text.split()[0]), signal.SIGKILL)

            ended = await made.jobs.wait("gone")

            assert (ended.state, ended.exit_code) == ("lost", None)

    asyncio.run(body())


@on_every_machine
def test_jobs_are_listed_and_removed_in_a_private_folder(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            assert await made.jobs.jobs() == []
            await made.jobs.start("first", "true")
            await made.jobs.start("second", made.gate("go"))
            await made.jobs.wait("first")

            assert {job.id: job.state for job in await made.jobs.jobs()} == {"first": "ended", "second": "running"}
            with pytest.raises(UsageError, match="still runs"):
                await made.jobs.remove("second")
            await made.jobs.remove("first")
            await made.jobs.remove("first")
            assert [job.id for job in await made.jobs.jobs()] == ["second"]
            with pytest.raises(NotFound):
                await made.jobs.job("first")
            with pytest.raises(NotFound):
                await read_all(made.jobs, "first")
            folder = made.machine.home / ".hawser"
            assert {path.stat().st_mode & 0o077 for path in [folder, *folder.rglob("*")]} == {0}

    asyncio.run(body())


@pytest.mark.parametrize("job_id", ["", ".", "..", "a/b", "-x", "a b", "$(x)", "a\n", "x" * 65, "ü"])
def test_an_id_that_is_no_file_name_is_refused(job_id: str) -> None:
    async def never() -> None:
        raise AssertionError

    with pytest.raises(UsageError, match="id of a job"):
        asyncio.run(Detached(never).job(job_id))  # type: ignore[arg-type]


@on_every_machine
def test_the_scripts_need_no_setsid(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            jobs = made.jobs
            inside = jobs._in_folder

            def without(job_id: str | None, script: str) -> str:
                hidden = script.replace("command -v setsid", "command -v no-such-program")
                return inside(job_id, hidden)

            jobs._in_folder = without  # type: ignore[method-assign]
            await jobs.start("bare", f"echo up; {made.gate('go')}; echo done")
            await made.machine.cut()
            made.open("go")
            assert (await jobs.wait("bare")).exit_code == 0
            assert (await jobs.log("bare")).content == b"up\ndone\n"
            await jobs.start("endless", "echo $$; while :; do sleep 0.05; done")
            pieces = jobs.follow("endless")
            pid = int((await anext(pieces)).content)
            await pieces.aclose()
            assert (await jobs.stop("endless", grace_s=1)).state == "stopped"
            await until(lambda: not runs(pid))

    asyncio.run(body())


# The size of the log

LIMIT = 48 * 1024


def counted(lines: int, first: int = 0) -> str:
    """Shell that says so many numbered lines of 100 bytes."""
    line = "." * 89
    return f"n={first}; while [ $n -lt {first + lines} ]; do printf '%09d %s\\n' $n {line}; n=$((n+1)); done"


def line_bytes(first: int, end: int) -> bytes:
    return b"".join(b"%09d %s\n" % (number, b"." * 89) for number in range(first, end))


@on_every_shell
def test_a_log_keeps_its_beginning_and_the_newest_and_says_what_was_dropped(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            made.jobs.log_limit_bytes = LIMIT
            await made.jobs.start("long", counted(2000))
            ended = await made.jobs.wait("long")
            pieces = [piece async for piece in made.jobs.follow("long")]

            said = line_bytes(0, 2000)
            assert (ended.exit_code, ended.log_bytes) == (0, len(said))
            assert sum(made.log_on_disk("long").values()) <= LIMIT
            assert len(made.log_on_disk("long")) == 3
            assert all(said[piece.offset : piece.end] == piece.content for piece in pieces)
            assert pieces[0].offset == 0
            assert pieces[-1].end == len(said)
            (hole,) = [piece for piece in pieces if piece.dropped]
            before = next(piece for piece in pieces if piece.end == hole.offset - hole.dropped)
            assert before.end >= LIMIT // 4
            assert len(said) - hole.offset >= LIMIT // 3
            assert sum(len(piece.content) + piece.dropped for piece in pieces) == len(said)

            beginning = await made.jobs.log("long")
            assert (beginning.offset, beginning.end, beginning.dropped) == (0, before.end, 0)
            rest = await made.jobs.log("long", beginning.end)
            assert (rest.offset, rest.end, rest.dropped) == (hole.offset, len(said), hole.dropped)
            assert (await made.jobs.log("long", len(said) - 7)).content == said[-7:]
            assert (await made.jobs.log("long", len(said))).content == b""

    asyncio.run(body())


@on_every_shell
def test_a_reader_that_keeps_up_loses_nothing_when_parts_change(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            made.jobs.log_limit_bytes = LIMIT
            steps = [f"{counted(100, 100 * step)}; {made.gate_there(f'go-{step}')}" for step in range(8)]
            await made.jobs.start("steps", "; ".join(steps))
            came = b""
            async for piece in made.jobs.follow("steps"):
                assert (piece.offset, piece.dropped) == (len(came), 0)
                came += piece.content
                if len(came) % 10_000 == 0:
                    made.open_there(f"go-{len(came) // 10_000 - 1}")

            assert came == line_bytes(0, 800)
            assert "log" in made.log_on_disk("steps")
            assert sum(made.log_on_disk("steps").values()) < len(came)

    asyncio.run(body())


@on_every_shell
def test_a_reader_that_comes_back_late_is_told_what_it_missed(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            made.jobs.log_limit_bytes = LIMIT
            await made.jobs.start("late", f"echo first; {made.gate_there('go')}; {counted(1500)}")
            pieces = made.jobs.follow("late")
            first = await anext(pieces)
            await made.machine.cut()
            made.open_there("go")
            assert (await made.jobs.wait("late")).exit_code == 0  # so that all was said while nobody read
            rest = [piece async for piece in pieces]

            said = b"first\n" + line_bytes(0, 1500)
            assert first.content == b"first\n"
            assert [piece for piece in rest if piece.dropped]
            assert all(said[piece.offset : piece.end] == piece.content for piece in rest)
            assert len(first.content) + sum(len(piece.content) + piece.dropped for piece in rest) == len(said)

    asyncio.run(body())


@on_every_machine
def test_what_is_left_in_the_background_does_not_hold_up_the_end(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with yard(kind, tmp_path) as made:
            await made.jobs.start("parent", f"( {made.gate('go')}; echo late ) & echo early")
            ended = await made.jobs.wait("parent")
            made.open("go")

            assert (ended.state, ended.exit_code) == ("ended", 0)
            job = made.machine.home / ".hawser" / "jobs" / "parent"
            await until(lambda: (job / "log").read_bytes() == b"early\nlate\n")

    asyncio.run(body())


def test_a_full_disk_does_not_end_a_job(tmp_path: Path) -> None:
    async def body() -> None:
        async with yard("built-in", tmp_path) as made:
            assert made.machine.simulated is not None
            await made.jobs.start("full", f"{made.gate_there('go')}; {counted(600)}; exit 4")
            folder = made.machine.home
            used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            made.machine.simulated.limit_disk(used + 20_000)
            made.open_there("go")
            ended = await made.jobs.wait("full")

            log = await made.jobs.log("full")
            assert (ended.state, ended.exit_code) == ("ended", 4)
            assert line_bytes(0, 600).startswith(log.content[:5000])
            assert 5000 < len(log.content) < 40_000

    asyncio.run(body())
