"""Embeddings without a model: words hashed onto a unit vector, so that texts which share words lie close together."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Sequence

from providers.simulated.faults import ActiveFaults, FaultKind

_WORD = re.compile(r"\w+")


def embed(text: str, dimension: int) -> list[float]:
    """The same text gives the same vector, everywhere and always; an empty text gives the first axis."""
    vector = [0.0] * dimension
    words = _WORD.findall(text.lower())
    for word in words:
        # The stem weighs as much as the word, so that "tunnels" is near "tunnel".
        for feature in (word, word[:5]):
            digest = hashlib.blake2b(feature.encode(), digest_size=9).digest()
            place = int.from_bytes(digest[:8]) % dimension
            vector[place] += 1.0 if digest[8] & 1 else -1.0
    if not any(vector):
        vector[0] = 1.0
    return unit(vector)


def unit(vector: list[float]) -> list[float]:
    """`vector` at length one, in the precision that a 32-bit float keeps."""
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return list(struct.unpack(f"<{len(vector)}f", struct.pack(f"<{len(vector)}f", *(v / length for v in vector))))


def as_base64(vector: list[float]) -> str:
    """As OpenAI's `encoding_format: base64` has it: 32-bit floats, little-endian."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def with_faults(vectors: Sequence[list[float]], faults: ActiveFaults) -> list[list[float]]:
    """The vectors as a service sends them that has something wrong."""
    spoilt = list(vectors)
    if FaultKind.EMPTY in faults:
        spoilt = []
    if fault := faults.get(FaultKind.END_EARLY):
        spoilt = spoilt[: fault.whole(0)]
    if fault := faults.get(FaultKind.OTHER_SIZE):
        size = fault.whole(7)
        spoilt = [unit([1.0] * size) for _ in spoilt]
    if FaultKind.NOT_A_NUMBER in faults and spoilt:
        spoilt[-1] = [math.nan, *spoilt[-1][1:]]
    return spoilt
