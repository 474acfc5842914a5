"""The LiteLLM proxy: a server that others wrote, for our adapters; and a client that others wrote, for our services.

What our adapter asks goes through LiteLLM's own clients to a simulated service and all the way back. So a fault in our
reading of a wire cannot hide behind the same fault in our writing of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from providers.chat.base import ChatProvider, ChatRequest, Delta, Finish, Image, LoadState, Message, ToolCall
from providers.errors import (
    ContextTooLong,
    KeyMissing,
    KeyRefused,
    ModelMissing,
    ProviderError,
    RateLimited,
    RequestRefused,
    ServiceFailed,
)
from providers.registry import chat_provider
from providers.simulated.services import Answer, Fault, FaultKind, SimulatedService, Speed, ToolUse
from tests.conftest import run
from tests.flows.kit import Hawser, Services
from tests.peers.conftest import BEHIND_LITELLM
from tests.peers.pixel import PIXEL
from tests.peers.proxy import MOCKS, LiteLLM
from tests.providers.raw import collect

pytestmark = [pytest.mark.peers, pytest.mark.timeout(150)]

TEXT = "Grüße, 世界! 👩‍🚀 — five\n\n```python\nprint('hé')\n```\n"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
FORM = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
CHATS = ("ollama", "openai", "vllm", "openrouter", "deepseek", "anthropic")

Connect = Callable[..., ChatProvider]


@pytest.fixture(params=["openai", "anthropic"])
def connect(request: pytest.FixtureRequest, litellm: LiteLLM) -> Connect:
    """Our adapter for one of the two wires that LiteLLM offers."""

    def connected(key: str | None = litellm.key) -> ChatProvider:
        return chat_provider(request.param, litellm.host(key=key))

    return connected


@pytest.fixture
def ours(litellm: LiteLLM) -> ChatProvider:
    return chat_provider("openai", litellm.host())


def ask(model: str, text: str = "What is a hawser?", **more: Any) -> ChatRequest:
    return ChatRequest(model, (Message("user", text),), **more)


def service_of(model: str, services: dict[str, SimulatedService]) -> SimulatedService:
    return services[BEHIND_LITELLM[model][0]]


# ---- a third party's server


def test_mock_answer_comes_whole_with_its_counts(connect: Connect) -> None:
    got = run(collect(connect(), ask("plain")))

    assert got.error is None
    assert got.text == MOCKS["plain"]
    assert got.end is not None
    assert got.end.finish is Finish.STOP
    assert got.end.usage.input_tokens
    assert got.end.usage.output_tokens
    assert got.end.model == "plain"


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        ("rate-limited", RateLimited),
        ("too-long", ContextTooLong),
        ("broken", ServiceFailed),
        ("unheard-of", ModelMissing),
    ],
)
def test_mock_error_is_told_by_its_cause(connect: Connect, model: str, cause: type[ProviderError]) -> None:
    got = run(collect(connect(), ask(model)))

    assert got.text == ""
    assert type(got.error) is cause


def test_filtered_question_is_refused(ours: ChatProvider) -> None:
    got = run(collect(ours, ask("filtered")))

    assert got.text == ""
    assert type(got.error) is RequestRefused


def test_models_are_listed(connect: Connect) -> None:
    async def body() -> None:
        provider = connect()

        models = await provider.models()

        assert {model.name for model in models} == {*MOCKS, *BEHIND_LITELLM}
        assert await provider.load_state("plain") is LoadState.UNKNOWN
        await provider.close()

    run(body())


@pytest.mark.parametrize(("key", "cause"), [("sk-wrong-0815", KeyRefused), (None, KeyMissing)])
def test_wrong_key_is_refused_and_shown_to_nobody(
    connect: Connect, key: str | None, cause: type[ProviderError]
) -> None:
    async def body() -> None:
        got = await collect(connect(key), ask("plain"))
        assert type(got.error) is cause
        assert "0815" not in str(got.error)

        provider = connect(key)
        with pytest.raises(cause):
            await provider.models()
        await provider.close()

    run(body())


def test_hawser_answers_through_it(litellm: LiteLLM, services: dict[str, SimulatedService], tmp_path: Path) -> None:
    services["inference"].answers.script("ropes", TEXT)
    hawser = Hawser(tmp_path / "home")
    hawser.settings(f'[endpoints.proxy]\nwire = "openai"\nbase_url = "{litellm.base_url}"', model="proxy/ollama")
    assert hawser.run("key", "set", "proxy", stdin=litellm.key.encode()).code == 0

    plain = hawser.ask("about ropes")
    assert (plain.code, plain.out, plain.err) == (0, TEXT.encode(), "")

    document = hawser.ask("hi", "-m", "proxy/plain", "--json").json()
    assert document["text"] == MOCKS["plain"]
    assert document["model"] == "plain"
    assert document["finish"] == "stop"
    assert document["usage"]["output_tokens"] > 0
    assert document["usage"]["estimated"] is False

    paid = hawser.ask("say 10 tokens", "-m", "proxy/openai", "--json").json()
    assert paid["cost_usd"]["total"] == pytest.approx(0.00009, abs=0.00002)  # as LiteLLM reports it, to six places

    limited = hawser.ask("hi", "-m", "proxy/too-long")
    assert (limited.code, limited.out) == (7, b"")
    assert "does not fit" in limited.err


# ---- a third party's client on the other side


@pytest.mark.parametrize(
    "model", ["ollama", "ollama-thinks", "openai", "openai-thinks", "vllm", "openrouter", "anthropic"]
)
def test_answer_travels_both_wires_byte_exact(
    connect: Connect, services: dict[str, SimulatedService], model: str
) -> None:
    service_of(model, services).answers.script("hawser", TEXT)

    got = run(collect(connect(), ask(model, max_tokens=4000)))

    assert got.error is None
    assert got.text == TEXT
    assert got.end is not None
    assert got.end.finish is Finish.STOP
    assert got.end.usage.input_tokens
    assert got.end.usage.output_tokens


@pytest.mark.parametrize("model", ["ollama-thinks", "vllm", "openrouter"])
def test_thinking_travels_apart_from_the_answer(
    connect: Connect, services: dict[str, SimulatedService], model: str
) -> None:
    service_of(model, services).answers.script("hawser", Answer("A rope.", thinking="Ropes, then."))

    got = run(collect(connect(), ask(model)))

    assert got.error is None
    assert (got.thinking, got.text) == ("Ropes, then.", "A rope.")


def test_answer_and_thinking_of_deepseek_travel(ours: ChatProvider, services: dict[str, SimulatedService]) -> None:
    # Asked over Anthropic's wire, LiteLLM would ask DeepSeek over that one as well.
    services["deepseek"].answers.script("hawser", Answer(TEXT, thinking="Ropes, then."))

    got = run(collect(ours, ask("deepseek")))

    assert got.error is None
    assert (got.thinking, got.text) == ("Ropes, then.", TEXT)


def test_thinking_that_is_asked_for_travels(services: dict[str, SimulatedService], connect: Connect) -> None:
    services["anthropic"].answers.script("hawser", Answer("A rope.", thinking="Ropes, then."))
    wanted = {"thinking": {"type": "enabled", "budget_tokens": 1024}}

    got = run(collect(connect(), ask("anthropic", max_tokens=4000, params=wanted)))

    assert got.error is None
    assert (got.thinking, got.text) == ("Ropes, then.", "A rope.")


@pytest.mark.parametrize("model", ["ollama", "openai", "vllm", "openrouter", "anthropic"])
def test_tool_is_called_and_its_result_brought_back(
    connect: Connect, services: dict[str, SimulatedService], model: str
) -> None:
    service = service_of(model, services)
    service.answers.script("weather in Bremen", Answer(tool_calls=(ToolUse("get_weather", {"city": "Bremen"}),)))

    got = run(collect(connect(), ask(model, "weather in Bremen?", tools=(WEATHER,))))

    assert got.error is None
    (call,) = [call for delta in got.deltas for call in delta.tool_calls]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Bremen"})
    assert got.end is not None
    assert got.end.finish is Finish.TOOL_CALLS

    service.answers.queue("Rain it is.")
    conversation = (
        Message("user", "weather in Bremen?"),
        Message("assistant", "", tool_calls=(ToolCall(call.id, call.name, call.arguments),)),
        Message("tool", "Rain", tool_call_id=call.id),
    )
    then = run(collect(connect(), ChatRequest(model, conversation, tools=(WEATHER,))))

    assert then.error is None
    assert then.text == "Rain it is."


@pytest.mark.parametrize("model", ["ollama-sees", "openai", "anthropic"])
def test_picture_arrives_at_the_model(connect: Connect, services: dict[str, SimulatedService], model: str) -> None:
    service = service_of(model, services)
    seen: list[int] = []

    def look(question: Any) -> str:
        seen.append(sum(turn.images for turn in question.turns))
        return "A pixel."

    service.answers.queue(look)
    request = ChatRequest(model, (Message("user", "What is in this picture?", images=(Image("image/png", PIXEL),)),))

    got = run(collect(connect(), request))

    assert got.error is None
    assert got.text == "A pixel."
    assert seen == [1]


@pytest.mark.parametrize("model", CHATS)
def test_answer_keeps_to_the_schema(ours: ChatProvider, services: dict[str, SimulatedService], model: str) -> None:
    got = run(collect(ours, ask(model, "Bremen?", schema=FORM, max_tokens=2000)))

    assert got.error is None
    value = json.loads(got.text)
    assert set(value) == {"city", "people"}
    assert isinstance(value["people"], int)


@pytest.mark.parametrize("model", ["ollama", "openai", "openai-thinks", "vllm", "anthropic"])
def test_limit_of_the_answer_is_kept_and_told(
    connect: Connect, services: dict[str, SimulatedService], model: str
) -> None:
    got = run(collect(connect(), ask(model, "say 500 tokens", max_tokens=20)))

    assert got.error is None
    assert got.end is not None
    assert got.end.finish is Finish.LENGTH
    assert got.end.usage.output_tokens == 20


@pytest.mark.parametrize("model", CHATS)
def test_parameters_arrive(ours: ChatProvider, services: dict[str, SimulatedService], model: str) -> None:
    got = run(collect(ours, ask(model, params={"temperature": 0.25, "stop": ["word3"]})))

    assert got.error is None
    sent = service_of(model, services).last_json
    assert sent.get("options", sent)["temperature"] == 0.25
    assert "word3" in json.dumps(sent)


@pytest.mark.parametrize("model", CHATS)
def test_stopped_answer_stops_at_the_service_behind(
    ours: ChatProvider, services: dict[str, SimulatedService], running: Services, model: str
) -> None:
    service = service_of(model, services)
    service.speed = Speed(tokens_per_second=100)
    service.faults.always(FaultKind.ENDLESS)

    async def body() -> None:
        async with aclosing(ours.stream(ask(model))) as parts:
            async for part in parts:
                assert isinstance(part, Delta)
                if part.text:
                    break
        await ours.close()

    run(body())
    running.until_idle(service)

    assert service.cancelled_requests == 1


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (Fault(FaultKind.STATUS, 429, retry_after_s=7), RateLimited),
        (Fault(FaultKind.STATUS, 500), ServiceFailed),
        (Fault(FaultKind.STATUS, 503), ServiceFailed),
        (Fault(FaultKind.STATUS, 401), KeyRefused),
        (Fault(FaultKind.HTML, 502), ServiceFailed),
    ],
)
def test_fault_behind_it_reaches_us_as_what_it_is(
    ours: ChatProvider,
    services: dict[str, SimulatedService],
    model: str,
    fault: Fault,
    cause: type[ProviderError],
) -> None:
    service_of(model, services).faults.always(fault)

    got = run(collect(ours, ask(model)))

    assert got.text == ""
    assert type(got.error) is cause
    if isinstance(got.error, RateLimited):
        assert got.error.retry_after_s == 7


@pytest.mark.parametrize("model", [model for model in CHATS if model != "deepseek"])
@pytest.mark.parametrize("fault", [FaultKind.CUT, FaultKind.RESET, FaultKind.ERROR])
def test_break_behind_it_keeps_the_text_and_is_no_end(
    connect: Connect, services: dict[str, SimulatedService], model: str, fault: FaultKind
) -> None:
    service = service_of(model, services)
    service.speed = Speed(tokens_per_second=100)  # LiteLLM forgets what it has not passed on when a connection dies
    service.answers.queue(Answer(tokens=tuple(f"t{n} " for n in range(20))))
    service.faults.always(Fault(fault, 5, message="the GPU is on fire"))

    got = run(collect(connect(), ask(model)))

    assert got.end is None
    assert got.text.startswith("t0 t1 t2")
    assert isinstance(got.error, ProviderError)
    if fault is FaultKind.ERROR:
        assert "the GPU is on fire" in str(got.error)


@pytest.mark.parametrize("model", ["ollama-gone", "openai-gone", "anthropic-gone"])
def test_model_that_is_gone_behind_it_is_missing(
    connect: Connect, services: dict[str, SimulatedService], model: str
) -> None:
    got = run(collect(connect(), ask(model)))

    assert type(got.error) is ModelMissing


@pytest.mark.parametrize("model", [*CHATS, "ollama-generates"])
def test_answer_in_one_piece(litellm: LiteLLM, services: dict[str, SimulatedService], model: str) -> None:
    service_of(model, services).answers.queue(TEXT)

    async def body() -> None:
        async with openai.AsyncOpenAI(
            base_url=litellm.base_url, api_key=litellm.key, max_retries=0, timeout=20
        ) as client:
            answer = await client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "What is a hawser?"}]
            )
        assert answer.choices[0].message.content == TEXT
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.completion_tokens > 0

    run(body())
    assert not service_of(model, services).last_json.get("stream")


@pytest.mark.parametrize("model", ["ollama-embeds", "openai-embeds"])
def test_embeddings_are_taken_from_our_services(
    litellm: LiteLLM, services: dict[str, SimulatedService], model: str
) -> None:
    reply = httpx.post(
        f"{litellm.base_url}/v1/embeddings",
        headers={"Authorization": f"Bearer {litellm.key}"},
        json={"model": model, "input": ["a rope", "the rope", "tax law"]},
        timeout=20,
    )
    rope, same, other = (each["embedding"] for each in reply.raise_for_status().json()["data"])

    def likeness(one: list[float], another: list[float]) -> float:
        return sum(a * b for a, b in zip(one, another, strict=True))

    assert likeness(rope, same) > likeness(rope, other)


def test_answers_travel_side_by_side(ours: ChatProvider, services: dict[str, SimulatedService]) -> None:
    async def one(model: str) -> str:
        said = ""
        async with aclosing(ours.stream(ask(model, f"echo {model} speaks"))) as parts:
            async for part in parts:
                said += part.text if isinstance(part, Delta) else ""
        return said

    async def body() -> list[str]:
        try:
            return await asyncio.gather(*map(one, CHATS))
        finally:
            await ours.close()

    assert run(body()) == [f"{model} speaks" for model in CHATS]
