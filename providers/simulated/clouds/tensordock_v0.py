"""TensorDock's older API: form fields in, a `success` in every answer, and the only place that tells the balance.

A caller shows `api_key` and `api_token`. The twin has one key, and takes it as the token beside any `api_key`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.simulated.clouds import tensordock_places as places
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.rental import Phase, Rental
from providers.simulated.clouds.wire import Answer, Asked, RefusedError, as_json, form_fields
from providers.simulated.http_server import Request

if TYPE_CHECKING:
    from providers.simulated.clouds.tensordock import TensorDockTwin

_WORDS = {"stoppeddisassociated": "StoppedDisassociated"}


class V0:
    def __init__(self, twin: TensorDockTwin) -> None:
        self._twin = twin
        self._base = ""

    def add_routes(self, base: str) -> None:
        self._base = base
        route = self._twin.route
        route("POST", f"{base}/auth/test", Call.ACCOUNT, self._auth_test)
        route("POST", f"{base}/billing/balance", Call.ACCOUNT, self._balance)
        route("POST", f"{base}/client/list", Call.LIST, self._list)
        route("POST", f"{base}/client/get/single", Call.SHOW, self._show)
        route("POST", f"{base}/client/start/single", Call.START, self._start)
        route("POST", f"{base}/client/stop/single", Call.STOP, self._stop)
        route("POST", f"{base}/client/delete/single", Call.DESTROY, self._delete)

    def is_for(self, request: Request) -> bool:
        return request.path.startswith(f"{self._base}/")

    def key_of(self, request: Request) -> str | None:
        fields = form_fields(request)
        return fields.get("api_token") if fields.get("api_key") else None

    def refused(self, status: int, message: str) -> Answer:
        return as_json({"success": self._said(False), "error": message}, status)

    def _done(self, **more: Any) -> Answer:
        return as_json({"success": self._said(True), **more})

    def _said(self, value: bool) -> bool | str:
        return str(value).lower() if self._twin.quirks.success_as_text else value

    async def _auth_test(self, asked: Asked) -> Answer:
        return self._done()

    async def _balance(self, asked: Asked) -> Answer:
        market = self._twin.market
        return self._done(balance=market.balance_usd, hourly_cost=market.usd_per_hour)

    async def _list(self, asked: Asked) -> Answer:
        return self._done(virtualmachines={rental.id: self._row(rental, asked) for rental in self._twin.seen(asked)})

    async def _show(self, asked: Asked) -> Answer:
        return self._done(virtualmachine=self._row(self._named(asked), asked))

    async def _start(self, asked: Asked) -> Answer:
        problem = self._twin.start(self._named(asked), asked)
        return self.refused(500, problem) if problem else self._done()

    async def _stop(self, asked: Asked) -> Answer:
        releases = form_fields(asked.request).get("disassociate_resources", "").lower() == "true"
        problem = self._twin.stop(self._named(asked), asked, releases=releases)
        return self.refused(500, problem) if problem else self._done()

    async def _delete(self, asked: Asked) -> Answer:
        rental = self._named(asked)
        if CloudFaultKind.NOT_DONE not in asked.faults:
            self._twin.market.destroy(rental)
        return self._done()

    def _named(self, asked: Asked) -> Rental:
        rental = self._twin.market.rentals.get(form_fields(asked.request).get("server", ""))
        if rental is None or rental.is_gone or asked.faults.on(CloudFaultKind.MISSING, rental.id):
            raise RefusedError(self.refused(404, "Server not found"))
        return rental

    def _row(self, rental: Rental, asked: Asked) -> dict[str, Any]:
        twin = self._twin
        status = twin.said_status(rental, asked).lower().replace("_", "")
        forwards = twin.forwards_of(rental)
        return {
            "cost": twin.usd_per_hour_of(rental),
            "hostname": twin.address_of(rental),
            "hostnode": places.hostnode_id(rental.host),
            "location": places.location_id(rental.host),
            "name": rental.label,
            "operating_system": rental.image,
            "port_forwards": {str(pair["external_port"]): str(pair["internal_port"]) for pair in forwards},
            "specs": {
                "gpu": {"amount": rental.gpus, "type": places.v0_name(rental.host.gpu)},
                "ram": rental.extra["ram_gb"],
                "storage": int(rental.disk_gb),
                "vcpus": rental.extra["vcpus"],
            },
            "status": "Outbid" if self._is_outbid(rental) else _WORDS.get(status, status.capitalize()),
            "timestamp_creation": rental.created_at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "type": "spot" if rental.is_spot else "ondem",
        }

    def _is_outbid(self, rental: Rental) -> bool:
        return rental.is_outbid and rental.phase is Phase.STOPPED
