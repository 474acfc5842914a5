"""Keys: from the environment, else the system keyring, else a private file. Never in settings, events, errors or logs.

The keyring library costs 30 ms to load and its backends may be locked, missing or hang, so it is asked as little as
possible and always under a time limit. The private file holds, beside the keys that had to go there, the names (not the
values) of those in the keyring: who is not on that list, and not named in the settings, is not looked for in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from console.errors import KeyStoreError
from console.key_places import Kept, Keyring, NoKeyring, PrivateFile
from console.paths import Paths

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
COMMAND_LIMIT_S = 10.0
LONGEST = 4096


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
