"""From what `rag.embedder` says to what embeds: the built-in model, one of sentence-transformers, or an endpoint's.

The word is the identity as well: what a collection was embedded with says how its questions are to be embedded. Blocks
and is called in threads; a remote embedder's requests run on the event loop of the process, where keys and links are.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from console.paths import Paths, write_privately
from rag.embedder import DEFAULT, Purpose
from rag.errors import EmbedderFailed, NoModel

if TYPE_CHECKING:
    from console.settings_groups import Endpoint
    from providers.embeddings import EmbeddingProvider
    from rag.embedder import Embedder, TokenCounter, Vectors

_log = logging.getLogger(__name__)
T = TypeVar("T")

NONE = "none"
_USUAL_WINDOW = 512
"""Where the service does not say how much of a text a model sees."""
_QUESTION_TRIES = 2
"""Somebody waits for a question; what is embedded in the background has patience."""
_PROBE = "How many numbers has a vector?"


class Wait(Protocol):
    """Runs something of the event loop to its end, for a thread that waits."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


Book = Callable[["Endpoint", str, int | None], Coroutine[Any, Any, None]]
"""Told what a service embedded that is none of the user's own: where, with which model, and how many tokens it saw."""


class Kind(NamedTuple):
    """What a setting or an identity stands for."""

    endpoint: Endpoint | None
    model: str


def wait_on(loop: asyncio.AbstractEventLoop) -> Wait:
    """For every thread but the loop's own, which would wait for itself."""

    def wait(work: Coroutine[Any, Any, T], /) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    return wait


def read_identity(identity: str, endpoints: Mapping[str, Endpoint]) -> Kind:
    """An endpoint's name before the first slash means that endpoint; anything else is a model for this computer."""
    name, slash, model = identity.partition("/")
    if slash and model and name in endpoints:
        return Kind(endpoints[name], model)
    return Kind(None, DEFAULT if identity == DEFAULT.partition("/")[2] else identity)


def remote_place(identity: str | None, endpoints: Mapping[str, Endpoint]) -> str | None:
    """The endpoint that would get the text of documents, where that is none of the user's own machines."""
    if identity is None or identity == NONE:
        return None
    endpoint = read_identity(identity, endpoints).endpoint
    return None if endpoint is None or is_own(endpoint) else endpoint.name


def is_own(endpoint: Endpoint) -> bool:
    return endpoint.machine is not None or endpoint.is_own


class Embedders:
    """Makes embedders by their identity. `close` closes those that ask endpoints."""

    def __init__(
        self,
        paths: Paths,
        endpoints: Mapping[str, Endpoint],
        provider: Callable[[Endpoint], EmbeddingProvider],
        wait: Wait,
        *,
        threads: int = 1,
        find_weights: bool = True,
        book: Book | None = None,
    ) -> None:
        """Without `find_weights` the built-in model is opened only where it is ready, never made."""
        self._paths = paths
        self._endpoints = endpoints
        self._provider = provider
        self._wait = wait
        self._threads = threads
        self._find_weights = find_weights
        self._book = book
        self._providers: dict[str, EmbeddingProvider] = {}

    def open(self, identity: str | None) -> Embedder | None:
        """None for "none". Raises `NoModel` or `EmbedderFailed`, with what to do. Whoever opens it closes it."""
        if identity is None or identity == NONE:
            return None
        endpoint, model = read_identity(identity, self._endpoints)
        if endpoint is not None:
            return self._remote(identity, endpoint, model)
        if model == DEFAULT:
            return self._built_in()
        from rag.st import SentenceTransformers

        return SentenceTransformers(model, threads=self._threads)

    def _built_in(self) -> Embedder:
        from threading import Thread

        from rag.minilm import MiniLM, preload
        from rag.model_files import find_weights, ready_model

        loading = Thread(target=preload, name="preload")
        loading.start()
        try:
            folder = ready_model(self._paths.embedders, find_weights if self._find_weights else lambda: None)
        finally:
            loading.join()
        return MiniLM(folder, threads=self._threads)

    def close(self) -> None:
        for provider in self._providers.values():
            self._wait(provider.close())
        self._providers.clear()

    def _remote(self, identity: str, endpoint: Endpoint, model: str) -> Embedder:
        if endpoint.wire not in ("ollama", "openai"):
            raise NoModel(
                f"The endpoint {endpoint.name!r} speaks the {endpoint.wire} wire, which has no embeddings.",
                hint="Set rag.embedder to a model of an Ollama or OpenAI endpoint, or to the built-in one.",
            )
        provider = self._providers.get(endpoint.name)
        if provider is None:
            provider = self._providers[endpoint.name] = self._provider(endpoint)
        remote = RemoteEmbedder(identity, endpoint, model, provider, self._wait, self._book)
        known = Remembered(self._paths.embedders / "seen.json")
        size = known.read(identity)
        if size is None:
            size = remote.probe()
            known.keep(identity, size)
        remote.dimension, remote.window_tokens = size
        return remote


class Size(NamedTuple):
    dimension: int
    window_tokens: int


class Remembered:
    """The sizes of remote embedders, so that a question does not begin with asking for them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, identity: str) -> Size | None:
        dimension, window = self._all().get(identity, (0, 0))
        return Size(dimension, window) if dimension > 0 and window > 0 else None

    def keep(self, identity: str, size: Size) -> None:
        write_privately(self._path, json.dumps({**self._all(), identity: size}, indent=1).encode())

    def _all(self) -> dict[str, tuple[int, int]]:
        try:
            written = json.loads(self._path.read_bytes())
            return {str(name): (int(pair[0]), int(pair[1])) for name, pair in written.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, IndexError, AttributeError, RecursionError):
            _log.warning("what was remembered of embedders cannot be read and is asked for again")
            return {}


class RemoteEmbedder:
    """A model of an endpoint."""

    def __init__(
        self,
        identity: str,
        endpoint: Endpoint,
        model: str,
        provider: EmbeddingProvider,
        wait: Wait,
        book: Book | None = None,
    ) -> None:
        from rag.chunks import RoughCounter

        self.identity = identity
        self.is_remote = not is_own(endpoint)
        self.dimension = 0
        self.window_tokens = _USUAL_WINDOW
        self.counter: TokenCounter = RoughCounter()
        self._endpoint = endpoint
        self._model = model
        self._provider = provider
        self._wait = wait
        self._book = book

    def probe(self) -> Size:
        """Ask for one vector and how much of a text the model sees."""
        dimension = self.embed([_PROBE], "question").shape[1]
        window = self._asked(self._provider.window_tokens(self._model))
        return Size(int(dimension), window or _USUAL_WINDOW)

    def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        import numpy as np

        from providers.embeddings import TRIES

        if not texts:
            return np.empty((0, self.dimension), np.float32)
        embedded = self._asked(
            self._provider.embed(
                self._model,
                texts,
                is_question=purpose == "question",
                dimension=self.dimension or None,
                tries=_QUESTION_TRIES if purpose == "question" else TRIES,
            )
        )
        if self._book is not None and self.is_remote:
            self._wait(self._book(self._endpoint, self._model, embedded.tokens))
        vectors = np.array(embedded.vectors, np.float32)
        lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / lengths, np.float32)

    def close(self) -> None:
        """The connection belongs to the `Embedders` that made this one."""

    def _asked(self, work: Coroutine[Any, Any, T]) -> T:
        from providers.errors import ProviderError, RateLimited, ServiceFailed

        try:
            return self._wait(work)
        except ProviderError as error:
            asked_s = error.retry_after_s if isinstance(error, RateLimited | ServiceFailed) else None
            raise EmbedderFailed(error.text, hint=error.hint, retry_after_s=asked_s) from error
