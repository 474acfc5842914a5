"""Documents in a database as the product has it, without what reads and embeds them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from rag import schema
from rag.chunks import RoughCounter, Rules, cut
from rag.documents import Build, Chunk, Section
from rag.lexical import spaced
from rag.readers import DocumentText

COUNTER = RoughCounter()


class Shelf:
    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.connection.executescript(schema.FRESH)
        self.builds: dict[str, Build] = {}

    def collection(self, name: str, embedder: str | None = "one", tags: Sequence[str] = ()) -> Build:
        number = len(self.builds) + 1
        self.connection.execute(
            "INSERT INTO collections (id, name, created_at, live_build, tags) VALUES (?, ?, 0, ?, ?)",
            (number, name, number, json.dumps(tags)),
        )
        build = Build(number, number, embedder, 2, "rules", f"stamp {number}")
        self.connection.execute("INSERT INTO builds VALUES (?, ?, ?, ?, ?, ?, 0)", build)
        self.builds[name] = build
        return build

    def document(
        self,
        collection: str,
        path: str,
        *bodies: str,
        headings: Sequence[str] = (),
        tags: Sequence[str] = (),
        modified_ms: int = 0,
        state: str = "ready",
        most_tokens: int = 60,
        same_as: int | None = None,
    ) -> list[int]:
        """The ids of its chunks: each body is a section of its own."""
        if collection not in self.builds:
            self.collection(collection)
        build = self.builds[collection]
        (document,) = self.connection.execute(
            "INSERT INTO documents (collection_id, path, name, modified_ns, state, tags, added_at, same_as)"
            " VALUES (?, ?, ?, ?, ?, ?, 0, ?) RETURNING id",
            (
                build.collection_id,
                path,
                path.rsplit("/", 1)[-1],
                modified_ms * 1_000_000,
                state,
                json.dumps(tags),
                same_as,
            ),
        ).fetchone()
        text, sections = "", []
        for body in bodies:
            sections.append(Section(tuple(headings), len(text), len(text) + len(body) + 1))
            text += f"{body}\n"
        read = DocumentText(path, "text/plain", text, sections=tuple(sections))
        return [
            self._chunk(build, document, position, chunk)
            for position, chunk in enumerate(cut(read, COUNTER, Rules(most_tokens)))
        ]

    def _chunk(self, build: Build, document: int, position: int, piece: Chunk) -> int:
        (id_,) = self.connection.execute(
            "INSERT INTO chunks (build_id, document_id, position, text, spaced, headings, char_from, char_to,"
            " line_from, line_to, page_from, page_to, tokens, hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                build.id,
                document,
                position,
                piece.text,
                spaced(piece.text),
                "\n".join(piece.headings),
                *piece.span,
                piece.tokens,
                piece.hash,
            ),
        ).fetchone()
        return int(id_)

    def hash_of(self, chunk: int) -> bytes:
        found = self.connection.execute("SELECT hash FROM chunks WHERE id = ?", (chunk,)).fetchone()[0]
        assert isinstance(found, bytes)
        return found
