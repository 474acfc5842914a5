"""Machines that are simply there. Commands of the user's, run here, start and stop them and say their state.

A command is split into words as a shell would, and then run without one: no pipes, no `$NAME`, no `*`. Who wants these
writes `sh -c '…'`. Its standard input is empty, it has the environment of the program, its output is cut off after
64 kB, and with its children it is ended when it takes too long.

Without a status command a machine runs when an SSH server answers at its address. When none does, one that has a stop
command is taken for stopped, and any other for lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, NamedTuple

from providers.clouds.adapter import Refusing
from providers.clouds.base import Address, Bills, CannotDo, Capability, Clock, CloudError, NotThere, Reading, State
from providers.clouds.fields import text
from providers.errors import TimedOut

STATUS_S = 20.0
COMMAND_S = 300.0
PROBE_S = 5.0
_MAX_OUTPUT = 64 * 1024
_WORDS = {
    State.RUNNING: ("running", "active", "on", "up", "ok", "yes", "started", "poweredon", "idle"),
    State.STOPPED: (
        "stopped", "off", "down", "inactive", "exited", "terminated", "shutoff", "poweroff", "poweredoff", "no",
        "deallocated", "suspended", "pmsuspended", "paused", "halted",
    ),
    State.STARTING: ("starting", "pending", "booting", "activating", "provisioning", "staging"),
    State.STOPPING: ("stopping", "shuttingdown", "deactivating", "inshutdown", "deallocating"),
    State.DIED: ("crashed", "failed", "error"),
}  # fmt: skip
_STATES = {word: state for state, words in _WORDS.items() for word in words}
_AT_REST = frozenset({State.STOPPED, State.DIED})


class SshHost(NamedTuple):
    name: str
    host: str
    port: int = 22
    user: str = ""
    start: str | None = None
    stop: str | None = None
    status: str | None = None
    usd_per_hour: Decimal | None = None
    """While it runs."""
    is_direct: bool = True
    """Whether its address can be tried from here; not so behind a jump host or a proxy command."""


class SshHosts(Refusing):
    title: ClassVar[str] = "A machine of your own"
    can: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(
        self,
        hosts: Sequence[SshHost],
        clock: Clock,
        *,
        status_s: float = STATUS_S,
        command_s: float = COMMAND_S,
        probe_s: float = PROBE_S,
    ) -> None:
        self._hosts = {host.name: host for host in hosts}
        self._clock = clock
        self._status_s, self._command_s, self._probe_s = status_s, command_s, probe_s

    def capabilities_of(self, id: str) -> frozenset[Capability]:  # noqa: A002
        host = self._hosts.get(id)
        return frozenset({Capability.STOP}) if host is not None and host.start and host.stop else self.can

    async def machines(self) -> list[Reading]:
        return list(await asyncio.gather(*(self._reading(host) for host in self._hosts.values())))

    async def machine(self, id: str) -> Reading | None:  # noqa: A002
        host = self._hosts.get(id)
        return None if host is None else await self._reading(host)

    async def start(self, id: str) -> None:  # noqa: A002
        host = self._host(id)
        if host.start is None:
            raise CannotDo(f"{id} has no command that starts it.", hint=f'[machines.{id}] start = "…" sets one.')
        await self._done(host, "start", host.start)

    async def stop(self, id: str) -> None:  # noqa: A002
        host = self._host(id)
        if host.stop is None:
            raise CannotDo(f"{id} has no command that stops it.", hint=f'[machines.{id}] stop = "…" sets one.')
        await self._done(host, "stop", host.stop)

    def _host(self, name: str) -> SshHost:
        if name not in self._hosts:
            raise NotThere(f"There is no machine {name!r} of your own in the settings.")
        return self._hosts[name]

    async def _done(self, host: SshHost, what: str, command: str) -> None:
        code, said = await _output(command, host.name, what, self._command_s)
        if code != 0:
            last = said.strip().rpartition("\n")[2]
            tail = f": {text(last, 300)}" if last else "."
            raise CloudError(f"The {what} command of {host.name} ended with code {code}{tail}")

    async def _reading(self, host: SshHost) -> Reading:
        words = message = ""
        if host.status is not None:
            state, words, message = await self._told(host, host.status)
        elif not host.is_direct:
            state, message = State.UNKNOWN, "It cannot be tried from here, and no status command is set."
        elif await _answers(host.host, host.port, self._probe_s):
            state, words = State.RUNNING, "SSH answers"
        elif host.stop is not None:
            state, words = State.STOPPED, "SSH does not answer"
        else:
            state, words = State.LOST, "SSH does not answer"
        price = host.usd_per_hour
        return Reading(
            id=host.name,
            label=host.name,
            state=state,
            bills=_bills(state, price),
            words=words,
            message=message,
            usd_per_hour=price,
            usd_per_hour_stopped=None if price is None else Decimal(0),
            addresses=() if state in _AT_REST else (Address(host.host, host.port, host.user),),
        )

    async def _told(self, host: SshHost, command: str) -> tuple[State, str, str]:
        try:
            code, said = await _output(command, host.name, "status", self._status_s)
        except (CloudError, TimedOut) as trouble:
            return State.UNKNOWN, "", trouble.text
        first = text(said.strip().partition("\n")[0], 100)
        word = first.lower().removeprefix("status:")
        state = _STATES.get("".join(letter for letter in word if letter.isalnum()), State.UNKNOWN)
        if state is State.UNKNOWN and code != 0:
            return state, first, f"The status command of {host.name} ended with code {code}."
        return state, first, ""


def _bills(state: State, price: Decimal | None) -> Bills:
    if not price or state in _AT_REST:
        return Bills.NOTHING
    return Bills.UNKNOWN if state in (State.UNKNOWN, State.LOST) else Bills.EVERYTHING


async def _answers(host: str, port: int, limit_s: float) -> bool:
    """Whether something there greets as SSH servers do."""
    writer = None
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(host, port, limit=4096)
            for _ in range(20):  # lines before the greeting are allowed
                line = await reader.readline()
                if line.startswith(b"SSH-"):
                    return True
                if not line:
                    return False
    except (OSError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()
    return False


async def _output(command: str, name: str, what: str, limit_s: float) -> tuple[int, str]:
    """The exit code and what was printed, errors included where there is nothing else."""
    import shlex

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CloudError(f"The {what} command of {name} is no command line: {error}.") from error
    if not words:
        raise CloudError(f"The {what} command of {name} is empty.")
    try:
        child = await asyncio.create_subprocess_exec(
            os.path.expanduser(words[0]),  # noqa: ASYNC240, PTH111 - looks at the environment only
            *words[1:],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CloudError(f"The {what} command of {name} cannot be run: {reason}.") from error
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        async with asyncio.timeout(limit_s):
            printed, complained = await asyncio.gather(_first(child.stdout), _first(child.stderr))
            code = await child.wait()
    except TimeoutError as error:
        raise TimedOut(
            f"The {what} command of {name} took longer than {limit_s:g} s and was ended.",
            phase="total",
            limit_s=limit_s,
        ) from error
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    return code, (printed if printed.strip() else complained).decode("utf-8", "replace")


async def _first(stream: asyncio.StreamReader) -> bytes:
    """What fits; the rest is read and dropped, so that the command is not held up."""
    kept = bytearray()
    while part := await stream.read(16 * 1024):
        kept += part[: _MAX_OUTPUT - len(kept)]
    return bytes(kept)
