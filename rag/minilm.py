"""The built-in embedder: all-MiniLM-L6-v2 by ONNX Runtime, without torch.

Its vectors can be compared with those that sentence-transformers makes with the same model (`tests/rag/test_minilm.py`
says how close they are). Loading takes a quarter of a second, most of it for importing ONNX Runtime.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag.embedder import DEFAULT, Purpose, TokenCounter
from rag.errors import EmbedderFailed, NoModel
from rag.words import first_line, whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Encoding, Tokenizer

    from rag.embedder import Vectors

DIMENSION = 384
WINDOW = 254
"""Tokens of a text, without the two marks around it."""
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
_AT_ONCE = 256


def preload() -> None:
    """Import what it needs, which is most of the time until it is open: for a thread, while its files are verified."""
    with contextlib.suppress(ImportError):  # opening it says so
        import numpy  # noqa: F401, ICN001 - first: onnxruntime fails where another thread is half through it
        import onnxruntime  # noqa: F401
        import tokenizers  # noqa: F401


class MiniLM:
    """Opens the two files in a folder. Whether they are what they should be is known by `model_files`."""

    identity = DEFAULT
    dimension = DIMENSION
    window_tokens = WINDOW
    is_remote = False

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        from concurrent.futures import ThreadPoolExecutor

        import onnxruntime

        self._pieces = WordPieces(folder / TOKENIZER_FILE, DEFAULT)
        self.counter: TokenCounter = self._pieces
        options = onnxruntime.SessionOptions()
        # A text is computed by one thread, and several texts at once by several: that leaves no thread waiting for
        # another, and none spinning meanwhile.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # The graph is written as it shall be computed. Further fusing would bring back SkipLayerNormalization, which
        # is slower than an addition and a normalisation.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / MODEL_FILE), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors share no base class but this one
            raise NoModel(
                f"The model in {str(folder)!r} cannot be opened: {first_line(error)}.",
                hint="`hawser rag model get` makes it anew.",
            ) from error
        self._pool = ThreadPoolExecutor(threads, "embedder") if threads > 1 else None

    def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        import numpy as np

        vectors = np.empty((len(texts), DIMENSION), np.float32)
        for first in range(0, len(texts), _AT_ONCE):
            tokens = self._pieces.tokens(texts[first : first + _AT_ONCE], WINDOW)
            # The longest first, so that none of them is left for the end with one thread at work.
            order = sorted(range(len(tokens)), key=lambda place: -len(tokens[place]))
            for place, vector in zip(order, self._vectors([tokens[place] for place in order]), strict=True):
                vectors[first + place] = vector
        if not np.isfinite(vectors).all():
            raise EmbedderFailed(
                "The built-in embedder computed something that is no number.",
                hint="`hawser rag model get` makes its file anew.",
            )
        return vectors

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _vectors(self, tokens: Sequence[Sequence[int]]) -> Sequence[NDArray[np.float32]]:
        if self._pool is None or len(tokens) == 1:  # a question does not wait behind passages
            return [self._vector(one) for one in tokens]
        return list(self._pool.map(self._vector, tokens))

    def _vector(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        import numpy as np

        try:
            (vector,) = self._session.run(None, {"input_ids": np.array([tokens], np.int64)})
        except Exception as error:  # as above
            raise EmbedderFailed(f"The built-in embedder failed: {first_line(error)}.") from error
        row: NDArray[np.float32] = vector[0]
        return row


class WordPieces:
    """The tokens of a model, from its `tokenizer.json`."""

    def __init__(self, path: Path, name: str) -> None:
        from tokenizers import Tokenizer

        self.name = name
        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # all of its errors are plain `Exception`
            raise NoModel(
                f"The tokens of {name} cannot be read from {str(path)!r}: {first_line(error)}.",
                hint="`hawser rag model get` makes it anew.",
            ) from error
        # The file asks for 128 tokens, no more and no less, whatever the text.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in self._encoded(texts)]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        encoded: Encoding = self._tokenizer.encode(whole(text), add_special_tokens=False)
        return list(encoded.offsets)

    def tokens(self, texts: Sequence[str], longest: int) -> list[list[int]]:
        """The numbers of the first tokens of each text, between the marks that the model expects around them."""
        begin, end = (self._tokenizer.token_to_id(mark) for mark in ("[CLS]", "[SEP]"))
        assert begin is not None
        assert end is not None
        return [[begin, *encoding.ids[:longest], end] for encoding in self._encoded(texts)]

    def _encoded(self, texts: Sequence[str]) -> list[Encoding]:
        encodings: list[Encoding] = self._tokenizer.encode_batch_fast(
            [whole(text) for text in texts], add_special_tokens=False
        )
        return encodings
