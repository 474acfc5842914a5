"""Whatever a client sends, a simulated cloud answers in the cloud's manner and does not fall over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from providers.simulated.clouds.runpod import RunPodTwin
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.vast import VastTwin
from tests.conftest import run
from tests.providers.twin_kit import HandClock, client_of

_VOCABULARY = """
    image disk env price label onstart runtype state ids instance_ids select_filters order_by limit after_token
    day gte lte type order allocated_storage gpu_name num_gpus eq in ssh_key command tail filter name gpu id
    count cpu cloud mounts persistent network size path volumeId ports args action keys locked dataCenterIds
    query variables running stopped start terminate bid RTX NVIDIA 22/tcp client_id col dir q target_state
    cancel_unavail
"""
_WORDS = _VOCABULARY.split()
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(_WORDS),
    st.text(max_size=8),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4)),
    max_leaves=8,
)
_BODIES = st.one_of(st.dictionaries(st.sampled_from(_WORDS), _VALUES, max_size=6), _VALUES)
_GRAPHQL = st.one_of(
    st.text(alphabet='{}()[]:$"!.,abc 1\\\n', max_size=40),
    st.builds(
        "mutation {{ {}(input: {{ {}: {} }}) {{ id }} }}".format,
        st.sampled_from(["podStop", "podResume", "podTerminate", "podFindAndDeployOnDemand", "podRentInterruptable"]),
        st.sampled_from(["podId", "gpuCount", "imageName", "env", "ports", "volumeInGb", "bidPerGpu"]),
        st.sampled_from(['"x"', "1", "-1", "[1]", "{a: 1}", "null", "1e400", "true"]),
    ),
)


def _calls(twin: CloudTwin, machine_id: str) -> list[tuple[str, str]]:
    """Every method and path the twin knows, with a machine that is there."""
    paths = {
        "vast": [
            ("POST", "/api/v0/bundles/"),
            ("PUT", "/api/v0/asks/7001/"),
            ("PUT", "/api/v0/instances/"),
            ("PUT", f"/api/v0/instances/{machine_id}/"),
            ("DELETE", "/api/v0/instances/"),
            ("PUT", f"/api/v0/instances/bid_price/{machine_id}/"),
            ("PUT", f"/api/v0/instances/request_logs/{machine_id}/"),
            ("PUT", f"/api/v0/instances/command/{machine_id}/"),
            ("POST", f"/api/v0/instances/{machine_id}/ssh/"),
            ("POST", "/api/v0/ssh/"),
        ],
        "runpod": [
            ("POST", "/v2/pods"),
            ("PATCH", f"/v2/pods/{machine_id}"),
            ("POST", f"/v2/pods/{machine_id}/action"),
            ("PUT", "/v2/account/ssh-keys"),
            ("POST", "/graphql"),
        ],
    }
    return paths[twin.name]


_READS = {
    "vast": ("/api/v1/instances/", "/api/v0/charges/", "/api/v1/invoices/"),
    "runpod": ("/v2/billing/pods", "/v2/catalog/gpus", "/v2/pods"),
}
_CREATES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "vast": ("PUT", "/api/v0/asks/7001/", {"image": "x", "disk": 10, "price": 0.3}),
    "runpod": ("POST", "/v2/pods", {"image": "x", "gpu": {"id": "NVIDIA GeForce RTX 4090"}}),
}


@pytest.mark.parametrize("kind", [VastTwin, RunPodTwin])
@settings(max_examples=30, phases=[Phase.explicit, Phase.generate], derandomize=True)
@given(data=st.data())
def test_no_request_makes_it_fall_over(kind: type[CloudTwin], data: st.DataObject) -> None:
    bodies = data.draw(st.lists(st.tuples(st.integers(0, 20), _BODIES), min_size=1, max_size=8))
    texts = data.draw(st.lists(_GRAPHQL, max_size=3))
    query = data.draw(st.dictionaries(st.sampled_from(_WORDS), _VALUES.map(json.dumps), max_size=4))

    async def body() -> None:
        clock = HandClock()
        async with kind(clock=clock, limits=False) as twin, client_of(twin) as http:
            method, path, order = _CREATES[twin.name]
            created = (await http.request(method, path, json=order)).json()
            machine_id = str(created["new_contract" if twin.name == "vast" else "id"])
            statuses = []
            calls = _calls(twin, machine_id)
            for number, sent in bodies:
                method, path = calls[number % len(calls)]
                statuses.append((await http.request(method, path, json=sent)).status_code)
                clock.forward(7)
            for path in _READS[twin.name]:
                statuses.append((await http.get(path, params=query)).status_code)
            if twin.name == "runpod":
                statuses += [(await http.post("/graphql", json={"query": text})).status_code for text in texts]

            assert all(status < 500 for status in statuses)

    run(body())
