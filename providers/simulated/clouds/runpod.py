"""RunPod on loopback: REST v2 under `/v2`, and its GraphQL (`runpod_graphql.py`) under `/graphql`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from providers.simulated.clouds import runpod_orders
from providers.simulated.clouds.account import new_key
from providers.simulated.clouds.billing import HOURS_PER_MONTH, Bill, ChargeKind
from providers.simulated.clouds.faults import ActiveFaults, Call, CloudFaultKind
from providers.simulated.clouds.hosts import A100, H100, L40S, RTX_3090, RTX_4090, RTX_5090, Host
from providers.simulated.clouds.limits import Window, Windows
from providers.simulated.clouds.market import NoGpuError
from providers.simulated.clouds.rental import Order, Phase, Rental
from providers.simulated.clouds.runpod_graphql import RunPodGraphQl
from providers.simulated.clouds.runpod_orders import InvalidOrderError, PodOrder
from providers.simulated.clouds.runpod_pods import Mapped, actions, pod_row, port_parts
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.wire import Answer, Asked, Place, RefusedError, as_json, iso
from providers.simulated.http_server import Headers, Request

NO_FREE_GPU = "There are not enough free GPUs on the host machine to start this pod."
NO_INSTANCES = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
WINDOWS = (Window("minute", 60, 60), Window("hour", 3_000, 3_600), Window("day", 50_000, 86_400))
_POLICY = ", ".join(f'"{window.name}";q={window.requests};w={window.length_s}' for window in WINDOWS)
_RUNNING_DISK = Decimal("0.10")
_STOPPED_DISK = Decimal("0.20")
_NETWORK_DISK = Decimal("0.07")
_LARGE_NETWORK_DISK = Decimal("0.05")
_LARGE_GB = 1_000
_POOLS = {
    RTX_3090: "AMPERE_24",
    RTX_4090: "ADA_24",
    RTX_5090: "ADA_32_PRO",
    L40S: "ADA_48_PRO",
    A100: "AMPERE_80",
    H100: "HOPPER_80",
}
_TITLES = {
    400: ("Bad Request", "bad request"),
    401: ("Unauthorized", "missing bearer token"),
    402: ("Payment Required", "insufficient balance"),
    403: ("Forbidden", "not allowed"),
    404: ("Not Found", "pod not found"),
    409: ("Conflict", "action not valid for current pod status"),
    422: ("Unprocessable Entity", "validation failed"),
    429: ("Too Many Requests", "rate limit exceeded for the minute window"),
    500: ("Internal Server Error", "internal server error"),
}
_BUCKETS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
_BUCKET_NAMES = (*_BUCKETS, "month", "year")


class RunPodTwin(RunPodGraphQl, CloudTwin):
    name: ClassVar[str] = "runpod"
    key_prefix: ClassVar[str] = "rpa_"
    port_after_s: ClassVar[float] = 1.0
    """How long a pod says RUNNING before it has its ports."""

    def __init__(self, **common: Any) -> None:
        self._windows = Windows(WINDOWS)
        self.forbidden_pools: set[str] = set()
        """Pools this account may not rent from."""
        self.spend_limit = 80
        self.network_volumes: dict[str, dict[str, Any]] = {}
        super().__init__(**common)
        self.market.destroys_when_broke = lambda rental: not (rental.extra["mounts"] or {}).get("network")

    @classmethod
    def default_hosts(cls) -> list[Host]:
        def host(number: int, gpu: Any, gpus: int, usd: str, bid: str | None, datacenter: str, **traits: Any) -> Host:
            least = None if bid is None else Decimal(bid)
            return Host(number, gpu, gpus, Decimal(usd), least, datacenter=datacenter, **traits)

        return [
            host(61, RTX_4090, 8, "0.69", "0.35", "EU-RO-1", region="Romania, RO"),
            host(62, RTX_4090, 4, "0.34", "0.20", "US-KS-2", region="Kansas, US", is_secure=False),
            host(63, RTX_4090, 2, "0.69", "0.35", "EU-SE-1", region="Sweden, SE"),
            host(64, RTX_3090, 4, "0.22", "0.11", "CA-MTL-1", region="Canada, CA", is_secure=False),
            host(65, RTX_5090, 4, "0.89", "0.53", "US-IL-1", region="Illinois, US", down_mbit_per_s=4_000.0),
            host(66, L40S, 4, "0.86", "0.50", "EU-RO-1", region="Romania, RO", down_mbit_per_s=4_000.0),
            host(67, A100, 8, "1.49", "0.82", "US-KS-2", region="Kansas, US", ram_gb=1_024, down_mbit_per_s=8_000.0),
            host(68, H100, 8, "2.69", "1.65", "EU-RO-1", region="Romania, RO", ram_gb=1_024, down_mbit_per_s=8_000.0),
        ]

    def new_id(self) -> str:
        return "".join(self.market.random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=14))

    def tariff(self, rental: Rental) -> Mapping[ChargeKind, Decimal]:
        """GPU and both disks while it holds a GPU; stopped, the volume at the double rate; terminated, nothing."""
        if rental.phase is Phase.DESTROYING:
            return {}
        volume_gb, container_gb = Decimal(rental.extra["volume_gb"]), Decimal(rental.extra["disk"])
        if not rental.holds_gpu:
            return {ChargeKind.DISK: volume_gb * _STOPPED_DISK / HOURS_PER_MONTH}
        disk = (volume_gb + container_gb) * _RUNNING_DISK / HOURS_PER_MONTH
        return {ChargeKind.GPU: rental.usd_per_hour, ChargeKind.DISK: disk}

    def add_network_volume(self, name: str, size_gb: int, datacenter: str) -> str:
        """A disk of its own that bills by itself; its id goes into `mounts.network`."""
        self.market.advance()
        volume_id = f"vol{len(self.network_volumes) + 1:07d}"
        self.network_volumes[volume_id] = {
            "id": volume_id, "name": name, "size": size_gb, "dataCenterId": datacenter,
        }  # fmt: skip
        rate = _NETWORK_DISK if size_gb <= _LARGE_GB else _LARGE_NETWORK_DISK
        self.market.bill_besides(Bill(volume_id), {ChargeKind.DISK: size_gb * rate / HOURS_PER_MONTH})
        return volume_id

    def environment(self, rental: Rental) -> Mapping[str, str]:
        own = {"RUNPOD_POD_ID": rental.id, "RUNPOD_API_KEY": rental.own_key}
        return {**rental.extra["env"], **own, "RUNPOD_DC_ID": rental.host.datacenter}

    def add_routes(self) -> None:
        self.route("GET", "/v2/pods", Call.LIST, self._list)
        self.route("POST", "/v2/pods", Call.CREATE, self._create)
        self.route("GET", "/v2/pods/{id}", Call.SHOW, self._show)
        self.route("PATCH", "/v2/pods/{id}", Call.CHANGE, self._change)
        self.route("DELETE", "/v2/pods/{id}", Call.DESTROY, self._delete)
        self.route("POST", "/v2/pods/{id}/action", _call_of_action, self._action)
        self.route("GET", "/v2/pods/{id}/logs", Call.LOGS, self._logs)
        self.route("GET", "/v2/catalog/gpus", Call.OFFERS, self._gpus)
        self.route("GET", "/v2/catalog/datacenters", Call.OFFERS, self._datacenters)
        self.route("GET", "/v2/account/ssh-keys", Call.KEYS, self._keys)
        self.route("PUT", "/v2/account/ssh-keys", Call.KEYS, self._set_keys)
        self.route("GET", "/v2/billing/pods", Call.BILLING, self._billing)
        self.add_graphql()

    # errors and limits

    def error(self, status: int, message: str = "", code: str = "") -> Answer:
        title, detail = _TITLES.get(status, ("Error", "something went wrong"))
        return _problem({"title": title, "status": status, "detail": message or detail}, status)

    def error_inside(self, message: str) -> Answer:
        return as_json({"errors": [{"message": message}], "data": None})

    def limit(self, asked: Asked) -> Answer | None:
        if asked.identity.machine_id is not None and asked.call not in (Call.SHOW, Call.STOP, Call.DESTROY, Call.OTHER):
            return self.error(403)
        if not self.has_limits or asked.request.path.startswith("/graphql"):
            return None
        full = self._windows.take(asked.identity.key, self.market.now)
        if full is None:
            return None
        answer = self.error(429, f"rate limit exceeded for the {full.name} window")
        return answer._replace(headers=[("Retry-After", str(self._windows.reset_s(full, self.market.now)))])

    def headers(self, asked: Asked) -> list[tuple[str, str]]:
        if not asked.identity.key:
            return []
        state = self._windows.state(asked.identity.key, self.market.now)
        left = ", ".join(f'"{name}";r={left};t={reset_s}' for name, (left, reset_s) in state.items())
        return [("RateLimit", left), ("RateLimit-Policy", _POLICY)]

    # pods

    async def _list(self, asked: Asked) -> Answer:
        pods = [
            self.pod(rental, asked.faults)
            for rental in self.market.alive()
            if not asked.faults.on(CloudFaultKind.MISSING, rental.id)
        ]
        return as_json({"pods": pods})

    async def _show(self, asked: Asked) -> Answer:
        rental = self._found(asked)
        if asked.faults.on(CloudFaultKind.MISSING, rental.id):
            raise RefusedError(self.error(404))
        return as_json(self.pod(rental, asked.faults))

    def pod(self, rental: Rental, faults: ActiveFaults) -> dict[str, Any]:
        return pod_row(rental, self.market.now, faults, self.mapped(rental))

    def mapped(self, rental: Rental) -> Mapped:
        """Its ports outside; none until it runs and has them."""
        now = self.market.now
        place = self.direct_place(rental) if rental.phase is Phase.RUNNING else None
        if place is None or rental.runs_for(now) < timedelta(seconds=self.port_after_s):
            return Mapped()
        mapped = Mapped()
        for number, kind in map(port_parts, rental.extra["ports"]):
            if kind == "tcp":
                port = place.port if number == 22 else self.service_port(rental, number) or 0
                mapped[number] = Place(place.host, port)
        rental.extra["last_places"] = mapped
        return mapped

    async def _create(self, asked: Asked) -> Answer:
        try:
            order = runpod_orders.read(asked.fields)
        except InvalidOrderError as problem:
            raise RefusedError(self._invalid(problem)) from None
        return as_json(self.pod(self.deploy(order, asked.faults), ActiveFaults()), 201)

    def deploy(self, order: PodOrder, faults: ActiveFaults) -> Rental:
        """A new pod; RefusedError with RunPod's words when there is none to be had."""
        if self.market.balance_usd <= 0:
            raise RefusedError(self.error(402))
        gpu = next((host.gpu for host in self.market.hosts.values() if host.gpu.full_name == order.gpu_id), None)
        if gpu is not None and _POOLS.get(gpu) in self.forbidden_pools:
            raise RefusedError(self.error(403, f"pool {_POOLS[gpu]} is not allowed for this account"))
        self._check_volumes(order)
        host = runpod_orders.place(order, self.market)
        if host is None or CloudFaultKind.NO_GPU in faults:
            raise RefusedError(self.error(400, NO_INSTANCES))
        is_remnant = CloudFaultKind.REMNANT in faults
        rental = self.market.rent(
            self._order(order, host)._replace(wants_to_run=not is_remnant),
            prepare=lambda rental: self.afflict(rental, faults),
        )
        rental.own_key = new_key("rps_")
        if is_remnant:
            raise RefusedError(self.error(500, "failed to start the pod"))
        return rental

    def _check_volumes(self, order: PodOrder) -> None:
        for mount in (order.mounts or {}).get("network") or ():
            volume = self.network_volumes.get(str(mount["volumeId"]))
            if volume is None:
                raise RefusedError(self.error(400, "network volume not found"))
            if order.datacenters and volume["dataCenterId"] not in order.datacenters:
                raise RefusedError(self.error(400, "network volume is in another data center"))

    def _order(self, order: PodOrder, host: Host) -> Order:
        env = dict(order.env)
        if order.start_ssh and self.account.ssh_keys and "PUBLIC_KEY" not in env:
            env["PUBLIC_KEY"] = "\n".join(self.account.public_keys())
        keys = tuple(line.strip() for line in env.get("PUBLIC_KEY", "").splitlines() if line.strip())
        bid = None if order.bid_per_gpu is None else order.bid_per_gpu * order.gpus
        return Order(
            host=host,
            gpus=order.gpus,
            image=order.image,
            usd_per_hour=host.usd_per_gpu_hour * order.gpus if bid is None else bid,
            disk_gb=Decimal(order.disk_gb),
            label=order.name,
            script=order.args,
            env=env,
            bid=bid,
            keys=keys,
            has_ssh="22/tcp" in order.ports and bool(keys) and runs_sshd(order.image, order.args),
            extra={
                "args": order.args,
                "disk": order.disk_gb,
                "env": env,
                "ports": list(order.ports),
                "registry": order.registry,
                "mounts": order.mounts,
                "volume_gb": order.volume_gb,
                "locked": order.locked,
                "proxy_suffix": f"{self.market.random.getrandbits(32):08x}",
            },
        )

    async def _action(self, asked: Asked) -> Answer:
        rental = self._found(asked)
        match asked.fields.get("action"):
            case "start" | "stop" | "restart" as action:
                self.act(rental, action, asked.faults)
                return as_json(self.pod(rental, ActiveFaults()))
            case "terminate":
                self.terminate(rental, asked.faults)
                return Answer(204)
            case _:
                problem = InvalidOrderError("action", "expected start, stop, restart or terminate")
                raise RefusedError(self._invalid(problem))

    def act(self, rental: Rental, action: str, faults: ActiveFaults) -> None:
        """Start, stop or restart; RefusedError with RunPod's words when that cannot be."""
        if action not in actions(rental):
            raise RefusedError(self.error(409))
        if CloudFaultKind.NOT_DONE in faults:
            return
        match action:
            case "stop":
                self.market.stop(rental, faults.number(CloudFaultKind.SLOW_STOP, 600))
            case "restart":
                if rental.phase is Phase.RUNNING:
                    rental.starts += 1
                    self.market.restart(rental)
            case _:
                if self.market.balance_usd <= 0:
                    raise RefusedError(self.error(402))
                self.afflict(rental, faults)
                if CloudFaultKind.NO_GPU in faults:
                    raise RefusedError(self.error(400, NO_FREE_GPU))
                try:
                    self.market.start(rental)
                except NoGpuError:
                    raise RefusedError(self.error(400, NO_FREE_GPU)) from None

    def terminate(self, rental: Rental, faults: ActiveFaults) -> None:
        if CloudFaultKind.NOT_DONE not in faults:
            self.market.destroy(rental)

    async def _delete(self, asked: Asked) -> Answer:
        self.terminate(self._found(asked), asked.faults)
        return Answer(204)

    async def _change(self, asked: Asked) -> Answer:
        rental = self._found(asked)
        fields = asked.fields
        try:
            ports = runpod_orders.read_ports(fields.get("ports") or rental.extra["ports"])
        except InvalidOrderError as problem:
            raise RefusedError(self._invalid(problem)) from None
        if "name" in fields:
            rental.label = str(fields["name"])
        if "locked" in fields:
            rental.extra["locked"] = bool(fields["locked"])
        needs_reset = any(name in fields for name in ("image", "ports", "disk", "env", "args"))
        rental.extra["ports"] = list(ports)
        for name in ("disk", "env", "args"):
            rental.extra[name] = fields.get(name, rental.extra[name])
        if fields.get("image") not in (None, rental.image):
            rental.image = str(fields["image"])
            rental.has_image = False
        if needs_reset and rental.phase is Phase.RUNNING:
            rental.starts += 1
            self.market.restart(rental)
        return as_json(self.pod(rental, ActiveFaults()))

    def _found(self, asked: Asked) -> Rental:
        rental = self.rental_of(asked)
        if rental is None:
            raise RefusedError(self.error(404))
        return rental

    def _invalid(self, problem: InvalidOrderError) -> Answer:
        errors = [{"location": f"body.{problem.field}", "message": str(problem)}]
        return _problem({"title": "Unprocessable Entity", "status": 422, "detail": str(problem), "errors": errors}, 422)

    # logs

    async def _logs(self, asked: Asked) -> Answer:
        rental = self._found(asked)
        last_id = asked.request.headers.get("last-event-id", "")
        return Answer(200, content_type="text/event-stream", lines=self._follow_log(rental, last_id))

    async def _follow_log(self, rental: Rental, last_id: str) -> AsyncIterator[bytes]:
        """All there is after `last_id`, and what comes, until the pod is gone."""
        position = 0
        while True:
            for line in rental.log[position:]:
                moment = line.moment.isoformat(timespec="microseconds")
                if moment > last_id:
                    said = json.dumps({"source": line.source, "line": line.text, "ts": moment})
                    yield f"id: {moment}\ndata: {said}\n\n".encode()
            position = len(rental.log)
            if rental.is_gone:
                return
            await self.watch.until(lambda: len(rental.log) > position or rental.is_gone)  # noqa: B023

    # catalogue

    async def _gpus(self, asked: Asked) -> Answer:
        wants_stock = "AVAILABILITY" in asked.request.query.get("include", "").split(",")
        rows = []
        for gpu in _POOLS:
            hosts = [host for host in self.market.hosts.values() if host.gpu is gpu]
            if hosts:
                rows.append(self._gpu_row(gpu, hosts, wants_stock))
        return as_json({"gpus": rows})

    def _gpu_row(self, gpu: Any, hosts: list[Host], wants_stock: bool) -> dict[str, Any]:
        pools = {"secure": [host for host in hosts if host.is_secure]}
        pools["community"] = [host for host in hosts if not host.is_secure]
        row = {
            "id": gpu.full_name,
            "name": gpu.name,
            "pool": _POOLS[gpu],
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
            raise RefusedError(self._invalid(InvalidOrderError("keys", "expected array of strings")))
        self.replace_keys(keys)
        return await self._keys(asked)

    def replace_keys(self, keys: list[str]) -> None:
        self.account.ssh_keys.clear()
        for key in keys:
            self.account.add_key(key, self.market.now)

    async def _billing(self, asked: Asked) -> Answer:
        bucket = asked.request.query.get("bucketSize", "day")
        if bucket not in _BUCKET_NAMES:
            raise RefusedError(self._invalid(InvalidOrderError("bucketSize", f"one of {', '.join(_BUCKET_NAMES)}")))
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


def runs_sshd(image: str, args: str) -> bool:
    """Only RunPod's own images put PUBLIC_KEY to use; others need a command that does."""
    return image.startswith("runpod/") or "sshd" in args


def _problem(fields: dict[str, Any], status: int, headers: Headers = ()) -> Answer:
    return as_json(fields, status, headers=headers, content_type="application/problem+json")


def _call_of_action(request: Request, body: Any) -> Call:
    action = body.get("action") if isinstance(body, dict) else None
    calls = {"start": Call.START, "stop": Call.STOP, "restart": Call.RESTART, "terminate": Call.DESTROY}
    return calls.get(str(action), Call.OTHER)


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
