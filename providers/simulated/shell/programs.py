"""What a program of the built-in shell is given, and the machine it runs on."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

from providers.simulated.pace import Clock
from providers.simulated.shell.files import Folder
from providers.simulated.shell.processes import Process, Processes
from providers.simulated.shell.streams import READ_BYTES, File, Nothing, Stream, Zeros

_DEVICES: Mapping[str, type[Stream]] = {"/dev/null": Nothing, "/dev/zero": Zeros}


class Hardware(NamedTuple):
    """What the machine says it is made of."""

    gpus: tuple[str, ...]
    cpus: int = 16
    memory_bytes: int = 64 * 1024**3
    kernel: str = "6.8.0-60-generic"


class System:
    """One machine as its programs see it."""

    def __init__(
        self,
        *,
        name: str,
        user: str,
        folder: Folder,
        hardware: Hardware,
        programs: Mapping[str, Program],
        clock: Clock,
        seed: int,
        ports: Mapping[int, tuple[str, int]] | None = None,
        neighbours: Mapping[tuple[str, int], tuple[str, int]] | None = None,
        pages: Mapping[str, str] | None = None,
    ) -> None:
        """`ports` is what answers on the machine itself and where that really is, `neighbours` what does elsewhere;
        `pages` is all of its internet."""
        self.programs = programs
        self.ports = {} if ports is None else ports
        self.neighbours = {} if neighbours is None else neighbours
        self.pages = {} if pages is None else pages
        self.name = name
        self.user = user
        self.folder = folder
        self.hardware = hardware
        self.clock = clock
        self.seed = seed
        self.started_at: datetime = clock.now()
        self.processes = Processes(clock, first_number=400 + seed % 600)

    def environment(self) -> dict[str, str]:
        """What a session begins with."""
        return {
            "HOME": self.folder.home,
            "USER": self.user,
            "LOGNAME": self.user,
            "SHELL": "/bin/sh",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
        }

    def open(self, working_folder: str, name: str, mode: str) -> Stream:
        """A file or a device; raises OSError."""
        absolute = self.folder.absolute(working_folder, name)
        if absolute in _DEVICES:
            return _DEVICES[absolute]()
        return File(self.folder, self.folder.real(working_folder, name), mode)


class Call:
    """One run of a program."""

    __slots__ = ("arguments", "environment", "process", "system", "working_folder")

    def __init__(
        self,
        system: System,
        process: Process,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        working_folder: str,
    ) -> None:
        self.system = system
        self.process = process
        self.arguments = list(arguments)
        self.environment = dict(environment)
        self.working_folder = working_folder

    @property
    def name(self) -> str:
        return self.arguments[0]

    def path(self, name: str) -> str:
        """Where `name` is on our side; raises OSError."""
        return self.system.folder.real(self.working_folder, name)

    async def read(self, size: int = READ_BYTES) -> bytes:
        return await self.process.stream(0).read(size)

    async def write(self, data: bytes) -> None:
        await self.process.stream(1).write(data)

    async def say(self, text: str) -> None:
        """A line, or several, to standard output."""
        await self.write(os.fsencode(text + "\n"))

    async def complain(self, words: str) -> None:
        await self.process.stream(2).write(os.fsencode(f"{self.name}: {words}\n"))

    async def complain_about(self, what: str, error: OSError) -> None:
        await self.complain(f"{what}: {error.strerror or error}")


Program: TypeAlias = Callable[[Call], Awaitable[int]]


class UsageError(Exception):
    """The program was called in a way it does not know."""


def options_of(call: Call, flags: str, valued: str = "") -> tuple[dict[str, str], list[str]]:
    """The letters given, with the values of those in `valued`, and the rest; raises UsageError."""
    options: dict[str, str] = {}
    operands: list[str] = []
    arguments = iter(call.arguments[1:])
    for argument in arguments:
        if argument == "--":
            operands.extend(arguments)
        elif not argument.startswith("-") or argument == "-":
            operands.append(argument)
        elif argument.startswith("--"):
            raise UsageError(f"unrecognized option '{argument}'")
        else:
            letters = argument[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter in valued:
                    value = letters or next(arguments, None)
                    if value is None:
                        raise UsageError(f"option requires an argument -- '{letter}'")
                    options[letter], letters = value, ""
                elif letter in flags:
                    options[letter] = ""
                else:
                    raise UsageError(f"invalid option -- '{letter}'")
    return options, operands


def number_of(text: str, words: str = "invalid number") -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{words}: '{text}'") from None


_PLACES = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
NOT_FOUND = 127
CANNOT_RUN = 126
WRONG_USE = 2


async def execute(call: Call) -> int:
    """Be the program that the call names, in the call's process."""
    place, _, name = call.name.rpartition("/")
    if (program := call.system.programs.get(name)) and (not place or place in _PLACES):
        call.process.arguments = call.arguments
        try:
            return await program(call)
        except UsageError as error:
            await call.complain(str(error))
            return WRONG_USE
    report = Call(call.system, call.process, ["sh"], {}, call.working_folder)
    if not place and not call.name.startswith("/"):
        await report.complain(f"{call.name}: not found in this shell")
        return NOT_FOUND
    try:
        path = call.path(call.name)
        with open(path, "rb") as script:  # noqa: ASYNC230, PTH123 - a small file of the private folder
            first_line = script.readline(256)
        if not os.access(path, os.X_OK):
            await report.complain(f"{call.name}: Permission denied")
            return CANNOT_RUN
    except OSError as error:
        await report.complain_about(call.name, error)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_RUN
    words = first_line.removeprefix(b"#!").split()
    interpreter = words[-1].rpartition(b"/")[2] if words else b""
    if first_line.startswith(b"#!") and interpreter not in (b"sh", b"bash"):
        await report.complain(f"{call.name}: not in this shell: {os.fsdecode(first_line.strip())}")
        return CANNOT_RUN
    call.arguments[:0] = ["sh"]
    return await execute(call)
