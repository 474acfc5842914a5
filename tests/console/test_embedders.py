"""From a setting to an embedder; what every one of them promises is in `tests/contracts/test_embedders.py`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from console.library.embedders import Embedders, read_identity, remote_place, wait_on
from console.money.embedding import embedding_entry
from console.money.prices import Prices
from console.paths import Paths
from console.settings import ModelPrice
from console.settings_groups import Endpoint
from providers.chat.base import Host
from providers.registry import embedding_provider
from providers.simulated.faults import Fault, FaultKind
from providers.simulated.services import SimulatedOpenAI
from rag.embedder import DEFAULT
from rag.errors import EmbedderFailed, NoModel
from tests.clocks import START, EagerClock
from tests.conftest import run

IDENTITY = "lab/text-embedding-3-small"
HOSTED = Endpoint(name="hosted", wire="openai", base_url="https://llm.example.com/v1")
OWN = Endpoint(name="own", wire="ollama", base_url="http://192.168.1.20:11434")
RENTED = Endpoint(name="box", wire="ollama", base_url="http://box.example.com", machine="box", service="ollama")
TALKER = Endpoint(name="talker", wire="anthropic", base_url="http://127.0.0.1:1")
ENDPOINTS = {each.name: each for each in (HOSTED, OWN, RENTED, TALKER)}


class At:
    """Embedders of one service, as the console makes them: in a thread, over the loop of the process."""

    def __init__(self, home: Path, service: SimulatedOpenAI) -> None:
        self.home = home
        self.service = service
        self.booked: list[tuple[str, str, int | None]] = []
        self.endpoint = Endpoint(name="lab", wire="openai", base_url=service.base_url)

    async def book(self, endpoint: Endpoint, model: str, tokens: int | None) -> None:
        self.booked.append((endpoint.name, model, tokens))

    def embedders(self) -> Embedders:
        return Embedders(
            Paths(self.home, self.home, self.home, self.home),
            {"lab": self.endpoint, "talker": TALKER},
            lambda asked: embedding_provider("openai", Host("lab", asked.base_url, self.service.key), EagerClock()),
            wait_on(asyncio.get_running_loop()),
            book=self.book,
        )


def at_a_service(home: Path, body: Callable[[At], Awaitable[None]]) -> None:
    async def work() -> None:
        async with SimulatedOpenAI(key="") as service:
            await body(At(home, service))

    run(work())


def test_the_size_of_a_remote_embedder_is_asked_for_once(tmp_path: Path) -> None:
    async def body(at: At) -> None:
        for _ in range(2):
            made = at.embedders()
            embedder = await asyncio.to_thread(made.open, IDENTITY)
            await asyncio.to_thread(made.close)
            assert embedder is not None
            assert (embedder.identity, embedder.dimension, embedder.window_tokens) == (IDENTITY, 1536, 8191)

        assert len(at.service.requests) == 1

    at_a_service(tmp_path, body)


def test_what_is_remembered_may_be_garbage(tmp_path: Path) -> None:
    async def body(at: At) -> None:
        (tmp_path / "embedders").mkdir()
        (tmp_path / "embedders" / "seen.json").write_text('{"lab/other": 7')
        made = at.embedders()
        embedder = await asyncio.to_thread(made.open, IDENTITY)
        await asyncio.to_thread(made.close)

        assert embedder is not None
        assert json.loads((tmp_path / "embedders" / "seen.json").read_text()) == {IDENTITY: [1536, 8191]}

    at_a_service(tmp_path, body)


def test_another_dimension_than_before_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    async def body(at: At) -> None:
        made = at.embedders()
        embedder = await asyncio.to_thread(made.open, IDENTITY)
        assert embedder is not None
        at.service.faults.always(FaultKind.OTHER_SIZE, 12)

        with pytest.raises(EmbedderFailed, match="vectors of 12 numbers where 1536") as failed:
            await asyncio.to_thread(embedder.embed, ["a text"])

        assert "reindex" in (failed.value.hint or "")
        await asyncio.to_thread(made.close)

    at_a_service(tmp_path, body)


def test_an_endpoint_that_fails_is_an_error_of_the_embedder(tmp_path: Path) -> None:
    async def body(at: At) -> None:
        at.service.faults.always(Fault(FaultKind.STATUS, 401))
        made = at.embedders()

        with pytest.raises(EmbedderFailed, match="key"):
            await asyncio.to_thread(made.open, IDENTITY)

        assert not (tmp_path / "embedders" / "seen.json").exists()
        await asyncio.to_thread(made.close)

    at_a_service(tmp_path, body)


def test_how_long_a_service_wants_to_be_left_alone_is_handed_on(tmp_path: Path) -> None:
    async def body(at: At) -> None:
        at.service.faults.always(Fault(FaultKind.STATUS, 429, retry_after_s=600))
        made = at.embedders()

        with pytest.raises(EmbedderFailed) as failed:
            await asyncio.to_thread(made.open, IDENTITY)

        assert failed.value.retry_after_s == 600
        await asyncio.to_thread(made.close)

    at_a_service(tmp_path, body)


def test_vectors_that_are_no_numbers_are_an_error_of_the_embedder(tmp_path: Path) -> None:
    async def body(at: At) -> None:
        made = at.embedders()
        embedder = await asyncio.to_thread(made.open, IDENTITY)
        assert embedder is not None
        at.service.faults.always(FaultKind.NOT_A_NUMBER)

        with pytest.raises(EmbedderFailed, match="vector"):
            await asyncio.to_thread(embedder.embed, ["a text"])

        await asyncio.to_thread(made.close)

    at_a_service(tmp_path, body)


def test_what_stays_on_own_machines_is_not_booked(tmp_path: Path) -> None:
    async def body(at: At) -> None:
        made = at.embedders()
        embedder = await asyncio.to_thread(made.open, IDENTITY)
        await asyncio.to_thread(made.close)

        assert embedder is not None
        assert not embedder.is_remote
        assert at.booked == []

    at_a_service(tmp_path, body)


def test_what_a_service_embeds_is_booked(tmp_path: Path) -> None:
    async def body(at: At) -> None:
        at.endpoint = Endpoint(name="lab", wire="openai", base_url="https://llm.example.com/v1")
        made = Embedders(
            Paths(tmp_path, tmp_path, tmp_path, tmp_path),
            {"lab": at.endpoint},
            lambda _: embedding_provider("openai", Host("lab", at.service.base_url, at.service.key), EagerClock()),
            wait_on(asyncio.get_running_loop()),
            book=at.book,
        )
        embedder = await asyncio.to_thread(made.open, IDENTITY)
        assert embedder is not None
        await asyncio.to_thread(embedder.embed, ["three small words"])
        await asyncio.to_thread(made.close)

        assert embedder.is_remote
        assert at.booked[-1] == ("lab", "text-embedding-3-small", 3)

    at_a_service(tmp_path, body)


def test_the_line_in_the_books_has_the_price() -> None:
    prices = Prices({"hosted/small": ModelPrice(name="hosted/small", input=Decimal("0.02"), output=Decimal(0))})
    known = embedding_entry(HOSTED, "small", 3_000_000, prices=prices, at=START, client="documents")
    unknown = embedding_entry(HOSTED, "other", 5, prices=prices, at=START, client="documents")

    assert (known.task, known.input_tokens, known.cost_usd) == ("embedding", 3_000_000, Decimal("0.06"))
    assert unknown.cost_usd is None


@pytest.mark.parametrize(
    ("identity", "place"),
    [
        ("hosted/text-embedding", "hosted"),
        ("own/nomic-embed-text", None),
        ("box/bge-m3", None),
        (DEFAULT, None),
        ("BAAI/bge-small-en-v1.5", None),
        ("none", None),
        (None, None),
    ],
)
def test_only_a_hosted_endpoint_gets_text_that_leaves(identity: str | None, place: str | None) -> None:
    assert remote_place(identity, ENDPOINTS) == place


def test_a_name_without_an_endpoint_is_a_model_for_this_computer() -> None:
    assert read_identity("own/org/model", ENDPOINTS) == (OWN, "org/model")
    assert read_identity("org/model", ENDPOINTS) == (None, "org/model")
    assert read_identity("all-MiniLM-L6-v2", ENDPOINTS) == (None, DEFAULT)


def test_a_wire_without_embeddings_is_refused(tmp_path: Path) -> None:
    async def body(at: At) -> None:
        made = at.embedders()
        with pytest.raises(NoModel, match="anthropic wire, which has no embeddings"):
            await asyncio.to_thread(made.open, "talker/any")

        await asyncio.to_thread(made.close)

    at_a_service(tmp_path, body)
