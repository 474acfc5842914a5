"""The Ollama wire: `/api/chat` as JSON lines, read by ourselves.

The official client is kept for administration (`ollama_admin.py`): its import takes longer than a short answer.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
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
    Timings,
    ToolCall,
    Usage,
)
from providers.errors import BadReply, ModelMissing, ProviderError
from providers.http import client, place, read_json

if TYPE_CHECKING:
    import httpx

    from providers.chat.ollama_admin import OllamaAdmin

LOAD_STATE_LIMIT_S = 2.0
_FINISH = {"stop": Finish.STOP, "length": Finish.LENGTH}
_BESIDE_OPTIONS = frozenset(
    {"format", "keep_alive", "think", "truncate", "shift", "logprobs", "top_logprobs", "tools", "raw", "template"}
)
"""Parameters of the request itself; every other one is an option of the model."""


class Ollama:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._http: httpx.AsyncClient | None = None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = client(self._host, base_url=base_url(self._host))
        return self._http

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta | End, None]:
        parts = answer(
            self._client(),
            self._host,
            "api/chat",
            body_of(request),
            lambda: OllamaReader(self._host, request),
            _ask_differently,
        )
        try:
            async with aclosing(parts):
                async for part in parts:
                    yield part
        except ModelMissing as error:
            error.hint = error.hint or f"Fetch it with: hawser model pull {self._host.name}/{request.model}"
            raise

    async def models(self) -> list[ModelInfo]:
        reply = await read_json(self._client(), self._host, "GET", "api/tags")
        return [model for row in rows(table(reply).get("models")) if (model := model_info(row)) is not None]

    async def loaded(self) -> frozenset[str]:
        """The models in memory, by every name they go by. The official client would say the same, at ten times the
        memory of this."""
        reply = await read_json(self._client(), self._host, "GET", "api/ps", limit_s=LOAD_STATE_LIMIT_S)
        if not isinstance(table(reply).get("models"), list):
            raise BadReply(f"{place(self._host)} does not say which models it has in memory.")
        names = {name for row in rows(reply["models"]) for key in ("name", "model") if (name := words(row.get(key)))}
        return frozenset(names | {full_name(name) for name in names})

    async def load_state(self, model: str) -> LoadState:
        try:
            loaded = await self.loaded()
        except ProviderError:
            return LoadState.UNKNOWN
        return LoadState.LOADED if full_name(model) in loaded else LoadState.LOADING

    def admin(self) -> OllamaAdmin:
        """Administration of the same host; the caller closes it."""
        from providers.chat.ollama_admin import OllamaAdmin

        return OllamaAdmin(self._host)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None


def base_url(host: Host) -> str:
    """The root of the service, also when the address of its API or of its OpenAI-compatible side was given."""
    return host.base_url.strip().rstrip("/").removesuffix("/api").removesuffix("/v1")


def full_name(model: str) -> str:
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def model_info(row: JsonObject) -> ModelInfo | None:
    name = words(row.get("name")) or words(row.get("model"))
    if name is None:
        return None
    details = table(row.get("details"))
    families = details.get("families")
    can = row.get("capabilities")
    sees: bool | None = None
    if isinstance(can, list):
        sees = "vision" in can
    elif isinstance(families, list) and {"clip", "mllama"} & {family for family in families if isinstance(family, str)}:
        sees = True
    return ModelInfo(
        name,
        size_bytes=number(row.get("size")),
        context_tokens=number(details.get("context_length")),
        family=words(details.get("family")),
        parameters=words(details.get("parameter_size")),
        quantization=words(details.get("quantization_level")),
        digest=words(row.get("digest")),
        sees_images=sees,
    )


# ---- the question


def body_of(request: ChatRequest) -> JsonObject:
    body: JsonObject = {"model": request.model, "messages": _messages(request.messages), "stream": True}
    options: JsonObject = {}
    for name, value in request.params.items():
        if name == "options" and isinstance(value, dict):
            options.update(value)
        elif name in _BESIDE_OPTIONS:
            body[name] = value
        else:
            options[name] = value
    if request.context_tokens is not None:
        options["num_ctx"] = request.context_tokens
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    if options:
        body["options"] = options
    if request.schema is not None:
        body["format"] = request.schema
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.thinking is not None:
        body["think"] = request.thinking and body.get("think", True)  # a parameter may say how much
    if request.keep_alive is not None:
        body["keep_alive"] = keep_alive(request.keep_alive)
    return body


def keep_alive(wish: str) -> str | int:
    """A bare number must go as a number: the server reads a string only with its unit ("5m")."""
    try:
        return int(wish)
    except ValueError:
        return wish


def _messages(messages: tuple[Message, ...]) -> list[JsonObject]:
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    written = []
    for message in messages:
        row: JsonObject = {"role": message.role, "content": message.text}
        if message.images:
            row["images"] = [base64.b64encode(image.content).decode("ascii") for image in message.images]
        if message.tool_calls:
            row["tool_calls"] = [
                {"function": {"name": call.name, "arguments": arguments_of(call)}} for call in message.tool_calls
            ]
        if message.tool_call_id is not None:
            row["tool_call_id"] = message.tool_call_id
            row["tool_name"] = names.get(message.tool_call_id, "")
        written.append(row)
    return written


def _tool(tool: JsonObject) -> JsonObject:
    name, description, parameters = tool_parts(tool)
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _ask_differently(body: JsonObject, said: str) -> JsonObject | None:
    if "think" in body and "does not support thinking" in said:
        return {name: value for name, value in body.items() if name != "think"}
    return None


# ---- the answer


class OllamaReader(AnswerReader):
    lines_of_json = True

    def __init__(self, host: Host, request: ChatRequest) -> None:
        super().__init__(host, request)
        self._last: JsonObject = {}
        self._number_of_calls = 0

    def event(self, name: bytes, payload: JsonObject) -> None:
        message = payload.get("message")
        if isinstance(message, dict):
            self.says(message.get("content"))
            self.thinks(message.get("thinking"))
            if "tool_calls" in message:
                self._read_calls(message["tool_calls"])
        elif payload.get("error"):
            self.fails(payload)
        if payload.get("done") is True:
            self._last = payload
            self.finish_reason = _FINISH.get(str(payload.get("done_reason", "stop")), Finish.OTHER)
            self.ended = True

    def _read_calls(self, calls: Any) -> None:
        import json

        for row in rows(calls):
            function = table(row.get("function"))
            arguments = function.get("arguments", {})
            self._number_of_calls += 1
            self.calls(
                ToolCall(
                    words(row.get("id")) or f"call_{self._number_of_calls}",
                    words(function.get("name")) or "",
                    arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
                )
            )

    def end(self) -> End:
        last = self._last
        return End(
            self.ending(),
            Usage(input_tokens=number(last.get("prompt_eval_count")), output_tokens=number(last.get("eval_count"))),
            model=words(last.get("model")),
            timings=Timings(
                load_ms=_milliseconds(last.get("load_duration")),
                prompt_ms=_milliseconds(last.get("prompt_eval_duration")),
                answer_ms=_milliseconds(last.get("eval_duration")),
            ),
        )


def _milliseconds(nanoseconds: Any) -> float | None:
    count = number(nanoseconds)
    return None if count is None else count / 1_000_000
