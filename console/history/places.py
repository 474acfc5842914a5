"""Where the files beside the store lie."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from console.paths import Paths


def daily_copy(paths: Paths, day: date) -> Path:
    return paths.backups / f"hawser-{day.isoformat()}.db"


def damage_mark(paths: Paths) -> Path:
    """A file that tells whoever opens the store next that it needs repair; opening itself looks for no damage."""
    return paths.data / "damage-found"
