"""`[keys]` of the settings: which keys are other ones, checked against the table of actions.

A mistake in it ends the start with a sentence that names file and line, as every mistake in the settings does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from console.errors import SettingsError
from console.settings_kinds import nearest
from screens.keys import ACTIONS, TRAPS, Action, Place, key_name, unbound

if TYPE_CHECKING:
    from console.settings import Settings

FIXED = frozenset({"copy_block"})
"""Actions whose keys say which of several things is meant."""


def keys_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The keys of every action as they are in force, by its id."""
    keys = {action.id: action.keys for action in ACTIONS}
    changed: dict[str, str] = {}
    for name, wanted in settings.keys.items():
        action = _action(name, settings)
        if action.name in FIXED:
            raise _wrong(name, settings, "has keys that stay: each is the number of what it does", None)
        keys[action.id] = tuple(_key(key, name, settings) for key in wanted)
        changed[action.id] = name
    for action in ACTIONS:
        if action.id in changed:
            _check_clash(action, keys, changed[action.id], settings)
    return keys


def keymap_of(settings: Settings) -> dict[str, str]:
    """What differs from the table, for `App.set_keymap`."""
    keys = keys_of(settings)
    changed = {}
    for action in ACTIONS:
        if keys[action.id] != action.keys:
            changed[action.id] = ",".join(keys[action.id]) or unbound(action)
    if settings.screen.read_only:
        changed |= {action.id: unbound(action) for action in ACTIONS if action.dangerous}
    return changed


def shown_keys(keys: Iterable[str]) -> str:
    return ", ".join(key_name(key) for key in keys)


def _action(name: str, settings: Settings) -> Action:
    found = [action for action in ACTIONS if name in (action.id, action.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise _wrong(name, settings, f"is the name of {len(found)} actions", _or(action.id for action in found))
    known = [name for action in ACTIONS for name in (action.id, action.name)]
    hint = nearest(name, known) or "docs/keys.md has the names of all actions."
    raise _wrong(name, settings, "is not an action", hint)


def _key(written: str, name: str, settings: Settings) -> str:
    """A key by the name that Textual has for it."""
    from textual.keys import KEY_NAME_REPLACEMENTS, Keys, _character_to_key, key_to_character

    *held, last = written.replace(" ", "").split("+") if len(written) > 1 else [written]
    if not last and held:
        held, last = held[:-1], "+"
    held = [{"control": "ctrl", "strg": "ctrl", "option": "alt", "meta": "alt"}.get(h.lower(), h.lower()) for h in held]
    if len(last) == 1:
        if "ctrl" in held or (held and last.isalpha()):
            last = last.lower()
        last = _character_to_key(last)
    else:
        last = {"esc": "escape", "pgup": "pageup", "pgdn": "pagedown", "return": "enter", "del": "delete"}.get(
            last.lower(), last.lower()
        )
    last = KEY_NAME_REPLACEMENTS.get(last, last)
    known = {key.value for key in Keys} | {*KEY_NAME_REPLACEMENTS.values()}
    if len(last) > 1 and last not in known and key_to_character(last) is None:
        raise _wrong(name, settings, f"names no key: {written!r}", nearest(last, sorted(known)))
    if wrong := [each for each in held if each not in ("ctrl", "alt", "shift", "super")]:
        raise _wrong(name, settings, f"names no key: {written!r}", f"{wrong[0]!r} is none of ctrl, alt, shift, super.")
    order = [each for each in ("alt", "ctrl", "shift", "super") if each in held]
    key = "+".join([*order, last])
    if key in TRAPS:
        raise _wrong(name, settings, f"is a key that would not work: {TRAPS[key]}", f"Choose another than {written}.")
    return key


def _check_clash(action: Action, keys: Mapping[str, tuple[str, ...]], name: str, settings: Settings) -> None:
    for other in ACTIONS:
        if other is action or not _meet(action.place, other.place):
            continue
        if both := set(keys[action.id]) & set(keys[other.id]):
            key = key_name(both.pop())
            raise _wrong(name, settings, f"takes {key}, which is the key of {other.id}", f"Give {other.id} another.")


def _meet(one: Place, other: Place) -> bool:
    """Whether keys of both places are live at once, and would shadow each other to no purpose."""
    return one == other or "everywhere" in (one, other)


def _or(names: Iterable[str]) -> str:
    return f"Write one of: {', '.join(names)}."


def _wrong(name: str, settings: Settings, sentence: str, hint: str | None) -> SettingsError:
    origin = settings.origin(f"keys.{name}")
    return SettingsError(f"keys.{name} {sentence} ({origin}).", hint=hint)
