"""Puts the second stopper on another host of the user's, and takes it away again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.errors import RemoteRefused, UsageError
from console.machines.stopper import FOLDER
from console.machines.work import GUARD_JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from console.clock import Clock
    from console.history.store import Store
    from console.links.remote import Connect

_LOOK = "command -v curl > /dev/null 2>&1 && echo curl; date +%s"


def accounts_for(names: Sequence[str], gives_keys: Callable[[str], bool | None]) -> list[str]:
    """The accounts whose machines have no keys of their own. `gives_keys` says None for what is no cloud."""
    found = [name for name in names if gives_keys(name) is False]
    if not found:
        raise UsageError(
            "There is no account whose machines need another host to end them.",
            hint="Machines with keys of their own get their guard by themselves; hawser vm lease NAME shows it.",
        )
    return found


def question(host: str, accounts: Sequence[str]) -> str:
    """What the user is to agree to."""
    keys = "the key of your account " if len(accounts) == 1 else "the keys of your accounts "
    return (
        f"{host} gets {keys}{', '.join(accounts)}, in files that only your user there can read. Whoever gets at them"
        " can do with these accounts what you can. A script there ends machines at the end of their lease. Go on?"
    )


async def install(host: str, accounts: Sequence[str], connect: Connect, store: Store, clock: Clock) -> None:
    """See that the host can do it, and remember it. Keys go there with the first lease, and only those needed."""
    from console.history import leases
    from console.links.remote import run

    output = await run(connect, _LOOK, machine=host, limit_s=20.0)
    if "curl" not in output.text.split():
        raise RemoteRefused(f"There is no curl on {host}, and the guard needs it.", hint=f"Install curl on {host}.")
    await store.run(lambda c: leases.add_stopper(c, host, accounts, clock.now()), write=True)


async def remove(host: str, connect: Connect, store: Store) -> None:
    """End the script and delete everything of it there, the keys first."""
    from console.history import leases
    from console.links.detached import Detached
    from console.links.remote import run

    if host not in await store.run(leases.stoppers):
        raise UsageError(f"No guard was put on {host!r}.")
    output = await run(connect, f'cd "$HOME/{FOLDER}" 2>/dev/null && rm -f ./*; exit 0', machine=host, limit_s=20.0)
    if not output.ended.is_success:
        raise RemoteRefused(f"The keys on {host} could not be deleted.", hint=f"Delete ~/{FOLDER} there by hand.")
    jobs = Detached(connect, machine=host)
    for job in await jobs.jobs():
        if job.id.startswith(GUARD_JOB):
            await jobs.stop(job.id, grace_s=1.0)
            await jobs.remove(job.id)
    await store.run(lambda c: leases.remove_stopper(c, host), write=True)
