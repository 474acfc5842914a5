"""An OpenAI-compatible server: OpenAI itself, or one of those that speak its wire with an accent of their own."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import unquote

from providers.simulated.answers import Question, Turn, count_tokens
from providers.simulated.base import RefusedError, SimulatedService
from providers.simulated.completions import (
    FINISH,
    Completion,
    Flavour,
    embedding_list,
    embedding_texts,
    error_object,
    model_problem,
    read_question,
    stop_words,
    wants_thinking,
)
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
from providers.simulated.stream import Segment, Sending, event

_MODELS: dict[Flavour, tuple[SimulatedModel, ...]] = {
    "openai": OPENAI_MODELS,
    "openrouter": OPENROUTER_MODELS,
    "vllm": VLLM_MODELS,
    "deepseek": DEEPSEEK_MODELS,
    "ollama": (),
}
_CREATED = 1_735_689_600


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
        if self.flavour == "openai" and model.can("hidden-thinking") and body.get("max_tokens") is not None:
            raise RefusedError(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                "instead.",
                code="unsupported_parameter",
                param="max_tokens",
            )
        thinks = model.can("thinking") or model.can("hidden-thinking")
        question = read_question(body, thinks=thinks and wants_thinking(body))
        if any(turn.images for turn in question.turns) and not model.can("vision"):
            raise self._no_images()
        prompt_tokens = self.prompt_tokens(question, faults)
        self._check_window(model, prompt_tokens, question.max_tokens or 0)
        reply = self.answers.reply(question, faults)
        stream = bool(body.get("stream"))
        options = body.get("stream_options") or {}
        completion = Completion(
            id=self._answer_id(),
            model=model.reported_name,
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
        chunks = completion.stream(
            "text/event-stream" if self.flavour == "openrouter" else "text/event-stream; charset=utf-8"
        )
        chunks.headers = [*self._headers(), ("Cache-Control", "no-cache")]
        chunks.head_first = self.flavour in patient
        chunks.processing = patient.get(self.flavour, b"")
        return chunks

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
            stop=stop_words(body.get("stop")),
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
                exchange, reply, lambda text: value(text, FINISH[reply.finish], tokens), faults, self._headers()
            )
            return
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        sending = Sending(
            [Segment(reply.text, lambda tokens: [event(value(token, None, None)) for token in tokens])],
            lambda sending: [
                event(value("", FINISH[reply.finish], None)),
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
        await self.send_value(exchange, embedding_list(body, model, texts, faults), faults, self._headers())
