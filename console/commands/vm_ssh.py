"""`hawser vm ssh`: a shell on a machine, or a command there, with the login and the pinned host key that links use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from console.arguments import LateParser

if TYPE_CHECKING:
    import argparse

    from console.links.identity import Target
    from console.links.pins import Pins
    from console.shell import Shell

HELP = "a shell on a machine, or a command"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    if isinstance(parser, LateParser):
        parser.takes_rest = True
    parser.add_argument("--ssh-config", type=Path, metavar="FILE", help="read this SSH configuration instead of yours")
    parser.add_argument("--known-only", action="store_true", help="refuse a machine whose host key is not known")
    parser.add_argument("machine", metavar="NAME", help="a machine, an ssh alias or user@host[:port]")
    parser.add_argument("words", nargs="*", metavar="CMD", help="what to run there, after --; without it a shell")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio
    import shutil

    from console.links.pins import Pins

    pins = Pins(shell.paths)
    program = shutil.which("ssh", path=shell.environment.get("PATH"))
    if program is None:
        return asyncio.run(_by_our_own_client(arguments, shell, pins))
    target = asyncio.run(_prepare(arguments, shell, pins))
    return _by_ssh(program, target, pins, arguments.words, shell)


async def _resolve(arguments: argparse.Namespace, shell: Shell) -> Target:
    if shell.paths.store_file.exists():  # without one nothing was ever rented, and looking makes no history
        async with shell.runtime() as runtime:
            return await runtime.target(arguments.machine, ssh_config=arguments.ssh_config)
    from console.links.identity import resolve
    from console.settings import load_settings

    settings = load_settings(shell.paths, shell.environment, discover=False)
    return await resolve(
        arguments.machine, settings, shell.paths, ssh_config=arguments.ssh_config, environment=shell.environment
    )


async def _prepare(arguments: argparse.Namespace, shell: Shell, pins: Pins) -> Target:
    """The target, with every host on the way known: `ssh` is told to accept nothing else."""
    from console.links.identity import meet
    from console.terminal_ask import terminal_ask

    target, ask = await _resolve(arguments, shell), terminal_ask(shell)
    for number, hop in enumerate((*target.jumps, target)):
        way = hop if hop is target else hop._replace(jumps=target.jumps[:number])
        await meet(way, pins, ask=ask, first="known-only" if arguments.known_only else "ask")
    return target


def _by_ssh(program: str, target: Target, pins: Pins, command: list[str], shell: Shell) -> int:
    import os
    import signal
    import subprocess

    from console.links.openssh import ssh_words

    key = None
    if any(hop.fleet_key for hop in (*target.jumps, target)):
        from console.links.fleet_key import fleet_key

        key = fleet_key(shell.paths).file
    words = ssh_words(program, target, pins, command, key)
    if shell.ends_process:
        shell.stdout.flush()
        shell.stderr.flush()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and what is ignored stays so in ssh
        os.execve(program, words, dict(shell.environment))  # noqa: S606 - the terminal is ssh's from here
    return subprocess.run(words, env=dict(shell.environment), check=False).returncode  # noqa: S603 - built above


async def _by_our_own_client(arguments: argparse.Namespace, shell: Shell, pins: Pins) -> int:
    import os

    from console.links.identity import FirstContact, connect
    from console.links.remote_shell import run_shell
    from console.terminal_ask import terminal_ask

    target = await _resolve(arguments, shell)
    first: FirstContact = "known-only" if arguments.known_only else "ask"
    connection = await connect(target, pins, ask=terminal_ask(shell), first=first)
    try:
        command = " ".join(arguments.words) or None
        stdin = shell.stdin.fileno() if shell.stdin is not None else os.open(os.devnull, os.O_RDONLY)
        shell.stdout.flush()
        return await run_shell(connection, command, stdin, shell.stdout.buffer, shell.stderr.buffer, shell.environment)
    finally:
        connection.abort()
        await connection.wait_closed()
