"""The stream of an answer on its way to the client, and the faults that lie on that way."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from providers.simulated.faults import ActiveFaults, Fault, FaultKind
from providers.simulated.http_server import Exchange, Headers

BATCH = 256
"""Tokens that leave together at most."""
_LONG_LINE_BYTES = 64 * 1024 * 1024


_PIECE_BYTES = 64 * 1024


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


class StreamOverError(Exception):
    """A fault ended the stream."""


class Out:
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
        return _place(self._troubles[0]) - self._sending.sent if self._troubles else BATCH

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
                await for_ever()
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
        raise StreamOverError

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
            await asyncio.sleep(0)
        exchange.send_raw(tail + closing)


def _place(fault: Fault) -> int:
    """After how many tokens the fault happens; a long line's argument is its size."""
    return 1 if fault.kind is FaultKind.LONG_LINE else fault.whole(0)


async def for_ever() -> None:
    """Until the client leaves: its leaving cancels us."""
    await asyncio.get_running_loop().create_future()


def compact(value: Any) -> bytes:
    """JSON as servers write it: no spaces, UTF-8 as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def event(value: Any, name: str = "") -> bytes:
    """A server-sent event with a JSON object."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + compact(value) + b"\n\n"
