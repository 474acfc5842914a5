"""Our side of the reading process: it is started when it is needed, kept between files, and ended when it is late."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from threading import Timer
from typing import IO, Any

from rag import errors
from rag.errors import Damaged, RagError, TooLarge
from rag.reading.limits import Limits

_NEEDED = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TESSDATA_PREFIX")
"""What of the environment an interpreter or a program for text recognition may need."""
_KEPT_KIB = 400_000
"""A process that once grew beyond this is ended, since it does not give memory back."""
_LONGEST_HEADER_BYTES = 64_000_000
_ERRORS = {each.__name__: each for each in (
    errors.Unreadable, errors.TooLarge, errors.Locked, errors.Damaged, errors.NoText, errors.NotText,
)}  # fmt: skip


class ReadingProcess:
    """One at a time asks it; `Reader` sees to that."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    def ask(self, request: dict[str, Any], content: bytes, limits: Limits) -> tuple[dict[str, Any], str]:
        """What it answers, or the error that it tells; its end is an error too."""
        name = request["name"]
        child = self._running()
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            _kill(child)

        timer = Timer(limits.all_seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            answer, text = _exchange(child, {**request, "limits": limits, "bytes": len(content)}, content, limits)
        except (OSError, EOFError) as error:
            self.close()
            if expired:
                raise TooLarge(
                    f"{name!r} was not read within {limits.all_seconds:g} s.", hint=limits.time_hint()
                ) from error
            raise Damaged(
                f"{name!r} made its reader crash.", hint="The file may be damaged; save it anew and try again."
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.close()
            raise Damaged(f"{name!r} made its reader fail.") from error
        except BaseException:
            self.close()  # an answer that was not read would be taken for the next one
            raise
        finally:
            timer.cancel()
        holds_archive = bool(request["inner"]) or request["do"] == "members"  # unpacked, and asked for again soon
        if answer.get("spent") or (answer.get("peak_kib", 0) > _KEPT_KIB and not holds_archive):
            self.close()
        failure = answer.get("error")
        if failure is not None:
            raise _error(name, failure)
        return answer, text

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is not None:
            self.close()
        if self._child is None:
            # By its path and isolated (-I): it sees neither our environment's Python settings nor the current folder.
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [sys.executable, "-IB", self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _NEEDED if name in os.environ},
                start_new_session=True,  # it ends with what it started, and Ctrl+C in our terminal is not meant for it
            )
        return self._child

    def interrupt(self) -> None:
        """From another thread: what is being asked fails, and a fresh process answers the next one."""
        child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        _kill(child)
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:  # what was still to be written goes nowhere
                continue
        child.wait()


def _kill(child: subprocess.Popen[bytes]) -> None:
    """With the program for text recognition, if one runs."""
    if child.returncode is not None or not hasattr(os, "killpg"):
        child.kill()
        return
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone already, or not yet the leader of its group
        child.kill()


def _exchange(
    child: subprocess.Popen[bytes], request: dict[str, Any], content: bytes, limits: Limits
) -> tuple[dict[str, Any], str]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.write(content)
    child.stdin.flush()
    line = child.stdout.readline(_LONGEST_HEADER_BYTES)
    if not line.endswith(b"\n"):
        raise EOFError
    answer = json.loads(line)
    length = int(answer["bytes"])
    if not 0 <= length <= limits.characters * 4:
        raise ValueError("more text than was allowed")
    return answer, _all(child.stdout, length).decode("utf-8")


def _all(pipe: IO[bytes], length: int) -> bytes:
    content = pipe.read(length)
    if len(content) != length:
        raise EOFError
    return content


def _error(name: str, failure: object) -> RagError:
    match failure:
        case [str(kind), str(text), (str() | None) as hint] if kind in _ERRORS:
            return _ERRORS[kind](text[:1000], hint=hint[:500] if hint else None)
        case _:
            return Damaged(f"{name!r} made its reader fail.")
