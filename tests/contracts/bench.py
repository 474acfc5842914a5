"""One chat adapter at the simulated service of its wire, and the hosts that every adapter is tried on.

A new adapter, or another kind of host behind one, begins as a line in `HOSTS`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from providers.chat.base import ChatProvider, ChatRequest, Host, Image, Message
from providers.registry import chat_provider
from providers.simulated.services import SimulatedAnthropic, SimulatedOllama, SimulatedOpenAI, SimulatedService
from tests.providers.raw import collect

HOSTS: dict[str, tuple[type[SimulatedService], dict[str, Any], str]] = {
    "ollama": (SimulatedOllama, {}, "llama3.1:8b"),
    "openai": (SimulatedOpenAI, {}, "gpt-4.1"),
    "openrouter": (SimulatedOpenAI, {"flavour": "openrouter"}, ""),
    "vllm": (SimulatedOpenAI, {"flavour": "vllm"}, ""),
    "deepseek": (SimulatedOpenAI, {"flavour": "deepseek"}, ""),
    "anthropic": (SimulatedAnthropic, {}, ""),
}
PIXEL = Image("image/png", bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"))
TEXT = "Grüße, 世界! 👩‍🚀 — fünf Zeilen\n\n```python\nprint('hé')\n```\n"

Body = Callable[["Bench"], Awaitable[None]]


class Bench:
    """One adapter at one simulated service."""

    def __init__(self, name: str, service: SimulatedService, model: str) -> None:
        self.name = name
        self.service = service
        self.model = model
        self.provider = self.connect(service.key)

    def connect(self, key: str | None) -> ChatProvider:
        return chat_provider(self.service.wire, Host("lab", self.service.base_url, key=key))

    def ask(self, text: str = "What is a hawser?", **more: Any) -> ChatRequest:
        return ChatRequest(more.pop("model", self.model), (Message("user", text),), **more)

    async def failure(self, **more: Any) -> tuple[str, Exception | None]:
        got = await collect(self.provider, self.ask(**more))
        return got.text, got.error
