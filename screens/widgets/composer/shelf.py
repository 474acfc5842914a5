"""The chips of a composer: what was added, what is still being read, what was refused and why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from console.aside import aside
from console.chat.attaching import Attached, attach_file, attach_text, paste_words
from console.chat.drafts import AddedDocuments, AttachedFile, Chip, Collection, PastedText, is_asked
from console.errors import AttachmentRefused, ConsoleError
from console.text import size_words
from screens.widgets.composer.chips import ShownChip

MOST_CHIPS = 60
LARGEST_BYTES = 200_000_000
"""How much all chips may hold together."""
MEASURED_AT_ONCE = 50_000
"""How many characters are counted without leaving the loop."""
AT_ONCE = 2
"""How many files are read at the same time."""


class ChipShelf:
    """`changed` is called after every change, `refused` with a chip that could not be and why."""

    def __init__(self, changed: Callable[[], None], refused: Callable[[Chip, ConsoleError], None]) -> None:
        self.shown: tuple[ShownChip, ...] = ()
        self._changed = changed
        self._refused = refused
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)

    @property
    def chips(self) -> tuple[Chip, ...]:
        return tuple(each.chip for each in self.shown)

    @property
    def is_reading(self) -> bool:
        return any(each.reading for each in self.shown)

    @property
    def attached(self) -> tuple[Attached, ...]:
        return tuple(each.attached for each in self.shown if each.attached is not None)

    @property
    def collections(self) -> tuple[str, ...]:
        return tuple(each.chip.name for each in self.shown if isinstance(each.chip, Collection))

    def add(self, *chips: Chip) -> int:
        """Put these behind the others, those already there aside; returns how many found no room."""
        fresh = [chip for chip in dict.fromkeys(chips) if chip not in self.chips]
        room = max(MOST_CHIPS - len(self.shown), 0)
        self.shown = (*self.shown, *map(self._begin, fresh[:room]))
        self._changed()
        return len(fresh) - len(fresh[:room])

    def put(self, chips: Sequence[Chip]) -> None:
        """Exactly these; what is there already is not read again."""
        known = {each.chip: each for each in self.shown}
        if tuple(chips) == self.chips:
            return
        self.shown = tuple(known[chip] if chip in known else self._begin(chip) for chip in chips[:MOST_CHIPS])
        self._changed()

    @property
    def asked(self) -> tuple[Chip, ...]:
        """Those that stay when a question is sent."""
        return tuple(filter(is_asked, self.chips))

    def tell(self, chip: Chip, words: str) -> None:
        """Say something of a chip, behind its name."""
        self.shown = tuple(each._replace(told=words) if each.chip == chip else each for each in self.shown)
        self._changed()

    def remove(self, number: int) -> ShownChip | None:
        gone = self.find(number)
        if gone is not None:
            self.shown = tuple(each for each in self.shown if each.number != number)
            self._changed()
        return gone

    def find(self, number: int) -> ShownChip | None:
        return next((each for each in self.shown if each.number == number), None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, chip: Chip) -> ShownChip:
        number = next(self._numbers)
        match chip:
            case PastedText():
                words = paste_words(chip.text)
                if len(chip.text) <= MEASURED_AT_ONCE:
                    return ShownChip(number, chip, words, attach_text(chip.text))
                return self._read(number, chip, words, partial(attach_text, chip.text))
            case Collection():
                return ShownChip(number, chip, f"#{chip.name}")
            case AddedDocuments():
                return ShownChip(number, chip, chip.name)
            case AttachedFile():
                path = Path(chip.path)
                return self._read(number, chip, path.name, partial(attach_file, path))

    def _read(self, number: int, chip: Chip, words: str, read: Callable[[], Attached]) -> ShownChip:
        task = asyncio.get_running_loop().create_task(self._reading(number, read), name=f"read {number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return ShownChip(number, chip, words, reading=True)

    async def _reading(self, number: int, read: Callable[[], Attached]) -> None:
        try:
            async with self._turns:
                if self.find(number) is None:
                    return
                attached = await aside(read, "attachment")
                self._check_room(attached)
        except ConsoleError as error:
            gone = self.remove(number)
            if gone is not None:
                self._refused(gone.chip, error)
            return
        self.shown = tuple(
            each._replace(reading=False, attached=attached) if each.number == number else each for each in self.shown
        )
        self._changed()

    def _check_room(self, attached: Attached) -> None:
        held = sum(len(each.attachment.content) for each in self.attached)
        if held + len(attached.attachment.content) > LARGEST_BYTES:
            raise AttachmentRefused(
                f"{attached.attachment.name!r} is left out: one question takes up to {size_words(LARGEST_BYTES)} along."
            )
