"""The command line with which the system's `ssh` logs in exactly as our own client does.

None of the user's files is read: what they say is in the `Target`. The host key is checked against our pins, under the
machine's identity. A jump host gets an `ssh` of its own with settings of its own, which `-J` cannot give.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from console.links.pins import Pins, alias_of

if TYPE_CHECKING:
    from console.links.identity import Target


def ssh_words(program: str, target: Target, pins: Pins, command: Sequence[str], fleet_key: Path | None) -> list[str]:
    """The words of the call; `command` is what runs there, joined by blanks as ssh does, or nothing for a shell."""
    return [
        *_options(program, target, pins, _way(program, target, pins, fleet_key), fleet_key),
        *("--", target.host),
        *command,
    ]


def _options(program: str, target: Target, pins: Pins, proxy: str | None, fleet_key: Path | None) -> list[str]:
    keys = [*([str(fleet_key)] if target.fleet_key and fleet_key is not None else ()), *target.key_files]
    options = [
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={_quoted(str(pins.file))}",
        "GlobalKnownHostsFile=none",
        f"HostKeyAlias={alias_of(target.identity)}",
        "CheckHostIP=no",
        "UpdateHostKeys=no",  # it would write into the pins
        "NoHostAuthenticationForLocalhost=no",
        "VerifyHostKeyDNS=no",
        f"IdentityAgent={_quoted(target.agent) if target.agent is not None else 'none'}",
        f"IdentitiesOnly={'yes' if target.identities_only else 'no'}",
        *(f"IdentityFile={_quoted(file)}" for file in keys or ["none"]),
        *(f"CertificateFile={_quoted(file)}" for file in target.certificate_files),
        *([f"ProxyCommand={proxy}"] if proxy is not None else ()),
    ]
    words = [program, "-F", "none", "-l", target.user, "-p", str(target.port)]
    return [*words, *(word for option in options for word in ("-o", option))]


def _way(program: str, target: Target, pins: Pins, fleet_key: Path | None) -> str | None:
    """The ProxyCommand that leads to a target: over its last jump host, which is reached over the one before."""
    proxy = None if target.proxy_command is None or target.jumps else _escaped(target.proxy_command)
    hops = (*target.jumps, target)
    for hop, after in pairwise(hops):
        own = _escaped(hop.proxy_command) if hop.proxy_command is not None else proxy
        words = _options(program, hop, pins, own, fleet_key)
        proxy = _escaped(shlex.join([*words, "-W", f"[{after.host}]:{after.port}", "--", hop.host]))
    return proxy


def _escaped(command: str) -> str:
    return command.replace("%", "%%")


def _quoted(path: str) -> str:
    """A file as the value of an option: percent signs and blanks mean something there."""
    return '"' + path.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"') + '"'
