"""What a service means when it does not answer: a status, a body in one of many shapes, or an error inside an answer.

Loaded only when something is refused. `refusal` reads a response, `complaint` judges an error object that came inside
a 200 answer; both end in `judged`, the one place that knows which words of which server mean which error.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from providers.errors import (
    BadReply,
    ContextTooLong,
    KeyMissing,
    KeyRefused,
    ModelMissing,
    OutOfCredit,
    ProviderError,
    RateLimited,
    RequestRefused,
    ServiceFailed,
)
from providers.http import MAX_ERROR_BODY, place, read_body
from providers.plain import plain

if TYPE_CHECKING:
    import httpx

    from providers.chat.base import Host

READ_LIMIT_S = 10.0

_CREDIT = (
    "insufficient_quota", "billing_error", "credit balance", "insufficient credit", "insufficient balance",
    "exceeded your current quota", "requires more credits", "payment required", "billing_hard_limit",
)  # fmt: skip
_CONTEXT = (
    "context_length", "context length", "context window", "context size", "exceed_context", "prompt is too long",
    "input is too long", "too many tokens", "max_model_len", "maximum context", "string_above_max_length",
    "max_new_tokens", "exceeds the maximum number of tokens", "request_too_large",
)  # fmt: skip
_NO_MODEL = (
    "model_not_found", "not a valid model", "no endpoints found", "no such model", "invalid model", "unknown model",
)  # fmt: skip
_UNKNOWN_KEY = ("no_db_connection",)
"""LiteLLM without a database, of any key but its master key: it cannot look up whose that is."""
_PASSED_ON = "llm_provider-retry-after"
"""LiteLLM, of the service behind it."""
_MISSING = ("not found", "does not exist", "doesn't exist", "not_found", "not exist", "unavailable")
_STATUS_OF_KIND = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the service said, and the words of its kind and code fields."""

    text: str
    kinds: str = ""
    status: int | None = None

    def says(self, words: tuple[str, ...]) -> bool:
        spoken = f"{self.text} {self.kinds}".lower()
        return any(word in spoken for word in words)


def complaint(payload: Any) -> Complaint:
    """The complaint in any of the shapes that servers use: a string, OpenAI's, Anthropic's, FastAPI's, a flat one."""
    if not isinstance(payload, dict):
        return Complaint(payload if isinstance(payload, str) else "")
    inner = payload.get("error") or payload.get("detail") or payload.get("errors") or payload
    if isinstance(inner, list):
        inner = inner[0] if inner else {}
    if isinstance(inner, str):
        return Complaint(inner, _words(payload, "error_type", "code", "type"), _status(payload))
    if not isinstance(inner, dict):
        return Complaint("")
    text = next((inner[key] for key in ("message", "msg", "detail", "error") if isinstance(inner.get(key), str)), "")
    more = inner.get("metadata")
    if isinstance(more, dict) and isinstance(more.get("raw"), str):
        # OpenRouter passes on what the host behind it said; its own message is often only "Provider returned error".
        text = f"{text}: {more['raw']}"
    return Complaint(text, _words(inner, "type", "code", "param"), _status(inner))


def _words(fields: dict[str, Any], *keys: str) -> str:
    return " ".join(value for key in keys if isinstance(value := fields.get(key), str))


def _status(fields: dict[str, Any]) -> int | None:
    for key in ("status_code", "code", "status", "http_status", "type"):
        value = fields.get(key)
        if isinstance(value, str):
            value = int(value) if value.isdecimal() and len(value) == 3 else _STATUS_OF_KIND.get(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    return None


async def refusal(response: httpx.Response, host: Host, *, model: str | None = None) -> ProviderError:
    """What an answer with another status than 200 means."""
    error, _ = await refusal_and_words(response, host, model=model)
    return error


async def refusal_and_words(
    response: httpx.Response, host: Host, *, model: str | None = None
) -> tuple[ProviderError, str]:
    """The error, and what the service said in its own words, for an adapter that knows how to ask differently."""
    status = response.status_code
    if 300 <= status < 400:
        target = _safe(response.headers.get("location", "an unknown place"), host, 200)
        return BadReply(
            f"{place(host)} sends us on to {target}; that is not followed, so that no key travels.",
            hint="Put the address that answers into base_url.",
        ), ""
    try:
        body = await read_body(response, host, MAX_ERROR_BODY, limit_s=READ_LIMIT_S)
    except ProviderError:
        body = b""
    retry_after_s = come_back(response.headers, datetime.now(UTC))
    return read_refusal(body, host, status, model=model, retry_after_s=retry_after_s)


def read_refusal(
    body: bytes, host: Host, status: int, *, model: str | None = None, retry_after_s: float | None = None
) -> tuple[ProviderError, str]:
    """The error that a status and its body mean, and the service's own words."""
    if _is_page(body):
        return _page(body, host, status, retry_after_s), ""
    try:
        said = complaint(json.loads(body))
    except (ValueError, RecursionError):
        said = Complaint(body.decode("utf-8", "replace"))
    return judged(said, host, status, model=model, retry_after_s=retry_after_s), f"{said.text} {said.kinds}"


def inside_answer(payload: Any, host: Host, *, model: str | None = None) -> ProviderError:
    """What an error object inside a 200 answer means."""
    said = complaint(payload)
    return judged(said, host, said.status, model=model)


def judged(
    said: Complaint, host: Host, status: int | None, *, model: str | None = None, retry_after_s: float | None = None
) -> ProviderError:
    where = place(host)
    words = _safe(said.text, host)
    tail = f": {words}{'' if words.endswith(('.', '!', '?', '…')) else '.'}" if words else "."
    named = f"the model {model!r}" if model else "the model"
    is_request = status is None or 400 <= status < 500
    if is_request and (status == 402 or said.says(_CREDIT)):
        return OutOfCredit(f"The account at {where} has no credit left{tail}")
    if said.says(_CONTEXT) and status not in (401, 403, 404, 429):
        return ContextTooLong(f"The prompt does not fit into {named} at {where}{tail}")
    if status in (401, 403) and said.says(("moderation", "flagged", "content policy")):
        return RequestRefused(f"{where} refuses this request{tail}")
    if status in (401, 403) or said.says(_UNKNOWN_KEY):
        if host.key is None:
            return KeyMissing(f"{where} wants a key, and there is none for it{tail}", host=host.name)
        return KeyRefused(f"{where} does not accept the key{tail}", host=host.name)
    about_model = "model" in f"{said.text} {said.kinds}".lower()
    if is_request and (said.says(_NO_MODEL) or (about_model and (status == 404 or said.says(_MISSING)))):
        return ModelMissing(f"{where} does not have {named}{tail}")
    if status == 404:
        return BadReply(f"{where} has nothing at this address{tail}", hint="Is this the right base_url and wire?")
    if status == 429:
        return RateLimited(f"{where} has had too many requests{tail}", retry_after_s=retry_after_s)
    if status == 408 or status is None or status >= 500:
        failed = f"status {status}" if status else "it reported an error"
        return ServiceFailed(f"{where} failed ({failed}){tail}", status=status, retry_after_s=retry_after_s)
    return RequestRefused(f"{where} refuses this request (status {status}){tail}")


def unexpected(body: bytes, host: Host) -> BadReply:
    """A 200 answer that is not what the wire speaks: a page, or something else entirely."""
    if _is_page(body):
        return BadReply(f"{place(host)} sent a web page{_title(body)} where an answer was expected.")
    start = _safe(body[:400].decode("utf-8", "replace"), host, 80)
    return BadReply(f"{place(host)} sent something that is not an answer: {start!r}.")


def _page(body: bytes, host: Host, status: int, retry_after_s: float | None) -> ProviderError:
    where, title = place(host), _title(body)
    if status == 429:
        return RateLimited(f"{where} has had too many requests{title}.", retry_after_s=retry_after_s)
    if status >= 500 or status == 408:
        return ServiceFailed(
            f"{where} failed (status {status}) and sent a web page{title}.", status=status, retry_after_s=retry_after_s
        )
    if status == 401:
        return judged(Complaint(""), host, status)
    return BadReply(f"{where} sent a web page{title} (status {status}) where an answer was expected.")


def _is_page(body: bytes) -> bool:
    return body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _title(body: bytes) -> str:
    text = body[:MAX_ERROR_BODY].decode("utf-8", "replace")
    start = text.lower().find("<title")
    opened = text.find(">", start) if start >= 0 else -1
    if opened < 0:
        return ""
    title = plain(html.unescape(text[opened + 1 :].partition("<")[0]), 120)
    return f" titled {title!r}" if title else ""


def come_back(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds until the service wants to be asked again, from a Retry-After in seconds or as a date."""
    wish = (headers.get("retry-after") or headers.get(_PASSED_ON) or "").strip()
    if not wish:
        return None
    try:
        seconds = float(wish)
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            then = parsedate_to_datetime(wish)
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = ((then if then.tzinfo else then.replace(tzinfo=UTC)) - now).total_seconds()
    return max(0.0, seconds) if seconds < float("inf") else None


def _safe(text: str, host: Host, longest: int = 500) -> str:
    """Neutralised, and without the key: some services repeat the one they refuse."""
    if host.key:
        text = text.replace(host.key, "[key]")
    return plain(text, longest)
