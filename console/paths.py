"""Where things are kept: `HAWSER_HOME` moves everything under one folder, else the platform's own folders are used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from console.errors import SettingsError


class Paths(NamedTuple):
    config: Path
    data: Path
    state: Path
    cache: Path

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def keys_file(self) -> Path:
        return self.config / "keys.toml"

    @property
    def templates(self) -> Path:
        return self.config / "templates"

    @property
    def store_file(self) -> Path:
        return self.data / "hawser.db"

    @property
    def backups(self) -> Path:
        return self.data / "backups"

    @property
    def last_screen(self) -> Path:
        """The frame that the app's next start begins with."""
        return self.state / "last-screen"

    @property
    def documents(self) -> Path:
        """The folder of the documents: `documents.db`, and an index over it that can be made anew."""
        return self.data / "documents"

    @property
    def documents_file(self) -> Path:
        return self.documents / "documents.db"

    @property
    def embedders(self) -> Path:
        """Models that embed, a folder each."""
        return self.data / "embedders"

    @property
    def log_file(self) -> Path:
        return self.state / "hawser.log"


def find_paths(environment: Mapping[str, str] = os.environ) -> Paths:
    """The folders of this user. Nothing is created here; whoever writes makes its folder with `private_folder`."""
    home = environment.get("HAWSER_HOME")
    if home:
        root = Path(home).expanduser().absolute()
        return Paths(root / "config", root / "data", root / "state", root / "cache")
    import platformdirs

    try:
        Path.home()
    except RuntimeError as error:
        raise SettingsError(
            "There is no home folder to keep settings and history in.",
            hint="Set HOME, or set HAWSER_HOME to a folder of your choice.",
        ) from error
    dirs = platformdirs.PlatformDirs("hawser", appauthor=False)
    return Paths(
        Path(dirs.user_config_dir), Path(dirs.user_data_dir), Path(dirs.user_state_dir), Path(dirs.user_cache_dir)
    )


def shown_path(path: Path) -> str:
    """A path as a person reads it: what lies in their home begins with ~."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def private_folder(path: Path) -> Path:
    """Make a folder that only this user can enter. An existing one is left as its owner set it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The folder {str(path)!r} cannot be made: {error.strerror or error}.",
            hint="Set HAWSER_HOME to a folder that can be written.",
        ) from error
    return path


def write_privately(path: Path, content: bytes) -> None:
    """Replace a file in one step, readable by its owner only; a crash leaves the old one or the new one."""
    import tempfile  # loads random and shutil, which a prompt does not need

    private_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
