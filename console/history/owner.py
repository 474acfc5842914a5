"""Which process an unfinished row belongs to, so that nobody else tidies it away while that process lives.

A pid alone is not enough: it is used again. With the time its process started it is unique until the machine restarts.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_ENDED = ("Z", "X")
"""States of a process that is over and still has its pid, until its parent has asked how it ended."""


@cache
def this_process() -> str:
    return f"{os.getpid()}:{_started(os.getpid()) or '?'}"


def is_alive(owner: str | None) -> bool:
    """Whether the process that wrote `owner` still runs. One that cannot be told apart counts as alive."""
    pid_text, _, started = (owner or "").partition(":")
    if not pid_text.isdecimal():
        return False
    pid = int(pid_text)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return started == "?" or _started(pid) in (started, None)


def _started(pid: int) -> str | None:
    """When a process began, in the system's own words; None where that cannot be found out."""
    try:
        # The command's name, second on the line, may hold spaces and brackets; what follows the last bracket does not.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[19] if fields[0] not in _ENDED else "ended"
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return None
    import subprocess  # macOS has no /proc; only there is this paid for

    try:
        reply = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=2, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return "-".join(reply.stdout.split()) or None
