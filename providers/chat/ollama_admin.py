"""Administration of an Ollama host through the official client: what is there, what is loaded, pull, remove, load.

The client's import takes longer than a short answer, so it happens inside `_ollama`, and the chat stream does not use
it (`ollama.py`). It speaks through our own transport and gets this host's key, whatever the environment holds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from providers.chat.answers import number, table, words
from providers.chat.base import Host, JsonObject, ModelInfo
from providers.chat.ollama import base_url, full_name, keep_alive, model_info
from providers.errors import BadReply, ModelMissing, StreamBroken, TimedOut
from providers.http import USER_AGENT, load_httpx, meaning, place, sendable_key, translated, transport

if TYPE_CHECKING:
    import httpx
    import ollama

ASK_LIMIT_S = 10.0
STALL_LIMIT_S = 60.0
"""A pull that says nothing for so long has stalled; it can be taken up again where it was."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    name: str
    size_bytes: int | None
    vram_bytes: int | None
    context_tokens: int | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ModelDetails:
    info: ModelInfo
    capabilities: tuple[str, ...]
    parameters: str | None
    template: str | None
    license: str | None
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of a pull, all layers together; the total grows while layers are still being discovered."""

    status: str
    completed_bytes: int
    total_bytes: int


class OllamaAdmin:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._made: ollama.AsyncClient | None = None

    def _ollama(self) -> ollama.AsyncClient:
        if self._made is None:
            httpx = load_httpx()
            import ollama

            url = base_url(self._host)
            key = None if self._host.key is None else sendable_key(self._host)
            headers = {name.lower(): value for name, value in self._host.headers.items()}

            def our_headers(request: httpx.Request) -> httpx.Request:  # type: ignore[name-defined]
                # The client takes OLLAMA_API_KEY from the environment; a key goes only to the host it was stored for.
                request.headers.pop("authorization", None)
                if key is not None:
                    request.headers["authorization"] = f"Bearer {key}"
                request.headers["user-agent"] = headers.get("user-agent", USER_AGENT)
                return request

            self._made = ollama.AsyncClient(
                host=url,
                headers=headers,
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=self._host.connect_timeout_s),
                transport=transport(self._host, httpx.URL(url)),
                trust_env=False,
                auth=our_headers,
            )
        return self._made

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()  # type: ignore[no-untyped-call]
            self._made = None

    async def __aenter__(self) -> OllamaAdmin:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- looking

    async def models(self) -> list[ModelInfo]:
        async with self._asking(ASK_LIMIT_S):
            found = [model_info(row.model_dump()) for row in (await self._ollama().list()).models]
        return [model for model in found if model is not None]

    async def loaded(self) -> list[LoadedModel]:
        async with self._asking(ASK_LIMIT_S):
            rows = (await self._ollama().ps()).models
        return [
            LoadedModel(
                row.name or row.model or "", row.size, row.size_vram, number(row.context_length), row.expires_at
            )
            for row in rows
        ]

    async def show(self, model: str) -> ModelDetails:
        async with self._asking(ASK_LIMIT_S, model):
            reply = await self._ollama().show(model)
            details = reply.details.model_dump() if reply.details else {}
            facts = table(reply.modelinfo)
            context = next((number(value) for name, value in facts.items() if name.endswith(".context_length")), None)
            capabilities = tuple(str(one) for one in reply.capabilities or ())
            row: JsonObject = {"name": model, "details": {**details, "context_length": context}}
            if capabilities:
                row["capabilities"] = list(capabilities)
            info = model_info(row)
        assert info is not None
        return ModelDetails(
            info, capabilities, words(reply.parameters), words(reply.template), words(reply.license), reply.modified_at
        )

    # ---- changing

    async def pull(self, model: str) -> AsyncGenerator[Progress, None]:
        """Fetch a model onto the host. Ends after the host said that it is there; raises otherwise. May be repeated:
        the host goes on where it was."""
        layers: dict[str, tuple[int, int]] = {}
        arrived = False
        with self._failing(model, answering=True):
            async with contextlib.aclosing(_steps(await self._ollama().pull(model, stream=True))) as steps:
                while True:
                    try:
                        async with asyncio.timeout(STALL_LIMIT_S):
                            step = await anext(steps, None)
                    except TimeoutError as error:
                        raise TimedOut(
                            f"The pull of {model!r} on {place(self._host)} has said nothing for {STALL_LIMIT_S:g} s.",
                            phase="between_tokens",
                            limit_s=STALL_LIMIT_S,
                        ) from error
                    if step is None:
                        break
                    if step.digest and step.total:
                        layers[step.digest] = step.completed or 0, step.total
                    arrived = arrived or step.status == "success"
                    done, total = (sum(column) for column in zip(*layers.values(), strict=True)) if layers else (0, 0)
                    yield Progress(step.status or "", done, total)
        if not arrived:
            raise StreamBroken(f"The pull of {model!r} on {place(self._host)} broke off before its end.")

    async def delete(self, model: str) -> None:
        async with self._asking(ASK_LIMIT_S, model):
            await self._ollama().delete(model)

    async def copy(self, model: str, name: str) -> None:
        async with self._asking(ASK_LIMIT_S, model):
            await self._ollama().copy(model, name)

    async def create(self, name: str, *, base: str, system: str | None = None, limit_s: float = 600.0) -> None:
        """A model of its own name on top of another, with instructions of its own."""
        async with self._asking(limit_s, base):
            await self._ollama().create(name, from_=base, system=system)

    async def load(self, model: str, *, keep: str | None = None, limit_s: float = 300.0) -> None:
        """Bring a model into memory; returns when it is there."""
        stays = None if keep is None else keep_alive(keep)
        async with self._asking(limit_s, model):
            import ollama

            try:
                await self._ollama().generate(model, keep_alive=stays)
            except ollama.ResponseError as error:
                if "does not support generate" not in str(error):
                    raise
                # A model for embeddings generates nothing, and is loaded by asking it for one.
                await self._ollama().embed(model, "", keep_alive=stays)

    async def unload(self, model: str) -> bool:
        """Take a model out of memory; tells whether it was in there."""
        was_loaded = full_name(model) in {full_name(row.name) for row in await self.loaded()}
        if was_loaded:
            async with self._asking(ASK_LIMIT_S, model):
                await self._ollama().generate(model, keep_alive=0)
        return was_loaded

    async def embed(self, model: str, texts: Sequence[str], *, limit_s: float = 300.0) -> list[Sequence[float]]:
        async with self._asking(limit_s, model):
            return list((await self._ollama().embed(model, list(texts))).embeddings)

    # ---- errors

    @contextlib.asynccontextmanager
    async def _asking(self, limit_s: float, model: str | None = None) -> AsyncIterator[None]:
        try:
            with self._failing(model):
                async with asyncio.timeout(limit_s):
                    yield
        except TimeoutError as error:
            raise TimedOut(
                f"{place(self._host)} did not answer within {limit_s:g} s.", phase="total", limit_s=limit_s
            ) from error

    @contextlib.contextmanager
    def _failing(self, model: str | None, *, answering: bool = False) -> Iterator[None]:
        """The client's errors as ours."""
        httpx = load_httpx()
        import ollama

        from providers.refusals import Complaint, judged, read_refusal

        try:
            with translated(self._host, answering=answering):
                yield
        except ollama.ResponseError as error:
            if error.status_code < 300:  # an error inside a stream has no status
                raise judged(Complaint(str(error.error)), self._host, None, model=model) from error
            refused, _ = read_refusal(str(error.error).encode(), self._host, error.status_code, model=model)
            if isinstance(refused, ModelMissing) and model:
                refused.hint = f"Fetch it with: hawser model pull {self._host.name}/{model}"
            raise refused from error
        except ConnectionError as error:
            # The client hides the cause behind words of its own.
            hidden = error.__context__
            raise meaning(
                hidden if isinstance(hidden, httpx.HTTPError) else httpx.ConnectError(str(error)), self._host
            ) from error
        except (ValueError, RecursionError, TypeError) as error:
            raise BadReply(f"{place(self._host)} sent something that is not an answer of Ollama.") from error


async def _steps(source: Any) -> AsyncGenerator[ollama.ProgressResponse, None]:
    async with contextlib.aclosing(source) as parts:
        async for part in parts:
            yield part
