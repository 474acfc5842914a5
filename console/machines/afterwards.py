"""What becomes of a machine after the prompt that it was for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.errors import ConsoleError, explain
from console.machines import words
from console.machines.records import MachineState
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.machines.progress import Tell
    from console.runtime import Runtime

PROOF_LIMIT_S = 120.0
"""How long the proof of a stop is waited for; it stays wished, and whoever runs next goes on with it."""


async def end(runtime: Runtime, machine: str, tell: Tell) -> None:
    """Stop it, and say whether that is proved. The answer is there already, so nothing is raised."""
    fleet = await runtime.fleet()
    try:
        await runtime.ways.let_go(machine)
        await fleet.stop(machine, why="The prompt it was for is answered.")
        record = await fleet.settled(machine, limit_s=PROOF_LIMIT_S)
    except (ConsoleError, ProviderError) as error:
        told = explain(error)
        tell(f"{machine} is not proved to be stopped: {told.text} {told.hint or ''}".rstrip())
        return
    if record.state is MachineState.STOPPED:
        price = record.usd_per_hour_stopped
        tell(f"{machine} is stopped" + (f"; its disk goes on at {words.per_hour(price)}." if price else "."))
    else:
        tell(f"{machine} is {record.state.value}, not stopped: hawser vm ls")


async def stays_on(runtime: Runtime, machine: str, tell: Tell) -> None:
    """Say that it goes on costing money, and how to end that."""
    record = await (await runtime.fleet()).machine(machine)
    price = f" at {words.per_hour(record.usd_per_hour)}" if record.usd_per_hour else ""
    tell(f"{machine} stays on{price}. `hawser vm stop {machine}` ends that; --then stop does so by itself.")
