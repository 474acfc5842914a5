"""How Ollama writes: lines of JSON, times and text the way Go's library writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring  # the C writer of JSON strings
from typing import Any, Literal, TypeAlias

from providers.simulated.answers import Reply
from providers.simulated.models import SimulatedModel
from providers.simulated.pace import Clock
from providers.simulated.stream import Segment, Sending, compact

RUNNER_DIED = "llama runner process has terminated: exit status 2"

Shape: TypeAlias = Literal["chat", "generate"]

_DONE = {"stop": "stop", "stop_sequence": "stop", "length": "length", "tool_calls": "stop", "refused": "stop"}


@dataclass(frozen=True, slots=True)
class AnswerLines:
    """One answer as lines of /api/chat or /api/generate."""

    shape: Shape
    model: str
    reply: Reply
    clock: Clock
    prompt_tokens: int
    started_s: float
    load_ns: int
    call_ids: tuple[str, ...] = ()
    reports_usage: bool = True

    def whole(self, text: str) -> dict[str, Any]:
        reply = self.reply
        sent = len(reply.thinking) + sum(1 for _ in reply.text)
        value = self._head() | said(self.shape, text, "".join(reply.thinking), self._tool_calls())
        return value | self._figures(sent, self.started_s)

    def stream(self) -> Sending:
        reply = self.reply
        segments = [Segment(reply.thinking, self._encoder("thinking"))] if reply.thinking else []
        calls = self._tool_calls()
        after = (self._open_line(said(self.shape, calls=calls)),) if calls else ()
        return sending([*segments, Segment(reply.text, self._encoder("text"), after=after)], self._closing)

    def _closing(self, sending: Sending) -> list[bytes]:
        return [line(self._head() | said(self.shape) | self._figures(sending.sent, sending.first_token_at_s))]

    def _head(self) -> dict[str, Any]:
        return {"model": self.model, "created_at": rfc3339(self.clock.now())}

    def _open_line(self, content: dict[str, Any]) -> bytes:
        return line({**self._head(), **content, "done": False})

    def _encoder(self, kind: Literal["text", "thinking"]) -> Callable[[Sequence[str]], list[bytes]]:
        """Tokens into lines; the time stamp is made once per batch, as the tokens of a batch leave together."""
        example = said(self.shape, "\0") if kind == "text" else said(self.shape, thinking="\0")

        def encode(tokens: Sequence[str]) -> list[bytes]:
            head, tail = self._open_line(example).decode().split('"\\u0000"')
            return [(head + go_string(token) + tail).encode(errors="replace") for token in tokens]

        return encode

    def _tool_calls(self) -> list[dict[str, Any]]:
        return [
            {"id": call_id, "function": {"index": index, "name": use.name, "arguments": dict(use.arguments)}}
            for index, (call_id, use) in enumerate(zip(self.call_ids, self.reply.tool_calls, strict=True))
        ]

    def _figures(self, sent: int, first_token_at_s: float) -> dict[str, Any]:
        now_s = self.clock.monotonic()
        before_answer_ns = int((first_token_at_s - self.started_s) * 1e9)
        figures: dict[str, Any] = {
            "done": True,
            "done_reason": _DONE[self.reply.finish],
            "total_duration": max(int((now_s - self.started_s) * 1e9), self.load_ns) + 1,
            "load_duration": self.load_ns,
        }
        if self.reports_usage:
            figures |= {
                "prompt_eval_count": self.prompt_tokens,
                "prompt_eval_duration": max(before_answer_ns - self.load_ns, 1_000),
                "eval_count": sent + self.reply.tool_tokens,
                "eval_duration": max(int((now_s - first_token_at_s) * 1e9), 1_000),
            }
        return figures


def said(shape: Shape, text: str = "", thinking: str = "", calls: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """What a line says, under the names of its shape."""
    if shape == "generate":
        return {"response": text} | ({"thinking": thinking} if thinking else {})
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thinking:
        message["thinking"] = thinking
    if calls:
        message["tool_calls"] = list(calls)
    return {"message": message}


def sending(segments: Sequence[Segment], closing: Callable[[Sending], list[bytes]]) -> Sending:
    """A stream of lines with Ollama's ways to go wrong."""
    return Sending(
        segments,
        closing,
        "application/x-ndjson",
        error=lambda message: line({"error": message or RUNNER_DIED}),
        comment=b"\n",
        garbage=b"{this is no json\n",
    )


def line(value: dict[str, Any]) -> bytes:
    return compact(value) + b"\n"


def rfc3339(moment: datetime) -> str:
    """As Go writes times: UTC, no zeros at the end of the fraction."""
    moment = moment.astimezone(UTC)
    fraction = f"{moment.microsecond:06d}".rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}Z"


def go_string(text: str) -> str:
    """A JSON string as Go writes it, with the characters escaped that HTML would take for its own."""
    written: str = encode_basestring(text)
    if "<" in written or ">" in written or "&" in written:
        written = written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return written


def details(model: SimulatedModel) -> dict[str, Any]:
    families = [model.family, "clip"] if model.can("vision") else [model.family]
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.family,
        "families": families,
        "parameter_size": model.parameters,
        "quantization_level": model.quantization,
    }
