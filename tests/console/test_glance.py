"""The machines at a glance say the same as the records and the books, without loading either."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from console.history import books, machines, schema
from console.history.glance import look, look_into, names
from console.history.store import Store
from console.money.meter import Meter
from providers.clouds.base import Bills, State
from tests.console.money_kit import NOON, StillClock, add_machine, reading, record, with_store

MIDNIGHT = NOON - timedelta(hours=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Bills)), st.integers(1, 900)), max_size=15), st.booleans())
def test_the_cost_of_today_is_that_of_the_books(history: list[tuple[Bills, int]], two: bool) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.FRESH)
    own = [add_machine(connection, record())]
    if two:
        own.append(add_machine(connection, record("gpu2", 2)))
    meter, at = Meter(), NOON - timedelta(hours=14)
    for number, (bills, seconds) in enumerate(history):
        at += timedelta(seconds=seconds)
        meter(connection, own[number % len(own)], reading(bills), at)

    told = {each.name: each.today_usd for each in look(connection, MIDNIGHT).machines}

    sums = books.spent_on_machines(connection, MIDNIGHT, NOON + timedelta(days=1))
    assert set(told) == {each.name for each in own}
    for name, usd in told.items():
        assert abs(usd - sums.get(name, Decimal(0))) <= Decimal("0.000001")


def test_a_record_and_its_glance_agree(tmp_path: Path) -> None:
    seen = reading(
        Bills.DISK, gpu="RTX 4090", gpu_count=2, vram_gb=Decimal(24), region="SE", spot=True,
        bid_usd_per_hour=Decimal("0.3"), market_usd_per_hour=Decimal("0.25"),
    )._replace(state=State.STOPPED)  # fmt: skip

    async def body(store: Store, clock: StillClock) -> None:
        def work(connection: sqlite3.Connection) -> int:
            order = {"recipe": "inference", "models": ["qwen3:8b"]}
            there = machines.add(connection, record("box", 0, reading=seen, seen_at=NOON, order=order))
            machines.open_deed(connection, there.seq, "stop", "asked for", "1:1", NOON)
            machines.change_account(connection, "first", read_at=NOON, error="It is down.")
            return there.seq

        seq = await store.run(work, write=True)
        kept, view = await store.run(lambda c: (machines.by_seq(c, seq), look(c, MIDNIGHT)))

        (told,) = view.machines
        for name in ("seq", "name", "cloud", "cloud_id", "label", "origin", "desired", "state", "state_at", "at_end"):
            assert getattr(told, name) == getattr(kept, name)
        assert (told.gpu, told.gpu_count, told.vram_gb, told.spot) == ("RTX 4090", 2, Decimal(24), True)
        assert (told.bid_usd_per_hour, told.market_usd_per_hour) == (Decimal("0.3"), Decimal("0.25"))
        assert (told.bills, told.seen_state, told.usd_per_hour_now) == ("disk", "stopped", Decimal("0.01"))
        assert (told.recipe, told.models) == ("inference", ("qwen3:8b",))
        assert told.doing is not None
        assert (told.doing.what, told.doing.begun_at) == ("stop", NOON)
        assert [(account.cloud, account.error) for account in view.accounts] == [("first", "It is down.")]
        assert look_into(store.paths.store_file, MIDNIGHT) == view
        assert names(store.paths.store_file) == ["box"]

    with_store(tmp_path, body)


def test_a_file_that_cannot_be_read_at_once_is_left_to_the_store(tmp_path: Path) -> None:
    file = tmp_path / "hawser.db"
    assert look_into(file, MIDNIGHT) is None
    file.write_bytes(b"not a database at all" * 100)
    assert look_into(file, MIDNIGHT) is None
    assert names(file) == []

    other = tmp_path / "older.db"
    connection = sqlite3.connect(other)
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    assert look_into(other, MIDNIGHT) is None
    assert names(other) == []
