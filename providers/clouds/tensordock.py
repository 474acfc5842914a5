"""TensorDock: virtual machines on hosts. Its stop comes in two kinds, of which one goes on costing everything.

API v2, whose pages and service disagree about shapes, so that answers are read leniently. The account's balance is only
in the older v0, which wants a key of its own: it is told where the key in the settings is `API_KEY:API_TOKEN`.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any, ClassVar

from providers.clouds import gpus, regions
from providers.clouds.adapter import Refusing, base_url_of, cheapest, cloud_init
from providers.clouds.base import (
    Account,
    Address,
    AnswerLost,
    Bills,
    CannotDo,
    Capability,
    Clock,
    CloudError,
    CloudHost,
    Created,
    NoCapacity,
    NotThere,
    Offer,
    Order,
    OrderRefused,
    Reading,
    Search,
    State,
)
from providers.clouds.fields import Row, identity, kept, number, price, row, rows, text, whole
from providers.clouds.pace import ALL, Limit
from providers.clouds.wire import AlreadySo, Answer, Wire, quoted
from providers.errors import KeyRefused, OutOfCredit, ProviderError, RateLimited, ServiceFailed

BASE_URL = "https://dashboard.tensordock.com/api/v2"
OLD_URL = "https://marketplace.tensordock.com/api/v0"
IMAGE = "ubuntu2404_ml_everything"
LEAST_DISK_GB = Decimal(100)
LIMITS = {ALL: Limit(0.66, burst=9)}
"""100 requests a minute for the whole organisation."""
RELEASE = {"disassociate_resources": True}
"""Gives the GPU back. Where v2 looks for it, nobody knows, so it is said in the body and in the query."""
_RAM_GB = (2, 4, 6, 8, 10, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 512)
_CPUS, _RAM = 8, 32
"""What is taken for each GPU, where the host has it."""
_STATES = {
    "creating": (State.STARTING, Bills.EVERYTHING),
    "starting": (State.STARTING, Bills.EVERYTHING),
    "queued": (State.QUEUED, Bills.DISK),
    "running": (State.RUNNING, Bills.EVERYTHING),
    "stopping": (State.STOPPING, Bills.EVERYTHING),
    "stopped": (State.STOPPED, Bills.EVERYTHING),
    "stoppeddisassociated": (State.STOPPED, Bills.DISK),
    "outbid": (State.OUTBID, Bills.DISK),
    "deleting": (State.DESTROYING, Bills.EVERYTHING),
    "deleted": (State.GONE, Bills.NOTHING),
    "terminated": (State.GONE, Bills.NOTHING),
    "error": (State.BROKEN, Bills.UNKNOWN),
}
_HELD = "It is stopped but holds its GPU, which costs as much as running."
_SHOWS_ADDRESS = frozenset({State.RUNNING, State.STARTING, State.STOPPING, State.UNKNOWN})
_RAW = ("status", "rateHourly", "resources", "region", "type", "hostnode_id", "location_id")
_DETAILS = ("rateHourly", "resources")
_NO_ROOM = ("unavailable", "not enough", "no available", "no capacity", "insufficient resources", "out of stock")


class TensorDock(Refusing):
    title: ClassVar[str] = "TensorDock"
    can: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.STOP,
            Capability.STOP_FREES_GPU,
            Capability.OFFERS,
            Capability.CREATE,
            Capability.DESTROY,
            Capability.START_SCRIPT,
        }
    )

    def __init__(self, host: CloudHost, clock: Clock) -> None:
        self._old_key, colon, token = (host.key or "").rpartition(":")
        known = host._replace(key=token or None) if colon else host
        self._wire = Wire(known, clock, base_url=base_url_of(host.base_url, BASE_URL), judge=self._judge, limits=LIMITS)
        self._token = token
        old_url = OLD_URL if host.base_url is None else base_url_of(host.base_url, BASE_URL).replace("/v2/", "/v0/")
        self._old_wire = Wire(
            known, clock, base_url=f"{old_url.rstrip('/')}/", judge=self._judge, pace=self._wire.pace, shows_key=False
        )
        self._details: dict[str, Row] = {}

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.can | {Capability.BALANCE} if self._old_key else self.can

    # ---- what there is

    async def machines(self) -> list[Reading]:
        answer = await self._wire.ask("list", "GET", "instances")
        listed = _instances(answer)
        if listed is None:
            raise self._wire.bad_reply("there is no list of instances in it")
        found = [await self._filled(fields) for fields in listed if identity(fields.get("id"))]
        self._details = {id_: fields for fields in found if (id_ := identity(fields.get("id")))}
        return [reading(fields) for fields in found]

    async def _filled(self, fields: Row) -> Row:
        """A row with all its fields. Lists may tell no more than a name and a state: the rest is asked for where it is
        not known, or where it may have changed with the state."""
        before = self._details.get(identity(fields.get("id")), {})
        if _word(fields) == _word(before) and (_has_way_in(before) or _word(fields) != "running"):
            return {**before, **fields}
        if all(name in fields for name in (*_DETAILS, "ipAddress")):
            return fields
        try:
            shown = await self._shown(identity(fields["id"]))
        except NotThere:
            shown = None
        return {**before, **(shown or {}), **fields}

    async def machine(self, id: str) -> Reading | None:  # noqa: A002
        try:
            shown = await self._shown(id)
        except NotThere:
            return None
        return None if shown is None else reading(shown)

    async def _shown(self, id: str) -> Row | None:  # noqa: A002
        fields = _instance(await self._wire.ask("show", "GET", f"instances/{quoted(id)}"))
        return fields if identity(fields.get("id")) else None

    async def offers(self, search: Search) -> list[Offer]:
        if search.spot:
            return []
        answer = row(await self._wire.ask("offers", "GET", "hostnodes"))
        nodes = rows(row(answer.get("data")).get("hostnodes"))
        return cheapest([one for node in nodes for one in offers_of(node, search)], search)

    # ---- renting

    async def create(self, order: Order) -> Created:
        self.check_order(order)
        node_id, _, gpu = order.offer.id.partition("/")
        node = _instance(await self._wire.ask("offers", "GET", f"hostnodes/{quoted(node_id)}"))
        parts = _parts(row(node.get("available_resources")), order.offer.gpu_count)
        attributes: dict[str, Any] = {
            "name": order.label,
            "type": "virtualmachine",
            "image": IMAGE,
            "resources": {
                "vcpu_count": parts[0],
                "ram_gb": parts[1],
                "storage_gb": int(max(order.disk_gb, LEAST_DISK_GB)),
                "gpus": {gpu: {"count": order.offer.gpu_count}},
            },
            "hostnode_id": node_id,
            "ssh_key": order.public_key.strip(),
            **self._ways_in(node, order),
        }
        if boot := cloud_init(order):
            attributes["cloud_init"] = boot
        body = {"data": {"type": "virtualmachine", "attributes": attributes}}
        answer = row(await self._wire.ask("create", "POST", "instances", body=body, again=False))
        made = identity(row(answer.get("data")).get("id"))
        if not made:
            raise AnswerLost(
                f"{self._wire.place} accepted the order but named no machine; whether it was carried out is unknown.",
                hint="It is looked for by its label.",
            )
        return Created(made)

    def _ways_in(self, node: Row, order: Order) -> dict[str, Any]:
        there = row(node.get("available_resources"))
        free = there.get("available_ports")
        ports = [port for port in free if isinstance(port, int)] if isinstance(free, list) else []
        inside = [22, *order.ports]
        if len(ports) >= len(inside):
            pairs = zip(inside, ports, strict=False)
            return {"port_forwards": [{"internal_port": one, "external_port": other} for one, other in pairs]}
        if there.get("has_public_ip_available") is True:
            return {"useDedicatedIp": True}
        raise NoCapacity(f"This host of {self._wire.place} has no port left for SSH.")

    async def start(self, id: str) -> None:  # noqa: A002
        with suppress(AlreadySo):
            await self._wire.ask("start", "POST", f"instances/{quoted(id)}/start", body={})

    async def stop(self, id: str) -> None:  # noqa: A002
        query = {name: str(value).lower() for name, value in RELEASE.items()}
        with suppress(AlreadySo):
            await self._wire.ask("stop", "POST", f"instances/{quoted(id)}/stop", body=RELEASE, query=query)

    async def destroy(self, id: str) -> None:  # noqa: A002
        try:
            await self._wire.ask("destroy", "DELETE", f"instances/{quoted(id)}")
        except NotThere:
            return

    async def account(self) -> Account:
        if not self._old_key:
            raise self._cannot(
                "tells the balance only to its older API", hint="Store the key as API_KEY:API_TOKEN to have it told."
            )
        form = {"api_key": self._old_key, "api_token": self._token}
        fields = row(await self._old_wire.ask("account", "POST", "billing/balance", form=form))
        return Account(number(fields.get("balance")), number(fields.get("hourly_cost")))

    async def close(self) -> None:
        await self._wire.close()
        await self._old_wire.close()

    # ---- what its refusals mean

    def _judge(self, answer: Answer) -> ProviderError | None:
        fields = answer.row
        status = answer.status
        if answer.is_success:
            if "error" not in fields and str(fields.get("success", True)).lower() != "false":
                return None
            status = whole(fields.get("status")) or 400
        where, said = self._wire.place, answer.said or f"status {status}"
        tail = f"{said}{'' if said.endswith(('.', '!', '?', '…')) else '.'}"
        if status == 429:
            return RateLimited(f"{where} has had too many requests: {tail}", retry_after_s=answer.wait_s)
        if status in (401, 403):
            return KeyRefused(f"{where} does not accept the key: {tail}", host=self._wire.name)
        if answer.kind in ("start", "stop") and _is_done(answer.kind, said.lower()):
            return AlreadySo(f"{where}: {tail}")
        if status == 404 and answer.kind != "create" and fields:
            return NotThere(f"{where} does not know it: {tail}")
        if answer.mentions("you need at least", "insufficient balance", "insufficient funds"):
            return OutOfCredit(f"The account at {where} cannot pay for this: {tail}")
        if answer.kind == "start" and status < 500:
            return NoCapacity(
                f"{where} does not start it: {tail}",
                hint="Its GPU may have gone to somebody else; its disk is kept, and billed.",
            )
        if answer.kind == "create" and status < 500:
            if answer.mentions(*_NO_ROOM):
                return NoCapacity(f"{where} has no room for this order: {tail}")
            return OrderRefused(f"{where} refuses the order: {tail}")
        if answer.kind == "stop" and status < 500:
            return CannotDo(f"{where} cannot stop it now: {tail}")
        if not answer.is_success:
            return None
        if status >= 500:
            return ServiceFailed(f"{where} failed (status {status}): {tail}", status=status)
        return CloudError(f"{where} refuses this (status {status}): {tail}")


def _is_done(kind: str, said: str) -> bool:
    """Some refusals say that there is nothing left to do."""
    if kind == "start":
        return any(words in said for words in ("is running", "already running", "must be stopped", "is starting"))
    return any(words in said for words in ("is stopp", "already stopped", "not running"))


def _word(fields: Row) -> str:
    spelled = text(fields.get("status"), 60).lower()
    return spelled.replace("_", "").replace("-", "").replace(" ", "")


def _instances(answer: Any) -> list[Row] | None:
    """The rows of a list in any of its shapes, each with its attributes at the top."""
    data = row(answer).get("data", answer)
    for listed in (data, row(data).get("instances"), row(row(data).get("attributes")).get("instances")):
        if isinstance(listed, list):
            return [_flat(fields) for fields in rows(listed)]
    return None


def _instance(answer: Any) -> Row:
    """One thing, bare, in `data`, or in `data.attributes`."""
    fields = row(answer)
    return _flat(row(fields["data"]) if isinstance(fields.get("data"), dict) else fields)


def _flat(fields: Row) -> Row:
    return {**fields, **row(fields.get("attributes"))}


def _forwards(fields: Row) -> list[tuple[int, int]]:
    """Inside and outside; v0 has a map from the outside."""
    listed = fields.get("portForwards", fields.get("port_forwards"))
    if isinstance(listed, dict):
        return [(whole(inside), whole(outside)) for outside, inside in listed.items()]
    return [(whole(pair.get("internal_port")), whole(pair.get("external_port"))) for pair in rows(listed)]


def _addresses(fields: Row) -> tuple[Address, ...]:
    host = text(fields.get("ipAddress"), 100)
    if not host:
        return ()
    forwards = _forwards(fields)
    outside = [port for inside, port in forwards if inside == 22 and 0 < port < 65536]
    if not outside and "portForwards" not in fields and "port_forwards" not in fields:
        return ()
    return tuple(Address(host, port, "user") for port in outside or [22])


def _has_way_in(fields: Row) -> bool:
    return bool(_addresses(fields))


def _gpus(resources: Row) -> tuple[str, int]:
    for name, amount in row(resources.get("gpus")).items():
        return text(row(amount).get("v0Name")) or text(name), whole(row(amount).get("count"))
    return "", 0


def reading(fields: Row) -> Reading:
    state, bills = _STATES.get(_word(fields), (State.UNKNOWN, Bills.UNKNOWN))
    resources = row(fields.get("resources"))
    gpu, count = _gpus(resources)
    return Reading(
        id=identity(fields.get("id")),
        label=text(fields.get("name")),
        state=state,
        bills=bills,
        words=text(fields.get("status"), 60),
        message=_HELD if (state, bills) == (State.STOPPED, Bills.EVERYTHING) else "",
        usd_per_hour=price(fields.get("rateHourly")),
        addresses=_addresses(fields) if state in _SHOWS_ADDRESS else (),
        gpu=gpus.shown(gpu) if gpu else "",
        gpu_count=count,
        vram_gb=gpus.vram_gb(gpu) if gpu else None,
        disk_gb=price(resources.get("storage_gb")),
        region=regions.place(text(fields.get("region"))),
        host=identity(fields.get("hostnode_id")),
        raw=kept(fields, _RAW),
    )


def _parts(there: Row, count: int) -> tuple[int, int]:
    """Processors, of which there must be an even number, and memory, of which there are only certain sizes."""
    cpus, ram_gb = _CPUS * count, _RAM * count
    for name, share in (("vcpu_count", 1), ("max_vcpus_per_gpu", count)):
        cpus = min(cpus, whole(there.get(name)) * share or cpus)
    for name, share in (("ram_gb", 1), ("max_ram_per_gpu", count)):
        ram_gb = min(ram_gb, whole(there.get(name)) * share or ram_gb)
    return max(2, cpus - cpus % 2), max((size for size in _RAM_GB if size <= ram_gb), default=_RAM_GB[0])


def offers_of(node: Row, search: Search) -> list[Offer]:
    """What a host has free, with as much of a machine around each GPU as we would take."""
    there, prices, place = row(node.get("available_resources")), row(node.get("pricing")), row(node.get("location"))
    disk_gb = max(search.disk_gb, LEAST_DISK_GB)
    disk = (price(prices.get("per_gb_storage_hr")) or Decimal(0)) * disk_gb
    uptime = price(node.get("uptime_percentage"))
    cpus, ram_gb = _parts(there, search.gpu_count)
    parts = (price(prices.get("per_vcpu_hr")) or 0) * cpus + (price(prices.get("per_gb_ram_hr")) or 0) * ram_gb
    found: list[Offer] = []
    for fields in rows(there.get("gpus")):
        name, each = text(fields.get("v0Name")), price(fields.get("price_per_hr"))
        free = whole(fields.get("availableCount"))
        has_door = there.get("has_public_ip_available") is True or there.get("available_ports") != []
        if not name or each is None or free < search.gpu_count or not has_door:
            continue
        found.append(
            Offer(
                id=f"{identity(node.get('id'))}/{name}",
                gpu=gpus.shown(name),
                gpu_count=search.gpu_count,
                vram_gb=gpus.vram_gb(name) or Decimal(0),
                usd_per_hour=each * search.gpu_count + parts + disk,
                disk_usd_per_hour=disk,
                disk_gb=price(there.get("storage_gb")),
                cpus=Decimal(cpus),
                ram_gb=Decimal(ram_gb),
                down_mbps=_mbps(place.get("network_speed_gbps")),
                up_mbps=_mbps(place.get("network_speed_upload_gbps")),
                reliability=None if uptime is None else uptime / 100,
                region=regions.place(*(text(place.get(name)) for name in ("city", "stateprovince", "country"))),
                host=identity(node.get("id")),
                available=free // search.gpu_count,
                raw={"tier": place.get("tier"), "location_id": node.get("location_id"), "price_per_hr": float(each)},
            )
        )
    return found


def _mbps(gbps: object) -> Decimal | None:
    speed = price(gbps)
    return None if speed is None else speed * 1000
