"""Templates: prompts kept as plain files, with `{{variables}}`.

`NAME.toml` has any of `about`, `system`, `prompt`, `model`, `[params]` and `[defaults]`. `NAME.md` is the prompt as it
stands, and may begin with the other settings as TOML between two lines of `+++`. `{{input}}` is what the user typed;
a prompt without it gets that at its end. Values are put in as they are: a `{{…}}` inside a value stays text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from console.errors import NotFound, SettingsError, UsageError

SHIPPED = Path(__file__).parent / "shipped_templates"
LARGEST_FILE = 1 << 20
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_VARIABLE = r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}"
_TEXTS = ("about", "system", "prompt", "model")
_TABLES = ("params", "defaults")


class Template(NamedTuple):
    name: str
    about: str
    """A sentence for lists; empty when the file has none."""
    system: str | None
    prompt: str | None
    model: str | None
    params: Mapping[str, Any]
    defaults: Mapping[str, str]
    file: Path

    @property
    def variables(self) -> tuple[str, ...]:
        """What `--var` can set, in the order in which it first occurs."""
        found = re.findall(_VARIABLE, f"{self.system or ''}\n{self.prompt or ''}")
        return tuple(dict.fromkeys(name for name in found if name != "input"))


class Filled(NamedTuple):
    prompt: str
    system: str | None
    model: str | None
    params: Mapping[str, Any]


def template_names(folder: Path) -> list[str]:
    """The names of the user's templates and of the shipped ones, in order."""
    return sorted({file.stem for place in (folder, SHIPPED) for file in _files(place)})


def templates(folder: Path) -> list[Template]:
    """All that can be read, for a list; a broken one is a `SettingsError` that names its file."""
    return [find_template(folder, name) for name in template_names(folder)]


def readable(folder: Path) -> tuple[list[Template], list[SettingsError]]:
    """Those that can be read, and what is wrong with the others."""
    found: list[Template] = []
    broken: list[SettingsError] = []
    for name in template_names(folder):
        try:
            found.append(find_template(folder, name))
        except SettingsError as error:
            broken.append(error)
    return found, broken


def find_template(folder: Path, name: str) -> Template:
    """The user's template of this name, else the shipped one."""
    if re.fullmatch(_NAME, name):  # no separators: a name can never lead out of the two folders
        for place in (folder, SHIPPED):
            for file in (place / f"{name}.toml", place / f"{name}.md"):
                if file.is_file():
                    return _read(name, file)
    from console.settings_kinds import nearest

    names = template_names(folder)
    raise NotFound(
        f"There is no template {name!r}.", hint=nearest(name, names) or f"Templates are files in {str(folder)!r}."
    )


def fill(folder: Path, name: str, values: Mapping[str, str], typed: str | None = None) -> Filled:
    """A template with its variables set and what the user typed in its place."""
    return filled(find_template(folder, name), values, typed)


def filled(template: Template, values: Mapping[str, str], typed: str | None = None) -> Filled:
    """The same for a template that was read."""
    name, known = template.name, template.variables
    for given in values:
        if given not in known:
            from console.settings_kinds import nearest

            raise UsageError(
                f"The template {name!r} has no variable {given!r}.",
                hint=nearest(given, known) or (f"It has: {', '.join(known)}." if known else "It has none."),
            )
    missing = [variable for variable in known if variable not in values and variable not in template.defaults]
    if missing:
        needed = " ".join(f"--var {variable}=…" for variable in missing)
        raise UsageError(f"The template {name!r} needs a value for {', '.join(missing)}.", hint=f"Add {needed}")
    inserted = {**template.defaults, **values, "input": typed or ""}

    def put_in(text: str) -> str:
        return re.sub(_VARIABLE, lambda match: inserted[match[1]], text)

    asked = typed or ""
    if template.prompt is not None:
        takes_input = "input" in re.findall(_VARIABLE, f"{template.system or ''}\n{template.prompt}")
        asked = put_in(template.prompt).strip() + ("" if takes_input or not asked else f"\n\n{asked}")
    system = None if template.system is None else put_in(template.system).strip()
    return Filled(asked.strip(), system, template.model, template.params)


def _files(place: Path) -> list[Path]:
    try:
        return [
            file
            for file in place.iterdir()
            if file.suffix in (".toml", ".md") and re.fullmatch(_NAME, file.stem) and file.is_file()
        ]
    except OSError:  # no such folder: no templates
        return []


def _read(name: str, file: Path) -> Template:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise SettingsError(f"The template {str(file)!r} is larger than {LARGEST_FILE:,} bytes.")
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise SettingsError(f"The template {str(file)!r} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"The template {str(file)!r} is not UTF-8 text.") from error
    if file.suffix == ".toml":
        return _template(name, file, _parse(file, text))
    front, body = _split(file, text)
    written = _parse(file, front)
    if "prompt" in written:
        raise SettingsError(f"The template {str(file)!r} has its prompt twice: in the settings and below them.")
    return _template(name, file, {**written, "prompt": body.strip()})


def _split(file: Path, text: str) -> tuple[str, str]:
    if not text.startswith("+++\n"):
        return "", text
    front, mark, body = f"\n{text[4:]}".partition("\n+++\n")
    if not mark:
        raise SettingsError(f"The settings of the template {str(file)!r} have no end.", hint="End them with a line +++")
    return front, body


def _parse(file: Path, text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"The template {str(file)!r} is not TOML: {error}.") from error


def _template(name: str, file: Path, written: Mapping[str, Any]) -> Template:
    from console.settings_kinds import nearest

    for key, value in written.items():
        if key not in (*_TEXTS, *_TABLES):
            raise SettingsError(
                f"The template {str(file)!r} has an unknown setting {key!r}.", hint=nearest(key, (*_TEXTS, *_TABLES))
            )
        if key in _TEXTS and not isinstance(value, str):
            raise SettingsError(f"In the template {str(file)!r}, {key} must be a text.")
        if key in _TABLES and not isinstance(value, dict):
            raise SettingsError(f"In the template {str(file)!r}, {key} must be a table.")
    defaults = written.get("defaults", {})
    for variable, value in defaults.items():
        if isinstance(value, (dict, list)):
            raise SettingsError(
                f"In the template {str(file)!r}, the default of {variable!r} must be a text or a number."
            )
    return Template(
        name,
        written.get("about", ""),
        written.get("system"),
        written.get("prompt"),
        written.get("model"),
        written.get("params", {}),
        {variable: str(value) for variable, value in defaults.items()},
        file,
    )
