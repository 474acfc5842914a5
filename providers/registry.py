"""Adapters by name. Asking for the names imports none of them; asking for one imports that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.errors import RequestRefused

if TYPE_CHECKING:
    from providers.chat.base import ChatProvider, Host

WIRES = ("ollama", "openai", "anthropic")


def chat_provider(wire: str, host: Host) -> ChatProvider:
    """The adapter for this wire, speaking to this host. Nothing is connected."""
    match wire:
        case "ollama":
            from providers.chat.ollama import Ollama

            return Ollama(host)
        case "openai":
            from providers.chat.openai import OpenAI

            return OpenAI(host)
        case "anthropic":
            from providers.chat.anthropic import Anthropic

            return Anthropic(host)
        case _:
            raise _unknown(wire, host)


def _unknown(wire: str, host: Host) -> RequestRefused:
    from difflib import get_close_matches

    nearest = get_close_matches(wire, WIRES, n=1, cutoff=0.3)
    return RequestRefused(
        f"There is no wire {wire!r} (set for {host.name!r}).",
        hint=f"Did you mean {nearest[0]!r}?" if nearest else f"The wires are {', '.join(WIRES)}.",
    )
