"""The twin of Lambda Cloud: virtual machines that are launched, restarted and terminated, and never stopped.

Billed by the minute from the first `active` until terminated. `active` comes before the machine's SSH server does. What
was terminated or preempted stays in the list for a while. The API tells no balance; only the invoice of the twin does.

A machine of Lambda's is reached at port 22. One of ours cannot be, so behind real machines each has an `ssh_port`
that the cloud itself does not send.
"""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from providers.simulated.clouds.billing import ChargeKind
from providers.simulated.clouds.faults import Call, CloudFaultKind
from providers.simulated.clouds.hosts import Host
from providers.simulated.clouds.lambda_disks import FileSystems
from providers.simulated.clouds.lambda_launches import BadLaunchError, Launch, check_name, launch_from
from providers.simulated.clouds.lambda_types import REGIONS, default_stock, region_row, type_of
from providers.simulated.clouds.limits import Bucket, MinimumInterval
from providers.simulated.clouds.rental import ON_THE_WAY, Order, Phase, Rental
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.wire import Answer, Asked, RefusedError, as_json, iso
from providers.simulated.http_server import Request

LAUNCH_INTERVAL_S = 12.0
IMAGE_FAMILIES = ("lambda-stack-22-04", "lambda-stack-24-04")
_KEY_KINDS = ("ssh-", "ecdsa-", "sk-")
_NOT_THERE = "global/object-does-not-exist"
_USUAL = {
    400: ("global/invalid-parameters", "Invalid request data."),
    401: ("global/invalid-api-key", "API key was invalid, expired, or deleted."),
    403: ("global/account-inactive", "Your account is inactive."),
    404: (_NOT_THERE, "Specified instance does not exist."),
    409: ("global/conflict", "The instance is in no state for this."),
    429: ("global/rate-limit-exceeded", "Too many requests."),
    500: ("global/internal-error", "An internal error occurred."),
}
_SUGGESTIONS = {
    "global/invalid-api-key": "Check your API key or create a new one, then try again.",
    "global/account-inactive": "Make sure you have a valid payment method configured before continuing.",
    "global/quota-exceeded": "Contact Support to increase your quota.",
    "instance-operations/launch/insufficient-capacity": "Choose an instance type with more availability.",
}
_HAS_ENDED = (Phase.DESTROYING, Phase.GONE)


class LambdaTwin(CloudTwin):
    name: ClassVar[str] = "lambda"
    ssh_user: ClassVar[str] = "ubuntu"
    bills_by: ClassVar[timedelta | None] = timedelta(minutes=1)

    def __init__(
        self,
        *,
        burst: int = 5,
        quota: int = 20,
        terminated_listed_s: float = 300.0,
        balance_usd: Decimal = Decimal(1_000_000),
        **how: Any,
    ) -> None:
        """`burst` requests may come at once, beyond one per second; `quota` is how many machines there may be.

        The account is billed afterwards: `balance_usd` only has to be more than anybody spends.
        """
        self._ids = random.Random(how.get("seed", 0))  # noqa: S311 - ids only
        self._bucket = Bucket(1.0, burst)
        self._launches = MinimumInterval()
        self.quota = quota
        self.terminated_listed = timedelta(seconds=terminated_listed_s)
        self.file_systems = FileSystems(self)
        self._ssh_keys: dict[str, tuple[str, str]] = {}
        super().__init__(balance_usd=balance_usd, **how)

    @classmethod
    def default_hosts(cls) -> list[Host]:
        return default_stock()

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/api/v1"

    def new_id(self) -> str:
        return f"{self._ids.getrandbits(128):032x}"

    def tariff(self, rental: Rental) -> Mapping[ChargeKind, Decimal]:
        is_billed = rental.has_run and rental.phase not in _HAS_ENDED
        return {ChargeKind.GPU: rental.usd_per_hour} if is_billed else {}

    def add_routes(self) -> None:
        base = "/api/v1"
        self.route("GET", f"{base}/instance-types", Call.OFFERS, self._types)
        self.route("GET", f"{base}/images", Call.OTHER, self._images)
        self.route("GET", f"{base}/instances", Call.LIST, self._list)
        self.route("GET", f"{base}/instances/{{id}}", Call.SHOW, self._show)
        self.route("POST", f"{base}/instances/{{id}}", Call.CHANGE, self._rename)
        self.route("POST", f"{base}/instance-operations/launch", Call.CREATE, self._launch)
        self.route("POST", f"{base}/instance-operations/restart", Call.RESTART, self._restart)
        self.route("POST", f"{base}/instance-operations/terminate", Call.DESTROY, self._terminate)
        self.route("GET", f"{base}/ssh-keys", Call.KEYS, self._list_keys)
        self.route("POST", f"{base}/ssh-keys", Call.KEYS, self._add_key)
        self.route("DELETE", f"{base}/ssh-keys/{{key}}", Call.KEYS, self._remove_key)
        self.file_systems.add_routes(base)

    def error(self, status: int, message: str = "", code: str = "") -> Answer:
        usual_code, usual = _USUAL.get(status, ("global/internal-error", "Something went wrong."))
        said = {"code": code or usual_code, "message": message or usual}
        if suggestion := _SUGGESTIONS.get(said["code"]):
            said["suggestion"] = suggestion
        return as_json({"error": said}, status)

    def limit(self, asked: Asked) -> Answer | None:
        if not self.has_limits:
            return None
        key = asked.identity.key
        if self._bucket.wait_s(key, self.now):
            return self.error(429)
        if asked.call is Call.CREATE and self._launches.wait_s(key, "launch", LAUNCH_INTERVAL_S, self.now):
            return self.error(429)
        return None

    def key_of(self, request: Request) -> str | None:
        """As Bearer, or as Basic with the key for a name and no password."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return super().key_of(request)
        try:
            name, colon, password = base64.b64decode(shown.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return name if colon and not password else None

    # for tests

    def preempt(self, machine_id: str) -> None:
        """Take a machine away, as the cloud does that needs it for somebody else."""
        self.market.advance()
        rental = self.market.rentals[machine_id]
        rental.extra["is_preempted"] = True
        self.market.destroy(rental)

    # machines

    def _listed(self) -> list[Rental]:
        """What the cloud still names: those that are, and for a while those that were."""
        return [
            rental
            for rental in self.market.rentals.values()
            if not rental.is_gone or self.market.now - rental.phase_since < self.terminated_listed
        ]

    def _named(self, asked: Asked) -> Rental:
        return self._by_id(asked.parts["id"])

    def _by_id(self, number: object) -> Rental:
        for rental in self._listed():
            if rental.id == number:
                return rental
        raise RefusedError(self.error(404))

    def status_of(self, rental: Rental) -> str:
        if rental.phase in _HAS_ENDED and rental.extra.get("is_preempted"):
            return "preempted"
        if rental.phase is Phase.GONE:
            return "terminated"
        if rental.phase is Phase.DESTROYING:
            return "terminating"
        if not rental.host.is_online:
            return "unhealthy"
        if rental.phase in ON_THE_WAY:
            return "active" if rental.has_run else "booting"  # a restart does not show
        return "active" if rental.phase is Phase.RUNNING else "unhealthy"

    def _said_status(self, rental: Rental, asked: Asked) -> str:
        if fault := asked.faults.on(CloudFaultKind.ODD_STATUS, rental.id):
            return fault.text or "hibernating"
        status = self.status_of(rental)
        if asked.faults.on(CloudFaultKind.HEARTBEAT_LOST, rental.id):
            return "unhealthy"
        if asked.faults.on(CloudFaultKind.LYING_STATUS, rental.id) and status == "active":
            return "terminated"
        if asked.faults.on(CloudFaultKind.STALE, rental.id) and status in ("terminating", "terminated"):
            return "active"
        return status

    def _row(self, rental: Rental, asked: Asked) -> dict[str, Any]:
        launch: Launch = rental.extra["launch"]
        status = self._said_status(rental, asked)
        mounts = self.file_systems.mounts(launch)
        row: dict[str, Any] = {
            "id": rental.id,
            "status": status,
            "ssh_key_names": [launch.ssh_key_name],
            "file_system_names": [disk.name for disk, _ in mounts],
            "region": region_row(rental.host.region),
            "instance_type": type_of(rental.host).row(),
            "actions": _actions(status),
            "tags": [{"key": key, "value": value} for key, value in launch.tags],
            **self._addresses(rental, launch),
        }
        if rental.label:
            row["name"] = rental.label
        if mounts:
            row["file_system_mounts"] = [{"file_system_id": disk.id, "mount_point": where} for disk, where in mounts]
        if launch.firewall_rulesets:
            row["firewall_rulesets"] = [{"id": number} for number in launch.firewall_rulesets]
        return row

    def _addresses(self, rental: Rental, launch: Launch) -> dict[str, Any]:
        """Nothing of it is there before the machine has run; a restart keeps it."""
        if place := self.place(rental):
            rental.extra["ip"], rental.extra["port"] = place
        ip = rental.extra.get("ip")
        if ip is None:
            return {}
        number = sum(rental.id.encode())
        row = {
            "ip": ip,
            "private_ip": f"10.19.{number % 200}.{number // 16 % 200}",
            "hostname": launch.hostname or f"{ip.replace('.', '-')}.cloud.lambda.ai",
            "jupyter_token": rental.id[::-1],
            "jupyter_url": f"https://jupyter-{rental.id}.lambdaspaces.com/?token={rental.id[::-1]}",
        }
        return {**row, "ssh_port": rental.extra["port"]} if self.with_machines else row

    async def _types(self, asked: Asked) -> Answer:
        rows: dict[str, dict[str, Any]] = {}
        for host in self.market.hosts.values():
            kind = type_of(host)
            row = rows.setdefault(kind.name, {"instance_type": kind.row(), "regions_with_capacity_available": []})
            if self.market.can_hold(host, kind.gpus):
                row["regions_with_capacity_available"].append(region_row(host.region))
        return as_json({"data": rows})

    async def _images(self, asked: Asked) -> Answer:
        opened = iso(self.account.deposits[0].moment)
        return as_json(
            {
                "data": [
                    {
                        "id": f"{number:032x}",
                        "created_time": opened,
                        "updated_time": opened,
                        "name": f"{family}-{region}",
                        "description": f"Lambda Stack in {REGIONS[region]}",
                        "family": family,
                        "version": "1.0.0",
                        "architecture": "x86_64",
                        "region": region_row(region),
                    }
                    for number, (family, region) in enumerate(
                        ((family, region) for family in IMAGE_FAMILIES for region in REGIONS), start=1
                    )
                ]
            }
        )

    async def _list(self, asked: Asked) -> Answer:
        seen = [rental for rental in self._listed() if not asked.faults.on(CloudFaultKind.MISSING, rental.id)]
        return as_json({"data": [self._row(rental, asked) for rental in seen]})

    async def _show(self, asked: Asked) -> Answer:
        rental = self._named(asked)
        if asked.faults.on(CloudFaultKind.MISSING, rental.id):
            return self.error(404)
        return as_json({"data": self._row(rental, asked)})

    async def _rename(self, asked: Asked) -> Answer:
        rental = self._named(asked)
        name = asked.fields.get("name")
        if not isinstance(name, str) or not name:
            return self.error(400, "name is required")
        try:
            check_name(name)
        except BadLaunchError as problem:
            return self.error(400, str(problem))
        rental.label = name
        return as_json({"data": self._row(rental, asked)})

    # launch, restart, terminate

    async def _launch(self, asked: Asked) -> Answer:
        try:
            launch = launch_from(asked.body)
        except BadLaunchError as problem:
            return self.error(400, str(problem))
        keys = [public_key for name, public_key in self._ssh_keys.values() if name == launch.ssh_key_name]
        kinds = [type_of(host) for host in self.market.hosts.values() if type_of(host).name == launch.instance_type]
        self.need(launch.region in REGIONS, "region")
        self.need(bool(kinds), "instance type")
        self.need(bool(keys), "SSH key")
        self.file_systems.check(launch)
        if len(self.market.alive()) >= self.quota:
            return self.error(400, "Quota exceeded.", "global/quota-exceeded")
        host = self._host_for(launch)
        if host is None or CloudFaultKind.NO_GPU in asked.faults:
            code = "instance-operations/launch/insufficient-capacity"
            return self.error(400, "Not enough capacity to fulfill launch request.", code)
        order = Order(
            host=host,
            gpus=kinds[0].gpus,
            image=str(launch.image.get("family") or launch.image.get("id") or IMAGE_FAMILIES[-1]),
            usd_per_hour=kinds[0].usd_per_hour,
            disk_gb=Decimal(kinds[0].storage_gib),
            label=launch.name,
            script=launch.user_data,
            keys=(keys[0],),
            extra={"launch": launch},
        )
        rental = self.market.rent(order)
        self.afflict(rental, asked.faults)
        if CloudFaultKind.REMNANT in asked.faults:
            return self.error(500)
        return as_json({"data": {"instance_ids": [rental.id]}})

    def need(self, is_there: bool, what: str) -> None:
        if not is_there:
            raise RefusedError(self.error(404, f"Specified {what} does not exist."))

    def _host_for(self, launch: Launch) -> Host | None:
        for host in self.market.hosts.values():
            kind = type_of(host)
            is_it = kind.name == launch.instance_type and host.region == launch.region
            if is_it and self.market.can_hold(host, kind.gpus):
                return host
        return None

    async def _restart(self, asked: Asked) -> Answer:
        def is_possible(rental: Rental) -> bool:
            return self.status_of(rental) in ("active", "unhealthy")

        return self._each(asked, "restarted_instances", self.market.restart, is_possible)

    async def _terminate(self, asked: Asked) -> Answer:
        return self._each(asked, "terminated_instances", self.market.destroy, lambda rental: True)

    def _each(
        self, asked: Asked, name: str, deed: Callable[[Rental], None], is_possible: Callable[[Rental], bool]
    ) -> Answer:
        """Do it to all that are named, or to none when one of them is not there or in no state for it."""
        numbers = asked.fields.get("instance_ids")
        if not isinstance(numbers, list) or not numbers:
            return self.error(400, "instance_ids must name at least one instance")
        rentals = [self._by_id(number) for number in numbers]
        if not all(map(is_possible, rentals)):
            return self.error(409)
        if CloudFaultKind.NOT_DONE not in asked.faults:
            for rental in rentals:
                deed(rental)
        return as_json({"data": {name: [self._row(rental, asked) for rental in rentals]}})

    # SSH keys

    async def _list_keys(self, asked: Asked) -> Answer:
        rows = [
            {"id": number, "name": name, "public_key": public_key}
            for number, (name, public_key) in self._ssh_keys.items()
        ]
        return as_json({"data": rows})

    async def _add_key(self, asked: Asked) -> Answer:
        name, public_key = asked.fields.get("name"), asked.fields.get("public_key")
        if not isinstance(name, str) or not name:
            return self.error(400, "name is required")
        if any(name == known for known, _ in self._ssh_keys.values()):
            return self.error(400, "An SSH key with that name exists already.", "global/duplicate")
        row = {"id": self.new_id(), "name": name}
        if public_key is None:
            public_key, row["private_key"] = _new_pair()
        if not isinstance(public_key, str) or not public_key.startswith(_KEY_KINDS):
            return self.error(400, "public_key is no SSH public key")
        row["public_key"] = public_key
        self._ssh_keys[row["id"]] = (name, public_key)
        return as_json({"data": row})

    async def _remove_key(self, asked: Asked) -> Answer:
        if self._ssh_keys.pop(asked.parts["key"], None) is None:
            return self.error(404, "Specified SSH key does not exist.")
        return as_json({"data": {}})


def _actions(status: str) -> dict[str, dict[str, Any]]:
    """What may be done to a machine, and if not, why."""
    if status in ("terminating", "terminated", "preempted"):
        reason: tuple[str, str] | None = ("vm-is-terminating", "The instance is being terminated.")
    elif status == "booting":
        reason = ("vm-has-not-launched", "The instance has not launched yet.")
    else:
        reason = None

    def availability(is_always: bool) -> dict[str, Any]:
        if reason is None or is_always:
            return {"available": True}
        return {"available": False, "reason_code": reason[0], "reason_description": reason[1]}

    names = ("migrate", "rebuild", "restart", "cold_reboot", "terminate")
    return {name: availability(name == "terminate" and status == "booting") for name in names}


def _new_pair() -> tuple[str, str]:
    """A public key and its private key."""
    import asyncssh  # takes a third of a second

    key = asyncssh.generate_private_key("ssh-ed25519")
    return key.export_public_key().decode().strip(), key.export_private_key().decode()
