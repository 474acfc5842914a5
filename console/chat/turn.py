"""A turn as values: the question with all that shapes its answer, the answer, and the fact that it ended."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from console.chat.attempts import AfterBreak, Tried
from providers.chat.base import Usage

if TYPE_CHECKING:
    from console.chat.attachments import Attachment
    from console.history.chats import Chat
    from console.history.messages import StoredAttachment, StoredMessage
    from console.history.sources import Source

State: TypeAlias = Literal["complete", "stopped", "failed"]


class Begun(NamedTuple):
    """A question and an answer to it that are in the store already; the answer is to be filled."""

    question_id: str
    answer_id: str


class Turn(NamedTuple):
    """One question with all that is to shape its answer."""

    text: str
    client: str
    """Which face asks: prompt, app, gateway."""
    material: str | None = None
    attachments: tuple[Attachment | StoredAttachment, ...] = ()
    chat: Chat | None = None
    parent_id: str | None = None
    """The message this one answers to; None means the active end of the chat."""
    model: str | None = None
    system: str | None = None
    params: Mapping[str, Any] = MappingProxyType({})
    """Under the wire's own names."""
    wishes: Mapping[str, Any] = MappingProxyType({})
    """Under the names of `parameters.py`; each backend gets those that it has."""
    schema: dict[str, Any] | None = None
    max_tokens: int | None = None
    thinking: bool | None = None
    max_cost_usd: Decimal | None = None
    allow_unknown_price: bool = False
    allow_fallback: bool = True
    after_break: AfterBreak | None = None
    """What to do when an answer breaks off after it began; None leaves it to the settings."""
    save: bool = True
    task: str = "chat"
    begun: Begun | None = None
    """Where whoever asks has stored the question and the empty answer. What is attached is read from there."""
    so_far: str = ""
    """What there is of the answer: it is to be continued, and what comes is only the rest."""
    earlier: Answer | None = None
    """What `so_far` took; it is added to what the rest takes."""
    collections: tuple[str, ...] = ()
    """The collections that passages are looked for in, by name."""
    documents: tuple[int, ...] = ()
    """Documents that passages are looked for in, where no collection is named."""
    without: tuple[bytes, ...] = ()
    """Hashes of chunks that are not to be given, beside those that were put away in the chat."""
    top_k: int | None = None
    """How many passages at most; None leaves it to the settings."""


class Answer(NamedTuple):
    """An answer as far as it is known; final once the events have ended."""

    text: str
    thinking: str
    finish: str | None
    """Why it ended, in the words of `Finish`; stopped or failed if it was cut; None while it runs."""
    endpoint: str | None
    model: str | None
    machine: str | None
    chat_id: str | None
    message_id: str | None
    usage: Usage
    estimated: bool
    cost_usd: Decimal | None
    gpu_usd: Decimal | None
    """What the machine cost for as long as the answer took; None where that is not known, 0 without a machine."""
    wake_ms: float | None
    connect_ms: float | None
    first_token_ms: float | None
    total_ms: float | None
    tried: tuple[Tried, ...]
    route: str
    sources: tuple[Source, ...] = ()
    """The passages that went with the question; known before the first token, checked once the answer is over."""
    document_notes: tuple[str, ...] = ()
    """What was said while they were looked for: that nothing fits, that a document could not be read."""

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens over the time they took; None when that is too short to mean anything."""
        return _speed(self.usage.output_tokens, self.first_token_ms, self.total_ms)

    def after(self, earlier: Answer) -> Answer:
        """This answer with what an earlier one for the same call took: tokens, money, time and tries."""
        mine, theirs = self.usage, earlier.usage
        costs, gpu = (self.cost_usd, earlier.cost_usd), (self.gpu_usd, earlier.gpu_usd)
        return self._replace(
            usage=mine._replace(
                input_tokens=_sum(mine.input_tokens, theirs.input_tokens),
                output_tokens=_sum(mine.output_tokens, theirs.output_tokens),
            ),
            estimated=self.estimated or earlier.estimated,
            cost_usd=None if None in costs else sum(filter(None, costs), Decimal(0)),
            gpu_usd=None if None in gpu else sum(filter(None, gpu), Decimal(0)),
            first_token_ms=earlier.first_token_ms,
            total_ms=(self.total_ms or 0) + (earlier.total_ms or 0),
            tried=(*earlier.tried, *self.tried),
        )

    def document(self) -> dict[str, Any]:
        """The fields of the JSON contract, in its order."""
        return {
            "text": self.text,
            "thinking": self.thinking or None,
            "model": self.model,
            "endpoint": self.endpoint,
            "machine": self.machine,
            "chat": self.chat_id,
            "finish": self.finish,
            "usage": {
                "input_tokens": self.usage.input_tokens,
                "output_tokens": self.usage.output_tokens,
                "estimated": self.estimated,
            },
            "cost_usd": {
                "tokens": self.cost_usd,
                "gpu": self.gpu_usd,
                "total": None if self.cost_usd is None or self.gpu_usd is None else self.cost_usd + self.gpu_usd,
            },
            "timings_ms": {
                "wake": _rounded(self.wake_ms),
                "connect": _rounded(self.connect_ms),
                "first_token": _rounded(self.first_token_ms),
                "total": _rounded(self.total_ms),
            },
            "tokens_per_s": self.tokens_per_s,
            "tried": [each.document() for each in self.tried],
            "sources": [source.document_form() for source in self.sources],
            "cached": False,
        }

    def summary(self) -> str:
        """One line for a person: who answered, how much, how fast, for how much."""
        mark = "~" if self.estimated else ""
        tokens = f"{mark}{self.usage.input_tokens or 0:,} in, {mark}{self.usage.output_tokens or 0:,} out"
        seconds = f"{(self.total_ms or 0) / 1000:.1f} s"
        speed = f", {self.tokens_per_s:g} tokens/s" if self.tokens_per_s else ""
        cost = "cost unknown" if self.cost_usd is None else f"${self.cost_usd:f}"
        return f"{self.endpoint}/{self.model} ({self.route}): {tokens}, {seconds}{speed}, {cost}"


NO_ANSWER = Answer(
    text="",
    thinking="",
    finish=None,
    endpoint=None,
    model=None,
    machine=None,
    chat_id=None,
    message_id=None,
    usage=Usage(),
    estimated=False,
    cost_usd=None,
    gpu_usd=Decimal(0),
    wake_ms=None,
    connect_ms=None,
    first_token_ms=None,
    total_ms=None,
    tried=(),
    route="",
)
"""Of a call that failed before anybody was asked."""


def tokens_per_s(message: StoredMessage) -> float | None:
    """How fast a stored answer was written; None when that is not known or was too short to mean anything."""
    return _speed(message.output_tokens, message.first_token_ms, message.total_ms)


def _speed(output_tokens: int | None, first_token_ms: float | None, total_ms: float | None) -> float | None:
    if not output_tokens or first_token_ms is None or total_ms is None:
        return None
    writing_s = (total_ms - first_token_ms) / 1000
    return round(output_tokens / writing_s, 1) if writing_s >= 0.05 else None


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
