"""Orders of which one part is nonsense: TensorDock and Lambda refuse them in their own manner, or make a machine."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.simulated.clouds.lambda_cloud import LambdaTwin
from providers.simulated.clouds.tensordock import TensorDockTwin
from providers.simulated.clouds.tensordock_orders import BadOrderError, change_from
from providers.simulated.clouds.twin import CloudTwin
from tests.conftest import run
from tests.providers.twin_kit import HandClock, client_of

_DATA = Path(__file__).parents[1] / "data" / "clouds"
_TENSORDOCK: dict[str, Any] = json.loads((_DATA / "tensordock.json").read_text())
_LAMBDA: dict[str, Any] = json.loads((_DATA / "lambda.json").read_text())
_LAUNCH = {**_LAMBDA["launch"]["body"], "tags": [{"key": "k", "value": "v"}], "image": {"family": "lambda-stack-24-04"}}
_DELETE = object()
_JUNK: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([[]]),
    st.just([{"id": {}}]),
    st.just({"id": []}),
    st.just(_DELETE),
)
Place = tuple[str | int, ...]


def _places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Every part of a document, the whole first."""
    yield at
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from _places(part, (*at, name))


def _with(document: Any, at: Place, junk: Any) -> Any:
    if not at:
        return None if junk is _DELETE else junk
    changed = copy.deepcopy(document)
    parent = changed
    for name in at[:-1]:
        parent = parent[name]
    if junk is _DELETE:
        del parent[at[-1]]
    else:
        parent[at[-1]] = junk
    return changed


def _spoilt(document: Any) -> st.SearchStrategy[Any]:
    return st.builds(_with, st.just(document), st.sampled_from(list(_places(document))), _JUNK)


def _answers(twin: CloudTwin, calls: list[tuple[str, str, Any]]) -> list[httpx.Response]:
    async def body() -> list[httpx.Response]:
        async with twin, client_of(twin) as http:
            return [await http.request(method, twin.base_url + path, json=document) for method, path, document in calls]

    return run(body())


@settings(max_examples=40, deadline=None)
@given(
    create=_spoilt(_TENSORDOCK["create_request"]["body"]),
    secret=_spoilt(_TENSORDOCK["secret_create"]["body"]),
    modify=_spoilt(_TENSORDOCK["modify_request"]["body"]),
)
def test_tensordock_refuses_nonsense_in_its_own_manner(create: Any, secret: Any, modify: Any) -> None:
    twin = TensorDockTwin(clock=HandClock(), limits=False)
    calls = [
        ("POST", "/instances", create),
        ("POST", "/secrets", secret),
        ("POST", "/instances/nobody/stop", modify),
    ]

    for answer in _answers(twin, calls):
        said = answer.json()
        assert answer.status_code < 500
        assert ("data" in said) != ("error" in said)
        assert answer.is_success or said["status"] == answer.status_code


@settings(deadline=None)
@given(modify=_spoilt(_TENSORDOCK["modify_request"]["body"]))
def test_change_is_read_or_its_broken_rule_named(modify: Any) -> None:
    try:
        change = change_from(modify)
    except BadOrderError as problem:
        assert str(problem)
    else:
        assert all(part is None or isinstance(part, int | str) for part in change)


@settings(max_examples=40, deadline=None)
@given(
    launch=_spoilt(_LAUNCH),
    key=_spoilt(_LAMBDA["ssh_key_add"]["body"]),
    terminate=_spoilt(_LAMBDA["terminate"]["body"]),
    file_system=_spoilt({"name": "data", "region": "us-west-1"}),
)
def test_lambda_refuses_nonsense_by_a_code(launch: Any, key: Any, terminate: Any, file_system: Any) -> None:
    twin = LambdaTwin(clock=HandClock(), limits=False)
    calls = [
        ("POST", "/ssh-keys", key),
        ("POST", "/filesystems", file_system),
        ("POST", "/instance-operations/launch", launch),
        ("POST", "/instance-operations/terminate", terminate),
        ("POST", "/instance-operations/restart", terminate),
        ("POST", "/instances/nobody", launch),
    ]

    for answer in _answers(twin, calls):
        assert answer.status_code < 500
        assert answer.is_success or "/" in answer.json()["error"]["code"]
