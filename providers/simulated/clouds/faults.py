"""What a simulated cloud does wrong on request: once, for the next few calls, until a moment, or always.

twin.faults.once(CloudFaultKind.LOSE_ANSWER, on=Call.CREATE)
twin.faults.until(noon, CloudFaultKind.DOWN)
twin.faults.always(CloudFaultKind.LYING_STATUS, machine_id="20001")
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self


class Call(StrEnum):
    """What a client asks for, whatever the cloud's path for it is."""

    OFFERS = "offers"
    CREATE = "create"
    LIST = "list"
    SHOW = "show"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DESTROY = "destroy"
    CHANGE = "change"
    """Label, name, lock, size."""
    BID = "bid"
    ACCOUNT = "account"
    KEYS = "keys"
    LOGS = "logs"
    COMMAND = "command"
    BILLING = "billing"
    OTHER = "other"


_READS = (Call.LIST, Call.SHOW)
_STARTS = (Call.CREATE, Call.START)
_DEEDS = (Call.START, Call.STOP, Call.RESTART, Call.DESTROY)


class CloudFaultKind(StrEnum):
    """The number in each meaning is the fault's `argument`; what stands in brackets is used without one."""

    meaning: str
    calls: tuple[Call, ...]
    """Which calls it hits when none are named; empty for all."""

    def __new__(cls, word: str, meaning: str, calls: tuple[Call, ...] = ()) -> Self:
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.meaning = meaning
        kind.calls = calls
        return kind

    # the way there and back
    LOSE_ANSWER = "lose-answer", "does the deed and closes the connection without an answer"
    LATE = "late", "does the deed and answers N seconds later (5)"
    STATUS = "status", "answers with HTTP status N (500) in the cloud's own manner, and does nothing"
    RATE_LIMIT = "rate-limit", "answers 429 with Retry-After N (1)"
    RATE_LIMIT_BARE = "rate-limit-bare", "answers 429 without saying when to come back"
    RATE_LIMIT_TEXT = "rate-limit-text", "answers 429 with plain text"
    HTML = "html", "answers with status N (200) and an HTML page"
    ERROR_INSIDE = "error-inside", "answers 200 with an error inside"
    SILENT = "silent", "never answers, and does nothing"
    SILENT_DONE = "silent-done", "does the deed and never answers"
    RESET = "reset", "resets the connection, and does nothing"
    DOWN = "down", "answers everything with 503 and an HTML page"
    REVOKED = "revoked", "does not know the key any more"
    CLOCK_SKEW = "clock-skew", "says in its Date header a time N seconds ahead (300)"
    # deeds
    NOT_DONE = "not-done", "accepts and never does it", _DEEDS
    SLOW_STOP = "slow-stop", "accepts the stop and takes N seconds for it (600)", (Call.STOP,)
    NO_GPU = (
        "no-gpu",
        "has no GPU for it; a queued start fires N seconds later (when one is freed)",
        _STARTS,
    )
    REMNANT = "remnant", "refuses to create, and leaves something that bills", (Call.CREATE,)
    STUCK = "stuck", "never gets beyond loading the image", _STARTS
    CANNOT_START = "cannot-start", "makes a machine whose container cannot be started", _STARTS
    DIES = "dies", "makes a machine whose container ends after N seconds (60)", _STARTS
    DIRECT_BLOCKED = "direct-blocked", "makes a machine whose direct address lets nobody in", _STARTS
    SLOW_SSH = "slow-ssh", "makes a machine whose SSH server comes N seconds (120) after the word `running`", _STARTS
    LATE_KEYS = (
        "late-keys",
        "makes a machine whose keys come N seconds (20) after its SSH server",
        _STARTS,
    )
    SCOPED_KEY_REFUSED = "scoped-key-refused", "lets a machine's own key do nothing"
    # readings
    MISSING = "missing", "leaves a machine out", _READS
    ODD_STATUS = "odd-status", "says a status nobody has heard of", _READS
    LYING_STATUS = "lying-status", "says that a running machine has ended", _READS
    STALE = "stale", "says that a stopped machine is running", _READS
    HEARTBEAT_LOST = "heartbeat-lost", "has not heard of the machine for a while", _READS


@dataclass(frozen=True, slots=True)
class CloudFault:
    kind: CloudFaultKind
    argument: float | None = None
    on: frozenset[Call] = frozenset()
    """Only these calls; empty for those of its kind."""
    times: int | None = None
    """How many calls it hits; None for all."""
    until: datetime | None = None
    """The cloud's own time at which it is over."""
    machine_id: str | None = None
    """Only this machine."""
    text: str | None = None
    """For STATUS and ERROR_INSIDE the sentence, for ODD_STATUS the word."""

    def hits(self, call: Call, machine_id: str | None, now: datetime) -> bool:
        calls: Collection[Call] = self.on or self.kind.calls
        if calls and call not in calls:
            return False
        if self.until is not None and now >= self.until:
            return False
        return self.machine_id is None or machine_id in (None, self.machine_id)

    @classmethod
    def parse(cls, text: str) -> CloudFault:
        """From the command line: KIND[:N][@CALL][*TIMES]. Raises ValueError."""
        rest, _, times = text.partition("*")
        rest, _, call = rest.partition("@")
        word, _, argument = rest.partition(":")
        kind = next((kind for kind in CloudFaultKind if kind == word), None)
        if kind is None:
            raise ValueError(f"{word!r} is no fault of clouds; there are {', '.join(CloudFaultKind)}")
        if call and call not in tuple(Call):
            raise ValueError(f"{call!r} is no call; there are {', '.join(Call)}")
        try:
            return cls(
                kind,
                float(argument) if argument else None,
                on=frozenset({Call(call)} if call else ()),
                times=int(times) if times else None,
            )
        except ValueError:
            raise ValueError(f"{text!r}: what follows the colon and the star must be numbers") from None


class ActiveFaults:
    """The faults that hit one call."""

    def __init__(self, faults: Iterable[CloudFault] = ()) -> None:
        self._by_kind = {fault.kind: fault for fault in faults}

    def __contains__(self, kind: CloudFaultKind) -> bool:
        return kind in self._by_kind

    def get(self, kind: CloudFaultKind) -> CloudFault | None:
        return self._by_kind.get(kind)

    def number(self, kind: CloudFaultKind, default: float) -> float | None:
        """Its argument; None when the fault is not there."""
        fault = self._by_kind.get(kind)
        if fault is None:
            return None
        return default if fault.argument is None else fault.argument

    def on(self, kind: CloudFaultKind, machine_id: str) -> CloudFault | None:
        """The fault, if it is about this machine."""
        fault = self._by_kind.get(kind)
        return fault if fault is not None and fault.machine_id in (None, machine_id) else None


class CloudFaults:
    """The faults a cloud has in store. Change it at any time; it counts from the next call on."""

    def __init__(self, faults: Iterable[CloudFault] = ()) -> None:
        self._waiting = list(faults)

    def once(
        self,
        kind: CloudFaultKind,
        argument: float | None = None,
        *,
        on: Call | Iterable[Call] = (),
        machine_id: str | None = None,
        text: str | None = None,
    ) -> None:
        self.add(_fault(kind, argument, on, machine_id, text, times=1))

    def next(
        self,
        times: int,
        kind: CloudFaultKind,
        argument: float | None = None,
        *,
        on: Call | Iterable[Call] = (),
        machine_id: str | None = None,
        text: str | None = None,
    ) -> None:
        self.add(_fault(kind, argument, on, machine_id, text, times=times))

    def always(
        self,
        kind: CloudFaultKind,
        argument: float | None = None,
        *,
        on: Call | Iterable[Call] = (),
        machine_id: str | None = None,
        text: str | None = None,
    ) -> None:
        self.add(_fault(kind, argument, on, machine_id, text))

    def until(
        self,
        moment: datetime,
        kind: CloudFaultKind,
        argument: float | None = None,
        *,
        on: Call | Iterable[Call] = (),
        machine_id: str | None = None,
        text: str | None = None,
    ) -> None:
        self.add(_fault(kind, argument, on, machine_id, text, until=moment))

    def add(self, fault: CloudFault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def __iter__(self) -> Iterator[CloudFault]:
        return iter(tuple(self._waiting))

    def take(self, call: Call, machine_id: str | None, now: datetime) -> ActiveFaults:
        """Those that hit a call, counted down. Of one kind, the earliest added goes first."""
        if not self._waiting:
            return ActiveFaults()
        hit: dict[CloudFaultKind, CloudFault] = {}
        left: list[CloudFault] = []
        for fault in self._waiting:
            if fault.until is not None and now >= fault.until:
                continue
            if fault.kind in hit or not fault.hits(call, machine_id, now):
                left.append(fault)
                continue
            hit[fault.kind] = fault
            if fault.times is None:
                left.append(fault)
            elif fault.times > 1:
                left.append(replace(fault, times=fault.times - 1))
        self._waiting = left
        return ActiveFaults(hit.values())


def _fault(
    kind: CloudFaultKind,
    argument: float | None,
    on: Call | Iterable[Call],
    machine_id: str | None,
    text: str | None,
    *,
    times: int | None = None,
    until: datetime | None = None,
) -> CloudFault:
    calls = frozenset({on} if isinstance(on, Call) else on)
    return CloudFault(kind, argument, on=calls, times=times, until=until, machine_id=machine_id, text=text)
