"""Third-party programs that do not resolve beside the product, each in a locked environment of its own.

`python -m tests.peers.environments` builds those that are missing, under `.cache/peers/NAME-HASH`, where HASH is of the
lock file and the Python that runs it: a changed lock makes a new environment, an unchanged one costs nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "peers"
NAMES = tuple(sorted(lock.stem for lock in HERE.glob("*.lock")))


def folder(name: str) -> Path:
    lock = (HERE / f"{name}.lock").read_bytes()
    digest = hashlib.sha256(lock + sys.version.encode()).hexdigest()[:12]
    return CACHE / f"{name}-{digest}"


def program(name: str, command: str) -> Path:
    """The path of a command in a built environment; the build is `make peers`, never a test."""
    path = folder(name) / "bin" / command
    assert path.exists(), f"{name} is not built: run `make peers`"
    return path


def build(name: str) -> Path:
    """The environment, built if it is not there whole. Two builders at once: one builds, the other waits."""
    place = folder(name)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.building").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if (place / "ready").exists():
            return place
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        subprocess.run(
            [
                place / "bin" / "python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--require-hashes",
                "--requirement",
                HERE / f"{name}.lock",
            ],
            check=True,
        )
        (place / "ready").touch()
    for old in CACHE.glob(f"{name}-*"):
        if old != place:
            shutil.rmtree(old, ignore_errors=True)
    return place


if __name__ == "__main__":
    for each in NAMES:
        print(f"peers: {each} at {build(each).relative_to(CACHE.parent.parent)}")
