"""One module per command word, named like it.

A module here imports only light parts of the standard library at its top: it is loaded to print help. What it needs to
do its work is imported in `run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import argparse

    from console.shell import Shell


class Command(Protocol):
    """What a command module looks like from outside."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace, shell: Shell) -> int:
        """Do it and return the exit code; failures are raised."""
        ...
