"""Changing single values of config.toml: comments and layout stay, and nothing is written that would not load."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from console.errors import SettingsError, UsageError
from console.paths import Paths, write_privately
from console.settings import CHAIN, GROUPS, KNOWN, NAMED, Routes, read_settings_file, settings_from
from console.settings_groups import KEYS
from console.settings_kinds import Kind, Unfit, nearest
from console.settings_texts import as_toml

KeyPath = tuple[str, ...]


def change_settings(paths: Paths, assignments: Iterable[tuple[str, str]], removals: Iterable[str]) -> None:
    """Set and unset values by their dotted names, all in one step or none of them."""
    before = read_settings_file(paths.config_file)
    after = changed(before, assignments, removals)
    try:
        settings_from(after, paths, {}, discover=False)
    except SettingsError as error:
        raise SettingsError(f"Nothing was changed, because then: {error.text}", hint=error.hint) from error
    write_settings(paths, after)


def write_settings(paths: Paths, written: str) -> None:
    """Replace the file in one step; a link to it, as people keep for their dotfiles, stays a link."""
    try:
        write_privately(paths.config_file.resolve(), written.encode())
    except OSError as error:
        raise SettingsError(
            f"{paths.config_file} cannot be written: {error.strerror or error}.",
            hint="Make it writable, or set HAWSER_HOME to another folder.",
        ) from error


def changed(before: str, assignments: Iterable[tuple[str, str]], removals: Iterable[str]) -> str:
    """The text after the changes. Checked against the parser: nothing but what was asked for may differ."""
    import tomlkit  # 10 ms, for this command only
    from tomlkit.exceptions import TOMLKitError

    expected = _parsed(before)
    try:
        document: Any = tomlkit.parse(before)
        for name, value_text in assignments:
            path, kind = find_setting(name)
            literal = _literal(name, kind, value_text)
            _put(document, path, tomlkit.value(literal))
            _put(expected, path, tomllib.loads(f"value = {literal}", parse_float=Decimal)["value"])
        for name in removals:
            path = _find_removal(name)
            if not _drop(document, path) or not _drop(expected, path):
                raise SettingsError(f"{name} is not in the settings file, so there is nothing to unset.")
        after = tomlkit.dumps(document)
    except (TOMLKitError, TypeError, AttributeError) as error:  # layouts that tomlkit cannot change
        raise SettingsError(
            "The file is laid out in a way that cannot be changed from here.", hint="Open it with: hawser config edit"
        ) from error
    if _without_empty(_parsed(after)) != _without_empty(expected):
        raise SettingsError(
            "The change would touch other settings as well, so it was not made.",
            hint="Open the file with: hawser config edit",
        )
    return after


def find_setting(name: str) -> tuple[KeyPath, Kind | None]:
    """The keys that lead to a setting and what it may hold; names in the middle may have dots. None: anything."""
    group, _, rest = name.partition(".")
    if group not in KNOWN:
        raise SettingsError(f"{name} is not a setting.", hint=nearest(group, KNOWN))
    if not rest:
        raise SettingsError(f"{name} is a group of settings.", hint=f"Name one in it: {group}.NAME=VALUE")
    if group in ("aliases", "keys"):
        return (group, _bare(rest)), CHAIN if group == "aliases" else KEYS
    fields = Routes.fields if group == "routes" else (GROUPS.get(group) or NAMED[group]).fields
    if group not in NAMED:
        if rest not in fields:
            raise SettingsError(f"{name} is not a setting.", hint=nearest(rest, fields))
        return (group, rest), fields[rest].kind
    fits = [key for key in fields if rest.endswith(f".{key}") and len(rest) > len(key) + 1]
    if not fits:
        owner, dot, last = rest.rpartition(".")
        hint = nearest(last, fields) if dot and owner else f"Write it as {group}.NAME.SETTING=VALUE."
        raise SettingsError(f"{name} is not a setting.", hint=hint)
    key = max(fits, key=len)
    return (group, _bare(rest[: -len(key) - 1]), *key.split(".")), fields[key].kind


def _find_removal(name: str) -> KeyPath:
    """As `find_setting`, but a whole group or a whole named table may be meant as well."""
    group, _, rest = name.partition(".")
    if group in KNOWN and not rest:
        return (group,)
    try:
        return find_setting(name)[0]
    except SettingsError:
        if group in NAMED:
            return group, _bare(rest)
        raise


def _bare(name: str) -> str:
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] and name[0] in "\"'" else name


def _literal(name: str, kind: Kind | None, written: str) -> str:
    """What to write into the file for a value as it was typed: TOML where it is that and fits, else the text itself."""
    as_text = json.dumps(written, ensure_ascii=False).replace("\x7f", "\\u007f")
    failure: Unfit | None = None
    for literal in (written, as_text):
        try:
            value = tomllib.loads(f"value = {literal}", parse_float=Decimal)
        except (ValueError, ArithmeticError, RecursionError):
            continue
        if value.keys() != {"value"}:
            continue
        if kind is None:
            return literal
        try:
            kind.read(value["value"])
        except Unfit as unfit:
            failure = failure or unfit
        else:
            return literal
    try:
        assert kind is not None
        return as_toml(kind.parse(written))
    except Unfit as unfit:
        failure = failure or unfit
        where = ".".join((name, *failure.path))
        raise SettingsError(f"{where} {failure.sentence}. Nothing was changed.", hint=failure.hint) from None


def _put(table: Any, path: KeyPath, value: object) -> None:
    import tomlkit

    for position, key in enumerate(path[:-1]):
        if key not in table:
            is_document = isinstance(table, tomlkit.TOMLDocument | tomlkit.items.Table)
            inner: Any = tomlkit.table(is_super_table=position + 2 < len(path)) if is_document else {}
            table[key] = inner
        table = table[key]
    table[path[-1]] = value


def _drop(table: Any, path: KeyPath) -> bool:
    for key in path[:-1]:
        if not isinstance(table, dict) or key not in table:
            return False
        table = table[key]
    if not isinstance(table, dict) or path[-1] not in table:
        return False
    del table[path[-1]]
    return True


def _without_empty(table: dict[str, Any]) -> dict[str, Any]:
    """The tables that say something: with its last name, the header of a group goes as well."""
    inner = {key: _without_empty(value) if isinstance(value, dict) else value for key, value in table.items()}
    return {key: value for key, value in inner.items() if value != {}}


def _parsed(written: str) -> dict[str, Any]:
    try:
        return tomllib.loads(written, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UsageError(f"The settings file is not TOML: {error}.", hint="Open it with: hawser config edit") from error
