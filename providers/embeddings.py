"""Vectors from elsewhere: the embedding requests of the Ollama and the OpenAI wire.

A long list is sent in batches. What was refused for being too many requests, or failed in a way that may pass, is sent
again after the time the service asks for, or a growing one. A batch that is refused as it is goes again in halves, and
a single text that is too long for the model goes again shortened: the vector of a text's beginning is better than none.
What comes back is looked at: as many vectors as texts, in their order, all of one size, nothing but numbers.
"""

from __future__ import annotations

import abc
import asyncio
import base64
import binascii
import json
import math
import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from providers.chat.answers import number, rows, table
from providers.chat.base import Host, JsonObject
from providers.errors import (
    BadReply,
    ContextTooLong,
    ProviderError,
    RateLimited,
    RequestRefused,
    ServiceFailed,
    TimedOut,
)
from providers.http import client, opened, place, read_body, read_json
from providers.refusals import inside_answer, refusal, unexpected

if TYPE_CHECKING:
    import httpx

LIMIT_S = 120.0
"""For one batch; a model may have to be loaded first, and a processor take its time over it."""
TRIES = 5
LONGEST_WAIT_S = 60.0
_BATCH_TEXTS = 64
_BATCH_CHARACTERS = 200_000
_MAX_REPLY = 32 * 1024 * 1024
_MAX_DIMENSION = 65_536
_SHORTER = 0.75
_LEAST_CHARACTERS = 32
_OPENAI_WINDOW = 8_191

_PREFIXES = {
    "nomic-embed-text": ("search_document: ", "search_query: "),
    "mxbai-embed-large": ("", "Represent this sentence for searching relevant passages: "),
}
"""What models were trained to see before a passage and before a question; a service does not add it."""


class Clock(Protocol):
    """The time between two tries."""

    async def sleep(self, seconds: float) -> None: ...


class Embedded(NamedTuple):
    vectors: list[array[float]]
    """One for each text, of 32-bit floats, as they came."""
    tokens: int | None
    """As the service counted them; None where it did not say."""


class EmbeddingProvider(Protocol):
    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        is_question: bool = False,
        dimension: int | None = None,
        tries: int = TRIES,
    ) -> Embedded:
        """Raises a `ProviderError`; `BadReply` for vectors of another size than `dimension`."""

    async def window_tokens(self, model: str) -> int | None:
        """How much of a text the model sees; None where the wire cannot say."""

    async def close(self) -> None: ...


class _Wire(abc.ABC):
    """What both wires do alike."""

    _path: str

    def __init__(self, host: Host, clock: Clock, base_url: str) -> None:
        self._host = host
        self._clock = clock
        self._base_url = base_url
        self._http: httpx.AsyncClient | None = None

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        is_question: bool = False,
        dimension: int | None = None,
        tries: int = TRIES,
    ) -> Embedded:
        prefix = prefix_of(model, is_question=is_question)
        vectors: list[array[float]] = []
        tokens: int | None = 0
        for batch in _batches([prefix + text for text in texts] if prefix else texts):
            embedded = await self._batch(model, batch, tries)
            vectors += embedded.vectors
            tokens = None if tokens is None or embedded.tokens is None else tokens + embedded.tokens
            expected = dimension or len(vectors[0])
            if other := next((len(vector) for vector in embedded.vectors if len(vector) != expected), None):
                raise BadReply(
                    f"{place(self._host)} sent vectors of {other} numbers where {expected} were expected.",
                    hint=f"Is {model!r} still the same model? `hawser rag reindex` embeds everything anew.",
                )
        return Embedded(vectors, tokens)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = client(self._host, base_url=self._base_url)
        return self._http

    async def _batch(self, model: str, texts: Sequence[str], tries: int) -> Embedded:
        try:
            return await self._patiently(model, texts, tries)
        except (ContextTooLong, RequestRefused) as refused:
            if len(texts) > 1:
                half = len(texts) // 2
                first = await self._batch(model, texts[:half], tries)
                second = await self._batch(model, texts[half:], tries)
                known = first.tokens is not None and second.tokens is not None
                return Embedded(
                    first.vectors + second.vectors, (first.tokens or 0) + (second.tokens or 0) if known else None
                )
            shorter = texts[0][: int(len(texts[0]) * _SHORTER)]
            if isinstance(refused, RequestRefused) or len(shorter) < _LEAST_CHARACTERS:
                raise
        return await self._batch(model, [shorter], tries)

    async def _patiently(self, model: str, texts: Sequence[str], tries: int) -> Embedded:
        for attempt in range(1, tries + 1):
            try:
                return await self._ask(model, texts)
            except ProviderError as error:
                wait_s = _wait_s(error, attempt)
                if attempt == tries or wait_s is None:
                    raise
            await self._clock.sleep(wait_s)
        raise AssertionError("the last try either answers or raises")

    async def _ask(self, model: str, texts: Sequence[str]) -> Embedded:
        # An empty text has no vector anywhere: some services refuse it, some leave it out.
        body = self._body(model, [text if text.strip() else " " for text in texts])
        reply = await self._json(self._path, body, model)
        vectors = self._vectors(reply, len(texts))
        if len(vectors) != len(texts):
            raise BadReply(f"{place(self._host)} sent {len(vectors)} vectors for {len(texts)} texts.")
        if len({len(vector) for vector in vectors}) > 1:
            raise BadReply(f"{place(self._host)} sent vectors of different sizes.")
        return Embedded(vectors, self._tokens(reply))

    async def _json(self, path: str, body: JsonObject, model: str) -> JsonObject:
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        where = place(self._host)
        try:
            async with (
                asyncio.timeout(LIMIT_S),
                opened(self._client(), self._host, "POST", path, content=content, limit_s=LIMIT_S) as response,
            ):
                if not response.is_success:
                    raise await refusal(response, self._host, model=model)
                answer = await read_body(response, self._host, _MAX_REPLY, limit_s=LIMIT_S)
        except TimeoutError as error:
            raise TimedOut(f"{where} did not answer within {LIMIT_S:g} s.", phase="total", limit_s=LIMIT_S) from error
        try:
            reply = json.loads(answer)
        except (ValueError, RecursionError) as error:
            raise unexpected(answer, self._host) from error
        if isinstance(reply, dict) and reply.get("error"):
            raise inside_answer(reply, self._host, model=model)
        return table(reply)

    def _vector(self, given: Any) -> array[float]:
        """One vector, as a list or as base64 of little-endian floats."""
        try:
            if isinstance(given, str):
                vector = array("f", base64.b64decode(given, validate=True))
                if sys.byteorder == "big":
                    vector.byteswap()
            else:
                vector = array("f", given)
        except (TypeError, ValueError, OverflowError, binascii.Error) as error:
            raise BadReply(f"{place(self._host)} sent a vector that is none.") from error
        if not 0 < len(vector) <= _MAX_DIMENSION:
            raise BadReply(f"{place(self._host)} sent a vector of {len(vector)} numbers.")
        if not all(map(math.isfinite, vector)) or not any(vector):
            raise BadReply(f"{place(self._host)} sent a vector without a direction.")
        return vector

    @abc.abstractmethod
    def _body(self, model: str, texts: list[str]) -> JsonObject: ...

    @abc.abstractmethod
    def _vectors(self, reply: JsonObject, expected: int) -> list[array[float]]:
        """Those in the reply, in the order of the texts; one more than expected is enough to see that it is wrong."""

    @abc.abstractmethod
    def _tokens(self, reply: JsonObject) -> int | None: ...


class OllamaEmbeddings(_Wire):
    _path = "api/embed"

    def __init__(self, host: Host, clock: Clock) -> None:
        from providers.chat.ollama import base_url

        super().__init__(host, clock, base_url(host))

    async def window_tokens(self, model: str) -> int | None:
        try:
            reply = await self._json("api/show", {"model": model}, model)
        except BadReply:
            return None  # something that speaks only this part of the wire
        about = table(reply.get("model_info"))
        return next((number(value) for name, value in about.items() if name.endswith(".context_length")), None)

    def _body(self, model: str, texts: list[str]) -> JsonObject:
        return {"model": model, "input": texts, "truncate": True}

    def _vectors(self, reply: JsonObject, expected: int) -> list[array[float]]:
        listed = reply.get("embeddings")
        if not isinstance(listed, list):
            raise BadReply(f"{place(self._host)} sent no vectors.")
        return [self._vector(given) for given in listed[: expected + 1]]

    def _tokens(self, reply: JsonObject) -> int | None:
        return number(reply.get("prompt_eval_count"))


class OpenAIEmbeddings(_Wire):
    _path = "embeddings"

    def __init__(self, host: Host, clock: Clock) -> None:
        from providers.chat.openai import base_url

        super().__init__(host, clock, base_url(host))

    async def window_tokens(self, model: str) -> int | None:
        """OpenAI's own models are known; other hosts say it in their list of models, if at all."""
        if model.startswith("text-embedding-"):
            return _OPENAI_WINDOW
        try:
            listed = rows(table(await read_json(self._client(), self._host, "GET", "models")).get("data"))
        except ProviderError:
            return None
        row = next((row for row in listed if row.get("id") == model), {})
        return number(row.get("max_model_len")) or number(row.get("context_length"))

    def _body(self, model: str, texts: list[str]) -> JsonObject:
        return {"model": model, "input": texts, "encoding_format": "base64"}

    def _vectors(self, reply: JsonObject, expected: int) -> list[array[float]]:
        """By their index, for they may come in another order."""
        listed = rows(reply.get("data"))[: expected + 1]
        placed: dict[int, array[float]] = {}
        for position, row in enumerate(listed):
            index = number(row.get("index"))
            placed[position if index is None else index] = self._vector(row.get("embedding"))
        if len(placed) == expected and set(placed) != set(range(expected)):
            raise BadReply(f"{place(self._host)} sent vectors whose numbers do not fit the texts.")
        return [placed[index] for index in sorted(placed)]

    def _tokens(self, reply: JsonObject) -> int | None:
        usage = table(reply.get("usage"))
        counted = number(usage.get("prompt_tokens"))
        return number(usage.get("total_tokens")) if counted is None else counted


def prefix_of(model: str, *, is_question: bool) -> str:
    name = model.rpartition("/")[2].lower()
    return next((pair[is_question] for family, pair in _PREFIXES.items() if name.startswith(family)), "")


def _batches(texts: Sequence[str]) -> list[list[str]]:
    batches: list[list[str]] = []
    characters = 0
    for text in texts:
        if not batches or len(batches[-1]) == _BATCH_TEXTS or characters + len(text) > _BATCH_CHARACTERS:
            batches.append([])
            characters = 0
        batches[-1].append(text)
        characters += len(text)
    return batches


def _wait_s(error: ProviderError, attempt: int) -> float | None:
    """How long to wait before the next try; None when waiting will not help, or takes too long."""
    if not error.may_retry:
        return None
    asked = error.retry_after_s if isinstance(error, RateLimited | ServiceFailed) else None
    wait_s = 2.0 ** (attempt - 1) if asked is None else asked
    return wait_s if wait_s <= LONGEST_WAIT_S else None
