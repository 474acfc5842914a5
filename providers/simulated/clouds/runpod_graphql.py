"""RunPod's GraphQL: what its Python package and `runpodctl` ask for, the balance, and machines that can be outbid.

A refusal is HTTP 200 with `errors`; only a key nobody knows is 401.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from providers.simulated.clouds.faults import ActiveFaults, Call, CloudFaultKind
from providers.simulated.clouds.graphql import Field, GraphQlError, Operation, parse, project
from providers.simulated.clouds.hosts import Host
from providers.simulated.clouds.rental import Phase, Rental
from providers.simulated.clouds.runpod_orders import InvalidOrderError, PodOrder, read_mounts, read_ports
from providers.simulated.clouds.runpod_pods import Mapped, graphql_pod
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.wire import Answer, Asked, RefusedError, as_json
from providers.simulated.http_server import Request

_CALLS = {
    "podFindAndDeployOnDemand": Call.CREATE,
    "podRentInterruptable": Call.CREATE,
    "deployCpuPod": Call.CREATE,
    "podStop": Call.STOP,
    "podResume": Call.START,
    "podBidResume": Call.START,
    "podTerminate": Call.DESTROY,
    "pod": Call.SHOW,
    "gpuTypes": Call.OFFERS,
    "updateUserSettings": Call.KEYS,
}


class _FailedError(Exception):
    """A field that could not be answered."""

    def __init__(self, message: str, *, has_data: bool = True) -> None:
        super().__init__(message)
        self.has_data = has_data


class RunPodGraphQl(CloudTwin):
    """The part of the twin that speaks GraphQL, over the same pods."""

    spend_limit: int
    network_volumes: dict[str, dict[str, Any]]

    @abstractmethod
    def deploy(self, order: PodOrder, faults: ActiveFaults) -> Rental: ...

    @abstractmethod
    def act(self, rental: Rental, action: str, faults: ActiveFaults) -> None: ...

    @abstractmethod
    def terminate(self, rental: Rental, faults: ActiveFaults) -> None: ...

    @abstractmethod
    def mapped(self, rental: Rental) -> Mapped: ...

    @abstractmethod
    def replace_keys(self, keys: list[str]) -> None: ...

    def add_graphql(self) -> None:
        self.route("POST", "/graphql", _call_of_query, self._graphql)

    async def _graphql(self, asked: Asked) -> Answer:
        try:
            operation = _parsed(asked.body)
            resolvers = self._resolvers(operation)
            for field in operation.fields:
                if field.name not in resolvers:
                    raise GraphQlError(f'Cannot query field "{field.name}" on type "{operation.kind.title()}".')
        except GraphQlError as problem:
            return _errors([str(problem)], code="GRAPHQL_VALIDATION_FAILED", status=400)
        answered: dict[str, Any] = {}
        messages: list[str] = []
        has_data = True
        for field in operation.fields:
            try:
                answered[field.answered_as] = project(resolvers[field.name](field, asked), field)
            except GraphQlError as problem:
                return _errors([str(problem)], code="GRAPHQL_VALIDATION_FAILED", status=400)
            except RefusedError as refused:
                answered[field.answered_as] = None
                messages.append(str(json.loads(refused.answer.body)["detail"]))
            except _FailedError as problem:
                answered[field.answered_as] = None
                messages.append(str(problem))
                has_data = has_data and problem.has_data
        if messages:
            return _errors(messages, data=answered if has_data else None)
        return as_json({"data": answered})

    def _resolvers(self, operation: Operation) -> Mapping[str, Callable[[Field, Asked], Any]]:
        if operation.kind == "query":
            return {"myself": self._myself, "pod": self._pod, "gpuTypes": self._gpu_types}
        return {
            "podFindAndDeployOnDemand": self._deploy,
            "podRentInterruptable": self._deploy,
            "deployCpuPod": self._deploy_cpu,
            "podStop": self._stop,
            "podResume": self._resume,
            "podBidResume": self._resume,
            "podTerminate": self._terminate,
            "updateUserSettings": self._update_settings,
        }

    # queries

    def _myself(self, field: Field, asked: Asked) -> dict[str, Any]:
        def pods(_: Mapping[str, Any]) -> list[dict[str, Any]]:
            faults = asked.faults
            alive = [rental for rental in self.market.alive() if rental.phase is not Phase.DESTROYING]
            return [self._row(rental, faults) for rental in alive if not faults.on(CloudFaultKind.MISSING, rental.id)]

        return {
            "id": "user_99",
            "email": "a@example.org",
            "pubKey": "\n".join(self.account.public_keys()),
            "networkVolumes": list(self.network_volumes.values()),
            "pods": pods,
            "clientBalance": self.market.balance_usd,
            "currentSpendPerHr": self.market.usd_per_hour,
            "spendLimit": self.spend_limit,
            "clientLifetimeSpend": self.account.deposited() - self.market.balance_usd,
            "underBalance": self.market.balance_usd <= 0,
        }

    def _pod(self, field: Field, asked: Asked) -> dict[str, Any] | None:
        rental = self._rental(field, asked)
        if rental is None or asked.faults.on(CloudFaultKind.MISSING, rental.id):
            return None
        return self._row(rental, asked.faults)

    def _row(self, rental: Rental, faults: ActiveFaults) -> dict[str, Any]:
        return graphql_pod(rental, self.market.now, faults, self.mapped(rental))

    def _gpu_types(self, field: Field, asked: Asked) -> list[dict[str, Any]]:
        wanted = _input(field).get("id")
        by_name: dict[str, list[Host]] = {}
        for host in self.market.hosts.values():
            by_name.setdefault(host.gpu.full_name, []).append(host)
        return [self._gpu_type(hosts) for name, hosts in by_name.items() if wanted in (None, name)]

    def _gpu_type(self, hosts: list[Host]) -> dict[str, Any]:
        gpu = hosts[0].gpu
        secure = [host for host in hosts if host.is_secure]
        community = [host for host in hosts if not host.is_secure]

        def lowest(arguments: Mapping[str, Any]) -> dict[str, Any]:
            given = arguments.get("input") or {}
            gpus = int(given.get("gpuCount") or 1)
            wanted = {None: hosts, True: secure, False: community}[given.get("secureCloud")]
            free = [host for host in wanted if self.market.can_hold(host, gpus)]
            return {
                "minimumBidPrice": _least(host.min_bid_per_gpu_hour for host in free),
                "uninterruptablePrice": _least(host.usd_per_gpu_hour for host in free),
                "stockStatus": "High" if len(free) > 1 else "Low" if free else None,
            }

        return {
            "id": gpu.full_name,
            "displayName": gpu.name,
            "manufacturer": "Nvidia",
            "memoryInGb": gpu.memory_gb,
            "cudaCores": gpu.cuda_cores,
            "maxGpuCount": max(host.gpus for host in hosts),
            "secureCloud": bool(secure),
            "communityCloud": bool(community),
            "securePrice": _least(host.usd_per_gpu_hour for host in secure),
            "communityPrice": _least(host.usd_per_gpu_hour for host in community),
            "secureSpotPrice": _least(host.min_bid_per_gpu_hour for host in secure),
            "communitySpotPrice": _least(host.min_bid_per_gpu_hour for host in community),
            "oneWeekPrice": None,
            "oneMonthPrice": None,
            "threeMonthPrice": None,
            "lowestPrice": lowest,
        }

    # mutations

    def _deploy(self, field: Field, asked: Asked) -> dict[str, Any]:
        given = _input(field)
        try:
            order = _order(given, is_spot=field.name == "podRentInterruptable")
        except InvalidOrderError as problem:
            raise _FailedError(f"{problem.field}: {problem}") from None
        choices = [order] if given.get("cloudType") not in (None, "ALL") else [order, order._replace(is_secure=False)]
        for choice in choices[:-1]:
            try:
                return self._row(self.deploy(choice, asked.faults), ActiveFaults())
            except RefusedError as refused:
                if refused.answer.status != 400:
                    raise
        return self._row(self.deploy(choices[-1], asked.faults), ActiveFaults())

    def _deploy_cpu(self, field: Field, asked: Asked) -> None:
        raise _FailedError("There are no CPU instances available with the requested specifications.")

    def _stop(self, field: Field, asked: Asked) -> dict[str, Any]:
        rental = self._needed(field, asked)
        self.act(rental, "stop", asked.faults)
        return {**self._row(rental, ActiveFaults()), "desiredStatus": "EXITED"}

    def _resume(self, field: Field, asked: Asked) -> dict[str, Any]:
        rental = self._needed(field, asked)
        given = _input(field)
        gpus = given.get("gpuCount", rental.gpus)
        bid = given.get("bidPerGpu")
        before = rental.gpus, rental.usd_per_hour, rental.bid
        if isinstance(gpus, int) and rental.phase is Phase.STOPPED:
            rental.gpus = gpus
            per_gpu = rental.host.usd_per_gpu_hour if before[0] == 0 else before[1] / before[0]
            rental.usd_per_hour = per_gpu * gpus
            if bid is not None:
                rental.bid = rental.usd_per_hour = Decimal(str(bid)) * gpus
        try:
            self.act(rental, "start", asked.faults)
        except RefusedError:
            rental.gpus, rental.usd_per_hour, rental.bid = before
            raise
        return self._row(rental, ActiveFaults())

    def _terminate(self, field: Field, asked: Asked) -> None:
        rental = self._rental(field, asked)
        if rental is None:
            raise _FailedError("pod not found to terminate", has_data=False)
        self.terminate(rental, asked.faults)

    def _update_settings(self, field: Field, asked: Asked) -> dict[str, Any]:
        text = _input(field).get("pubKey")
        if isinstance(text, str):
            self.replace_keys([line.strip() for line in text.splitlines() if line.strip()])
        return self._myself(field, asked)

    def _rental(self, field: Field, asked: Asked) -> Rental | None:
        rental = self.rental_of(asked._replace(parts={"id": str(_input(field).get("podId"))}))
        return None if rental is None or rental.phase is Phase.DESTROYING else rental

    def _needed(self, field: Field, asked: Asked) -> Rental:
        rental = self._rental(field, asked)
        if rental is None:
            raise _FailedError("pod not found")
        return rental


def _input(field: Field) -> dict[str, Any]:
    given = field.arguments.get("input")
    return given if isinstance(given, dict) else {}


def _order(given: Mapping[str, Any], *, is_spot: bool) -> PodOrder:
    for name in ("imageName", "gpuTypeId"):
        if not isinstance(given.get(name), str):
            raise InvalidOrderError(name, "is required")
    env = given.get("env") or []
    volume_gb = int(given.get("volumeInGb") or 0)
    mounts = None
    if given.get("networkVolumeId"):
        mounts = read_mounts({"network": [{"volumeId": given["networkVolumeId"], "path": "/workspace"}]})
    elif volume_gb:
        mounts = {"persistent": {"size": volume_gb, "path": given.get("volumeMountPath") or "/workspace"}}
    bid = given.get("bidPerGpu") if is_spot else None
    if is_spot and not isinstance(bid, int | float):
        raise InvalidOrderError("bidPerGpu", "is required")
    datacenter = given.get("dataCenterId")
    return PodOrder(
        name=str(given.get("name") or ""),
        image=str(given["imageName"]),
        gpu_id=str(given["gpuTypeId"]),
        gpus=int(given.get("gpuCount") or 1),
        is_secure=given.get("cloudType") != "COMMUNITY",
        datacenters=(str(datacenter),) if datacenter else (),
        disk_gb=int(given.get("containerDiskInGb") or 20),
        mounts=mounts,
        ports=read_ports([port.strip() for port in str(given.get("ports") or "").split(",") if port.strip()]),
        env={str(one.get("key")): str(one.get("value")) for one in env if isinstance(one, dict)},
        args=str(given.get("dockerArgs") or ""),
        start_ssh=bool(given.get("startSsh", False)),
        bid_per_gpu=None if bid is None else Decimal(str(bid)),
    )


def _least(prices: Any) -> Decimal | None:
    return min((price for price in prices if price is not None), default=None)


def _parsed(body: Any) -> Operation:
    fields = body if isinstance(body, dict) else {}
    query, variables = fields.get("query"), fields.get("variables")
    return parse(query if isinstance(query, str) else "", variables if isinstance(variables, dict) else {})


def _call_of_query(request: Request, body: Any) -> Call:
    try:
        field = _parsed(body).fields[0]
    except GraphQlError:
        return Call.OTHER
    if field.name == "myself":
        return Call.LIST if any(part.name == "pods" for part in field.fields) else Call.ACCOUNT
    return _CALLS.get(field.name, Call.OTHER)


def _errors(
    messages: list[str], *, code: str = "RUNPOD", status: int = 200, data: dict[str, Any] | None = None
) -> Answer:
    said: dict[str, Any] = {"errors": [{"message": message, "extensions": {"code": code}} for message in messages]}
    if data is not None:
        said["data"] = data
    return as_json(said, status)
