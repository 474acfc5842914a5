"""`hawser key`: store keys, show where they are, remove them. Values are never shown, nor taken from the arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.settings import Settings
    from console.shell import Shell

HELP = "keys: set, ls, rm; values are never shown"
PIPE_LIMIT_S = 120.0
"""How long a piped key may take: whoever prints it may have to ask for a passphrase first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="set|ls|rm")
    store = actions.add_parser(
        "set", help="store a key; it is asked for, or read from the first line of standard input"
    )
    store.add_argument("name", help="the endpoint or cloud it belongs to, as in openai")
    store.add_argument("value", nargs="*", help="not accepted: arguments are seen by others and stay in the history")
    store.add_argument("--file", action="store_true", help="keep it in the private file and not in the system keyring")
    show = actions.add_parser("ls", help="which keys there are, and where")
    show.add_argument("--json", action="store_true", help="as JSON")
    remove = actions.add_parser("rm", help="remove a key from the keyring and the private file")
    remove.add_argument("name")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    match arguments.action:
        case "set":
            return _set(arguments, shell)
        case "ls":
            return _list(arguments, shell)
        case _:
            return _remove(arguments, shell)


def _set(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import UsageError
    from console.keys import Keys, canonical

    name = canonical(arguments.name)
    if arguments.value:
        raise UsageError(
            "A key is not taken from the command line: there others can see it, and it stays in the shell's history.",
            hint=f"Run `hawser key set {name}` and type it in, or pipe it in. Change the key that you just showed.",
        )
    keys = Keys(shell.paths, shell.environment)
    place, reason = keys.set(name, _read_value(name, shell), in_file=arguments.file)
    if place == "keyring":
        shell.note(f"The key {name!r} is in the system keyring.")
    else:
        shell.note(f"The key {name!r} is in {keys.file.file}, readable by you only, but not encrypted ({reason}).")
    for note in keys.notes:
        shell.note(note)
    variable = keys.variable(name)
    if variable is not None:
        shell.note(f"The variable {variable} is set and goes before it.")
    _note_unknown(name, shell)
    return 0


def _read_value(name: str, shell: Shell) -> str:
    from console.errors import UsageError

    if shell.stdin is not None and shell.stdin.isatty():  # wherever the output goes: nothing typed may be echoed
        from getpass import getpass

        try:
            return getpass(f"Key for {name} (it will not be shown): ")
        except EOFError:
            raise UsageError("No key was typed in.") from None
    if shell.stdin is None:
        raise UsageError("There is no terminal and no standard input to read the key from.")
    _wait_for_input(shell)
    return shell.stdin.readline(100_000)


def _wait_for_input(shell: Shell) -> None:
    """A standard input that is open but silent must not hold us for ever."""
    import select

    from console.errors import TimeLimit

    assert shell.stdin is not None
    try:
        ready, _, _ = select.select([shell.stdin], [], [], PIPE_LIMIT_S)
    except (OSError, ValueError):  # not a descriptor: there is nothing to wait for
        return
    if not ready:
        raise TimeLimit(
            f"No key came on standard input within {PIPE_LIMIT_S:.0f} s.", hint="Pipe it in, or use a terminal."
        )


def _settings(shell: Shell) -> Settings | None:
    """The settings for what they say of names; keys can be kept in order while they are broken."""
    from console.errors import SettingsError
    from console.settings import load_settings

    try:
        return load_settings(shell.paths, shell.environment, discover=not shell.isolated)
    except SettingsError as error:
        shell.note(error.text)
        return None


def _users(settings: Settings | None) -> dict[str, list[str]]:
    """Which endpoints and clouds use which key."""
    users: dict[str, list[str]] = {}
    if settings is None:
        return users
    for endpoint in settings.endpoints.values():
        if not (endpoint.key or "").startswith("cmd:"):
            users.setdefault((endpoint.key or endpoint.name).lower(), []).append(endpoint.name)
    for name, cloud in settings.clouds.items():
        if not (cloud.key or "").startswith("cmd:"):
            users.setdefault((cloud.key or name).lower(), []).append(name)
    return users


def _note_unknown(name: str, shell: Shell) -> None:
    from console.keys import KEY_VARIABLES, canonical
    from console.settings_kinds import nearest

    settings = _settings(shell)
    known = {*KEY_VARIABLES, *(canonical(user) for user in _users(settings))}
    if settings is not None and name not in known:
        shell.note(f"Nothing uses a key named {name!r} yet. {nearest(name, sorted(known)) or ''}".rstrip())


def _list(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.keys import Keys

    keys = Keys(shell.paths, shell.environment)
    users = _users(_settings(shell))
    places = keys.places()
    rows = [(name, place, detail, users.get(name, [])) for name, (place, detail) in places.items()]
    if arguments.json:
        shell.items([{"name": n, "place": p, "detail": d, "used_by": used} for n, p, d, used in rows])
    elif rows:
        shell.table(("KEY", "PLACE", "DETAIL", "USED BY"), [(n, p, d, ", ".join(used)) for n, p, d, used in rows])
    else:
        shell.note("There are no keys. Store one with: hawser key set NAME")
    for note in keys.notes:
        shell.note(note)
    return 0


def _remove(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import NotFound
    from console.keys import Keys, canonical
    from console.settings_kinds import nearest

    keys = Keys(shell.paths, shell.environment)
    name = canonical(arguments.name)
    removed = keys.remove(name)
    variable = keys.variable(name)
    if not removed and variable is None:
        raise NotFound(f"There is no key {name!r}.", hint=nearest(name, keys.places()))
    for place in removed:
        shell.note(f"Removed the key {name!r} from the {'system keyring' if place == 'keyring' else 'private file'}.")
    if variable is not None:
        shell.note(f"The variable {variable} still holds one; only you can take it out of the environment.")
    return 0
