"""One program of the built-in set, run alone: the stand-ins on the PATH of a machine with a real shell."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

from providers.simulated.pace import RealClock
from providers.simulated.shell import gpu
from providers.simulated.shell.files import Folder
from providers.simulated.shell.processes import Process
from providers.simulated.shell.programs import Call, Hardware, System, UsageError
from providers.simulated.shell.streams import Stream


class _Here(Stream):
    """Our own standard output."""

    async def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()


async def run(name: str, seed: int, gpus: tuple[str, ...], arguments: list[str]) -> int:
    clock = RealClock()
    system = System(
        name=name,
        user="root",
        folder=Folder.nowhere(),
        hardware=Hardware(gpus),
        programs=gpu.COMMANDS,
        clock=clock,
        seed=seed,
    )
    process = Process(1, None, arguments, {1: _Here(), 2: _Here()}, clock.now())
    call = Call(system, process, arguments, {}, "/")
    try:
        return await gpu.COMMANDS[arguments[0]](call)
    except UsageError as error:
        await call.complain(str(error))
        return 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m providers.simulated.shell")
    parser.add_argument("--name", default="berth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gpu", action="append", default=[])
    parser.add_argument("program", choices=sorted(gpu.COMMANDS))
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        return asyncio.run(run(given.name, given.seed, tuple(given.gpu), [given.program, *given.arguments]))
    return 130


if __name__ == "__main__":
    sys.exit(main())
