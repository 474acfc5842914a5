"""An Anthropic server: messages and their event stream, token counting, the list of models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring  # the C writer of JSON strings
from typing import Any, ClassVar
from urllib.parse import unquote

from providers.simulated.answers import Question, Reply, Tool, Turn, count_tokens
from providers.simulated.base import RefusedError, SimulatedService, objects
from providers.simulated.faults import ActiveFaults, FaultKind
from providers.simulated.http_server import Exchange, Headers, Request
from providers.simulated.models import ANTHROPIC_MODELS, SimulatedModel, find
from providers.simulated.stream import Segment, Sending, compact, event

_STOP = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "refused": "refusal",
}
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_USUAL = {
    429: "This request would exceed your organization's rate limit of 50 requests per minute.",
    500: "Internal server error",
    529: "Overloaded",
}
_LEAST_CACHED_TOKENS = 1_024
_LEAST_THINKING_TOKENS = 1_024
_INPUT_PIECE = 8
_CREATED = "2025-09-29T00:00:00Z"
_PING = event({"type": "ping"}, "ping")


@dataclass(frozen=True, slots=True)
class _Message:
    """One answer and what is said around it."""

    id: str
    model: str
    reply: Reply
    input_tokens: int
    cache_written: int
    cache_read: int
    tool_ids: tuple[str, ...]
    signature: str
    reports_usage: bool

    def usage(self, output_tokens: int) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "cache_creation_input_tokens": self.cache_written,
            "cache_read_input_tokens": self.cache_read,
            "output_tokens": output_tokens,
        }

    def full_usage(self, output_tokens: int) -> dict[str, Any]:
        parts = {"ephemeral_5m_input_tokens": self.cache_written, "ephemeral_1h_input_tokens": 0}
        return self.usage(output_tokens) | {"cache_creation": parts, "service_tier": "standard"}

    def value(self, content: list[dict[str, Any]], stop_reason: str | None, output_tokens: int) -> dict[str, Any]:
        value = {
            "model": self.model,
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": self.reply.stop_sequence if stop_reason else None,
        }
        return value | ({"usage": self.full_usage(output_tokens)} if self.reports_usage else {})

    def whole(self, text: str) -> dict[str, Any]:
        reply = self.reply
        content: list[dict[str, Any]] = []
        if reply.thinking:
            content.append({"type": "thinking", "thinking": "".join(reply.thinking), "signature": self.signature})
        if text:
            content.append({"type": "text", "text": text})
        for tool_id, use in zip(self.tool_ids, reply.tool_calls, strict=True):
            content.append({"type": "tool_use", "id": tool_id, "name": use.name, "input": dict(use.arguments)})
        output = len(reply.thinking) + sum(1 for _ in reply.text) + reply.tool_tokens
        return self.value(content, _STOP[reply.finish], output)

    def segments(self) -> list[Segment]:
        reply = self.reply
        start = event({"type": "message_start", "message": self.value([], None, 1)}, "message_start")
        segments = [Segment(before=(start,))]
        index = 0
        if reply.thinking:
            opening = _block_start(index, {"type": "thinking", "thinking": "", "signature": ""})
            signed = _delta(index, {"type": "signature_delta", "signature": self.signature})
            closing = (signed, _block_stop(index))
            segments.append(
                Segment(reply.thinking, _encoder(index, "thinking_delta", "thinking"), (opening, _PING), closing)
            )
            index += 1
        if reply.text:
            opening = _block_start(index, {"type": "text", "text": ""})
            before = (opening,) if reply.thinking else (opening, _PING)
            segments.append(Segment(reply.text, _encoder(index, "text_delta", "text"), before, (_block_stop(index),)))
            index += 1
        for tool_id, use in zip(self.tool_ids, reply.tool_calls, strict=True):
            block = {"type": "tool_use", "id": tool_id, "name": use.name, "input": {}}
            arguments = compact(use.arguments).decode()
            pieces = [
                "",
                *(arguments[first : first + _INPUT_PIECE] for first in range(0, len(arguments), _INPUT_PIECE)),
            ]
            fragments = tuple(_delta(index, {"type": "input_json_delta", "partial_json": piece}) for piece in pieces)
            segments.append(Segment(before=(_block_start(index, block), *fragments, _block_stop(index))))
            index += 1
        return segments

    def closing(self, sending: Sending) -> Sequence[bytes]:
        reason = {"stop_reason": _STOP[self.reply.finish], "stop_sequence": self.reply.stop_sequence}
        delta: dict[str, Any] = {"type": "message_delta", "delta": reason}
        if self.reports_usage:
            delta["usage"] = self.usage(sending.sent + self.reply.tool_tokens)
        return [event(delta, "message_delta"), event({"type": "message_stop"}, "message_stop")]


class SimulatedAnthropic(SimulatedService):
    """Anthropic. The key may come as `x-api-key` or as a bearer token, as the real service takes both."""

    wire: ClassVar[str] = "anthropic"
    key_prefix: ClassVar[str] = "sk-ant-sim-"

    def __init__(
        self,
        name: str = "anthropic",
        *,
        models: Sequence[SimulatedModel] = ANTHROPIC_MODELS,
        key: str | None = "",
        context_tokens: int | None = None,
        **common: Any,
    ) -> None:
        """`key=""` makes one; `context_tokens` narrows every model's window."""
        super().__init__(name, key=self.new_key() if key == "" else key, **common)
        self.models: list[SimulatedModel] = list(models)
        self.context_tokens = context_tokens
        self._cached: set[str] = set()
        self.route("POST", "/v1/messages", self._messages, answers=True)
        self.route("POST", "/v1/messages/count_tokens", self._count_tokens)
        self.route("GET", "/v1/models", self._list)
        self.route("GET", "/v1/models/*", self._retrieve)

    # errors

    def authorise(self, request: Request) -> None:
        given = request.headers.get("x-api-key")
        bearer = request.headers.get("authorization", "")
        if self.key is not None:
            if given is None and not bearer:
                raise RefusedError(401, "x-api-key header is required")
            if given is not None and given != self.key:
                raise RefusedError(401, "invalid x-api-key")
            if given is None and bearer != f"Bearer {self.key}":
                raise RefusedError(401, "invalid bearer token")
        if "anthropic-version" not in request.headers:
            raise RefusedError(400, "anthropic-version: header is required")

    async def refuse_route(self, exchange: Exchange, *, exists: bool) -> None:
        problem = RefusedError(405, "Method Not Allowed") if exists else RefusedError(404, "Not found")
        await self.reply_problem(exchange, problem)

    async def reply_problem(self, exchange: Exchange, problem: RefusedError, headers: Headers = ()) -> None:
        own = self._headers()
        value = {**_error(problem), "request_id": own[0][1]}
        await self.reply_json(exchange, value, status=problem.status, headers=[*headers, *own])

    def _headers(self) -> Headers:
        return [
            ("request-id", f"req_011C{self.new_id(20)}"),
            ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
        ]

    # models

    async def _list(self, exchange: Exchange, faults: ActiveFaults) -> None:
        query = exchange.request.query
        names = [model.name for model in self.models]
        first, last = 0, len(names)
        if query.get("after_id") in names:
            first = names.index(query["after_id"]) + 1
        if query.get("before_id") in names:
            last = names.index(query["before_id"])
        limit = query.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= 1000:
            raise RefusedError(400, "limit: Input should be between 1 and 1000")
        page = self.models[first:last][: int(limit)]
        await self.reply_json(
            exchange,
            {
                "data": [self._entry(model) for model in page],
                "has_more": len(page) < last - first,
                "first_id": page[0].name if page else None,
                "last_id": page[-1].name if page else None,
            },
            headers=self._headers(),
        )

    async def _retrieve(self, exchange: Exchange, faults: ActiveFaults) -> None:
        model = self._model(unquote(exchange.request.path).removeprefix("/v1/models/"), faults)
        await self.reply_json(exchange, self._entry(model), headers=self._headers())

    def _entry(self, model: SimulatedModel) -> dict[str, Any]:
        return {
            "type": "model",
            "id": model.name,
            "display_name": model.title or model.name,
            "created_at": _CREATED,
            "lifecycle": "active",
            "max_input_tokens": self._window(model),
            "max_tokens": model.max_output_tokens,
        }

    def _model(self, name: str, faults: ActiveFaults) -> SimulatedModel:
        model = None if FaultKind.MODEL_GONE in faults else find(self.models, name)
        if model is None:
            raise RefusedError(404, f"model: {name}")
        return model

    def _window(self, model: SimulatedModel) -> int:
        return min(model.context_tokens, self.context_tokens or model.context_tokens)

    # answers

    async def _count_tokens(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        _require(body, "messages", "model")
        self._model(str(body["model"]), faults)
        question = _read_question(body, thinks=False)
        await self.reply_json(exchange, {"input_tokens": question.prompt_tokens}, headers=self._headers())

    async def _messages(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        _require(body, "max_tokens", "messages", "model")
        if not isinstance(body["max_tokens"], int) or body["max_tokens"] < 1:
            raise RefusedError(400, "max_tokens: must be greater than or equal to 1")
        model = self._model(str(body["model"]), faults)
        if body["max_tokens"] > model.max_output_tokens:
            raise RefusedError(
                400,
                f"max_tokens: {body['max_tokens']} > {model.max_output_tokens}, which is the maximum allowed number of "
                f"output tokens for {model.name}",
            )
        question = _read_question(body, thinks=_thinks(body, model))
        if any(turn.images for turn in question.turns) and not model.can("vision"):
            raise RefusedError(400, f"'{model.name}' does not support image input.")
        counted = question.prompt_tokens
        if counted > self._window(model):
            raise RefusedError(400, f"prompt is too long: {counted} tokens > {self._window(model)} maximum")
        prompt_tokens = self.prompt_tokens(question, faults)
        written, read = self._cache(body, prompt_tokens)
        reply = self.answers.reply(question, faults)
        message = _Message(
            id=f"msg_01{self.new_id(22)}",
            model=model.reported_name,
            reply=reply,
            input_tokens=prompt_tokens - written - read,
            cache_written=written,
            cache_read=read,
            tool_ids=tuple(f"toolu_01{self.new_id(22)}" for _ in reply.tool_calls),
            signature=f"EqQB{self.new_id(96)}",
            reports_usage=FaultKind.NO_USAGE not in faults,
        )
        if not body.get("stream"):
            await self.send_whole(exchange, reply, message.whole, faults, self._headers())
            return
        sending = Sending(
            message.segments(),
            message.closing,
            "text/event-stream; charset=utf-8",
            headers=[*self._headers(), ("Cache-Control", "no-cache")],
            error=lambda text: event(_error(RefusedError(529, text)), "error"),
            comment=_PING,
            garbage=b"event: content_block_delta\ndata: {this is no json\n\n",
        )
        await self.send_stream(exchange, sending, faults)

    def _cache(self, body: Mapping[str, Any], prompt_tokens: int) -> tuple[int, int]:
        """Tokens written to the cache and read from it: all that stands before the last `cache_control` mark."""
        parts: list[Any] = [*(body.get("tools") or ())]
        system = body.get("system")
        parts += system if isinstance(system, list) else [system]
        for message in body["messages"]:
            content = message.get("content")
            parts += content if isinstance(content, list) else [content]
        marked = [n for n, part in enumerate(parts) if isinstance(part, dict) and part.get("cache_control")]
        if not marked:
            return 0, 0
        prefix = compact(parts[: marked[-1] + 1])
        tokens = min(count_tokens(prefix.decode()), prompt_tokens)
        if tokens < _LEAST_CACHED_TOKENS:
            return 0, 0
        mark = hashlib.sha256(str(body["model"]).encode() + prefix).hexdigest()
        if mark in self._cached:
            return 0, tokens
        self._cached.add(mark)
        return tokens, 0


def _require(body: dict[str, Any], *names: str) -> None:
    for name in names:
        if name not in body:
            raise RefusedError(400, f"{name}: Field required")
    messages = objects(body, "messages")
    if not messages:
        raise RefusedError(400, "messages: at least one message is required")
    for n, message in enumerate(messages):
        if message.get("role") not in ("user", "assistant"):
            raise RefusedError(400, f"messages.{n}.role: Input should be 'user' or 'assistant'")
        if not message.get("content"):
            raise RefusedError(400, f"messages.{n}: content must be non-empty")
        if not isinstance(message["content"], str):
            objects(message, "content")


def _read_question(body: Mapping[str, Any], *, thinks: bool) -> Question:
    turns = [turn for message in body["messages"] for turn in _turns(message)]
    system = body.get("system")
    if system:
        turns.insert(0, Turn("system", system if isinstance(system, str) else _text(system)))
    choice = body.get("tool_choice") or {"type": "auto"}
    kind = str(choice.get("type", "auto"))
    named = {"any": "required", "tool": choice.get("name", "required")}.get(kind, kind)
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    return Question(
        model=str(body["model"]),
        turns=tuple(turns),
        tools=tuple(
            Tool(str(tool.get("name", "")), tool.get("input_schema"), tool.get("description") or "")
            for tool in body.get("tools") or ()
        ),
        tool_choice=str(named),
        schema=wanted.get("schema") if wanted.get("type") == "json_schema" else None,
        max_tokens=body.get("max_tokens"),
        stop=tuple(body.get("stop_sequences") or ()),
        thinks=thinks,
    )


def _turns(message: Mapping[str, Any]) -> list[Turn]:
    """A message's turns: what tools brought back stands in a user's message, but is no word of the user."""
    content = message["content"]
    if isinstance(content, str):
        return [Turn(message["role"], content)]
    turns = []
    for block in content:
        if block.get("type") == "tool_result":
            result = block.get("content") or ""
            turns.append(Turn("tool", result if isinstance(result, str) else _text(result)))
    images = sum(1 for block in content if block.get("type") == "image")
    text = _text(content)
    if text or images:
        turns.append(Turn(message["role"], text, images))
    return turns or [Turn(message["role"], "")]


def _text(blocks: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _thinks(body: Mapping[str, Any], model: SimulatedModel) -> bool:
    thinking = body.get("thinking") or {"type": "disabled"}
    kind = thinking.get("type")
    if kind == "disabled":
        return False
    if not model.can("thinking"):
        raise RefusedError(400, f"'{model.name}' does not support thinking.")
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < _LEAST_THINKING_TOKENS:
            raise RefusedError(
                400,
                f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_LEAST_THINKING_TOKENS}",
            )
        if budget >= body["max_tokens"]:
            raise RefusedError(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    return True


def _error(problem: RefusedError) -> dict[str, Any]:
    kind = _KINDS.get(problem.status, "api_error")
    message = problem.message or _USUAL.get(problem.status, "Internal server error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def _block_start(index: int, block: Mapping[str, Any]) -> bytes:
    value = {"type": "content_block_start", "index": index, "content_block": block}
    return event(value, "content_block_start")


def _block_stop(index: int) -> bytes:
    return event({"type": "content_block_stop", "index": index}, "content_block_stop")


def _delta(index: int, delta: Mapping[str, Any]) -> bytes:
    return event({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")


def _encoder(index: int, kind: str, field: str) -> Callable[[Sequence[str]], list[bytes]]:
    """Tokens into delta events, everything but the token itself made beforehand."""
    pieces = _delta(index, {"type": kind, field: "\0"}).decode().split('"\\u0000"')

    def encode(tokens: Sequence[str]) -> list[bytes]:
        return [encode_basestring(token).join(pieces).encode(errors="replace") for token in tokens]

    return encode
