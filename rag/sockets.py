"""What both ends of the worker's socket agree on: its frames, their size, and who may speak.

A frame is one line of JSON. Loaded by the headless path: nothing heavy here.
"""

from __future__ import annotations

import os
import socket
import struct

PROTOCOL = 1
"""Another number, and the two ends do not understand each other."""
LARGEST_FRAME_BYTES = 8 << 20
_LOCAL_PEERCRED = 0x001
"""macOS and the BSDs; Python has no name for it."""


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a unix socket, as the system knows it."""
    linux = getattr(socket, "SO_PEERCRED", None)
    if linux is not None:
        said = connection.getsockopt(socket.SOL_SOCKET, linux, struct.calcsize("3i"))
        return int(struct.unpack("3i", said)[1])
    said = connection.getsockopt(0, _LOCAL_PEERCRED, 128)
    return int(struct.unpack_from("=Ii", said)[1])


def is_ours(connection: socket.socket) -> bool:
    return connection.family != socket.AF_UNIX or peer_uid(connection) == os.geteuid()


def frame(message: dict[str, object]) -> bytes:
    import json

    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def message(line: bytes) -> dict[str, object]:
    """The other way; `ValueError` for what is no JSON object."""
    import json

    try:
        said = json.loads(line.decode("utf-8", "surrogatepass"))
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    if not isinstance(said, dict):
        raise ValueError("a frame is a JSON object")
    return said
