"""Third-party programs that do not resolve beside the product, each in a locked environment of its own.

`python -m tests.peers.environments` builds those that are missing, under `.cache/peers/NAME-HASH`, where HASH is of the
lock file and the Python that runs it: a changed lock makes a new environment, an unchanged one costs nothing. A build
that was interrupted is begun anew. An environment that nobody has asked for in two weeks is removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "peers"
UNUSED_S = 14 * 24 * 3600.0


class NotBuilt(Exception):
    """An environment could not be made, or is asked for before it was."""


def names() -> list[str]:
    return sorted(lock.stem for lock in HERE.glob("*.lock"))


def folder(name: str, locks: Path | None = None) -> Path:
    lock = ((locks or HERE) / f"{name}.lock").read_bytes()
    digest = hashlib.sha256(lock + sys.version.encode()).hexdigest()[:12]
    return CACHE / f"{name}-{digest}"


def program(name: str, command: str) -> Path:
    """The path of a command in a built environment; the build is `make peers`, never a test."""
    place = folder(name)
    if not _is_ready(place):
        raise NotBuilt(f"The environment {name!r} of third-party programs is not built: run `make peers`.")
    return place / "bin" / command


def build(name: str, locks: Path | None = None) -> Path:
    """The environment, built if it is not there whole. Two builders at once: one builds, the other waits.

    `locks` is another folder of locks than this one, whose environments `make peers` does not build."""
    place = folder(name, locks)
    CACHE.mkdir(parents=True, exist_ok=True)
    with _sole_builder(name):
        if not _is_ready(place):
            _make(name, place, locks)
        _ready_mark(place).touch()
        _remove_unused(name, place)
    return place


def _ready_mark(place: Path) -> Path:
    return place / "ready"


def _is_ready(place: Path) -> bool:
    """Whole, with a Python that still exists, and where it was built: its scripts hold their own path."""
    try:
        built_at = _ready_mark(place).read_text()
    except OSError:
        return False
    return built_at == str(place.resolve()) and (place / "bin" / "python").exists()


@contextmanager
def _sole_builder(name: str) -> Iterator[None]:
    with (CACHE / f"{name}.building").open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"{name} is being built by another process; waiting for it")
            fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _make(name: str, place: Path, locks: Path | None) -> None:
    _say(f"building {name}; the first time takes some minutes")
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place)
    # The pip beside the Python that runs this serves all environments: one of its own takes each of them seconds.
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python")]
    pip += ["--disable-pip-version-check", "--no-input", "--quiet"]
    # A lock is whole; without looking for more, pip does not trip over extras that are named in one place only.
    words = ["install", "--require-hashes", "--no-deps", "--requirement", str((locks or HERE) / f"{name}.lock")]
    done = subprocess.run([*pip, *words])
    if done.returncode:
        raise NotBuilt(
            f"The environment {name!r} could not be built: pip ended with {done.returncode}, and says why above. "
            "Its packages come from a package index the first time; once it is built no network is needed."
        )
    _ready_mark(place).write_text(str(place.resolve()))


def _remove_unused(name: str, place: Path) -> None:
    for other in CACHE.glob(f"{name}-*"):
        mark = _ready_mark(other)
        used_at = mark.stat().st_mtime if mark.exists() else other.stat().st_mtime
        if other != place and time.time() - used_at > UNUSED_S:
            shutil.rmtree(other, ignore_errors=True)


def _say(text: str) -> None:
    print(f"peers: {text}", flush=True)


def main() -> int:
    try:
        for name in names():
            _say(f"{name} at {build(name).relative_to(CACHE.parent.parent)}")
    except NotBuilt as problem:
        print(f"peers: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
