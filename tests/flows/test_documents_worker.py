"""Documents added from the command line: the real process that reads and embeds them, until it is told to leave."""

from __future__ import annotations

import fcntl
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

from console.chat.questions import Question
from console.errors import NotAgreed, NoWorker
from console.events import Bus
from console.history.among import Among
from console.library.news import LibraryChanged, LibraryProgress
from console.library.once import ask_once
from console.library.place import worker_place
from console.paths import Paths, find_paths
from console.settings import settings_from
from providers.simulated.faults import FaultKind
from providers.simulated.services import SimulatedOllama, SimulatedOpenAI
from rag.documents import Document
from rag.store import DocumentStore
from tests.conftest import run
from tests.console.desk_kit import box, place
from tests.console.library_kit import ROPES, library_of, put_in
from tests.contracts.test_indexes import chroma_run
from tests.flows.kit import PATIENCE_S, Hawser, complaint, endpoint, finish

T = TypeVar("T")
BY_WORDS = '[rag]\nembedder = "none"'


@pytest.fixture
def paths(hawser: Hawser, ollama: SimulatedOllama, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    """Of a user whose documents are found by words; the worker that a test started is ended with it."""
    hawser.settings(endpoint("inference", ollama), BY_WORDS, model="inference/llama3.1:8b")
    for name, value in hawser.env.items():
        monkeypatch.setenv(name, value)
    found = find_paths(hawser.env)
    yield found
    leave(found)


def garbage(file: Path) -> None:
    file.write_bytes(b"no database" * 1_000)


def one_page(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((size,),) = connection.execute("PRAGMA page_size")
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'chunks'")
    with file.open("r+b") as opened:
        opened.seek((page - 1) * size)
        opened.write(b"\xff" * size)


def leave(paths: Paths) -> None:
    place = worker_place(paths)
    if not place.lock.exists():
        return
    try:
        ask_once(paths, "leave", {"why": "the test is over"}, 10)
    except NoWorker:
        pass
    with place.lock.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the worker holds it for as long as it lives


@pytest.fixture
def folder(hawser: Hawser) -> Path:
    found = hawser.home / "files"
    found.mkdir()
    for name, text in ROPES.items():
        (found / name).write_text(text)
    return found


def test_what_is_added_is_found_when_the_command_returns(hawser: Hawser, paths: Paths, folder: Path) -> None:
    added = hawser.run("rag", "add", str(folder), "-C", "ropes", "--tag", "deck", "--json")

    found = hawser.run("rag", "query", "unequal", "thickness", "--tag", "deck", "--json").json()
    assert added.code == 0
    assert [(each["name"], each["state"]) for each in added.json()["items"]] == [
        ("hawsers.md", "ready"),
        ("knots.md", "ready"),
    ]
    assert found["items"][0]["document"] == "knots.md"


def test_what_cannot_be_added_says_so(hawser: Hawser, paths: Paths, folder: Path) -> None:
    (folder / "key.md").write_text("-----BEGIN RSA PRIVATE KEY-----\n" + "abc\n" * 30)
    (folder / "empty.md").touch()

    done = hawser.run("rag", "add", str(folder / "key.md"), str(folder / "none.md"))
    allowed = hawser.run("rag", "add", str(folder / "key.md"), "--allow-secrets")

    assert done.code == 2
    assert "a private key" in done.err
    assert "none.md" in done.err
    assert allowed.code == 0


def test_documents_and_collections_are_removed_and_their_files_stay(hawser: Hawser, paths: Paths, folder: Path) -> None:
    hawser.run("rag", "add", str(folder), "-C", "ropes")

    one = hawser.run("rag", "rm", "ropes", "knots.md")
    unasked = hawser.run("rag", "rm", "ropes")
    whole = hawser.run("rag", "rm", "ropes", "--yes")

    assert "Removed 1 document from ropes" in one.err
    assert complaint(unasked, 2).startswith("Removing asks first")
    assert "Removed 1 document" in whole.err
    assert hawser.run("rag", "ls", "--json").json()["items"] == []
    assert sorted(path.name for path in folder.iterdir()) == ["hawsers.md", "knots.md"]


def test_a_collection_is_made_anew_and_checked(hawser: Hawser, paths: Paths, folder: Path) -> None:
    hawser.run("rag", "add", str(folder), "-C", "ropes")

    again = hawser.run("rag", "reindex", "ropes")
    checked = hawser.run("rag", "check")

    assert (again.code, checked.code) == (0, 0)
    assert "Everything is in order." in checked.err


@pytest.mark.parametrize("damage", [garbage, one_page])
def test_a_damaged_store_is_set_aside_and_its_list_read_anew(
    hawser: Hawser, paths: Paths, folder: Path, damage: Callable[[Path], None]
) -> None:
    hawser.run("rag", "add", str(folder), "-C", "ropes", "--tag", "deck")
    leave(paths)
    damage(paths.documents_file)

    told = hawser.run("rag", "check")
    repaired = hawser.run("rag", "check", "--repair")
    checked = hawser.run("rag", "check")

    assert "is damaged" in told.err or "wrong" in told.out.decode()
    assert told.code == 1
    assert repaired.code == 0
    assert "set aside as 'documents.db.damaged-" in repaired.out.decode()
    assert checked.code == 0
    assert len(list(paths.documents.glob("documents.db.damaged-*[0-9]"))) == 1
    if damage is one_page:
        assert "2 documents in 1 collections are read anew" in repaired.out.decode()
        found = hawser.run("rag", "query", "unequal", "thickness", "--tag", "deck", "--json").json()
        assert found["items"][0]["document"] == "knots.md"
    added = hawser.run("rag", "add", str(folder), "-C", "ropes", "--json").json()["items"]
    assert [each["state"] for each in added] == ["ready", "ready"]


def test_text_goes_to_a_service_only_after_somebody_agreed(hawser: Hawser, paths: Paths, folder: Path) -> None:
    hawser.settings(
        endpoint("far", "https://embed.example.com/v1"), '[rag]\nembedder = "far/embed-3"', model="far/chat"
    )

    done = hawser.run("rag", "add", str(folder), "-C", "ropes")

    assert complaint(done, 3) == "The text of 'ropes' would be sent to 'far' to be embedded."
    assert "--agree-remote" in done.lines[-1]
    assert not paths.documents_file.exists()


def test_changed_settings_hold_at_the_next_call(hawser: Hawser, paths: Paths, folder: Path) -> None:
    hawser.settings('[rag]\nembedder = "none"')
    hawser.run("rag", "add", str(folder / "knots.md"), "-C", "words")
    first = (paths.documents / "worker.lock").read_text()
    hawser.run("rag", "add", str(folder / "hawsers.md"), "-C", "words")
    same = (paths.documents / "worker.lock").read_text()
    hawser.settings('[rag]\nembedder = "none"\nthreads = 1')

    hawser.run("rag", "add", str(folder / "knots.md"), "-C", "others")

    assert same == first
    assert (paths.documents / "worker.lock").read_text() != first


def test_watching_ends_tidily(hawser: Hawser, paths: Paths, folder: Path) -> None:
    watching = hawser.start("rag", "watch", str(folder), "-C", "ropes", stderr=subprocess.PIPE)
    assert watching.stderr is not None
    first = watching.stderr.readline().decode()
    watching.send_signal(signal.SIGINT)
    ended = finish(watching)

    kept = hawser.run("rag", "watch", str(folder), "-C", "ropes", "--keep")
    listed = hawser.run("rag", "watch", "--json").json()["items"]
    stopped = hawser.run("rag", "watch", str(folder), "--stop")

    assert first == f"Watching {folder} for ropes. Ctrl+C ends it.\n"
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert kept.code == 0
    assert [(each["path"], each["collection"]) for each in listed] == [(str(folder), "ropes")]
    assert "is not watched any more" in stopped.err
    assert hawser.run("rag", "watch", "--json").json()["items"] == []


def test_the_library_tells_of_work_and_changes(paths: Paths, folder: Path, tmp_path: Path) -> None:
    async def body() -> None:
        bus = Bus()
        library = library_of(paths, settings_from(BY_WORDS, paths, {}, discover=False), bus=bus)
        try:
            assert not await library.follow()
            with bus.subscribe() as news:
                added = await library.add([folder], "ropes", tags=("deck",))
                documents = await library.wait(added.document_ids, "ready", seconds=30)
                await library.rename("ropes", "lines")
                await library.move([documents[0].id], "thick")
                await library.tag(["bow"], document_ids=[documents[1].id])
                collections = {each.name: each.documents for each in await library.collections()}
                tagged = await library.document(documents[1].id)
                bus.close()
                told = [event async for event in news]

            assert await library.follow()
            assert [each.state for each in documents] == ["ready", "ready"]
            assert (collections, tagged.tags) == ({"lines": 1, "thick": 1}, ("bow",))
            assert any(isinstance(event, LibraryProgress) and event.status.is_up for event in told)
            assert any(isinstance(event, LibraryChanged) and event.what == "documents" for event in told)
            await library.wait([documents[0].id], "ready", seconds=30)
            assert await library.unread(Among(("lines", "thick"))) == []
            assert await library.export("lines", tmp_path / "out") == 1
            assert [path.name for path in (tmp_path / "out").iterdir()] == ["knots.md"]
            assert await library.disk_use() > 0
            assert await library.remove("thick") == 1
        finally:
            await library.close()

    run(body())


def test_the_library_refuses_to_send_text_that_nobody_agreed_to(paths: Paths, folder: Path) -> None:
    async def body() -> None:
        settings = settings_from("", paths, {}, discover=False)
        library = library_of(paths, settings, remote=lambda name: "far")
        try:
            with pytest.raises(NotAgreed) as error:
                await library.add([folder], "ropes")
        finally:
            await library.close()

        assert "'far'" in error.value.text
        assert not worker_place(paths).lock.exists()

    run(body())


def test_an_open_chat_asks_its_documents_and_again_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "app"
    monkeypatch.setenv("HAWSER_HOME", str(home))
    monkeypatch.setenv("HAWSER_ISOLATED", "1")
    paths = find_paths({"HAWSER_HOME": str(home)})

    async def body() -> None:
        put_in(paths, "ropes", ROPES)
        ollama = box()
        async with place(home, ollama, settings=BY_WORDS) as here:
            chat = here.desk.new()
            await chat.ask(Question("Which rope is thick?", among=Among(("ropes",))))
            await chat.settled()
            first = chat.entries[-1].message
            await chat.ask_without(first.id, 1)
            await chat.settled()
            again = chat.entries[-1].message
            store = await here.store()
            stored = await store.path(chat.id or "", contents=False)

            put_away = set(first.sources[0].hashes)
            assert chat.among == Among(("ropes",))
            assert put_away.isdisjoint(each for source in again.sources for each in source.hashes)
            assert stored[-1].sources == again.sources
            assert ("documents", "Looking into #ropes.") in here.notices()
            assert "between marks with" in ollama.requests_to("/api/chat")[0].json["messages"][-1]["content"]

    try:
        run(body())
    finally:
        leave(paths)


def test_a_remote_embedder_is_agreed_to_once_and_paid_for(
    hawser: Hawser, openai: SimulatedOpenAI, paths: Paths, folder: Path
) -> None:
    # A host that is none of the user's own is reached through a proxy, which is the simulated service itself.
    assert openai.key is not None
    hawser.env |= {"HTTP_PROXY": openai.root_url, "HAWSER_KEY_FAR": openai.key}
    hawser.settings(
        endpoint("far", "http://embed.example.com/v1", "price = { input = 2.0, output = 8.0 }", wire="openai"),
        '[rag]\nembedder = "far/text-embedding-3-small"',
        model="far/gpt-4.1",
    )

    refused = hawser.run("rag", "add", str(folder / "knots.md"), "-C", "ropes")
    agreed = hawser.run("rag", "add", str(folder / "knots.md"), "-C", "ropes", "--agree-remote", "--wait")
    once = hawser.run("rag", "add", str(folder / "hawsers.md"), "-C", "ropes", "--wait")
    found = hawser.run("rag", "query", "a loop that does not slip", "--json").json()
    openai.faults.always(FaultKind.OTHER_SIZE, 12)
    odd = hawser.run("rag", "query", "another question", "--json").json()

    assert (refused.code, agreed.code, once.code) == (3, 0, 0)
    assert [each.state for each in library_documents(paths)] == ["ready", "ready"]
    assert found["notes"] == []
    booked = [entry for entry in hawser.ledger() if entry["task"] == "embedding"]
    assert booked
    assert all(entry["endpoint"] == "far" and Decimal(entry["cost_usd"]) > 0 for entry in booked)
    assert any("vectors of 12 numbers where 1536 were expected" in note for note in odd["notes"])
    assert openai.key not in worker_place(paths).log.read_text() + hawser.log


def library_documents(paths: Paths) -> list[Document]:
    store = DocumentStore.open(paths.documents_file, read_only=True)
    try:
        return store.documents("ropes")
    finally:
        store.close()


def test_a_chroma_server_holds_the_vectors_and_may_be_away(
    hawser: Hawser, ollama: SimulatedOllama, paths: Paths, folder: Path
) -> None:
    token = "chroma-token-of-the-user"
    hawser.env["HAWSER_KEY_CHROMA_TOKEN"] = token

    def found() -> dict[str, Any]:
        return hawser.run("rag", "query", "a loop that does not slip", "--json").json()

    with chroma_run(folder.parent) as url:
        rag = f'[rag]\nembedder = "inference/nomic-embed-text"\nchroma_url = "{url}"'
        hawser.settings(endpoint("inference", ollama), rag, model="inference/llama3.1:8b")
        added = hawser.run("rag", "add", str(folder), "-C", "ropes", "--wait", limit_s=120)
        assert (added.code, added.err) == (0, "2 documents in ropes (2 passages).\n")
        held = until(lambda: on_server(url))
        there = found()
    away = found()
    with chroma_run(folder.parent, int(url.rpartition(":")[2])):
        again = until(lambda: [document for document in (found(),) if not document["notes"]])[0]

    assert held == 2
    assert there["notes"] == []
    (note,) = away["notes"]
    assert "The stored vectors were looked at one by one." in note
    assert [each["document"] for each in there["items"]] == [each["document"] for each in away["items"]]
    assert again["items"] == there["items"]
    assert token not in worker_place(paths).log.read_text() + hawser.log


def on_server(url: str) -> int:
    """How many vectors the server has."""
    from rag.index_chroma import close_client
    from rag.index_chroma_server import _open_server

    client = _open_server(url, None)
    try:
        return sum(each.count() for each in client.list_collections())
    finally:
        close_client(client)


def until(is_so: Callable[[], T]) -> T:
    """What it gives as soon as it gives something."""
    deadline = time.monotonic() + 4 * PATIENCE_S
    while not (given := is_so()):
        assert time.monotonic() < deadline, "it never came"
        threading.Event().wait(0.1)
    return given
