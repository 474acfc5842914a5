"""A shell or a command on a machine, with our own terminal at both ends: for a computer that has no `ssh` program."""

from __future__ import annotations

import asyncio
import os
import signal
import termios
import threading
import tty
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from console.links.remote import RemoteCommand, Terminal

if TYPE_CHECKING:
    import asyncssh

KEEPALIVE_S = 15.0
CONNECTION_LOST = 255
"""What `ssh` itself ends with when there is no exit code from the other side."""


async def run_shell(
    connection: asyncssh.SSHClientConnection,
    command: str | None,
    stdin: int,
    stdout: BinaryIO,
    stderr: BinaryIO,
    environment: Mapping[str, str],
) -> int:
    """Run it to its end and return its exit code. Between two terminals it gets one there, and keys go as they are."""
    connection.set_keepalive(KEEPALIVE_S, 3)
    terminal = None
    if command is None and os.isatty(stdin) and stdout.isatty():
        terminal = Terminal(*os.get_terminal_size(stdin), environment.get("TERM", "xterm"))

    async def connected() -> asyncssh.SSHClientConnection:
        return connection

    sinks = {"out": stdout, "err": stderr}
    running = RemoteCommand(connected, command, stdin=None, by_group=False, terminal=terminal)
    with _raw(stdin, terminal is not None):
        async with running:
            with _resizing(running, stdin, terminal is not None):
                _feed(stdin, running)
                async with aclosing(running.pieces()) as pieces:
                    async for source, piece in pieces:
                        await asyncio.to_thread(_write, sinks[source], piece)
                ended = await running.ended()
    return CONNECTION_LOST if ended.exit_code is None or ended.exit_code < 0 else ended.exit_code


def _write(sink: BinaryIO, piece: bytes) -> None:
    sink.write(piece)
    sink.flush()


def _feed(source: int, running: RemoteCommand) -> None:
    """Send what comes on standard input, from a thread that may hang in reading it: terminals, pipes and files can all
    be read so, and none has to be switched to another mode that whoever shares it would notice."""
    loop = asyncio.get_running_loop()

    async def send(piece: bytes) -> None:
        if piece:
            await running.send(piece)
        else:
            running.end_input()

    def read() -> None:
        piece = b"?"
        while piece:
            try:
                piece = os.read(source, 65536)
                asyncio.run_coroutine_threadsafe(send(piece), loop).result()
            except (OSError, RuntimeError, CancelledError):  # a closed terminal, or the loop has ended
                return

    threading.Thread(target=read, name="standard input", daemon=True).start()


@contextmanager
def _raw(terminal: int, is_wanted: bool) -> Iterator[None]:
    if not is_wanted:
        yield
        return
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal, termios.TCSADRAIN)  # what was typed ahead counts
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


@contextmanager
def _resizing(running: RemoteCommand, terminal: int, is_wanted: bool) -> Iterator[None]:
    if not is_wanted:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, lambda: running.resize(*os.get_terminal_size(terminal)))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
