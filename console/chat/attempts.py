"""Running a chain: ask the candidates in order until one answers, within limits, and tell what happened.

`attempt` yields the answer's `Delta`s as they come, a `Notice` for whatever a reader should know meanwhile, and one
`Answered` at the end; or it raises. What it promises:

* Before the first token nothing was shown: a failure is repeated where that may help and is allowed, then the next
  candidate is asked. After it the policy decides: fail, restart (what came is void), or continue from what came.
* Each phase has its limit: connecting (in the provider), the first token (longer while the server loads the model),
  between tokens, and an entry's own limit over all its tries. No limit runs while the reader holds an item.
* Closing the generator closes the request at the other side, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from console.clock import Clock
from console.errors import (
    BudgetReached,
    ConsoleError,
    ContextOverflow,
    KeyStoreError,
    NoUsableAnswer,
    PriceUnknown,
    SettingsError,
    explain,
)
from providers.chat.base import ChatProvider, ChatRequest, Delta, End, Finish, LoadState, Message
from providers.errors import ProviderError, RateLimited, StreamBroken, TimedOut, Unreachable

if TYPE_CHECKING:
    from console.chat.breaker import Breakers
    from console.chat.router import Candidate, Choice

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
LONGEST_RETRY_AFTER_S = 30.0
LONGEST_ASK_S = 5.0
CONTINUE = (
    "Your answer was cut off. Continue it exactly where it stopped, in the middle of a word if need be. "
    "Do not repeat anything and do not comment on this."
)

# What one candidate may do wrong while another does well. Anything else, such as a full disk, ends the whole.
_ITS_OWN = (ProviderError, NoUsableAnswer, ContextOverflow, KeyStoreError, SettingsError)

AfterBreak: TypeAlias = Literal["fail", "restart", "continue"]


# Named tuples, not dataclasses: these are made at import on the way to every answer, at a seventh of the cost.
class Notice(NamedTuple):
    """Something the reader should know meanwhile, in a sentence."""

    kind: Literal["loading", "retry", "fallback", "skipped", "restart", "continue", "context", "money"]
    """After `restart`, all that came before it is void and the answer begins anew."""
    text: str


class Tried(NamedTuple):
    """One try at one candidate, for the reply and the ledger."""

    endpoint: str
    model: str
    outcome: Literal["answered", "failed", "stopped", "skipped"]
    error: str | None
    seconds: float
    may_have_cost: bool = False
    """The other side was at work when it failed, so that it may bill what it was sent."""

    def document(self) -> dict[str, str | None]:
        """The fields of the JSON contract."""
        return {"endpoint": self.endpoint, "model": self.model, "outcome": self.outcome, "error": self.error}


class Answered(NamedTuple):
    """The end of an answer: who gave it, and how long it took."""

    end: End
    candidate: Candidate
    first_token_ms: float
    """Since the beginning of the try that answered; the try's whole time is in the last `Tried`."""
    total_ms: float
    """Since the beginning of the first try."""


class Policy(NamedTuple):
    """What to do when an answer breaks off after it began, and how soon to ask what a silent server is doing."""

    after_break: AfterBreak = "fail"
    most_breaks: int = 2
    """How many breaks an answer may survive."""
    ask_load_after_s: float = 3.0


class ChainFailed(ConsoleError):
    """Every candidate failed. Title, words and exit code are those of the last failure; the hint names the others."""

    def __init__(self, cause: ProviderError | ConsoleError, before: list[Tried]) -> None:
        told = explain(cause)
        others = "; ".join(f"{each.endpoint}/{each.model}: {_bare(each.error or each.outcome)}" for each in before)
        super().__init__(told.text, hint=" ".join(filter(None, (told.hint, f"Tried before: {others}."))))
        self.title = told.title
        self.exit_code = told.exit_code
        self.cause = cause


async def attempt(
    choice: Choice,
    request_for: Callable[[Candidate], ChatRequest],
    provider: Callable[[str], ChatProvider],
    clock: Clock,
    tried: list[Tried],
    *,
    policy: Policy = Policy(),  # noqa: B008 - immutable
    breakers: Breakers | None = None,
    before_call: Callable[[Candidate], Awaitable[None]] | None = None,
) -> AsyncGenerator[Delta | Notice | Answered, None]:
    """Answer with the first candidate that can.

    `request_for` makes the request for a candidate, whose window may differ from the others'; its model and limit on
    tokens are set here. `provider` finds an endpoint's provider by name. `tried` is the caller's and filled as things
    happen, so that it is there whatever becomes of the answer. `before_call` is asked before each try and forbids it by
    raising `BudgetReached` or `PriceUnknown`: the candidate is skipped, or that is the error if it is the last.

    Raises the error of an only candidate, `ChainFailed` when several failed, and what broke an answer that had begun.
    """
    loop = asyncio.get_running_loop()
    chain, begun_s = choice.candidates, clock.monotonic()
    position = tries = breaks = 0
    deadline: float | None = None
    so_far: list[str] = []  # what the reader has of the answer, where it is to be continued
    has_tool_calls = False
    while True:
        candidate, has_more = chain[position], position + 1 < len(chain)
        try_begun_s = clock.monotonic()
        first_token_ms: float | None = None
        failure: ProviderError | ConsoleError
        try:
            if tries == 0:
                deadline = None if candidate.timeout_s is None else loop.time() + candidate.timeout_s
            if before_call is not None:
                await before_call(candidate)
            request = _fitted(request_for(candidate), candidate, "".join(so_far))
            server = provider(candidate.endpoint.name)
            async with aclosing(_Watched(server, request, candidate, deadline, policy.ask_load_after_s)) as watched:
                while True:
                    item = await watched.next()
                    if isinstance(item, Delta):
                        if first_token_ms is None:
                            first_token_ms = (clock.monotonic() - try_begun_s) * 1000
                        if item.text and policy.after_break == "continue":
                            so_far.append(item.text)
                        if item.tool_calls:
                            has_tool_calls = True
                        yield item
                    elif isinstance(item, End):
                        break
                    else:
                        yield item
            if first_token_ms is None and not so_far:
                raise _empty(candidate, item)
        except (BudgetReached, PriceUnknown) as error:
            failure = error
            tried.append(_tried(candidate, "skipped", clock.monotonic() - try_begun_s, error.text))
        except _ITS_OWN as error:
            failure = error
            tried.append(
                _tried(candidate, "failed", clock.monotonic() - try_begun_s, error.text, _may_have_cost(error))
            )
            if breakers is not None:
                await breakers.failed(candidate.endpoint.name, error)
        except BaseException:
            tried.append(_tried(candidate, "stopped", clock.monotonic() - try_begun_s, None))
            raise
        else:
            now_s = clock.monotonic()
            tried.append(_tried(candidate, "answered", now_s - try_begun_s, None))
            if breakers is not None:
                await breakers.succeeded(candidate.endpoint.name)
            if first_token_ms is None:
                first_token_ms = (now_s - try_begun_s) * 1000
            yield Answered(item, candidate, first_token_ms, (now_s - begun_s) * 1000)
            return

        if first_token_ms is not None:
            breaks += 1
            if policy.after_break == "fail" or breaks > policy.most_breaks or has_tool_calls:
                raise failure
            pause_s = 0.0 if has_more else _pause_s(breaks - 1)
            position, tries = min(position + 1, len(chain) - 1), 0
            notice = _begin_again(policy.after_break, candidate, chain[position], failure)
        elif (again_s := _repeat_after_s(failure, candidate, tries, has_more)) is not None and (
            deadline is None or loop.time() + again_s < deadline
        ):
            pause_s = again_s
            tries += 1
            notice = Notice("retry", f"{failure.text} Asking {_name(candidate)} again in {again_s:.1f} s.")
        elif has_more:
            pause_s = 0.0
            position, tries = position + 1, 0
            is_veto = isinstance(failure, BudgetReached | PriceUnknown)
            notice = Notice(
                "skipped" if is_veto else "fallback",
                f"{_name(candidate)} {'is skipped' if is_veto else 'failed'}: {_bare(failure.text)}. "
                f"Trying {_name(chain[position])}.",
            )
        elif len(chain) > 1:
            raise ChainFailed(failure, _before(tried, candidate)) from failure
        else:
            raise failure
        yield notice
        if pause_s:
            await clock.sleep(pause_s)


class _Watched:
    """A provider's stream under the limits of its phases. `next` gives what came, or a notice while nothing comes."""

    def __init__(
        self, server: ChatProvider, request: ChatRequest, candidate: Candidate, deadline: float | None, ask_s: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._server, self._candidate, self._deadline = server, candidate, deadline
        self._stream = server.stream(request)
        self._alarm = _Alarm(self._loop)
        self._first: asyncio.Task[Delta | End | None] | None = None
        self._has_begun = False
        self._is_loading = False
        begun = self._loop.time()
        self._begun = begun
        self._first_by = begun + candidate.endpoint.first_token_s
        self._ask_at = begun + ask_s

    async def next(self) -> Delta | End | Notice:
        if not self._has_begun:
            return await self._next_first()
        limit_s, phase = self._candidate.endpoint.between_tokens_s, "between_tokens"
        if self._deadline is not None and self._deadline - self._loop.time() < limit_s:
            limit_s, phase = max(self._deadline - self._loop.time(), 0.0), "total"
        self._alarm.set(limit_s)
        try:
            return await anext(self._stream)
        except asyncio.CancelledError:
            if self._alarm.has_cancelled():
                raise self._too_late(phase, limit_s) from None
            raise
        except StopAsyncIteration:
            raise _broken(self._candidate) from None
        finally:
            self._alarm.rest()

    async def aclose(self) -> None:
        self._alarm.close()
        first, self._first = self._first, None
        if first is not None:
            first.cancel()
            await asyncio.wait({first})
            if not first.cancelled():
                first.exception()  # seen, so that nobody complains that it was not
        await self._stream.aclose()

    async def _next_first(self) -> Delta | End | Notice:
        """The first token: waited for in a task, so that the server can be asked meanwhile what it is doing."""
        while True:
            if self._first is None:
                self._first = self._loop.create_task(_take(self._stream))
            until = min(self._first_by, self._ask_at)
            if self._deadline is not None:
                until = min(until, self._deadline)
            await asyncio.wait({self._first}, timeout=max(until - self._loop.time(), 0))
            if self._first.done():
                item, self._first = self._first.result(), None
                if item is None:
                    raise _broken(self._candidate)
                if isinstance(item, Delta) and not (item.text or item.thinking or item.tool_calls):
                    continue
                self._has_begun = True
                return item
            now = self._loop.time()
            if self._deadline is not None and now >= self._deadline:
                raise self._too_late("total", self._candidate.timeout_s or 0.0)
            notice = await self._ask_load_state(self._first)
            if notice is not None:
                return notice
            if now >= self._first_by and not self._first.done():
                raise self._too_late("first_token", self._first_by - self._begun)

    async def _ask_load_state(self, first: asyncio.Task[Delta | End | None]) -> Notice | None:
        """Move the limit to what the server is doing; a notice the first time that it says it is loading."""
        asking = self._loop.create_task(self._server.load_state(self._candidate.model))
        try:
            await asyncio.wait({asking, first}, timeout=LONGEST_ASK_S, return_when=asyncio.FIRST_COMPLETED)
            state = asking.result() if asking.done() else LoadState.UNKNOWN
        finally:
            asking.cancel()
        endpoint, now = self._candidate.endpoint, self._loop.time()
        if state is LoadState.LOADING:
            was_loading, self._is_loading = self._is_loading, True
            self._first_by = max(self._begun + endpoint.load_s, self._begun + endpoint.first_token_s)
            self._ask_at = now + LONGEST_ASK_S
            return None if was_loading else Notice("loading", f"{_name(self._candidate)} is loading the model.")
        if self._is_loading and state is LoadState.LOADED:
            # From here on it only has to begin, for which it has the usual time.
            self._is_loading = False
            self._first_by = min(self._first_by, now + endpoint.first_token_s)
        self._ask_at = now + LONGEST_ASK_S if self._is_loading else self._first_by
        return None

    def _too_late(self, phase: str, limit_s: float) -> TimedOut:
        name, limit = _name(self._candidate), f"{limit_s:g} s"
        text = {
            "first_token": f"{name} sent nothing for {limit}.",
            "between_tokens": f"{name} stopped sending for {limit} in the middle of its answer.",
            "total": f"{name} took longer than the {self._candidate.timeout_s:g} s it is given in its chain."
            if self._candidate.timeout_s
            else f"{name} took too long.",
        }[phase]
        return TimedOut(text, phase=phase, limit_s=limit_s)


class _Alarm:
    """`asyncio.timeout` for very many short waits of one stream: the timer is moved on only when it goes off, which
    costs a tenth. `set` before a wait and `rest` after it; in between it cancels the task once the time is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._rang = False

    def set(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._ring)

    def rest(self) -> None:
        self._due = None

    def has_cancelled(self) -> bool:
        """Whether the cancellation that arrived is this alarm's, and nobody else's."""
        return self._rang and self._task is not None and self._task.uncancel() <= self._cancelling

    def close(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._ring)
            return
        self._due = None
        self._rang = True
        assert self._task is not None
        self._task.cancel()


async def _take(stream: AsyncGenerator[Delta | End, None]) -> Delta | End | None:
    return await anext(stream, None)


def _fitted(request: ChatRequest, candidate: Candidate, so_far: str) -> ChatRequest:
    limits = [limit for limit in (request.max_tokens, candidate.max_tokens) if limit is not None]
    messages = request.messages
    if so_far:
        messages = (*messages, Message("assistant", so_far), Message("user", CONTINUE))
    return request._replace(model=candidate.model, max_tokens=min(limits, default=None), messages=messages)


def _repeat_after_s(
    failure: ProviderError | ConsoleError, candidate: Candidate, tries: int, has_more: bool
) -> float | None:
    """In how many seconds the same candidate is worth another try; None when it is not."""
    if not isinstance(failure, ProviderError) or not failure.may_retry or tries >= candidate.retries:
        return None
    if isinstance(failure, RateLimited) and failure.retry_after_s is not None:
        return failure.retry_after_s if failure.retry_after_s <= LONGEST_RETRY_AFTER_S else None
    if isinstance(failure, TimedOut) and failure.phase != "connect":
        # The other side is at work on what it was sent, perhaps for money; asking again would start it anew.
        return None
    if has_more and isinstance(failure, Unreachable | TimedOut):
        return None
    return _pause_s(tries)


def _pause_s(tries: int) -> float:
    import random  # 1 ms, paid only by whoever has to wait anyway

    return float(min(FIRST_PAUSE_S * 2**tries * random.uniform(1.0, 1.5), LONGEST_PAUSE_S))  # noqa: S311 - no secret


def _begin_again(
    after_break: AfterBreak, broken: Candidate, following: Candidate, failure: ProviderError | ConsoleError
) -> Notice:
    who = "it is asked again" if following == broken else f"{_name(following)} takes over"
    if after_break == "restart":
        return Notice("restart", f"{_bare(failure.text)}; {who} from the beginning, and what came so far is void.")
    return Notice("continue", f"{_bare(failure.text)}; {who} to continue from there.")


def _empty(candidate: Candidate, end: End) -> NoUsableAnswer:
    if end.finish is Finish.REFUSED:
        return NoUsableAnswer(f"{_name(candidate)} refused to answer.")
    if end.finish is Finish.LENGTH:
        return NoUsableAnswer(
            f"{_name(candidate)} reached its limit of tokens before its first word.", hint="Allow it more tokens."
        )
    return NoUsableAnswer(f"{_name(candidate)} gave an empty answer.")


def _broken(candidate: Candidate) -> StreamBroken:
    return StreamBroken(f"The answer of {_name(candidate)} ended without its closing word.")


def _before(tried: list[Tried], last: Candidate) -> list[Tried]:
    """The last try of each candidate but the last."""
    by_candidate = {(each.endpoint, each.model): each for each in tried}
    return [each for key, each in by_candidate.items() if key != (last.endpoint.name, last.model)]


def _tried(
    candidate: Candidate,
    outcome: Literal["answered", "failed", "stopped", "skipped"],
    seconds: float,
    error: str | None,
    may_have_cost: bool = False,
) -> Tried:
    return Tried(candidate.endpoint.name, candidate.model, outcome, error, seconds, may_have_cost)


def _may_have_cost(error: ProviderError | ConsoleError) -> bool:
    if isinstance(error, TimedOut):
        return error.phase != "connect"
    return isinstance(error, StreamBroken | NoUsableAnswer)


def _name(candidate: Candidate) -> str:
    return f"{candidate.endpoint.name}/{candidate.model}"


def _bare(sentence: str) -> str:
    return sentence.rstrip().rstrip(".")
