"""Vast.ai on loopback: search, rent, list, start, stop, bid, destroy, with its four status fields and its quirks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from providers.simulated.clouds import vast_orders
from providers.simulated.clouds.account import new_key
from providers.simulated.clouds.billing import ChargeKind
from providers.simulated.clouds.faults import ActiveFaults, Call, CloudFaultKind
from providers.simulated.clouds.filters import FilterError, matches, sorted_by
from providers.simulated.clouds.hosts import A100, H100, RTX_3090, RTX_4090, RTX_5090, Host
from providers.simulated.clouds.limits import MinimumInterval
from providers.simulated.clouds.rental import Order, Phase, Rental
from providers.simulated.clouds.vast_account import VastAccount
from providers.simulated.clouds.vast_orders import InvalidOrderError
from providers.simulated.clouds.vast_rows import Ask, instance_row, offer_row, storage_usd_per_hour, words
from providers.simulated.clouds.vast_wire import decimal, no_such_ask, page, said
from providers.simulated.clouds.wire import Answer, Asked, Place, RefusedError, as_json
from providers.simulated.http_server import Request

QUEUED = "Required resources are currently unavailable, state change queued."
MAX_PAGE = 25
_FIRST_ASK = 7_001
_FILTERABLE = frozenset({"actual_status", "label", "id", "gpu_name", "verification"})
_MEANT_FOR_THE_MARKET = frozenset(
    {"type", "order", "limit", "allocated_storage", "q", "select_cols", "disable_bundling"}
)
_INTERVALS_S: Mapping[Call, float] = {
    Call.LIST: 1,
    Call.SHOW: 2,
    Call.START: 1,
    Call.STOP: 1,
    Call.CHANGE: 1,
    Call.RESTART: 1,
    Call.CREATE: 4.5,
    Call.DESTROY: 3,
    Call.BID: 5.5,
    Call.COMMAND: 1.5,
    Call.BILLING: 1,
}
_CREATE_PENALTY_S = 12
_CONTRACT = timedelta(days=30)
_USUAL = {
    400: ("invalid_args", "error 400/1782: Invalid args: invalid json: {}"),
    401: ("auth_error", "Invalid user key"),
    403: ("forbidden", "this key may not do that"),
    404: ("not_found", "not found"),
    429: ("rate_limit_exceeded", "API requests too frequent endpoint threshold=3.0"),
}


class VastTwin(VastAccount):
    name: ClassVar[str] = "vast"

    def __init__(self, *, search_quota: int = 2_000, **common: Any) -> None:
        self._intervals = MinimumInterval()
        self._searches: tuple[int, int] = (0, 0)
        self.search_quota = search_quota
        """Searches a day."""
        super().__init__(**common)
        self.asks: dict[int, Ask] = {}
        for host in self.market.hosts.values():
            self.add_asks(host)

    @classmethod
    def default_hosts(cls) -> list[Host]:
        def host(number: int, gpu: Any, gpus: int, usd: str, bid: str | None, **traits: Any) -> Host:
            least = None if bid is None else Decimal(bid)
            price = Decimal("0.001")
            return Host(
                number, gpu, gpus, Decimal(usd), least, download_usd_per_gb=price, upload_usd_per_gb=price, **traits
            )

        return [
            host(41, RTX_4090, 4, "0.39", "0.20"),
            host(42, RTX_4090, 1, "0.34", "0.17", region="Czechia, CZ", down_mbit_per_s=410.0, reliability=0.991),
            host(43, RTX_4090, 2, "0.44", "0.25", region="Oregon, US", down_mbit_per_s=3_200.0),
            host(44, RTX_3090, 2, "0.19", "0.11", region="Poland, PL", is_secure=False, has_static_address=False),
            host(45, RTX_3090, 1, "0.17", None, region="Quebec, CA", reliability=0.974, is_secure=False),
            host(46, RTX_5090, 1, "0.58", "0.41", region="Norway, NO", down_mbit_per_s=1_900.0),
            host(47, A100, 8, "0.92", "0.55", region="Iceland, IS", down_mbit_per_s=5_000.0, ram_gb=1_024),
            host(48, H100, 8, "2.10", "1.40", region="Texas, US", down_mbit_per_s=8_000.0, ram_gb=1_024),
        ]

    def add_asks(self, host: Host) -> None:
        """Offer a host's GPUs singly, in pairs, in fours and so on."""
        gpus = 1
        while gpus <= host.gpus:
            number = _FIRST_ASK + len(self.asks)
            self.asks[number] = Ask(number, host, gpus)
            gpus *= 2

    def tariff(self, rental: Rental) -> Mapping[ChargeKind, Decimal]:
        """The GPU once it runs, the disk always; nothing while the host is away."""
        if not rental.host.is_online:
            return {}
        rates = {ChargeKind.DISK: storage_usd_per_hour(rental.host, rental.disk_gb)}
        is_paid = rental.phase in (Phase.RUNNING, Phase.DIED) or (
            rental.phase in (Phase.STOPPING, Phase.DESTROYING) and rental.holds_gpu and rental.was_running
        )
        if is_paid:
            rates[ChargeKind.GPU] = rental.usd_per_hour
        return rates

    def environment(self, rental: Rental) -> Mapping[str, str]:
        own = {"CONTAINER_ID": rental.id, "CONTAINER_API_KEY": rental.own_key, "VAST_CONTAINERLABEL": f"C.{rental.id}"}
        return {**{name: value for name, value in rental.order.env.items() if not name.startswith("-")}, **own}

    def add_routes(self) -> None:
        self.route("POST", "/api/v0/bundles", Call.OFFERS, self._search)
        self.route("PUT", "/api/v0/asks/{ask}", Call.CREATE, self._create)
        self.route("GET", "/api/v1/instances", Call.LIST, self._list)
        self.route("PUT", "/api/v0/instances", _call_of_change, self._change_many)
        self.route("DELETE", "/api/v0/instances", Call.DESTROY, self._destroy_many)
        self.route("PUT", "/api/v0/instances/reboot/{id}", Call.RESTART, self._reboot)
        self.route("PUT", "/api/v0/instances/recycle/{id}", Call.RESTART, self._recycle)
        self.route("PUT", "/api/v0/instances/bid_price/{id}", Call.BID, self._bid)
        self.route("GET", "/api/v0/instances/{id}", Call.SHOW, self._show)
        self.route("PUT", "/api/v0/instances/{id}", _call_of_change, self._change)
        self.route("DELETE", "/api/v0/instances/{id}", Call.DESTROY, self._destroy)
        self.add_account_routes()

    # errors, keys and limits

    def error(self, status: int, message: str = "", code: str = "") -> Answer:
        usual_code, usual_message = _USUAL.get(status, ("server_error", "Internal Server Error"))
        return said(status, code or usual_code, message or usual_message)

    def error_inside(self, message: str) -> Answer:
        return said(200, "server_error", message)

    def key_of(self, request: Request) -> str | None:
        return super().key_of(request) or request.query.get("api_key")

    def limit(self, asked: Asked) -> Answer | None:
        if asked.identity.machine_id is not None and not _is_for_a_machine(asked):
            return self.error(403)
        if not self.has_limits:
            return None
        if asked.call is Call.OFFERS:
            return self._search_limit()
        interval_s = _INTERVALS_S.get(asked.call)
        if interval_s is None:
            return None
        penalty_s = _CREATE_PENALTY_S if asked.call is Call.CREATE else 0
        endpoint = "change" if asked.call in (Call.START, Call.STOP, Call.CHANGE) else asked.call.value
        if self._intervals.wait_s(asked.identity.key, endpoint, interval_s, self.market.now, penalty_s=penalty_s):
            text = f"API requests too frequent: endpoint threshold={interval_s:.1f}"
            return Answer(429, text.encode(), "text/plain")
        return None

    def _search_limit(self) -> Answer | None:
        day = int(self.market.now.timestamp()) // 86_400
        used = self._searches[1] if self._searches[0] == day else 0
        if used >= self.search_quota:
            answer = said(429, "search_quota_exceeded", "Daily search quota exceeded")
            return answer._replace(headers=[("X-RateLimit-Reset", str((day + 1) * 86_400))])
        self._searches = (day, used + 1)
        return None

    # offers

    async def _search(self, asked: Asked) -> Answer:
        query = asked.body
        if not isinstance(query, dict):
            raise RefusedError(self.error(400))
        if isinstance(query.get("q"), dict):
            query = query["q"]
        is_bid = query.get("type") in ("bid", "interruptible")
        disk_gb = decimal(query.get("allocated_storage", 5)) or Decimal(5)
        rows = [row for ask in self.asks.values() if (row := self._offer(ask, disk_gb, is_bid)) is not None]
        filters = {field: value for field, value in query.items() if field not in _MEANT_FOR_THE_MARKET}
        known = frozenset(rows[0]) if rows else None
        try:
            found = [row for row in rows if known is not None and matches(row, filters, known)]
        except FilterError as problem:
            raise RefusedError(self.error(400, f"error 400/1782: Invalid args: {problem}")) from None
        order, limit = query.get("order") or [["score", "desc"]], query.get("limit")
        is_order = isinstance(order, list) and all(isinstance(one, list) and len(one) == 2 for one in order)
        if not is_order or not (limit is None or (isinstance(limit, int) and limit >= 0)):
            raise RefusedError(self.error(400, "error 400/1782: Invalid args: order or limit"))
        ways = [(str(field), way == "desc") for field, way in order]
        return as_json({"offers": sorted_by(found, ways)[:limit]})

    def _offer(self, ask: Ask, disk_gb: Decimal, is_bid: bool) -> dict[str, Any] | None:
        if not ask.host.is_online or not ask.host.is_listed or (is_bid and ask.host.min_bid_per_gpu_hour is None):
            return None
        least = ask.host.min_bid_per_gpu_hour
        bid = None if not is_bid or least is None else least * ask.gpus
        is_rentable = self.market.can_hold(ask.host, ask.gpus, bid)
        return offer_row(ask, self.market.now, disk_gb, is_bid=is_bid, is_rentable=is_rentable)

    # renting

    async def _create(self, asked: Asked) -> Answer:
        fields = asked.fields
        number = asked.parts["ask"]
        ask = self.asks.get(int(number)) if number.isdecimal() else None
        order = self._order(ask, fields) if ask is not None else None
        can_wait = not fields.get("cancel_unavail")
        if order is None or not order.host.is_listed:
            raise RefusedError(no_such_ask(404, number))
        if self.market.balance_usd <= 0:
            raise RefusedError(self.error(400, "Your account lacks credit; see the billing page.", "missing_billing"))
        if CloudFaultKind.REMNANT in asked.faults or self._is_low(order):
            remnant = self._make(order._replace(wants_to_run=False), asked.faults)
            answer = {"success": False, "error": "invalid_price", "msg": "bid below the current minimum"}
            raise RefusedError(as_json({**answer, "new_contract": int(remnant.id)}, 400))
        has_gpu = self.market.can_hold(order.host, order.gpus, order.bid) and CloudFaultKind.NO_GPU not in asked.faults
        if order.wants_to_run and not has_gpu and not can_wait:
            raise RefusedError(no_such_ask(410, number))
        rental = self._make(order if has_gpu else order._replace(wants_to_run=False), asked.faults)
        if order.wants_to_run and not has_gpu:
            self.market.queue(rental, _wait_s(asked.faults))
        return as_json({"success": True, "new_contract": int(rental.id), "instance_api_key": rental.own_key})

    def _make(self, order: Order, faults: ActiveFaults) -> Rental:
        rental = self.market.rent(order, queues=True, prepare=lambda rental: self.afflict(rental, faults))
        rental.own_key = new_key("")
        return rental

    def _is_low(self, order: Order) -> bool:
        least = order.host.min_bid_per_gpu_hour
        return order.bid is not None and (least is None or order.bid < least * order.gpus)

    def _order(self, ask: Ask, fields: Mapping[str, Any]) -> Order:
        try:
            order = vast_orders.read(fields, ask, self.account.public_keys())
        except InvalidOrderError as problem:
            raise RefusedError(self.error(400, str(problem), problem.code)) from None
        return order._replace(ends_at=ask.host.ends_at or self.market.now + _CONTRACT)

    # looking

    async def _list(self, asked: Asked) -> Answer:
        filters = self.query(asked, "select_filters", dict)
        computed = next((field for field in filters if field not in _FILTERABLE), None)
        if computed is not None:
            raise RefusedError(self.error(400, f"error 400/1782: Invalid args: cannot filter by {computed}"))
        there = [rental for rental in self.market.alive() if not asked.faults.on(CloudFaultKind.MISSING, rental.id)]
        order = [
            (str(one.get("col")), one.get("dir") == "desc")
            for one in self.query(asked, "order_by", list)
            if isinstance(one, dict)
        ]
        has_plain_order = all(field in _FILTERABLE for field, _ in order)
        row_of = self._short_row if has_plain_order else self._row
        rows: list[Mapping[str, Any]] = [row_of(rental, asked.faults) for rental in there]
        try:
            found = [row for row in rows if matches(row, filters, _FILTERABLE)]
        except FilterError as problem:
            raise RefusedError(self.error(400, f"error 400/1782: Invalid args: {problem}")) from None
        found = sorted_by(found, order or [("id", False)])
        shown, token = page(found, self._limit_of(asked), asked.request.query.get("after_token"))
        full = [self._row(self.market.rentals[str(row["id"])], asked.faults) for row in shown]
        columns = self.query(asked, "select_cols", list)
        labels: dict[str, int] = {}
        for row in found:
            labels[row["label"] or ""] = labels.get(row["label"] or "", 0) + 1
        return as_json(
            {
                "success": True,
                "instances_found": len(found),
                "total_instances": len(rows),
                "label_counts": labels,
                "next_token": token,
                "instances": [{name: row.get(name) for name in columns} if columns else row for row in full],
            }
        )

    def _short_row(self, rental: Rental, faults: ActiveFaults) -> dict[str, Any]:
        """What lists are filtered and mostly sorted by."""
        return {
            "id": int(rental.id),
            "label": rental.label,
            "actual_status": words(rental, self.market.now, faults).actual,
            "gpu_name": rental.host.gpu.name,
            "verification": "verified",
        }

    def _limit_of(self, asked: Asked) -> int:
        text = asked.request.query.get("limit", str(MAX_PAGE))
        if not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
            raise RefusedError(self.error(400, f"error 400/1782: Invalid args: limit must be 1 to {MAX_PAGE}"))
        return int(text)

    async def _show(self, asked: Asked) -> Answer:
        rental = self.rental_of(asked)
        if rental is None or asked.faults.on(CloudFaultKind.MISSING, rental.id):
            return as_json({"instances": None})
        return as_json({"instances": self._row(rental, asked.faults)})

    def _row(self, rental: Rental, faults: ActiveFaults) -> dict[str, Any]:
        runtype = str(rental.extra.get("runtype", "ssh")).split()
        is_direct = any(word in ("ssh_direc", "ssh_direct", "jupyter_direc", "jupyter_direct") for word in runtype)
        shown = rental.phase in (Phase.RUNNING, Phase.STOPPING)
        place = self.direct_place(rental) if shown else None
        return instance_row(
            rental,
            self.market.now,
            faults,
            direct=place,
            proxy=self.proxy_place(rental) if rental.order.has_ssh else None,
            ports=self._ports(rental, place if is_direct else None) if shown and place is not None else None,
        )

    def proxy_place(self, rental: Rental) -> Place | None:
        """Where a client gets in that cannot use the direct port."""
        return self.place(rental) if self.with_machines else None

    def _ports(self, rental: Rental, direct: Place | None) -> dict[str, Any]:
        ports: dict[str, int] = {}
        for name in rental.order.env:
            if name.startswith("-p ") and ":" in name:
                inside = name.rpartition(":")[2].partition("/")[0].strip()
                if inside.isdecimal():
                    ports[f"{inside}/tcp"] = self.service_port(rental, int(inside)) or 0
        if direct is not None and rental.order.has_ssh:
            ports["22/tcp"] = direct.port
        return {name: [{"HostIp": "0.0.0.0", "HostPort": str(port)}] for name, port in ports.items()}  # noqa: S104 - as Docker writes it

    # start, stop, destroy

    async def _change(self, asked: Asked) -> Answer:
        rental = self.found(asked)
        if "label" in asked.fields:
            label = str(asked.fields["label"] or "")
            if len(label) > 1_024:
                raise RefusedError(self.error(400, "error 400/1782: Invalid args: label is too long"))
            rental.label = label
        if "state" in asked.fields:
            return self._set_state(rental, asked.fields["state"], asked.faults)
        return as_json({"success": True})

    async def _change_many(self, asked: Asked) -> Answer:
        answers = [
            self._set_state(rental, asked.fields.get("state"), asked.faults)
            for rental in self._named(asked, asked.fields.get("ids"))
        ]
        refused = next((answer for answer in answers if b'"success": false' in answer.body), None)
        return refused or as_json({"success": True})

    def _set_state(self, rental: Rental, state: Any, faults: ActiveFaults) -> Answer:
        if state == "running":
            return self._start(rental, faults)
        if state == "stopped":
            if CloudFaultKind.NOT_DONE in faults:
                rental.wants_to_run = False
            else:
                self.market.stop(rental, faults.number(CloudFaultKind.SLOW_STOP, 600))
            return as_json({"success": True})
        raise RefusedError(self.error(400, "error 400/1782: Invalid args: state must be running or stopped"))

    def _start(self, rental: Rental, faults: ActiveFaults) -> Answer:
        if self.market.balance_usd <= 0:
            raise RefusedError(self.error(400, "Your account lacks credit; see the billing page.", "missing_billing"))
        if self.market.is_expired(rental):
            raise RefusedError(self.error(400, "the contract has expired", "contract_expired"))
        if CloudFaultKind.NOT_DONE in faults:
            rental.wants_to_run = True
            return as_json({"success": True})
        if rental.phase in (Phase.STOPPED, Phase.STOPPING):
            was_broken = rental.cannot_start
            self.afflict(rental, faults)
            rental.cannot_start |= was_broken  # what could not be started once never can
            if CloudFaultKind.NO_GPU in faults:
                self.market.queue(rental, _wait_s(faults))
                return said(200, "resources_unavailable", QUEUED)
        if not self.market.start(rental, queues=True):
            return said(200, "resources_unavailable", QUEUED)
        return as_json({"success": True})

    async def _destroy(self, asked: Asked) -> Answer:
        rental = self.found(asked)
        if CloudFaultKind.NOT_DONE not in asked.faults:
            self.market.destroy(rental)
        return as_json({"success": True})

    async def _destroy_many(self, asked: Asked) -> Answer:
        for rental in self._named(asked, asked.fields.get("instance_ids")):
            if CloudFaultKind.NOT_DONE not in asked.faults:
                self.market.destroy(rental)
        return as_json({"success": True})

    async def _reboot(self, asked: Asked) -> Answer:
        return self._restart(asked, afresh=False)

    async def _recycle(self, asked: Asked) -> Answer:
        return self._restart(asked, afresh=True)

    def _restart(self, asked: Asked, *, afresh: bool) -> Answer:
        rental = self.found(asked)
        if rental.phase not in (Phase.RUNNING, Phase.DIED, Phase.PULLING, Phase.BOOTING):
            raise RefusedError(self.error(400, "the instance is not running", "invalid_args"))
        if CloudFaultKind.NOT_DONE not in asked.faults:
            self.market.restart(rental, afresh=afresh)
        return as_json({"success": True})

    async def _bid(self, asked: Asked) -> Answer:
        rental = self.found(asked)
        if not rental.is_spot:
            raise RefusedError(self.error(400, "the instance is not interruptible", "invalid_price"))
        try:
            price = vast_orders.read_price(asked.fields.get("price"))
        except InvalidOrderError as problem:
            raise RefusedError(self.error(400, str(problem), problem.code)) from None
        self.market.set_bid(rental, price)
        return as_json({"success": True})

    def _named(self, asked: Asked, numbers: Any) -> list[Rental]:
        if not isinstance(numbers, list):
            raise RefusedError(self.error(400))
        return [self.found(asked._replace(parts={"id": str(number)})) for number in numbers]


def _call_of_change(request: Request, body: Any) -> Call:
    state = body.get("state") if isinstance(body, dict) else None
    return {"running": Call.START, "stopped": Call.STOP}.get(str(state), Call.CHANGE)


def _is_for_a_machine(asked: Asked) -> bool:
    """Whether a machine's own key may make this call at all."""
    return asked.call in (Call.SHOW, Call.STOP, Call.DESTROY) and "id" in asked.parts


def _wait_s(faults: ActiveFaults) -> float | None:
    """How long a GPU is not there that the fault says is not."""
    fault = faults.get(CloudFaultKind.NO_GPU)
    return None if fault is None else fault.argument
