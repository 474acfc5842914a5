"""Standard input as material for a prompt: read when there is something to read, never waited for without end.

`auto` waits up to three seconds for the first byte or the end (with a note after 200 ms), then goes on without it and
says so; after one byte it is read to its end. `wait` waits for ever. `off` never looks.
"""

from __future__ import annotations

import os
import select
from typing import Literal, NamedTuple

from console.errors import UsageError
from console.shell import Shell

Mode = Literal["auto", "wait", "off"]
Outcome = Literal["none", "read", "empty", "skipped"]

PATIENCE_S = 3.0
NOTE_AFTER_S = 0.2
MOST_BYTES = 64 * 1024 * 1024


class Material(NamedTuple):
    text: str | None
    outcome: Outcome


def read_material(shell: Shell, mode: Mode) -> Material:
    """What was piped in, as text. A terminal is never read: a person there has typed the question already."""
    if mode == "off" or shell.stdin is None:
        return Material(None, "none")
    try:
        descriptor = shell.stdin.fileno()
        is_terminal = os.isatty(descriptor)
    except (OSError, ValueError):  # closed, or not a real stream
        return Material(None, "none")
    if is_terminal and mode == "auto":
        return Material(None, "none")
    if mode == "auto" and not _has_something(descriptor, shell):
        return Material(None, "skipped")
    content = _read_all(descriptor)
    return Material(decode(content), "read") if content else Material(None, "empty")


def read_instruction(shell: Shell) -> str:
    """The instruction itself, for `--prompt -`; here waiting is what was asked for."""
    if shell.stdin is None:
        raise UsageError("Standard input is closed, so the instruction cannot be read from it.")
    text = decode(_read_all(shell.stdin.fileno()))
    if not text.strip():
        raise UsageError("Standard input holds no instruction.", hint='Give one with: hawser --prompt "…"')
    return text


def _has_something(descriptor: int, shell: Shell) -> bool:
    """Whether the first byte, or the end, comes in time. Bytes are left where they are."""
    if select.select([descriptor], [], [], NOTE_AFTER_S)[0]:
        return True
    shell.note(f"hawser: Waiting up to {PATIENCE_S:.0f} s for standard input (--no-stdin skips it, --stdin waits).")
    if select.select([descriptor], [], [], PATIENCE_S - NOTE_AFTER_S)[0]:
        return True
    shell.note("hawser: Nothing came on standard input; going on without it.")
    return False


def _read_all(descriptor: int) -> bytes:
    pieces = bytearray()
    while piece := _read(descriptor):
        pieces += piece
        if len(pieces) > MOST_BYTES:
            raise UsageError(
                f"Standard input is larger than {MOST_BYTES >> 20} MiB, which is more than a prompt can hold.",
                hint="Cut it down first, for example with head or grep.",
            )
    return bytes(pieces)


def _read(descriptor: int) -> bytes:
    try:
        while True:
            try:
                return os.read(descriptor, 1 << 16)
            except BlockingIOError:  # whoever made the pipe set it so
                select.select([descriptor], [], [])
    except OSError as error:
        raise UsageError(f"Standard input cannot be read: {error.strerror}.") from error


def decode(content: bytes) -> str:
    """Text of unknown encoding: UTF-8, UTF-16 with its mark, else refused by name rather than guessed into nonsense."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UsageError(
            "Standard input is not text in UTF-8.",
            hint="Attach binary files with -a FILE, or convert text with: iconv -f latin1 -t utf-8",
        ) from error
    if "\0" in text:
        raise UsageError("Standard input is binary, not text.", hint="Attach binary files with -a FILE.")
    return text
