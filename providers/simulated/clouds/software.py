"""What can be installed on a simulated machine: Ollama, by the script that its makers offer for it.

The script is a page of the simulated machine's internet. It makes the program `ollama` known, and `ollama serve` lets
the simulated Ollama behind the machine answer on the machine's own port, as long as it runs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from providers.simulated.shell.programs import Call, UsageError

if TYPE_CHECKING:
    from providers.simulated.machine import SimulatedMachine
    from providers.simulated.ollama import SimulatedOllama

OLLAMA_PORT = 11434
INSTALL_PAGE = "https://ollama.com/install.sh"
_INSTALLER = "simulated-install"


def offer_ollama(machine: SimulatedMachine, ollama: SimulatedOllama, *, installed: bool) -> None:
    """Let `ollama` be there from the start, or to be installed."""

    async def run(call: Call) -> int:
        match call.arguments[1:]:
            case ["serve"]:
                return await _serve(call, machine, ollama)
            case ["--version" | "-v"]:
                await call.say("ollama version is 0.12.6")
                return 0
            case words:
                raise UsageError(f"not in this shell: ollama {' '.join(words)}")

    async def install(call: Call) -> int:
        if call.arguments[1:] != ["ollama"]:
            raise UsageError("nothing else can be installed here")
        machine.programs["ollama"] = run
        await call.say(">>> Install complete.")
        return 0

    machine.programs[_INSTALLER] = install
    machine.pages[INSTALL_PAGE] = f"#!/bin/sh\n{_INSTALLER} ollama\n"
    if installed:
        machine.programs["ollama"] = run


async def _serve(call: Call, machine: SimulatedMachine, ollama: SimulatedOllama) -> int:
    if OLLAMA_PORT in machine.services:
        await call.complain(f"Error: listen tcp 127.0.0.1:{OLLAMA_PORT}: bind: address already in use")
        return 1
    await ollama.open_door()
    machine.services[OLLAMA_PORT] = ("127.0.0.1", ollama.port)
    try:
        await asyncio.Event().wait()  # until it is ended
    finally:
        machine.services.pop(OLLAMA_PORT, None)
        await ollama.close_door()
    return 0
