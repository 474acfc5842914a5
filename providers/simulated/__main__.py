"""Runs the simulated world alone: prints one JSON line that says what is where, then serves until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Sequence

from providers.simulated.clouds.faults import Call, CloudFault, CloudFaultKind
from providers.simulated.clouds.names import CLOUDS
from providers.simulated.faults import Fault, FaultKind
from providers.simulated.machine_faults import MachineFault, MachineFaultKind
from providers.simulated.services import DEFAULT_ENDPOINTS, ENDPOINTS, MachineSpec, Speed, World, WorldOptions

INTERRUPTED = 130
DEFAULT_MACHINE = "berth"
_DEFAULT_SERVICE = "inference"
_FIRST_PORTS = {"ollama": 11434, "openai": 8000, "anthropic": 8000}
"""Where a service of each wire is on a machine; a second one of the same wire is on the next port."""


def parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {kind:<17} {kind.meaning}" for kind in FaultKind)
    machine_faults = "\n".join(f"  {kind:<17} {kind.meaning}" for kind in MachineFaultKind)
    cloud_faults = "\n".join(f"  {kind:<18} {kind.meaning}" for kind in CloudFaultKind)
    parser = argparse.ArgumentParser(
        prog="python -m providers.simulated",
        description="Simulated services over real HTTP on this machine: Ollama, OpenAI-compatible, Anthropic,\n"
        "machines with a real SSH server, and clouds to rent such machines from.\n"
        "Prints one JSON line with their addresses and keys, then runs until interrupted.",
        epilog=f"faults, with N for ARG and in brackets what holds without one:\n{faults}\n\n"
        f"faults of machines:\n{machine_faults}\n\n"
        f"faults of clouds; of the calls {', '.join(Call)} each hits all, or those it is about:\n{cloud_faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--endpoints",
        type=_endpoints,
        metavar="NAME,NAME",
        help=f"which services run, of {', '.join(ENDPOINTS)} (default: {','.join(DEFAULT_ENDPOINTS)})",
    )
    parser.add_argument(
        "--tokens-per-second",
        type=_not_negative,
        default=0.0,
        metavar="N",
        help="speed of answers (default: 0, full speed)",
    )
    parser.add_argument(
        "--first-token-ms",
        type=_not_negative,
        default=0.0,
        metavar="MS",
        help="wait before an answer begins (default: 0)",
    )
    parser.add_argument(
        "--load-ms",
        type=_not_negative,
        default=0.0,
        metavar="MS",
        help="time Ollama takes to load a model (default: 0)",
    )
    parser.add_argument(
        "--pull-mb-per-second",
        type=_not_negative,
        default=0.0,
        metavar="N",
        help="speed at which Ollama pulls models (default: 0, full speed)",
    )
    parser.add_argument(
        "--answer-tokens", type=_count, metavar="N", help="length of made-up answers (default: what comes naturally)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other answers (default: 0)")
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME=KIND[:ARG][*TIMES]",
        help="let service NAME misbehave, always or the next TIMES requests; may be repeated",
    )
    parser.add_argument(
        "--port",
        type=_port,
        action="append",
        default=[],
        metavar="NAME=PORT",
        help="a fixed port for service or machine NAME in place of a free one; may be repeated",
    )
    parser.add_argument(
        "--machines",
        nargs="*",
        type=_machine,
        metavar="NAME[=SERVICE,SERVICE]",
        help="machines and the services that answer on them, each on the usual port of its kind or as SERVICE:PORT "
        f"(default: {DEFAULT_MACHINE}={_DEFAULT_SERVICE}, or none when --endpoints is given; the word alone for none)",
    )
    parser.add_argument(
        "--clouds",
        nargs="*",
        choices=tuple(CLOUDS),
        metavar="NAME",
        help=f"clouds to rent machines from, of {', '.join(CLOUDS)} (default: all, or none when --endpoints is given; "
        "the word alone for none)",
    )
    parser.add_argument(
        "--boot-seconds",
        type=_not_negative,
        metavar="S",
        help="time from renting a machine to a service that answers (default: what image and host make of it)",
    )
    parser.add_argument(
        "--stock", type=_count, metavar="N", help="GPUs that are free on each host of a cloud (default: all it has)"
    )
    parser.add_argument(
        "--cloud-fault",
        type=_cloud_fault,
        action="append",
        default=[],
        metavar="NAME=KIND[:N][@CALL][*TIMES]",
        help="let cloud NAME misbehave, always or the next TIMES calls; may be repeated",
    )
    parser.add_argument("--real-shell", action="store_true", help="machines run /bin/sh in place of the built-in shell")
    parser.add_argument(
        "--machine-fault",
        type=_machine_fault,
        action="append",
        default=[],
        metavar="NAME=KIND[:ARG]",
        help="let machine NAME misbehave; may be repeated",
    )
    parser.add_argument(
        "--until-eof", action="store_true", help="end with standard input, so that no parent that dies leaves it behind"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given_parser = parser()
    given = given_parser.parse_args(arguments)
    endpoints = given.endpoints or DEFAULT_ENDPOINTS
    named_machines = given.machines
    if named_machines is None:
        named_machines = [] if given.endpoints else [(DEFAULT_MACHINE, None)]
    clouds = given.clouds
    if clouds is None:
        clouds = [] if given.endpoints else list(CLOUDS)
    machines = [_spec(name, services, endpoints, given_parser) for name, services in named_machines]
    names = [machine.name for machine in machines]
    if len(set(names)) < len(names) or set(names) & {*endpoints, *clouds} or len(set(clouds)) < len(clouds):
        given_parser.error(f"machines, services and clouds need names of their own: {', '.join(names)}")
    strangers = {name for name, _ in given.fault} - set(endpoints)
    strangers |= {name for name, _ in given.port} - {*endpoints, *names, *clouds}
    if strangers:
        given_parser.error(f"no service {', '.join(sorted(strangers))} runs; there are {', '.join(endpoints)}")
    strangers = {name for name, _ in given.machine_fault} - set(names)
    if strangers:
        given_parser.error(f"no machine {', '.join(sorted(strangers))} runs; there are {', '.join(names) or 'none'}")
    strangers = {name for name, _ in given.cloud_fault} - set(clouds)
    if strangers:
        given_parser.error(f"no cloud {', '.join(sorted(strangers))} runs; there are {', '.join(clouds) or 'none'}")
    cloud_faults: dict[str, list[CloudFault]] = {}
    for name, fault in given.cloud_fault:
        cloud_faults.setdefault(name, []).append(fault)
    machine_faults: dict[str, list[MachineFault]] = {}
    for name, fault in given.machine_fault:
        machine_faults.setdefault(name, []).append(fault)
    faults: dict[str, list[Fault]] = {}
    for name, fault in given.fault:
        faults.setdefault(name, []).append(fault)
    options = WorldOptions(
        endpoints=endpoints,
        speed=Speed(
            tokens_per_second=given.tokens_per_second,
            first_token_s=given.first_token_ms / 1000,
            load_s=given.load_ms / 1000,
            pull_bytes_per_second=given.pull_mb_per_second * 1_000_000,
        ),
        seed=given.seed,
        answer_tokens=given.answer_tokens,
        faults=faults,
        ports=dict(given.port),
        machines=machines,
        real_shell=given.real_shell,
        machine_faults=machine_faults,
        clouds=clouds,
        boot_s=given.boot_seconds,
        stock=given.stock,
        cloud_faults=cloud_faults,
    )
    try:
        return asyncio.run(serve(options, until_eof=given.until_eof))
    except OSError as error:
        given_parser.exit(1, f"cannot listen: {error.strerror or error}\n")


async def serve(options: WorldOptions, *, until_eof: bool = False) -> int:
    """Run until a signal, or as told the end of standard input.

    SIGINT ends with 130 as for every interrupted command, SIGTERM with 0.
    """
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, end, INTERRUPTED)
    loop.add_signal_handler(signal.SIGTERM, end, 0)
    if until_eof:
        loop.add_reader(0, lambda: None if os.read(0, 4096) else end(0))
    async with World(options) as world:
        sys.stdout.write(json.dumps(world.description()) + "\n")
        sys.stdout.flush()
        return await ended


def _endpoints(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    strangers = [name for name in names if name not in ENDPOINTS]
    if strangers or not names:
        raise argparse.ArgumentTypeError(f"{text!r}: there are {', '.join(ENDPOINTS)}")
    return tuple(dict.fromkeys(names))


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return number


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _fault(text: str) -> tuple[str, Fault]:
    name, equals, fault = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} should read NAME=KIND")
    try:
        return name, Fault.parse(fault)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _machine(text: str) -> tuple[str, tuple[str, ...] | None]:
    name, equals, services = text.partition("=")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name):
        raise argparse.ArgumentTypeError(f"{text!r} should read NAME or NAME=SERVICE,SERVICE")
    return name, tuple(filter(None, services.split(","))) if equals else None


def _spec(
    name: str, services: Sequence[str] | None, endpoints: Sequence[str], parser: argparse.ArgumentParser
) -> MachineSpec:
    """Which services answer on which ports of a machine; ends the program when that cannot be."""
    if services is None:
        services = [_DEFAULT_SERVICE] if _DEFAULT_SERVICE in endpoints else []
    placed: dict[int, str] = {}
    for service in services:
        endpoint, _, given_port = service.partition(":")
        if endpoint not in endpoints:
            parser.error(f"no service {endpoint} runs for machine {name}; there are {', '.join(endpoints)}")
        if given_port and not (given_port.isdecimal() and 0 < int(given_port) < 65_536):
            parser.error(f"{service!r} should read SERVICE or SERVICE:PORT")
        port = int(given_port) if given_port else _FIRST_PORTS[ENDPOINTS[endpoint][0].wire]
        while not given_port and port in placed:
            port += 1
        if port in placed:
            parser.error(f"two services of machine {name} have port {port}")
        placed[port] = endpoint
    return MachineSpec(name, placed)


def _machine_fault(text: str) -> tuple[str, MachineFault]:
    name, equals, fault = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} should read NAME=KIND")
    try:
        return name, MachineFault.parse(fault)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _cloud_fault(text: str) -> tuple[str, CloudFault]:
    name, equals, fault = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} should read NAME=KIND")
    try:
        return name, CloudFault.parse(fault)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.isdecimal() or not 0 < int(number) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} should read NAME=PORT")
    return name, int(number)


if __name__ == "__main__":
    sys.exit(main())
