"""What turns text into vectors, and what counts its tokens. Implementations are loaded where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from rag.errors import EmbedderFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]

DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"
Purpose: TypeAlias = Literal["passage", "question"]


class TokenCounter(Protocol):
    """How long texts are for a model, and where its tokens stand."""

    name: str

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the marks that a model adds around it."""

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a text begins and ends, in characters."""


class Embedder(Protocol):
    """Blocks; called in a thread of the worker. Raises `EmbedderFailed` when it cannot, with what to do."""

    identity: str
    """Says which vectors can be compared: the model, and whatever else changes them."""
    dimension: int
    window_tokens: int
    """Tokens of a text that it sees, without its own marks; what is beyond is not in the vector."""
    is_remote: bool
    """Whether text leaves this computer."""
    counter: TokenCounter

    def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        """One row of length one for each text, float32."""

    def close(self) -> None: ...


def embedded(embedder: Embedder, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
    """What it made of the texts, little-endian; whatever is wrong with what came is an `EmbedderFailed`."""
    import numpy as np  # 100 ms

    vectors: Vectors = np.asarray(embedder.embed(texts, purpose), dtype="<f4")
    if vectors.shape != (len(texts), embedder.dimension):
        raise EmbedderFailed(
            f"{embedder.identity!r} gave vectors of the shape {vectors.shape}, not {(len(texts), embedder.dimension)}.",
            hint="It may be another model than the one that was chosen; see `hawser rag model ls`.",
        )
    if not np.isfinite(vectors).all():
        raise EmbedderFailed(f"{embedder.identity!r} gave vectors that are no numbers.")
    return vectors
