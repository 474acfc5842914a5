"""/bin/sh for a simulated machine, in its private folder: for tests, and only when asked for.

PATH begins with stand-ins for what the machine does not really have, and HOME is inside the folder. This keeps programs
from what is the user's by accident; it is no prison.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shlex
import signal
import struct
import sys
import termios
from pathlib import Path

import asyncssh

from providers.simulated.shell.programs import System
from providers.simulated.shell.streams import READ_BYTES

_STAND_INS = ("nvidia-smi",)
_MARK = "HAWSER_SIMULATED_MACHINE"


class RealShell:
    def __init__(self, system: System, home: Path) -> None:
        self._system = system
        self._home = home
        self._mark = f"{_MARK}={system.folder.root}"
        self._bin = Path(system.folder.root) / "bin"
        self._bin.mkdir()
        for name in _STAND_INS:
            (self._bin / name).write_text(self._stand_in(name))
            (self._bin / name).chmod(0o755)

    def _stand_in(self, name: str) -> str:
        source = Path(__file__).parents[2]
        words = [sys.executable, "-m", "providers.simulated.shell", "--name", self._system.name]
        words += ["--seed", str(self._system.seed)]
        words += [word for gpu in self._system.hardware.gpus for word in ("--gpu", gpu)]
        return f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(source))} exec {shlex.join([*words, name])} "$@"\n'

    def _environment(self, session: asyncssh.SSHServerProcess[bytes]) -> dict[str, str]:
        environment = {
            "HOME": str(self._home),
            "PATH": f"{self._bin}:/usr/local/bin:/usr/bin:/bin",
            "USER": self._system.user,
            "LOGNAME": self._system.user,
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "TMPDIR": str(Path(self._system.folder.root) / "tmp"),
        }
        name, _, value = self._mark.partition("=")
        environment[name] = value
        if session.term_type is not None:
            environment["TERM"] = session.term_type
        return environment

    async def run(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        arguments = ["/bin/sh"] if session.command is None else ["/bin/sh", "-c", session.command]
        if session.term_type is None:
            await self._run_with_pipes(session, arguments)
        else:
            await self._run_on_terminal(session, arguments)

    def kill_all(self) -> None:
        """End what still runs, also what has left its session, wherever the system lets us look."""
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if os.fsencode(self._mark) in entry.read_bytes().split(b"\0"):
                    os.kill(int(entry.parent.name), signal.SIGKILL)

    async def _run_with_pipes(self, session: asyncssh.SSHServerProcess[bytes], arguments: list[str]) -> None:
        child = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._home,
            env=self._environment(session),
            start_new_session=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        feeding = asyncio.get_running_loop().create_task(self._feed(session, child, child.stdin))
        try:
            await asyncio.gather(_drain(child.stdout, session.stdout), _drain(child.stderr, session.stderr))
            _report(session, await child.wait())
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            await _end(child)

    async def _run_on_terminal(self, session: asyncssh.SSHServerProcess[bytes], arguments: list[str]) -> None:
        ours, theirs = os.openpty()
        _resize(ours, session)
        # the first terminal that the leader of a session opens becomes its own
        script = f'exec <>{shlex.quote(os.ttyname(theirs))} >&0 2>&0; exec "$@"'
        try:
            child = await asyncio.create_subprocess_exec(
                "/bin/sh",
                *("-c", script, "sh", *arguments),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                cwd=self._home,
                env=self._environment(session),
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        loop = asyncio.get_running_loop()
        reader = _TerminalReader(ours)
        writing, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(os.dup(ours), "wb", 0)
        )
        writer = asyncio.StreamWriter(writing, protocol, None, loop)
        tasks = [
            loop.create_task(self._feed(session, child, writer, terminal=ours)),
            loop.create_task(_drain(reader, session.stdout)),
            loop.create_task(session.channel.wait_closed()),
        ]
        waiting = loop.create_task(child.wait())
        try:
            await asyncio.wait({waiting, tasks[2]}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                # what is left in the background does not hold the session, as with OpenSSH
                await asyncio.wait({tasks[1], tasks[2]}, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
                _report(session, waiting.result())
        finally:
            for task in (*tasks, waiting):
                task.cancel()
            await asyncio.gather(*tasks, waiting, return_exceptions=True)
            writing.abort()
            reader.close()  # the kernel hangs up on all that is left on the terminal
            await _end(child)

    async def _feed(
        self,
        session: asyncssh.SSHServerProcess[bytes],
        child: asyncio.subprocess.Process,
        sink: asyncio.StreamWriter,
        *,
        terminal: int | None = None,
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                try:
                    data = await session.stdin.read(READ_BYTES)
                except asyncssh.SignalReceived as received:
                    number = getattr(signal, f"SIG{received.signal}", None)
                    # OpenSSH refuses signals for root, and so do we
                    if self._system.user != "root" and number is not None and child.returncode is None:
                        os.killpg(child.pid, number)
                    continue
                except asyncssh.TerminalSizeChanged:
                    if terminal is not None:
                        _resize(terminal, session)
                    continue
                except asyncssh.BreakReceived:
                    continue
                if not data:
                    break
                sink.write(data)
                await sink.drain()
        if terminal is None:
            sink.close()


def _resize(terminal: int, session: asyncssh.SSHServerProcess[bytes]) -> None:
    width, height, *_ = session.term_size
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class _TerminalReader:
    """Our end of a terminal: asyncio's own reader forgets the last output when the other end goes."""

    def __init__(self, terminal: int) -> None:
        os.set_blocking(terminal, False)
        self._terminal = terminal
        self._loop = asyncio.get_running_loop()

    async def read(self, size: int) -> bytes:
        """Raises OSError when nobody has the terminal open any more."""
        while True:
            try:
                return os.read(self._terminal, size)
            except BlockingIOError:
                ready: asyncio.Future[None] = self._loop.create_future()
                self._loop.add_reader(self._terminal, _wake, ready)
                try:
                    await ready
                finally:
                    self._loop.remove_reader(self._terminal)

    def close(self) -> None:
        os.close(self._terminal)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _drain(source: asyncio.StreamReader | _TerminalReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Pass on output; once the client is gone it is read and dropped, so that no program is held up."""
    is_heard = True
    while True:
        try:
            data = await source.read(READ_BYTES)
        except OSError:  # the last one has let go of the terminal
            return
        if not data:
            return
        if is_heard:
            try:
                sink.write(data)
                await sink.drain()
            except (OSError, asyncssh.Error):
                is_heard = False


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def _report(session: asyncssh.SSHServerProcess[bytes], code: int) -> None:
    with contextlib.suppress(OSError):
        if code < 0:
            session.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
        else:
            session.exit(code)
