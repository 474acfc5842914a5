"""What the declarations of the settings look like to a reader: docs/settings.md, the starter file, `config show`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from console.keys import KEY_VARIABLES
from console.settings import GROUPS, NAMED, ChainEntry, Endpoint, Origin, Routes, Settings, variable_of
from console.settings_kinds import Field, Group

_EXAMPLES = {
    "endpoints": '[endpoints.inference]\nwire = "ollama"\nbase_url = "http://127.0.0.1:21434"\nkeep_alive = "10m"',
    "machines": '[machines.lab]\ncloud = "ssh"\nhost = "me@gpu.example:22"\nservices = ["ollama", "comfyui"]\n'
    "ports = {ollama = 11434, comfyui = 8188}\nusd_per_hour = 0.10\n\n"
    '[machines.gpu1]\ncloud = "vast"\ngpu = "RTX 4090"\ndisk_gb = 70\nmax_price_usd_per_hour = 0.45\n'
    'recipe = "inference"\nmodels = ["qwen3:8b"]',
    "clouds": '[clouds.second]\nkind = "vast"\nkey = "vast-second"',
    "channels": '[channels.me]\nkind = "mail"\nserver = "smtp.example.org"\nuser = "me"\nkey = "mail"\n'
    'to = ["me@example.org"]\n\n[channels.phone]\nkind = "ntfy"\nurl = "https://ntfy.sh/my-topic"\nlevel = "alarm"\n\n'
    '[channels.team]\nkind = "slack"\nkey = "slack-hook"',
    "aliases": '[aliases]\n"gpt-4" = ["inference/qwen3:32b", {model = "openai/gpt-4.1", timeout = 60, retries = 1}]',
    "routes": '[routes]\ncode = "inference/qwen2.5-coder:14b"',
    "models": '[models."my-model:7b"]\nvram_gb = 8\ncontext_tokens = 32768\nrole = "general"',
    "prices": '[prices."openai/gpt-4.1"]\ninput = 2.0\noutput = 8.0\ncached_input = 0.5',
    "keys": '[keys]\nquit = "ctrl+x"\n"chat.stop" = ["escape", "ctrl+s"]',
}


def as_toml(value: object) -> str:
    """A value as the settings file would hold it."""
    match value:
        case None:
            return "unset"
        case bool():
            return "true" if value else "false"
        case ChainEntry() | Mapping():
            plain = as_plain(value)
            if isinstance(plain, str):
                return as_toml(plain)
            return "{" + ", ".join(f"{key} = {as_toml(item)}" for key, item in plain.items()) + "}"
        case tuple() | list():
            return "[" + ", ".join(as_toml(item) for item in value) + "]"
        case float():
            return f"{value:g}"
        case int() | Decimal():
            return str(value)
        case _:
            return json.dumps(str(value), ensure_ascii=False)


def as_plain(value: object) -> Any:
    """A value as JSON can hold it."""
    match value:
        case ChainEntry():
            entry = {
                key: as_plain(getattr(value, field.attribute))
                for key, field in ChainEntry.fields.items()
                if getattr(value, field.attribute) != field.default
            }
            return value.target if len(entry) == 1 else entry
        case Decimal():
            return float(value)
        case tuple() | list():
            return [as_plain(item) for item in value]
        case Mapping():
            return {key: as_plain(item) for key, item in value.items()}
        case _:
            return value


def values_in_force(settings: Settings) -> Iterator[tuple[str, object, Origin]]:
    """Every setting by its full name, with its value and origin; of a private one only what may be seen."""
    for name, group in GROUPS.items():
        yield from _values(name, group, getattr(settings, name), settings)
    for name, group in NAMED.items():
        for each, values in getattr(settings, name).items():
            if isinstance(values, Endpoint) and values.machine is not None:
                continue  # it is set by its machine
            yield from _values(f"{name}.{each}", group, values, settings)
    for name in ("aliases", "routes"):
        for each, chain in getattr(settings, name).items():
            full = f"{name}.{each}"
            value = chain[0] if len(chain) == 1 else chain
            yield full, value, settings.origin(full)
    for each, keys in settings.keys.items():
        yield f"keys.{each}", keys, settings.origin(f"keys.{each}")


def _values(name: str, group: type[Group], values: Group, settings: Settings) -> Iterator[tuple[str, object, Origin]]:
    for key, field in group.fields.items():
        value = getattr(values, field.attribute)
        if field.private and isinstance(value, Mapping):
            value = dict.fromkeys(value, "…")
        full = f"{name}.{key}"
        yield full, value, settings.origin(full)


def reference() -> str:
    """docs/settings.md."""
    parts = [
        "# Settings\n",
        "<!-- Made from the declarations by `python -m console.settings_texts`; a test keeps it current. -->\n",
        "The file is `config.toml`; `hawser config path` says where it is and `hawser config edit` opens it.\n"
        "A value comes from a flag, else the environment, else the file, else its default;\n"
        "`hawser config show --origin` tells which. `HAWSER_HOME` moves all folders under one.\n",
    ]
    for name, group in GROUPS.items():
        parts += [f"## `[{name}]`\n", f"{group.__doc__}\n", *_table(group, name)]
    titles = {
        "endpoints": "NAME",
        "machines": "NAME",
        "clouds": "NAME",
        "channels": "NAME",
        "models": '"name"',
        "prices": '"endpoint/model"',
    }
    for name, group in NAMED.items():
        parts += [f"## `[{name}.{titles[name]}]`\n", f"{group.__doc__}\n", *_table(group), _example(name)]
        if name == "endpoints":
            parts.append(_BY_THEMSELVES)
    parts += [
        "## `[aliases]`\n",
        "A name of your own for a chain: a model, a table, or a list of these that is tried in order.\n",
        *_table(ChainEntry),
        _example("aliases"),
        "## `[routes]`\n",
        f"{Routes.__doc__}\n",
        *_table(Routes),
        _example("routes"),
        "## `[keys]`\n",
        "Other keys for what the terminal app does, by the names of the actions; docs/keys.md has all of them.\n",
        _example("keys"),
        "## Keys of services\n",
        "Keys are never in the settings. They come from the environment, else the system keyring, else a private\n"
        "file; `hawser key set NAME` stores one. The variable of any key is `HAWSER_KEY_<NAME>`; these count too:\n",
        "| key | variable |\n|---|---|",
        "\n".join(f"| `{name}` | `{variable}` |" for name, variable in KEY_VARIABLES.items()) + "\n",
    ]
    return "\n".join(parts)


_BY_THEMSELVES = """\
`openai`, `anthropic` and `openrouter` are there by themselves when their key is in the environment or stored, and
`ollama` at `OLLAMA_HOST`, or else at the usual port, when no endpoint of that wire is configured. A table of such a
name changes it; only what differs has to be written.
"""


_ABOUT = {"aliases": "Names of your own.", "routes": Routes.__doc__, "keys": "Other keys for actions."}


def _table(group: type[Group], name: str = "") -> list[str]:
    rows = ["| setting | holds | default | what it is for |", "|---|---|---|---|"]
    if name:
        rows = ["| setting | holds | default | what it is for | variable |", "|---|---|---|---|---|"]
    for key, field in group.fields.items():
        row = f"| `{key}` | {_cell(field.kind.expects)} | {_default(field)} | {_cell(field.sentence)} |"
        rows.append(f"{row} `{variable_of(name, key)}` |" if name else row)
    return ["\n".join(rows) + "\n"]


def _default(field: Field) -> str:
    if field.required:
        return "needed"
    value = field.default
    if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], ChainEntry):
        value = value[0]
    return "unset" if value is None or value in ((), {}) else f"`{as_toml(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _example(name: str) -> str:
    return f"```toml\n{_EXAMPLES[name]}\n```\n"


def starter() -> str:
    """A settings file in which everything is a comment, to begin from."""
    lines = ["# Settings of Hawser. A line without its leading # takes effect; docs/settings.md tells more.", ""]
    for name, group in GROUPS.items():
        lines += [f"# {group.__doc__}", f"[{name}]"]
        for key, field in group.fields.items():
            value = '"…"' if field.default is None else as_toml(field.default)
            lines += [f"# {key} = {value}", f"#     {field.sentence}"]
        lines.append("")
    for name, example in _EXAMPLES.items():
        about = NAMED[name].__doc__ if name in NAMED else _ABOUT[name]
        lines += [f"# {about}", *(f"# {line}" for line in example.splitlines()), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
