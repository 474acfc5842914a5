"""A machine with services for chats, behind a relay that can be cut, and a user whose settings name it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.simulated.relay import Relay
from tests.flows.kit import Hawser, Services

if TYPE_CHECKING:
    from providers.simulated.machine import SimulatedMachine
    from providers.simulated.services import SimulatedService

OLLAMA, VLLM = 11434, 8000


class GpuBox:
    """One machine on the services' loop. Whatever is done to it is waited for."""

    def __init__(self, services: Services, at: Mapping[int, SimulatedService]) -> None:
        from providers.simulated.machine import SimulatedMachine

        self._services = services
        inside = {port: ("127.0.0.1", service.port) for port, service in at.items()}
        self.machine: SimulatedMachine = SimulatedMachine("gpubox", services=inside)
        services.do(self.machine.__aenter__())
        self.relay = Relay((self.machine.host, self.machine.port))
        services.do(self.relay.__aenter__())

    def close(self) -> None:
        for part in (self.relay, self.machine):
            self._services.do(part.__aexit__(None, None, None))

    @property
    def address(self) -> str:
        return f"{self.machine.user}@127.0.0.1:{self.relay.port}"

    def settings(self, name: str = "gpubox", services: str = '["ollama"]', *lines: str) -> str:
        host = f'host = "{self.address}"\nkey_file = "{self.machine.key_file}"'
        return "\n".join([f"[machines.{name}]", 'cloud = "ssh"', host, f"services = {services}", *lines])

    def at_once(self, act: Any) -> None:
        """Do something on the loop of the services."""

        async def body() -> None:
            act()

        self._services.do(body())

    def until(self, is_so: Any) -> None:
        self._services.do(self.machine.until(is_so))


def user_of(box: GpuBox, folder: Path, *tables: str, model: str | None = None) -> Hawser:
    return Hawser(folder).settings(box.settings(), *tables, model=model)
