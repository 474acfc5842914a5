"""An Ollama server: its own API with models that are pulled, loaded and unloaded, and its OpenAI-compatible face."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

from providers.simulated.answers import Question, Tool, Turn, count_tokens
from providers.simulated.base import RefusedError, SimulatedService, objects
from providers.simulated.completions import (
    Completion,
    embedding_list,
    embedding_texts,
    error_object,
    read_question,
    read_tools,
    stop_words,
    stream_error,
    wants_thinking,
)
from providers.simulated.faults import ActiveFaults, FaultKind
from providers.simulated.http_server import Exchange, Headers, Request
from providers.simulated.models import GB, INSTALLED_BY_DEFAULT, OLLAMA_LIBRARY, SimulatedModel
from providers.simulated.ollama_disk import Disk, lines_per_second, tagged
from providers.simulated.ollama_lines import RUNNER_DIED, AnswerLines, Shape, details, line, rfc3339, said, sending
from providers.simulated.ollama_memory import KEEP_ALIVE_S, LoadedModel, Memory, keep_alive_s
from providers.simulated.stream import Segment, Sending
from providers.simulated.vectors import embed, unit, with_faults

VERSION = "0.12.6"

_DEFAULT_CONTEXT = 4_096
_EMBEDDING_CONTEXT = 8_192
_WIDTH = 4_096
"""Length of the vectors of a model that is no embedder."""
_NO_MANIFEST = "pull model manifest: file does not exist"
_USUAL = {
    429: "too many requests",
    500: RUNNER_DIED,
    503: "server busy, please try again.  maximum pending requests exceeded",
}
_TEMPLATE = "{{- range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n"
_CAPABILITIES = ("completion", "tools", "insert", "vision", "embedding", "thinking")


class SimulatedOllama(SimulatedService):
    """Ollama on a machine with `vram_bytes`. It needs no key; with one, it stands behind a proxy that asks for it."""

    wire: ClassVar[str] = "ollama"
    json_type: ClassVar[str] = "application/json; charset=utf-8"

    def __init__(
        self,
        name: str = "ollama",
        *,
        installed: Sequence[str] = INSTALLED_BY_DEFAULT,
        library: Sequence[SimulatedModel] = OLLAMA_LIBRARY,
        default_context: int = _DEFAULT_CONTEXT,
        vram_bytes: int = 24 * GB,
        key: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(name, key=key, **common)
        self.default_context = default_context
        self.disk = Disk(self.clock, library, installed)
        self.memory = Memory(self.clock, vram_bytes)
        self._add_routes()

    def _add_routes(self) -> None:
        self.route("GET", "/", self._root)
        self.route("GET", "/api/version", self._version)
        self.route("GET", "/api/tags", self._tags)
        self.route("GET", "/api/ps", self._ps)
        self.route("POST", "/api/show", self._show)
        self.route("POST", "/api/chat", self._chat, answers=True)
        self.route("POST", "/api/generate", self._generate, answers=True)
        self.route("POST", "/api/embed", self._embed, answers=True)
        self.route("POST", "/api/embeddings", self._embeddings, answers=True)
        self.route("POST", "/api/pull", self._pull)
        self.route("POST", "/api/create", self._create)
        self.route("POST", "/api/copy", self._copy)
        self.route("DELETE", "/api/delete", self._delete)
        self.route("HEAD", "/api/blobs/*", self._has_blob)
        self.route("POST", "/api/blobs/*", self._take_blob)
        self.route("GET", "/v1/models", self._openai_models)
        self.route("GET", "/v1/models/*", self._openai_model)
        self.route("POST", "/v1/chat/completions", self._openai_chat, answers=True)
        self.route("POST", "/v1/embeddings", self._openai_embeddings, answers=True)

    @property
    def installed(self) -> tuple[str, ...]:
        """Names of the models on disk."""
        return tuple(self.disk.models)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the models in memory."""
        return tuple(one.model.name for one in self.memory.ready())

    # errors

    def authorise(self, request: Request) -> None:
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            raise RefusedError(401, "unauthorized")

    async def refuse_route(self, exchange: Exchange, *, exists: bool) -> None:
        body = b"405 method not allowed" if exists else b"404 page not found"
        await exchange.reply(405 if exists else 404, body, content_type="text/plain")

    async def reply_problem(self, exchange: Exchange, problem: RefusedError, headers: Headers = ()) -> None:
        message = problem.message or _USUAL.get(problem.status, "internal error")
        error: Any = message
        if exchange.request.path.startswith("/v1/"):
            error = error_object(RefusedError(problem.status, message), "ollama")
        await self.reply_json(exchange, {"error": error}, status=problem.status, headers=headers)

    # what it is and has

    async def _root(self, exchange: Exchange, faults: ActiveFaults) -> None:
        await exchange.reply(200, b"Ollama is running", content_type="text/plain; charset=utf-8")

    async def _version(self, exchange: Exchange, faults: ActiveFaults) -> None:
        await self.reply_json(exchange, {"version": VERSION})

    async def _tags(self, exchange: Exchange, faults: ActiveFaults) -> None:
        models = [
            {
                "name": model.name,
                "model": model.name,
                "modified_at": rfc3339(self.disk.modified[model.name]),
                "size": model.size_bytes,
                "digest": model.digest,
                "details": details(model),
            }
            for model in self.disk.newest_first()
        ]
        await self.reply_json(exchange, {"models": models})

    async def _ps(self, exchange: Exchange, faults: ActiveFaults) -> None:
        models = [
            {
                "name": one.model.name,
                "model": one.model.name,
                "size": one.size_bytes,
                "digest": one.model.digest,
                "details": details(one.model),
                "expires_at": rfc3339(one.expires_at),
                "size_vram": min(one.size_bytes, self.memory.vram_bytes),
                "context_length": one.context_tokens,
            }
            for one in self.memory.ready()
        ]
        await self.reply_json(exchange, {"models": models})

    async def _show(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model") or body.get("name"), faults)
        system = self.disk.systems.get(model.name)
        await self.reply_json(
            exchange,
            {
                "license": "Simulated: for tests and demonstrations.",
                "modelfile": f'# Modelfile generated by "ollama show"\nFROM {model.name}\nTEMPLATE """{_TEMPLATE}"""\n',
                "parameters": 'stop                           "<|end|>"',
                "template": _TEMPLATE,
                **({"system": system} if system else {}),
                "details": details(model),
                "model_info": _information(model),
                "capabilities": sorted(model.capabilities, key=_CAPABILITIES.index),
                "modified_at": rfc3339(self.disk.modified[model.name]),
            },
        )

    def _model(self, name: Any, faults: ActiveFaults) -> SimulatedModel:
        if not isinstance(name, str) or not name:
            raise RefusedError(400, "model is required")
        model = None if FaultKind.MODEL_GONE in faults else self.disk.find(name)
        if model is None:
            raise RefusedError(404, f"model '{name}' not found")
        return model

    # models on disk

    async def _pull(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            raise RefusedError(400, "invalid model name")
        model = None if FaultKind.MODEL_GONE in faults else self.disk.in_library(name)
        if body.get("stream") is False:
            if model is None:
                raise RefusedError(500, _NO_MANIFEST)
            self.disk.install(name, model)
            await self.reply_json(exchange, {"status": "success"})
            return

        def closing(_: Sending) -> list[bytes]:
            if model is None:
                return [line({"error": _NO_MANIFEST})]  # inside a 200, as the real one does
            self.disk.finish_pull(name, model)
            return _status_lines("verifying sha256 digest", "writing manifest", "success")

        layers = self.disk.pull(model) if model else []
        progress = sending([Segment(before=tuple(_status_lines("pulling manifest"))), *layers], closing)
        progress.pace = lines_per_second(model, self.speed.pull_bytes_per_second) if model else 0.0
        await self.send_stream(exchange, progress, faults)

    async def _create(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            raise RefusedError(400, "invalid model name")
        source, files = body.get("from"), body.get("files") or {}
        if not source and not files:
            raise RefusedError(400, "neither 'from' or 'files' was specified")
        missing = next((blob for blob in files.values() if blob not in self.disk.blobs), None)
        if missing is not None:
            raise RefusedError(400, f'blob "{missing}" not found')
        parent = self._model(source, faults) if source else SimulatedModel(name, 1_000_000, "llama", "1B", "F16")
        self.disk.install(name, parent)
        self.disk.systems[tagged(name)] = str(body.get("system") or "")
        if body.get("stream") is False:
            await self.reply_json(exchange, {"status": "success"})
            return
        words = (f"using existing layer {parent.layers[0][0]}", "writing manifest", "success")
        progress = sending([], lambda _: _status_lines(*words))
        progress.pace = 0.0
        await self.send_stream(exchange, progress, faults)

    async def _copy(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        source, destination = str(body.get("source") or ""), str(body.get("destination") or "")
        if not destination:
            raise RefusedError(400, 'destination "" is invalid')
        model = self.disk.find(source)
        if model is None:
            raise RefusedError(404, f'model "{source}" not found')
        self.disk.install(destination, model)
        await exchange.reply(200, content_type="")

    async def _delete(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model") or body.get("name"), faults)
        self.disk.delete(model.name)
        self.memory.unload(model.name)
        await exchange.reply(200, content_type="")

    async def _has_blob(self, exchange: Exchange, faults: ActiveFaults) -> None:
        digest = exchange.request.path.removeprefix("/api/blobs/")
        await exchange.reply(200 if digest in self.disk.blobs else 404, content_type="")

    async def _take_blob(self, exchange: Exchange, faults: ActiveFaults) -> None:
        digest = exchange.request.path.removeprefix("/api/blobs/")
        got = "sha256:" + hashlib.sha256(exchange.request.body).hexdigest()
        if digest != got:
            raise RefusedError(400, f'digest mismatch, expected "{digest}", got "{got}"')
        self.disk.blobs.add(digest)
        await exchange.reply(201, content_type="")

    # answers

    async def _chat(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        turns = tuple(
            Turn(str(message.get("role", "")), str(message.get("content") or ""), len(message.get("images") or ()))
            for message in objects(body, "messages")
        )
        tools = read_tools(body)
        if tools and not model.can("tools"):
            raise RefusedError(400, f"registry.ollama.ai/library/{model.name} does not support tools")
        await self._answer_question(exchange, faults, body, model, "chat", turns, tools)

    async def _generate(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        prompt, system = str(body.get("prompt") or ""), str(body.get("system") or "")
        turns: tuple[Turn, ...] = ()
        if prompt:
            turns = (Turn("user", prompt, len(body.get("images") or ())),)
            if system:
                turns = (Turn("system", system), *turns)
        await self._answer_question(exchange, faults, body, model, "generate", turns)

    async def _answer_question(
        self,
        exchange: Exchange,
        faults: ActiveFaults,
        body: dict[str, Any],
        model: SimulatedModel,
        shape: Shape,
        turns: tuple[Turn, ...],
        tools: tuple[Tool, ...] = (),
    ) -> None:
        started_s = self.clock.monotonic()
        name = str(body["model"])
        stay_s = keep_alive_s(body.get("keep_alive"))
        think = body.get("think")
        empty = {"model": name, "created_at": rfc3339(self.clock.now()), **said(shape), "done": True}
        if not turns and stay_s == 0:
            self.memory.unload(model.name)
            await self.reply_json(exchange, empty | {"done_reason": "unload"})
            return
        if think and not model.can("thinking"):
            raise RefusedError(400, f'"{name}" does not support thinking')
        if not model.can("completion"):
            raise RefusedError(400, f'"{name}" does not support {shape}')
        options = body.get("options") or {}
        context = min(int(options.get("num_ctx") or self.default_context), model.context_tokens)
        async with self._in_memory(model, context, stay_s) as loaded:
            if not turns:
                await self.reply_json(exchange, empty | {"done_reason": "load"})
                return
            load_ns = int((self.clock.monotonic() - started_s) * 1e9) + 1_000_000
            system = self.disk.systems.get(model.name)
            if system and turns[0].role != "system":
                turns = (Turn("system", system), *turns)
            question = Question(
                model=name,
                turns=turns,
                tools=tools,
                schema=True if body.get("format") == "json" else body.get("format") or None,
                max_tokens=_num_predict(options),
                stop=stop_words(options.get("stop")),
                seed=int(options.get("seed") or 0),
                thinks=model.can("thinking") and think is not False,
            )
            question = _truncated(question, loaded, truncate=body.get("truncate") is not False)
            reply = self.answers.reply(question, faults)
            lines = AnswerLines(
                shape=shape,
                model=name,
                reply=reply,
                clock=self.clock,
                prompt_tokens=min(self.prompt_tokens(question, faults), loaded.context_tokens),
                started_s=started_s,
                load_ns=load_ns,
                call_ids=tuple(self._call_id() for _ in reply.tool_calls),
                reports_usage=FaultKind.NO_USAGE not in faults,
            )
            if body.get("stream") is False:
                await self.send_whole(exchange, reply, lines.whole, faults)
            else:
                await self.send_stream(exchange, lines.stream(), faults)

    def _in_memory(
        self, model: SimulatedModel, context_tokens: int, stay_s: float = KEEP_ALIVE_S
    ) -> AbstractAsyncContextManager[LoadedModel]:
        return self.memory.use(model, context_tokens=context_tokens, keep_alive_s=stay_s, load_s=self.speed.load_s)

    def _call_id(self) -> str:
        return f"call_{self.new_id(8).lower()}"

    # embeddings

    async def _embed(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        started_s = self.clock.monotonic()
        model = self._model(body.get("model"), faults)
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RefusedError(400, "invalid input type")
        counts = [count_tokens(text) for text in texts]
        if body.get("truncate") is False and any(count > model.context_tokens for count in counts):
            raise RefusedError(400, "the input length exceeds the context length")
        async with self._embedding(model, keep_alive_s(body.get("keep_alive")), faults):
            vectors = [embed(text, model.dimension or _WIDTH) for text in texts if text]
            if body.get("dimensions"):
                vectors = [unit(vector[: int(body["dimensions"])]) for vector in vectors]
            reply = {
                "model": body["model"],
                "embeddings": with_faults(vectors, faults),
                "total_duration": int((self.clock.monotonic() - started_s) * 1e9) + 1,
                "load_duration": 1_000_000,
                "prompt_eval_count": sum(min(count, model.context_tokens) for count in counts),
            }
            await self.send_value(exchange, reply, faults)

    async def _embeddings(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        prompt = str(body.get("prompt") or "")
        async with self._embedding(model, keep_alive_s(body.get("keep_alive")), faults):
            vector = embed(prompt, model.dimension or _WIDTH) if prompt else []
            await self.reply_json(exchange, {"embedding": vector})

    @asynccontextmanager
    async def _embedding(self, model: SimulatedModel, stay_s: float, faults: ActiveFaults) -> AsyncIterator[None]:
        async with self._in_memory(model, min(model.context_tokens, _EMBEDDING_CONTEXT), stay_s):
            await self.wait_first_token(faults)
            yield

    # the OpenAI-compatible face

    async def _openai_models(self, exchange: Exchange, faults: ActiveFaults) -> None:
        data = [self._openai_entry(name) for name in self.installed]
        await self.reply_json(exchange, {"object": "list", "data": data})

    async def _openai_model(self, exchange: Exchange, faults: ActiveFaults) -> None:
        model = self._model(exchange.request.path.removeprefix("/v1/models/"), faults)
        await self.reply_json(exchange, self._openai_entry(model.name))

    def _openai_entry(self, name: str) -> dict[str, Any]:
        created = int(self.disk.modified[name].timestamp())
        return {"id": name, "object": "model", "created": created, "owned_by": "library"}

    async def _openai_chat(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        if not model.can("completion"):
            raise RefusedError(400, f'"{body["model"]}" does not support chat')
        question = read_question(body, thinks=model.can("thinking") and wants_thinking(body))
        async with self._in_memory(model, min(self.default_context, model.context_tokens)) as loaded:
            question = _truncated(question, loaded, truncate=True)
            reply = self.answers.reply(question, faults)
            completion = Completion(
                id=f"chatcmpl-{self.new_id(3)}",
                model=str(body["model"]),
                created=int(self.clock.now().timestamp()),
                flavour="ollama",
                reply=reply,
                prompt_tokens=min(self.prompt_tokens(question, faults), loaded.context_tokens),
                usage_in_stream=bool((body.get("stream_options") or {}).get("include_usage")),
                reports_usage=FaultKind.NO_USAGE not in faults,
                call_ids=tuple(self._call_id() for _ in reply.tool_calls),
            )
            if not body.get("stream"):
                await self.send_whole(exchange, reply, completion.whole, faults)
                return
            chunks = completion.stream("text/event-stream")
            chunks.error = lambda message: stream_error(RefusedError(500, message or RUNNER_DIED), completion)
            await self.send_stream(exchange, chunks, faults)

    async def _openai_embeddings(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        model = replace(model, dimension=model.dimension or _WIDTH)
        texts = embedding_texts(body.get("input"))
        async with self._embedding(model, KEEP_ALIVE_S, faults):
            await self.send_value(exchange, embedding_list(body, model, texts, faults), faults)


def _truncated(question: Question, loaded: LoadedModel, *, truncate: bool) -> Question:
    """Without a word, the oldest turns go until the prompt fits, or only instructions and the last turn are left."""
    excess = question.prompt_tokens - loaded.context_tokens
    if excess > 0 and not truncate:
        raise RefusedError(400, "the input length exceeds the context length")
    kept = list(question.turns)
    for turn in question.turns[:-1]:
        if excess <= 0:
            break
        if turn.role != "system":
            kept.remove(turn)
            excess -= turn.tokens
    return replace(question, turns=tuple(kept))


def _num_predict(options: dict[str, Any]) -> int | None:
    given = options.get("num_predict")
    return None if given is None or int(given) < 0 else int(given)


def _status_lines(*words: str) -> list[bytes]:
    return [line({"status": word}) for word in words]


def _information(model: SimulatedModel) -> dict[str, Any]:
    family = model.family
    number = float(model.parameters.rstrip("BM") or 0)
    return {
        "general.architecture": family,
        "general.basename": model.name.partition(":")[0],
        "general.file_type": 15,
        "general.parameter_count": int(number * (1e9 if model.parameters.endswith("B") else 1e6)),
        "general.quantization_version": 2,
        f"{family}.block_count": 32,
        f"{family}.context_length": model.context_tokens,
        f"{family}.embedding_length": model.dimension or _WIDTH,
        f"{family}.attention.head_count": 32,
        f"{family}.attention.head_count_kv": 8,
    }
