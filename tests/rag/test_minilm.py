"""The built-in embedder with its real weights. How well it agrees is in `tests/contracts/test_embedders.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.errors import NoModel
from rag.minilm import MiniLM, WordPieces
from tests.rag.model import minilm


@pytest.fixture(scope="module")
def embedder() -> Iterator[MiniLM]:
    opened = MiniLM(minilm(), threads=2)
    yield opened
    opened.close()


def test_a_vector_does_not_depend_on_what_else_is_embedded(embedder: MiniLM) -> None:
    texts = [f"Machine number {number} " + "is rented by the hour. " * number for number in range(12)]

    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])

    assert np.array_equal(together, alone)


def test_what_is_beyond_the_window_is_not_seen(embedder: MiniLM) -> None:
    counted = embedder.counter.count(["word " * 254])
    full, longer, shorter = embedder.embed(["word " * 254, "word " * 254 + "gold", "word " * 200 + "gold"])

    assert counted == [254]
    assert np.array_equal(full, longer)
    assert not np.array_equal(full, shorter)


def test_more_than_128_tokens_are_seen(embedder: MiniLM) -> None:
    one, other = embedder.embed(["word " * 150 + "rivers", "word " * 150 + "budgets"])

    assert float(one @ other) < 0.9999


def test_offsets_are_those_of_the_text() -> None:
    counter = WordPieces(minilm() / "tokenizer.json", "minilm")
    text = "Untunnelled née 💡 stay\nopen"

    pieces = [text[start:end] for start, end in counter.offsets(text)]

    assert "".join(pieces) == "".join(text.split())
    assert pieces[-4:] == ["née", "💡", "stay", "open"]
    assert counter.count([text]) == [len(pieces)]
    assert len(pieces) > 5


def test_halves_of_characters_do_no_harm(embedder: MiniLM) -> None:
    broken = "half \ud83d a character"

    assert embedder.counter.offsets(broken)[-1] == (9, 18)
    assert np.isfinite(embedder.embed([broken])).all()


def test_no_texts_are_no_vectors(embedder: MiniLM) -> None:
    assert embedder.embed([]).shape == (0, 384)


def test_files_that_are_no_model_are_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((minilm() / "tokenizer.json").read_bytes())
    (tmp_path / "model.onnx").write_bytes(b"no model")

    with pytest.raises(NoModel, match="cannot be opened") as refused:
        MiniLM(tmp_path)

    assert "model get" in (refused.value.hint or "")
