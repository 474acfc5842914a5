"""The twin of TensorDock over real HTTP: both APIs, both kinds of stop, every shape of an answer, and what it bills."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from providers.simulated.clouds.billing import ChargeKind
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.rental import Phase
from providers.simulated.clouds.tensordock import Quirks, ReleaseBy, TensorDockTwin
from providers.simulated.clouds.tensordock_shapes import ListShape, ShowShape, Spelling
from tests.conftest import run
from tests.providers.twin_kit import HandClock, client_of
from tests.shapes import differences

EXAMPLES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "clouds" / "tensordock.json").read_text())
EXAMPLES["v0_get"]["json"]["virtualmachine"]["port_forwards"] = {}  # its names are ports, not those of the example
GPU = "geforcertx4090-pcie-24gb"
BOOT_S = 60
STOP_S = 20
FULL = Decimal("0.438")
"""GPU 0.35, 8 vCPU 0.024, 32 GB 0.064."""
DISK = Decimal("0.01")
"""200 GB."""


class Dock:
    """The calls of a client, by name."""

    def __init__(self, twin: TensorDockTwin, clock: HandClock, http: httpx.AsyncClient) -> None:
        self.twin = twin
        self.clock = clock
        self.http = http

    def call(self, method: str, path: str, **how: Any) -> Any:
        return self.http.request(method, f"/api/v2{path}", **how)

    async def v0(self, path: str, **fields: str) -> httpx.Response:
        whole = {"api_key": "any", "api_token": self.twin.key, **fields}
        return await self.http.post(f"/api/v0{path}", data=whole, headers={"authorization": ""})

    async def hostnode(self) -> dict[str, Any]:
        answer = await self.call("GET", "/hostnodes", params={"gpu_model": GPU})
        row: dict[str, Any] = answer.json()["data"]["hostnodes"][0]
        return row

    async def order(self, **attributes: Any) -> dict[str, Any]:
        """The example's create, at a host that is there, through one of its ports."""
        host = await self.hostnode()
        body = json.loads(json.dumps(EXAMPLES["create_request"]["body"]))
        whole = body["data"]["attributes"]
        whole["location_id"] = host["location_id"]
        whole["port_forwards"][0]["external_port"] = host["available_resources"]["available_ports"][0]
        whole |= attributes
        body["data"]["attributes"] = {name: value for name, value in whole.items() if value is not None}
        return dict(body)

    async def create(self, **attributes: Any) -> str:
        answer = (await self.call("POST", "/instances", json=await self.order(**attributes))).json()
        assert "data" in answer, answer
        return str(answer["data"]["id"])

    async def running(self, **attributes: Any) -> str:
        number = await self.create(**attributes)
        self.clock.forward(BOOT_S)
        assert await self.status(number) == "running"
        return number

    async def stopped(self, **stop: Any) -> str:
        number = await self.running()
        assert (await self.stop(number, **stop)).status_code == 200
        self.clock.forward(STOP_S)
        return number

    async def show(self, number: str) -> dict[str, Any]:
        answer = await self.call("GET", f"/instances/{number}")
        row: dict[str, Any] = answer.json()
        return row

    async def status(self, number: str) -> str:
        return str((await self.show(number))["status"])

    async def start(self, number: str) -> httpx.Response:
        return await self.http.post(f"/api/v2/instances/{number}/start", json={})

    async def stop(self, number: str, **how: Any) -> httpx.Response:
        return await self.http.post(f"/api/v2/instances/{number}/stop", **how)

    async def hourly_cost(self) -> Decimal:
        balance = (await self.v0("/billing/balance")).json()
        return Decimal(str(balance["hourly_cost"]))


@asynccontextmanager
async def dock(**traits: Any) -> AsyncIterator[Dock]:
    clock = HandClock()
    async with TensorDockTwin(clock=clock, **{"limits": False, **traits}) as twin, client_of(twin) as http:
        yield Dock(twin, clock, http)


# the documented exchanges


def test_every_documented_exchange_is_answered_in_its_shape() -> None:
    async def body() -> None:
        async with dock() as cloud:

            def alike(name: str, answer: httpx.Response) -> None:
                example = EXAMPLES[name]
                assert answer.status_code == example["status"], (name, answer.text)
                assert differences(example["json"], answer.json()) == [], name

            alike("locations", await cloud.call("GET", "/locations"))
            alike("hostnodes", await cloud.call("GET", "/hostnodes", params={"gpu_model": GPU}))
            secret = EXAMPLES["secret_create"]
            alike("secret_create", await cloud.call("POST", "/secrets", json=secret["body"]))
            alike("secrets_list", await cloud.call("GET", "/secrets"))
            created = await cloud.call("POST", "/instances", json=await cloud.order())
            alike("create_ok", created)
            number = created.json()["data"]["id"]
            cloud.clock.forward(BOOT_S)
            alike("list_observed_by_a_user", await cloud.call("GET", "/instances"))
            alike("show_documented_bare", await cloud.call("GET", f"/instances/{number}"))
            alike("v0_balance", await cloud.v0("/billing/balance"))
            alike("v0_get", await cloud.v0("/client/get/single", server=number))
            alike("v0_already_running", await cloud.v0("/client/start/single", server=number))
            stop = await cloud.v0("/client/stop/single", server=number, disassociate_resources="true")
            alike("v0_stop_release", stop)
            cloud.clock.forward(STOP_S)
            again = await cloud.v0("/client/stop/single", server=number, disassociate_resources="true")
            alike("v0_already_stopped", again)
            assert again.json() == EXAMPLES["v0_already_stopped"]["json"]
            modify = {**EXAMPLES["modify_request"]["body"], "diskGb": 250}
            assert (await cloud.call("PUT", f"/instances/{number}/modify", json=modify)).status_code == 200
            alike("start_ok", await cloud.start(number))
            cloud.clock.forward(BOOT_S)
            alike("stop_ok", await cloud.stop(number))
            alike("delete_ok", await cloud.call("DELETE", f"/instances/{number}"))

    run(body())


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (ListShape.RESOURCES, "list_documented"),
        (ListShape.ATTRIBUTES, "list_getting_started_page"),
        (ListShape.FLAT, "list_observed_by_a_user"),
    ],
)
def test_list_has_the_shape_that_is_asked_for_and_no_more(shape: ListShape, example: str) -> None:
    async def body() -> None:
        async with dock(quirks=Quirks(list_shape=shape)) as cloud:
            await cloud.running()

            answer = (await cloud.call("GET", "/instances")).json()

            assert differences(EXAMPLES[example]["json"], answer) == []
            assert differences(answer, EXAMPLES[example]["json"]) == []

    run(body())


@pytest.mark.parametrize("shape", list(ShowShape))
def test_show_is_bare_wrapped_or_wrapped_twice(shape: ShowShape) -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()
            bare = await cloud.show(number)
            cloud.twin.quirks = Quirks(show_shape=shape)

            answer = await cloud.show(number)

            rest = {name: value for name, value in bare.items() if name not in ("type", "id")}
            attributes = {"data": {"type": "instance", "id": number, "attributes": rest}}
            wanted = {ShowShape.BARE: bare, ShowShape.DATA: {"data": bare}, ShowShape.ATTRIBUTES: attributes}
            assert answer == wanted[shape]

    run(body())


@pytest.mark.parametrize(
    ("spelling", "word"),
    [
        (Spelling.LOWER, "stoppeddisassociated"),
        (Spelling.CAMEL, "StoppedDisassociated"),
        (Spelling.SNAKE, "stopped_disassociated"),
    ],
)
def test_status_words_are_spelled_as_the_quirk_says(spelling: Spelling, word: str) -> None:
    async def body() -> None:
        async with dock(quirks=Quirks(spelling=spelling)) as cloud:
            number = await cloud.create()
            cloud.clock.forward(BOOT_S)
            await cloud.stop(number, json={"disassociate_resources": True})
            cloud.clock.forward(STOP_S)

            assert await cloud.status(number) == word
            server = (await cloud.v0("/client/get/single", server=number)).json()["virtualmachine"]
            assert server["status"] == "StoppedDisassociated"

    run(body())


# create


def test_create_answers_running_long_before_there_is_an_address() -> None:
    async def body() -> None:
        async with dock() as cloud:
            answer = (await cloud.call("POST", "/instances", json=await cloud.order())).json()
            number = answer["data"]["id"]
            before = await cloud.show(number)
            cloud.clock.forward(BOOT_S)
            after = await cloud.show(number)

            assert answer["data"]["status"] == "running"
            assert (before["status"], before["ipAddress"], before["portForwards"]) == ("creating", "", [])
            assert after["status"] == "running"
            assert after["ipAddress"].startswith("203.0.113.")
            assert after["portForwards"] == [{"internal_port": 22, "external_port": 20100}]

    run(body())


@pytest.mark.parametrize(("status", "said"), [("queued", {"status": "queued"}), (None, {})])
def test_status_of_a_create_can_be_another_or_absent(status: str | None, said: dict[str, str]) -> None:
    async def body() -> None:
        async with dock(quirks=Quirks(create_status=status)) as cloud:
            data = (await cloud.call("POST", "/instances", json=await cloud.order())).json()["data"]

            assert {name: value for name, value in data.items() if name == "status"} == said

    run(body())


@pytest.mark.parametrize(("inside", "http_status"), [(True, 200), (False, 400)])
def test_refused_create_carries_its_error_inside_a_success(inside: bool, http_status: int) -> None:
    async def body() -> None:
        async with dock(stock=0, quirks=Quirks(error_inside_create=inside)) as cloud:
            answer = await cloud.call("POST", "/instances", json=await cloud.order())

            assert answer.status_code == http_status
            assert answer.json() == EXAMPLES["create_error_in_200_body"]["json"]
            assert cloud.twin.rentals == {}

    run(body())


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"image": "debian"}, "image must be one of"),
        ({"location_id": "nowhere"}, "Hostnode unavailable"),
        ({"port_forwards": [{"internal_port": 22, "external_port": 22}]}, "Hostnode unavailable"),
        ({"ssh_key": None, "ssh_key_id": "s-9"}, "SSH key not found"),
    ],
)
def test_wrong_order_makes_nothing(attributes: dict[str, Any], words: str) -> None:
    async def body() -> None:
        async with dock() as cloud:
            answer = await cloud.call("POST", "/instances", json=await cloud.order(**attributes))

            assert answer.json()["status"] == 400
            assert words in answer.json()["error"]
            assert cloud.twin.rentals == {}

    run(body())


def test_account_with_less_than_a_dollar_cannot_create() -> None:
    async def body() -> None:
        async with dock(balance_usd=Decimal("0.99")) as cloud:
            answer = await cloud.call("POST", "/instances", json=await cloud.order())

            assert "You need at least $1" in answer.json()["error"]

    run(body())


def test_ports_in_use_are_not_offered_again() -> None:
    async def body() -> None:
        async with dock() as cloud:
            await cloud.running()
            host = await cloud.hostnode()
            await cloud.running()

            assert 20100 not in host["available_resources"]["available_ports"]
            assert host["available_resources"]["gpus"][0]["availableCount"] == 3
            rows = (await cloud.call("GET", "/instances")).json()["data"]
            assert [row["portForwards"][0]["external_port"] for row in rows] == [20100, 20101]

    run(body())


def test_stored_secret_lets_in_and_cannot_be_changed() -> None:
    async def body() -> None:
        async with dock() as cloud:
            body = EXAMPLES["secret_create"]["body"]
            secret = (await cloud.call("POST", "/secrets", json=body)).json()["data"]["id"]
            number = await cloud.create(ssh_key=None, ssh_key_id=secret)

            assert cloud.twin.rentals[number].keys == [body["data"]["attributes"]["value"]]
            shown = (await cloud.call("GET", f"/secrets/{secret}")).json()["data"]
            assert shown == {"type": "SSHKEY", "id": secret, "name": "laptop"}
            assert (await cloud.call("PUT", f"/secrets/{secret}", json=body)).status_code == 405
            assert (await cloud.call("DELETE", f"/secrets/{secret}")).status_code == 200
            assert (await cloud.call("GET", f"/secrets/{secret}")).status_code == 404
            assert (await cloud.call("DELETE", f"/secrets/{secret}")).status_code == 404

    run(body())


# stop, start, delete


def test_plain_stop_bills_everything_and_a_releasing_one_only_the_disk() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()
            running = await cloud.hourly_cost()
            await cloud.stop(number)
            cloud.clock.forward(STOP_S)
            plain = (await cloud.status(number), await cloud.hourly_cost())
            price = (await cloud.show(number))["rateHourly"]
            await cloud.stop(number, json={"disassociate_resources": True})
            released = (await cloud.status(number), await cloud.hourly_cost())

            assert running == FULL + DISK
            assert plain == ("stopped", FULL + DISK)
            assert released == ("stoppeddisassociated", DISK)
            assert (await cloud.show(number))["rateHourly"] == price == 0.448

    run(body())


def test_invoice_of_a_plain_stop_goes_on_at_the_full_rate() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.stopped()
            cloud.clock.forward(hours=10)
            before = cloud.twin.billed(number)
            cloud.clock.forward(hours=1)
            plain = cloud.twin.billed(number) - before
            await cloud.stop(number, params={"disassociate_resources": "true"})
            cloud.clock.forward(hours=1)

            assert plain == FULL + DISK
            assert cloud.twin.billed(number) - before - plain == DISK
            kinds = {charge.kind for charge in cloud.twin.invoice()}
            assert kinds == {ChargeKind.GPU, ChargeKind.DISK}

    run(body())


@pytest.mark.parametrize(
    ("way", "how"),
    [
        (ReleaseBy.BODY, {"json": {"disassociate_resources": True}}),
        (ReleaseBy.BODY, {"json": {"disassociate_resources": "true"}}),
        (ReleaseBy.FORM, {"data": {"disassociate_resources": "true"}}),
        (ReleaseBy.QUERY, {"params": {"disassociate_resources": "true"}}),
    ],
)
def test_release_is_heeded_only_where_this_service_looks(way: ReleaseBy, how: dict[str, Any]) -> None:
    async def body() -> None:
        async with dock(quirks=Quirks(release_by=frozenset({way}))) as cloud:
            heeded = await cloud.stopped(**how)
            cloud.twin.quirks = Quirks(release_by=frozenset(ReleaseBy) - {way})
            unheeded = await cloud.stopped(**how)

            assert await cloud.status(heeded) == "stoppeddisassociated"
            assert await cloud.status(unheeded) == "stopped"

    run(body())


def test_released_gpu_can_be_gone_and_a_held_one_cannot() -> None:
    async def body() -> None:
        async with dock() as cloud:
            held = await cloud.stopped()
            released = await cloud.stopped(json={"disassociate_resources": True})
            host = cloud.twin.rentals[held].host
            cloud.twin.market.take(host, host.gpus)
            refused = await cloud.start(released)
            started = await cloud.start(held)

            assert refused.status_code == 400
            assert differences(EXAMPLES["start_refused"]["json"], refused.json()) == []
            assert await cloud.status(released) == "stoppeddisassociated"
            assert started.status_code == 200
            assert await cloud.status(held) == "starting"

    run(body())


def test_gpu_that_is_held_is_free_again_when_its_machine_is_deleted() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.stopped()
            held = (await cloud.hostnode())["available_resources"]["gpus"][0]["availableCount"]
            await cloud.call("DELETE", f"/instances/{number}")
            cloud.clock.forward(STOP_S)

            assert held == 3
            assert (await cloud.hostnode())["available_resources"]["gpus"][0]["availableCount"] == 4

    run(body())


def test_machine_that_holds_its_gpu_loses_it_with_the_last_of_the_money() -> None:
    async def body() -> None:
        async with dock(balance_usd=FULL + DISK + 1, has_card=True) as cloud:
            number = await cloud.stopped()
            cloud.clock.forward(hours=1)
            before = await cloud.status(number)
            cloud.clock.forward(hours=3)

            assert before == "stopped"
            assert await cloud.status(number) == "stoppeddisassociated"
            assert await cloud.hourly_cost() == DISK

    run(body())


def test_start_of_what_runs_and_stop_of_what_is_stopped_are_conflicts() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()
            start = await cloud.start(number)
            await cloud.stop(number)
            cloud.clock.forward(STOP_S)
            stop = await cloud.stop(number)

            assert (start.status_code, start.json()["error"]) == (
                409,
                "Machine is running, therefore it cannot be started",
            )
            assert (stop.status_code, stop.json()["error"]) == (
                409,
                "Machine is stopped, therefore it cannot be stopped",
            )

    run(body())


def test_host_of_a_low_tier_takes_its_gpu_back() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()
            cloud.twin.reclaim(number)
            cloud.clock.forward(STOP_S)

            assert await cloud.status(number) == "stoppeddisassociated"
            assert await cloud.hourly_cost() == DISK

    run(body())


def test_deleted_machine_is_shown_as_such_and_then_not_at_all() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()
            await cloud.call("DELETE", f"/instances/{number}")
            during = await cloud.status(number)
            cloud.clock.forward(STOP_S)

            assert during == "deleting"
            assert (await cloud.call("GET", f"/instances/{number}")).status_code == 404
            assert (await cloud.call("DELETE", f"/instances/{number}")).status_code == 404
            assert await cloud.hourly_cost() == 0

    run(body())


def test_delete_that_answers_500_or_not_at_all_leaves_the_machine_billing() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()
            cloud.twin.faults.once(CloudFaultKind.STATUS, 500, on=Call.DESTROY)
            first = await cloud.call("DELETE", f"/instances/{number}")
            cloud.twin.faults.once(CloudFaultKind.RESET, on=Call.DESTROY)
            with pytest.raises(httpx.TransportError):
                await cloud.call("DELETE", f"/instances/{number}")

            assert (first.status_code, first.json()["status"]) == (500, 500)
            assert await cloud.status(number) == "running"
            assert await cloud.hourly_cost() == FULL + DISK

    run(body())


@pytest.mark.parametrize(("fault", "afterwards"), [(CloudFaultKind.SILENT, 200), (CloudFaultKind.SILENT_DONE, 404)])
def test_delete_that_times_out_may_have_been_done_or_not(fault: CloudFaultKind, afterwards: int) -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()
            cloud.twin.faults.once(fault, on=Call.DESTROY)
            with pytest.raises(httpx.ReadTimeout):
                await cloud.call("DELETE", f"/instances/{number}", timeout=0.3)
            cloud.clock.forward(STOP_S)

            assert (await cloud.call("GET", f"/instances/{number}")).status_code == afterwards

    run(body())


def test_accepted_deeds_may_be_slow_or_never_done() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()
            faults = cloud.twin.faults
            faults.once(CloudFaultKind.NOT_DONE, on=Call.STOP)
            accepted = [(await cloud.stop(number)).status_code]
            cloud.clock.forward(STOP_S)
            words = [await cloud.status(number)]
            faults.once(CloudFaultKind.SLOW_STOP, 3600)
            accepted.append((await cloud.stop(number, json={"disassociate_resources": True})).status_code)
            cloud.clock.forward(3599)
            words.append(await cloud.status(number))
            cloud.clock.forward(1)
            words.append(await cloud.status(number))
            faults.once(CloudFaultKind.NO_GPU, on=Call.START)
            refused = await cloud.start(number)
            faults.once(CloudFaultKind.NOT_DONE, on=Call.START)
            accepted.append((await cloud.start(number)).status_code)
            words.append(await cloud.status(number))
            faults.once(CloudFaultKind.NOT_DONE, on=Call.DESTROY)
            accepted.append((await cloud.call("DELETE", f"/instances/{number}")).status_code)
            words.append(await cloud.status(number))

            assert accepted == [200, 200, 200, 200]
            assert words == ["running", "stopping", *["stoppeddisassociated"] * 3]
            assert refused.status_code == 400

    run(body())


def test_one_hostnode_is_shown_by_its_id() -> None:
    async def body() -> None:
        async with dock() as cloud:
            host = await cloud.hostnode()
            shown = await cloud.call("GET", f"/hostnodes/{host['id']}")

            assert shown.json() == {"data": host}
            assert (await cloud.call("GET", "/hostnodes/nobody")).status_code == 404

    run(body())


def test_modify_needs_a_stopped_machine_and_only_grows_the_disk() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()

            async def modify(**wanted: Any) -> tuple[int, str]:
                answer = await cloud.call("PUT", f"/instances/{number}/modify", json=wanted)
                return answer.status_code, str(answer.json().get("error", ""))

            while_running = await modify(cpuCores=4)
            await cloud.stop(number, json={"disassociate_resources": True})
            cloud.clock.forward(STOP_S)
            smaller = await modify(diskGb=100)
            odd = await modify(cpuCores=5)
            other = await modify(gpus={"gpuV0Name": "h100-sxm5-80gb", "count": 1})
            large = await modify(ramGb=512, diskGb=4000, cpuCores=128)
            larger = await modify(diskGb=4002)
            many = await modify(gpus={"gpuV0Name": GPU, "count": 5})
            await modify(ramGb=32, cpuCores=8)
            good = await modify(cpuCores=4, ramGb=16, diskGb=4000, gpus={"gpuV0Name": GPU, "count": 2})
            row = await cloud.show(number)

            assert while_running == (400, "Instance must be stopped to be modified")
            assert smaller == (400, "Storage can only be increased")
            assert odd == (400, "vcpu_count must be an even number")
            assert other == (400, "GPU model is not available on this hostnode")
            assert large == (200, "")
            assert larger == (400, "Not enough resources on this hostnode")
            assert many == (400, "Not enough GPUs on this hostnode")
            assert good == (200, "")
            assert row["resources"]["vcpu_count"] == 4
            assert row["resources"]["gpus"] == {GPU: {"count": 2, "v0Name": GPU}}
            assert row["rateHourly"] == 0.944
            assert await cloud.hourly_cost() == DISK * 20

    run(body())


# readings that mislead, and who may ask how often


def test_readings_can_lie_be_stale_be_odd_or_be_missing() -> None:
    async def body() -> None:
        async with dock() as cloud:
            number = await cloud.running()
            faults = cloud.twin.faults
            faults.once(CloudFaultKind.LYING_STATUS)
            words = [await cloud.status(number)]
            faults.once(CloudFaultKind.ODD_STATUS, text="migrating")
            words += [await cloud.status(number) for _ in range(2)]
            faults.once(CloudFaultKind.MISSING, on=Call.LIST)
            missing = (await cloud.call("GET", "/instances")).json()["data"]
            await cloud.stop(number)
            cloud.clock.forward(STOP_S)
            faults.once(CloudFaultKind.STALE)

            assert words == ["stopped", "migrating", "running"]
            assert missing == []
            assert await cloud.status(number) == "running"
            assert await cloud.status(number) == "stopped"

    run(body())


def test_remnant_of_a_refused_create_is_found_by_its_name() -> None:
    async def body() -> None:
        async with dock() as cloud:
            cloud.twin.faults.once(CloudFaultKind.REMNANT)
            answer = await cloud.call("POST", "/instances", json=await cloud.order(name="lost-1"))
            rows = (await cloud.call("GET", "/instances")).json()["data"]

            assert answer.json() == {"error": "Deployment failed", "status": 400}
            assert [row["name"] for row in rows] == ["lost-1"]

    run(body())


def test_a_hundred_requests_a_minute_and_no_more_on_both_apis() -> None:
    async def body() -> None:
        async with dock(limits=True) as cloud:
            codes = [(await cloud.call("GET", "/instances")).status_code for _ in range(99)]
            codes.append((await cloud.v0("/billing/balance")).status_code)
            refused = await cloud.call("GET", "/instances")
            cloud.clock.forward(60)

            assert set(codes) == {200}
            assert refused.status_code == 429
            assert (await cloud.call("GET", "/instances")).status_code == 200

    run(body())


def test_wrong_keys_are_refused_in_the_words_of_each_api() -> None:
    async def body() -> None:
        async with dock() as cloud:
            wrong = {"headers": {"authorization": "Bearer nobody"}}
            v2 = await cloud.call("GET", "/instances", **wrong)
            v0 = await cloud.v0("/billing/balance", api_token="nobody")
            half = await cloud.v0("/billing/balance", api_key="")
            open_door = await cloud.call("GET", "/locations", **wrong)

            assert (v2.status_code, v2.json()) == (401, {"error": "Unauthorized", "status": 401})
            assert (v0.status_code, v0.json()["success"]) == (401, False)
            assert half.status_code == 401
            assert open_door.status_code == 200
            assert (await cloud.call("POST", "/auth/test")).json() == {"success": True}
            assert (await cloud.v0("/auth/test")).json() == {"success": True}
            assert (await cloud.call("GET", "/nothing")).status_code == 404

    run(body())


def test_record_of_requests_holds_no_token() -> None:
    async def body() -> None:
        async with dock() as cloud:
            await cloud.v0("/billing/balance")
            await cloud.call("GET", "/instances")

            assert cloud.twin.key not in repr(cloud.twin.requests)
            assert all(cloud.twin.key.encode() not in asked.request.body for asked in cloud.twin.requests)

    run(body())


def test_v0_says_success_in_quotes_when_told_to() -> None:
    async def body() -> None:
        async with dock(quirks=Quirks(success_as_text=True)) as cloud:
            number = await cloud.running()
            good = (await cloud.v0("/client/list")).json()
            bad = (await cloud.v0("/client/get/single", server="nobody")).json()

            assert good["success"] == "true"
            assert list(good["virtualmachines"]) == [number]
            assert good["virtualmachines"][number]["port_forwards"] == {"20100": "22"}
            assert bad["success"] == "false"
            await cloud.v0("/client/delete/single", server=number)
            assert cloud.twin.rentals[number].phase is Phase.DESTROYING

    run(body())


def test_machines_behind_it_are_reached_through_the_port_it_tells() -> None:
    async def body() -> None:
        async with TensorDockTwin(with_machines=True, limits=False) as twin, client_of(twin) as http:
            cloud = Dock(twin, HandClock(), http)
            twin.market.timings = twin.market.timings.booting_in(0.2)
            number = await cloud.create(cloud_init={"runcmd": ["ollama serve"]})
            await twin.until(lambda: twin.rentals[number].service_up)
            await twin.settle()
            row = await cloud.show(number)

            machine = twin.machine(number)
            assert (row["ipAddress"], row["portForwards"]) == (
                "127.0.0.1",
                [{"internal_port": 22, "external_port": machine.port}],
            )
            assert machine.user == "user"
            assert 11434 in machine.services

    run(body())
