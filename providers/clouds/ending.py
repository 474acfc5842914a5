"""How a machine is ended by plain HTTP requests, for a program that has no adapter: a shell script with curl.

It is what `stop` and `destroy` of the adapters send, and one harmless request that tells whether the key works.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

from providers.clouds.adapter import base_url_of
from providers.errors import RequestRefused

How: TypeAlias = Literal["stop", "destroy"]


class Ending(NamedTuple):
    """The requests; each carries the key as `Authorization: Bearer`."""

    method: str
    url: str
    body: str
    check_url: str
    """Reading this needs the key, and changes nothing."""
    key_variable: str | None = None
    """The environment variable in which the cloud gives a machine a key of its own."""


def ending(kind: str, base_url: str | None, id: str, how: How) -> Ending | None:  # noqa: A002 - the cloud's own word
    """None where the cloud has no such action."""
    machine = quote(id, safe="")
    match kind:
        case "vast":
            url = f"{_base(base_url, 'https://console.vast.ai')}/api/v0/instances/{machine}/"
            method, body = ("PUT", _json(state="stopped")) if how == "stop" else ("DELETE", _json())
            return Ending(method, url, body, f"{url}?owner=me", "CONTAINER_API_KEY")
        case "runpod":
            url = f"{_base(base_url, 'https://api.runpod.io/v2')}/pods/{machine}"
            variable = "RUNPOD_API_KEY"
            if how == "stop":
                return Ending("POST", f"{url}/action", _json(action="stop"), url, variable)
            return Ending("DELETE", url, "", url, variable)
        case "tensordock":
            url = f"{_base(base_url, 'https://dashboard.tensordock.com/api/v2')}/instances/{machine}"
            if how == "stop":
                release = "disassociate_resources"
                return Ending("POST", f"{url}/stop?{release}=true", _json(**{release: True}), url)
            return Ending("DELETE", url, "", url)
        case "lambda":
            base = _base(base_url, "https://cloud.lambda.ai/api/v1")
            if how == "stop":
                return None
            body = _json(instance_ids=[id])
            return Ending("POST", f"{base}/instance-operations/terminate", body, f"{base}/instances/{machine}")
        case _:
            raise RequestRefused(f"Nobody knows how a machine of {kind!r} is ended.")


def _base(given: str | None, usual: str) -> str:
    return base_url_of(given, usual).rstrip("/")


def _json(**fields: Any) -> str:
    values: Mapping[str, Any] = fields
    return json.dumps(values)
