"""What every chat adapter promises, tried on each against the simulated service of its wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing

import pytest

from providers.chat.base import ChatRequest, Delta, End, Finish, LoadState, Message, ToolCall
from providers.errors import (
    BadReply,
    ContextTooLong,
    KeyMissing,
    KeyRefused,
    ModelMissing,
    OutOfCredit,
    ProviderError,
    RateLimited,
    ServiceFailed,
    StreamBroken,
    Unreachable,
)
from providers.registry import WIRES
from providers.simulated.services import (
    Answer,
    Fault,
    FaultKind,
    Speed,
    ToolUse,
)
from tests.contracts.bench import HOSTS, PIXEL, TEXT, Bench, Body
from tests.providers.raw import collect


def test_every_wire_of_the_registry_is_tried() -> None:
    assert {kind.wire for kind, _, _ in HOSTS.values()} == set(WIRES)


# ---- answers


def test_answer_is_byte_exact_and_ends_once(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.answers.script("hawser", TEXT)

        got = await collect(table.provider, table.ask())

        assert got.error is None
        assert got.text == TEXT
        assert got.end is not None
        assert got.end.finish is Finish.STOP
        assert got.end.usage.input_tokens
        assert got.end.usage.output_tokens
        assert got.end.model

    bench(body)


@pytest.mark.parametrize("fault", [FaultKind.CRLF, FaultKind.COMMENTS, FaultKind.TINY_WRITES, FaultKind.WRONG_TYPE])
def test_answer_is_the_same_however_it_is_sent(bench: Callable[[Body], None], fault: FaultKind) -> None:
    async def body(table: Bench) -> None:
        table.service.answers.script("hawser", Answer(TEXT, thinking="Ropes…"))
        table.service.faults.always(fault)

        got = await collect(table.provider, table.ask())

        assert got.error is None
        assert got.text == TEXT

    bench(body)


def test_missing_usage_is_unknown_and_not_zero(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.always(FaultKind.NO_USAGE)

        got = await collect(table.provider, table.ask("say 5 tokens"))

        assert got.error is None
        assert got.end is not None
        assert got.end.usage.output_tokens in (None, 1)  # the Anthropic wire always opens with a first count

    bench(body)


def test_long_answer_is_merged_into_few_deltas(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        got = await collect(table.provider, table.ask("say 3000 tokens", max_tokens=8000))

        assert got.error is None
        assert got.end is not None
        assert (got.end.usage.output_tokens or 0) >= 3000  # thinking counts too
        assert len(got.deltas) < 1500

    bench(body)


def test_answer_that_reaches_its_limit_says_so(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        got = await collect(table.provider, table.ask("say 50 tokens", max_tokens=7))

        assert got.error is None
        assert got.end is not None
        assert got.end.finish is Finish.LENGTH

    bench(body)


def test_refused_answer_says_so(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.answers.script("hawser", Answer("I cannot.", finish="refused"))

        got = await collect(table.provider, table.ask())

        assert got.error is None
        assert got.end is not None
        # Ollama's wire has no word for a refusal.
        assert got.end.finish is (Finish.STOP if table.service.wire == "ollama" else Finish.REFUSED)

    bench(body)


# ---- what goes along


def test_conversation_with_instructions_images_and_tools_is_understood(bench: Callable[[Body], None]) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    call = ToolCall("call_1", "get_weather", '{"city": "Bremen"}')

    async def body(table: Bench) -> None:
        table.service.answers.script("picture", "A pixel.")
        request = ChatRequest(
            table.model,
            (
                Message("system", "Be brief."),
                Message("user", "And the weather?"),
                Message("assistant", "", tool_calls=(call,)),
                Message("tool", "Rain", tool_call_id="call_1"),
                Message("user", "Now this picture:"),
                Message("user", "what is in the picture?", images=(PIXEL,)),
            ),
            tools=(tool,),
        )

        got = await collect(table.provider, request)

        if got.error is None:
            assert got.text == "A pixel."
        else:  # a model without eyes is a matter of the model, and said in the service's words
            assert "image" in str(got.error)

    bench(body)


def test_call_of_a_tool_comes_whole(bench: Callable[[Body], None]) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }

    async def body(table: Bench) -> None:
        table.service.answers.script("weather", Answer(tool_calls=(ToolUse("get_weather", {"city": "Bremen"}),)))

        got = await collect(table.provider, table.ask("weather in Bremen?", tools=(tool,)))

        assert got.error is None
        (call,) = [call for delta in got.deltas for call in delta.tool_calls]
        assert call.name == "get_weather"
        assert call.id
        assert json.loads(call.arguments) == {"city": "Bremen"}
        assert got.end is not None
        assert got.end.finish is Finish.TOOL_CALLS

    bench(body)


def test_answer_in_a_form_is_text_in_that_form(bench: Callable[[Body], None]) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }

    async def body(table: Bench) -> None:

        import jsonschema

        got = await collect(table.provider, table.ask("Bremen?", schema=schema))

        assert got.error is None
        jsonschema.validate(json.loads(got.text), schema)
        assert got.end is not None
        assert got.end.finish is Finish.STOP

    bench(body)


def test_parameters_go_to_the_wire_as_they_are(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        got = await collect(table.provider, table.ask(params={"temperature": 0.25, "top_p": 0.5}))

        assert got.error is None
        sent = table.service.last_json
        assert sent.get("options", sent)["temperature"] == 0.25
        assert sent.get("options", sent)["top_p"] == 0.5

    bench(body)


# ---- refusals


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (429, None, RateLimited),
        (500, None, ServiceFailed),
        (503, None, ServiceFailed),
        (504, None, ServiceFailed),
        (529, None, ServiceFailed),
        (402, "Insufficient credits", OutOfCredit),
        (400, "This model's maximum context length is 8192 tokens", ContextTooLong),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
        (401, None, (KeyRefused, KeyMissing)),
    ],
)
def test_refusal_becomes_the_error_of_its_cause(
    bench: Callable[[Body], None], status: int, message: str | None, expected: type[ProviderError]
) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.always(Fault(FaultKind.STATUS, status, message=message, retry_after_s=7))

        text, error = await table.failure()

        assert text == ""
        assert isinstance(error, expected)
        assert str(error).startswith(("lab (127.0.0.1:", "The account at lab", "The prompt does not fit"))
        if isinstance(error, RateLimited):
            assert error.retry_after_s == 7
        if isinstance(error, ServiceFailed):
            assert error.status == status

    bench(body)


def test_page_of_a_proxy_is_named_by_its_title(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.once(FaultKind.HTML)
        _, error = await table.failure()
        assert isinstance(error, ServiceFailed)
        assert "titled" in str(error)

        table.service.faults.once(FaultKind.HTML, 200)
        _, error = await table.failure()
        assert isinstance(error, BadReply)
        assert "titled" in str(error)

    bench(body)


def test_wrong_key_is_refused_and_shown_to_nobody(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        if table.service.key is None:
            table.service.key = "sk-right"
        for key, expected in (("sk-wrong-0815-9999", KeyRefused), (None, KeyMissing)):
            table.provider = table.connect(key)

            _, error = await table.failure()

            assert isinstance(error, expected)
            assert "0815" not in f"{error} {error.hint}"
            assert "0815" not in repr(table.provider)

    bench(body)


def test_missing_model_is_named(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        _, error = await table.failure(model="no-such-model")
        assert isinstance(error, ModelMissing)
        assert "no-such-model" in str(error)

        table.service.faults.always(FaultKind.MODEL_GONE)
        _, error = await table.failure()
        assert isinstance(error, ModelMissing)

    bench(body)


# ---- breaks


@pytest.mark.parametrize(
    "fault", [FaultKind.CUT, FaultKind.RESET, FaultKind.END_EARLY, FaultKind.CUT_LINE, FaultKind.CUT_CHARACTER]
)
@pytest.mark.parametrize("after", [0, 5])
def test_broken_answer_keeps_its_text_and_says_that_it_broke(
    bench: Callable[[Body], None], fault: FaultKind, after: int
) -> None:
    async def body(table: Bench) -> None:
        table.service.answers.script("hawser", Answer(tokens=tuple(f"t{n} " for n in range(20))))
        table.service.faults.always(fault, after)

        text, error = await table.failure()

        assert isinstance(error, StreamBroken | Unreachable)
        assert error.may_retry
        assert "".join(f"t{n} " for n in range(20)).startswith(text)
        if after and fault is not FaultKind.RESET:
            assert text.startswith("t0 t1 t2 t3 t4")

    bench(body)


def test_error_inside_an_answer_comes_after_the_text_before_it(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.answers.script("hawser", Answer(tokens=("one ", "two ", "three")))
        table.service.faults.always(Fault(FaultKind.ERROR, 2, message="the GPU is on fire"))

        text, error = await table.failure()

        assert text == "one two "
        assert isinstance(error, ProviderError)
        assert "the GPU is on fire" in str(error)

    bench(body)


def test_nobody_there_is_unreachable(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        await table.service.close_door()

        _, error = await table.failure()

        assert isinstance(error, Unreachable)
        assert await table.provider.load_state(table.model) is LoadState.UNKNOWN

    bench(body)


# ---- stopping


def test_closing_the_answer_ends_it_at_the_other_side(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.speed = Speed(tokens_per_second=200)
        table.service.faults.always(FaultKind.ENDLESS)

        async with aclosing(table.provider.stream(table.ask())) as parts:
            async for part in parts:
                assert isinstance(part, Delta)
                break

        await asyncio.wait_for(table.service.until_idle(), 5)
        assert table.service.cancelled_requests == 1

    bench(body)


@pytest.mark.parametrize("fault", [FaultKind.SLOW, FaultKind.STALL, FaultKind.ENDLESS])
def test_cancelling_ends_the_answer_at_the_other_side(bench: Callable[[Body], None], fault: FaultKind) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.always(fault)

        async def read() -> None:
            async with aclosing(table.provider.stream(table.ask())) as parts:
                async for part in parts:
                    assert not isinstance(part, End)

        reading = asyncio.create_task(read())
        await table.service.until_running()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

        await asyncio.wait_for(table.service.until_idle(), 5)
        assert table.service.cancelled_requests == 1

    bench(body)


def test_answers_run_side_by_side(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        async def one(text: str) -> str:
            said = ""
            async with aclosing(table.provider.stream(table.ask(f"echo {text}"))) as parts:
                async for part in parts:
                    said += part.text if isinstance(part, Delta) else ""
            return said

        assert await asyncio.gather(*(one(f"word{n}") for n in range(6))) == [f"word{n}" for n in range(6)]

    bench(body)


def test_provider_works_again_after_it_was_closed(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        await table.provider.models()
        await table.provider.close()
        await table.provider.close()

        assert await table.provider.models()

    bench(body)


# ---- models


def test_models_are_listed(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        models = await table.provider.models()

        assert table.model in [model.name for model in models]
        assert len({model.name for model in models}) == len(models)

    bench(body)


def test_list_of_models_fails_as_plainly_as_an_answer(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.always(Fault(FaultKind.STATUS, 500, on="/"))
        with pytest.raises(ServiceFailed):
            await table.provider.models()

        table.service.faults.clear()
        table.service.faults.always(Fault(FaultKind.HTML, 200, on="/"))
        with pytest.raises(BadReply, match="web page"):
            await table.provider.models()

    bench(body)


def test_asking_for_the_state_never_raises(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        state = await table.provider.load_state(table.model)
        expected = LoadState.LOADING if table.service.wire == "ollama" else LoadState.UNKNOWN
        assert state is expected

        table.service.faults.always(Fault(FaultKind.HTML, 200, on="/"))
        assert await table.provider.load_state(table.model) is LoadState.UNKNOWN

    bench(body)
