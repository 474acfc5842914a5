"""Sessions on a simulated machine: SFTP, and commands in the built-in shell or, when asked for, in /bin/sh."""

from __future__ import annotations

import asyncio
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING

import asyncssh

from providers.simulated.machine_files import FilesServer
from providers.simulated.machine_real_shell import RealShell
from providers.simulated.shell.files import Folder
from providers.simulated.shell.processes import Process
from providers.simulated.shell.programs import Hardware, System
from providers.simulated.shell.run import Shell
from providers.simulated.shell.streams import READ_BYTES, Pipe, Stream
from providers.simulated.shell.terminal import Terminal
from providers.simulated.watch import Watch

if TYPE_CHECKING:
    from asyncssh.channel import SSHChannel

    from providers.simulated.machine import SimulatedMachine

_OS_RELEASE = 'PRETTY_NAME="Ubuntu 24.04.2 LTS"\nNAME="Ubuntu"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n'


class Sessions:
    def __init__(self, machine: SimulatedMachine, disk: Path) -> None:
        home = "/root" if machine.user == "root" else f"/home/{machine.user}"
        self.folder = Folder(disk, home, as_it_is=machine.real_shell)
        self.system = System(
            name=machine.name,
            user=machine.user,
            folder=self.folder,
            hardware=Hardware(machine.gpus),
            programs=machine.programs,
            clock=machine.clock,
            seed=machine.seed,
            ports=machine.services,
            neighbours=machine.neighbours,
            pages=machine.pages,
        )
        self._real = RealShell(self.system, self.home) if machine.real_shell else None
        if self._real is None:
            (disk / "etc").mkdir()
            (disk / "etc" / "os-release").write_text(_OS_RELEASE)
            (disk / "etc" / "hostname").write_text(machine.name + "\n")
        self._running: set[asyncio.Task[None]] = set()

    @property
    def home(self) -> Path:
        return Path(self.folder.real("/", self.folder.home))

    def files_server(self, channel: SSHChannel[bytes]) -> FilesServer:
        return FilesServer(channel, self.folder)

    def start(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        work = self._real.run(session) if self._real else self._run(session)
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End everything that still runs on the machine."""
        await self.system.processes.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._real is not None:
            self._real.kill_all()

    async def _run(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        ended = Watch()
        output = _Output(session.stdout, ended)
        errors = _Output(session.stderr, ended)
        pipe = Pipe()
        terminal: Terminal | None = None
        streams: dict[int, Stream] = {0: pipe.reader, 1: output, 2: errors}
        if session.term_type is not None:
            terminal = Terminal(output.write, lambda number: self._signal(main, number))
            streams = {0: terminal, 1: terminal.share(), 2: terminal.share()}
            errors.release()
            pipe.reader.release()
        main = self._start_shell(session, streams)
        for stream in streams.values():
            stream.release()
        main.has_terminal = terminal is not None

        loop = asyncio.get_running_loop()
        hearing = loop.create_task(self._hear(session, main, terminal or pipe))
        closed = loop.create_task(session.channel.wait_closed())
        waiting = loop.create_task(main.wait())
        try:
            await asyncio.wait({closed, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if terminal is None:
                # as with OpenSSH: the session stays while anybody holds its output, and nobody dies of its end
                held = loop.create_task(ended.until(lambda: output.users == 0 and errors.users == 0))
                try:
                    await asyncio.wait({closed, held}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    held.cancel()
            else:
                terminal.hang_up()
                for process in self.system.processes.in_session(main.session):
                    process.deliver(Signals.SIGHUP)
            if not closed.done():
                _report(session, main)
        finally:
            for task in (hearing, closed, waiting):
                task.cancel()
            await asyncio.gather(hearing, closed, waiting, return_exceptions=True)

    def _start_shell(self, session: asyncssh.SSHServerProcess[bytes], streams: dict[int, Stream]) -> Process:
        environment = self.system.environment()
        environment.update({name: value for name, value in session.env.items() if name.startswith(("LANG", "LC_"))})
        if session.term_type is not None:
            environment["TERM"] = session.term_type
        command = session.command

        async def body(process: Process) -> int:
            shell = Shell(self.system, process, environment, self.folder.home)
            shell.variables["PWD"] = self.folder.home
            if command is not None:
                return await shell.to_the_end(command)
            shell.is_interactive = process.stream(0).is_terminal
            return await shell.talk()

        arguments = ["-sh"] if command is None else ["sh", "-c", command]
        return self.system.processes.spawn(None, arguments, streams, body)

    async def _hear(self, session: asyncssh.SSHServerProcess[bytes], main: Process, listener: Terminal | Pipe) -> None:
        """Pass on what the client sends: input, its end, and signals."""
        try:
            while True:
                try:
                    data = await session.stdin.read(READ_BYTES)
                except asyncssh.SignalReceived as received:
                    # OpenSSH refuses signals for root, and so do we
                    if self.system.user != "root" and f"SIG{received.signal}" in Signals.__members__:
                        for process in self.system.processes.in_group(main.number):
                            process.deliver(Signals[f"SIG{received.signal}"])
                    continue
                except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
                    continue
                if not data:
                    return
                if isinstance(listener, Terminal):
                    await listener.typed(data)
                else:
                    await listener.put(data)
        except OSError:
            return  # nobody reads any more
        finally:
            if isinstance(listener, Pipe):
                listener.writer.release()

    def _signal(self, main: Process, number: Signals) -> None:
        """What a key on the terminal sends, to all that runs in front."""
        for process in self.system.processes.in_session(main.session):
            process.deliver(number)


class _Output(Stream):
    """What goes to the client."""

    def __init__(self, writer: asyncssh.SSHWriter[bytes], ended: Watch) -> None:
        super().__init__()
        self._writer = writer
        self._ended = ended

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (OSError, asyncssh.Error):
            raise BrokenPipeError(32, "Broken pipe") from None
        if self._writer.channel.is_closing():
            raise BrokenPipeError(32, "Broken pipe")

    def close(self) -> None:
        self._ended.note()


def _report(session: asyncssh.SSHServerProcess[bytes], main: Process) -> None:
    try:
        if main.killed_by is not None:
            session.exit_with_signal(main.killed_by.name.removeprefix("SIG"))
        else:
            session.exit(main.code or 0)
    except OSError:
        return  # the client left at this moment
