"""The twin of RunPod over real HTTP: REST v2 and the GraphQL its Python package sends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.runpod import RunPodTwin
from tests.conftest import run
from tests.providers.twin_kit import HandClock, client_of

ORDER = {
    "name": "lab-3",
    "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
    "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
    "cloud": "SECURE",
    "dataCenterIds": ["EU-RO-1"],
    "disk": 20,
    "mounts": {"persistent": {"size": 36, "path": "/workspace"}},
    "ports": ["22/tcp", "8888/http"],
    "env": {"TZ": "UTC"},
    "startSsh": True,
}
RUNNING_S = 100
_POD_FIELDS = """
    id name status actions image args disk env ports registry mounts gpu cloud dataCenterId cudaVersion template cost
    locked globalNetworking ssh runtime createdAt startedAt
"""
_PODS = """
    id containerDiskInGb costPerHr desiredStatus dockerArgs dockerId env gpuCount imageName lastStatusChange machineId
    memoryInGb name podType port ports uptimeSeconds vcpuCount volumeInGb volumeMountPath
    runtime { ports { ip isIpPublic privatePort publicPort type } } machine { gpuDisplayName }
"""


class RunPod:
    """The calls of a client, by name."""

    def __init__(self, twin: RunPodTwin, clock: HandClock, http: httpx.AsyncClient) -> None:
        self.twin = twin
        self.clock = clock
        self.http = http

    async def create(self, **more: Any) -> dict[str, Any]:
        answer = await self.http.post("/v2/pods", json={**ORDER, **more})
        assert answer.status_code == 201, answer.text
        pod: dict[str, Any] = answer.json()
        return pod

    async def create_running(self, **more: Any) -> str:
        pod = await self.create(**more)
        self.clock.forward(RUNNING_S)
        return str(pod["id"])

    async def pod(self, pod_id: str) -> dict[str, Any]:
        pod: dict[str, Any] = (await self.http.get(f"/v2/pods/{pod_id}")).json()
        return pod

    async def act(self, pod_id: str, action: str) -> httpx.Response:
        return await self.http.post(f"/v2/pods/{pod_id}/action", json={"action": action})

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables} if variables else {"query": query}
        answer = await self.http.post("/graphql", json=body)
        said: dict[str, Any] = answer.json()
        return said


@asynccontextmanager
async def runpod(**traits: Any) -> AsyncIterator[RunPod]:
    clock = HandClock()
    async with RunPodTwin(clock=clock, **{"limits": False, **traits}) as twin, client_of(twin) as http:
        await http.put("/v2/account/ssh-keys", json={"keys": ["ssh-ed25519 AAAA demo"]})
        yield RunPod(twin, clock, http)


def test_pod_says_running_before_it_has_its_port() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pods = [await cloud.create()]
            pod_id = pods[0]["id"]
            for seconds in (6, 84.1, 5, 5):
                cloud.clock.forward(seconds)
                pods.append(await cloud.pod(pod_id))

            assert [pod["status"] for pod in pods] == ["PROVISIONING", "STARTING", "STARTING", "RUNNING", "RUNNING"]
            assert all(pod.keys() == set(_POD_FIELDS.split()) for pod in pods)
            assert pods[0]["ssh"] == {"proxy": None, "direct": None}
            assert pods[1]["ssh"]["proxy"]["host"] == "ssh.runpod.io"
            assert pods[3]["runtime"]["ports"] == []
            assert pods[3]["ssh"]["direct"] is None
            assert pods[4]["ssh"]["direct"].keys() == {"host", "port", "username", "command"}
            assert [port["private"] for port in pods[4]["runtime"]["ports"]] == [22]
            assert pods[4]["runtime"].keys() == {"uptime", "gpus", "cpu", "memory", "ports"}

    run(body())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("PROVISIONING", ["stop", "terminate"]),
        ("STARTING", ["stop", "terminate"]),
        ("RUNNING", ["stop", "restart", "terminate"]),
        ("EXITED", ["start", "terminate"]),
    ],
)
def test_pod_lists_what_may_be_done(status: str, expected: list[str]) -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod = await cloud.create()
            cloud.clock.forward({"PROVISIONING": 0, "STARTING": 10}.get(status, RUNNING_S))
            if status == "EXITED":
                await cloud.act(pod["id"], "stop")
                cloud.clock.forward(10)
            pod = await cloud.pod(pod["id"])
            wrong = next(action for action in ("start", "restart", "stop") if action not in expected)
            refused = await cloud.act(pod["id"], wrong)

            assert (pod["status"], pod["actions"]) == (status, expected)
            assert refused.status_code == 409
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json() == {
                "title": "Conflict",
                "status": 409,
                "detail": "action not valid for current pod status",
            }

    run(body())


def test_stopped_pod_says_it_costs_nothing_while_its_disk_bills() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            await cloud.act(pod_id, "stop")
            accepted = await cloud.pod(pod_id)
            cloud.clock.forward(10)
            pod = await cloud.pod(pod_id)
            before = cloud.twin.billed(pod_id)
            cloud.clock.forward(hours=10)

            assert (accepted["status"], accepted["cost"]) == ("RUNNING", 0.69)
            assert (pod["status"], pod["cost"], pod["runtime"], pod["ssh"]["direct"]) == ("EXITED", 0.0, None, None)
            assert cloud.twin.billed(pod_id) - before == Decimal("0.1")  # 36 GB at $0.20 a month

    run(body())


def test_running_pod_bills_gpu_and_both_disks() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod = await cloud.create()
            cloud.clock.forward(hours=10)
            invoice = {charge.kind.value: charge.usd for charge in cloud.twin.invoice()}

            assert invoice["gpu"] == Decimal("6.9")
            assert round(invoice["disk"], 6) == round(Decimal(36 + 20) * Decimal("0.10") / 72, 6)
            assert cloud.twin.billed(pod["id"]) == sum(invoice.values())

    run(body())


def test_start_is_refused_when_the_gpu_was_taken_and_is_not_queued() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            host = cloud.twin.rentals[pod_id].host
            await cloud.act(pod_id, "stop")
            cloud.clock.forward(10)
            cloud.twin.market.take(host, host.gpus)
            refused = await cloud.act(pod_id, "start")
            cloud.twin.market.give_back(host, host.gpus)
            cloud.clock.forward(hours=1)
            later = await cloud.pod(pod_id)
            started = await cloud.act(pod_id, "start")

            assert refused.status_code == 400
            assert refused.json()["detail"] == ("There are not enough free GPUs on the host machine to start this pod.")
            assert later["status"] == "EXITED"
            assert (started.status_code, started.json()["status"]) == (200, "PROVISIONING")

    run(body())


def test_ports_change_at_each_restart() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            ports = [(await cloud.pod(pod_id))["ssh"]["direct"]["port"]]
            await cloud.act(pod_id, "restart")
            restarting = await cloud.pod(pod_id)
            cloud.clock.forward(30)
            ports.append((await cloud.pod(pod_id))["ssh"]["direct"]["port"])

            assert restarting["status"] == "STARTING"
            assert ports[0] != ports[1]

    run(body())


def test_terminated_pod_is_gone_for_good() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            by_action, by_delete = await cloud.create_running(), await cloud.create_running()
            answers = [await cloud.act(by_action, "terminate"), await cloud.http.delete(f"/v2/pods/{by_delete}")]
            word = (await cloud.pod(by_action))["status"]
            cloud.clock.forward(10)
            gone = await cloud.http.get(f"/v2/pods/{by_action}")
            again = await cloud.http.delete(f"/v2/pods/{by_delete}")

            assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
            assert word == "TERMINATED"
            assert (gone.status_code, gone.json()["detail"]) == (404, "pod not found")
            assert again.status_code == 404
            assert (await cloud.http.get("/v2/pods")).json() == {"pods": []}

    run(body())


def test_locked_pod_cannot_be_stopped() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            changed = (await cloud.http.patch(f"/v2/pods/{pod_id}", json={"locked": True, "name": "kept"})).json()
            refused = await cloud.act(pod_id, "stop")

            assert (changed["locked"], changed["name"], changed["actions"]) == (True, "kept", ["restart", "terminate"])
            assert refused.status_code == 409

    run(body())


def test_change_of_the_image_makes_the_pod_pull_and_start_anew() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            changed = (await cloud.http.patch(f"/v2/pods/{pod_id}", json={"image": "runpod/base:2"})).json()

            assert (changed["image"], changed["status"]) == ("runpod/base:2", "STARTING")

    run(body())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"gpu": None}, "gpu"),
        ({"cpu": {"id": "cpu3c"}}, "gpu"),
        ({"image": None}, "image"),
        ({"gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 0}}, "gpu.count"),
        ({"mounts": {"persistent": {"size": 5, "path": "/w"}}}, "mounts.persistent.size"),
        ({"mounts": {"persistent": {"size": 20}, "network": []}}, "mounts"),
        ({"ports": ["22"]}, "ports"),
        ({"env": {"A": 1}}, "env"),
        ({"cloud": "PRIVATE"}, "cloud"),
        ({"onstart": "x"}, "onstart"),
        ({"disk": -1}, "disk"),
    ],
)
def test_orders_that_cannot_be_are_422(change: dict[str, Any], field: str) -> None:
    async def body() -> None:
        async with runpod() as cloud:
            order = {name: value for name, value in {**ORDER, **change}.items() if value is not None}
            answer = await cloud.http.post("/v2/pods", json=order)

            assert answer.status_code == 422
            assert answer.json()["errors"][0]["location"] == f"body.{field}"
            assert cloud.twin.rentals == {}

    run(body())


def test_refusals_of_an_order_differ_by_cause() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            cloud.twin.forbidden_pools.add("HOPPER_80")
            elsewhere = await cloud.http.post("/v2/pods", json={**ORDER, "dataCenterIds": ["XX-1"]})
            gpu = {"id": "NVIDIA H100 80GB HBM3", "count": 1}
            forbidden = await cloud.http.post("/v2/pods", json={**ORDER, "gpu": gpu})
            cloud.twin.market.pay_in(Decimal(-25))
            poor = await cloud.http.post("/v2/pods", json=ORDER)

            assert [answer.status_code for answer in (elsewhere, forbidden, poor)] == [400, 403, 402]
            assert "no longer any instances available" in elsewhere.json()["detail"]
            assert poor.json() == {"title": "Payment Required", "status": 402, "detail": "insufficient balance"}

    run(body())


@pytest.mark.parametrize(
    ("change", "has_ssh"),
    [
        ({}, True),
        ({"startSsh": False}, False),
        ({"startSsh": False, "env": {"PUBLIC_KEY": "ssh-ed25519 AAAA demo"}}, True),
        ({"image": "ollama/ollama"}, False),
        ({"image": "ubuntu", "args": "bash -c 'apt install openssh-server && /usr/sbin/sshd -D'"}, True),
        ({"ports": ["8888/http"]}, False),
    ],
)
def test_only_images_that_honour_the_key_have_ssh(change: dict[str, Any], has_ssh: bool) -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running(**change)
            cloud.clock.forward(30)

            assert cloud.twin.rentals[pod_id].ssh_up is has_ssh

    run(body())


def test_keys_are_replaced_as_a_whole() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            put = await cloud.http.put("/v2/account/ssh-keys", json={"keys": ["ssh-ed25519 B b", "ssh-ed25519 C c"]})
            wrong = await cloud.http.put("/v2/account/ssh-keys", json={"keys": "ssh-ed25519 B b"})
            pod = await cloud.create()

            assert put.json() == (await cloud.http.get("/v2/account/ssh-keys")).json()
            assert put.json() == {"keys": ["ssh-ed25519 B b", "ssh-ed25519 C c"]}
            assert wrong.status_code == 422
            assert pod["env"]["PUBLIC_KEY"] == "ssh-ed25519 B b\nssh-ed25519 C c"

    run(body())


def test_catalogue_has_prices_by_pool_and_stock_when_asked() -> None:
    async def body() -> None:
        async with runpod(stock=1) as cloud:
            plain = (await cloud.http.get("/v2/catalog/gpus")).json()["gpus"]
            query = {"include": "AVAILABILITY", "product": "POD"}
            gpus = {gpu["name"]: gpu for gpu in (await cloud.http.get("/v2/catalog/gpus", params=query)).json()["gpus"]}
            path = "/v2/catalog/datacenters"
            places = (await cloud.http.get(path, params={"include": "GPU_AVAILABILITY"})).json()["dataCenters"]

            assert all("availability" not in gpu for gpu in plain)
            assert gpus["RTX 4090"]["price"] == {"secure": 0.69, "community": 0.34}
            assert gpus["RTX 4090"]["maxCount"] == {"secure": 8, "community": 4}
            assert gpus["RTX 4090"]["memory"] == 24
            assert gpus["RTX 4090"]["availability"] == "MEDIUM"
            assert gpus["H100 SXM"]["availability"] == "LOW"
            assert {"gpuId": "NVIDIA L40S", "availability": "LOW"} in places[0]["gpuAvailability"]

    run(body())


def test_every_answer_says_what_is_left_of_the_limits() -> None:
    async def body() -> None:
        async with runpod(limits=True) as cloud:
            answers = [await cloud.http.get("/v2/pods") for _ in range(60)]
            cloud.clock.forward(60)
            after = await cloud.http.get("/v2/pods")

            assert [answer.status_code for answer in answers] == [200] * 59 + [429]
            assert answers[0].headers["ratelimit"].startswith('"minute";r=58;t=60, "hour";r=2998;t=3600, "day";r=49998')
            assert answers[0].headers["ratelimit-policy"] == (
                '"minute";q=60;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400'
            )
            assert answers[59].headers["retry-after"] == "60"
            assert answers[59].json()["detail"] == "rate limit exceeded for the minute window"
            assert after.status_code == 200

    run(body())


@pytest.mark.parametrize("bucket", ["hour", "day", "week", "month", "year"])
def test_billing_comes_in_buckets_that_add_up(bucket: str) -> None:
    async def body() -> None:
        async with runpod(balance_usd=Decimal(1_000)) as cloud:
            pod_id = await cloud.create_running()
            other = await cloud.create_running()
            cloud.clock.forward(hours=30)
            query = {"bucketSize": bucket, "podId": pod_id}
            billing = (await cloud.http.get("/v2/billing/pods", params=query)).json()
            both = (await cloud.http.get("/v2/billing/pods", params={"bucketSize": bucket})).json()
            total = sum(record["totalAmount"] for record in billing["records"])

            assert {record["podId"] for record in billing["records"]} == {pod_id}
            assert total == pytest.approx(float(cloud.twin.billed(pod_id)))
            assert billing["metadata"]["totals"]["totalAmount"] == pytest.approx(total)
            assert billing["metadata"]["uniquePodCount"] == 1
            assert both["metadata"]["uniquePodCount"] == 2
            assert both["metadata"]["totals"]["gpuAmount"] == pytest.approx(
                sum(float(charge.usd) for charge in cloud.twin.invoice() if charge.kind == "gpu")
            )
            assert other in {record["podId"] for record in both["records"]}

    run(body())


def test_pods_stop_at_zero_and_are_terminated_but_for_those_on_a_network_volume() -> None:
    async def body() -> None:
        async with runpod(balance_usd=Decimal(2)) as cloud:
            volume = cloud.twin.add_network_volume("models", 100, "EU-RO-1")
            mounts = {"network": [{"volumeId": volume, "path": "/workspace"}]}
            kept, lost = await cloud.create_running(mounts=mounts), await cloud.create_running()
            cloud.clock.forward(hours=2)
            words = [(await cloud.pod(pod_id))["status"] for pod_id in (kept, lost)]
            start = await cloud.act(kept, "start")
            cloud.clock.forward(hours=30)
            left = [pod["id"] for pod in (await cloud.http.get("/v2/pods")).json()["pods"]]

            assert words == ["EXITED", "EXITED"]
            assert start.status_code == 402
            assert left == [kept]

    run(body())


def test_network_volume_bills_by_itself() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            volume = cloud.twin.add_network_volume("models", 720, "EU-RO-1")
            cloud.clock.forward(hours=10)
            (charge,) = cloud.twin.invoice()

            assert (charge.machine_id, charge.usd) == (volume, Decimal("0.7"))
            assert cloud.twin.balance_usd == Decimal("24.3")

    run(body())


def test_logs_come_as_events_and_go_on_until_the_pod_is_gone() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            events: list[dict[str, str]] = []
            ids: list[str] = []
            async with cloud.http.stream("GET", f"/v2/pods/{pod_id}/logs") as answer:
                kind = answer.headers["content-type"]
                async for line in answer.aiter_lines():
                    if line.startswith("id: "):
                        ids.append(line.removeprefix("id: "))
                    if line.startswith("data: "):
                        events.append(json.loads(line.removeprefix("data: ")))
                        if events[-1]["line"] == "container is running":
                            await cloud.act(pod_id, "terminate")
                            cloud.clock.forward(10)
                            await cloud.http.get("/v2/pods")
            pods = (await cloud.http.get("/v2/pods")).json()["pods"]

            assert kind == "text/event-stream"
            assert ids == [event["ts"] for event in events] == sorted(ids)
            assert {event["source"] for event in events} == {"system", "container"}
            assert pods == []

    run(body())


def test_logs_go_on_after_the_last_event_a_client_has() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            moments = [line.moment for line in cloud.twin.rentals[pod_id].log]
            last = moments[-2].isoformat(timespec="microseconds")
            path = f"/v2/pods/{pod_id}/logs"
            async with cloud.http.stream("GET", path, headers={"Last-Event-ID": last}) as answer:
                first = await anext(answer.aiter_lines())

            assert first == f"id: {moments[-1].isoformat(timespec='microseconds')}"

    run(body())


def test_pod_has_a_key_that_is_for_itself_only() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            own_id, other = await cloud.create_running(), await cloud.create_running()
            rental = cloud.twin.rentals[own_id]
            own_key = cloud.twin.environment(rental)["RUNPOD_API_KEY"]
            async with client_of(cloud.twin, own_key) as own:
                statuses = [
                    (await own.get("/v2/pods")).status_code,
                    (await own.get(f"/v2/pods/{own_id}")).status_code,
                    (await own.get(f"/v2/pods/{other}")).status_code,
                    (await own.post(f"/v2/pods/{other}/action", json={"action": "stop"})).status_code,
                ]
                query = 'mutation { podStop(input: { podId: "%s" }) { id desiredStatus } }'
                refused = (await own.post("/graphql", json={"query": query % other})).json()
                stopped = (await own.post("/graphql", json={"query": query % own_id})).json()

            assert statuses == [403, 200, 404, 404]
            assert refused["errors"][0]["message"] == "pod not found"
            assert stopped == {"data": {"podStop": {"id": own_id, "desiredStatus": "EXITED"}}}

    run(body())


# GraphQL


def test_python_package_s_queries_are_answered() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            user = await cloud.ask("query myself { myself { id pubKey networkVolumes { id name size dataCenterId } } }")
            types = await cloud.ask("query GpuTypes { gpuTypes { id displayName memoryInGb } }")
            one = await cloud.ask(
                """query GpuTypes { gpuTypes(input: {id: "NVIDIA GeForce RTX 4090"}) { maxGpuCount id displayName
                manufacturer memoryInGb cudaCores secureCloud communityCloud securePrice communityPrice oneMonthPrice
                threeMonthPrice oneWeekPrice communitySpotPrice secureSpotPrice
                lowestPrice(input: {gpuCount: 1}) { minimumBidPrice uninterruptablePrice } } }"""
            )
            settings = await cloud.ask(
                'mutation { updateUserSettings( input: { pubKey: "ssh-ed25519 A a\\nssh-ed25519 B b" } ) { pubKey } }'
            )

            assert user["data"]["myself"]["networkVolumes"] == []
            assert {"id": "NVIDIA L40S", "displayName": "L40S", "memoryInGb": 48} in types["data"]["gpuTypes"]
            (rtx,) = one["data"]["gpuTypes"]
            assert rtx["lowestPrice"] == {"minimumBidPrice": 0.2, "uninterruptablePrice": 0.34}
            assert settings["data"]["updateUserSettings"]["pubKey"] == "ssh-ed25519 A a\nssh-ed25519 B b"
            assert (await cloud.http.get("/v2/account/ssh-keys")).json()["keys"] == [
                "ssh-ed25519 A a",
                "ssh-ed25519 B b",
            ]

    run(body())


DEPLOY = """
    mutation { podFindAndDeployOnDemand( input: { name: "demo", imageName: "runpod/pytorch:1.0", cloudType: SECURE,
      startSsh: true, gpuTypeId: "NVIDIA GeForce RTX 4090", supportPublicIp: true, gpuCount: 1, volumeInGb: 20,
      minVcpuCount: 1, minMemoryInGb: 1, dataCenterId: "EU-RO-1", dockerArgs: "", containerDiskInGb: 20,
      ports: "22/tcp,8888/http", volumeMountPath: "/workspace",
      env: [{ key: "PUBLIC_KEY", value: "ssh-ed25519 AAAA demo" }] } )
    { id imageName env machineId machine { podHostId } } }
"""


def test_pod_lives_through_graphql() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            made = (await cloud.ask(DEPLOY))["data"]["podFindAndDeployOnDemand"]
            pod_id = made["id"]
            one = f'query pod {{ pod(input: {{podId: "{pod_id}"}}) {{ {_PODS} }} }}'
            starting = (await cloud.ask(one))["data"]["pod"]
            cloud.clock.forward(RUNNING_S)
            running = (await cloud.ask(one))["data"]["pod"]
            listed = (await cloud.ask(f"query myPods {{ myself {{ pods {{ {_PODS} }} }} }}"))["data"]["myself"]["pods"]
            stop = await cloud.ask(f'mutation {{ podStop(input: {{ podId: "{pod_id}" }}) {{ id desiredStatus }} }}')
            cloud.clock.forward(15)
            just_stopped = (await cloud.ask(one))["data"]["pod"]
            cloud.clock.forward(60)
            stopped = (await cloud.ask(one))["data"]["pod"]
            resume = await cloud.ask(
                f'mutation {{ podResume(input: {{ podId: "{pod_id}", gpuCount: 1 }}) {{ id desiredStatus }} }}'
            )
            end = f'mutation {{ podTerminate(input: {{ podId: "{pod_id}" }}) }}'
            ended = [await cloud.ask(end), await cloud.ask(end)]
            cloud.clock.forward(10)

            assert made["env"] == ["PUBLIC_KEY=ssh-ed25519 AAAA demo"]
            assert (starting["desiredStatus"], starting["runtime"]) == ("RUNNING", None)
            assert listed == [running]
            assert running["uptimeSeconds"] == 0
            assert running["ports"] == "22/tcp,8888/http"
            assert running["runtime"]["ports"][0]["privatePort"] == 22
            assert running["runtime"]["ports"][0]["isIpPublic"] is True
            assert stop["data"]["podStop"]["desiredStatus"] == "EXITED"
            assert (just_stopped["desiredStatus"], just_stopped["runtime"]) == ("EXITED", running["runtime"])
            assert stopped["runtime"] is None
            assert resume["data"]["podResume"]["desiredStatus"] == "RUNNING"
            assert ended == [{"data": {"podTerminate": None}}, {"errors": [NOT_FOUND]}]
            assert (await cloud.ask(one)) == {"data": {"pod": None}}

    run(body())


NOT_FOUND = {"message": "pod not found to terminate", "extensions": {"code": "RUNPOD"}}


def test_error_has_status_200_and_names_the_field_that_failed() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            host = cloud.twin.rentals[pod_id].host
            await cloud.act(pod_id, "stop")
            cloud.clock.forward(10)
            cloud.twin.market.take(host, host.gpus)
            query = f'mutation {{ podResume(input: {{ podId: "{pod_id}", gpuCount: 1 }}) {{ id }} }}'
            answer = await cloud.http.post("/graphql", json={"query": query})
            without_gpu = await cloud.ask(query.replace("gpuCount: 1", "gpuCount: 0"))

            assert answer.status_code == 200
            assert answer.json()["data"] == {"podResume": None}
            assert answer.json()["errors"][0]["message"].startswith("There are not enough free GPUs")
            assert without_gpu["data"]["podResume"] == {"id": pod_id}
            assert cloud.twin.rentals[pod_id].usd_per_hour == 0

    run(body())


def test_spot_pod_is_outbid_and_bids_again() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            query = DEPLOY.replace("podFindAndDeployOnDemand", "podRentInterruptable").replace(
                "gpuCount: 1", "gpuCount: 1, bidPerGpu: 0.40"
            )
            pod_id = (await cloud.ask(query))["data"]["podRentInterruptable"]["id"]
            cloud.clock.forward(RUNNING_S)
            host = cloud.twin.rentals[pod_id].host
            cloud.twin.market.set_min_bid(host, Decimal("0.50"))
            cloud.clock.forward(10)
            word = (await cloud.pod(pod_id))["status"]
            again = (
                f'mutation {{ podBidResume(input: {{ podId: "{pod_id}", bidPerGpu: 0.55, gpuCount: 1 }}) {{ id }} }}'
            )
            resumed = await cloud.ask(again)

            assert word == "EXITED"
            assert resumed["data"]["podBidResume"] == {"id": pod_id}
            assert cloud.twin.rentals[pod_id].usd_per_hour == Decimal("0.55")

    run(body())


def test_balance_and_spend_are_told() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            await cloud.create_running()
            account = (await cloud.ask("{ myself { clientBalance currentSpendPerHr spendLimit } }"))["data"]["myself"]

            assert account["clientBalance"] == pytest.approx(float(cloud.twin.balance_usd))
            assert account["currentSpendPerHr"] == pytest.approx(0.69 + 56 * 0.10 / 720)
            assert account["spendLimit"] == 80

    run(body())


@pytest.mark.parametrize(
    "query",
    [
        "",
        "{",
        "query { }",
        "{ myself { nonsense } }",
        "{ nonsense { id } }",
        "{ myself }",
        "{ myself { id { id } } }",
        "mutation { podStop(input: { podId: ) { id } }",
        '{ pod(input: {podId: "x}) { id } }',
        "subscription { pods { id } }",
        "{ ...all }",
        "{ " * 80 + "id" + " }" * 80,
        "{ a(b: " + "[" * 80 + "]" * 80 + ") { id } }",
    ],
)
def test_query_that_cannot_be_read_is_400(query: str) -> None:
    async def body() -> None:
        async with runpod() as cloud:
            answer = await cloud.http.post("/graphql", json={"query": query})

            assert answer.status_code == 400
            assert answer.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"

    run(body())


def test_variables_aliases_comments_and_blocks_are_read() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            query = """
                # which pod
                query one($id: String!, $other: [String!]! = ["x"]) {
                  mine: pod(input: {podId: $id}) { id, label: name }
                  none: pod(input: {podId: \"\"\"nobody\"\"\"}) { id }
                }
            """
            said = await cloud.ask(query, id=pod_id)

            assert said == {"data": {"mine": {"id": pod_id, "label": "lab-3"}, "none": None}}

    run(body())


def test_wrong_key_is_401_on_both_faces() -> None:
    async def body() -> None:
        async with runpod() as cloud, client_of(cloud.twin, "wrong") as stranger:
            answers = [
                await stranger.get("/v2/pods"),
                await stranger.post("/graphql", json={"query": "{ myself { id } }"}),
            ]

            assert [answer.status_code for answer in answers] == [401, 401]
            assert answers[0].json()["title"] == "Unauthorized"

    run(body())


def test_graphql_calls_meet_the_faults_of_what_they_do() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            cloud.twin.faults.once(CloudFaultKind.NO_GPU, on=Call.CREATE)
            refused = await cloud.ask(DEPLOY)
            made = await cloud.ask(DEPLOY)

            assert "no longer any instances" in refused["errors"][0]["message"]
            assert made["data"]["podFindAndDeployOnDemand"]["imageName"] == "runpod/pytorch:1.0"

    run(body())


def test_new_pod_runs_at_the_time_its_image_takes() -> None:
    async def body() -> None:
        async with runpod() as cloud:
            pod_id = await cloud.create_running()
            rental = cloud.twin.rentals[pod_id]

            assert rental.started_at is not None
            assert rental.started_at - rental.created_at == timedelta(seconds=5 + 80 + 10)  # 8 GB at 800 Mbit/s

    run(body())


@pytest.mark.parametrize(
    "change", [{"ports": 999999}, {"ports": [7]}, {"ports": ["ssh"]}, {"disk": []}, {"disk": -1}, {"env": ["A"]}]
)
def test_change_that_is_nonsense_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    async def body() -> None:
        async with RunPodTwin(clock=HandClock(), limits=False) as twin, client_of(twin) as http:
            order = {"name": "pod", "image": "image", "gpu": {"id": "NVIDIA GeForce RTX 4090"}, "ports": ["22/tcp"]}
            pod = (await http.post("/v2/pods", json=order)).json()
            refused = await http.patch(f"/v2/pods/{pod['id']}", json={"name": "other", **change})

            assert refused.status_code == 422
            assert (await http.get(f"/v2/pods/{pod['id']}")).json()["name"] == "pod"

    run(body())
