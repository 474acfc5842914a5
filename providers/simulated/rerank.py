"""A server that ranks passages as real ones do: given `documents` under `/v1`, or given `texts` beside it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

from providers.simulated.answers import count_tokens
from providers.simulated.base import RefusedError, SimulatedService
from providers.simulated.faults import ActiveFaults, FaultKind
from providers.simulated.http_server import Exchange, Headers, Request
from providers.simulated.vectors import embed

Manner: TypeAlias = Literal["vllm", "llama.cpp", "litellm", "tei"]
_WIDTH = 512


class SimulatedReranker(SimulatedService):
    """As vLLM, llama.cpp, LiteLLM or text-embeddings-inference (`manner="tei"`) answer; faults as everywhere.

    `OTHER_SIZE` leaves all but N scores out, `END_EARLY` too, `NOT_A_NUMBER` spoils one.
    """

    wire: ClassVar[str] = "openai"

    def __init__(
        self,
        name: str = "reranker",
        *,
        manner: Manner = "vllm",
        model: str = "BAAI/bge-reranker-v2-m3",
        key: str | None = None,
        **common: Any,
    ) -> None:
        """`key=""` makes one."""
        super().__init__(name, key=self.new_key() if key == "" else key, **common)
        self.manner: Manner = manner
        self.model = model
        for path in ("/rerank",) if manner == "tei" else ("/v1/rerank", "/rerank"):
            self.route("POST", path, self._rerank, answers=True)
        self.route("GET", "/v1/models", self._list)

    @property
    def base_url(self) -> str:
        return self.root_url + "/v1"

    def authorise(self, request: Request) -> None:
        if self.key is not None and request.headers.get("authorization", "") != f"Bearer {self.key}":
            raise RefusedError(401, "Unauthorized")

    async def refuse_route(self, exchange: Exchange, *, exists: bool) -> None:
        status = 405 if exists else 404
        if self.manner == "tei":
            await exchange.reply(status)
        else:
            await self.reply_json(exchange, {"detail": "Not Found"}, status=status)

    async def reply_problem(self, exchange: Exchange, problem: RefusedError, headers: Headers = ()) -> None:
        message = problem.message or "Internal Server Error"
        value: dict[str, Any] = {"error": {"message": message, "type": "error", "code": problem.status}}
        if self.manner == "tei":
            value = {"error": message, "error_type": "Validation" if problem.status < 500 else "Backend"}
        await self.reply_json(exchange, value, status=problem.status, headers=headers)

    async def _list(self, exchange: Exchange, faults: ActiveFaults) -> None:
        entry = {"id": self.model, "object": "model", "created": 0, "owned_by": self.manner}
        await self.reply_json(exchange, {"object": "list", "data": [entry]})

    async def _rerank(self, exchange: Exchange, faults: ActiveFaults) -> None:
        body = self.body_of(exchange)
        question, texts = body.get("query"), body.get("texts" if self.manner == "tei" else "documents")
        if not isinstance(question, str) or not isinstance(texts, list) or not texts:
            raise RefusedError(422 if self.manner == "tei" else 400, "query and documents are required")
        if self.manner in ("vllm", "litellm") and (FaultKind.MODEL_GONE in faults or body.get("model") != self.model):
            raise RefusedError(404, f"The model `{body.get('model')}` does not exist.")
        await self.wait_first_token(faults)
        tokens = sum(count_tokens(str(text)) + count_tokens(question) for text in texts)
        scores = list(enumerate(score(question, str(text)) for text in texts))
        if self.manner != "llama.cpp":  # that one answers in the order of the question
            scores.sort(key=lambda pair: -pair[1])
        for kind in (FaultKind.EMPTY, FaultKind.END_EARLY, FaultKind.OTHER_SIZE):
            if fault := faults.get(kind):
                scores = scores[: 0 if kind is FaultKind.EMPTY else fault.whole(1)]
        if FaultKind.OTHER_ORDER in faults:
            scores.reverse()
        given: list[tuple[int, Any]] = [*scores]
        if FaultKind.NOT_A_NUMBER in faults and given:
            given[-1] = (given[-1][0], None)
        await self.send_value(exchange, self._value(given, texts, tokens, faults), faults, self._headers(tokens))

    def _value(self, scores: list[tuple[int, Any]], texts: list[Any], tokens: int, faults: ActiveFaults) -> Any:
        if self.manner == "tei":
            return [{"index": index, "score": value} for index, value in scores]
        results: list[dict[str, Any]] = [{"index": index, "relevance_score": value} for index, value in scores]
        if self.manner == "vllm":
            results = [{**row, "document": {"text": texts[row["index"]], "multi_modal": None}} for row in results]
        value: dict[str, Any] = {"id": f"rerank-{self.new_id(12)}", "results": results}
        if FaultKind.NO_USAGE in faults:
            return value
        if self.manner == "litellm":
            return {**value, "meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": tokens}}}
        return {**value, "model": self.model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}

    def _headers(self, tokens: int) -> Headers:
        return [("x-compute-tokens", str(tokens))] if self.manner == "tei" else []


def score(question: str, text: str) -> float:
    """How many words they share, between 0 and 1; the same everywhere and always."""
    pairs = zip(embed(question, _WIDTH), embed(text, _WIDTH), strict=True)
    return round(max(0.0, sum(a * b for a, b in pairs)), 6)
