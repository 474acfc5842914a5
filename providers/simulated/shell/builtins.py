"""The commands that a shell of the simulated machine does itself, because they change it or belong to it."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
from collections.abc import Awaitable, Callable, Mapping
from signal import Signals
from typing import TYPE_CHECKING, TypeAlias

from providers.simulated.shell import commands, testing
from providers.simulated.shell.control import LoopError, ReturnError, ScriptError
from providers.simulated.shell.processes import ExitError
from providers.simulated.shell.programs import NOT_FOUND, Call
from providers.simulated.shell.streams import read_line

if TYPE_CHECKING:
    from providers.simulated.shell.run import Shell

Builtin: TypeAlias = "Callable[[Shell, Call], Awaitable[int]]"

_OPTIONS = {"errexit": "e", "nounset": "u", "xtrace": "x", "noglob": "f", "pipefail": "pipefail"}
_NAME = re.compile(r"[A-Za-z_]\w*\Z")


def _code(call: Call, default: int) -> int:
    if len(call.arguments) < 2:
        return default
    try:
        return int(call.arguments[1])
    except ValueError:
        raise ScriptError(f"{call.name}: Illegal number: {call.arguments[1]}") from None


async def _nothing(shell: Shell, call: Call) -> int:
    return 0


async def _cd(shell: Shell, call: Call) -> int:
    arguments = [argument for argument in call.arguments[1:] if argument != "--"]
    name = arguments[0] if arguments else shell.variables.get("HOME", "/")
    if name == "-":
        name = shell.variables.get("OLDPWD", shell.working_folder)
        await call.say(name)
    try:
        if not stat.S_ISDIR(os.stat(call.path(name)).st_mode):  # noqa: PTH116 - paths of the folder are text
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        await call.complain(f"can't cd to {name}: {error.strerror}")
        return 2
    shell.variables["OLDPWD"] = shell.working_folder
    shell.working_folder = shell.system.folder.absolute(shell.working_folder, name)
    shell.variables["PWD"] = shell.working_folder
    return 0


async def _pwd(shell: Shell, call: Call) -> int:
    await call.say(shell.working_folder)
    return 0


async def _exit(shell: Shell, call: Call) -> int:
    raise ExitError(_code(call, shell.status))


async def _return(shell: Shell, call: Call) -> int:
    raise ReturnError(_code(call, shell.status) & 0xFF)


async def _break(shell: Shell, call: Call) -> int:
    if not shell.loops:
        return 0
    raise LoopError(max(1, _code(call, 1)), goes_on=call.name == "continue")


async def _export(shell: Shell, call: Call) -> int:
    for argument in call.arguments[1:]:
        name, equals, value = argument.partition("=")
        if name == "-p":
            continue
        if not _NAME.match(name):
            raise ScriptError(f"export: {name}: bad variable name")
        if equals:
            shell.variables[name] = value
        shell.exported.add(name)
    if call.arguments[1:] in ([], ["-p"]):
        for name in sorted(shell.exported & set(shell.variables)):
            await call.say(f"export {name}={_quoted(shell.variables[name])}")
    return 0


async def _local(shell: Shell, call: Call) -> int:
    for argument in call.arguments[1:]:
        name, equals, value = argument.partition("=")
        if equals:
            shell.variables[name] = value
    return 0


async def _unset(shell: Shell, call: Call) -> int:
    for name in call.arguments[1:]:
        shell.variables.pop(name, None)
        shell.exported.discard(name)
        if "-f" in call.arguments[1:]:
            shell.functions.pop(name, None)
    return 0


async def _set(shell: Shell, call: Call) -> int:
    arguments = call.arguments[1:]
    while arguments and re.match(r"[-+][a-z]", arguments[0]):
        flag = arguments.pop(0)
        if flag[1:] == "o":
            name = arguments.pop(0) if arguments else ""
            chosen = {_OPTIONS.get(name, name)}
        else:
            chosen = set(flag[1:])
        strangers = chosen - set(_OPTIONS.values())
        if strangers:
            raise ScriptError(f"set: Illegal option {flag}: not in this shell")
        shell.options = shell.options | chosen if flag.startswith("-") else shell.options - chosen
    if arguments or call.arguments[1:] == ["--"]:
        shell.positional = arguments[1:] if arguments[:1] == ["--"] else arguments
    if len(call.arguments) == 1:
        for name, value in sorted(shell.variables.items()):
            await call.say(f"{name}={_quoted(value)}")
    return 0


async def _shift(shell: Shell, call: Call) -> int:
    count = _code(call, 1)
    if not 0 <= count <= len(shell.positional):
        raise ScriptError("shift: can't shift that many")
    del shell.positional[:count]
    return 0


async def _read(shell: Shell, call: Call) -> int:
    names = [name for name in call.arguments[1:] if not name.startswith("-")] or ["REPLY"]
    strangers = [flag for flag in call.arguments[1:] if flag.startswith("-") and flag != "-r"]
    if strangers:
        raise ScriptError(f"read: Illegal option {strangers[0]}: not in this shell")
    line = os.fsdecode(await read_line(call.process.stream(0)))
    if "-r" not in call.arguments:
        line = re.sub(r"\\(.)", r"\1", line)
    blanks = shell.variables.get("IFS", " \t\n")
    text = line.removesuffix("\n").strip("".join(blank for blank in blanks if blank.isspace()))
    separator = f"[{re.escape(blanks)}]" + ("+" if blanks.isspace() else "")
    values = re.split(separator, text, maxsplit=len(names) - 1) if blanks and len(names) > 1 else [text]
    for number, name in enumerate(names):
        shell.variables[name] = values[number] if number < len(values) else ""
    return 0 if line.endswith("\n") else 1


async def _eval(shell: Shell, call: Call) -> int:
    shell.status = 0
    return await shell.run_text(" ".join(call.arguments[1:]))


async def _source(shell: Shell, call: Call) -> int:
    if len(call.arguments) < 2:
        raise ScriptError(f"{call.name}: filename argument required")
    try:
        with open(call.path(call.arguments[1]), "rb") as file:  # noqa: ASYNC230, PTH123 - small, in the private folder
            text = os.fsdecode(file.read())
    except OSError as error:
        raise ScriptError(f"{call.name}: cannot open {call.arguments[1]}: {error.strerror}") from None
    try:
        return await shell.run_text(text)
    except ReturnError as returned:
        return returned.code


async def _trap(shell: Shell, call: Call) -> int:
    if len(call.arguments) == 1:
        for name, script in shell.traps.items():
            await call.say(f"trap -- {_quoted(script)} {name}")
        return 0
    script, *names = [argument for argument in call.arguments[1:] if argument != "--"]
    for name in names:
        name = "EXIT" if name == "0" else name.upper().removeprefix("SIG")
        number = None if name == "EXIT" else signal_of(name)
        if name != "EXIT" and number is None:
            raise ScriptError(f"trap: {name}: bad trap")
        shell.traps.pop(name, None)
        if number is not None:
            name = number.name.removeprefix("SIG")
            shell.process.ignored.discard(number)
            shell.process.caught.discard(number)
            if script == "":
                shell.process.ignored.add(number)
            elif script != "-":
                shell.process.caught.add(number)
        if script not in ("", "-"):
            shell.traps[name] = script
    return 0


async def _wait(shell: Shell, call: Call) -> int:
    """Wait for what runs in the background; a signal that is trapped ends the wait."""
    numbers = [int(argument) for argument in call.arguments[1:] if argument.isdigit()]
    status = 0
    for number in numbers or list(shell.background):
        child = shell.background.get(number)
        if child is None:
            status = 127
            continue
        waiting = asyncio.ensure_future(child.wait())
        signalled = asyncio.ensure_future(shell.process.signalled.until(lambda: bool(shell.process.pending)))
        try:
            await asyncio.wait({waiting, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return 128 + shell.process.pending[0]
            status = waiting.result()
        finally:
            waiting.cancel()
            signalled.cancel()
        shell.background.pop(number, None)
    return status if numbers else 0


async def _jobs(shell: Shell, call: Call) -> int:
    for place, child in enumerate(shell.background.values(), 1):
        if child.is_alive:
            await call.say(f"[{place}] {child.number} Running  {' '.join(child.arguments)}")
    return 0


async def kill(call: Call) -> int:
    arguments = call.arguments[1:]
    number: Signals | None = Signals.SIGTERM
    if arguments[:1] == ["-l"]:
        await call.say(" ".join(one.name.removeprefix("SIG") for one in Signals))
        return 0
    asks_only = False
    if arguments and re.match(r"-\w", arguments[0]) and len(arguments) > 1:
        word = arguments.pop(0).removeprefix("-")
        if word in ("s", "n"):
            word = arguments.pop(0)
        asks_only = word == "0"
        number = signal_of(word)
        if number is None and not asks_only:
            await call.complain(f"Illegal option or signal: {word}")
            return 2
    if arguments[:1] == ["--"]:
        arguments.pop(0)
    if not arguments:
        await call.complain("usage: kill [-s sigspec | -signum | -sigspec] pid...")
        return 2
    if number in (Signals.SIGSTOP, Signals.SIGTSTP):
        await call.complain("stopping processes is not in this shell")
        return 2
    status = 0
    for target in arguments:
        if not re.fullmatch(r"-?\d+", target):
            await call.complain(f"Illegal number: {target}")
            status = 2
            continue
        processes = call.system.processes
        which = int(target)
        found = processes.in_group(-which) if which < 0 else [one for one in [processes.get(which)] if one]
        if which == 0:
            found = processes.in_group(call.process.group)
        if not found:
            await call.complain("No such process")
            status = 1
        for process in found:
            if number is not None and not asks_only:
                process.deliver(number)
    return status


async def _type(shell: Shell, call: Call) -> int:
    """`command -v NAME` and `type NAME`."""
    arguments = call.arguments[1:]
    if call.name == "command" and arguments[:1] not in (["-v"], ["-V"]):
        if not arguments:
            return 0
        # `command NAME` passes over functions
        functions, shell.functions = shell.functions, {}
        try:
            return await shell.run_text(" ".join(_quoted(argument) for argument in arguments))
        finally:
            shell.functions = functions
    status = 0
    for name in arguments[1:] if call.name == "command" else arguments:
        if name in shell.functions or name in BUILTINS:
            await call.say(name if call.name == "command" else f"{name} is a shell builtin")
        elif name.rpartition("/")[2] in call.system.programs:
            path = f"/usr/bin/{name.rpartition('/')[2]}"
            await call.say(path if call.name == "command" else f"{name} is {path}")
        else:
            if call.name == "type":
                await call.say(f"{name}: not found")
            status = NOT_FOUND
    return status


async def _umask(shell: Shell, call: Call) -> int:
    if len(call.arguments) == 1:
        await call.say("0022")
    return 0


def signal_of(word: str) -> Signals | None:
    """By name, with or without SIG, or by number."""
    try:
        return Signals(int(word)) if word.isdigit() else Signals["SIG" + word.upper().removeprefix("SIG")]
    except (KeyError, ValueError):
        return None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _inside(program: Callable[[Call], Awaitable[int]]) -> Builtin:
    async def builtin(shell: Shell, call: Call) -> int:
        return await program(call)

    return builtin


BUILTINS: Mapping[str, Builtin] = {
    ":": _nothing,
    ".": _source,
    "[": _inside(testing.test),
    "break": _break,
    "cd": _cd,
    "command": _type,
    "continue": _break,
    "echo": _inside(commands.echo),
    "eval": _eval,
    "exit": _exit,
    "export": _export,
    "false": _inside(commands.false),
    "jobs": _jobs,
    "kill": _inside(kill),
    "local": _local,
    "printf": _inside(commands.printf),
    "pwd": _pwd,
    "read": _read,
    "return": _return,
    "set": _set,
    "shift": _shift,
    "source": _source,
    "test": _inside(testing.test),
    "trap": _trap,
    "true": _inside(commands.true),
    "type": _type,
    "umask": _umask,
    "unset": _unset,
    "wait": _wait,
}
