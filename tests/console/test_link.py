"""The states of a link, with connections that the test makes, breaks and silences."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import pytest

from console.clock import SystemClock
from console.errors import LinkEnded, LinkError, LinkUnreachable, LoginRefused
from console.events import Bus, Event
from console.links import events
from console.links.backoff import Backoff
from console.links.leg import Leg, Pace, answer, packets_from
from console.links.link import HANDSHAKES, Gate, Link, LinkState
from console.links.links import Links
from tests.conftest import run

PATIENCE_S = 30.0
QUICK = Pace(
    ask_every=0.05, late_idle=0.05, late_wanted=0.05, stall=0.05, lost_after_late=0.2, grace=0.3, hold=5.0, blocked=60.0
)


class FakeConnection:
    """What a leg uses of an SSH connection."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()
        self._answers = asyncio.Event()
        self._answers.set()
        self._recv_seq = 0
        self.asked = 0
        self.channels: list[FakeChannel] = []
        self.lets_in = asyncio.Event()

    def fall_silent(self) -> None:
        self._answers.clear()

    def speak(self) -> None:
        self._answers.set()

    async def _make_keepalive_request(self) -> None:
        self.asked += 1
        await self._answers.wait()

    def abort(self) -> None:
        self._ended.set()

    def is_closed(self) -> bool:
        return self._ended.is_set()

    async def wait_closed(self) -> None:
        await self._ended.wait()

    async def create_connection(self, session: Callable[[], Any], *_: object, **__: object) -> tuple[FakeChannel, Any]:
        self.channels.append(FakeChannel())
        await self.lets_in.wait()
        return self.channels[-1], session()

    def get_extra_info(self, name: str) -> None:
        return None


class FakeChannel:
    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Dialler:
    """Makes connections as told: `outcome` is what the next tries come to."""

    def __init__(self) -> None:
        self.made: list[FakeConnection] = []
        self.tries = 0
        self.outcome: LinkError | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Any:
        self.tries += 1
        await self.open.wait()
        if self.outcome is not None:
            raise self.outcome
        self.made.append(FakeConnection())
        return self.made[-1]


class Scene:
    def __init__(self, pace: Pace = QUICK) -> None:
        self.bus = Bus()
        self.dialler = Dialler()
        self.link = Link(self.dialler, SystemClock(), self.bus, "berth", pace=pace, backoff=Backoff(lambda: 0.0))
        self.told: list[Event] = []
        self._publish = self.bus.publish
        self.bus.publish = self._note  # type: ignore[method-assign]

    def _note(self, event: Event) -> None:
        self.told.append(event)
        self._publish(event)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.told]

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                await asyncio.sleep(0.001)

    async def up(self) -> FakeConnection:
        await self.link.start()
        await self.link.wait_up(PATIENCE_S)
        return self.dialler.made[-1]


def story(tell: Callable[[Scene], Any], pace: Pace = QUICK) -> None:
    async def body() -> None:
        scene = Scene(pace)
        try:
            await tell(scene)
        finally:
            await scene.link.close()
        assert scene.link.state is LinkState.CLOSED
        assert all(connection.is_closed() for connection in scene.dialler.made)

    run(body())


def test_it_is_down_until_it_is_wanted_and_closed_for_ever() -> None:
    async def tell(scene: Scene) -> None:
        states = [scene.link.state]
        await scene.up()
        states.append(scene.link.state)

        await scene.link.close()
        await scene.link.start()

        assert [*states, scene.link.state] == [LinkState.DOWN, LinkState.UP, LinkState.CLOSED]
        with pytest.raises(LinkEnded):
            await scene.link.connection()
        assert scene.kinds() == ["LinkUp", "LinkClosed"]

    story(tell)


def test_a_broken_connection_is_replaced_at_once() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        assert scene.link._leg is not None
        scene.link._leg.begun_at -= 60

        first.abort()
        await scene.until(lambda: len(scene.dialler.made) == 2 and scene.link.is_up)

        assert scene.kinds() == ["LinkUp", "LinkLost", "LinkUp"]

    story(tell)


def test_a_server_that_hangs_up_at_once_is_not_hammered() -> None:
    async def tell(scene: Scene) -> None:
        (await scene.up()).abort()
        await scene.until(lambda: scene.link.state is LinkState.DOWN)

        assert scene.link._next_try > asyncio.get_running_loop().time()

    story(tell)


def test_a_late_answer_opens_a_second_connection_beside_the_first() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()

        first.fall_silent()
        await scene.until(lambda: len(scene.dialler.made) == 2)
        await scene.link.wait_up(PATIENCE_S)

        assert scene.kinds() == ["LinkUp", "LinkSuspect", "LinkSwitched"]
        await scene.until(first.is_closed)  # nothing rode on it

    story(tell)


def test_a_first_connection_that_answers_in_time_makes_the_second_needless() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        scene.dialler.open.clear()

        first.fall_silent()
        await scene.until(lambda: scene.dialler.tries == 2)
        first.speak()
        await scene.link.wait_up(PATIENCE_S)
        scene.dialler.open.set()

        assert await scene.link.connection() is cast("Any", first)
        assert len(scene.dialler.made) == 1

    story(tell, QUICK._replace(lost_after_late=60))


def test_a_lost_connection_that_comes_back_is_taken_again() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        scene.dialler.outcome = LinkUnreachable("No.")

        first.fall_silent()
        await scene.until(lambda: "LinkLost" in scene.kinds())
        first.speak()
        await scene.link.wait_up(PATIENCE_S)

        assert await scene.link.connection() is cast("Any", first)
        assert events.LinkUp("berth", resumed=True) in scene.told

    story(tell, QUICK._replace(grace=60))


def test_a_lost_connection_that_does_not_come_back_is_ended_after_the_grace() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        scene.dialler.outcome = LinkUnreachable("No.")

        first.fall_silent()
        await scene.until(first.is_closed)

        assert not scene.link.is_up

    story(tell)


def test_what_only_a_person_can_mend_is_hardly_tried_until_something_changes() -> None:
    async def tell(scene: Scene) -> None:
        scene.dialler.outcome = LoginRefused("No key fits.", hint="Add one.")
        await scene.link.start()
        await scene.until(lambda: scene.link.state is LinkState.BLOCKED)

        for _ in range(3):
            with pytest.raises(LoginRefused, match="No key fits"):
                await scene.link.connection()

        assert scene.dialler.tries == 1
        assert scene.link._next_try > asyncio.get_running_loop().time() + 30
        assert scene.kinds() == ["LinkBlocked"]
        scene.dialler.outcome = None
        scene.link.kick()
        await scene.link.wait_up(PATIENCE_S)
        assert scene.dialler.tries == 2

    story(tell)


def test_a_machine_that_falls_silent_and_is_another_one_blocks() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        scene.dialler.outcome = LoginRefused("No key fits.")

        first.fall_silent()
        await scene.until(lambda: scene.link.state is LinkState.BLOCKED)

        assert scene.kinds() == ["LinkUp", "LinkSuspect", "LinkLost", "LinkBlocked"]
        assert scene.dialler.tries == 2

    story(tell)


def test_the_pauses_grow_unless_somebody_waits() -> None:
    async def tell(scene: Scene) -> None:
        scene.dialler.outcome = LinkUnreachable("No.")
        await scene.link.start()
        await scene.until(lambda: scene.dialler.tries >= 2)
        scene.link._next_try = asyncio.get_running_loop().time() + 3600
        scene.link._nudge.set()

        waiting = asyncio.create_task(scene.link.connection())
        before = scene.dialler.tries
        await scene.until(lambda: scene.dialler.tries >= before + 3)

        assert scene.link.waiting == 1
        scene.dialler.outcome = None
        await waiting

    story(tell)


def test_waiting_ends_with_the_reason_of_the_outage() -> None:
    async def tell(scene: Scene) -> None:
        scene.dialler.outcome = LinkUnreachable("Nobody is there.", hint="Look.")
        await scene.link.start()

        with pytest.raises(LinkUnreachable, match=r"did not come back within .* Nobody is there\.") as waited:
            await scene.link.connection(0.2)

        assert waited.value.hint == "Look."

    story(tell)


def test_a_fault_in_connecting_is_an_outage_and_not_the_end() -> None:
    async def tell(scene: Scene) -> None:
        scene.dialler.outcome = cast("LinkError", ConnectionRefusedError(111, "Connection refused"))
        await scene.link.start()
        await scene.until(lambda: scene.dialler.tries == 2)
        assert isinstance(scene.link.error, LinkUnreachable)
        scene.dialler.outcome = None

        await scene.link.wait_up(PATIENCE_S)

        assert scene.link.error is None

    story(tell)


def test_after_waking_it_asks_at_once() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        await scene.until(lambda: first.asked == 1)
        await scene.until(lambda: scene.link.round_trip_s is not None)

        scene.link.woke("sleep")
        await scene.until(lambda: first.asked == 2)

        assert scene.link.state is LinkState.UP

    story(tell, QUICK._replace(ask_every=3600))


def test_a_slow_try_gets_company_while_somebody_waits() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        scene.dialler.open.clear()
        first.abort()
        waiting = asyncio.create_task(scene.link.connection())

        await scene.until(lambda: scene.dialler.tries == 4)  # one, and up to three beside each other
        scene.dialler.open.set()

        await waiting
        await scene.until(lambda: sum(not each.is_closed() for each in scene.dialler.made) == 1)

    story(tell, QUICK._replace(second_try=0.05))


@pytest.mark.parametrize("turns", range(6))
def test_a_channel_whose_client_leaves_is_closed_in_whichever_moment_that_is(turns: int) -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        opening = asyncio.create_task(scene.link.channel("127.0.0.1", 7, object))
        await scene.until(lambda: bool(first.channels))
        first.lets_in.set()

        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        await scene.until(lambda: first.channels[0].aborted or not opening.cancelled())

        assert opening.cancelled() == first.channels[0].aborted

    story(tell)


def test_a_channel_that_hangs_is_opened_anew_over_the_next_connection() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        opening = asyncio.create_task(scene.link.channel("127.0.0.1", 7, object))
        await scene.until(lambda: bool(first.channels))

        first.fall_silent()
        await scene.until(lambda: len(scene.dialler.made) == 2)
        second = scene.dialler.made[1]
        second.lets_in.set()
        _, _, leg = await opening
        first.lets_in.set()

        assert leg.connection is cast("Any", second)
        await scene.until(lambda: first.channels[0].aborted)

    story(tell)


def test_any_packet_is_a_sign_of_life() -> None:
    async def tell(scene: Scene) -> None:
        first = await scene.up()
        first.fall_silent()
        asked = first.asked

        for _ in range(40):  # bytes flow, and the answer is queued behind them
            first._recv_seq += 1
            await asyncio.sleep(0.01)

        assert first.asked >= asked
        assert scene.kinds() == ["LinkUp"]

    story(tell, QUICK._replace(late_idle=0.15, late_wanted=0.15))


def test_at_most_four_handshakes_at_once() -> None:
    async def body() -> None:
        running = most = 0
        begun = asyncio.Event()

        def connect_to(_: str) -> Any:
            async def connect() -> Any:
                nonlocal running, most
                running += 1
                most = max(most, running)
                begun.set()
                for _ in range(5):
                    await asyncio.sleep(0)
                running -= 1
                return FakeConnection()

            return connect

        links = Links(connect_to, SystemClock(), Bus(), pace=QUICK)
        each = [await links.link(f"machine {number}") for number in range(16)]
        for link in each:
            await link.wait_up(PATIENCE_S)

        assert most == HANDSHAKES
        assert len({link.name for link in links}) == 16
        assert await links.link("machine 3") is each[3]
        await links.drop("machine 3")
        assert each[3].state is LinkState.CLOSED
        await links.close()

    run(body())


def test_a_handshake_that_waits_for_the_network_gives_up_its_place() -> None:
    async def body() -> None:
        gate = Gate(1)

        async def stuck() -> None:
            async with gate.place():
                await asyncio.Event().wait()

        waits = asyncio.create_task(stuck())
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S), gate.place():
            pass
        waits.cancel()
        await asyncio.wait([waits])
        async with asyncio.timeout(PATIENCE_S), gate.place():
            assert gate._free.locked()
        assert not gate._free.locked()

    run(body())


def test_a_success_of_one_link_hurries_the_others() -> None:
    async def body() -> None:
        diallers = {name: Dialler() for name in ("one", "two")}
        diallers["two"].outcome = LinkUnreachable("No.")
        links = Links(lambda name: diallers[name], SystemClock(), Bus(), pace=QUICK)
        two = await links.link("two")
        async with asyncio.timeout(PATIENCE_S):
            while two.state is not LinkState.DOWN or not diallers["two"].tries:
                await asyncio.sleep(0.001)
        two._next_try = asyncio.get_running_loop().time() + 3600
        diallers["two"].outcome = None

        await links.link("one")
        async with asyncio.timeout(PATIENCE_S):
            while not two.is_up:
                await asyncio.sleep(0.001)

        await links.close()

    run(body())


def test_closing_waits_until_a_try_that_is_called_off_has_tidied_up() -> None:
    async def tell(scene: Scene) -> None:
        begun, tidied = asyncio.Event(), list[bool]()

        async def dial() -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                for _ in range(20):  # as a connection takes some rounds of the loop to end, and a ProxyCommand more
                    await asyncio.sleep(0)
                tidied.append(True)

        scene.link._connect = dial
        await scene.link.start()
        await begun.wait()
        await scene.link.close()

        assert tidied == [True]

    story(tell)


def test_a_try_that_connects_as_it_is_called_off_leaves_no_connection() -> None:
    async def tell(scene: Scene) -> None:
        begun, made = asyncio.Event(), FakeConnection()

        async def dial() -> Any:
            begun.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            return made

        scene.link._connect = dial
        await scene.link.start()
        await begun.wait()
        await scene.link.close()

        assert made.is_closed()

    story(tell)


def test_asyncssh_still_has_the_private_question_that_a_leg_asks() -> None:
    import inspect

    import asyncssh

    connection = asyncssh.SSHClientConnection

    assert inspect.iscoroutinefunction(getattr(connection, "_make_keepalive_request", None))
    assert "_recv_seq" in inspect.getsource(inspect.getmodule(connection.__mro__[1]) or connection)


def test_without_it_a_refused_channel_is_as_good() -> None:
    import asyncssh

    class Refusing:
        asked = 0

        async def create_connection(self, *_: object) -> None:
            self.asked += 1
            raise asyncssh.ChannelOpenError(2, "Connection refused")

    async def body() -> None:
        connection = Refusing()

        await answer(cast("Any", connection))

        assert connection.asked == 1
        assert packets_from(cast("Any", connection)) == 0

    run(body())


def test_a_timer_that_overslept_accuses_nobody() -> None:
    async def tell(scene: Scene) -> None:
        await scene.up()
        leg = scene.link._leg
        assert isinstance(leg, Leg)
        leg.connection.fall_silent()  # type: ignore[attr-defined]
        leg.ask(3600)

        leg._is_due(asyncio.get_running_loop().time() - 60)

        assert not leg.is_late
        await scene.until(lambda: leg.is_late)

    story(tell, QUICK._replace(ask_every=3600))
