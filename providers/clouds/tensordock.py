"""TensorDock: virtual machines on hosts. Its stop comes in two kinds, of which one goes on costing everything.

API v2, whose pages and service disagree about shapes, so that answers are read leniently. The account's balance is only
in the older v0, which wants a key of its own: it is told where the key in the settings is `API_KEY:API_TOKEN`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from providers.clouds.adapter import Refusing, base_url_of, cheapest, cloud_init
from providers.clouds.base import (
    Account,
    AnswerLost,
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
)
from providers.clouds.fields import Row, identity, number, row, rows, whole
from providers.clouds.pace import ALL, Limit
from providers.clouds.tensordock_rows import (
    LEAST_DISK_GB,
    has_way_in,
    instance,
    instances,
    offers_of,
    parts_of,
    reading,
    word_of,
)
from providers.clouds.wire import AlreadySo, Answer, Wire, quoted
from providers.errors import KeyRefused, OutOfCredit, ProviderError, RateLimited, ServiceFailed

BASE_URL = "https://dashboard.tensordock.com/api/v2"
OLD_URL = "https://marketplace.tensordock.com/api/v0"
IMAGE = "ubuntu2404_ml_everything"
LIMITS = {ALL: Limit(0.66, burst=9)}
"""100 requests a minute for the whole organisation."""
RELEASE = {"disassociate_resources": True}
"""Gives the GPU back. Where v2 looks for it, nobody knows, so it is said in the body and in the query."""
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
        listed = instances(answer)
        if listed is None:
            raise self._wire.bad_reply("there is no list of instances in it")
        found = [await self._filled(fields) for fields in listed if identity(fields.get("id"))]
        self._details = {id_: fields for fields in found if (id_ := identity(fields.get("id")))}
        return [reading(fields) for fields in found]

    async def _filled(self, fields: Row) -> Row:
        """A row with all its fields. Lists may tell no more than a name and a state: the rest is asked for where it is
        not known, or where it may have changed with the state."""
        before = self._details.get(identity(fields.get("id")), {})
        if word_of(fields) == word_of(before) and (has_way_in(before) or word_of(fields) != "running"):
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
        fields = instance(await self._wire.ask("show", "GET", f"instances/{quoted(id)}"))
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
        node = instance(await self._wire.ask("offers", "GET", f"hostnodes/{quoted(node_id)}"))
        parts = parts_of(row(node.get("available_resources")), order.offer.gpu_count)
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
