"""Programs of the simulated machine that tell about it, run other programs, or wait."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from signal import Signals

from providers.simulated.shell.file_commands import human
from providers.simulated.shell.processes import Process
from providers.simulated.shell.programs import (
    CANNOT_RUN,
    NOT_FOUND,
    Call,
    Program,
    UsageError,
    execute,
    number_of,
    options_of,
)

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


async def sleep(call: Call) -> int:
    if len(call.arguments) < 2:
        raise UsageError("missing operand")
    await call.system.clock.sleep(sum(_seconds(argument) for argument in call.arguments[1:]))
    return 0


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([smhd]?)", text)
    if match is None:
        raise UsageError(f"invalid time interval '{text}'")
    return float(match[1]) * _UNITS[match[2]]


async def date(call: Call) -> int:
    options, operands = options_of(call, "u", "dI")
    now = call.system.clock.now().astimezone(UTC)
    if "d" in options:
        match = re.fullmatch(r"@(\d+)", options["d"])
        if match is None:
            raise UsageError(f"not in this shell: the date '{options['d']}'")
        now = datetime.fromtimestamp(int(match[1]), UTC)
    if "I" in options:
        await call.say(now.strftime("%Y-%m-%dT%H:%M:%S+00:00" if options["I"].startswith("s") else "%Y-%m-%d"))
        return 0
    pattern = operands[0] if operands else "+%a %b %e %H:%M:%S UTC %Y"
    if not pattern.startswith("+"):
        raise UsageError(f"invalid date '{pattern}'")
    pattern = re.sub(r"%(\d*)N", lambda match: f"{now.microsecond * 1000:09}"[: int(match[1] or 9)], pattern[1:])
    await call.say(now.strftime(pattern.replace("%s", str(int(now.timestamp())))))
    return 0


async def uname(call: Call) -> int:
    options, _ = options_of(call, "asnrmpo")
    parts = {"s": "Linux", "n": call.system.name, "r": call.system.hardware.kernel, "m": "x86_64", "o": "GNU/Linux"}
    wanted = list(parts) if "a" in options else [letter for letter in parts if letter in options] or ["s"]
    await call.say(" ".join(parts[letter] for letter in wanted))
    return 0


async def hostname(call: Call) -> int:
    await call.say(call.system.name)
    return 0


async def whoami(call: Call) -> int:
    await call.say(call.system.user)
    return 0


async def id_(call: Call) -> int:
    options, _ = options_of(call, "ungG")
    user = call.system.user
    number = 0 if user == "root" else 1000
    if options.keys() & {"u", "g", "G"}:
        await call.say(user if "n" in options else str(number))
    else:
        await call.say(f"uid={number}({user}) gid={number}({user}) groups={number}({user})")
    return 0


async def nproc(call: Call) -> int:
    await call.say(str(call.system.hardware.cpus))
    return 0


async def uptime(call: Call) -> int:
    now = call.system.clock.now()
    seconds = int((now - call.system.started_at).total_seconds())
    if "-s" in call.arguments:
        await call.say(call.system.started_at.strftime("%Y-%m-%d %H:%M:%S"))
    elif "-p" in call.arguments:
        await call.say(f"up {seconds // 60} minutes")
    else:
        up = f"{seconds // 3600}:{seconds // 60 % 60:02}"
        await call.say(f" {now:%H:%M:%S} up {up},  1 user,  load average: 0.42, 0.36, 0.21")
    return 0


async def free(call: Call) -> int:
    options, _ = options_of(call, "bkmgh")
    total = call.system.hardware.memory_bytes
    used = total // 5
    cached = total // 4
    figures = (total, used, total - used - cached, total // 200, cached, total - used)

    def shown(size: int) -> str:
        if "h" in options:
            return human(size) + "i"
        return str(size // next((1024**power for power, letter in enumerate("bkmg") if letter in options), 1024))

    await call.say(
        " " * 15 + " ".join(f"{name:>11}" for name in ("total", "used", "free", "shared", "buff/cache", "available"))
    )
    await call.say(f"{'Mem:':<15}" + " ".join(f"{shown(figure):>11}" for figure in figures))
    await call.say(f"{'Swap:':<15}" + " ".join(f"{shown(0):>11}" for _ in range(3)))
    return 0


async def df(call: Call) -> int:
    options, names = options_of(call, "hkPTm", "B")
    folder = call.system.folder
    total, used = folder.limit_bytes, folder.used_bytes()
    for name in names:
        call.path(name)
    block = {"1": 1, "1K": 1024, "M": 1024**2, "1M": 1024**2, "G": 1024**3, "1G": 1024**3}.get(options.get("B", "1K"))
    if block is None:
        raise UsageError(f"invalid -B argument '{options['B']}'")
    if "m" in options:
        block = 1024**2

    def shown(size: int) -> str:
        return human(size) if "h" in options else str(-(-size // block))

    heading = "Size" if "h" in options else f"{block // 1024 or 1}{'K' if block >= 1024 else 'B'}-blocks"
    await call.say(f"{'Filesystem':<15} {heading:>10} {'Used':>10} {'Avail':>10} Use% Mounted on")
    share = -(-100 * used // total)
    await call.say(f"{'overlay':<15} {shown(total):>10} {shown(used):>10} {shown(total - used):>10} {share:>3}% /")
    return 0


# processes

_COLUMNS: Mapping[str, tuple[str, Callable[[Process, datetime, str], str]]] = {
    "pid": ("PID", lambda process, now, user: str(process.number)),
    "ppid": ("PPID", lambda process, now, user: str(process.parent_number)),
    "pgid": ("PGID", lambda process, now, user: str(process.group)),
    "sid": ("SID", lambda process, now, user: str(process.session)),
    "user": ("USER", lambda process, now, user: user),
    "stat": ("STAT", lambda process, now, user: "S"),
    "state": ("S", lambda process, now, user: "S"),
    "s": ("S", lambda process, now, user: "S"),
    "tty": ("TT", lambda process, now, user: "pts/0" if process.has_terminal else "?"),
    "pcpu": ("%CPU", lambda process, now, user: "0.0"),
    "pmem": ("%MEM", lambda process, now, user: "0.0"),
    "etimes": ("ELAPSED", lambda process, now, user: str(int((now - process.started_at).total_seconds()))),
    "etime": ("ELAPSED", lambda process, now, user: _elapsed(int((now - process.started_at).total_seconds()))),
    "lstart": ("STARTED", lambda process, now, user: process.started_at.strftime("%a %b %e %H:%M:%S %Y")),
    "comm": ("COMMAND", lambda process, now, user: process.arguments[0].rpartition("/")[2]),
    "args": ("COMMAND", lambda process, now, user: " ".join(process.arguments)),
}
_OTHER_NAMES = {
    "cmd": "args",
    "command": "args",
    "%cpu": "pcpu",
    "%mem": "pmem",
    "pgrp": "pgid",
    "tt": "tty",
    "ucmd": "comm",
}


def _elapsed(seconds: int) -> str:
    days, hours = seconds // 86400, seconds // 3600 % 24
    end = f"{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{days}-{hours:02}:{end}" if days else f"{hours:02}:{end}" if hours else end


async def ps(call: Call) -> int:
    columns = ["pid", "tty", "etime", "comm"]
    heads = True
    numbers: set[int] | None = None
    named: str | None = None
    shows_all = False
    arguments = iter(call.arguments[1:])
    chosen: list[str] = []
    for argument in arguments:
        match argument:
            case "-o" | "-eo" | "-Ao" | "-axo":
                chosen += next(arguments, "").split(",")
                shows_all = shows_all or argument != "-o"
            case "-p" | "--pid" | "-q":
                numbers = {int(number_of(number)) for number in re.split(r"[, ]+", next(arguments, "").strip())}
            case "-C":
                named = next(arguments, "")
            case "--no-headers" | "--no-heading" | "h":
                heads = False
            case "aux" | "-aux" | "-ef" | "-eF" | "ax" | "-ax" | "-e" | "-A" | "axu":
                shows_all = True
                columns = ["user", "pid", "ppid", "pcpu", "stat", "etime", "args"]
            case "-f" | "-ww" | "-w" | "ww" | "w":
                columns = ["user", "pid", "ppid", "tty", "etime", "args"]
            case _:
                raise UsageError(f"not in this shell: {argument}")
    if chosen:
        columns = [column.rstrip("=") for column in chosen]
        heads = heads and not all(column.endswith("=") for column in chosen)
    columns = [_OTHER_NAMES.get(column, column) for column in columns]
    strangers = [column for column in columns if column not in _COLUMNS]
    if strangers:
        raise UsageError(f'unknown user-defined format specifier "{strangers[0]}"')
    now = call.system.clock.now()
    listed = [
        process
        for process in call.system.processes
        if (process.number in numbers if numbers is not None else process.arguments[0] == named if named else shows_all)
        or (numbers is None and named is None and process.session == call.process.session)
    ]
    rows = [[_COLUMNS[column][1](process, now, call.system.user) for column in columns] for process in listed]
    if heads:
        rows.insert(0, [_COLUMNS[column][0] for column in columns])
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(len(columns))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        await call.say(" ".join([*cells, row[-1]]))
    return 0 if listed else 1


async def pgrep(call: Call) -> int:
    """`pgrep` and `pkill`."""
    options, operands = options_of(call, "flxTERMINKHU0129")
    if not operands:
        raise UsageError("no matching criteria specified")
    try:
        expression = re.compile(operands[0])
    except re.error:
        raise UsageError(f"not in this shell: the pattern {operands[0]}") from None
    status = 1
    for process in call.system.processes:
        text = " ".join(process.arguments) if "f" in options else process.arguments[0].rpartition("/")[2]
        hit = expression.fullmatch(text) if "x" in options else expression.search(text)
        if not hit or process is call.process:
            continue
        status = 0
        if call.name.endswith("pkill"):
            process.deliver(Signals.SIGKILL if "9" in options or "K" in options else Signals.SIGTERM)
        else:
            await call.say(str(process.number) + (f" {text}" if "l" in options else ""))
    return status


# programs that run others


def _inner(call: Call, arguments: list[str]) -> Call:
    return Call(call.system, call.process, arguments, call.environment, call.working_folder)


async def env(call: Call) -> int:
    environment = dict(call.environment)
    arguments = call.arguments[1:]
    while arguments:
        if arguments[0] in ("-i", "-"):
            environment.clear()
            arguments.pop(0)
        elif arguments[0] == "-u" and len(arguments) > 1:
            environment.pop(arguments[1], None)
            del arguments[:2]
        elif "=" in arguments[0]:
            name, _, value = arguments.pop(0).partition("=")
            environment[name] = value
        else:
            break
    if arguments:
        return await execute(Call(call.system, call.process, arguments, environment, call.working_folder))
    for name, value in environment.items():
        await call.say(f"{name}={value}")
    return 0


async def printenv(call: Call) -> int:
    if len(call.arguments) == 1:
        return await env(call)
    found = [call.environment[name] for name in call.arguments[1:] if name in call.environment]
    for value in found:
        await call.say(value)
    return 0 if len(found) == len(call.arguments) - 1 else 1


async def nohup(call: Call) -> int:
    if len(call.arguments) < 2:
        raise UsageError("missing operand")
    call.process.ignored.add(Signals.SIGHUP)
    if call.process.stream(1).is_terminal:
        await call.complain("ignoring input and appending output to 'nohup.out'")
        stream = call.system.open(call.working_folder, "nohup.out", "a")
        streams = {0: call.system.open("/", "/dev/null", "r"), 1: stream, 2: stream.share()}
        call.process.replace_streams(dict(streams))
    return await execute(_inner(call, call.arguments[1:]))


async def setsid(call: Call) -> int:
    arguments = call.arguments[1:]
    while arguments and arguments[0] in ("-f", "--fork", "-w", "--wait"):
        if arguments.pop(0) in ("-f", "--fork"):

            async def body(process: Process) -> int:
                process.session = process.group = process.number
                process.has_terminal = False
                inner = Call(call.system, process, arguments, call.environment, call.working_folder)
                return await execute(inner)

            call.system.processes.spawn(call.process, arguments, call.process.streams, body)
            return 0
    if not arguments:
        raise UsageError("no command specified")
    call.process.session = call.process.group = call.process.number
    call.process.has_terminal = False
    return await execute(_inner(call, arguments))


async def timeout(call: Call) -> int:
    arguments = call.arguments[1:]
    number = Signals.SIGTERM
    while arguments and arguments[0].startswith("-"):
        flag = arguments.pop(0)
        if flag == "-s" and arguments:
            name = arguments.pop(0).upper().removeprefix("SIG")
            if not name.isdigit() and "SIG" + name not in Signals.__members__:
                raise UsageError(f"{name}: invalid signal")
            number = Signals(int(name)) if name.isdigit() else Signals["SIG" + name]
        elif flag != "--preserve-status" and flag != "--foreground":
            raise UsageError(f"not in this shell: {flag}")
    if len(arguments) < 2:
        raise UsageError("missing operand")
    limit_s = _seconds(arguments[0])

    async def body(process: Process) -> int:
        return await execute(Call(call.system, process, arguments[1:], call.environment, call.working_folder))

    async def alarm(process: Process) -> int:
        await call.system.clock.sleep(limit_s)
        child.deliver(number)
        return 0

    child = call.system.processes.spawn(call.process, arguments[1:], call.process.streams, body)
    clock = call.system.processes.spawn(call.process, ["timeout"], {}, alarm)
    code = await child.wait()
    ran_out = not clock.is_alive
    clock.deliver(Signals.SIGKILL)
    return 124 if ran_out and child.killed_by is number else code


async def which(call: Call) -> int:
    status = 0
    for name in call.arguments[1:]:
        if name in call.system.programs:
            await call.say(f"/usr/bin/{name}")
        else:
            status = 1
    return status


async def xargs(call: Call) -> int:
    options, operands = options_of(call, "r", "nI")
    text = b""
    while data := await call.read():
        text += data
    items = text.decode("utf-8", "replace").split()
    if not items:
        return 0
    if "I" in options:
        runs = [[part.replace(options["I"], item) for part in operands] for item in items]
    else:
        count = int(number_of(options.get("n", "0"))) or len(items)
        runs = [[*(operands or ["echo"]), *items[first : first + count]] for first in range(0, len(items), count)]
    status = 0
    for arguments in runs:

        async def body(process: Process, arguments: list[str] = arguments) -> int:
            return await execute(Call(call.system, process, arguments, call.environment, call.working_folder))

        code = await call.system.processes.spawn(call.process, arguments, call.process.streams, body).wait()
        if code in (NOT_FOUND, CANNOT_RUN):
            return code
        status = 123 if code else status
    return status


COMMANDS: Mapping[str, Program] = {
    "date": date,
    "df": df,
    "env": env,
    "free": free,
    "hostname": hostname,
    "id": id_,
    "nohup": nohup,
    "nproc": nproc,
    "pgrep": pgrep,
    "pkill": pgrep,
    "printenv": printenv,
    "ps": ps,
    "setsid": setsid,
    "sleep": sleep,
    "timeout": timeout,
    "uname": uname,
    "uptime": uptime,
    "which": which,
    "whoami": whoami,
    "xargs": xargs,
}
