"""The messages one below the other, and which line of which message stands at the top of the window.

The place is kept as a message and one of its lines, never as a number of lines from the beginning: heights of messages
that nobody has seen are estimates, and correcting them must not move what somebody reads. Messages are laid out when
they come in sight, and only so many stay laid out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from screens.widgets.transcript.heights import Heights
from screens.widgets.transcript.item import Item
from screens.widgets.transcript.message import Message
from screens.widgets.transcript.text import Look

KEPT_MESSAGES = 300
"""How many messages stay laid out, the last ones seen."""
KEPT_LINES = 40_000


class Place(NamedTuple):
    message: int
    line: int


START = Place(0, 0)


class Column:
    def __init__(self, look: Look) -> None:
        self.look = look
        self.room = 0
        """Lines of the window."""
        self.messages: list[Message] = []
        self.heights = Heights()
        self.place = START
        self.follows = True
        """Whether the end is in sight; what comes is then kept in sight."""
        self._index: dict[str, int] = {}
        self._laid: dict[Message, int] = {}

    def __len__(self) -> int:
        return len(self.messages)

    # ---- what there is

    def show(self, items: Iterable[Item]) -> None:
        """These and no others. Messages that stay the same keep their lines."""
        known = {message.item.id: message for message in self.messages}
        messages = []
        for item in items:
            message = known.get(item.id)
            if message is None:
                message = Message(item)
            elif message.item is not item:
                message.change(item, at_end=self.follows)
            messages.append(message)
        at_top = self.messages[self.place.message].item.id if self.messages else None
        self.messages = messages
        self._index = {message.item.id: number for number, message in enumerate(messages)}
        self._laid = {message: message.height for message in messages if message.is_laid}
        self._estimate()
        for number, message in enumerate(messages):
            if message.look == self.look:
                self.heights.set(number, message.height)
        if at_top is not None and at_top in self._index:
            self.place = Place(self._index[at_top], self.place.line)
        else:
            self.place = Place(min(self.place.message, max(len(messages) - 1, 0)), 0)

    def append(self, item: Item) -> None:
        self._index[item.id] = len(self.messages)
        message = Message(item)
        self.messages.append(message)
        self.heights.append(message.estimate(self.look.width))

    def replace(self, index: int, item: Item) -> None:
        message = self.messages[index]
        if item.id != message.item.id:
            del self._index[message.item.id]
            self._index[item.id] = index
        message.change(item)
        self._corrected(index)

    def grow(self, index: int, text: str, thinking: str, *, is_marked: bool = False) -> None:
        """`is_marked`: something in the transcript is selected or searched for, by the places of lines."""
        self.messages[index].take(text, thinking, at_end=self.follows and not is_marked)
        self._corrected(index)

    def cut(self, count: int) -> None:
        """Only the first `count` stay."""
        for message in self.messages[count:]:
            del self._index[message.item.id]
            self._laid.pop(message, None)
        del self.messages[count:]
        self.heights.cut(count)
        if self.place.message >= count:
            self.place = Place(max(count - 1, 0), 0)

    def index_of(self, item_id: str) -> int | None:
        return self._index.get(item_id)

    def _corrected(self, index: int) -> None:
        message = self.messages[index]
        if message.look == self.look:
            self.heights.set(index, message.height)
            self._laid[message] = message.height
        else:
            self.heights.set(index, message.estimate(self.look.width))

    def lay_more(self, index: int, characters: int, until: Callable[[], bool]) -> None:
        """Lay out what waits of a message, slice by slice, until it is enough. What is in the window stays there."""
        message = self.messages[index]
        tail_start = message.tail_start
        while message.waits:
            message.lay_more(characters)
            if until():
                break
        self._corrected(index)
        if self.place.message == index and self.place.line >= tail_start:
            line = self.place.line + message.tail_start - tail_start
            self.place = Place(index, max(0, min(line, self.heights[index] - 1)))

    def wanted(self) -> int | None:
        """A message that has lines in sight, or soon in sight, which are still an estimate."""
        for index in sorted({index for index, _ in self.visible()}):
            message = self.messages[index]
            if message.look == self.look and message.waits:
                first = self.top - self.heights.start(index)
                if message.is_wanted(first - self.room // 4, first + 2 * self.room):
                    return index
        return None

    # ---- how it looks

    def relook(self, look: Look) -> None:
        """Another width, other colours, or another view of the text. What stands at the top stays there."""
        if look == self.look:
            return
        old, self.look = self.look, look
        anchor = self._anchor(old)
        if look.width != old.width or look.raw != old.raw or look.thinking != old.thinking:
            self._estimate()
        if anchor is not None and not self.follows:
            self.measure(self.place.message)
            self.place = Place(self.place.message, self._at_anchor(*anchor))

    def _estimate(self) -> None:
        width = self.look.width
        self.heights.reset([message.fixed + message.characters // width for message in self.messages])

    def _anchor(self, old: Look) -> tuple[bool, int] | None:
        """The place in its message as a number of lines that no wrapping made, from the text or the head on."""
        index, line = self.place
        if not self.messages or self.messages[index].look != old:
            return None
        message = self.messages[index]
        in_text = line >= message.body_start
        above = message.lines(message.body_start if in_text else 0, min(line + 1, message.height))
        return in_text, sum(not each.continues for each in above)

    def _at_anchor(self, in_text: bool, wanted: int) -> int:
        message = self.messages[self.place.message]
        first = message.body_start if in_text else 0
        seen = 0
        for number, each in enumerate(message.lines(first), first):
            seen += not each.continues
            if seen >= wanted:
                return number
        return max(message.height - 1, 0)

    def reshape(self, index: int, change: Callable[[Message], None]) -> None:
        """Let something change that stands before the text of a message; what is in the window stays where it is."""
        message = self.messages[index]
        start = message.body_start
        change(message)
        self._corrected(index)
        if self.place.message == index:
            line = self.place.line
            if line >= start:
                line += message.body_start - start
            self.place = Place(index, min(line, max(self.heights[index] - 1, 0)))
        self.follows = False
        self.settle()

    def measure(self, index: int) -> int:
        """The height of a message that is in sight, or about to be."""
        message = self.messages[index]
        if message.look != self.look:
            message.lay(self.look)
        height = message.height
        self.heights.set(index, height)
        self._laid.pop(message, None)
        self._laid[message] = height
        return height

    def forget(self) -> None:
        """Drop the lines of messages that were not seen for longest."""
        lines = sum(self._laid.values())
        if len(self._laid) <= KEPT_MESSAGES and lines <= KEPT_LINES:
            return
        in_sight = {self.messages[index] for index, _ in self.visible()}
        for message in list(self._laid):
            if len(self._laid) <= KEPT_MESSAGES and lines <= KEPT_LINES:
                return
            if message not in in_sight:
                lines -= self._laid.pop(message)
                message.drop()

    @property
    def laid(self) -> int:
        """How many messages are laid out."""
        return len(self._laid)

    @property
    def weight(self) -> int:
        """Characters of the messages in sight."""
        return sum(len(self.messages[index].item.text) for index in {index for index, _ in self.visible()})

    # ---- where we are

    @property
    def top(self) -> int:
        """Lines above the window, as far as heights are known."""
        return self.heights.start(self.place.message) + self.place.line

    def settle(self) -> None:
        """After any change: everything in sight is laid out, and the window does not go past the end."""
        if not self.messages or self.room <= 0:
            self.place = START
            self.follows = self.follows or not self.messages
            return
        if self.follows:
            self.place = self._last()
            return
        self.place = index, line = self._walk(self.place, 0)
        missing = self.room - (self.measure(index) - line)
        while missing > 0 and index + 1 < len(self.messages):
            index += 1
            missing -= self.measure(index)
        if missing > 0:
            self.place = self._last()
        self.follows = missing >= 0 and index + 1 == len(self.messages)

    def scroll(self, lines: int) -> None:
        """So many lines down, or up."""
        if not self.messages:
            return
        if abs(lines) > 4 * self.room:
            self.jump(self.top + lines)
            return
        self.follows = False
        self.place = self._walk(self.place, lines)
        self.settle()

    def jump(self, line: int) -> None:
        """About so many lines from the beginning."""
        if not self.messages:
            return
        if line >= self.heights.total - self.room:
            self.to_end()
            return
        index, inside = self.heights.find(line)
        estimated = max(self.heights[index], 1)
        height = self.measure(index)
        self.follows = False
        self.place = Place(index, min(inside * height // estimated, height - 1))
        self.settle()

    def to_end(self) -> None:
        self.follows = True
        self.settle()

    def to(self, index: int, line: int = 0, *, above: int = 0) -> None:
        """Bring a line of a message to the top of the window, or so many lines below it."""
        if not self.messages:
            return
        self.follows = False
        height = self.measure(index)
        self.place = self._walk(Place(index, min(line, height - 1)), -above)
        self.settle()

    def reveal(self, index: int) -> None:
        """Bring a message in sight, moving as little as possible; of a tall one its beginning."""
        if not self.messages:
            return
        height = self.measure(index)
        place = Place(index, 0)
        if place < self.place or height >= self.room:
            self.to(index)
            return
        lowest = self._walk(place, height - self.room)
        if lowest > self.place:
            self.follows = False
            self.place = lowest
            self.settle()

    def visible(self) -> Iterator[tuple[int, int]]:
        """Message and line of each row of the window; fewer than there are rows where the chat is short."""
        index, line = self.place
        left = self.room
        while left > 0 and index < len(self.messages):
            height = self.heights[index]
            last = min(height, line + left)
            for number in range(line, last):
                yield index, number
            left -= max(last - line, 0)
            index, line = index + 1, 0

    def row_of(self, index: int, line: int = 0) -> int:
        """The row of the window that this line is in; outside of it where it is out of sight."""
        return self.heights.start(index) + line - self.top

    def _last(self) -> Place:
        index = len(self.messages) - 1
        missing = self.room
        while True:
            missing -= self.measure(index)
            if missing <= 0:
                return Place(index, -missing)
            if index == 0:
                return START
            index -= 1

    def _walk(self, place: Place, lines: int) -> Place:
        """So many lines further, laying out what is passed."""
        index, line = place
        line += lines
        while line < 0 and index > 0:
            index -= 1
            line += self.measure(index)
        line = max(line, 0)
        last = len(self.messages) - 1
        while line >= (height := self.measure(index)):
            if index == last:
                return Place(index, height - 1)
            line -= height
            index += 1
        return Place(index, line)
