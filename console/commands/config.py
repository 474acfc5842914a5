"""`hawser config`: show the settings in force, where they come from, and change them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.shell import Shell

HELP = "settings: show, path, edit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|path|edit")
    show = actions.add_parser("show", help="the settings in force")
    show.add_argument("name", nargs="?", help="only this group or setting, as in chat or chat.model")
    show.add_argument("--origin", action="store_true", help="where each value comes from")
    show.add_argument("--json", action="store_true", help="as JSON, with the origins")
    actions.add_parser("path", help="where the settings file is")
    edit = actions.add_parser("edit", help="open the file in your editor, or change single values")
    edit.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="as in chat.model=general; comments are kept")
    edit.add_argument("--unset", action="append", default=[], metavar="KEY", help="take a value out of the file")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    match arguments.action:
        case "show":
            return _show(arguments, shell)
        case "path":
            shell.say(str(shell.paths.config_file))
            return 0
        case _ if arguments.changes or arguments.unset:
            return _change(arguments, shell)
        case _:
            return _open_editor(shell)


def _show(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import SettingsError
    from console.settings import KNOWN, load_settings
    from console.settings_kinds import nearest
    from console.settings_texts import as_plain, as_toml, values_in_force

    settings = load_settings(shell.paths, shell.environment, discover=not shell.isolated)
    wanted = arguments.name
    values = [
        (name, value, origin)
        for name, value, origin in values_in_force(settings)
        if wanted is None or name == wanted or name.startswith(f"{wanted}.")
    ]
    if wanted is not None and not values and wanted not in KNOWN:
        known = [name for name, _, _ in values_in_force(settings)]
        raise SettingsError(f"{wanted} is not a setting.", hint=nearest(wanted, [*KNOWN, *known]))
    if arguments.json:
        shell.items(
            [
                {"name": name, "value": as_plain(value), "origin": {"kind": origin.kind, "detail": origin.detail}}
                for name, value, origin in values
            ]
        )
    elif arguments.origin:
        shell.table(
            ("SETTING", "VALUE", "ORIGIN"), [(name, as_toml(value), str(origin)) for name, value, origin in values]
        )
    else:
        shell.table(("SETTING", "VALUE"), [(name, as_toml(value)) for name, value, _ in values])
    for note in settings.notes:
        shell.note(note)
    return 0


def _change(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import UsageError
    from console.settings_file import change_settings

    assignments = []
    for change in arguments.changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"{change!r} is not of the form KEY=VALUE.", hint="For example: chat.model=general")
        assignments.append((name.strip(), value.strip()))
    change_settings(shell.paths, assignments, arguments.unset)
    shell.note(f"Changed {shell.paths.config_file}.")
    return 0


def _open_editor(shell: Shell) -> int:
    """Edit, check, and offer to edit again until it loads; what was written stays in any case."""
    import subprocess

    from console.errors import ConsoleError, SettingsError
    from console.settings import load_settings
    from console.settings_file import write_settings
    from console.settings_texts import starter

    file = shell.paths.config_file
    if not file.exists():
        write_settings(shell.paths, starter())
    words = _editor(shell)
    while True:
        try:
            code = subprocess.run([*words, str(file)], check=False, env=dict(shell.environment)).returncode  # noqa: S603
        except OSError as error:
            raise ConsoleError(
                f"The editor {words[0]!r} cannot be run: {error.strerror or error}.",
                hint=f"Set EDITOR to another one, or edit {file} yourself.",
            ) from error
        if code != 0:
            raise ConsoleError(f"The editor {words[0]!r} ended with exit code {code}.")
        try:
            load_settings(shell.paths, shell.environment, discover=not shell.isolated)
        except SettingsError as error:
            if not shell.is_interactive():
                raise
            shell.note(f"{error.text} {error.hint or ''}".rstrip())
            if not shell.confirm("Edit it again?"):
                raise
        else:
            return 0


def _editor(shell: Shell) -> list[str]:
    import shlex
    import shutil

    from console.errors import SettingsError

    file = shell.paths.config_file
    for variable in ("VISUAL", "EDITOR"):
        written = shell.environment.get(variable, "").strip()
        if written:
            try:
                return shlex.split(written)
            except ValueError as error:
                raise SettingsError(f"The variable {variable} cannot be read: {error}.") from None
    for name in ("editor", "nano", "vi"):
        found = shutil.which(name, path=shell.environment.get("PATH"))
        if found:
            return [found]
    raise SettingsError("There is no editor.", hint=f"Set EDITOR, or edit {file} yourself.")
