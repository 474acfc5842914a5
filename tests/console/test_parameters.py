"""What chats set for their answers: what each backend gets of it, under its own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.chat.parameters import (
    BY_NAME,
    PARAMETERS,
    Backend,
    available,
    backend,
    for_wire,
    from_names,
    left_out,
    read,
    shown,
)
from console.errors import UsageError
from providers.simulated.services import SimulatedAnthropic, SimulatedOllama, SimulatedOpenAI
from tests.conftest import run
from tests.console.desk_kit import asked, box, place

ALL: dict[str, Any] = {
    "temperature": 1.5,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.05,
    "repeat_penalty": 1.1,
    "frequency_penalty": 0.5,
    "presence_penalty": -0.5,
    "seed": 7,
    "stop": ["END", "\n\n"],
    "reasoning_effort": "minimal",
    "max_tokens": 500,
}


def test_every_wire_gets_what_it_has_under_its_own_names(tmp_path: Path) -> None:
    """One chat that changes its model: wishes stay, and each backend gets those that it has."""

    async def body() -> None:
        ollama, hosted, claude = box(), SimulatedOpenAI("hosted"), SimulatedAnthropic("claude")
        async with place(tmp_path, ollama, hosted, claude, prices=["hosted", "claude"]) as here:
            chat = here.desk.new()
            await chat.set_params(ALL)
            await asked(chat, "echo one")
            await chat.set_model("claude/claude-sonnet-4-5")
            await asked(chat, "echo two")
            await chat.set_model("hosted/gpt-4.1")
            await asked(chat, "echo three")
            assert [entry.message.endpoint for entry in chat.entries[1::2]] == ["box", "claude", "hosted"]
            assert chat.params == ALL

            first, sent = (request.json for request in ollama.requests_to("/api/chat"))
            assert first["think"] == "low"  # what it answered that this model does not think
            assert "think" not in sent
            options = {name: value for name, value in sent["options"].items() if name != "num_ctx"}
            assert options == {
                "temperature": 1.5,
                "top_p": 0.9,
                "top_k": 40,
                "min_p": 0.05,
                "repeat_penalty": 1.1,
                "frequency_penalty": 0.5,
                "presence_penalty": -0.5,
                "seed": 7,
                "stop": ["END", "\n\n"],
                "num_predict": 500,
            }
            assert _without(claude.requests_to("/v1/messages")[-1].json, "model", "messages", "stream") == {
                "max_tokens": 500,
                "temperature": 1,
                "top_k": 40,
                "stop_sequences": ["END", "\n\n"],
            }
            # A stand-in on loopback is one of our own hosts, as vLLM is.
            assert _without(hosted.requests_to("/v1/chat/completions")[-1].json, "model", "messages", "stream") == {
                "stream_options": {"include_usage": True},
                "max_tokens": 500,
                "temperature": 1.5,
                "top_p": 0.9,
                "top_k": 40,
                "min_p": 0.05,
                "repetition_penalty": 1.1,
                "frequency_penalty": 0.5,
                "presence_penalty": -0.5,
                "seed": 7,
                "stop": ["END", "\n\n"],
                "reasoning_effort": "minimal",
            }

    run(body())


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def test_thinking_goes_to_each_wire_in_its_manner(tmp_path: Path) -> None:
    async def body() -> None:
        ollama, claude = SimulatedOllama("box"), SimulatedAnthropic("claude")
        async with place(tmp_path, ollama, claude, model="box/qwen3:8b", prices=["claude"]) as here:
            chat = here.desk.new()
            seen: list[Any] = []
            for wishes in ({"thinking": "on", "reasoning_effort": "high"}, {"thinking": "off"}, {}):
                await chat.set_params({**wishes, "temperature": 0.5})
                for model in ("box/qwen3:8b", "claude/claude-sonnet-4-5"):
                    await chat.set_model(model)
                    await asked(chat, "echo aye")
                bodies = ollama.requests_to("/api/chat")[-1].json, claude.requests_to("/v1/messages")[-1].json
                seen.append((bodies[0].get("think"), bodies[1].get("thinking"), bodies[1].get("temperature")))

            assert seen == [
                ("high", {"type": "enabled", "budget_tokens": 4096}, None),  # a temperature does not go with it
                (False, {"type": "disabled"}, 0.5),
                (None, None, 0.5),
            ]

    run(body())


@pytest.mark.parametrize(
    ("wishes", "kind", "params", "told"),
    [
        ({"temperature": 1.5}, "anthropic", {"temperature": 1}, "Temperature goes as 1"),
        ({"temperature": 1.5}, "openai", {"temperature": 1.5}, ""),
        ({"temperature": 0.5, "top_p": 0.9}, "anthropic", {"temperature": 0.5}, "Top p is not sent"),
        ({"thinking": "on", "top_k": 5}, "anthropic", {}, "does not go with thinking"),
        ({"thinking": "on", "top_p": 0.97}, "anthropic", {"top_p": 0.97}, ""),
        ({"thinking": "on", "max_tokens": 900, "top_k": 5}, "anthropic", {"top_k": 5}, "Thinking is not asked for"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "openai", {"stop": ["a", "b", "c", "d"]}, "Stop at goes as a, b, c, d"),
        ({"reasoning_effort": "high", "thinking": "off"}, "ollama", {}, "thinking is off"),
        ({"seed": "seven", "top_k": 3}, "ollama", {"top_k": 3}, "Seed cannot be 'seven'"),
        ({"of another version": 1}, "ollama", {}, ""),
        ({"min_p": 0.1}, "openai", {}, ""),
    ],
)
def test_what_goes_otherwise_than_wished_is_said(
    wishes: dict[str, Any], kind: Backend, params: dict[str, Any], told: str
) -> None:
    sent = for_wire(wishes, kind)

    assert sent.params == params
    assert told in " ".join(sent.notes)
    assert bool(sent.notes) is bool(told)


def test_what_a_backend_does_not_have_is_named() -> None:
    assert left_out({"seed": 1, "top_k": 2, "min_p": 0.1, "unknown": 1}, "anthropic") == ("Seed", "Min p")
    assert "seed" not in {parameter.name for parameter in available("anthropic")}
    assert all(each in (*available("ollama"), *available("vllm")) for each in PARAMETERS)
    assert [backend("openai", is_own=is_own) for is_own in (True, False)] == ["vllm", "openai"]


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("temperature", " 0,7 ", 0.7),
        ("temperature", "", None),
        ("max_tokens", "4,096", 4096),
        ("max_tokens", "1 000 000", 1_000_000),
        ("seed", "0", 0),
        ("stop", "END, \\n\\n ,a\\,b", ["END", "\n\n", "a,b"]),
        ("stop", " , ", None),
        ("thinking", "ON", "on"),
    ],
)
def test_what_is_typed_is_read(name: str, typed: str, value: Any) -> None:
    assert read(BY_NAME[name], typed) == value


@pytest.mark.parametrize(
    ("name", "typed", "hint"),
    [
        ("temperature", "2.1", "0 to 2"),
        ("temperature", "nan", "0 to 2"),
        ("temperature", "warm", "0 to 2"),
        ("top_k", "1.5", "0 to 10,000"),
        ("seed", "-1", "0 to 2,147,483,647"),
        ("thinking", "maybe", "on, off"),
    ],
)
def test_what_cannot_be_is_refused_with_what_may_be(name: str, typed: str, hint: str) -> None:
    with pytest.raises(UsageError, match=BY_NAME[name].label) as caught:
        read(BY_NAME[name], typed)

    assert caught.value.hint == f"It may be {hint}."


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5))
def test_texts_survive_being_shown_and_read(texts: list[str]) -> None:
    assert read(BY_NAME["stop"], shown(texts)) == texts


@given(st.floats(0, 2))
def test_numbers_survive_being_shown_and_read(number: float) -> None:
    assert read(BY_NAME["temperature"], shown(number)) == pytest.approx(number, abs=1e-11)


def test_parameters_of_files_are_known_by_any_backends_name() -> None:
    wishes, unknown = from_names(
        {
            "repetition_penalty": 1.2,
            "stop_sequences": "END",
            "num_predict": 300,
            "think": True,
            "reasoning_effort": "low",
            "num_ctx": 8192,
            "seed": None,
        }
    )

    assert wishes == {
        "repeat_penalty": 1.2,
        "stop": ["END"],
        "max_tokens": 300,
        "thinking": "on",
        "reasoning_effort": "low",
    }
    assert unknown == ("num_ctx",)
    assert from_names({"thinking": {"type": "disabled"}})[0] == {"thinking": "off"}
    wrongs: tuple[dict[str, Any], ...] = ({"temperature": "hot"}, {"temperature": True}, {"stop": [1]}, {"top_k": {}})
    for wrong in wrongs:
        with pytest.raises(UsageError):
            from_names(wrong)
