"""Reads the weights of a model from a `.safetensors` file: a length, a JSON table, and the numbers behind it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rag.errors import Damaged, Unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Weights: TypeAlias = dict[str, NDArray[np.float32]]

_LONGEST_TABLE = 8 * 1024 * 1024


def read_weights(path: Path) -> Weights:
    """The arrays of 32-bit floats in the file, by name; they stay in the file until they are used."""
    import numpy as np

    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            table_size = int.from_bytes(file.read(8), "little")
            if not 2 <= table_size <= min(_LONGEST_TABLE, size - 8):
                raise Damaged(f"{path.name} is not a file of weights.")
            table = json.loads(file.read(table_size))
        weights: Weights = {}
        for name, entry in table.items():
            if name == "__metadata__" or entry["dtype"] != "F32":
                continue
            shape = tuple(int(length) for length in entry["shape"])
            begin, end = (8 + table_size + int(offset) for offset in entry["data_offsets"])
            if min(shape, default=1) < 1 or end - begin != 4 * math.prod(shape) or begin < 8 or end > size:
                raise Damaged(f"{path.name} is damaged: {name!r} does not fit into it.")
            weights[name] = np.memmap(path, dtype="<f4", mode="r", offset=begin, shape=shape)
    except OSError as error:
        raise Unreadable(f"The weights in {str(path)!r} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{path.name} is damaged: its table cannot be read.") from error
    return weights
