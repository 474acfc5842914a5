"""Where a rented machine is at this moment: what the links ask before they connect.

Addresses and ports change with every start, and are reused by strangers. So a machine is known by its cloud and id, and
its address is read anew when what we have of it is old.
"""

from __future__ import annotations

from console.clock import Clock
from console.errors import LinkUnreachable, NotFound
from console.links.identity import Whereabouts
from console.machines.fleet import Fleet
from console.machines.records import MachineRecord, MachineState

FRESH_S = 20.0
"""How old an address may be."""

_OFF = {
    MachineState.STOPPED: "is stopped",
    MachineState.STOPPING: "is being stopped",
    MachineState.DESTROYING: "is being destroyed",
    MachineState.REQUESTED: "is only asked for so far",
    MachineState.BOOTING: "is still coming up",
    MachineState.FAILED: "did not come up",
    MachineState.LOST: "is lost: its cloud has no contact with it",
}


async def find(fleet: Fleet, clock: Clock, name: str) -> Whereabouts | None:
    """For `console/links/identity.py`: None for what is no machine of a cloud."""
    try:
        record = await fleet.machine(name)
    except NotFound:
        return None
    if record.origin == "settings":
        return None
    if record.seen_at is None or (clock.now() - record.seen_at).total_seconds() > FRESH_S:
        await fleet.refresh([record.cloud], max_age_s=FRESH_S)  # an old address is better than none
        record = await fleet.machine(name)
    return whereabouts(record)


def whereabouts(record: MachineRecord) -> Whereabouts:
    """Raises `LinkUnreachable` for a machine that is nowhere now, with what to do."""
    addresses = record.reading.addresses if record.reading is not None else ()
    ways = tuple((address.host, address.port, address.user) for address in addresses if address.forwards)
    if not ways:
        state = _OFF.get(record.state, "has no address yet")
        hint = (
            f"hawser vm up {record.name}" if record.state is MachineState.STOPPED else "hawser vm ls shows its state."
        )
        if addresses:
            state, hint = "has an SSH server that forwards nothing", "Rent it with a port for SSH."
        raise LinkUnreachable(f"{record.name!r} {state}.", hint=hint)
    return Whereabouts(
        identity=record.identity,
        ways=ways,
        host_key=record.reading.host_key if record.reading is not None else None,
        is_ours=record.origin == "launched",
    )
