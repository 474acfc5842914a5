"""A simulated cloud on a loop in a thread of its own, so that a client in another process can call it meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import asyncssh

from providers.simulated.base import Recorded
from providers.simulated.clouds.rental import Rental
from providers.simulated.clouds.twin import CloudTwin
from tests.flows.kit import Services
from tests.providers.twin_kit import HandClock

T = TypeVar("T")
Twin = TypeVar("Twin", bound=CloudTwin)

_DATA = Path(__file__).parents[1] / "data" / "clouds"
_INCIDENTAL = ("/api/v0/gpu_names/unique/", "/api/v0/users/current")
"""What `vastai` asks besides when its home is empty: names for its completions, and whether the account is a host's."""

_RESULTS = "/results/"
"""Where logs and results of commands are fetched; at the real cloud that is another host."""


class Running(Generic[Twin]):
    def __init__(self, twin: Twin, clock: HandClock, services: Services) -> None:
        self.twin = twin
        self.clock = clock
        self._services = services

    def on_loop(self, deed: Callable[[], T]) -> T:
        """Do something to the twin where nothing else happens to it at the same time."""

        async def body() -> T:
            return deed()

        return self._services.do(body())

    def rental(self, machine_id: str | int) -> Rental:
        return self.on_loop(lambda: self.twin.rentals[str(machine_id)])

    def sent(self) -> list[dict[str, Any]]:
        """What clients sent since this was asked last, in the manner of the recordings."""
        requests = [asked for asked in self.twin.requests if asked.path not in _INCIDENTAL]
        requests = requests or self.twin.requests[-1:]
        requests = [asked for asked in requests if not asked.path.startswith(_RESULTS)]
        self.twin.requests.clear()
        return [_as_recorded(asked) for asked in requests]


@contextmanager
def running(make: Callable[..., Twin], **traits: Any) -> Iterator[Running[Twin]]:
    """A twin whose time is moved by hand."""
    clock = HandClock()
    twin = make(clock=clock, **traits)
    with living(twin) as services:
        yield Running(twin, clock, services)


@contextmanager
def living(twin: CloudTwin) -> Iterator[Services]:
    with Services() as services:
        services.do(twin.__aenter__())
        try:
            yield services
        finally:
            services.do(twin.__aexit__(None, None, None))


async def gpu_of(host: str, port: int, user: str, key: asyncssh.SSHKey) -> str:
    """Log in where a client was told to, and ask the machine for its GPU."""
    async with asyncssh.connect(host, port, username=user, client_keys=[key], known_hosts=None) as connection:
        done = await connection.run("nvidia-smi --query-gpu=name --format=csv,noheader", check=True)
        return str(done.stdout).strip()


class Recordings:
    """What a client was seen to send, with the ids of the recording replaced by those of a test."""

    def __init__(self, client: str) -> None:
        document = json.loads((_DATA / f"{client}.json").read_text())
        self._calls: dict[str, dict[str, Any]] = {call["call"]: call for call in document["calls"]}

    def arguments(self, call: str, ids: Mapping[str, str] | None = None) -> Any:
        return _replaced(self._calls[call]["arguments"], ids or {})

    def requests(self, call: str, ids: Mapping[str, str] | None = None) -> Any:
        return _replaced(self._calls[call]["requests"], ids or {})


def _replaced(value: Any, ids: Mapping[str, str]) -> Any:
    text = json.dumps(value)
    for recorded, actual in ids.items():
        text = text.replace(recorded, actual)
    return json.loads(text)


def _as_recorded(asked: Recorded) -> dict[str, Any]:
    query = {name: _json_or_text(value) for name, value in asked.request.query.items()}
    seen = {"method": asked.method, "path": asked.path, "query": query, "body": _collapsed(asked.json)}
    return {name: value for name, value in seen.items() if value not in (None, {}) or (name == "body" and value == {})}


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _collapsed(body: Any) -> Any:
    """A GraphQL query with its white space collapsed."""
    if isinstance(body, dict) and isinstance(body.get("query"), str):
        return {**body, "query": " ".join(body["query"].split())}
    return body
