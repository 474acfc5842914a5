"""The OpenAI wire: chat completions, as OpenAI and everyone who speaks like it streams them.

Hosts differ in small ways, and this adapter bends to each: OpenRouter (cost, reasoning, errors inside a stream), vLLM,
TGI, llama.cpp, LiteLLM, LM Studio, DeepSeek, Groq, Mistral.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from providers.chat.answers import AnswerReader, answer, money, number, rows, table, tool_parts, words
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
    Timings,
    ToolCall,
    Usage,
)
from providers.http import client, read_json

if TYPE_CHECKING:
    import httpx

MAX_CALLS = 128
_MILLION = Decimal(1_000_000)
_FINISH = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,
    "eos_token": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "end_turn": Finish.STOP,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "tool_use": Finish.TOOL_CALLS,
    "content_filter": Finish.REFUSED,
    "refusal": Finish.REFUSED,
    "safety": Finish.REFUSED,
}


class OpenAI:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._http: httpx.AsyncClient | None = None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = client(self._host, base_url=base_url(self._host))
        return self._http

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta | End, None]:
        return answer(
            self._client(),
            self._host,
            "chat/completions",
            body_of(request),
            lambda: OpenAIReader(self._host, request),
            _ask_differently,
        )

    async def models(self) -> list[ModelInfo]:
        reply = await read_json(self._client(), self._host, "GET", "models")
        listed = reply if isinstance(reply, list) else table(reply).get("data") or table(reply).get("models")
        return [model for row in rows(listed) if (model := _model(row)) is not None]

    async def load_state(self, model: str) -> LoadState:
        return LoadState.UNKNOWN

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None


def base_url(host: Host) -> str:
    """With a version: an address without one gets `/v1`, one that has any (`/v4`, `/v1beta/openai`) keeps it."""
    root = host.base_url.strip().rstrip("/").removesuffix("/chat/completions")
    path = root.partition("://")[2].partition("/")[2]
    return root if any(re.fullmatch(r"v\d+\w*", part) for part in path.split("/")) else f"{root}/v1"


def _model(row: JsonObject) -> ModelInfo | None:
    name = words(row.get("id")) or words(row.get("name")) or words(row.get("model"))
    if name is None:
        return None
    meta, pricing = table(row.get("meta")), table(row.get("pricing"))
    context = (
        row.get("max_model_len")  # vLLM
        or row.get("context_length")  # OpenRouter, Together
        or row.get("context_window")  # Groq
        or row.get("max_context_length")  # Mistral, LM Studio
        or meta.get("n_ctx_train")  # llama.cpp
    )
    return ModelInfo(
        name,
        size_bytes=number(meta.get("size")),
        context_tokens=number(context),
        sees_images=_sees_images(row),
        price_input_usd_per_million=_per_million(pricing.get("prompt")),
        price_output_usd_per_million=_per_million(pricing.get("completion")),
    )


def _sees_images(row: JsonObject) -> bool | None:
    takes = table(row.get("architecture")).get("input_modalities")
    if isinstance(takes, list):
        return "image" in takes
    can = table(row.get("capabilities")).get("vision")
    return can if isinstance(can, bool) else None


def _per_million(usd_per_token: Any) -> Decimal | None:
    price = money(usd_per_token)
    return None if price is None else (price * _MILLION).normalize() + 0


# ---- the question


def body_of(request: ChatRequest) -> JsonObject:
    body: JsonObject = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.schema, "strict": True},
        }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    body.update(request.params)
    return body


def _message(message: Message) -> JsonObject:
    row: JsonObject = {"role": message.role, "content": message.text}
    if message.images:
        import base64

        parts: list[JsonObject] = [{"type": "text", "text": message.text}] if message.text else []
        for image in message.images:
            content = base64.b64encode(image.content).decode("ascii")
            parts.append({"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{content}"}})
        row["content"] = parts
    if message.tool_calls:
        row["content"] = message.text or None
        row["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        row["tool_call_id"] = message.tool_call_id
    return row


def _tool(tool: JsonObject) -> JsonObject:
    if "type" in tool and tool["type"] != "custom" and "input_schema" not in tool:
        return tool
    name, description, parameters = tool_parts(tool)
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _ask_differently(body: JsonObject, said: str) -> JsonObject | None:
    """A body for a host that does not know one of our parameters; OpenAI's newer models want another name for one."""
    if "stream_options" in body and ("stream_options" in said or "include_usage" in said):
        return {name: value for name, value in body.items() if name != "stream_options"}
    if "max_tokens" in body and "max_completion_tokens" in said and "max_completion_tokens" not in body:
        return {("max_completion_tokens" if name == "max_tokens" else name): value for name, value in body.items()}
    strict = table(table(body.get("response_format")).get("json_schema"))
    if strict.get("strict") and ("schema" in said or "strict" in said):
        # Strict mode takes a part of JSON Schema only; without it the host still gets the schema, and we validate.
        loose = {**strict, "strict": False}
        return {**body, "response_format": {"type": "json_schema", "json_schema": loose}}
    return None


# ---- the answer


class OpenAIReader(AnswerReader):
    def __init__(self, host: Host, request: ChatRequest) -> None:
        super().__init__(host, request)
        self._fragments: dict[int, list[str]] = {}
        self._usage: JsonObject = {}
        self._timings: JsonObject = {}
        self._model: str | None = None
        self._refused = False

    def event(self, name: bytes, payload: JsonObject) -> None:
        choices = payload.get("choices")
        broken = choices and isinstance(choices, list) and self._read_choice(choices[0])
        if payload.get("error") or (name == b"error" and not choices):
            self.fails(payload)
        if broken:
            self.fails(broken)
        if self._model is None:
            self._model = words(payload.get("model"))
        usage = payload.get("usage") or table(payload.get("x_groq")).get("usage")
        if usage and isinstance(usage, dict):
            self._usage = {**self._usage, **usage}
        if "timings" in payload:
            self._timings = table(payload["timings"])

    def _read_choice(self, choice: Any) -> JsonObject | None:
        """What a choice brings; a complaint if its host broke while it answered."""
        if not isinstance(choice, dict) or choice.get("index", 0) not in (0, None):
            return None
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            content = delta.get("content")
            if isinstance(content, str):
                self.says(content)
            elif content:
                self._read_parts(content)
            thinking = delta.get("reasoning_content") or delta.get("reasoning")
            if thinking:
                self.thinks(thinking)
            elif "reasoning_details" in delta:
                for detail in rows(delta["reasoning_details"]):
                    self.thinks(detail.get("text") or detail.get("summary"))
            if delta.get("refusal"):
                self._refused = True
                self.says(delta["refusal"])
            if delta.get("tool_calls"):
                self._read_calls(delta["tool_calls"])
        elif "text" in choice:
            self.says(choice["text"])
        reason = choice.get("finish_reason")
        if reason == "error":
            return choice if choice.get("error") else {"error": "the host behind it failed"}
        if reason:
            self.finish_reason = _FINISH.get(str(reason).lower(), Finish.OTHER)
        return None

    def _read_parts(self, parts: Any) -> None:
        for part in rows(parts):
            if part.get("type") == "thinking":
                for inner in rows(part.get("thinking")):
                    self.thinks(inner.get("text"))
            else:
                self.says(part.get("text"))

    def _read_calls(self, calls: Any) -> None:
        """Fragments of calls belong together by their index; a server that gives none sends whole calls."""
        for row in rows(calls):
            index = number(row.get("index"))
            function = table(row.get("function"))
            if index is None:
                index = max(self._fragments, default=-1) + 1
            if index not in self._fragments and len(self._fragments) >= MAX_CALLS:
                continue
            identity, name, arguments = self._fragments.setdefault(index, ["", "", ""])
            more = function.get("arguments")
            if more is not None and not isinstance(more, str):
                import json

                more = json.dumps(more, ensure_ascii=False, default=str)
            self._fragments[index] = [
                identity or words(row.get("id")) or "",
                name or words(function.get("name")) or "",
                arguments + (more or ""),
            ]

    def complete(self) -> None:
        for index, (identity, name, arguments) in sorted(self._fragments.items()):
            self.calls(ToolCall(identity or f"call_{index + 1}", name, arguments or "{}"))
        self._fragments.clear()

    def end(self) -> End:
        usage = self._usage
        before, after = table(usage.get("prompt_tokens_details")), table(usage.get("completion_tokens_details"))
        cached = before.get("cached_tokens")
        return End(
            Finish.REFUSED if self._refused else self.ending(),
            Usage(
                input_tokens=number(usage.get("prompt_tokens")),
                output_tokens=number(usage.get("completion_tokens")),
                cached_input_tokens=number(usage.get("prompt_cache_hit_tokens") if cached is None else cached),
                cache_write_tokens=number(before.get("cache_write_tokens")),
                thinking_tokens=number(after.get("reasoning_tokens")),
            ),
            model=self._model,
            cost_usd=money(usage.get("cost")),
            timings=Timings(
                prompt_ms=_milliseconds(self._timings.get("prompt_ms")),
                answer_ms=_milliseconds(self._timings.get("predicted_ms")),
            ),
        )


def _milliseconds(value: Any) -> float | None:
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12 else None
    )
