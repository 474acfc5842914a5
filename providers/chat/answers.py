"""What the three wires have in common: sending the question, reading the answer as it comes, and its end.

A wire brings an `AnswerReader`: it knows the objects of its stream. This module knows the rest: which framing the
server really chose, merging one read into one `Delta`, thinking that is hidden in the text, characters cut in half
between two events, a server that does not hang up, a server that hangs up too early.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NoReturn

from providers.chat.base import ChatRequest, Delta, End, Finish, Host, JsonObject, ToolCall
from providers.chat.streams import BOM, MAX_LINE, JsonLines, ServerSentEvents
from providers.errors import BadReply, ProviderError, RequestRefused, StreamBroken
from providers.http import chunks, opened, place

if TYPE_CHECKING:
    import httpx

MAX_WHOLE = MAX_LINE
GRACE_S = 2.0
"""How long the rest may take (usage, the closing word) after the server said why the answer ended."""
MAX_AMENDMENTS = 3

Amend = Callable[[JsonObject, str], JsonObject | None]
"""Given the body that was refused and the server's words: a body to ask with once more, or None."""


async def answer(
    http: httpx.AsyncClient,
    host: Host,
    path: str,
    body: JsonObject,
    make_reader: Callable[[], AnswerReader],
    amend: Amend,
) -> AsyncGenerator[Delta | End, None]:
    """Ask, and give the answer as it comes. Closing this closes the connection."""
    model = body.get("model")
    for _ in range(MAX_AMENDMENTS + 1):
        async with opened(http, host, "POST", path, content=encoded(body, host)) as response:
            if response.is_success:
                async with aclosing(_read(response, host, make_reader())) as parts:
                    async for part in parts:
                        yield part
                return
            from providers.refusals import refusal_and_words

            error, words = await refusal_and_words(response, host, model=model)
            better = amend(body, words.lower()) if response.status_code in (400, 422) else None
            if better is None:
                raise error
            body = better
    raise error


async def _read(response: httpx.Response, host: Host, reader: AnswerReader) -> AsyncGenerator[Delta | End, None]:
    try:
        async with aclosing(chunks(response, host)) as parts:
            while True:
                try:
                    if reader.knows_its_end:
                        async with asyncio.timeout(GRACE_S):
                            chunk = await anext(parts, b"")
                    else:
                        chunk = await anext(parts, b"")
                except (StreamBroken, TimeoutError):
                    if not reader.knows_its_end:
                        raise
                    chunk = b""
                if not chunk:
                    break
                delta = reader.feed(chunk)
                if delta is not None:
                    yield delta
                if reader.failure is not None:
                    raise reader.failure
                if reader.ended:
                    break
    except StreamBroken:
        delta = reader.finish()
        if delta is not None:
            yield delta
        raise
    delta = reader.finish()
    if delta is not None:
        yield delta
    if reader.failure is not None:
        raise reader.failure
    end = reader.end()
    yield end._replace(timings=end.timings._replace(connect_ms=response.extensions.get("connect_ms")))


def encoded(body: JsonObject, host: Host) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestRefused(f"The request to {place(host)} has a parameter that is not JSON: {error}.") from error


class AnswerReader:
    """Bytes of an answer in, `Delta`s out; a wire says in `event` what its objects mean.

    Nothing that arrived is lost to an error: `feed` gives the text before it, and `failure` has the error.
    """

    lines_of_json = False
    """Whether the wire streams JSON lines; else it streams server-sent events."""

    def __init__(self, host: Host, request: ChatRequest) -> None:
        self.host = host
        self.request = request
        self.failure: ProviderError | None = None
        self.ended = False
        """The closing word was read; nothing more is wanted."""
        self.finish_reason: Finish | None = None
        self._stream = JsonLines() if self.lines_of_json else ServerSentEvents()
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[ToolCall] = []
        self._called = False
        self._said = False
        self._tags: ThinkTags | None = ThinkTags()
        self._cut_text = ""
        self._cut_thinking = ""
        self._anything = False
        self._events = 0
        self._unreadable = b""
        self._whole: bytearray | None = None
        self._decided = False

    # ---- for the wires

    def event(self, name: bytes, payload: JsonObject) -> None:
        raise AssertionError("a wire's reader says what its events mean")

    def end(self) -> End:
        raise AssertionError("a wire's reader says how its answer ended")

    def says(self, text: Any) -> None:
        if isinstance(text, str) and text:
            self._said = True
            self._text.append(text)

    def thinks(self, text: Any) -> None:
        if isinstance(text, str) and text:
            if not self._said:
                # A server that tells thinking apart does not hide it in the text as well.
                self._tags = None
            self._thinking.append(text)

    def calls(self, call: ToolCall) -> None:
        self._called = True
        self._calls.append(call)

    def complete(self) -> None:
        """The answer is whole: what was put together from fragments can be handed on."""

    def fails(self, payload: Any) -> NoReturn:
        from providers.refusals import inside_answer

        raise inside_answer(payload, self.host, model=self.request.model)

    def ending(self) -> Finish:
        """Why the answer ended; a call for tools is one whatever the server says."""
        if self._called and self.finish_reason in (Finish.STOP, Finish.OTHER, None):
            return Finish.TOOL_CALLS
        return self.finish_reason or Finish.STOP

    @property
    def knows_its_end(self) -> bool:
        return self.finish_reason is not None

    # ---- for the reader of the network

    def feed(self, chunk: bytes) -> Delta | None:
        try:
            self._anything = True
            if not self._decided:
                self._decide(chunk)
            if self._whole is not None:
                self._gather(chunk)
            else:
                self._take(self._stream.feed(chunk))
        except ProviderError as error:
            self.failure = error
        return self._delta()

    def finish(self) -> Delta | None:
        """Call at the end of the network's bytes, however it came; then `failure` says whether it was a good end."""
        try:
            if self.failure is None and not self.ended:
                self._finish_stream()
            if self.failure is None:
                self._check_end()
                self.complete()
        except ProviderError as error:
            self.failure = error
        return self._delta(last=True)

    def _check_end(self) -> None:
        if not self.ended and not self.knows_its_end:
            raise StreamBroken(
                f"The answer of {place(self.host)} broke off before its end."
                if self._anything
                else f"{place(self.host)} ended the answer before it began."
            )

    def _finish_stream(self) -> None:
        try:
            if self._whole is not None:
                self._take(iter((bytes(self._whole).removeprefix(BOM),)), is_whole=True)
            else:
                self._take(self._stream.finish())
        except BadReply as error:
            if self.knows_its_end:
                return  # the answer is whole; what was cut came after it
            if not self._events and not self._unreadable.lstrip().startswith(b"{"):
                raise
            raise StreamBroken(f"The answer of {place(self.host)} broke off before its end.") from error

    def _decide(self, chunk: bytes) -> None:
        """A page, or one JSON object where a stream was asked for, shows in its first character."""
        start = chunk.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if start:
            self._decided = True
            if start == b"<" or (start == b"{" and not self.lines_of_json):
                self._whole = bytearray()

    def _gather(self, chunk: bytes) -> None:
        assert self._whole is not None
        self._whole += chunk
        if len(self._whole) > MAX_WHOLE:
            raise BadReply(f"{place(self.host)} sent an answer of more than {MAX_WHOLE // (1024 * 1024)} MiB at once.")

    def _take(self, events: Any, *, is_whole: bool = False) -> None:
        plain_lines = self.lines_of_json or is_whole
        for event in events:
            name, data = (b"", event) if plain_lines else event
            if data.strip() == b"[DONE]":
                self.ended = True
            elif data and not data.isspace():
                payload = self._parsed(data)
                self._events += 1
                self.event(name, payload)
            if self.ended:
                return

    def _parsed(self, data: bytes) -> JsonObject:
        try:
            # A charged price must stay as exact as it was sent.
            payload = json.loads(data.decode("utf-8", "replace"), parse_float=Decimal if b'"cost"' in data else None)
        except (ValueError, RecursionError) as error:
            from providers.refusals import unexpected

            self._unreadable = data[:64]
            raise unexpected(data, self.host) from error
        if not isinstance(payload, dict):
            from providers.refusals import unexpected

            raise unexpected(data, self.host)
        return payload

    def _delta(self, *, last: bool = False) -> Delta | None:
        text, thinking = "".join(self._text), "".join(self._thinking)
        self._text.clear()
        self._thinking.clear()
        if self._tags is not None and (text or last):
            text, thought = self._tags.split(text, last=last)
            thinking += thought
            if self._tags.is_done:
                self._tags = None
        text, self._cut_text = mended(self._cut_text + text, last=last)
        thinking, self._cut_thinking = mended(self._cut_thinking + thinking, last=last)
        if not text and not thinking and not self._calls:
            return None
        delta = Delta(text, thinking, tuple(self._calls))
        self._calls.clear()
        return delta


class ThinkTags:
    """Thinking that a server left in the text: `<think>…</think>` at the very start of an answer, and only there."""

    OPEN, CLOSE = "<think>", "</think>"
    LONGEST_GAP = 64

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    @property
    def is_done(self) -> bool:
        return self._state == "text"

    def split(self, text: str, *, last: bool = False) -> tuple[str, str]:
        """The answer's text and the thinking in `text`; what could still become a tag is held back until then."""
        text = self._held + text
        self._held = ""
        thinking = ""
        if self._state == "start":
            start = text.lstrip()
            if len(text) - len(start) > self.LONGEST_GAP:
                self._state = "text"
            elif start.startswith(self.OPEN):
                self._state = "thinking"
                text = start[len(self.OPEN) :]
            elif self.OPEN.startswith(start) and not last:
                self._held = text
                return "", ""
            else:
                self._state = "text"
        if self._state == "thinking":
            thinking, closed, rest = text.partition(self.CLOSE)
            if closed:
                self._state = "gap"
                text = rest
            else:
                kept = 0 if last else _overlap(text, self.CLOSE)
                self._held = text[len(text) - kept :]
                return "", text[: len(text) - kept]
        if self._state == "gap":
            text = text.lstrip()
            if text:
                self._state = "text"
        return text, thinking


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` could be the beginning of `tag`."""
    for length in range(min(len(text), len(tag) - 1), 0, -1):
        if tag.startswith(text[-length:]):
            return length
    return 0


def mended(text: str, *, last: bool = False) -> tuple[str, str]:
    """The text with surrogate halves joined, and a half at its end whose other half may still come.

    Servers that cut an answer by UTF-16 units escape one half of an emoji in one event and the other in the next.
    """
    if text.isascii():
        return text, ""
    try:
        text.encode()
    except UnicodeEncodeError:
        cut = ""
        if not last and "\ud800" <= text[-1] <= "\udbff":
            text, cut = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), cut
    return text, ""


# ---- reading JSON that may hold anything


def number(value: Any) -> int | None:
    """A count, or None for anything that is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        whole = int(value)
    except (ValueError, OverflowError):
        return None
    return whole if 0 <= whole < 1 << 62 else None


def money(value: Any) -> Decimal | None:
    """An amount exactly as it was written, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def words(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def table(value: Any) -> JsonObject:
    """The object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[JsonObject]:
    """The objects of a list, or none for anything else."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def tool_parts(tool: JsonObject) -> tuple[str, str, JsonObject]:
    """Name, description and parameters of a tool written in OpenAI's or in Anthropic's way."""
    inner = table(tool.get("function")) or tool
    schema = inner.get("parameters") or inner.get("input_schema") or {"type": "object", "properties": {}}
    return str(inner.get("name", "")), str(inner.get("description", "")), table(schema)


def arguments_of(call: ToolCall) -> JsonObject:
    """A call's arguments as an object, for wires that want one; what is no object is kept under one name."""
    try:
        parsed = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        parsed = call.arguments
    return parsed if isinstance(parsed, dict) else {"arguments": parsed}
