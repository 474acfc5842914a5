"""`hawser link pin`: the host key that is pinned for a machine; pin it, or forget it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.links.identity import Target
    from console.links.pins import Pins
    from console.shell import Shell


HELP = "show the host key that is pinned for a machine; pin it when there is none"


def add_arguments(pin: argparse.ArgumentParser) -> None:
    pin.add_argument("target", help="a machine, an ssh alias or user@host[:port]")
    pin.add_argument("--forget", action="store_true", help="forget the key, so that the next one that is shown counts")
    pin.add_argument("--known-only", action="store_true", help="pin only a key that your known_hosts has")
    pin.add_argument("--ssh-config", type=Path, metavar="FILE", help="read this SSH configuration instead of yours")
    pin.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    from console.links.pins import Pins

    pins = Pins(shell.paths)
    if arguments.forget:
        return asyncio.run(_forget(arguments, shell, pins))
    return asyncio.run(_pin(arguments, shell, pins))


async def _resolve(arguments: argparse.Namespace, shell: Shell) -> Target:
    async with shell.runtime() as runtime:
        return await runtime.target(arguments.target, ssh_config=arguments.ssh_config)


async def _forget(arguments: argparse.Namespace, shell: Shell, pins: Pins) -> int:
    from console.errors import NotFound

    identity = arguments.target
    if identity not in pins.all():  # not an identity itself, as it stands in the file or in --json
        identity = (await _resolve(arguments, shell)).identity
    forgotten = pins.forget(identity)
    if not forgotten:
        raise NotFound(f"No host key is pinned for {arguments.target!r}.")
    _show(arguments, shell, identity, forgotten, "forgotten")
    return 0


async def _pin(arguments: argparse.Namespace, shell: Shell, pins: Pins) -> int:
    from console.links.identity import Met, meet
    from console.terminal_ask import terminal_ask

    target = await _resolve(arguments, shell)
    met: list[Met] = []
    await meet(
        target,
        pins,
        ask=terminal_ask(shell),
        first="known-only" if arguments.known_only else "ask",
        told=met.append,
    )
    how = next((each.how for each in met if each.target.identity == target.identity), "pinned")
    _show(arguments, shell, target.identity, pins.get(target.identity), how)
    return 0


def _show(arguments: argparse.Namespace, shell: Shell, identity: str, keys: tuple[str, ...], state: str) -> None:
    from console.links.known_hosts import fingerprint, kind_of

    if arguments.json:
        shell.items(
            [
                {
                    "target": arguments.target,
                    "identity": identity,
                    "type": kind_of(key),
                    "fingerprint": fingerprint(key),
                    "state": state,
                }
                for key in keys
            ]
        )
        return
    shell.table(
        ("MACHINE", "IDENTITY", "KEY", "FINGERPRINT", "STATE"),
        [(arguments.target, identity, kind_of(key), fingerprint(key), _WORDS[state]) for key in keys],
    )


_WORDS = {
    "pinned": "was pinned",
    "cloud": "pinned, told by its cloud",
    "known_hosts": "pinned, in your known_hosts",
    "accepted": "pinned",
    "forgotten": "forgotten",
}
