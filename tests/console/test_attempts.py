from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.chat import attempts
from console.chat.attempts import AfterBreak, Answered, ChainFailed, Notice, Policy, Tried, attempt
from console.chat.breaker import Breakers
from console.chat.router import Candidate, Choice
from console.errors import (
    BudgetReached,
    ContextOverflow,
    Exit,
    KeyStoreError,
    NoUsableAnswer,
    PriceUnknown,
    StoreFull,
    explain,
)
from providers.chat.base import ChatProvider, ChatRequest, Delta, End, Finish, LoadState, Message
from providers.errors import (
    ContextTooLong,
    KeyRefused,
    ModelMissing,
    ProviderError,
    RateLimited,
    RequestRefused,
    ServiceFailed,
    StreamBroken,
    TimedOut,
    Unreachable,
)
from tests.conftest import run
from tests.console.scripted import (
    DONE,
    HandClock,
    ScriptedChat,
    Step,
    calls_tool,
    chain,
    forever,
    pause,
    providers,
    request_for,
    says,
)

SOON = {"first_token_s": 0.03, "load_s": 5.0, "between_tokens_s": 0.03}
AFTER_BREAK: tuple[AfterBreak, ...] = ("fail", "restart", "continue")
REFUSED = Unreachable("Nothing answers there.")


class Outcome:
    """All that one run of a chain brought."""

    def __init__(self) -> None:
        self.events: list[Delta | Notice | Answered] = []
        self.tried: list[Tried] = []
        self.clock = HandClock()
        self.error: BaseException | None = None

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Delta))

    @property
    def kept(self) -> str:
        """What a reader is left with: a restart voids what came before."""
        text = ""
        for event in self.events:
            if isinstance(event, Delta):
                text += event.text
            elif isinstance(event, Notice) and event.kind == "restart":
                text = ""
        return text

    @property
    def notices(self) -> list[str]:
        return [event.kind for event in self.events if isinstance(event, Notice)]

    @property
    def answered(self) -> Answered:
        last = self.events[-1]
        assert isinstance(last, Answered)
        return last

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(tried.endpoint, tried.outcome) for tried in self.tried]


def play(choice: Choice, chats: Mapping[str, ChatProvider], **options: Any) -> Outcome:
    outcome = Outcome()

    async def body() -> None:
        running = attempt(choice, request_for, providers(chats), outcome.clock, outcome.tried, **options)
        try:
            async with aclosing(running) as events:
                async for event in events:
                    outcome.events.append(event)
        except Exception as error:
            outcome.error = error

    run(body())
    return outcome


# One candidate


def test_an_answer_comes_through_and_says_who_gave_it() -> None:
    chat = ScriptedChat(says("Good ", "day."))

    outcome = play(chain("box/qwen3:8b"), {"box": chat})

    assert outcome.text == "Good day."
    assert outcome.answered.end == DONE
    assert outcome.answered.candidate.model == "qwen3:8b"
    assert outcome.tried == [Tried("box", "qwen3:8b", "answered", None, 0.0)]
    assert chat.requests[0].model == "qwen3:8b"


def test_times_are_measured_from_the_try_that_answered_and_from_the_first() -> None:
    clock_moves = 2.0
    outcome = Outcome()

    async def first_token() -> None:
        outcome.clock.seconds += clock_moves

    chats = {"box": ScriptedChat([REFUSED]), "paid": ScriptedChat([first_token, *says("x")])}

    async def body() -> list[Delta | Notice | Answered]:
        outcome.clock.seconds = 100.0
        running = attempt(chain("box/a", "paid/b"), request_for, providers(chats), outcome.clock, outcome.tried)
        events = []
        async with aclosing(running) as running_events:
            async for event in running_events:
                if isinstance(event, Notice):
                    outcome.clock.seconds += 3.0
                events.append(event)
        return events

    end = run(body())[-1]

    assert isinstance(end, Answered)
    assert end.first_token_ms == pytest.approx(2000)
    assert end.total_ms == pytest.approx(5000)
    assert outcome.tried[-1].seconds == pytest.approx(2.0)


def test_the_stricter_limit_on_tokens_counts() -> None:
    chat = ScriptedChat(says("x"))

    async def body() -> None:
        running = attempt(
            chain("box/a", max_tokens=50),
            lambda candidate: ChatRequest("unset", (Message("user", "?"),), max_tokens=80),
            providers({"box": chat}),
            HandClock(),
            [],
        )
        assert isinstance([event async for event in running][-1], Answered)

    run(body())

    assert chat.requests[0].max_tokens == 50


@pytest.mark.parametrize(
    "error",
    [
        KeyRefused("The key is refused."),
        ModelMissing("There is no such model."),
        RequestRefused("A parameter is wrong."),
        ContextTooLong("Too long."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_not_be_repeated_is_not(error: ProviderError) -> None:
    chat = ScriptedChat([error])

    outcome = play(chain("box/a"), {"box": chat})

    assert outcome.error is error
    assert len(chat.requests) == 1
    assert outcome.clock.slept == []


def test_a_broken_service_is_asked_again_as_often_as_allowed() -> None:
    chat = ScriptedChat([ServiceFailed("502", status=502)])

    outcome = play(chain("box/a", retries=3), {"box": chat})

    assert isinstance(outcome.error, ServiceFailed)
    assert len(chat.requests) == 4
    assert outcome.notices == ["retry"] * 3
    first, second, third = outcome.clock.slept
    assert 0.5 <= first <= 0.75
    assert 1.0 <= second <= 1.5
    assert 2.0 <= third <= 3.0


def test_a_second_try_that_answers_is_an_answer() -> None:
    chat = ScriptedChat([StreamBroken("Cut.")], says("Here."))

    outcome = play(chain("box/a"), {"box": chat})

    assert outcome.text == "Here."
    assert outcome.outcomes == [("box", "failed"), ("box", "answered")]
    assert outcome.tried[0].error == "Cut."


def test_pauses_never_grow_beyond_their_longest() -> None:
    outcome = play(chain("box/a", retries=9), {"box": ScriptedChat([ServiceFailed("503", status=503)])})

    assert len(outcome.clock.slept) == 9
    assert max(outcome.clock.slept) == attempts.LONGEST_PAUSE_S


def test_an_unreachable_only_candidate_is_asked_again() -> None:
    chat = ScriptedChat([REFUSED], says("Up again."))

    assert play(chain("box/a"), {"box": chat}).text == "Up again."


def test_no_retries_means_one_try() -> None:
    chat = ScriptedChat([ServiceFailed("500", status=500)])

    play(chain("box/a", retries=0), {"box": chat})

    assert len(chat.requests) == 1


@pytest.mark.parametrize("retry_after_s", [0.0, 12.0, 30.0])
def test_a_short_retry_after_is_honoured(retry_after_s: float) -> None:
    chat = ScriptedChat([RateLimited("Slow down.", retry_after_s=retry_after_s)], says("Now."))

    outcome = play(chain("box/a", "paid/b"), {"box": chat, "paid": ScriptedChat(says("Never."))})

    assert outcome.text == "Now."
    assert sum(outcome.clock.slept) == retry_after_s


def test_a_long_retry_after_goes_to_the_next_candidate() -> None:
    chat = ScriptedChat([RateLimited("Slow down.", retry_after_s=31.0)])

    outcome = play(chain("box/a", "paid/b"), {"box": chat, "paid": ScriptedChat(says("Now."))})

    assert outcome.text == "Now."
    assert outcome.clock.slept == []
    assert len(chat.requests) == 1


def test_a_long_retry_after_of_the_only_candidate_is_its_error() -> None:
    outcome = play(chain("box/a"), {"box": ScriptedChat([RateLimited("Slow down.", retry_after_s=600)])})

    assert isinstance(outcome.error, RateLimited)
    assert outcome.clock.slept == []


@pytest.mark.parametrize(
    ("end", "words"),
    [(DONE, "empty"), (End(Finish.REFUSED), "refused"), (End(Finish.LENGTH), "limit of tokens")],
)
def test_an_empty_answer_is_a_failure(end: End, words: str) -> None:
    chat = ScriptedChat([Delta(), end])

    outcome = play(chain("box/a"), {"box": chat})

    assert isinstance(outcome.error, NoUsableAnswer)
    assert words in outcome.error.text
    assert len(chat.requests) == 1


@pytest.mark.parametrize("delta", [Delta(thinking="Hm."), calls_tool()], ids=["thinking", "tool call"])
def test_thinking_or_a_tool_call_alone_is_an_answer(delta: Delta) -> None:
    assert play(chain("box/a"), {"box": ScriptedChat([delta, DONE])}).answered.end == DONE


# Limits


def test_a_silent_server_is_given_up_after_the_limit_of_the_first_token() -> None:
    chat = ScriptedChat([forever])

    outcome = play(chain("box/a", limits=SOON), {"box": chat})

    assert isinstance(outcome.error, TimedOut)
    assert outcome.error.phase == "first_token"
    assert explain(outcome.error).exit_code == Exit.TIME_LIMIT
    assert len(chat.requests) == 1
    assert chat.finished == ["closed"]


def test_a_server_that_loads_the_model_gets_its_time_and_says_so_once() -> None:
    chat = ScriptedChat([pause(0.08), *says("Loaded.")], states=[LoadState.LOADING])

    outcome = play(chain("box/a", limits=SOON), {"box": chat}, policy=Policy(ask_load_after_s=0.01))

    assert outcome.text == "Loaded."
    assert outcome.notices == ["loading"]


def test_loading_is_noticed_at_the_limit_even_when_nobody_asked_before() -> None:
    chat = ScriptedChat([pause(0.08), *says("Loaded.")], states=[LoadState.LOADING])

    outcome = play(chain("box/a", limits=SOON), {"box": chat})

    assert outcome.text == "Loaded."
    assert chat.times_asked_state == 1


def test_loading_has_a_limit_too() -> None:
    chat = ScriptedChat([forever], states=[LoadState.LOADING])

    outcome = play(chain("box/a", limits={**SOON, "load_s": 0.06}), {"box": chat})

    assert isinstance(outcome.error, TimedOut)
    assert outcome.error.limit_s == pytest.approx(0.06)


def test_once_loaded_the_usual_limit_counts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.chat.watch.LONGEST_ASK_S", 0.02)
    chat = ScriptedChat([forever], states=[LoadState.LOADING, LoadState.LOADED])

    outcome = play(chain("box/a", limits={**SOON, "load_s": 20.0}), {"box": chat})

    assert isinstance(outcome.error, TimedOut)
    assert outcome.error.phase == "first_token"


def test_a_stall_is_ended_and_the_server_told() -> None:
    chat = ScriptedChat([Delta("Once upon"), forever])

    outcome = play(chain("box/a", "paid/b", limits=SOON), {"box": chat, "paid": ScriptedChat(says("No."))})

    assert isinstance(outcome.error, TimedOut)
    assert outcome.error.phase == "between_tokens"
    assert outcome.text == "Once upon"
    assert chat.finished == ["closed"]


def test_a_slow_reader_does_not_use_up_the_limit() -> None:
    chat = ScriptedChat(says("a", "b", "c"))

    async def body() -> str:
        text = ""
        limits = {"between_tokens_s": 0.02, "first_token_s": 0.02}
        running = attempt(chain("box/a", limits=limits), request_for, providers({"box": chat}), HandClock(), [])
        async for event in running:
            await asyncio.sleep(0.05)
            text += event.text if isinstance(event, Delta) else ""
        return text

    assert run(body()) == "abc"


def test_tokens_within_the_limit_keep_a_long_answer_alive() -> None:
    script: list[Step] = [step for _ in range(20) for step in (Delta("x"), pause(0.015))]

    outcome = play(chain("box/a", limits={"between_tokens_s": 0.25}), {"box": ScriptedChat([*script, DONE])})

    assert outcome.text == "x" * 20


def test_an_entry_has_its_own_limit_over_everything() -> None:
    script: list[Step] = [step for _ in range(100) for step in (Delta("x"), pause(0.01))]

    outcome = play(chain("box/a", timeout_s=0.05), {"box": ScriptedChat([*script, DONE])})

    assert isinstance(outcome.error, TimedOut)
    assert outcome.error.phase == "total"
    assert 0 < len(outcome.text) < 100


def test_an_entry_out_of_time_before_its_first_token_hands_over() -> None:
    chats = {"box": ScriptedChat([forever]), "paid": ScriptedChat(says("Here."))}
    slow, fast = chain("box/a", timeout_s=0.03).candidates[0], chain("paid/b").candidates[0]

    outcome = play(Choice((slow, fast), "", (), True, ""), chats)

    assert outcome.text == "Here."
    assert "0.03 s" in (outcome.tried[0].error or "")


def test_a_retry_that_the_limit_of_the_entry_forbids_is_not_made() -> None:
    chat = ScriptedChat([RateLimited("Slow down.", retry_after_s=20.0)])

    outcome = play(chain("box/a", timeout_s=5.0), {"box": chat})

    assert isinstance(outcome.error, RateLimited)
    assert len(chat.requests) == 1


def test_a_cancellation_from_outside_is_not_taken_for_a_limit() -> None:
    chat = ScriptedChat([Delta("x"), forever])
    tried: list[Tried] = []

    async def body() -> None:
        running = attempt(chain("box/a"), request_for, providers({"box": chat}), HandClock(), tried)
        async with asyncio.timeout(0.02):
            async for _ in running:
                pass

    with pytest.raises(TimeoutError):
        run(body())

    assert chat.finished == ["closed"]
    assert [each.outcome for each in tried] == ["stopped"]


def test_a_cancellation_before_the_first_token_closes_the_request() -> None:
    chat = ScriptedChat([forever])

    async def body() -> None:
        running = attempt(chain("box/a"), request_for, providers({"box": chat}), HandClock(), [])
        task = asyncio.ensure_future(anext(running, None))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    run(body())

    assert chat.finished == ["closed"]


def test_a_reader_that_leaves_closes_the_request_at_once() -> None:
    chat = ScriptedChat(says("a", "b", "c"))
    tried: list[Tried] = []

    async def body() -> None:
        running = attempt(chain("box/a"), request_for, providers({"box": chat}), HandClock(), tried)
        async with aclosing(running) as events:
            async for _ in events:
                break
        assert chat.finished == ["closed"]

    run(body())

    assert [each.outcome for each in tried] == ["stopped"]


# Several candidates, before the first token


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        TimedOut("Connecting took too long.", phase="connect", limit_s=5),
        KeyRefused("The key is refused."),
        ModelMissing("There is no such model."),
        ContextTooLong("Too long."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_next_candidate_is_asked_at_once(error: ProviderError) -> None:
    first, second = ScriptedChat([error]), ScriptedChat(says("Here."))

    outcome = play(chain("box/a", "paid/b"), {"box": first, "paid": second})

    assert outcome.text == "Here."
    assert outcome.notices == ["fallback"]
    assert outcome.outcomes == [("box", "failed"), ("paid", "answered")]
    assert len(first.requests) == 1
    assert outcome.clock.slept == []


def test_a_broken_service_is_asked_again_before_the_next_candidate() -> None:
    first = ScriptedChat([ServiceFailed("500", status=500)])

    outcome = play(chain("box/a", "paid/b", retries=1), {"box": first, "paid": ScriptedChat(says("Here."))})

    assert outcome.notices == ["retry", "fallback"]
    assert len(first.requests) == 2


def test_an_empty_answer_goes_to_the_next_candidate() -> None:
    outcome = play(chain("box/a", "paid/b"), {"box": ScriptedChat([DONE]), "paid": ScriptedChat(says("Here."))})

    assert outcome.text == "Here."


def test_a_provider_that_cannot_be_made_goes_to_the_next_candidate() -> None:
    second = ScriptedChat(says("Here."))

    def provider(name: str) -> ChatProvider:
        if name == "box":
            raise KeyStoreError("The keyring is locked.")
        return second

    tried: list[Tried] = []

    async def body() -> str:
        running = attempt(chain("box/a", "paid/b"), request_for, provider, HandClock(), tried)
        return "".join([event.text async for event in running if isinstance(event, Delta)])

    assert run(body()) == "Here."
    assert tried[0].error == "The keyring is locked."


def test_a_chat_that_overflows_one_window_may_fit_the_next() -> None:
    def fitted(candidate: Candidate) -> ChatRequest:
        if candidate.endpoint.name == "box":
            raise ContextOverflow("The chat is too long.")
        return request_for(candidate)

    async def body() -> str:
        chats = {"box": ScriptedChat(says("No.")), "paid": ScriptedChat(says("Here."))}
        running = attempt(chain("box/a", "paid/b"), fitted, providers(chats), HandClock(), [])
        return "".join([event.text async for event in running if isinstance(event, Delta)])

    assert run(body()) == "Here."


def test_trouble_of_our_own_ends_the_chain() -> None:
    async def full(candidate: Candidate) -> None:
        raise StoreFull("The disk is full.")

    second = ScriptedChat(says("Here."))

    outcome = play(chain("box/a", "paid/b"), {"box": second, "paid": second}, before_call=full)

    assert isinstance(outcome.error, StoreFull)
    assert second.requests == []


@pytest.mark.parametrize(
    ("last", "exit_code"),
    [
        (REFUSED, Exit.UNREACHABLE),
        (TimedOut("Late.", phase="first_token", limit_s=60), Exit.TIME_LIMIT),
        (KeyRefused("The key is refused."), Exit.SETTINGS),
        (RequestRefused("No."), Exit.NO_ANSWER),
    ],
)
def test_when_all_fail_the_last_failure_speaks_and_the_others_are_named(last: ProviderError, exit_code: Exit) -> None:
    chats = {"box": ScriptedChat([REFUSED]), "paid": ScriptedChat([last])}

    outcome = play(chain("box/a", "paid/b"), chats)

    assert isinstance(outcome.error, ChainFailed)
    told = explain(outcome.error)
    assert told.exit_code == exit_code
    assert told.text == last.text
    assert "box/a: Nothing answers there" in (told.hint or "")
    assert outcome.error.cause is last


# Money


def veto(*names: str, error: type[BudgetReached] | type[PriceUnknown] = BudgetReached) -> Any:
    async def before_call(candidate: Candidate) -> None:
        if candidate.endpoint.name in names:
            raise error("The day has no money left.")

    return before_call


@pytest.mark.parametrize("error", [BudgetReached, PriceUnknown])
def test_a_candidate_that_money_forbids_is_skipped(error: type[BudgetReached] | type[PriceUnknown]) -> None:
    first = ScriptedChat(says("Never."))

    outcome = play(
        chain("paid/a", "box/b"),
        {"paid": first, "box": ScriptedChat(says("Here."))},
        before_call=veto("paid", error=error),
    )

    assert outcome.text == "Here."
    assert outcome.notices == ["skipped"]
    assert outcome.outcomes == [("paid", "skipped"), ("box", "answered")]
    assert first.requests == []


def test_money_that_forbids_the_only_candidate_is_the_error() -> None:
    outcome = play(chain("paid/a"), {"paid": ScriptedChat(says("x"))}, before_call=veto("paid"))

    assert isinstance(outcome.error, BudgetReached)


def test_money_that_forbids_the_last_candidate_decides_the_exit_code() -> None:
    chats = {"box": ScriptedChat([REFUSED]), "paid": ScriptedChat(says("x"))}

    outcome = play(chain("box/a", "paid/b"), chats, before_call=veto("paid"))

    assert outcome.error is not None
    assert explain(outcome.error).exit_code == Exit.BUDGET


# After the first token


def broken(*texts: str) -> list[Step]:
    return [*(Delta(text) for text in texts), StreamBroken("The connection was cut.")]


def test_under_fail_a_break_is_the_error_and_nothing_else_is_asked() -> None:
    second = ScriptedChat(says("Never."))

    outcome = play(chain("box/a", "paid/b"), {"box": ScriptedChat(broken("Half an")), "paid": second})

    assert isinstance(outcome.error, StreamBroken)
    assert outcome.text == "Half an"
    assert second.requests == []


def test_a_stream_that_just_ends_is_a_break() -> None:
    outcome = play(chain("box/a"), {"box": ScriptedChat([Delta("Half an")])})

    assert isinstance(outcome.error, StreamBroken)


def test_under_restart_the_next_candidate_answers_anew() -> None:
    chats = {"box": ScriptedChat(broken("Half an")), "paid": ScriptedChat(says("A whole answer."))}

    outcome = play(chain("box/a", "paid/b"), chats, policy=Policy("restart"))

    assert outcome.notices == ["restart"]
    assert outcome.kept == "A whole answer."
    assert len(chats["paid"].requests[0].messages) == 1


def test_under_restart_an_only_candidate_is_asked_again_after_a_pause() -> None:
    chat = ScriptedChat(broken("Half an"), says("A whole answer."))

    outcome = play(chain("box/a"), {"box": chat}, policy=Policy("restart"))

    assert outcome.kept == "A whole answer."
    assert len(outcome.clock.slept) == 1


def test_under_continue_the_partial_answer_is_sent_along() -> None:
    chats = {"box": ScriptedChat(broken("Once ", "upon")), "paid": ScriptedChat(says(" a time."))}

    outcome = play(chain("box/a", "paid/b"), chats, policy=Policy("continue"))

    assert outcome.notices == ["continue"]
    assert outcome.kept == "Once upon a time."
    question, partial, instruction = chats["paid"].requests[0].messages
    assert question.text == "Hello?"
    assert partial == Message("assistant", "Once upon")
    assert instruction == Message("user", attempts.CONTINUE)


def test_a_continuation_with_nothing_to_add_completes_the_answer() -> None:
    chats = {"box": ScriptedChat(broken("All said.")), "paid": ScriptedChat([DONE])}

    outcome = play(chain("box/a", "paid/b"), chats, policy=Policy("continue"))

    assert outcome.kept == "All said."
    assert outcome.answered.candidate.endpoint.name == "paid"


def test_a_continuation_that_fails_falls_back_like_any_other() -> None:
    chats = {
        "box": ScriptedChat(broken("Once")),
        "down": ScriptedChat([REFUSED]),
        "paid": ScriptedChat(says(" upon.")),
    }

    outcome = play(chain("box/a", "down/b", "paid/c"), chats, policy=Policy("continue"))

    assert outcome.kept == "Once upon."
    assert outcome.notices == ["continue", "fallback"]


@pytest.mark.parametrize("after_break", ["restart", "continue"])
def test_an_answer_survives_a_few_breaks_only(after_break: AfterBreak) -> None:
    chat = ScriptedChat(broken("x"))

    outcome = play(chain("box/a"), {"box": chat}, policy=Policy(after_break, most_breaks=3))

    assert isinstance(outcome.error, StreamBroken)
    assert len(chat.requests) == 4


@pytest.mark.parametrize("after_break", ["restart", "continue"])
def test_an_answer_that_called_tools_is_not_begun_again(after_break: AfterBreak) -> None:
    chat = ScriptedChat([calls_tool(), StreamBroken("Cut.")])

    outcome = play(chain("box/a"), {"box": chat}, policy=Policy(after_break))

    assert isinstance(outcome.error, StreamBroken)
    assert len(chat.requests) == 1


# Breakers


def test_failures_of_the_connection_open_the_breaker_and_an_answer_closes_it() -> None:
    clock = HandClock()
    breakers = Breakers(clock)
    chat = ScriptedChat([REFUSED], [REFUSED], [REFUSED], says("Up again."))

    async def left_s() -> float:
        return await breakers.open_for_s("box")

    play(chain("box/a"), {"box": chat}, breakers=breakers)
    while_down_s = run(left_s())
    play(chain("box/a"), {"box": chat}, breakers=breakers)

    assert while_down_s > 0
    assert run(left_s()) == 0


# Properties

faults = st.sampled_from(
    [
        [REFUSED],
        [KeyRefused("No.")],
        [ServiceFailed("500", status=500)],
        [RateLimited("Slow down.", retry_after_s=1)],
        [DONE],
        says("whole"),
        broken("half"),
        [Delta(thinking="hm"), StreamBroken("Cut.")],
    ]
)


@given(
    scripts=st.lists(st.lists(faults, min_size=1, max_size=3), min_size=1, max_size=4),
    after=st.sampled_from(AFTER_BREAK),
)
def test_whatever_happens_a_chain_ends_and_keeps_to_itself(scripts: list[list[list[Step]]], after: AfterBreak) -> None:
    chats = {f"e{at}": ScriptedChat(*script) for at, script in enumerate(scripts)}
    outsider = ScriptedChat(says("whole"))
    choice = chain(*(f"{name}/m" for name in chats))

    outcome = play(choice, {**chats, "outsider": outsider}, policy=Policy(after))

    calls = [tried for tried in outcome.tried if tried.outcome != "skipped"]
    assert outsider.requests == []
    assert len(calls) == sum(len(chat.requests) for chat in chats.values())
    assert all(len(chat.finished) == len(chat.requests) for chat in chats.values())
    if outcome.error is None:
        assert outcome.answered.candidate.endpoint.name == outcome.tried[-1].endpoint
        assert outcome.tried[-1].outcome == "answered"
        if after == "restart":
            assert outcome.kept == "whole"
    else:
        assert isinstance(outcome.error, ProviderError | NoUsableAnswer | ChainFailed)
        assert outcome.tried[-1].outcome == "failed"
