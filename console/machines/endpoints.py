"""The services of machines that answer chats, as endpoints under the machine's name.

The first service of a machine that speaks a wire is `gpubox`; every further one has its own name behind it, such as
`gpubox.vllm`. What was free before keeps its meaning: a name that an endpoint in the settings has already is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from console.machines.services import Service, services_of
from console.settings_kinds import Unfit

if TYPE_CHECKING:
    from console.settings_groups import Endpoint, Machine


def chat_services(machine: Machine) -> list[Service]:
    """The services of a machine that answer chats, the one that has the machine's name first."""
    written = machine.services or (("ollama",) if machine.cloud != "ssh" and machine.recipe == "inference" else ())
    services = services_of(written, machine.ports)
    return [service for service in services.values() if service.wire is not None]


def machine_endpoints(
    machines: Mapping[str, Machine], configured: Mapping[str, Endpoint], limits: Mapping[str, Any]
) -> dict[str, Endpoint]:
    """An endpoint for each of them. Raises `Unfit`, below the machine's name, for a name that is taken."""
    endpoints: dict[str, Endpoint] = {}
    for machine in machines.values():
        for number, service in enumerate(chat_services(machine)):
            name = machine.name if number == 0 else f"{machine.name}.{service.name}"
            if name in configured:
                raise Unfit(
                    f"would be the endpoint {name!r}, and [endpoints.{name}] is there as well",
                    path=(machine.name,),
                    hint="Rename one of the two, or leave that endpoint out: the machine's service is one by itself.",
                )
            if name in endpoints or (number and name in machines):
                raise Unfit(
                    f"has a second service for chats, which would be the endpoint {name!r}; a machine has that name",
                    path=(machine.name,),
                    hint="Rename that machine, or the service.",
                )
            expected = machine.models if number == 0 else ()
            endpoints[name] = _endpoint(name, machine, service, {**limits, "expected": expected})
    return endpoints


def _endpoint(name: str, machine: Machine, service: Service, limits: Mapping[str, Any]) -> Endpoint:
    from console.settings_groups import Endpoint, read_endpoint_name

    try:
        read_endpoint_name(name)
    except Unfit:
        raise Unfit(
            f"has the service {service.name!r}, whose name no endpoint can have",
            path=(machine.name,),
            hint="A name of letters, digits, '.', '_' and '-' is one that models can be named with.",
        ) from None
    # The address is what the service hears that it is called, as through `ssh -L`: servers check that, and Ollama
    # refuses other names. Where it is reached is found out for every connection (`console/links/ways.py`).
    assert service.wire is not None
    path = "/v1" if service.wire == "openai" else ""
    return Endpoint(
        name=name,
        wire=service.wire,
        base_url=f"http://127.0.0.1:{service.port}{path}",
        machine=machine.name,
        service=service.name,
        **limits,
    )
