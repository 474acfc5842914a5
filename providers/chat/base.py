"""What a chat service is, whatever wire it speaks.

`ChatProvider.stream` yields `Delta`s and ends with exactly one `End`, or raises a `ProviderError`. Closing the
generator ends the request at the other side, so that a stopped answer stops costing. An adapter merges what one read
from the network brought into one `Delta`, so that a fast stream does not pay the way up the layers per token.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class Finish(StrEnum):
    """Why an answer ended, in our words; the adapters translate."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    REFUSED = "refused"
    OTHER = "other"


class LoadState(StrEnum):
    """Whether a model is ready to answer; UNKNOWN where the wire cannot say."""

    LOADED = "loaded"
    LOADING = "loading"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Host:
    """Where a wire is spoken: one base URL and the key that belongs to it, and to it alone."""

    name: str
    base_url: str
    key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Image:
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str
    """JSON as the model wrote it; it may be broken."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    text: str
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question with all that shapes its answer. `params` go to the wire as they are, under the wire's own names."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    schema: JsonObject | None = None
    tools: tuple[JsonObject, ...] = ()
    thinking: bool | None = None
    """True asks for it, False asks for none, None leaves it to the model."""
    context_tokens: int | None = None
    keep_alive: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Complete calls only: an adapter puts fragments together first."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; None where it did not say. `input_tokens` includes the cached ones."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    thinking_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ServerTimings:
    load_ms: float | None = None
    prompt_ms: float | None = None
    answer_ms: float | None = None


@dataclass(frozen=True, slots=True)
class End:
    finish: Finish
    usage: Usage = Usage()
    model: str | None = None
    """The model as the server names it."""
    cost_usd: Decimal | None = None
    """What the host says it charged (OpenRouter); wins over any price table."""
    timings: ServerTimings = ServerTimings()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model a host offers; None where the host does not say."""

    name: str
    size_bytes: int | None = None
    context_tokens: int | None = None
    family: str | None = None
    parameters: str | None = None
    quantization: str | None = None
    digest: str | None = None
    sees_images: bool | None = None
    price_input_usd_per_million: Decimal | None = None
    price_output_usd_per_million: Decimal | None = None


class ChatProvider(Protocol):
    """One host behind one wire. Made cheap: nothing is connected until the first call."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta | End, None]:
        """Answer. Connecting has the host's limit; the caller watches the first token and the time between tokens."""
        ...

    async def models(self) -> list[ModelInfo]:
        """What the host offers, within a few seconds or an error."""
        ...

    async def load_state(self, model: str) -> LoadState:
        """Whether the model is in memory; asked when the first token is late. Never raises."""
        ...

    async def close(self) -> None: ...
