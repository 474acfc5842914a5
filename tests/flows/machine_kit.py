"""A machine with services for chats, and a user whose settings name it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.simulated.machine import SimulatedMachine
from tests.flows.kit import Hawser, Services, finish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from providers.simulated.services import SimulatedService

OLLAMA, VLLM = 11434, 8000


class GpuBox:
    """One machine on the services' loop. Whatever is done to it is waited for."""

    def __init__(self, services: Services, at: Mapping[int, SimulatedService], name: str = "gpubox") -> None:
        self._services = services
        self.name = name
        self.machine = SimulatedMachine(name, services={port: ("127.0.0.1", each.port) for port, each in at.items()})
        services.do(self.machine.__aenter__())

    def close(self) -> None:
        self._services.do(self.machine.__aexit__(None, None, None))

    def settings(self, services: str = '["ollama"]', *lines: str) -> str:
        machine = self.machine
        host = f'host = "{machine.user}@127.0.0.1:{machine.port}"\nkey_file = "{machine.key_file}"'
        return "\n".join([f"[machines.{self.name}]", 'cloud = "ssh"', host, f"services = {services}", *lines])

    def do(self, act: Awaitable[Any]) -> None:
        self._services.do(act)

    def at_once(self, act: Callable[[], Any]) -> None:
        """Do something on the loop of the services."""

        async def body() -> None:
            act()

        self._services.do(body())

    def until(self, is_so: Callable[[], bool]) -> None:
        self._services.do(self.machine.until(is_so))


def user_of(box: GpuBox, folder: Path, *tables: str, model: str | None = None) -> Hawser:
    return Hawser(folder).settings(box.settings(), *tables, model=model)


@contextmanager
def link_up(user: Hawser, name: str = "gpubox") -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the machine's tunnels up, and has told so in the store."""
    process = user.start("link", "up", name, "--jsonl")
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["ev"] == "up":
                break
        else:
            raise AssertionError(finish(process).err)
        until_published(user)
        yield process
    finally:
        process.terminate()
        process.communicate()


def until_published(user: Hawser) -> None:
    """What a link has come to is told with the next heartbeat."""
    import os
    import time

    deadline = time.monotonic() + 30
    while True:
        with user.store() as connection:
            if connection.execute("SELECT count(*) FROM tunnels WHERE state = 'up'").fetchone()[0]:
                return
        assert time.monotonic() < deadline
        os.sched_yield()
