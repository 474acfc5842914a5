"""Which accounts there are, whose key goes where, and that there is one fleet."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from console.clock import SystemClock
from console.errors import NotFound
from console.keys import Keys
from console.links.fleet_key import fleet_key
from console.machines.clouds import Clouds
from console.machines.fleet import LaunchPlan
from console.machines.records import MachineState
from console.paths import find_paths
from console.runtime import open_runtime
from console.settings import load_settings
from providers.clouds.base import Bills, Capability, Search, State
from providers.errors import KeyTrouble
from providers.simulated.clouds.vast import VastTwin
from tests.conftest import run


def clouds(home: Path, config: str = "", environment: Mapping[str, str] | None = None) -> Clouds:
    environment = {"HAWSER_HOME": str(home), **(environment or {})}
    (home / "config").mkdir(parents=True, exist_ok=True)
    (home / "config" / "config.toml").write_text(config)
    paths = find_paths(environment)
    settings = load_settings(paths, environment, discover=False)
    return Clouds(settings, Keys(paths, environment), SystemClock(), paths, environment=environment)


def key_of(accounts: Clouds, name: str) -> str | None:
    return accounts._key(accounts._account(name))


def test_a_cloud_is_there_as_soon_as_its_key_is(tmp_path: Path) -> None:
    assert clouds(tmp_path).names() == []
    assert clouds(tmp_path, environment={"VAST_API_KEY": "v", "LAMBDA_API_KEY": "l"}).names() == ["vast", "lambda"]


def test_accounts_of_the_settings_and_own_machines_are_there(tmp_path: Path) -> None:
    config = '[clouds.work]\nkind = "vast"\nkey = "work"\n[machines.cellar]\ncloud = "ssh"\nhost = "me@cellar"\n'

    assert clouds(tmp_path, config, {"RUNPOD_API_KEY": "r"}).names() == ["work", "runpod", "ssh"]


def test_the_key_of_a_cloud_does_not_go_to_a_stand_in(tmp_path: Path) -> None:
    environment = {"VAST_API_KEY": "real", "HAWSER_KEY_LAB": "labs"}
    stand_in = (
        '[clouds.vast]\nbase_url = "http://127.0.0.1:9"\n[clouds.lab]\nkind = "vast"\nbase_url = "http://127.0.0.1:9"\n'
    )

    accounts = clouds(tmp_path, stand_in, environment)

    assert key_of(accounts, "vast") is None
    assert key_of(accounts, "lab") == "labs"


def test_a_second_account_uses_the_key_it_names_or_that_of_its_cloud(tmp_path: Path) -> None:
    environment = {"VAST_API_KEY": "real", "HAWSER_KEY_OTHER": "other"}
    config = '[clouds.one]\nkind = "vast"\nkey = "other"\n[clouds.two]\nkind = "vast"\n'

    accounts = clouds(tmp_path, config, environment)

    assert (key_of(accounts, "one"), key_of(accounts, "two"), key_of(accounts, "vast")) == ("other", "real", "real")


def test_an_unknown_account_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no account 'vest'") as caught:
        clouds(tmp_path).cloud("vest")

    assert caught.value.hint is not None
    assert "vast" in caught.value.hint


def test_a_missing_key_is_told_with_the_first_request(tmp_path: Path) -> None:
    async def body() -> None:
        accounts = clouds(tmp_path)
        adapter = accounts.cloud("vast")
        assert adapter is accounts.cloud("vast")
        with pytest.raises(KeyTrouble):
            await adapter.machines()
        await accounts.close()

    run(body())


OWN = """
[machines.cellar]
cloud = "ssh"
host = "me@127.0.0.1:9"
status = "echo running"
start = "true"
stop = "true"
usd_per_hour = 0.25
[machines.attic]
cloud = "ssh"
host = "me@127.0.0.1:9"
status = "echo off"
"""


def test_own_machines_are_one_account_each_with_what_it_can(tmp_path: Path) -> None:
    async def body() -> None:
        own = clouds(tmp_path, OWN).cloud("ssh")

        assert Capability.STOP in own.capabilities_of("cellar")
        assert Capability.STOP not in own.capabilities_of("attic")
        readings = {reading.id: reading for reading in await own.machines()}
        assert (readings["cellar"].state, readings["cellar"].bills) == (State.RUNNING, Bills.EVERYTHING)
        assert (readings["attic"].state, readings["attic"].bills) == (State.STOPPED, Bills.NOTHING)
        assert [address.port for address in readings["cellar"].addresses] == [9]
        await own.start("cellar")
        await own.stop("cellar")
        assert (await own.machine("cellar")) == readings["cellar"]
        await own.close()

    run(body())


def test_the_runtime_has_one_fleet_and_keeps_the_key_of_a_machine(tmp_path: Path) -> None:
    async def body() -> None:
        async with VastTwin() as twin:
            environment = {"HAWSER_HOME": str(tmp_path), "HAWSER_ISOLATED": "1", "HAWSER_KEY_LAB": twin.key}
            (tmp_path / "config").mkdir()
            (tmp_path / "config" / "config.toml").write_text(
                f'[clouds.lab]\nkind = "vast"\nbase_url = "{twin.base_url}"\nkey = "lab"\n'
            )
            told: list[str] = []
            async with open_runtime(find_paths(environment), environment, told.append, discover=False) as runtime:
                fleets = await asyncio.gather(*(runtime.fleet() for _ in range(5)))
                assert len({id(fleet) for fleet in fleets}) == 1
                fleet = fleets[0]
                offers = await runtime.cloud("lab").offers(Search(gpu="RTX 4090"))

                record = await fleet.launch("box", LaunchPlan("lab", offers[0]), why="asked for")

                assert record.state is MachineState.REQUESTED
                key = runtime.keys.get(record.label)
                assert key is not None
                assert key not in repr(record) + "".join(told)
                assert stat.S_IMODE(runtime.paths.keys_file.stat().st_mode) == 0o600
                ours = fleet_key(runtime.paths).public_line.split()[1]
                assert any(ours in line for line in twin.rentals[record.cloud_id or ""].keys)

    run(body())
