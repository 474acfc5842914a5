"""What goes over the wire between a client and a twin."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from providers.simulated.base import Recorded
from providers.simulated.clouds.faults import ActiveFaults, Call
from providers.simulated.http_server import Headers, Request

_BLANK = "*****"
_KEY_FIELDS = ("api_key", "api_token", "key", "token")


class Answer(NamedTuple):
    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Headers = ()
    lines: AsyncIterator[bytes] | None = None
    """For an answer that is sent as it comes to be, in place of `body`."""


class RefusedError(Exception):
    """A call that is not done, with what the client is told."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Identity(NamedTuple):
    """Who calls: the account, or one machine by its own key."""

    key: str
    machine_id: str | None = None


class Asked(NamedTuple):
    """One call, as a handler gets it."""

    request: Request
    call: Call
    parts: Mapping[str, str]
    """What the path named."""
    body: Any
    """Parsed JSON; None when it was empty or no JSON."""
    faults: ActiveFaults
    identity: Identity

    @property
    def fields(self) -> dict[str, Any]:
        """The body's object; empty when it is none."""
        return self.body if isinstance(self.body, dict) else {}


Handler = Callable[[Asked], Awaitable[Answer]]


class Place(NamedTuple):
    """Where something listens."""

    host: str
    port: int


def as_json(value: Any, status: int = 200, *, headers: Headers = (), content_type: str = "application/json") -> Answer:
    return Answer(status, json.dumps(value, default=_plain).encode(), content_type, headers)


def parsed(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def without_keys(request: Request) -> Recorded:
    """The request for the record, with all that lets somebody in blanked."""
    headers = {
        name: f"{value.split(' ')[0]} {_BLANK}" if name == "authorization" else value
        for name, value in request.headers.items()
    }
    query = _blanked(request.query)
    body = request.body
    if fields := form_fields(request):
        body = urlencode(_blanked(fields)).encode()
    return Recorded(dataclasses.replace(request, headers=headers, query=query, body=body), parsed(request.body))


def form_fields(request: Request) -> dict[str, str]:
    """The fields of a form; empty when the body is none."""
    if "urlencoded" not in request.headers.get("content-type", ""):
        return {}
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def _blanked(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: _BLANK if name in _KEY_FIELDS else value for name, value in fields.items()}


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{value!r} cannot be written as JSON")
