"""How a script leaves the middle of something. None of these reaches a person."""

from __future__ import annotations


class LoopError(Exception):
    """`break` or `continue`, through that many loops."""

    def __init__(self, levels: int, *, goes_on: bool) -> None:
        super().__init__(levels)
        self.levels = levels
        self.goes_on = goes_on


class ReturnError(Exception):
    """`return` from a function or a sourced script."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class InterruptError(Exception):
    """Ctrl-C at an interactive shell: it drops what it does and asks for the next command."""


class ScriptError(Exception):
    """The script cannot go on, in sh's words; ends a shell that is not interactive, with 2."""
