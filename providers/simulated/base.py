"""What every simulated service shares: its life, its record of requests, its speed, and the stream of an answer.

A wire (`ollama.py`, `openai.py`, `anthropic.py`) turns requests into a `Question` and says how an answer looks in
bytes, as `Segment`s; how fast these go out, and what goes wrong on the way, is decided here for all of them.
"""

from __future__ import annotations

import abc
import asyncio
import itertools
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from providers.simulated.answers import Answers, Question, Reply
from providers.simulated.faults import ActiveFaults, Fault, FaultKind, Faults
from providers.simulated.http_server import Exchange, Headers, HttpServer, Request
from providers.simulated.pace import Clock, RealClock, Speed
from providers.simulated.stream import BATCH, Out, Segment, Sending, StreamOverError, compact, for_ever
from providers.simulated.watch import Watch

_LOG = logging.getLogger(__name__)

_COMMENT_EVERY_S = 0.5
_LEAST_SLEEP_S = 0.001

HTML_PAGE = (
    "<html>\r\n<head><title>{status} Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>{status} Bad Gateway</h1></center>\r\n<hr><center>nginx/1.27.4</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it came, for tests to look at."""

    request: Request
    json: Any
    """The body parsed; None when it was empty or no JSON."""

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def path(self) -> str:
        return self.request.path

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.request.headers)


class RefusedError(Exception):
    """A request the service refuses; the wire words it."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


Route = Callable[[Exchange, ActiveFaults], Awaitable[None]]


class SimulatedService(abc.ABC):
    """A server on loopback that speaks one wire. Use it as an async context manager; it starts in milliseconds."""

    wire: ClassVar[str]
    key_prefix: ClassVar[str] = "sk-sim-"

    def __init__(
        self,
        name: str,
        *,
        key: str | None,
        speed: Speed | None = None,
        seed: int = 0,
        answer_tokens: int | None = None,
        faults: Iterable[Fault] = (),
        port: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.key = key
        """What clients must send; None lets everybody in."""
        self.speed = speed or Speed()
        self.clock: Clock = clock or RealClock()
        self.answers = Answers(seed, answer_tokens)
        self.faults = Faults(faults)
        self.requests: list[Recorded] = []
        self.running_requests = 0
        """Requests that are being answered at this moment."""
        self.cancelled_requests = 0
        """Answers that ended because their client went away."""
        self.tokens_sent = 0
        self._watch = Watch()
        self._random = random.Random(seed)  # noqa: S311 - ids only
        self._server = HttpServer(self._handle, port=port)
        self._routes: dict[str, dict[str, Route]] = {}
        self._prefixes: list[tuple[str, dict[str, Route]]] = []
        self._answer_paths: set[str] = set()
        self._reopening: asyncio.Task[None] | None = None

    @classmethod
    def new_key(cls) -> str:
        return cls.key_prefix + secrets.token_hex(20)

    # life

    async def __aenter__(self) -> Self:
        await self._server.start()
        refused = next((fault for fault in self.faults if fault.kind is FaultKind.REFUSE), None)
        if refused is not None:
            await self._server.close_door()
            if refused.argument is not None:
                self._reopening = asyncio.get_running_loop().create_task(self._reopen(refused.argument))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        await self._server.stop()

    async def _reopen(self, after_s: float) -> None:
        await self.clock.sleep(after_s)
        await self.open_door()

    async def close_door(self) -> None:
        """Be gone: break every connection and refuse further ones. The port stays ours."""
        await self._server.close_door()

    async def open_door(self) -> None:
        """Be back, on the same port."""
        await self._server.open_door()
        self._watch.note()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client is given as its base URL."""
        return self.root_url

    @property
    def connections(self) -> int:
        return len(self._server.connections)

    def endpoint(self) -> dict[str, str | None]:
        """The service as the first line of `python -m providers.simulated` tells it."""
        return {"name": self.name, "wire": self.wire, "base_url": self.base_url, "key": self.key}

    # for tests

    def requests_to(self, path: str) -> list[Recorded]:
        return [recorded for recorded in self.requests if recorded.path == path]

    @property
    def last_json(self) -> Any:
        """The body of the latest request."""
        return self.requests[-1].json

    async def until_idle(self) -> None:
        """Return when no request is being answered any more."""
        await self._watch.until(lambda: self.running_requests == 0)

    async def until_running(self, count: int = 1) -> None:
        """Return when at least `count` requests are being answered."""
        await self._watch.until(lambda: self.running_requests >= count)

    async def until_open(self) -> None:
        """Return when connections are accepted (again)."""
        await self._watch.until(lambda: self._server.is_open)

    # requests

    def route(self, method: str, path: str, handler: Route, *, answers: bool = False) -> None:
        """Let `handler` answer `path`, or everything below it when it ends in `/*`; `answers` marks a model at work."""
        if path.endswith("/*"):
            prefix = path.removesuffix("*")
            methods = next((methods for known, methods in self._prefixes if known == prefix), None)
            if methods is None:
                methods = {}
                self._prefixes.append((prefix, methods))
        else:
            methods = self._routes.setdefault(path, {})
        methods[method] = handler
        if answers:
            self._answer_paths.add(path)

    def _methods(self, path: str) -> dict[str, Route] | None:
        exact = self._routes.get(path)
        if exact is not None:
            return exact
        return next((methods for prefix, methods in self._prefixes if path.startswith(prefix) and path != prefix), None)

    async def _handle(self, exchange: Exchange) -> None:
        request = exchange.request
        self.requests.append(Recorded(request, _parsed(request)))
        self.running_requests += 1
        self._watch.note()
        try:
            await self._answer(exchange)
        except asyncio.CancelledError:
            self.cancelled_requests += 1
            raise
        finally:
            self.running_requests -= 1
            self._watch.note()

    async def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        faults = self.faults.take(request.path, is_answer=request.path in self._answer_paths)
        if await self._answer_wrongly(exchange, faults):
            return
        methods = self._methods(request.path)
        method = "GET" if request.method == "HEAD" and methods and "HEAD" not in methods else request.method
        if methods is None or method not in methods:
            await self.refuse_route(exchange, exists=methods is not None)
            return
        try:
            self.authorise(request)
            await methods[method](exchange, faults)
        except RefusedError as problem:
            await self.reply_problem(exchange, problem)

    async def _answer_wrongly(self, exchange: Exchange, faults: ActiveFaults) -> bool:
        if fault := faults.get(FaultKind.HTML):
            page = HTML_PAGE.format(status=fault.whole(502))
            await exchange.reply(fault.whole(502), page.encode(), content_type="text/html")
            return True
        if fault := faults.get(FaultKind.STATUS):
            status = fault.whole(500)
            wait_s = 1.0 if fault.retry_after_s is None and status == 429 else fault.retry_after_s
            headers = [] if wait_s is None else [("Retry-After", f"{wait_s:g}")]
            if fault.body is not None:
                await exchange.reply(status, fault.body.encode(), headers=headers)
            else:
                await self.reply_problem(exchange, RefusedError(status, fault.message or ""), headers)
            return True
        return False

    @abc.abstractmethod
    def authorise(self, request: Request) -> None:
        """Raise RefusedError when the request may not be answered."""

    @abc.abstractmethod
    async def refuse_route(self, exchange: Exchange, *, exists: bool) -> None:
        """Answer a path (404) or method (405) the service does not have."""

    @abc.abstractmethod
    async def reply_problem(self, exchange: Exchange, problem: RefusedError, headers: Headers = ()) -> None:
        """Send the wire's error object; an empty message asks for the wire's usual words for that status."""

    async def reply_json(self, exchange: Exchange, value: Any, *, status: int = 200, headers: Headers = ()) -> None:
        await exchange.reply(status, compact(value), content_type=self.json_type, headers=headers)

    json_type: ClassVar[str] = "application/json"

    def body_of(self, exchange: Exchange) -> dict[str, Any]:
        """The request's JSON object; raises RefusedError in the wire's words."""
        try:
            value = exchange.request.json()
        except ValueError as error:
            raise RefusedError(400, str(error)) from None
        if not isinstance(value, dict):
            raise RefusedError(400, "the body must be a JSON object")
        return value

    # answers

    def new_id(self, length: int) -> str:
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        return "".join(self._random.choices(letters, k=length))

    def prompt_tokens(self, question: Question, faults: ActiveFaults) -> int:
        """What the service says it read of the prompt."""
        counted = question.prompt_tokens
        fault = faults.get(FaultKind.TRUNCATE)
        return counted if fault is None else min(counted, fault.whole(64))

    async def wait_first_token(self, faults: ActiveFaults) -> None:
        if fault := faults.get(FaultKind.SLOW):
            if fault.argument is None:
                await for_ever()
            else:
                await self.clock.sleep(fault.argument)
        if self.speed.first_token_s:
            await self.clock.sleep(self.speed.first_token_s)

    async def send_whole(
        self, exchange: Exchange, reply: Reply, value: Callable[[str], Any], faults: ActiveFaults, headers: Headers = ()
    ) -> None:
        """Answer without a stream: wait as long as the tokens take, then send `value` of the text."""
        if FaultKind.ENDLESS in faults:
            await for_ever()
        await self.wait_first_token(faults)
        text = "".join(reply.text)
        tokens = len(reply.thinking) + sum(1 for _ in reply.text)
        if self.speed.tokens_per_second:
            await self.clock.sleep(tokens / self.speed.tokens_per_second)
        self.tokens_sent += tokens
        await self.send_value(exchange, value(text), faults, headers)

    async def send_value(self, exchange: Exchange, value: Any, faults: ActiveFaults, headers: Headers = ()) -> None:
        """Send an answer that is all there, with what the faults make of it."""
        if fault := faults.get(FaultKind.ERROR):
            raise RefusedError(500, fault.message or "")
        body = compact(value)
        content_type = "text/plain; charset=utf-8" if FaultKind.WRONG_TYPE in faults else self.json_type
        if FaultKind.STALL in faults or FaultKind.CUT in faults or FaultKind.RESET in faults:
            exchange.begin(200, content_type=content_type, headers=headers)
            exchange.send([body[: len(body) // 2]])
            if FaultKind.STALL in faults:
                await for_ever()
            await (exchange.reset() if FaultKind.RESET in faults else exchange.hang_up())
            return
        if FaultKind.GARBAGE in faults:
            body = b"{this is no json"
        await exchange.reply(200, body, content_type=content_type, headers=headers)

    async def send_stream(self, exchange: Exchange, sending: Sending, faults: ActiveFaults) -> None:
        """Send an answer token by token, at the service's speed, with what the faults make of it."""
        out = Out(exchange, faults, sending)
        content_type = "text/plain; charset=utf-8" if FaultKind.WRONG_TYPE in faults else sending.content_type
        sending.started_s = self.clock.monotonic()
        if sending.head_first:
            exchange.begin(200, content_type=content_type, headers=sending.headers)
            await self._processing(out, sending, faults)
        else:
            if sending.pace is None:
                await self.wait_first_token(faults)
            exchange.begin(200, content_type=content_type, headers=sending.headers)
        sending.first_token_at_s = self.clock.monotonic()
        try:
            for segment in sending.segments:
                await out.frames(segment.before)
                await self._send_tokens(out, segment, sending)
                await out.frames(segment.after)
            await out.overdue()
        except StreamOverError:
            return
        await out.frames(sending.closing(sending))
        await exchange.end()

    async def _processing(self, out: Out, sending: Sending, faults: ActiveFaults) -> None:
        """Wait for the first token with a comment now and then, as hosts do that open the stream early."""
        waiting = asyncio.ensure_future(self.wait_first_token(faults))
        try:
            if sending.processing:
                await out.frames([sending.processing])
            while not waiting.done():
                await asyncio.wait([waiting], timeout=_COMMENT_EVERY_S)
                if sending.processing and not waiting.done():
                    await out.frames([sending.processing])
        finally:
            waiting.cancel()

    async def _send_tokens(self, out: Out, segment: Segment, sending: Sending) -> None:
        tokens = iter(segment.tokens)
        per_second = self.speed.tokens_per_second if sending.pace is None else sending.pace
        while True:
            due = BATCH
            if per_second:
                elapsed_s = self.clock.monotonic() - sending.first_token_at_s
                due = int(elapsed_s * per_second) + 1 - sending.sent
                if due <= 0:
                    await self.clock.sleep(max(sending.sent / per_second - elapsed_s, _LEAST_SLEEP_S))
                    continue
            batch = list(itertools.islice(tokens, min(due, BATCH, await out.until_trouble())))
            if not batch:
                return
            await out.tokens(segment.encode(batch))
            sending.sent += len(batch)
            if sending.pace is None:
                self.tokens_sent += len(batch)
            await asyncio.sleep(0)


def objects(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects `body` has under `name`, none without it; raises RefusedError when these are no objects."""
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RefusedError(400, f"Invalid type for '{name}': expected an array of objects.", param=name)
    return value


def _parsed(request: Request) -> Any:
    if not request.body:
        return None
    try:
        return request.json()
    except ValueError:
        return None
