"""The files below a folder that may be documents, in an order that stays the same.

`.gitignore` is honoured, links to folders are not followed, and the walk ends at a bound; what it leaves out it tells.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from rag.ignore_rules import RuleFile, is_ignored, read_rules

MOST_FILES = 50_000
MOST_ENTRIES = 1_000_000
DEEPEST = 100
NEVER = frozenset({"node_modules", "__pycache__", "site-packages"})
_ENDINGS = """
7z a avi avif bin bmp bz2 class db dll dmg dylib eot exe flac gguf gif gz heic ico img iso jar jpeg jpg lock lz4 m4a
mkv mov mp3 mp4 npy npz o obj ogg onnx opus otf parquet pickle pkl png psd pt pyc pyo rar safetensors so sqlite sqlite3
svgz swp tar tif tiff ttf wasm wav webm webp woff woff2 xz zst
"""
NO_DOCUMENTS = frozenset(_ENDINGS.split())
"""Endings of files that hold no text, so that a folder of pictures is not a list of failures. A file that is named
itself is tried whatever its ending."""
ARCHIVES = frozenset({"zip", "tar", "tgz", "gz", "bz2", "xz"})
"""Endings of files that may hold others; below a folder only ZIP files are opened."""


class Found(NamedTuple):
    path: str
    size_bytes: int
    modified_ns: int


class Walked(NamedTuple):
    files: tuple[Found, ...]
    skipped: tuple[tuple[str, str], ...]
    """Folders that could not be entered, and the bound where it was reached; not each ignored file."""


def look(path: str) -> Found:
    """Raises `OSError`, or `ValueError` for what is no file."""
    about = Path(path).stat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it is neither a file nor a folder")
    return Found(path, about.st_size, about.st_mtime_ns)


def walk(
    folder: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    stopped: Callable[[], bool] = bool,
    most: int = MOST_FILES,
) -> Walked:
    """`include` and `exclude` are globs over names or over paths from the folder."""
    files: list[Found] = []
    skipped: list[tuple[str, str]] = []
    entries = 0
    waiting: list[tuple[str, tuple[RuleFile, ...], int]] = [("", tuple(_rules_above(Path(folder))), 0)]
    while waiting:
        inside, rules, depth = waiting.pop()
        here = os.path.join(folder, inside)  # noqa: PTH118 - a Path for each of a million entries is slow
        if depth > DEEPEST:
            skipped.append((here, f"it is more than {DEEPEST} folders deep"))
            continue
        own = read_rules(Path(here, ".gitignore"))
        if own:
            rules = (*rules, RuleFile(inside, own))
        below = []
        try:
            for entry in _entries(here):
                entries += 1
                if entries > MOST_ENTRIES or len(files) >= most:
                    what = f"{most:,} documents" if len(files) >= most else f"{MOST_ENTRIES:,} entries"
                    skipped.append((folder, f"it holds more than {what}; those behind were left out"))
                    return Walked(tuple(files), tuple(skipped))
                if stopped():
                    return Walked(tuple(files), tuple(skipped))
                path = inside + entry.name
                if entry.name.startswith(".") or is_excluded(path, exclude):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in NEVER and not is_ignored(path, True, rules):
                        below.append((f"{path}/", rules, depth + 1))
                elif _may_be_document(entry.name) and is_included(path, include) and not is_ignored(path, False, rules):
                    try:
                        if entry.is_file():
                            about = entry.stat()
                            files.append(Found(entry.path, about.st_size, about.st_mtime_ns))
                    except FileNotFoundError:
                        continue  # it went as we came
                    except OSError as error:  # a link to itself, and no reason to leave the others out
                        skipped.append((entry.path, error.strerror or str(error)))
        except OSError as error:
            skipped.append((here, error.strerror or str(error)))
        waiting.extend(reversed(below))
    return Walked(tuple(files), tuple(skipped))


def is_excluded(path: str, globs: Sequence[str]) -> bool:
    return bool(globs) and any(_fits(path, glob) for glob in globs)


def is_included(path: str, globs: Sequence[str]) -> bool:
    return not globs or any(_fits(path, glob) for glob in globs)


def _fits(path: str, glob: str) -> bool:
    glob = glob.removeprefix("./").removesuffix("/")
    if "/" not in glob:
        return fnmatch(path.rpartition("/")[2], glob)
    return fnmatch(path, glob) or fnmatch(path, glob.replace("**/", ""))


def _may_be_document(name: str) -> bool:
    return "." not in name or name.rpartition(".")[2].lower() not in NO_DOCUMENTS


def is_worth(path: str) -> bool:
    """The same for a path in an archive: not hidden, nor in a folder that never holds documents."""
    *folders, name = path.split("/")
    hidden = any(part.startswith(".") for part in (*folders, name))
    return not hidden and NEVER.isdisjoint(folders) and _may_be_document(name)


def may_be_archive(path: str) -> bool:
    return path.rpartition(".")[2].lower() in ARCHIVES


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _rules_above(folder: Path) -> list[RuleFile]:
    """Those of the repository that the folder is in, from its root down to it."""
    rules: list[RuleFile] = []
    way = ""
    for outer in (folder, *folder.parents):
        if outer != folder and (own := read_rules(outer / ".gitignore")):
            rules.insert(0, RuleFile("", own, way))
        if (outer / ".git").exists():
            excluded = read_rules(outer / ".git" / "info" / "exclude")
            return [RuleFile("", excluded, way), *rules] if excluded else rules
        way = f"{outer.name}/{way}"
    return []
