"""Writes ONNX files: the few messages of the format that a graph with its weights needs.

The format is protobuf. Numbers of fields and types are those of `onnx.proto`; nothing here knows what a graph computes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

IR_VERSION = 10
OPSET = 17
MICROSOFT = "com.microsoft"
"""The domain of the operators that ONNX Runtime adds."""

TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}

Attribute: TypeAlias = int | float | str | Sequence[int]


class Value(NamedTuple):
    """What goes in or comes out; a word in its shape stands for a length that is known when it runs."""

    name: str
    type: str
    shape: tuple[int | str, ...]


class Graph:
    """Nodes and weights in the order in which they were added, which is the order in which they are computed."""

    def __init__(self, name: str, inputs: Sequence[Value], outputs: Sequence[Value]) -> None:
        self._name = name
        self._inputs = inputs
        self._outputs = outputs
        self._nodes: list[bytes] = []
        self._weights: list[bytes] = []
        self._names = 0

    def weight(self, array: NDArray[Any], name: str = "") -> str:
        """Keep an array in the file; its name is returned."""
        import numpy as np

        name = name or self._new_name("weight")
        little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        dims = b"".join(_varint(size) for size in array.shape)
        self._weights.append(
            _bytes_field(1, dims)
            + _int_field(2, TYPES[array.dtype.name])
            + _bytes_field(8, name.encode())
            + _bytes_field(9, little_endian.tobytes())
        )
        return name

    def node(
        self,
        kind: str,
        inputs: Sequence[str],
        *,
        domain: str = "",
        outputs: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        count: int = 1,
    ) -> list[str]:
        """Compute something; the names of what comes out are returned."""
        made = list(outputs) or [self._new_name(kind.lower()) for _ in range(count)]
        self._nodes.append(
            b"".join(_bytes_field(1, name.encode()) for name in inputs)
            + b"".join(_bytes_field(2, name.encode()) for name in made)
            + _bytes_field(3, f"{kind}_{len(self._nodes)}".encode())
            + _bytes_field(4, kind.encode())
            + b"".join(_bytes_field(5, _attribute(name, value)) for name, value in (attributes or {}).items())
            + (_bytes_field(7, domain.encode()) if domain else b"")
        )
        return made

    def model(self, properties: Mapping[str, str] | None = None) -> bytes:
        """The whole file."""
        graph = b"".join(
            [
                *(_bytes_field(1, node) for node in self._nodes),
                _bytes_field(2, self._name.encode()),
                *(_bytes_field(5, weight) for weight in self._weights),
                *(_bytes_field(11, _value(value)) for value in self._inputs),
                *(_bytes_field(12, _value(value)) for value in self._outputs),
            ]
        )
        return b"".join(
            [
                _int_field(1, IR_VERSION),
                _bytes_field(2, b"hawser"),
                _bytes_field(7, graph),
                _bytes_field(8, _int_field(2, OPSET)),
                _bytes_field(8, _bytes_field(1, MICROSOFT.encode()) + _int_field(2, 1)),
                *(
                    _bytes_field(14, _bytes_field(1, name.encode()) + _bytes_field(2, value.encode()))
                    for name, value in (properties or {}).items()
                ),
            ]
        )

    def _new_name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}_{self._names}"


def _value(value: Value) -> bytes:
    dims = b"".join(
        _bytes_field(1, _int_field(1, size) if isinstance(size, int) else _bytes_field(2, size.encode()))
        for size in value.shape
    )
    tensor = _int_field(1, TYPES[value.type]) + _bytes_field(2, dims)
    return _bytes_field(1, value.name.encode()) + _bytes_field(2, _bytes_field(1, tensor))


def _attribute(name: str, value: Attribute) -> bytes:
    named = _bytes_field(1, name.encode())
    if isinstance(value, int):
        return named + _int_field(3, value) + _int_field(20, 2)
    if isinstance(value, float):
        return named + _varint(2 << 3 | 5) + struct.pack("<f", value) + _int_field(20, 1)
    if isinstance(value, str):
        return named + _bytes_field(4, value.encode()) + _int_field(20, 3)
    return named + b"".join(_int_field(8, item) for item in value) + _int_field(20, 7)


# ---- protobuf


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # negative numbers are written in 64 bits
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _int_field(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes_field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content
