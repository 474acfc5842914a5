"""Any model of sentence-transformers, on this computer's processor or GPU.

Wants the extra `embeddings`. Importing it takes seconds and brings torch, so it is for the worker only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rag.embedder import Purpose, TokenCounter
from rag.errors import EmbedderFailed, NoModel
from rag.words import first_line, whole

if TYPE_CHECKING:
    from rag.embedder import Vectors

_BATCH = 8
_DEFAULT_WINDOW = 512


def load_library(whose: str, otherwise: str, threads: int) -> Any:
    """The module `sentence_transformers`, for whoever wants it, kept to so many threads and quiet."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import sentence_transformers
        import torch
        import transformers
    except ImportError as error:
        raise NoModel(
            f"{whose} wants sentence-transformers, which is not installed.",
            hint=f"Install hawser with the extra `embeddings`, or {otherwise}.",
        ) from error
    torch.set_num_threads(max(1, threads))
    transformers.utils.logging.disable_progress_bar()
    return sentence_transformers


class SentenceTransformers:
    """`name` is a model of the hub or a folder. Nothing is fetched unless `may_fetch`; no code of a model is run."""

    is_remote = False

    def __init__(self, name: str, *, threads: int = 1, device: str | None = None, may_fetch: bool = False) -> None:
        """Without `device`, a GPU that is there is used."""
        sentence_transformers = load_library(f"The embedder {name!r}", "set rag.embedder to another one", threads)
        try:
            self._model: Any = sentence_transformers.SentenceTransformer(
                name, device=device, local_files_only=not may_fetch, trust_remote_code=False
            )
        except OSError as error:
            raise NoModel(
                f"The embedder {name!r} is neither on this computer nor at an endpoint of the settings.",
                hint="Name a folder or a model that the cache of sentence-transformers has, or write endpoint/model.",
            ) from error
        except Exception as error:  # of many libraries, without a base class
            raise NoModel(
                f"The embedder {name!r} cannot be loaded: {first_line(error)}.",
                hint="It must be in the cache of sentence-transformers: fetch it there once, or name a folder.",
            ) from error
        self.identity = name
        self.dimension = int(self._model.get_embedding_dimension())
        counter = _Counter(self._model.tokenizer, name)
        self.counter: TokenCounter = counter
        self.window_tokens = int(self._model.max_seq_length or _DEFAULT_WINDOW) - counter.marks

    def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), np.float32)
        encode = self._model.encode_query if purpose == "question" else self._model.encode_document
        try:
            # The library sorts by length itself.
            vectors = encode(
                [whole(text) for text in texts],
                batch_size=_BATCH,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        except Exception as error:  # a GPU without memory, a tokenizer's own, and others
            raise EmbedderFailed(f"The embedder {self.identity!r} failed: {first_line(error)}.") from error
        vectors = np.asarray(vectors, np.float32)
        if vectors.shape != (len(texts), self.dimension) or not np.isfinite(vectors).all():
            raise EmbedderFailed(f"The embedder {self.identity!r} computed something that is no vector.")
        return vectors

    def close(self) -> None:
        """Its memory is given back with the process; a model has nothing else to be closed."""


class _Counter:
    def __init__(self, tokenizer: Any, name: str) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self.marks = int(tokenizer.num_special_tokens_to_add(pair=False))

    def count(self, texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        encoded = self._tokenizer(
            [whole(text) for text in texts], add_special_tokens=False, truncation=False, verbose=False
        )
        return [len(ids) for ids in encoded["input_ids"]]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        encoded = self._tokenizer(
            whole(text), add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )
        return [(int(start), int(end)) for start, end in encoded["offset_mapping"]]
