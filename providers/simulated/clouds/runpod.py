"""RunPod on loopback: REST v2 under `/v2`, and its GraphQL (`runpod_graphql.py`) under `/graphql`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
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
from providers.simulated.clouds.runpod_account import POOLS, RunPodAccount, problem
from providers.simulated.clouds.runpod_graphql import RunPodGraphQl
from providers.simulated.clouds.runpod_orders import InvalidOrderError, PodOrder
from providers.simulated.clouds.runpod_pods import Mapped, actions, pod_row, port_parts
from providers.simulated.clouds.wire import Answer, Asked, Place, RefusedError, as_json
from providers.simulated.http_server import Request

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


class RunPodTwin(RunPodAccount, RunPodGraphQl):
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
        self.add_account_routes()
        self.add_graphql()

    # errors and limits

    def error(self, status: int, message: str = "", code: str = "") -> Answer:
        title, detail = _TITLES.get(status, ("Error", "something went wrong"))
        return problem({"title": title, "status": status, "detail": message or detail}, status)

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
            raise RefusedError(self.invalid(problem)) from None
        return as_json(self.pod(self.deploy(order, asked.faults), ActiveFaults()), 201)

    def deploy(self, order: PodOrder, faults: ActiveFaults) -> Rental:
        """A new pod; RefusedError with RunPod's words when there is none to be had."""
        if self.market.balance_usd <= 0:
            raise RefusedError(self.error(402))
        gpu = next((host.gpu for host in self.market.hosts.values() if host.gpu.full_name == order.gpu_id), None)
        if gpu is not None and POOLS.get(gpu) in self.forbidden_pools:
            raise RefusedError(self.error(403, f"pool {POOLS[gpu]} is not allowed for this account"))
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
                raise RefusedError(self.invalid(problem))

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
            changed = runpod_orders.read_change(fields)
        except InvalidOrderError as problem:
            raise RefusedError(self.invalid(problem)) from None
        if "name" in fields:
            rental.label = str(fields["name"])
        if "locked" in fields:
            rental.extra["locked"] = bool(fields["locked"])
        needs_reset = any(name in fields for name in ("image", "ports", "disk", "env", "args"))
        rental.extra |= changed
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


def runs_sshd(image: str, args: str) -> bool:
    """Only RunPod's own images put PUBLIC_KEY to use; others need a command that does."""
    return image.startswith("runpod/") or "sshd" in args


def _call_of_action(request: Request, body: Any) -> Call:
    action = body.get("action") if isinstance(body, dict) else None
    calls = {"start": Call.START, "stop": Call.STOP, "restart": Call.RESTART, "terminate": Call.DESTROY}
    return calls.get(str(action), Call.OTHER)
