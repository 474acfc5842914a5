"""Whatever a cloud sends, reading it is no error: fields that are missing, of another type, or nonsense."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.clouds import lambda_cloud, runpod_rows, tensordock_rows, vast_rows
from providers.clouds.base import Bills, Reading, Search, State
from providers.clouds.fields import identity, moment, number, price, text, whole

INNER = [
    "22/tcp", "HostPort", "persistent", "size", "id", "count", "direct", "proxy", "host", "port", "username", "ports",
    "private", "public", "type", "ip", "gpus", "v0Name", "internal_port", "external_port", "name", "description",
    "specs", "storage_gib", "price_cents_per_hour", "gpu_description", "availableCount", "price_per_hr", "secure",
    "per_vcpu_hr", "available_ports", "city", "country",
]  # fmt: skip
NONSENSE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["running", "stopped", "RUNNING", "EXITED", "exited", "nan", "1e999", "-1", "22/tcp", "\x1b[31m"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(INNER), inner, max_size=3),
    max_leaves=4,
)
VAST = [
    "id", "label", "gpu_name", "num_gpus", "gpu_ram", "disk_space", "dph_total", "dph_base", "min_bid", "storage_cost",
    "storage_total_cost", "is_bid", "start_date", "end_date", "ssh_host", "ssh_port", "public_ipaddr", "ports",
    "image_runtype", "status_msg", "geolocation", "inet_up_cost", "actual_status", "cur_state", "intended_status",
    "cpu_ram", "reliability", "rentable", "machine_id",
]  # fmt: skip
RUNPOD = [
    "id", "name", "status", "disk", "mounts", "gpu", "dataCenterId", "cost", "ssh", "runtime", "createdAt", "locked",
    "price", "maxCount", "memory", "secure", "community", "availability",
]  # fmt: skip
TENSORDOCK = [
    "id", "name", "status", "ipAddress", "portForwards", "resources", "rateHourly", "region", "available_resources",
    "pricing", "location", "uptime_percentage", "attributes", "data",
]  # fmt: skip
LAMBDA = ["id", "name", "ip", "status", "region", "instance_type", "regions_with_capacity_available", "ssh_port"]
READERS: list[tuple[list[str], Callable[[Mapping[str, Any]], object]]] = [
    (VAST, vast_rows.reading),
    (VAST, lambda row: vast_rows.offer(row, Search())),
    (VAST, lambda row: vast_rows.offer(row, Search(spot=True))),
    (RUNPOD, runpod_rows.reading),
    (RUNPOD, lambda row: runpod_rows.offers_of(row, Search())),
    (TENSORDOCK, tensordock_rows.reading),
    (TENSORDOCK, lambda row: tensordock_rows.offers_of(row, Search())),
    (LAMBDA, lambda_cloud.reading),
    (LAMBDA, lambda_cloud.offers_of),
]


@pytest.mark.parametrize(("names", "read"), READERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_row_of_nonsense_is_read(
    names: list[str], read: Callable[[Mapping[str, Any]], object], data: st.DataObject
) -> None:
    fields = data.draw(st.dictionaries(st.sampled_from(names), NONSENSE))

    seen = read(fields)

    if isinstance(seen, Reading):
        assert isinstance(seen.state, State)
        assert isinstance(seen.bills, Bills)
        assert f"{seen.id}{seen.label}{seen.words}{seen.message}{seen.gpu}{seen.region}".isprintable()
        assert all(address.host.isprintable() and 0 < address.port < 65536 for address in seen.addresses)
        json.dumps(seen.raw)


@given(value=NONSENSE)
def test_a_field_of_nonsense_is_read(value: Any) -> None:
    amount, cost = number(value), price(value)

    assert amount is None or amount.is_finite()
    assert cost is None or cost >= 0
    assert whole(value) >= 0
    assert text(value).isprintable()
    assert identity(value).isprintable()
    assert isinstance(moment(value), datetime | None)


def test_money_is_read_to_the_last_digit() -> None:
    assert number(0.1) == Decimal("0.1")
    assert number("0.44") == Decimal("0.44")
    assert number(True) is None
    assert number("NaN") is None
    assert number(float("inf")) is None
