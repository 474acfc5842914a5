"""Sessions on a simulated machine: commands, shells and SFTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from providers.simulated.machine_files import FilesServer
from providers.simulated.shell.files import Folder

if TYPE_CHECKING:
    from asyncssh.channel import SSHChannel

    from providers.simulated.machine import SimulatedMachine

_READ_BYTES = 64 * 1024


class Sessions:
    def __init__(self, machine: SimulatedMachine, disk: Path) -> None:
        self._machine = machine
        home = "/root" if machine.user == "root" else f"/home/{machine.user}"
        self.folder = Folder(disk, home, as_it_is=machine.real_shell)
        self._running: set[asyncio.Task[None]] = set()

    @property
    def home(self) -> Path:
        return Path(self.folder.real("/", self.folder.home))

    def files_server(self, channel: SSHChannel[bytes]) -> FilesServer:
        return FilesServer(channel, self.folder)

    def start(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        task = asyncio.get_running_loop().create_task(self._run(process))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            *(["-c", process.command] if process.command is not None else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin"},
            start_new_session=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        feeding = asyncio.get_running_loop().create_task(_feed(process.stdin, child.stdin))
        try:
            await asyncio.gather(_drain(child.stdout, process.stdout), _drain(child.stderr, process.stderr))
            code = await child.wait()
            with contextlib.suppress(OSError):
                process.exit(code)
        finally:
            feeding.cancel()
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                await child.wait()


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncssh.SignalReceived, asyncssh.BreakReceived):
        while data := await source.read(_READ_BYTES):
            sink.write(data)
            await sink.drain()
    sink.close()


async def _drain(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    while data := await source.read(_READ_BYTES):
        try:
            sink.write(data)
            await sink.drain()
        except OSError:  # the client has closed the session: the command finds out as from a closed pipe
            return
