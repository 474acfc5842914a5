"""Programs of the simulated machine that work on files and folders.

Paths of the private folder are text and not `Path`: they come as the machine names them and go to our side through
`Call.path` alone.
"""

# ruff: noqa: ASYNC240, PTH101, PTH102, PTH103, PTH105, PTH106, PTH107, PTH110, PTH112, PTH114, PTH116, PTH119, PTH208

from __future__ import annotations

import filecmp
import os
import re
import shutil
import stat
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from providers.simulated.shell.programs import Call, Program, UsageError, options_of

_Work: TypeAlias = Callable[[str], Awaitable[None]]
_Transfer: TypeAlias = Callable[[str, str], None]


async def _each(call: Call, names: list[str], words: str, work: _Work) -> int:
    """Do something with every name; what cannot be done is said."""
    status = 0
    if not names:
        raise UsageError("missing operand")
    for name in names:
        try:
            await work(name)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            await call.complain(f"{words} '{name}': {error.strerror}")
            status = 1
    return status


async def mkdir(call: Call) -> int:
    options, names = options_of(call, "pv", "m")

    async def work(name: str) -> None:
        if "p" in options:
            os.makedirs(call.path(name), exist_ok=True)
        else:
            os.mkdir(call.path(name))
        if "m" in options:
            os.chmod(call.path(name), int(options["m"], 8) | 0o700)

    return await _each(call, names, "cannot create directory", work)


async def rmdir(call: Call) -> int:
    _, names = options_of(call, "")

    async def work(name: str) -> None:
        os.rmdir(call.path(name))

    return await _each(call, names, "failed to remove", work)


async def rm(call: Call) -> int:
    options, names = options_of(call, "rRfv")
    if not names and "f" in options:
        return 0

    async def work(name: str) -> None:
        path = call.path(name)
        if path == call.system.folder.root:
            raise OSError(0, "it is dangerous to operate recursively on '/'")
        if name.rstrip("/").rpartition("/")[2] in (".", ".."):
            raise OSError(0, "refusing to remove '.' or '..' directory")
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                if not options.keys() & {"r", "R"}:
                    raise IsADirectoryError(0, "Is a directory")
                shutil.rmtree(path)
            else:
                os.remove(path)
        except FileNotFoundError:
            if "f" not in options:
                raise

    return await _each(call, names, "cannot remove", work)


async def touch(call: Call) -> int:
    options, names = options_of(call, "cam")

    async def work(name: str) -> None:
        path = call.path(name)
        if os.path.exists(path):
            os.utime(path)
        elif "c" not in options:
            call.system.open(call.working_folder, name, "a").release()

    return await _each(call, names, "cannot touch", work)


async def chmod(call: Call) -> int:
    _, operands = options_of(call, "R")
    mode, *names = operands or [""]

    async def work(name: str) -> None:
        path = call.path(name)
        before = stat.S_IMODE(os.stat(path).st_mode)
        if re.fullmatch(r"[0-7]{3,4}", mode):
            # our side must stay able to read and remove it, and no program of ours is ever another user
            os.chmod(path, int(mode, 8) & 0o777 | 0o600)
            return
        match = re.fullmatch(r"([ugoa]*)([-+])([rwx]+)", mode)
        if match is None:
            raise UsageError(f"invalid mode: '{mode}'")
        who = {"u": 0o700, "g": 0o070, "o": 0o007}
        reach = sum(who[one] for one in set(match[1]) & set(who)) if match[1] and "a" not in match[1] else 0o777
        bits = sum({"r": 0o444, "w": 0o222, "x": 0o111}[one] for one in set(match[3])) & reach
        os.chmod(path, (before | bits if match[2] == "+" else before & ~bits) | 0o600)

    return await _each(call, names, "cannot access", work)


async def cp(call: Call) -> int:
    options, names = options_of(call, "rRapfv")

    def copy(source: str, target: str) -> None:
        if os.path.isdir(source):
            if not options.keys() & {"r", "R", "a"}:
                raise IsADirectoryError(0, "-r not specified; omitting directory")
            call.system.folder.charge(_size_of(source))
            shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True)
        else:
            call.system.folder.charge(os.stat(source).st_size)
            (shutil.copy2 if options.keys() & {"p", "a"} else shutil.copy)(source, target)

    return await _two_places(call, names, "cannot copy", copy)


async def mv(call: Call) -> int:
    options, names = options_of(call, "fnvT")

    def move(source: str, target: str) -> None:
        if "n" in options and os.path.exists(target):
            return
        os.replace(source, target)

    return await _two_places(call, names, "cannot move", move)


async def _two_places(call: Call, names: list[str], words: str, work: _Transfer) -> int:
    if len(names) < 2:
        raise UsageError("missing file operand")
    *sources, last = names
    is_folder = os.path.isdir(call.path(last))
    if len(sources) > 1 and not is_folder:
        raise UsageError(f"target '{last}' is not a directory")

    async def one(name: str) -> None:
        source = call.path(name)
        os.lstat(source)
        target = call.path(f"{last}/{os.path.basename(source)}") if is_folder else call.path(last)
        if os.path.realpath(source) == os.path.realpath(target):
            raise OSError(0, "source and destination are the same file")
        work(source, target)

    return await _each(call, sources, words, one)


def _size_of(folder: str) -> int:
    return sum(os.lstat(f"{place}/{name}").st_size for place, _, names in os.walk(folder) for name in names)


async def ls(call: Call) -> int:
    options, names = options_of(call, "lahA1dtr")
    status = 0
    files: list[tuple[str, os.stat_result]] = []
    folders: list[tuple[str, str]] = []
    for name in names or ["."]:
        try:
            path = call.path(name)
            found = os.lstat(path)
        except OSError as error:
            await call.complain(f"cannot access '{name}': {error.strerror}")
            status = 2
            continue
        if stat.S_ISDIR(found.st_mode) and "d" not in options:
            folders.append((name, path))
        else:
            files.append((name, found))
    await _list(call, files, options)
    for number, (name, path) in enumerate(folders):
        if len(names) > 1:
            await call.say(("\n" if number or files else "") + f"{name}:")
        shown = [entry for entry in os.listdir(path) if not entry.startswith(".") or options.keys() & {"a", "A"}]
        entries = [(entry, os.lstat(f"{path}/{entry}")) for entry in shown]
        if "a" in options:
            entries += [(".", os.lstat(path)), ("..", os.lstat(path))]
        await _list(call, entries, options)
    return status


async def _list(call: Call, entries: list[tuple[str, os.stat_result]], options: Mapping[str, str]) -> None:
    entries.sort(key=lambda entry: -entry[1].st_mtime_ns if "t" in options else entry[0])
    if "r" in options:
        entries.reverse()
    for name, found in entries:
        if "l" not in options:
            await call.say(name)
            continue
        when = datetime.fromtimestamp(found.st_mtime, UTC).strftime("%b %e %H:%M")
        size = human(found.st_size) if "h" in options else str(found.st_size)
        user = call.system.user
        await call.say(f"{stat.filemode(found.st_mode)} {found.st_nlink} {user} {user} {size:>8} {when} {name}")


def human(size: float) -> str:
    for unit in ("", "K", "M", "G"):
        if size < 1024:
            return f"{size:.0f}{unit}" if size >= 10 or not unit else f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}T"


async def stat_(call: Call) -> int:
    options, names = options_of(call, "L", "c")

    async def work(name: str) -> None:
        found = os.stat(call.path(name))
        kind = "directory" if stat.S_ISDIR(found.st_mode) else "regular file"
        values = {
            "s": found.st_size,
            "Y": int(found.st_mtime),
            "n": name,
            "a": f"{stat.S_IMODE(found.st_mode):o}",
            "F": kind,
            "U": call.system.user,
            "i": found.st_ino,
        }
        pattern = options.get("c", "  File: %n\n  Size: %s\t%F\nAccess: (%a)")
        strangers = set(re.findall(r"%(.)", pattern)) - values.keys()
        if strangers:
            raise UsageError(f"not in this shell: %{min(strangers)}")
        await call.say(re.sub(r"%(.)", lambda match: str(values[match[1]]), pattern))

    return await _each(call, names, "cannot statx", work)


async def basename(call: Call) -> int:
    _, names = options_of(call, "")
    if not names:
        raise UsageError("missing operand")
    name = names[0].rstrip("/").rpartition("/")[2] or "/"
    await call.say(name.removesuffix(names[1]) if len(names) > 1 else name)
    return 0


async def dirname(call: Call) -> int:
    _, names = options_of(call, "")
    if not names:
        raise UsageError("missing operand")
    name = names[0].rstrip("/")
    await call.say(name.rpartition("/")[0] or ("/" if name.startswith("/") else "."))
    return 0


async def du(call: Call) -> int:
    options, names = options_of(call, "shb")

    async def work(name: str) -> None:
        path = call.path(name)
        size = _size_of(path) if os.path.isdir(path) else os.stat(path).st_size
        shown = str(size) if "b" in options else human(size) if "h" in options else str(-(-size // 1024))
        await call.say(f"{shown}\t{name}")

    return await _each(call, names or ["."], "cannot access", work)


async def realpath(call: Call) -> int:
    _, names = options_of(call, "fem")

    async def work(name: str) -> None:
        await call.say(call.system.folder.virtual(call.path(name)))

    return await _each(call, names, "cannot resolve", work)


async def mktemp(call: Call) -> int:
    options, names = options_of(call, "d")
    pattern = names[0] if names else "/tmp/tmp.XXXXXXXXXX"  # noqa: S108 - the machine's, inside the private folder
    base = pattern.rstrip("X")
    for _ in range(100):
        name = base + os.urandom(8).hex()[: max(3, len(pattern) - len(base))]
        path = call.path(name)
        if os.path.lexists(path):
            continue
        if "d" in options:
            os.mkdir(path)
        else:
            call.system.open(call.working_folder, name, "w").release()
        await call.say(name)
        return 0
    return 1


async def ln(call: Call) -> int:
    """`ln OLD NEW`: a second name for a file, at once and only if the name is free."""
    options, names = options_of(call, "f")
    if len(names) != 2:
        raise UsageError("two operands are needed")
    old, new = (call.path(name) for name in names)
    try:
        if "f" in options and os.path.lexists(new):
            os.remove(new)
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        await call.complain(f"failed to create hard link '{names[1]}': {error.strerror}")
        return 1
    return 0


async def cmp(call: Call) -> int:
    """Whether two files are the same; with -s without a word."""
    options, names = options_of(call, "s")
    if len(names) != 2:
        raise UsageError("two operands are needed")
    try:
        is_same = filecmp.cmp(call.path(names[0]), call.path(names[1]), shallow=False)
    except OSError as error:
        await call.complain(f"{error.strerror}")
        return 2
    if is_same:
        return 0
    if "s" not in options:
        await call.say(f"{names[0]} {names[1]} differ")
    return 1


COMMANDS: Mapping[str, Program] = {
    "basename": basename,
    "chmod": chmod,
    "cmp": cmp,
    "cp": cp,
    "dirname": dirname,
    "du": du,
    "ln": ln,
    "ls": ls,
    "mkdir": mkdir,
    "mktemp": mktemp,
    "mv": mv,
    "realpath": realpath,
    "readlink": realpath,
    "rm": rm,
    "rmdir": rmdir,
    "stat": stat_,
    "touch": touch,
}
