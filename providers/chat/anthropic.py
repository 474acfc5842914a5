"""The Anthropic wire: messages and their event stream.

An answer that must fit a schema is asked for as the arguments of a tool that has to be called: every model of the
house can do that, and the arguments come back as the text of the answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from providers.chat.answers import AnswerReader, answer, arguments_of, number, rows, table, tool_parts, words
from providers.chat.base import (
    ChatRequest,
    Delta,
    End,
    Finish,
    Host,
    JsonObject,
    LoadState,
    Message,
    ModelInfo,
    ToolCall,
    Usage,
)
from providers.http import client, read_json

if TYPE_CHECKING:
    import httpx

VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 8192
"""The wire wants a bound with every question; this one holds for a request that names none."""
LEAST_THINKING = 1024
MAX_PAGES = 20
_ANSWER_TOOL = "answer"
_FINISH = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "tool_use": Finish.TOOL_CALLS,
    "refusal": Finish.REFUSED,
}


class Anthropic:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._http: httpx.AsyncClient | None = None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = client(self._host, base_url=base_url(self._host), key_header=("x-api-key", ""))
            self._http.headers.setdefault("anthropic-version", VERSION)
        return self._http

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta | End, None]:
        return answer(
            self._client(),
            self._host,
            "v1/messages",
            body_of(request),
            lambda: AnthropicReader(self._host, request),
            _ask_differently,
        )

    async def models(self) -> list[ModelInfo]:
        found: list[ModelInfo] = []
        after = ""
        for _ in range(MAX_PAGES):
            from urllib.parse import quote

            page = table(
                await read_json(
                    self._client(),
                    self._host,
                    "GET",
                    f"v1/models?limit=1000{'&after_id=' + quote(after, safe='') if after else ''}",
                )
            )
            found += [model for row in rows(page.get("data")) if (model := _model(row)) is not None]
            last = words(page.get("last_id"))
            if page.get("has_more") is not True or last is None or last == after:
                break
            after = last
        return found

    async def load_state(self, model: str) -> LoadState:
        return LoadState.UNKNOWN

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None


def base_url(host: Host) -> str:
    return host.base_url.strip().rstrip("/").removesuffix("/messages").removesuffix("/v1")


def _model(row: JsonObject) -> ModelInfo | None:
    name = words(row.get("id"))
    if name is None:
        return None
    sees = table(table(row.get("capabilities")).get("image_input")).get("supported")
    return ModelInfo(
        name,
        context_tokens=number(row.get("max_input_tokens")),
        sees_images=sees if isinstance(sees, bool) else None,
    )


# ---- the question


def body_of(request: ChatRequest) -> JsonObject:
    instructions, messages = _messages(request.messages)
    limit = request.max_tokens or DEFAULT_MAX_TOKENS
    body: JsonObject = {"model": request.model, "max_tokens": limit, "messages": messages, "stream": True}
    if instructions:
        body["system"] = instructions
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.schema is not None:
        wanted = {
            "name": _ANSWER_TOOL,
            "description": "Give the answer in this form.",
            "input_schema": request.schema,
        }
        body["tools"] = [*body.get("tools", []), wanted]
        body["tool_choice"] = {"type": "tool", "name": _ANSWER_TOOL}
    elif request.thinking is False:
        body["thinking"] = {"type": "disabled"}
    elif request.thinking and limit > LEAST_THINKING:
        # A forced tool and thinking exclude each other, and thinking must leave room for the answer.
        body["thinking"] = {"type": "enabled", "budget_tokens": max(LEAST_THINKING, limit // 2)}
    body.update(request.params)
    return body


def _messages(messages: tuple[Message, ...]) -> tuple[str, list[JsonObject]]:
    """The instructions, which have their own field here, and the rest with neighbours of one role merged."""
    instructions = "\n\n".join(message.text for message in messages if message.role == "system" and message.text)
    merged: list[JsonObject] = []
    for message in messages:
        blocks = [] if message.role == "system" else _blocks(message)
        if not blocks:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += blocks
        else:
            merged.append({"role": role, "content": blocks})
    if merged and merged[-1]["role"] == "assistant" and merged[-1]["content"][-1].get("type") == "text":
        # An answer to be continued may not end in white space here.
        last = merged[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
        if not last["text"]:
            merged[-1]["content"].pop()
            merged = merged if merged[-1]["content"] else merged[:-1]
    return instructions, merged


def _blocks(message: Message) -> list[JsonObject]:
    import base64

    if message.tool_call_id is not None:
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}]
    blocks: list[JsonObject] = []
    for image in message.images:
        content = base64.b64encode(image.content).decode("ascii")
        source = {"type": "base64", "media_type": image.media_type, "data": content}
        blocks.append({"type": "image", "source": source})
    if message.text.strip():
        blocks.append({"type": "text", "text": message.text})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments_of(call)}
        for call in message.tool_calls
    ]
    return blocks


def _tool(tool: JsonObject) -> JsonObject:
    if "input_schema" in tool or ("type" in tool and "function" not in tool):
        return tool
    name, description, parameters = tool_parts(tool)
    return {"name": name, "description": description, "input_schema": parameters}


def _ask_differently(body: JsonObject, said: str) -> JsonObject | None:
    thinking = table(body.get("thinking"))
    if not thinking or "thinking" not in said:
        return None
    if thinking.get("type") == "enabled" and "adaptive" in said:
        # Newer models decide themselves how much they think.
        return {**body, "thinking": {"type": "adaptive"}}
    return {name: value for name, value in body.items() if name != "thinking"}


# ---- the answer


class AnthropicReader(AnswerReader):
    def __init__(self, host: Host, request: ChatRequest) -> None:
        super().__init__(host, request)
        self._tags = None  # this wire always tells thinking apart
        self._usage: JsonObject = {}
        self._model: str | None = None
        self._tool: tuple[str, str, Any] | None = None
        self._arguments: list[str] = []
        self._as_text = False
        self._answered_in_tool = False

    def event(self, name: bytes, payload: JsonObject) -> None:
        match payload.get("type"):
            case "content_block_delta":
                self._read_delta(table(payload.get("delta")))
            case "content_block_start":
                self._open_block(table(payload.get("content_block")))
            case "content_block_stop":
                self._close_block()
            case "message_start":
                message = table(payload.get("message"))
                self._model = words(message.get("model"))
                self._count(message.get("usage"))
            case "message_delta":
                self._stops(table(payload.get("delta")).get("stop_reason"))
                self._count(payload.get("usage"))
            case "message_stop":
                self.ended = True
            case "message":
                self._read_whole(payload)
            case "error":
                self.fails(payload)
            case _:
                if payload.get("error"):
                    self.fails(payload)

    def _read_delta(self, delta: JsonObject) -> None:
        match delta.get("type"):
            case "text_delta":
                self.says(delta.get("text"))
            case "thinking_delta":
                self.thinks(delta.get("thinking"))
            case "input_json_delta":
                part = delta.get("partial_json")
                if self._as_text:
                    self._answered_in_tool = self._answered_in_tool or bool(part)
                    self.says(part)
                elif isinstance(part, str):
                    self._arguments.append(part)
            case _:
                return  # signatures, citations and whatever comes next carry no text of the answer

    def _open_block(self, block: JsonObject) -> None:
        self._close_block()
        match block.get("type"):
            case "text":
                self.says(block.get("text"))
            case "thinking":
                self.thinks(block.get("thinking"))
            case "tool_use":
                self._tool = words(block.get("id")) or "", words(block.get("name")) or "", block.get("input")
                self._as_text = self.request.schema is not None and self._tool[1] == _ANSWER_TOOL
            case _:
                return

    def _close_block(self) -> None:
        if self._tool is None:
            return
        import json

        (identity, name, given), self._tool = self._tool, None
        arguments = "".join(self._arguments) or json.dumps(given if isinstance(given, dict) else {}, default=str)
        self._arguments.clear()
        if not self._as_text:
            self.calls(ToolCall(identity, name, arguments))
        elif not self._answered_in_tool:
            self._answered_in_tool = True
            self.says(arguments)
        self._as_text = False

    def _read_whole(self, message: JsonObject) -> None:
        self._model = words(message.get("model"))
        for block in rows(message.get("content")):
            self._open_block(block)
        self._close_block()
        self._count(message.get("usage"))
        self._stops(message.get("stop_reason"))
        self.ended = True

    def _stops(self, reason: Any) -> None:
        if isinstance(reason, str):
            self.finish_reason = _FINISH.get(reason, Finish.OTHER)

    def _count(self, usage: Any) -> None:
        self._usage = {**self._usage, **{key: value for key, value in table(usage).items() if value is not None}}

    def end(self) -> End:
        usage = self._usage
        fresh = number(usage.get("input_tokens"))
        cached = number(usage.get("cache_read_input_tokens"))
        written = number(usage.get("cache_creation_input_tokens"))
        finish = self.ending()
        if self._answered_in_tool and finish is Finish.TOOL_CALLS:
            finish = Finish.STOP
        return End(
            finish,
            Usage(
                input_tokens=None if fresh is None else fresh + (cached or 0) + (written or 0),
                output_tokens=number(usage.get("output_tokens")),
                cached_input_tokens=cached,
                cache_write_tokens=written,
                thinking_tokens=number(table(usage.get("output_tokens_details")).get("thinking_tokens")),
            ),
            model=self._model,
        )
