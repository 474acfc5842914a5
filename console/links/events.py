"""What links tell the rest of the program. Facts, except for `LinkWaiting` and `TunnelTraffic`, which are samples."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from console.errors import LinkError
from console.events import Event


@dataclass(frozen=True, slots=True)
class LinkUp(Event):
    """Requests flow. `resumed` says that it is the old connection, which answers again."""

    link: str
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class LinkSuspect(Event):
    """The machine is late with an answer; a second connection is being opened beside the first."""

    link: str


@dataclass(frozen=True, slots=True)
class LinkSwitched(Event):
    """A second connection has taken over. `kept` streams go on over the first for a while."""

    link: str
    kept: int


@dataclass(frozen=True, slots=True)
class LinkLost(Event):
    """Nothing flows. The link goes on trying."""

    link: str
    reason: str


@dataclass(frozen=True, slots=True)
class LinkBlocked(Event):
    """Only a person can mend this. The link hardly tries until something changes."""

    link: str
    reason: str
    hint: str | None
    error: LinkError


@dataclass(frozen=True, slots=True)
class LinkAsks(Event):
    """The login waits for what only a person knows, such as a code. `LinkUp` or `LinkBlocked` follows, or nothing
    where the old connection answers again and the question is withdrawn."""

    link: str
    question: str


@dataclass(frozen=True, slots=True)
class LinkClosed(Event):
    """The link is no longer wanted."""

    link: str


@dataclass(frozen=True, slots=True)
class LinkWaiting(Event):
    """A sample: the last try failed, and why."""

    link: str
    reason: str
    next_try_s: float

    @property
    def key(self) -> Hashable:
        return self.link


@dataclass(frozen=True, slots=True)
class StreamRefused(Event):
    """A client of a local port was reset before it was connected. Told once for each reason in a row."""

    link: str
    local_port: int
    reason: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class StreamsReset(Event):
    """Streams that were under way ended with a reset, because their connection is gone for good."""

    link: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class TunnelTraffic(Event):
    """A sample: what goes through a local port."""

    link: str
    local_port: int
    active: int
    held: int
    bytes_up: int
    bytes_down: int

    @property
    def key(self) -> Hashable:
        return (self.link, self.local_port)
