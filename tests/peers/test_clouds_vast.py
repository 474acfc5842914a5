"""The `vastai` command on the simulated Vast: a machine's whole life, and what the command makes of every refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncssh
import pytest

from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.rental import Phase, Timings
from providers.simulated.clouds.vast import VastTwin
from tests.peers.cloud_clients import Said, Vastai
from tests.peers.twins import Recordings, Running, gpu_of, living, running

pytestmark = [pytest.mark.peers, pytest.mark.timeout(180)]

RECORDED = Recordings("vastai")
SETTLED_S = 100
"""By the twin's clock, more than any change of state takes."""
ERRORS: Mapping[str, dict[str, Any]] = {
    case["case"]: case
    for case in json.loads((Path(__file__).parents[1] / "data" / "clouds" / "vastai-errors.json").read_text())["cases"]
}


class Vast:
    """One user of the command, and the cloud behind it."""

    def __init__(self, cloud: Running[VastTwin], vastai: Vastai) -> None:
        self.cloud = cloud
        self.vastai = vastai
        self.number = ""
        """The machine that stands in for the one of the recordings."""

    def recorded(self, call: str) -> Said:
        """Give the command as it was recorded, and see that it sends the same."""
        ids = {"20001": self.number}
        self.cloud.sent()
        said = self.vastai(*RECORDED.arguments(call, ids))
        assert self.cloud.sent() == RECORDED.requests(call, ids), call
        return said

    def rent(self, call: str = "create instance (on-demand, ssh direct)") -> None:
        self.number = str(self.recorded(call).json()["new_contract"])
        self.cloud.clock.forward(SETTLED_S)

    def words(self) -> tuple[str, str, str]:
        row = self.vastai("show", "instance", self.number, "--raw").json()
        return row["intended_status"], row["cur_state"], row["actual_status"]

    def phase(self) -> Phase:
        return self.cloud.rental(self.number).phase


@pytest.fixture
def vast(tmp_path: Path) -> Iterator[Vast]:
    with running(VastTwin, limits=False) as cloud:
        yield Vast(cloud, Vastai(tmp_path, cloud.twin.base_url, cloud.twin.key))


def test_search_offers_finds_what_can_be_rented(vast: Vast) -> None:
    on_demand = vast.recorded("search offers (default)").json()
    bid = vast.recorded("search offers (bid, order, storage, limit)").json()

    assert {offer["gpu_name"] for offer in on_demand} == {"RTX 4090"}
    assert all(offer["dph_total"] < 0.6 and offer["num_gpus"] == 1 for offer in on_demand)
    prices = [offer["dph_total"] for offer in bid]
    assert prices == sorted(prices)
    assert all(offer["is_bid"] for offer in bid)


def test_machine_is_created_shown_stopped_started_and_destroyed(vast: Vast) -> None:
    vast.rent()
    (listed,) = vast.recorded("show instances").json()
    filtered = vast.recorded("show instances (filter)").json()
    shown = vast.recorded("show instance").json()
    url = urlsplit(vast.recorded("ssh-url").out.strip())
    vast.recorded("label instance")
    stopping = vast.recorded("stop instance")
    vast.cloud.clock.forward(SETTLED_S)
    stopped = vast.words()
    starting = vast.recorded("start instance")
    vast.cloud.clock.forward(SETTLED_S)
    started = vast.words()
    destroyed = vast.recorded("destroy instance")
    vast.cloud.clock.forward(SETTLED_S)

    assert str(listed["id"]) == str(filtered[0]["id"]) == str(shown["id"]) == vast.number
    assert shown["actual_status"] == "running"
    assert (url.scheme, url.username, url.hostname) == ("ssh", "root", shown["public_ipaddr"].strip())
    assert str(url.port) == shown["ports"]["22/tcp"][0]["HostPort"]
    assert vast.cloud.rental(vast.number).label == "renamed"
    assert stopping.out == f"stopping instance {vast.number}.\n"
    assert stopped == ("stopped", "stopped", "exited")
    assert starting.out == f"starting instance {vast.number}.\n"
    assert started == ("running", "running", "running")
    assert destroyed.code == 0
    assert vast.phase() is Phase.GONE
    assert vast.recorded("show instance").json() == {"instances": None}


def test_tables_for_people_are_drawn_from_every_state(vast: Vast) -> None:
    vast.number = str(vast.recorded("create instance (on-demand, ssh direct)").json()["new_contract"])
    drawn = [vast.vastai("show", "instances")]
    vast.cloud.clock.forward(SETTLED_S)
    drawn.append(vast.vastai("show", "instances"))
    vast.vastai("stop", "instance", vast.number)
    vast.cloud.clock.forward(SETTLED_S)
    drawn += [vast.vastai("show", "instances"), vast.vastai("show", "instance", vast.number)]

    assert [said.code for said in drawn] == [0, 0, 0, 0]
    assert all(vast.number in said.out for said in drawn)
    assert "running" in drawn[1].out
    assert "exited" in drawn[3].out


def test_start_without_a_gpu_exits_0_and_fires_when_one_is_free(vast: Vast) -> None:
    vast.rent()
    vast.vastai("stop", "instance", vast.number)
    vast.cloud.clock.forward(SETTLED_S)
    market, host = vast.cloud.twin.market, vast.cloud.rental(vast.number).host
    vast.cloud.on_loop(lambda: market.take(host, host.gpus))
    refused = vast.recorded("start instance")
    queued = vast.words()
    vast.cloud.on_loop(lambda: market.give_back(host, 1))
    vast.cloud.clock.forward(SETTLED_S)

    case = ERRORS["start refused for lack of GPU (HTTP 200, success false)"]
    assert refused == (case["code"], case["out"], case["err"])
    assert queued == ("running", "stopped", "exited")
    assert vast.words() == ("running", "running", "running")


def test_bid_is_changed_and_being_outbid_looks_like_a_stop(vast: Vast) -> None:
    vast.rent("create instance (interruptible)")
    changed = vast.recorded("change bid")
    host = vast.cloud.rental(vast.number).host
    assert host.min_bid_per_gpu_hour is not None
    least = host.min_bid_per_gpu_hour * 2
    vast.cloud.on_loop(lambda: vast.cloud.twin.market.set_min_bid(host, least))
    vast.cloud.clock.forward(SETTLED_S)
    row = vast.vastai("show", "instance", vast.number, "--raw").json()

    assert (changed.code, changed.err) == (0, "")
    assert str(vast.cloud.rental(vast.number).bid) == "0.31"
    assert (row["intended_status"], row["cur_state"], row["actual_status"]) == ("stopped", "stopped", "exited")
    assert row["is_bid"]
    assert row["min_bid"] > 0.31


def test_reboot_recycle_and_the_calls_for_many(vast: Vast) -> None:
    vast.rent()
    rebooting = vast.recorded("reboot instance")
    vast.cloud.clock.forward(SETTLED_S)
    recycling = vast.recorded("recycle instance")
    vast.cloud.clock.forward(SETTLED_S)
    first = vast.number
    vast.rent()
    numbers = (first, vast.number)
    stopped = vast.vastai("stop", "instances", *numbers)
    vast.cloud.clock.forward(SETTLED_S)
    phases = [vast.cloud.rental(number).phase for number in numbers]
    destroyed = vast.vastai("destroy", "instances", *numbers, "-y")
    vast.cloud.clock.forward(SETTLED_S)

    assert rebooting.out == f"Rebooting instance {first}.\n"
    assert recycling.out == f"Recycling instance {first}.\n"
    assert (stopped.code, destroyed.code) == (0, 0)
    assert phases == [Phase.STOPPED, Phase.STOPPED]
    assert vast.vastai("show", "instances", "--raw").json() == []


def test_account_keys_charges(vast: Vast) -> None:
    created = vast.recorded("create ssh-key")
    keys = vast.recorded("show ssh-keys").json()
    vast.rent()
    attached = vast.recorded("attach ssh")
    user = vast.recorded("show user").json()
    charges = vast.recorded("show invoices-v1 (charges)").json()

    assert "ssh-key created" in created.out
    assert [key["key"] for key in keys] == [RECORDED.arguments("create ssh-key")[2]]
    assert "SSH key added" in attached.out
    assert 24 < user["credit"] < 25
    assert charges["results"][0]["source"] == f"instance-{vast.number}"
    assert charges["results"][0]["amount"] == pytest.approx(25 - user["credit"], abs=1e-6)


def test_logs_are_fetched_and_a_command_runs_though_the_client_breaks_after_it(vast: Vast) -> None:
    vast.rent()
    logs = vast.recorded("logs")
    executed = vast.recorded("execute")

    assert "sshd is listening" in logs.out
    # vastai 1.9.1 fetches the result and then takes the text for an object.
    assert executed.code == 1
    assert "'str' object has no attribute 'get'" in executed.err


def test_order_from_a_template_is_sent_as_recorded(vast: Vast) -> None:
    said = vast.recorded("create instance (template)")

    assert said.json()["success"] is True


@pytest.mark.parametrize(
    ("case", "fault"),
    [
        ("429 text body, no Retry-After", (CloudFaultKind.RATE_LIMIT_TEXT, None)),
        ("429 with Retry-After 1", (CloudFaultKind.RATE_LIMIT, 1.0)),
        ("502 html", (CloudFaultKind.HTML, 502.0)),
        ("401 bad key", (CloudFaultKind.REVOKED, None)),
        ("offer gone 404", None),
        ("show instance: gone (null)", None),
    ],
)
def test_refusals_are_met_as_recorded(vast: Vast, case: str, fault: tuple[CloudFaultKind, float | None] | None) -> None:
    recorded = ERRORS[case]
    calls = {"show": Call.LIST, "stop": Call.STOP}
    if fault is not None:
        (call,) = (call for word, call in calls.items() if word in recorded["arguments"])
        vast.cloud.twin.faults.always(*fault, on=call)

    gone = {"7001": "9999"}  # an offer that never was
    said = vast.vastai(*(gone.get(argument, argument) for argument in recorded["arguments"]))

    assert said == (recorded["code"], recorded["out"], recorded["err"].replace("7001", "9999"))
    assert len(vast.cloud.sent()) == recorded["attempts"]


def test_offer_that_was_taken_meanwhile_is_410_for_who_asked_so(vast: Vast) -> None:
    recorded = ERRORS["offer gone 410 with cancel_unavail"]
    market = vast.cloud.twin.market
    host = next(host for host in market.hosts.values() if host.gpus)
    vast.cloud.on_loop(lambda: market.take(host, host.gpus))

    said = vast.vastai(*recorded["arguments"])

    assert said == (recorded["code"], recorded["out"], recorded["err"])
    assert vast.cloud.on_loop(lambda: len(vast.cloud.twin.rentals)) == 0


def test_daily_search_quota_is_not_asked_again(tmp_path: Path) -> None:
    recorded = ERRORS["daily search quota 429"]
    with running(VastTwin, search_quota=1) as cloud:
        vastai = Vastai(tmp_path, cloud.twin.base_url, cloud.twin.key)
        assert vastai(*recorded["arguments"]).code == 0
        cloud.sent()

        said = vastai(*recorded["arguments"])

        assert (said.code, said.out) == (recorded["code"], recorded["out"])
        assert said.failure()["msg"] == "Daily search quota exceeded. Resets at 2026-11-02 00:00 UTC."
        assert len(cloud.sent()) == recorded["attempts"]


def test_rate_limits_hold_for_the_command_too(tmp_path: Path) -> None:
    with running(VastTwin) as cloud:
        vastai = Vastai(tmp_path, cloud.twin.base_url, cloud.twin.key)
        first = vastai("show", "instances", "--raw")
        second = vastai("show", "instances", "--raw")
        cloud.clock.forward(2)
        third = vastai("show", "instances", "--raw")

        assert [first.out, second.out, third.out] == ["[]\n", "", "[]\n"]
        assert second.code == 0
        assert second.failure()["status_code"] == 429


def test_machine_that_was_rented_by_the_command_lets_its_user_in(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    twin = VastTwin(limits=False, with_machines=True, timings=Timings.booting_in(0.5))
    with living(twin) as services:
        vastai = Vastai(tmp_path, twin.base_url, twin.key)
        vastai("create", "ssh-key", key.export_public_key().decode().strip(), "-y")
        rent = ("create", "instance", "7001", "--image", "ubuntu", "--disk", "10", "--ssh", "--direct", "--raw")
        number = str(vastai(*rent).json()["new_contract"])
        services.do(twin.until(lambda: twin.rentals[number].ssh_up))
        services.do(twin.settle())
        url = urlsplit(vastai("ssh-url", number).out.strip())

        assert (
            asyncio.run(gpu_of(str(url.hostname), url.port or 22, str(url.username), key)) == "NVIDIA GeForce RTX 4090"
        )
