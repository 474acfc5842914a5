"""What RunPod's REST v2 has besides pods: the catalogue, the account's keys, and what pods have cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from providers.simulated.clouds.billing import ChargeKind
from providers.simulated.clouds.faults import Call
from providers.simulated.clouds.hosts import A100, H100, L40S, RTX_3090, RTX_4090, RTX_5090, Gpu, Host
from providers.simulated.clouds.runpod_orders import InvalidOrderError
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.wire import Answer, Asked, RefusedError, as_json, iso
from providers.simulated.http_server import Headers

POOLS: Mapping[Gpu, str] = {
    RTX_3090: "AMPERE_24",
    RTX_4090: "ADA_24",
    RTX_5090: "ADA_32_PRO",
    L40S: "ADA_48_PRO",
    A100: "AMPERE_80",
    H100: "HOPPER_80",
}
_BUCKETS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
_BUCKET_NAMES = (*_BUCKETS, "month", "year")


class RunPodAccount(CloudTwin):
    """The part of the twin that is about the account."""

    def add_account_routes(self) -> None:
        self.route("GET", "/v2/catalog/gpus", Call.OFFERS, self._gpus)
        self.route("GET", "/v2/catalog/datacenters", Call.OFFERS, self._datacenters)
        self.route("GET", "/v2/account/ssh-keys", Call.KEYS, self._keys)
        self.route("PUT", "/v2/account/ssh-keys", Call.KEYS, self._set_keys)
        self.route("GET", "/v2/billing/pods", Call.BILLING, self._billing)

    # catalogue

    async def _gpus(self, asked: Asked) -> Answer:
        wants_stock = "AVAILABILITY" in asked.request.query.get("include", "").split(",")
        rows = []
        for gpu in POOLS:
            hosts = [host for host in self.market.hosts.values() if host.gpu is gpu]
            if hosts:
                rows.append(self._gpu_row(gpu, hosts, wants_stock))
        return as_json({"gpus": rows})

    def _gpu_row(self, gpu: Gpu, hosts: list[Host], wants_stock: bool) -> dict[str, Any]:
        pools = {"secure": [host for host in hosts if host.is_secure]}
        pools["community"] = [host for host in hosts if not host.is_secure]
        row = {
            "id": gpu.full_name,
            "name": gpu.name,
            "pool": POOLS[gpu],
            "manufacturer": "NVIDIA",
            "memory": gpu.memory_gb,
            "secure": bool(pools["secure"]),
            "community": bool(pools["community"]),
            "price": {
                name: min((host.usd_per_gpu_hour for host in some), default=None) for name, some in pools.items()
            },
            "maxCount": {name: max((host.gpus for host in some), default=0) for name, some in pools.items()},
        }
        return {**row, "availability": self._level(hosts)} if wants_stock else row

    def _level(self, hosts: list[Host]) -> str:
        free = sum(self.market.free_gpus(host) for host in hosts if host.is_online and host.is_listed)
        return "NONE" if free == 0 else "LOW" if free <= 2 else "MEDIUM" if free <= 6 else "HIGH"

    async def _datacenters(self, asked: Asked) -> Answer:
        wants_stock = "GPU_AVAILABILITY" in asked.request.query.get("include", "").split(",")
        places: dict[str, list[Host]] = {}
        for host in self.market.hosts.values():
            places.setdefault(host.datacenter, []).append(host)
        rows = []
        for name, hosts in places.items():
            row: dict[str, Any] = {"id": name, "name": name, "location": hosts[0].region}
            if wants_stock:
                row["gpuAvailability"] = [
                    {"gpuId": gpu.full_name, "availability": self._level([host for host in hosts if host.gpu is gpu])}
                    for gpu in dict.fromkeys(host.gpu for host in hosts)
                ]
            rows.append(row)
        return as_json({"dataCenters": rows})

    # account

    async def _keys(self, asked: Asked) -> Answer:
        return as_json({"keys": list(self.account.public_keys())})

    async def _set_keys(self, asked: Asked) -> Answer:
        keys = asked.fields.get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise RefusedError(self.invalid(InvalidOrderError("keys", "expected array of strings")))
        self.replace_keys(keys)
        return await self._keys(asked)

    def replace_keys(self, keys: list[str]) -> None:
        self.account.ssh_keys.clear()
        for key in keys:
            self.account.add_key(key, self.market.now)

    async def _billing(self, asked: Asked) -> Answer:
        bucket = asked.request.query.get("bucketSize", "day")
        if bucket not in _BUCKET_NAMES:
            raise RefusedError(self.invalid(InvalidOrderError("bucketSize", f"one of {', '.join(_BUCKET_NAMES)}")))
        wanted = asked.request.query.get("podId")
        now = self.market.now
        records: list[dict[str, Any]] = []
        for rental in self.market.rentals.values():
            if wanted is not None and wanted != rental.id:
                continue
            since = _floor(rental.created_at, bucket)
            while since <= now:
                until = _next(since, bucket)
                if sums := rental.bill.between(since, until, now):
                    records.append(
                        {"startTime": iso(since), "endTime": iso(until), "podId": rental.id, **_amounts(sums)}
                    )
                since = until
        names = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")
        totals = {name: sum((Decimal(record[name]) for record in records), Decimal(0)) for name in names}
        counts = {"recordCount": len(records), "uniquePodCount": len({record["podId"] for record in records})}
        return as_json({"records": records, "metadata": {**counts, "totals": totals}})

    def invalid(self, cause: InvalidOrderError) -> Answer:
        errors = [{"location": f"body.{cause.field}", "message": str(cause)}]
        return problem({"title": "Unprocessable Entity", "status": 422, "detail": str(cause), "errors": errors}, 422)


def problem(fields: dict[str, Any], status: int, headers: Headers = ()) -> Answer:
    return as_json(fields, status, headers=headers, content_type="application/problem+json")


def _floor(moment: datetime, bucket: str) -> datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match bucket:
        case "hour":
            return moment.replace(minute=0, second=0, microsecond=0)
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)
        case _:
            return day


def _next(moment: datetime, bucket: str) -> datetime:
    if bucket in _BUCKETS:
        return moment + _BUCKETS[bucket]
    if bucket == "year":
        return moment.replace(year=moment.year + 1)
    return (moment + timedelta(days=32)).replace(day=1)


def _amounts(sums: Mapping[ChargeKind, Decimal]) -> dict[str, Decimal]:
    gpu, disk = sums.get(ChargeKind.GPU, Decimal(0)), sums.get(ChargeKind.DISK, Decimal(0))
    return {"totalAmount": gpu + disk, "gpuAmount": gpu, "cpuAmount": Decimal(0), "diskAmount": disk}
