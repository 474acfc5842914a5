"""RunPod: containers on hosts, over REST v2; only the balance is asked of its older GraphQL.

A stopped pod keeps its volume, at double rate, and its place on one host: a start is refused while that host has no GPU
free. What is outside the volume is wiped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import ROUND_CEILING
from typing import Any, ClassVar

from providers.clouds import regions
from providers.clouds.adapter import Refusing, base_url_of, body_of_key, cheapest
from providers.clouds.base import (
    Account,
    AnswerLost,
    CannotDo,
    Capability,
    Charge,
    ChargeKind,
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
from providers.clouds.fields import identity, moment, number, row, rows, text
from providers.clouds.pace import ALL, Limit
from providers.clouds.runpod_rows import CONTAINER_GB, LEAST_VOLUME_GB, offers_of, reading
from providers.clouds.wire import Answer, Wire, quoted
from providers.errors import ProviderError, ServiceFailed

BASE_URL = "https://api.runpod.io/v2"
DEFAULT_IMAGE = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"
LIMITS = {ALL: Limit(1.25, burst=8)}
"""60 requests a minute, 3000 an hour."""
VOLUME_PATH = "/workspace"
_NO_ROOM = ("no longer any instances", "not enough free gpus", "no instances available", "out of stock", "no capacity")
_BALANCE = "{ myself { clientBalance currentSpendPerHr spendLimit } }"
_CHARGES: tuple[tuple[str, ChargeKind], ...] = (("gpuAmount", "gpu"), ("cpuAmount", "other"), ("diskAmount", "disk"))
_MAX_LINE = 64 * 1024


class RunPod(Refusing):
    title: ClassVar[str] = "RunPod"
    can: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.STOP,
            Capability.STOP_FREES_GPU,
            Capability.OFFERS,
            Capability.CREATE,
            Capability.DESTROY,
            Capability.IMAGE,
            Capability.BALANCE,
            Capability.CHARGES,
            Capability.LOGS,
            Capability.REBOOT,
        }
    )

    def __init__(self, host: CloudHost, clock: Clock) -> None:
        base_url = base_url_of(host.base_url, BASE_URL)
        self._graphql_url = f"{base_url.rstrip('/').removesuffix('/v2')}/graphql"
        self._wire = Wire(host, clock, base_url=base_url, judge=self._judge, limits=LIMITS)
        self._known_keys: set[str] = set()
        self._places: dict[str, str] = {}

    # ---- what there is

    async def machines(self) -> list[Reading]:
        listed = row(await self._wire.ask("list", "GET", "pods")).get("pods")
        if not isinstance(listed, list):
            raise self._wire.bad_reply("there is no list of pods in it")
        return [one for fields in rows(listed) if (one := reading(fields)).id]

    async def machine(self, id: str) -> Reading | None:  # noqa: A002
        try:
            fields = row(await self._wire.ask("show", "GET", f"pods/{quoted(id)}"))
        except NotThere:
            return None
        return reading(fields) if identity(fields.get("id")) else None

    async def offers(self, search: Search) -> list[Offer]:
        """By kind of GPU and pool; with a region by data centre, which hosts of the community are in none of."""
        if search.spot:
            return []
        query = {"include": "AVAILABILITY", "product": "POD"}
        kinds = rows(row(await self._wire.ask("offers", "GET", "catalog/gpus", query=query)).get("gpus"))
        found = [one for fields in kinds for one in offers_of(fields, search)]
        if search.region is not None:
            found = await self._in_region(found, search.region)
        return cheapest(found, search)

    async def _in_region(self, found: list[Offer], region: str) -> list[Offer]:
        query = {"include": "GPU_AVAILABILITY"}
        answer = row(await self._wire.ask("offers", "GET", "catalog/datacenters", query=query))
        placed: list[Offer] = []
        for fields in rows(answer.get("dataCenters")):
            name = text(fields.get("id"))
            place = regions.place(name, text(fields.get("location")) or regions.country_of_datacenter(name))
            if not regions.fits(region, place):
                continue
            has = {text(one.get("gpuId")): text(one.get("availability")) for one in rows(fields.get("gpuAvailability"))}
            placed += [
                offer._replace(id=f"{offer.id}@{name}", region=place)
                for offer in found
                if offer.raw.get("cloud") == "secure" and has.get(offer.id.partition("|")[0], "NONE") != "NONE"
            ]
        return placed

    # ---- renting

    async def create(self, order: Order) -> Created:
        self.check_order(order)
        await self._let_in(order.public_key)
        gpu, _, pool = order.offer.id.partition("|")
        cloud, _, place = pool.partition("@")
        volume_gb = max(int(order.disk_gb.to_integral_value(ROUND_CEILING)), LEAST_VOLUME_GB)
        body: dict[str, Any] = {
            "name": order.label,
            "image": order.image or DEFAULT_IMAGE,
            "gpu": {"id": gpu, "count": order.offer.gpu_count},
            "cloud": cloud or "SECURE",
            "disk": CONTAINER_GB,
            "mounts": {"persistent": {"size": volume_gb, "path": VOLUME_PATH}},
            "ports": ["22/tcp", *(f"{port}/tcp" for port in order.ports)],
            "env": dict(order.environment),
            "startSsh": True,
        }
        if place:
            body["dataCenterIds"] = [place]
        made = identity(row(await self._wire.ask("create", "POST", "pods", body=body, again=False)).get("id"))
        if not made:
            raise AnswerLost(
                f"{self._wire.place} accepted the order but named no pod; whether it was carried out is unknown.",
                hint="It is looked for by its label.",
            )
        return Created(made)

    async def _let_in(self, public_key: str) -> None:
        """Pods get the keys that the account has when they are made. Setting them replaces all, so those that are
        there go along, and whether ours stayed is looked up: somebody else may have set them in the same moment."""
        ours = body_of_key(public_key)
        for _ in range(3):
            if ours in self._known_keys:
                return
            listed = row(await self._wire.ask("keys", "GET", "account/ssh-keys")).get("keys")
            if not isinstance(listed, list):
                raise self._wire.bad_reply("there is no list of SSH keys in it")
            keys = [key for key in listed if isinstance(key, str)]
            self._known_keys = {body_of_key(key) for key in keys}
            if ours not in self._known_keys:
                body = {"keys": [*keys, public_key.strip()]}
                await self._wire.ask("keys", "PUT", "account/ssh-keys", body=body)
        if ours not in self._known_keys:
            raise CloudError(f"{self._wire.place} does not keep our SSH key on the account.")

    async def start(self, id: str) -> None:  # noqa: A002
        await self._act(id, "start", State.RUNNING, State.STARTING)

    async def stop(self, id: str) -> None:  # noqa: A002
        await self._act(id, "stop", State.STOPPED, State.GONE)

    async def reboot(self, id: str) -> None:  # noqa: A002
        await self._wire.ask("reboot", "POST", f"pods/{quoted(id)}/action", body={"action": "restart"})

    async def _act(self, id: str, action: str, *already: State) -> None:  # noqa: A002
        """An action that is not allowed now may be so because there is nothing left to do."""
        try:
            await self._wire.ask(action, "POST", f"pods/{quoted(id)}/action", body={"action": action})
        except CannotDo as refused:
            seen = await self.machine(id)
            if seen is not None and seen.state in already:
                return
            if seen is not None and seen.raw.get("locked") is True:
                raise CannotDo(f"The pod {id} is locked at RunPod.", hint="Unlock it there first.") from refused
            raise

    async def destroy(self, id: str) -> None:  # noqa: A002
        try:
            await self._wire.ask("destroy", "DELETE", f"pods/{quoted(id)}")
        except NotThere:
            return

    # ---- money and logs

    async def account(self) -> Account:
        answer = row(await self._wire.ask("account", "POST", self._graphql_url, body={"query": _BALANCE}))
        fields = row(row(answer.get("data")).get("myself"))
        return Account(number(fields.get("clientBalance")), number(fields.get("currentSpendPerHr")))

    async def charges(self, since: datetime, until: datetime) -> list[Charge]:
        answer = row(await self._wire.ask("billing", "GET", "billing/pods", query={"bucketSize": "hour"}))
        found: list[Charge] = []
        for record in rows(answer.get("records")):
            begin, end = moment(record.get("startTime")), moment(record.get("endTime"))
            if begin is None or end is None or end <= since or begin >= until:
                continue
            for name, kind in _CHARGES:
                usd = number(record.get(name))
                if usd:
                    found.append(Charge(identity(record.get("podId")) or None, kind, usd, begin, end))
        return found

    async def logs(self, id: str, *, lines: int = 200) -> AsyncIterator[str]:  # noqa: A002
        """All that there is, then what comes, until the pod is gone or the reader leaves."""
        import json

        rest = b""
        async with self._wire.stream(f"pods/{quoted(id)}/logs") as parts:
            async for part in parts:
                *whole_lines, rest = (rest + part).split(b"\n")
                rest = rest[:_MAX_LINE]
                for line in whole_lines:
                    if not line.startswith(b"data:"):
                        continue
                    try:
                        said = row(json.loads(line[5:]))
                    except ValueError:
                        continue
                    yield text(said.get("line"), 4000)

    async def close(self) -> None:
        await self._wire.close()

    # ---- what its refusals mean

    def _judge(self, answer: Answer) -> ProviderError | None:
        where = self._wire.place
        tail = f"{answer.said}{'' if answer.said.endswith(('.', '!', '?', '…')) else '.'}"
        if answer.is_success:
            if not answer.row.get("errors"):
                return None
            return ServiceFailed(f"{where} reports an error: {tail}")
        if answer.status == 400 and answer.kind == "start":
            return NoCapacity(
                f"{where} cannot start it: {tail}",
                hint="A stopped pod is tied to its host: wait for a GPU there, or rent another.",
            )
        if answer.status in (400, 403) and answer.kind == "create":
            if answer.status == 403 or answer.mentions(*_NO_ROOM):
                return NoCapacity(f"{where} has none of these for us now: {tail}")
            return OrderRefused(f"{where} refuses the order: {tail}")
        if answer.status == 403:
            return CannotDo(f"{where} does not let this key do that: {tail}")
        return None
