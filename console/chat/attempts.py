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

from console.chat.watch import Watched
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
from providers.chat.base import ChatProvider, ChatRequest, Delta, End, Finish, Message
from providers.errors import ProviderError, RateLimited, StreamBroken, TimedOut, Unreachable

if TYPE_CHECKING:
    from console.chat.breaker import Breakers
    from console.chat.readying import MakeReady
    from console.chat.router import Candidate, Choice

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
LONGEST_RETRY_AFTER_S = 30.0
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

    kind: Literal[
        "link", "loading", "retry", "fallback", "skipped", "restart", "continue", "context", "money", "documents"
    ]
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
    make_ready: MakeReady | None = None,
) -> AsyncGenerator[Delta | Notice | Answered, None]:
    """Answer with the first candidate that can.

    `request_for` makes the request for a candidate, whose window may differ from the others'; its model and limit on
    tokens are set here. `provider` finds an endpoint's provider by name. `tried` is the caller's and filled as things
    happen, so that it is there whatever becomes of the answer. `before_call` is asked before each try and forbids it by
    raising `BudgetReached` or `PriceUnknown`: the candidate is skipped, or that is the error if it is the last.
    `make_ready` connects the machine of a candidate that is on one; no limit of the answer runs meanwhile but the
    candidate's own.

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
            if make_ready is not None and candidate.endpoint.machine is not None:
                from console.chat.readying import getting_ready  # only for those who have machines

                async with aclosing(getting_ready(make_ready, candidate, deadline)) as news:
                    async for text in news:
                        yield Notice("link", text)
            request = _fitted(request_for(candidate), candidate, "".join(so_far))
            server = provider(candidate.endpoint.name)
            async with aclosing(Watched(server, request, candidate, deadline, policy.ask_load_after_s)) as watched:
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
                        yield Notice("loading", f"{candidate.name} is loading the model.")
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
            tried.append(_tried(candidate, "stopped", clock.monotonic() - try_begun_s, None, may_have_cost=True))
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
            notice = Notice("retry", f"{failure.text} Asking {candidate.name} again in {again_s:.1f} s.")
        elif has_more:
            pause_s = 0.0
            position, tries = position + 1, 0
            is_veto = isinstance(failure, BudgetReached | PriceUnknown)
            notice = Notice(
                "skipped" if is_veto else "fallback",
                f"{candidate.name} {'is skipped' if is_veto else 'failed'}: {_bare(failure.text)}. "
                f"Trying {chain[position].name}.",
            )
        elif len(chain) > 1:
            raise ChainFailed(failure, _before(tried, candidate)) from failure
        else:
            raise failure
        yield notice
        if pause_s:
            await clock.sleep(pause_s)


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
    who = "it is asked again" if following == broken else f"{following.name} takes over"
    if after_break == "restart":
        return Notice("restart", f"{_bare(failure.text)}; {who} from the beginning, and what came so far is void.")
    return Notice("continue", f"{_bare(failure.text)}; {who} to continue from there.")


def _empty(candidate: Candidate, end: End) -> NoUsableAnswer:
    if end.finish is Finish.REFUSED:
        return NoUsableAnswer(f"{candidate.name} refused to answer.")
    if end.finish is Finish.LENGTH:
        return NoUsableAnswer(
            f"{candidate.name} reached its limit of tokens before its first word.", hint="Allow it more tokens."
        )
    return NoUsableAnswer(f"{candidate.name} gave an empty answer.")


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


def _bare(sentence: str) -> str:
    return sentence.rstrip().rstrip(".")
