"""JSON calls to a cloud: its pace, its key, what may be asked again, and what its refusals mean.

A cloud's own file gives a `Judge`, which sees every answer and says which error it is, if any: clouds put errors into
200 answers and call done things refused. What it leaves open is judged here by the status alone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from providers.clouds.base import (
    PATIENCE_S,
    AnswerLost,
    CannotDo,
    Clock,
    CloudError,
    CloudHost,
    NotThere,
    OrderRefused,
)
from providers.clouds.fields import Row, row
from providers.clouds.pace import ALL, Limit, Pace, too_many
from providers.errors import (
    BadReply,
    KeyMissing,
    KeyRefused,
    OutOfCredit,
    ProviderError,
    RateLimited,
    RequestRefused,
    ServiceFailed,
    TimedOut,
    TlsFailed,
)
from providers.plain import plain

if TYPE_CHECKING:
    import httpx

    from providers.chat.base import Host

MAX_BODY = 16 * 1024 * 1024
PAUSES_S = (1.0, 2.0, 4.0)
"""Before each further try of what may be repeated."""


class Answer(NamedTuple):
    kind: str
    status: int
    payload: Any
    """The JSON; None where there is none."""
    said: str
    """The cloud's complaint in its own words; its whole body where it is no JSON."""
    code: str
    """Its word for the complaint, where it has one."""
    wait_s: float | None
    """When to come back, where it says so."""
    is_page: bool = False
    """A web page: what answered is not the cloud's API, but something before it."""

    @property
    def row(self) -> Row:
        return row(self.payload)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def mentions(self, *parts: str) -> bool:
        spoken = f"{self.code} {self.said}".lower()
        return any(part in spoken for part in parts)


class AlreadySo(ProviderError):
    """What was asked for is the case already: not a failure to anybody."""


Judge = Callable[[Answer], ProviderError | None]


class Wire:
    """One account's connections. Nothing is connected, nor httpx loaded, before the first call."""

    def __init__(
        self,
        host: CloudHost,
        clock: Clock,
        *,
        base_url: str,
        judge: Judge,
        limits: Mapping[str, Limit] | None = None,
        pace: Pace | None = None,
        shows_key: bool = True,
    ) -> None:
        """`pace` is one that is kept together with another wire; `shows_key` says whether the header has the key."""
        self.name = host.name
        self.base_url = base_url
        self.pace = pace or Pace(host.name, clock, limits or {})
        self._shows_key = shows_key
        self._cloud_host = host
        self._clock = clock
        self._judge = judge
        self._http: httpx.AsyncClient | None = None
        self._open: Host | None = None

    async def ask(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        body: object = None,
        form: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        again: bool = True,
    ) -> Any:
        """The JSON of an answer that is no refusal. `again` says that the call may be made twice.

        One that may not, and whose answer is lost, raises `AnswerLost`.
        """
        self._client()
        content = None if body is None else json.dumps(body).encode()
        if form is not None:
            content = urlencode(form).encode()
        kind_of_content = "application/json" if form is None else "application/x-www-form-urlencoded"
        target = path if not query else f"{path}?{urlencode(query)}"
        failures = refusals = 0
        waited_s = spent_s = 0.0
        while True:
            await self.pace.turn(kind)
            begun_s = self._clock.monotonic()
            answer: Answer | None = None
            try:
                answer = await self._send(kind, method, target, content, kind_of_content, again)
                error = self._error(answer)
            except ProviderError as trouble:
                if not again:
                    raise self._lost(trouble) from trouble
                error = trouble
            spent_s += self._clock.monotonic() - begun_s
            if error is None:
                assert answer is not None
                return answer.payload
            if isinstance(error, RateLimited):
                pause_s = error.retry_after_s if error.retry_after_s is not None else 2.0 * 2**refusals
                refusals += 1
                waited_s += max(pause_s, 0.1)
                self.pace.hold(kind, pause_s)
                if waited_s > PATIENCE_S:
                    raise too_many(self.name, pause_s) from error
                continue
            if not again and isinstance(error, ServiceFailed):
                raise self._lost(error) from error
            if not again or not error.may_retry or failures >= len(PAUSES_S) or spent_s >= self._cloud_host.total_s:
                raise error
            await self._clock.sleep(PAUSES_S[failures])
            failures += 1

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """A body that comes as long as it likes; the head must come in time."""
        from providers.http import chunks, opened, read_body

        await self.pace.turn("logs")
        http, host = self._client()
        async with opened(http, host, "GET", path) as response:
            if not response.is_success:
                content = await read_body(response, host, 64 * 1024)
                raise self._error(self._read("logs", response, content)) or self.bad_reply()
            yield chunks(response, host)

    async def fetch(self, url: str, *, longest: int) -> bytes | None:
        """What lies at an address that the cloud named, asked for without the key; None while it is not there."""
        from providers.chat.base import Host
        from providers.http import client, opened, read_body

        parts, own = urlsplit(url), urlsplit(self.base_url)
        if not parts.hostname or (parts.scheme != "https" and parts.scheme != own.scheme):
            raise self.bad_reply("it names an address that is not on the web")
        host = Host(self.name, url, connect_timeout_s=self._cloud_host.connect_s)
        limit_s = self._cloud_host.total_s
        async with client(host) as http, opened(http, host, "GET", url, limit_s=limit_s) as response:
            return await read_body(response, host, longest, limit_s=limit_s) if response.is_success else None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def bad_reply(self, why: str = "it is not what this cloud answers") -> BadReply:
        return BadReply(f"The answer of {self.place} makes no sense: {why}.", hint="Is its base_url right?")

    @property
    def place(self) -> str:
        where = urlsplit(self.base_url).netloc.rpartition("@")[2]
        return f"{self.name} ({plain(where, 120)})"

    # ---- one call

    def _client(self) -> tuple[httpx.AsyncClient, Host]:
        if self._http is None or self._open is None:
            from providers.chat.base import Host
            from providers.http import client

            known = self._cloud_host
            if not known.key:
                raise KeyMissing(f"There is no key for {self.name}.", host=known.name)
            key = known.key if self._shows_key else None
            headers = {"accept": "application/json", **known.headers}
            self._open = Host(known.name, self.base_url, key, headers, known.connect_s)
            self._http = client(self._open)
        return self._http, self._open

    async def _send(
        self, kind: str, method: str, target: str, content: bytes | None, kind_of_content: str, again: bool
    ) -> Answer:
        import asyncio

        from providers.http import opened, read_body

        http, host = self._client()
        limit_s = self._cloud_host.total_s / 2 if again else self._cloud_host.total_s
        try:
            async with (
                asyncio.timeout(limit_s),
                opened(
                    http,
                    host,
                    method,
                    target,
                    content=content,
                    content_type=kind_of_content,
                    limit_s=limit_s,
                    once=not again,
                ) as response,
            ):
                came = await read_body(response, host, MAX_BODY, limit_s=limit_s)
                return self._read(kind, response, came)
        except TimeoutError as error:
            raise TimedOut(
                f"{self.place} did not answer within {limit_s:g} s.", phase="total", limit_s=limit_s
            ) from error

    def _read(self, kind: str, response: httpx.Response, body: bytes) -> Answer:
        payload: Any = None
        said = code = ""
        is_json = is_page = False
        if body.strip():
            try:
                payload = json.loads(body)
                is_json = True
            except (ValueError, RecursionError):
                is_page = body.lstrip()[:1] == b"<"
                said = "" if is_page else self._without_key(plain(body[:2000].decode("utf-8", "replace"), 300))
        fields = row(payload)
        if not response.is_success or "error" in fields or "errors" in fields or fields.get("success") is False:
            complained, code = _complaint(payload)
            said = self._without_key(complained) or said
        elif body.strip() and not is_json:
            raise self.bad_reply("it is a web page" if is_page else "it is no JSON")
        wait_s = self._come_back(response.headers)
        self._heed(response)
        return Answer(kind, response.status_code, payload, said, code, wait_s, is_page)

    def _without_key(self, words: str) -> str:
        key = self._cloud_host.key
        return words.replace(key, "[key]") if key else words

    def _come_back(self, headers: httpx.Headers) -> float | None:
        from providers.refusals import come_back

        wait_s = come_back(headers, self._clock.now())
        if wait_s is None and (reset := headers.get("x-ratelimit-reset", "")).isdecimal() and len(reset) < 12:
            wait_s = max(0.0, int(reset) - self._clock.now().timestamp())
        return wait_s

    def _heed(self, response: httpx.Response) -> None:
        """A `RateLimit` header tells before it is too late: `"minute";r=0;t=12` is nothing more for 12 seconds."""
        for policy in response.headers.get("ratelimit", "")[:1000].split(","):
            values = dict(part.strip().partition("=")[::2] for part in policy.split(";")[1:])
            left = values.get("t", "")
            if values.get("r") == "0" and left.isdecimal() and len(left) < 7 and float(left) <= PATIENCE_S:
                self.pace.hold(ALL, float(left))

    # ---- what a refusal means

    def _error(self, answer: Answer) -> ProviderError | None:
        if answer.is_page and answer.status not in (401, 408, 429) and 400 <= answer.status < 500:
            return self.bad_reply("it is a web page")
        error = self._judge(answer)
        if error is not None or answer.is_success:
            return error
        return self.refused(answer)

    def refused(self, answer: Answer) -> ProviderError:
        """What a status means where a cloud says nothing special with it."""
        where, status = self.place, answer.status
        tail = f": {answer.said}{'' if answer.said.endswith(('.', '!', '?', '…')) else '.'}" if answer.said else "."
        if status == 401:
            return KeyRefused(f"{where} does not accept the key{tail}", host=self.name)
        if status == 402:
            return OutOfCredit(f"The account at {where} has no credit left{tail}")
        if status == 429:
            return RateLimited(f"{where} has had too many requests{tail}", retry_after_s=answer.wait_s)
        if status >= 500 or status == 408:
            return ServiceFailed(f"{where} failed (status {status}){tail}", status=status)
        if 300 <= status < 400:
            return BadReply(f"{where} sends us elsewhere, which is not followed, so that no key travels.")
        if status == 404:
            if answer.payload is None:
                return self.bad_reply("there is nothing at this address")
            return NotThere(f"{where} does not know it{tail}")
        if answer.kind == "create":
            return OrderRefused(f"{where} refuses the order{tail}")
        if status == 409:
            return CannotDo(f"{where} cannot do that now{tail}")
        return CloudError(f"{where} refuses this (status {status}){tail}")

    def _lost(self, trouble: ProviderError) -> ProviderError:
        """The error of a call that must not be made twice: unless it certainly never left, it may have been done."""
        import httpx

        never_sent = httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError | httpx.UnsupportedProtocol
        if isinstance(trouble, TlsFailed | RequestRefused) or isinstance(trouble.__cause__, never_sent):
            return trouble
        return AnswerLost(
            f"The order was sent to {self.place}, and it is unknown whether it was carried out: "
            f"{trouble.text[:1].lower()}{trouble.text[1:]}",
            hint="It is looked for by its label.",
        )


def _complaint(payload: Any) -> tuple[str, str]:
    """What a cloud complains of, and its word for it, in any of the shapes that they have for that."""
    fields = row(payload)
    inner: Any = fields.get("error") or fields.get("errors") or fields
    if isinstance(inner, list):
        inner = inner[0] if inner else {}
    if isinstance(inner, str):
        longer = next((fields[name] for name in ("msg", "message", "detail") if isinstance(fields.get(name), str)), "")
        return (plain(longer, 300), plain(inner, 100)) if longer else (plain(inner, 300), "")
    words = row(inner)
    names = ("msg", "message", "detail", "title")
    text = next((words[name] for name in names if isinstance(words.get(name), str)), "")
    code = words.get("code")
    return plain(text, 300), plain(code, 100) if isinstance(code, str) else ""


def quoted(machine_id: str) -> str:
    """An id as part of a path, whatever somebody put into it."""
    from urllib.parse import quote

    return quote(machine_id, safe="")
