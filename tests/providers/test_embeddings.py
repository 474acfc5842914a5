"""Both embedding wires at simulated services: what is sent, what is looked at, and how trouble is met."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from providers.chat.base import Host
from providers.embeddings import EmbeddingProvider, prefix_of
from providers.errors import (
    BadReply,
    KeyRefused,
    ModelMissing,
    ProviderError,
    RateLimited,
    RequestRefused,
    ServiceFailed,
    Unreachable,
)
from providers.registry import embedding_provider
from providers.simulated.faults import Fault, FaultKind
from providers.simulated.services import SimulatedOllama, SimulatedOpenAI, SimulatedService
from providers.simulated.vectors import embed
from tests.clocks import EagerClock
from tests.conftest import run

WIRES = ("ollama", "openai")


class Bench:
    def __init__(self, service: SimulatedService, clock: EagerClock) -> None:
        self.service = service
        self.clock = clock
        self.model = "nomic-embed-text" if service.wire == "ollama" else "text-embedding-3-small"
        self.dimension = 768 if service.wire == "ollama" else 1536
        self.provider = self.connect(service.key)

    def connect(self, key: str | None) -> EmbeddingProvider:
        return embedding_provider(self.service.wire, Host("lab", self.service.base_url, key), self.clock)

    def expected(self, text: str) -> list[float]:
        return embed(prefix_of(self.model, is_question=False) + text, self.dimension)

    def sent(self) -> list[list[str]]:
        return [recorded.json["input"] for recorded in self.service.requests]


Body = Callable[[Bench], Awaitable[None]]


@pytest.fixture(params=WIRES)
def bench(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    def on_a_service(body: Body) -> None:
        async def work() -> None:
            service = SimulatedOllama(key=None) if request.param == "ollama" else SimulatedOpenAI(key="")
            async with service:
                made = Bench(service, EagerClock())
                try:
                    await body(made)
                finally:
                    await made.provider.close()

        run(work())

    return on_a_service


def test_vectors_come_in_the_order_of_the_texts(bench: Callable[[Body], None]) -> None:
    async def body(at: Bench) -> None:
        at.service.faults.always(FaultKind.OTHER_ORDER)
        embedded = await at.provider.embed(at.model, ["one tunnel", "two machines", "three prices"])

        for vector, text in zip(embedded.vectors, ["one tunnel", "two machines", "three prices"], strict=True):
            assert list(vector) == pytest.approx(at.expected(text))
        assert embedded.tokens is not None
        assert embedded.tokens >= 6

    bench(body)


def test_many_texts_go_in_batches(bench: Callable[[Body], None]) -> None:
    async def body(at: Bench) -> None:
        embedded = await at.provider.embed(at.model, [f"text {number}" for number in range(150)])

        assert [len(texts) for texts in at.sent()] == [64, 64, 22]
        assert list(embedded.vectors[149]) == pytest.approx(at.expected("text 149"))

    bench(body)


def test_too_many_requests_wait_as_long_as_they_are_told(bench: Callable[[Body], None]) -> None:
    async def body(at: Bench) -> None:
        at.service.faults.next(1, Fault(FaultKind.STATUS, 429, retry_after_s=7))
        at.service.faults.next(1, Fault(FaultKind.STATUS, 503, retry_after_s=3))
        at.service.faults.next(1, Fault(FaultKind.STATUS, 500))
        embedded = await at.provider.embed(at.model, ["a text"])

        assert len(embedded.vectors) == 1
        assert at.clock.slept == [7, 3, 4]

    bench(body)


def test_a_wait_that_is_too_long_is_an_error_at_once(bench: Callable[[Body], None]) -> None:
    async def body(at: Bench) -> None:
        at.service.faults.always(Fault(FaultKind.STATUS, 429, retry_after_s=3600))
        with pytest.raises(RateLimited) as refused:
            await at.provider.embed(at.model, ["a text"])

        assert refused.value.retry_after_s == 3600
        assert at.clock.slept == []

    bench(body)


def test_trouble_that_stays_ends_after_some_tries(bench: Callable[[Body], None]) -> None:
    async def body(at: Bench) -> None:
        at.service.faults.always(Fault(FaultKind.STATUS, 503))
        with pytest.raises(ServiceFailed):
            await at.provider.embed(at.model, ["a text"], tries=3)

        assert at.clock.slept == [1, 2]

    bench(body)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(FaultKind.END_EARLY, 1), "1 vectors for 2 texts"),
        (Fault(FaultKind.EMPTY), "0 vectors for 2 texts"),
        (Fault(FaultKind.NOT_A_NUMBER), "without a direction"),
        (Fault(FaultKind.GARBAGE), "not an answer"),
        (Fault(FaultKind.OTHER_SIZE, 12), "vectors of 12 numbers where"),
        (Fault(FaultKind.OTHER_SIZE, 0), "a vector of 0 numbers"),
        (Fault(FaultKind.HTML, 404), "web page"),
    ],
)
def test_what_is_no_answer_is_refused(bench: Callable[[Body], None], fault: Fault, said: str) -> None:
    async def body(at: Bench) -> None:
        at.service.faults.always(fault)
        with pytest.raises(BadReply, match=said):
            await at.provider.embed(at.model, ["one", "two"], dimension=at.dimension)

    bench(body)


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.RESET])
def test_a_broken_connection_is_tried_again(bench: Callable[[Body], None], kind: FaultKind) -> None:
    async def body(at: Bench) -> None:
        at.service.faults.once(kind)
        embedded = await at.provider.embed(at.model, ["a text"])

        assert list(embedded.vectors[0]) == pytest.approx(at.expected("a text"))
        assert len(at.service.requests) == 2

    bench(body)


def test_a_model_that_is_not_there_is_named(bench: Callable[[Body], None]) -> None:
    async def body(at: Bench) -> None:
        with pytest.raises((ModelMissing, RequestRefused), match="no-such-model"):
            await at.provider.embed("no-such-model", ["a text"])

    bench(body)


def test_a_service_that_is_gone_is_unreachable(bench: Callable[[Body], None]) -> None:
    async def body(at: Bench) -> None:
        await at.service.close_door()
        with pytest.raises(Unreachable):
            await at.provider.embed(at.model, ["a text"], tries=2)

        assert at.clock.slept == [1]

    bench(body)


def test_a_refused_key_is_not_tried_again() -> None:
    async def body() -> None:
        async with SimulatedOpenAI(key="sk-right") as service:
            at = Bench(service, EagerClock())
            provider = at.connect("sk-wrong")
            with pytest.raises(KeyRefused) as refused:
                await provider.embed(at.model, ["a text"])
            await provider.close()

            assert "sk-wrong" not in str(refused.value)
            assert len(service.requests) == 1

    run(body())


def test_a_text_that_is_too_long_is_shortened() -> None:
    async def body() -> None:
        async with SimulatedOpenAI(key="", context_tokens=100) as service:
            at = Bench(service, EagerClock())
            embedded = await at.provider.embed(at.model, ["short", "word " * 400, "short too"])
            sent = at.sent()
            await at.provider.close()

        assert len(embedded.vectors) == 3
        assert list(embedded.vectors[2]) == pytest.approx(at.expected("short too"))
        assert len(sent[0]) == 3
        assert 0 < max(len(text) for text in sent[-1]) < 2000

    run(body())


def test_models_that_were_trained_with_words_before_a_question_get_them() -> None:
    async def body() -> None:
        async with SimulatedOllama(key=None) as service:
            at = Bench(service, EagerClock())
            await at.provider.embed(at.model, ["a text"])
            await at.provider.embed(at.model, ["a text"], is_question=True)
            sent = at.sent()
            await at.provider.close()

        assert sent == [["search_document: a text"], ["search_query: a text"]]

    run(body())


def test_ollama_tells_how_much_a_model_sees() -> None:
    async def body() -> None:
        async with SimulatedOllama(key=None) as service:
            at = Bench(service, EagerClock())
            window = await at.provider.window_tokens(at.model)
            await at.provider.close()

        assert window == 2048

    run(body())


def test_a_wire_without_embeddings_is_said() -> None:
    with pytest.raises(ProviderError, match="anthropic"):
        embedding_provider("anthropic", Host("lab", "http://127.0.0.1:1"), EagerClock())


def test_a_host_may_tell_it_in_its_list_of_models() -> None:
    async def body() -> None:
        async with SimulatedOpenAI(key="", flavour="vllm") as service:
            at = Bench(service, EagerClock())
            model = service.models[0].name
            known = await at.provider.window_tokens(model)
            unknown = await at.provider.window_tokens("another")
            await at.provider.close()

        assert known is not None
        assert known >= 1024
        assert unknown is None

    run(body())
