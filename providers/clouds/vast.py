"""Vast.ai: a marketplace of hosts. An offer is rented and becomes an instance, a container on somebody's machine."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from providers.clouds import gpus
from providers.clouds.adapter import Refusing, base_url_of, body_of_key, cheapest
from providers.clouds.base import (
    Account,
    AnswerLost,
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
)
from providers.clouds.fields import identity, moment, number, row, rows, text
from providers.clouds.pace import Limit
from providers.clouds.vast_rows import bid_of, offer, reading
from providers.clouds.wire import Answer, Wire, quoted
from providers.errors import KeyRefused, OutOfCredit, ProviderError, RateLimited, ServiceFailed

BASE_URL = "https://console.vast.ai"
DEFAULT_IMAGE = "vastai/base-image:cuda-12.8"
LIMITS = {
    "list": Limit(1.1),
    "show": Limit(2.1),
    "change": Limit(1.1),
    "create": Limit(4.6),
    "destroy": Limit(3.1),
    "bid": Limit(5.6),
    "reboot": Limit(1.1),
    "billing": Limit(1.1),
}
"""A little more than the least that the cloud allows: it counts where calls arrive."""
PAGE = 25
MOST_PAGES = 400
_MAX_LABEL, _MAX_IMAGE, _MAX_SCRIPT, _MAX_VALUE, _MAX_ENVIRONMENT = 256, 1024, 4096, 256, 32_768
_LOG_TRIES, _LOG_PAUSE_S, _MAX_LOG = 60, 0.5, 4 * 1024 * 1024
_THRESHOLD = re.compile(r"threshold\s*=\s*(\d{1,3}(?:\.\d{1,3})?)")
_CHARGES: Mapping[str, ChargeKind] = {"gpu": "gpu", "disk": "disk", "bwd": "transfer", "bwu": "transfer"}


class Vast(Refusing):
    title: ClassVar[str] = "Vast"
    can: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.STOP,
            Capability.STOP_FREES_GPU,
            Capability.QUEUED_START,
            Capability.OFFERS,
            Capability.CREATE,
            Capability.DESTROY,
            Capability.SPOT,
            Capability.BID,
            Capability.IMAGE,
            Capability.START_SCRIPT,
            Capability.SCOPED_KEY,
            Capability.BALANCE,
            Capability.CHARGES,
            Capability.LOGS,
            Capability.REBOOT,
            Capability.ATTACH_KEY,
        }
    )

    def __init__(self, host: CloudHost, clock: Clock) -> None:
        self._clock = clock
        self._wire = Wire(host, clock, base_url=base_url_of(host.base_url, BASE_URL), judge=self._judge, limits=LIMITS)
        self._gpu_names: list[str] = []
        self._known_keys: set[str] = set()

    # ---- what there is

    async def machines(self) -> list[Reading]:
        found: dict[str, Reading] = {}
        query = {"select_filters": "{}", "order_by": '[{"col": "id", "dir": "asc"}]', "limit": str(PAGE)}
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            page = await self._wire.ask("list", "GET", "api/v1/instances/", query=query)
            if not isinstance(row(page).get("instances"), list):
                raise self._wire.bad_reply("there is no list of instances in it")
            for fields in rows(page["instances"]):
                one = reading(fields)
                if one.id:
                    found[one.id] = one
            token = row(page).get("next_token")
            if not isinstance(token, str) or not token:
                return list(found.values())
            if token in seen:
                raise self._wire.bad_reply("its list goes round in a circle")
            seen.add(token)
            query["after_token"] = token
        raise self._wire.bad_reply("its list has no end")

    async def machine(self, id: str) -> Reading | None:  # noqa: A002
        try:
            answer = await self._wire.ask("show", "GET", self._path(id), query={"owner": "me"})
        except NotThere:
            return None
        fields = row(row(answer).get("instances"))
        return reading(fields) if fields.get("id") is not None else None

    async def offers(self, search: Search) -> list[Offer]:
        filters: dict[str, Any] = {
            "verified": {"eq": True},
            "external": {"eq": False},
            "rentable": {"eq": True},
            "num_gpus": {"eq": search.gpu_count},
            "disk_space": {"gte": float(search.disk_gb)},
            "type": "bid" if search.spot else "on-demand",
            "order": [["dph_total", "asc"]],
            "limit": search.limit if _is_filtered_there(search) else min(max(3 * search.limit, 64), 300),
            "allocated_storage": float(search.disk_gb),
        }
        if search.gpu is not None:
            names = gpus.wanted_among(search.gpu, await self._names_of_gpus())
            if not names:
                return []
            filters["gpu_name"] = {"in": names}
        if search.min_down_mbps is not None:
            filters["inet_down"] = {"gte": float(search.min_down_mbps)}
        if search.min_reliability is not None:
            filters["reliability"] = {"gte": float(search.min_reliability)}
        if search.max_usd_per_hour is not None and not search.spot:
            filters["dph_total"] = {"lte": float(search.max_usd_per_hour)}
        answer = await self._wire.ask("offers", "POST", "api/v0/bundles/", body=filters)
        found = [one for fields in rows(row(answer).get("offers")) if (one := offer(fields, search)) is not None]
        return cheapest(found, search)

    async def _names_of_gpus(self) -> list[str]:
        if not self._gpu_names:
            answer = await self._wire.ask("names", "GET", "api/v0/gpu_names/unique/")
            names = row(answer).get("gpu_names")
            self._gpu_names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        return self._gpu_names

    # ---- renting

    async def create(self, order: Order) -> Created:
        self.check_order(order)
        _check(order)
        await self._let_in(order.public_key)
        bid = order.bid_usd_per_hour
        if bid is None and order.offer.spot:
            bid = bid_of(order.offer)
        environment: dict[str, str] = dict(order.environment)
        environment.update({f"-p {port}:{port}": "1" for port in order.ports})
        answer = await self._wire.ask(
            "create",
            "PUT",
            f"api/v0/asks/{quoted(order.offer.id)}/",
            again=False,
            body={
                "client_id": "me",
                "image": order.image or DEFAULT_IMAGE,
                "env": environment,
                "price": None if bid is None else float(bid),
                "disk": float(order.disk_gb),
                "label": order.label,
                "onstart": order.start_script or None,
                "runtype": "ssh_direc ssh_proxy",
                "force": False,
                "cancel_unavail": True,
            },
        )
        made = identity(row(answer).get("new_contract"))
        if not made:
            raise AnswerLost(
                f"{self._wire.place} accepted the order but named no machine; whether it was carried out is unknown.",
                hint="It is looked for by its label.",
            )
        key = row(answer).get("instance_api_key")
        return Created(made, key if isinstance(key, str) and key else None)

    async def _let_in(self, public_key: str) -> None:
        """Keys are copied from the account when a machine is made, so ours must be there before."""
        ours = body_of_key(public_key)
        if ours in self._known_keys:
            return
        answer = await self._wire.ask("keys", "GET", "api/v0/ssh/")
        listed = rows(answer if isinstance(answer, list) else row(answer).get("keys"))
        self._known_keys = {
            body_of_key(key)
            for one in listed
            for key in (one.get("key"), one.get("public_key"))
            if isinstance(key, str) and one.get("deleted_at") is None
        }
        if ours not in self._known_keys:
            await self._wire.ask("keys", "POST", "api/v0/ssh/", body={"ssh_key": public_key.strip()})
            self._known_keys.add(ours)

    async def attach_key(self, id: str, public_key: str) -> None:  # noqa: A002
        await self._wire.ask("keys", "POST", f"{self._path(id)}ssh/", body={"ssh_key": public_key.strip()})

    async def start(self, id: str) -> None:  # noqa: A002
        await self._wire.ask("change", "PUT", self._path(id), body={"state": "running"})

    async def stop(self, id: str) -> None:  # noqa: A002
        await self._wire.ask("change", "PUT", self._path(id), body={"state": "stopped"})

    async def destroy(self, id: str) -> None:  # noqa: A002
        try:
            await self._wire.ask("destroy", "DELETE", self._path(id), body={})
        except NotThere:
            return

    async def reboot(self, id: str) -> None:  # noqa: A002
        await self._wire.ask("reboot", "PUT", f"api/v0/instances/reboot/{quoted(id)}/", body={})

    async def bid(self, id: str, usd_per_hour: Decimal) -> None:  # noqa: A002
        body = {"client_id": "me", "price": float(usd_per_hour)}
        await self._wire.ask("bid", "PUT", f"api/v0/instances/bid_price/{quoted(id)}/", body=body)

    # ---- money and logs

    async def account(self) -> Account:
        fields = row(await self._wire.ask("account", "GET", "api/v0/users/current"))
        return Account(number(fields.get("credit")), None, text(fields.get("username")))

    async def charges(self, since: datetime, until: datetime) -> list[Charge]:
        span = {"day": {"gte": since.timestamp(), "lte": until.timestamp()}}
        query = {"select_filters": json.dumps(span), "latest_first": "false", "limit": "100", "format": "table"}
        found: list[Charge] = []
        for _ in range(MOST_PAGES):
            page = row(await self._wire.ask("billing", "GET", "api/v0/charges/", query=query))
            for line in rows(page.get("results")):
                found += _charges(line, since, until)
            token = page.get("next_token")
            if not isinstance(token, str) or not token or token == query.get("after_token"):
                return found
            query["after_token"] = token
        raise self._wire.bad_reply("its list of charges has no end")

    async def logs(self, id: str, *, lines: int = 200) -> AsyncIterator[str]:  # noqa: A002
        from providers.plain import plain

        answer = await self._wire.ask(
            "logs", "PUT", f"api/v0/instances/request_logs/{quoted(id)}/", body={"tail": str(lines)}
        )
        url = row(answer).get("result_url")
        if not isinstance(url, str):
            raise self._wire.bad_reply("it does not say where the log will be")
        for _ in range(_LOG_TRIES):
            written = await self._wire.fetch(url, longest=_MAX_LOG)
            if written is not None:
                for line in written.decode("utf-8", "replace").splitlines()[-lines:]:
                    yield plain(line, 4000)
                return
            await self._clock.sleep(_LOG_PAUSE_S)
        raise CloudError(f"{self._wire.place} promised the log of {id} and did not bring it.")

    async def close(self) -> None:
        await self._wire.close()

    # ---- what its refusals mean

    def _path(self, id: str) -> str:  # noqa: A002
        return f"api/v0/instances/{quoted(id)}/"

    def _judge(self, answer: Answer) -> ProviderError | None:
        if answer.is_success and answer.row.get("success") is not False:
            return None
        where, said = self._wire.place, answer.said or answer.code or f"status {answer.status}"
        tail = f"{said}{'' if said.endswith(('.', '!', '?', '…')) else '.'}"
        leftover = identity(answer.row.get("new_contract")) or None
        if answer.status == 429 or answer.mentions("too frequent", "rate_limit_exceeded"):
            wait_s = answer.wait_s
            if found := _THRESHOLD.search(answer.said):
                self._wire.pace.slow(answer.kind, float(found.group(1)))
                wait_s = wait_s if wait_s is not None else float(found.group(1))
            return RateLimited(f"{where} has had too many requests: {tail}", retry_after_s=wait_s)
        if answer.status == 401 or answer.mentions("auth_error", "session expired", "log in again"):
            return KeyRefused(f"{where} does not accept the key: {tail}", host=self._wire.name)
        if answer.mentions("missing_billing", "spend_rate_limit", "lacks credit", "insufficient credit"):
            return OutOfCredit(f"The account at {where} cannot pay for this: {tail}")
        if answer.mentions("resources_unavailable", "state change queued"):
            return NoCapacity(
                f"{where} has no free GPU for it now: {tail}",
                hint="The start stays in force there and may fire later, until a stop is sent.",
                queued=True,
            )
        if answer.kind == "create" and (leftover or 400 <= answer.status < 500):
            if answer.mentions("no_such_ask", "no longer available") or answer.status == 410:
                return NoCapacity(f"This offer of {where} is gone: {tail}", leftover=leftover)
            if answer.mentions("invalid_price", "bid below"):
                return NoCapacity(f"{where} does not rent it at this bid: {tail}", leftover=leftover)
            return OrderRefused(f"{where} refuses the order: {tail}", leftover=leftover)
        if answer.mentions("no_such_instance") or (answer.status == 404 and answer.kind != "create" and answer.row):
            return NotThere(f"{where} does not know it: {tail}")
        if answer.is_success:
            return ServiceFailed(f"{where} reports an error: {tail}")
        return None


def _is_filtered_there(search: Search) -> bool:
    """Whether the cloud does all of the filtering, so that every row it sends will be one of ours."""
    priced_here = search.spot and search.max_usd_per_hour is not None
    return search.region is None and search.min_vram_gb is None and not priced_here


def _check(order: Order) -> None:
    """What the cloud would cut off or refuse in words of its own."""
    too_long = next(
        (
            f"the {what} has more than {most} characters"
            for what, value, most in (
                ("label", order.label, _MAX_LABEL),
                ("image", order.image or "", _MAX_IMAGE),
                ("start script", order.start_script, _MAX_SCRIPT),
            )
            if len(value) > most
        ),
        None,
    )
    if too_long is None and any(len(value) > _MAX_VALUE for value in order.environment.values()):
        too_long = f"a value of its environment has more than {_MAX_VALUE} characters"
    if too_long is None and sum(len(name) + len(value) for name, value in order.environment.items()) > _MAX_ENVIRONMENT:
        too_long = "its environment is too large"
    if too_long is None and order.disk_gb < 8:
        too_long = "a disk has at least 8 GB"
    if too_long is not None:
        raise OrderRefused(f"Vast does not take this order: {too_long}.")


def _charges(line: Mapping[str, Any], since: datetime, until: datetime) -> list[Charge]:
    source = text(line.get("source"))
    machine = source.removeprefix("instance-") if source.startswith("instance-") else None
    begin, end = moment(line.get("start")) or since, moment(line.get("end")) or until
    items = rows(line.get("items")) or [{"type": "other", "amount": line.get("amount")}]
    return [
        Charge(machine, _CHARGES.get(text(item.get("type")), "other"), usd, begin, end)
        for item in items
        if (usd := number(item.get("amount"))) is not None and usd != 0
    ]
