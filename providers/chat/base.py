"""What a chat service is, whatever wire it speaks.

`ChatProvider.stream` yields `Delta`s and ends with exactly one `End`, or raises a `ProviderError`. Closing the
generator ends the request at the other side, so that a stopped answer stops costing. An adapter merges what one read
from the network brought into one `Delta`, so that a fast stream does not pay the way up the layers per token.

Values are named tuples: as immutable as frozen dataclasses and a seventh of their cost at start-up and per value.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from providers.reach import Reach

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


class Host:
    """Where a wire is spoken: one base URL and the key that belongs to it, and to it alone."""

    __slots__ = ("base_url", "connect_timeout_s", "headers", "key", "name", "reach")

    def __init__(
        self,
        name: str,
        base_url: str,
        key: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        connect_timeout_s: float = 5.0,
        reach: Reach | None = None,
    ) -> None:
        """With `reach` the base URL is only what the host hears that it is called; the connections come from there."""
        self.name = name
        self.base_url = base_url
        self.key = key
        self.headers = headers
        self.connect_timeout_s = connect_timeout_s
        self.reach = reach

    def __repr__(self) -> str:
        return f"Host({self.name!r}, {self.base_url!r})"  # neither the key nor headers, which may hold one


class Image(NamedTuple):
    media_type: str
    content: bytes


class ToolCall(NamedTuple):
    id: str
    name: str
    arguments: str
    """JSON as the model wrote it; it may be broken."""


class Message(NamedTuple):
    role: Role
    text: str
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class ChatRequest(NamedTuple):
    """One question with all that shapes its answer. `params` go to the wire as they are, under the wire's own names."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    params: Mapping[str, Any] = MappingProxyType({})
    schema: JsonObject | None = None
    tools: tuple[JsonObject, ...] = ()
    thinking: bool | None = None
    """True asks for it, False asks for none, None leaves it to the model."""
    context_tokens: int | None = None
    keep_alive: str | None = None


class Delta(NamedTuple):
    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Complete calls only: an adapter puts fragments together first."""


class Usage(NamedTuple):
    """Tokens as the server counted them; None where it did not say. `input_tokens` includes the cached ones."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    thinking_tokens: int | None = None


class Timings(NamedTuple):
    """How long the parts of a call took, as far as the wire tells."""

    connect_ms: float | None = None
    """None on a connection that was kept from an earlier call."""
    load_ms: float | None = None
    prompt_ms: float | None = None
    answer_ms: float | None = None


class End(NamedTuple):
    finish: Finish
    usage: Usage = Usage()
    model: str | None = None
    """The model as the server names it."""
    cost_usd: Decimal | None = None
    """What the host says it charged (OpenRouter); wins over any price table."""
    timings: Timings = Timings()


class ModelInfo(NamedTuple):
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
