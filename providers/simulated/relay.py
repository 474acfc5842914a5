"""A TCP relay on loopback that can be slow, freeze, lose what passes through it, or break it: a bad network to order.

    async with Relay(("127.0.0.1", sshd_port)) as relay:
        ...  # connect to relay.port
        relay.lose_flows()  # what is connected falls silent for ever, as after a change of address; new flows pass
        relay.freeze()      # nothing passes, nobody is told; relay.thaw() lets everything go on where it was

On real networks silence also means that no acknowledgement comes back; here the kernel acknowledges up to what its
buffers hold. Programs cannot tell the difference before those are full.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Self, cast

from providers.simulated.doors import Door
from providers.simulated.watch import Watch

_QUEUE_BYTES = 256 * 1024
_SLOW_QUEUE_BYTES = 32 * 1024 * 1024
"""What may be under way when there is latency: enough for 100 MB/s over 300 ms."""
_PACED_BYTES = 16 * 1024


class Conditions:
    """What the way between two sides is like. Changes hold from the next byte on."""

    __slots__ = ("bytes_per_second", "latency_s")

    def __init__(self, latency_s: float = 0.0, bytes_per_second: float = 0.0) -> None:
        self.latency_s = latency_s
        """Added to every byte, each way."""
        self.bytes_per_second = bytes_per_second
        """Each way, for each flow; 0 is full speed."""


class Side(asyncio.Protocol):
    """One of the two connections of a flow; `send` is what its other side received."""

    def __init__(self, flow: Flow) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Side = self
        self._flow = flow
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued = 0
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True
        self._reading = True
        self._heard_end = False
        self._must_end = False
        self._must_close = False
        self._said_end = False

    # called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.look()
        self._flow.side_made(self)

    def data_received(self, data: bytes) -> None:
        self._flow.bytes_passed += len(data)
        self.other.send(data)

    def eof_received(self) -> bool:
        self._heard_end = True
        self.other.end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._stop_timer()
        self._flow.side_lost(self, broken=exc is not None)

    def pause_writing(self) -> None:
        self._writable = False
        self.other.look()

    def resume_writing(self) -> None:
        self._writable = True
        self._pump()
        self.other.look()

    # called by the flow and the other side

    def send(self, data: bytes) -> None:
        conditions = self._flow.conditions
        is_slow = conditions.latency_s or conditions.bytes_per_second
        if self.transport and not (self._queue or self._flow.frozen or is_slow):
            self.transport.write(data)
            return
        now = asyncio.get_running_loop().time()
        step = _PACED_BYTES if conditions.bytes_per_second else len(data)
        for first in range(0, len(data), step):
            piece = data[first : first + step]
            if conditions.bytes_per_second:
                self._free_at = max(now, self._free_at) + len(piece) / conditions.bytes_per_second
            self._queue.append((max(now, self._free_at) + conditions.latency_s, piece))
        self._queued += len(data)
        self._pump()
        self.other.look()

    def end(self) -> None:
        """Tell this side that no more comes, once all that came before is through."""
        self._must_end = True
        self._pump()

    def close(self) -> None:
        """Close this side once all that came before is through."""
        self._must_close = True
        self._pump()

    def reset(self) -> None:
        if self.transport is not None:
            connection = cast("socket.socket", self.transport.get_extra_info("socket"))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def look(self) -> None:
        """Read from this side exactly while the other one can take it."""
        frozen = self._flow.frozen
        limit = _SLOW_QUEUE_BYTES if self._flow.conditions.latency_s else _QUEUE_BYTES
        wanted = not frozen and self.other._writable and self.other._queued < limit
        if self.transport is not None and wanted is not self._reading and not self.transport.is_closing():
            self._reading = wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def thaw(self) -> None:
        self.look()
        self._pump()

    def _pump(self) -> None:
        self._stop_timer()
        if self.transport is None or self._flow.frozen or self.transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._queue and self._writable:
            due, data = self._queue[0]
            if due > now:
                self._timer = loop.call_at(due, self._timed_pump)
                return
            self._queue.popleft()
            self._queued -= len(data)
            self.transport.write(data)
        if self._queue:
            return
        if self._must_close or (self._must_end and (self._heard_end or not self._flow.half_close)):
            self.transport.close()
        elif self._must_end and not self._said_end:
            self._said_end = True
            try:
                self.transport.write_eof()
            except OSError:  # it has just died; `connection_lost` says so next
                self.transport.abort()

    def _timed_pump(self) -> None:
        self._timer = None
        self._pump()
        self.other.look()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Flow:
    """Two connections and what passes between them. Give `outer` and `inner` to the event loop as protocols."""

    def __init__(
        self,
        conditions: Conditions,
        *,
        made: Callable[[Flow], None],
        ended: Callable[[Flow], None],
        half_close: bool = True,
    ) -> None:
        self.conditions = conditions
        self.half_close = half_close
        self.bytes_passed = 0
        self.lost = False
        self._frozen = False
        self._made = made
        self._ended = ended
        self.outer, self.inner = Side(self), Side(self)
        self.outer.other, self.inner.other = self.inner, self.outer

    @property
    def frozen(self) -> bool:
        return self._frozen or self.lost

    def freeze(self) -> None:
        """Let nothing pass and tell nobody."""
        self._frozen = True
        self.outer.look()
        self.inner.look()

    def thaw(self) -> None:
        """Go on where it was; a lost flow stays lost."""
        self._frozen = False
        self.outer.thaw()
        self.inner.thaw()

    def lose(self) -> None:
        """Freeze for ever."""
        self.lost = True
        self.freeze()

    def reset(self) -> None:
        """Break both connections at once."""
        self.outer.reset()
        self.inner.reset()

    def close(self) -> None:
        """Close both connections in order."""
        self.lost = self._frozen = False
        self.outer.close()
        self.inner.close()

    def side_made(self, side: Side) -> None:
        if side is self.outer:
            self._made(self)
        else:
            side.thaw()

    def side_lost(self, side: Side, *, broken: bool) -> None:
        if side.other.transport is None:
            self._ended(self)
        elif broken:
            side.other.reset()
        else:
            side.other.close()


class Relay:
    """Listens on a port of its own and passes what comes to `target`, which may be changed at any time."""

    def __init__(
        self, target: tuple[str, int], *, latency_s: float = 0.0, bytes_per_second: float = 0.0, port: int = 0
    ) -> None:
        self.target = target
        self.conditions = Conditions(latency_s, bytes_per_second)
        self.flows: set[Flow] = set()
        self.accepted = 0
        """Connections so far."""
        self._door = Door(self._new_flow, port=port)
        self._dialling: dict[Flow, asyncio.Task[None]] = {}
        self._watch = Watch()
        self._frozen = False

    async def __aenter__(self) -> Self:
        self._door.take()
        await self._door.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._door.give_up()
        for task in self._dialling.values():
            task.cancel()
        await asyncio.gather(*self._dialling.values(), return_exceptions=True)
        self.reset_flows()
        await self.until(lambda: not self.flows)

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return self._door.port

    @property
    def bytes_passed(self) -> int:
        """By the flows that are open."""
        return sum(flow.bytes_passed for flow in self.flows)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when something is so; looked at whenever a flow begins or ends."""
        await self._watch.until(is_so)

    def freeze(self) -> None:
        """Let nothing pass; connecting still works, as it does with a host whose kernel is alive."""
        self._frozen = True
        self._door.jam()
        for flow in self.flows:
            flow.freeze()

    async def thaw(self) -> None:
        self._frozen = False
        for flow in list(self.flows):
            flow.thaw()
        await self._door.open()

    def lose_flows(self) -> None:
        """The flows there are fall silent for ever; new ones pass."""
        for flow in self.flows:
            flow.lose()

    def reset_flows(self) -> None:
        for flow in list(self.flows):
            flow.reset()

    def close_flows(self) -> None:
        """End the flows there are in order, with all that came before."""
        for flow in list(self.flows):
            flow.close()

    def refuse(self) -> None:
        """Let nobody connect; the port stays ours, and so do the flows there are."""
        self._door.close()

    async def accept(self) -> None:
        await self._door.open()

    def _new_flow(self) -> asyncio.Protocol:
        flow = Flow(self.conditions, made=self._made, ended=self._ended)
        return flow.outer

    def _made(self, flow: Flow) -> None:
        self.accepted += 1
        self.flows.add(flow)
        if self._frozen:
            flow.freeze()
        self._dialling[flow] = asyncio.get_running_loop().create_task(self._dial(flow))
        self._watch.note()

    async def _dial(self, flow: Flow) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: flow.inner, *self.target)
        except OSError:
            flow.outer.reset()
        finally:
            self._dialling.pop(flow, None)
            if flow.outer.transport is None:  # it left while we were dialling
                flow.inner.reset()
                if flow.inner.transport is None:
                    self._ended(flow)

    def _ended(self, flow: Flow) -> None:
        if flow not in self._dialling:
            self.flows.discard(flow)
            self._watch.note()
