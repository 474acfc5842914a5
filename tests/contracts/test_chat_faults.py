"""Every fault that a simulated service knows, met by every chat adapter: survived with the same text, or told as what
it is. A kind of fault that is added is tried here from then on, and fails until its outcome is written down."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from contextlib import aclosing

import pytest

from providers.chat.base import Delta, End, Finish
from providers.errors import (
    BadReply,
    ModelMissing,
    ProviderError,
    ServiceFailed,
    StreamBroken,
    Unreachable,
)
from providers.simulated.services import Answer, Fault, FaultKind
from tests.contracts.bench import Bench, Body
from tests.providers.raw import collect

TOKENS = tuple(f"t{n} " for n in range(40))
WHOLE = "".join(TOKENS)
HALF = "".join(TOKENS[:20])

SURVIVED = (
    FaultKind.WRONG_TYPE,
    FaultKind.NO_USAGE,
    FaultKind.CRLF,
    FaultKind.COMMENTS,
    FaultKind.TINY_WRITES,
    FaultKind.TRUNCATE,
)
"""The answer is as if nothing had been."""

TOLD: dict[FaultKind, tuple[Fault, type[ProviderError], str | None]] = {
    FaultKind.STATUS: (Fault(FaultKind.STATUS, 500), ServiceFailed, ""),
    FaultKind.HTML: (Fault(FaultKind.HTML, 502), ServiceFailed, ""),
    FaultKind.MODEL_GONE: (Fault(FaultKind.MODEL_GONE), ModelMissing, ""),
    FaultKind.CUT: (Fault(FaultKind.CUT, 20), StreamBroken, HALF),
    FaultKind.RESET: (Fault(FaultKind.RESET, 20), StreamBroken, None),
    FaultKind.END_EARLY: (Fault(FaultKind.END_EARLY, 20), StreamBroken, HALF),
    FaultKind.CUT_LINE: (Fault(FaultKind.CUT_LINE, 20), StreamBroken, HALF),
    FaultKind.CUT_CHARACTER: (Fault(FaultKind.CUT_CHARACTER, 20), StreamBroken, HALF),
    FaultKind.ERROR: (Fault(FaultKind.ERROR, 20, message="on fire"), ServiceFailed, HALF),
    FaultKind.GARBAGE: (Fault(FaultKind.GARBAGE, 20), BadReply, HALF),
    FaultKind.LONG_LINE: (Fault(FaultKind.LONG_LINE, 20 * 1024 * 1024), BadReply, None),
}
"""What the caller is told, and the text that came before; None where the network may have taken some of it along."""

SILENT = (FaultKind.SLOW, FaultKind.STALL, FaultKind.ENDLESS)
"""Nothing an adapter could end: whoever asked watches the time and leaves."""

ELSEWHERE = (FaultKind.EMPTY, FaultKind.ESCAPES, FaultKind.REFUSE)
"""Answers of their own, and a door instead of a request: each has a test of its own below."""

OF_VECTORS = (FaultKind.OTHER_SIZE, FaultKind.NOT_A_NUMBER, FaultKind.OTHER_ORDER)
"""They hit answers with vectors alone, see `tests/providers/test_embeddings.py`."""


def test_every_kind_of_fault_has_an_outcome() -> None:
    outcomes = [*SURVIVED, *TOLD, *SILENT, *ELSEWHERE, *OF_VECTORS]

    assert sorted(outcomes) == sorted(FaultKind)


@pytest.mark.parametrize("kind", SURVIVED)
def test_fault_is_survived(bench: Callable[[Body], None], kind: FaultKind) -> None:
    async def body(table: Bench) -> None:
        table.service.answers.script("hawser", Answer(tokens=TOKENS))
        table.service.faults.always(kind)

        got = await collect(table.provider, table.ask())

        assert got.error is None
        assert got.text == WHOLE
        assert got.end is not None
        assert got.end.finish is Finish.STOP

    bench(body)


@pytest.mark.parametrize("kind", TOLD)
def test_fault_is_told_as_what_it_is_with_the_text_before_it(bench: Callable[[Body], None], kind: FaultKind) -> None:
    fault, cause, before = TOLD[kind]

    async def body(table: Bench) -> None:
        table.service.answers.script("hawser", Answer(tokens=TOKENS))
        table.service.faults.always(fault)

        got = await collect(table.provider, table.ask())

        assert type(got.error) is cause
        assert got.end is None
        assert WHOLE.startswith(got.text)
        assert before is None or got.text == before

    bench(body)


@pytest.mark.parametrize("kind", SILENT)
def test_silent_service_is_let_go_at_once(bench: Callable[[Body], None], kind: FaultKind) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.always(kind)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), aclosing(table.provider.stream(table.ask())) as parts:
                async for part in parts:
                    assert isinstance(part, Delta)

        await asyncio.wait_for(table.service.until_idle(), 5)
        assert table.service.running_requests == 0
        assert table.service.cancelled_requests == 1

    bench(body)


def test_control_codes_come_as_they_are_for_whoever_shows_them_to_take_out(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.always(FaultKind.ESCAPES)

        got = await collect(table.provider, table.ask())

        assert got.error is None
        assert "\x1b[" in got.text

    bench(body)


def test_empty_answer_is_no_error_on_a_wire_that_closed_it(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.always(FaultKind.EMPTY)

        got = await collect(table.provider, table.ask())

        assert (got.error, got.text) == (None, "")
        assert got.end is not None

    bench(body)


def test_service_that_is_gone_and_back_is_reached_again(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        await table.service.close_door()
        _, error = await table.failure()
        assert type(error) is Unreachable

        await table.service.open_door()
        got = await collect(table.provider, table.ask("echo back"))

        assert (got.error, got.text) == (None, "back")

    bench(body)


def test_service_that_leaves_while_it_answers_breaks_the_answer(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.answers.script("hawser", Answer(tokens=TOKENS))
        table.service.faults.always(FaultKind.STALL, 20)
        said = ""

        with pytest.raises(StreamBroken):
            async with aclosing(table.provider.stream(table.ask())) as parts:
                async for part in parts:
                    assert not isinstance(part, End)
                    said += part.text
                    if said == HALF:
                        await table.service.close_door()

        assert said == HALF

    bench(body)


def test_line_without_end_takes_no_more_memory_than_a_line_may(bench: Callable[[Body], None]) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.always(FaultKind.LONG_LINE, 200 * 1024 * 1024)

        tracemalloc.start()
        try:
            got = await collect(table.provider, table.ask())
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert type(got.error) is BadReply
        assert most < 48 * 1024 * 1024

    bench(body)


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.CUT, FaultKind.RESET, FaultKind.GARBAGE])
def test_request_after_a_failed_one_is_answered(bench: Callable[[Body], None], kind: FaultKind) -> None:
    async def body(table: Bench) -> None:
        table.service.faults.once(kind)
        _, error = await table.failure()
        assert isinstance(error, ProviderError)

        got = await collect(table.provider, table.ask("echo again"))

        assert (got.error, got.text) == (None, "again")

    bench(body)
