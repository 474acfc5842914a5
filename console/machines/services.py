"""The one table of services that run on machines: their usual port there, and what tells that they work.

A second one of a kind has a number behind its name and the next port: `ollama2` is an Ollama on port 11435. A service
of one's own is a table in the settings, `{ name = "jupyter", port = 8888, probe = "/api" }`; without a probe it counts
as working when it takes a connection and keeps it. With `wire = "openai"` it answers chats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from console.errors import SettingsError

Wire: TypeAlias = Literal["ollama", "openai", "anthropic"]

PROBE_LIMIT_S = 5.0
WIRES: tuple[Wire, ...] = ("ollama", "openai", "anthropic")


class Service(NamedTuple):
    name: str
    port: int
    """On the machine."""
    probe_path: str | None = "/health"
    """What is asked for over HTTP to see whether it works; None for a service that does not speak HTTP."""
    title: str = ""
    probe_limit_s: float = PROBE_LIMIT_S
    wire: Wire | None = None
    """The protocol of chats that it speaks, if any: it makes the service an endpoint (`endpoints.py`)."""

    @property
    def label(self) -> str:
        return self.title or self.name


SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        Service("ollama", 11434, "/api/tags", "Ollama", wire="ollama"),
        Service("comfyui", 8188, "/system_stats", "ComfyUI"),
        Service("openwebui", 3000, "/health", "Open WebUI"),
        Service("vllm", 8000, "/health", "vLLM", wire="openai"),
        Service("myai", 8080, "/", "MyAI dashboard"),
        Service("myai-api", 8000, "/health", "MyAI API"),
        Service("mlflow", 5001, "/health", "MLflow"),
    )
}


def service_named(name: str) -> Service:
    """A service of the table, or the second, third… of its kind; `SettingsError` for a name that says nothing."""
    if name in SERVICES:
        return SERVICES[name]
    kind = name.rstrip("0123456789")
    number = name[len(kind) :]
    if kind in SERVICES and number and not number.startswith("0") and 2 <= int(number) <= 99:
        first = SERVICES[kind]
        return first._replace(name=name, port=first.port + int(number) - 1, title=f"{first.label} {number}")
    from console.settings_kinds import nearest  # only to find the right words

    raise SettingsError(
        f"There is no service {name!r}.",
        hint=nearest(name, SERVICES) or 'One of your own is written as { name = "…", port = …, probe = "/…" }.',
    )


def service_on(port: int) -> Service:
    """What usually listens on a port, for forwards that are given as numbers; else a service known by its port only."""
    return next((service for service in SERVICES.values() if service.port == port), Service(str(port), port, None))


def read_service(written: object) -> Service:
    """A service as it stands in the settings of a machine: a name, or a table of one's own."""
    if isinstance(written, str):
        return service_named(written)
    if not isinstance(written, Mapping):
        raise SettingsError(f"A service is a name or a table, not {written!r}.")
    unknown = sorted(set(written) - {"name", "port", "probe", "wire"})
    if unknown:
        raise SettingsError(f"A service has a name, a port, a probe and a wire, and no {unknown[0]!r}.")
    name, port, probe = written.get("name"), written.get("port"), written.get("probe")
    wire: Any = written.get("wire")
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 60:
        raise SettingsError("A service needs a name.", hint='As in { name = "jupyter", port = 8888, probe = "/api" }.')
    if wire is not None and wire not in WIRES:
        raise SettingsError(f"The wire of the service {name!r} is one of {', '.join(WIRES)}, not {wire!r}.")
    if port is None and probe is None:
        usual = service_named(name)
        return usual if wire is None else usual._replace(wire=wire)
    if port is None and name in SERVICES:
        port = SERVICES[name].port
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise SettingsError(f"The service {name!r} needs a port from 1 to 65535.")
    if probe is not None and not (isinstance(probe, str) and probe.startswith("/") and _is_sendable(probe)):
        raise SettingsError(f"The probe of the service {name!r} is a path such as /health, without spaces.")
    if probe is None and name in SERVICES:
        probe = SERVICES[name].probe_path
    if wire is None and name in SERVICES:
        wire = SERVICES[name].wire
    return Service(name, port, probe, wire=wire)


def _is_sendable(path: str) -> bool:
    return path.isascii() and path.isprintable() and " " not in path and len(path) <= 1000


def services_of(written: Sequence[object], ports: Iterable[str] = ()) -> dict[str, Service]:
    """The services of a machine in the settings, in its order: those of `services`, then those named in `ports`."""
    services = {}
    for service in map(read_service, written):
        if service.name in services:
            raise SettingsError(
                f"The service {service.name!r} is there twice.", hint="Give the second a name of its own."
            )
        services[service.name] = service
    for name in ports:
        if name not in services:
            services[name] = service_named(name)
    return services
