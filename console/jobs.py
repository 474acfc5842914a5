"""Long work that outlives the keypress that began it: owned here, visible, stoppable, ended in order at the close.

A job reports progress as samples and its end as a fact on the bus. What it raises is logged with its traceback and kept
as the job's error; it never takes down the program.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum

from console.errors import explain
from console.events import Bus, Event

log = logging.getLogger(__name__)


class JobState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class JobProgress(Event):
    """A sample: how far a job is. `share` is 0..1, None where it cannot be known."""

    job: int
    text: str
    share: float | None = None

    @property
    def key(self) -> Hashable:
        return self.job


@dataclass(frozen=True, slots=True)
class JobEnded(Event):
    """A fact: a job is over."""

    job: int
    name: str
    state: JobState
    error: str | None = None


class Job:
    """One piece of work. `task` ends with it; awaiting `finished()` never raises what the work raised."""

    def __init__(self, number: int, name: str, bus: Bus) -> None:
        self.number = number
        self.name = name
        self.state = JobState.RUNNING
        self.error: BaseException | None = None
        self.last_progress = JobProgress(number, "")
        self._bus = bus
        self._task: asyncio.Task[None] | None = None

    def progress(self, text: str, share: float | None = None) -> None:
        self.last_progress = JobProgress(self.number, text, share)
        self._bus.publish(self.last_progress)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def finished(self) -> JobState:
        assert self._task is not None
        await asyncio.wait([self._task])
        return self.state


class Jobs:
    """Owner of all jobs of one process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._numbers = itertools.count(1)
        self._running: dict[int, Job] = {}
        self._closed = False

    @property
    def running(self) -> tuple[Job, ...]:
        return tuple(self._running.values())

    @property
    def is_closed(self) -> bool:
        """Whether no further job can begin."""
        return self._closed

    def start(self, name: str, work: Callable[[Job], Awaitable[None]]) -> Job:
        """Begin at once; `work` gets its job to report progress to."""
        assert not self._closed, "jobs are closed"
        job = Job(next(self._numbers), name, self._bus)
        self._running[job.number] = job
        job._task = asyncio.get_running_loop().create_task(self._run(job, work), name=f"job {job.number} {name}")
        job._task.add_done_callback(lambda _: self._end(job))
        return job

    async def _run(self, job: Job, work: Callable[[Job], Awaitable[None]]) -> None:
        try:
            await work(job)
            job.state = JobState.DONE
        except asyncio.CancelledError:
            job.state = JobState.STOPPED
            raise
        except Exception as error:
            job.state, job.error = JobState.FAILED, error
            log.error("job %s failed", job.name, exc_info=error)

    def _end(self, job: Job) -> None:
        del self._running[job.number]
        if job.state is JobState.RUNNING:  # cancelled before its first step
            job.state = JobState.STOPPED
        error = explain(job.error).text if job.error is not None else None
        self._bus.publish(JobEnded(job.number, job.name, job.state, error))

    async def close(self, grace_s: float = 5.0) -> None:
        """Stop what still runs, the newest first, and wait until it has tidied up, but not for ever."""
        self._closed = True
        jobs = list(self._running.values())[::-1]
        for job in jobs:
            job.stop()
        tasks = [job._task for job in jobs if job._task is not None]
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=grace_s)
            for task in stubborn:
                log.warning("%s did not stop within %.0f s", task.get_name(), grace_s)
