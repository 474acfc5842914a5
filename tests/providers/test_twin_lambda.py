"""The twin of Lambda Cloud over real HTTP: launch, restart, terminate, and what a client must not take for granted."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import pytest

from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.lambda_cloud import LambdaTwin
from providers.simulated.clouds.limits import Bucket
from tests.conftest import run
from tests.providers.twin_kit import START, HandClock, client_of
from tests.shapes import differences

EXAMPLES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "clouds" / "lambda.json").read_text())
BOOT_S = 90
END_S = 10


class Lambda:
    """The calls of a client, by name."""

    def __init__(self, twin: LambdaTwin, clock: HandClock, http: httpx.AsyncClient) -> None:
        self.twin = twin
        self.clock = clock
        self.http = http

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(f"/api/v1{path}")

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.http.post(f"/api/v1{path}", json=body)

    async def add_key(self, name: str = "laptop") -> httpx.Response:
        return await self.post("/ssh-keys", {"name": name, "public_key": "ssh-ed25519 AAAA demo"})

    async def try_launch(self, **fields: Any) -> httpx.Response:
        whole = {
            "region_name": "us-west-1",
            "instance_type_name": "gpu_1x_a10",
            "ssh_key_names": ["laptop"],
            "name": "lab-4",
            **fields,
        }
        body = {name: value for name, value in whole.items() if value is not None}
        return await self.post("/instance-operations/launch", body)

    async def launch(self, **fields: Any) -> str:
        answer = await self.try_launch(**fields)
        assert answer.status_code == 200, answer.text
        (number,) = answer.json()["data"]["instance_ids"]
        return str(number)

    async def active(self, **fields: Any) -> str:
        number = await self.launch(**fields)
        self.clock.forward(BOOT_S)
        assert await self.status(number) == "active"
        return number

    async def row(self, number: str) -> dict[str, Any]:
        answer = await self.get(f"/instances/{number}")
        assert answer.status_code == 200, answer.text
        row: dict[str, Any] = answer.json()["data"]
        return row

    async def status(self, number: str) -> str:
        return str((await self.row(number))["status"])

    async def listed(self) -> list[tuple[str, str]]:
        return [(row["id"], row["status"]) for row in (await self.get("/instances")).json()["data"]]

    async def terminate(self, *numbers: str) -> httpx.Response:
        return await self.post("/instance-operations/terminate", {"instance_ids": list(numbers)})

    async def restart(self, *numbers: str) -> httpx.Response:
        return await self.post("/instance-operations/restart", {"instance_ids": list(numbers)})


@asynccontextmanager
async def cloud_of(**traits: Any) -> AsyncIterator[Lambda]:
    clock = HandClock()
    async with LambdaTwin(clock=clock, **{"limits": False, **traits}) as twin, client_of(twin) as http:
        cloud = Lambda(twin, clock, http)
        assert (await cloud.add_key()).status_code == 200
        yield cloud


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error"]["code"])


def test_every_documented_exchange_is_answered_in_its_shape() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:

            def alike(name: str, answer: httpx.Response) -> None:
                assert answer.status_code == EXAMPLES[name]["status"], (name, answer.text)
                assert differences(EXAMPLES[name]["json"], answer.json()) == [], name

            alike("ssh_key_add", await cloud.add_key("desk"))
            alike("types", await cloud.get("/instance-types"))
            await cloud.post("/filesystems", {"name": "data", "region": "us-west-1"})
            launched = await cloud.post("/instance-operations/launch", EXAMPLES["launch"]["body"])
            alike("launch", launched)
            (number,) = launched.json()["data"]["instance_ids"]
            booting = await cloud.row(number)
            cloud.clock.forward(BOOT_S)
            alike("list", await cloud.get("/instances"))
            alike("restart", await cloud.restart(number))
            cloud.clock.forward(BOOT_S)
            alike("terminate", await cloud.terminate(number))

            patch = EXAMPLES["booting_patch"]
            assert (booting["status"], booting["actions"]["restart"]["reason_code"]) == (
                patch["status"],
                patch["actions"]["restart"]["reason_code"],
            )
            assert not {"ip", "hostname"} & booting.keys()

    run(body())


def test_machine_is_active_before_its_ssh_server_is_there() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            cloud.twin.faults.once(CloudFaultKind.SLOW_SSH, 600)
            number = await cloud.active()
            row = await cloud.row(number)

            assert row["ip"].startswith("203.0.113.")
            assert row["hostname"] == row["ip"].replace(".", "-") + ".cloud.lambda.ai"
            assert "ssh_port" not in row
            assert not cloud.twin.rentals[number].ssh_up
            cloud.clock.forward(600)
            assert cloud.twin.rentals[number].ssh_up

    run(body())


def test_terminated_machine_stays_listed_for_a_while_and_then_does_not_exist() -> None:
    async def body() -> None:
        async with cloud_of(terminated_listed_s=100) as cloud:
            number = await cloud.active()
            said = (await cloud.terminate(number)).json()["data"]["terminated_instances"]
            during = await cloud.row(number)
            cloud.clock.forward(END_S)
            after = await cloud.listed()
            cloud.clock.forward(100)

            assert [row["status"] for row in said] == ["terminating"]
            assert during["actions"]["terminate"] == {
                "available": False,
                "reason_code": "vm-is-terminating",
                "reason_description": "The instance is being terminated.",
            }
            assert after == [(number, "terminated")]
            assert await cloud.listed() == []
            assert code_of(await cloud.get(f"/instances/{number}")) == (404, "global/object-does-not-exist")
            assert code_of(await cloud.terminate(number)) == (404, "global/object-does-not-exist")

    run(body())


def test_terminating_twice_is_no_error_and_one_unknown_id_spares_all() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            number = await cloud.active()
            assert (await cloud.terminate(number, "nobody")).status_code == 404
            assert await cloud.status(number) == "active"
            assert [(await cloud.terminate(number)).status_code for _ in range(2)] == [200, 200]

    run(body())


def test_preempted_machine_says_so_and_bills_no_more() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            number = await cloud.active()
            cloud.twin.preempt(number)
            cloud.clock.forward(END_S)
            billed = cloud.twin.billed(number)
            cloud.clock.forward(60)

            assert await cloud.listed() == [(number, "preempted")]
            assert cloud.twin.billed(number) == billed

    run(body())


def test_bill_runs_from_the_first_active_to_terminate_by_whole_minutes() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            number = await cloud.launch()
            cloud.clock.forward(1)
            assert cloud.twin.billed(number) == 0
            cloud.clock.forward(hours=2)
            started = cloud.twin.rentals[number].started_at
            assert started is not None
            await cloud.restart(number)
            cloud.clock.forward(30)
            await cloud.terminate(number)
            length = cloud.twin.now - started
            cloud.clock.forward(hours=5)

            minutes = -(-int(length.total_seconds()) // 60)
            assert cloud.twin.billed(number) == Decimal("1.29") * minutes / 60

    run(body())


def test_power_off_inside_the_machine_leaves_it_billing() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            number = await cloud.active()
            cloud.twin.market.kill_container(cloud.twin.rentals[number])
            before = cloud.twin.billed(number)
            cloud.clock.forward(hours=1)

            assert await cloud.status(number) == "unhealthy"
            assert cloud.twin.billed(number) - before == Decimal("1.29")

    run(body())


def test_capacity_is_told_by_region_and_its_lack_by_code() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:

            async def regions(kind: str) -> list[str]:
                row = (await cloud.get("/instance-types")).json()["data"][kind]
                return [region["name"] for region in row["regions_with_capacity_available"]]

            before = await regions("gpu_1x_a10")
            await cloud.launch()
            await cloud.launch()
            full = await cloud.try_launch()

            assert before == ["us-west-1", "us-east-1"]
            assert await regions("gpu_1x_a10") == ["us-east-1"]
            assert await regions("gpu_8x_a100_80gb_sxm4") == []
            assert code_of(full) == (400, "instance-operations/launch/insufficient-capacity")

    run(body())


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"quantity": 2}, (400, "global/invalid-parameters")),
        ({"name": "n" * 65}, (400, "global/invalid-parameters")),
        ({"ssh_key_names": ["nobody"]}, (404, "global/object-does-not-exist")),
        ({"region_name": "moon-1"}, (404, "global/object-does-not-exist")),
        ({"instance_type_name": "gpu_9x"}, (404, "global/object-does-not-exist")),
        ({"file_system_names": ["nothing"]}, (404, "global/object-does-not-exist")),
        ({"file_system_names": ["east"]}, (400, "instance-operations/launch/file-system-in-wrong-region")),
    ],
)
def test_wrong_launch_makes_nothing(fields: dict[str, Any], refusal: tuple[int, str]) -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            await cloud.post("/filesystems", {"name": "east", "region": "us-east-1"})

            assert code_of(await cloud.try_launch(**fields)) == refusal
            assert cloud.twin.rentals == {}

    run(body())


def test_quota_is_refused_by_code() -> None:
    async def body() -> None:
        async with cloud_of(quota=1) as cloud:
            await cloud.launch()

            assert code_of(await cloud.try_launch()) == (400, "global/quota-exceeded")

    run(body())


def test_name_tags_and_user_data_are_kept_and_the_name_can_be_changed() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            number = await cloud.launch(tags=[{"key": "owner", "value": "me"}], user_data="#cloud-config\n")
            nameless = await cloud.launch(name=None)
            renamed = (await cloud.post(f"/instances/{number}", {"name": "lab-5"})).json()["data"]

            assert (renamed["name"], renamed["tags"]) == ("lab-5", [{"key": "owner", "value": "me"}])
            assert cloud.twin.rentals[number].order.script == "#cloud-config\n"
            assert "name" not in await cloud.row(nameless)
            too_long = await cloud.post(f"/instances/{number}", {"name": "n" * 65})
            assert code_of(too_long) == (400, "global/invalid-parameters")
            assert code_of(await cloud.post(f"/instances/{number}", {})) == (400, "global/invalid-parameters")

    run(body())


def test_restart_does_not_show_and_is_refused_while_booting() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            number = await cloud.launch()
            early = await cloud.restart(number)
            cloud.clock.forward(BOOT_S)
            ip = (await cloud.row(number))["ip"]
            await cloud.restart(number)
            during = await cloud.row(number)
            is_reachable = cloud.twin.rentals[number].ssh_up
            cloud.clock.forward(BOOT_S)

            assert early.status_code == 409
            assert (during["status"], during["ip"], is_reachable) == ("active", ip, False)
            assert (await cloud.row(number))["ip"] == ip
            assert cloud.twin.rentals[number].ssh_up

    run(body())


def test_key_without_a_public_half_is_made_and_its_private_half_told_once() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            made = (await cloud.post("/ssh-keys", {"name": "made"})).json()["data"]
            listed = (await cloud.get("/ssh-keys")).json()["data"]

            private = asyncssh.import_private_key(made["private_key"])
            assert private.export_public_key().decode().strip() == made["public_key"]
            assert [sorted(row) for row in listed] == [["id", "name", "public_key"]] * 2
            assert code_of(await cloud.add_key("made")) == (400, "global/duplicate")
            broken = await cloud.post("/ssh-keys", {"name": "broken", "public_key": "hello"})
            assert code_of(broken) == (400, "global/invalid-parameters")
            assert (await cloud.http.delete(f"/api/v1/ssh-keys/{made['id']}")).status_code == 200
            assert (await cloud.http.delete(f"/api/v1/ssh-keys/{made['id']}")).status_code == 404

    run(body())


def test_file_system_outlives_its_machine_and_goes_on_billing() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            made = (await cloud.post("/filesystems", {"name": "data", "region": "us-west-1"})).json()["data"]
            mounts = [{"file_system_id": made["id"], "mount_point": "/data"}]
            number = await cloud.active(file_system_names=["data"], file_system_mounts=mounts)
            disk = cloud.twin.file_systems["data"]
            disk.hold(100 * 1024**3, cloud.twin.now)
            in_use = (await cloud.get("/file-systems")).json()["data"]
            refused = await cloud.http.delete(f"/api/v1/filesystems/{made['id']}")
            row = await cloud.row(number)
            await cloud.terminate(number)
            cloud.clock.forward(hours=72)
            await cloud.http.delete(f"/api/v1/filesystems/{made['id']}")
            cloud.clock.forward(hours=72)

            assert [(row["name"], row["is_in_use"], row["bytes_used"]) for row in in_use] == [
                ("data", True, 100 * 1024**3)
            ]
            assert code_of(refused) == (400, "filesystems/filesystem-in-use")
            assert row["file_system_mounts"] == mounts
            billed = [charge.usd for charge in cloud.twin.invoice() if charge.machine_id == disk.id]
            assert billed == [Decimal(2)]
            assert (await cloud.get("/file-systems")).json() == {"data": []}
            gone = await cloud.http.delete(f"/api/v1/filesystems/{made['id']}")
            assert code_of(gone) == (404, "global/object-does-not-exist")

    run(body())


def test_file_systems_have_names_of_their_own_and_images_a_region() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            wanted = {"name": "data", "region": "us-west-1"}
            answers = [await cloud.post("/filesystems", wanted) for _ in range(2)]
            images = (await cloud.get("/images")).json()["data"]
            number = await cloud.launch(firewall_rulesets=[{"id": "fw-1"}])

            assert answers[0].status_code == 200
            assert code_of(answers[1]) == (400, "global/duplicate")
            assert len({image["id"] for image in images}) == len(images) > 1
            assert {"lambda-stack-24-04"} < {image["family"] for image in images}
            assert (await cloud.row(number))["firewall_rulesets"] == [{"id": "fw-1"}]

    run(body())


def test_key_is_taken_as_bearer_or_as_a_name_without_a_password() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:

            async def status(scheme: str, shown: str) -> int:
                headers = {"authorization": f"{scheme} {shown}"}
                return (await cloud.http.get("/api/v1/instances", headers=headers)).status_code

            def basic(text: str) -> str:
                return base64.b64encode(text.encode()).decode()

            assert await status("Bearer", cloud.twin.key) == 200
            assert await status("Basic", basic(f"{cloud.twin.key}:")) == 200
            assert await status("Basic", basic(f"{cloud.twin.key}:word")) == 401
            assert await status("Basic", "%%%") == 401
            assert await status("Bearer", "nobody") == 401
            answer = await cloud.http.get("/api/v1/instances", headers={"authorization": "Bearer nobody"})
            assert differences(EXAMPLES["errors"][2]["json"], answer.json()) == []
            assert code_of(answer) == (401, "global/invalid-api-key")

    run(body())


def test_requests_are_counted_per_second_and_launches_every_twelve() -> None:
    async def body() -> None:
        clock = HandClock()
        async with LambdaTwin(clock=clock, burst=3) as twin, client_of(twin) as http:
            cloud = Lambda(twin, clock, http)
            codes = [(await cloud.get("/instances")).status_code for _ in range(4)]
            clock.forward(1)
            codes += [(await cloud.get("/instances")).status_code for _ in range(2)]
            clock.forward(10)
            await cloud.add_key()
            launches = [(await cloud.try_launch()).status_code]
            clock.forward(11)
            launches.append((await cloud.try_launch()).status_code)
            clock.forward(1)
            launches.append((await cloud.try_launch()).status_code)

            assert codes == [200, 200, 200, 429, 200, 429]
            assert launches == [200, 429, 200]

    run(body())


def test_bucket_tells_how_long_to_wait() -> None:
    clock = HandClock()
    bucket = Bucket(0.5, 2)

    waits = [bucket.wait_s("me", clock.now()) for _ in range(3)]
    clock.forward(1)
    waits += [bucket.wait_s("me", clock.now()), bucket.wait_s("other", START)]
    clock.forward(1)
    waits.append(bucket.wait_s("me", clock.now()))

    assert waits == [0, 0, 2, 1, 0, 0]


def test_readings_can_lie_be_stale_be_odd_or_be_missing() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            number = await cloud.active()
            said = []
            for kind in (CloudFaultKind.LYING_STATUS, CloudFaultKind.ODD_STATUS, CloudFaultKind.HEARTBEAT_LOST):
                cloud.twin.faults.once(kind)
                said.append(await cloud.status(number))
            cloud.twin.faults.once(CloudFaultKind.MISSING)
            missing = await cloud.get(f"/instances/{number}")
            cloud.twin.market.lose_host(cloud.twin.rentals[number].host)
            said.append(await cloud.status(number))
            await cloud.terminate(number)
            cloud.twin.faults.once(CloudFaultKind.STALE)
            said.append(await cloud.status(number))

            assert said == ["terminated", "hibernating", "unhealthy", "unhealthy", "active"]
            assert missing.status_code == 404

    run(body())


def test_launch_and_terminate_can_fail_in_the_ways_that_cost_money() -> None:
    async def body() -> None:
        async with cloud_of() as cloud:
            cloud.twin.faults.once(CloudFaultKind.REMNANT)
            failed = await cloud.try_launch(name="lost-1")
            rows = (await cloud.get("/instances")).json()["data"]
            cloud.clock.forward(BOOT_S)
            cloud.twin.faults.once(CloudFaultKind.NOT_DONE, on=Call.DESTROY)
            accepted = await cloud.terminate(rows[0]["id"])

            assert code_of(failed) == (500, "global/internal-error")
            assert [row["name"] for row in rows] == ["lost-1"]
            assert accepted.status_code == 200
            assert await cloud.status(rows[0]["id"]) == "active"

    run(body())


def test_machines_behind_it_say_their_port_because_it_cannot_be_22() -> None:
    async def body() -> None:
        async with LambdaTwin(with_machines=True, limits=False) as twin, client_of(twin) as http:
            cloud = Lambda(twin, HandClock(), http)
            twin.market.timings = twin.market.timings.booting_in(0.2)
            await cloud.add_key()
            number = await cloud.launch()
            await twin.until(lambda: twin.rentals[number].ssh_up)
            await twin.settle()
            row = await cloud.row(number)

            assert (row["ip"], row["ssh_port"]) == ("127.0.0.1", twin.machine(number).port)
            assert twin.machine(number).user == "ubuntu"

    run(body())
