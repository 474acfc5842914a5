"""What a simulated service does wrong on request.

Each `Fault` is one misbehaviour; a service's `Faults` says which apply to the next request, once, some times or always.
Several can apply at once (`crlf` with `tiny-writes`, say). They hit answers of models only, unless `on` names others.
REFUSE is about the door and not about a request: it is for the command line; a test calls `close_door` and `open_door`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self


class FaultKind(StrEnum):
    """The number in each meaning is the fault's `argument`; what stands in brackets is used without one."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.meaning = meaning
        return kind

    STATUS = "status", "answers with HTTP status N (500) and the wire's own error object"
    HTML = "html", "answers with status N (502) and a proxy's HTML page"
    SLOW = "slow", "waits N seconds before the first token (for ever)"
    STALL = "stall", "falls silent for ever after N tokens (0), with the connection open"
    CUT = "cut", "closes the connection after N tokens (0), without the end of the answer"
    RESET = "reset", "resets the connection after N tokens (0)"
    END_EARLY = "end-early", "ends the HTTP answer correctly after N tokens (0), without the wire's closing word"
    CUT_LINE = "cut-line", "closes in the middle of a line after N tokens (0)"
    CUT_CHARACTER = "cut-character", "closes in the middle of a UTF-8 character after N tokens (0)"
    ERROR = "error", "sends the wire's error object inside the stream after N tokens (0) and ends"
    GARBAGE = "garbage", "sends a line that is no JSON after N tokens (0), and goes on"
    LONG_LINE = "long-line", "after the first token, sends one line of N bytes (64 MiB), and goes on"
    WRONG_TYPE = "wrong-type", "says that the answer is text/plain"
    NO_USAGE = "no-usage", "reports no token counts"
    CRLF = "crlf", "ends every line with CR LF"
    COMMENTS = "comments", "puts a keep-alive comment before every token (a blank line where the wire has none)"
    TINY_WRITES = "tiny-writes", "writes one to three bytes at a time"
    ENDLESS = "endless", "answers until the client leaves"
    EMPTY = "empty", "answers with nothing at all, correctly closed"
    ESCAPES = "escapes", "answers with terminal control codes"
    MODEL_GONE = "model-gone", "says that the model does not exist, although the list has it"
    TRUNCATE = "truncate", "silently drops all of the prompt beyond N tokens (64), and reports as many"
    OTHER_SIZE = "other-size", "embeds with vectors of N numbers (7)"
    NOT_A_NUMBER = "not-a-number", "embeds with a vector that has a number which is none"
    OTHER_ORDER = "other-order", "lists vectors in another order, where the wire numbers them"
    REFUSE = "refuse", "lets nobody connect, from the start for N seconds (for good)"


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    argument: float | None = None
    body: str | None = None
    """For STATUS: what to send in place of the wire's error object."""
    message: str | None = None
    """For STATUS and ERROR: the sentence in the error object."""
    retry_after_s: float | None = None
    """For STATUS: a `Retry-After` header; 429 without a value here says 1."""
    on: str = ""
    """Only requests whose path contains this; empty for all requests that ask a model for an answer."""
    times: int | None = None
    """How many requests it hits; None for all."""

    def whole(self, default: int) -> int:
        """The argument as a count."""
        return default if self.argument is None else int(self.argument)

    @classmethod
    def parse(cls, text: str) -> Fault:
        """From the command line: KIND, KIND:ARGUMENT, and either with *TIMES behind it. Raises ValueError."""
        text, _, times = text.partition("*")
        word, _, argument = text.partition(":")
        kind = next((kind for kind in FaultKind if kind == word), None)
        if kind is None:
            raise ValueError(f"{word!r} is no fault; there are {', '.join(FaultKind)}")
        try:
            return cls(kind, float(argument) if argument else None, times=int(times) if times else None)
        except ValueError:
            raise ValueError(f"{text!r}: what follows the colon and the star must be numbers") from None


class ActiveFaults:
    """The faults that hit one request."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._by_kind = {fault.kind: fault for fault in faults}

    def __contains__(self, kind: FaultKind) -> bool:
        return kind in self._by_kind

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    def get(self, kind: FaultKind) -> Fault | None:
        return self._by_kind.get(kind)


class Faults:
    """The faults a service has in store. Change it at any time; it counts from the next request on."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._waiting = list(faults)

    def once(self, fault: Fault | FaultKind, argument: float | None = None) -> None:
        self.next(1, fault, argument)

    def next(self, times: int, fault: Fault | FaultKind, argument: float | None = None) -> None:
        self._waiting.append(replace(_fault(fault, argument), times=times))

    def always(self, fault: Fault | FaultKind, argument: float | None = None) -> None:
        self._waiting.append(replace(_fault(fault, argument), times=None))

    def clear(self) -> None:
        self._waiting.clear()

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(self._waiting))

    def take(self, path: str, *, is_answer: bool) -> ActiveFaults:
        """Those that hit a request for `path`, counted down. Of one kind, the earliest added goes first."""
        if not self._waiting:
            return ActiveFaults()
        hit: dict[FaultKind, Fault] = {}
        left: list[Fault] = []
        for fault in self._waiting:
            applies = fault.on in path if fault.on else is_answer
            if not applies or fault.kind in hit:
                left.append(fault)
                continue
            hit[fault.kind] = fault
            if fault.times is None:
                left.append(fault)
            elif fault.times > 1:
                left.append(replace(fault, times=fault.times - 1))
        self._waiting = left
        return ActiveFaults(hit.values())


def _fault(fault: Fault | FaultKind, argument: float | None) -> Fault:
    return fault if isinstance(fault, Fault) else Fault(fault, argument)
