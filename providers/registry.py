"""Adapters by name. Asking for the names imports none of them; asking for one imports that one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from providers.errors import RequestRefused

if TYPE_CHECKING:
    from providers.chat.base import ChatProvider, Host
    from providers.clouds.base import Clock, Cloud, CloudHost
    from providers.clouds.ssh_host import SshHost
    from providers.embeddings import Clock as Sleeper
    from providers.embeddings import EmbeddingProvider
    from providers.rerank import RerankProvider

WIRES = ("ollama", "openai", "anthropic")
EMBEDDING_WIRES = ("ollama", "openai")
RERANKING_WIRES = ("openai",)
CLOUD_KINDS = ("vast", "tensordock", "runpod", "lambda")
"""Where machines are rented. Those of the user's own stand beside them, see `ssh_cloud`."""


def load(wires: Iterable[str]) -> None:
    """Import these adapters, which takes a tenth of a second: for a thread, before the first is asked for."""
    from importlib import import_module

    for wire in wires:
        import_module(f"providers.chat.{wire}")


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
            raise _unknown("wire", wire, host.name, WIRES)


def embedding_provider(wire: str, host: Host, clock: Sleeper) -> EmbeddingProvider:
    """The embeddings of this wire, at this host. Nothing is connected."""
    match wire:
        case "ollama":
            from providers.embeddings import OllamaEmbeddings

            return OllamaEmbeddings(host, clock)
        case "openai":
            from providers.embeddings import OpenAIEmbeddings

            return OpenAIEmbeddings(host, clock)
        case _:
            raise _unknown("wire", wire, host.name, EMBEDDING_WIRES)


def rerank_provider(wire: str, host: Host) -> RerankProvider:
    """What ranks passages at this host. Nothing is connected."""
    match wire:
        case "openai":
            from providers.rerank import Reranking

            return Reranking(host)
        case _:
            raise _unknown("wire", wire, host.name, RERANKING_WIRES)


def cloud(kind: str, host: CloudHost, clock: Clock) -> Cloud:
    """The adapter for an account at this kind of cloud. Nothing is connected."""
    match kind:
        case "vast":
            from providers.clouds.vast import Vast

            return Vast(host, clock)
        case "tensordock":
            from providers.clouds.tensordock import TensorDock

            return TensorDock(host, clock)
        case "runpod":
            from providers.clouds.runpod import RunPod

            return RunPod(host, clock)
        case "lambda":
            from providers.clouds.lambda_cloud import LambdaCloud

            return LambdaCloud(host, clock)
        case _:
            raise _unknown("cloud", kind, host.name, CLOUD_KINDS)


def ssh_cloud(hosts: Sequence[SshHost], clock: Clock) -> Cloud:
    """The machines of the user's own, as one cloud."""
    from providers.clouds.ssh_host import SshHosts

    return SshHosts(hosts, clock)


def _unknown(what: str, word: str, name: str, known: Sequence[str]) -> RequestRefused:
    from difflib import get_close_matches

    nearest = get_close_matches(word, known, n=1, cutoff=0.3)
    return RequestRefused(
        f"There is no {what} {word!r} (set for {name!r}).",
        hint=f"Did you mean {nearest[0]!r}?" if nearest else f"The {what}s are {', '.join(known)}.",
    )
