"""Waiting for the proof of a stop or a destruction, with what is seen meanwhile on standard error."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from console.errors import Exit, GivenUp, NotFound, TimeLimit
from console.history import machines
from console.machines import words
from console.machines.records import MachineRecord, MachineState

if TYPE_CHECKING:
    from console.runtime import Runtime
    from console.shell import Shell

TELL_S = 10.0
"""How often it is said that nothing has changed."""
_LOOK_S = 0.5
_DOING = {"stop": "is being stopped", "destroy": "is being destroyed"}


async def until_proved(record: MachineRecord, what: str, limit_s: float, runtime: Runtime, shell: Shell) -> int:
    """Exit code 0 with the proof, 8 without it."""
    fleet, store = await runtime.fleet(), await runtime.store()
    began = runtime.clock.monotonic()
    settling = asyncio.ensure_future(fleet.settled(record.name, limit_s=limit_s))
    telling = asyncio.ensure_future(_tell(record, what, runtime, shell))
    try:
        await settling
    except TimeLimit as error:
        shell.paragraph(f"hawser: {error.text} NOT PROVED: it may still cost {_price(record)}.")
        shell.paragraph(f"  It stays wished. See: hawser vm ls {record.name}")
        return Exit.MACHINE
    except GivenUp as error:
        shell.paragraph(f"hawser: {error.text}")
        return Exit.MACHINE
    except NotFound:
        pass  # it is gone by now, and nobody has its name
    except asyncio.CancelledError:
        shell.paragraph(f"hawser: The {what} of {record.name} stays wished; that is NOT PROVED. See: hawser vm ls")
        raise
    finally:
        for task in (settling, telling):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
    after = await store.run(lambda c: machines.by_seq(c, record.seq))
    passed = words.span(runtime.clock.monotonic() - began)
    if after.state not in (MachineState.STOPPED, MachineState.GONE):
        shell.paragraph(f"hawser: {record.name} is {after.state}, not {'stopped' if what == 'stop' else 'gone'}.")
        return Exit.MACHINE
    shell.paragraph(f"{record.name} is {after.state}: proved after {passed}. {await _summary(record, after, runtime)}")
    return Exit.DONE


async def tell_how_it_stands(record: MachineRecord, what: str, runtime: Runtime, shell: Shell) -> None:
    """What one knows without waiting."""
    after = await (await runtime.store()).run(lambda c: machines.by_seq(c, record.seq))
    done = {"stop": MachineState.STOPPED, "destroy": MachineState.GONE}[what]
    if after.state in (done, MachineState.GONE):
        shell.paragraph(f"{record.name} is {after.state}. {await _summary(record, after, runtime)}")
        return
    shell.paragraph(f"{record.name} {_DOING[what]}: accepted, not proved yet. {await _summary(record, after, runtime)}")
    shell.paragraph(
        f"  Wait for the proof with: hawser vm {what} {record.name} --wait --yes   or look with: hawser vm ls"
    )


async def _summary(before: MachineRecord, after: MachineRecord, runtime: Runtime) -> str:
    """What it cost since it came up, and what goes on."""
    from console.history import books

    now = runtime.clock.now()
    since = before.started_at or before.created_at

    def cost(connection: sqlite3.Connection) -> Decimal:
        spent = books.spent_on_machines(connection, since - timedelta(seconds=1), now + timedelta(seconds=1))
        return spent.get(before.name, Decimal(0))

    spent = await (await runtime.store()).run(cost)
    sentence = f"It cost {words.usd(spent)} since {words.clock(since, now)}."
    stopped = after.usd_per_hour_stopped
    if after.state is MachineState.STOPPED and stopped:
        sentence += f" Its disk goes on costing {words.per_day(stopped)}."
    return sentence


async def _tell(record: MachineRecord, what: str, runtime: Runtime, shell: Shell) -> None:
    """A line whenever something changes, and now and then that nothing does."""
    store, clock = await runtime.store(), runtime.clock
    began = told_at = clock.monotonic()
    told = ""
    is_alarmed = False
    while True:
        there, deed = await store.run(lambda c: (machines.by_seq(c, record.seq), machines.deed_of(c, record.seq)))
        words_there = there.reading.words if there.reading is not None else ""
        now = clock.monotonic()
        line = f"{there.state}" + (f" ({record.cloud} says {words_there!r})" if words_there else "")
        error = deed.error if deed is not None else None
        if error:
            line += f"; {error}"
        if line != told or now - told_at >= TELL_S:
            shell.paragraph(f"hawser: {record.name}: {words.span(now - began)}, {line}")
            told, told_at = line, now
        if deed is not None and deed.alarmed_at is not None and not is_alarmed:
            is_alarmed = True
            shell.paragraph(
                f"hawser: ALARM: {record.name} {_DOING[what]} since {words.age(clock.now(), deed.begun_at)}, and that"
                f" is NOT PROVED. It may still cost {_price(there)}. It is tried again and again.\a"
            )
        await clock.sleep(_LOOK_S)


def _price(record: MachineRecord) -> str:
    return words.per_hour(record.usd_per_hour) if record.usd_per_hour is not None else "money"
