"""Runs scripts of the built-in shell: what `syntax.py` read, with `builtins.py` inside and `execute` for programs."""

from __future__ import annotations

import asyncio
import fnmatch
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from signal import Signals
from typing import TypeAlias, assert_never

from providers.simulated.shell import expand, syntax
from providers.simulated.shell.builtins import BUILTINS
from providers.simulated.shell.control import InterruptError, LoopError, ReturnError, ScriptError
from providers.simulated.shell.processes import ExitError, Process
from providers.simulated.shell.programs import Call, System, execute
from providers.simulated.shell.streams import READ_BYTES, Nothing, Pipe, Ready, Stream, read_line

_SUBSTITUTED_BYTES = 16 * 1024 * 1024
_SCRIPT_BYTES = 1024 * 1024
_DEEPEST_CALLS = 40
SYNTAX_ERROR = 2

_Opening: TypeAlias = tuple[int, str, str]
"""A redirect whose target is known: descriptor, kind, target."""
_Compound: TypeAlias = syntax.Group | syntax.If | syntax.Loop | syntax.For | syntax.Case
_Body: TypeAlias = "Callable[[Shell], Awaitable[int]]"


class Shell:
    def __init__(
        self,
        system: System,
        process: Process,
        environment: Mapping[str, str],
        working_folder: str,
        *,
        name: str = "sh",
        positional: Sequence[str] = (),
        is_interactive: bool = False,
    ) -> None:
        self.system = system
        self.process = process
        self.working_folder = working_folder
        self.variables = dict(environment)
        self.exported = set(environment)
        self.name = name
        self.positional = list(positional)
        self.is_interactive = is_interactive
        self.functions: dict[str, syntax.Command] = {}
        self.options: set[str] = set()
        self.traps: dict[str, str] = {}
        self.status = 0
        self.number = process.number
        """What `$$` says, also in subshells."""
        self.background: dict[int, Process] = {}
        self.last_background: int | None = None
        self.loops = 0
        """How many loops we are inside of."""
        self._tested = 0
        self._depth = 0
        self._substituted = 0

    def copy(self, process: Process) -> Shell:
        """A subshell: knows all that we know, changes nothing of it."""
        made = Shell(self.system, process, {}, self.working_folder, name=self.name, positional=self.positional)
        made.variables, made.exported = dict(self.variables), set(self.exported)
        made.functions, made.options, made.status = dict(self.functions), set(self.options), self.status
        made.number, made.last_background = self.number, self.last_background
        made._depth = self._depth
        process.caught.clear()
        return made

    # life

    async def run_text(self, text: str, *, is_last: bool = False) -> int:
        """Run a script; what sh would die of is said, and is an ExitError when the shell is not interactive."""
        try:
            return await self.run(syntax.parse(text), is_last=is_last)
        except (syntax.ShellSyntaxError, ScriptError) as error:
            await self.complain(str(error))
            self.status = SYNTAX_ERROR
            if not self.is_interactive:
                raise ExitError(SYNTAX_ERROR) from None
            return self.status

    async def to_the_end(self, text: str) -> int:
        """Run a script as all that this shell does, and what it trapped for its exit."""
        try:
            code = await self.run_text(text, is_last=True)
        except ExitError as ended:
            code = ended.code
        except (LoopError, ReturnError):
            code = self.status
        return await self.leave(code)

    async def leave(self, code: int) -> int:
        script = self.traps.pop("EXIT", "")
        if script:
            self.status = code
            try:
                await self.run_text(script)
            except ExitError as ended:
                return ended.code
        return code

    async def talk(self) -> int:
        """Run what comes on standard input, line by line; asks for it when interactive."""
        if self.is_interactive:
            self.process.caught.add(Signals.SIGINT)
            self.process.ignored |= {Signals.SIGTERM, Signals.SIGQUIT}
        waiting = ""
        while True:
            try:
                if self.is_interactive:
                    await self.process.stream(2).write(os.fsencode("> " if waiting else self._prompt()))
                line = await read_line(self.process.stream(0))
                waiting += os.fsdecode(line)
                if line and _is_unfinished(waiting):
                    continue
                script, waiting = waiting, ""
                if script:
                    await self.run_text(script)
                if not line:
                    if self.is_interactive:
                        await self.process.stream(2).write(b"exit\n")
                    return await self.leave(self.status)
            except ExitError as ended:
                return await self.leave(ended.code)
            except (InterruptError, InterruptedError):
                self.process.pending.clear()
                self.status, waiting = 130, ""
            except (LoopError, ReturnError):
                waiting = ""

    def _prompt(self) -> str:
        place = self.working_folder
        home = self.system.folder.home
        if place == home or place.startswith(home + "/"):
            place = "~" + place.removeprefix(home)
        sign = "#" if self.system.user == "root" else "$"
        return f"{self.system.user}@{self.system.name}:{place}{sign} "

    async def complain(self, words: str) -> None:
        await self.process.stream(2).write(os.fsencode(f"{self.name.rpartition('/')[2]}: {words}\n"))

    # values

    def value(self, name: str) -> str | None:
        match name:
            case "?":
                return str(self.status)
            case "$":
                return str(self.number)
            case "!":
                return None if self.last_background is None else str(self.last_background)
            case "#":
                return str(len(self.positional))
            case "-":
                return "".join(sorted(option for option in self.options if len(option) == 1))
            case "@" | "*":
                return " ".join(self.positional) if self.positional else None
            case "0":
                return self.name
            case _ if name.isdigit():
                return self.positional[int(name) - 1] if int(name) <= len(self.positional) else None
            case _:
                return self.variables.get(name)

    def environment(self) -> dict[str, str]:
        return {name: self.variables[name] for name in self.exported if name in self.variables}

    async def output_of(self, script: syntax.Sequence) -> str:
        """What `$(…)` stands for."""
        pipe = Pipe()
        child = self._spawn(
            {**self.process.streams, 1: pipe.writer}, ["sh"], lambda shell: shell.run(script, is_last=True)
        )
        pipe.writer.release()
        output = bytearray()
        while data := await pipe.reader.read(READ_BYTES):
            output += data
            if len(output) > _SUBSTITUTED_BYTES:
                child.deliver(Signals.SIGKILL)
                raise ScriptError("not in this shell: a substitution of that size")
        pipe.reader.release()
        self.status = self._substituted = await child.wait()
        return os.fsdecode(bytes(output)).rstrip("\n").replace("\0", "")

    # running

    async def run(self, script: syntax.Sequence, *, is_last: bool = False) -> int:
        for number, (chain, in_background) in enumerate(script.items):
            if in_background:
                self._run_in_background(chain)
                self.status = 0
            else:
                await self._run_chain(chain, is_last=is_last and number == len(script.items) - 1)
        return self.status

    def _run_in_background(self, chain: syntax.Chain) -> None:
        async def body(shell: Shell) -> int:
            shell.process.ignored |= {Signals.SIGINT, Signals.SIGQUIT}
            await shell._run_chain(chain, is_last=True)
            return shell.status

        child = self._spawn({**self.process.streams, 0: Nothing()}, ["sh"], body)
        self.background[child.number] = child
        self.last_background = child.number

    async def _run_chain(self, chain: syntax.Chain, *, is_last: bool) -> None:
        pipelines = [("", chain.first), *chain.rest]
        for number, (operator, pipeline) in enumerate(pipelines):
            if (operator == "&&" and self.status != 0) or (operator == "||" and self.status == 0):
                continue
            is_tested = number < len(pipelines) - 1 or pipeline.is_negated
            self._tested += is_tested
            try:
                await self._run_pipeline(pipeline, is_last=is_last and number == len(pipelines) - 1)
            finally:
                self._tested -= is_tested
            if self.status and "e" in self.options and not self._tested and not is_tested:
                raise ExitError(self.status)

    async def _run_pipeline(self, pipeline: syntax.Pipeline, *, is_last: bool) -> None:
        if len(pipeline.commands) == 1:
            await self._run_command(pipeline.commands[0], is_last=is_last and not pipeline.is_negated)
        else:
            self.status = await self._run_piped(pipeline.commands)
        if pipeline.is_negated:
            self.status = int(self.status == 0)
        await self._heed_signals()

    async def _run_piped(self, commands: Sequence[syntax.Command]) -> int:
        children: list[Process] = []
        source: Stream | None = None
        for number, command in enumerate(commands):
            streams = dict(self.process.streams)
            if source is not None:
                streams[0] = source
            following = None if number == len(commands) - 1 else Pipe()
            if following is not None:
                streams[1] = following.writer
            children.append(self._spawn(streams, ["sh"], partial(_be, command)))
            if source is not None:
                source.release()
            if following is not None:
                following.writer.release()
            source = following.reader if following else None
        codes = [await child.wait() for child in children]
        return next((code for code in reversed(codes) if code), 0) if "pipefail" in self.options else codes[-1]

    def _spawn(self, streams: Mapping[int, Stream], arguments: Sequence[str], body: _Body) -> Process:
        """Run `body` in a subshell."""

        async def run(process: Process) -> int:
            shell = self.copy(process)
            try:
                code = await body(shell)
            except ScriptError as error:
                await shell.complain(str(error))
                code = SYNTAX_ERROR
            except (LoopError, ReturnError):
                code = shell.status
            except ExitError as ended:
                code = ended.code
            return await shell.leave(code)

        try:
            return self.system.processes.spawn(self.process, arguments, streams, run)
        except BlockingIOError:
            raise ScriptError("Cannot fork") from None

    async def _heed_signals(self) -> None:
        while self.process.pending:
            number = self.process.pending.pop(0)
            script = self.traps.get(number.name.removeprefix("SIG"))
            if script is None:
                raise InterruptError
            status = self.status
            await self.run_text(script)
            self.status = status

    async def _run_command(self, command: syntax.Command, *, is_last: bool) -> None:
        await asyncio.sleep(0)  # a loop of builtins must not hold up everybody else
        await self._heed_signals()
        if isinstance(command, syntax.Simple):
            await self._run_simple(command, is_last=is_last)
            return
        if isinstance(command, syntax.Function):
            self.functions[command.name] = command.body
            self.status = 0
            return
        if is_last and not self.traps and not self.is_interactive:
            await self._become(command)
            return
        async with self._redirected(command.redirects) as is_ready:
            if is_ready:
                await self._run_compound(command)

    async def _become(self, command: _Compound) -> None:
        """Do the last thing of this process: what it had open before is let go of, as in a sh that forked for it."""
        try:
            self._open(self.process.streams, await self._openings(command.redirects))
        except OSError as error:
            await self.complain(f"{error.filename}: {error.strerror}")
            self.status = SYNTAX_ERROR
            return
        if isinstance(command, syntax.Group):
            await self.run(command.body, is_last=True)
        else:
            await self._run_compound(command)

    async def _run_compound(self, command: _Compound) -> None:
        match command:
            case syntax.Group(body, True, _):
                child = self._spawn(self.process.streams, ["sh"], lambda shell: shell.run(body, is_last=True))
                self.status = await child.wait()
            case syntax.Group(body, _, _):
                await self.run(body)
            case syntax.If(branches, otherwise, _):
                for condition, body in branches:
                    if await self._holds(condition):
                        await self.run(body)
                        return
                self.status = 0
                if otherwise is not None:
                    await self.run(otherwise)
            case syntax.Loop(condition, is_until, body, _):
                status = 0
                while await self._holds(condition) is not is_until:
                    if not await self._round(body):
                        return
                    status = self.status
                self.status = status
            case syntax.For(name, words, body, _):
                values = list(self.positional) if words is None else await self._fields(words)
                self.status = 0
                for value in values:
                    self.variables[name] = value
                    if not await self._round(body):
                        return
            case syntax.Case(subject, branches, _):
                text = await expand.text_of(self, subject)
                self.status = 0
                for patterns, body in branches:
                    for pattern in patterns:
                        if re.match(fnmatch.translate(await expand.pattern_of(self, pattern)), text):
                            await self.run(body)
                            return
            case _:
                assert_never(command)

    async def _holds(self, condition: syntax.Sequence) -> bool:
        self._tested += 1
        try:
            return await self.run(condition) == 0
        finally:
            self._tested -= 1

    async def _round(self, body: syntax.Sequence) -> bool:
        """Once through a loop's body; whether the loop goes on."""
        self.loops += 1
        try:
            await self.run(body)
        except LoopError as left:
            self.status = 0
            if left.levels > 1 and self.loops > 1:
                raise LoopError(left.levels - 1, goes_on=left.goes_on) from None
            return left.goes_on
        finally:
            self.loops -= 1
        return True

    async def _fields(self, words: Sequence[syntax.Word]) -> list[str]:
        return [field for word in words for field in await expand.fields(self, word)]

    # simple commands

    async def _run_simple(self, command: syntax.Simple, *, is_last: bool) -> None:
        self._substituted = 0
        arguments = await self._fields(command.words)
        given = [(name, await expand.text_of(self, word)) for name, word in command.assignments]
        if "x" in self.options:
            shown = [f"{name}={value}" for name, value in given] + arguments
            await self.process.stream(2).write(os.fsencode("+ " + " ".join(shown) + "\n"))
        if not arguments:
            self.status = self._substituted
            self.variables.update(given)
            async with self._redirected(command.redirects):
                return
        name = arguments[0]
        if name == "exec":
            await self._exec(arguments[1:], given, command.redirects)
        elif name in self.functions or name in BUILTINS:
            await self._run_inside(arguments, given, command.redirects)
        else:
            await self._run_program(arguments, given, command.redirects, is_last=is_last and not self.traps)

    async def _run_inside(
        self, arguments: Sequence[str], given: Sequence[tuple[str, str]], redirects: Sequence[syntax.Redirect]
    ) -> None:
        before = {name: self.variables.get(name) for name, _ in given}
        self.variables.update(given)
        try:
            async with self._redirected(redirects) as is_ready:
                if not is_ready:
                    return
                if arguments[0] in self.functions:
                    await self._call_function(arguments)
                else:
                    self.status = await self._call_builtin(arguments)
        finally:
            for name, value in before.items():
                if value is None:
                    self.variables.pop(name, None)
                else:
                    self.variables[name] = value

    async def _call_builtin(self, arguments: Sequence[str]) -> int:
        call = Call(self.system, self.process, arguments, self.variables, self.working_folder)
        try:
            return await BUILTINS[arguments[0]](self, call)
        except BrokenPipeError:
            raise
        except InterruptedError:
            raise
        except OSError as error:
            await call.complain(error.strerror or str(error))
            return 1

    async def _call_function(self, arguments: Sequence[str]) -> None:
        if self._depth >= _DEEPEST_CALLS:
            raise ScriptError("not in this shell: functions nested that deeply")
        before, self.positional = self.positional, list(arguments[1:])
        self._depth += 1
        try:
            await self._run_command(self.functions[arguments[0]], is_last=False)
        except ReturnError as returned:
            self.status = returned.code
        finally:
            self.positional = before
            self._depth -= 1

    async def _run_program(
        self,
        arguments: Sequence[str],
        given: Sequence[tuple[str, str]],
        redirects: Sequence[syntax.Redirect],
        *,
        is_last: bool,
    ) -> None:
        openings = await self._openings(redirects)
        environment = {**self.environment(), **dict(given)}

        async def body(process: Process) -> int:
            if not is_last:
                process.caught.clear()
            try:
                self._open(process.streams, openings)
            except OSError as error:
                await self.complain(f"{error.filename or arguments[0]}: {error.strerror}")
                return SYNTAX_ERROR
            call = Call(self.system, process, arguments, environment, self.working_folder)
            try:
                return await execute(call)
            except BrokenPipeError:
                raise
            except OSError as error:
                await call.complain(error.strerror or str(error))
                return 1

        if is_last and not self.is_interactive:  # nothing follows: the shell becomes the program, as sh does
            self.status = await body(self.process)
            return
        try:
            child = self.system.processes.spawn(self.process, arguments, self.process.streams, body)
        except BlockingIOError:
            raise ScriptError("Cannot fork") from None
        self.status = await child.wait()
        if self.is_interactive and child.killed_by is Signals.SIGINT:
            raise InterruptError

    async def _exec(
        self, arguments: Sequence[str], given: Sequence[tuple[str, str]], redirects: Sequence[syntax.Redirect]
    ) -> None:
        if arguments:
            is_interactive, self.is_interactive = self.is_interactive, False
            try:
                await self._run_program(arguments, given, redirects, is_last=True)
            finally:
                self.is_interactive = is_interactive
            raise ExitError(self.status)
        try:
            self._open(self.process.streams, await self._openings(redirects))
        except OSError as error:
            raise ScriptError(f"{error.filename}: {error.strerror}") from None
        self.status = 0

    # redirects

    async def _openings(self, redirects: Sequence[syntax.Redirect]) -> list[_Opening]:
        return [(descriptor, kind, await expand.text_of(self, target)) for descriptor, kind, target in redirects]

    @asynccontextmanager
    async def _redirected(self, redirects: Sequence[syntax.Redirect]) -> AsyncIterator[bool]:
        """Within, our process has other streams; False when one cannot be opened, which has been said."""
        if not redirects:
            yield True
            return
        openings = await self._openings(redirects)
        before = self.process.streams
        streams = {descriptor: stream.share() for descriptor, stream in before.items()}
        try:
            try:
                self._open(streams, openings)
            except OSError as error:
                await self.complain(f"{error.filename}: {error.strerror}")
                self.status = SYNTAX_ERROR
                yield False
                return
            self.process.streams = streams
            yield True
        finally:
            self.process.streams = before
            for stream in streams.values():
                stream.release()

    def _open(self, streams: dict[int, Stream], openings: Sequence[_Opening]) -> None:
        """Raises OSError with the name of what cannot be opened."""
        for descriptor, kind, target in openings:
            opened = self._opened(streams, kind, target)
            before = streams.pop(descriptor, None)
            if before is not None:
                before.release()
            if opened is not None:
                streams[descriptor] = opened

    def _opened(self, streams: Mapping[int, Stream], kind: str, target: str) -> Stream | None:
        if kind == "<<":
            return Ready(os.fsencode(target))
        if kind in ("<&", ">&"):
            if target == "-":
                return None
            if not target.isdigit() or int(target) not in streams:
                raise OSError(9, "Bad file descriptor", target)
            return streams[int(target)].share()
        try:
            return self.system.open(self.working_folder, target, {"<": "r", ">": "w", ">>": "a"}[kind])
        except OSError as error:
            raise OSError(error.errno, error.strerror, target) from None


async def sh(call: Call) -> int:
    """The program `sh`: `-c SCRIPT`, a file, or standard input."""
    arguments = call.arguments[1:]
    options: set[str] = set()
    while arguments and arguments[0].startswith("-") and arguments[0] not in ("-", "--"):
        flag = arguments.pop(0)
        if flag == "-o" and arguments:
            options.add(arguments.pop(0))
        else:
            options.update(flag[1:])
    if arguments[:1] in (["-"], ["--"]):
        arguments.pop(0)
    strangers = options - set("cefilsux") - {"pipefail"}
    if strangers:
        await call.complain(f"Illegal option -{min(strangers)}")
        return SYNTAX_ERROR
    if "c" in options and not arguments:
        await call.complain("-c requires an argument")
        return SYNTAX_ERROR
    shell = Shell(call.system, call.process, call.environment, call.working_folder, name=call.name)
    shell.options = options & {"e", "f", "u", "x", "pipefail"}
    if "c" in options:
        script, *rest = arguments
        shell.name, shell.positional = (rest[0], rest[1:]) if rest else (call.name, [])
        return await shell.to_the_end(script)
    if arguments and "s" not in options:
        shell.name, *shell.positional = arguments
        try:
            with open(call.path(shell.name), "rb") as file:  # noqa: ASYNC230, PTH123 - small, in the private folder
                text = file.read(_SCRIPT_BYTES + 1)
        except OSError as error:
            await call.complain(f"cannot open {shell.name}: {error.strerror}")
            return SYNTAX_ERROR
    else:
        shell.positional = arguments
        shell.is_interactive = "i" in options or call.process.stream(0).is_terminal
        return await shell.talk()
    if len(text) > _SCRIPT_BYTES:
        await call.complain("not in this shell: scripts of that size")
        return SYNTAX_ERROR
    return await shell.to_the_end(os.fsdecode(text))


async def _be(command: syntax.Command, shell: Shell) -> int:
    await shell._run_command(command, is_last=True)
    return shell.status


def _is_unfinished(text: str) -> bool:
    try:
        syntax.parse(text)
    except syntax.UnfinishedError:
        return True
    except syntax.ShellSyntaxError:  # said when it is run
        return False
    return False
