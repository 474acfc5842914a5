"""The keys that machines have shown: pinned to who a machine is, not to where it is.

Kept in OpenSSH's known_hosts format, so that the system's `ssh` can check against them too (`hawser vm ssh`): the name
in a line is the identity ("vast:1234", "ssh:lab"), to be given as its `HostKeyAlias`. An address that another machine
has now is therefore never confused with the one that had it before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from console.errors import ConfigUnusable, HostKeyChanged
from console.links import known_hosts
from console.paths import Paths, private_folder, write_privately

T = TypeVar("T")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.:-_@[]")
_HEADER = "# Host keys of machines, pinned by Hawser; changed with `hawser link pin`.\n"


def alias_of(identity: str) -> str:
    """An identity as a host name that known_hosts can hold: case is not kept there, and some letters mean something."""
    encoded = (c if c in _PLAIN else "".join(f"+{byte:02x}" for byte in c.encode()) for c in identity)
    return "".join(encoded)


def identity_of(alias: str) -> str:
    first, *rest = alias.split("+")
    content = first.encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in rest)
    return content.decode()


class Pins:
    """Every call reads the file anew, so that processes see each other's pins; changes are made one at a time."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.file: Path = paths.data / "known_hosts"

    def all(self) -> dict[str, tuple[str, ...]]:
        """The pinned keys of every identity."""
        pins: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(self._read().splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            alias, _, key = line.partition(" ")
            try:
                identity, key = identity_of(alias), known_hosts.plain_key(key)
            except (ValueError, ConfigUnusable):
                # Passing it over would make a machine unknown that was known, and pin whatever key it shows next.
                raise ConfigUnusable(
                    f"{self.file}:{number}: this is not a pinned key.", hint="Take the line out, or put the file back."
                ) from None
            pins[identity] = (*pins.get(identity, ()), key)
        return pins

    def get(self, identity: str) -> tuple[str, ...]:
        """The keys that a machine may show; empty when it was never met."""
        return self.all().get(identity, ())

    def pin(self, identity: str, *keys: str) -> None:
        """Keep the keys of a machine that has none yet. Doing it again changes nothing; other keys are refused."""
        added = tuple(dict.fromkeys(known_hosts.plain_key(key) for key in keys))
        assert added, "nothing to pin"

        def change(pins: dict[str, tuple[str, ...]]) -> None:
            pinned = pins.get(identity, ())
            if pinned and not set(added) <= set(pinned):
                raise changed(identity.removeprefix("ssh:"), pinned, next(key for key in added if key not in pinned))
            pins[identity] = pinned or added

        self._change(change)

    def forget(self, identity: str) -> tuple[str, ...]:
        """Take the keys of a machine out, and return them."""
        return self._change(lambda pins: pins.pop(identity, ()))

    @staticmethod
    def fingerprint(key_line: str) -> str:
        return known_hosts.fingerprint(key_line)

    def _read(self) -> str:
        try:
            return self.file.read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigUnusable(
                f"The pinned host keys in {self.file} cannot be read: {reason}.", hint="Its owner must be able to."
            ) from error

    def _change(self, change: Callable[[dict[str, tuple[str, ...]]], T]) -> T:
        with self._lock():
            pins = self.all()
            before = dict(pins)
            outcome = change(pins)
            if pins != before:
                lines = [f"{alias_of(identity)} {key}\n" for identity, keys in sorted(pins.items()) for key in keys]
                write_privately(self.file, "".join((_HEADER, *lines)).encode())
        return outcome

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other processes out; the lock file stays, since removing it would let two hold it."""
        import fcntl

        private_folder(self.file.parent)
        try:
            with os.fdopen(os.open(self.file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise ConfigUnusable(
                f"The pinned host keys in {self.file} cannot be changed: {error.strerror or error}.",
                hint="Set HAWSER_HOME to a folder that can be written.",
            ) from error


def changed(name: str, pinned: tuple[str, ...], seen: str) -> HostKeyChanged:
    """The error for a machine that shows another key than it has."""
    expected = tuple(known_hosts.fingerprint(key) for key in pinned)
    shown = known_hosts.fingerprint(seen)
    return HostKeyChanged(
        f"{name!r} shows the host key {shown}, but {' or '.join(expected)} is pinned.",
        expected=expected,
        seen=shown,
        hint=f"Nothing was sent to it. If it was made anew, run: hawser link pin {name} --forget. "
        "If not, someone may be in between.",
    )
