"""Programs of the simulated machine that work on text."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Mapping

from providers.simulated.shell.programs import Call, Program, UsageError, number_of, options_of
from providers.simulated.shell.streams import READ_BYTES, File, Stream

_FOLLOW_EVERY_S = 0.05
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", "e": "\033"}
_SIZES = {"b": 512, "K": 1024, "k": 1024, "M": 1024**2, "G": 1024**3, "": 1}
_MOST_LINES = 1_000_000


async def true(call: Call) -> int:
    return 0


async def false(call: Call) -> int:
    return 1


async def echo(call: Call) -> int:
    arguments = call.arguments[1:]
    flags = ""
    while arguments and re.fullmatch(r"-[neE]+", arguments[0]):
        flags += arguments.pop(0)[1:]
    text = " ".join(arguments)
    if "e" in flags:
        text = _unescaped(text)
    await call.write(os.fsencode(text if "n" in flags else text + "\n"))
    return 0


async def printf(call: Call) -> int:
    if len(call.arguments) < 2:
        await call.complain("usage: printf format [arguments]")
        return 2
    pattern, values = call.arguments[1], call.arguments[2:]
    status = 0
    output: list[str] = []
    while True:
        before = len(values)
        for literal, flags, kind in re.findall(r"([^%]+)|%([-+ 0#]*\d*(?:\.\d+)?)([a-zA-Z%])", pattern):
            if literal:
                output.append(_unescaped(literal))
            elif kind == "%":
                output.append("%")
            else:
                text, is_good = _formatted(flags, kind, values.pop(0) if values else None)
                output.append(text)
                if not is_good:
                    status = 1
        if not values or len(values) == before:
            break
    await call.write(os.fsencode("".join(output)))
    return status


def _formatted(flags: str, kind: str, value: str | None) -> tuple[str, bool]:
    if kind == "s":
        return f"%{flags}s" % (value or ""), True
    if kind == "b":
        return f"%{flags}s" % _unescaped(value or ""), True
    if kind == "c":
        return (value or "")[:1], True
    try:
        if kind in "feg":
            return f"%{flags}{kind}" % float(value or 0), True
        if kind in "dioxXu":
            return f"%{flags}{'d' if kind in 'iu' else kind}" % int(value or "0", 0), True
    except ValueError:
        return f"%{flags}{'f' if kind in 'feg' else 'd'}" % 0, False
    raise UsageError(f"%{kind}: invalid directive")


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code.isdigit():
            return chr(int(code, 8) & 0xFF)
        return chr(int(code[1:], 16)) if code[0] == "x" and len(code) > 1 else _ESCAPES.get(code, match[0])

    return re.sub(r"\\([0-7]{1,4}|x[0-9a-fA-F]{1,2}|.)", one, text)


# reading


async def _sources(call: Call, names: list[str]) -> AsyncIterator[tuple[str, Stream | None]]:
    """The named files, or standard input for none and for `-`; None in place of one that cannot be read."""
    for name in names or ["-"]:
        if name == "-":
            yield name, call.process.stream(0)
            continue
        try:
            stream = call.system.open(call.working_folder, name, "r")
        except OSError as error:
            await call.complain_about(name, error)
            yield name, None
            continue
        try:
            yield name, stream
        finally:
            stream.release()


async def _whole(stream: Stream) -> AsyncIterator[bytes]:
    while data := await stream.read(READ_BYTES):
        yield data


async def cat(call: Call) -> int:
    _, names = options_of(call, "u")
    status = 0
    async for _, stream in _sources(call, names):
        if stream is None:
            status = 1
            continue
        async for data in _whole(stream):
            await call.write(data)
    return status


async def head(call: Call) -> int:
    call.arguments = [re.sub(r"^-(\d+)$", r"-n\1", argument) for argument in call.arguments]
    options, names = options_of(call, "q", "nc")
    left = int(number_of(options.get("c") or options.get("n") or "10"))
    status = 0
    async for name, stream in _sources(call, names):
        if stream is None:
            status = 1
            continue
        if len(names) > 1 and "q" not in options:
            await call.say(f"==> {name} <==")
        wanted = left
        while wanted > 0:
            data = await stream.read(min(wanted, READ_BYTES) if "c" in options else READ_BYTES)
            if not data:
                break
            if "c" not in options:
                lines = data.splitlines(keepends=True)
                data = b"".join(lines[:wanted])
                wanted -= data.count(b"\n")
            else:
                wanted -= len(data)
            await call.write(data)
    return status


async def tail(call: Call) -> int:
    pid: int | None = None
    arguments: list[str] = []
    for argument in call.arguments[1:]:
        if argument.startswith("--pid="):
            pid = int(number_of(argument.removeprefix("--pid=")))
        elif re.fullmatch(r"-\d+", argument):
            arguments.append("-n" + argument[1:])
        else:
            arguments.append({"--follow": "-f", "--retry": "-F"}.get(argument, argument))
    call.arguments[1:] = arguments
    options, names = options_of(call, "fFq", "ncs")
    count = options.get("c") or options.get("n") or "10"
    if not re.fullmatch(r"[-+]?\d+", count):
        raise UsageError(f"invalid number of {'bytes' if 'c' in options else 'lines'}: '{count}'")
    follows = options.keys() & {"f", "F"}
    if follows and (len(names) != 1 or names == ["-"]):
        raise UsageError("not in this shell: following other than one file")
    status = 0
    if follows:
        return await _follow(call, names[0], count, in_bytes="c" in options, waits="F" in options, pid=pid)
    async for _, stream in _sources(call, names):
        if stream is None:
            status = 1
            continue
        await call.write(_end_of([data async for data in _whole(stream)], count, in_bytes="c" in options))
    return status


def _end_of(data: list[bytes], count: str, *, in_bytes: bool) -> bytes:
    whole = b"".join(data)
    number = abs(int(count))
    if in_bytes:
        return whole[max(0, number - 1) :] if count.startswith("+") else whole[max(0, len(whole) - number) :]
    lines = whole.splitlines(keepends=True)
    return b"".join(lines[max(0, number - 1) :] if count.startswith("+") else lines[max(0, len(lines) - number) :])


async def _follow(call: Call, name: str, count: str, *, in_bytes: bool, waits: bool, pid: int | None) -> int:
    """`tail -f`: what is there, and then what comes, until the process `pid` is gone if there is one."""
    place = -1
    identity = 0
    has_said = False
    while True:
        is_last = pid is not None and call.system.processes.get(pid) is None
        try:
            path = call.path(name)
            found = os.stat(path)  # noqa: PTH116 - paths of the folder are text
            if place < 0 or found.st_ino != identity or found.st_size < place:
                begin = b"" if place < 0 else None
                identity, place = found.st_ino, 0
                if begin is not None:
                    with open(path, "rb") as file:  # noqa: ASYNC230, PTH123 - a file of the private folder
                        data = file.read()
                    await call.write(_end_of([data], count, in_bytes=in_bytes))
                    place = len(data)
            while found.st_size > place:
                with open(path, "rb") as file:  # noqa: ASYNC230, PTH123
                    file.seek(place)
                    data = file.read(READ_BYTES)
                if not data:
                    break
                place += len(data)
                await call.write(data)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            if not waits:
                await call.complain(f"cannot open '{name}' for reading: {error.strerror}")
                return 1
            if not has_said:
                await call.complain(f"cannot open '{name}' for reading: {error.strerror}")
            has_said = True
        if is_last:
            return 0
        await asyncio.sleep(_FOLLOW_EVERY_S)


async def wc(call: Call) -> int:
    options, names = options_of(call, "lwcm")
    wanted = [letter for letter in "lwcm" if letter in options] or ["l", "w", "c"]
    status = 0
    total = dict.fromkeys("lwcm", 0)
    async for name, stream in _sources(call, names):
        if stream is None:
            status = 1
            continue
        whole = b"".join([data async for data in _whole(stream)])
        text = whole.decode("utf-8", "replace")
        counts = {"l": whole.count(b"\n"), "w": len(text.split()), "c": len(whole), "m": len(text)}
        for letter in total:
            total[letter] += counts[letter]
        await call.say(" ".join(str(counts[letter]) for letter in wanted) + (f" {name}" if names else ""))
    if len(names) > 1:
        await call.say(" ".join(str(total[letter]) for letter in wanted) + " total")
    return status


async def grep(call: Call) -> int:
    options, operands = options_of(call, "qvicnEFox", "em")
    pattern = options.get("e") or (operands.pop(0) if operands else None)
    if pattern is None:
        raise UsageError("usage: grep [-qvicnEFx] PATTERN [FILE]...")
    pattern = re.escape(pattern) if "F" in options else pattern
    try:
        expression = re.compile(os.fsencode(pattern), re.IGNORECASE if "i" in options else 0)
    except re.error:
        raise UsageError(f"not in this shell: the pattern {pattern}") from None
    status, found = 1, 0
    async for name, stream in _sources(call, operands):
        if stream is None:
            status = 2
            continue
        whole = b"".join([data async for data in _whole(stream)])
        for number, line in enumerate(whole.splitlines(), 1):
            hit = expression.fullmatch(line) if "x" in options else expression.search(line)
            if bool(hit) is ("v" in options):
                continue
            found += 1
            status = 0 if status == 1 else status
            if "q" in options:
                return 0
            if "c" not in options:
                before = (f"{name}:" if len(operands) > 1 else "") + (f"{number}:" if "n" in options else "")
                shown = hit.group() if hit and "o" in options else line
                await call.write(os.fsencode(before) + shown + b"\n")
    if "c" in options:
        await call.say(str(found))
    return status


async def sort(call: Call) -> int:
    options, names = options_of(call, "nru")
    lines: list[bytes] = []
    async for _, stream in _sources(call, names):
        if stream is not None:
            lines.extend(b"".join([data async for data in _whole(stream)]).splitlines())

    def number(line: bytes) -> float:
        match = re.match(rb"\s*(-?\d+(\.\d+)?)", line)
        return float(match[1]) if match else 0.0

    lines.sort(key=number if "n" in options else None, reverse="r" in options)
    if "u" in options:
        lines = list(dict.fromkeys(lines))
    await call.write(b"".join(line + b"\n" for line in lines))
    return 0


async def tee(call: Call) -> int:
    options, names = options_of(call, "a")
    streams = [call.system.open(call.working_folder, name, "a" if "a" in options else "w") for name in names]
    try:
        while data := await call.read():
            for stream in streams:
                await stream.write(data)
            await call.write(data)
    finally:
        for stream in streams:
            stream.release()
    return 0


async def digest(call: Call) -> int:
    """md5sum, sha1sum, sha256sum."""
    _, names = options_of(call, "b")
    status = 0
    async for name, stream in _sources(call, names):
        if stream is None:
            status = 1
            continue
        made = hashlib.new(call.name.rpartition("/")[2].removesuffix("sum"), usedforsecurity=False)
        async for data in _whole(stream):
            made.update(data)
        await call.say(f"{made.hexdigest()}  {name}")
    return status


async def dd(call: Call) -> int:
    """if=, of=, bs=, count=, skip=, seek= and conv=notrunc: as far as moving parts of files goes."""
    given = dict(argument.partition("=")[::2] for argument in call.arguments[1:])
    strangers = given.keys() - {"if", "of", "bs", "count", "skip", "seek", "conv", "status", "iflag", "oflag"}
    if strangers:
        raise UsageError(f"unrecognized operand '{min(strangers)}'")
    block = _bytes(given.get("bs", "512"))
    left = int(number_of(given["count"])) if "count" in given else -1
    skip = int(number_of(given.get("skip", "0"))) * block
    copied = whole = partial = 0
    source = sink = None
    try:
        source = call.system.open(call.working_folder, given["if"], "r") if "if" in given else None
        sink = _target_of_dd(call, given, block) if "of" in given else None
        reader, writer = source or call.process.stream(0), sink or call.process.stream(1)
        while skip > 0 and (data := await reader.read(min(skip, READ_BYTES))):
            skip -= len(data)
        # What comes short counts as a block as well, as with a pipe that holds less than one.
        while left and (data := await reader.read(block)):
            await writer.write(data)
            copied += len(data)
            whole, partial = (whole + 1, partial) if len(data) == block else (whole, partial + 1)
            left -= 1
    finally:
        for stream in filter(None, (source, sink)):
            stream.release()
    if given.get("status") != "none":
        records = f"{whole}+{partial} records"
        report = f"{records} in\n{records} out\n{copied} bytes copied\n"
        await call.process.stream(2).write(report.encode())
    return 0


def _target_of_dd(call: Call, given: Mapping[str, str], block: int) -> Stream:
    keeps = given.get("conv") == "notrunc" and os.access(call.path(given["of"]), os.F_OK)
    sink = call.system.open(call.working_folder, given["of"], "r+" if keeps else "w")
    if "seek" in given and isinstance(sink, File):
        sink.seek(int(number_of(given["seek"])) * block)
    return sink


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)([bKkMG]?)B?", text)
    if match is None:
        raise UsageError(f"invalid number: '{text}'")
    return int(match[1]) * _SIZES[match[2]]


async def seq(call: Call) -> int:
    _, operands = options_of(call, "")
    numbers = [int(number_of(operand)) for operand in operands]
    if not 1 <= len(numbers) <= 3:
        raise UsageError("one, two or three numbers")
    first, step, last = (1, 1, *numbers) if len(numbers) == 1 else (numbers[0], 1, *numbers[1:])[:3]
    if len(numbers) == 3:
        first, step, last = numbers
    if step == 0 or abs(last - first) > _MOST_LINES * abs(step):
        raise UsageError("not in this shell: that many numbers")
    for value in range(first, last + (1 if step > 0 else -1), step):
        await call.say(str(value))
    return 0


COMMANDS: Mapping[str, Program] = {
    "cat": cat,
    "dd": dd,
    "echo": echo,
    "false": false,
    "grep": grep,
    "head": head,
    "md5sum": digest,
    "printf": printf,
    "seq": seq,
    "sha1sum": digest,
    "sha256sum": digest,
    "sort": sort,
    "sync": true,
    "tail": tail,
    "tee": tee,
    "true": true,
    "wc": wc,
}
