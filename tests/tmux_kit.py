"""A real tmux for tests: a server of its own with one window, watched and driven through its control mode.

    with Tmux([HAWSER], environment, size=(60, 20)) as tmux:
        tmux.until_shows("New line")
        tmux.keys("M-7")
        tmux.type("Hello")

Control mode tells of all output as it comes, so nothing here looks again and again for luck. The server ends with the
test, and everything in it. Where no `tmux` is installed, `TMUX` is None and its stories are left out.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

TMUX = shutil.which("tmux")
PATIENCE_S = 30.0
"""How long anything may take before a test gives up; a busy machine is not a failure."""
LOOK_AGAIN_S = 0.1
"""How soon a condition is looked at again that no output tells of."""
_SETTINGS = """
set -s default-terminal tmux-256color
set -s escape-time 10
set -s set-clipboard on
set -s focus-events on
set -g status off
set -g mouse on
set -g remain-on-exit on
set -g default-size {columns}x{rows}
"""
_KEEPING_ITS_CODE = '"$@"; echo $? >"$0"'
"""tmux itself sometimes misses the end of what it runs."""


class NotShown(AssertionError):
    """What was waited for did not come."""


class Tmux:
    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, size: tuple[int, int] = (100, 30)
    ) -> None:
        """`size` is columns and rows; the command is taken as it is."""
        self._command = list(command)
        self._environment = {**environment, "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        self._size = size
        self._unread = b""
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        assert TMUX is not None
        # the path of a socket must be short, and that of a test's own folder may be long
        self._folder = Path(tempfile.mkdtemp(prefix="hawser-tmux-"))
        settings = self._folder / "tmux.conf"
        self._code = self._folder / "code"
        self._code.touch()
        columns, rows = self._size
        settings.write_text(_SETTINGS.format(columns=columns, rows=rows))
        self._start = [TMUX, "-u", "-S", str(self._folder / "socket"), "-f", str(settings)]
        self._client = subprocess.Popen(
            [
                *self._start,
                "-C",
                "new-session",
                "-s",
                "room",
                "/bin/sh",
                "-c",
                _KEEPING_ITS_CODE,
                str(self._code),
                *self._command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            cwd=self._environment.get("HOME"),
        )
        self._reply()
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._start, "kill-server"], env=self._environment, check=False, stderr=subprocess.DEVNULL)
        self._client.communicate()
        shutil.rmtree(self._folder)

    def attached(self) -> list[str]:
        """The command of a client that shows the window in a terminal of its own."""
        return [*self._start, "attach-session", "-t", "room"]

    # ---- what it shows

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.tell("capture-pane", "-p")]

    def screen(self) -> str:
        return "\n".join(self.lines())

    def line_of(self, words: str) -> str:
        return next((line for line in self.lines() if words in line), "")

    def place_of(self, words: str) -> tuple[int, int]:
        """Column and row of words on the screen, from 1 on as terminals count."""
        for row, line in enumerate(self.lines(), 1):
            if words in line:
                return line.index(words) + 1, row
        raise NotShown(f"{words!r} is not on the screen:\n{self.screen()}")

    def value(self, name: str) -> str:
        """What tmux knows of the pane, such as `alternate_on`."""
        return "".join(self.tell("display-message", "-p", f"#{{{name}}}"))

    def buffer(self) -> str:
        """What was copied last; nothing if nothing was."""
        return "\n".join(self.tell("show-buffer")) if self.tell("list-buffers") else ""

    def until(self, condition: Callable[[], object], what: str = "it") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._notices(0)
            if condition():
                return
            if time.monotonic() > deadline:
                raise NotShown(f"{what} did not come to be; the screen:\n{self.screen()}")
            self._notices(LOOK_AGAIN_S)

    def until_shows(self, *words: str) -> None:
        """Until all of these are on the screen."""

        def is_shown() -> bool:
            screen = self.screen()
            return all(each in screen for each in words)

        self.until(is_shown, f"{words}")

    def until_gone(self, words: str) -> None:
        self.until(lambda: words not in self.screen(), f"the end of {words!r}")

    def ended(self) -> int:
        """The exit code of the program."""
        self.until(lambda: self._code.read_text().endswith("\n"), "the end")
        return int(self._code.read_text())

    # ---- what is done to it

    def keys(self, *names: str) -> None:
        """Press keys, as tmux names them."""
        self.tell("send-keys", *names)

    def type(self, text: str) -> None:
        self.tell("send-keys", "-l", text)

    def send(self, codes: bytes) -> None:
        """What a terminal would send."""
        self.tell("send-keys", "-H", *(f"{byte:02x}" for byte in codes))

    def paste(self, text: str) -> None:
        """As a terminal that knows bracketed paste does."""
        file = self._folder / "paste"
        file.write_text(text)
        self.tell("load-buffer", "-b", "paste", str(file))
        self.tell("paste-buffer", "-p", "-d", "-b", "paste")

    def resize(self, columns: int, rows: int) -> None:
        self.tell("resize-window", "-x", str(columns), "-y", str(rows))

    def tell(self, *words: str) -> list[str]:
        """A command of tmux; what it says to it."""
        assert self._client.stdin is not None
        self._client.stdin.write(shlex.join(words).encode() + b"\n")
        self._client.stdin.flush()
        return self._reply()

    # ---- control mode

    def _reply(self) -> list[str]:
        """The answer to a command. What is told between answers is only that something happened."""
        deadline = time.monotonic() + PATIENCE_S
        said: list[str] | None = None
        while True:
            while self._lines:
                line = self._lines.pop(0)
                if said is None:
                    said = [] if line.startswith("%begin ") else None
                elif line.startswith(("%end ", "%error ")):
                    if line.startswith("%error "):
                        raise NotShown(f"tmux: {said}")
                    return said
                else:
                    said.append(line)
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._read(left_s):
                raise NotShown("tmux does not answer")

    def _notices(self, limit_s: float) -> None:
        """Take what was told meanwhile; wait a little for it where nothing was."""
        self._read(limit_s)
        self._lines.clear()

    def _read(self, limit_s: float) -> bool:
        """Whether something came. Nothing but notices is there while no answer is waited for."""
        assert self._client.stdout is not None
        descriptor = self._client.stdout.fileno()
        if not select.select([descriptor], [], [], limit_s)[0]:
            return False
        piece = os.read(descriptor, 1 << 16)
        *whole, self._unread = (self._unread + piece).split(b"\n")
        self._lines += [line.decode(errors="replace") for line in whole]
        return bool(piece)
