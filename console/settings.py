"""Settings: typed groups, each setting declared once with its kind, default and sentence.

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
from console.settings_kinds import (
    SWITCH,
    URL,
    Field,
    Group,
    Kind,
    Unfit,
    amount,
    list_of,
    misfit,
    nearest,
    one_of,
    seconds,
    setting,
    shown,
    text,
    usd,
    whole,
)

Wire: TypeAlias = Literal["ollama", "openai", "anthropic"]
OriginKind: TypeAlias = Literal["flag", "environment", "file", "default"]
LARGEST_FILE = 1 << 20
_TOKENS = whole(1, 10_000_000)
_PHASE = seconds("0.1", "86400")
_PRICE = usd(expects="a price in USD per million tokens")


class ChatSettings(Group):
    """What a chat does unless a flag, a chain or an endpoint says otherwise."""

    model: str | None = setting(
        text(), "The model, `endpoint/model`, alias or route that answers when `-m` is not given.", default=None
    )
    system: str | None = setting(
        text(most=100_000, lines=True), "The instruction that a chat starts with.", default=None
    )
    max_tokens: int | None = setting(
        _TOKENS, "The most tokens an answer may have; unset leaves it to the service.", default=None
    )
    connect_s: float = setting(_PHASE, "How long connecting to an endpoint may take.", default=5.0)
    first_token_s: float = setting(_PHASE, "How long a model that is loaded may take to its first token.", default=60.0)
    load_s: float = setting(
        _PHASE, "How long the first token may take while the server is loading the model.", default=300.0
    )
    between_tokens_s: float = setting(_PHASE, "How long an answer that has begun may pause.", default=20.0)
    after_break: Literal["continue", "restart", "fail"] = setting(
        one_of("continue", "restart", "fail"),
        "What happens on a screen when an answer breaks off: go on from what arrived, ask again, or fail. "
        "`hawser --prompt` always fails and keeps what arrived.",
        default="continue",
    )
    context_overflow: Literal["slide", "summarise", "refuse"] = setting(
        one_of("slide", "summarise", "refuse"),
        "What happens when a chat outgrows the model's window: leave out the oldest turns, put a summary in their "
        "place, or refuse.",
        default="slide",
    )
    save: bool = setting(SWITCH, "Keep chats in the history; `--no-save` leaves one out.", default=True)


def _read_warnings(value: object) -> tuple[Decimal, ...]:
    share = amount("0.01", "0.99", "a share of the budget")
    levels: tuple[Decimal, ...] = list_of(share, most=8, expects=_WARNINGS).read(value)
    if list(levels) != sorted(set(levels)):
        raise misfit(_WARNINGS, value)
    return levels


_WARNINGS = "a rising list of shares of the budget, such as [0.5, 0.8]"


class BudgetSettings(Group):
    """How much may be spent, over everything."""

    day_usd: Decimal = setting(usd(), "The most that a day may cost.", default=Decimal(5))
    month_usd: Decimal = setting(usd(), "The most that a month may cost.", default=Decimal(50))
    warn_at: tuple[Decimal, ...] = setting(
        Kind(
            _WARNINGS,
            _read_warnings,
            lambda written: _read_warnings([_decimal(part) for part in written.split(",")]),
        ),
        "At which shares of a budget to warn.",
        default=(Decimal("0.5"), Decimal("0.8")),
    )
    at_limit: Literal["stop", "warn"] = setting(
        one_of("stop", "warn"),
        "What happens when a budget is spent: refuse whatever costs money, or only say so.",
        default="stop",
    )


class LogSettings(Group):
    """The log file in the state folder."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        one_of("debug", "info", "warning", "error"), "How much is written to the log.", default="info"
    )


def _read_name(value: object) -> str:
    expects = "a name of letters, digits, '.', '_' and '-'"
    fits = isinstance(value, str) and 0 < len(value) <= 64 and value.isascii() and value[0].isalnum()
    if not fits or not all(c.isalnum() or c in "._-" for c in str(value)):
        raise misfit(expects, value)
    return str(value)


_SECRET_STARTS = ("sk-", "sk_", "gsk_", "rpa_", "hf_", "xai-", "bearer ")


def _read_key_name(value: object) -> str:
    remedy = 'Store the key with `hawser key set NAME` and write key = "NAME".'
    if isinstance(value, str) and value.startswith("cmd:"):
        if not value[4:].strip() or not value.isprintable():
            raise Unfit("names no command after 'cmd:'", hint='For example: key = "cmd:pass show openai"')
        return value
    try:
        name = _read_name(value)
    except Unfit:
        # The value is not repeated: it may be the key itself.
        raise Unfit('must be the name of a key, or "cmd:" and a command that prints it', hint=remedy) from None
    if len(name) > 40 or name.lower().startswith(_SECRET_STARTS):
        raise Unfit("looks like a key itself; settings hold only its name", hint=remedy)
    return name


def _read_headers(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise misfit("a table of header names and texts", value)
    for name, content in value.items():
        if not name or not name.isascii() or not all(c.isalnum() or c in "-_." for c in name):
            raise Unfit("is not the name of a header", path=(name,))
        if name.lower() in ("authorization", "x-api-key", "api-key", "proxy-authorization"):
            raise Unfit("holds a key, which has no place in settings", path=(name,), hint='Use key = "NAME".')
        if name.lower() in ("host", "content-length", "content-type", "transfer-encoding", "connection"):
            raise Unfit("is a header that Hawser sets itself", path=(name,))
        if not isinstance(content, str) or not content.isascii() or not content.isprintable():
            raise Unfit("must be a text of plain characters on one line", path=(name,))
    return dict(value)


_DURATION = 'a duration such as "10m" or "1h30m", or a number of seconds, where -1 is for ever'


def _read_duration(value: object) -> str:
    import re

    if isinstance(value, int) and not isinstance(value, bool) and -1 <= value < 10**9:
        return str(value)
    if not isinstance(value, str) or not re.fullmatch(r"-1|\d{1,9}|-?(?:\d{1,9}(?:\.\d{1,6})?(?:ms|s|m|h))+", value):
        raise misfit(_DURATION, value)
    return value


class Endpoint(Group):
    """Somewhere a model answers: a wire, an address, and the name of the key that belongs to it."""

    name: str = setting(Kind("a name", _read_name), "The name of the table.", key="")
    wire: Wire = setting(one_of("ollama", "openai", "anthropic"), "The protocol that is spoken there.")
    base_url: str = setting(URL, "The address, with the path that the protocol starts at (`…/v1` for openai).")
    key: str | None = setting(
        Kind('the name of a key, or "cmd:" and a command', _read_key_name),
        "The name of its key (`hawser key set NAME`), or `cmd:` and a command that prints it. "
        "Unset, a key stored under the name of the endpoint is used.",
        default=None,
    )
    price_input: Decimal | None = setting(
        _PRICE, "USD per million tokens of the question, for every model there.", default=None, key="price.input"
    )
    price_output: Decimal | None = setting(
        _PRICE, "USD per million tokens of the answer, for every model there.", default=None, key="price.output"
    )
    models: tuple[str, ...] = setting(
        list_of(text(), most=1000, expects="a list of model names"),
        "The models to offer, where the service does not list them itself or lists too many.",
        default=(),
    )
    headers: Mapping[str, str] = setting(
        Kind("a table of header names and texts", _read_headers),
        "Headers to send along with every request.",
        default={},
        private=True,
    )
    connect_s: float = setting(_PHASE, "As `chat.connect_s`, for this endpoint.", default=5.0)
    first_token_s: float = setting(_PHASE, "As `chat.first_token_s`, for this endpoint.", default=60.0)
    load_s: float = setting(_PHASE, "As `chat.load_s`, for this endpoint.", default=300.0)
    between_tokens_s: float = setting(_PHASE, "As `chat.between_tokens_s`, for this endpoint.", default=20.0)
    context_tokens: int | None = setting(
        whole(256, 10_000_000),
        "The window to count with and, on an Ollama wire, to ask for; unset takes what the model is known for.",
        default=None,
    )
    keep_alive: str | None = setting(
        Kind(_DURATION, _read_duration),
        "How long an Ollama server keeps a model in memory after an answer.",
        default=None,
    )

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this computer; a tunnel's local end counts as well."""
        from urllib.parse import urlsplit

        host = (urlsplit(self.base_url).hostname or "").rstrip(".")
        return host in ("localhost", "::1") or host.endswith(".localhost") or _is_loopback_number(host)


def _is_loopback_number(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() for part in parts)


class ChainEntry(Group):
    """One try in a chain: what to ask, and how hard to try."""

    target: str = setting(text(), "A model, `endpoint/model`, alias or route.", key="model")
    timeout_s: float | None = setting(
        _PHASE, "How long this entry may take in all before the next is tried.", default=None, key="timeout"
    )
    max_tokens: int | None = setting(_TOKENS, "The most tokens its answer may have.", default=None)
    retries: int = setting(whole(0, 10), "How often it is asked again when that may help.", default=2)


def _read_chain(value: object) -> tuple[ChainEntry, ...]:
    expects = 'a model name, a table such as {model = "…", timeout = 30}, or a list of these'
    entries = value if isinstance(value, list) else [value]
    if not 1 <= len(entries) <= 20:
        raise misfit(f"{expects}, with 1 to 20 entries", value)
    chain = []
    for entry in entries:
        if isinstance(entry, Mapping):
            chain.append(ChainEntry.read(entry))
        elif isinstance(entry, str) and entry == entry.strip():
            chain.append(ChainEntry(ChainEntry.fields["model"].kind.read(entry)))
        else:
            raise misfit(expects, entry)
    return tuple(chain)


CHAIN = Kind("a model, a table {model, timeout, max_tokens, retries}, or a list of these", _read_chain)


class Routes(Group):
    """Which models answer which sort of prompt; a missing model falls to the nearest one that is there."""

    code: tuple[ChainEntry, ...] = setting(
        CHAIN, "Writing and reading programs; also asked for with `@code`.", default=(ChainEntry("deepseek-coder-v2"),)
    )
    general: tuple[ChainEntry, ...] = setting(
        CHAIN, "Everything else; also asked for with `@general`.", default=(ChainEntry("llama3.1:8b"),)
    )
    quick: tuple[ChainEntry, ...] = setting(
        CHAIN, "Short questions; also asked for with `@quick`.", default=(ChainEntry("mistral:7b"),)
    )


class ModelFacts(Group):
    """What is known of a model, added to the catalogue that comes with the program."""

    name: str = setting(text(), "The name of the table.", key="")
    size_gb: Decimal | None = setting(amount("0.01", "10000", "a size in GB"), "Its size on disk.", default=None)
    vram_gb: Decimal | None = setting(
        amount("0.01", "10000", "a size in GB"), "The GPU memory that it needs.", default=None
    )
    context_tokens: int | None = setting(whole(256, 10_000_000), "The largest window it can have.", default=None)
    role: Literal["code", "general", "quick", "vision"] | None = setting(
        one_of("code", "general", "quick", "vision"), "What it is good at.", default=None
    )
    sees_images: bool | None = setting(SWITCH, "Whether it takes images.", default=None)


class ModelPrice(Group):
    """What a model costs, where the endpoint has no price; goes before the table that comes with the program."""

    name: str = setting(text(), "The name of the table: a model, or `endpoint/model`.", key="")
    input: Decimal = setting(_PRICE, "USD per million tokens of the question.")
    output: Decimal = setting(_PRICE, "USD per million tokens of the answer.")
    cached_input: Decimal | None = setting(_PRICE, "The same for tokens that the service had cached.", default=None)
    cache_write: Decimal | None = setting(_PRICE, "The same for tokens that it puts into its cache.", default=None)


GROUPS: dict[str, type[Group]] = {"chat": ChatSettings, "budget": BudgetSettings, "log": LogSettings}
"""Groups with one table and variables in the environment."""
NAMED: dict[str, type[Group]] = {"endpoints": Endpoint, "models": ModelFacts, "prices": ModelPrice}
"""Groups with a table for each name."""
LATER = ("machines", "clouds", "lease", "idle", "rag")
"""Groups of rooms that are not built: kept as they are, and reported by `hawser doctor`."""
_LIMITS = ("connect_s", "first_token_s", "load_s", "between_tokens_s")
"""What an endpoint takes over from the chat group unless it has its own."""
KNOWN = (*GROUPS, "endpoints", "aliases", "routes", "models", "prices", *LATER)


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
    log: LogSettings
    endpoints: Mapping[str, Endpoint]
    aliases: Mapping[str, tuple[ChainEntry, ...]]
    routes: Mapping[str, tuple[ChainEntry, ...]]
    models: Mapping[str, ModelFacts]
    prices: Mapping[str, ModelPrice]
    later: Mapping[str, Mapping[str, Any]]
    """Tables of rooms that this version does not have, untouched."""
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

    def origin(self, name: str) -> Origin:
        """Where the value of "chat.model", "endpoints.NAME" or "endpoints.NAME.base_url" came from."""
        if name in self._origins:
            return self._origins[name]
        path = self._source.path_of(name)
        if path is not None:
            return Origin("file", f"{self.file.name} line {self._source.line(path)}")
        if name.startswith("endpoints."):
            last = name.rpartition(".")[2]
            if last in _LIMITS:
                return self.origin(f"chat.{last}")
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

    limits = {name: getattr(values["chat"], name) for name in _LIMITS}
    found, notes = found_endpoints(paths, environment) if discover else ({}, ())
    try:
        values["endpoints"] = _read_endpoints(source.document.get("endpoints", {}), found, limits, origins)
    except Unfit as unfit:
        raise source.error(unfit.under("endpoints")) from None
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


def _decimal(written: str) -> Decimal:
    try:
        return Decimal(written)
    except ArithmeticError:
        raise misfit("a number", written) from None


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
        reading = "aliases"
        values[reading] = _read_aliases(document.get(reading, {}))
        for reading in ("models", "prices"):
            tables = document.get(reading, {})
            values[reading] = {name: _named(NAMED[reading], name, table) for name, table in tables.items()}
    except Unfit as unfit:
        raise unfit.under(reading) from None
    values["later"] = {name: document[name] for name in LATER if name in document}
    return values


def _named(group: type[Group], name: str, table: object, given: Mapping[str, object] | None = None) -> Any:
    """One table of a group that has a table for each name."""
    try:
        return group.read(table, given={**(given or {}), "name": _check_name(group, name)})
    except Unfit as unfit:
        raise unfit.under(name) from None


def _check_name(group: type[Group], name: str) -> str:
    if group is Endpoint:
        return _read_name(name)
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > 200:
        raise Unfit("is not a name that a model can have")
    return name


def _read_aliases(table: Mapping[str, object]) -> dict[str, tuple[ChainEntry, ...]]:
    aliases = {}
    for name, value in table.items():
        try:
            _check_name(ChainEntry, name)
            aliases[name] = _read_chain(value)
        except Unfit as unfit:
            raise unfit.under(name) from None
    return aliases


def _read_endpoints(
    tables: Mapping[str, object],
    found: Mapping[str, tuple[Mapping[str, Any], tuple[OriginKind, str]]],
    limits: Mapping[str, Any],
    origins: dict[str, Origin],
) -> dict[str, Endpoint]:
    """The configured endpoints, then those that are there by themselves."""
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
    has_ollama = any(endpoint.wire == "ollama" for endpoint in endpoints.values())
    for name, (values, (kind, detail)) in found.items():
        if name not in endpoints and not (name == "ollama" and has_ollama):
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
