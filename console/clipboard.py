"""Text to the clipboard by the best way there is, and a word on which one it was.

A program of this system is sure and takes any length, but reaches the clipboard of this computer: over SSH the
terminal's own way goes first, because the person sits at the other end. The terminal never says whether it took what
it was given, so that way is only tried where terminals are known to know it. A private file is always there.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from console.errors import ConsoleError
from console.paths import write_privately
from console.text import size_words

log = logging.getLogger(__name__)

Manner: TypeAlias = Literal["auto", "native", "osc52", "file"]
Route: TypeAlias = Literal["native", "tmux", "osc52", "file"]

LIMIT_S = 2.0
"""How long a program may take; one that waits for a display that is gone takes for ever."""
LONGEST_OSC_52 = 74_994
"""Bytes of text: more would not fit into the 100,000 characters of a sequence that terminals agree on."""


class NotCopied(ConsoleError):
    title = "The text was not copied"


class Copied(NamedTuple):
    route: Route
    by: str
    """The program, `OSC 52`, or the file, to be named to the user."""
    size_bytes: int

    @property
    def words(self) -> str:
        """As in: Copied 1.2 kB by OSC 52."""
        return f"{size_words(self.size_bytes)} {'to' if self.route == 'file' else 'by'} {self.by}"


class Clipboard:
    """`draw` sends control codes to the terminal; without one there is no terminal to ask."""

    def __init__(
        self,
        environment: Mapping[str, str],
        file: Path,
        draw: Callable[[str], None] | None,
        *,
        manner: Manner = "auto",
        find: Callable[[str], str | None] = shutil.which,
        system: str = sys.platform,
    ) -> None:
        self._environment = environment
        self._file = file
        self._draw = draw
        self._manner = manner
        self._find = find
        self._system = system

    async def copy(self, text: str) -> Copied:
        """Put a text where it can be pasted from; `NotCopied` if no way that is allowed takes it."""
        content = text.encode("utf-8", "replace")
        for route in self.routes(len(content)):
            by = await self._by(route, text, content)
            if by is not None:
                log.info("copied %d bytes by %s", len(content), by)
                return Copied(route, by, len(content))
        raise NotCopied(
            "There is no way to the clipboard that the settings allow.",
            hint='Allow them all with clipboard = "auto" under [screen]; hawser doctor lists those there are.',
        )

    def routes(self, size_bytes: int) -> Iterator[Route]:
        """The ways to try, best first."""
        by_terminal: list[Route] = []
        if self._draw is not None and self._manner in ("auto", "osc52") and size_bytes <= LONGEST_OSC_52:
            if self._environment.get("TMUX"):
                by_terminal.append("tmux")
            if takes_osc_52(self._environment) or self._manner == "osc52":
                by_terminal.append("osc52")
        native: list[Route] = ["native"] if self._manner in ("auto", "native") and self._programs() else []
        is_remote = self._environment.get("SSH_CONNECTION") or self._environment.get("SSH_TTY")
        yield from [*by_terminal, *native] if is_remote else [*native, *by_terminal]
        if self._manner in ("auto", "file"):
            yield "file"

    async def _by(self, route: Route, text: str, content: bytes) -> str | None:
        match route:
            case "native":
                for command in self._programs():
                    given = text.encode("utf-16") if command[0] == "clip.exe" else content
                    if await self._runs(command, given):
                        return command[0]
                return None
            case "tmux":  # the only way that its own setting, set-clipboard external, lets through
                return "tmux" if await self._runs(("tmux", "load-buffer", "-w", "-"), content) else None
            case "osc52":
                assert self._draw is not None
                self._draw(osc_52(content, in_tmux=bool(self._environment.get("TMUX"))))
                return "OSC 52"
            case "file":
                try:
                    await asyncio.to_thread(write_privately, self._file, content)
                except OSError as error:
                    raise NotCopied(f"The text cannot be kept in {self._file}: {error.strerror or error}.") from error
                return str(self._file)

    def _programs(self) -> list[Sequence[str]]:
        """Those that are here and have a clipboard to write to."""
        there: list[Sequence[str]] = []
        if self._system == "darwin":
            there.append(("pbcopy",))
        if self._environment.get("WAYLAND_DISPLAY"):
            there.append(("wl-copy", "--type", "text/plain;charset=utf-8"))
        if self._environment.get("DISPLAY"):
            there += [("xclip", "-selection", "clipboard", "-in"), ("xsel", "--clipboard", "--input")]
        if self._environment.get("WSL_DISTRO_NAME") or self._environment.get("WSL_INTEROP"):
            there.append(("clip.exe",))
        return [command for command in there if self._find(command[0])]

    async def _runs(self, command: Sequence[str], content: bytes) -> bool:
        """Whether a program took it. Some stay behind to hold it, so nothing of theirs but their exit is waited for."""
        program = self._find(command[0])
        if program is None:
            return False
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *command[1:],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=dict(self._environment),
                start_new_session=True,  # what holds the text outlives the terminal
            )
        except OSError as error:
            log.info("%s cannot be started: %s", command[0], error)
            return False
        try:
            async with asyncio.timeout(LIMIT_S):
                await process.communicate(content)
        except TimeoutError:
            log.info("%s did not take the text within %.0f s", command[0], LIMIT_S)
            return False
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode == 0


def takes_osc_52(environment: Mapping[str, str]) -> bool:
    """Whether the terminal may know it: those that are known not to would lose the text without a word."""
    if environment.get("TERM", "") in ("", "dumb", "linux"):
        return False
    return environment.get("TERM_PROGRAM") != "Apple_Terminal" and not environment.get("VTE_VERSION")


def osc_52(content: bytes, *, in_tmux: bool = False) -> str:
    """The control code that gives the terminal a text; in tmux wrapped, so that it reaches the one around it."""
    sequence = f"\x1b]52;c;{b64encode(content).decode()}\x07"
    if not in_tmux:
        return sequence
    doubled = sequence.replace("\x1b", "\x1b\x1b")
    return f"\x1bPtmux;{doubled}\x1b\\"
