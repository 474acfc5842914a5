"""What a question to a machine would begin with, told from what is known."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from console.history import machines, schema
from console.machines import boot
from console.machines.boot import Phase
from console.machines.outlook import Outlook, outlooks
from console.machines.records import MachineRecord
from console.machines.wishes import BY_PROMPT
from console.paths import find_paths
from console.settings import Settings, load_settings
from providers.clouds.base import Bills, State
from tests.console.money_kit import NOON, reading, record

GPU1 = '[machines.gpu1]\ncloud = "vast"\ngpu = "RTX 4090"\nmax_price_usd_per_hour = 0.45\n'
OWN = '[machines.shed]\ncloud = "ssh"\nhost = "shed"\nservices = ["ollama"]\n'


def settings_of(folder: Path, toml: str) -> Settings:
    paths = find_paths({"HAWSER_HOME": str(folder)})
    paths.config_file.parent.mkdir(parents=True)
    paths.config_file.write_text(toml)
    return load_settings(paths, {}, discover=False)


def look(folder: Path, toml: str, *known: MachineRecord, wakes: int = 0) -> dict[str, Outlook]:
    settings = settings_of(folder, toml)
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.FRESH)
    for each in known:
        machines.add(connection, each)
    for phase, seconds in ((Phase.SSH, 30.0), (Phase.SERVICE, 10.0), (Phase.WARM, 20.0), (Phase.RENTED, 60.0)):
        boot.learn(connection, "first", "", "", phase, seconds, NOON)
    for number in range(wakes):
        machines.open_deed(connection, 1, "start", BY_PROMPT, f"{number}:1", NOON)
        machines.end_deed(connection, number + 1, "done", NOON)
    return outlooks(connection, settings.machines, settings.lease, NOON)


def seen(state: State, **changes: object) -> MachineRecord:
    return record(reading=reading(Bills.DISK, **changes)._replace(state=state), seen_at=NOON - timedelta(minutes=3))


def test_a_machine_that_is_off_says_how_long_its_start_takes_and_what_it_costs(tmp_path: Path) -> None:
    off = look(tmp_path, GPU1, seen(State.STOPPED))["gpu1"]

    assert off.state == "off"
    assert off.sentence("gpu1") == ("gpu1 is off: the first question starts it, which takes about 2 min, for $0.40/h.")
    assert off.words() == "off · up in about 2 min · $0.40/h"


def test_one_that_was_never_rented_says_that_it_will_be(tmp_path: Path) -> None:
    new = look(tmp_path, GPU1)["gpu1"]

    assert new.state == "unrented"
    assert "the first question rents RTX 4090" in new.sentence("gpu1")
    assert new.sentence("gpu1").endswith("for at most $0.45/h.")
    assert new.words().startswith("not rented · up in about")


def test_where_the_settings_forbid_a_start_they_are_named(tmp_path: Path) -> None:
    forbidden = look(tmp_path / "a", f"[lease]\nwake = false\n{GPU1}", seen(State.STOPPED))["gpu1"]
    often = look(tmp_path / "b", f"[lease]\nwakes_per_day = 2\n{GPU1}", seen(State.OUTBID), wakes=2)["gpu1"]

    assert forbidden.words() == "off · a question does not start it"
    assert forbidden.sentence("gpu1") == (
        "'gpu1' is off, and prompts may not start machines (lease.wake is false). hawser vm up gpu1 starts it all the"
        " same."
    )
    assert "2 times today, of 2" in often.sentence("gpu1")


def test_one_that_runs_is_only_connected_to(tmp_path: Path) -> None:
    there = look(tmp_path, GPU1 + OWN, seen(State.RUNNING, usd_per_hour=Decimal("0.5")))

    assert there["gpu1"].words() == "on, not connected · $0.50/h"
    assert there["gpu1"].sentence("gpu1") == "gpu1 runs; the first question connects to it."
    assert there["shed"].words() == "not connected"
    assert there["shed"].sentence("shed") == "shed is not connected; the first question connects to it."


def test_one_that_comes_up_is_waited_for(tmp_path: Path) -> None:
    asked_for = look(tmp_path / "a", GPU1, record())["gpu1"]
    booting = look(tmp_path / "b", GPU1, seen(State.STARTING))["gpu1"]

    assert asked_for.words() == booting.words() == "coming up"
    assert booting.sentence("gpu1") == "gpu1 is coming up; the first question waits for it."


def test_an_own_machine_with_a_way_to_start_it_is_off_when_it_was_seen_so(tmp_path: Path) -> None:
    toml = OWN + 'start = "wake shed"\nstatus = "ask shed"\nusd_per_hour = 0.1\n'
    off = look(tmp_path, toml, seen(State.STOPPED)._replace(name="shed", cloud="ssh", origin="settings"))["shed"]

    assert off.state == "off"
    assert "the first question starts it" in off.sentence("shed")
    assert off.price_words == "$0.10/h"
