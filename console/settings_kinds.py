"""What a setting may hold, and the base of every group of settings.

One declaration per setting (`name: type = setting(KIND, "sentence", default=…)`) serves everything: reading the file,
the environment and flags, `hawser config show`, and docs/settings.md. `Group` is a frozen value type made without
`dataclasses`, because generating those costs a plain prompt 0.4 ms for each group at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Self, dataclass_transform


class Unfit(Exception):
    """A value that a setting cannot hold; whoever knows the file turns it into a `SettingsError` with the line."""

    def __init__(self, sentence: str, *, path: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.path = path
        self.hint = hint

    def under(self, *outer: str) -> Unfit:
        return Unfit(self.sentence, path=(*outer, *self.path), hint=self.hint)


class Kind:
    """What fits: `read` takes a value as TOML gives it, `parse` a text from the environment or the command line."""

    __slots__ = ("expects", "parse", "read")

    def __init__(self, expects: str, read: Callable[[object], Any], parse: Callable[[str], Any] | None = None) -> None:
        self.expects = expects
        self.read = read
        self.parse = parse or read


def shown(value: object) -> str:
    """A value as an error names it: short, on one line, in TOML's words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int):
        text = str(value) if value.bit_length() < 64 else "a very large number"
    else:
        text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def misfit(expects: str, value: object) -> Unfit:
    return Unfit(f"must be {expects}, not {shown(value)}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known name that is most like a mistyped one, or all of them when none is and they are few."""
    import difflib  # 1.5 ms, and only an error needs it

    known = list(known)
    matches = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if matches:
        return f"Did you mean {matches[0]!r}?"
    return f"Known are: {', '.join(known)}." if 0 < len(known) <= 24 else None


def text(*, most: int = 200, lines: bool = False, expects: str = "a text") -> Kind:
    expects = f"{expects} of 1 to {most} characters" + ("" if lines else " on one line")

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise misfit(expects, value)
        allowed = "\n\t" if lines else ""
        if not value.strip() or len(value) > most or any(not c.isprintable() and c not in allowed for c in value):
            raise misfit(expects, value)
        return value

    return Kind(expects, read)


def _numeric(expects: str, least: Decimal | int, most: Decimal | int, make: Callable[[Any], Any]) -> Kind:
    whole = make is int

    def read(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float, Decimal)):
            raise misfit(expects, value)
        number: Decimal | int = value if isinstance(value, int) else Decimal(str(value))
        if isinstance(number, Decimal) and not number.is_finite():
            raise misfit(expects, value)
        if not least <= number <= most:
            raise misfit(expects, value)
        return make(number)

    def parse(written: str) -> Any:
        try:
            number = int(written) if whole else Decimal(written)
        except (ValueError, ArithmeticError):
            raise misfit(expects, written) from None
        return read(number)

    return Kind(expects, read, parse)


def whole(least: int, most: int) -> Kind:
    return _numeric(f"a whole number from {least} to {most}", least, most, int)


def seconds(least: str, most: str) -> Kind:
    return _numeric(f"a number of seconds from {least} to {most}", Decimal(least), Decimal(most), float)


def amount(least: str, most: str, expects: str) -> Kind:
    """An exact number; money is never a float."""
    return _numeric(f"{expects} from {least} to {most}", Decimal(least), Decimal(most), Decimal)


def usd(most: str = "1000000", expects: str = "an amount in USD") -> Kind:
    return amount("0", most, expects)


def one_of(*words: str) -> Kind:
    expects = "one of " + ", ".join(f'"{word}"' for word in words)

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise misfit(expects, value)
        if value not in words:
            raise Unfit(f"must be {expects}, not {shown(value)}", hint=nearest(value, words))
        return value

    return Kind(expects, read)


def _read_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise misfit("true or false", value)
    return value


def _parse_switch(written: str) -> bool:
    match written.strip().lower():
        case "true" | "yes" | "on" | "1":
            return True
        case "false" | "no" | "off" | "0":
            return False
        case _:
            raise misfit("true or false", written)


SWITCH = Kind("true or false", _read_switch, _parse_switch)


def list_of(kind: Kind, *, most: int, expects: str) -> Kind:
    """A list, kept as a tuple; in the environment its items are separated by commas."""

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise misfit(expects, value)
        return tuple(kind.read(item) for item in value)

    def parse(written: str) -> tuple[Any, ...]:
        return tuple(kind.parse(item.strip()) for item in written.split(",") if item.strip())

    return Kind(expects, read, parse)


def _read_url(value: object) -> str:
    expects = 'an address such as "http://127.0.0.1:8000/v1"'
    if not isinstance(value, str):
        raise misfit(expects, value)
    from urllib.parse import urlsplit  # loaded by httpx anyway wherever an endpoint is used

    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise misfit(expects, value) from None
    if parts.username is not None or parts.password is not None:
        raise Unfit("must not hold a user name or password", hint="Store the key with: hawser key set NAME")
    plain = value.isascii() and value.isprintable() and " " not in value and len(value) <= 2000
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise misfit(expects, value)
    if parts.query or parts.fragment or value.endswith(("?", "#")):
        raise Unfit(f"must be an address without '?' and '#', not {shown(value)}")
    return value.rstrip("/")


URL = Kind("an http or https address", _read_url)


class Field:
    """The declaration of one setting."""

    __slots__ = ("attribute", "default", "key", "kind", "private", "required", "sentence")

    def __init__(self, kind: Kind, sentence: str, default: object, required: bool, key: str | None, private: bool):
        self.kind = kind
        self.sentence = sentence
        self.default = default
        self.required = required
        self.key = key
        self.private = private
        self.attribute = ""


_NOTHING = object()


def setting(
    kind: Kind, sentence: str, *, default: Any = _NOTHING, key: str | None = None, private: bool = False
) -> Any:
    """Declare a setting. `key` is its name in the file where it differs from the attribute: "a.b" lies in the table
    `a`, "" is not in the file at all. A `private` one is never shown."""
    required = default is _NOTHING
    return Field(kind, sentence, None if required else default, required, key, private)


@dataclass_transform(frozen_default=True, field_specifiers=(setting,))
class Group:
    """A frozen set of settings."""

    fields: ClassVar[dict[str, Field]] = {}
    """By their key in the file."""
    attributes: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.fields = {}
        names = []
        for name, field in list(cls.__dict__.items()):
            if isinstance(field, Field):
                field.attribute = name
                field.key = name if field.key is None else field.key
                if field.key:
                    cls.fields[field.key] = field
                names.append(name)
                if field.required:
                    delattr(cls, name)
                else:
                    setattr(cls, name, field.default)
        cls.attributes = tuple(names)

    def __init__(self, *values: object, **named: object) -> None:
        named.update(zip(self.attributes, values, strict=False))
        for name in named:
            if name not in self.attributes:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
        for name in self.attributes:
            if name not in named and not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} needs {name!r}")
        self.__dict__.update(named)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, n) == getattr(other, n) for n in self.attributes)

    def __hash__(self) -> int:
        return hash(tuple(str(getattr(self, name)) for name in self.attributes))

    def __repr__(self) -> str:
        hidden = {field.attribute for field in self.fields.values() if field.private}
        shown = (f"{n}={'…' if n in hidden and getattr(self, n) else repr(getattr(self, n))}" for n in self.attributes)
        return f"{type(self).__name__}({', '.join(shown)})"

    def replace(self, **changes: object) -> Self:
        return type(self)(**{**self.__dict__, **changes})

    @classmethod
    def read(cls, table: object, *, given: Mapping[str, object] | None = None) -> Self:
        """The group as a table of the file has it; `given` holds values of attributes that the file does not."""
        values: dict[str, object] = dict(given or {})
        for key, value in flatten(table, cls.fields).items():
            field = cls.fields.get(key)
            if field is None:
                raise Unfit("is not a setting", path=tuple(key.split(".")), hint=nearest(key, cls.fields))
            try:
                values[field.attribute] = field.kind.read(value)
            except Unfit as unfit:
                raise unfit.under(*key.split(".")) from None
        for key, field in cls.fields.items():
            if field.required and field.attribute not in values:
                raise Unfit(f"needs the setting {key!r}: {field.kind.expects}")
        return cls(**values)


def flatten(table: object, fields: Mapping[str, Field]) -> dict[str, object]:
    """A table with the sub-tables that hold declared settings ("price.input") laid flat."""
    if not isinstance(table, Mapping):
        raise misfit("a table", table)
    inner = {key.partition(".")[0] for key in fields if "." in key}
    flat: dict[str, object] = {}
    for key, value in table.items():
        if key in inner:
            if not isinstance(value, Mapping):
                raise misfit("a table", value).under(key)
            flat.update({f"{key}.{name}": item for name, item in value.items()})
        else:
            flat[key] = value
    return flat
