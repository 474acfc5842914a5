"""What the lists say: machines, offers, and what bills; with clouds that refuse, and machines of strangers."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from providers.simulated.clouds.faults import CloudFaultKind
from providers.simulated.clouds.rental import Order
from tests.flows.cloud_kit import account, cloud, keys, only, rentals, renter
from tests.flows.kit import Hawser, Services, complaint, unmeasured

LONG_S = 60.0


def test_nothing_is_set_up(tmp_path: Path) -> None:
    user = Hawser(tmp_path / "user")

    assert complaint(user.run("vm", "offers"), 3) == "No cloud has a key, so there is nobody to rent from."
    assert complaint(user.run("vm", "new", "box", "--yes"), 3) == "No cloud has a key, so there is nobody to rent from."
    assert complaint(user.run("vm", "up", "box"), 2) == "There is no machine 'box'."
    for words in (["ls"], ["ls", "--cached"]):
        done = user.run("vm", *words)
        assert (done.code, done.out) == (0, b"")
        assert "There are no machines yet." in done.err
    audit = user.run("vm", "audit", "--json")
    assert (audit.code, audit.json()["items"]) == (0, [])


def test_offers_of_two_clouds_are_one_list_and_one_is_rented_by_its_number(tmp_path: Path, services: Services) -> None:
    with cloud(services, "vast") as vast, cloud(services, "tensordock") as tensordock:
        user = Hawser(tmp_path / "user", env=keys(vast, tensordock)).settings(account(vast), account(tensordock))

        listed = user.run("vm", "offers", "--gpu", "4090", "--hours", "3", "--json")
        offers = listed.json()["items"]
        assert {offer["cloud"] for offer in offers} == {"vast", "tensordock"}
        assert [offer["session_usd"] for offer in offers] == sorted(offer["session_usd"] for offer in offers)
        assert all(offer["session_usd"] > 3 * offer["usd_per_hour"] for offer in offers)

        table = user.run("vm", "offers", "--gpu", "4090", "--hours", "3")
        assert "cheapest: no 1" in table.err
        assert "soonest:" in table.err
        assert "safest:" in table.err
        second = next(number for number, offer in enumerate(offers, 1) if offer["cloud"] == "tensordock")
        rented = user.run("vm", "new", "box", str(second), "--yes", "--json")

        assert rented.code == 0, rented.err
        assert rented.json()["cloud"] == "tensordock"
        assert (rentals(vast), len(rentals(tensordock))) == ([], 1)


def test_a_cloud_that_is_down_costs_its_own_lines_only(tmp_path: Path, services: Services) -> None:
    with cloud(services, "vast") as vast, cloud(services, "runpod") as runpod:
        user = Hawser(tmp_path / "user", env=keys(vast, runpod)).settings(account(vast), account(runpod))
        assert user.run("vm", "new", "box", "--cloud", "vast", "--yes").code == 0
        assert user.run("vm", "ls").code == 0
        vast.faults.always(CloudFaultKind.REVOKED)

        offers = user.run("vm", "offers", "--gpu", "4090", "--json", limit_s=LONG_S)
        audit = user.run("vm", "audit", "--json", limit_s=LONG_S)
        listed = user.run("vm", "ls", "--json", limit_s=LONG_S)

        assert offers.code == 0
        assert {offer["cloud"] for offer in offers.json()["items"]} == {"runpod"}
        assert "does not accept the key" in offers.err
        assert listed.code == 0
        assert [item["name"] for item in listed.json()["items"]] == ["box"]
        assert "vast cannot be read:" in listed.err
        assert "What is shown of it is " in listed.err
        assert " s old." in listed.err
        assert audit.code == 4
        assert "hawser key set vast" in audit.err
        assert [item["name"] for item in audit.json()["items"]] == ["box"]
        assert [trouble["cloud"] for trouble in audit.json()["troubles"]] == ["vast"]

        runpod.faults.always(CloudFaultKind.REVOKED)
        other = Hawser(tmp_path / "other", env=keys(vast, runpod)).settings(account(vast), account(runpod))
        assert other.run("vm", "offers", limit_s=LONG_S).code == 4
        assert other.run("vm", "ls", limit_s=LONG_S).code == 4
        new = other.run("vm", "new", "box", "--yes", limit_s=LONG_S)
        assert new.code == 4
        assert new.err.count("vast (") == 1


def test_what_is_remembered_is_shown_without_asking_anybody(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        assert user.run("vm", "new", "gpu1", "--yes", "--wait", limit_s=LONG_S).code == 0
        asked = user.run("vm", "ls", "--json").json()["items"]
        services.do(twin.close_door())
        calls = len(twin.requests)

        cached = user.run("vm", "ls", "--cached", "--json")

        assert cached.code == 0
        assert len(twin.requests) == calls
        (now,), (then,) = cached.json()["items"], asked
        for same in ("name", "cloud", "id", "state", "gpu", "bills", "usd_per_hour_now", "hard_until", "services"):
            assert now[same] == then[same]
        table = user.run("vm", "ls", "--cached").out.decode()
        assert "ready" in table
        assert "RTX 4090" in table
        assert "ollama" in table


def test_a_remembered_list_loads_neither_network_nor_event_loop(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        user.run("vm", "new", "gpu1", "--yes")
        code = (
            "from console.cli import main; main(['vm', 'ls', '--cached']); import sys; sys.stdout.write('\\n');"
            " sys.stdout.write(' '.join(sys.modules))"
        )

        done = subprocess.run(
            [sys.executable, "-c", code], env=unmeasured(user.env), capture_output=True, text=True, check=True
        )

        loaded = set(done.stdout.splitlines()[-1].split())
        assert "gpu1" in done.stdout
        assert not loaded & {"asyncio", "httpx", "asyncssh", "ssl", "socket", "console.runtime", "console.settings"}


def test_machines_of_your_own_stand_in_the_list(tmp_path: Path) -> None:
    user = Hawser(tmp_path / "user").settings(
        '[machines.box]\ncloud = "ssh"\nhost = "me@127.0.0.1:1"\nservices = ["ollama"]\nusd_per_hour = 0.10'
    )

    cached = user.run("vm", "ls", "--cached", "--json").json()["items"]
    asked = user.run("vm", "ls", "--json", limit_s=LONG_S).json()["items"]
    stop = user.run("vm", "stop", "box", limit_s=LONG_S)
    destroy = user.run("vm", "destroy", "box", "--yes")

    assert [(item["name"], item["origin"], item["services"]) for item in cached] == [("box", "settings", ["ollama"])]
    assert [(item["name"], item["origin"], item["services"]) for item in asked] == [("box", "settings", ["ollama"])]
    assert complaint(stop, 8) == "There is no command that stops 'box'."
    assert complaint(destroy, 8) == "'box' is a machine of your own; it is not ours to destroy."


def test_a_stranger_is_told_adopted_and_forgotten(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = Hawser(tmp_path / "user", env=keys(twin)).settings(account(twin))
        host = next(host for host in twin.default_hosts() if host.gpu.name == "RTX 4090")

        async def rent() -> str:
            order = Order(host, 1, "ubuntu", Decimal("0.40"), Decimal(20), label="of-a-colleague")
            return twin.market.rent(order).id

        cloud_id = services.do(rent())

        found = user.run("vm", "audit", "--json")
        assert found.code == 8
        (line,) = found.json()["items"]
        assert (line["owner"], line["id"], line["wanted"]) == ("stranger", cloud_id, False)
        listed = user.run("vm", "ls", "--json")
        assert listed.json()["items"] == []
        assert "of-a-colleague on vast is not known here and costs money" in listed.err
        table = user.run("vm", "audit")
        assert f"hawser vm adopt vast {cloud_id}" in table.err

        adopted = user.run("vm", "adopt", "vast", cloud_id, "theirs")
        assert adopted.code == 0, adopted.err
        assert "Nothing ends it but you." in adopted.err
        mine = user.run("vm", "ls", "--json")
        assert [item["name"] for item in mine.json()["items"]] == ["theirs"]
        assert "not known here" not in mine.err
        assert user.run("vm", "audit").code == 0

        assert user.run("vm", "forget", "theirs").code == 0
        assert user.run("vm", "ls", "--json").json()["items"] == []
        assert only(twin).id == cloud_id


def test_names_of_machines_are_completed(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        user.run("vm", "new", "rented", "--gpu", "3090", "--yes")

        words = user.run("completion", "words", "--", "vm", "stop", "")
        options = user.run("completion", "words", "--", "vm", "stop", "--a")

        assert set(words.out.decode().split()) == {"gpu1", "rented"}
        assert options.out.decode().split() == ["--all"]
