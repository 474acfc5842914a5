"""The program is killed with SIGKILL at every step of every deed, against a cloud over HTTP.

Whatever the step, the next process knows every machine that costs money, and brings what was begun to an end.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from console.events import Bus
from console.history import machines
from console.machines.records import Desired, MachineState
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.rental import HOLDS_GPU, Phase, Timings
from providers.simulated.clouds.vast import VastTwin
from tests.clocks import FastClock
from tests.conftest import run, unmeasured
from tests.flows.fleet_child import Household, household

ROOT = Path(__file__).parents[2]
TIMES = 60.0
QUICK = Timings(provision_s=2, pull_s=2, boot_s=2, ssh_s=1, service_s=1, stop_s=4, destroy_s=2, restart_s=2)

STEPS = {
    "create": ("create wished", "create intended", "create sent", "create answered", "create stored"),
    "start": ("start intended", "start sent", "start answered", "start accepted"),
    "stop": ("stop wished", "stop intended", "stop sent", "stop answered", "stop accepted"),
    "destroy": ("destroy wished", "destroy intended", "destroy sent", "destroy answered", "destroy accepted"),
}
POINTS = [(wish, step) for wish, steps in STEPS.items() for step in steps]


class Stage:
    """A simulated Vast, a home folder, and one clock for both and for every process."""

    def __init__(self, twin: VastTwin, home: Path, clock: FastClock) -> None:
        self.twin, self.home, self.clock = twin, home, clock

    async def child(self, wish: str, step: str = "") -> tuple[int, list[str]]:
        """Let another process do it; its exit status and the steps it came to."""
        words = (str(self.home), repr(self.clock.began_monotonic), str(TIMES), wish, "box", step)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.flows.fleet_child",
            *words,
            cwd=ROOT,
            env={**unmeasured(), "HAWSER_KEY_LAB": self.twin.key},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, printed.decode().split("\n")[:-1]

    @asynccontextmanager
    async def household(self) -> AsyncIterator[Household]:
        async with household(self.home, self.clock, Bus()) as house:
            yield house

    async def prepare(self, wish: str) -> None:
        """A machine in the state in which the wish makes sense."""
        if wish == "create":
            return
        async with self.household() as house:
            await house.fleet.launch("box", await house.plan("lab"), why="asked for")
            await house.fleet.settled("box")
            if wish == "start":
                await house.fleet.stop("box", why="enough")
                await house.fleet.settled("box")

    def phases(self) -> list[Phase]:
        self.twin.market.advance()
        return [rental.phase for rental in self.twin.market.alive()]


@asynccontextmanager
async def stage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    clock = FastClock(TIMES)
    async with VastTwin(clock=clock, timings=QUICK) as twin:
        monkeypatch.setenv("HAWSER_KEY_LAB", twin.key)
        (folder / "config").mkdir()
        (folder / "config" / "config.toml").write_text(
            f'[clouds.lab]\nkind = "vast"\nbase_url = "{twin.base_url}"\nkey = "lab"\n'
        )
        yield Stage(twin, folder, clock)


async def come_right(stage: Stage) -> tuple[MachineState | None, Desired | None]:
    """The next process looks after everything until nothing is open."""
    async with stage.household() as house:
        await house.fleet.reconcile()
        await house.fleet.refresh(max_age_s=0)
        known = {record.cloud_id for record in await house.fleet.machines()}
        unknown = {rental.id for rental in stage.twin.market.alive()} - known
        assert not unknown, "a machine that costs money is not known"
        while await house.store.run(machines.open_deeds):
            await stage.clock.sleep(2)
            await house.fleet.reconcile()
        record = next(iter(await house.fleet.machines()), None)
        return (None, None) if record is None else (record.state, record.desired)


@pytest.mark.parametrize(("wish", "step"), POINTS)
def test_a_kill_at_any_step_leaves_nothing_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, step: str
) -> None:
    async def body() -> None:
        async with stage(tmp_path, monkeypatch) as s:
            await s.prepare(wish)

            status, steps = await s.child(wish, step)
            assert (status, steps[-1]) == (-signal.SIGKILL, step)
            state, desired = await come_right(s)

            phases = s.phases()
            match wish:
                case "create" | "start":
                    runs = phases == [Phase.RUNNING] and (state, desired) == (MachineState.BOOTING, Desired.RUNNING)
                    off = not set(phases) & HOLDS_GPU and desired in (None, Desired.STOPPED)
                    assert runs or off, (phases, state, desired)
                case "stop":
                    assert (phases, state) == ([Phase.STOPPED], MachineState.STOPPED)
                case _:
                    assert (phases, state) == ([], None)

    run(body())


def test_the_steps_that_are_killed_at_are_all_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with stage(tmp_path, monkeypatch) as s:
            for wish in ("create", "stop", "start", "destroy"):
                status, steps = await s.child(wish)

                assert status == 0
                assert tuple(dict.fromkeys(steps)) == STEPS[wish]

    run(body())


def test_a_kill_after_an_order_whose_answer_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with stage(tmp_path, monkeypatch) as s:
            s.twin.faults.once(CloudFaultKind.LOSE_ANSWER, on=Call.CREATE)

            status, _ = await s.child("create", "create lost")
            assert status == -signal.SIGKILL
            state, _ = await come_right(s)

            assert (s.phases(), state) == ([Phase.RUNNING], MachineState.BOOTING)

    run(body())


def test_a_kill_while_what_a_refused_order_left_is_cleaned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with stage(tmp_path, monkeypatch) as s:
            s.twin.faults.once(CloudFaultKind.REMNANT, on=Call.CREATE)

            status, _ = await s.child("create", "leftover stored")
            assert status == -signal.SIGKILL
            assert len(s.phases()) == 1
            state, _ = await come_right(s)

            assert (s.phases(), state) == ([], None)

    run(body())


def test_the_store_is_lost_and_the_label_finds_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with stage(tmp_path, monkeypatch) as s:
            await s.prepare("stop")
            for file in (tmp_path / "data").glob("hawser.db*"):
                file.unlink()

            state, desired = await come_right(s)

            assert (s.phases(), state, desired) == ([Phase.RUNNING], MachineState.BOOTING, Desired.RUNNING)

    run(body())
