"""What every simulated service shares: its life, its record of requests, its speed, and the stream of an answer.

A wire (`ollama.py`, `openai.py`, `anthropic.py`) turns requests into a `Question` and says how an answer looks in
bytes, as `Segment`s; how fast these go out, and what goes wrong on the way, is decided here for all of them.
"""

from __future__ import annotations

import abc
import asyncio
import itertools
import json
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, Self

from providers.simulated.answers import Answers, Question, Reply
from providers.simulated.faults import ActiveFaults, Fault, FaultKind, Faults
from providers.simulated.http_server import Exchange, Headers, HttpServer, Request

_LOG = logging.getLogger(__name__)

_BATCH = 256
_LONG_LINE_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 64 * 1024
_COMMENT_EVERY_S = 0.5

HTML_PAGE = (
    "<html>\r\n<head><title>{status} Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>{status} Bad Gateway</h1></center>\r\n<hr><center>nginx/1.27.4</center>\r\n</body>\r\n</html>\r\n"
)


class Clock(Protocol):
    """The time the services keep; `sleep` paces answers, so a test may let it return at once."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a service answers; the default is as fast as it can."""

    tokens_per_second: float = 0.0
    """0 is full speed."""
    first_token_s: float = 0.0
    load_s: float = 0.0
    """Time to bring a model into memory on first use (Ollama)."""
    pull_bytes_per_second: float = 0.0
    """0 is full speed."""


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


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an answer's stream: tokens, all encoded alike, with the frames that open and close the part."""

    tokens: Iterable[str] = ()
    encode: Callable[[Sequence[str]], list[bytes]] = lambda _: []
    """One frame per token; a frame becomes an HTTP chunk of its own."""
    before: tuple[bytes, ...] = ()
    after: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Sending:
    """The stream of one answer, as a wire describes it."""

    segments: Sequence[Segment]
    closing: Callable[[Sending], Sequence[bytes]]
    """The last frames; called when all tokens are out, so that it can tell the time they took."""
    content_type: str
    headers: Headers = ()
    error: Callable[[str], bytes] = lambda message: message.encode()
    """The wire's error object as a frame inside the stream."""
    comment: bytes = b"\n"
    garbage: bytes = b"{this is no json\n"
    head_first: bool = False
    """Whether the head goes out before the first token is ready."""
    processing: bytes = b""
    """A comment sent while the first token is awaited."""
    pace: float | None = None
    """Tokens per second of this stream alone, where it is no answer of a model."""
    sent: int = 0
    started_s: float = 0.0
    first_token_at_s: float = 0.0


class RefusedError(Exception):
    """A request the service refuses; the wire words it."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


class _StreamOverError(Exception):
    """A fault ended the stream."""


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
        speed: Speed = Speed(),
        seed: int = 0,
        answer_tokens: int | None = None,
        faults: Iterable[Fault] = (),
        port: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.key = key
        """What clients must send; None lets everybody in."""
        self.speed = speed
        self.clock: Clock = clock or RealClock()
        self.answers = Answers(seed, answer_tokens)
        self.faults = Faults(faults)
        self.requests: list[Recorded] = []
        self.running_requests = 0
        """Requests that are being answered at this moment."""
        self.cancelled_requests = 0
        """Answers that ended because their client went away."""
        self.tokens_sent = 0
        self._changed = asyncio.Condition()
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
        await self._server.open_door()

    async def close_door(self) -> None:
        """Be gone: break every connection and refuse further ones. The port stays ours."""
        await self._server.close_door()

    async def open_door(self) -> None:
        """Be back, on the same port."""
        await self._server.open_door()

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
        await self._until(lambda: self.running_requests == 0)

    async def until_running(self, count: int = 1) -> None:
        """Return when at least `count` requests are being answered."""
        await self._until(lambda: self.running_requests >= count)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(is_so)

    async def _note_change(self) -> None:
        async with self._changed:
            self._changed.notify_all()

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
        await self._note_change()
        try:
            await self._answer(exchange)
        except asyncio.CancelledError:
            self.cancelled_requests += 1
            raise
        finally:
            self.running_requests -= 1
            # The task may be on its way out, cancelled; telling those who wait needs a task that lives.
            asyncio.get_running_loop().create_task(self._note_change())

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
                await _for_ever()
            else:
                await self.clock.sleep(fault.argument)
        if self.speed.first_token_s:
            await self.clock.sleep(self.speed.first_token_s)

    async def send_whole(
        self, exchange: Exchange, reply: Reply, value: Callable[[str], Any], faults: ActiveFaults, headers: Headers = ()
    ) -> None:
        """Answer without a stream: wait as long as the tokens take, then send `value` of the text."""
        if FaultKind.ENDLESS in faults:
            await _for_ever()
        await self.wait_first_token(faults)
        text = "".join(reply.text)
        tokens = len(reply.thinking) + sum(1 for _ in reply.text)
        if self.speed.tokens_per_second:
            await self.clock.sleep(tokens / self.speed.tokens_per_second)
        self.tokens_sent += tokens
        if fault := faults.get(FaultKind.ERROR):
            raise RefusedError(500, fault.message or "")
        body = compact(value(text))
        content_type = "text/plain; charset=utf-8" if FaultKind.WRONG_TYPE in faults else self.json_type
        if FaultKind.STALL in faults or FaultKind.CUT in faults or FaultKind.RESET in faults:
            exchange.begin(200, content_type=content_type, headers=headers)
            exchange.send([body[: len(body) // 2]])
            if FaultKind.STALL in faults:
                await _for_ever()
            await (exchange.reset() if FaultKind.RESET in faults else exchange.hang_up())
            return
        if FaultKind.GARBAGE in faults:
            body = b"{this is no json"
        await exchange.reply(200, body, content_type=content_type, headers=headers)

    async def send_stream(self, exchange: Exchange, sending: Sending, faults: ActiveFaults) -> None:
        """Send an answer token by token, at the service's speed, with what the faults make of it."""
        out = _Out(exchange, faults, sending)
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
        except _StreamOverError:
            return
        await out.frames(sending.closing(sending))
        await exchange.end()

    async def _processing(self, out: _Out, sending: Sending, faults: ActiveFaults) -> None:
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

    async def _send_tokens(self, out: _Out, segment: Segment, sending: Sending) -> None:
        tokens = iter(segment.tokens)
        per_second = self.speed.tokens_per_second if sending.pace is None else sending.pace
        while True:
            due = _BATCH
            if per_second:
                elapsed_s = self.clock.monotonic() - sending.first_token_at_s
                due = int(elapsed_s * per_second) + 1 - sending.sent
                if due <= 0:
                    await self.clock.sleep((sending.sent / per_second) - elapsed_s)
                    continue
            batch = list(itertools.islice(tokens, min(due, _BATCH, await out.until_trouble())))
            if not batch:
                return
            await out.tokens(segment.encode(batch))
            sending.sent += len(batch)
            if sending.pace is None:
                self.tokens_sent += len(batch)
            await asyncio.sleep(0)


class _Out:
    """The way of frames onto the wire, with the faults that lie on it."""

    _TROUBLES = (
        FaultKind.STALL,
        FaultKind.CUT,
        FaultKind.RESET,
        FaultKind.END_EARLY,
        FaultKind.CUT_LINE,
        FaultKind.CUT_CHARACTER,
        FaultKind.ERROR,
        FaultKind.GARBAGE,
        FaultKind.LONG_LINE,
    )

    def __init__(self, exchange: Exchange, faults: ActiveFaults, sending: Sending) -> None:
        self._exchange = exchange
        self._sending = sending
        found = [fault for kind in self._TROUBLES if (fault := faults.get(kind)) is not None]
        self._troubles = sorted(found, key=_place)
        self._crlf = FaultKind.CRLF in faults
        self._comments = FaultKind.COMMENTS in faults
        self._tiny = FaultKind.TINY_WRITES in faults

    async def until_trouble(self) -> int:
        """How many tokens may pass before the next fault; one that is due happens here."""
        while self._troubles and _place(self._troubles[0]) <= self._sending.sent:
            await self._happen(self._troubles.pop(0))
        return _place(self._troubles[0]) - self._sending.sent if self._troubles else _BATCH

    async def overdue(self) -> None:
        """Faults placed beyond the end of the answer happen at its end."""
        while self._troubles:
            await self._happen(self._troubles.pop(0))

    async def tokens(self, frames: list[bytes]) -> None:
        if self._comments:
            frames = [piece for frame in frames for piece in (self._sending.comment, frame)]
        await self.frames(frames)

    async def frames(self, frames: Sequence[bytes]) -> None:
        if self._crlf:
            frames = [frame.replace(b"\n", b"\r\n") for frame in frames]
        if self._tiny:
            for frame in frames:
                await self._in_tiny_writes(self._exchange.frame(frame))
        else:
            self._exchange.send(frames)
        await self._exchange.drain()

    async def _in_tiny_writes(self, wire_bytes: bytes) -> None:
        sizes = itertools.cycle((1, 2, 3))
        first = 0
        while first < len(wire_bytes):
            size = next(sizes)
            self._exchange.send_raw(wire_bytes[first : first + size])
            first += size
            await asyncio.sleep(0)

    async def _happen(self, fault: Fault) -> None:
        exchange, sending = self._exchange, self._sending
        match fault.kind:
            case FaultKind.STALL:
                await _for_ever()
            case FaultKind.CUT:
                await exchange.hang_up()
            case FaultKind.RESET:
                await exchange.reset()
            case FaultKind.END_EARLY:
                await exchange.end()
            case FaultKind.CUT_LINE:
                await self._half_a_frame("unfinished", None)
            case FaultKind.CUT_CHARACTER:
                await self._half_a_frame("é", "é".encode())
            case FaultKind.ERROR:
                await self.frames([sending.error(fault.message or "")])
                await exchange.end()
            case FaultKind.GARBAGE:
                await self.frames([sending.garbage])
                return
            case FaultKind.LONG_LINE:
                await self._long_line(fault.whole(_LONG_LINE_BYTES))
                return
            case _:
                raise AssertionError(fault.kind)
        raise _StreamOverError

    async def _half_a_frame(self, token: str, character: bytes | None) -> None:
        """Send a frame as far as the middle of its token, announced as a whole, and close."""
        frame = self._frame_of(token)
        place = frame.find(token.encode())
        half = len(frame) // 2 if place < 0 else place + (1 if character else 3)
        wire_bytes = self._exchange.frame(frame)
        self._exchange.send_raw(wire_bytes[: wire_bytes.index(frame) + half])
        await self._exchange.hang_up()

    def _frame_of(self, token: str) -> bytes:
        """A frame with `token` in it, of the kind the answer ends with."""
        encoded = (segment.encode([token]) for segment in reversed(self._sending.segments))
        return next((frames[0] for frames in encoded if frames), token.encode() + b"\n")

    async def _long_line(self, size: int) -> None:
        frame = self._frame_of("@")
        head, _, tail = frame.partition(b"@")
        filling = max(size - len(frame), 0)
        exchange = self._exchange
        # The frame's own framing around its bytes, without ever holding the whole of it.
        opening, closing = exchange.framing(len(head) + filling + len(tail))
        exchange.send_raw(opening + head)
        piece = b"x" * _PIECE_BYTES
        for first in range(0, filling, _PIECE_BYTES):
            exchange.send_raw(piece[: min(_PIECE_BYTES, filling - first)])
            await exchange.drain()
        exchange.send_raw(tail + closing)


def _place(fault: Fault) -> int:
    """After how many tokens the fault happens; a long line's argument is its size."""
    return 1 if fault.kind is FaultKind.LONG_LINE else fault.whole(0)


async def _for_ever() -> None:
    """Until the client leaves: its leaving cancels us."""
    await asyncio.get_running_loop().create_future()


def _parsed(request: Request) -> Any:
    if not request.body:
        return None
    try:
        return request.json()
    except ValueError:
        return None


def compact(value: Any) -> bytes:
    """JSON as servers write it: no spaces, UTF-8 as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def event(value: Any, name: str = "") -> bytes:
    """A server-sent event with a JSON object."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + compact(value) + b"\n\n"
