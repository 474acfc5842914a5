"""The groups of settings: every setting declared once, with what it may hold, its default and a sentence.

From these come the checks of config.toml, the names in the environment, `hawser config show` and docs/settings.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, Self, TypeAlias

from console.settings_kinds import (
    SWITCH,
    URL,
    Group,
    Kind,
    Unfit,
    amount,
    list_of,
    misfit,
    one_of,
    seconds,
    setting,
    text,
    usd,
    whole,
)

Wire: TypeAlias = Literal["ollama", "openai", "anthropic"]
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
    enter_sends: bool = setting(
        SWITCH,
        "In the terminal app Enter sends; else it begins a line and Ctrl+S sends. Ctrl+J always begins a line.",
        default=True,
    )
    titles: Literal["words", "model"] = setting(
        one_of("words", "model"),
        "Where the title of a chat in the terminal app comes from: its first words, or a model that is asked in the "
        "background. No title costs anything unless `title_model` says who may be asked.",
        default="words",
    )
    title_model: str | None = setting(
        text(),
        "Who is asked for titles; unset takes the route `quick` where that costs nothing and wakes no machine.",
        default=None,
    )


def _decimal(written: str) -> Decimal:
    try:
        return Decimal(written)
    except ArithmeticError:
        raise misfit("a number", written) from None


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


class ScreenSettings(Group):
    """The terminal app."""

    theme: str = setting(
        text(most=60),
        "Its colours: `hawser-dark`, `hawser-light`, one of Textual's, or `ansi-dark` and `ansi-light` for the "
        "terminal's own sixteen.",
        default="hawser-dark",
    )
    clipboard: Literal["auto", "native", "osc52", "file"] = setting(
        one_of("auto", "native", "osc52", "file"),
        "How text is copied: by a program of this system, by the terminal, into a file, or whichever works first.",
        default="auto",
    )
    animations: bool = setting(SWITCH, "Let things slide and fade.", default=False)
    read_only: bool = setting(SWITCH, "Bind no key to what costs or destroys.", default=False)


def _read_keys(value: object) -> tuple[str, ...]:
    written = [value] if isinstance(value, str) else value
    if not isinstance(written, list) or len(written) > 8:
        raise misfit(_KEYS, value)
    for key in written:
        if not isinstance(key, str) or not 0 < len(key) <= 40 or not key.isprintable() or key.strip() != key:
            raise misfit(_KEYS, key)
    return tuple(written)


_KEYS = 'a key such as "ctrl+x", or a list of up to 8; [] takes its keys away'
KEYS = Kind(_KEYS, _read_keys, lambda written: _read_keys([key.strip() for key in written.split(",") if key.strip()]))


def read_keys(table: object) -> dict[str, tuple[str, ...]]:
    """`[keys]`: the keys of actions, by the names of the actions; `"chat.stop"` may be written `chat = {stop = …}`."""
    if not isinstance(table, Mapping):
        raise misfit("a table", table)
    keys: dict[str, tuple[str, ...]] = {}
    for name, value in table.items():
        try:
            if isinstance(value, Mapping):
                keys.update({f"{name}.{inner}": KEYS.read(each) for inner, each in value.items()})
            else:
                keys[name] = KEYS.read(value)
        except Unfit as unfit:
            raise unfit.under(name) from None
    return keys


def read_endpoint_name(value: object) -> str:
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
        name = read_endpoint_name(value)
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

    name: str = setting(Kind("a name", read_endpoint_name), "The name of the table.", key="")
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
    machine: str | None = setting(text(), "The machine whose service it is.", default=None, key="")
    service: str | None = setting(text(), "The name of that service.", default=None, key="")
    expected: tuple[str, ...] = setting(
        list_of(text(), most=1000, expects="a list of model names"),
        "The models that a machine is to have; counts until it has said what it has.",
        default=(),
        key="",
    )

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this computer; a tunnel's local end counts as well."""
        from urllib.parse import urlsplit

        host = (urlsplit(self.base_url).hostname or "").rstrip(".")
        return host in ("localhost", "::1") or host.endswith(".localhost") or _numbers(host)[:1] == [127]

    @property
    def is_own(self) -> bool:
        """Whether it is a machine of the user's, here or in a private network, where nobody sells tokens."""
        if self.is_loopback:
            return True
        from urllib.parse import urlsplit

        host = (urlsplit(self.base_url).hostname or "").rstrip(".")
        match _numbers(host):
            case [10, _, _, _] | [192, 168, _, _] | [169, 254, _, _]:
                return True
            case [172, second, _, _]:
                return 16 <= second < 32
            case [100, second, _, _]:  # addresses that overlay networks give
                return 64 <= second < 128
            case _:
                pass
        if ":" in host:
            return host.startswith(("fc", "fd", "fe80:"))
        return bool(host) and ("." not in host or host.endswith((".local", ".lan", ".home.arpa", ".internal")))


def _numbers(host: str) -> list[int]:
    """The four numbers of an address, or none for a name."""
    parts = host.split(".")
    return [int(part) for part in parts] if len(parts) == 4 and all(part.isdecimal() for part in parts) else []


class ChainEntry(Group):
    """One try in a chain: what to ask, and how hard to try."""

    target: str = setting(text(), "A model, `endpoint/model`, alias or route.", key="model")
    timeout_s: float | None = setting(
        _PHASE, "How long this entry may take in all before the next is tried.", default=None, key="timeout"
    )
    max_tokens: int | None = setting(_TOKENS, "The most tokens its answer may have.", default=None)
    retries: int = setting(whole(0, 10), "How often it is asked again when that may help.", default=2)


def read_chain(value: object) -> tuple[ChainEntry, ...]:
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


CHAIN = Kind("a model, a table {model, timeout, max_tokens, retries}, or a list of these", read_chain)


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
    """What a model costs, at one endpoint or, where the endpoint has no price of its own, anywhere."""

    name: str = setting(text(), "The name of the table: a model, or `endpoint/model`.", key="")
    input: Decimal = setting(_PRICE, "USD per million tokens of the question.")
    output: Decimal = setting(_PRICE, "USD per million tokens of the answer.")
    cached_input: Decimal | None = setting(_PRICE, "The same for tokens that the service had cached.", default=None)
    cache_write: Decimal | None = setting(_PRICE, "The same for tokens that it puts into its cache.", default=None)


def _read_ports(value: object) -> Mapping[str, int]:
    expects = "a table of services and ports, such as {ollama = 11434, comfyui = 8188}"
    if not isinstance(value, Mapping) or len(value) > 100:
        raise misfit(expects, value)
    ports: dict[str, int] = {}
    for name, port in value.items():
        try:
            number = whole(1, 65535).read(port)
            ports[read_endpoint_name(name)] = number
        except Unfit as unfit:
            raise unfit.under(name) from None
        if list(ports.values()).count(number) > 1:
            raise Unfit(f"is {number}, which another service has as well", path=(name,))
    return ports


def _read_service(value: object) -> object:
    from console.errors import SettingsError
    from console.machines.services import read_service  # loaded by those who have machines

    try:
        read_service(value)
    except SettingsError as error:
        text = error.text[:1].lower() + error.text[1:].removesuffix(".")
        raise Unfit(f"does not fit: {text}", hint=error.hint) from None
    return value


def _read_idle(value: object) -> Decimal | Literal["off"]:
    if value == "off":
        return "off"
    minutes: Decimal = amount("1", "10080", 'a number of minutes, or "off",').read(value)
    return minutes


def _parse_idle(written: str) -> Decimal | Literal["off"]:
    return _read_idle(written if written == "off" else _decimal(written))


_IDLE = Kind('a number of minutes from 1 to 10080, or "off"', _read_idle, _parse_idle)


CLOUD_KINDS = ("vast", "tensordock", "runpod", "lambda")
"""Where machines are rented; `ssh` stands beside them for machines that are simply there."""


class CloudAccount(Group):
    """An account at a cloud. The four known clouds need no table unless something is to be set."""

    name: str = setting(Kind("a name", read_endpoint_name), "The name of the table.", key="")
    kind: Literal["vast", "tensordock", "runpod", "lambda"] | None = setting(
        one_of(*CLOUD_KINDS), "Which cloud it is; unset, the name of the table says it.", default=None
    )
    base_url: str | None = setting(URL, "Another address than the cloud's own, such as a stand-in's.", default=None)
    key: str | None = setting(
        Kind('the name of a key, or "cmd:" and a command', _read_key_name),
        "The name of its key; unset, one stored under its own name or, at the cloud's own address, the key of that "
        "cloud.",
        default=None,
    )

    @classmethod
    def read(cls, table: object, *, given: Mapping[str, object] | None = None) -> Self:
        account = super().read(table, given=given)
        if account.kind is not None:
            return account
        if account.name not in CLOUD_KINDS:
            raise Unfit("needs the setting 'kind'", hint=f"Which is one of: {', '.join(CLOUD_KINDS)}.")
        return account.replace(kind=account.name)


_GB = amount("1", "100000", "a size in GB")
_COMMAND = text(most=4000, expects="a command")


class Machine(Group):
    """A GPU machine: one of your own behind SSH, or one that is rented."""

    name: str = setting(Kind("a name", read_endpoint_name), "The name of the table.", key="")
    cloud: str = setting(
        Kind("a name", read_endpoint_name),
        'Where it is rented: a cloud, or an account of `[clouds.NAME]`; `"ssh"` is a machine of your own.',
    )
    host: str | None = setting(
        text(), "Of a machine of your own: an alias of your SSH configuration, or `user@host:port`.", default=None
    )
    key_file: str | None = setting(
        text(), "The private key to log in with, where your SSH configuration does not name it.", default=None
    )
    services: tuple[str | Mapping[str, object], ...] = setting(
        list_of(Kind("a service", _read_service), most=100, expects="a list of services"),
        'What runs on it, such as `"ollama"`; one of your own is `{ name = "…", port = …, probe = "/…" }`.',
        default=(),
    )
    ports: Mapping[str, int] = setting(
        Kind("a table of services and ports", _read_ports),
        "The local ports that its services are always found at; the others get free ones.",
        default={},
    )
    gpu: str | None = setting(text(), "The GPU to rent, as in `RTX 4090`.", default=None)
    count: int = setting(whole(1, 64), "How many GPUs.", default=1)
    disk_gb: Decimal = setting(_GB, "The disk to rent.", default=Decimal(40))
    min_vram_gb: Decimal | None = setting(_GB, "The least GPU memory, of all GPUs together.", default=None)
    region: str | None = setting(text(), "A part of the region's name, or a country code.", default=None)
    spot: bool = setting(SWITCH, "Rent at a bid, cheaper, and lost to a higher one.", default=False)
    max_price_usd_per_hour: Decimal | None = setting(
        usd("10000"), "The most that an hour may cost: neither launched nor started above it.", default=None
    )
    image: str | None = setting(text(most=1000), "The container image, where the cloud runs containers.", default=None)
    recipe: str | None = setting(text(), "How it becomes useful: `inference` or `images`.", default=None)
    models: tuple[str, ...] = setting(
        list_of(text(), most=1000, expects="a list of model names"), "The models it should have.", default=()
    )
    at_end: Literal["stop", "destroy", "nothing"] | None = setting(
        one_of("stop", "destroy", "nothing"),
        "What ends it when it is idle or its lease is over; unset, as `lease.at_end` says. "
        "A machine of your own is left alone unless this is set.",
        default=None,
    )
    stop_after_min: Decimal | Literal["off"] | None = setting(
        _IDLE, "As `idle.stop_after_min`, for this machine.", default=None
    )
    hard_h: Decimal | None = setting(
        amount("0.1", "8760", "a number of hours"), "As `lease.hard_h`, for this machine.", default=None
    )
    day_usd: Decimal | None = setting(usd(), "The most that it may cost in a day; it is stopped then.", default=None)
    usd_per_hour: Decimal | None = setting(
        usd("10000"), "What an hour of a machine of your own costs while it runs.", default=None
    )
    usd_per_month: Decimal | None = setting(
        usd("1000000"), "What a machine of your own costs in a month, whether it runs or not.", default=None
    )
    start: str | None = setting(
        _COMMAND, "Of a machine of your own: the command, run here, that starts it.", default=None
    )
    stop: str | None = setting(
        _COMMAND, "Of a machine of your own: the command, run here, that stops it.", default=None
    )
    status: str | None = setting(
        _COMMAND,
        "Of a machine of your own: the command, run here, that prints `running`, `stopped` or another word for its "
        "state. Without one, it runs when its SSH server answers.",
        default=None,
    )

    @classmethod
    def read(cls, table: object, *, given: Mapping[str, object] | None = None) -> Self:
        machine = super().read(table, given=given)
        if (machine.cloud == "ssh") != (machine.host is not None):
            raise Unfit(
                'needs a host, since its cloud is "ssh"'
                if machine.cloud == "ssh"
                else 'has a host, but is not of cloud "ssh"',
                hint='For example: cloud = "ssh" and host = "me@gpu.example:22"',
            )
        for name in ("start", "stop", "status", "usd_per_hour", "usd_per_month"):
            if machine.cloud != "ssh" and getattr(machine, name) is not None:
                raise Unfit('is for machines of cloud "ssh"; the cloud itself tells it', path=(name,))
        if machine.usd_per_hour is not None and machine.usd_per_month is not None:
            raise Unfit("says a price by the hour and one by the month", hint="Keep one of them.")
        return machine


class IdleSettings(Group):
    """When a machine counts as forgotten."""

    stop_after_min: Decimal | Literal["off"] = setting(
        _IDLE,
        "Minutes without work after which a rented machine is ended; `off` leaves that to its lease.",
        default=Decimal(30),
    )


def _read_hours(value: object) -> str:
    import re

    expects = 'hours of the day such as "08:00-23:30"'
    if not isinstance(value, str) or not re.fullmatch(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d", value):
        raise misfit(expects, value)
    return value


class LeaseSettings(Group):
    """How long a machine may live, and when one may be started for a prompt."""

    hard_h: Decimal = setting(
        amount("0.1", "8760", "a number of hours"),
        "Hours after which even a busy machine is ended, unless its lease is extended.",
        default=Decimal(12),
    )
    at_end: Literal["stop", "destroy"] = setting(
        one_of("stop", "destroy"),
        "What ends a rented machine. A cloud that cannot stop needs `destroy`, said for that machine.",
        default="stop",
    )
    wake: bool = setting(SWITCH, "Start a machine that is off when a prompt is for it.", default=True)
    wakes_per_day: int = setting(
        whole(0, 1000), "How often in a day a machine may be started for a prompt.", default=12
    )
    wake_hours: str | None = setting(
        Kind('hours of the day such as "08:00-23:30"', _read_hours),
        "The hours of the day in which prompts may start machines; unset, all of them.",
        default=None,
    )


_LEVEL = one_of("info", "warning", "alarm")


class AlertSettings(Group):
    """What is told, and from where on."""

    terminal: bool = setting(SWITCH, "Ring the terminal's bell, and show a notification by OSC 9.", default=True)
    desktop: bool = setting(SWITCH, "Show notifications on the desktop, where there is one.", default=True)
    level: Literal["info", "warning", "alarm"] = setting(
        _LEVEL, "The least level that terminal and desktop tell; everything is in `hawser alert ls`.", default="warning"
    )
    alarm_again_min: Decimal = setting(
        amount("1", "10080", "a number of minutes"),
        "Minutes after which an alarm that still stands is told again.",
        default=Decimal(15),
    )
    warning_again_min: Decimal = setting(
        amount("1", "100000", "a number of minutes"), "The same for a warning.", default=Decimal(360)
    )
    gpu_warm_c: Decimal = setting(
        amount("30", "120", "a temperature in °C"),
        "The temperature at which a GPU is worth a warning.",
        default=Decimal(75),
    )
    gpu_hot_c: Decimal = setting(
        amount("30", "120", "a temperature in °C"), "The temperature at which a GPU is too hot.", default=Decimal(85)
    )
    gpu_hot_s: float = setting(
        seconds("0", "3600"), "How long a GPU must be too hot before something is done.", default=60.0
    )
    at_hot: Literal["tell", "pause", "stop"] = setting(
        one_of("tell", "pause", "stop"),
        "What is done about a GPU that is too hot: only tell, pause our jobs there, or stop the machine as well.",
        default="pause",
    )
    vram_warning: Decimal = setting(
        amount("0.01", "1", "a share"),
        "The share of a GPU's memory in use that is worth a warning.",
        default=Decimal("0.80"),
    )
    vram_alarm: Decimal = setting(
        amount("0.01", "1", "a share"), "The share that is an alarm.", default=Decimal("0.95")
    )
    machine_day_usd: Decimal = setting(
        usd(), "What any one machine may cost in a day before that is an alarm.", default=Decimal(5)
    )
    machine_day_stop_usd: Decimal = setting(
        usd(), "At what cost in a day a machine is stopped that has no `day_usd` of its own.", default=Decimal(10)
    )


def _read_address(value: object) -> str:
    expects = "a mail address such as me@example.org"
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 254:
        raise misfit(expects, value)
    name, _, domain = value.rpartition("@")
    if not name or not domain or any(c in value for c in ' ,;<>"()'):
        raise misfit(expects, value)
    return value


_ADDRESS = Kind("a mail address", _read_address)


class ChannelSettings(Group):
    """A way on which alerts reach you, beside the terminal and the desktop. Secrets are keys, never settings."""

    name: str = setting(Kind("a name", read_endpoint_name), "The name of the table.", key="")
    kind: Literal["mail", "webhook", "ntfy", "slack", "discord", "apprise"] = setting(
        one_of("mail", "webhook", "ntfy", "slack", "discord", "apprise"),
        "What it is. `webhook` gets a JSON document; `apprise` is any service of the library of that name, which is "
        "installed with `pip install 'hawser[alerts]'`.",
    )
    level: Literal["info", "warning", "alarm"] = setting(
        _LEVEL, "The least level that is told here.", default="warning"
    )
    url: str | None = setting(
        URL,
        "Where a webhook, ntfy topic, Slack or Discord takes it; unset, the key is the whole address.",
        default=None,
    )
    key: str | None = setting(
        Kind('the name of a key, or "cmd:" and a command', _read_key_name),
        "The name of its secret: the password of the mail account; the address, where `url` is unset; else a token "
        "that is sent along.",
        default=None,
    )
    server: str | None = setting(text(), "Of mail: the SMTP server.", default=None)
    port: int | None = setting(whole(1, 65535), "Its port; unset, the usual one.", default=None)
    security: Literal["starttls", "tls", "none"] = setting(
        one_of("starttls", "tls", "none"),
        "How the way to it is protected; `none` is for a server on this computer only.",
        default="starttls",
    )
    user: str | None = setting(text(), "The name to log in with; unset, nobody logs in.", default=None)
    sender: str | None = setting(_ADDRESS, "Who the mail is from; unset, its first receiver.", default=None, key="from")
    to: tuple[str, ...] = setting(
        list_of(_ADDRESS, most=20, expects="a list of mail addresses"), "Who gets it.", default=()
    )

    @classmethod
    def read(cls, table: object, *, given: Mapping[str, object] | None = None) -> Self:
        channel = super().read(table, given=given)
        if channel.kind == "mail":
            if channel.server is None or not channel.to:
                raise Unfit("needs the settings 'server' and 'to'", hint='As in server = "smtp.example.org".')
            if channel.security == "none" and channel.server not in ("localhost", "127.0.0.1", "::1"):
                raise Unfit(
                    "is for a server on this computer only", path=("security",), hint='Use "starttls" or "tls".'
                )
            if (channel.user is None) != (channel.key is None):
                raise Unfit("needs both 'user' and 'key' to log in, or neither")
        elif channel.kind == "apprise":
            if channel.key is None:
                raise Unfit("needs a 'key' that holds the address", hint="Store it with: hawser key set NAME")
        elif channel.url is None and channel.key is None:
            raise Unfit("needs a 'url', or a 'key' that holds the whole address")
        return channel


def _read_embedder(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.strip()) <= 200:
        raise misfit(_EMBEDDER, value)
    return value.strip()


def _read_reranker(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.strip()) <= 200:
        raise misfit(_RERANKER, value)
    return value.strip()


_RERANKER = 'the name of a model, or "endpoint/model"'
_EMBEDDER = 'the name of a model, "endpoint/model", or "none"'
_SHARE = amount("0", "10", "a weight")


class RagSettings(Group):
    """Documents that questions are answered from."""

    embedder: str = setting(
        Kind(_EMBEDDER, _read_embedder),
        "What turns text into vectors: the model that is built in, another of `sentence-transformers` (the extra "
        "`embeddings`), a model of an endpoint as `endpoint/model`, or `none` to find by words only.",
        default="sentence-transformers/all-MiniLM-L6-v2",
    )
    chunk_tokens: int = setting(
        whole(16, 8192),
        "How long a piece of a document may be, in the tokens of the embedder. What is beyond its window is not in "
        "the vector, so longer pieces are found less well.",
        default=254,
    )
    overlap_tokens: int = setting(
        whole(0, 4096), "How much of a piece the next one repeats, where a section is longer than a piece.", default=0
    )
    top_k: int = setting(whole(1, 100), "How many passages go with a question at most.", default=5)
    budget_tokens: int = setting(
        whole(64, 1_000_000),
        "How many tokens the passages of a question may have together; less where the model's window is small.",
        default=1536,
    )
    lexical_weight: Decimal = setting(_SHARE, "How much a place in the order by words counts.", default=Decimal("0.5"))
    vector_weight: Decimal = setting(_SHARE, "How much a place in the order by meaning counts.", default=Decimal(1))
    reranker: str | None = setting(
        Kind(_RERANKER, _read_reranker),
        "What puts the best thirty passages in their final order: a model of an endpoint that has `/rerank`, as "
        "`endpoint/model`, which then gets these passages, or a cross-encoder of `sentence-transformers` (the extra "
        "`embeddings`) that is on this computer. Unset, the order by words and meaning stands.",
        default=None,
    )
    chroma_url: str | None = setting(
        URL,
        "A Chroma server that holds the vectors, for collections too large for this computer; unset, they are here.",
        default=None,
    )
    max_file_mb: int = setting(whole(1, 4096), "The largest file that is read, in megabytes.", default=100)
    max_pages: int = setting(whole(1, 100_000), "The most pages of a document that are read.", default=5000)
    ocr: bool = setting(
        SWITCH,
        "Read pages that are only pictures with the program `tesseract`, where it is installed: seconds a page.",
        default=False,
    )
    threads: int = setting(whole(1, 256), "How many processor cores embedding may use.", default=2)
    idle_min: int = setting(
        whole(1, 1440), "After how many minutes without work the process that has the documents ends.", default=10
    )
    quiet_s: float = setting(
        seconds("0.1", "3600"), "How long a watched file must not have changed before it is read again.", default=2.0
    )

    @classmethod
    def read(cls, table: object, *, given: Mapping[str, object] | None = None) -> Self:
        settings = super().read(table, given=given)
        if settings.overlap_tokens * 2 > settings.chunk_tokens:
            raise Unfit("must not be more than half of chunk_tokens", path=("overlap_tokens",))
        if not settings.lexical_weight and not settings.vector_weight:
            raise Unfit("must not both be 0, or nothing would be found", path=("vector_weight",))
        return settings


GROUPS: dict[str, type[Group]] = {
    "chat": ChatSettings,
    "budget": BudgetSettings,
    "idle": IdleSettings,
    "lease": LeaseSettings,
    "alerts": AlertSettings,
    "log": LogSettings,
    "screen": ScreenSettings,
    "rag": RagSettings,
}
"""Groups with one table and variables in the environment."""
NAMED: dict[str, type[Group]] = {
    "endpoints": Endpoint,
    "machines": Machine,
    "clouds": CloudAccount,
    "channels": ChannelSettings,
    "models": ModelFacts,
    "prices": ModelPrice,
}
"""Groups with a table for each name."""
LIMITS = ("connect_s", "first_token_s", "load_s", "between_tokens_s")
"""What an endpoint takes over from the chat group unless it has its own."""
KNOWN = (
    *GROUPS,
    "endpoints",
    "machines",
    "clouds",
    "channels",
    "aliases",
    "routes",
    "models",
    "prices",
    "keys",
)
