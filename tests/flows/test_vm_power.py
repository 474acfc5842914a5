"""Renting, starting, stopping and destroying by command: what is said before, what is proved, what goes wrong."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest

from providers.simulated.clouds.faults import Call, CloudFault, CloudFaultKind
from providers.simulated.clouds.rental import Phase, Timings
from tests.flows.cloud_kit import account, cloud, keys, machine, only, phase, rentals, renter
from tests.flows.kit import Hawser, Services, complaint, finish, read_until

LONG_S = 60.0


def on_a_terminal(user: Hawser, *words: str, typed: bytes, after: bytes) -> tuple[int, bytes]:
    """Run it on a terminal and type something when it has asked; its exit code, and all that stood there."""
    ours, theirs = pty.openpty()
    process = user.start(*words, stdin=theirs, stdout=theirs, stderr=theirs, new_session=True)
    os.close(theirs)
    shown = read_until(ours, lambda came: after in came)
    os.write(ours, typed)
    shown += read_until(ours, lambda _: False)
    os.close(ours)
    return finish(process).code, shown


def test_a_machine_is_rented_used_stopped_and_destroyed(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)

        new = user.run("vm", "new", "gpu1", "--yes", "--wait", limit_s=LONG_S)
        assert new.code == 0, new.err
        assert "Costs $0." in new.err
        assert "stopped after 30 min without work" in new.err
        assert "Fetching qwen3:8b on gpu1" in new.err
        assert "gpu1 is ready" in new.err
        assert only(twin).phase is Phase.RUNNING

        up = user.run("vm", "up", "gpu1", "--json")
        assert (up.code, up.json()["name"], up.json()["state"]) == (0, "gpu1", "ready")

        stop = user.run("vm", "stop", "gpu1", "--wait", limit_s=LONG_S)
        assert stop.code == 0, stop.err
        assert "for the GPU ends once the stop is proved" in stop.err
        assert "Its disk goes on costing $0.0111/h" in stop.err
        assert "cannot be started until they leave" in stop.err
        assert "gpu1 is stopped: proved after" in stop.err
        assert phase(services, twin) is Phase.STOPPED

        destroy = user.run("vm", "destroy", "gpu1", "--yes", "--json")
        assert destroy.code == 0, destroy.err
        assert "lost for good" in destroy.err
        assert "gpu1 is being destroyed: accepted, not proved yet." in destroy.err
        assert [item["state"] for item in destroy.json()["items"]] == ["destroying"]
        services.do(twin.until(lambda: rentals(twin) == []))


def test_without_waiting_nothing_is_called_done(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        user.run("vm", "new", "gpu1", "--yes", "--wait", limit_s=LONG_S)

        stop = user.run("vm", "stop", "gpu1")

        assert stop.code == 0
        assert "gpu1 is being stopped: accepted, not proved yet." in stop.err
        assert "--wait" in stop.err
        assert user.run("vm", "ls", "--cached", "--json").json()["items"][0]["doing"]["what"] == "stop"


def test_a_stop_without_a_proof_is_not_called_stopped(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        user.run("vm", "new", "gpu1", "--yes", "--wait", limit_s=LONG_S)
        twin.faults.always(CloudFaultKind.NOT_DONE, on=Call.STOP)

        stop = user.run("vm", "stop", "gpu1", "--wait", "--timeout", "2", limit_s=LONG_S)

        assert stop.code == 8, stop.err
        assert "NOT PROVED: it may still cost $0." in stop.err
        assert "gpu1 is stopped" not in stop.err
        assert phase(services, twin) is Phase.RUNNING
        listed = user.run("vm", "ls", "gpu1")
        assert "still billing" in listed.out.decode()
        assert "gpu1 is being stopped, since" in listed.err


def test_all_that_runs_is_stopped_at_once(tmp_path: Path, services: Services) -> None:
    with cloud(services, limits=False) as twin:
        user = renter(tmp_path / "user", twin, machine(twin, "gpu2"))
        for name in ("gpu1", "gpu2"):
            assert user.run("vm", "new", name, "--yes").code == 0

        stop = user.run("vm", "stop", "--all", "--wait", "--json", limit_s=LONG_S)

        assert stop.code == 0, stop.err
        assert {item["name"]: item["state"] for item in stop.json()["items"]} == {"gpu1": "stopped", "gpu2": "stopped"}
        services.do(twin.settle())
        assert {rental.phase for rental in rentals(twin)} == {Phase.STOPPED}
        again = user.run("vm", "stop", "--all", "--yes")
        assert (again.code, again.err) == (0, "Nothing runs that could be stopped.\n")


def test_destroying_asks_for_the_name(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        user.run("vm", "new", "gpu1", "--yes")

        unasked = user.run("vm", "destroy", "gpu1")
        wrong = on_a_terminal(user, "vm", "destroy", "gpu1", typed=b"gpu2\n", after=b"Type the name")
        assert len(rentals(twin)) == 1
        right = on_a_terminal(user, "vm", "destroy", "gpu1", typed=b"gpu1\n", after=b"Type the name")

        assert complaint(unasked, 2).startswith("Destroying 'gpu1' cannot be undone")
        assert wrong[0] == 2
        assert b"nothing was destroyed" in wrong[1]
        assert right[0] == 0, right[1]
        services.do(twin.until(lambda: rentals(twin) == []))


def test_renting_asks_first_and_never_without_a_terminal(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)

        unasked = user.run("vm", "new", "gpu1")
        refused = on_a_terminal(user, "vm", "new", "gpu1", typed=b"n\n", after=b"[y/N]")

        assert complaint(unasked, 2) == "Renting costs money, and there is no terminal to ask on."
        assert refused[0] == 2
        assert b"Nothing was rented" in refused[1]
        assert rentals(twin) == []
        assert user.run("vm", "ls", "--all", "--json").json()["items"] == []


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--max", "0.05"], 8, "vast has no offer for 1 × RTX 4090 at $0.05/h or less now."),
        (["--gpu", "B200"], 8, "vast has no offer for 1 × B200 now."),
        (["vast:1"], 8, "The offer 'vast:1' is not to be had now."),
        (["7"], 2, "There is no offer number 7 in a list of the last hour."),
        (["cheap"], 2, "'cheap' is not an offer."),
        (["--cloud", "runpod"], 3, "There is no key for the cloud 'runpod'."),
        (["--recipe", "cake"], 2, "There is no recipe 'cake'."),
    ],
)
def test_what_cannot_be_rented_is_said_in_a_sentence(
    tmp_path: Path, services: Services, words: list[str], code: int, sentence: str
) -> None:
    with cloud(services) as twin:
        done = renter(tmp_path / "user", twin).run("vm", "new", "gpu1", "--yes", *words)

        assert complaint(done, code) == sentence
        assert twin.rentals == {}


def test_a_budget_without_room_rents_nothing(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = Hawser(tmp_path / "user", env=keys(twin)).settings(account(twin), "[budget]\nday_usd = 0.05")

        done = user.run("vm", "new", "gpu1", "--gpu", "4090", "--yes")

        assert complaint(done, 6).startswith("Today's budget has no room")
        assert twin.rentals == {}


def test_a_cloud_that_cannot_stop_is_for_who_says_destroy(tmp_path: Path, services: Services) -> None:
    with cloud(services, "lambda") as twin:
        user = Hawser(tmp_path / "user", env=keys(twin)).settings(account(twin))

        refused = user.run("vm", "new", "gpu1", "--yes")
        rented = user.run("vm", "new", "gpu1", "--yes", "--at-end", "destroy", "--wait", limit_s=LONG_S)
        stop = user.run("vm", "stop", "gpu1")
        destroy = user.run("vm", "destroy", "gpu1", "--yes", "--wait", limit_s=LONG_S)

        assert complaint(refused, 8).startswith("lambda cannot stop machines")
        assert rented.code == 0, rented.err
        assert "It is DESTROYED with all that is on it after 30 min" in rented.err
        assert complaint(stop, 8) == "lambda cannot stop machines."
        assert destroy.code == 0, destroy.err
        assert "gpu1 is gone: proved after" in destroy.err
        assert rentals(twin) == []


def test_a_machine_that_comes_up_is_waited_for_where_nothing_can_be_started(tmp_path: Path, services: Services) -> None:
    with cloud(services, "lambda", timings=Timings.booting_in(8.0)) as twin:
        user = Hawser(tmp_path / "user", env=keys(twin)).settings(account(twin))
        assert user.run("vm", "new", "gpu1", "--yes", "--at-end", "destroy").code == 0

        up = user.run("vm", "up", "gpu1", "--wait", limit_s=LONG_S)

        assert up.code == 0, up.err
        assert phase(services, twin) is Phase.RUNNING


def test_a_start_that_the_cloud_refuses_says_so_and_leaves_nothing_queued(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        user.run("vm", "new", "gpu1", "--yes", "--wait", limit_s=LONG_S)
        user.run("vm", "stop", "gpu1", "--wait", limit_s=LONG_S)
        twin.faults.add(CloudFault(CloudFaultKind.NO_GPU, on=frozenset({Call.START})))

        done = user.run("vm", "up", "gpu1")

        assert done.code == 8, done.err
        services.do(twin.settle())
        assert only(twin).phase is Phase.STOPPED
        assert not only(twin).wants_to_run


def test_a_machine_that_nobody_knows(tmp_path: Path, services: Services) -> None:
    with cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        user.run("vm", "new", "gpu1", "--yes")

        for word in ("up", "stop", "destroy", "ls", "lease", "forget"):
            done = user.run("vm", word, "gpu2")
            assert complaint(done, 2) == "There is no machine 'gpu2'."
            assert done.lines[-1] == "  Did you mean 'gpu1'?"
