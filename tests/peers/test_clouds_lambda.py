"""The community's `lai` command on the simulated Lambda Cloud: launch, look, restart, rename, terminate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.lambda_cloud import LambdaTwin
from providers.simulated.clouds.rental import Phase
from tests.peers.cloud_clients import Lai, Said
from tests.peers.twins import Recordings, Running, running

pytestmark = [pytest.mark.peers, pytest.mark.timeout(180)]

RECORDED = Recordings("lai")
RECORDED_MACHINE = "0920582c7ff041399e34823a0be62549"
SETTLED_S = 100
"""By the twin's clock, more than any change of state takes."""
START = ("start", "--instance-type", "gpu_1x_a10", "--region", "us-west-1", "--ssh-key", "laptop", "--name", "demo")


class Lambda:
    """One user of the command, and the cloud behind it; its rate limits hold."""

    def __init__(self, cloud: Running[LambdaTwin], lai: Lai) -> None:
        self.cloud = cloud
        self.lai_at_once = lai
        self.number = ""

    def lai(self, *arguments: str) -> Said:
        """A command, a while after the one before."""
        self.cloud.clock.forward(12)
        return self.lai_at_once(*arguments)

    def recorded(self, call: str) -> Said:
        """Give the command as it was recorded, and see that it sends the same."""
        ids = {RECORDED_MACHINE: self.number}
        self.cloud.sent()
        said = self.lai(*RECORDED.arguments(call, ids))
        assert self.cloud.sent() == RECORDED.requests(call, ids), call
        return said

    def launch(self) -> None:
        said = self.lai(*START, "--json")
        assert said.code == 0, said.err
        self.number = said.json()["id"]
        self.cloud.clock.forward(SETTLED_S)

    def row(self) -> Any:
        return self.lai("get", self.number).json()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Lambda]:
    with running(LambdaTwin) as twin:
        headers = {"authorization": f"Bearer {twin.twin.key}"}
        key = {"name": "laptop", "public_key": "ssh-ed25519 AAAA demo"}
        url = f"{twin.twin.base_url}/ssh-keys"
        assert httpx.post(url, json=key, headers=headers, trust_env=False).status_code == 200
        yield Lambda(twin, Lai(tmp_path, twin.twin.root_url, twin.twin.key))


def test_types_and_keys_are_listed(cloud: Lambda) -> None:
    types = cloud.recorded("lai types")
    keys = cloud.recorded("lai keys")

    assert (types.code, keys.code) == (0, 0)
    assert "gpu_1x_a10" in types.out
    assert "us-west-1, us-east-1" in types.out
    assert "laptop" in keys.out


def test_machine_is_launched_shown_restarted_renamed_and_terminated(cloud: Lambda) -> None:
    launched = cloud.recorded("lai start")
    (cloud.number,) = cloud.cloud.on_loop(lambda: list(cloud.cloud.twin.rentals))
    booting = cloud.row()
    cloud.cloud.clock.forward(SETTLED_S)
    active = cloud.recorded("lai get").json()
    listed = cloud.recorded("lai ls")
    restarted = cloud.recorded("lai restart").json()
    cloud.cloud.clock.forward(SETTLED_S)
    renamed = cloud.recorded("lai rename").json()
    terminated = cloud.recorded("lai stop").json()
    cloud.cloud.clock.forward(SETTLED_S)
    after = cloud.row()

    assert "booting" in launched.out
    assert (booting["status"], "ip" in booting) == ("booting", False)
    assert (active["status"], active["name"]) == ("active", "demo")
    assert active["ip"] in listed.out
    assert [row["id"] for row in restarted] == [cloud.number]
    assert renamed["name"] == "new"
    assert [row["status"] for row in terminated] == ["terminating"]
    assert after["status"] == "terminated"
    assert cloud.cloud.rental(cloud.number).phase is Phase.GONE


def test_machine_that_ended_a_while_ago_is_not_found(cloud: Lambda) -> None:
    cloud.launch()
    cloud.lai("stop", "demo")
    cloud.cloud.clock.forward(600)

    said = cloud.lai("get", cloud.number)

    assert said.code == 2
    assert "No instance found" in said.err
    assert "No instances found" in cloud.lai("ls").out


def test_launch_carries_tags_and_user_data(cloud: Lambda, tmp_path: Path) -> None:
    (tmp_path / "user-data").write_text("#cloud-config\n")
    said = cloud.lai(*START, "--tag", "owner=me", "--user-data-file", "user-data", "--json")

    assert said.json()["tags"] == [{"key": "owner", "value": "me"}]
    assert cloud.cloud.rental(said.json()["id"]).order.script == "#cloud-config\n"


def test_no_capacity_is_told_by_its_code(cloud: Lambda) -> None:
    cloud.cloud.twin.faults.once(CloudFaultKind.NO_GPU, on=Call.CREATE)

    said = cloud.lai(*START)

    assert said.code == 2
    assert "instance-operations/launch/insufficient-capacity" in said.err


def test_second_launch_within_twelve_seconds_is_refused(cloud: Lambda) -> None:
    first = cloud.lai(*START)
    said = cloud.lai_at_once(*START)

    assert (first.code, said.code) == (0, 2)
    assert "TOO_MANY_REQUESTS" in said.err


def test_wrong_key_is_refused(cloud: Lambda) -> None:
    cloud.cloud.twin.faults.once(CloudFaultKind.REVOKED)

    said = cloud.lai("ls")

    assert said.code == 2
    assert "global/invalid-api-key" in said.err
