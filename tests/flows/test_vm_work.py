"""Working with a rented machine by command: run, logs, lease, bid."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.flows.cloud_kit import account, cloud, keys, only, renter
from tests.flows.kit import Hawser, Services, complaint

LONG_S = 60.0


def test_commands_run_on_a_machine_and_their_exit_code_is_ours(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        assert user.run("vm", "new", "gpu1", "--yes", "--wait", limit_s=LONG_S).code == 0

        front = user.run("vm", "run", "gpu1", "--", "echo out; echo err >&2; exit 3")
        assert (front.code, front.out) == (3, b"out\n")
        assert front.lines[-1] == "err"

        started = user.run("vm", "run", "gpu1", "--detach", "--job", "train", "--", "echo begun; exit 5")
        assert (started.code, started.out) == (0, b"train\n")
        attached = user.run("vm", "run", "gpu1", "--attach", "train")
        assert (attached.code, attached.out) == (5, b"begun\n")
        jobs = {job["id"]: job for job in user.run("vm", "run", "gpu1", "--jobs", "--json").json()["items"]}
        assert (jobs["train"]["state"], jobs["train"]["exit_code"]) == ("ended", 5)

        assert complaint(user.run("vm", "run", "gpu1"), 2) == "Say what to run, after two dashes."
        assert complaint(user.run("vm", "run", "gpu1", "--attach", "no"), 2) == "There is no job 'no' on gpu1."


def test_logs_tell_what_happened_and_what_the_machine_said(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        assert user.run("vm", "new", "gpu1", "--yes", "--wait", limit_s=LONG_S).code == 0
        write = "mkdir -p ~/.hawser; printf 'one\\ntwo\\nth\\033[31mree\\n' > ~/.hawser/mine.log"
        assert user.run("vm", "run", "gpu1", "--", write).code == 0

        everything = user.run("vm", "logs", "gpu1", limit_s=LONG_S)
        service = user.run("vm", "logs", "gpu1", "--service", "mine", "-n", "2")
        unknown = user.run("vm", "logs", "gpu1", "--service", "nobody")

        assert everything.code == 0
        assert "create intended  hawser vm new" in everything.out.decode()
        assert "container is running" in everything.out.decode()
        assert (service.code, service.out) == (0, b"two\nth\x1b[31mree\n")  # into a pipe as it is
        assert complaint(unknown, 2) == "No log of 'nobody' was found on gpu1."


def test_a_lease_is_shown_extended_and_pinned(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        assert user.run("vm", "new", "gpu1", "--yes").code == 0

        before = user.run("vm", "lease", "gpu1", "--json").json()
        later = user.run("vm", "lease", "gpu1", "--extend", "1h", "--json").json()
        pinned = user.run("vm", "lease", "gpu1", "--pin", "2h", "--why", "training", "--json").json()
        shown = user.run("vm", "lease", "gpu1").out.decode()
        unpinned = user.run("vm", "lease", "gpu1", "--unpin", "--json").json()

        assert before["leased"]
        assert before["protection"] == "UNPROTECTED"
        assert later["hard_until"] > before["hard_until"]
        assert pinned["pin_why"] == "training"
        assert ": training" in shown
        assert unpinned["pinned_until"] is None
        assert complaint(user.run("vm", "lease", "gpu1", "--pin", "soon"), 2).endswith(
            "not a time such as 90m, 2h or 1d."
        )
        assert complaint(user.run("vm", "lease", "gpu1", "--why", "x"), 2) == "--why says what a machine is pinned for."


def test_a_bid_follows_the_market_up_to_the_ceiling(tmp_path: Path, services: Services) -> None:
    with cloud(services, limits=False) as twin:
        user = Hawser(tmp_path / "user", env=keys(twin)).settings(account(twin))
        words = ("--gpu", "3090", "--spot", "--max", "0.5", "--disk", "20")
        rented = user.run("vm", "new", "gpu1", *words, "--yes", "--wait", limit_s=LONG_S)
        assert rented.code == 0, rented.err
        assert "who bids more takes it away" in rented.err
        rental = only(twin)
        first = rental.bid
        assert first is not None

        async def dearer() -> None:
            twin.market.set_min_bid(rental.host, first)

        services.do(dearer())
        auto = user.run("vm", "bid", "gpu1", "--auto", "--margin", "20%")
        assert auto.code == 0, auto.err
        raised = only(twin).bid
        assert raised is not None
        assert first < raised <= Decimal("0.5")

        assert complaint(user.run("vm", "bid", "gpu1", "0.9"), 6).startswith("'gpu1' would cost $0.9 an hour")
        assert complaint(user.run("vm", "bid", "gpu1"), 2) == "Say what to bid per hour, or --auto."
        assert only(twin).bid == raised
