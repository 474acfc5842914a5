"""The screen between exec and the first frame of the app: what was there at the end of the last run, or an outline.

It is on screen before Python has loaded anything else of ours, so this file stands on the interpreter's own small
modules and imports nothing of the program. From here on the terminal is ours: it neither echoes nor waits for lines,
and what is typed waits in its buffer for the app. `close` gives it back as it was, whatever went wrong, and may be
called twice.
"""

from __future__ import annotations

import os
import stat
import sys
import termios

TYPE_CHECKING = False  # typing itself would cost more than the first paint
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from console.shell import Shell

STDIN, STDOUT, STDERR = 0, 1, 2
LARGEST_FRAME = 1 << 20
FRAME_FILE = "last-screen"
MARK = b"hawser-screen 1"
ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?2004h"
"""The alternate screen, no cursor, and pastes in brackets, so that a line break in one sends nothing."""
LEAVE = b"\x1b[?1000;1003;1004;1006;1015;1016;2004;2048l\x1b[<u\x1b[?7h\x1b[0m\x1b[?1049l\x1b[?25h"
GROUND, PANEL, INK, FAINT, ACCENT = "#10161d", "#1c2631", "#d3dce5", "#2e3c4b", "#6fb6d9"
"""The colours of the outline when there has been no run to take them from."""


def refusal(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """Why no app can be shown here, as a sentence and a hint; None where it can."""
    if not os.isatty(STDIN):
        return (
            "The terminal app needs a terminal, and standard input is none.",
            'To ask a question about what is piped in, use: hawser --prompt "…"',
        )
    if not os.isatty(STDERR) and not os.isatty(STDOUT):
        return (
            "The terminal app needs a terminal, and neither standard output nor standard error is one.",
            'To have an answer in a file, use: hawser --prompt "…" > FILE',
        )
    if environment.get("TERM", "") in ("", "dumb", "unknown"):
        return (
            f"The terminal app cannot be drawn on this terminal: TERM is {environment.get('TERM', '')!r}.",
            'Ask in plain lines with: hawser --prompt "…"; or set TERM, for instance to xterm-256color.',
        )
    return None


class EarlyScreen:
    """The terminal from before the app until after it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.refusal = refusal(environment)
        """Why there can be no app here, as a sentence and a hint."""
        self.colours = colour_manner(environment)
        """What the frame depends on beside its size."""
        self.is_painted = False
        """Whether the alternate screen is up, and was put up by us."""
        self.attributes: list[Any] | None = None
        """The terminal's own manner, to go back to."""
        self._file = os.path.join(state_folder(environment), FRAME_FILE)  # noqa: PTH118 - pathlib costs more than the paint
        self._error_stream: int | None = None

    def paint(self) -> None:
        """Put up the alternate screen. Where that cannot be done nothing is changed, and the app will say why."""
        if not os.isatty(STDERR):  # `hawser 2>FILE`: drawn on standard output's terminal, and complaints go to the file
            sys.stderr.flush()
            self._error_stream = os.dup(STDERR)
            os.dup2(STDOUT, STDERR)
        try:
            columns, rows = os.get_terminal_size(STDERR)
            self.attributes = termios.tcgetattr(STDIN)
            changed = termios.tcgetattr(STDIN)
            changed[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.IXOFF)
            changed[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)  # ISIG stays: Ctrl+C ends a slow start
            for sign in (termios.VSUSP, termios.VQUIT):  # but nothing may stop us with the alternate screen up
                changed[6][sign] = b"\0"
            changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
            termios.tcsetattr(STDIN, termios.TCSANOW, changed)
        except (OSError, termios.error):
            return
        self.is_painted = True
        try:
            _write(ENTER + self._frame(columns, rows))
        except OSError:
            self.close()

    def close(self) -> None:
        """The terminal as it was found: its manner, its own screen, its cursor, and standard error."""
        if self.attributes is not None:
            try:
                termios.tcsetattr(STDIN, termios.TCSANOW, self.attributes)
            except termios.error:  # it is gone
                pass
            self.attributes = None
        if self.is_painted:
            self.is_painted = False
            try:
                _write(LEAVE)
            except OSError:
                pass
        if self._error_stream is not None:
            os.dup2(self._error_stream, STDERR)
            os.close(self._error_stream)
            self._error_stream = None

    def run_app(self, shell: Shell) -> int:
        """Load what draws, and run the app to its end; returns the exit code."""
        import signal

        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, _leave)
        from screens.start import run_app

        return run_app(shell, self)

    def take_back(self) -> None:
        """Close it although the app still has it, and would leave it in its own way if it could."""
        self.is_painted = True
        self.close()

    def handed_over(self) -> None:
        """The app has the alternate screen, and leaves it by itself."""
        self.is_painted = False

    def _frame(self, columns: int, rows: int) -> bytes:
        kept = read_frame(self._file)
        if kept is None:
            return outline(columns, rows, self.colours)
        size, manner, ink, content = kept
        if size == f"{columns}x{rows}" and manner == self.colours and content:
            return content
        return outline(columns, rows, self.colours, ink)


def state_folder(environment: Mapping[str, str]) -> str:
    """`find_paths(environment).state`, found without pathlib and platformdirs."""
    home = environment.get("HAWSER_HOME")
    if home:
        return os.path.abspath(f"{_home(home)}/state")  # noqa: PTH100
    if sys.platform == "darwin":
        return _home("~/Library/Application Support/hawser")
    own = environment.get("XDG_STATE_HOME", "")
    return f"{own}/hawser" if own.startswith("/") else _home("~/.local/state/hawser")


def _home(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111


def colour_manner(environment: Mapping[str, str]) -> str:
    """What decides in which colours a frame is drawn, as one word."""
    if environment.get("NO_COLOR"):
        return "none"
    words = environment.get("TERM", ""), environment.get("COLORTERM", "")
    return "/".join("".join(c for c in word if c.isalnum() or c in "-._") for word in words)


def frame_form(size: tuple[int, int], manner: str, ink: Sequence[str], content: bytes) -> bytes:
    """A frame as it is kept. Without content the next run draws an outline in these colours."""
    columns, rows = size
    return b"%s %s\n%s" % (MARK, f"{columns}x{rows} {manner} {' '.join(ink)}".encode(), content)


def read_frame(file: str) -> tuple[str, str, list[str], bytes] | None:
    """Size, colours and content of the kept frame; None when there is none, or none that only its owner can write."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
            return None
        kept = os.read(descriptor, LARGEST_FRAME + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    head, newline, content = kept.partition(b"\n")
    words = head.decode("ascii", "replace").split(" ")
    if not newline or len(kept) > LARGEST_FRAME or head[: len(MARK)] != MARK or len(words) != 9:
        return None
    if not all(len(word) == 7 and word[0] == "#" for word in words[4:]):
        return None
    return words[2], words[3], words[4:], content


def outline(columns: int, rows: int, manner: str, ink: Sequence[str] | None = None) -> bytes:
    """The frame without what is in it: status line, composer, footer."""
    ground, panel, words, faint, accent = ink or [GROUND, PANEL, INK, FAINT, ACCENT]
    in_full_colour = manner.endswith(("truecolor", "24bit"))

    def paint(letters: str, on: str) -> str:
        return f"\x1b[0;{_colour(38, letters)};{_colour(48, on)}m" if in_full_colour else "\x1b[0m"

    line = "─" * max(columns - 2, 0)
    pieces = [f"{paint(words, ground)}\x1b[2J"]
    pieces.append(f"{paint(accent, panel)}\x1b[H\x1b[K{' Hawser'[:columns]}")
    if rows >= 8 and columns >= 20:
        pieces.append(f"{paint(faint, ground)}\x1b[{rows - 3};1H╭{line}╮")
        pieces.append(f"\x1b[{rows - 2};1H│\x1b[{rows - 2};{columns}H│\x1b[{rows - 1};1H╰{line}╯")
    pieces.append(f"{paint(words, panel)}\x1b[{rows};1H\x1b[K\x1b[0m")
    return "".join(pieces).encode()


def _colour(plane: int, name: str) -> str:
    try:
        red, green, blue = (int(name[at : at + 2], 16) for at in (1, 3, 5))
    except ValueError:
        return str(plane + 1)  # the terminal's own
    return f"{plane};2;{red};{green};{blue}"


def _leave(_number: int, _frame: object) -> NoReturn:
    """Asked to end while the app is still being loaded: out through what gives the terminal back."""
    raise SystemExit(130)


def _write(content: bytes) -> None:
    while content:
        content = content[os.write(STDERR, content) :]
