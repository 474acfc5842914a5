"""Where a machine stalls on its way up, the next offer is taken too, and whichever is ready first is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.clock import SystemClock
from console.errors import MachineError, TimeLimit
from console.keys import Keys
from console.machines import boot
from console.machines.boot import Phase
from console.machines.records import MachineState
from console.paths import find_paths
from console.runtime import Runtime
from console.settings import settings_from
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.names import CLOUDS
from providers.simulated.clouds.twin import CloudTwin
from tests.conftest import run
from tests.flows.cloud_kit import QUICK, account, keys, machine


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phase counts as stalled after a second, not after a minute."""
    monkeypatch.setattr(boot, "_STALLED_AT_LEAST_S", 1.0)


@asynccontextmanager
async def renting(folder: Path, twin: CloudTwin, *, seconds: float = 0.2) -> AsyncIterator[tuple[Runtime, list[str]]]:
    paths = find_paths({"HAWSER_HOME": str(folder)})
    environment = {"HAWSER_ISOLATED": "1", "PATH": "/usr/bin:/bin", **keys(twin)}
    written = "\n\n".join([account(twin), "[budget]\nday_usd = 50\nmonth_usd = 500", machine(twin)])
    settings = settings_from(written, paths, environment, discover=False)
    told: list[str] = []
    runtime = Runtime(paths, settings, Keys(paths, environment), SystemClock(), told.append, environment=environment)
    try:
        store = await runtime.store()
        now = datetime.now(UTC)

        def learn(connection: sqlite3.Connection) -> None:
            for phase in Phase:
                boot.learn(connection, "vast", "", "", phase, seconds, now)

        await store.run(learn, write=True)  # boots are known to be quick here
        yield runtime, told
    finally:
        await runtime.close()


def test_the_machine_that_is_ready_first_has_the_name(tmp_path: Path) -> None:
    async def body() -> None:
        async with CLOUDS["vast"](with_machines=True, timings=QUICK, limits=False) as twin:
            twin.faults.once(CloudFaultKind.STUCK, on=Call.CREATE)
            async with renting(tmp_path / "home", twin) as (runtime, told):
                up = await runtime.up_or_next("gpu1", told.append, why="a test")

                fleet = await runtime.fleet()
                assert up.record.name == "gpu1"
                assert up.record.state is MachineState.READY
                slow = await fleet.machine("gpu1-slow")
                assert slow.state is MachineState.DESTROYING
                assert slow.cloud_id != up.record.cloud_id
                first, second = (twin.rentals[str(record.cloud_id)] for record in (slow, up.record))
                assert first.host != second.host
                assert any("taking the next offer too" in text for text in told)
                assert any("gpu1-slow, which was slower, is being destroyed" in text for text in told)

    run(body())


def test_a_machine_that_does_not_stall_is_the_only_one(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            CLOUDS["vast"](with_machines=True, timings=QUICK, limits=False) as twin,
            renting(tmp_path / "home", twin, seconds=60.0) as (runtime, told),
        ):
            up = await runtime.up_or_next("gpu1", told.append, why="a test")
            assert up.record.state is MachineState.READY
            assert len(twin.rentals) == 1

    run(body())


def test_where_both_fail_the_first_one_says_why(tmp_path: Path) -> None:
    async def body() -> None:
        async with CLOUDS["vast"](with_machines=True, timings=QUICK, limits=False) as twin:
            twin.faults.once(CloudFaultKind.STUCK, on=Call.CREATE)
            async with renting(tmp_path / "home", twin) as (runtime, told):
                ensure = await runtime.ensure()
                ensure._limits = ensure._limits._replace(start_s=4.0)

                async def no_offer(*_: object) -> None:
                    raise MachineError("There is nothing else.")

                runtime._next_plan = no_offer  # type: ignore[assignment,method-assign]
                with pytest.raises(TimeLimit, match="create of 'gpu1' is not proved"):
                    await runtime.up_or_next("gpu1", told.append, why="a test")
                assert any("The second machine is no help: There is nothing else." in text for text in told)

    run(body())
