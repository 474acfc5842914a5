"""One set of simulated services and one LiteLLM proxy for all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers.simulated.services import SimulatedAnthropic, SimulatedOllama, SimulatedOpenAI, SimulatedService, Speed
from tests.flows.kit import Services
from tests.peers.proxy import LiteLLM

BEHIND_LITELLM = {
    "ollama": ("inference", "ollama_chat/llama3.1:8b"),
    "ollama-thinks": ("inference", "ollama_chat/qwen3:8b"),
    "ollama-sees": ("inference", "ollama_chat/llava:latest"),
    "ollama-generates": ("inference", "ollama/mistral:7b"),
    "ollama-embeds": ("inference", "ollama/nomic-embed-text"),
    "ollama-gone": ("inference", "ollama_chat/no-such-model"),
    "openai": ("openai", "openai/gpt-4.1"),
    "openai-thinks": ("openai", "openai/gpt-5.4-mini"),
    "openai-embeds": ("openai", "openai/text-embedding-3-small"),
    "openai-gone": ("openai", "openai/no-such-model"),
    "vllm": ("vllm", "hosted_vllm/Qwen/Qwen3-8B"),
    "openrouter": ("openrouter", "openrouter/qwen/qwen3-32b"),
    "deepseek": ("deepseek", "deepseek/deepseek-reasoner"),
    "anthropic": ("anthropic", "anthropic/claude-haiku-4-5-20251001"),
    "anthropic-gone": ("anthropic", "anthropic/claude-no-such-model"),
}
"""The proxy's name for a model, the service that has it, and how LiteLLM is told to reach it."""


@pytest.fixture(scope="session")
def running() -> Iterator[Services]:
    with Services() as services:
        yield services


@pytest.fixture(scope="session")
def all_services(running: Services) -> dict[str, SimulatedService]:
    services: dict[str, SimulatedService] = {
        "inference": SimulatedOllama("inference"),
        "openai": SimulatedOpenAI("openai"),
        "anthropic": SimulatedAnthropic("anthropic"),
        "vllm": SimulatedOpenAI("vllm", flavour="vllm"),
        "openrouter": SimulatedOpenAI("openrouter", flavour="openrouter"),
        "deepseek": SimulatedOpenAI("deepseek", flavour="deepseek"),
    }
    for service in services.values():
        running.start(service)
    return services


@pytest.fixture
def services(running: Services, all_services: dict[str, SimulatedService]) -> Iterator[dict[str, SimulatedService]]:
    """The services with nothing recorded and nothing wrong; each must be left without an open request."""
    for service in all_services.values():
        service.requests.clear()
        service.cancelled_requests = 0
    yield all_services
    for service in all_services.values():
        service.faults.clear()
        service.speed = Speed()
        running.until_idle(service)


@pytest.fixture(scope="session")
def litellm(tmp_path_factory: pytest.TempPathFactory, all_services: dict[str, SimulatedService]) -> Iterator[LiteLLM]:
    behind = {name: (model, all_services[service]) for name, (service, model) in BEHIND_LITELLM.items()}
    with LiteLLM(tmp_path_factory.mktemp("litellm"), behind) as proxy:
        yield proxy
