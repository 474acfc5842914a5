"""The twin of Vast over real HTTP: its calls, its four status words, its errors and its bills."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from providers.simulated.clouds.faults import CloudFaultKind
from providers.simulated.clouds.hosts import RTX_4090, Host
from providers.simulated.clouds.vast import VastTwin
from tests.conftest import run
from tests.providers.twin_kit import START, HandClock, client_of

SEARCH = {
    "verified": {"eq": True},
    "external": {"eq": False},
    "rentable": {"eq": True},
    "gpu_name": {"eq": "RTX 4090"},
    "num_gpus": {"eq": "1"},
    "dph_total": {"lt": "0.6"},
    "order": [["score", "desc"]],
    "type": "on-demand",
    "allocated_storage": 5.0,
}
"""As the vastai command sends it: numbers are text."""

ORDER = {
    "client_id": "me",
    "image": "vastai/base-image:cuda-12.8",
    "env": {"TZ": "UTC", "-p 8080:8080": "1"},
    "price": None,
    "disk": 36.0,
    "label": "demo",
    "extra": None,
    "onstart": "echo hi",
    "cancel_unavail": True,
    "template_hash_id": None,
    "runtype": "ssh_direc ssh_proxy",
}

RUNNING_S = 65


class Vast:
    """The calls of a client, by name."""

    def __init__(self, twin: VastTwin, clock: HandClock, http: httpx.AsyncClient) -> None:
        self.twin = twin
        self.clock = clock
        self.http = http

    async def rent(self, ask: int = 7001, **more: Any) -> int:
        answer = await self.http.put(f"/api/v0/asks/{ask}/", json={**ORDER, **more})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["new_contract"])

    async def rent_running(self, ask: int = 7001, **more: Any) -> int:
        number = await self.rent(ask, **more)
        self.clock.forward(RUNNING_S)
        return number

    async def row(self, number: int) -> dict[str, Any]:
        answer = await self.http.get(f"/api/v0/instances/{number}/", params={"owner": "me"})
        row: dict[str, Any] = answer.json()["instances"]
        return row

    async def words(self, number: int) -> tuple[str, str, str, str | None]:
        row = await self.row(number)
        return row["intended_status"], row["cur_state"], row["next_state"], row["actual_status"]

    async def set_state(self, number: int, state: str) -> httpx.Response:
        return await self.http.put(f"/api/v0/instances/{number}/", json={"state": state})

    async def listed(self, **query: Any) -> dict[str, Any]:
        params = {name: value if isinstance(value, str) else json.dumps(value) for name, value in query.items()}
        answer = await self.http.get("/api/v1/instances/", params=params)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page


@asynccontextmanager
async def vast(**traits: Any) -> AsyncIterator[Vast]:
    clock = HandClock()
    async with VastTwin(clock=clock, **{"limits": False, **traits}) as twin, client_of(twin) as http:
        yield Vast(twin, clock, http)


def test_search_compares_text_as_numbers() -> None:
    async def body() -> None:
        async with vast() as cloud:
            offers = (await cloud.http.post("/api/v0/bundles/", json=SEARCH)).json()["offers"]

            assert {offer["gpu_name"] for offer in offers} == {"RTX 4090"}
            assert [offer["num_gpus"] for offer in offers] == [1, 1, 1]
            assert [offer["score"] for offer in offers] == sorted((offer["score"] for offer in offers), reverse=True)

    run(body())


def test_machine_comes_up_stops_and_is_destroyed_with_the_words_of_each_state() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent()
            words = [await cloud.words(number)]
            for seconds in (1, 5, RUNNING_S):
                cloud.clock.forward(seconds)
                words.append(await cloud.words(number))
            await cloud.set_state(number, "stopped")
            words.append(await cloud.words(number))
            cloud.clock.forward(10)
            words.append(await cloud.words(number))
            await cloud.http.request("DELETE", f"/api/v0/instances/{number}/", json={})
            cloud.clock.forward(10)

            assert words == [
                ("running", "stopped", "running", None),
                ("running", "stopped", "running", "created"),
                ("running", "running", "running", "loading"),
                ("running", "running", "running", "running"),
                ("stopped", "running", "stopped", "running"),
                ("stopped", "stopped", "stopped", "exited"),
            ]
            assert await cloud.row(number) is None

    run(body())


def test_start_without_a_free_gpu_is_queued_and_fires_later() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()
            await cloud.set_state(number, "stopped")
            cloud.clock.forward(10)
            host = cloud.twin.market.hosts[41]
            cloud.twin.market.take(host, 4)
            answer = await cloud.set_state(number, "running")
            queued = await cloud.words(number)
            cloud.clock.forward(hours=5)
            still_queued = await cloud.words(number)
            cloud.twin.market.give_back(host, 1)
            cloud.clock.forward(RUNNING_S)

            assert (answer.status_code, answer.json()["success"]) == (200, False)
            assert "state change queued" in answer.json()["msg"]
            assert queued == still_queued == ("running", "stopped", "running", "exited")
            assert await cloud.words(number) == ("running", "running", "running", "running")

    run(body())


def test_gpu_is_billed_from_running_to_stopped_and_disk_from_first_to_last() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()  # runs after 65 s of 5 s, 50 s and 10 s
            cloud.clock.forward(hours=2)
            await cloud.set_state(number, "stopped")
            cloud.clock.forward(hours=10)

            gpu = Decimal("0.39") * (7_200 + 8) / 3_600
            disk = Decimal("0.01") * (RUNNING_S + 12 * 3_600) / 3_600
            assert abs(cloud.twin.billed(str(number)) - gpu - disk) < Decimal("1e-15")
            assert cloud.twin.billed(str(number)) == sum(charge.usd for charge in cloud.twin.invoice())

    run(body())


_INSTANCE_FIELDS = """
    id label machine_id host_id num_gpus gpu_name gpu_ram gpu_util gpu_temp cpu_cores_effective cpu_ram
    disk_space disk_usage dph_base dph_total storage_cost storage_total_cost instance search is_bid min_bid
    start_date end_date uptime_mins ssh_host ssh_idx ssh_port public_ipaddr ports direct_port_start
    direct_port_end direct_port_count image_uuid image_runtype image_args extra_env onstart status_msg
    geolocation static_ip reliability2 verification template_id template_hash_id template_name local_ipaddrs
    inet_up inet_down inet_up_cost inet_down_cost jupyter_token actual_status cur_state intended_status
    next_state
"""
_OFFER_FIELDS = """
    id ask_contract_id machine_id host_id gpu_name num_gpus gpu_ram gpu_total_ram gpu_frac cpu_cores_effective
    cpu_ram disk_space dph_base dph_total min_bid storage_cost storage_total_cost inet_up inet_down
    inet_up_cost inet_down_cost reliability reliability2 dlperf score cuda_max_good compute_cap driver_version
    direct_port_count duration end_date geolocation verification rentable rented is_bid static_ip vms_enabled
    hosting_type
"""


def test_rows_have_every_field_a_client_may_read() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()
            offer = (await cloud.http.post("/api/v0/bundles/", json=SEARCH)).json()["offers"][0]
            row = await cloud.row(number)

            assert offer.keys() >= set(_OFFER_FIELDS.split())
            assert row.keys() >= set(_INSTANCE_FIELDS.split())
            assert row["instance"].keys() == row["search"].keys() == {
                "gpuCostPerHour", "diskHour", "totalHour", "discountTotalHour", "discountedTotalPerHour"
            }  # fmt: skip
            assert row["extra_env"] == [["TZ", "UTC"], ["-p 8080:8080", "1"]]
            assert isinstance(row["start_date"], float)

    run(body())


def test_offers_are_bid_for_at_the_lowest_bid_and_storage_is_in_the_total() -> None:
    async def body() -> None:
        async with vast() as cloud:
            query = {"type": "bid", "order": [["dph_total", "asc"]], "limit": 3, "allocated_storage": 36.0}
            offers = (await cloud.http.post("/api/v0/bundles/", json=query)).json()["offers"]
            totals = [offer["dph_total"] for offer in offers]

            assert len(offers) == 3
            assert totals == sorted(totals)
            assert all(offer["is_bid"] and offer["dph_base"] == offer["min_bid"] for offer in offers)
            assert offers[0]["storage_total_cost"] == 0.01
            assert offers[0]["dph_total"] == pytest.approx(offers[0]["dph_base"] + 0.01)

    run(body())


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"gpu_name": {"in": ["H100_SXM"]}, "num_gpus": {"gte": "8"}}, [7018]),
        ({"gpu_ram": {"gt": 80_000}, "gpu_name": {"notin": ["H100 SXM"]}, "num_gpus": {"lt": 2}}, [7011]),
        ({"geolocation": {"eq": "Norway, NO"}}, [7010]),
        ({"id": {"eq": "7001"}}, [7001]),
        ({"id": 7001}, [7001]),
        ({"static_ip": {"neq": True}, "num_gpus": {"eq": 1}}, [7007]),
        ({"rented": {"eq": True}}, []),
    ],
)
def test_search_filters(filters: dict[str, Any], ids: list[int]) -> None:
    async def body() -> None:
        async with vast() as cloud:
            query = {**filters, "order": [["id", "asc"]]}
            offers = (await cloud.http.post("/api/v0/bundles/", json=query)).json()["offers"]

            assert [offer["id"] for offer in offers] == ids

    run(body())


@pytest.mark.parametrize("filters", [{"nonsense": {"eq": 1}}, {"num_gpus": {"about": 1}}, {"id": {"in": 3}}])
def test_search_refuses_filters_it_does_not_know(filters: dict[str, Any]) -> None:
    async def body() -> None:
        async with vast() as cloud:
            answer = await cloud.http.post("/api/v0/bundles/", json=filters)

            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_args")

    run(body())


def test_list_comes_in_pages_of_25_at_most() -> None:
    async def body() -> None:
        hosts = [Host(1, RTX_4090, 64, Decimal("0.4"))]
        async with vast(hosts=hosts) as cloud:
            numbers = [await cloud.rent() for _ in range(60)]
            seen: list[int] = []
            token: str | None = None
            sizes = []
            while True:
                query = {"limit": 25, "order_by": [{"col": "id", "dir": "desc"}]}
                page = await cloud.listed(**query, **({"after_token": token} if token else {}))
                seen += [row["id"] for row in page["instances"]]
                sizes.append(len(page["instances"]))
                token = page["next_token"]
                if token is None:
                    break
            too_many = await cloud.http.get("/api/v1/instances/", params={"limit": "26"})

            assert sizes == [25, 25, 10]
            assert seen == sorted(numbers, reverse=True)
            assert (page["instances_found"], page["total_instances"]) == (60, 60)
            assert too_many.status_code == 400

    run(body())


def test_page_goes_on_where_it_was_when_a_machine_in_between_is_gone() -> None:
    async def body() -> None:
        async with vast() as cloud:
            numbers = [await cloud.rent(), await cloud.rent(), await cloud.rent()]
            first = await cloud.listed(limit=2)
            await cloud.http.request("DELETE", f"/api/v0/instances/{numbers[0]}/", json={})
            cloud.clock.forward(60)
            second = await cloud.listed(limit=2, after_token=first["next_token"])

            assert [row["id"] for row in second["instances"]] == [numbers[2]]

    run(body())


def test_list_filters_by_stored_fields_and_refuses_computed_ones() -> None:
    async def body() -> None:
        async with vast() as cloud:
            running = await cloud.rent_running(label="one")
            await cloud.rent(label="two")
            by_status = await cloud.listed(select_filters={"actual_status": {"in": ["running", "loading"]}})
            by_label = await cloud.listed(select_filters={"label": {"eq": "two"}}, select_cols=["id", "label"])
            computed = await cloud.http.get(
                "/api/v1/instances/", params={"select_filters": json.dumps({"dph_total": {"lt": 1}})}
            )

            assert [row["id"] for row in by_status["instances"]] == [running]
            assert by_status["total_instances"] == 2
            assert by_status["label_counts"] == {"one": 1}
            assert by_label["instances"] == [{"id": running + 1, "label": "two"}]
            assert computed.status_code == 400

    run(body())


def test_show_wraps_one_object_in_a_plural_key() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent()
            shown = (await cloud.http.get(f"/api/v0/instances/{number}/?owner=me")).json()
            unknown = (await cloud.http.get("/api/v0/instances/1/?owner=me")).json()

            assert shown["instances"]["id"] == number
            assert unknown == {"instances": None}

    run(body())


def test_offer_that_is_gone_says_so_in_two_ways() -> None:
    async def body() -> None:
        async with vast(stock=0) as cloud:
            unknown = await cloud.http.put("/api/v0/asks/1/", json=ORDER)
            taken = await cloud.http.put("/api/v0/asks/7001/", json=ORDER)

            assert (unknown.status_code, unknown.json()["error"], unknown.json()["ask_id"]) == (404, "invalid_args", 1)
            assert "no_such_ask" in unknown.json()["msg"]
            assert (taken.status_code, taken.json()["error"]) == (410, "no_such_ask")
            assert cloud.twin.rentals == {}

    run(body())


def test_taken_offer_without_cancel_unavail_leaves_a_machine_that_bills_its_disk() -> None:
    async def body() -> None:
        async with vast(stock=0) as cloud:
            number = await cloud.rent(cancel_unavail=False)
            cloud.clock.forward(hours=1)

            assert await cloud.words(number) == ("running", "stopped", "running", "created")
            assert cloud.twin.billed(str(number)) == Decimal("0.01")

    run(body())


def test_bid_that_is_too_low_is_refused_and_leaves_a_stopped_machine() -> None:
    async def body() -> None:
        async with vast() as cloud:
            answer = await cloud.http.put("/api/v0/asks/7001/", json={**ORDER, "price": 0.05})
            remnant = answer.json()["new_contract"]

            assert (answer.status_code, answer.json()["success"]) == (400, False)
            assert await cloud.words(remnant) == ("stopped", "stopped", "stopped", "created")

    run(body())


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"image": None}, "invalid_args"),
        ({"disk": 7}, "invalid_args"),
        ({"disk": 1_000_000}, "invalid_args"),
        ({"label": "x" * 257}, "invalid_args"),
        ({"onstart": "x" * 4_097}, "invalid_args"),
        ({"env": {"A": "x" * 257}}, "invalid_args"),
        ({"env": "A=1"}, "invalid_args"),
        ({"price": 200}, "invalid_price"),
        ({"image": "docker.io/vastai/kvm:ubuntu"}, "no_ssh_key_for_vm"),
    ],
)
def test_orders_that_cannot_be_are_refused(fields: dict[str, Any], code: str) -> None:
    async def body() -> None:
        async with vast() as cloud:
            answer = await cloud.http.put("/api/v0/asks/7001/", json={**ORDER, **fields})

            assert (answer.status_code, answer.json()["error"]) == (400, code)
            assert cloud.twin.rentals == {}

    run(body())


def test_outbid_machine_looks_as_if_we_had_stopped_it() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running(price=0.25)
            cloud.twin.market.set_min_bid(cloud.twin.market.hosts[41], Decimal("0.30"))
            cloud.clock.forward(10)
            row = await cloud.row(number)
            raised = await cloud.http.put(
                f"/api/v0/instances/bid_price/{number}/", json={"client_id": "me", "price": 0.31}
            )
            started = await cloud.set_state(number, "running")
            cloud.clock.forward(RUNNING_S)

            assert (row["intended_status"], row["cur_state"], row["actual_status"]) == ("stopped", "stopped", "exited")
            assert (row["is_bid"], row["min_bid"], row["dph_base"]) == (True, 0.3, 0.25)
            assert (raised.json(), started.json()) == ({"success": True}, {"success": True})
            assert (await cloud.words(number))[3] == "running"

    run(body())


def test_reboot_keeps_the_gpu_and_recycle_makes_the_container_anew() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()
            words = []
            for path in ("reboot", "recycle"):
                answer = await cloud.http.put(f"/api/v0/instances/{path}/{number}/", json={})
                assert answer.json() == {"success": True}
                words.append((await cloud.words(number))[3])
                cloud.clock.forward(20)
                words.append((await cloud.words(number))[3])

            assert words == ["rebooting", "running", "loading", "running"]

    run(body())


def test_several_are_started_stopped_and_destroyed_at_once() -> None:
    async def body() -> None:
        async with vast() as cloud:
            numbers = [await cloud.rent(), await cloud.rent()]
            cloud.clock.forward(RUNNING_S)
            await cloud.http.put("/api/v0/instances/", json={"state": "stopped", "ids": numbers})
            cloud.clock.forward(20)
            stopped = [await cloud.words(number) for number in numbers]
            await cloud.http.put("/api/v0/instances/", json={"state": "running", "ids": numbers})
            cloud.clock.forward(RUNNING_S)
            started = [(await cloud.words(number))[3] for number in numbers]
            await cloud.http.request("DELETE", "/api/v0/instances/", json={"instance_ids": numbers})
            cloud.clock.forward(20)

            assert stopped == [("stopped", "stopped", "stopped", "exited")] * 2
            assert started == ["running", "running"]
            assert (await cloud.listed())["instances"] == []

    run(body())


def test_destroying_again_is_no_such_instance() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent()
            await cloud.http.request("DELETE", f"/api/v0/instances/{number}/", json={})
            cloud.clock.forward(20)
            answer = await cloud.http.request("DELETE", f"/api/v0/instances/{number}/", json={})

            assert answer.status_code == 404
            assert answer.json() == {
                "success": False,
                "error": "no_such_instance",
                "msg": f"Instance {number} not found.",
            }

    run(body())


def test_ports_are_there_only_while_it_runs_and_change_at_each_start() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent()
            rows = [await cloud.row(number)]
            cloud.clock.forward(RUNNING_S)
            rows.append(await cloud.row(number))
            await cloud.set_state(number, "stopped")
            cloud.clock.forward(20)
            rows.append(await cloud.row(number))
            await cloud.set_state(number, "running")
            cloud.clock.forward(RUNNING_S)
            rows.append(await cloud.row(number))
            ports = [row["ports"] and row["ports"]["22/tcp"][0]["HostPort"] for row in rows]

            assert ports[0] is ports[2] is None
            assert isinstance(ports[1], str)
            assert ports[1] != ports[3]
            assert rows[1]["ports"].keys() == {"22/tcp", "8080/tcp"}

    run(body())


@pytest.mark.parametrize(
    ("runtype", "is_direct", "offset"),
    [
        ("ssh_proxy", False, 0),
        ("ssh_direc ssh_proxy", True, 0),
        ("jupyter_proxy ssh_proxy", False, 1),
        ("jupyter_direc ssh_direc ssh_proxy", True, 1),
    ],
)
def test_ssh_fields_depend_on_the_runtype(runtype: str, is_direct: bool, offset: int) -> None:
    async def body() -> None:
        async with vast() as cloud:
            plain = await cloud.row(await cloud.rent_running())
            row = await cloud.row(await cloud.rent_running(runtype=runtype))

            assert ("22/tcp" in row["ports"]) is is_direct
            assert row["ssh_port"] + offset == plain["ssh_port"] + 1  # ports go by the number of the instance
            assert row["image_runtype"] == runtype

    run(body())


def test_stopped_machine_costs_its_storage() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()
            running = await cloud.row(number)
            await cloud.set_state(number, "stopped")
            cloud.clock.forward(20)
            stopped = await cloud.row(number)

            assert running["instance"]["totalHour"] == running["dph_total"] == 0.4
            assert stopped["instance"] == {**running["instance"], "gpuCostPerHour": 0.0, "totalHour": 0.01} | {
                "discountedTotalPerHour": 0.01
            }
            assert stopped["search"]["totalHour"] == stopped["dph_total"] == 0.4
            assert stopped["storage_total_cost"] == 0.01

    run(body())


def test_nothing_is_charged_while_the_host_is_away() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()
            host = cloud.twin.market.hosts[41]
            cloud.twin.market.lose_host(host)
            before = cloud.twin.billed(str(number))
            cloud.clock.forward(hours=6)
            words = await cloud.words(number)
            after = cloud.twin.billed(str(number))
            cloud.twin.market.find_host(host)

            assert words[3] == "offline"
            assert before == after
            assert (await cloud.words(number))[3] == "running"

    run(body())


def test_charges_are_the_bill_by_machine_and_kind() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()
            cloud.clock.forward(hours=3)
            cloud.twin.market.transfer(cloud.twin.rentals[str(number)], down_gb=Decimal(5))
            begin = int(START.timestamp())
            days = json.dumps({"day": {"gte": begin - 86_400, "lte": begin + 86_400}})
            page = (await cloud.http.get("/api/v0/charges/", params={"select_filters": days, "format": "table"})).json()
            without = await cloud.http.get("/api/v0/charges/")
            (charge,) = page["results"]

            assert (page["success"], page["count"], page["next_token"]) == (True, 1, None)
            assert (charge["source"], charge["metadata"]) == (f"instance-{number}", {"label": "demo"})
            assert {item["type"] for item in charge["items"]} == {"gpu", "disk", "bwd"}
            assert charge["amount"] == pytest.approx(float(cloud.twin.billed(str(number))))
            assert sum(item["amount"] for item in charge["items"]) == pytest.approx(charge["amount"])
            assert without.status_code == 400

    run(body())


def test_credit_goes_down_with_the_bill_and_a_start_needs_some() -> None:
    async def body() -> None:
        async with vast(balance_usd=Decimal("0.41")) as cloud:
            number = await cloud.rent_running()
            cloud.clock.forward(hours=3)
            user = (await cloud.http.get("/api/v0/users/current")).json()
            words = await cloud.words(number)
            started = await cloud.set_state(number, "running")
            created = await cloud.http.put("/api/v0/asks/7004/", json=ORDER)

            assert user["credit"] == pytest.approx(float(cloud.twin.balance_usd))
            assert user["credit"] < 0
            assert words == ("stopped", "stopped", "stopped", "exited")
            assert [answer.json()["error"] for answer in (started, created)] == ["missing_billing", "missing_billing"]

    run(body())


def test_contract_that_ended_cannot_be_started_again() -> None:
    async def body() -> None:
        async with vast(balance_usd=Decimal(1_000)) as cloud:
            number = await cloud.rent_running()
            end = (await cloud.row(number))["end_date"]
            cloud.clock.forward(days=30)
            words = await cloud.words(number)
            answer = await cloud.set_state(number, "running")
            cloud.clock.forward(hours=50)

            assert end == START.timestamp() + 30 * 86_400
            assert words[1] == "stopped"
            assert answer.status_code == 400
            assert await cloud.row(number) is None

    run(body())


def test_keys_of_the_account_are_copied_at_creation() -> None:
    async def body() -> None:
        async with vast() as cloud:
            added = (await cloud.http.post("/api/v0/ssh/", json={"ssh_key": "ssh-ed25519 AAAA demo"})).json()
            number = await cloud.rent()
            await cloud.http.post("/api/v0/ssh/", json={"ssh_key": "ssh-ed25519 BBBB late"})
            await cloud.http.post(f"/api/v0/instances/{number}/ssh/", json={"ssh_key": "ssh-ed25519 CCCC one"})
            listed = (await cloud.http.get("/api/v0/ssh/")).json()

            assert added["key"].keys() == {"id", "user_id", "public_key", "created_at", "deleted_at"}
            assert [key["key"] for key in listed] == ["ssh-ed25519 AAAA demo", "ssh-ed25519 BBBB late"]
            assert cloud.twin.rentals[str(number)].keys == ["ssh-ed25519 AAAA demo", "ssh-ed25519 CCCC one"]

    run(body())


def test_logs_and_command_results_are_fetched_from_an_address_of_their_own() -> None:
    async def body() -> None:
        async with vast() as cloud:
            number = await cloud.rent_running()
            asked = (await cloud.http.put(f"/api/v0/instances/request_logs/{number}/", json={"tail": "50"})).json()
            async with httpx.AsyncClient(trust_env=False) as anybody:
                looks = [await anybody.get(asked["result_url"]) for _ in range(2)]
            path = f"/api/v0/instances/command/{number}/"
            command = await cloud.http.put(path, json={"command": "ls -l /workspace"})
            refused = [await cloud.http.put(path, json={"command": text}) for text in ("curl x", "ls " + "x" * 512)]

            assert [look.status_code for look in looks] == [404, 200]
            assert "container is running" in looks[1].text
            assert command.json()["result_url"].startswith(cloud.twin.base_url)
            assert [answer.status_code for answer in refused] == [400, 400]

    run(body())


def test_machine_has_a_key_that_is_for_itself_only() -> None:
    async def body() -> None:
        async with vast() as cloud:
            created = (await cloud.http.put("/api/v0/asks/7001/", json=ORDER)).json()
            other = await cloud.rent(7004)
            cloud.clock.forward(RUNNING_S)
            number = created["new_contract"]
            async with client_of(cloud.twin, created["instance_api_key"]) as own:
                shown = (await own.get(f"/api/v0/instances/{number}/?owner=me")).json()
                not_shown = (await own.get(f"/api/v0/instances/{other}/?owner=me")).json()
                refused = [
                    await own.get("/api/v1/instances/"),
                    await own.put("/api/v0/asks/7001/", json=ORDER),
                    await own.put(f"/api/v0/instances/{other}/", json={"state": "stopped"}),
                    await own.get("/api/v0/users/current"),
                    await own.put(f"/api/v0/instances/{number}/", json={"state": "running"}),
                ]
                stopped = await own.put(f"/api/v0/instances/{number}/", json={"state": "stopped"})
                cloud.twin.faults.always(CloudFaultKind.SCOPED_KEY_REFUSED)
                unable = await own.get(f"/api/v0/instances/{number}/?owner=me")

            assert shown["instances"]["id"] == number
            assert not_shown == {"instances": None}
            assert [answer.status_code for answer in refused] == [403, 403, 404, 403, 403]
            assert stopped.json() == {"success": True}
            assert unable.status_code == 401
            assert (await cloud.words(number))[0] == "stopped"

    run(body())


def test_endpoints_have_least_intervals_told_in_plain_text() -> None:
    async def body() -> None:
        async with vast(limits=True) as cloud:
            path = "/api/v1/instances/"
            answers = [await cloud.http.get(path), await cloud.http.get(path), await cloud.http.get("/api/v0/ssh/")]
            cloud.clock.forward(1)
            answers.append(await cloud.http.get(path))

            assert [answer.status_code for answer in answers] == [200, 429, 200, 200]
            assert answers[1].text == "API requests too frequent: endpoint threshold=1.0"
            assert answers[1].headers["content-type"] == "text/plain"
            assert "retry-after" not in answers[1].headers

    run(body())


def test_create_too_soon_is_punished_with_a_longer_wait() -> None:
    async def body() -> None:
        async with vast(limits=True) as cloud:
            statuses = []
            for wait_s in (0, 1, 5, 7):
                cloud.clock.forward(wait_s)
                statuses.append((await cloud.http.put("/api/v0/asks/7001/", json=ORDER)).status_code)

            assert statuses == [200, 429, 429, 429]
            cloud.clock.forward(12)
            assert (await cloud.http.put("/api/v0/asks/7001/", json=ORDER)).status_code == 200

    run(body())


def test_searches_of_a_day_are_counted_until_midnight() -> None:
    async def body() -> None:
        async with vast(limits=True, search_quota=2) as cloud:
            answers = [await cloud.http.post("/api/v0/bundles/", json=SEARCH) for _ in range(3)]
            midnight = START.replace(hour=0) + timedelta(days=1)
            cloud.clock.forward((midnight - START).total_seconds())
            after = await cloud.http.post("/api/v0/bundles/", json=SEARCH)

            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert answers[2].json()["error"] == "search_quota_exceeded"
            assert answers[2].headers["x-ratelimit-reset"] == str(int(midnight.timestamp()))
            assert after.status_code == 200

    run(body())


def test_wrong_key_is_refused_and_names_of_gpus_need_none() -> None:
    async def body() -> None:
        async with vast() as cloud, client_of(cloud.twin, "wrong") as stranger:
            refused = await stranger.get("/api/v1/instances/")
            names = await stranger.get("/api/v0/gpu_names/unique/")
            by_query = await stranger.get("/api/v0/users/current/", params={"api_key": cloud.twin.key})

            assert (refused.status_code, refused.json()) == (
                401,
                {"success": False, "error": "auth_error", "msg": "Invalid user key"},
            )
            assert "RTX 4090" in names.json()["gpu_names"]
            assert by_query.status_code == 401  # the header counts first

    run(body())


def test_record_of_requests_has_no_keys_in_it() -> None:
    async def body() -> None:
        async with vast() as cloud:
            await cloud.listed()
            async with httpx.AsyncClient(base_url=cloud.twin.base_url, trust_env=False) as bare:
                by_query = await bare.get("/api/v0/users/current/", params={"api_key": cloud.twin.key})
            recorded = [request.headers.get("authorization") for request in cloud.twin.requests]

            assert by_query.status_code == 200
            assert recorded == ["Bearer *****", None]
            assert cloud.twin.key not in repr(cloud.twin.requests)

    run(body())
