"""The gate at the end: what goes on costing money or would be cut off is said before the app is left.

Whoever has something to say adds a function to `HawserApp.quit_concerns`. It reads what is known here and asks no
network, and it has a second for that: leaving never hangs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from console.errors import ConsoleError, explain
from console.text import plural

if TYPE_CHECKING:
    from screens.app import HawserApp

log = logging.getLogger(__name__)

LOOK_S = 1.0

Tell: TypeAlias = Callable[[str], None]


class Concern(NamedTuple):
    """Why one may not want to leave just so."""

    lines: tuple[str, ...]
    """What goes on, in sentences."""
    stay_words: str = ""
    """What leaving as it is means, such as "leave gpu1 running"; empty where it only ends what the app does."""
    end_words: str = ""
    """What can be ended first, such as "stop gpu1"; empty where nothing can."""
    end: Callable[[Tell], Awaitable[None]] | None = None
    """Ends it and returns once that is proved; tells how it goes. May be cancelled."""


Concerned: TypeAlias = Callable[["HawserApp"], Awaitable[Concern | None]]


async def leave(app: HawserApp) -> None:
    """Ask where there is something to ask, then leave or stay."""
    from screens.dialogs.confirm import Choice, ChoiceDialog

    concerns = await _concerns(app)
    if not concerns:
        app.exit(0)
        return
    kept = [each.stay_words for each in concerns if each.stay_words]
    ended = [each.end_words for each in concerns if each.end_words]
    choices: list[Choice[Literal["stay", "leave", "end"]]] = [Choice("escape", "Stay", "stay")]
    if ended:
        choices.append(Choice("s", f"{_sentence(ended)} and leave", "end"))
    choices.append(Choice("l", f"Leave, and {' and '.join(kept)}" if kept else "Leave", "leave", dangerous=True))
    lines = [line for each in concerns for line in (*each.lines, "")][:-1]
    answer = await app.push_screen_wait(ChoiceDialog("Leave Hawser?", lines, choices))
    if answer == "leave" or (answer == "end" and await _end(app, concerns)):
        app.exit(0)


def _sentence(words: Sequence[str]) -> str:
    text = " and ".join(words)
    return text[:1].upper() + text[1:]


async def _concerns(app: HawserApp) -> list[Concern]:
    concerns = []
    for look in app.quit_concerns:
        try:
            async with asyncio.timeout(LOOK_S):
                concern = await look(app)
        except (TimeoutError, ConsoleError) as error:
            log.warning("whether something goes on cannot be said: %s", explain(error).text)
            continue
        if concern is not None:
            concerns.append(concern)
    return concerns


async def _end(app: HawserApp, concerns: Sequence[Concern]) -> bool:
    """End what can be ended, with how it goes in sight; whether all of it is, or the user leaves before that."""
    from screens.dialogs.progress import ProgressDialog

    async def work(tell: Tell) -> None:
        await asyncio.gather(*(each.end(tell) for each in concerns if each.end is not None))

    dialog = ProgressDialog(
        "Ending what runs",
        work,
        give_up="Leave now: what is not proved yet may go on costing money",
    )
    return await app.push_screen_wait(dialog) is not None


async def answers_under_way(app: HawserApp) -> Concern | None:
    """The concern that answers are which are still coming: leaving cuts them off."""
    busy = app.runtime.desk.busy
    if not busy:
        return None
    count, waiting = sum(len(chat.lives) for chat in busy), sum(len(chat.waiting) for chat in busy)
    lines = [
        "An answer is still coming. Leaving stops it; what came of it is kept."
        if count <= 1
        else f"{count} answers are still coming. Leaving stops them; what came of them is kept."
    ]
    if waiting:
        lines.append(f"{plural(waiting, 'question')} behind {'it' if count <= 1 else 'them'} will not be asked.")
    return Concern(tuple(lines))


async def machines_that_bill(app: HawserApp) -> Concern | None:
    """The concern that machines are, from the store."""
    from console.machines import words
    from console.machines.leaving import still_billing

    runtime = app.runtime
    if not runtime.paths.store_file.exists():
        return None
    billing = await still_billing(await runtime.store(), runtime.settings, runtime.clock)
    if not billing:
        return None
    names = [each.name for each in billing]
    known = sum((each.usd_per_hour for each in billing if each.usd_per_hour is not None), Decimal(0))
    lines = [each.line for each in billing]
    if len(billing) > 1:
        lines.append(f"Together they cost {words.per_hour(known)}.")

    async def end(tell: Tell) -> None:
        fleet = await runtime.fleet()

        async def stop(name: str) -> None:
            tell(f"{name}: stopping …")
            await fleet.stop(name, why="leaving the app")
            tell(f"{name}: asked to stop, waiting for the proof …")
            await fleet.settled(name)
            tell(f"{name}: stopped.")

        await asyncio.gather(*(stop(name) for name in names))

    which = names[0] if len(names) == 1 else f"{len(names)} machines"
    return Concern(tuple(lines), f"leave {which} running", f"stop {which}", end)
