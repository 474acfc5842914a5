"""The machines behind a cloud's rentals: real SSH servers that come up and go down as the rentals do.

A machine keeps its host key and its files while it is stopped, and answers on another port after each start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from providers.simulated.clouds.images import pulled_models, serves_ollama
from providers.simulated.clouds.rental import Phase, Rental
from providers.simulated.clouds.software import OLLAMA_PORT, offer_ollama
from providers.simulated.clouds.wire import Place
from providers.simulated.doors import Door

if TYPE_CHECKING:
    from providers.simulated.machine import SimulatedMachine
    from providers.simulated.ollama import SimulatedOllama


class Berth:
    """One machine and what serves on it."""

    def __init__(self, machine: SimulatedMachine, ollama: SimulatedOllama, blocked: Door, *, serves: bool) -> None:
        self.machine = machine
        self.ollama = ollama
        self.serves = serves
        """Whether Ollama starts by itself when the machine does."""
        self.blocked = blocked
        """A port of this machine at which nobody gets in."""
        self.stack = AsyncExitStack()
        self.starts = 0
        self.is_open = False
        self.is_frozen = False
        self.authorised: set[str] = set()


class Berths:
    def __init__(
        self,
        user: str,
        environment: Callable[[Rental], Mapping[str, str]],
        cloud: Callable[[], tuple[str, int]],
        *,
        seed: int,
        real_shell: bool = False,
    ) -> None:
        """`cloud` is where the cloud itself answers, which its machines reach too."""
        self._user = user
        self._environment = environment
        self._cloud = cloud
        self._seed = seed
        self._real_shell = real_shell
        self._berths: dict[str, Berth] = {}

    def __getitem__(self, machine_id: str) -> Berth:
        return self._berths[machine_id]

    def __contains__(self, machine_id: str) -> bool:
        return machine_id in self._berths

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._berths))

    def place(self, rental: Rental) -> Place | None:
        """Where its SSH server is, or will be in a moment."""
        berth = self._berths.get(rental.id)
        if berth is None or berth.starts != rental.starts:
            return None
        return Place(berth.machine.host, berth.machine.port)

    def service_port(self, rental: Rental, port: int) -> int | None:
        """What answers on a port of the machine, on our side."""
        berth = self._berths.get(rental.id)
        return None if berth is None or port not in berth.machine.services else berth.machine.services[port][1]

    async def follow(self, rental: Rental) -> None:
        """Let its machine be as it is."""
        berth = self._berths.get(rental.id)
        if rental.is_gone:
            if berth is not None:
                del self._berths[rental.id]
                await berth.stack.aclose()
            return
        if rental.phase is Phase.RUNNING:
            if berth is None:
                berth = await self._put_up(rental)
            if berth.starts != rental.starts:
                if berth.starts:
                    await berth.machine.move()
                    await berth.machine.refuse()
                berth.starts = rental.starts
                _write_environment(berth.machine, self._environment(rental))
        if berth is not None:
            await self._open_or_close(berth, rental)
            await self._serve(berth, rental)

    async def close(self) -> None:
        async with AsyncExitStack() as stack:
            for berth in self._berths.values():
                stack.push_async_callback(berth.stack.aclose)
            self._berths.clear()

    async def _put_up(self, rental: Rental) -> Berth:
        from providers.simulated.machine import SimulatedMachine  # loads asyncssh, a third of a second
        from providers.simulated.ollama import SimulatedOllama

        machine = SimulatedMachine(
            f"{rental.id}",
            user=self._user,
            gpus=(rental.host.gpu.full_name,) * rental.gpus,
            seed=self._seed,
            real_shell=self._real_shell,
        )
        vram_bytes = rental.host.gpu.vram_mb * 1_000_000 * rental.gpus
        ollama = SimulatedOllama(
            f"{rental.id}",
            installed=pulled_models(rental.order.script),
            vram_bytes=vram_bytes,
            seed=self._seed,
        )
        machine.neighbours[self._cloud()] = self._cloud()
        serves = serves_ollama(rental.image, rental.order.script)
        offer_ollama(machine, ollama, installed=serves)
        berth = Berth(machine, ollama, Door(_nobody), serves=serves)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(machine)
            await machine.refuse()
            berth.blocked.take()
            stack.callback(berth.blocked.give_up)
            await stack.enter_async_context(ollama)
            await ollama.close_door()
            berth.stack = stack.pop_all()
        self._berths[rental.id] = berth
        return berth

    async def _open_or_close(self, berth: Berth, rental: Rental) -> None:
        machine = berth.machine
        if berth.is_frozen != (not rental.host.is_online):
            berth.is_frozen = not berth.is_frozen
            await (machine.freeze() if berth.is_frozen else machine.thaw())
            berth.is_open = True
        if berth.is_frozen:
            return
        machine.reject_login(not rental.keys_up)
        for line in rental.keys:
            if line not in berth.authorised:
                berth.authorised.add(line)
                _authorise(machine, line)
        if rental.ssh_up != berth.is_open:
            berth.is_open = rental.ssh_up
            if rental.ssh_up:
                await machine.accept()
            else:
                await machine.refuse()
                await machine.drop()

    async def _serve(self, berth: Berth, rental: Rental) -> None:
        if not berth.serves:
            return
        serves = OLLAMA_PORT in berth.machine.services
        if rental.service_up and not serves:
            await berth.ollama.open_door()
            berth.machine.services[OLLAMA_PORT] = ("127.0.0.1", berth.ollama.port)
        elif serves and not rental.service_up:
            del berth.machine.services[OLLAMA_PORT]
            await berth.ollama.close_door()


def _authorise(machine: SimulatedMachine, line: str) -> None:
    """As sshd does, pass over what is no key."""
    import asyncssh

    with contextlib.suppress(asyncssh.KeyImportError, ValueError):
        machine.authorise(line)


def _write_environment(machine: SimulatedMachine, environment: Mapping[str, str]) -> None:
    """For those who log in: they do not get the container's environment, but can read it."""
    of_first_process = machine.disk / "proc" / "1" / "environ"
    of_first_process.parent.mkdir(parents=True, exist_ok=True)
    of_first_process.write_text("".join(f"{name}={value}\0" for name, value in environment.items()))


def _nobody() -> asyncio.BaseProtocol:
    raise AssertionError("this door is never opened")
