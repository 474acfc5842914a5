"""Keys of hosts in OpenSSH's known_hosts format: fingerprints, and which lines belong to a host.

A line is `[@marker] patterns type base64 [comment]`. Patterns are names with `*`, `?` and a leading `!`, separated by
commas, or one hashed name. A line that cannot be read is passed over, as OpenSSH does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from console.errors import ConfigUnusable

DEFAULT_PORT = 22
LARGEST_FILE = 8 << 20


class Known(NamedTuple):
    """What known_hosts files say of one host."""

    keys: tuple[str, ...]
    revoked: tuple[str, ...]


def plain_key(line: str) -> str:
    """A public key as `type base64`, without a comment; raises `ConfigUnusable` when it is none."""
    words = line.split()
    if len(words) >= 2 and _blob(words[0], words[1]) is not None:
        return f"{words[0]} {words[1]}"
    raise ConfigUnusable(f"{line.strip()[:60]!r} is not the public key of a host.")


def _blob(kind: str, encoded: str) -> bytes | None:
    """The key itself, when it is whole and of the type that stands before it."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return None
    length = int.from_bytes(blob[:4], "big")
    return blob if blob[4 : 4 + length] == kind.encode() and len(blob) > 4 + length else None


def fingerprint(key: str) -> str:
    """A key's fingerprint as OpenSSH prints it: `SHA256:…`."""
    kind, encoded = plain_key(key).split()
    blob = _blob(kind, encoded)
    assert blob is not None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def kind_of(key: str) -> str:
    return key.split(maxsplit=1)[0]


def address_of(host: str, port: int) -> str:
    """A host and port as known_hosts files name them."""
    return host if port == DEFAULT_PORT else f"[{host}]:{port}"


def look_up(files: Iterable[str], host: str, port: int) -> Known:
    """The keys and revoked keys that files have for a host. Files that are missing or unreadable say nothing.

    As with OpenSSH, a line without a port counts for a host on another port when none names that port.
    """
    lines = [line for file in files for line in _lines(file)]
    exact = _matching(lines, address_of(host, port))
    return exact if exact.keys or port == DEFAULT_PORT else _matching(lines, host)


class _Line(NamedTuple):
    marker: str
    patterns: str
    key: str


def _lines(file: str) -> Iterator[_Line]:
    try:
        path = Path(file)
        if path.stat().st_size > LARGEST_FILE:
            return
        written = path.read_text("utf-8", "replace")
    except (OSError, ValueError):
        return
    for line in written.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#") and _blob(words[1], words[2]) is not None:
            yield _Line(marker, words[0], f"{words[1]} {words[2]}")


def _matching(lines: Iterable[_Line], name: str) -> Known:
    name = name.lower()
    found = [line for line in lines if _matches(line.patterns, name)]
    return Known(
        tuple(dict.fromkeys(line.key for line in found if not line.marker)),
        tuple(dict.fromkeys(line.key for line in found if line.marker == "@revoked")),
    )


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|"):
        return _is_hash_of(patterns, name)
    matched = False
    for pattern in patterns.lower().split(","):
        negated = pattern.startswith("!")
        # Only * and ? are special in known_hosts; a bracket there belongs to [host]:port.
        if fnmatchcase(name, pattern.removeprefix("!").replace("[", "[[]")):
            if negated:
                return False
            matched = True
    return matched


def _is_hash_of(hashed: str, name: str) -> bool:
    parts = hashed.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, expected = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), expected)
