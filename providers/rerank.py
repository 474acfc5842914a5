"""How well passages answer a question, as a reranker of elsewhere judges it: `POST …/rerank`.

Servers speak it in two ways. vLLM, llama.cpp, LiteLLM and the hosts that began it take `documents` and answer with
`results` that have a `relevance_score`; text-embeddings-inference has it beside `/v1`, takes `texts` and answers with a
bare list of `score`s. The first is tried first, and what a server understood is remembered. Somebody waits for this, so
a call is made once and has an end.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from providers.chat.answers import number, rows, table
from providers.chat.base import Host, JsonObject
from providers.errors import BadReply, ProviderError, RequestRefused, TimedOut
from providers.http import client, opened, place, read_body
from providers.refusals import inside_answer, refusal, unexpected

if TYPE_CHECKING:
    import httpx

LIMIT_S = 3.0
_MAX_REPLY = 8 * 1024 * 1024
"""Some send the passages back."""
_NO_SUCH_ROUTE = (404, 405)


class Ranked(NamedTuple):
    scores: list[float]
    """One for each passage, in their order; the higher the better, on a scale of the model's own."""
    tokens: int | None
    """As the service counted them; None where it did not say."""


class RerankProvider(Protocol):
    async def rerank(self, model: str, question: str, passages: Sequence[str], *, limit_s: float = LIMIT_S) -> Ranked:
        """Raises a `ProviderError`."""

    async def close(self) -> None: ...


class Reranking:
    """At an endpoint of the OpenAI wire, whose hosts have it beside their answers. A `RerankProvider`."""

    def __init__(self, host: Host) -> None:
        from providers.chat.openai import base_url

        self._host = host
        self._base_url = base_url(host).rstrip("/")
        self._http: httpx.AsyncClient | None = None
        self._has_texts: bool | None = None
        """Whether the server takes `texts`; None before it answered."""

    async def rerank(self, model: str, question: str, passages: Sequence[str], *, limit_s: float = LIMIT_S) -> Ranked:
        if not passages:
            return Ranked([], 0)
        try:
            async with asyncio.timeout(limit_s):
                return await self._either(model, question, passages, limit_s)
        except TimeoutError as error:
            text = f"{place(self._host)} did not rank {len(passages)} passages within {limit_s:g} s."
            raise TimedOut(text, phase="total", limit_s=limit_s) from error

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _either(self, model: str, question: str, passages: Sequence[str], limit_s: float) -> Ranked:
        refused: ProviderError | None = None
        for has_texts in (False, True) if self._has_texts is None else (self._has_texts,):
            try:
                answered = await self._ask(model, question, passages, has_texts, limit_s)
            except RequestRefused:
                if refused is None:
                    raise
                break  # it is not asked in this way; what it said to the other one tells more
            if isinstance(answered, Ranked):
                self._has_texts = has_texts
                return answered
            refused = refused or answered
        assert refused is not None
        raise refused

    async def _ask(
        self, model: str, question: str, passages: Sequence[str], has_texts: bool, limit_s: float
    ) -> Ranked | ProviderError:
        """The error is given back, not raised, where it may only mean that the server has no such way."""
        body: JsonObject = (
            {"query": question, "texts": list(passages), "truncate": True}
            if has_texts
            else {"model": model, "query": question, "documents": list(passages), "top_n": len(passages)}
        )
        path = f"{self._root if has_texts else self._base_url}/rerank"
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        async with opened(self._client(), self._host, "POST", path, content=content, limit_s=limit_s) as response:
            if not response.is_success:
                error = await refusal(response, self._host, model=model)
                if response.status_code in _NO_SUCH_ROUTE:
                    return error
                raise error
            answer = await read_body(response, self._host, _MAX_REPLY, limit_s=limit_s)
            counted = response.headers.get("x-compute-tokens", "")
        try:
            reply = json.loads(answer)
        except (ValueError, RecursionError) as problem:
            raise unexpected(answer, self._host) from problem
        if isinstance(reply, dict) and reply.get("error"):
            raise inside_answer(reply, self._host, model=model)
        tokens = _tokens(table(reply))
        if tokens is None and counted.isdecimal() and len(counted) < 10:
            tokens = int(counted)
        return Ranked(self._scores(reply, len(passages)), tokens)

    @property
    def _root(self) -> str:
        return self._base_url.removesuffix("/v1")

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = client(self._host, base_url=self._base_url)
        return self._http

    def _scores(self, reply: Any, count: int) -> list[float]:
        """Those that are missing, as of a server that leaves out what is far off, are below all that are there."""
        listed = reply if isinstance(reply, list) else table(reply).get("results") or table(reply).get("data")
        scores: dict[int, float] = {}
        for position, row in enumerate(rows(listed)[: count + 1]):
            index = number(row.get("index"))
            index = position if index is None else index
            if index in scores or not 0 <= index < count:
                raise BadReply(f"{place(self._host)} ranked passages that it was not asked about.")
            given = row.get("relevance_score")
            scores[index] = self._score(row.get("score") if given is None else given)
        if not scores:
            raise BadReply(f"{place(self._host)} sent no scores for {count} passages.")
        lowest = min(scores.values())
        return [scores.get(index, lowest - 1.0) for index in range(count)]

    def _score(self, given: Any) -> float:
        try:
            score = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError, OverflowError):
            score = math.nan
        if not math.isfinite(score):
            raise BadReply(f"{place(self._host)} sent a score that is no number.")
        return score


def _tokens(reply: JsonObject) -> int | None:
    """Where each of them counts."""
    usage = table(reply.get("usage"))
    meta = table(reply.get("meta"))
    for place_, name in (
        (usage, "total_tokens"),
        (usage, "prompt_tokens"),
        (table(meta.get("tokens")), "input_tokens"),
        (table(meta.get("billed_units")), "total_tokens"),
    ):
        counted = number(place_.get(name))
        if counted is not None:
            return counted
    return None
