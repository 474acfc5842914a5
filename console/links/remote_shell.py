"""A shell or a command on a machine, with our own terminal at both ends: for a computer that has no `ssh` program."""

from __future__ import annotations

import asyncio
import os
import signal
import termios
import threading
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from console.errors import LinkUnreachable

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
    import asyncssh

    connection.set_keepalive(KEEPALIVE_S, 3)
    on_terminal = os.isatty(stdin) and stdout.isatty()
    process: asyncssh.SSHClientProcess[bytes] = await connection.create_process(
        command,
        encoding=None,
        term_type=environment.get("TERM", "xterm") if on_terminal and command is None else None,
        term_size=os.get_terminal_size(stdin) if on_terminal and command is None else (),
    )
    with _raw(stdin, on_terminal and command is None), _resizing(process, stdin, on_terminal and command is None):
        _feed(stdin, process)
        try:
            await asyncio.gather(_pass_on(process.stdout, stdout), _pass_on(process.stderr, stderr))
            await process.wait_closed()
        except asyncssh.Error as error:
            raise LinkUnreachable(f"The connection broke off: {error}.") from error
    if process.exit_status is None:
        return CONNECTION_LOST
    return process.exit_status if process.exit_status >= 0 else CONNECTION_LOST


def _feed(source: int, process: asyncssh.SSHClientProcess[bytes]) -> None:
    """Send what comes on standard input, from a thread that may hang in reading it: terminals, pipes and files can all
    be read so, and none has to be switched to another mode that whoever shares it would notice."""
    loop = asyncio.get_running_loop()

    async def send(piece: bytes) -> None:
        try:
            if piece:
                process.stdin.write(piece)
                await process.stdin.drain()
            else:
                process.stdin.write_eof()
        except (OSError, BrokenPipeError):  # it does not want any more
            pass

    def read() -> None:
        piece = b"?"
        while piece:
            try:
                piece = os.read(source, 65536)
                asyncio.run_coroutine_threadsafe(send(piece), loop).result()
            except (OSError, RuntimeError):  # a closed terminal, or the loop has ended
                return

    threading.Thread(target=read, name="standard input", daemon=True).start()


async def _pass_on(source: asyncssh.SSHReader[bytes], sink: BinaryIO) -> None:
    def write(piece: bytes) -> None:
        sink.write(piece)
        sink.flush()

    while piece := await source.read(65536):
        await asyncio.to_thread(write, piece)


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
def _resizing(process: asyncssh.SSHClientProcess[bytes], terminal: int, is_wanted: bool) -> Iterator[None]:
    if not is_wanted:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, lambda: process.change_terminal_size(*os.get_terminal_size(terminal)))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
