"""What goes wrong with an engine: kills, full disks, files that change or vanish, strange folders."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from queue import Queue
from threading import Event, Thread

import pytest

from rag import walk
from rag.chunks import Rules
from rag.documents import Progress, Wanted
from rag.errors import LibraryFull, UnknownName
from rag.index_exact import ExactIndex
from rag.readers import Reader
from tests.conftest import unmeasured
from tests.rag.engine_process import text_of
from tests.rag.kit import (
    PATIENCE_S,
    HashEmbedder,
    MemoryIndex,
    engine_at,
    engine_in,
    opened,
    settle,
    write,
)

ROOT = Path(__file__).parent.parent.parent


def test_killed_engine_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    home, files = tmp_path / "home", tmp_path / "files"
    chance = random.Random(7)
    acknowledged: dict[str, tuple[int, int]] = {}
    turn = 0
    for _ in range(6):
        command = [sys.executable, "-m", "tests.rag.engine_process", str(home), str(files), str(turn)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=unmeasured()) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 25)):
                document, number, name = process.stdout.readline().split()
                acknowledged[name] = (int(document), int(number))
                turn = int(number) + 1
            process.kill()
    index = ExactIndex(home / "index")

    with engine_in(home, HashEmbedder(), index=index, rules=Rules(chunk_tokens=24)) as engine:
        settle(engine)
        with opened(tmp_path) as store:
            documents = {document.name: document for document in store.documents("notes")}
            texts = {name: store.text(document.id).text for name, document in documents.items()}
            [build] = store.live_builds()
            chunks = store.connection.execute("SELECT count(*) FROM chunks").fetchone()[0]
            vectors = store.connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
        findings = engine.check()
        size = index.size(build)

    assert acknowledged
    for name, (document_id, last_turn) in acknowledged.items():
        assert documents[name].id == document_id
        assert documents[name].state == "ready"
        # The file may have changed once more before the kill, without this being acknowledged.
        assert texts[name] in (text_of(last_turn % 10, last_turn), (files / name).read_text())
    assert chunks == vectors == size > 0
    assert findings == []


def test_full_disk_is_told_and_work_goes_on_when_there_is_room(tmp_path: Path) -> None:
    told: Queue[Progress] = Queue()
    [path] = write(tmp_path / "notes", long="\n\n".join(f"Paragraph {number} of many." * 20 for number in range(300)))

    with engine_in(tmp_path / "home", HashEmbedder(), on_progress=told.put) as engine:
        store = engine._store
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        added = engine.add([str(path)], "notes")
        while (progress := told.get(timeout=PATIENCE_S)).error is None:
            pass
        store.connection.execute("PRAGMA max_page_count = 1000000")
        engine.resume()
        is_ready = engine.wait(added.document_ids, "ready", PATIENCE_S)

    assert "no room" in progress.error
    assert "What was stored before is safe" in progress.error
    assert is_ready


def test_adding_to_a_full_disk_is_refused_plainly(tmp_path: Path) -> None:
    paths = write(tmp_path / "notes", **{f"file{number}": f"Text {number}." for number in range(200)})

    with engine_in(tmp_path / "home") as engine:
        engine.pause()
        pages = engine._store.connection.execute("PRAGMA page_count").fetchone()[0]
        engine._store.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LibraryFull, match="no room"):
            engine.add([str(path) for path in paths], "notes")
        with opened(tmp_path) as store:
            documents = store.documents()

    assert documents == []


def test_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    [path] = write(tmp_path / "notes", log="The first state.")
    reads = []

    def change_once(read: str) -> None:
        reads.append(read)
        if len(reads) == 1:
            path.write_text("The second state, which is longer.")

    with engine_in(tmp_path / "home", before_read=change_once) as engine:
        [document] = engine.add([str(path)], "notes").document_ids
        settle(engine)
        with opened(tmp_path) as store:
            text, notes = store.text(document).text, store.document(document).notes

    assert len(reads) == 2
    assert text == "The second state, which is longer."
    assert notes == ()


def test_file_that_never_rests_is_taken_with_a_note(tmp_path: Path) -> None:
    [path] = write(tmp_path / "notes", log="Line.")

    def grow(read: str) -> None:
        with path.open("a") as file:
            file.write("\nOne more line.")

    with engine_in(tmp_path / "home", before_read=grow) as engine:
        [document] = engine.add([str(path)], "notes").document_ids
        settle(engine)
        with opened(tmp_path) as store:
            found = store.document(document)

    assert found.state == "ready"
    assert found.notes == ("It changed while it was read; add it again when it is finished.",)
    assert found.sha256 is None


def test_file_that_vanishes_before_it_is_read_says_so(tmp_path: Path) -> None:
    [path] = write(tmp_path / "notes", gone="Not for long.")

    with engine_in(tmp_path / "home") as engine:
        engine.pause()
        [document] = engine.add([str(path)], "notes").document_ids
        path.unlink()
        engine.resume()
        settle(engine)
        with opened(tmp_path) as store:
            found = store.document(document)

    assert found.state == "failed"
    assert found.error == f"{str(path)!r} cannot be read: No such file or directory."
    assert found.hint


def test_changed_file_that_cannot_be_read_keeps_what_was_known(tmp_path: Path) -> None:
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    with engine_in(tmp_path / "home") as engine:
        [document] = engine.add([str(path)], "notes").document_ids
        settle(engine)
        path.write_bytes(b"\x00\x01\x02" * 100)
        engine.add([str(path)], "notes")
        settle(engine)
        with opened(tmp_path) as store:
            found = store.document(document)
        passages = engine.retrieve(Wanted("hawser", ("notes",))).passages

    assert (found.state, found.error) == ("failed", "'ships.txt' is not text.")
    assert [passage.text for passage in passages] == ["A hawser holds a ship to its berth."]


DEADLY = """
import os, signal, sys
from pathlib import Path
from tests.rag.kit import engine_in, settle
def read(path):
    if "poison" in path:
        os.kill(os.getpid(), signal.SIGKILL)
with engine_in(Path(sys.argv[1]), before_read=read) as engine:
    engine.add(sys.argv[2:], "notes")
    settle(engine)
"""


def test_document_that_ends_the_process_is_given_up_and_keeps_no_other_waiting(tmp_path: Path) -> None:
    paths = write(tmp_path / "notes", a_poison="Not for you.", harmless="Words.")
    codes = []
    names = [str(path) for path in paths]
    for added in (names, [], [], []):
        command = [sys.executable, "-c", DEADLY, str(tmp_path / "home"), *added]
        codes.append(subprocess.run(command, cwd=ROOT, env=unmeasured(), timeout=60).returncode)
        with opened(tmp_path) as store:
            states = {document.name: (document.state, document.error) for document in store.documents()}
        if len(codes) == 2:
            harmless_after_two = states["harmless.txt"][0]

    assert codes == [-signal.SIGKILL, -signal.SIGKILL, -signal.SIGKILL, 0]
    assert harmless_after_two == "ready"
    assert states == {
        "a_poison.txt": ("failed", "The program ended 3 times while 'a_poison.txt' was read; it was left out."),
        "harmless.txt": ("ready", None),
    }
    with engine_in(tmp_path / "home") as engine:
        engine.add(names[:1], "notes")
        settle(engine)
        with opened(tmp_path) as store:
            again = [document.state for document in store.documents()]
    assert again == ["ready", "ready"]


def test_stop_is_quick_and_resumes(tmp_path: Path) -> None:
    embedder, begun, go_on = HashEmbedder(), Event(), Event()
    paths = write(tmp_path / "notes", **{f"file{number}": f"Text number {number}." for number in range(30)})

    def hold(texts: object) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    embedder.before = hold
    engine = engine_at(tmp_path / "home", embedder)
    engine.start()
    engine.add([str(path) for path in paths], "notes")
    assert begun.wait(PATIENCE_S)
    stopping = Thread(target=engine.stop)
    stopping.start()
    go_on.set()
    stopping.join(PATIENCE_S)
    made = len(embedder.passages)
    again = HashEmbedder()
    with engine_in(tmp_path / "home", again) as engine:
        settle(engine)

    assert not stopping.is_alive()
    assert made < 30
    assert made + len(again.passages) == 30


def test_folder_is_walked_as_its_gitignore_says(tmp_path: Path) -> None:
    root = tmp_path / "project"
    write(root, readme="Read me.", secret="Ignored.")
    write(root / "src", code="Code.")
    write(root / "node_modules" / "x", package="Not ours.")
    write(root / ".hidden", hidden="Hidden.")
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / ".gitignore").write_text("secret.txt\n")
    (root / "src" / "loop").symlink_to(root, target_is_directory=True)
    (root / "dangling.txt").symlink_to(root / "nowhere")
    (root / "itself.txt").symlink_to(root / "itself.txt")
    os.mkfifo(root / "pipe.txt")

    with engine_in(tmp_path / "home") as engine:
        added = engine.add([str(root)], "project")
        settle(engine)
        with opened(tmp_path) as store:
            names = [(document.name, document.state) for document in store.documents()]

    assert names == [("readme.txt", "ready"), ("code.txt", "ready")]
    assert [(skipped.path, skipped.why) for skipped in added.skipped] == [
        (str(root / "itself.txt"), "Too many levels of symbolic links.")
    ]


def test_huge_folder_is_taken_up_to_a_bound_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "many", **{f"file{number}": "Text." for number in range(20)})

    walked = walk.walk(str(tmp_path / "many"), most=15)

    assert len(walked.files) == 15
    assert walked.skipped == ((str(tmp_path / "many"), "it holds more than 15 documents; those behind were left out"),)


def test_what_cannot_be_added_is_named_with_its_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()

    with engine_in(tmp_path / "home") as engine:
        added = engine.add([str(tmp_path / name) for name in ("pipe", "empty", "nothing.txt")], "notes")
        with pytest.raises(UnknownName, match="no collection 'notes'"):
            engine.remove("notes")

    assert added.document_ids == ()
    assert [skipped.why for skipped in added.skipped] == [
        "It is neither a file nor a folder.",
        "There is no document in this folder.",
        "There is no such file.",
    ]


def test_secrets_are_left_out_unless_they_are_allowed(tmp_path: Path) -> None:
    paths = write(tmp_path / "notes", id_rsa="A name that says enough.", plain="password = hunter2", harmless="Words.")

    def secret_in(path: str, text: str | None) -> str | None:
        if text is None:
            return "a private key" if "id_rsa" in path else None
        return "a password" if "password" in text else None

    with engine_in(tmp_path / "home", secret_in=secret_in) as engine:
        added = engine.add([str(path) for path in paths], "notes")
        settle(engine)
        with opened(tmp_path) as store:
            states = {document.name: (document.state, document.error) for document in store.documents()}
        engine.add([str(path) for path in paths], "notes", allow_secrets=True)
        settle(engine)
        with opened(tmp_path) as store:
            allowed = {document.state for document in store.documents()}

    assert [(Path(skipped.path).name, skipped.why) for skipped in added.skipped] == [
        ("id_rsa.txt", "It seems to hold a private key.")
    ]
    assert states == {
        "plain.txt": ("failed", "'plain.txt' seems to hold a password; it was left out."),
        "harmless.txt": ("ready", None),
    }
    assert allowed == {"ready"}


def test_files_in_an_archive_are_documents(tmp_path: Path) -> None:
    path = tmp_path / "papers.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("knots/bowline.md", "# Bowline\n\nA knot that holds.")
        archive.writestr("picture.png", b"\x89PNG")

    with engine_in(tmp_path / "home", reader=Reader) as engine:
        added = engine.add([str(path)], "papers")
        settle(engine)
        found = engine.retrieve(Wanted("knot that holds", ("papers",)))

    assert len(added.document_ids) == 1
    assert found.passages[0].path == f"{path}!/knots/bowline.md"


def test_damaged_index_is_made_anew_from_the_stored_vectors(tmp_path: Path) -> None:
    embedder, index = HashEmbedder(), MemoryIndex()
    paths = write(tmp_path / "notes", one="The first words.", other="Other words.")
    with engine_in(tmp_path / "home", embedder, index=index) as engine:
        engine.add([str(path) for path in paths], "notes")
        settle(engine)
    index.builds[1].popitem()
    told: Queue[Progress] = Queue()

    with engine_in(tmp_path / "home", embedder, index=index, on_progress=told.put) as engine:
        while "made anew" not in (told.get(timeout=PATIENCE_S).index_trouble or ""):
            pass
        assert engine.wait_until(lambda: len(index.builds.get(1, {})) == 2, PATIENCE_S)
        settle(engine)
        while told.get(timeout=PATIENCE_S).index_trouble is not None:
            pass
        by_check = engine.check()

    assert index.added == 4
    assert by_check == []
    assert len(embedder.passages) == 2


def test_check_finds_and_repairs(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    paths = write(tmp_path / "notes", one="The first words.", other="Other words.")
    with engine_in(tmp_path / "home", embedder, index=MemoryIndex()) as engine:
        one, other = engine.add([str(path) for path in paths], "notes").document_ids
        settle(engine)
        with engine._store.write() as connection:
            connection.execute(
                "UPDATE vectors SET vector = x'00' WHERE chunk_id = (SELECT id FROM chunks WHERE document_id = ?)",
                (one,),
            )
            connection.execute("UPDATE chunks SET text = 'Rotten.', char_to = 7 WHERE document_id = ?", (other,))
        found = engine.check()
        repaired = engine.check(repair=True)
        settle(engine)
        after = engine.check()
        passages = engine.retrieve(Wanted("other words", ("notes",))).passages

    assert [finding.is_repaired for finding in found] == [False] * 3
    assert [finding.is_repaired for finding in repaired] == [True] * 3
    assert after == []
    assert passages[0].text == "Other words."


def test_watched_folder_follows_its_files(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    root = tmp_path / "watched"
    write(root, stays="This stays.", goes="This goes.", moves="This moves.")

    with engine_in(tmp_path / "home", embedder) as engine:
        folder = engine.watch("notes", str(root), exclude=("*.log",), quiet_s=0.01)

        def names() -> list[str]:
            with opened(tmp_path) as store:
                return sorted(document.name for document in store.documents() if document.state == "ready")

        assert engine.wait_until(lambda: names() == ["goes.txt", "moves.txt", "stays.txt"], PATIENCE_S)
        (root / "goes.txt").unlink()
        (root / "moves.txt").rename(root / "moved.txt")
        (root / "noise.log").write_text("Not wanted.")
        (root / "new.txt").write_text("This is new.")
        assert engine.wait_until(lambda: names() == ["moved.txt", "new.txt", "stays.txt"], PATIENCE_S)
        engine.unwatch(folder.id)
        with opened(tmp_path) as store:
            left = store.folders()

    assert left == []
    assert sorted(embedder.passages) == ["This goes.", "This is new.", "This moves.", "This stays."]


def test_folder_that_is_not_there_forgets_nothing(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    write(root, one="On a disk.")
    with engine_in(tmp_path / "home") as engine:
        folder = engine.watch("notes", str(root), quiet_s=0.01)
        assert engine.wait_until(lambda: engine.status().waiting == 0 and bool(documents_of(tmp_path)), PATIENCE_S)
        is_busy = engine.is_busy()
        root.rename(tmp_path / "unmounted")
        engine.rescan(folder.id)
        names = documents_of(tmp_path)

    assert names == ["one.txt"]
    assert not is_busy  # a watched folder alone keeps no worker


def documents_of(folder: Path) -> list[str]:
    with opened(folder) as store:
        return [document.name for document in store.documents()]
