"""The two places where keys are kept: the system keyring, behind a time limit, and a private file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from console.errors import KeyStoreError
from console.paths import private_folder, write_privately

SERVICE = "hawser"
KEYRING_LIMIT_S = 3.0
_T = TypeVar("_T")


class NoKeyring(KeyStoreError):
    """This computer has no system keyring, or it is switched off; the private file takes its place."""


class Kept:
    """The contents of the private file."""

    __slots__ = ("keys", "names_in_keyring")

    def __init__(self, keys: Mapping[str, str], names_in_keyring: frozenset[str]) -> None:
        self.keys = dict(keys)
        self.names_in_keyring = names_in_keyring


class PrivateFile:
    """keys.toml, readable by its owner only."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> Kept:
        try:
            if self.file.stat().st_size > 1 << 20:
                raise KeyStoreError(f"{self.file} is too large to be a file of keys.")
            content = self.file.read_bytes()
        except FileNotFoundError:
            return Kept({}, frozenset())
        except OSError as error:
            raise KeyStoreError(
                f"{self.file} cannot be read: {error.strerror or error}.", hint="Its owner must be able to read it."
            ) from error
        import tomllib

        try:
            document = tomllib.loads(content.decode("utf-8"))
        except (ValueError, RecursionError):
            # The parser's own words are not repeated: they may quote a key.
            raise KeyStoreError(
                f"{self.file} is not TOML.", hint="Repair or remove it; `hawser key set NAME` makes a fresh one."
            ) from None
        names, keys = document.get("keyring", []), document.get("keys", {})
        if not isinstance(names, list) or not isinstance(keys, dict):
            raise KeyStoreError(
                f"{self.file} is not a file of keys.", hint="It holds a list `keyring` and a table `keys`."
            )
        return Kept(
            {name: value for name, value in keys.items() if isinstance(value, str)},
            frozenset(name for name in names if isinstance(name, str)),
        )

    def change(self, change: Callable[[Kept], None]) -> None:
        """Read, change and replace it in one step, with other processes kept out meanwhile."""
        import fcntl
        import json  # its strings are TOML's basic strings

        private_folder(self.file.parent)
        try:
            with os.fdopen(os.open(self.file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                kept = self.read()
                change(kept)
                lines = ["# Keys of Hawser; changed with `hawser key`. Keep it to yourself."]
                lines.append(f"keyring = {json.dumps(sorted(kept.names_in_keyring))}")
                lines.append("\n[keys]")
                lines += [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in sorted(kept.keys.items())]
                write_privately(self.file, ("\n".join(lines) + "\n").encode())
        except OSError as error:
            raise KeyStoreError(
                f"{self.file} cannot be written: {error.strerror or error}.",
                hint="Set HAWSER_HOME to a folder that can be written.",
            ) from error

    def is_open_to_others(self) -> bool:
        try:
            return bool(self.file.stat().st_mode & 0o077)
        except OSError:
            return False

    def close_to_others(self) -> None:
        try:
            self.file.chmod(0o600)
        except OSError as error:
            raise KeyStoreError(
                f"Others can read {self.file}, and that cannot be changed: {error.strerror or error}.",
                hint=f"Run: chmod 600 {self.file}",
            ) from error


class Keyring:
    """The system keyring behind a time limit: a locked, missing or hanging one is a `KeyStoreError`."""

    def __init__(self, limit_s: float = KEYRING_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._is_hanging = False

    def get(self, name: str) -> str | None:
        value: str | None = self._bounded("reading", lambda backend: backend.get_password(SERVICE, name))
        return value

    def set(self, name: str, value: str) -> None:
        def store(backend: Any) -> None:
            backend.set_password(SERVICE, name, value)
            if backend.get_password(SERVICE, name) != value:  # some backends accept everything and keep nothing
                raise RuntimeError("it did not keep the key")

        self._bounded("writing", store)

    def remove(self, name: str) -> None:
        def forget(backend: Any) -> None:
            if backend.get_password(SERVICE, name) is not None:
                backend.delete_password(SERVICE, name)

        self._bounded("removing", forget)

    def backend_name(self) -> str:
        """What the keyring is, in its own words; raises where there is none."""
        return self._bounded("opening", lambda backend: str(getattr(backend, "name", type(backend).__name__)))

    def _bounded(self, doing: str, work: Callable[[Any], _T]) -> _T:
        """Run in a daemon thread: a backend that never returns holds up neither us nor the end of the process."""
        import threading

        outcome: list[tuple[_T | None, BaseException | None]] = []

        def run() -> None:
            try:
                outcome.append((work(_backend()), None))
            except BaseException as error:  # noqa: BLE001 - backends raise what they like; told by the caller below
                outcome.append((None, error))

        if not self._is_hanging:  # the time is spent once, not for every key
            thread = threading.Thread(target=run, name="keyring", daemon=True)
            thread.start()
            thread.join(self._limit_s)
        hint = "Put the key into the environment, or use: hawser key set NAME --file"
        if not outcome:
            self._is_hanging = True
            raise KeyStoreError(
                f"The system keyring does not answer ({doing} took longer than {self._limit_s:g} s); it may be locked.",
                hint=f"Unlock it, or set PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring to leave it out. {hint}",
            )
        value, error = outcome[0]
        if isinstance(error, KeyStoreError):
            raise error
        if error is not None:
            # The text of a backend's error may hold anything, so only its kind is told.
            raise KeyStoreError(
                f"The system keyring failed while {doing}: {type(error).__name__}.", hint=hint
            ) from None
        return value  # type: ignore[return-value]


def _backend() -> Any:
    hint = "Put the key into the environment, or use: hawser key set NAME --file"
    try:
        import keyring  # 30 ms, and only when a key must be looked for there
    except ImportError:
        raise NoKeyring("The keyring library is not installed.", hint=hint) from None
    backend = keyring.get_keyring()
    if type(backend).__module__ in ("keyring.backends.fail", "keyring.backends.null"):
        raise NoKeyring("There is no system keyring here.", hint=hint)
    return backend
