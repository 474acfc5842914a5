"""The engine of the documents as the settings ask for it. Only the worker's process builds one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from console.paths import Paths

if TYPE_CHECKING:
    from console.settings_groups import RagSettings
    from rag.embedder import Embedder
    from rag.engine import Engine
    from rag.index import VectorIndex
    from rag.retrieve import Rerank
    from rag.worker import Tell


def open_engine(
    paths: Paths,
    settings: RagSettings,
    embedder: Callable[[str | None], Embedder | None],
    tell: Tell,
    *,
    rerank: Rerank | None = None,
    chroma_token: str | None = None,
) -> Engine:
    """Blocks; raises `LibraryBroken`."""
    from console.library.look import secret_in_document
    from rag.chunks import Rules
    from rag.engine import Engine
    from rag.readers import Reader, document_limits
    from rag.retrieve import Weights

    return Engine(
        paths.documents,
        embedder=embedder,
        default_embedder=None if settings.embedder == "none" else settings.embedder,
        index=lambda: open_index(paths, settings.chroma_url, chroma_token),
        reader=Reader,
        clock_ms=lambda: time.time_ns() // 1_000_000,
        rules=Rules(chunk_tokens=settings.chunk_tokens, overlap_tokens=settings.overlap_tokens),
        limits=document_limits(settings.max_file_mb, settings.max_pages, ocr=settings.ocr),
        secret_in=secret_in_document,
        rerank=rerank,
        weights=Weights(float(settings.vector_weight), float(settings.lexical_weight)),
        on_progress=tell,
    )


def open_index(paths: Paths, chroma_url: str | None, chroma_token: str | None) -> VectorIndex:
    """In a folder beside the documents, or on a server. Loads chromadb only when there is something to keep."""
    if chroma_url:
        from rag.index_chroma_server import ChromaServerIndex

        return ChromaServerIndex(chroma_url, library_name(paths), token=chroma_token)
    from rag.index_chroma import ChromaIndex
    from rag.index_exact import ExactIndex
    from rag.index_sized import SizedIndex

    folder = paths.documents / "index"
    return SizedIndex(ChromaIndex(folder), ExactIndex(folder))


def library_name(paths: Paths) -> str:
    """What tells this library's collections from others' on a server; made once, kept beside the documents."""
    import os

    file = paths.documents / "library-name"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        from console.paths import write_privately

        name = os.urandom(6).hex()
        write_privately(file, name.encode())
        return name
