"""What a status line shows, and what is said before leaving: from the store alone."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from console.clock import Clock
from console.history import alerts, machines, roles
from console.history.owner import this_process
from console.history.store import Store
from console.machines.leaving import still_billing
from console.machines.protection import ROLE, STALE_ROLE
from console.money.budget import Budget
from console.overview import Overview, overview
from console.settings import load_settings
from providers.clouds.base import Bills
from tests.console.money_kit import NOON, StillClock, reading, record, with_store

ORDER = {"recipe": "inference", "models": []}


async def seen(store: Store, clock: Clock, home: Path, owner: str = "1:1") -> Overview:
    settings = load_settings(store.paths, {}, discover=False)
    return await overview(store, Budget(settings.budget, store, clock), NOON, owner)


async def add(store: Store, name: str, bills: Bills, **changes: object) -> None:
    values = {"cloud_id": name, "label": name, "seen_at": NOON, "order": ORDER, **changes}
    machine = record(name, 0, reading=reading(bills)._replace(id=name, label=name), **values)
    await store.run(lambda connection: machines.add(connection, machine), write=True)


def test_an_empty_store_is_calm(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        view = await seen(store, clock, tmp_path)

        assert view.machines == ()
        assert (view.today_usd, view.usd_per_hour, view.guarding) == (Decimal(0), Decimal(0), "nobody")
        assert view.share_of_day == 0

    with_store(tmp_path, body)


def test_what_runs_is_added_up_and_what_nobody_knows_stays_unknown(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await add(store, "one", Bills.EVERYTHING)
        await add(store, "two", Bills.DISK)
        assert (await seen(store, clock, tmp_path)).usd_per_hour == Decimal("0.41")

        await add(store, "three", Bills.EVERYTHING, usd_per_hour=None)

        view = await seen(store, clock, tmp_path)
        assert view.usd_per_hour is None
        assert [machine.name for machine in view.running] == ["one", "three"]

    with_store(tmp_path, body)


def test_who_guards_is_told_by_the_role(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        me = this_process()

        async def take(owner: str, ago: timedelta) -> None:
            await store.run(lambda c: roles.take(c, ROLE, owner, NOON - ago, stale=STALE_ROLE), write=True)

        await take(me, timedelta(0))
        assert (await seen(store, clock, tmp_path, me)).guarding == "here"
        assert (await seen(store, clock, tmp_path, "1:1")).guarding == "elsewhere"
        await store.run(lambda c: roles.give_back(c, ROLE, me), write=True)
        await take(me, timedelta(minutes=1))
        assert (await seen(store, clock, tmp_path, "1:1")).guarding == "nobody"

    with_store(tmp_path, body)


def test_accounts_strangers_and_alerts_are_there(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        strangers = (
            '[{"id":"a","label":"","state":"running","bills":"everything","usd_per_hour":"1"},'
            '{"id":"b","label":"","state":"gone","bills":"nothing","usd_per_hour":null}]'
        )

        def work(connection: object) -> None:
            machines.change_account(connection, "vast", read_at=NOON, error="It is down.")  # type: ignore[arg-type]
            connection.execute("UPDATE accounts SET strangers = ?", (strangers,))  # type: ignore[attr-defined]
            alerts.put(connection, 1, "stop:gpu1", "alarm", "It runs on.", None)  # type: ignore[arg-type]

        await store.run(work, write=True)

        view = await seen(store, clock, tmp_path)
        assert view.strangers == 1
        assert view.accounts_in_trouble == ("vast",)
        assert [alert.subject for alert in view.alerts] == ["stop:gpu1"]

    with_store(tmp_path, body)


def test_only_what_costs_more_than_its_disk_is_said_before_leaving(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await add(store, "cheap", Bills.EVERYTHING, usd_per_hour=Decimal("0.10"))
        await add(store, "dear", Bills.EVERYTHING, usd_per_hour=Decimal("2.00"), at_end="nothing")
        await add(store, "off", Bills.DISK)
        await add(store, "own", Bills.EVERYTHING, usd_per_hour=Decimal(0))

        billing = await still_billing(store, load_settings(store.paths, {}, discover=False), clock)

        assert [each.name for each in billing] == ["dear", "cheap"]
        assert billing[0].line == "dear is ready, $2.00/h. Nothing ends it but you."
        assert "after 30 min without work" in billing[1].ends

    with_store(tmp_path, body)
