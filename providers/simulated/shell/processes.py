"""The processes of a simulated machine: tasks with a number, a parent, a session, and signals."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from signal import Signals

from providers.simulated.pace import Clock
from providers.simulated.shell.streams import Nothing, Stream
from providers.simulated.watch import Watch

_LOG = logging.getLogger(__name__)

_HARMLESS = frozenset({Signals.SIGCHLD, Signals.SIGWINCH, Signals.SIGCONT, Signals.SIGURG})
LIMIT = 512
"""How many may live at once; a shell that asks for more is told what fork says."""


class ExitError(Exception):
    """A process ends itself."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code & 0xFF


class Process:
    def __init__(
        self, number: int, parent: Process | None, arguments: Sequence[str], streams: Mapping[int, Stream], at: datetime
    ) -> None:
        self.number = number
        self.parent_number = parent.number if parent else 1
        self.group: int = parent.group if parent else number
        self.session: int = parent.session if parent else number
        self.arguments = list(arguments)
        self.streams = dict(streams)
        self.started_at = at
        self.has_terminal: bool = parent.has_terminal if parent else False
        self.ignored: set[Signals] = set(parent.ignored) if parent else set()
        self.caught: set[Signals] = set()
        """Signals that the program wants to see in `pending` and not to die of."""
        self.pending: list[Signals] = []
        self.signalled = Watch()
        self.killed_by: Signals | None = None
        self.code: int | None = None
        self.task: asyncio.Task[int] | None = None

    @property
    def is_alive(self) -> bool:
        return self.code is None

    def stream(self, descriptor: int) -> Stream:
        return self.streams.get(descriptor) or Nothing()

    def deliver(self, number: Signals) -> None:
        if number is Signals.SIGKILL or (number not in self.ignored and number not in self.caught):
            if number not in _HARMLESS and self.killed_by is None:
                self.killed_by = number
                if self.task is not None:
                    self.task.cancel()
        elif number in self.caught:
            self.pending.append(number)
            self.signalled.note()

    def replace_streams(self, streams: dict[int, Stream]) -> None:
        """Take over `streams`, which are already counted for us, and let go of those we have."""
        before, self.streams = self.streams, streams
        for stream in before.values():
            stream.release()

    async def wait(self) -> int:
        """The exit code, 128 and the signal's number when a signal ended it; the process goes on if we are ended."""
        if self.code is None and self.task is not None:
            await asyncio.wait([self.task])
        assert self.code is not None
        return self.code


class Processes:
    def __init__(self, clock: Clock, *, first_number: int) -> None:
        self.clock = clock
        self._numbers = itertools.count(first_number)
        self._alive: dict[int, Process] = {}
        self.watch = Watch()

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._alive.values()))

    def __len__(self) -> int:
        return len(self._alive)

    def get(self, number: int) -> Process | None:
        return self._alive.get(number)

    def spawn(
        self,
        parent: Process | None,
        arguments: Sequence[str],
        streams: Mapping[int, Stream],
        body: Callable[[Process], Awaitable[int]],
    ) -> Process:
        """Run `body` as a process of its own, which takes its own share of `streams`. Raises BlockingIOError."""
        if len(self._alive) >= LIMIT:
            raise BlockingIOError("Cannot fork")
        process = Process(next(self._numbers), parent, arguments, {}, self.clock.now())
        process.streams = {descriptor: stream.share() for descriptor, stream in streams.items()}
        self._alive[process.number] = process
        process.task = asyncio.get_running_loop().create_task(self._run(process, body))
        process.task.add_done_callback(lambda task: self._ended(process, task))
        return process

    async def _run(self, process: Process, body: Callable[[Process], Awaitable[int]]) -> int:
        try:
            return await body(process)
        except ExitError as ended:
            return ended.code
        except BrokenPipeError:
            process.killed_by = Signals.SIGPIPE
            return 0
        except Exception:  # noqa: BLE001 - one broken program must not take the machine with it
            _LOG.exception("the program %s failed", process.arguments)
            return 70

    def _ended(self, process: Process, task: asyncio.Task[int]) -> None:
        if task.cancelled():  # also one that was ended before it began
            process.killed_by = process.killed_by or Signals.SIGKILL
            process.code = 128 + process.killed_by
        else:
            process.code = 128 + process.killed_by if process.killed_by else task.result() & 0xFF
        self._alive.pop(process.number, None)
        process.replace_streams({})
        self.watch.note()

    def in_group(self, group: int) -> list[Process]:
        return [process for process in self if process.group == group]

    def in_session(self, session: int) -> list[Process]:
        return [process for process in self if process.session == session]

    async def close(self) -> None:
        """End all at once, as a power cut would."""
        tasks = []
        for process in self:
            process.deliver(signal.SIGKILL)
            if process.task is not None:
                tasks.append(process.task)
        await asyncio.gather(*tasks, return_exceptions=True)
