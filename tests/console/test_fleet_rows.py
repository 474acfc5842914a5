"""The rows of machines: what is written comes back as it was, and a role is one process's at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.history import machines, roles, schema
from console.machines.records import Desired, MachineState, fresh_record
from providers.clouds.base import Address, Bills, Reading, State
from tests.conftest import run
from tests.console.fake_cloud import FakeCloud
from tests.console.fleet_kit import world

NOW = datetime(2026, 11, 20, 12, 0, 0, 123_000, tzinfo=UTC)


@pytest.fixture
def tables() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.create(connection, 0)
        yield connection


money = st.none() | st.decimals(0, 100, places=6)
moments = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(  # noqa: DTZ001 - made aware below
    lambda naive: naive.replace(microsecond=naive.microsecond // 1000 * 1000, tzinfo=UTC)
)
readings = st.builds(
    Reading,
    id=st.text(min_size=1, max_size=20),
    label=st.text(max_size=20),
    state=st.sampled_from(State),
    bills=st.sampled_from(Bills),
    words=st.text(max_size=20).filter(lambda text: text.isprintable()),
    usd_per_hour=money,
    usd_per_hour_stopped=money,
    addresses=st.lists(
        st.builds(Address, st.just("10.0.0.1"), st.integers(1, 65535), st.just("root"), st.booleans()), max_size=2
    ).map(tuple),
    host_key=st.none() | st.just("ssh-ed25519 AAAA"),
    vram_gb=money,
    spot=st.booleans(),
    disk_gb=money,
    bid_usd_per_hour=money,
    market_usd_per_hour=money,
    usd_per_gb_up=money,
    usd_per_gb_down=money,
    created_at=moments,
    ends_at=moments,
    raw=st.just({}),
)


@settings(deadline=None)
@given(readings)
def test_a_reading_comes_back_as_it_was(reading: Reading) -> None:
    assert machines.read_reading(machines.write_reading(reading)) == reading


def test_half_a_surrogate_and_endless_words_of_a_cloud_are_stored_all_the_same(tables: sqlite3.Connection) -> None:
    record = machines.add(tables, fresh_record("box", "cloud", "hawser-box-1", NOW))
    odd = Reading("1", "a", State.UNKNOWN, Bills.UNKNOWN, words="\ud800" + "x" * 5000, message="\udfff")

    machines.change(tables, record.seq, reading=odd, state_why="\ud800")

    kept = machines.by_seq(tables, record.seq)
    assert kept.reading is not None
    assert len(kept.reading.words) == machines.LONGEST_TEXT
    assert kept.state_why == "\ufffd"


def test_a_machine_comes_back_as_it_was(tables: sqlite3.Connection) -> None:
    plain = fresh_record("box", "cloud", "hawser-box-1", NOW)
    full = plain._replace(
        name="two",
        label="hawser-two-2",
        cloud_id="2",
        desired=Desired.STOPPED,
        state=MachineState.STOPPED,
        reading=Reading("2", "hawser-two-2", State.STOPPED, Bills.DISK),
        seen_at=NOW,
        missing=2,
        missing_since=NOW,
        order={"gpu": "RTX 4090", "models": ["qwen3:8b"]},
        usd_per_hour=Decimal("0.4011"),
        usd_per_hour_stopped=Decimal("0.0111"),
        ceiling_usd_per_hour=Decimal("0.45"),
    )

    added = [machines.add(tables, plain), machines.add(tables, full)]

    assert machines.every(tables) == added
    assert machines.get(tables, "two") == added[1]
    assert machines.by_cloud_id(tables, "cloud", "2") == added[1]
    assert machines.by_label(tables, "cloud", "hawser-box-1") == added[0]


def test_only_one_deed_of_a_machine_is_open(tables: sqlite3.Connection) -> None:
    record = machines.add(tables, fresh_record("box", "cloud", "hawser-box-1", NOW))
    stop = machines.open_deed(tables, record.seq, "stop", "enough", "1:1", NOW)

    with pytest.raises(sqlite3.IntegrityError):
        machines.open_deed(tables, record.seq, "destroy", "no more", "1:1", NOW)
    assert machines.step_deed(tables, stop.seq, step="sent", tries=1, tried_at=NOW)
    machines.end_deed(tables, stop.seq, "done", NOW, None)

    assert not machines.step_deed(tables, stop.seq, step="accepted")
    (kept,) = machines.deeds(tables, record.seq)
    assert (kept.step, kept.end, kept.tried_at) == ("sent", "done", NOW)
    assert machines.open_deeds(tables) == {}


def test_an_account_that_nobody_read_is_empty(tables: sqlite3.Connection) -> None:
    assert machines.account(tables, "cloud") == machines.AccountRow("cloud")

    machines.change_account(tables, "cloud", read_at=NOW, balance_usd=Decimal("12.5"))

    assert machines.accounts(tables) == {
        "cloud": machines.AccountRow("cloud", read_at=NOW, balance_usd=Decimal("12.5")),
    }


def test_a_role_is_taken_from_the_dead_and_from_the_silent(tables: sqlite3.Connection) -> None:
    stale = timedelta(seconds=15)
    mine, theirs = "999999999:1", f"{os.getppid()}:?"

    assert roles.take(tables, "guard", theirs, NOW, stale=stale)
    assert not roles.take(tables, "guard", mine, NOW + timedelta(seconds=14), stale=stale)
    assert roles.take(tables, "guard", mine, NOW + timedelta(seconds=15), stale=stale)
    assert roles.take(tables, "guard", theirs, NOW + timedelta(seconds=16), stale=stale)  # no such process is there
    roles.give_back(tables, "guard", mine)
    assert roles.holder(tables, "guard") == (theirs, NOW + timedelta(seconds=16))
    roles.give_back(tables, "guard", theirs)
    assert roles.holder(tables, "guard") is None


def test_a_damaged_history_keeps_its_machines(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            w.cloud.put("hawser-box-abcdefgh")
            await w.fleet.refresh()
            file, cloud = w.store.paths.store_file, w.cloud
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with file.open("r+b") as raw:  # the page that says where everything is
            raw.seek(100)
            raw.write(b"\xff" * 60)
        assert isinstance(cloud, FakeCloud)
        async with world(tmp_path, cloud) as w:
            w.cloud.put("hawser-two-abcdefgh")
            w.clock.advance(60)
            await w.fleet.refresh(max_age_s=0)

            assert {record.name for record in await w.fleet.machines()} == {"box", "two"}
            assert w.store.notices

    run(body())
