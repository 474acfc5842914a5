"""The `llm` command line and its plugins, in an environment of their own, on our simulated services."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from providers.simulated.services import Answer, Fault, FaultKind, SimulatedService, ToolUse
from tests.peers.environments import program
from tests.peers.pixel import PIXEL

pytestmark = pytest.mark.peers

TEXT = "Grüße, 世界! 👩‍🚀\n\n```python\nprint('hé')\n```"
PATIENCE_S = 45.0


class Said(NamedTuple):
    code: int
    out: str
    err: str


Llm = Callable[..., Said]


@pytest.fixture
def folder(services: dict[str, SimulatedService], tmp_path: Path) -> Path:
    """Where one user of `llm` keeps models, keys and logs."""
    openai = services["openai"]
    common = f"  api_key_name: simulated\n  api_base: {openai.base_url}\n"
    able = "  supports_tools: true\n  supports_schema: true\n  vision: true\n"
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: sim\n  model_name: gpt-4.1\n{common}{able}"
        f"- model_id: sim-gone\n  model_name: no-such-model\n{common}"
    )
    keys = {"simulated": openai.key, "anthropic": services["anthropic"].key}
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    return tmp_path


@pytest.fixture
def llm(services: dict[str, SimulatedService], folder: Path) -> Llm:
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "LLM_USER_PATH": str(folder),
        "LANG": "C.UTF-8",
        "NO_PROXY": "127.0.0.1",
        "ANTHROPIC_BASE_URL": services["anthropic"].base_url,
        "OLLAMA_HOST": services["inference"].base_url,
    }

    def run(*words: str, plugin: str = "") -> Said:
        done = subprocess.run(
            [program("clients", "llm"), *words],
            env={**environment, "LLM_LOAD_PLUGINS": plugin},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


# ---- the OpenAI wire


def test_answer_is_streamed_counted_and_continued(
    llm: Llm, services: dict[str, SimulatedService], folder: Path
) -> None:
    services["openai"].answers.queue(TEXT, "Red it is.")

    first = llm("-m", "sim", "-s", "Be brief.", "about ropes")
    then = llm("-c", "and which colour?")

    assert (first.code, first.out) == (0, TEXT + "\n")
    assert (then.code, then.out) == (0, "Red it is.\n")
    sent = services["openai"].last_json
    assert sent["stream"] is True
    assert [(message["role"], message["content"]) for message in sent["messages"]] == [
        ("system", "Be brief."),
        ("user", "about ropes"),
        ("assistant", TEXT),
        ("user", "and which colour?"),
    ]
    with closing(sqlite3.connect(folder / "logs.db")) as logs:
        rows = logs.execute(
            "SELECT response, input_tokens > 0, output_tokens > 0 FROM responses ORDER BY id"
        ).fetchall()
    assert rows == [(TEXT, 1, 1), ("Red it is.", 1, 1)]


def test_answer_in_one_piece_keeps_to_a_schema(llm: Llm, services: dict[str, SimulatedService]) -> None:
    said = llm("-m", "sim", "--no-stream", "--schema", "city, people int", "Bremen?")

    assert said.code == 0
    value = json.loads(said.out)
    assert set(value) == {"city", "people"}
    assert isinstance(value["people"], int)
    assert not services["openai"].last_json.get("stream")


def test_tool_of_the_client_is_called_and_a_picture_attached(
    llm: Llm, services: dict[str, SimulatedService], folder: Path
) -> None:
    (folder / "pixel.png").write_bytes(PIXEL)
    services["openai"].answers.queue(Answer(tool_calls=(ToolUse("llm_version", {}),)), "That is its version.")

    said = llm("-m", "sim", "-T", "llm_version", "-a", str(folder / "pixel.png"), "Which llm made this?")

    assert (said.code, said.out) == (0, "That is its version.\n")
    first, second = services["openai"].requests_to("/v1/chat/completions")
    assert [part["type"] for part in first.json["messages"][0]["content"]] == ["text", "image_url"]
    _, call, result = second.json["messages"]
    assert call["tool_calls"][0]["function"]["name"] == "llm_version"
    assert result["role"] == "tool"


@pytest.mark.parametrize(
    ("model", "fault", "word"),
    [
        ("sim", Fault(FaultKind.ERROR, 2, message="the GPU is on fire"), "the GPU is on fire"),
        ("sim", Fault(FaultKind.CUT, 2), "Connection error"),
        ("sim-gone", Fault(FaultKind.CRLF), "no-such-model"),
    ],
    ids=["error", "cut", "gone"],
)
def test_fault_fails_the_call(
    llm: Llm, services: dict[str, SimulatedService], model: str, fault: Fault, word: str
) -> None:
    services["openai"].faults.always(fault)

    said = llm("-m", model, "hello")

    assert said.code == 1
    assert word in said.err


# ---- the Anthropic wire, by llm-anthropic


def test_anthropic_plugin_thinks_and_sees(llm: Llm, services: dict[str, SimulatedService], folder: Path) -> None:
    (folder / "pixel.png").write_bytes(PIXEL)
    services["anthropic"].answers.queue(Answer(TEXT, thinking="Small."))

    said = llm(
        "-m", "claude-haiku-4.5", "-s", "Be brief.", "-o", "thinking", "1", "-a", str(folder / "pixel.png"), "What?",
        plugin="llm-anthropic",
    )  # fmt: skip

    assert said.code == 0
    assert said.out.endswith(TEXT + "\n")
    sent = services["anthropic"].last_json
    assert sent["stream"] is True
    assert sent["thinking"]["type"] == "enabled"
    assert "Be brief." in json.dumps(sent["system"])
    assert "image" in [block["type"] for block in sent["messages"][0]["content"]]


def test_anthropic_plugin_gets_an_answer_in_one_piece(llm: Llm, services: dict[str, SimulatedService]) -> None:
    services["anthropic"].answers.queue(TEXT)

    said = llm(
        "-m", "claude-haiku-4.5", "-o", "max_tokens", "500", "about ropes", "--no-stream", plugin="llm-anthropic"
    )

    assert (said.code, said.out, said.err) == (0, TEXT + "\n", "")
    assert not services["anthropic"].last_json.get("stream")


def test_anthropic_plugin_shows_an_error_inside_the_stream(llm: Llm, services: dict[str, SimulatedService]) -> None:
    services["anthropic"].faults.always(Fault(FaultKind.ERROR, 2, message="the GPU is on fire"))

    said = llm("-m", "claude-haiku-4.5", "hello", plugin="llm-anthropic")

    assert said.code == 1
    assert "the GPU is on fire" in said.err


# ---- the Ollama wire, by llm-ollama


def test_ollama_plugin_lists_the_models_that_answer(llm: Llm) -> None:
    said = llm("models", plugin="llm-ollama")

    assert said.code == 0
    assert "OpenAI Chat: sim\n" in said.out
    assert "Ollama: llama3.1:8b" in said.out
    assert "Ollama: nomic-embed-text" not in said.out


def test_ollama_plugin_gets_its_answer(llm: Llm, services: dict[str, SimulatedService]) -> None:
    services["inference"].answers.queue(TEXT)

    streamed = llm("-m", "llama3.1:8b", "about ropes", "-s", "Be brief.", plugin="llm-ollama")
    whole = llm("-m", "qwen3:8b", "Bremen?", "--no-stream", "--schema", "city, land", plugin="llm-ollama")

    assert (streamed.code, streamed.out) == (0, TEXT + "\n")
    assert whole.code == 0
    assert set(json.loads(whole.out)) == {"city", "land"}
    first, second = (recorded.json for recorded in services["inference"].requests_to("/api/chat"))
    assert [message["role"] for message in first["messages"]] == ["system", "user"]
    assert (first["stream"], second["stream"]) == (True, False)


def test_ollama_plugin_embeds(llm: Llm) -> None:
    said = llm("embed", "-m", "nomic-embed-text", "-c", "a rope", plugin="llm-ollama")

    assert said.code == 0
    assert len(json.loads(said.out)) == 768
