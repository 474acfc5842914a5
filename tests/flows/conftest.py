"""What the stories share: services in a thread, and a user whose settings name them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.simulated.services import SimulatedOllama, SimulatedOpenAI
from tests.flows.kit import Hawser, Services, endpoint, key_of
from tests.tmux_kit import TMUX

collect_ignore = [] if TMUX else ["test_app_tmux.py"]


@pytest.fixture
def services() -> Iterator[Services]:
    with Services() as running:
        yield running


@pytest.fixture
def ollama(services: Services) -> SimulatedOllama:
    return services.start(SimulatedOllama())


@pytest.fixture
def openai(services: Services) -> SimulatedOpenAI:
    return services.start(SimulatedOpenAI())


@pytest.fixture
def hawser(tmp_path: Path, ollama: SimulatedOllama) -> Hawser:
    """A user with one Ollama server, whose llama answers unless another is named."""
    return Hawser(tmp_path / "hawser").settings(endpoint("inference", ollama), model="inference/llama3.1:8b")


@pytest.fixture
def hosted(tmp_path: Path, openai: SimulatedOpenAI) -> Hawser:
    """A user of a paid service."""
    user = Hawser(tmp_path / "hosted", env=key_of("openai", openai))
    price = "price = { input = 2.0, output = 8.0 }"
    return user.settings(endpoint("openai", openai, 'key = "openai"', price), model="openai/gpt-4.1")


@pytest.fixture
def impatient(tmp_path: Path, ollama: SimulatedOllama) -> Hawser:
    """A user who gives a server little time and asks once: failures come soon."""
    limits = ("first_token_s = 0.8", "between_tokens_s = 0.8", "connect_s = 2")
    once = '[aliases]\nonce = { model = "inference/llama3.1:8b", retries = 0 }'
    return Hawser(tmp_path / "impatient").settings(endpoint("inference", ollama, *limits), once, model="once")
