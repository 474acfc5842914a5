"""Both ways of ranking passages, at simulated servers: what is sent, what is looked at, and how trouble is met."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from providers.chat.base import Host
from providers.errors import BadReply, KeyRefused, ModelMissing, ProviderError, ServiceFailed, TimedOut, Unreachable
from providers.registry import rerank_provider
from providers.rerank import RerankProvider
from providers.simulated.faults import Fault, FaultKind
from providers.simulated.rerank import Manner, SimulatedReranker, score
from tests.conftest import run

MANNERS: tuple[Manner, ...] = ("vllm", "llama.cpp", "litellm", "tei")
QUESTION = "which knot makes a loop"
PASSAGES = ["The price of copper.", "The bowline is a knot that makes a loop.", "A loop of wire."]


class Bench:
    def __init__(self, service: SimulatedReranker) -> None:
        self.service = service
        self.provider = self.connect(service.key)

    def connect(self, key: str | None) -> RerankProvider:
        return rerank_provider("openai", Host("lab", self.service.base_url, key))

    async def scores(self) -> list[float]:
        return (await self.provider.rerank(self.service.model, QUESTION, PASSAGES)).scores


Body = Callable[[Bench], Awaitable[None]]
At = Callable[[Body], None]


@pytest.fixture(params=MANNERS)
def bench(request: pytest.FixtureRequest) -> At:
    def at_a_server(body: Body) -> None:
        async def work() -> None:
            async with SimulatedReranker(manner=request.param, key="") as service:
                made = Bench(service)
                try:
                    await body(made)
                finally:
                    await made.provider.close()

        run(work())

    return at_a_server


def test_scores_come_in_the_order_of_the_passages(bench: At) -> None:
    async def body(at: Bench) -> None:
        ranked = await at.provider.rerank(at.service.model, QUESTION, PASSAGES)

        assert ranked.scores == [score(QUESTION, passage) for passage in PASSAGES]
        assert ranked.scores[1] == max(ranked.scores)
        assert ranked.tokens is not None
        assert ranked.tokens > len(PASSAGES)

    bench(body)


def test_what_a_server_understood_is_remembered(bench: At) -> None:
    async def body(at: Bench) -> None:
        await at.scores()
        before = len(at.service.requests)
        await at.scores()

        assert len(at.service.requests) == before + 1
        sent = at.service.last_json
        assert sent["query"] == QUESTION
        assert sent["texts" if at.service.manner == "tei" else "documents"] == PASSAGES

    bench(body)


def test_nothing_to_rank_asks_nobody(bench: At) -> None:
    async def body(at: Bench) -> None:
        assert (await at.provider.rerank("any", QUESTION, [])).scores == []
        assert at.service.requests == []

    bench(body)


def test_passages_that_are_left_out_are_last(bench: At) -> None:
    async def body(at: Bench) -> None:
        at.service.faults.always(FaultKind.END_EARLY, 2)
        scores = await at.scores()

        assert len(scores) == 3
        left_out = 2 if at.service.manner == "llama.cpp" else 0
        assert scores[left_out] == min(scores)
        assert scores.count(min(scores)) == 1

    bench(body)


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (FaultKind.EMPTY, BadReply, "no scores"),
        (FaultKind.NOT_A_NUMBER, BadReply, "no number"),
        (FaultKind.GARBAGE, BadReply, None),
        (FaultKind.HTML, ProviderError, None),
        (Fault(FaultKind.STATUS, 500, message="out of memory"), ServiceFailed, "out of memory"),
        (FaultKind.RESET, ProviderError, None),
        (FaultKind.CUT, ProviderError, None),
    ],
    ids=["empty", "no-number", "garbage", "html", "500", "reset", "cut"],
)
def test_nonsense_is_an_error(
    bench: At, fault: Fault | FaultKind, error: type[ProviderError], says: str | None
) -> None:
    async def body(at: Bench) -> None:
        at.service.faults.always(fault)
        with pytest.raises(error, match=says):
            await at.scores()

    bench(body)


@pytest.mark.parametrize("kind", [FaultKind.SLOW, FaultKind.STALL])
def test_it_has_an_end(bench: At, kind: FaultKind) -> None:
    async def body(at: Bench) -> None:
        await at.scores()
        at.service.faults.always(kind)
        with pytest.raises(TimedOut, match=r"within 0\.05 s"):
            await at.provider.rerank(at.service.model, QUESTION, PASSAGES, limit_s=0.05)
        at.service.faults.clear()

        assert len(await at.scores()) == 3

    bench(body)


def test_a_wrong_key_and_a_server_that_is_gone(bench: At) -> None:
    async def body(at: Bench) -> None:
        stranger = at.connect("sk-wrong")
        with pytest.raises(KeyRefused) as refused:
            await stranger.rerank(at.service.model, QUESTION, PASSAGES)
        await stranger.close()
        assert "sk-wrong" not in f"{refused.value}{refused.value.text}{refused.value.hint}"
        await at.service.close_door()
        with pytest.raises(Unreachable):
            await at.scores()

    bench(body)


def test_a_model_that_is_not_there_is_named() -> None:
    async def work() -> None:
        async with SimulatedReranker() as service:
            provider = rerank_provider("openai", Host("lab", service.base_url))
            with pytest.raises(ModelMissing, match="bge-other"):
                await provider.rerank("bge-other", QUESTION, PASSAGES)
            await provider.close()

            assert [recorded.path for recorded in service.requests] == ["/v1/rerank", "/rerank"]

    run(work())


@pytest.mark.parametrize(
    "reply",
    [
        '{"results": [{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 2}]}',
        '{"results": [{"index": 9, "relevance_score": 1}]}',
        '{"results": [{"index": 0, "relevance_score": true}]}',
        '{"results": [{"index": 0, "relevance_score": NaN}]}',
        '{"results": 7}',
        "[7]",
        "[]",
        "null",
    ],
)
def test_replies_that_fit_no_question(reply: str) -> None:
    async def work() -> None:
        async with SimulatedReranker() as service:
            service.faults.always(Fault(FaultKind.STATUS, 200, body=reply))
            provider = rerank_provider("openai", Host("lab", service.base_url))
            with pytest.raises(BadReply):
                await provider.rerank(service.model, QUESTION, PASSAGES)
            await provider.close()

    run(work())


def test_scores_as_words_and_rows_without_numbers_are_read() -> None:
    async def work() -> None:
        reply = '{"data": [{"relevance_score": "0.25"}, {"score": -3}, {"score": 1e-9}]}'
        async with SimulatedReranker() as service:
            service.faults.always(Fault(FaultKind.STATUS, 200, body=reply))
            provider = rerank_provider("openai", Host("lab", service.base_url))
            ranked = await provider.rerank(service.model, QUESTION, PASSAGES)
            await provider.close()

            assert ranked == ([0.25, -3.0, 1e-9], None)

    run(work())
