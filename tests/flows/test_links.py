"""Links under every sort of trouble, with real sockets and a real SSH server: what comes back, how soon, and what
becomes of the streams that were under way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from console.errors import HostKeyChanged
from console.links import events
from console.links.leg import Pace
from console.links.link import LinkState
from console.links.tunnels import Forward, Tunnels
from tests.conftest import run
from tests.flows.link_kit import ECHO, PATIENCE_S, client, rig

SOON_S = 10.0
"""Far beyond what is promised (3 s), and far below what a link without our care takes (15 s and more)."""


def test_requests_flow_again_after_a_reset_and_the_stream_is_reset(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            stream = await each.client()
            await stream.ask(b"before")
            connections = each.machine.logins

            await each.machine.drop()

            assert await stream.is_reset()
            assert await each.ask() < SOON_S
            assert each.machine.logins == connections + 1
            assert (await each.told.first(events.StreamsReset)).count == 1

    run(body())


def test_a_client_is_held_while_the_machine_is_away_and_served_when_it_is_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            port = each.tunnel.local_port
            await each.machine.refuse()
            await each.machine.drop()
            held = await each.client()
            await held.say(b"early")
            await each.told.first(events.LinkWaiting)
            assert each.tunnel.held == 1

            await each.machine.accept()
            back_at = asyncio.get_running_loop().time()

            assert await held.hear(5) == b"early"
            assert asyncio.get_running_loop().time() - back_at < SOON_S
            assert each.tunnel.local_port == port
            await held.close()

    run(body())


def test_a_client_that_was_held_too_long_is_reset_and_told_why(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path, Pace(hold=1.5)) as each:
            await each.machine.refuse()
            await each.machine.drop()

            assert await (await each.client()).is_reset()

            refusal = await each.told.first(events.StreamRefused)
            assert "did not come back" in refusal.reason
            assert "refuses connections" in refusal.reason

    run(body())


def test_after_a_silent_loss_new_requests_go_over_a_second_connection(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path, Pace(grace=1.0)) as each:
            stream = await each.client()
            await stream.ask(b"before")

            await each.machine.lose_connections()

            assert await each.ask() < SOON_S
            switch = await each.told.first(events.LinkSwitched)
            assert switch.kept == 1
            assert not each.told.all(events.LinkLost)
            assert await stream.is_reset()
            assert each.link.state is LinkState.UP

    run(body())


def test_a_new_request_on_a_kept_connection_is_reset_at_once_when_that_was_lost(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            kept = await each.client()
            await kept.ask(b"first")
            await each.machine.lose_connections()
            await each.ask()
            asked_at = asyncio.get_running_loop().time()

            await kept.say(b"second")

            assert await kept.is_reset()
            assert asyncio.get_running_loop().time() - asked_at < SOON_S

    run(body())


def test_an_idle_link_that_died_is_noticed_by_itself(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            begun = asyncio.get_running_loop().time()

            await each.machine.lose_connections()
            await each.told.first(events.LinkSwitched)

            assert asyncio.get_running_loop().time() - begun < SOON_S

    run(body())


def test_streams_survive_a_gap(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            stream = await each.client()
            await stream.ask(b"before")

            await each.machine.freeze()
            await stream.say(b"during")
            await each.told.first(events.LinkLost)
            await each.machine.thaw()

            assert await stream.hear(6) == b"during"
            assert await stream.ask(b"after") == b"after"
            assert await each.ask() < SOON_S
            assert not each.told.all(events.StreamsReset)
            await stream.close()

    run(body())


def test_an_old_connection_that_answers_again_keeps_its_streams_beyond_the_grace(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path, Pace(grace=0.5)) as each:
            stream = await each.client()
            await stream.ask(b"before")
            old = each.link._leg
            assert old is not None
            each.link.leg_late(old)  # as if an answer had come a moment too late
            old.is_late = True
            await each.told.first(events.LinkSwitched)
            old._heard()

            for _ in range(4):
                assert await stream.ask(b"still") == b"still"
                await asyncio.sleep(0.25)

            states = [each.link.state]
            await stream.close()
            await each.machine.until(lambda: each.machine.logged_in == 1)
            states.append(each.link.state)
            assert states == [LinkState.SWITCHING, LinkState.UP]

    run(body())


def test_a_changed_host_key_stops_everything_and_shows_both_fingerprints(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            stream = await each.client()
            await stream.ask(b"before")
            pinned = each.pins.fingerprint(each.machine.host_key)
            shown = each.pins.fingerprint(each.machine.new_host_key())

            await each.machine.drop()
            blocked = await each.told.first(events.LinkBlocked)

            assert await stream.is_reset()
            assert isinstance(blocked.error, HostKeyChanged)
            assert pinned in f"{blocked.reason} {blocked.hint}"
            assert shown in f"{blocked.reason} {blocked.hint}"
            assert await (await each.client()).is_reset()
            assert each.link.state is LinkState.BLOCKED
            each.pins.forget("ssh:berth")
            each.pins.pin("ssh:berth", each.machine.host_key)
            each.link.kick()
            assert await each.ask() < SOON_S

    run(body())


def test_a_machine_that_moved_is_found_under_its_new_address(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            before = each.machine.port

            assert await each.machine.move() != before

            assert await each.ask() < SOON_S

    run(body())


def test_a_refused_login_blocks_until_something_changes(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            each.machine.reject_login()
            await each.machine.drop()
            blocked = await each.told.first(events.LinkBlocked)
            tries = each.machine.accepted
            refused = await each.client()

            assert "key" in blocked.reason
            assert blocked.hint is not None
            assert await refused.is_reset()
            assert each.machine.accepted == tries
            each.machine.reject_login(False)
            each.link.kick()
            assert await each.ask() < SOON_S

    run(body())


def test_a_service_that_is_down_is_told_at_once_and_harms_no_other(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            stream = await each.client()
            await stream.ask(b"before")

            refused = await client(each.to_nowhere.local_port)

            assert await refused.is_reset()
            told = await each.told.first(events.StreamRefused)
            assert told.reason == "Nothing answers at port 9 on berth."
            assert told.local_port == each.to_nowhere.local_port
            assert await stream.ask(b"after") == b"after"
            await stream.close()

    run(body())


def test_forbidden_forwarding_is_told_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            each.machine.forbid_forwarding()

            assert await (await each.client()).is_reset()

            told = await each.told.first(events.StreamRefused)
            assert told.reason == "berth does not allow forwarding to port 7."
            each.machine.forbid_forwarding(False)
            assert await each.ask() < SOON_S

    run(body())


def test_an_exception_in_one_stream_ends_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        @property
        def bytes_down(self) -> int:
            raise ZeroDivisionError

    async def body() -> None:
        async with rig(tmp_path) as each:
            good, bad = await each.client(), await each.client()
            await good.ask(b"good")
            known = set(each.tunnel._streams)
            await bad.ask(b"bad")
            broken = next(
                stream
                for stream in each.tunnel._streams
                if stream._transport is not None
                and (stream._transport.get_extra_info("peername") == bad.writer.get_extra_info("sockname"))
            )
            accounts, broken._accounts = broken._accounts, Broken()  # type: ignore[assignment]
            await bad.say(b"bad")

            await asyncio.sleep(0)
            broken._accounts = accounts
            assert known
            assert await good.ask(b"good") == b"good"
            await good.close()
            bad.leave()

    run(body())
    assert not caplog.records


def test_clients_that_leave_early_leave_nothing_behind(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            await each.ask()
            tasks = len(asyncio.all_tasks())
            for _ in range(20):
                for hasty in [await each.client() for _ in range(25)]:
                    hasty.leave()
            await each.ask()

            await each.machine.until(lambda: each.machine.forwards == 0)
            async with asyncio.timeout(PATIENCE_S):
                while each.tunnel._streams or len(asyncio.all_tasks()) > tasks or each.echo.writers:
                    await asyncio.sleep(0.01)
            connection = await each.link.connection()
            assert not connection._channels

    run(body())


def test_clients_that_leave_while_they_are_held_leave_nothing_behind(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            await each.machine.refuse()
            await each.machine.drop()
            for hasty in [await each.client() for _ in range(25)]:
                hasty.leave()

            async with asyncio.timeout(PATIENCE_S):
                while each.tunnel._streams or each.link.waiting:
                    await asyncio.sleep(0.01)

            assert each.tunnel.held == 0

    run(body())


def test_clients_beyond_the_limit_are_reset_and_the_others_served(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            each.tunnel._room.most = 3
            silent = [await each.client() for _ in range(3)]
            for one in silent:
                await one.ask(b"here")

            assert await (await each.client()).is_reset()

            assert "room for 3 clients" in (await each.told.first(events.StreamRefused)).reason
            assert await silent[0].ask(b"still") == b"still"
            for one in silent:
                await one.close()
            async with asyncio.timeout(PATIENCE_S):
                while each.tunnel._streams:
                    await asyncio.sleep(0.01)
            assert await each.ask() < SOON_S

    run(body())


def test_ends_are_passed_on_one_direction_at_a_time(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            stream = await each.client()
            text = b"x" * 3_000_000
            stream.writer.write(text)
            stream.writer.write_eof()

            assert await stream.rest() == text
            await stream.close()

    run(body())


def test_what_a_client_sends_before_the_link_is_up_is_not_lost(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path, is_up=False) as each:
            early = await each.client()
            text = b"y" * 2_000_000
            early.writer.write(text)
            early.writer.write_eof()
            while not each.tunnel.held:
                await asyncio.sleep(0)

            await each.link.start()

            assert await early.rest() == text
            await early.close()

    run(body())


def test_a_client_that_does_not_read_holds_up_the_machine_and_not_our_memory(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            lazy = await each.client()
            sent = 0
            try:
                async with asyncio.timeout(3):
                    while sent < 400_000_000:
                        lazy.writer.write(b"z" * 1_000_000)
                        await lazy.writer.drain()
                        sent += 1_000_000
            except TimeoutError:
                pass

            assert sent < 400_000_000
            assert await each.ask() < SOON_S
            lazy.leave()

    run(body())


def test_a_taken_port_names_its_holder_and_offers_another(tmp_path: Path) -> None:
    import os

    from console.errors import PortTaken

    async def body() -> None:
        async with rig(tmp_path) as each:
            others = Tunnels(each.link._bus)
            with pytest.raises(PortTaken) as taken:
                await others.open(each.link, [Forward(ECHO), Forward(ECHO, local_port=each.tunnel.local_port)])

            assert str(os.getpid()) in taken.value.text
            assert taken.value.free_port != each.tunnel.local_port
            assert str(taken.value.free_port) in (taken.value.hint or "")
            assert list(others) == []

    run(body())


def test_a_remembered_port_is_taken_again_or_given_up(tmp_path: Path) -> None:
    async def body() -> None:
        async with rig(tmp_path) as each:
            others = Tunnels(each.link._bus)
            taken = each.tunnel.local_port

            [other] = await others.open(each.link, [Forward(ECHO, remembered_port=taken)])
            port = other.local_port
            await others.close()
            [again] = await others.open(each.link, [Forward(ECHO, remembered_port=port)])

            assert port != taken
            assert again.local_port == port
            await others.close()

    run(body())
