"""`test` and `[`: what a script asks about files, texts and numbers."""

# ruff: noqa: PTH116 - paths of the private folder are text

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping

from providers.simulated.shell.programs import Call

_WRONG = 2

_NUMBERS: Mapping[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}
_TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_FILES: Mapping[str, Callable[[os.stat_result], bool]] = {
    "-e": lambda found: True,
    "-f": lambda found: stat.S_ISREG(found.st_mode),
    "-d": lambda found: stat.S_ISDIR(found.st_mode),
    "-s": lambda found: found.st_size > 0,
    "-r": lambda found: bool(found.st_mode & 0o400),
    "-w": lambda found: bool(found.st_mode & 0o200),
    "-x": lambda found: bool(found.st_mode & 0o100),
    "-L": lambda found: stat.S_ISLNK(found.st_mode),
    "-h": lambda found: stat.S_ISLNK(found.st_mode),
    "-p": lambda found: stat.S_ISFIFO(found.st_mode),
}


class _WrongError(Exception):
    pass


async def test(call: Call) -> int:
    arguments = call.arguments[1:]
    if call.name == "[":
        if arguments[-1:] != ["]"]:
            await call.complain("missing ]")
            return _WRONG
        arguments = arguments[:-1]
    try:
        reader = _Reader(call, arguments)
        holds = reader.either() if arguments else False
        if reader.rest():
            raise _WrongError(f"{reader.rest()[0]}: unexpected operator")
    except _WrongError as error:
        await call.complain(str(error))
        return _WRONG
    return 0 if holds else 1


class _Reader:
    def __init__(self, call: Call, arguments: list[str]) -> None:
        self._call = call
        self._arguments = arguments
        self._at = 0

    def rest(self) -> list[str]:
        return self._arguments[self._at :]

    def either(self) -> bool:
        holds = self._both()
        while self.rest()[:1] == ["-o"]:
            self._at += 1
            holds = self._both() or holds
        return holds

    def _both(self) -> bool:
        holds = self._one()
        while self.rest()[:1] == ["-a"]:
            self._at += 1
            holds = self._one() and holds
        return holds

    def _one(self) -> bool:
        rest = self.rest()
        if not rest:
            raise _WrongError("argument expected")
        if len(rest) >= 3 and (rest[1] in _NUMBERS or rest[1] in _TEXTS):
            self._at += 3
            if rest[1] in _TEXTS:
                return _TEXTS[rest[1]](rest[0], rest[2])
            return _NUMBERS[rest[1]](_number(rest[0]), _number(rest[2]))
        if len(rest) >= 3 and rest[1] in ("-nt", "-ot"):
            self._at += 3
            first, second = (self._changed_at(rest[0]), self._changed_at(rest[2]))
            return first > second if rest[1] == "-nt" else first < second
        if rest[0] == "!" and len(rest) > 1:
            self._at += 1
            return not self._one()
        if rest[0] == "(" and len(rest) > 1:
            self._at += 1
            holds = self.either()
            if self.rest()[:1] != [")"]:
                raise _WrongError("closing paren expected")
            self._at += 1
            return holds
        if len(rest) >= 2 and rest[0] in ("-n", "-z", "-t", *_FILES):
            self._at += 2
            return self._about(rest[0], rest[1])
        self._at += 1
        return rest[0] != ""

    def _about(self, question: str, what: str) -> bool:
        if question in ("-n", "-z"):
            return (what != "") is (question == "-n")
        if question == "-t":
            return self._call.process.stream(_number(what)).is_terminal
        try:
            path = self._call.path(what)
            return _FILES[question](os.lstat(path) if question in ("-L", "-h") else os.stat(path))
        except OSError:
            is_device = self._call.system.folder.absolute(self._call.working_folder, what) == "/dev/null"
            return is_device and question in ("-e", "-r", "-w")

    def _changed_at(self, what: str) -> float:
        try:
            return os.stat(self._call.path(what)).st_mtime
        except OSError:
            return float("-inf")


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _WrongError(f"Illegal number: {text}") from None
