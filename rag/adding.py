"""Which files are meant by the paths that somebody names, and the rows that keep them until they are read."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rag.documents import Skipped
from rag.errors import RagError
from rag.readers import MEMBER_MARK, USUAL, Limits, is_archive, split_member
from rag.store import DocumentStore
from rag.taking import Reads, SecretIn, file_of, hash_of, is_elsewhere, is_unchanged
from rag.walk import Found, is_worth, look, may_be_archive, walk


class Meant(NamedTuple):
    files: tuple[Found, ...]
    skipped: tuple[Skipped, ...]


def meant(
    paths: Sequence[str],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    make_reader: Callable[[], Reads],
    limits: Limits = USUAL,
    secret_in: SecretIn | None = None,
    stopped: Callable[[], bool] = bool,
) -> Meant:
    """Files that are named, and those in folders and archives that are; each once. Only names tell of secrets here."""
    files: dict[str, Found] = {}
    skipped: list[Skipped] = []
    for named in paths:
        path = os.path.abspath(Path(named).expanduser())  # noqa: PTH100 - resolves no links, which Path.resolve does
        try:
            if Path(path).is_dir():
                walked = walk(path, include=include, exclude=exclude, stopped=stopped)
                found: Sequence[Found] = walked.files
                skipped += [Skipped(where, f"{why[:1].upper()}{why[1:]}.") for where, why in walked.skipped]
                if not found and not walked.skipped:
                    skipped.append(Skipped(path, "There is no document in this folder."))
            else:
                found = [look(path)]
        except FileNotFoundError:
            skipped.append(Skipped(path, "There is no such file."))
            continue
        except OSError as error:
            skipped.append(Skipped(path, f"It cannot be read: {error.strerror or error}."))
            continue
        except ValueError as error:
            skipped.append(Skipped(path, f"{str(error)[:1].upper()}{str(error)[1:]}."))
            continue
        for file in found:
            if may_be_archive(file.path) and is_archive(Path(file.path)):
                inside, closed = _inside(file, make_reader, limits)
                skipped += closed
            else:
                inside = [file]
            for each in inside:
                secret = secret_in(each.path, None) if secret_in is not None else None
                if secret is None:
                    files.setdefault(each.path, each)
                else:
                    skipped.append(Skipped(each.path, f"It seems to hold {secret}."))
    return Meant(tuple(files.values()), tuple(skipped))


def _inside(archive: Found, make_reader: Callable[[], Reads], limits: Limits) -> tuple[list[Found], list[Skipped]]:
    """The documents in an archive. They are as new as it is."""
    reader = make_reader()
    try:
        members = reader.members(archive.path, limits)
    except RagError as error:
        return [], [Skipped(archive.path, error.text)]
    finally:
        reader.close()
    files, skipped = [], []
    for member in members:
        if member.refused:
            skipped.append(Skipped(member.path, member.refused))
        elif is_worth(member.path[len(archive.path) + len(MEMBER_MARK) :]):
            files.append(Found(member.path, member.size_bytes, archive.modified_ns))
    if not files and not skipped:
        skipped.append(Skipped(archive.path, "There is no document in this archive."))
    return files, skipped


class Kept(NamedTuple):
    document_ids: tuple[int, ...]
    waiting: tuple[int, ...]


def keep(
    connection: sqlite3.Connection,
    collection_id: int,
    files: Sequence[Found],
    now_ms: int,
    *,
    tags: Sequence[str] = (),
    folder_id: int | None = None,
    secrets_allowed: bool = False,
    moved: dict[str, int] | None = None,
) -> Kept:
    """Part of a transaction: rows for files. One that has not changed is left alone, one that moved keeps its row."""
    ids: list[int] = []
    waiting: list[int] = []
    for file in files:
        if moved and file.path in moved:
            document_id = moved[file.path]
            connection.execute(
                "UPDATE OR IGNORE documents SET path = ?, name = ?, modified_ns = ? WHERE id = ?",
                (file.path, Path(file.path).name, file.modified_ns, document_id),
            )
        row = connection.execute(
            "SELECT id, size_bytes, modified_ns, read_at, state, tags, folder_id, secrets_allowed FROM documents "
            "WHERE collection_id = ? AND path = ?",
            (collection_id, file.path),
        ).fetchone()
        if row is None:
            cursor = connection.execute(
                "INSERT INTO documents (collection_id, folder_id, path, name, size_bytes, modified_ns, state, tags, "
                "added_at, secrets_allowed) VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?, ?, ?)",
                (
                    collection_id,
                    folder_id,
                    file.path,
                    Path(file.path).name,
                    file.size_bytes,
                    file.modified_ns,
                    json.dumps(list(tags)),
                    now_ms,
                    secrets_allowed,
                ),
            )
            assert cursor.lastrowid is not None
            ids.append(cursor.lastrowid)
            waiting.append(cursor.lastrowid)
            continue
        document_id, size_bytes, modified_ns, read_at, state, had_tags, had_folder, were_allowed = row
        if size_bytes != file.size_bytes and split_member(file.path)[1]:
            connection.execute("UPDATE documents SET size_bytes = ? WHERE id = ?", (file.size_bytes, document_id))
        ids.append(document_id)
        known_tags = json.loads(had_tags)
        all_tags = [*known_tags, *(tag for tag in tags if tag not in known_tags)]
        if all_tags != known_tags or (folder_id is not None and had_folder is None) or secrets_allowed > were_allowed:
            connection.execute(
                "UPDATE documents SET tags = ?, folder_id = coalesce(folder_id, ?), secrets_allowed = ? WHERE id = ?",
                (json.dumps(all_tags), folder_id, secrets_allowed or were_allowed, document_id),
            )
        is_known = state in ("lexical", "ready") and is_unchanged(file, size_bytes, modified_ns, read_at)
        if state != "waiting" and not is_known:
            connection.execute("UPDATE documents SET state = 'waiting', attempts = 0 WHERE id = ?", (document_id,))
        if state == "waiting" or not is_known:
            waiting.append(document_id)
    return Kept(tuple(ids), tuple(waiting))


def moves(
    store: DocumentStore, collection_id: int, files: Sequence[Found], stopped: Callable[[], bool] = bool
) -> dict[str, int]:
    """New paths of documents whose file went: the same bytes lie elsewhere. Few files are hashed for it, each once."""
    with store.read() as connection:
        rows = connection.execute(
            "SELECT id, path, size_bytes, sha256 FROM documents WHERE collection_id = ? AND sha256 IS NOT NULL",
            (collection_id,),
        ).fetchall()
    known = {row[1] for row in rows}
    fresh: dict[int, list[Found]] = {}
    for file in files:
        if file.path not in known:
            fresh.setdefault(file.size_bytes, []).append(file)
    moved: dict[str, int] = {}
    hashes: dict[str, str] = {}
    for document_id, path, size_bytes, sha256 in rows:
        candidates = fresh.get(size_bytes)
        if not candidates or is_elsewhere(path) or Path(file_of(path)).exists():
            continue
        for file in candidates:
            try:
                known_hash = hashes.get(file.path) or hashes.setdefault(file.path, hash_of(file.path, stopped))
            except OSError:
                continue
            if known_hash == sha256:
                moved[file.path] = document_id
                candidates.remove(file)
                break
    return moved
