"""The `runpod` package on the simulated RunPod, over GraphQL: a pod's whole life, and what it makes of refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from providers.simulated.clouds.faults import CloudFaultKind
from providers.simulated.clouds.rental import Phase, Timings
from providers.simulated.clouds.runpod import RunPodTwin
from tests.peers.cloud_clients import Runpod, RunpodError
from tests.peers.twins import Recordings, Running, gpu_of, living, running

pytestmark = [pytest.mark.peers, pytest.mark.timeout(180)]

RECORDED = Recordings("runpod")
RECORDED_POD = "xedezhzb9la3ye"
SETTLED_S = 300
"""By the twin's clock, more than any change of state takes."""


class Pods:
    """One user of the package, and the cloud behind it."""

    def __init__(self, cloud: Running[RunPodTwin], runpod: Runpod) -> None:
        self.cloud = cloud
        self.runpod = runpod
        self.number = ""

    def recorded(self, function: str) -> Any:
        """Call as it was recorded, and see that the package sends the same."""
        call, ids = f"runpod.{function}", {RECORDED_POD: self.number}
        self.cloud.sent()
        try:
            return self.runpod(function, **RECORDED.arguments(call, ids))
        finally:
            assert self.cloud.sent() == RECORDED.requests(call, ids), call

    def create(self) -> None:
        self.number = self.recorded("create_pod")["id"]
        self.cloud.clock.forward(SETTLED_S)


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    with (
        running(RunPodTwin, limits=False) as cloud,
        Runpod(tmp_path, cloud.twin.root_url, cloud.twin.key) as runpod,
    ):
        yield Pods(cloud, runpod)


def test_pod_is_created_shown_stopped_resumed_and_terminated(pods: Pods) -> None:
    created = pods.recorded("create_pod")
    pods.number = created["id"]
    (early,) = pods.recorded("get_pods")
    pods.cloud.clock.forward(SETTLED_S)
    (ready,) = pods.recorded("get_pods")
    stopping = pods.recorded("stop_pod")
    pods.cloud.clock.forward(SETTLED_S)
    stopped = pods.recorded("get_pod")
    resumed = pods.recorded("resume_pod")
    pods.cloud.clock.forward(SETTLED_S)
    running_again = pods.recorded("get_pod")
    pods.recorded("terminate_pod")
    pods.cloud.clock.forward(SETTLED_S)

    assert created["env"] == ["PUBLIC_KEY=ssh-ed25519 AAAA demo"]
    # What is desired says nothing of the image that is still being pulled.
    assert (early["desiredStatus"], early["runtime"]) == ("RUNNING", None)
    (port,) = (port for port in ready["runtime"]["ports"] if port["privatePort"] == 22)
    assert (port["isIpPublic"], port["type"]) == (True, "tcp")
    assert port["ip"].startswith("203.0.113.")
    assert (ready["name"], ready["gpuCount"], ready["uptimeSeconds"]) == ("demo", 1, 0)
    assert stopping == {"id": pods.number, "desiredStatus": "EXITED"}
    assert (stopped["desiredStatus"], stopped["runtime"]) == ("EXITED", None)
    assert resumed["desiredStatus"] == "RUNNING"
    (new_port,) = (port for port in running_again["runtime"]["ports"] if port["privatePort"] == 22)
    assert new_port["publicPort"] != port["publicPort"]
    assert pods.recorded("get_pod") is None
    assert pods.recorded("get_pods") == []
    assert pods.cloud.rental(pods.number).phase is Phase.GONE


def test_resume_without_a_free_gpu_is_an_error_inside_a_200(pods: Pods) -> None:
    pods.create()
    pods.recorded("stop_pod")
    pods.cloud.clock.forward(SETTLED_S)
    market, host = pods.cloud.twin.market, pods.cloud.rental(pods.number).host
    pods.cloud.on_loop(lambda: market.take(host, host.gpus))

    with pytest.raises(RunpodError, match="not enough free GPUs on the host machine"):
        pods.recorded("resume_pod")

    pods.cloud.on_loop(lambda: market.give_back(host, host.gpus))
    pods.cloud.clock.forward(SETTLED_S)
    assert pods.recorded("get_pod")["desiredStatus"] == "EXITED"
    assert pods.recorded("resume_pod")["desiredStatus"] == "RUNNING"


def test_account_and_gpus_are_told(pods: Pods) -> None:
    user = pods.recorded("get_user")
    gpus = pods.recorded("get_gpus")
    gpu = pods.recorded("get_gpu")
    saved = pods.runpod("update_user_settings", pubkey="ssh-ed25519 AAAA demo")

    assert sorted(user) == ["id", "networkVolumes", "pubKey"]
    assert {"id": gpu["id"], "displayName": gpu["displayName"], "memoryInGb": gpu["memoryInGb"]} in gpus
    assert gpu["lowestPrice"]["uninterruptablePrice"] <= gpu["securePrice"]
    assert gpu["lowestPrice"]["minimumBidPrice"] < gpu["lowestPrice"]["uninterruptablePrice"]
    assert saved["pubKey"] == "ssh-ed25519 AAAA demo"
    assert pods.recorded("get_user")["pubKey"].strip() == "ssh-ed25519 AAAA demo"


def test_what_is_not_there_is_refused_in_words_or_is_nothing(pods: Pods) -> None:
    pods.number = "nobody"

    assert pods.recorded("get_pod") is None
    with pytest.raises(RunpodError, match="pod not found to terminate"):
        pods.recorded("terminate_pod")
    with pytest.raises(RunpodError, match="pod not found"):
        pods.recorded("stop_pod")
    with pytest.raises(RunpodError, match="No GPU found with the specified ID"):
        pods.runpod("create_pod", name="demo", image_name="image", gpu_type_id="NVIDIA Nothing")


def test_order_that_finds_no_gpu_makes_no_pod(pods: Pods) -> None:
    pods.cloud.twin.faults.always(CloudFaultKind.NO_GPU)

    with pytest.raises(RunpodError, match="no longer any instances available"):
        pods.recorded("create_pod")

    assert pods.recorded("get_pods") == []


def test_revoked_key_is_told_apart(pods: Pods) -> None:
    pods.cloud.twin.faults.once(CloudFaultKind.REVOKED)

    with pytest.raises(RunpodError, match="AuthenticationError: Unauthorized request"):
        pods.recorded("get_pods")


def test_pod_that_was_created_by_the_package_lets_its_user_in(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    public_key = key.export_public_key().decode().strip()
    twin = RunPodTwin(limits=False, with_machines=True, timings=Timings.booting_in(0.5))
    with living(twin) as services, Runpod(tmp_path, twin.root_url, twin.key) as runpod:
        order = {**RECORDED.arguments("runpod.create_pod"), "env": {"PUBLIC_KEY": public_key}}
        number = runpod("create_pod", **order)["id"]
        mapped_after = timedelta(seconds=twin.port_after_s)
        services.do(twin.until(lambda: twin.rentals[number].runs_for(twin.now) > mapped_after))
        ports = runpod("get_pod", pod_id=number)["runtime"]["ports"]
        (port,) = (port for port in ports if port["privatePort"] == 22)

        assert asyncio.run(gpu_of(port["ip"], port["publicPort"], "root", key)) == "NVIDIA GeForce RTX 4090"
