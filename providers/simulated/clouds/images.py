"""Container images: how large they are, and what begins to serve in them by itself."""

from __future__ import annotations

import re

_GB = 1_000_000_000
_SIZES = (
    ("ollama", 3_400_000_000),
    ("comfy", 14 * _GB),
    ("vllm", 9 * _GB),
    ("pytorch", 8 * _GB),
    ("cuda", 5 * _GB),
    ("ubuntu", 80_000_000),
)
_PULLS = re.compile(r"\bollama\s+pull\s+([\w./:-]+)")


def image_bytes(image: str) -> int:
    """What has to be downloaded before the first start."""
    return next((size for part, size in _SIZES if part in image.lower()), 4 * _GB)


def serves_ollama(image: str, script: str) -> bool:
    return "ollama" in image.lower() or re.search(r"\bollama\s+serve\b", script) is not None


def pulled_models(script: str) -> tuple[str, ...]:
    """The models a start script asks Ollama for."""
    return tuple(_PULLS.findall(script))
