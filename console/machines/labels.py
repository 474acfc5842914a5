"""What our machines are called at their clouds: `hawser-NAME-CHANCE`, unique for ever, and found again by it.

Lambda takes 64 characters and little else than letters, digits and dashes; so do we everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Collection

PREFIX = "hawser-"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_CHANCE = 8
_LONGEST_NAME = 40


def new_label(name: str) -> str:
    """A label that nobody had before: 40 bits of chance."""
    chance = "".join(_ALPHABET[byte & 31] for byte in os.urandom(_CHANCE))
    return f"{PREFIX}{_plain(name)[:_LONGEST_NAME].strip('-') or 'machine'}-{chance}"


def is_ours(label: str) -> bool:
    return label.startswith(PREFIX)


def name_in(label: str) -> str:
    """What a machine with this label was probably called here."""
    name = label.removeprefix(PREFIX)
    head, _, tail = name.rpartition("-")
    if head and len(tail) == _CHANCE and set(tail) <= set(_ALPHABET):
        name = head
    return _plain(name)[:_LONGEST_NAME].strip("-") or "machine"


def free_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or the first of `wanted-2`, `wanted-3`… that nobody has."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def _plain(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
