"""`hawser model` against simulated Ollama hosts."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from console.arguments import new_parser
from console.commands import model as command
from console.errors import NotFound, SettingsError, UsageError
from console.pull_meter import PullMeter
from console.shell import Shell
from providers.chat.ollama_admin import Progress
from providers.errors import ModelMissing, TimedOut, Unreachable
from providers.simulated.services import Fault, FaultKind, SimulatedOllama, SimulatedOpenAI, SimulatedService
from tests.providers.raw import Asked, raw_server


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Desk:
    """A person, or a script, at a settings file."""

    def __init__(self, home: Path, services: Mapping[str, SimulatedService | str]) -> None:
        self.home = home
        self.said = self.noted = ""
        lines = []
        environment = {"HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1", "PATH": "/usr/bin"}
        for name, service in services.items():
            wire, url = ("ollama", service) if isinstance(service, str) else (service.wire, service.base_url)
            lines += [f"[endpoints.{name}]", f'wire = "{wire}"', f'base_url = "{url}"', "connect_s = 1.0"]
            if not isinstance(service, str) and service.key:
                environment[f"HAWSER_KEY_{name.upper()}"] = service.key
        (home / "config").mkdir(parents=True, exist_ok=True)
        (home / "config" / "config.toml").write_text("\n".join(lines))
        self.environment = environment

    async def run(self, *words: str, typed: str | None = None) -> int:
        """`typed` puts a person at a terminal; without it there is none."""
        stdin, stderr = (io.StringIO(), io.StringIO()) if typed is None else (Terminal(typed), Terminal())
        stdout = io.StringIO()
        shell = Shell(stdin, stdout, stderr, self.environment)
        parser = new_parser("hawser model")
        command.add_arguments(parser)
        try:
            return await command._run(parser.parse_args(words), shell)
        finally:
            self.said, self.noted = stdout.getvalue(), stderr.getvalue()

    @property
    def items(self) -> list[dict[str, Any]]:
        document = json.loads(self.said)
        assert document["schema"] == 1
        found = document["items"]
        assert isinstance(found, list)
        return found

    def remembered(self) -> set[tuple[str, str]]:
        with sqlite3.connect(self.home / "data" / "hawser.db") as store:
            rows = set(store.execute("SELECT endpoint, name FROM models_seen"))
        store.close()
        return rows


@asynccontextmanager
async def desk(home: Path, **services: SimulatedService | str) -> AsyncIterator[Desk]:
    started = [service for service in services.values() if not isinstance(service, str)]
    for service in started:
        await service.__aenter__()
    try:
        yield Desk(home, services)
    finally:
        for service in started:
            await service.__aexit__(None, None, None)


def two_boxes() -> dict[str, SimulatedService | str]:
    return {"inference": SimulatedOllama(), "box": SimulatedOllama(installed=("qwen3:32b",))}


# ---- ls


def test_models_of_every_endpoint_are_listed_and_remembered(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, **two_boxes(), cloud=SimulatedOpenAI()) as at:
            assert await at.run("ls") == 0
            assert "ENDPOINT" in at.said.splitlines()[0]
            assert any(line.startswith("box") and "qwen3:32b" in line for line in at.said.splitlines())
            assert at.noted == ""

            assert await at.run("ls", "--json") == 0
            assert {item["endpoint"] for item in at.items} == {"inference", "box", "cloud"}
            assert {("box", "qwen3:32b")} <= at.remembered()

            assert await at.run("ls", "box", "--json") == 0
            assert [item["name"] for item in at.items] == ["qwen3:32b"]
            assert at.items[0]["size_bytes"] > 1_000_000_000

    asyncio.run(body())


def test_dead_endpoint_is_a_note_and_the_others_are_listed(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, box=SimulatedOllama(), dead="http://127.0.0.1:1") as at:
            assert await at.run("ls") == 0
            assert "box" in at.said
            assert at.noted == "Nothing is listening at dead (127.0.0.1:1): the connection was refused.\n"

    asyncio.run(body())


def test_only_dead_endpoints_are_a_failure(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, dead="http://127.0.0.1:1", gone="http://127.0.0.1:1") as at:
            assert await at.run("ls") == 4
            assert at.said == ""
            with pytest.raises(Unreachable):
                await at.run("ls", "dead")

    asyncio.run(body())


def test_silent_endpoint_does_not_hold_up_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.commands.model.LIST_LIMIT_S", 0.2)

    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def body() -> None:
        async with raw_server(silent) as slow, desk(tmp_path, box=SimulatedOllama(), slow=slow.url) as at:
            assert await at.run("ls") == 0
            assert "slow did not answer within 0.2 s." in at.noted
            assert "box" in at.said
            with pytest.raises(TimedOut):
                await at.run("ls", "slow")

    asyncio.run(body())


def test_no_endpoint_and_unknown_endpoint_are_said(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as at:
            with pytest.raises(SettingsError, match="No endpoint"):
                await at.run("ls")
        async with desk(tmp_path, box=SimulatedOllama()) as at:
            with pytest.raises(SettingsError, match="'bx'"):
                await at.run("ls", "bx")

    asyncio.run(body())


def test_models_in_memory_are_listed(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, box=SimulatedOllama(), cloud=SimulatedOpenAI()) as at:
            assert await at.run("ls", "--loaded") == 0
            assert at.noted == "No model is in memory.\n"

            await at.run("load", "box/llama3.1:8b", "--keep-alive", "30m")
            assert await at.run("ls", "--loaded") == 0
            assert "llama3.1:8b" in at.said
            assert "100 %" in at.said
            assert await at.run("ls", "--loaded", "--json") == 0
            assert at.items[0]["vram_bytes"] > 0

            with pytest.raises(UsageError, match="Only Ollama"):
                await at.run("ls", "cloud", "--loaded")

    asyncio.run(body())


# ---- one model


def test_model_is_shown(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, box=SimulatedOllama(), cloud=SimulatedOpenAI()) as at:
            assert await at.run("show", "box/llama3.1:8b") == 0
            assert "endpoint: box" in at.said
            assert "context tokens: 131,072" in at.said
            await at.run("show", "llama3.1:8b", "--endpoint", "box", "--json")
            assert json.loads(at.said)["family"] == "llama"
            assert await at.run("show", "cloud/gpt-4.1") == 0
            assert "name: gpt-4.1" in at.said
            with pytest.raises(NotFound, match="does not list"):
                await at.run("show", "cloud/gpt-0")
            with pytest.raises(ModelMissing) as caught:
                await at.run("show", "box/nothing")
            assert caught.value.hint == "Fetch it with: hawser model pull box/nothing"

    asyncio.run(body())


def test_model_is_pulled_with_progress_and_remembered(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, box=SimulatedOllama(installed=())) as at:
            assert await at.run("pull", "mistral:7b") == 0
            assert at.said == ""
            assert "mistral:7b on box: " in at.noted
            assert "mistral:7b is on box (" in at.noted
            assert at.remembered() == {("box", "mistral:7b")}

            assert await at.run("pull", "box/qwen3:8b", "--json") == 0
            answer = json.loads(at.said)
            assert answer["outcome"] == "pulled"
            assert answer["size_bytes"] > 1_000_000_000

            with pytest.raises(ModelMissing):
                await at.run("pull", "box/no-such-model")

    asyncio.run(body())


def test_pull_that_breaks_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.commands.model.TAKEN_UP_AGAIN_AFTER_S", 0.0)

    async def body() -> None:
        box = SimulatedOllama(installed=())
        box.faults.once(Fault(FaultKind.CUT, 6, on="/api/pull"))
        async with desk(tmp_path, box=box) as at:
            assert await at.run("pull", "mistral:7b") == 0
            assert "it goes on where it was" in at.noted
            assert len(box.requests_to("/api/pull")) == 2

    asyncio.run(body())


def test_model_is_removed_only_when_that_was_meant(tmp_path: Path) -> None:
    async def body() -> None:
        box = SimulatedOllama()
        async with desk(tmp_path, box=box) as at:
            with pytest.raises(UsageError, match="--yes"):
                await at.run("rm", "box/llama3.1:8b")
            assert await at.run("rm", "box/llama3.1:8b", typed="n\n") == 0
            assert "Nothing was removed." in at.noted
            assert "llama3.1:8b" in box.installed

            assert await at.run("rm", "box/llama3.1:8b", typed="y\n") == 0
            assert "llama3.1:8b" not in box.installed
            assert ("box", "llama3.1:8b") not in at.remembered()

            with pytest.raises(ModelMissing):
                await at.run("rm", "box/llama3.1:8b", "--yes")

    asyncio.run(body())


def test_model_is_loaded_and_unloaded(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, box=SimulatedOllama()) as at:
            assert await at.run("load", "llama3.1:8b", "--json") == 0
            assert json.loads(at.said)["outcome"] == "loaded"
            assert await at.run("unload", "llama3.1:8b") == 0
            assert at.noted == "llama3.1:8b on box: unloaded.\n"
            assert await at.run("unload", "llama3.1:8b") == 0
            assert at.noted == "llama3.1:8b on box: not loaded.\n"

    asyncio.run(body())


# ---- targets


def test_endpoint_is_found_by_its_name_or_by_what_was_seen(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, **two_boxes(), cloud=SimulatedOpenAI()) as at:
            with pytest.raises(UsageError, match="Which endpoint"):
                await at.run("load", "qwen3:32b")
            await at.run("ls")
            assert await at.run("load", "qwen3:32b") == 0
            assert at.noted.startswith("qwen3:32b on box: loaded")
            with pytest.raises(UsageError, match="Which endpoint"):
                await at.run("pull", "qwen3:32b")
            with pytest.raises(UsageError, match="no Ollama host"):
                await at.run("pull", "cloud/gpt-4.1")
            assert await at.run("load", "box/qwen3:32b", "--endpoint", "box") == 0

    asyncio.run(body())


# ---- progress


def test_progress_is_one_line_on_a_terminal_and_few_lines_elsewhere() -> None:
    steps = [Progress("pulling", 1_000_000_000 * n, 10_000_000_000) for n in range(11)]

    def written(stream: io.StringIO) -> str:
        now = 0.0
        meter = PullMeter(Shell(None, io.StringIO(), stream, {}), "m on box", lambda: now)
        for step in steps:
            meter.show(step)
            now += 1.0
        meter.end()
        return stream.getvalue()

    on_a_terminal, elsewhere = written(Terminal()), written(io.StringIO())

    assert on_a_terminal.count("\n") == 1
    assert on_a_terminal.count("\r") == 11
    assert elsewhere.splitlines() == [
        "m on box: 0 B of 10.0 GB (0 %)",
        "m on box: 5.0 GB of 10.0 GB (50 %), 1.0 GB/s, 5 s left",
        "m on box: 10.0 GB of 10.0 GB (100 %), 1.0 GB/s, 0 s left",
    ]


def test_words_of_a_server_cannot_steer_the_terminal() -> None:
    stream = Terminal()
    meter = PullMeter(Shell(None, io.StringIO(), stream, {}), "m", lambda: 0.0)

    meter.show(Progress("\x1b[2Jpulling\nmanifest", 0, 0))

    assert "\x1b" not in stream.getvalue()
    assert "\n" not in stream.getvalue()
