"""`[rag] reranker` from the settings to the order of passages, at simulated servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from console.doctor_documents import check_documents
from console.library.embedders import wait_on
from console.library.rerankers import Rerankers
from console.paths import Paths
from console.runtime import open_runtime
from console.settings import settings_from
from console.settings_groups import Endpoint
from providers.chat.base import Host
from providers.registry import rerank_provider
from providers.simulated.faults import FaultKind
from providers.simulated.rerank import score
from providers.simulated.services import SimulatedReranker
from rag.documents import Passage, Retrieved, Wanted
from rag.errors import NoModel, RerankerFailed
from tests.conftest import run
from tests.console.library_kit import ROPES, put_in

TALKER = Endpoint(name="talker", wire="ollama", base_url="http://127.0.0.1:1")
LOCAL = '[endpoints.here]\nwire = "ollama"\nbase_url = "http://127.0.0.1:1"\n'
MODEL = "BAAI/bge-reranker-v2-m3"
HOSTED = Endpoint(name="hosted", wire="openai", base_url="https://rank.example.com/v1")


class At:
    def __init__(self, service: SimulatedReranker) -> None:
        self.service = service
        self.booked: list[tuple[str, str, int | None]] = []

    async def book(self, endpoint: Endpoint, model: str, tokens: int | None) -> None:
        self.booked.append((endpoint.name, model, tokens))

    def rerankers(self, endpoint: Endpoint) -> Rerankers:
        return Rerankers(
            {endpoint.name: endpoint, "talker": TALKER},
            lambda asked: rerank_provider("openai", Host(asked.name, self.service.base_url)),
            wait_on(asyncio.get_running_loop()),
            has_time=False,
            book=self.book,
        )


def at_a_server(body: Callable[[At], Awaitable[None]]) -> None:
    async def work() -> None:
        async with SimulatedReranker() as service:
            await body(At(service))

    run(work())


def test_nothing_is_asked_before_there_is_a_question_and_what_it_took_is_booked() -> None:
    async def body(at: At) -> None:
        made = at.rerankers(HOSTED)
        rerank = made.of(f"hosted/{MODEL}")
        assert rerank is not None
        assert at.service.requests == []
        scores = await asyncio.to_thread(rerank, "a loop", ["copper", "a loop"])
        await asyncio.to_thread(made.close)

        assert scores[1] > scores[0]
        ((name, model, tokens),) = at.booked
        assert (name, model) == ("hosted", MODEL)
        assert tokens

    at_a_server(body)


def test_what_stays_on_own_machines_is_not_booked() -> None:
    async def body(at: At) -> None:
        made = at.rerankers(Endpoint(name="own", wire="openai", base_url=at.service.base_url))
        rerank = made.of(f"own/{MODEL}")
        assert rerank is not None
        await asyncio.to_thread(rerank, "a loop", ["copper"])
        await asyncio.to_thread(made.close)

        assert at.booked == []

    at_a_server(body)


def test_what_cannot_rank_says_so() -> None:
    async def body(at: At) -> None:
        made = at.rerankers(HOSTED)
        assert made.of(None) is None
        wrong, local = made.of("talker/any"), made.of("cross-encoder/any")
        assert wrong is not None
        assert local is not None
        with pytest.raises(NoModel, match="ollama wire, which has no reranking"):
            await asyncio.to_thread(wrong, "a", ["b"])
        with pytest.raises(RerankerFailed, match="the process that holds the documents"):
            await asyncio.to_thread(local, "a", ["b"])

    at_a_server(body)


def paths_in(folder: Path) -> Paths:
    return Paths(folder / "config", folder / "data", folder / "state", folder / "cache")


def write(paths: Paths, text: str) -> None:
    paths.config_file.parent.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(text)


def _as_sent(passage: Passage) -> str:
    return "\n".join((*passage.headings, passage.text))


def test_a_question_without_a_worker_is_ranked_or_says_why_not(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    put_in(paths, "ropes", ROPES)
    wanted = Wanted("rope that joins ropes of thickness", ("ropes",), top_k=3)

    async def asked() -> Retrieved:
        async with open_runtime(paths, {}, lambda text: None) as runtime:
            return await runtime.library.retrieve(wanted)

    async def work() -> None:
        async with SimulatedReranker() as service:
            rank = f'[endpoints.rank]\nwire = "openai"\nbase_url = "{service.base_url}"\n'
            write(paths, f'[rag]\nembedder = "none"\nreranker = "rank/{MODEL}"\n{rank}')
            ranked = await asked()
            service.faults.always(FaultKind.EMPTY)
            unranked = await asked()

            order = sorted(ranked.passages, key=lambda one: -score(wanted.text, _as_sent(one)))
            assert list(ranked.passages) == order
            assert ranked.notes == ()
            (note,) = unranked.notes
            assert note.endswith("The order is without the reranker.")
            assert {one.text for one in unranked.passages} == {one.text for one in ranked.passages}
            assert [recorded.path for recorded in service.requests] == ["/v1/rerank", "/v1/rerank"]

    run(work())


def test_doctor_says_what_ranks_and_what_reads_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = paths_in(tmp_path)
    put_in(paths, "ropes", ROPES)

    def told(text: str = "") -> str:
        return "\n".join(f"{each}" for each in check_documents(paths, settings_from(text, paths, {})))

    monkeypatch.setattr("shutil.which", lambda name: None)
    assert "tesseract is not installed" in told("[rag]\nocr = true\n")
    assert "tesseract" not in told()
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/tesseract")
    assert "are read by /usr/bin/tesseract" in told("[rag]\nocr = true\n")
    assert "ocr = true lets tesseract do it" in told()
    assert "which has no reranking" in told(f'{LOCAL}[rag]\nreranker = "here/any"\n')
    assert "ranks the passages" in told(f'{LOCAL.replace("ollama", "openai")}[rag]\nreranker = "here/any"\n')
    assert "org/model is loaded by sentence-transformers" in told('[rag]\nreranker = "org/model"\n')
