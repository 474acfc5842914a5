"""Doctor's look at the documents: their store, the model that embeds, and the process that holds them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from console.doctor import Finding, failed_with, info, ok, warn
from console.text import neutralise, plural

if TYPE_CHECKING:
    from console.paths import Paths
    from console.settings import Settings


STATUS_LIMIT_S = 3.0


def check_documents(paths: Paths, settings: Settings) -> Iterator[Finding]:
    area = "documents"
    if not paths.documents_file.exists():
        yield info(area, "There are no documents. Add some with: hawser rag add PATH")
        return
    from console.library.trouble import as_console_error
    from rag.errors import RagError
    from rag.store import DocumentStore

    try:
        store = DocumentStore.open(paths.documents_file, read_only=True)
        try:
            collections = store.collections()
        finally:
            store.close()
    except RagError as error:
        yield failed_with(area, as_console_error(error), "hawser rag check tells more.")
        return
    documents, failed = sum(each.documents for each in collections), sum(each.failed for each in collections)
    told = f"{plural(len(collections), 'collection')} with {plural(documents, 'document')}."
    yield ok(area, told)
    if failed:
        text = f"{plural(failed, 'document')} could not be read."
        yield warn(area, text, "hawser rag ls --failed tells why.")
    lacking = sum(each.chunks - each.embedded for each in collections if each.embedder is not None)
    if lacking:
        yield info(area, f"{plural(lacking, 'passage')} wait for their vectors; until then words find them.")
    yield from _check_embedder(paths, settings)
    yield from _check_reranker(settings)
    yield from _check_ocr(settings)
    yield _check_worker(paths)
    yield from _check_index(paths)


def _check_embedder(paths: Paths, settings: Settings) -> Iterator[Finding]:
    area = "documents"
    from console.library.embedders import NONE, read_identity
    from rag.embedder import DEFAULT

    name = settings.rag.embedder
    if name == NONE:
        yield info(area, "[rag] embedder is none: documents are found by words only.")
        return
    endpoint, model = read_identity(name, settings.endpoints)
    if endpoint is not None:
        yield ok(area, f"{model} of {endpoint.name} embeds; its line above says whether that answers.")
    elif model == DEFAULT:
        from console.library.model import model_state

        state = model_state(paths)
        if state.is_ready:
            yield ok(area, f"The built-in embedder is ready, {state.origin}.")
        elif state.trouble is not None:
            yield warn(area, state.trouble, "Make it anew with: hawser rag model get")
        elif state.weights is not None:
            yield info(area, f"The built-in embedder is made at its first use, {state.weights.origin}.")
        else:
            text = "The built-in embedder is not here: documents are found by words only."
            yield warn(area, text, "Get it with: hawser rag model get")
    else:
        yield from _check_local(model, "embedder")
    if settings.rag.chunk_tokens > 254 and model == DEFAULT:
        text = f"Passages of {settings.rag.chunk_tokens} tokens are longer than the 254 that the embedder sees."
        yield warn(area, text, "What is beyond is found by words only; set [rag] chunk_tokens = 254.")


def _check_reranker(settings: Settings) -> Iterator[Finding]:
    from console.library.embedders import read_identity

    name = settings.rag.reranker
    if name is None:
        return
    endpoint, model = read_identity(name, settings.endpoints)
    if endpoint is not None and endpoint.wire != "openai":
        text = f"{endpoint.name} speaks the {endpoint.wire} wire, which has no reranking: [rag] reranker does nothing."
        yield warn("documents", text, "Set it to a model of an endpoint with the openai wire.")
    elif endpoint is not None:
        yield ok("documents", f"{model} of {endpoint.name} ranks the passages that were found.")
    else:
        yield from _check_local(model, "reranker")


def _check_local(model: str, setting: str) -> Iterator[Finding]:
    from importlib.util import find_spec

    if find_spec("sentence_transformers") is None:
        remedy = f"Install it with: pip install 'hawser[embeddings]', or set another [rag] {setting}."
        yield warn("documents", f"{model} needs sentence-transformers, which is not installed.", remedy)
    else:
        yield ok("documents", f"{model} is loaded by sentence-transformers.")


def _check_ocr(settings: Settings) -> Iterator[Finding]:
    import shutil

    program = shutil.which("tesseract")
    if settings.rag.ocr and program is None:
        text = "[rag] ocr is on, but tesseract is not installed: pages that are only pictures are not read."
        yield warn("documents", text, "Install tesseract, or set [rag] ocr = false.")
    elif settings.rag.ocr:
        yield ok("documents", f"Pages that are only pictures are read by {program}.")
    elif program is not None:
        yield info("documents", "Pages that are only pictures are not read; [rag] ocr = true lets tesseract do it.")


def _check_worker(paths: Paths) -> Finding:
    from console.library.place import holder, worker_place

    place = worker_place(paths)
    pid, _ = holder(place)
    if pid is not None and place.socket.exists() and _runs(pid):
        return ok("documents", f"The process that holds them is up ({pid}); its log is {str(place.log)!r}.")
    return info("documents", "No process holds them; the next use starts one.")


def _check_index(paths: Paths) -> Iterator[Finding]:
    """Asked of the process that holds the documents, if one is up: no other knows."""
    from console.errors import NoWorker, TimeLimit, WorkerFailed
    from console.library.once import ask_once
    from rag.errors import RagError

    try:
        status = ask_once(paths, "status", {}, STATUS_LIMIT_S)
    except NoWorker:
        return
    except (TimeLimit, WorkerFailed, RagError) as error:
        yield warn("documents", error.text, "Its log tells more.")
        return
    if trouble := status.get("index_trouble"):
        yield warn("documents", neutralise(str(trouble)), "hawser rag check tells more.")
    if index := status.get("index_kind"):
        yield ok("documents", f"Vectors are looked for in: {neutralise(str(index))}.")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
