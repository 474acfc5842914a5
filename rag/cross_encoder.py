"""A reranker on this computer: any cross-encoder of sentence-transformers. Wants the extra `embeddings`.

It reads question and passage together, which no vector made beforehand can do. Loading it takes seconds, and a question
does not wait for that: it is loaded beside, and until then the order stands as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple

from rag.errors import NoModel, RagError, RerankerFailed
from rag.st import load_library
from rag.words import first_line

log = logging.getLogger(__name__)

LIMIT_S = 3.0
_BATCH = 8


class _Answer(NamedTuple):
    scores: list[float]
    error: Exception | None = None


class CrossEncoder:
    """`name` is a model of the hub that is in its cache, or a folder. Nothing is fetched; no code of a model is run.

    Called with a question and passages it gives a score for each, or raises a `RagError` within the time limit. One
    thread works, and is given nothing new while it is busy.
    """

    def __init__(self, name: str, *, threads: int = 1, limit_s: float = LIMIT_S) -> None:
        self._name = name
        self._threads = threads
        self._limit_s = limit_s
        self._busy = Lock()
        self._model: Any = None
        self._cannot: RagError | None = None

    def __call__(self, question: str, passages: Sequence[str]) -> list[float]:
        if self._cannot is not None:
            raise self._cannot
        if not self._busy.acquire(blocking=False):
            raise self._late()
        answers: SimpleQueue[_Answer] = SimpleQueue()
        Thread(target=self._work, args=(question, list(passages), answers), name="reranker", daemon=True).start()
        from queue import Empty

        try:
            answer = answers.get(timeout=self._limit_s)
        except Empty:
            raise self._late() from None
        if answer.error is not None:
            raise answer.error
        return answer.scores

    def _late(self) -> RerankerFailed:
        if self._model is None:
            return RerankerFailed(f"The reranker {self._name!r} is still being loaded.")
        return RerankerFailed(
            f"The reranker {self._name!r} did not rank the passages within {self._limit_s:g} s.",
            hint="A smaller model, more [rag] threads, or one at an endpoint with a GPU is faster.",
        )

    def _work(self, question: str, passages: list[str], answers: SimpleQueue[_Answer]) -> None:
        try:
            if self._model is None:
                self._model = _loaded(self._name, self._threads)
            pairs = [(question, passage) for passage in passages]
            scores = self._model.predict(pairs, batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True)
            answer = _Answer([float(score) for score in scores.reshape(len(pairs), -1)[:, 0]])
        except RagError as error:
            self._cannot = error
            answer = _Answer([], error)
        except Exception as error:  # of many libraries, without a base class
            log.warning("the reranker failed", exc_info=error)
            answer = _Answer([], RerankerFailed(f"The reranker {self._name!r} failed: {first_line(error)}."))
        finally:
            self._busy.release()
        answers.put(answer)


def _loaded(name: str, threads: int) -> Any:
    sentence_transformers = load_library(f"The reranker {name!r}", "set [rag] reranker to one at an endpoint", threads)
    try:
        return sentence_transformers.CrossEncoder(name, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of many libraries, without a base class
        raise NoModel(
            f"The reranker {name!r} cannot be loaded: {first_line(error)}.",
            hint="It must be in the cache of sentence-transformers: fetch it there once, or name a folder.",
        ) from error
