"""One question to a worker that is up, without an event loop and without waiting for one that is not.

This is the headless way: a connection, two lines out, two lines in.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import console
from console.errors import NoWorker, TimeLimit, WorkerFailed
from console.library.place import holder, is_private, worker_place
from console.paths import Paths
from rag import errors as rag_errors
from rag.sockets import LARGEST_FRAME_BYTES, PROTOCOL, frame, is_ours, message


def ask_once(paths: Paths, do: str, arguments: dict[str, object], time_limit_s: float) -> Any:
    """What the worker answers, as JSON. `NoWorker` when there is none, or none that speaks as we do: go without.

    Raises what the worker raised, `TimeLimit`, or `WorkerFailed` when it ends while it is asked.
    """
    deadline = time.monotonic() + time_limit_s
    with _connected(paths, time_limit_s) as connection:
        hello = {"id": 0, "do": "hello", "with": {"version": console.__version__, "protocol": PROTOCOL}}
        try:
            connection.sendall(frame(hello) + frame({"id": 1, "do": do, "with": arguments}))
            lines = _Lines(connection, deadline)
            about = lines.answer(0)
            if not isinstance(about, dict) or about.get("protocol") != PROTOCOL:
                raise NoWorker("The documents' worker is of another version.")
            return lines.answer(1)
        except TimeoutError as error:
            raise TimeLimit(f"The documents' worker did not answer within {time_limit_s:g} s.") from error
        except OSError as error:
            raise WorkerFailed("The documents' worker ended while it was asked.") from error
        except ValueError as error:
            raise WorkerFailed("What answers for the documents' worker is not understood.") from error


def _connected(paths: Paths, time_limit_s: float) -> socket.socket:
    place = worker_place(paths)
    connection = _met_at(place.socket, time_limit_s)
    if connection is None and (elsewhere := holder(place)[1]) is not None:
        connection = _met_at(elsewhere, time_limit_s)
    if connection is None:
        raise NoWorker("There is no documents' worker.")
    return connection


def _met_at(path: Path, time_limit_s: float) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(time_limit_s)
    try:
        if is_private(path.parent):
            connection.connect(str(path))
            if is_ours(connection):
                return connection
    except OSError:
        pass  # nobody there
    connection.close()
    return None


class _Lines:
    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._read = bytearray()

    def answer(self, number: int) -> Any:
        while True:
            said = message(self._line())
            if said.get("id") == number and "event" not in said:
                return answered(said)

    def _line(self) -> bytes:
        while (end := self._read.find(b"\n")) < 0:
            left_s = self._deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._connection.settimeout(left_s)
            more = self._connection.recv(1 << 18)
            if not more:
                raise ConnectionResetError
            self._read += more
            if len(self._read) > 2 * LARGEST_FRAME_BYTES:
                raise WorkerFailed("The documents' worker sends more than it may.")
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line


def answered(said: dict[str, Any]) -> Any:
    """What an answer holds, or the error that it holds, as the worker raised it; `ValueError` if it is neither."""
    error = said.get("error")
    if error is None:
        return said.get("ok")
    if not isinstance(error, dict):
        raise ValueError("an error is a JSON object")
    kind = getattr(rag_errors, str(error.get("kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, rag_errors.RagError)):
        kind = rag_errors.RagError
    hint = error.get("hint")
    raise kind(str(error.get("text")), hint=None if hint is None else str(hint))
