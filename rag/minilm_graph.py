"""The graph of all-MiniLM-L6-v2 for ONNX Runtime, with weights of 8 bits.

It takes the tokens of one text and gives its vector; pooling and the length of one are part of it. One text at a time:
nothing is padded, no mask is needed, which lets ONNX Runtime use its fast attention, and a vector does not depend on
what else is embedded at that moment, as it would with activations quantised over a batch.

What costs agreement with the full-precision model, and what is done about it:

* Weights are quantised with one scale for each output, activations as they come.
* The gain of a normalisation belongs to the layer behind it (`_folded`) where that layer is the first one of the
  feed-forward part; before attention it does better where it is.
* The second feed-forward layer sees a few large activations. In the first three blocks, where that hurts, it has a
  scale for each `_BLOCK` inputs of each token (`MatMulNBits`). That costs a tenth of the speed; the others do without.
* The table of words has a scale for each word.

Processors without VNNI add products in 16 bits and cut off what does not fit; with these weights that meets one sum in
65,000 and costs one thousandth of agreement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag.errors import Damaged
from rag.onnx_file import MICROSOFT, Graph, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.safetensors_file import Weights

    Floats = NDArray[np.float32]

CONVERSION = 1
"""Counts up when the same weights become another file."""
DIMENSION = 384
_LAYERS = 6
_HEADS = 12
_INNER = 1536
_WORDS = 30522
_POSITIONS = 512
_BLOCK = 256
_FINE_LAYERS = (0, 1, 2)
_EPSILON = 1e-12


def minilm_model(weights: Weights) -> bytes:
    """An ONNX file: `input_ids` of shape (1, tokens) in, `vector` of shape (1, 384) and length one out."""
    _check(weights)
    return _Builder(weights).model()


def _check(weights: Weights) -> None:
    expected: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (_WORDS, DIMENSION),
        "embeddings.position_embeddings.weight": (_POSITIONS, DIMENSION),
        "embeddings.token_type_embeddings.weight": (2, DIMENSION),
    }
    layers = [(f"encoder.layer.{number}.attention.self.{part}", DIMENSION, DIMENSION)
              for number in range(_LAYERS) for part in ("query", "key", "value")]  # fmt: skip
    norms = ["embeddings.LayerNorm"]
    for number in range(_LAYERS):
        start = f"encoder.layer.{number}."
        layers.append((start + "attention.output.dense", DIMENSION, DIMENSION))
        layers.append((start + "intermediate.dense", _INNER, DIMENSION))
        layers.append((start + "output.dense", DIMENSION, _INNER))
        norms += [start + "attention.output.LayerNorm", start + "output.LayerNorm"]
    for name, outputs, inputs in layers:
        expected[name + ".weight"] = (outputs, inputs)
        expected[name + ".bias"] = (outputs,)
    for name in norms:
        expected[name + ".weight"] = expected[name + ".bias"] = (DIMENSION,)
    for name, shape in expected.items():
        if name not in weights or weights[name].shape != shape:
            raise Damaged(f"These are not the weights of all-MiniLM-L6-v2: {name!r} is missing or of another shape.")


class _Builder:
    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._graph = Graph(
            "all-MiniLM-L6-v2",
            [Value("input_ids", "int64", (1, "tokens"))],
            [Value("vector", "float32", (1, DIMENSION))],
        )

    def model(self) -> bytes:
        hidden = self._norm(self._embeddings(), "embeddings.LayerNorm")
        for number in range(_LAYERS):
            hidden = self._block(hidden, number)
        mean = self._node("ReduceMean", hidden, axes=[1], keepdims=0)
        self._graph.node("LpNormalization", [mean], outputs=["vector"], attributes={"axis": -1, "p": 2})
        return self._graph.model()

    # ---- parts of the model

    def _embeddings(self) -> str:
        """Of words and positions; everything is a sentence of the first type, so that one joins the positions."""
        import numpy as np

        table = np.asarray(self._weights["embeddings.word_embeddings.weight"])
        whole, scales = _quantised(table.T)
        words = self._node("Cast", self._node("Gather", self._keep(whole.T), "input_ids"), to=1)
        words = self._node("Mul", words, self._node("Gather", self._keep(scales[:, None]), "input_ids"))
        positions = self._weights["embeddings.position_embeddings.weight"]
        first_type = self._weights["embeddings.token_type_embeddings.weight"][0]
        zero, one, two = (self._keep(np.array([number], np.int64)) for number in range(3))
        length = self._node("Slice", self._node("Shape", "input_ids"), one, two)
        return self._node("Add", words, self._node("Slice", self._keep(positions + first_type), zero, length, zero))

    def _block(self, hidden: str, number: int) -> str:
        start = f"encoder.layer.{number}."
        attended = self._add(self._attention(hidden, start), hidden)
        bare, hidden = self._bare_norm(attended, start + "attention.output.LayerNorm")
        gain, shift = self._pair(start + "attention.output.LayerNorm")
        inner = self._linear(bare, *_folded(*self._pair(start + "intermediate.dense"), gain, shift))
        inner = self._node("Gelu", inner, domain=MICROSOFT)
        outer = self._pair(start + "output.dense")
        out = self._fine_linear(inner, *outer) if number in _FINE_LAYERS else self._linear(inner, *outer)
        return self._norm(self._add(out, hidden), start + "output.LayerNorm")

    def _attention(self, hidden: str, start: str) -> str:
        import numpy as np

        pairs = [self._pair(f"{start}attention.self.{part}") for part in ("query", "key", "value")]
        weight, bias = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        three = self._graph.node("Split", [self._linear(hidden, weight, bias)], count=3, attributes={"axis": -1})
        seen = self._graph.node("MultiHeadAttention", three, domain=MICROSOFT, attributes={"num_heads": _HEADS})
        return self._linear(seen[0], *self._pair(start + "attention.output.dense"))

    def _norm(self, hidden: str, name: str) -> str:
        gain, shift = self._pair(name)
        return self._node("LayerNormalization", hidden, self._keep(gain), self._keep(shift), axis=-1, epsilon=_EPSILON)

    def _bare_norm(self, hidden: str, name: str) -> tuple[str, str]:
        """Without gain and shift, for a layer into which they are folded, and with them."""
        import numpy as np

        gain, shift = self._pair(name)
        ones, zeros = self._keep(np.ones_like(gain)), self._keep(np.zeros_like(shift))
        bare = self._node("LayerNormalization", hidden, ones, zeros, axis=-1, epsilon=_EPSILON)
        return bare, self._add(self._node("Mul", bare, self._keep(gain)), self._keep(shift))

    # ---- layers

    def _linear(self, given: str, weight: Floats, bias: Floats) -> str:
        import numpy as np

        whole, scales = _quantised(weight.T)
        zeros = self._keep(np.zeros(len(bias), np.int8))
        inputs = (given, self._keep(whole), self._keep(scales), zeros, self._keep(bias))
        return self._node("DynamicQuantizeMatMul", *inputs, domain=MICROSOFT)

    def _fine_linear(self, given: str, weight: Floats, bias: Floats) -> str:
        import numpy as np

        outputs, inputs = weight.shape
        blocks = weight.reshape(outputs, inputs // _BLOCK, _BLOCK)
        scales = (np.abs(blocks).max(axis=2) / 127).astype(np.float32)
        whole = (np.rint(blocks / scales[..., None]) + 128).astype(np.uint8)
        return self._node(
            "MatMulNBits", given, self._keep(whole), self._keep(scales), "", "", self._keep(bias),
            domain=MICROSOFT, K=inputs, N=outputs, bits=8, block_size=_BLOCK, accuracy_level=4,
        )  # fmt: skip

    # ---- the graph

    def _pair(self, name: str) -> tuple[Floats, Floats]:
        return self._weights[name + ".weight"], self._weights[name + ".bias"]

    def _keep(self, array: NDArray[Any]) -> str:
        return self._graph.weight(array)

    def _add(self, one: str, other: str) -> str:
        return self._node("Add", one, other)

    def _node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        return self._graph.node(kind, inputs, domain=domain, attributes=attributes)[0]


def _quantised(columns: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Each column as whole numbers up to 127 and the one number they are multiplied with."""
    import numpy as np

    largest = np.abs(columns).max(axis=0)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(columns / scales).astype(np.int8), scales


def _folded(weight: Floats, bias: Floats, gain: Floats, shift: Floats) -> tuple[Floats, Floats]:
    """A layer that expects what comes before gain and shift."""
    return weight * gain, bias + weight @ shift
