"""Who answers, seen from outside: names, chains that fall back, routes, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.simulated.services import FaultKind, SimulatedOllama, SimulatedOpenAI
from tests.flows.kit import Hawser, Services, complaint, endpoint, key_of


@pytest.fixture
def second(services: Services) -> SimulatedOllama:
    return services.start(SimulatedOllama("second"))


@pytest.fixture
def both(tmp_path: Path, ollama: SimulatedOllama, second: SimulatedOllama) -> Hawser:
    """A user of two servers, with a chain over both."""
    limits = ("first_token_s = 0.8", "between_tokens_s = 0.8", "connect_s = 1")
    chain = '{ model = "one/llama3.1:8b", retries = 0 }, { model = "two/phi3:latest", retries = 0 }'
    return Hawser(tmp_path / "both").settings(
        endpoint("one", ollama, *limits), endpoint("two", second, *limits), f"[aliases]\nbest = [{chain}]", model="best"
    )


def test_chain_falls_back_before_the_first_token_and_says_so(both: Hawser, ollama: SimulatedOllama) -> None:
    ollama.faults.always(FaultKind.STATUS, 500)

    done = both.ask("echo second one", "--json")

    document = done.json()
    assert (done.code, document["text"], document["endpoint"]) == (0, "second one", "two")
    failed, answered = document["tried"]
    assert (failed["endpoint"], failed["outcome"], bool(failed["error"])) == ("one", "failed", True)
    assert (answered["endpoint"], answered["outcome"], answered["error"]) == ("two", "answered", None)
    assert len(done.lines) == 1
    assert "one/llama3.1:8b failed" in done.lines[0]
    assert "Trying two/phi3:latest" in done.lines[0]
    answer = both.last_answer()
    assert (answer.endpoint, answer.model) == ("two", "phi3:latest")
    assert [entry["outcome"] for entry in both.ledger()] == ["failed", "complete"]


def test_chain_falls_back_from_a_server_that_is_gone(both: Hawser, services: Services, ollama: SimulatedOllama) -> None:
    services.do(ollama.close_door())

    done = both.ask("echo second one")

    assert (done.code, done.out) == (0, b"second one")
    assert "Nothing is listening at one" in done.err


def test_answer_that_has_begun_is_not_begun_again(
    both: Hawser, ollama: SimulatedOllama, second: SimulatedOllama
) -> None:
    ollama.faults.always(FaultKind.CUT, 2)

    done = both.ask("say 6 tokens")

    assert "broke off" in complaint(done, 4)
    assert done.out == b"word1 word2 "
    assert not second.requests


def test_chain_that_is_used_up_names_everyone(both: Hawser, ollama: SimulatedOllama, second: SimulatedOllama) -> None:
    ollama.faults.always(FaultKind.STATUS, 500)
    second.faults.always(FaultKind.EMPTY)

    done = both.ask("Hello")

    assert "two/phi3:latest gave an empty answer" in complaint(done, 7)
    assert "Tried before: one/llama3.1:8b" in done.lines[-1]


def test_only_the_first_of_a_chain_is_asked_when_told_so(
    both: Hawser, ollama: SimulatedOllama, second: SimulatedOllama
) -> None:
    ollama.faults.always(FaultKind.STATUS, 500)

    assert complaint(both.ask("Hello", "--no-fallback"), 4)
    assert not second.requests


def test_model_named_with_its_endpoint_never_falls_back(
    both: Hawser, ollama: SimulatedOllama, second: SimulatedOllama
) -> None:
    ollama.faults.always(FaultKind.MODEL_GONE)

    assert "does not have the model" in complaint(both.ask("Hello", "-m", "one/llama3.1:8b"), 3)
    assert not second.requests


def test_endpoint_that_fails_again_and_again_is_asked_last(
    both: Hawser, services: Services, ollama: SimulatedOllama, second: SimulatedOllama
) -> None:
    services.do(ollama.close_door())
    for _ in range(4):
        assert both.ask("echo on").out == b"on"

    done = both.ask("echo and on")

    assert (done.code, done.out) == (0, b"and on")
    assert done.lines[0].startswith("hawser: one failed several times in a row")
    assert len(done.lines) == 1


def test_marker_at_the_beginning_chooses_the_route(hawser: Hawser, ollama: SimulatedOllama) -> None:
    done = hawser.ask("@code echo while true", "-m", "auto", "--json")

    assert done.json()["model"].startswith("deepseek-coder-v2")
    assert done.json()["text"] == "while true"
    assert ollama.last_json["messages"][-1]["content"] == "echo while true"


@pytest.mark.parametrize(
    ("prompt", "model"),
    [
        ("Write a Python function that parses a TOML file and returns a dict, with tests", "deepseek-coder-v2"),
        ("Tell me at length how the trade in hemp shaped the Baltic towns in the 17th century", "llama3.1:8b"),
        ("What is the capital of Peru?", "mistral:7b"),
    ],
    ids=["code", "general", "quick"],
)
def test_auto_lets_the_prompt_choose_and_tells_why(hawser: Hawser, prompt: str, model: str) -> None:
    done = hawser.ask(prompt, "-m", "auto", "-v", "--json")

    assert done.json()["model"].startswith(model)
    assert "because the prompt" in done.err


def test_missing_model_of_a_route_falls_to_the_nearest_and_says_so(tmp_path: Path, services: Services) -> None:
    small = services.start(SimulatedOllama(installed=("qwen2.5-coder:7b", "phi3:latest")))
    user = Hawser(tmp_path / "small").settings(endpoint("small", small), model="code")

    done = user.ask("echo x", "--json")

    assert done.json()["model"] == "qwen2.5-coder:7b"
    assert done.lines == [
        "hawser: deepseek-coder-v2 is on no endpoint; small/qwen2.5-coder:7b answers, the nearest that is there."
    ]


def test_unknown_model_names_the_nearest(hawser: Hawser) -> None:
    done = hawser.ask("Hello", "-m", "lama3.1:8b")

    assert "'lama3.1:8b' is on no endpoint" in complaint(done, 3)
    assert "Did you mean" in done.lines[-1]
    assert "llama3.1:8b" in done.lines[-1]


def test_only_endpoint_answers_without_any_name(tmp_path: Path, ollama: SimulatedOllama) -> None:
    user = Hawser(tmp_path / "plain").settings(endpoint("inference", ollama))

    assert user.ask("echo hello").out == b"hello"


def test_model_of_the_settings_gives_way_to_environment_and_flag(hawser: Hawser, ollama: SimulatedOllama) -> None:
    variable = {"HAWSER_CHAT_MODEL": "inference/mistral:7b"}

    assert hawser.ask("x", "--json").json()["model"] == "llama3.1:8b"
    assert hawser.ask("x", "--json", env=hawser.env | variable).json()["model"] == "mistral:7b"
    named = hawser.ask("x", "--json", "-m", "inference/phi3", env=hawser.env | variable)
    assert named.json()["model"].startswith("phi3")


def test_chain_that_goes_in_a_circle_is_said(hawser: Hawser, ollama: SimulatedOllama) -> None:
    hawser.settings(endpoint("inference", ollama), '[aliases]\na = "b"\nb = "a"', model="a")

    assert "a → b → a" in complaint(hawser.ask("Hello"), 3)


def test_entry_that_may_not_be_paid_for_is_skipped(
    tmp_path: Path, ollama: SimulatedOllama, openai: SimulatedOpenAI
) -> None:
    price = "price = { input = 2000, output = 8000 }"
    user = Hawser(tmp_path / "mixed", env=key_of("paid", openai)).settings(
        endpoint("paid", openai, price),
        endpoint("own", ollama),
        '[aliases]\nbest = ["paid/gpt-4.1", "own/llama3.1:8b"]',
        "[budget]\nday_usd = 0.01",
        model="best",
    )

    done = user.ask("echo for nothing", "--json")

    assert (done.code, done.json()["endpoint"]) == (0, "own")
    assert "paid/gpt-4.1 is skipped" in done.lines[0]
    assert not openai.requests
    assert [each["outcome"] for each in done.json()["tried"]] == ["skipped", "answered"]
