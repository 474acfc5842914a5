"""Writing in one's own editor: `$VISUAL`, else `$EDITOR`, on a private file that is gone afterwards.

The terminal must be the editor's meanwhile; whoever draws on it gives it up first and takes it back after.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from console.errors import ConsoleError

USUAL = ("nano", "vim", "vi")
LARGEST_BYTES = 10_000_000


class EditorFailed(ConsoleError):
    """The editor could not be started, ended in an error, or left something that is no text."""

    title = "The editor failed"


def editor_command(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The editor's program and arguments; raises `EditorFailed` where there is none."""
    for name in ("VISUAL", "EDITOR"):
        wanted = environment.get(name, "").strip()
        if not wanted:
            continue
        try:
            command = shlex.split(wanted)
        except ValueError as error:
            raise EditorFailed(f"${name} cannot be read: {wanted!r}.", hint="Close its quotes.") from error
        if shutil.which(command[0], path=environment.get("PATH")) is None:
            raise EditorFailed(
                f"The editor {command[0]!r}, named by ${name}, is not there.", hint=f"Set ${name} to an editor."
            )
        return command
    for program in USUAL:
        found = shutil.which(program, path=environment.get("PATH"))
        if found is not None:
            return [found]
    raise EditorFailed("No editor was found.", hint="Set $EDITOR to one.")


async def edit(text: str, command: Sequence[str]) -> str:
    """What the editor leaves of the text, without the newline it puts at the end.

    Raises `EditorFailed`, and the caller still has its text: a failed editor changes nothing. The loop goes on
    meanwhile, so that answers arrive while one writes.
    """
    with tempfile.TemporaryDirectory(prefix="hawser-") as folder:
        file = Path(folder) / "prompt.md"
        file.touch(mode=0o600)
        file.write_text(f"{text}\n" if text else "", encoding="utf-8", errors="replace")
        with _interrupts_left_to_the_editor():
            code = await _run([*command, str(file)])
        if code != 0:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            raise EditorFailed(f"The editor {how}; the text is as it was.")
        return await asyncio.to_thread(_read, file)


async def _run(command: Sequence[str]) -> int:
    try:
        process = await asyncio.create_subprocess_exec(*command)
    except OSError as error:
        raise EditorFailed(f"The editor {command[0]!r} did not start: {error.strerror or error}.") from error
    try:
        return await process.wait()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        raise


@contextmanager
def _interrupts_left_to_the_editor() -> Iterator[None]:
    """Ctrl+C in the editor reaches us too, being of its group; it must not end us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise EditorFailed(f"What the editor wrote cannot be read: {error.strerror or error}.") from error
    if len(content) > LARGEST_BYTES:
        raise EditorFailed(f"The editor left more than {LARGEST_BYTES:,} bytes; the text is as it was.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EditorFailed("The editor left something that is not UTF-8; the text is as it was.") from error
    return text.replace("\r\n", "\n").removesuffix("\n")
