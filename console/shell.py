"""What a command talks to: the three streams, the environment and the folders, and nothing else of the process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

from console.paths import Paths, find_paths
from console.text import escape_controls, neutralise

if TYPE_CHECKING:
    from console.links.connector import LoginManners
    from console.runtime import Runtime

SCHEMA = 1
"""Version of every JSON document a command writes."""


class Shell:
    def __init__(
        self,
        stdin: TextIO | None,
        stdout: TextIO,
        stderr: TextIO,
        environment: Mapping[str, str],
        *,
        ends_process: bool = False,
    ) -> None:
        """`ends_process` says that the process is over once the command is, so that nothing needs tidying in it."""
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.environment = environment
        self.ends_process = ends_process
        self.debug = False

    @cached_property
    def paths(self) -> Paths:
        return find_paths(self.environment)

    @property
    def isolated(self) -> bool:
        """The demo and the tests: nothing of the user's own keys, keyring or servers is looked at."""
        return self.environment.get("HAWSER_ISOLATED") == "1"

    def say(self, text: str = "") -> None:
        self.stdout.write(neutralise(text) + "\n")

    def note(self, text: str) -> None:
        self.mutter(neutralise(text) + "\n")

    def paragraph(self, text: str) -> None:
        """As `note`, broken between words where a terminal is narrower than the line."""
        if self.stderr.isatty():
            import shutil
            import textwrap

            indent = " " * (len(text) - len(text.lstrip(" ")) + 2)
            width = shutil.get_terminal_size().columns
            lines = textwrap.wrap(
                neutralise(text), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
            text = "\n".join(lines)
        self.note(text)

    def mutter(self, text: str) -> None:
        """Text to stderr as it is. That nobody reads it there is no reason to end what stdout is for."""
        try:
            self.stderr.write(text)
            self.stderr.flush()
        except OSError:
            pass

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Aligned plain text; columns that hold only figures are set to the right."""
        lines = [
            tuple(heading.upper() for heading in headings),
            *(tuple(" ".join(neutralise(cell).split()) for cell in row) for row in rows),
        ]
        widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
        right = [
            len(lines) > 1 and all(_is_figure(line[column]) for line in lines[1:]) for column in range(len(headings))
        ]
        for line in lines:
            cells = (
                cell.rjust(width) if is_right else cell.ljust(width)
                for cell, width, is_right in zip(line, widths, right, strict=True)
            )
            self.stdout.write("  ".join(cells).rstrip() + "\n")

    def items(self, items: Sequence[Mapping[str, Any]]) -> None:
        self.json({"schema": SCHEMA, "items": list(items)})

    def json(self, document: Mapping[str, Any]) -> None:
        import json

        self.stdout.write(escape_controls(json.dumps(document, ensure_ascii=False, indent=2, default=str)) + "\n")

    def is_interactive(self) -> bool:
        return self.stdin is not None and self.stdin.isatty() and self.stderr.isatty()

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; without one the answer is no."""
        return self.is_interactive() and self.ask(f"{question} [y/N] ").lower() in ("y", "yes")

    def ask(self, question: str) -> str:
        """A line from the terminal; empty at its end."""
        self.stderr.write(neutralise(question))
        self.stderr.flush()
        assert self.stdin is not None
        return self.stdin.readline().strip()

    def runtime(self) -> AbstractAsyncContextManager[Runtime]:
        from console.runtime import open_runtime

        return open_runtime(
            self.paths,
            self.environment,
            self._tell,
            discover=not self.isolated,
            ends_process=self.ends_process,
            login_manners=self._login_manners,
        )

    def _tell(self, text: str) -> None:
        self.note(f"hawser: {text}")

    def _login_manners(self) -> LoginManners:
        """What only a person knows is asked on the terminal."""
        from console.links.connector import LoginManners
        from console.terminal_ask import TerminalAsk

        return LoginManners(TerminalAsk(self), tell=self._tell)


def _is_figure(cell: str) -> bool:
    """Whether a cell is an amount, with its sign and unit; an id or a date is none."""
    if cell in ("", "-", "?", "unknown"):
        return True
    amount, _, unit = cell.lstrip("~≥<$ ").rstrip("%").partition(" ")
    return amount.replace(",", "").replace(".", "").isdigit() and (len(unit) <= 4 or unit.startswith("+"))
