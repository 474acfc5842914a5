"""What a machine itself tells of the work on it: its GPUs, who is logged in, and our jobs. Read over its link.

A part that cannot be read is left out, and then nobody knows: that counts as work, see `lease.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from console.errors import ConsoleError, LinkBroken, LinkUnreachable
from console.machines.signals import Look
from console.text import plural

if TYPE_CHECKING:
    from console.links.remote import Connect

_log = logging.getLogger(__name__)

BUSY_PERCENT = 5.0
"""A GPU in use above this works. Desktops and drivers use a little all the time."""
LIMIT_S = 20.0
GUARD_JOB = "lease-guard"
"""The name that the jobs of our own guard there begin with; they are no work."""

MOST_PROCESSES = 256 * 1024
"""In bytes of the list of processes."""

# One line for each process: its number, its parent's, and its title. The first line tells which of them asks.
SESSIONS = r"""
echo "self $$"
if [ -r /proc/self/stat ]; then
    for folder in /proc/[0-9]*; do
        IFS= read -r stat < "$folder/stat" || continue
        title=
        IFS= read -r title < "$folder/cmdline"
        set -- ${stat##*) }
        printf '%s %s %.100s\n' "${folder#/proc/}" "$2" "$title"
    done 2>/dev/null
else
    ps -axo pid=,ppid=,command= || exit 1
fi
exit 0
"""


class Process(NamedTuple):
    parent: int
    title: str


async def read_work(connect: Connect, machine: str) -> list[Look]:
    """What there is to see now. Raises a `LinkError` when the machine cannot be reached."""
    looks = [await _gpu(connect, machine)]
    for read in (_sessions, _jobs):
        try:
            looks.append(await read(connect, machine))
        except (LinkBroken, LinkUnreachable):
            raise
        except ConsoleError as error:
            _log.info("a part of a machine's work cannot be read", extra={"machine": machine, "error": error.text})
    return [look for look in looks if look is not None]


async def _gpu(connect: Connect, machine: str) -> Look | None:
    from console.machines.gpu import read_once

    snapshot, complaint = await read_once(connect, machine, limit_s=LIMIT_S)
    if snapshot is None:
        return Look("gpu", active=False, detail=f"no GPU answers: {complaint}")
    use = snapshot.busiest_percent
    if use is None:
        return None
    return Look("gpu", active=use >= BUSY_PERCENT, detail=f"GPU in use by {use:.0f} %")


async def _sessions(connect: Connect, machine: str) -> Look | None:
    from console.links.remote import run

    output = await run(connect, SESSIONS, machine=machine, limit_s=LIMIT_S, longest=MOST_PROCESSES, by_group=False)
    if not output.ended.is_success or output.is_cut:
        return None
    count = sessions_in(output.text)
    if count is None:
        return None
    return Look("ssh", active=count > 0, detail=f"{plural(count, 'SSH session')}")


async def _jobs(connect: Connect, machine: str) -> Look:
    from console.links.detached import Detached

    jobs = await Detached(connect, machine=machine).jobs()
    running = [job.id for job in jobs if job.state in ("starting", "running") and not job.id.startswith(GUARD_JOB)]
    return Look("jobs", active=bool(running), detail=", ".join(running[:5]) or "no job")


def sessions_in(listing: str) -> int | None:
    """How many SSH sessions somebody uses, beyond our links. None if the listing makes no sense.

    One with a terminal is in use. One without has to run something that is not ours: links of other Hawser processes
    have no terminal either, and carry nothing but forwards and short looks.
    """
    first, _, rest = listing.partition("\n")
    word, _, own = first.partition(" ")
    if word != "self" or not own.strip().isdecimal():
        return None
    processes: dict[int, Process] = {}
    for line in rest.splitlines():
        parts = line.split(None, 2)
        if len(parts) >= 2 and parts[0].isdecimal() and parts[1].isdecimal():
            processes[int(parts[0])] = Process(int(parts[1]), parts[2] if len(parts) == 3 else "")
    ours = _ancestors(int(own), processes)
    count = 0
    for number, process in processes.items():
        if not _is_session(process.title) or number in ours:
            continue
        children = [child.title for child in processes.values() if child.parent == number]
        if "@notty" not in process.title or not all(map(_is_our_work, children)):
            count += 1
    return count


def _ancestors(number: int, processes: Mapping[int, Process]) -> set[int]:
    found: set[int] = set()
    while number in processes and number not in found:
        found.add(number)
        number = processes[number].parent
    return found


def _is_session(title: str) -> bool:
    return title.startswith(("sshd: ", "sshd-session: ")) and "@" in title


def _is_our_work(title: str) -> bool:
    return title.startswith("nvidia-smi") or ".hawser/" in title or "hawser-" in title
