"""The twin of TensorDock: real machines on hosts, over API v2, and v0 for what v2 lacks (`tensordock_v0.py`).

Two kinds of stop. The plain one holds the GPU and bills everything as before; with `disassociate_resources=true` the
GPU goes and only the disk is billed. What the price in an answer says is the same in every state.

Its pages and its service disagree about shapes, so `quirks` says what this one is like. Behind real machines the
external port of SSH is the machine's own and not the one that was ordered: an address is to be read anew at each start.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

from providers.simulated.clouds import tensordock_places as places
from providers.simulated.clouds.billing import ChargeKind
from providers.simulated.clouds.faults import ActiveFaults, Call, CloudFaultKind
from providers.simulated.clouds.hosts import Host
from providers.simulated.clouds.limits import Window, Windows
from providers.simulated.clouds.market import NoGpuError
from providers.simulated.clouds.rental import ON_THE_WAY, Order, Phase, Rental
from providers.simulated.clouds.tensordock_orders import BadOrderError, change_from, check_parts, order_from
from providers.simulated.clouds.tensordock_orders import Order as Wanted
from providers.simulated.clouds.tensordock_shapes import ListShape, ShowShape, Spelling, listed, shown, spelled
from providers.simulated.clouds.tensordock_v0 import V0
from providers.simulated.clouds.twin import CloudTwin, Route
from providers.simulated.clouds.wire import Answer, Asked, Identity, RefusedError, as_json, form_fields
from providers.simulated.http_server import Request

LEAST_BALANCE_USD = Decimal(1)
REQUESTS_PER_MINUTE = Window("minute", 100, 60)
SSH_PORT = 22
_PORTS_PER_HOST = 40
_SECRET_TYPES = ("SSHKEY",)
_USUAL = {
    400: "Bad request",
    401: "Unauthorized",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    429: "Rate limit exceeded",
    500: "Internal server error",
}
_WORDS = {
    Phase.QUEUED: "queued",
    Phase.RUNNING: "running",
    Phase.DIED: "stopped",
    Phase.BROKEN: "error",
    Phase.STOPPING: "stopping",
    Phase.DESTROYING: "deleting",
    Phase.GONE: "deleted",
}


class ReleaseBy(StrEnum):
    """Where a stop may carry `disassociate_resources`."""

    BODY = "body"
    FORM = "form"
    QUERY = "query"


class Quirks(NamedTuple):
    list_shape: ListShape = ListShape.FLAT
    show_shape: ShowShape = ShowShape.BARE
    spelling: Spelling = Spelling.LOWER
    release_by: frozenset[ReleaseBy] = frozenset(ReleaseBy)
    """Which of them this service looks at; a stop that says it otherwise is a plain one."""
    create_status: str | None = "running"
    """What the answer to a create says, whatever is so."""
    error_inside_create: bool = True
    """A create that is refused answers 200 all the same, with the error in the body."""
    success_as_text: bool = False
    """v0 says "true" and "false" in quotes."""


class TensorDockTwin(CloudTwin):
    name: ClassVar[str] = "tensordock"
    ssh_user: ClassVar[str] = "user"

    def __init__(self, *, quirks: Quirks | None = None, **how: Any) -> None:
        self.quirks = quirks or Quirks()
        self._ids = random.Random(how.get("seed", 0))  # noqa: S311 - ids only
        self._secrets: dict[str, tuple[str, str]] = {}
        self._limit = Windows([REQUESTS_PER_MINUTE])
        self._v0 = V0(self)
        super().__init__(**how)

    @classmethod
    def default_hosts(cls) -> list[Host]:
        return places.hosts()

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/api/v2"

    def new_id(self) -> str:
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def tariff(self, rental: Rental) -> Mapping[ChargeKind, Decimal]:
        disk = {ChargeKind.DISK: rental.disk_gb * places.disk_usd_per_gb_hour(rental.host)}
        return {ChargeKind.GPU: rental.usd_per_hour, **disk} if rental.holds_gpu else disk

    def add_routes(self) -> None:
        base = "/api/v2"
        self.route("GET", f"{base}/locations", Call.OFFERS, self._locations, is_open=True)
        self.route("GET", f"{base}/hostnodes", Call.OFFERS, self._hostnodes)
        self.route("GET", f"{base}/hostnodes/{{hostnode}}", Call.OFFERS, self._hostnode)
        self.route("GET", f"{base}/instances", Call.LIST, self._list)
        self.route("POST", f"{base}/instances", Call.CREATE, self._create)
        self.route("GET", f"{base}/instances/{{id}}", Call.SHOW, self._show)
        self.route("DELETE", f"{base}/instances/{{id}}", Call.DESTROY, self._delete)
        self.route("POST", f"{base}/instances/{{id}}/start", Call.START, self._start)
        self.route("POST", f"{base}/instances/{{id}}/stop", Call.STOP, self._stop)
        self.route("PUT", f"{base}/instances/{{id}}/modify", Call.CHANGE, self._modify)
        self.route("GET", f"{base}/secrets", Call.KEYS, self._list_secrets)
        self.route("POST", f"{base}/secrets", Call.KEYS, self._add_secret)
        self.route("GET", f"{base}/secrets/{{secret}}", Call.KEYS, self._show_secret)
        self.route("DELETE", f"{base}/secrets/{{secret}}", Call.KEYS, self._remove_secret)
        self.route("POST", f"{base}/auth/test", Call.ACCOUNT, self._auth_test)
        self._v0.add_routes("/api/v0")

    def error(self, status: int, message: str = "", code: str = "") -> Answer:
        words = message or _USUAL.get(status, "Something went wrong")
        return as_json({"error": words, "status": status}, status)

    def no_route(self, request: Request) -> Answer:
        is_known = any(route.pattern.fullmatch(request.path) for route in self._routes)
        return self.error(405 if is_known else 404)

    def limit(self, asked: Asked) -> Answer | None:
        """Per organisation, so all keys and both APIs count together."""
        if not self.has_limits or self._limit.take("", self.now) is None:
            return None
        return self.error(429)

    def key_of(self, request: Request) -> str | None:
        return self._v0.key_of(request) if self._v0.is_for(request) else super().key_of(request)

    def _identity(self, request: Request, route: Route, faults: ActiveFaults) -> Identity:
        try:
            return super()._identity(request, route, faults)
        except RefusedError:
            if self._v0.is_for(request):
                raise RefusedError(self._v0.refused(401, "Invalid API key or token")) from None
            raise

    # for tests

    def reclaim(self, machine_id: str) -> None:
        """Let the host take its GPU back, as those of a low tier do."""
        self.market.advance()
        self.market.stop(self.market.rentals[machine_id])

    # what there is

    async def _locations(self, asked: Asked) -> Answer:
        return as_json({"data": {"locations": places.location_rows(self._free())}})

    async def _hostnodes(self, asked: Asked) -> Answer:
        wanted = asked.request.query.get("gpu_model")
        rows = [
            places.hostnode_row(host, gpus, self.free_ports(host))
            for host, gpus in self._free()
            if wanted in (None, places.v0_name(host.gpu))
        ]
        return as_json({"data": {"hostnodes": rows}})

    async def _hostnode(self, asked: Asked) -> Answer:
        for host, gpus in self._free():
            if places.hostnode_id(host) == asked.parts["hostnode"]:
                return as_json({"data": places.hostnode_row(host, gpus, self.free_ports(host))})
        return self.error(404, "Hostnode not found")

    def _free(self) -> list[tuple[Host, int]]:
        hosts = self.market.hosts.values()
        return [(host, self.market.free_gpus(host)) for host in hosts if host.is_online and host.is_listed]

    def free_ports(self, host: Host) -> set[int]:
        first = 20_000 + host.id % 100 * 100
        used = {
            external
            for rental in self.market.alive()
            if rental.host is host
            for _, external in rental.extra["forwards"]
        }
        return set(range(first, first + _PORTS_PER_HOST)) - used

    # machines

    def status_of(self, rental: Rental) -> str:
        """The status word, in lower case."""
        if rental.phase in ON_THE_WAY:
            return "starting" if rental.has_run else "creating"
        if rental.phase is Phase.STOPPED:
            return "stopped" if rental.keeps_gpu else "stoppeddisassociated"
        return _WORDS[rental.phase]

    def said_status(self, rental: Rental, asked: Asked) -> str:
        if fault := asked.faults.on(CloudFaultKind.ODD_STATUS, rental.id):
            return fault.text or "defragmenting"
        status = self.status_of(rental)
        if asked.faults.on(CloudFaultKind.LYING_STATUS, rental.id) and rental.phase is Phase.RUNNING:
            status = "stopped"
        if asked.faults.on(CloudFaultKind.STALE, rental.id) and rental.phase in (Phase.STOPPING, Phase.STOPPED):
            status = "running"
        return spelled(status, self.quirks.spelling)

    def seen(self, asked: Asked) -> list[Rental]:
        """The machines as this call gets to see them."""
        return [rental for rental in self.market.alive() if not asked.faults.on(CloudFaultKind.MISSING, rental.id)]

    def address_of(self, rental: Rental) -> str:
        place = self.place(rental)
        return "" if place is None else place.host

    def forwards_of(self, rental: Rental) -> list[dict[str, int]]:
        """Internal and external ports, while there is an address."""
        place = self.direct_place(rental)
        if place is None:
            return []
        forwards = list(rental.extra["forwards"])
        if self.with_machines:
            forwards = [
                (inside, place.port if inside == SSH_PORT else self.service_port(rental, inside))
                for inside in dict.fromkeys([SSH_PORT, *(inside for inside, _ in forwards)])
            ]
        return [{"internal_port": inside, "external_port": outside} for inside, outside in forwards]

    def usd_per_hour_of(self, rental: Rental) -> Decimal:
        """What the answers say: the same in every state."""
        return rental.usd_per_hour + rental.disk_gb * places.disk_usd_per_gb_hour(rental.host)

    def _row(self, rental: Rental, asked: Asked) -> dict[str, Any]:
        gpu = places.v0_name(rental.host.gpu)
        return {
            "id": rental.id,
            "name": rental.label,
            "status": self.said_status(rental, asked),
            "ipAddress": self.address_of(rental),
            "portForwards": self.forwards_of(rental),
            "resources": {
                "vcpu_count": rental.extra["vcpus"],
                "ram_gb": rental.extra["ram_gb"],
                "storage_gb": int(rental.disk_gb),
                "gpus": {gpu: {"count": rental.gpus, "v0Name": gpu}} if rental.gpus else {},
            },
            "rateHourly": self.usd_per_hour_of(rental),
            "region": rental.host.region,
        }

    async def _list(self, asked: Asked) -> Answer:
        return as_json(listed([self._row(rental, asked) for rental in self.seen(asked)], self.quirks.list_shape))

    async def _show(self, asked: Asked) -> Answer:
        rental = self._named(asked)
        if asked.faults.on(CloudFaultKind.MISSING, rental.id):
            return self.error(404, "Instance not found")
        return as_json(shown(self._row(rental, asked), self.quirks.show_shape))

    def _named(self, asked: Asked) -> Rental:
        rental = self.rental_of(asked)
        if rental is None:
            raise RefusedError(self.error(404, "Instance not found"))
        return rental

    # create and change

    async def _create(self, asked: Asked) -> Answer:
        try:
            wanted = order_from(asked.body)
        except BadOrderError as problem:
            return self._create_refused(str(problem))
        if self.market.balance_usd < LEAST_BALANCE_USD:
            return self._create_refused(f"You need at least ${LEAST_BALANCE_USD} in your account to deploy")
        host = self._host_for(wanted)
        if host is None or CloudFaultKind.NO_GPU in asked.faults:
            return self._create_refused("Hostnode unavailable")
        key = wanted.ssh_key
        if wanted.ssh_key_id:
            if wanted.ssh_key_id not in self._secrets:
                return self._create_refused("SSH key not found")
            key = self._secrets[wanted.ssh_key_id][1]
        rental = self.market.rent(_ordered(wanted, host, key))
        self.afflict(rental, asked.faults)
        if CloudFaultKind.REMNANT in asked.faults:
            return self._create_refused("Deployment failed")
        data = {"type": "virtualmachine", "id": rental.id, "name": rental.label, "status": self.quirks.create_status}
        if self.quirks.create_status is None:
            del data["status"]
        return as_json({"data": data})

    def _create_refused(self, message: str) -> Answer:
        return self.error_inside(message) if self.quirks.error_inside_create else self.error(400, message)

    def _host_for(self, wanted: Wanted) -> Host | None:
        """A host that is or lies where it is wanted, with everything free."""
        for host in self.market.hosts.values():
            is_there = wanted.hostnode_id == places.hostnode_id(host) or wanted.location_id == places.location_id(host)
            has_gpus = wanted.gpu_count == 0 or wanted.gpu == places.v0_name(host.gpu)
            has_ports = {external for _, external in wanted.forwards} <= self.free_ports(host)
            fits = wanted.vcpus <= host.cpu_cores and wanted.ram_gb <= host.ram_gb and wanted.storage_gb <= host.disk_gb
            has_address = host.has_static_address or not wanted.has_dedicated_ip
            suits = is_there and has_gpus and has_ports and fits and has_address
            if suits and self.market.can_hold(host, wanted.gpu_count):
                return host
        return None

    async def _modify(self, asked: Asked) -> Answer:
        rental = self._named(asked)
        if rental.phase is not Phase.STOPPED:
            return self.error(400, "Instance must be stopped to be modified")
        try:
            change = change_from(asked.body)
            vcpus = rental.extra["vcpus"] if change.vcpus is None else change.vcpus
            ram_gb = rental.extra["ram_gb"] if change.ram_gb is None else change.ram_gb
            disk_gb = int(rental.disk_gb) if change.storage_gb is None else change.storage_gb
            check_parts(vcpus, ram_gb, disk_gb)
        except BadOrderError as problem:
            return self.error(400, str(problem))
        host = rental.host
        if vcpus > host.cpu_cores or ram_gb > host.ram_gb or disk_gb > host.disk_gb:
            return self.error(400, "Not enough resources on this hostnode")
        if disk_gb < rental.disk_gb:
            return self.error(400, "Storage can only be increased")
        if change.gpu not in (None, places.v0_name(host.gpu)):
            return self.error(400, "GPU model is not available on this hostnode")
        gpus = rental.gpus if change.gpu_count is None else change.gpu_count
        if gpus > host.gpus or (rental.keeps_gpu and gpus - rental.gpus > self.market.free_gpus(host)):
            return self.error(400, "Not enough GPUs on this hostnode")
        rental.gpus, rental.disk_gb = gpus, Decimal(disk_gb)
        rental.extra |= {"vcpus": vcpus, "ram_gb": ram_gb}
        self.market.raise_price(rental, places.usd_per_hour(host, gpus, vcpus, ram_gb))
        return self._accepted(rental, self.status_of(rental))

    # start, stop, delete

    async def _start(self, asked: Asked) -> Answer:
        rental = self._named(asked)
        if problem := self.start(rental, asked):
            return self.error(409 if problem == self.why_not_started(rental) else 400, problem)
        return self._accepted(rental, "starting")

    def why_not_started(self, rental: Rental) -> str | None:
        if rental.phase in (Phase.STOPPED, Phase.STOPPING, Phase.QUEUED, Phase.BROKEN):
            return None
        return f"Machine is {self.status_of(rental)}, therefore it cannot be started"

    def start(self, rental: Rental, asked: Asked) -> str | None:
        """Start it, or say why not."""
        if problem := self.why_not_started(rental):
            return problem
        if CloudFaultKind.NOT_DONE in asked.faults:
            return None
        if CloudFaultKind.NO_GPU in asked.faults and not rental.keeps_gpu:
            return "Not enough GPUs available on the hostnode to start this machine"
        self.afflict(rental, asked.faults)
        try:
            self.market.start(rental)
        except NoGpuError:
            return "Not enough GPUs available on the hostnode to start this machine"
        return None

    async def _stop(self, asked: Asked) -> Answer:
        rental = self._named(asked)
        if problem := self.stop(rental, asked, releases=self._wants_release(asked)):
            return self.error(409, problem)
        return self._accepted(rental, "stopping")

    def _wants_release(self, asked: Asked) -> bool:
        name = "disassociate_resources"
        said = {
            ReleaseBy.BODY: asked.fields.get(name),
            ReleaseBy.FORM: form_fields(asked.request).get(name),
            ReleaseBy.QUERY: asked.request.query.get(name),
        }
        return any(str(said[way]).lower() in ("true", "1") for way in self.quirks.release_by)

    def stop(self, rental: Rental, asked: Asked, *, releases: bool) -> str | None:
        """Stop it, or say why not. What holds its GPU while it is stopped may be stopped again to let it go."""
        is_down = rental.phase in (Phase.STOPPED, Phase.STOPPING, Phase.DESTROYING, Phase.BROKEN)
        if is_down and not (releases and rental.keeps_gpu):
            return f"Machine is {self.status_of(rental)}, therefore it cannot be stopped"
        if CloudFaultKind.NOT_DONE not in asked.faults:
            takes_s = asked.faults.number(CloudFaultKind.SLOW_STOP, 600)
            self.market.stop(rental, takes_s, keeps_gpu=not releases)
        return None

    async def _delete(self, asked: Asked) -> Answer:
        rental = self._named(asked)
        if CloudFaultKind.NOT_DONE not in asked.faults:
            self.market.destroy(rental)
        return as_json(
            {"data": {"type": "success", "attributes": {"message": "Instance deleted successfully"}}},
        )

    def _accepted(self, rental: Rental, status: str) -> Answer:
        return as_json({"data": {"type": "instance", "id": rental.id, "attributes": {"status": status}}})

    # secrets

    async def _list_secrets(self, asked: Asked) -> Answer:
        rows = [{"type": "SSHKEY", "id": number, "name": name} for number, (name, _) in self._secrets.items()]
        return as_json({"data": {"secrets": rows}})

    async def _add_secret(self, asked: Asked) -> Answer:
        data = asked.fields.get("data")
        attributes = data.get("attributes") if isinstance(data, dict) else None
        if not isinstance(attributes, dict) or attributes.get("type") not in _SECRET_TYPES:
            return self.error(400, "Invalid secret type")
        name, value = attributes.get("name"), attributes.get("value")
        if not isinstance(name, str) or not isinstance(value, str) or not name or not value:
            return self.error(400, "name and value are required")
        number = self.new_id()
        self._secrets[number] = (name, value)
        return as_json({"data": {"type": "secret", "id": number, "name": name}})

    async def _show_secret(self, asked: Asked) -> Answer:
        number = asked.parts["secret"]
        if number not in self._secrets:
            return self.error(404, "Secret not found")
        return as_json({"data": {"type": "SSHKEY", "id": number, "name": self._secrets[number][0]}})

    async def _remove_secret(self, asked: Asked) -> Answer:
        if self._secrets.pop(asked.parts["secret"], None) is None:
            return self.error(404, "Secret not found")
        return as_json({"data": {"type": "success", "attributes": {"message": "Secret deleted successfully"}}})

    async def _auth_test(self, asked: Asked) -> Answer:
        return as_json({"success": True})


def _ordered(wanted: Wanted, host: Host, key: str) -> Order:
    return Order(
        host=host,
        gpus=wanted.gpu_count,
        image=wanted.image,
        usd_per_hour=places.usd_per_hour(host, wanted.gpu_count, wanted.vcpus, wanted.ram_gb),
        disk_gb=Decimal(wanted.storage_gb),
        label=wanted.name,
        script=_script(wanted.cloud_init),
        keys=tuple(key.splitlines()),
        has_ssh=wanted.image != "windows10",
        extra={
            "vcpus": wanted.vcpus,
            "ram_gb": wanted.ram_gb,
            "forwards": wanted.forwards,
            "has_dedicated_ip": wanted.has_dedicated_ip,
            "cloud_init": wanted.cloud_init,
        },
    )


def _script(cloud_init: Mapping[str, Any]) -> str:
    commands = cloud_init.get("runcmd")
    if not isinstance(commands, list):
        return ""
    return "\n".join(" ".join(map(str, line)) if isinstance(line, list) else str(line) for line in commands)
