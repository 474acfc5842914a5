"""What every chat adapter sends is what was meant: the service at the other side, which was written for the official
clients and not for ours, tells what it understood."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers.chat.base import ChatRequest, Finish, Image, Message, ToolCall
from providers.simulated.services import Answer, FaultKind, Question, ToolUse, Turn
from tests.contracts.bench import PIXEL, Bench, Body
from tests.providers.raw import collect

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
FORM = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SEEING = {
    "ollama": "llava:latest",
    "openai": "gpt-4.1",
    "openrouter": "openai/gpt-4.1-mini",
    "anthropic": "claude-sonnet-5-5",
}
THINKING = {
    "ollama": "qwen3:8b",
    "openrouter": "qwen/qwen3-32b",
    "vllm": "Qwen/Qwen3-8B",
    "deepseek": "deepseek-reasoner",
    "anthropic": "claude-haiku-4-5",
}


class Listener:
    """Keeps the questions as a service understood them."""

    def __init__(self, table: Bench, answer: Answer | str = "I see.") -> None:
        self.heard: list[Question] = []
        self._answer = answer
        table.service.answers.script("", self._listen)

    def _listen(self, question: Question) -> Answer | str:
        self.heard.append(question)
        return self._answer

    @property
    def last(self) -> Question:
        return self.heard[-1]


def test_conversation_is_understood_turn_by_turn(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        listener = Listener(table)
        request = ChatRequest(
            table.model,
            (
                Message("system", "Be brief."),
                Message("user", "What is a hawser?"),
                Message("assistant", "A rope."),
                Message("user", "Und auf Deutsch? “Trosse” — 世界 👩‍🚀"),
            ),
            max_tokens=77,
        )

        got = await collect(table.provider, request)

        assert (got.error, got.text) == (None, "I see.")
        assert listener.last.turns == (
            Turn("system", "Be brief."),
            Turn("user", "What is a hawser?"),
            Turn("assistant", "A rope."),
            Turn("user", "Und auf Deutsch? “Trosse” — 世界 👩‍🚀"),
        )
        assert listener.last.max_tokens == 77
        assert listener.last.tools == ()
        assert listener.last.schema is None

    bench(body)


def test_tools_and_what_they_brought_are_understood(bench: Callable[[Body], None]) -> None:
    calls = (ToolCall("call_a", "get_weather", '{"city": "Bremen"}'), ToolCall("call_b", "get_weather", '{"city": ""}'))

    async def body(table: Bench) -> None:
        listener = Listener(table)
        request = ChatRequest(
            table.model,
            (
                Message("user", "And the weather?"),
                Message("assistant", "", tool_calls=calls),
                Message("tool", "Rain", tool_call_id="call_a"),
                Message("tool", "No such city", tool_call_id="call_b"),
            ),
            tools=(WEATHER,),
        )

        got = await collect(table.provider, request)

        assert (got.error, got.text) == (None, "I see.")
        brought = [turn.text for turn in listener.last.turns if turn.role == "tool"]
        assert brought == ["Rain", "No such city"]
        (tool,) = listener.last.tools
        assert (tool.name, tool.description) == ("get_weather", "The weather in a city")
        assert tool.schema == WEATHER["function"]["parameters"]  # type: ignore[index]

    bench(body)


def test_several_calls_in_one_answer_keep_their_order(bench: Callable[[Body], None]) -> None:
    uses = tuple(ToolUse("get_weather", {"city": city}) for city in ("Bremen", "Zürich", "東京"))

    async def body(table: Bench) -> None:
        table.service.answers.script("weather", Answer("Let me see.", tool_calls=uses))

        got = await collect(table.provider, table.ask("the weather?", tools=(WEATHER,)))

        assert got.error is None
        calls = [call for delta in got.deltas for call in delta.tool_calls]
        assert [json.loads(call.arguments)["city"] for call in calls] == ["Bremen", "Zürich", "東京"]
        assert len({call.id for call in calls}) == 3
        assert got.end is not None
        assert got.end.finish is Finish.TOOL_CALLS

    bench(body)


@pytest.mark.parametrize("bench", SEEING, indirect=True)
def test_pictures_are_seen(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        listener = Listener(table)
        pictures = (PIXEL, Image("image/jpeg", PIXEL.content))
        asked = Message("user", "What is in these?", images=pictures)

        got = await collect(table.provider, ChatRequest(SEEING[table.name], (asked,)))

        assert (got.error, got.text) == (None, "I see.")
        assert listener.last.turns == (Turn("user", "What is in these?", images=2),)

    bench(body)


@pytest.mark.parametrize("bench", THINKING, indirect=True)
def test_thinking_comes_before_the_answer_and_apart_from_it(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        listener = Listener(table, Answer("A rope. 世界", thinking="Ropes… 世界"))

        got = await collect(table.provider, table.ask(model=THINKING[table.name], thinking=True, max_tokens=4000))

        assert got.error is None
        assert (got.thinking, got.text) == ("Ropes… 世界", "A rope. 世界")
        kinds = [bool(delta.text) for delta in got.deltas]
        assert kinds == sorted(kinds)
        assert listener.last.thinks

    bench(body)


@pytest.mark.parametrize("bench", ["ollama", "anthropic"], indirect=True)
def test_thinking_can_be_switched_off(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        got = await collect(table.provider, table.ask(model=THINKING[table.name], thinking=False))

        assert got.error is None
        assert got.thinking == ""
        assert got.text

    bench(body)


def test_schema_is_understood(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        got = await collect(table.provider, table.ask("Bremen?", schema=FORM))

        assert got.error is None
        assert set(json.loads(got.text)) == {"city"}

    bench(body)


def test_tokens_are_those_that_the_service_counted(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        listener = Listener(table, Answer(tokens=tuple(f"t{n} " for n in range(50))))

        got = await collect(table.provider, table.ask())

        assert got.end is not None
        assert got.end.usage.input_tokens == listener.last.prompt_tokens
        assert got.end.usage.output_tokens == 50

        table.service.faults.always(FaultKind.TRUNCATE, 5)
        cut = await collect(table.provider, table.ask("word " * 200))

        assert cut.end is not None
        assert cut.end.usage.input_tokens == 5  # from which a caller sees that the rest was dropped

    bench(body)


def test_question_that_nobody_reads_is_not_asked(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        before = len(table.service.requests)

        await table.provider.stream(table.ask()).aclose()

        assert len(table.service.requests) == before

    bench(body)


@pytest.mark.parametrize(
    "params",
    [{"temperature": 0.5}, {"seed": 7}, {"stop": ["x"]}, {"some_future_parameter": {"deep": [1, None, "é"]}}],
    ids=lambda params: next(iter(params)),
)
def test_parameters_travel_under_their_own_names(bench: Callable[[Body], None], params: dict[str, Any]) -> None:
    async def body(table: Bench) -> None:
        got = await collect(table.provider, table.ask(params=params))

        assert got.error is None
        sent = table.service.last_json
        (name, value), *_ = params.items()
        assert (sent.get("options") or sent)[name] == value

    bench(body)
