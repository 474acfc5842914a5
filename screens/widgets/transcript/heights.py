"""Which message a line belongs to, for any number of messages whose heights keep being corrected.

A Fenwick tree: correcting a height, asking where a message begins and asking which message holds a line all take
logarithmic time, so that nothing here grows with the length of a chat.
"""

from __future__ import annotations

from collections.abc import Iterable


class Heights:
    def __init__(self, heights: Iterable[int] = ()) -> None:
        self._heights: list[int] = []
        self._tree: list[int] = [0]
        self.total = 0
        self.reset(heights)

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, index: int) -> int:
        return self._heights[index]

    def reset(self, heights: Iterable[int]) -> None:
        """Start again with these. Linear."""
        self._heights = list(heights)
        tree = [0, *self._heights]
        for position in range(1, len(tree)):
            above = position + (position & -position)
            if above < len(tree):
                tree[above] += tree[position]
        self._tree = tree
        self.total = sum(self._heights)

    def append(self, height: int) -> None:
        position = len(self._heights) + 1
        covered = height
        below = position - 1
        while below > position - (position & -position):
            covered += self._tree[below]
            below -= below & -below
        self._heights.append(height)
        self._tree.append(covered)
        self.total += height

    def cut(self, count: int) -> None:
        """Keep the first `count`."""
        self.total = self.start(count)
        del self._heights[count:]
        del self._tree[count + 1 :]

    def set(self, index: int, height: int) -> None:
        change = height - self._heights[index]
        if not change:
            return
        self._heights[index] = height
        self.total += change
        position = index + 1
        while position < len(self._tree):
            self._tree[position] += change
            position += position & -position

    def start(self, index: int) -> int:
        """The first line of the message `index`; for the index after the last one, the number of all lines."""
        lines = 0
        while index:
            lines += self._tree[index]
            index -= index & -index
        return lines

    def find(self, line: int) -> tuple[int, int]:
        """The message that holds this line, and which of its lines it is. Lines outside belong to the outermost."""
        if not self._heights:
            return 0, 0
        line = max(0, min(line, self.total - 1))
        position, rest = 0, line
        step = 1 << (len(self._heights).bit_length() - 1)
        while step:
            ahead = position + step
            if ahead < len(self._tree) and self._tree[ahead] <= rest:
                position = ahead
                rest -= self._tree[ahead]
            step >>= 1
        if position >= len(self._heights):  # every message is empty
            return len(self._heights) - 1, 0
        return position, rest
