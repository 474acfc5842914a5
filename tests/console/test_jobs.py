import asyncio

from console.errors import StoreFull
from console.events import Bus, Event
from console.jobs import Job, JobEnded, JobProgress, Jobs, JobState
from tests.conftest import run


def test_a_job_reports_progress_and_its_end() -> None:
    async def body() -> list[Event]:
        bus = Bus()
        jobs = Jobs(bus)
        with bus.subscribe() as events:

            async def work(job: Job) -> None:
                job.progress("half", 0.5)

            assert await jobs.start("pull", work).finished() is JobState.DONE
            await asyncio.sleep(0)
            bus.close()
            return [event async for event in events]

    assert run(body()) == [JobProgress(1, "half", 0.5), JobEnded(1, "pull", JobState.DONE)]


def test_a_failed_job_tells_its_error_in_plain_words_and_harms_nobody() -> None:
    async def body() -> tuple[Event, int]:
        bus = Bus()
        jobs = Jobs(bus)
        with bus.subscribe() as events:

            async def work(_: Job) -> None:
                raise StoreFull("The disk is full.")

            await jobs.start("pull", work).finished()
            await asyncio.sleep(0)
            bus.close()
            return [event async for event in events][-1], len(jobs.running)

    assert run(body()) == (JobEnded(1, "pull", JobState.FAILED, "The disk is full."), 0)


def test_closing_stops_what_runs_and_lets_it_tidy_up() -> None:
    async def body() -> tuple[JobState, list[str]]:
        jobs = Jobs(Bus())
        tidied: list[str] = []

        async def work(_: Job) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                tidied.append("yes")

        job = jobs.start("watch", work)
        await asyncio.sleep(0)
        await jobs.close()
        return job.state, tidied

    assert run(body()) == (JobState.STOPPED, ["yes"])


def test_a_job_stopped_before_its_first_step_is_stopped() -> None:
    async def body() -> JobState:
        jobs = Jobs(Bus())

        async def work(_: Job) -> None:
            raise AssertionError("must not run")

        job = jobs.start("never", work)
        job.stop()
        return await job.finished()

    assert run(body()) is JobState.STOPPED


def test_closing_does_not_wait_for_ever_for_a_stubborn_job() -> None:
    async def body() -> bool:
        jobs = Jobs(Bus())
        release = asyncio.Event()

        async def work(_: Job) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await release.wait()
                raise

        job = jobs.start("stubborn", work)
        await asyncio.sleep(0)
        await jobs.close(grace_s=0.01)
        was_running = job.state is JobState.RUNNING
        release.set()
        await job.finished()
        return was_running

    assert run(body())
