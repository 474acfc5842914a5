"""A chat's messages as a tree in memory: who stands below whom, and which branch is looked at.

The shape is known at once; the messages themselves may come later, the end of the branch first. No recursion: a chat
is as deep as it is long.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from console.history.messages import StoredMessage
from console.history.turns import Bone


class Branch(NamedTuple):
    """A line in an outline of the tree."""

    message: StoredMessage
    depth: int
    """How many forks stand above it."""
    is_active: bool
    """On the branch that is looked at."""
    is_end: bool
    """Nothing stands below it."""


class Branches:
    def __init__(self, bones: Iterable[Bone] = (), leaf: str | None = None) -> None:
        self._bones: dict[str, Bone] = {}
        self._below: dict[str | None, list[str]] = {}
        self.messages: dict[str, StoredMessage] = {}
        below = self._below
        for bone in bones:
            self._bones[bone.id] = bone
            if bone.parent_id in below:
                below[bone.parent_id].append(bone.id)
            else:
                below[bone.parent_id] = [bone.id]
        self._length: tuple[str | None, int, int] = (None, 0, 0)
        self.leaf = leaf if leaf in self._bones else next(reversed(self._bones), None)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._bones

    def _place(self, bone: Bone) -> None:
        self._bones[bone.id] = bone
        self._below.setdefault(bone.parent_id, []).append(bone.id)

    def put(self, message: StoredMessage) -> None:
        """Add a message, or replace what is known of it."""
        if message.id not in self._bones:
            self._place(Bone(message.id, message.parent_id, message.role))
        self.messages[message.id] = message

    def parent(self, message_id: str) -> str | None:
        return self._bones[message_id].parent_id

    def role(self, message_id: str) -> str:
        return self._bones[message_id].role

    def path(self, leaf: str | None = None) -> list[str]:
        """From the first message to `leaf`, or to the active one."""
        found = []
        at = self.leaf if leaf is None else leaf
        while at is not None and at in self._bones:
            found.append(at)
            at = self._bones[at].parent_id
        found.reverse()
        return found

    @property
    def length(self) -> int:
        """How long the active branch is; counted again only when something changed."""
        if self._length[:2] != (self.leaf, len(self._bones)):
            self._length = (self.leaf, len(self._bones), len(self.path()))
        return self._length[2]

    def missing(self, ids: Iterable[str]) -> list[str]:
        return [each for each in ids if each not in self.messages]

    def everyone(self) -> list[str]:
        return list(self._bones)

    def siblings(self, message_id: str) -> list[str]:
        """A message and those beside it: the edits of a question, or the answers to one."""
        bone = self._bones[message_id]
        beside = self._below[bone.parent_id]
        if len(beside) == 1:
            return beside
        return [each for each in beside if self._bones[each].role == bone.role]

    def show(self, message_id: str) -> str:
        """Look at the branch through a message, down to its newest end; the leaf of it."""
        at = message_id
        while below := self._below.get(at):
            at = below[-1]
        self.leaf = at
        return at

    def cut(self, message_id: str) -> set[str]:
        """Remove a message and all below it; returns what went. The leaf moves to a sibling, else up."""
        beside = [each for each in self.siblings(message_id) if each != message_id]
        parent = self._bones[message_id].parent_id
        gone = self.below(message_id)
        self._below[parent].remove(message_id)
        for each in gone:
            del self._bones[each]
            self._below.pop(each, None)
            self.messages.pop(each, None)
        if self.leaf in gone:
            if beside:
                self.show(beside[-1])
            else:
                self.leaf = parent
        return gone

    def below(self, message_id: str) -> set[str]:
        """A message and all below it."""
        found: set[str] = set()
        waiting = [message_id]
        while waiting:
            at = waiting.pop()
            found.add(at)
            waiting += self._below.get(at, ())
        return found

    def outline(self) -> list[Branch]:
        """Every message whose text is known, each branch below its fork."""
        active = set(self.path())
        lines = []
        waiting = [(each, 0) for each in reversed(self._below.get(None, []))]
        while waiting:
            at, depth = waiting.pop()
            below = self._below.get(at, [])
            if at in self.messages:
                lines.append(Branch(self.messages[at], depth, at in active, not below))
            waiting += [(each, depth + (len(below) > 1)) for each in reversed(below)]
        return lines
