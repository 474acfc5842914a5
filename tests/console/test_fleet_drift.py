"""Machines that others made, changed or hid, accounts that do not answer, and several processes at once."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from pathlib import Path

import pytest

from console.errors import CloudCannot, MachineBusy, NotFound, UsageError
from console.events import Bus
from console.history import machines, roles
from console.history.owner import this_process
from console.machines.audit import audit
from console.machines.events import (
    AccountTrouble,
    DeedOverdue,
    MachineChanged,
    MachineDrifted,
    MachineFound,
    MachineOutbid,
)
from console.machines.labels import free_name, is_ours, name_in, new_label
from console.machines.poll import CALM_S, CHANGING_S, RUNNING_S, Poll, interval_s
from console.machines.records import Desired, MachineState
from providers.clouds.base import Address, Bills, Reading, State
from providers.errors import ServiceFailed, Unreachable
from tests.clocks import EagerClock
from tests.conftest import run
from tests.console.fake_cloud import FakeCloud, fates
from tests.console.fleet_kit import PLAN, Heard, World, world


async def with_box(w: World) -> None:
    await w.fleet.launch("box", PLAN, why="asked for")
    await w.fleet.settled("box")


# Adoption


def test_a_machine_with_our_label_is_taken_over_and_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            w.cloud.put("hawser-inference-7f3k2m9q")
            w.cloud.put("somebody-elses")

            await w.fleet.refresh()

            (record,) = await w.fleet.machines()
            assert (record.name, record.origin, record.desired) == ("inference", "adopted", Desired.RUNNING)
            assert record.state is MachineState.BOOTING
            (found,) = w.bus.of(MachineFound)
            assert (found.cloud_id, found.bills) == ("1", Bills.EVERYTHING)
            assert not any(call.startswith(("stop", "destroy")) for call in w.cloud.calls)

    run(body())


def test_two_machines_of_one_label_are_two_machines(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            label = w.cloud.truth["1"].label
            w.cloud.put(label, id="twin")

            await w.rounds(30)

            assert [(r.name, r.cloud_id) for r in await w.fleet.machines()] == [("box", "1"), ("box-2", "twin")]

    run(body())


def test_a_stranger_is_adopted_by_hand_and_forgotten_by_hand(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            stranger = w.cloud.put("somebody-elses")
            await w.fleet.refresh()
            assert await w.fleet.machines() == []

            record = await w.fleet.adopt("cloud", stranger.id, "mine")
            assert (record.origin, record.at_end, record.state) == ("adopted", "nothing", MachineState.BOOTING)
            with pytest.raises(MachineBusy, match="known already, as 'mine'"):
                await w.fleet.adopt("cloud", stranger.id, "again")
            with pytest.raises(NotFound):
                await w.fleet.adopt("cloud", "no-such", "other")

            await w.fleet.forget("mine")
            await w.rounds(60)
            assert await w.fleet.machines() == []
            assert stranger.state is State.RUNNING
            await w.fleet.forget("mine")  # once more is no failure
            assert (await w.fleet.adopt("cloud", stranger.id, "mine")).cloud_id == stranger.id

    run(body())


def test_ours_is_not_forgotten_while_it_may_cost_money(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)

            with pytest.raises(MachineBusy, match="destroyed, not forgotten"):
                await w.fleet.forget("box")

    run(body())


# Drift


def test_what_is_done_in_the_console_of_the_cloud_is_taken_over(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            truth = w.cloud.truth["1"]

            truth.state = State.STOPPED
            await w.rounds(30)
            record = await w.fleet.machine("box")
            assert (record.state, record.desired) == (MachineState.STOPPED, Desired.STOPPED)
            assert record.state_why == "It was stopped at its cloud, not here."

            truth.state, truth.price, truth.label = State.RUNNING, Decimal("0.44"), "renamed"
            await w.rounds(90)
            record = await w.fleet.machine("box")
            assert (record.state, record.desired) == (MachineState.BOOTING, Desired.RUNNING)
            assert record.usd_per_hour == Decimal("0.44")
            assert [event.text[:25] for event in w.bus.of(MachineDrifted)] == [
                "The price changed from $0",
                "It was renamed at its clo",
            ]

            truth.state = State.GONE
            await w.rounds(90)
            assert await w.fleet.machines() == []
            assert len(await w.deeds("box")) == 1  # nothing was done about any of it

    run(body())


def test_one_list_without_a_machine_is_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            w.cloud.fate = fates([("list", "missing"), ("list", "empty")])

            for _ in range(2):
                w.clock.advance(1)
                await w.fleet.refresh(max_age_s=0)
                assert (await w.fleet.machine("box")).state is MachineState.LOST
            await w.rounds(60)

            assert (await w.fleet.machine("box")).state is MachineState.BOOTING
            assert not any(call.startswith("show") for call in w.cloud.calls)

    run(body())


def test_lists_that_go_on_missing_it_are_checked_by_asking_for_it_alone(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            w.cloud.fate = lambda call: "empty" if call == "list" else "well"

            await w.rounds(300)

            assert (await w.fleet.machine("box")).cloud_id == "1"
            assert "show 1" in w.cloud.calls

    run(body())


def test_what_was_thought_gone_and_turns_up_is_known_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            w.cloud.truth["1"].missing = True
            await w.rounds(120)
            assert await w.fleet.machines() == []
            await w.fleet.launch("box", PLAN, why="a new one")

            w.cloud.truth["1"].missing = False
            await w.rounds(120)

            assert {(r.name, r.cloud_id) for r in await w.fleet.machines()} == {("box-2", "1"), ("box", "2")}
            assert [event.cloud_id for event in w.bus.of(MachineFound)] == ["1"]
            assert w.cloud.truth["1"].state is State.RUNNING

    run(body())


def test_what_was_to_be_gone_and_turns_up_is_destroyed_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            await w.fleet.destroy("box", why="no more")
            w.cloud.truth["1"].state, w.cloud.truth["1"].missing = State.RUNNING, True
            w.cloud.truth["1"].until = None
            assert (await w.fleet.settled("box")).state is MachineState.GONE

            w.cloud.truth["1"].missing = False
            await w.rounds(180)

            assert w.cloud.truth["1"].state is State.GONE

    run(body())


def test_a_machine_that_is_outbid_is_lost_and_not_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            w.cloud.truth["1"].state = State.OUTBID

            await w.rounds(60)

            record = await w.fleet.machine("box")
            assert (record.state, record.desired) == (MachineState.LOST, Desired.RUNNING)
            assert [event.name for event in w.bus.of(MachineOutbid)] == ["box"]

    run(body())


# Accounts that do not answer


def test_an_outage_of_hours_makes_nothing_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            await w.fleet.reached("box", MachineState.READY)
            seen_at = (await w.fleet.machine("box")).seen_at
            w.cloud.fate = lambda _: "unsent"
            before = len(w.cloud.calls)

            await w.rounds(300)
            record = await w.fleet.machine("box")
            assert (record.state, record.seen_at) == (MachineState.READY, seen_at)
            await w.rounds(3 * 3600, 30)

            assert (await w.fleet.machine("box")).state is MachineState.UNKNOWN
            assert len(w.bus.of(AccountTrouble)) == 1
            assert len(w.cloud.calls) - before < 160  # with pauses of up to two minutes
            w.cloud.fate = lambda _: "well"
            await w.rounds(300, 30)
            assert (await w.fleet.machine("box")).state is MachineState.BOOTING
            assert MachineState.STOPPED not in {event.after for event in w.bus.of(MachineChanged)}

    run(body())


def test_who_asks_is_told_of_the_trouble(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            w.cloud.fate = lambda _: "unsent"

            (trouble,) = await w.fleet.refresh()

            assert (trouble.cloud, trouble.text) == ("cloud", "The cloud does not answer.")

    run(body())


# Several processes


def test_a_fresh_reading_of_another_process_is_used(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            other = Poll(w.store, lambda _: w.cloud, w.clock, Bus(), owner=f"{os.getppid()}:?")
            await other.read("cloud")
            w.clock.advance(4)

            await w.fleet.refresh(max_age_s=5)
            assert w.cloud.calls == ["list"]
            await w.fleet.refresh(max_age_s=3)
            assert w.cloud.calls == ["list", "list"]

    run(body())


def test_many_who_ask_at_once_make_one_call(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            other = Poll(w.store, lambda _: w.cloud, w.clock, Bus(), owner=f"{os.getppid()}:?")

            await asyncio.gather(
                *(w.fleet.refresh(max_age_s=5) for _ in range(5)), *(other.read("cloud", max_age_s=5) for _ in range(5))
            )

            assert w.cloud.calls == ["list"]

    run(body())


@pytest.mark.parametrize(("owner", "waits"), [("999999999:1", False), ("alive", True)])
def test_only_a_living_process_is_waited_for(tmp_path: Path, owner: str, waits: bool) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            holder = f"{os.getppid()}:?" if owner == "alive" else owner
            now = w.clock.now()
            await w.store.run(
                lambda c: roles.take(c, "poll:cloud", holder, now, stale=w.clock.now() - w.clock.now()), write=True
            )

            await w.fleet.refresh(max_age_s=0)

            assert w.cloud.calls == ["list"]
            assert (w.clock.monotonic() >= 89) is waits

    run(body())


def test_a_stop_of_a_process_that_died_is_gone_on_with_by_the_next(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = FakeCloud(EagerClock())
        async with world(tmp_path, cloud) as w:
            await with_box(w)
            cloud.fate = fates([("stop", "unsent")])
            with pytest.raises(Exception, match="broken"):
                await w.fleet.stop("box", why="enough")
        async with world(tmp_path, cloud, owner="999999999:1") as w:
            record = await w.fleet.machine("box")
            await w.store.run(
                lambda c: machines.step_deed(c, machines.open_deeds(c)[record.seq].seq, owner="999999998:1"), write=True
            )
            w.clock.advance(30)

            await w.fleet.reconcile()
            assert (await w.fleet.settled("box")).state is MachineState.STOPPED

    run(body())


def test_what_a_living_process_does_is_left_to_it_for_a_while(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            record = await w.fleet.machine("box")
            theirs = f"{os.getppid()}:?"
            await w.store.run(
                lambda c: machines.open_deed(c, record.seq, "stop", "theirs", theirs, w.clock.now()), write=True
            )

            await w.rounds(15)
            assert "stop 1" not in w.cloud.calls
            await w.rounds(15)
            assert "stop 1" in w.cloud.calls

    run(body())


# Machines of the user's own


OWN = '[machines.cellar]\ncloud = "ssh"\nhost = "me@127.0.0.1"\nusd_per_hour = 0.10\nstop = "true"\n'


def test_own_machines_are_there_from_the_settings(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path, config=OWN) as w:
            (record,) = await w.fleet.machines()
            assert (record.name, record.origin, record.cloud_id) == ("cellar", "settings", "cellar")
            assert (record.usd_per_hour, record.at_end) == (Decimal("0.1"), "nothing")
            w.cloud.put("cellar", id="cellar")
            await w.fleet.refresh(["ssh"])
            assert (await w.fleet.machine("cellar")).state is MachineState.BOOTING

            with pytest.raises(CloudCannot, match="not ours to destroy"):
                await w.fleet.destroy("cellar", why="no")
            w.cloud.put("cellar", State.STOPPED, id="cellar")
            w.clock.advance(60)
            with pytest.raises(CloudCannot, match="no command that starts"):
                await w.fleet.start("cellar", why="no")
            with pytest.raises(UsageError, match="stands in the settings"):
                await w.fleet.forget("cellar")
        async with world(tmp_path) as w:
            assert await w.fleet.machines() == []
        async with world(tmp_path, config=OWN) as w:
            assert [r.seq for r in await w.fleet.machines()] == [record.seq]

    run(body())


# The rest


def test_the_loop_goes_on_at_once_when_something_is_wished(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            looping = asyncio.ensure_future(w.fleet.run())
            await w.fleet.stop("box", why="enough")
            while (await w.fleet.machine("box")).state is not MachineState.STOPPED:
                await asyncio.sleep(0)
            looping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await looping

            assert w.cloud.truth["1"].state is State.STOPPED

    run(body())


class Hasty(FakeCloud):
    """Calls machines destroyed in one list that are not."""

    lies = 0

    async def machines(self) -> list[Reading]:
        readings = await super().machines()
        if not self.lies:
            return readings
        self.lies -= 1
        return [reading._replace(state=State.GONE, bills=Bills.NOTHING) for reading in readings]


def test_a_machine_that_is_called_gone_is_asked_for_before_that_is_believed(tmp_path: Path) -> None:
    async def body() -> None:
        cloud = Hasty(EagerClock(), keeps_gone=True)
        async with world(tmp_path, cloud) as w:
            await with_box(w)
            cloud.lies = 1

            await w.rounds(30)

            assert "show 1" in cloud.calls
            assert (await w.fleet.machine("box")).state is MachineState.BOOTING
            assert not [event for event in w.bus.of(MachineChanged) if event.after is MachineState.GONE]

            cloud.truth["1"].state = State.GONE
            await w.rounds(30)

            assert await w.fleet.machines() == []

    run(body())


def test_intervals_are_short_only_while_something_changes(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            assert interval_s([], has_deeds=False) == CALM_S
            await with_box(w)
            booting = await w.fleet.machines()
            assert interval_s(booting, has_deeds=False) == CHANGING_S
            seen = booting[0].reading
            assert seen is not None
            up = booting[0]._replace(reading=seen._replace(addresses=(Address("203.0.113.9", 22, "root"),)))
            assert interval_s([up], has_deeds=False) == RUNNING_S  # what is left to wait for, its cloud does not tell
            await w.fleet.reached("box", MachineState.READY)
            ready = await w.fleet.machines()
            assert (interval_s(ready, has_deeds=False), interval_s(ready, has_deeds=True)) == (RUNNING_S, CHANGING_S)

    run(body())


def test_an_audit_lists_all_that_bills_and_says_what_nobody_wants(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            await w.fleet.launch("kept", PLAN, why="asked for")
            await w.fleet.settled("kept")
            await w.fleet.stop("kept", why="enough")
            await w.fleet.settled("kept")
            w.cloud.put("somebody-elses")

            found = await audit(w.fleet, lambda _: w.cloud)

            lines = [(line.name, line.what, line.owner, line.is_wanted, line.usd_per_week) for line in found.lines]
            assert lines == [
                ("somebody-elses", "machine", "stranger", False, Decimal("67.20")),
                ("box", "machine", "ours", True, Decimal("67.20")),
                ("kept", "disk", "ours", True, Decimal("1.68")),
            ]
            assert not found.is_clean
            assert [line.name for line in found.unwanted] == ["somebody-elses"]
            w.cloud.fate = lambda _: "unsent"
            found = await audit(w.fleet, lambda _: w.cloud)
            assert [trouble.cloud for trouble in found.troubles] == ["cloud"]
            assert [line.name for line in found.lines] == ["box", "kept"]  # as they were last seen

    run(body())


def test_labels_are_unique_short_and_tell_the_name() -> None:
    labels = {new_label("GPU box.1") for _ in range(100)}

    assert len(labels) == 100
    for label in labels:
        assert is_ours(label)
        assert name_in(label) == "gpu-box-1"
        assert len(label) <= 64
    assert name_in(new_label("x" * 64)) == "x" * 40
    assert name_in("hawser-") == "machine"
    assert name_in("hawser-own-label") == "own-label"
    assert free_name("box", {"box", "box-2"}) == "box-3"


def test_this_process_is_the_owner_unless_another_is_named(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await w.fleet.launch("box", PLAN, why="asked for")

            deed = await w.fleet.deed("box")

            assert deed is not None
            assert deed.owner == this_process()

    run(body())


def test_a_list_that_fails_says_so_to_who_wants_everything(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            assert isinstance(w.bus, Heard)
            w.cloud.fate = lambda _: "unsent"

            with pytest.raises(Unreachable):
                await w.fleet.found("cloud")

    run(body())


def test_a_fault_in_an_adapter_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await with_box(w)
            really_list, really_stop = w.cloud.machines, w.cloud.stop

            async def broken(*_: object) -> list[Reading]:
                raise ValueError("nobody thought of this")

            w.cloud.machines = broken  # type: ignore[method-assign]
            w.cloud.stop = broken  # type: ignore[assignment]
            with pytest.raises(ServiceFailed, match="ValueError"):
                await w.fleet.stop("box", why="enough")
            await w.rounds(150)
            w.cloud.machines, w.cloud.stop = really_list, really_stop  # type: ignore[method-assign]

            assert (await w.fleet.settled("box")).state is MachineState.STOPPED
            assert {event.what for event in w.bus.of(DeedOverdue)} == {"stop"}

    run(body())
    assert "nobody thought of this" in caplog.text


def test_after_an_outage_the_longest_waiting_stops_go_first_and_few_at_a_time(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            for number in range(12):
                w.cloud.put(f"hawser-box{number}-abcdefgh")
            await w.fleet.refresh()
            w.cloud.fate = lambda call: "unsent" if call == "stop" else "well"
            for record in await w.fleet.machines():
                with pytest.raises(ServiceFailed):
                    await w.fleet.stop(record.name, why="all")
                w.clock.advance(1)
            w.cloud.fate = lambda _: "well"
            w.clock.advance(300)
            w.cloud.calls.clear()

            await w.fleet.reconcile()
            first = {int(call.removeprefix("stop ")) for call in w.cloud.calls if call.startswith("stop")}
            assert len(first) == 5
            assert max(first) <= 9  # they were a second apart, and their pauses differ by chance
            await w.rounds(300)

            assert {record.state for record in await w.fleet.machines()} == {MachineState.STOPPED}

    run(body())
