"""Files to and from machines: whole or not at all, going on after a drop, and never outside the chosen folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from pathlib import Path

import pytest

from console.errors import LinkBroken, NotFound, RemoteRefused, TransferFailed
from console.links import transfer as module
from console.links.transfer import Progress, Transfer, safe_name
from tests.console.machines_kit import Box, box, on_every_machine

MEGABYTE = 1_000_000


def filled(path: Path, size: int) -> str:
    """A file without repetition; returns its hash."""
    content = random.Random(size).randbytes(size)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class CutAt:
    """Cuts the connection once, when so much has come over."""

    def __init__(self, machine: Box, at: int) -> None:
        self.seen: list[Progress] = []
        self._machine = machine
        self._at = at
        self.cuts = 0

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)
        if progress.done_bytes >= self._at and not self.cuts:
            self.cuts += 1
            assert self._machine._connection is not None
            self._machine._connection.abort()


@on_every_machine
@pytest.mark.parametrize("size", [0, 1, 32 * 1024, 5 * MEGABYTE + 7])
def test_a_file_goes_there_and_comes_back(tmp_path: Path, kind: str, size: int) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            wanted = filled(tmp_path / "here" / "model.bin", size)
            (tmp_path / "here" / "model.bin").chmod(0o640)
            place = machine.home / "store"
            place.mkdir()
            seen: list[Progress] = []
            transfer = Transfer(machine.connect, machine="berth", tell=seen.append)

            up = await transfer.upload(tmp_path / "here" / "model.bin", str(place / "model.bin"))
            down = await transfer.download(str(place / "model.bin"), tmp_path / "back")

            assert (up.size_bytes, up.resumed_bytes, down.size_bytes) == (size, 0, size)
            assert hash_of(place / "model.bin") == hash_of(tmp_path / "back" / "model.bin") == wanted
            assert (place / "model.bin").stat().st_mode & 0o777 == 0o640
            assert names_in(place) == names_in(tmp_path / "back") == ["model.bin"]
            if size:
                assert seen[-1] == Progress("model.bin", size, size, 0)

    asyncio.run(body())


@on_every_machine
def test_an_upload_goes_on_after_a_drop(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            wanted = filled(tmp_path / "big", 24 * MEGABYTE)
            cut = CutAt(machine, 12 * MEGABYTE)
            transfer = Transfer(machine.connect, tell=cut)

            await transfer.upload(tmp_path / "big", str(machine.home / "big"))

            assert cut.cuts == 1
            assert machine.connections == 2
            assert hash_of(machine.home / "big") == wanted
            assert len(cut.seen) * module.BLOCK_BYTES < 36 * MEGABYTE

    asyncio.run(body())


@on_every_machine
def test_a_download_goes_on_after_a_drop(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            wanted = filled(machine.home / "big", 24 * MEGABYTE)
            cut = CutAt(machine, 12 * MEGABYTE)
            transfer = Transfer(machine.connect, tell=cut)

            await transfer.download(str(machine.home / "big"), tmp_path / "back")

            assert cut.cuts == 1
            assert machine.connections == 2
            assert hash_of(tmp_path / "back" / "big") == wanted
            assert len(cut.seen) * module.BLOCK_BYTES < 36 * MEGABYTE

    asyncio.run(body())


@on_every_machine
def test_a_later_call_continues_the_part_of_an_earlier_one(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            wanted = filled(tmp_path / "big", 24 * MEGABYTE)
            filled(machine.home / "far", 24 * MEGABYTE)

            async def never_again() -> object:
                connection = await machine.connect()
                if machine.connections > 1:
                    raise LinkBroken("The network is gone.")
                return connection

            cut = CutAt(machine, 12 * MEGABYTE)
            with pytest.raises(LinkBroken):
                await Transfer(never_again, tell=cut).upload(tmp_path / "big", str(machine.home / "big"))  # type: ignore[arg-type]
            assert not (machine.home / "big").exists()
            up = await Transfer(machine.connect).upload(tmp_path / "big", str(machine.home / "big"))

            machine.connections = 1
            cut = CutAt(machine, 12 * MEGABYTE)
            with pytest.raises(LinkBroken):
                await Transfer(never_again, tell=cut).download(str(machine.home / "far"), tmp_path / "back")  # type: ignore[arg-type]
            assert not (tmp_path / "back" / "far").exists()
            down = await Transfer(machine.connect).download(str(machine.home / "far"), tmp_path / "back")

            assert up.resumed_bytes > MEGABYTE
            assert down.resumed_bytes > MEGABYTE
            assert hash_of(machine.home / "big") == hash_of(tmp_path / "back" / "far") == wanted
            assert names_in(tmp_path / "back") == ["far"]

    asyncio.run(body())


@on_every_machine
def test_a_part_with_other_contents_is_begun_anew(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            wanted = filled(machine.home / "file", 6 * MEGABYTE)
            transfer = Transfer(machine.connect)
            await transfer.download(str(machine.home / "file"), tmp_path / "first")
            about = (machine.home / "file").stat()
            mark = module._mark(str(machine.home / "file"), about.st_size, int(about.st_mtime))
            (tmp_path / "second").mkdir()
            (tmp_path / "second" / f".file.{mark}.part").write_bytes(b"x" * 6 * MEGABYTE)

            down = await transfer.download(str(machine.home / "file"), tmp_path / "second")

            assert down.resumed_bytes == 0
            assert hash_of(tmp_path / "second" / "file") == wanted

    asyncio.run(body())


@on_every_machine
def test_what_is_there_is_replaced_only_by_a_whole_file(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            (machine.home / "file").write_bytes(b"old")
            wanted = filled(tmp_path / "file", 2 * MEGABYTE)
            states: set[int] = set()
            transfer = Transfer(machine.connect, tell=lambda _: states.add((machine.home / "file").stat().st_size))

            await transfer.upload(tmp_path / "file", str(machine.home / "file"))

            assert states == {3}
            assert hash_of(machine.home / "file") == wanted

    asyncio.run(body())


@on_every_machine
def test_a_folder_comes_over_without_links(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            top = machine.home / "out"
            filled(top / "a" / "deep" / "one.png", 1000)
            filled(top / "two.png", 70_000)
            (tmp_path / "secret").write_text("not yours")
            (top / "link").symlink_to(tmp_path / "secret")
            (top / "ladder").symlink_to(tmp_path)

            done = await Transfer(machine.connect).download_folder(str(top), tmp_path / "back")

            found = sorted(str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*.*"))
            assert found == ["a/deep/one.png", "two.png"]
            assert (done.files, done.size_bytes, sorted(done.skipped)) == (2, 71_000, ["ladder", "link"])

    asyncio.run(body())


@on_every_machine
def test_nothing_is_written_through_a_link_that_lies_here(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            filled(machine.home / "out" / "a" / "file", 1000)
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            (tmp_path / "back").mkdir()
            (tmp_path / "back" / "a").symlink_to(elsewhere)
            (tmp_path / "back" / "file").symlink_to(elsewhere / "made")
            transfer = Transfer(machine.connect)

            with pytest.raises(TransferFailed, match="in the way"):
                await transfer.download_folder(str(machine.home / "out"), tmp_path / "back")
            await transfer.download(str(machine.home / "out" / "a" / "file"), tmp_path / "back")

            assert names_in(elsewhere) == []
            assert not (tmp_path / "back" / "file").is_symlink()

    asyncio.run(body())


@on_every_machine
def test_odd_names_are_made_harmless(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            top = machine.home / "out"
            filled(top / "nice\x1b[31m\nname.txt", 10)
            filled(top / "UPPER", 11)
            filled(top / "upper", 12)

            done = await Transfer(machine.connect).download_folder(str(top), tmp_path / "back")

            assert done.files == 3
            assert names_in(tmp_path / "back") == ["UPPER", "nice\u241b[31m_name.txt", "upper (2)"]

    asyncio.run(body())


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("plain.txt", "plain.txt"),
        ("..", "__"),
        (".", "_"),
        ("", "_"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a\\b\0c", "a_b_c"),
        (".bashrc", ".bashrc"),
        ("evil\u202etxt.exe", "evil\ufffdtxt.exe"),
        ("\ud800", "?"),
    ],
)
def test_names_from_elsewhere(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_long_names_keep_their_ending() -> None:
    name = safe_name("ü" * 300 + ".safetensors")

    assert name.endswith("ü.safetensors")
    assert len(name.encode()) <= module.LONGEST_NAME


@on_every_machine
def test_what_cannot_be_done_is_told(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            filled(tmp_path / "file", 10)
            (machine.home / "folder").mkdir()
            transfer = Transfer(machine.connect, machine="berth")

            with pytest.raises(NotFound, match="not there on berth"):
                await transfer.download(str(machine.home / "none"), tmp_path / "back")
            with pytest.raises(RemoteRefused, match="not a file"):
                await transfer.download(str(machine.home / "folder"), tmp_path / "back")
            with pytest.raises(NotFound, match="no file"):
                await transfer.upload(tmp_path / "none", str(machine.home / "x"))
            with pytest.raises(TransferFailed, match="not a file"):
                await transfer.upload(tmp_path, str(machine.home / "x"))
            with pytest.raises(NotFound):
                await transfer.upload(tmp_path / "file", str(machine.home / "no" / "such" / "file"))
            with pytest.raises(RemoteRefused, match="name of a file"):
                await transfer.upload(tmp_path / "file", str(machine.home) + "/..")
            (tmp_path / "full").write_bytes(b"")
            with pytest.raises(TransferFailed, match="full"):
                await transfer.download(str(machine.home / "folder"), tmp_path / "full")

    asyncio.run(body())


@on_every_machine
def test_a_file_that_changes_on_the_way_is_not_taken_for_whole(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            filled(machine.home / "log", 3 * MEGABYTE)
            filled(tmp_path / "mine", 3 * MEGABYTE)

            def grow(path: Path) -> None:
                with path.open("ab") as file:
                    file.write(b"more")
                os.utime(path, (1, 1))

            down = Transfer(machine.connect, tell=lambda _: grow(machine.home / "log"))
            with pytest.raises(TransferFailed, match="changed on"):
                await down.download(str(machine.home / "log"), tmp_path / "back")
            up = Transfer(machine.connect, tell=lambda _: grow(tmp_path / "mine"))
            with pytest.raises(TransferFailed, match="changed while"):
                await up.upload(tmp_path / "mine", str(machine.home / "mine"))

            assert names_in(tmp_path / "back") == []
            assert not (machine.home / "mine").exists()

    asyncio.run(body())


@on_every_machine
def test_cancelling_leaves_a_part_and_nothing_running(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            filled(machine.home / "big", 24 * MEGABYTE)
            begun = asyncio.Event()
            transfer = Transfer(machine.connect, tell=lambda _: begun.set())
            task = asyncio.create_task(transfer.download(str(machine.home / "big"), tmp_path / "back"))
            await begun.wait()

            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            assert [name.startswith(".big.") for name in names_in(tmp_path / "back")] == [True]
            assert (await transfer.download(str(machine.home / "big"), tmp_path / "back")).files == 1

    asyncio.run(body())
