"""The settings in force. What there is to set is declared in settings_groups.py.

A value comes from a flag, else the environment (`HAWSER_<GROUP>_<NAME>`), else config.toml, else its default, and
`Settings.origin` tells which. Whatever is wrong is a `SettingsError` that names the file and line, or the variable, the
setting, what it may hold, and the nearest known name. Keys are never here: `key` holds the name of one.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeAlias

from console.errors import SettingsError
from console.paths import Paths
from console.settings_groups import (
    CHAIN,
    CLOUD_KINDS,
    GROUPS,
    KNOWN,
    LIMITS,
    NAMED,
    AlertSettings,
    BudgetSettings,
    ChainEntry,
    ChannelSettings,
    ChatSettings,
    CloudAccount,
    Endpoint,
    IdleSettings,
    LeaseSettings,
    LogSettings,
    Machine,
    ModelFacts,
    ModelPrice,
    RagSettings,
    Routes,
    ScreenSettings,
    Wire,
    read_chain,
    read_endpoint_name,
    read_keys,
)
from console.settings_kinds import Field, Group, Unfit, misfit, nearest, setting, shown, text

__all__ = [
    "CHAIN",
    "GROUPS",
    "KNOWN",
    "NAMED",
    "AlertSettings",
    "BudgetSettings",
    "ChainEntry",
    "ChannelSettings",
    "ChatSettings",
    "CloudAccount",
    "Endpoint",
    "IdleSettings",
    "LeaseSettings",
    "LogSettings",
    "Machine",
    "ModelFacts",
    "ModelPrice",
    "Origin",
    "RagSettings",
    "Routes",
    "ScreenSettings",
    "Settings",
    "Wire",
    "load_settings",
]

OriginKind: TypeAlias = Literal["flag", "environment", "file", "default"]
LARGEST_FILE = 1 << 20


class Origin(Group):
    """Where a value came from, in words for `hawser config show --origin`."""

    kind: OriginKind = setting(text(), "Which of the four.")
    detail: str = setting(text(), "The variable, or the file and line.", default="")

    def __str__(self) -> str:
        return self.detail or self.kind


class Settings:
    """All settings as they are in force, and where each came from."""

    chat: ChatSettings
    budget: BudgetSettings
    idle: IdleSettings
    lease: LeaseSettings
    alerts: AlertSettings
    log: LogSettings
    screen: ScreenSettings
    rag: RagSettings
    endpoints: Mapping[str, Endpoint]
    aliases: Mapping[str, tuple[ChainEntry, ...]]
    routes: Mapping[str, tuple[ChainEntry, ...]]
    machines: Mapping[str, Machine]
    clouds: Mapping[str, CloudAccount]
    channels: Mapping[str, ChannelSettings]
    models: Mapping[str, ModelFacts]
    prices: Mapping[str, ModelPrice]
    keys: Mapping[str, tuple[str, ...]]
    """The keys of actions, by the names that screens/keys.py gives them; whether there are such is checked there."""
    notes: tuple[str, ...]
    """What is odd but does not stop anything."""

    def __init__(self, source: _Source, origins: dict[str, Origin], groups: Mapping[str, Any]) -> None:
        self._source = source
        self._origins = origins
        self.__dict__.update(groups)

    @property
    def file(self) -> Path:
        return self._source.file

    def endpoint(self, name: str) -> Endpoint:
        """An endpoint by name; an unknown one is a `SettingsError` that names the nearest."""
        if name not in self.endpoints:
            hint = nearest(name, self.endpoints) or "Add one to the settings with: hawser config edit"
            raise SettingsError(f"There is no endpoint {name!r}.", hint=hint)
        return self.endpoints[name]

    def learn_machines(self, machines: Mapping[str, Machine]) -> None:
        """Add machines that were rented without being written here, and the endpoints that they are. What is written
        goes before them: one whose name means something here already is left out."""
        from console.machines.endpoints import machine_endpoints

        limits = {name: getattr(self.chat, name) for name in LIMITS}
        for name, machine in machines.items():
            if name in self.machines or name in self.endpoints:
                continue
            try:
                added = machine_endpoints({name: machine}, self.endpoints, limits)
            except Unfit:
                continue
            self.machines = {**self.machines, name: machine}
            self.endpoints = {**self.endpoints, **added}

    def endpoint_or_shipped(self, name: str) -> Endpoint:
        """The same, and a well-known service also where it is not set up: its prices are known without a key."""
        from console.found_endpoints import SHIPPED

        if name not in self.endpoints and name in SHIPPED:
            return Endpoint(name=name, **SHIPPED[name])
        return self.endpoint(name)

    def origin(self, name: str) -> Origin:
        """Where the value of "chat.model", "endpoints.NAME" or "endpoints.NAME.base_url" came from."""
        if name in self._origins:
            return self._origins[name]
        path = self._source.path_of(name)
        if path is not None:
            return Origin("file", f"{self.file.name} line {self._source.line(path)}")
        if name.startswith("endpoints."):
            last = name.rpartition(".")[2]
            if last in LIMITS:
                return self.origin(f"chat.{last}")
            for endpoint in self.endpoints.values():
                if endpoint.machine and f"{name}.".startswith(f"endpoints.{endpoint.name}."):
                    return self.origin(f"machines.{endpoint.machine}")
            for known, origin in self._origins.items():  # an endpoint that was found, not configured
                if known.startswith("endpoints.") and name.startswith(f"{known}."):
                    return origin
        return Origin("default")


def load_settings(
    paths: Paths,
    environment: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    *,
    discover: bool = True,
) -> Settings:
    """The settings in force. `flags` are what the user typed, by dotted name; a None among them counts as not typed.

    With `discover=False` only configured endpoints are there; keys and `OLLAMA_HOST` in the environment add none.
    """
    written = read_settings_file(paths.config_file)
    return settings_from(written, paths, environment, flags, discover=discover)


def settings_from(
    written: str,
    paths: Paths,
    environment: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    *,
    discover: bool = True,
) -> Settings:
    """The same from a text that is not (yet) in the file, so that an edit is checked before it is written."""
    source = _Source(paths.config_file, written)
    try:
        values = _read_document(source.document)
    except Unfit as unfit:
        raise source.error(unfit) from None
    origins: dict[str, Origin] = {}
    _lay_over(values, origins, _from_environment(environment))
    _lay_over(values, origins, _from_flags(flags or {}))

    from console.found_endpoints import found_endpoints

    limits = {name: getattr(values["chat"], name) for name in LIMITS}
    found, notes = found_endpoints(paths, environment) if discover else ({}, ())
    try:
        configured = _read_endpoints(source.document.get("endpoints", {}), found, limits)
    except Unfit as unfit:
        raise source.error(unfit.under("endpoints")) from None
    if values["machines"]:
        from console.machines.endpoints import machine_endpoints  # loaded by those who have machines

        try:
            configured |= machine_endpoints(values["machines"], configured, limits)
        except Unfit as unfit:
            raise source.error(unfit.under("machines")) from None
    values["endpoints"] = configured | _found_beside(configured, found, limits, origins)
    return Settings(source, origins, {**values, "notes": notes})


def read_settings_file(file: Path) -> str:
    """The text of config.toml; an absent one is empty."""
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            raise SettingsError(f"{file} is {'a folder' if stat.S_ISDIR(about.st_mode) else 'not a file'}.")
        if about.st_size > LARGEST_FILE:
            raise SettingsError(
                f"{file} has {about.st_size:,} bytes; settings are read up to {LARGEST_FILE:,}.",
                hint="Is this another file under the name of the settings?",
            )
        content = file.read_bytes()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(
            f"{file} cannot be read: {reason or error}.", hint="Make it readable, or set HAWSER_HOME to another folder."
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{file}:{line}: the text is not UTF-8.", hint="Save the file as UTF-8.") from None


class _Source:
    """The settings file as text and as tables, with the way back from a setting to its line."""

    def __init__(self, file: Path, written: str) -> None:
        self.file = file
        self._written = written
        self._lines: dict[tuple[str, ...], int] | None = None
        self.document = self._parse() if written and not written.isspace() else {}

    def _parse(self) -> dict[str, Any]:
        import tomllib  # 3 ms, not paid by whoever has no settings file

        def number(digits: str) -> Decimal:
            try:
                return Decimal(digits)
            except ArithmeticError:
                raise ValueError(f"{shown(digits)} is out of reach") from None

        try:
            return tomllib.loads(self._written, parse_float=number)
        except RecursionError:
            raise SettingsError(f"{self.file}: the text is nested too deeply.") from None
        except ValueError as error:
            reason, _, place = str(error).rpartition(" (at ")
            line = place.removeprefix("line ").split(",")[0]
            where = f"{self.file}:{line}" if line.isdecimal() else f"{self.file}"
            if place.startswith("end of document"):
                where, reason = f"{self.file}:{len(self._written.splitlines())}", f"{reason} before the end"
            raise SettingsError(
                f"{where}: this is not TOML: {reason or error}.", hint="hawser config edit opens the file."
            ) from error

    def line(self, path: tuple[str, ...]) -> int | None:
        """The line of a setting, or of the nearest table around it."""
        if self._lines is None:
            from console.settings_lines import lines_of  # only for errors and `config show --origin`

            self._lines = lines_of(self._written)
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None

    def path_of(self, name: str) -> tuple[str, ...] | None:
        """The keys that lead to "group.name.setting" in the file, or None when it is not there; names may have dots."""
        path: tuple[str, ...] = ()
        table: object = self.document
        rest = name
        while rest:
            if not isinstance(table, Mapping):
                return None
            fits = [key for key in table if rest == key or rest.startswith(f"{key}.")]
            if not fits:
                return None
            key = max(fits, key=len)
            path, table, rest = (*path, key), table[key], rest[len(key) + 1 :]
        return path

    def error(self, unfit: Unfit) -> SettingsError:
        line = self.line(unfit.path)
        where = f"{self.file}:{line}" if line else str(self.file)
        return SettingsError(f"{where}: {'.'.join(unfit.path)} {unfit.sentence}.", hint=unfit.hint)


def _read_document(document: Mapping[str, Any]) -> dict[str, Any]:
    for name, table in document.items():
        if name not in KNOWN:
            raise Unfit("is not a group of settings", path=(name,), hint=nearest(name, KNOWN))
        if not isinstance(table, Mapping):
            raise misfit("a table", table).under(name)
    values: dict[str, Any] = {}
    reading = ""
    try:
        for reading, group in GROUPS.items():
            values[reading] = group.read(document.get(reading, {}))
        reading = "routes"
        routes = Routes.read(document.get(reading, {}))
        values[reading] = {name: getattr(routes, name) for name in Routes.attributes}
        reading = "keys"
        values[reading] = read_keys(document.get(reading, {}))
        reading = "aliases"
        values[reading] = _read_aliases(document.get(reading, {}))
        for reading in ("clouds", "machines", "channels", "models", "prices"):
            tables = document.get(reading, {})
            values[reading] = {name: _named(NAMED[reading], name, table) for name, table in tables.items()}
        reading = "machines"
        _check_clouds(values["machines"], values["clouds"])
    except Unfit as unfit:
        raise unfit.under(reading) from None
    return values


def _named(group: type[Group], name: str, table: object, given: Mapping[str, object] | None = None) -> Any:
    """One table of a group that has a table for each name."""
    try:
        return group.read(table, given={**(given or {}), "name": _check_name(group, name)})
    except Unfit as unfit:
        raise unfit.under(name) from None


def _check_clouds(machines: Mapping[str, Machine], clouds: Mapping[str, CloudAccount]) -> None:
    """Each machine is at a cloud that there is."""
    known = {"ssh", *CLOUD_KINDS, *clouds}
    for name, machine in machines.items():
        if machine.cloud not in known:
            hint = nearest(machine.cloud, sorted(known))
            raise Unfit(f"names no cloud that there is: {machine.cloud!r}", path=(name, "cloud"), hint=hint)


def _check_name(group: type[Group], name: str) -> str:
    if group in (Endpoint, Machine, CloudAccount, ChannelSettings):
        if group is CloudAccount and name == "ssh":
            raise Unfit("is the name for machines of your own, which are rented nowhere")
        if group is ChannelSettings and name in ("terminal", "desktop"):
            raise Unfit("is a channel that is there by itself", hint=f"Switch it with {name} = false under [alerts].")
        return read_endpoint_name(name)
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > 200:
        raise Unfit("is not a name that a model can have")
    return name


def _read_aliases(table: Mapping[str, object]) -> dict[str, tuple[ChainEntry, ...]]:
    aliases = {}
    for name, value in table.items():
        try:
            _check_name(ChainEntry, name)
            aliases[name] = read_chain(value)
        except Unfit as unfit:
            raise unfit.under(name) from None
    return aliases


def _read_endpoints(
    tables: Mapping[str, object],
    found: Mapping[str, tuple[Mapping[str, Any], tuple[OriginKind, str]]],
    limits: Mapping[str, Any],
) -> dict[str, Endpoint]:
    """The configured endpoints."""
    from console.found_endpoints import SHIPPED

    endpoints = {}
    for name, table in tables.items():
        given: dict[str, object] = {**limits}
        if name in SHIPPED and isinstance(table, Mapping):
            shipped = found[name][0] if name in found else SHIPPED[name]
            same_place = table.get("base_url", shipped["base_url"]) == shipped["base_url"]
            # The key was stored for the shipped address; another address gets it only when the file says so.
            given.update({k: v for k, v in shipped.items() if k != "key" or same_place})
        endpoints[name] = _named(Endpoint, name, table, given)
    return endpoints


def _found_beside(
    configured: Mapping[str, Endpoint],
    found: Mapping[str, tuple[Mapping[str, Any], tuple[OriginKind, str]]],
    limits: Mapping[str, Any],
    origins: dict[str, Origin],
) -> dict[str, Endpoint]:
    """Those that are there by themselves, beside the others."""
    endpoints = {}
    has_ollama = any(endpoint.wire == "ollama" for endpoint in configured.values())
    for name, (values, (kind, detail)) in found.items():
        if name not in configured and not (name == "ollama" and has_ollama):
            endpoints[name] = Endpoint(name=name, **{**limits, **values})
            origins[f"endpoints.{name}"] = Origin(kind, detail)
    return endpoints


_Overlay: TypeAlias = list[tuple[str, Field, Any, Origin]]


def _from_environment(environment: Mapping[str, str]) -> _Overlay:
    overlay: _Overlay = []
    for variable, written in environment.items():
        if not variable.startswith("HAWSER_") or not written:
            continue
        group, _, name = variable[7:].lower().partition("_")
        if group not in GROUPS:
            continue
        fields = GROUPS[group].fields
        if name not in fields:
            known = [variable_of(group, key) for key in fields]
            hint = nearest(variable, known) or f"Known are: {', '.join(known)}."
            raise SettingsError(f"The variable {variable} is not a setting.", hint=hint)
        try:
            value = fields[name].kind.parse(written)
        except Unfit as unfit:
            raise SettingsError(f"The variable {variable} {unfit.sentence}.", hint=unfit.hint) from None
        overlay.append((group, fields[name], value, Origin("environment", variable)))
    return overlay


def _from_flags(flags: Mapping[str, object]) -> _Overlay:
    overlay: _Overlay = []
    for dotted, given in flags.items():
        if given is None:
            continue
        group, _, name = dotted.partition(".")
        field = GROUPS[group].fields[name]
        try:
            value = field.kind.parse(given) if isinstance(given, str) else field.kind.read(given)
        except Unfit as unfit:
            raise SettingsError(f"The flag for {dotted} {unfit.sentence}.", hint=unfit.hint) from None
        overlay.append((group, field, value, Origin("flag")))
    return overlay


def _lay_over(values: dict[str, Any], origins: dict[str, Origin], overlay: _Overlay) -> None:
    for group, field, value, origin in overlay:
        values[group] = values[group].replace(**{field.attribute: value})
        origins[f"{group}.{field.attribute}"] = origin


def variable_of(group: str, name: str) -> str:
    """The environment variable of a setting."""
    return f"HAWSER_{group}_{name}".upper()
