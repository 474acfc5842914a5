"""Lambda: virtual machines with Ubuntu. There is no stop: a machine bills from running to terminated."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, ClassVar

from providers.clouds import gpus, regions
from providers.clouds.adapter import Refusing, base_url_of, body_of_key, cheapest, cloud_init
from providers.clouds.base import (
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
from providers.clouds.fields import Row, identity, kept, price, row, rows, text, whole
from providers.clouds.pace import ALL, Limit
from providers.clouds.wire import Answer, Wire, quoted
from providers.errors import KeyRefused, ProviderError, ServiceFailed

BASE_URL = "https://cloud.lambda.ai/api/v1"
LIMITS = {ALL: Limit(1.05), "create": Limit(12.5)}
"""A request a second, and a launch in twelve, which is counted where it arrives."""
_MAX_NAME, _MAX_USER_DATA = 64, 1_000_000
_STATES = {
    "booting": (State.STARTING, Bills.NOTHING),
    "active": (State.RUNNING, Bills.EVERYTHING),
    "unhealthy": (State.LOST, Bills.EVERYTHING),
    "terminating": (State.DESTROYING, Bills.EVERYTHING),
    "terminated": (State.GONE, Bills.NOTHING),
    "preempted": (State.OUTBID, Bills.NOTHING),
}
"""Billing runs from the first `active` to the end; one that is `unhealthy` bills on. See also `reading`."""
_RAW = ("status", "ssh_key_names", "file_system_names", "is_reserved", "hostname", "private_ip")
_SHOWS_ADDRESS = frozenset({State.RUNNING, State.LOST, State.STARTING, State.UNKNOWN})


class LambdaCloud(Refusing):
    title: ClassVar[str] = "Lambda"
    can: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.OFFERS,
            Capability.CREATE,
            Capability.DESTROY,
            Capability.START_SCRIPT,
            Capability.REBOOT,
        }
    )

    def __init__(self, host: CloudHost, clock: Clock) -> None:
        base_url = base_url_of(host.base_url, BASE_URL)
        self._wire = Wire(host, clock, base_url=base_url, judge=self._judge, limits=LIMITS)
        self._key_names: dict[str, str] = {}

    async def machines(self) -> list[Reading]:
        listed = row(await self._wire.ask("list", "GET", "instances")).get("data")
        if not isinstance(listed, list):
            raise self._wire.bad_reply("there is no list of instances in it")
        return [one for fields in rows(listed) if (one := reading(fields)).id]

    async def machine(self, id: str) -> Reading | None:  # noqa: A002
        try:
            answer = await self._wire.ask("show", "GET", f"instances/{quoted(id)}")
        except NotThere:
            return None
        fields = row(row(answer).get("data"))
        return reading(fields) if identity(fields.get("id")) else None

    async def offers(self, search: Search) -> list[Offer]:
        if search.spot:
            return []
        types = row(row(await self._wire.ask("offers", "GET", "instance-types")).get("data"))
        return cheapest([one for fields in types.values() for one in offers_of(row(fields))], search)

    async def create(self, order: Order) -> Created:
        self.check_order(order)
        if not 0 < len(order.label) <= _MAX_NAME:
            raise OrderRefused(f"A name at Lambda has 1 to {_MAX_NAME} characters.")
        instance_type, _, region = order.offer.id.partition("@")
        body: dict[str, Any] = {
            "region_name": region,
            "instance_type_name": instance_type,
            "ssh_key_names": [await self._key_name(order.public_key)],
            "name": order.label,
        }
        if boot := cloud_init(order):
            # JSON is YAML as well.
            body["user_data"] = f"#cloud-config\n{json.dumps(boot)}\n"
            if len(body["user_data"].encode()) > _MAX_USER_DATA:
                raise OrderRefused("The start script is larger than the 1 MB that Lambda takes.")
        answer = await self._wire.ask("create", "POST", "instance-operations/launch", body=body, again=False)
        made = row(row(answer).get("data")).get("instance_ids")
        if not isinstance(made, list) or not made or not identity(made[0]):
            raise AnswerLost(
                f"{self._wire.place} accepted the order but named no machine; whether it was carried out is unknown.",
                hint="It is looked for by its label.",
            )
        return Created(identity(made[0]))

    async def _key_name(self, public_key: str) -> str:
        """The name under which the account has this key; a launch names keys, it does not carry them."""
        ours = body_of_key(public_key)
        if ours not in self._key_names:
            await self._read_keys()
        if ours not in self._key_names:
            from hashlib import sha256

            name = f"hawser-{sha256(ours.encode()).hexdigest()[:12]}"
            try:
                await self._wire.ask("keys", "POST", "ssh-keys", body={"name": name, "public_key": public_key.strip()})
                self._key_names[ours] = name
            except CloudError:
                # Somebody else added it in the same moment, or we did, and the answer was lost.
                await self._read_keys()
                if ours not in self._key_names:
                    raise
        return self._key_names[ours]

    async def _read_keys(self) -> None:
        answer = await self._wire.ask("keys", "GET", "ssh-keys")
        self._key_names = {
            body_of_key(key): name
            for one in rows(row(answer).get("data"))
            if isinstance(key := one.get("public_key"), str) and isinstance(name := one.get("name"), str)
        }

    async def destroy(self, id: str) -> None:  # noqa: A002
        try:
            await self._wire.ask("destroy", "POST", "instance-operations/terminate", body={"instance_ids": [id]})
        except NotThere:
            return

    async def reboot(self, id: str) -> None:  # noqa: A002
        await self._wire.ask("reboot", "POST", "instance-operations/restart", body={"instance_ids": [id]})

    async def close(self) -> None:
        await self._wire.close()

    def _judge(self, answer: Answer) -> ProviderError | None:
        if answer.is_success and "error" not in answer.row:
            return None
        where, code = self._wire.place, answer.code
        tail = f"{answer.said or code}{'' if answer.said.endswith(('.', '!', '?', '…')) else '.'}"
        if code.endswith("insufficient-capacity"):
            return NoCapacity(f"{where} has none of these now: {tail}")
        if code == "global/invalid-api-key":
            return KeyRefused(f"{where} does not accept the key: {tail}", host=self._wire.name)
        if code == "global/account-inactive":
            return CloudError(f"The account at {where} is not active: {tail}")
        if code == "global/object-does-not-exist":
            known = OrderRefused if answer.kind == "create" else NotThere
            return known(f"{where} does not know it: {tail}")
        if code == "global/quota-exceeded":
            return OrderRefused(f"{where} gives this account no more machines: {tail}")
        if answer.status == 409 and answer.kind == "reboot":
            return CannotDo(f"{where} cannot restart it now: {tail}")
        return ServiceFailed(f"{where} reports an error: {tail}") if answer.is_success else None


def reading(fields: Row) -> Reading:
    word = text(fields.get("status"), 60)
    state, bills = _STATES.get(word, (State.UNKNOWN, Bills.UNKNOWN))
    kind, place = row(fields.get("instance_type")), row(fields.get("region"))
    specs = row(kind.get("specs"))
    cents = price(kind.get("price_cents_per_hour"))
    gpu = text(kind.get("gpu_description")) or text(kind.get("description"))
    ip = text(fields.get("ip"), 100)
    if state is State.STARTING and ip:
        bills = Bills.EVERYTHING  # it has run before: this is a restart
    port = whole(fields.get("ssh_port")) or 22  # which only a stand-in tells
    return Reading(
        id=identity(fields.get("id")),
        label=text(fields.get("name")),
        state=state,
        bills=bills,
        words=word,
        usd_per_hour=None if cents is None else cents / 100,
        addresses=(Address(ip, port, "ubuntu"),) if ip and state in _SHOWS_ADDRESS else (),
        gpu=gpus.shown(gpu) if gpu else "",
        gpu_count=whole(specs.get("gpus")),
        vram_gb=gpus.vram_gb(gpu) if gpu else None,
        disk_gb=price(specs.get("storage_gib")),
        region=_region(place),
        raw={**kept(fields, _RAW), "instance_type": text(kind.get("name"))},
    )


def offers_of(fields: Row) -> list[Offer]:
    """One for every region that has the type now."""
    kind = row(fields.get("instance_type"))
    specs = row(kind.get("specs"))
    cents, name = price(kind.get("price_cents_per_hour")), text(kind.get("name"))
    gpu = text(kind.get("gpu_description"))
    if cents is None or not name or not whole(specs.get("gpus")):
        return []
    return [
        Offer(
            id=f"{name}@{text(place.get('name'))}",
            gpu=gpus.shown(gpu),
            gpu_count=whole(specs.get("gpus")),
            vram_gb=gpus.vram_gb(gpu) or Decimal(0),
            usd_per_hour=cents / 100,
            disk_gb=price(specs.get("storage_gib")),
            cpus=price(specs.get("vcpus")),
            ram_gb=price(specs.get("memory_gib")),
            region=_region(place),
            raw=kept(kind, ("name", "description", "price_cents_per_hour")),
        )
        for place in rows(fields.get("regions_with_capacity_available"))
        if text(place.get("name"))
    ]


def _region(fields: Row) -> str:
    return regions.place(text(fields.get("name")), text(fields.get("description")))
