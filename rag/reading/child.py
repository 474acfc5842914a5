"""The process that parses: requests on standard input, answers on standard output, one after the other.

A request is a line of JSON and, where no path is named, the document's bytes; an answer is a line of JSON and the text
in UTF-8. Run by its path in an isolated interpreter: it gets our package from beside itself, and nothing else of ours.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from rag.reading.archive import Archive
    from rag.reading.limits import Limits


def find_package() -> None:
    """Make `rag` importable without making its neighbours so."""
    folder = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "rag", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rag"] = module
    spec.loader.exec_module(module)


def limit_this_process(limits: Limits) -> None:
    """For the next request: what was used before does not count."""
    try:
        import resource
    except ImportError:  # Windows; the parent's clock and output limits hold there
        return
    wanted = {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_CPU": int(time.process_time() + limits.all_seconds) + 2,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": resource.RLIM_INFINITY if limits.ocr else 0,  # text recognition is a program of its own
    }
    for name, most in wanted.items():
        which = getattr(resource, name, None)
        if which is None:
            continue
        try:
            highest = resource.getrlimit(which)[1]
            resource.setrlimit(which, (_lower(most, highest, resource.RLIM_INFINITY), highest))
        except (ValueError, OSError):  # a system that does not know this limit
            continue


def _lower(one: int, other: int, infinity: int) -> int:
    return other if one == infinity else one if other == infinity else min(one, other)


def opened(path: str, name: str, limits: Limits) -> BinaryIO:
    """A regular file within the limit; it may have become another since it was asked for."""
    from rag.errors import Unreadable

    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise Unreadable(f"There is no file {path!r}.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Unreadable(f"{name!r} cannot be read: {reason or error}.") from error
    file = os.fdopen(number, "rb")
    about = os.fstat(number)
    if not stat.S_ISREG(about.st_mode):
        file.close()
        raise Unreadable(f"{name!r} is not a file.")
    if about.st_size > limits.size_bytes:
        file.close()
        raise limits.too_many_bytes(name, about.st_size)
    return file


class Child:
    def __init__(self) -> None:
        self._archive: tuple[tuple[object, ...], Archive] | None = None
        """The archive that was asked last; its members come one after the other."""

    def answer(self, request: dict[str, Any], content: bytes, limits: Limits) -> tuple[dict[str, Any], str]:
        name, path = request["name"], request["path"]
        file: BinaryIO = io.BytesIO(content) if path is None else opened(path, name, limits)
        try:
            if request["do"] == "members":
                members = self._opened(name, path, file, limits).members(path or name)
                listed = [
                    [*each[:3], each.modified_at.isoformat() if each.modified_at else None, each.refused]
                    for each in members
                ]
                return {"members": listed}, ""
            if request["inner"]:
                inner = self._opened(name, path, file, limits).read(request["inner"])
                return self._read(request["inner"].rpartition("/")[2], io.BytesIO(inner), len(inner), limits)
            size_bytes = len(content) if path is None else os.fstat(file.fileno()).st_size
            return self._read(name, file, size_bytes, limits)
        finally:
            if self._archive is None or self._archive[0][-1] is not file:
                file.close()

    def _opened(self, name: str, path: str | None, file: BinaryIO, limits: Limits) -> Archive:
        from rag.reading.archive import Archive

        about = os.fstat(file.fileno()) if path is not None else None
        which = (path, limits, *((about.st_ino, about.st_size, about.st_mtime_ns) if about else (id(file),)))
        if self._archive is not None and self._archive[0][:-1] == which:
            return self._archive[1]
        if self._archive is not None:
            self._archive[0][-1].close()  # type: ignore[attr-defined]
            self._archive = None
        archive = Archive(name, file, limits)
        self._archive = ((*which, file), archive)
        return archive

    def _read(self, name: str, file: BinaryIO, size_bytes: int, limits: Limits) -> tuple[dict[str, Any], str]:
        from rag.reading import formats

        reading = formats.read(name, file, size_bytes, limits)
        return {
            "media_type": reading.media_type,
            "sections": reading.sections,
            "spans": reading.spans,
            "pages": reading.pages,
            "title": reading.title,
            "notes": reading.notes,
        }, reading.text


def main() -> None:
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what a library prints is no answer
    find_package()
    from rag.errors import RagError
    from rag.reading.limits import Limits

    child = Child()
    while line := requests.readline():
        request = json.loads(line)
        limits = Limits(*request["limits"])
        limit_this_process(limits)
        text = ""
        try:
            answer, text = child.answer(request, requests.read(request["bytes"]), limits)
        except RagError as error:
            answer = {"error": [type(error).__name__, error.text, error.hint]}
        except MemoryError:
            answer = {"error": ["TooLarge", f"{request['name']!r} needs more than {limits.memory_bytes >> 20:,} MiB"
                                " of memory to be read.", limits.size_hint()], "spent": True}  # fmt: skip
        except RecursionError:
            answer = {"error": ["Damaged", f"{request['name']!r} nests too deep to be read.", None]}
        except Exception as error:  # noqa: BLE001 - the edge of the process: whatever a hostile file provokes is told
            why = f"{request['name']!r} is damaged in a way its reader did not expect: {type(error).__name__}."
            answer = {"error": ["Damaged", why, None]}
        encoded = text.encode("utf-8", "replace")
        answer["bytes"] = len(encoded)
        answer["peak_kib"] = _peak_kib()
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.write(encoded)
        answers.flush()


def _peak_kib() -> int:
    """The most memory this process had. Where there is `/proc` that is asked: elsewhere, and in what `getrusage` says
    under Linux, the memory of the process that began this one may count."""
    try:
        for line in Path("/proc/self/status").read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> 10 if sys.platform == "darwin" else peak


if __name__ == "__main__":
    main()
