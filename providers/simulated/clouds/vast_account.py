"""What a Vast account has besides machines: keys, money, and texts that are fetched from an address of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from providers.simulated.clouds.account import new_key
from providers.simulated.clouds.billing import ChargeKind
from providers.simulated.clouds.faults import Call
from providers.simulated.clouds.rental import Rental
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.vast_orders import is_vm
from providers.simulated.clouds.vast_wire import page
from providers.simulated.clouds.wire import Answer, Asked, RefusedError, as_json, iso

_CHARGE_NAMES: Mapping[ChargeKind, str] = {
    ChargeKind.GPU: "gpu",
    ChargeKind.DISK: "disk",
    ChargeKind.DOWNLOAD: "bwd",
    ChargeKind.UPLOAD: "bwu",
}


class VastAccount(CloudTwin):
    """The part of the twin that is about the account."""

    def __init__(self, **common: Any) -> None:
        self._results: dict[str, tuple[bytes, int]] = {}
        super().__init__(**common)

    def add_account_routes(self) -> None:
        self.route("PUT", "/api/v0/instances/request_logs/{id}", Call.LOGS, self._logs)
        self.route("PUT", "/api/v0/instances/command/{id}", Call.COMMAND, self._command)
        self.route("POST", "/api/v0/instances/{id}/ssh", Call.KEYS, self._attach_key)
        self.route("GET", "/api/v0/users/current", Call.ACCOUNT, self._user)
        self.route("GET", "/api/v0/charges", Call.BILLING, self._charges)
        self.route("GET", "/api/v1/invoices", Call.BILLING, self._invoices)
        self.route("GET", "/api/v0/ssh", Call.KEYS, self._keys)
        self.route("POST", "/api/v0/ssh", Call.KEYS, self._add_key)
        self.route("GET", "/api/v0/gpu_names/unique", Call.OTHER, self._gpu_names, is_open=True)
        self.route("GET", "/results/{result}", Call.OTHER, self._result, is_open=True)

    async def _user(self, asked: Asked) -> Answer:
        return as_json(
            {
                "id": 99,
                "username": "demo",
                "email": "a@example.org",
                "credit": self.market.balance_usd,
                "balance": 0.0,
                "balance_threshold": 0.0,
                "balance_threshold_enabled": False,
                "has_billing": self.account.has_card,
                "ssh_key": None,
                "host_agreement_accepted": None,
            }
        )

    async def _keys(self, asked: Asked) -> Answer:
        return as_json(
            [{**_key_row(key.number, key.created_at), "key": key.public_key} for key in self.account.ssh_keys]
        )

    async def _add_key(self, asked: Asked) -> Answer:
        text = self._key_text(asked)
        key = self.account.add_key(text, self.market.now)
        return as_json({"success": True, "key": {**_key_row(key.number, key.created_at), "public_key": text}})

    async def _attach_key(self, asked: Asked) -> Answer:
        rental = self.found(asked)
        text = self._key_text(asked)
        if is_vm(rental.image):
            raise RefusedError(self.error(400, "the keys of a VM cannot be changed"))
        if text not in rental.keys:
            rental.keys.append(text)
        return as_json({"success": True, "msg": "SSH key added to instance."})

    def _key_text(self, asked: Asked) -> str:
        text = asked.fields.get("ssh_key")
        if not isinstance(text, str) or len(text.split()) < 2:
            raise RefusedError(self.error(400, "Invalid SSH key", "invalid_args"))
        return text

    async def _gpu_names(self, asked: Asked) -> Answer:
        return as_json({"gpu_names": sorted({host.gpu.name for host in self.market.hosts.values()})})

    # money

    async def _charges(self, asked: Asked) -> Answer:
        since, until = self._days(asked, "day")
        results = []
        for rental in self.market.rentals.values():
            sums = rental.bill.between(since, until, self.market.now)
            if sums:
                items = [{"type": _CHARGE_NAMES[kind], "amount": usd} for kind, usd in sums.items()]
                results.append(
                    {
                        "start": int(since.timestamp()),
                        "end": int(until.timestamp()),
                        "type": "instance",
                        "source": f"instance-{rental.id}",
                        "description": f"Instance {rental.id} Charges",
                        "amount": sum(sums.values(), Decimal(0)),
                        "metadata": {"label": rental.label},
                        "items": items,
                    }
                )
        return self._results_page(asked, results)

    async def _invoices(self, asked: Asked) -> Answer:
        since, until = self._days(asked, "when")
        results = [
            {
                "start": int(deposit.moment.timestamp()),
                "end": int(deposit.moment.timestamp()),
                "type": "deposit",
                "source": f"deposit-{number}",
                "description": "Credit added",
                "amount": deposit.usd,
                "metadata": {},
                "items": [],
            }
            for number, deposit in enumerate(self.account.deposits, 1)
            if since <= deposit.moment < until
        ]
        return self._results_page(asked, results)

    def _days(self, asked: Asked, field: str) -> tuple[datetime, datetime]:
        condition = self.query(asked, "select_filters", dict).get(field)
        if not isinstance(condition, dict) or not {"gte", "lte"} <= condition.keys():
            raise RefusedError(self.error(400, f"error 400/1782: Invalid args: select_filters.{field} is needed"))
        try:
            since, until = (datetime.fromtimestamp(float(condition[side]), UTC) for side in ("gte", "lte"))
        except (TypeError, ValueError, OverflowError):
            raise RefusedError(self.error(400)) from None
        return since, max(since, until)

    def _results_page(self, asked: Asked, results: list[dict[str, Any]]) -> Answer:
        if asked.request.query.get("latest_first", "").lower() == "true":
            results.reverse()
        for number, row in enumerate(results):
            row["id"] = number
        limit = asked.request.query.get("limit", "20")
        rows_shown, token = page(
            results, int(limit) if limit.isdecimal() else 20, asked.request.query.get("after_token")
        )
        rows = [{name: value for name, value in row.items() if name != "id"} for row in rows_shown]
        return as_json(
            {"success": True, "count": len(rows), "total": len(results), "next_token": token, "results": rows}
        )

    # logs and commands

    async def _logs(self, asked: Asked) -> Answer:
        rental = self.found(asked)
        wants_daemon = str(asked.fields.get("daemon_logs", "")).lower() == "true"
        source = "system" if wants_daemon else "container"
        lines = [f"{iso(line.moment)} {line.text}" for line in rental.log if line.source == source]
        wanted = asked.fields.get("filter")
        if wanted:
            lines = [line for line in lines if str(wanted) in line]
        tail = str(asked.fields.get("tail") or "1000")
        lines = lines[-int(tail) :] if tail.isdecimal() and int(tail) else []
        return self._promise("".join(f"{line}\n" for line in lines))

    async def _command(self, asked: Asked) -> Answer:
        rental = self.found(asked)
        command = asked.fields.get("command")
        if not isinstance(command, str) or not 0 < len(command) <= 512:
            raise RefusedError(self.error(400, "error 400/1782: Invalid args: command"))
        if command.split()[0] not in ("ls", "rm", "du"):
            raise RefusedError(self.error(400, "Invalid command given", "invalid_args"))
        return self._promise(f"{rental.id}: {command}\n")

    def _promise(self, text: str) -> Answer:
        """Say where a text will be; it is there the second time somebody looks."""
        name = f"{new_key('')[:24]}.log"
        self._results[name] = (text.encode(), 0)
        return as_json({"success": True, "result_url": f"{self.root_url}/results/{name}", "msg": "requested"})

    async def _result(self, asked: Asked) -> Answer:
        name = asked.parts["result"]
        if name not in self._results:
            raise RefusedError(self.error(404))
        text, looked = self._results[name]
        self._results[name] = (text, looked + 1)
        return Answer(404, b"", "text/plain") if not looked else Answer(200, text, "text/plain")

    # for all calls

    def query(self, asked: Asked, name: str, kind: type[Any]) -> Any:
        text = asked.request.query.get(name)
        if not text:
            return kind()
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if value is None:
            return kind()
        if not isinstance(value, kind):
            raise RefusedError(self.error(400, f"error 400/1782: Invalid args: {name}"))
        return value

    def found(self, asked: Asked) -> Rental:
        rental = self.rental_of(asked)
        if rental is None:
            number = asked.parts.get("id", "")
            raise RefusedError(self.error(404, f"Instance {number} not found.", "no_such_instance"))
        return rental


def _key_row(number: int, created_at: datetime) -> dict[str, Any]:
    return {"id": number, "user_id": 99, "created_at": iso(created_at), "deleted_at": None}
