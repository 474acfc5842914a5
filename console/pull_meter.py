"""How far a pull has come, for a person who watches stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.text import neutralise, size_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.shell import Shell
    from providers.chat.ollama_admin import Progress

PROGRESS_EVERY_S = 5.0
"""How often a line is written where it cannot be updated in place."""
REDRAW_EVERY_S = 0.2


class PullMeter:
    """A pull's progress on stderr: one line that is written over on a terminal, else a line every few seconds."""

    def __init__(self, shell: Shell, what: str, monotonic: Callable[[], float]) -> None:
        self.completed_bytes = 0
        self.total_bytes = 0
        self._shell = shell
        self._what = what
        self._monotonic = monotonic
        self._began_s = monotonic()
        self._first: tuple[float, int] | None = None
        self._written_s: float | None = None
        self._is_terminal = shell.stderr.isatty()
        self._width = 0

    @property
    def seconds(self) -> float:
        return self._monotonic() - self._began_s

    def show(self, step: Progress) -> None:
        now_s = self._monotonic()
        self.completed_bytes, self.total_bytes = step.completed_bytes, step.total_bytes
        if self._first is None and step.total_bytes:
            self._first = now_s, step.completed_bytes
        due_s = REDRAW_EVERY_S if self._is_terminal else PROGRESS_EVERY_S
        if self._written_s is not None and now_s - self._written_s < due_s:
            return
        self._written_s = now_s
        self._write(self._line(step, now_s))

    def end(self) -> None:
        """Leave the line that was written over."""
        if self._width:
            self._shell.stderr.write("\n")
            self._shell.stderr.flush()
            self._width = 0

    def _line(self, step: Progress, now_s: float) -> str:
        if not step.total_bytes:
            return f"{self._what}: {step.status}"
        share = 100 * step.completed_bytes // step.total_bytes
        line = f"{self._what}: {size_words(step.completed_bytes)} of {size_words(step.total_bytes)} ({share} %)"
        assert self._first is not None
        seconds, brought = now_s - self._first[0], step.completed_bytes - self._first[1]
        if seconds > 0 and brought > 0:
            speed = brought / seconds
            left = (step.total_bytes - step.completed_bytes) / speed
            line += f", {size_words(int(speed))}/s, {time_words(left)} left"
        return line

    def _write(self, line: str) -> None:
        if not self._is_terminal:
            self._shell.note(line)
            return
        line = neutralise(line).replace("\n", " ")
        self._shell.stderr.write("\r" + line.ljust(self._width))
        self._shell.stderr.flush()
        self._width = len(line)


def time_words(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds) // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
