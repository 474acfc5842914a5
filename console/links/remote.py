"""Commands on a machine: their output as it comes, a real end, and how they ended.

Closing an SSH channel does not stop what runs in it, and OpenSSH delivers no signals for root. So a command first tells
its process number, and whoever stops it kills its whole process group over a second channel. Work that must survive
the connection belongs into `detached.py`.

    async with RemoteCommand(link.connection, "apt-get update") as command:
        async for line in command.lines():
            ...
        ended = await command.ended()

Programs that want a terminal get one with `terminal=Terminal(columns, rows)`. What they say is then one stream, `send`
types, `resize` changes its size, and the end is what closing a window is: they are hung up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias

from console.errors import LinkBroken, LinkError, RemoteRefused, TimeLimit, UsageError

if TYPE_CHECKING:
    import asyncssh

_log = logging.getLogger(__name__)

Connect: TypeAlias = "Callable[[], Awaitable[asyncssh.SSHClientConnection]]"
"""A live connection; a link waits for one, up to its limit, and raises a `LinkError` then."""

Source: TypeAlias = Literal["out", "err"]

LONGEST_LINE = 64 * 1024
"""In bytes; a longer line comes in pieces."""

LARGEST_COMMAND = 100_000
"""In bytes; systems take about 128 KiB as one argument."""

GRACE_S = 3.0
"""Between the polite end and the forced one."""

OPEN_LIMIT_S = 15.0
"""How long a session on a live connection may take to open."""

_STOP_LIMIT_S = GRACE_S + 7.0
_PIECE = 64 * 1024
_WAITING_PIECES = 64

_BREAK = re.compile(rb"\r\n|\n|\r")


class Terminal(NamedTuple):
    """The terminal that a command gets there."""

    columns: int = 80
    rows: int = 24
    kind: str = "xterm-256color"


class Line(NamedTuple):
    source: Source
    text: str
    """Without its end. What is not UTF-8 is a replacement character; control codes are for who shows it."""
    is_whole: bool = True
    """False for a piece of a line whose rest follows."""


class Ended(NamedTuple):
    exit_code: int | None
    """None if a signal ended it, or the server did not tell."""
    signal: str | None = None
    """As in "TERM"."""

    @property
    def is_success(self) -> bool:
        return self.exit_code == 0

    def __str__(self) -> str:
        if self.signal is not None:
            return f"ended by the signal {self.signal}"
        return "ended without saying how" if self.exit_code is None else f"exit code {self.exit_code}"


class Output(NamedTuple):
    """A command that is over, and what it said."""

    ended: Ended
    out: bytes
    err: bytes
    is_cut: bool
    """Whether it said more than was wanted."""

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")


class RemoteCommand:
    """One command while it runs. Leaving the block stops it, there too; so does cancelling who waits for it."""

    def __init__(
        self,
        connect: Connect,
        command: str | None,
        *,
        machine: str = "the machine",
        stdin: bytes | None = b"",
        limit_s: float | None = None,
        by_group: bool = True,
        terminal: Terminal | None = None,
    ) -> None:
        """`by_group=False` is for machines without a POSIX shell, and for short questions: the command goes as it is,
        and leaving early closes its channel and no more. The limit is for the command as a whole.

        With `stdin=None`, and on a terminal, its input stays open for `send`. A command of None is the login shell,
        as it is. On a terminal the command goes as it is, all output is "out", and leaving hangs up: what ignores that,
        as `nohup` does, goes on.
        """
        if command is not None and len(command.encode()) > LARGEST_COMMAND:
            raise UsageError(
                f"The command has {len(command.encode()):,} bytes; {LARGEST_COMMAND:,} can be sent.",
                hint="Upload it as a file, and run that.",
            )
        self.command = command
        self.machine = machine
        self._connect = connect
        self._stdin = stdin
        self._limit_s = limit_s
        self._terminal = terminal
        self._by_group = by_group and terminal is None and command is not None
        self._mark = f"hawser-{secrets.token_hex(8)}"
        self._pid: asyncio.Future[int] | None = None
        self._pieces: asyncio.Queue[tuple[Source, bytes] | LinkError | None] = asyncio.Queue(_WAITING_PIECES)
        self._process: asyncssh.SSHClientProcess[bytes] | None = None
        self._connection: asyncssh.SSHClientConnection | None = None
        self._pumps: list[asyncio.Task[None]] = []
        self._finisher: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[Ended] | None = None
        self._deadline: float | None = None
        self._is_over = False

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._deadline = None if self._limit_s is None else loop.time() + self._limit_s
        self._pid = loop.create_future()
        self._ended = loop.create_future()
        with self._limited():
            async with asyncio.timeout_at(self._deadline):
                self._connection = await self._connect()
                opening = asyncio.create_task(
                    open_session(self._connection, self._wrapped(), self.machine, terminal=self._terminal)
                )
                try:
                    self._begin(await asyncio.shield(opening))
                except BaseException:
                    await _to_the_end(self._give_up(opening))
                    raise
        return self

    def _begin(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self._process = process
        self._pumps = [
            asyncio.create_task(self._pump("out", process.stdout)),
            asyncio.create_task(self._pump("err", process.stderr)),
        ]
        self._pumps.append(asyncio.create_task(self._feed(self._stdin or b"")))
        self._finisher = asyncio.create_task(self._finish())

    async def _give_up(self, opening: asyncio.Task[asyncssh.SSHClientProcess[bytes]]) -> None:
        """Nobody waits for it any more; if it is about to begin all the same, it is stopped."""
        await asyncio.wait((opening,), timeout=GRACE_S)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError, LinkError):
            self._begin(await opening)
            await self.stop()

    async def __aexit__(self, *_: object) -> None:
        await _to_the_end(self.stop())

    # What comes

    async def pieces(self) -> AsyncGenerator[tuple[Source, bytes], None]:
        """The output as bytes, as it comes. `LinkBroken` if the connection breaks, `TimeLimit` if it takes too long."""
        while not self._is_over:
            with self._limited():
                async with asyncio.timeout_at(self._deadline):
                    piece = await self._pieces.get()
            if piece is None:
                self._is_over = True
            elif isinstance(piece, LinkError):
                raise piece
            else:
                yield piece

    async def lines(self) -> AsyncGenerator[Line, None]:
        """The output line by line; a carriage return alone ends a line too, as progress bars have it."""
        cutters: dict[Source, _Cutter] = {"out": _Cutter(), "err": _Cutter()}
        async with contextlib.aclosing(self.pieces()) as pieces:
            async for source, content in pieces:
                for text, is_whole in cutters[source].cut(content):
                    yield Line(source, text, is_whole)
        for source, cutter in cutters.items():
            for text in cutter.rest():
                yield Line(source, text)

    async def ended(self) -> Ended:
        """Wait for the end. What was not read of the output is thrown away."""
        assert self._ended is not None
        async with contextlib.aclosing(self.pieces()) as pieces:
            async for _ in pieces:
                pass
        return await self._ended

    # What goes

    async def send(self, content: bytes) -> None:
        """Input for a command that was begun without, or keys for one on a terminal. Returns when there is room for
        more; once it is over, or reads no more, nothing happens."""
        if self._process is not None:
            with contextlib.suppress(*_reading_errors()):
                self._process.stdin.write(content)
                await self._process.stdin.drain()

    def end_input(self) -> None:
        """Nothing more is sent. A terminal has no such end; there, send what the program takes for one."""
        if self._process is not None and self._terminal is None:
            with contextlib.suppress(*_reading_errors()):
                self._process.stdin.write_eof()

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size from here on, and the program is told."""
        assert self._terminal is not None
        if self._process is not None:
            with contextlib.suppress(*_reading_errors()):
                self._process.change_terminal_size(columns, rows)

    # Its end

    async def stop(self) -> None:
        """Stop it if it runs: a polite signal to all its processes, then a forced one; the channel is closed after."""
        process = self._process
        if process is None:
            return
        try:
            is_over = process.exit_status is not None or process.exit_signal is not None
            if not is_over and self._connection is not None and not self._connection.is_closed():
                if self._by_group:
                    await self._kill()
                elif self._terminal is not None:
                    await self._hang_up(process)
        finally:
            for task in (*self._pumps, self._finisher):
                if task is not None:
                    task.cancel()
            await asyncio.gather(
                *(task for task in (*self._pumps, self._finisher) if task is not None), return_exceptions=True
            )
            process.close()
            if self._pid is not None:
                self._pid.cancel()
            if self._ended is not None and not self._ended.done():
                self._ended.cancel()
            self._process = None

    async def _hang_up(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        """Take the terminal away, and give the program a while to end of it."""
        process.close()
        with contextlib.suppress(TimeoutError, *_reading_errors()):
            async with asyncio.timeout(GRACE_S):
                await process.wait_closed()

    async def _kill(self) -> None:
        assert self._connection is not None
        assert self._pid is not None
        try:
            async with asyncio.timeout(_STOP_LIMIT_S):
                waited_for: list[asyncio.Future[Any]] = [self._pid, *self._pumps[:1]]
                await asyncio.wait(waited_for, timeout=GRACE_S, return_when="FIRST_COMPLETED")
                if not self._pid.done():  # it has not begun, and will not without its channel
                    return
                killer = await open_session(self._connection, kill_script(self._pid.result()), self.machine)
                try:
                    await killer.wait_closed()
                finally:
                    killer.close()
        except (TimeoutError, LinkError) as error:
            _log.warning(
                "A command could not be stopped and may still run.",
                extra={"machine": self.machine, "error": str(error) or type(error).__name__},
            )

    # Inside

    def _wrapped(self) -> str | None:
        if not self._by_group or self.command is None:
            return self.command
        # Whatever the login shell is, it makes room for /bin/sh; that tells its number and makes room for the command.
        script = f'echo {self._mark} $$; exec /bin/sh -c "$1"'
        return f"exec /bin/sh -c {quote(script)} sh {quote(self.command)}"

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            if self._limit_s is None:
                raise
            raise TimeLimit(f"The command took longer than {self._limit_s:g} s on {self.machine}.") from None

    async def _pump(self, source: Source, reader: asyncssh.SSHReader[bytes]) -> None:
        before_mark: bytes | None = b"" if source == "out" and self._by_group else None
        with contextlib.suppress(*_reading_errors()):  # `_finish` finds out what it was
            while content := await reader.read(_PIECE):
                if before_mark is not None:
                    before_mark, content = self._after_mark(before_mark + content)
                if content:
                    await self._pieces.put((source, content))
        if before_mark:  # it never began: what came is a complaint of the login shell
            await self._pieces.put((source, before_mark))

    def _after_mark(self, came: bytes) -> tuple[bytes | None, bytes]:
        """Take the line with the process number out, and what the login shell said before it."""
        assert self._pid is not None
        start = came.find(self._mark.encode() + b" ")
        end = came.find(b"\n", start)
        if start < 0 or end < 0:
            return came[-_PIECE:], b""
        number = came[start:end].split()[1]
        if number.isdigit() and not self._pid.done():
            self._pid.set_result(int(number))
        return None, came[end + 1 :]

    async def _feed(self, content: bytes) -> None:
        assert self._process is not None
        with contextlib.suppress(*_reading_errors()):  # it may end without having read all
            self._process.stdin.write(content)
            await self._process.stdin.drain()
            if self._stdin is not None and self._terminal is None:
                self._process.stdin.write_eof()

    async def _finish(self) -> None:
        """After both streams have ended: say so, or say that the connection broke."""
        assert self._process is not None
        assert self._connection is not None
        assert self._ended is not None
        await asyncio.gather(*self._pumps[:2])
        with contextlib.suppress(*_reading_errors()):
            await self._process.wait_closed()
        signal = self._process.exit_signal
        code = self._process.exit_status
        if signal is None and code is None and self._connection.is_closed():
            await self._pieces.put(lost(self.machine, "The command may still run there."))
        else:
            self._ended.set_result(Ended(None, signal[0]) if signal is not None else Ended(code))
            await self._pieces.put(None)


async def run(
    connect: Connect,
    command: str,
    *,
    machine: str = "the machine",
    stdin: bytes = b"",
    limit_s: float = 60.0,
    longest: int = 1024 * 1024,
    by_group: bool = True,
    terminal: Terminal | None = None,
) -> Output:
    """A short command from its start to its end. `longest` bounds what is kept of each of its two outputs; on a
    terminal there is only `out`, with the line ends of terminals."""
    kept: dict[Source, bytearray] = {"out": bytearray(), "err": bytearray()}
    is_cut = False
    async with RemoteCommand(
        connect, command, machine=machine, stdin=stdin, limit_s=limit_s, by_group=by_group, terminal=terminal
    ) as running:
        async for source, content in running.pieces():
            room = longest - len(kept[source])
            kept[source] += content[:room]
            is_cut = is_cut or len(content) > room
        ended = await running.ended()
    return Output(ended, bytes(kept["out"]), bytes(kept["err"]), is_cut)


def kill_script(pid: int, *, grace_s: float = GRACE_S) -> str:
    """Shell that ends a process group and waits for it. Without such a group, it ends the one process."""
    return (
        f"g=-{pid}; kill -0 $g 2>/dev/null || g={pid}; kill -TERM $g 2>/dev/null || exit 0; n=0;"
        f" while [ $n -lt {max(round(grace_s * 10), 1)} ]; do kill -0 $g 2>/dev/null || exit 0;"
        " sleep 0.1 2>/dev/null || { sleep 1; n=$((n+9)); }; n=$((n+1)); done; kill -KILL $g 2>/dev/null; exit 0"
    )


async def open_session(
    connection: asyncssh.SSHClientConnection, command: str | None, machine: str, *, terminal: Terminal | None = None
) -> asyncssh.SSHClientProcess[bytes]:
    """Start a command, or the login shell, on a live connection. Errors are `LinkError`s."""
    import asyncssh

    try:
        async with asyncio.timeout(OPEN_LIMIT_S):
            process: asyncssh.SSHClientProcess[bytes] = await connection.create_process(
                command,
                encoding=None,
                term_type=None if terminal is None else terminal.kind,
                term_size=() if terminal is None else (terminal.columns, terminal.rows),
            )
            return process
    except TimeoutError:
        raise lost(machine, f"No session was opened within {OPEN_LIMIT_S:g} s.") from None
    except (asyncssh.Error, OSError) as error:
        raise translated(error, connection, machine, "start a command") from error


def translated(
    error: Exception, connection: asyncssh.SSHClientConnection, machine: str, what: str
) -> LinkBroken | RemoteRefused:
    """What an error of asyncssh on an open connection means."""
    import asyncssh

    if connection.is_closed() or isinstance(error, asyncssh.ConnectionLost | asyncssh.SFTPConnectionLost | OSError):
        return lost(machine)
    reason = " ".join(str(getattr(error, "reason", "") or error).split())[:200]
    if isinstance(error, asyncssh.ChannelOpenError):
        return RemoteRefused(
            f"{machine} opens no further session{f': {reason}' if reason else ''}.",
            hint="Servers have a limit of sessions per connection, usually ten.",
        )
    return RemoteRefused(f"{machine} does not let us {what}: {reason or type(error).__name__}.")


def lost(machine: str, more: str = "") -> LinkBroken:
    return LinkBroken(f"The connection to {machine} broke. {more}".rstrip())


def _reading_errors() -> tuple[type[Exception], ...]:
    import asyncssh

    return asyncssh.Error, OSError


async def _to_the_end(work: Awaitable[None]) -> None:
    """Tidying up goes on to its end when who waits for it is cancelled, and the cancelling goes on after it."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


class _Cutter:
    """Bytes into lines. What is kept back between two pieces is never longer than the longest line."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._kept = b""
        self._after_return = False

    def cut(self, content: bytes) -> Iterator[tuple[str, bool]]:
        if self._after_return and content:  # the second half of a line end whose first half came before
            self._after_return = False
            content = content.removeprefix(b"\n")
        start = 0
        for found in _BREAK.finditer(content):
            self._kept += content[start : found.start()]
            start = found.end()
            yield from self._pieces()
            yield self._text(len(self._kept)), True
        self._after_return = content.endswith(b"\r")
        self._kept += content[start:]
        yield from self._pieces()

    def rest(self) -> Iterator[str]:
        if self._kept:
            yield self._text(len(self._kept))

    def _pieces(self) -> Iterator[tuple[str, bool]]:
        while len(self._kept) > self._longest:
            end = self._longest
            while end > self._longest - 4 and self._kept[end] & 0xC0 == 0x80:  # not in the middle of a letter
                end -= 1
            yield self._text(end), False

    def _text(self, end: int) -> str:
        text, self._kept = self._kept[:end].decode(errors="replace"), self._kept[end:]
        return text
