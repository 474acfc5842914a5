"""An Ollama server: its own API with models that are pulled, loaded and unloaded, and its OpenAI-compatible face."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring  # the C writer of JSON strings
from typing import Any, ClassVar

from providers.simulated.answers import Question, Reply, Tool, Turn, count_tokens
from providers.simulated.base import RefusedError, Segment, Sending, SimulatedService, compact
from providers.simulated.faults import ActiveFaults, FaultKind
from providers.simulated.http_server import Exchange, Headers, Request
from providers.simulated.models import GB, INSTALLED_BY_DEFAULT, OLLAMA_LIBRARY, SimulatedModel, find
from providers.simulated.openai import (
    Completion,
    embedding_list,
    embedding_texts,
    error_object,
    read_question,
    stream_error,
)
from providers.simulated.vectors import embed, unit

VERSION = "0.12.6"

_KEEP_ALIVE_S = 300.0
_FOR_EVER_S = 290 * 365 * 86_400.0
_DEFAULT_CONTEXT = 4_096
_PROGRESS_STEPS = 20
_PROGRESS_EVERY_S = 0.06
_DURATION = re.compile(r"([\d.]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DONE = {"stop": "stop", "stop_sequence": "stop", "length": "length", "tool_calls": "stop", "refused": "stop"}
_USUAL = {
    429: "too many requests",
    500: "llama runner process has terminated: exit status 2",
    503: "server busy, please try again.  maximum pending requests exceeded",
}
_TEMPLATE = "{{- range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n"


@dataclass(slots=True)
class _Loaded:
    model: SimulatedModel
    context_tokens: int
    ready: asyncio.Event
    expires_at: datetime
    used_at_s: float = 0.0
    busy: int = 0


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A question whose model is in memory."""

    name: str
    question: Question
    prompt_tokens: int
    reply: Reply
    load_ns: int
    started_s: float
    answered_as: Callable[[str, str, tuple[dict[str, Any], ...]], dict[str, Any]]
    """Text, thinking and tool calls as the fields of one line."""
    reports_usage: bool

    def tool_calls(self) -> tuple[dict[str, Any], ...]:
        return tuple(
            {
                "id": f"call_{hashlib.md5(f'{self.started_s}{index}'.encode(), usedforsecurity=False).hexdigest()[:8]}",
                "function": {"index": index, "name": use.name, "arguments": dict(use.arguments)},
            }
            for index, use in enumerate(self.reply.tool_calls)
        )


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
        self.library: tuple[SimulatedModel, ...] = tuple(library)
        self.installed: dict[str, SimulatedModel] = {}
        self.default_context = default_context
        self.vram_bytes = vram_bytes
        self.pulled_bytes: dict[str, int] = {}
        """By digest, how much of a layer an unfinished pull has brought already."""
        self._modified: dict[str, datetime] = {}
        self._systems: dict[str, str] = {}
        self._loaded: dict[str, _Loaded] = {}
        self._blobs: set[str] = set()
        for model_name in installed:
            self.install(model_name)
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

    # what it holds

    def install(self, name: str, model: SimulatedModel | None = None) -> None:
        """Have `name` on disk: a model of the library, or `model`."""
        name = _tagged(name)
        known = model or self.in_library(name)
        assert known is not None, f"{name!r} is not in the library"
        self.installed[name] = replace(known, name=name)
        self._modified[name] = self.clock.now()

    def in_library(self, name: str) -> SimulatedModel | None:
        """The library's model of that name; `:latest` is the first one listed of its family."""
        name = _tagged(name)
        exact = find(self.library, name)
        if exact is None and name.endswith(":latest"):
            base = name.removesuffix("latest")
            return next((model for model in self.library if model.name.startswith(base)), None)
        return exact

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the models in memory."""
        self._forget_expired()
        return tuple(name for name, one in self._loaded.items() if one.ready.is_set())

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

    # small answers

    async def _root(self, exchange: Exchange, faults: ActiveFaults) -> None:
        await exchange.reply(200, b"Ollama is running", content_type="text/plain; charset=utf-8")

    async def _version(self, exchange: Exchange, faults: ActiveFaults) -> None:
        await self.reply_json(exchange, {"version": VERSION})

    async def _tags(self, exchange: Exchange, faults: ActiveFaults) -> None:
        newest_first = sorted(self.installed, key=lambda name: self._modified[name], reverse=True)
        models = [
            {
                "name": name,
                "model": name,
                "modified_at": _rfc3339(self._modified[name]),
                "size": self.installed[name].size_bytes,
                "digest": self.installed[name].digest,
                "details": _details(self.installed[name]),
            }
            for name in newest_first
        ]
        await self.reply_json(exchange, {"models": models})

    async def _ps(self, exchange: Exchange, faults: ActiveFaults) -> None:
        self._forget_expired()
        ready = [one for one in self._loaded.values() if one.ready.is_set()]
        models = [
            {
                "name": one.model.name,
                "model": one.model.name,
                "size": _in_memory(one),
                "digest": one.model.digest,
                "details": _details(one.model),
                "expires_at": _rfc3339(one.expires_at),
                "size_vram": min(_in_memory(one), self.vram_bytes),
                "context_length": one.context_tokens,
            }
            for one in sorted(ready, key=lambda one: one.expires_at, reverse=True)
        ]
        await self.reply_json(exchange, {"models": models})

    async def _show(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model") or body.get("name"), faults)
        family = model.family
        information: dict[str, Any] = {
            "general.architecture": family,
            "general.basename": model.name.partition(":")[0],
            "general.file_type": 15,
            "general.parameter_count": _parameter_count(model),
            "general.quantization_version": 2,
            f"{family}.block_count": 32,
            f"{family}.context_length": model.context_tokens,
            f"{family}.embedding_length": model.dimension or 4_096,
            f"{family}.attention.head_count": 32,
            f"{family}.attention.head_count_kv": 8,
        }
        system = self._systems.get(model.name, "")
        await self.reply_json(
            exchange,
            {
                "license": "Simulated: for tests and demonstrations.",
                "modelfile": f'# Modelfile generated by "ollama show"\nFROM {model.name}\nTEMPLATE """{_TEMPLATE}"""\n',
                "parameters": 'stop                           "<|end|>"',
                "template": _TEMPLATE,
                **({"system": system} if system else {}),
                "details": _details(model),
                "model_info": information,
                "capabilities": sorted(model.capabilities, key=_CAPABILITY_ORDER.index),
                "modified_at": _rfc3339(self._modified[model.name]),
            },
        )

    # models on disk

    async def _pull(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            raise RefusedError(400, "invalid model name")
        model = None if FaultKind.MODEL_GONE in faults else self.in_library(name)
        if body.get("stream") is False:
            if model is None:
                raise RefusedError(500, "pull model manifest: file does not exist")
            self.install(name, model)
            await self.reply_json(exchange, {"status": "success"})
            return
        failed = [_line({"error": "pull model manifest: file does not exist"})]
        segments = [Segment(before=(_line({"status": "pulling manifest"}),))]
        for digest, size in model.layers if model else ():
            segments.append(self._layer(digest, size))

        def closing(_: Sending) -> list[bytes]:
            if model is None:
                return failed
            self.install(name, model)
            for digest, _size in model.layers:
                self.pulled_bytes.pop(digest, None)
            return [_line({"status": word}) for word in ("verifying sha256 digest", "writing manifest", "success")]

        sending = self._lines(segments, closing)
        sending.pace = self._steps_per_second(model)
        await self.send_stream(exchange, sending, faults)

    def _layer(self, digest: str, size: int) -> Segment:
        """A layer's progress from where an earlier pull left off. Each step counts as a token of the stream."""
        begin = self.pulled_bytes.get(digest, 0)
        steps = min(_PROGRESS_STEPS, size - begin) or 1
        marks = [str(begin + (size - begin) * step // steps) for step in range(steps + 1)]

        def encode(tokens: Sequence[str]) -> list[bytes]:
            lines = []
            for mark in tokens:
                completed = int(mark) if mark.isdecimal() else 0
                self.pulled_bytes[digest] = completed
                line: dict[str, Any] = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": size}
                lines.append(_line(line | ({"completed": completed} if completed else {})))
            return lines

        return Segment(marks, encode)

    def _steps_per_second(self, model: SimulatedModel | None) -> float:
        speed = self.speed.pull_bytes_per_second
        if not speed or model is None:
            return 0.0
        return _PROGRESS_STEPS * len(model.layers) / max(model.size_bytes / speed, _PROGRESS_EVERY_S)

    async def _create(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            raise RefusedError(400, "invalid model name")
        source = body.get("from")
        if not source and not body.get("files"):
            raise RefusedError(400, "neither 'from' or 'files' was specified")
        missing = next((blob for blob in (body.get("files") or {}).values() if blob not in self._blobs), None)
        if missing is not None:
            raise RefusedError(400, f'blob "{missing}" not found')
        parent = self._model(source, faults) if source else SimulatedModel(name, 1_000_000, "llama", "1B", "F16")
        self.install(name, replace(parent, name=_tagged(name)))
        self._systems[_tagged(name)] = str(body.get("system") or "")
        words = [f"using existing layer {parent.layers[0][0]}", "writing manifest", "success"]
        if body.get("stream") is False:
            await self.reply_json(exchange, {"status": "success"})
            return
        await self.send_stream(exchange, self._lines([], lambda _: [_line({"status": word}) for word in words]), faults)

    async def _copy(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        source, destination = str(body.get("source") or ""), str(body.get("destination") or "")
        if not destination:
            raise RefusedError(400, 'destination "" is invalid')
        model = self.installed.get(_tagged(source))
        if model is None:
            raise RefusedError(404, f'model "{source}" not found')
        self.install(destination, model)
        await exchange.reply(200)

    async def _delete(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model") or body.get("name"), faults)
        del self.installed[model.name]
        self._loaded.pop(model.name, None)
        await exchange.reply(200)

    async def _has_blob(self, exchange: Exchange, faults: ActiveFaults) -> None:
        digest = exchange.request.path.removeprefix("/api/blobs/")
        await exchange.reply(200 if digest in self._blobs else 404, content_type="")

    async def _take_blob(self, exchange: Exchange, faults: ActiveFaults) -> None:
        digest = exchange.request.path.removeprefix("/api/blobs/")
        got = "sha256:" + hashlib.sha256(exchange.request.body).hexdigest()
        if digest != got:
            raise RefusedError(400, f'digest mismatch, expected "{digest}", got "{got}"')
        self._blobs.add(digest)
        await exchange.reply(201, content_type="")

    def _model(self, name: Any, faults: ActiveFaults) -> SimulatedModel:
        if not isinstance(name, str) or not name:
            raise RefusedError(400, "model is required")
        model = None if FaultKind.MODEL_GONE in faults else self.installed.get(_tagged(name))
        if model is None:
            raise RefusedError(404, f"model '{name}' not found")
        return model

    # models in memory

    def _forget_expired(self) -> None:
        now = self.clock.now()
        for name in [name for name, one in self._loaded.items() if one.expires_at <= now and not one.busy]:
            del self._loaded[name]

    async def _load(self, model: SimulatedModel, context_tokens: int, keep_alive_s: float) -> _Loaded:
        """Have `model` in memory, waiting for it if it must come or is coming; a new context size loads it again."""
        self._forget_expired()
        one = self._loaded.get(model.name)
        if one is None or one.context_tokens != context_tokens:
            one = _Loaded(model, context_tokens, asyncio.Event(), self.clock.now() + timedelta(days=1))
            self._loaded[model.name] = one
            self._make_room(one)
            try:
                if self.speed.load_s:
                    await self.clock.sleep(self.speed.load_s)
            except asyncio.CancelledError:
                # As on a real server the load goes on without the one who asked; the next one finds it ready.
                one.ready.set()
                raise
            one.ready.set()
        await one.ready.wait()
        one.used_at_s = self.clock.monotonic()
        one.expires_at = self.clock.now() + timedelta(seconds=min(keep_alive_s, _FOR_EVER_S))
        return one

    def _make_room(self, wanted: _Loaded) -> None:
        """Put out the models unused for longest until the wanted one fits, or is alone."""
        others = sorted((one for one in self._loaded.values() if one is not wanted), key=lambda one: one.used_at_s)
        for one in others:
            if sum(_in_memory(each) for each in self._loaded.values()) <= self.vram_bytes:
                return
            if not one.busy:
                del self._loaded[one.model.name]

    def _unload(self, model: SimulatedModel) -> None:
        self._loaded.pop(model.name, None)

    # answers

    async def _chat(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        messages = body.get("messages") or []
        turns = tuple(
            Turn(str(message.get("role", "")), str(message.get("content") or ""), len(message.get("images") or ()))
            for message in messages
        )
        tools = tuple(
            Tool(function.get("name", ""), function.get("parameters"), function.get("description") or "")
            for tool in body.get("tools") or ()
            for function in [tool.get("function") or {}]
        )
        if tools and not model.can("tools"):
            raise RefusedError(400, f"registry.ollama.ai/library/{model.name} does not support tools")

        def fields(text: str, thinking: str, calls: tuple[dict[str, Any], ...]) -> dict[str, Any]:
            message: dict[str, Any] = {"role": "assistant", "content": text}
            if thinking:
                message["thinking"] = thinking
            if calls:
                message["tool_calls"] = list(calls)
            return {"message": message}

        await self._answer_question(exchange, faults, body, model, turns, tools, fields, "chat")

    async def _generate(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        prompt = str(body.get("prompt") or "")
        system = body.get("system")
        turns = (Turn("system", str(system)),) if system and prompt else ()
        if prompt:
            turns = (*turns, Turn("user", prompt, len(body.get("images") or ())))

        def fields(text: str, thinking: str, calls: tuple[dict[str, Any], ...]) -> dict[str, Any]:
            value: dict[str, Any] = {"response": text}
            return value | ({"thinking": thinking} if thinking else {})

        await self._answer_question(exchange, faults, body, model, turns, (), fields, "generate")

    async def _answer_question(
        self,
        exchange: Exchange,
        faults: ActiveFaults,
        body: dict[str, Any],
        model: SimulatedModel,
        turns: tuple[Turn, ...],
        tools: tuple[Tool, ...],
        fields: Callable[[str, str, tuple[dict[str, Any], ...]], dict[str, Any]],
        verb: str,
    ) -> None:
        started_s = self.clock.monotonic()
        name = str(body["model"])
        keep_alive_s = _keep_alive_s(body.get("keep_alive"))
        empty = {"model": name, "created_at": _rfc3339(self.clock.now()), **fields("", "", ()), "done": True}
        if not turns and keep_alive_s == 0:
            self._unload(model)
            await self.reply_json(exchange, empty | {"done_reason": "unload"})
            return
        think = body.get("think")
        if think and not model.can("thinking"):
            raise RefusedError(400, f'"{name}" does not support thinking')
        if not model.can("completion"):
            raise RefusedError(400, f'"{name}" does not support {verb}')
        options = body.get("options") or {}
        context = min(int(options.get("num_ctx") or self.default_context), model.context_tokens)
        one = await self._load(model, context, keep_alive_s)
        if not turns:
            await self.reply_json(exchange, empty | {"done_reason": "load"})
            return
        load_ns = int((self.clock.monotonic() - started_s) * 1e9) + 1_000_000
        one.busy += 1
        try:
            system = self._systems.get(model.name)
            if system and turns[0].role != "system":
                turns = (Turn("system", system), *turns)
            question = Question(
                model=name,
                turns=turns,
                tools=tools,
                schema=True if body.get("format") == "json" else body.get("format") or None,
                max_tokens=_num_predict(options),
                stop=_stop(options.get("stop")),
                seed=int(options.get("seed") or 0),
                thinks=model.can("thinking") and think is not False,
            )
            question, prompt_tokens = self._truncated(question, context, truncate=body.get("truncate") is not False)
            reply = self.answers.reply(question, faults)
            fault = faults.get(FaultKind.TRUNCATE)
            if fault is not None:
                prompt_tokens = min(prompt_tokens, fault.whole(64))
            usage = FaultKind.NO_USAGE not in faults
            prepared = _Prepared(name, question, prompt_tokens, reply, load_ns, started_s, fields, usage)
            if body.get("stream") is False:
                await self.send_whole(exchange, reply, lambda text: self._whole(prepared, text), faults)
            else:
                await self.send_stream(exchange, self._stream(prepared), faults)
        finally:
            one.busy -= 1
            one.used_at_s = self.clock.monotonic()
            one.expires_at = self.clock.now() + timedelta(seconds=min(keep_alive_s, _FOR_EVER_S))

    def _truncated(self, question: Question, context: int, *, truncate: bool) -> tuple[Question, int]:
        """As Ollama does it, silently: the oldest turns go first, then what is left is cut to the window."""
        turns = question.turns
        tokens = question.prompt_tokens
        if tokens > context and not truncate:
            raise RefusedError(400, "the input length exceeds the context length")
        while tokens > context and len(turns) > 1:
            oldest = next((n for n, turn in enumerate(turns[:-1]) if turn.role != "system"), None)
            if oldest is None:
                break
            turns = turns[:oldest] + turns[oldest + 1 :]
            question = replace(question, turns=turns)
            tokens = question.prompt_tokens
        return question, min(tokens, context)

    def _whole(self, prepared: _Prepared, text: str) -> dict[str, Any]:
        reply = prepared.reply
        sent = len(reply.thinking) + sum(1 for _ in reply.text)
        value = {"model": prepared.name, "created_at": _rfc3339(self.clock.now())}
        value |= prepared.answered_as(text, "".join(reply.thinking), prepared.tool_calls())
        return value | self._figures(prepared, sent, prepared.started_s)

    def _stream(self, prepared: _Prepared) -> Sending:
        reply = prepared.reply
        segments = [Segment(reply.thinking, self._encoder(prepared, "thinking"))] if reply.thinking else []
        calls = prepared.tool_calls()
        after = (self._open_line(prepared, prepared.answered_as("", "", calls)),) if calls else ()
        segments.append(Segment(reply.text, self._encoder(prepared, "text"), after=after))

        def closing(sending: Sending) -> list[bytes]:
            value = {"model": prepared.name, "created_at": _rfc3339(self.clock.now())}
            value |= prepared.answered_as("", "", ())
            return [_line(value | self._figures(prepared, sending.sent, sending.first_token_at_s))]

        return self._lines(segments, closing)

    def _lines(self, segments: Sequence[Segment], closing: Callable[[Sending], list[bytes]]) -> Sending:
        return Sending(
            segments,
            closing,
            "application/x-ndjson",
            error=lambda message: _line({"error": message or _USUAL[500]}),
            comment=b"\n",
            garbage=b"{this is no json\n",
        )

    def _open_line(self, prepared: _Prepared, fields: dict[str, Any]) -> bytes:
        return _line({"model": prepared.name, "created_at": _rfc3339(self.clock.now()), **fields, "done": False})

    def _encoder(self, prepared: _Prepared, kind: str) -> Callable[[Sequence[str]], list[bytes]]:
        """Tokens into lines; the time stamp is made once per batch, as the tokens of a batch leave together."""
        example = prepared.answered_as("\0", "", ()) if kind == "text" else prepared.answered_as("", "\0", ())

        def encode(tokens: Sequence[str]) -> list[bytes]:
            head, tail = self._open_line(prepared, example).decode().split('"\\u0000"')
            return [(head + _go_string(token) + tail).encode(errors="replace") for token in tokens]

        return encode

    def _figures(self, prepared: _Prepared, sent: int, first_token_at_s: float) -> dict[str, Any]:
        now_s = self.clock.monotonic()
        total_ns = int((now_s - prepared.started_s) * 1e9) + 1
        figures: dict[str, Any] = {
            "done": True,
            "done_reason": _DONE[prepared.reply.finish],
            "total_duration": max(total_ns, prepared.load_ns),
            "load_duration": prepared.load_ns,
        }
        if prepared.reports_usage:
            figures |= {
                "prompt_eval_count": prepared.prompt_tokens,
                "prompt_eval_duration": max(
                    int((first_token_at_s - prepared.started_s) * 1e9) - prepared.load_ns, 1_000
                ),
                "eval_count": sent + prepared.reply.tool_tokens,
                "eval_duration": max(int((now_s - first_token_at_s) * 1e9), 1_000),
            }
        return figures

    # embeddings

    async def _embed(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        started_s = self.clock.monotonic()
        model = self._embedder(body, faults)
        given = body.get("input")
        if not isinstance(given, str | list) or (
            isinstance(given, list) and not all(isinstance(one, str) for one in given)
        ):
            raise RefusedError(400, "invalid input type")
        texts = [given] if isinstance(given, str) else given
        await self._load(model, min(model.context_tokens, 8_192), _keep_alive_s(body.get("keep_alive")))
        counts = [count_tokens(text) for text in texts]
        if body.get("truncate") is False and any(count > model.context_tokens for count in counts):
            raise RefusedError(400, "the input length exceeds the context length")
        await self.wait_first_token(faults)
        vectors = [embed(text, model.dimension or 4_096) for text in texts if text]
        if body.get("dimensions"):
            vectors = [unit(vector[: int(body["dimensions"])]) for vector in vectors]
        await self.reply_json(
            exchange,
            {
                "model": body["model"],
                "embeddings": vectors,
                "total_duration": int((self.clock.monotonic() - started_s) * 1e9) + 1,
                "load_duration": 1_000_000,
                "prompt_eval_count": sum(min(count, model.context_tokens) for count in counts),
            },
        )

    async def _embeddings(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._embedder(body, faults)
        await self._load(model, min(model.context_tokens, 8_192), _keep_alive_s(body.get("keep_alive")))
        await self.wait_first_token(faults)
        prompt = str(body.get("prompt") or "")
        await self.reply_json(exchange, {"embedding": embed(prompt, model.dimension or 4_096) if prompt else []})

    def _embedder(self, body: dict[str, Any], faults: ActiveFaults) -> SimulatedModel:
        # Any model embeds on a real server; only a model made for it does so well.
        return self._model(body.get("model"), faults)

    # the OpenAI-compatible face

    async def _openai_models(self, exchange: Exchange, faults: ActiveFaults) -> None:
        data = [self._openai_entry(name) for name in self.installed]
        await self.reply_json(exchange, {"object": "list", "data": data})

    async def _openai_model(self, exchange: Exchange, faults: ActiveFaults) -> None:
        model = self._model(exchange.request.path.removeprefix("/v1/models/"), faults)
        await self.reply_json(exchange, self._openai_entry(model.name))

    def _openai_entry(self, name: str) -> dict[str, Any]:
        created = int(self._modified[name].timestamp())
        return {"id": name, "object": "model", "created": created, "owned_by": "library"}

    async def _openai_chat(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        if not model.can("completion"):
            raise RefusedError(400, f'"{body["model"]}" does not support chat')
        thinks = model.can("thinking") and body.get("reasoning_effort") != "none"
        question = read_question(body, thinks=thinks)
        one = await self._load(model, min(self.default_context, model.context_tokens), _KEEP_ALIVE_S)
        question, prompt_tokens = self._truncated(question, one.context_tokens, truncate=True)
        reply = self.answers.reply(question, faults)
        options = body.get("stream_options") or {}
        completion = Completion(
            id=f"chatcmpl-{self._random.randrange(1000)}",
            model=str(body["model"]),
            created=int(self.clock.now().timestamp()),
            flavour="ollama",
            reply=reply,
            prompt_tokens=prompt_tokens,
            usage_in_stream=bool(options.get("include_usage")),
            reports_usage=FaultKind.NO_USAGE not in faults,
            call_ids=tuple(f"call_{self.new_id(8).lower()}" for _ in reply.tool_calls),
        )
        if not body.get("stream"):
            await self.send_whole(exchange, reply, completion.whole, faults)
            return
        sending = Sending(
            completion.segments(),
            completion.closing,
            "text/event-stream",
            error=lambda message: stream_error(RefusedError(500, message or _USUAL[500]), completion),
            comment=b": keep-alive\n\n",
            garbage=b"data: {this is no json\n\n",
        )
        await self.send_stream(exchange, sending, faults)

    async def _openai_embeddings(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        model = self._model(body.get("model"), faults)
        model = replace(model, dimension=model.dimension or 4_096)
        await self._load(model, min(model.context_tokens, 8_192), _KEEP_ALIVE_S)
        await self.wait_first_token(faults)
        await self.reply_json(exchange, embedding_list(body, model, embedding_texts(body.get("input"))))


_CAPABILITY_ORDER = ("completion", "tools", "insert", "vision", "embedding", "thinking")


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _details(model: SimulatedModel) -> dict[str, Any]:
    families = [model.family, "clip"] if model.can("vision") else [model.family]
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.family,
        "families": families,
        "parameter_size": model.parameters,
        "quantization_level": model.quantization,
    }


def _parameter_count(model: SimulatedModel) -> int:
    number = float(model.parameters.rstrip("BM") or 0)
    return int(number * (1e9 if model.parameters.endswith("B") else 1e6))


def _in_memory(one: _Loaded) -> int:
    """Weights and about 128 kB for each token of context."""
    return one.model.size_bytes + one.context_tokens * 131_072


def _rfc3339(moment: datetime) -> str:
    """As Go writes times: UTC with nanoseconds and no zeros at the end of the fraction."""
    moment = moment.astimezone(UTC)
    fraction = f"{moment.microsecond:06d}".rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}Z"


def _line(value: dict[str, Any]) -> bytes:
    return compact(value) + b"\n"


def _go_string(text: str) -> str:
    """A JSON string as Go writes it, with the characters escaped that HTML would take for its own."""
    written: str = encode_basestring(text)
    if "<" in written or ">" in written or "&" in written:
        written = written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return written


def _keep_alive_s(given: Any) -> float:
    """Seconds of a number or of Go's duration words ("5m", "1h30m"); below zero is for ever."""
    if given is None:
        return _KEEP_ALIVE_S
    if isinstance(given, int | float):
        return _FOR_EVER_S if given < 0 else float(given)
    text = str(given)
    parts = _DURATION.findall(text)
    if "".join(number + unit_word for number, unit_word in parts) != text.lstrip("+-") and text.strip("+-") != "0":
        what = "missing unit in" if text.strip("+-").isdigit() else "invalid"
        raise RefusedError(400, f"time: {what} duration {json.dumps(text)}")
    seconds = sum(float(number) * _SECONDS[unit_word] for number, unit_word in parts)
    return _FOR_EVER_S if text.startswith("-") else seconds


def _num_predict(options: dict[str, Any]) -> int | None:
    given = options.get("num_predict")
    return None if given is None or int(given) < 0 else int(given)


def _stop(stop: Any) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())
