"""An OpenAI-compatible server: OpenAI itself, or one of those that speak its wire with an accent of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from json.encoder import encode_basestring  # the C writer of JSON strings
from typing import Any, ClassVar, Literal, TypeAlias
from urllib.parse import unquote

from providers.simulated.answers import Question, Reply, Tool, ToolUse, Turn, count_tokens
from providers.simulated.base import RefusedError, Segment, Sending, SimulatedService, compact, event
from providers.simulated.faults import ActiveFaults, FaultKind
from providers.simulated.http_server import Exchange, Headers, Request
from providers.simulated.models import (
    DEEPSEEK_MODELS,
    OPENAI_MODELS,
    OPENROUTER_MODELS,
    VLLM_MODELS,
    SimulatedModel,
    find,
)
from providers.simulated.vectors import as_base64, embed, unit

Flavour: TypeAlias = Literal["openai", "openrouter", "vllm", "deepseek", "ollama"]

_MODELS: dict[Flavour, tuple[SimulatedModel, ...]] = {
    "openai": OPENAI_MODELS,
    "openrouter": OPENROUTER_MODELS,
    "vllm": VLLM_MODELS,
    "deepseek": DEEPSEEK_MODELS,
    "ollama": (),
}
_FINISH = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "refused": "content_filter",
}
_ARGUMENT_PIECE = 8
_CREATED = 1_735_689_600

# Status → message, type and code in OpenAI's own words.
_USUAL: dict[int, tuple[str, str, str | None]] = {
    400: ("We could not parse the JSON body of your request.", "invalid_request_error", None),
    402: ("Insufficient Balance", "insufficient_quota", "insufficient_quota"),
    403: ("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"),
    429: (
        "Rate limit reached for requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 1s.",
        "requests",
        "rate_limit_exceeded",
    ),
    500: ("The server had an error while processing your request. Sorry about that!", "server_error", None),
    503: ("The engine is currently overloaded, please try again later", "service_unavailable_error", None),
}


@dataclass(frozen=True, slots=True)
class Completion:
    """All that is said about one answer around its tokens."""

    id: str
    model: str
    created: int
    flavour: Flavour
    reply: Reply
    prompt_tokens: int
    cached_tokens: int = 0
    hidden_thinking: bool = False
    usage_in_stream: bool = False
    reports_usage: bool = True
    price_input: Decimal = Decimal(0)
    price_output: Decimal = Decimal(0)
    call_ids: tuple[str, ...] = ()

    @property
    def thinking_field(self) -> str:
        return "reasoning" if self.flavour in ("openrouter", "ollama") else "reasoning_content"

    def usage(self, sent: int) -> dict[str, Any]:
        """The usage object, with `sent` tokens of text and thinking."""
        thinking = len(self.reply.thinking)
        output = sent + self.reply.tool_tokens
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": output,
            "total_tokens": self.prompt_tokens + output,
        }
        if self.flavour == "openai":
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens, "audio_tokens": 0}
            usage["completion_tokens_details"] = {
                "reasoning_tokens": thinking,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            }
        elif self.flavour == "openrouter":
            cost_input = self.price_input * self.prompt_tokens / 1_000_000
            cost_output = self.price_output * output / 1_000_000
            usage |= {
                "cost": float(cost_input + cost_output),
                "is_byok": False,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
                "cost_details": {
                    "upstream_inference_cost": None,
                    "upstream_inference_prompt_cost": float(cost_input),
                    "upstream_inference_completions_cost": float(cost_output),
                },
                "completion_tokens_details": {"reasoning_tokens": thinking, "image_tokens": 0},
            }
        elif self.flavour == "deepseek":
            usage |= {
                "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
                "completion_tokens_details": {"reasoning_tokens": thinking},
                "prompt_cache_hit_tokens": self.cached_tokens,
                "prompt_cache_miss_tokens": self.prompt_tokens - self.cached_tokens,
            }
        return usage

    def whole(self, text: str) -> dict[str, Any]:
        """The answer without a stream."""
        reply = self.reply
        message: dict[str, Any] = {"role": "assistant", "content": text or (None if reply.tool_calls else "")}
        if reply.thinking and not self.hidden_thinking:
            message[self.thinking_field] = "".join(reply.thinking)
        if self.flavour == "openai":
            message |= {"refusal": None, "annotations": []}
        if reply.tool_calls:
            calls = zip(self.call_ids, reply.tool_calls, strict=True)
            message["tool_calls"] = [_call(call_id, use) for call_id, use in calls]
        value = self._head("chat.completion")
        value["choices"] = [self._choice({"message": message}, _FINISH[reply.finish])]
        if self.reports_usage:
            value["usage"] = self.usage(len(reply.thinking) + sum(1 for _ in reply.text))
        return value

    def segments(self) -> list[Segment]:
        """The stream up to and without its last frames."""
        reply = self.reply
        opening_delta: dict[str, Any] = {"role": "assistant", "content": ""}
        if self.flavour == "openai":
            opening_delta["refusal"] = None
        opening = self._chunk(opening_delta)
        segments = [Segment(before=(opening,))]
        if reply.thinking and not self.hidden_thinking:
            segments.append(Segment(reply.thinking, self._encoder(self.thinking_field)))
        elif reply.thinking:
            # Thought, counted and paid for, but not shown: nothing is sent while it takes its time.
            segments.append(Segment(reply.thinking, lambda _: []))
        segments.append(Segment(reply.text, self._encoder("content"), after=self._tool_chunks()))
        return segments

    def closing(self, sending: Sending) -> Sequence[bytes]:
        frames = [self._chunk({}, _FINISH[self.reply.finish])]
        if self.reports_usage and (self.usage_in_stream or self.flavour == "openrouter"):
            value = self._head("chat.completion.chunk")
            value["choices"] = []
            value["usage"] = self.usage(sending.sent)
            frames.append(event(value))
        elif self.reports_usage and self.flavour == "deepseek":
            value = json.loads(frames.pop()[6:])
            value["usage"] = self.usage(sending.sent)
            frames.append(event(value))
        return [*frames, b"data: [DONE]\n\n"]

    def _head(self, kind: str) -> dict[str, Any]:
        head: dict[str, Any] = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        if self.flavour == "openai":
            head |= {"service_tier": "default", "system_fingerprint": "fp_simulated"}
        elif self.flavour == "ollama":
            head["system_fingerprint"] = "fp_ollama"
        elif self.flavour == "openrouter":
            head = {"id": self.id, "provider": "Simulated", **head}
        return head

    def _choice(self, content: dict[str, Any], finish: str | None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, **content}
        if self.flavour != "ollama":
            choice["logprobs"] = None
        choice["finish_reason"] = finish
        if self.flavour == "openrouter":
            choice["native_finish_reason"] = finish
        elif self.flavour == "vllm":
            choice["stop_reason"] = None
        return choice

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        value = self._head("chat.completion.chunk")
        value["choices"] = [self._choice({"delta": delta}, finish)]
        if self.usage_in_stream and self.flavour == "openai":
            value["usage"] = None
        return event(value)

    def _encoder(self, field: str) -> Callable[[Sequence[str]], list[bytes]]:
        """Tokens into chunks, everything but the token itself made beforehand."""
        delta: dict[str, Any] = {field: "\0"}
        if self.flavour == "openrouter":
            delta = {"role": "assistant", "content": "", **delta}
            if field == "reasoning":
                delta["reasoning_details"] = [{"type": "reasoning.text", "text": "\0", "format": "unknown", "index": 0}]
        pieces = self._chunk(delta).decode().split('"\\u0000"')

        def encode(tokens: Sequence[str]) -> list[bytes]:
            return [encode_basestring(token).join(pieces).encode(errors="replace") for token in tokens]

        return encode

    def _tool_chunks(self) -> tuple[bytes, ...]:
        """Each call opens with its id and name, then its arguments come in fragments; Ollama sends it in one piece."""
        frames: list[bytes] = []
        for index, (call_id, use) in enumerate(zip(self.call_ids, self.reply.tool_calls, strict=True)):
            call = _call(call_id, use)
            if self.flavour == "ollama":
                frames.append(self._chunk({"content": "", "tool_calls": [{"index": index, **call}]}))
                continue
            arguments = call["function"]["arguments"]
            call["function"]["arguments"] = ""
            frames.append(self._chunk({"tool_calls": [{"index": index, **call}]}))
            for first in range(0, len(arguments), _ARGUMENT_PIECE):
                fragment = {"index": index, "function": {"arguments": arguments[first : first + _ARGUMENT_PIECE]}}
                frames.append(self._chunk({"tool_calls": [fragment]}))
        return tuple(frames)


class SimulatedOpenAI(SimulatedService):
    """OpenAI (`flavour="openai"`), or a host that speaks its wire: OpenRouter, vLLM, DeepSeek."""

    wire: ClassVar[str] = "openai"
    key_prefix: ClassVar[str] = "sk-sim-"

    def __init__(
        self,
        name: str = "openai",
        *,
        flavour: Flavour = "openai",
        models: Sequence[SimulatedModel] | None = None,
        key: str | None = "",
        context_tokens: int | None = None,
        **common: Any,
    ) -> None:
        """`key=""` makes one; `context_tokens` narrows every model's window."""
        super().__init__(name, key=self.new_key() if key == "" else key, **common)
        self.flavour: Flavour = flavour
        self.models: list[SimulatedModel] = list(_MODELS[flavour] if models is None else models)
        self.context_tokens = context_tokens
        self._prefix = "/api/v1" if flavour == "openrouter" else "/v1"
        for path, handler in (
            ("/chat/completions", self._chat),
            ("/completions", self._completions),
            ("/embeddings", self._embeddings),
        ):
            self.route("POST", self._prefix + path, handler, answers=True)
        self.route("GET", self._prefix + "/models", self._list)
        self.route("GET", self._prefix + "/models/*", self._retrieve)

    @property
    def base_url(self) -> str:
        return self.root_url + self._prefix

    # errors

    def authorise(self, request: Request) -> None:
        if self.key is None or (self.flavour == "openrouter" and request.path.endswith("/models")):
            return
        given = request.headers.get("authorization", "")
        if given == f"Bearer {self.key}":
            return
        if self.flavour == "openrouter":
            raise RefusedError(401, "User not found." if given else "No auth credentials found")
        if self.flavour == "vllm":
            raise RefusedError(401, "Unauthorized")
        if not given:
            raise RefusedError(
                401,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )
        shown = given.removeprefix("Bearer ")
        shown = shown[:3] + "*" * max(len(shown) - 7, 0) + shown[-4:] if len(shown) > 7 else "*" * len(shown)
        raise RefusedError(
            401,
            f"Incorrect API key provided: {shown}. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
        )

    async def refuse_route(self, exchange: Exchange, *, exists: bool) -> None:
        request = exchange.request
        if self.flavour == "vllm":
            detail = "Method Not Allowed" if exists else "Not Found"
            await self.reply_json(exchange, {"detail": detail}, status=405 if exists else 404)
            return
        if exists:
            message = (
                f"Not allowed to {request.method} on {request.path}. (HINT: Perhaps you meant to use another method?)"
            )
            problem = RefusedError(405, message, code="method_not_supported")
        else:
            problem = RefusedError(404, f"Invalid URL ({request.method} {request.path})")
        await self.reply_problem(exchange, problem)

    async def reply_problem(self, exchange: Exchange, problem: RefusedError, headers: Headers = ()) -> None:
        await self.reply_json(
            exchange, self._error(problem), status=problem.status, headers=[*headers, *self._headers()]
        )

    def _error(self, problem: RefusedError) -> dict[str, Any]:
        return {"error": error_object(problem, self.flavour)}

    def _headers(self) -> Headers:
        if self.flavour == "openrouter":
            return [("X-Generation-Id", f"gen-{self.new_id(24)}")]
        if self.flavour == "openai":
            return [
                ("x-request-id", f"req_{self.new_id(32)}"),
                ("openai-version", "2020-10-01"),
                ("openai-processing-ms", "12"),
                ("x-ratelimit-limit-requests", "10000"),
                ("x-ratelimit-remaining-requests", "9999"),
            ]
        return [("x-request-id", self.new_id(32))]

    # models

    async def _list(self, exchange: Exchange, faults: ActiveFaults) -> None:
        entries = [self._entry(model) for model in self.models]
        value = {"data": entries} if self.flavour == "openrouter" else {"object": "list", "data": entries}
        await self.reply_json(exchange, value, headers=self._headers())

    async def _retrieve(self, exchange: Exchange, faults: ActiveFaults) -> None:
        name = unquote(exchange.request.path).removeprefix(f"{self._prefix}/models/")
        await self.reply_json(exchange, self._entry(self._model(name, faults)), headers=self._headers())

    def _entry(self, model: SimulatedModel) -> dict[str, Any]:
        if self.flavour == "openrouter":
            per_token = Decimal(1_000_000)
            inputs = ["text", "image"] if model.can("vision") else ["text"]
            return {
                "id": model.name,
                "canonical_slug": model.name,
                "name": model.title or model.name,
                "created": _CREATED,
                "context_length": model.context_tokens,
                "architecture": {
                    "modality": f"{'+'.join(inputs)}->text",
                    "input_modalities": inputs,
                    "output_modalities": ["text"],
                    "tokenizer": "Other",
                    "instruct_type": None,
                },
                "pricing": {
                    "prompt": f"{model.price_input / per_token:f}",
                    "completion": f"{model.price_output / per_token:f}",
                    "request": "0",
                    "image": "0",
                },
                "top_provider": {
                    "context_length": model.context_tokens,
                    "max_completion_tokens": model.max_output_tokens,
                    "is_moderated": False,
                },
                "supported_parameters": ["max_tokens", "temperature", "stop", "seed", "tools", "response_format"],
            }
        owner = {"openai": "system", "vllm": "vllm", "deepseek": "deepseek"}.get(self.flavour, "library")
        entry: dict[str, Any] = {"id": model.name, "object": "model", "created": _CREATED, "owned_by": owner}
        if self.flavour == "vllm":
            entry |= {"root": model.name, "parent": None, "max_model_len": self._window(model)}
        return entry

    def _model(self, name: Any, faults: ActiveFaults) -> SimulatedModel:
        if not isinstance(name, str) or not name:
            raise RefusedError(400, "you must provide a model parameter")
        model = None if FaultKind.MODEL_GONE in faults else find(self.models, name)
        if model is None:
            raise model_problem(name, self.flavour)
        return model

    def _window(self, model: SimulatedModel) -> int:
        return min(model.context_tokens, self.context_tokens or model.context_tokens)

    # answers

    async def _chat(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        if model.can("embedding"):
            raise RefusedError(
                404,
                "This is not a chat model and thus not supported in the v1/chat/completions endpoint.",
                param="model",
            )
        thinks = model.can("thinking") or model.can("hidden-thinking")
        question = read_question(body, thinks=thinks and _wants_thinking(body))
        if any(turn.images for turn in question.turns) and not model.can("vision"):
            raise self._no_images()
        prompt_tokens = self.prompt_tokens(question, faults)
        self._check_window(model, prompt_tokens, question.max_tokens or 0)
        reply = self.answers.reply(question, faults)
        stream = bool(body.get("stream"))
        options = body.get("stream_options") or {}
        completion = Completion(
            id=self._answer_id(),
            model=model.name,
            created=int(self.clock.now().timestamp()),
            flavour=self.flavour,
            reply=reply,
            prompt_tokens=prompt_tokens,
            hidden_thinking=model.can("hidden-thinking"),
            usage_in_stream=bool(options.get("include_usage")),
            reports_usage=FaultKind.NO_USAGE not in faults,
            price_input=model.price_input,
            price_output=model.price_output,
            call_ids=tuple(f"call_{self.new_id(24)}" for _ in reply.tool_calls),
        )
        if stream:
            await self.send_stream(exchange, self._sending(completion), faults)
        else:
            await self.send_whole(exchange, reply, completion.whole, faults, self._headers())

    def _answer_id(self) -> str:
        return f"gen-{self.new_id(24)}" if self.flavour == "openrouter" else f"chatcmpl-{self.new_id(29)}"

    def _sending(self, completion: Completion) -> Sending:
        patient = {"openrouter": b": OPENROUTER PROCESSING\n\n", "deepseek": b": keep-alive\n\n"}
        return Sending(
            completion.segments(),
            completion.closing,
            "text/event-stream" if self.flavour == "openrouter" else "text/event-stream; charset=utf-8",
            headers=[*self._headers(), ("Cache-Control", "no-cache")],
            error=lambda message: stream_error(RefusedError(500, message), completion),
            comment=b": keep-alive\n\n",
            garbage=b"data: {this is no json\n\n",
            head_first=self.flavour in patient,
            processing=patient.get(self.flavour, b""),
        )

    def _check_window(self, model: SimulatedModel, prompt_tokens: int, answer_tokens: int) -> None:
        window = self._window(model)
        if prompt_tokens + answer_tokens <= window:
            return
        if self.flavour == "openrouter":
            raise RefusedError(
                400,
                f"This endpoint's maximum context length is {window} tokens. However, you requested about "
                f"{prompt_tokens + answer_tokens} tokens ({prompt_tokens} of text input, {answer_tokens} in the "
                "output). Please reduce the length of either one.",
            )
        if self.flavour == "vllm" or prompt_tokens <= window:
            message = (
                f"This model's maximum context length is {window} tokens. However, you requested "
                f"{prompt_tokens + answer_tokens} tokens ({prompt_tokens} in the messages, {answer_tokens} in the "
                "completion). Please reduce the length of the messages or completion."
            )
        else:
            message = (
                f"This model's maximum context length is {window} tokens. However, your messages resulted in "
                f"{prompt_tokens} tokens. Please reduce the length of the messages."
            )
        raise RefusedError(400, message, code="context_length_exceeded", param="messages")

    def _no_images(self) -> RefusedError:
        if self.flavour == "openrouter":
            return RefusedError(404, "No endpoints found that support image input")
        return RefusedError(
            400,
            "Invalid content type. image_url is only supported by certain models.",
            param="messages.[0].content.[1].type",
        )

    async def _completions(self, exchange: Exchange, faults: ActiveFaults) -> None:
        """The old text completion, without a stream of its own words: `prompt` in, `text` out."""
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        prompt = body.get("prompt") or ""
        text = "".join(map(str, prompt)) if isinstance(prompt, list) else str(prompt)
        question = Question(
            model.name,
            (Turn("user", text),),
            max_tokens=body.get("max_tokens", 16),
            stop=_stop(body.get("stop")),
            seed=int(body.get("seed") or 0),
        )
        reply = self.answers.reply(question, faults)
        identity = f"cmpl-{self.new_id(29)}"
        created = int(self.clock.now().timestamp())
        prompt_tokens = self.prompt_tokens(question, faults)

        def value(text: str, finish: str | None, sent: int | None) -> dict[str, Any]:
            choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
            whole: dict[str, Any] = {
                "id": identity,
                "object": "text_completion",
                "created": created,
                "model": model.name,
            }
            whole["choices"] = [choice]
            if sent is not None and FaultKind.NO_USAGE not in faults:
                whole["usage"] = {
                    "prompt_tokens": prompt_tokens,
                    "completion_tokens": sent,
                    "total_tokens": prompt_tokens + sent,
                }
            return whole

        if not body.get("stream"):
            tokens = sum(1 for _ in reply.text)
            await self.send_whole(
                exchange, reply, lambda text: value(text, _FINISH[reply.finish], tokens), faults, self._headers()
            )
            return
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        sending = Sending(
            [Segment(reply.text, lambda tokens: [event(value(token, None, None)) for token in tokens])],
            lambda sending: [
                event(value("", _FINISH[reply.finish], None)),
                *([event(value("", None, sending.sent) | {"choices": []})] if wants_usage else []),
                b"data: [DONE]\n\n",
            ],
            "text/event-stream; charset=utf-8",
            headers=self._headers(),
            error=lambda message: event(self._error(RefusedError(500, message))),
            comment=b": keep-alive\n\n",
            garbage=b"data: {this is no json\n\n",
        )
        await self.send_stream(exchange, sending, faults)

    async def _embeddings(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        if not model.can("embedding"):
            raise RefusedError(403, "You are not allowed to generate embeddings from this model")
        texts = embedding_texts(body.get("input"))
        for text in texts:
            if count_tokens(text) > self._window(model):
                raise RefusedError(
                    400,
                    f"This model's maximum context length is {self._window(model)} tokens, however you requested "
                    f"{count_tokens(text)} tokens. Please reduce your prompt; or completion length.",
                )
        await self.wait_first_token(faults)
        await self.reply_json(exchange, embedding_list(body, model, texts), headers=self._headers())


def read_question(body: Mapping[str, Any], *, thinks: bool) -> Question:
    """A chat completion request in words of no wire; raises RefusedError."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise RefusedError(
            400, "Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages"
        )
    if not messages:
        raise RefusedError(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            code="empty_array",
            param="messages",
        )
    tools = []
    for tool in body.get("tools") or ():
        function = tool.get("function") or {}
        tools.append(Tool(function.get("name", ""), function.get("parameters"), function.get("description") or ""))
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        choice = (choice.get("function") or {}).get("name", "required")
    return Question(
        model=str(body["model"]),
        turns=tuple(_turn(message) for message in messages),
        tools=tuple(tools),
        tool_choice=str(choice),
        schema=_schema(body.get("response_format")),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=_stop(body.get("stop")),
        seed=int(body.get("seed") or 0),
        thinks=thinks,
    )


def _turn(message: Any) -> Turn:
    if not isinstance(message, dict) or "role" not in message:
        raise RefusedError(400, "Missing required parameter: 'messages[0].role'.", param="messages[0].role")
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text", "") for part in content if part.get("type") in ("text", "input_text")]
        images = sum(1 for part in content if part.get("type") in ("image_url", "input_image"))
        return Turn(message["role"], "\n".join(texts), images)
    return Turn(message["role"], str(content or ""))


def _schema(response_format: Any) -> Any:
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return schema
        case {"type": "json_object"}:
            return True
        case _:
            return None


def _stop(stop: Any) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def _wants_thinking(body: Mapping[str, Any]) -> bool:
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict):
        return reasoning.get("enabled", True) is not False and reasoning.get("effort") != "none"
    template = body.get("chat_template_kwargs") or {}
    return body.get("reasoning_effort") != "none" and template.get("enable_thinking", True) is not False


def _call(call_id: str, use: ToolUse) -> dict[str, Any]:
    arguments = compact(use.arguments).decode()
    return {"id": call_id, "type": "function", "function": {"name": use.name, "arguments": arguments}}


def embedding_texts(given: Any) -> list[str]:
    """The texts of an embedding request: one, several, or as token numbers; raises RefusedError."""
    match given:
        case str() if given:
            return [given]
        case [int(), *_]:
            return [" ".join(map(str, given))]
        case [_, *_]:
            return [" ".join(map(str, item)) if isinstance(item, list) else str(item) for item in given]
        case _:
            raise RefusedError(400, "'input' is a required property", param="input")


def embedding_list(body: Mapping[str, Any], model: SimulatedModel, texts: Sequence[str]) -> dict[str, Any]:
    vectors = [embed(text, model.dimension) for text in texts]
    wanted = body.get("dimensions")
    if wanted:
        vectors = [unit(vector[: int(wanted)]) for vector in vectors]
    packed = body.get("encoding_format") == "base64"
    tokens = sum(count_tokens(text) for text in texts)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": as_base64(vector) if packed else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": body["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def model_problem(name: str, flavour: Flavour) -> RefusedError:
    match flavour:
        case "openrouter":
            return RefusedError(400, f"{name} is not a valid model ID")
        case "vllm":
            return RefusedError(404, f"The model `{name}` does not exist.", param="model")
        case "deepseek":
            return RefusedError(400, "Model Not Exist", code="invalid_request_error")
        case "ollama":
            return RefusedError(404, f"model '{name}' not found")
        case _:
            message = f"The model `{name}` does not exist or you do not have access to it."
            return RefusedError(404, message, code="model_not_found")


def error_object(problem: RefusedError, flavour: Flavour) -> dict[str, Any]:
    """What stands under `error`, in the words of each host."""
    usual_message, kind, usual_code = _USUAL.get(problem.status, ("", "invalid_request_error", None))
    message = problem.message or usual_message or "Something went wrong."
    code = problem.code or (None if problem.message else usual_code)
    match flavour:
        case "openrouter":
            return {"message": message, "code": problem.status}
        case "vllm":
            name = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError"}
            kind = name.get(problem.status, "InternalServerError")
            return {"message": message, "type": kind, "param": problem.param, "code": problem.status}
        case "ollama":
            kind = {400: "invalid_request_error", 404: "not_found_error"}.get(problem.status, "api_error")
            return {"message": message, "type": kind, "param": None, "code": None}
        case _:
            return {"message": message, "type": kind, "param": problem.param, "code": code}


def stream_error(problem: RefusedError, completion: Completion) -> bytes:
    """An error after the answer began. OpenRouter puts it beside a choice that ended with "error"."""
    error = error_object(problem, completion.flavour)
    if completion.flavour != "openrouter":
        return event({"error": error})
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
    head = {"id": completion.id, "object": "chat.completion.chunk", "created": completion.created}
    return event({**head, "model": completion.model, "provider": "Simulated", "error": error, "choices": [choice]})
