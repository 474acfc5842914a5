"""What every embedder promises, whatever computes it: the built-in one and sentence-transformers with the real weights
of MiniLM, and both wires at simulated services."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.library.embedders import Embedders, wait_on
from console.paths import Paths
from console.settings_groups import Endpoint, Wire
from providers.chat.base import Host
from providers.embeddings import EmbeddingProvider
from providers.registry import embedding_provider
from providers.simulated.services import SimulatedOllama, SimulatedOpenAI
from rag.embedder import DEFAULT, Embedder
from tests.clocks import EagerClock
from tests.rag.model import embedders, minilm, weights

TEXTS = [
    "A tunnel stays open when the laptop sleeps, and is there again with the same port.",
    "The price of a machine is counted by the second.",
    "Bananas are yellow when they are ripe.",
    "def tunnel(port: int) -> None: ...",
]
EMBEDDERS = ("built-in", "sentence-transformers", "ollama", "openai")
AGREEMENT = 0.995


@contextlib.contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The process's event loop as a worker has it: in a thread other than the one that embeds."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _opened(name: str, home: Path, stack: contextlib.ExitStack) -> Embedder | None:
    if name == "built-in":
        from rag.minilm import MiniLM

        return MiniLM(minilm(), threads=2)
    if name == "sentence-transformers":
        from rag.st import SentenceTransformers

        return SentenceTransformers(str(weights()), threads=1, device="cpu")
    loop = stack.enter_context(running_loop())
    wait = wait_on(loop)
    service = SimulatedOllama(key=None) if name == "ollama" else SimulatedOpenAI(key="")
    wire: Wire = "ollama" if name == "ollama" else "openai"
    wait(service.__aenter__())
    stack.callback(lambda: wait(service.__aexit__()))
    endpoint = Endpoint(name="lab", wire=wire, base_url=service.base_url)
    made = Embedders(
        Paths(home, home, home, home),
        {"lab": endpoint},
        lambda asked: embedding_provider(asked.wire, Host("lab", asked.base_url, service.key), EagerClock()),
        wait,
    )
    stack.callback(made.close)
    return made.open("lab/nomic-embed-text" if name == "ollama" else "lab/text-embedding-3-small")


@pytest.fixture(scope="module", params=EMBEDDERS)
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    with contextlib.ExitStack() as stack:
        opened = _opened(request.param, tmp_path_factory.mktemp("home"), stack)
        assert opened is not None
        stack.callback(opened.close)
        yield opened


def test_vectors_have_the_promised_shape_and_length_one(embedder: Embedder) -> None:
    import numpy as np

    vectors = embedder.embed(TEXTS)

    assert vectors.shape == (len(TEXTS), embedder.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1.0] * len(TEXTS), abs=1e-5)


def test_a_question_is_nearest_to_what_answers_it(embedder: Embedder) -> None:
    passages = embedder.embed(TEXTS)
    (question,) = embedder.embed(["Does the tunnel stay open?"], "question")

    assert (passages @ question).argmax() == 0


def test_the_same_text_has_the_same_vector_in_any_order(embedder: Embedder) -> None:
    forth = embedder.embed(TEXTS)
    back = embedder.embed(TEXTS[::-1])[::-1]

    assert (forth * back).sum(axis=1) == pytest.approx([1.0] * len(TEXTS), abs=1e-4)


def test_no_texts_have_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_texts_without_words_have_vectors_too(embedder: Embedder) -> None:
    assert embedder.embed(["", " \n", "\ud83d", "💡"]).shape == (4, embedder.dimension)


def test_texts_beyond_the_window_are_taken(embedder: Embedder) -> None:
    assert embedder.embed(["word " * 20_000]).shape == (1, embedder.dimension)
    assert embedder.window_tokens >= 254


def test_tokens_are_counted_and_have_their_places(embedder: Embedder) -> None:
    text = "Two words"

    assert embedder.counter.count([text, ""]) == [2, 0]
    assert embedder.counter.offsets(text) == [(0, 3), (4, 9)]


def test_more_than_a_batch_keeps_its_order(embedder: Embedder) -> None:
    texts = [f"machine {number}" for number in range(150)]

    vectors = embedder.embed(texts)

    assert (vectors[149] * embedder.embed([texts[149]])[0]).sum() == pytest.approx(1.0, abs=1e-4)
    assert len(vectors) == 150


def test_the_built_in_embedder_agrees_with_sentence_transformers(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        ours = _opened("built-in", tmp_path, stack)
        theirs = _opened("sentence-transformers", tmp_path, stack)
        assert ours is not None
        assert theirs is not None
        text = Path(__file__).parents[2].joinpath("docs", "machines.md").read_text()
        cuts = [text[start : start + size] for start in range(0, 12_000, 2_000) for size in (40, 300, 1_000, 2_000)]

        agreement = (ours.embed(cuts) * theirs.embed(cuts)).sum(axis=1)

        assert agreement.mean() >= AGREEMENT
        assert agreement.min() >= AGREEMENT - 0.005
        assert ours.counter.count(cuts) == theirs.counter.count(cuts)
        assert [ours.counter.offsets(cut) for cut in cuts] == [theirs.counter.offsets(cut) for cut in cuts]
        assert (ours.dimension, ours.window_tokens) == (theirs.dimension, theirs.window_tokens)


def test_the_default_is_the_built_in_model(tmp_path: Path) -> None:
    paths = Paths(tmp_path, embedders().parent, tmp_path, tmp_path)
    assert paths.embedders == embedders()

    def nobody(endpoint: Endpoint) -> EmbeddingProvider:
        raise AssertionError("the built-in model asks no endpoint")

    def never(work: object) -> object:
        raise AssertionError("the built-in model waits for nobody")

    made = Embedders(paths, {}, nobody, never, find_weights=False)  # type: ignore[arg-type]
    opened = made.open(DEFAULT)

    assert opened is not None
    assert (opened.identity, opened.dimension, opened.is_remote) == (DEFAULT, 384, False)
    assert made.open("none") is None
    opened.close()


def test_a_model_that_is_not_here_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rag.errors import NoModel
    from rag.st import SentenceTransformers

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(NoModel, match="neither on this computer nor at an endpoint") as missing:
        SentenceTransformers("nobody/has-this-model")

    assert "that the cache" in (missing.value.hint or "")
