"""From what `[rag] reranker` says to what ranks passages: a model of an endpoint, or a cross-encoder on this computer.

Called in threads; requests run on the event loop of the process, as those of `embedders.py` do. Whatever fails, the
passages stand in the order they had, and a note says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from console.library.embedders import Book, Wait, is_own, read_identity
from rag.errors import NoModel, RerankerFailed

if TYPE_CHECKING:
    from console.settings_groups import Endpoint
    from providers.rerank import RerankProvider
    from rag.retrieve import Rerank


class Rerankers:
    """Makes the one that is set, at its first question, and keeps it. `close` ends its connections."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        provider: Callable[[Endpoint], RerankProvider],
        wait: Wait,
        *,
        threads: int = 1,
        has_time: bool = True,
        book: Book | None = None,
    ) -> None:
        """Without `has_time`, as in a process that answers one question, no model is loaded here."""
        self._endpoints = endpoints
        self._provider = provider
        self._wait = wait
        self._threads = threads
        self._has_time = has_time
        self._book = book
        self._made: RerankProvider | None = None

    def of(self, identity: str | None) -> Rerank | None:
        """None where none is set. Nothing is loaded or connected before it is called, and it raises a `RagError`."""
        if identity is None:
            return None
        endpoint, model = read_identity(identity, self._endpoints)
        if endpoint is not None:
            return self._remote(endpoint, model)
        if not self._has_time:
            return _not_here(model)
        from rag.cross_encoder import CrossEncoder

        return CrossEncoder(model, threads=self._threads)

    def close(self) -> None:
        if self._made is not None:
            self._wait(self._made.close())
            self._made = None

    def _remote(self, endpoint: Endpoint, model: str) -> Rerank:
        def rerank(question: str, passages: Sequence[str]) -> Sequence[float]:
            from providers.errors import ProviderError

            if endpoint.wire != "openai":
                raise NoModel(
                    f"The endpoint {endpoint.name!r} speaks the {endpoint.wire} wire, which has no reranking.",
                    hint="Set [rag] reranker to a model of an endpoint with the openai wire.",
                )
            if self._made is None:
                self._made = self._provider(endpoint)
            try:
                ranked = self._wait(self._made.rerank(model, question, passages))
            except ProviderError as error:
                raise RerankerFailed(error.text, hint=error.hint) from error
            if self._book is not None and not is_own(endpoint):
                self._wait(self._book(endpoint, model, ranked.tokens))
            return ranked.scores

        return rerank


def _not_here(model: str) -> Rerank:
    def rerank(question: str, passages: Sequence[str]) -> Sequence[float]:
        raise RerankerFailed(
            f"The reranker {model!r} works only in the process that holds the documents, which is not up."
        )

    return rerank
