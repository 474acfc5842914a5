"""The scripts of recipes, run on machines: fresh, half done, done, and where it cannot work."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from console.errors import UsageError
from console.links.remote import Output
from console.links.remote import run as run_there
from console.machines.recipes import RECIPES, Recipe, recipe_named
from console.machines.services import SERVICES
from providers.simulated.clouds.software import INSTALL_PAGE, offer_ollama
from providers.simulated.machine import SimulatedMachine
from providers.simulated.ollama import SimulatedOllama
from tests.conftest import run

if TYPE_CHECKING:
    import asyncssh


class Fresh:
    """A machine with nothing on it, and an Ollama that can be installed."""

    def __init__(self, machine: SimulatedMachine, ollama: SimulatedOllama) -> None:
        self.machine, self.ollama = machine, ollama

    async def connect(self) -> asyncssh.SSHClientConnection:
        import asyncssh

        return await asyncssh.connect(
            self.machine.host,
            self.machine.port,
            username=self.machine.user,
            client_keys=[str(self.machine.key_file)],
            known_hosts=([asyncssh.import_public_key(self.machine.host_key)], [], []),
            config=None,
            agent_path=None,
        )

    async def follow(self, recipe: Recipe) -> Output:
        connection = await self.connect()
        try:

            async def there() -> asyncssh.SSHClientConnection:
                return connection

            return await run_there(there, recipe.script, limit_s=30)
        finally:
            connection.close()
            await connection.wait_closed()


@asynccontextmanager
async def fresh(*, installed: bool = False) -> AsyncIterator[Fresh]:
    async with SimulatedMachine("berth") as machine, SimulatedOllama(installed=()) as ollama:
        await ollama.close_door()
        offer_ollama(machine, ollama, installed=installed)
        yield Fresh(machine, ollama)


def test_ollama_is_installed_and_started_once() -> None:
    async def body() -> None:
        async with fresh() as box:
            first = await box.follow(RECIPES["inference"])
            assert (first.ended.exit_code, first.err) == (0, b"")
            assert "installing Ollama 0.12.6" in first.text
            assert first.text.splitlines()[-1] == "hawser: Ollama answers"
            assert 11434 in box.machine.services

            again = await box.follow(RECIPES["inference"])
            assert again.text.splitlines() == ["hawser: Ollama answers"]

    run(body())


def test_what_is_there_is_only_started() -> None:
    async def body() -> None:
        async with fresh(installed=True) as box:
            done = await box.follow(RECIPES["inference"])
            assert done.text.splitlines() == ["hawser: starting Ollama", "hawser: Ollama answers"]

    run(body())


def test_a_machine_without_internet_fails_with_the_reason() -> None:
    async def body() -> None:
        async with fresh() as box:
            del box.machine.pages[INSTALL_PAGE]
            done = await box.follow(RECIPES["inference"])
            assert done.ended.exit_code == 21
            assert b"Could not resolve host: ollama.com" in done.err
            assert RECIPES["inference"].fault(done.ended.exit_code) == "the program could not be fetched"

    run(body())


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_every_script_is_plain_sh_and_fits_into_an_order(recipe: Recipe) -> None:
    checked = subprocess.run(["/bin/sh", "-n"], input=recipe.script, text=True, capture_output=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")
    assert len(recipe.script) < 4000  # what the narrowest cloud takes with an order
    assert set(recipe.services) <= SERVICES.keys()
    assert all(f"${name}" in recipe.script for name in recipe.versions)
    assert {f"exit {code}" for code in recipe.faults} <= {
        f"exit {word.rstrip(';')}" for word in recipe.script.split() if word.rstrip(";").isdigit()
    }


def test_a_recipe_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no recipe 'inferense'") as error:
        recipe_named("inferense")
    assert error.value.hint == "Did you mean 'inference'?"
    assert RECIPES["images"].fault(None) == "it was ended from outside"
    assert RECIPES["images"].fault(77) == "exit code 77"
