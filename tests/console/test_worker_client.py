"""The documents' worker as others meet it: started once, shared, left, killed, and never waited for without an end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from console.errors import NoWorker, TimeLimit, WorkerFailed
from console.library.client import WorkerClient, ask_once, connect
from console.library.place import holder, make_private, worker_place
from console.paths import Paths, find_paths
from rag.documents import Retrieved, Wanted
from rag.errors import RagError, UnknownName
from rag.sockets import LARGEST_FRAME_BYTES
from rag.wire import from_json, to_json
from tests.conftest import run
from tests.console.worker_kit import COMMAND, client_of, lines_of, write_deaths

QUESTION = to_json(Wanted("ropes"))


@pytest.fixture
def paths() -> Iterator[Paths]:
    """Of a home of its own; whatever worker is there at the end is ended."""
    made = find_paths()
    yield made
    end_worker(made)


def end_worker(paths: Paths, number: signal.Signals = signal.SIGKILL) -> None:
    pid, _ = holder(worker_place(paths))
    if pid is None:
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    signal.pidfd_send_signal(descriptor, number)
    os.close(descriptor)


async def gone(pid: int) -> None:
    """Until the process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(20):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


async def pid_that_answers(client: WorkerClient) -> int:
    answer = from_json(Retrieved, await client.call("retrieve", wanted=QUESTION))
    return int(answer.notes[0])


def test_there_is_none_until_somebody_wants_one(paths: Paths) -> None:
    with pytest.raises(NoWorker):
        run(connect(paths, start=False))
    with pytest.raises(NoWorker):
        ask_once(paths, "status", {}, 5)

    assert not paths.data.exists()


def test_it_is_started_once_and_shared(paths: Paths) -> None:
    async def body() -> None:
        clients = await asyncio.gather(*(connect(paths, command=COMMAND) for _ in range(5)))
        pids = {await pid_that_answers(client) for client in clients}

        assert pids == {clients[0].worker_pid}
        assert lines_of(paths, "starts") == [str(clients[0].worker_pid)]
        for client in clients:
            await client.close()

    run(body())


def test_an_answer_arrives_as_it_was(paths: Paths) -> None:
    async def body() -> None:
        async with client_of(paths) as client:
            answer = from_json(Retrieved, await client.call("retrieve", wanted=QUESTION))
            once = from_json(Retrieved, ask_once(paths, "retrieve", {"wanted": QUESTION}, 5))

            assert answer.passages[0].text == "about ropes"
            assert answer.passages[0].hashes == (b"\x01\xff",)
            assert once == answer

    run(body())


def test_an_error_of_the_documents_arrives_as_itself(paths: Paths) -> None:
    async def body() -> None:
        async with client_of(paths) as client:
            with pytest.raises(UnknownName, match="no collection 'a'") as caught:
                await client.call("rename", collection="a", name="b")
            with pytest.raises(RagError, match="knows no 'explode'"):
                await client.call("explode")
            with pytest.raises(RagError):
                await client.call("retrieve", wanted={"text": 5})

            assert caught.value.hint == "Ask for the list."
            assert await pid_that_answers(client) == client.worker_pid

    run(body())


def test_what_is_slow_blocks_nobody(paths: Paths) -> None:
    async def body() -> None:
        async with client_of(paths) as one, client_of(paths) as other:
            slow = [asyncio.create_task(one.call("reindex", collection=f"c{number}")) for number in range(6)]
            waits = [asyncio.create_task(one.call("wait", documents=[1], until="ready", seconds=30)) for _ in range(6)]

            async with asyncio.timeout(10):
                assert await pid_that_answers(one) == await pid_that_answers(other)
            assert not any(task.done() for task in (*slow, *waits))
            await other.call("pause")
            await asyncio.gather(*slow)
            assert all(await asyncio.gather(*waits))

    run(body())


def test_progress_comes_to_everybody_and_only_its_last_counts(paths: Paths) -> None:
    async def body() -> None:
        async with client_of(paths) as one, client_of(paths) as other:
            seen = asyncio.create_task(_events_until(other, "changed"))
            await asyncio.sleep(0)
            await one.call("add", paths=["/a"], collection="manuals")
            events = await seen

            progress = [event["progress"]["done"] for event in events if event["event"] == "progress"]
            assert progress[-1] == 1000
            assert len(progress) < 900
            assert events[-1] == {"event": "changed", "do": "add", "collection": "manuals"}

    run(body())


async def _events_until(client: WorkerClient, name: str) -> list[dict[str, Any]]:
    events = []
    async with asyncio.timeout(20), aclosing(client.events()) as coming:  # type: ignore[type-var]
        async for event in coming:
            events.append(event)
            if event["event"] == name:
                break
    return events


def test_a_crash_while_it_answers_is_noticed_and_the_question_asked_again(paths: Paths) -> None:
    async def body() -> None:
        write_deaths(paths, 1)
        async with client_of(paths) as client:
            first = client.worker_pid
            answer = from_json(Retrieved, await client.call("retrieve", wanted=to_json(Wanted("die"))))

            assert answer.passages[0].text == "about die"
            assert client.worker_pid != first
            assert lines_of(paths, "starts") == [str(first), str(client.worker_pid)]

    run(body())


def test_what_may_not_be_done_twice_is_not_asked_twice(paths: Paths) -> None:
    async def body() -> None:
        write_deaths(paths, 1)
        async with client_of(paths) as client:
            with pytest.raises(WorkerFailed, match="ended during 'remove'"):
                await client.call("remove", collection="c")

            assert await pid_that_answers(client) == client.worker_pid

    run(body())


def test_a_worker_that_dies_again_and_again_is_told_with_its_last_words(paths: Paths) -> None:
    async def body() -> None:
        write_deaths(paths, 9)
        async with client_of(paths) as client:
            with pytest.raises(WorkerFailed, match=r"ended 3 times in a row; it said last: .*worker is up") as caught:
                await client.call("retrieve", wanted=to_json(Wanted("die")))

            assert str(worker_place(paths).log) in (caught.value.hint or "")
            assert len(lines_of(paths, "starts")) == 3

    run(body())


def test_who_listens_hears_that_it_was_started_again(paths: Paths) -> None:
    async def body() -> None:
        async with client_of(paths) as client:
            seen = asyncio.create_task(_events_until(client, "restarted"))
            await asyncio.sleep(0)
            os.kill(client.worker_pid, signal.SIGKILL)

            assert (await seen)[-1] == {"event": "restarted"}
            assert await pid_that_answers(client) == client.worker_pid

    run(body())


def test_it_leaves_tidily_when_it_is_asked_by_the_system(paths: Paths) -> None:
    async def body() -> None:
        async with client_of(paths) as client:
            seen = asyncio.create_task(_events_until(client, "leaving"))
            await asyncio.sleep(0)
            os.kill(client.worker_pid, signal.SIGTERM)
            assert (await seen)[-1] == {"event": "leaving", "why": "SIGTERM"}
            await gone(client.worker_pid)

            assert lines_of(paths, "stopped") == [str(client.worker_pid)]
            assert not worker_place(paths).socket.exists()

    run(body())


def test_it_leaves_when_nobody_needs_it(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALL_IDLE_S", "0.2")

    async def body() -> None:
        async with client_of(paths) as client:
            pid = client.worker_pid
        await gone(pid)

        assert lines_of(paths, "stopped") == [str(pid)]

    run(body())


def test_work_keeps_it_though_nobody_is_there(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALL_IDLE_S", "0.2")

    async def body() -> None:
        paths.documents.mkdir(parents=True)
        (paths.documents / "work").touch()
        async with client_of(paths) as client:
            pid = client.worker_pid
        ending = asyncio.create_task(gone(pid))
        await asyncio.wait([ending], timeout=0.8)
        was_there = not ending.done()
        (paths.documents / "work").unlink()
        await ending

        assert was_there

    run(body())


def test_a_socket_that_nobody_listens_on_is_no_worker(paths: Paths) -> None:
    async def body() -> None:
        place = worker_place(paths)
        place.socket.parent.mkdir(mode=0o700)
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(place.socket))
        left.close()
        with pytest.raises(NoWorker):
            ask_once(paths, "status", {}, 5)

        async with client_of(paths) as client:
            assert await pid_that_answers(client) == client.worker_pid

    run(body())


def test_a_folder_that_others_may_enter_is_no_place_to_meet(paths: Paths) -> None:
    folder = worker_place(paths).socket.parent
    folder.mkdir()
    folder.chmod(0o755)

    with pytest.raises(WorkerFailed, match="not private to you"):
        run(connect(paths, command=COMMAND))
    with pytest.raises(NoWorker):
        ask_once(paths, "status", {}, 5)
    assert not (paths.documents / "starts").exists()


def test_another_way_of_logging_in_finds_the_same_worker(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with client_of(paths) as client:
            with tempfile.TemporaryDirectory(prefix="hw") as other:
                monkeypatch.setenv("XDG_RUNTIME_DIR", other)
                async with client_of(paths) as second:
                    assert second.worker_pid == client.worker_pid
                assert ask_once(paths, "hello", {}, 5)["pid"] == client.worker_pid

    run(body())


@asynccontextmanager
async def raw(paths: Paths) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(str(worker_place(paths).socket))
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b'{"id": 1, "do": "ret', None),
        (b"no json\n", "is no JSON"),
        (b"[" * 100_000 + b"\n", "is no JSON"),
        (b"\xff\xfe\n", "is no JSON"),
        (b'{"id": 1, "do": "status", "with": {"what": 1}}\n', "worker failed"),
        (b'{"id": [1], "do": "status", "with": {}}\n', "has no number"),
        (b'{"forget": {}}\n', "has no number"),
        (b"x" * (LARGEST_FRAME_BYTES + 4096), "more than 8 MB"),
    ],
    ids=["half", "words", "deep", "bytes", "arguments", "number", "forget", "giant"],
)
def test_a_broken_frame_ends_at_most_its_own_connection(paths: Paths, sent: bytes, said: str | None) -> None:
    async def body() -> None:
        async with client_of(paths) as client:
            async with raw(paths) as (reader, writer):
                writer.write(sent)
                if said is None:
                    writer.write_eof()
                    assert await reader.read() == b""
                else:
                    async with asyncio.timeout(20):
                        assert said in json.loads(await reader.readuntil(b"\n"))["error"]["text"]

            assert await pid_that_answers(client) == client.worker_pid

    run(body())


def test_an_answer_that_is_too_large_says_so(paths: Paths) -> None:
    async def body() -> None:
        async with client_of(paths) as client:
            with pytest.raises(RagError, match="more than 8 MB"):
                await client.call("retrieve", wanted=to_json(Wanted("much", top_k=9)))

    run(body())


def test_one_that_does_not_read_is_let_go_and_holds_up_nobody(paths: Paths) -> None:
    async def body() -> None:
        async with client_of(paths) as client, raw(paths) as (reader, writer):
            request = {"do": "retrieve", "with": {"wanted": to_json(Wanted("much", top_k=7))}}
            for number in range(12):
                writer.write(json.dumps({"id": number, **request}).encode() + b"\n")
            async with asyncio.timeout(20):
                await writer.drain()
                for _ in range(20):
                    assert await pid_that_answers(client) == client.worker_pid
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    while True:
                        await reader.readexactly(1 << 20)

    run(body())


def test_a_newer_one_takes_over_and_an_older_one_uses_it(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with client_of(paths) as old:
            first = old.worker_pid
            monkeypatch.setenv("SMALL_VERSION", "0.2.0")
            async with client_of(paths, version="0.2.0") as new:
                await gone(first)
                assert (new.worker_version, new.worker_pid != first) == ("0.2.0", True)
                assert await pid_that_answers(old) == new.worker_pid

    run(body())


def test_a_worker_that_says_nothing_is_not_waited_for(paths: Paths) -> None:
    async def body() -> None:
        async with client_of(paths) as client:
            os.kill(client.worker_pid, signal.SIGSTOP)
            with pytest.raises(TimeLimit, match=r"within 0\.2 s"):
                await client.call("status", time_limit_s=0.2)
            with pytest.raises(TimeLimit):
                ask_once(paths, "status", {}, 0.2)

    run(body())


@pytest.mark.parametrize(
    "said",
    [b"no json\n", b"[" * 100_000 + b"\n", b'{"id": 0, "ok": 7}\n', b'{"id": 0, "ok": {"version": 1}}\n',
     b'{"id": 0, "error": "no"}\n'],
    ids=["words", "deep", "number", "half", "error"],
)  # fmt: skip
def test_what_is_no_worker_is_told_in_a_sentence(paths: Paths, said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\n")
        writer.write(said)
        await reader.read()
        writer.close()

    async def body() -> None:
        place = worker_place(paths)
        make_private(place.socket.parent)
        async with await asyncio.start_unix_server(answer, str(place.socket)):
            with pytest.raises(WorkerFailed, match="is not understood"):
                await connect(paths, command=COMMAND)
            with pytest.raises((WorkerFailed, NoWorker)):
                await asyncio.to_thread(ask_once, paths, "status", {}, 20)

    run(body())


def test_one_that_cannot_start_says_why(paths: Paths) -> None:
    paths.documents.parent.mkdir(parents=True)
    Path(paths.documents).write_text("no folder")

    with pytest.raises(WorkerFailed, match=r"cannot be started; it said last: .*cannot be made"):
        run(connect(paths, command=COMMAND))
