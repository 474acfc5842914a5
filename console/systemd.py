"""Units for systemd's user manager, printed for the user to save."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def user_unit(
    name: str, description: str, words: Sequence[str], environment: Mapping[str, str], *, first: Sequence[str] = ()
) -> list[str]:
    """The lines of a unit that runs `hawser WORDS` from boot on. `first` is what has to be done before, once."""
    beside = Path(sys.executable).with_name("hawser")
    program = str(beside) if beside.exists() else shutil.which("hawser") or "hawser"
    home = environment.get("HAWSER_HOME")
    return [
        f"# Save as ~/.config/systemd/user/{name}.service, then:",
        *(f"#   {line}" for line in first),
        f"#   systemctl --user enable --now {name}",
        "#   loginctl enable-linger      (starts it with the computer, not with your first login)",
        "[Unit]",
        f"Description={description}".replace("%", "%%"),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        *([f"Environment={quoted(f'HAWSER_HOME={Path(home).expanduser().absolute()}')}"] if home else []),
        f"ExecStart={' '.join(map(quoted, (program, *words)))}",
        "Restart=always",
        "RestartSec=5",
        "SuccessExitStatus=130",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]


def quoted(word: str) -> str:
    """A word as systemd reads it back."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or any(letter.isspace() or letter in "'\";" for letter in word) else word
