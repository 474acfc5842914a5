"""Runs the simulated world alone: prints one JSON line that says what is where, then serves until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence

from providers.simulated.faults import Fault, FaultKind
from providers.simulated.services import DEFAULT_ENDPOINTS, ENDPOINTS, Speed, World, WorldOptions

INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {kind:<14} {kind.meaning}" for kind in FaultKind)
    parser = argparse.ArgumentParser(
        prog="python -m providers.simulated",
        description="Simulated services over real HTTP on this machine: Ollama, OpenAI-compatible, Anthropic.\n"
        "Prints one JSON line with their addresses and keys, then runs until interrupted.",
        epilog=f"faults, with N for ARG and in brackets what holds without one:\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--endpoints",
        type=_endpoints,
        default=DEFAULT_ENDPOINTS,
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
        help="a fixed port for service NAME in place of a free one; may be repeated",
    )
    parser.add_argument(
        "--until-eof", action="store_true", help="end with standard input, so that no parent that dies leaves it behind"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given_parser = parser()
    given = given_parser.parse_args(arguments)
    strangers = sorted({name for name, _ in [*given.fault, *given.port]} - set(given.endpoints))
    if strangers:
        given_parser.error(f"no service {', '.join(strangers)} runs; there are {', '.join(given.endpoints)}")
    faults: dict[str, list[Fault]] = {}
    for name, fault in given.fault:
        faults.setdefault(name, []).append(fault)
    options = WorldOptions(
        endpoints=given.endpoints,
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


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.isdecimal() or not 0 < int(number) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} should read NAME=PORT")
    return name, int(number)


if __name__ == "__main__":
    sys.exit(main())
