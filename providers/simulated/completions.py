"""The chat-completions wire: what it asks and how it answers, in OpenAI's words and the accents of others.

Used by `openai.py`, and by `ollama.py` for the OpenAI-compatible face that a real Ollama has on the same port.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from json.encoder import encode_basestring  # the C writer of JSON strings
from typing import Any, Literal, TypeAlias

from providers.simulated.answers import Question, Reply, Tool, ToolUse, Turn, count_tokens
from providers.simulated.base import RefusedError, objects
from providers.simulated.faults import ActiveFaults, FaultKind
from providers.simulated.models import SimulatedModel
from providers.simulated.stream import Segment, Sending, compact, event
from providers.simulated.vectors import as_base64, embed, unit, with_faults

Flavour: TypeAlias = Literal["openai", "openrouter", "vllm", "deepseek", "ollama"]


FINISH = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "refused": "content_filter",
}


_ARGUMENT_PIECE = 8


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
        value["choices"] = [self._choice({"message": message}, FINISH[reply.finish])]
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
        frames = [self._chunk({}, FINISH[self.reply.finish])]
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

    def stream(self, content_type: str) -> Sending:
        return Sending(
            self.segments(),
            self.closing,
            content_type,
            error=lambda message: stream_error(RefusedError(500, message), self),
            comment=b": keep-alive\n\n",
            garbage=b"data: {this is no json\n\n",
        )

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


def read_question(body: dict[str, Any], *, thinks: bool) -> Question:
    """A chat completion request in words of no wire; raises RefusedError."""
    if "messages" not in body:
        raise RefusedError(
            400, "Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages"
        )
    messages = objects(body, "messages")
    if not messages:
        raise RefusedError(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            code="empty_array",
            param="messages",
        )
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        choice = (choice.get("function") or {}).get("name", "required")
    return Question(
        model=str(body["model"]),
        turns=tuple(_turn(message) for message in messages),
        tools=read_tools(body),
        tool_choice=str(choice),
        schema=_schema(body.get("response_format")),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=stop_words(body.get("stop")),
        seed=int(body.get("seed") or 0),
        thinks=thinks,
    )


def read_tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    functions = [tool.get("function") or {} for tool in objects(body, "tools")]
    return tuple(
        Tool(str(function.get("name", "")), function.get("parameters"), function.get("description") or "")
        for function in functions
    )


def _turn(message: dict[str, Any]) -> Turn:
    if "role" not in message:
        raise RefusedError(400, "Missing required parameter: 'messages[0].role'.", param="messages[0].role")
    content = message.get("content")
    if isinstance(content, list):
        content = objects(message, "content")
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


def stop_words(stop: Any) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def wants_thinking(body: Mapping[str, Any]) -> bool:
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


def embedding_list(
    body: Mapping[str, Any], model: SimulatedModel, texts: Sequence[str], faults: ActiveFaults
) -> dict[str, Any]:
    vectors = [embed(text, model.dimension) for text in texts]
    wanted = body.get("dimensions")
    if wanted:
        vectors = [unit(vector[: int(wanted)]) for vector in vectors]
    numbered = list(enumerate(with_faults(vectors, faults)))
    if FaultKind.OTHER_ORDER in faults:
        numbered.reverse()
    packed = body.get("encoding_format") == "base64"
    tokens = sum(count_tokens(text) for text in texts)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": as_base64(vector) if packed else vector}
            for index, vector in numbered
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
