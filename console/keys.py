"""Keys: from the environment, else the system keyring, else a private file. Never in settings, events, errors or logs.

The keyring library costs 30 ms to load and its backends may be locked, missing or hang, so it is asked as little as
possible and always under a time limit. The private file holds, beside the keys that had to go there, the names (not the
values) of those in the keyring: who is not on that list, and not named in the settings, is not looked for in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from console.errors import KeyStoreError
from console.paths import Paths, private_folder, write_privately

if TYPE_CHECKING:
    from console.settings import Endpoint

Place: TypeAlias = Literal["environment", "keyring", "file"]
KEY_VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "vast": "VAST_API_KEY",
    "runpod": "RUNPOD_API_KEY",
    "tensordock": "TENSORDOCK_API_TOKEN",
    "lambda": "LAMBDA_API_KEY",
}
"""The variable in which a service's own tools expect its key."""
HOSTS = {
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
    "openrouter": "https://openrouter.ai",
}
"""Where these keys go unless the settings file names them for another address."""
SERVICE = "hawser"
KEYRING_LIMIT_S = 3.0
COMMAND_LIMIT_S = 10.0
LONGEST = 4096
_T = TypeVar("_T")


def canonical(name: str) -> str:
    """One name for a key, however it is written: OPENAI_API_KEY is the key `openai`."""
    name = name.strip()
    for service, variable in KEY_VARIABLES.items():
        if name.upper() == variable:
            return service
    fits = 0 < len(name) <= 64 and name.isascii() and name[0].isalnum()
    if not fits or not all(c.isalnum() or c in "._-" for c in name):
        raise KeyStoreError(
            f"{name[:64]!r} cannot be the name of a key.", hint="Use letters, digits, '.', '_' and '-'."
        )
    return name.lower()


def variable_for(name: str) -> str:
    """The variable of any key: HAWSER_KEY_<NAME>."""
    return "HAWSER_KEY_" + "".join(c if c.isalnum() else "_" for c in name.upper())


def cleaned(value: str, name: str) -> str:
    """A key as it is sent: without the blanks and the newline that copying adds."""
    value = value.strip()
    if not value:
        raise KeyStoreError(f"The key {name!r} is empty.")
    if len(value) > LONGEST or not value.isascii() or not value.isprintable() or " " in value:
        raise KeyStoreError(
            f"The key {name!r} has blanks, control codes, letters outside ASCII or more than {LONGEST} characters.",
            hint="Copy it again: a key is one word.",
        )
    return value


def stored_names(paths: Paths) -> frozenset[str]:
    """Names that are in the private file or, as far as we put them there, in the keyring; never an error."""
    try:
        kept = PrivateFile(paths.keys_file).read()
    except KeyStoreError:
        return frozenset()  # told by whoever needs a key, and by the doctor
    return kept.names_in_keyring | kept.keys.keys()


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


class Keys:
    """The keys of this user. Every call is bounded in time; `repr` shows none."""

    def __init__(self, paths: Paths, environment: Mapping[str, str], *, keyring: Keyring | None = None) -> None:
        self._environment = environment
        self.isolated = environment.get("HAWSER_ISOLATED") == "1"
        self._keyring = keyring or Keyring()
        self.file = PrivateFile(paths.keys_file)
        self._kept: Kept | None = None
        self._found: dict[str, str] = {}
        self.notes: list[str] = []
        """What the user should know about where a key came from."""

    def __repr__(self) -> str:
        return "Keys()"

    def secrets(self) -> tuple[str, ...]:
        """Every key that this process knows, for the log filter: those handed out, in the environment, or read."""
        ours = (value for name, value in self._environment.items() if name.startswith("HAWSER_KEY_"))
        services = (self._environment.get(variable, "") for variable in KEY_VARIABLES.values())
        kept = self._kept.keys.values() if self._kept is not None else ()
        return tuple({value.strip() for value in (*self._found.values(), *ours, *services, *kept)})

    def for_endpoint(self, endpoint: Endpoint) -> str | None:
        """The key that belongs to an endpoint: the one its settings name, else one stored under its own name, but never
        a well-known service's key for an address that is not that service's."""
        if endpoint.key is not None:
            return self.from_command(endpoint.key) if endpoint.key.startswith("cmd:") else self.get(endpoint.key)
        home = HOSTS.get(endpoint.name.lower())
        if home is not None and not f"{endpoint.base_url}/".startswith(f"{home}/"):
            return None
        return self.get(endpoint.name, search=False)

    def get(self, name: str, *, search: bool = True) -> str | None:
        """A key by name, or None. With `search` the keyring is asked even for a name that is not on our list."""
        name = canonical(name)
        if name not in self._found:
            value = self._look_up(name, search)
            if value is None:
                return None
            self._found[name] = cleaned(value, name)
        return self._found[name]

    def _look_up(self, name: str, search: bool) -> str | None:
        variable = self.variable(name)
        if variable is not None:
            return self._environment[variable]
        kept = self._read_file()
        if self.isolated:
            return kept.keys.get(name)
        if name in kept.names_in_keyring:
            try:
                value = self._keyring.get(name)
            except KeyStoreError as error:
                if name not in kept.keys:
                    raise
                self.notes.append(f"{error.text} The key {name!r} is taken from {self.file.file}.")
                value = None
            if value is not None:
                return value
        if name in kept.keys:
            return kept.keys[name]
        return self._keyring_or_none(name) if search else None

    def _keyring_or_none(self, name: str) -> str | None:
        """Look for a key that we have not put there; a keyring that cannot be asked is a note then, not a failure."""
        try:
            return self._keyring.get(name)
        except KeyStoreError as error:
            self.notes.append(error.text)
            return None

    def variable(self, name: str) -> str | None:
        """The variable that holds a key, if one does. Our own goes before the one of the service's tools."""
        service = None if self.isolated else KEY_VARIABLES.get(canonical(name))
        variables = (variable_for(canonical(name)), service)
        return next((v for v in variables if v is not None and self._environment.get(v, "").strip()), None)

    def from_command(self, reference: str) -> str:
        """The first line that the command of a `cmd:` reference prints."""
        if reference not in self._found:
            from console.key_commands import first_line_of

            self._found[reference] = cleaned(first_line_of(reference.removeprefix("cmd:"), self._environment), "cmd:")
        return self._found[reference]

    def places(self) -> dict[str, tuple[Place, str]]:
        """Where each known key is, without its value and without asking the keyring: the place and its detail."""
        places: dict[str, tuple[Place, str]] = {}
        kept = self._read_file()
        for name in kept.keys:
            places[name] = ("file", str(self.file.file))
        if not self.isolated:
            for name in kept.names_in_keyring:
                places[name] = ("keyring", "the system keyring")
            for name, variable in KEY_VARIABLES.items():
                if self._environment.get(variable, "").strip():
                    places[name] = ("environment", variable)
        for variable, value in self._environment.items():
            if variable.startswith("HAWSER_KEY_") and len(variable) > 11 and value.strip():
                owner = next((n for n in places if variable_for(n) == variable), variable[11:].lower())
                places[owner] = ("environment", variable)
        return dict(sorted(places.items()))

    def set(self, name: str, value: str, *, in_file: bool = False) -> tuple[Place, str | None]:
        """Store a key in the keyring, or in the private file where there is none; tells where, and why in the file.

        A keyring that is there and refuses is an error: the user decides whether a file will do.
        """
        name = canonical(name)
        value = cleaned(value, name)
        reason: str | None = "as asked"
        if not in_file and not self.isolated:
            try:
                self._keyring.set(name, value)
            except NoKeyring as error:
                reason = error.text
            else:
                self._change(lambda kept: _moved_to_keyring(kept, name))
                self._found.pop(name, None)
                return "keyring", None

        def put(kept: Kept) -> None:
            kept.keys[name] = value
            kept.names_in_keyring -= {name}

        had_one_in_keyring = name in self._read_file().names_in_keyring
        self._change(put)
        self._found.pop(name, None)
        if had_one_in_keyring and not self.isolated:
            try:  # the older one there would win over the file if it were ever asked for
                self._keyring.remove(name)
            except KeyStoreError as error:
                self.notes.append(f"An older key {name!r} may be left in the keyring. {error.text}")
        return "file", reason

    def remove(self, name: str) -> list[Place]:
        """Remove a key from the keyring and the file; tells from where. A key that is not there is no error."""
        name = canonical(name)
        kept = self._read_file()
        removed: list[Place] = []
        if name in kept.names_in_keyring and not self.isolated:
            self._keyring.remove(name)
            removed.append("keyring")
        if name in kept.keys:
            removed.append("file")

        def drop(kept: Kept) -> None:
            kept.keys.pop(name, None)
            kept.names_in_keyring -= {name}

        if removed:
            self._change(drop)
        self._found.pop(name, None)
        return removed

    def keyring_health(self) -> str:
        """The name of the keyring's backend; raises `KeyStoreError` with the remedy when it cannot be used."""
        return self._keyring.backend_name()

    def _read_file(self) -> Kept:
        if self._kept is None:
            self._kept = self.file.read()
            if self._kept.keys and self.file.is_open_to_others():
                self.file.close_to_others()
                self.notes.append(f"Others could read {self.file.file}; now only you can. Consider new keys.")
        return self._kept

    def _change(self, change: Callable[[Kept], None]) -> None:
        self.file.change(change)
        self._kept = None


def _moved_to_keyring(kept: Kept, name: str) -> None:
    kept.keys.pop(name, None)
    kept.names_in_keyring |= {name}
