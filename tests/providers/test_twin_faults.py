"""What simulated clouds do wrong on request, on both twins over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from providers.simulated.clouds.faults import Call, CloudFault, CloudFaultKind, CloudFaults
from providers.simulated.clouds.names import CLOUDS
from providers.simulated.clouds.rental import Phase
from providers.simulated.clouds.runpod import RunPodTwin
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.vast import VastTwin
from tests.conftest import run
from tests.providers.twin_kit import START, HandClock, client_of

UP_S = 120
_VAST_ORDER = {"image": "ubuntu", "disk": 20, "runtype": "ssh_direc ssh_proxy", "cancel_unavail": True}
_POD = {"image": "ubuntu", "gpu": {"id": "NVIDIA GeForce RTX 4090"}, "ports": ["22/tcp"]}


class Cloud:
    """The same calls at either cloud."""

    def __init__(self, twin: CloudTwin, clock: HandClock, http: httpx.AsyncClient) -> None:
        self.twin = twin
        self.clock = clock
        self.http = http
        self.is_vast = isinstance(twin, VastTwin)

    async def create(self) -> httpx.Response:
        if self.is_vast:
            return await self.http.put("/api/v0/asks/7001/", json=_VAST_ORDER)
        return await self.http.post("/v2/pods", json=_POD)

    async def created(self) -> str:
        answer = await self.create()
        assert answer.is_success, answer.text
        self.clock.forward(UP_S)
        return str(answer.json()["new_contract" if self.is_vast else "id"])

    async def act(self, machine_id: str, state: str) -> httpx.Response:
        if self.is_vast:
            return await self.http.put(f"/api/v0/instances/{machine_id}/", json={"state": state})
        action = "start" if state == "running" else "stop"
        return await self.http.post(f"/v2/pods/{machine_id}/action", json={"action": action})

    async def destroy(self, machine_id: str) -> httpx.Response:
        path = f"/api/v0/instances/{machine_id}/" if self.is_vast else f"/v2/pods/{machine_id}"
        return await self.http.request("DELETE", path)

    async def listed(self) -> httpx.Response:
        return await self.http.get("/api/v1/instances/" if self.is_vast else "/v2/pods")

    async def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.listed()).json()["instances" if self.is_vast else "pods"]
        return rows

    async def word(self) -> str:
        (row,) = await self.rows()
        return str(row["actual_status" if self.is_vast else "status"])

    def phase(self, machine_id: str) -> Phase:
        return self.twin.rentals[machine_id].phase


both = pytest.mark.parametrize("kind", [VastTwin, RunPodTwin])


@asynccontextmanager
async def cloud_of(kind: type[CloudTwin]) -> AsyncIterator[Cloud]:
    clock = HandClock()
    async with kind(clock=clock, limits=False) as twin, client_of(twin) as http:
        yield Cloud(twin, clock, http)


@both
def test_lost_answer_comes_after_the_deed(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(CloudFaultKind.LOSE_ANSWER, on=Call.CREATE)
            with pytest.raises(httpx.RemoteProtocolError):
                await cloud.create()

            assert len(await cloud.rows()) == 1

    run(body())


@both
@pytest.mark.parametrize("fault", [CloudFaultKind.RESET, CloudFaultKind.SILENT])
def test_broken_call_before_the_deed_does_nothing(kind: type[CloudTwin], fault: CloudFaultKind) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(fault, on=Call.CREATE)
            cloud.http.timeout = httpx.Timeout(0.2)
            with pytest.raises((httpx.ReadError, httpx.ReadTimeout)):
                await cloud.create()
            cloud.http.timeout = httpx.Timeout(20)

            assert await cloud.rows() == []

    run(body())


@both
def test_silence_may_come_after_the_deed(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(CloudFaultKind.SILENT_DONE, on=Call.CREATE)
            creating = asyncio.create_task(cloud.create())
            await cloud.twin.until(lambda: len(cloud.twin.market.rentals) == 1)
            creating.cancel()
            await asyncio.gather(creating, return_exceptions=True)

            assert len(await cloud.rows()) == 1

    run(body())


@both
def test_late_answer_comes_after_the_deed(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(CloudFaultKind.LATE, 0.05, on=Call.CREATE)
            creating = asyncio.create_task(cloud.create())
            await cloud.twin.until(lambda: len(cloud.twin.market.rentals) == 1)
            is_answered = creating.done()

            assert (await creating).is_success
            assert not is_answered

    run(body())


@both
@pytest.mark.parametrize(
    ("fault", "argument", "status", "kind_of_text", "retry_after"),
    [
        (CloudFaultKind.STATUS, None, 500, "json", None),
        (CloudFaultKind.STATUS, 502, 502, "json", None),
        (CloudFaultKind.HTML, None, 200, "text/html", None),
        (CloudFaultKind.HTML, 502, 502, "text/html", None),
        (CloudFaultKind.DOWN, None, 503, "text/html", None),
        (CloudFaultKind.RATE_LIMIT, 7, 429, "json", "7"),
        (CloudFaultKind.RATE_LIMIT_BARE, None, 429, "json", None),
        (CloudFaultKind.RATE_LIMIT_TEXT, None, 429, "text/plain", None),
        (CloudFaultKind.ERROR_INSIDE, None, 200, "json", None),
        (CloudFaultKind.REVOKED, None, 401, "json", None),
    ],
)
def test_wrong_answers_do_nothing(
    kind: type[CloudTwin],
    fault: CloudFaultKind,
    argument: float | None,
    status: int,
    kind_of_text: str,
    retry_after: str | None,
) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(fault, argument)
            answer = await cloud.create()

            assert answer.status_code == status
            assert kind_of_text in answer.headers["content-type"]
            assert answer.headers.get("retry-after") == retry_after
            assert await cloud.rows() == []

    run(body())


@both
def test_error_inside_is_worded_as_the_cloud_words_errors(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(CloudFaultKind.ERROR_INSIDE, text="no such thing")
            said = (await cloud.listed()).json()

            message = said["msg"] if cloud.is_vast else said["errors"][0]["message"]
            assert message == "no such thing"

    run(body())


@both
def test_cloud_is_down_for_hours_while_machines_bill_on(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            machine_id = await cloud.created()
            cloud.twin.faults.until(cloud.clock.now() + timedelta(hours=4), CloudFaultKind.DOWN)
            before = cloud.twin.billed(machine_id)
            statuses = []
            for _ in range(5):
                statuses.append((await cloud.listed()).status_code)
                cloud.clock.forward(hours=1)

            assert statuses == [503, 503, 503, 503, 200]
            assert cloud.twin.billed(machine_id) > before
            assert list(cloud.twin.faults) == []

    run(body())


@both
def test_clock_of_the_cloud_may_be_wrong(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            right = await cloud.listed()
            cloud.twin.faults.once(CloudFaultKind.CLOCK_SKEW, 900)
            wrong = await cloud.listed()

            assert parsedate_to_datetime(right.headers["date"]) == START
            assert parsedate_to_datetime(wrong.headers["date"]) == START + timedelta(seconds=900)

    run(body())


@both
def test_stop_is_accepted_and_never_done(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            machine_id = await cloud.created()
            cloud.twin.faults.once(CloudFaultKind.NOT_DONE)
            answer = await cloud.act(machine_id, "stopped")
            cloud.clock.forward(hours=1)
            phase, word = cloud.phase(machine_id), await cloud.word()
            await cloud.act(machine_id, "stopped")
            cloud.clock.forward(60)

            assert answer.is_success
            assert (phase, word.lower()) == (Phase.RUNNING, "running")
            assert cloud.phase(machine_id) is Phase.STOPPED

    run(body())


@both
def test_start_and_destroy_are_accepted_and_never_done(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            machine_id = await cloud.created()
            await cloud.act(machine_id, "stopped")
            cloud.clock.forward(60)
            cloud.twin.faults.next(2, CloudFaultKind.NOT_DONE)
            started = await cloud.act(machine_id, "running")
            cloud.clock.forward(hours=1)
            phase = cloud.phase(machine_id)
            destroyed = await cloud.destroy(machine_id)
            cloud.clock.forward(hours=1)

            assert started.is_success
            assert destroyed.is_success
            assert phase is cloud.phase(machine_id) is Phase.STOPPED
            assert len(await cloud.rows()) == 1

    run(body())


@both
def test_stop_takes_long_and_bills_until_it_is_done(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            machine_id = await cloud.created()
            cloud.twin.faults.once(CloudFaultKind.SLOW_STOP, 900)
            await cloud.act(machine_id, "stopped")
            cloud.clock.forward(899)
            before = await cloud.word()
            cloud.clock.forward(1)
            gpu = [charge for charge in cloud.twin.invoice() if charge.kind == "gpu"]

            assert before.lower() == "running"
            assert cloud.phase(machine_id) is Phase.STOPPED
            assert gpu[-1].until == START + timedelta(seconds=UP_S + 900)

    run(body())


def test_queued_start_fires_when_the_fault_says() -> None:
    async def body() -> None:
        async with cloud_of(VastTwin) as cloud:
            machine_id = await cloud.created()
            await cloud.act(machine_id, "stopped")
            cloud.clock.forward(60)
            cloud.twin.faults.once(CloudFaultKind.NO_GPU, 3_600)
            await cloud.act(machine_id, "running")
            cloud.clock.forward(3_599)
            before = cloud.phase(machine_id)
            cloud.clock.forward(UP_S)

            assert (before, cloud.phase(machine_id)) == (Phase.QUEUED, Phase.RUNNING)

    run(body())


def test_start_without_gpu_is_queued_at_vast_and_400_at_runpod() -> None:
    async def body() -> None:
        seen = []
        for kind in (VastTwin, RunPodTwin):
            async with cloud_of(kind) as cloud:
                machine_id = await cloud.created()
                await cloud.act(machine_id, "stopped")
                cloud.clock.forward(60)
                cloud.twin.faults.once(CloudFaultKind.NO_GPU)
                answer = await cloud.act(machine_id, "running")
                seen.append((answer.status_code, cloud.phase(machine_id)))

        assert seen == [(200, Phase.QUEUED), (400, Phase.STOPPED)]

    run(body())


@both
def test_failed_create_leaves_something_that_bills(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(CloudFaultKind.REMNANT)
            answer = await cloud.create()
            cloud.clock.forward(hours=1)
            (machine_id,) = cloud.twin.rentals

            assert not answer.is_success
            assert cloud.phase(machine_id) is Phase.STOPPED
            assert (cloud.twin.billed(machine_id) > 0) is cloud.is_vast  # this pod has no volume
            assert len(await cloud.rows()) == 1

    run(body())


@both
def test_machine_is_stuck_in_loading_until_it_is_stopped(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(CloudFaultKind.STUCK)
            machine_id = await cloud.created()
            cloud.clock.forward(hours=9)
            stuck = cloud.phase(machine_id), await cloud.word()
            await cloud.act(machine_id, "stopped")
            cloud.clock.forward(60)
            await cloud.act(machine_id, "running")
            cloud.clock.forward(UP_S)

            assert stuck == (Phase.PULLING, "loading" if cloud.is_vast else "STARTING")
            assert cloud.phase(machine_id) is Phase.RUNNING

    run(body())


def test_container_that_cannot_start_never_recovers_at_vast() -> None:
    async def body() -> None:
        async with cloud_of(VastTwin) as cloud:
            cloud.twin.faults.once(CloudFaultKind.CANNOT_START)
            machine_id = await cloud.created()
            rows = await cloud.rows()
            await cloud.act(machine_id, "stopped")
            await cloud.act(machine_id, "running")
            cloud.clock.forward(UP_S)
            rows += await cloud.rows()

            for row in rows:
                assert (row["intended_status"], row["cur_state"], row["actual_status"]) == (
                    "running",
                    "stopped",
                    "created",
                )
                assert "OCI runtime create failed" in row["status_msg"]
                assert row["ports"] is None

    run(body())


def test_pod_that_cannot_start_says_error_and_may_be_started_again() -> None:
    async def body() -> None:
        async with cloud_of(RunPodTwin) as cloud:
            cloud.twin.faults.once(CloudFaultKind.CANNOT_START)
            machine_id = await cloud.created()
            (row,) = await cloud.rows()
            await cloud.act(machine_id, "running")
            cloud.clock.forward(UP_S)

            assert (row["status"], row["actions"], row["runtime"]) == ("ERROR", ["start", "terminate"], None)
            assert await cloud.word() == "RUNNING"

    run(body())


@both
def test_container_dies_and_the_gpu_is_paid_for(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(CloudFaultKind.DIES, 300)
            machine_id = await cloud.created()
            cloud.clock.forward(300)
            word = await cloud.word()
            before = cloud.twin.billed(machine_id)
            cloud.clock.forward(hours=1)

            assert (cloud.phase(machine_id), word) == (Phase.DIED, "exited" if cloud.is_vast else "ERROR")
            assert cloud.twin.billed(machine_id) - before > cloud.twin.rentals[machine_id].usd_per_hour

    run(body())


@both
def test_machine_is_missing_from_one_reading(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            lost, there = await cloud.created(), await cloud.created()
            cloud.twin.faults.once(CloudFaultKind.MISSING, machine_id=lost)
            readings = [[str(row["id"]) for row in await cloud.rows()] for _ in range(2)]

            assert readings == [[there], [lost, there]]

    run(body())


@both
@pytest.mark.parametrize(
    ("fault", "at_vast", "at_runpod"),
    [
        (CloudFaultKind.ODD_STATUS, "hibernating", "MIGRATING"),
        (CloudFaultKind.LYING_STATUS, "exited", "EXITED"),
        (CloudFaultKind.HEARTBEAT_LOST, "unknown", "RUNNING"),
    ],
)
def test_words_lie_about_a_running_machine(
    kind: type[CloudTwin], fault: CloudFaultKind, at_vast: str, at_runpod: str
) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            machine_id = await cloud.created()
            cloud.twin.faults.once(fault)
            words = [await cloud.word(), await cloud.word()]

            assert words == ([at_vast, "running"] if cloud.is_vast else [at_runpod, "RUNNING"])
            assert cloud.phase(machine_id) is Phase.RUNNING

    run(body())


@both
def test_stopped_machine_may_be_said_to_run(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            machine_id = await cloud.created()
            await cloud.act(machine_id, "stopped")
            cloud.clock.forward(60)
            cloud.twin.faults.once(CloudFaultKind.STALE)

            assert [(await cloud.word()).lower() for _ in range(2)] == ["running", "exited"]

    run(body())


@both
def test_ssh_and_keys_may_come_late(kind: type[CloudTwin]) -> None:
    async def body() -> None:
        async with cloud_of(kind) as cloud:
            cloud.twin.faults.once(CloudFaultKind.SLOW_SSH, 500)
            cloud.twin.faults.once(CloudFaultKind.LATE_KEYS, 100)
            machine_id = await cloud.created()
            rental = cloud.twin.rentals[machine_id]
            rental.order = rental.order._replace(has_ssh=True)  # a pod without a key has no SSH at all
            assert rental.started_at is not None
            seen = []
            for second in (499, 500, 599, 600):
                cloud.clock.moment = rental.started_at + timedelta(seconds=second)
                await cloud.listed()
                seen.append((rental.ssh_up, rental.keys_up))

            assert seen == [(False, False), (True, False), (True, False), (True, True)]

    run(body())


def test_closed_door_refuses_and_opens_at_the_same_port() -> None:
    async def body() -> None:
        async with cloud_of(VastTwin) as cloud:
            port = cloud.twin.port
            await cloud.twin.close_door()
            with pytest.raises(httpx.ConnectError):
                await cloud.listed()
            await cloud.twin.open_door()

            assert (await cloud.listed()).is_success
            assert cloud.twin.port == port

    run(body())


def test_faults_are_counted_limited_and_aimed() -> None:
    faults = CloudFaults()
    faults.next(2, CloudFaultKind.STATUS, on=(Call.LIST, Call.SHOW))
    faults.until(START, CloudFaultKind.DOWN)
    faults.always(CloudFaultKind.MISSING, machine_id="7")
    later = START + timedelta(seconds=1)
    hit = [CloudFaultKind.STATUS in faults.take(call, None, later) for call in (Call.CREATE, Call.LIST, Call.SHOW)]
    over = CloudFaultKind.STATUS in faults.take(Call.LIST, None, later)

    assert hit == [False, True, True]
    assert not over
    assert CloudFaultKind.DOWN not in faults.take(Call.LIST, None, later)
    assert CloudFaultKind.MISSING in faults.take(Call.SHOW, "7", later)
    assert CloudFaultKind.MISSING not in faults.take(Call.SHOW, "8", later)
    assert faults.take(Call.LIST, None, later).on(CloudFaultKind.MISSING, "8") is None


def test_fault_of_the_command_line_is_read() -> None:
    assert CloudFault.parse("slow-stop:30*2") == CloudFault(CloudFaultKind.SLOW_STOP, 30.0, times=2)
    assert CloudFault.parse("status:502@list") == CloudFault(CloudFaultKind.STATUS, 502.0, on=frozenset({Call.LIST}))


def test_every_cloud_has_the_common_face() -> None:
    async def body() -> None:
        assert {"vast", "runpod"} <= CLOUDS.keys()
        for name, kind in CLOUDS.items():
            async with kind(clock=HandClock()) as twin:
                assert twin.description() == {"name": name, "base_url": twin.base_url, "key": twin.key}
                assert twin.rentals == {}
                assert twin.invoice() == []

    run(body())
