"""Documents in an engine: what is added is found, what changes changes, and nothing is done twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from queue import Queue
from threading import Event, get_native_id

import numpy as np
import pytest

from rag.chunks import Rules
from rag.documents import Progress, Wanted
from rag.errors import EmbedderFailed
from rag.readers import DocumentText
from rag.rounds import HAS_NICE_THREADS, NICENESS
from tests.rag.kit import PATIENCE_S, HashEmbedder, MemoryIndex, chunk_ids, engine_in, opened, settle, write


def hold(until: Event) -> None:
    assert until.wait(PATIENCE_S)


def steps(step_s: float) -> Callable[[], float]:
    """A clock that goes on by itself."""
    ticks = count()
    return lambda: next(ticks) * step_s


def engine_error(told: Queue[Progress]) -> str | None:
    """What was told last."""
    last: Progress = list(told.queue)[-1]
    return last.error


def test_added_file_is_found_by_words_and_vectors(tmp_path: Path) -> None:
    embedder, index = HashEmbedder(), MemoryIndex()
    paths = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.", tea="Tea is made with hot water.")

    with engine_in(tmp_path / "home", embedder, index=index) as engine:
        added = engine.add([str(path) for path in paths], "notes")
        settle(engine)
        found = engine.retrieve(Wanted("what holds a ship", ("notes",)))

    assert len(added.document_ids) == added.waiting == 2
    assert found.method == "hybrid"
    assert found.passages[0].document == "ships.txt"
    assert found.passages[0].vector_rank == 1
    assert len(embedder.passages) == 2
    assert sum(map(len, index.builds.values())) == 2


def test_unchanged_file_costs_nothing(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    with engine_in(tmp_path / "home", embedder, index=MemoryIndex()) as engine:
        first = engine.add([str(path)], "notes")
        settle(engine)
        again = engine.add([str(path)], "notes")
        path.touch()
        touched = engine.add([str(path)], "notes")
        settle(engine)

    assert again == first._replace(waiting=0)
    assert touched == first
    assert len(embedder.passages) == 1


def test_work_goes_behind_questions(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    niceness: list[int] = []
    embedder.before = lambda texts: niceness.append(os.getpriority(os.PRIO_PROCESS, get_native_id()))
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    with engine_in(tmp_path / "home", embedder) as engine:
        engine.add([str(path)], "notes")
        settle(engine)

    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness == [max(NICENESS, ours) if HAS_NICE_THREADS else ours]


def test_same_bytes_are_kept_once(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    one, other = write(tmp_path / "notes", one="The same words.", other="The same words.")

    with engine_in(tmp_path / "home", embedder, index=MemoryIndex()) as engine:
        first, copy = engine.add([str(one), str(other)], "notes").document_ids
        settle(engine)
        with opened(tmp_path) as store:
            documents = store.documents("notes")
            text = store.text(copy).text
        engine.remove("notes", [first])
        settle(engine)
        found = engine.retrieve(Wanted("the same words", ("notes",)))

    assert [(each.state, each.same_as, each.chunks) for each in documents] == [("ready", None, 1), ("ready", first, 1)]
    assert text == "The same words."
    assert [passage.document for passage in found.passages] == ["other.txt"]
    assert len(embedder.passages) == 1


def test_only_what_changed_is_embedded(tmp_path: Path) -> None:
    embedder, index = HashEmbedder(), MemoryIndex()
    parts = [
        f"Part {number} tells of the {number * 7919 % 1009} knots that {number} sailors know." for number in range(300)
    ]
    [path] = write(tmp_path / "book", book="\n\n".join(parts))

    with engine_in(tmp_path / "home", embedder, index=index, rules=Rules(chunk_tokens=60)) as engine:
        [document] = engine.add([str(path)], "book").document_ids
        settle(engine)
        before = chunk_ids(tmp_path, document)
        embedder.passages.clear()
        write(tmp_path / "book", book="\n\n".join([*parts, "An index stands at the end."]))
        path.touch()
        engine.add([str(path)], "book")
        settle(engine)
        after = chunk_ids(tmp_path, document)

    kept = set(before) & set(after)
    assert len(before) > 50
    assert len(kept) > len(before) * 0.8
    assert len(embedder.passages) == len(after) - len(kept)
    assert set(index.builds[1]) == set(after)


def test_moved_file_keeps_its_document(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    with engine_in(tmp_path / "home", embedder, index=MemoryIndex()) as engine:
        added = engine.add([str(path)], "notes")
        settle(engine)
        moved_to = path.rename(tmp_path / "notes" / "moved.txt")
        again = engine.add([str(moved_to)], "notes")
        settle(engine)
        with opened(tmp_path) as store:
            documents = store.documents()

    assert again.document_ids == added.document_ids
    assert [(each.path, each.name, each.state) for each in documents] == [(str(moved_to), "moved.txt", "ready")]
    assert len(embedder.passages) == 1


def test_words_are_found_while_vectors_are_still_made(tmp_path: Path) -> None:
    embedder, go_on = HashEmbedder(), Event()
    embedder.before = lambda texts: hold(go_on)
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    with engine_in(tmp_path / "home", embedder) as engine:
        added = engine.add([str(path)], "notes")
        is_lexical = engine.wait(added.document_ids, "lexical", PATIENCE_S)
        found = engine.retrieve(Wanted("hawser", ("notes",)))
        status = engine.status()
        go_on.set()
        is_ready = engine.wait(added.document_ids, "ready", PATIENCE_S)

    assert is_lexical
    assert is_ready
    assert found.method == "lexical"
    assert found.passages[0].text == "A hawser holds a ship to its berth."
    assert status.to_embed == 1


def test_vectors_that_the_index_does_not_know_yet_are_found(tmp_path: Path) -> None:
    embedder, index = HashEmbedder(), MemoryIndex()
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    with engine_in(tmp_path / "home", embedder, index=index) as engine:
        engine.add([str(path)], "notes")
        settle(engine)
        kind = engine.status().index_kind
        index.broken = "It is damaged."
        more = write(tmp_path / "more", tea="Tea is made with hot water.")
        added = engine.add([str(more[0])], "notes")
        assert engine.wait(added.document_ids, "ready", PATIENCE_S)
        found = engine.retrieve(Wanted("hot water", ("notes",)))
        assert engine.wait_until(lambda: engine.status().error == "It is damaged.", PATIENCE_S)
        trouble = engine.status().index_trouble

    assert found.method == "hybrid"
    assert found.passages[0].document == "tea.txt"
    assert found.passages[0].vector_rank == 1
    assert (kind, trouble) == ("memory", "It is damaged.")


def test_other_embedder_is_built_beside_and_swapped(tmp_path: Path) -> None:
    old, new, go_on = HashEmbedder("old"), HashEmbedder("new", 32), Event()
    index = MemoryIndex()
    paths = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.", tea="Tea is made with hot water.")
    new.before = lambda texts: hold(go_on)

    with engine_in(tmp_path / "home", old, new, index=index) as engine:
        added = engine.add([str(path) for path in paths], "notes")
        settle(engine)
        engine.reindex("notes", "new")
        assert engine.wait(added.document_ids, "ready", PATIENCE_S)
        during = engine.retrieve(Wanted("what holds a ship", ("notes",)))
        with opened(tmp_path) as store:
            building = store.collection("notes")
        go_on.set()
        settle(engine)
        after = engine.retrieve(Wanted("what holds a ship", ("notes",)))
        with opened(tmp_path) as store:
            swapped = store.collection("notes")
            builds = store.connection.execute("SELECT count(*) FROM builds").fetchone()[0]

    assert during.method == after.method == "hybrid"
    assert (building.embedder, building.building) == ("old", "new")
    assert (swapped.embedder, swapped.building, swapped.dimension) == ("new", None, 32)
    assert swapped.embedded == swapped.chunks == 2
    assert builds == 1
    assert len(old.passages) == len(new.passages) == 2
    assert list(index.builds) == [2]


def test_known_vectors_are_copied_into_another_build(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    with engine_in(tmp_path / "home", embedder) as engine:
        engine.add([str(path)], "notes")
        settle(engine)
    with engine_in(tmp_path / "home", embedder, rules=Rules(chunk_tokens=100)) as engine:
        engine.reindex("notes")
        settle(engine)
        engine.add([str(path)], "another")
        settle(engine)
        with opened(tmp_path) as store:
            builds = [store.collection(name) for name in ("notes", "another")]

    assert [each.embedded for each in builds] == [1, 1]
    assert len(embedder.passages) == 1


def test_collection_without_vectors_gets_some_once_there_is_an_embedder(tmp_path: Path) -> None:
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")
    embedder = HashEmbedder()

    with engine_in(tmp_path / "home") as engine:
        engine.add([str(path)], "notes")
        settle(engine)
        without = engine.retrieve(Wanted("what holds a ship", ("notes",)))
    with engine_in(tmp_path / "home", embedder) as engine:
        assert engine.wait_until(lambda: len(embedder.passages) == 1, PATIENCE_S)
        settle(engine)
        with_vectors = engine.retrieve(Wanted("what holds a ship", ("notes",)))

    assert (without.method, with_vectors.method) == ("lexical", "hybrid")


def test_failing_embedder_is_told_and_tried_again(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    embedder.error = EmbedderFailed("The embedder does not answer.", hint="Start it.")
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")
    told: Queue[Progress] = Queue()

    with engine_in(tmp_path / "home", embedder, on_progress=told.put) as engine:
        added = engine.add([str(path)], "notes")
        while (progress := told.get(timeout=PATIENCE_S)).error is None:
            pass
        by_words = engine.retrieve(Wanted("hawser", ("notes",)))
        embedder.error = None
        engine.resume()
        is_ready = engine.wait(added.document_ids, "ready", PATIENCE_S)
        settle(engine)

    assert (progress.error, progress.hint) == ("The embedder does not answer.", "Start it.")
    assert by_words.passages[0].document == "ships.txt"
    assert any("does not answer" in note for note in by_words.notes)
    assert is_ready
    assert engine_error(told) is None


@pytest.mark.parametrize(("asked_s", "left_s"), [(None, 1.0), (0.5, 1.0), (600.0, 600.0), (90_000.0, 3_600.0)])
def test_embedder_that_asks_for_time_is_left_alone(tmp_path: Path, asked_s: float | None, left_s: float) -> None:
    embedder = HashEmbedder()
    embedder.error = EmbedderFailed("Too many requests.", retry_after_s=asked_s)
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")
    told: Queue[Progress] = Queue()

    with engine_in(tmp_path / "home", embedder, on_progress=told.put, monotonic=lambda: 1_000.0) as engine:
        engine.add([str(path)], "notes")
        while told.get(timeout=PATIENCE_S).error is None:
            pass
        rest_s = engine._vectors.rest_s()

    assert rest_s == left_s


def test_last_use_of_a_collection_is_kept(tmp_path: Path) -> None:
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    def used_at() -> object:
        with opened(tmp_path) as store:
            return store.collection("notes").used_at

    with engine_in(tmp_path / "home") as engine:
        engine.add([str(path)], "notes")
        settle(engine)
        before = used_at()
        engine.retrieve(Wanted("hawser", ("notes",)))
        was_written = engine.wait_until(lambda: used_at() is not None, PATIENCE_S)
    last = used_at()
    with engine_in(tmp_path / "home") as engine:
        engine.retrieve(Wanted("hawser", ("notes",)))
    at_the_end = used_at()

    assert before is None
    assert was_written
    assert last < at_the_end  # type: ignore[operator]


def test_vectors_of_a_wrong_size_are_refused(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")
    told: Queue[Progress] = Queue()

    with engine_in(tmp_path / "home", embedder, on_progress=told.put) as engine:
        embedder.vector = lambda text: np.ones(3, np.float32)  # type: ignore[method-assign]
        engine.add([str(path)], "notes")
        while (progress := told.get(timeout=PATIENCE_S)).error is None:
            pass

    assert "(1, 3)" in progress.error


def test_remote_embedder_gets_nothing_before_it_is_agreed_to(tmp_path: Path) -> None:
    embedder = HashEmbedder(is_remote=True)
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    with engine_in(tmp_path / "home", embedder) as engine:
        engine.add([str(path)], "notes")
        settle(engine)
        before = list(embedder.passages)
        engine.agree("notes")
        assert engine.wait_until(lambda: bool(embedder.passages), PATIENCE_S)
        settle(engine)
        found = engine.retrieve(Wanted("what holds a ship", ("notes",)))

    assert before == []
    assert found.method == "hybrid"


def test_cancel_takes_out_what_is_not_finished(tmp_path: Path) -> None:
    embedder, go_on = HashEmbedder(), Event()
    [done] = write(tmp_path / "notes", done="This was there before.")
    paths = write(tmp_path / "more", **{f"file{number}": f"File {number} is to come." for number in range(5)})

    with engine_in(tmp_path / "home", embedder) as engine:
        engine.add([str(done)], "notes")
        settle(engine)
        embedder.before = lambda texts: hold(go_on)
        added = engine.add([str(path) for path in paths], "notes")
        assert engine.wait(added.document_ids, "lexical", PATIENCE_S)
        cancelled = engine.cancel("notes")
        go_on.set()
        settle(engine)
        with opened(tmp_path) as store:
            left = [document.name for document in store.documents("notes")]
        to_embed = engine.status().to_embed

    assert cancelled == 5
    assert left == ["done.txt"]
    assert to_embed == 0


def test_removed_collection_leaves_no_rows_and_no_vectors(tmp_path: Path) -> None:
    embedder, index = HashEmbedder(), MemoryIndex()
    paths = write(tmp_path / "notes", one="The first words.", other="Other words.")

    with engine_in(tmp_path / "home", embedder, index=index) as engine:
        engine.add([str(path) for path in paths], "notes")
        settle(engine)
        removed = engine.remove("notes")
        found = engine.retrieve(Wanted("words"))
        with opened(tmp_path) as store:
            names = [each.name for each in store.collections()]
            assert store.documents() == []
        settle(engine)
        with opened(tmp_path) as store:
            tables = ("collections", "builds", "documents", "texts", "chunks", "vectors", "leaving", "words")
            rows = [store.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]

    assert removed == 2
    assert found.passages == ()
    assert names == []
    assert rows == [0] * len(rows)
    assert index.builds == {}


def test_moved_documents_keep_their_vectors(tmp_path: Path) -> None:
    embedder, index = HashEmbedder(), MemoryIndex()
    paths = write(tmp_path / "notes", one="The first words.", other="Other words.")

    with engine_in(tmp_path / "home", embedder, index=index) as engine:
        first, _ = engine.add([str(path) for path in paths], "notes").document_ids
        settle(engine)
        paths[0].unlink()
        moved = engine.move("notes", [first], "archive")
        settle(engine)
        found = engine.retrieve(Wanted("first", ("archive",)))
        rest = engine.retrieve(Wanted("first", ("notes",)))

    assert moved == 1
    assert [passage.document_id for passage in found.passages] == [first]
    assert first not in [passage.document_id for passage in rest.passages]
    assert len(embedder.passages) == 2


def test_text_from_elsewhere_is_kept_and_found(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    page = DocumentText("Knots", "text/html", "A bowline is a knot.")

    with engine_in(tmp_path / "home", embedder) as engine:
        first = engine.add_text(page, "https://example.org/knots", "web")
        settle(engine)
        again = engine.add_text(page._replace(text="A bowline holds."), "https://example.org/knots", "web")
        settle(engine)
        engine.reindex("web")
        settle(engine)
        found = engine.retrieve(Wanted("bowline", ("web",)))

    assert again.document_ids == first.document_ids
    assert [passage.text for passage in found.passages] == ["A bowline holds."]


def test_progress_tells_pace_and_the_time_left(tmp_path: Path) -> None:
    embedder, told, portions = HashEmbedder(), Queue[Progress](), []
    text = "\n\n".join(f"Paragraph {number} is about the number {number}." for number in range(100))
    [path] = write(tmp_path / "notes", long=text)
    embedder.before = lambda texts: portions.append(len(texts))

    with engine_in(
        tmp_path / "home", embedder, rules=Rules(chunk_tokens=12), on_progress=told.put, monotonic=steps(0.05)
    ) as engine:
        engine.add([str(path)], "notes")
        settle(engine)
    seen = list(told.queue)

    assert sum(portions) == 100
    assert any(each.eta_s is not None and each.rate_per_s and each.to_embed for each in seen)


def test_pause_holds_everything_and_resume_goes_on(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    [path] = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.")

    with engine_in(tmp_path / "home", embedder) as engine:
        engine.pause()
        added = engine.add([str(path)], "notes")
        paused = engine.status()
        engine.resume()
        is_ready = engine.wait(added.document_ids, "ready", PATIENCE_S)

    assert (paused.paused, paused.waiting) == (True, 1)
    assert is_ready
