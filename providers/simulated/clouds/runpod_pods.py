"""Pods as RunPod writes them: as a REST v2 object and as the fields of its GraphQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from providers.simulated.clouds.faults import ActiveFaults, CloudFaultKind
from providers.simulated.clouds.rental import Phase, Rental
from providers.simulated.clouds.wire import Place, iso

_ACTIONS = {
    "RUNNING": ("stop", "restart", "terminate"),
    "EXITED": ("start", "terminate"),
    "ERROR": ("start", "terminate"),
    "PROVISIONING": ("stop", "terminate"),
    "STARTING": ("stop", "terminate"),
    "TERMINATED": (),
}
_STATUS = {
    Phase.QUEUED: "EXITED",
    Phase.PROVISIONING: "PROVISIONING",
    Phase.PULLING: "STARTING",
    Phase.BOOTING: "STARTING",
    Phase.RUNNING: "RUNNING",
    Phase.DIED: "ERROR",
    Phase.BROKEN: "ERROR",
    Phase.STOPPING: "RUNNING",
    Phase.STOPPED: "EXITED",
    Phase.DESTROYING: "TERMINATED",
    Phase.GONE: "TERMINATED",
}
PORTS_LINGER = timedelta(seconds=30)
"""How long GraphQL goes on telling the ports of a pod that was stopped."""


class Mapped(dict[int, Place]):
    """Where a pod's ports are outside, by the port inside; empty until it has them."""


def status(rental: Rental, faults: ActiveFaults | None = None) -> str:
    """Its word; with faults, the one a reader is told."""
    word = _STATUS[rental.phase]
    if rental.phase is Phase.STOPPING and not rental.was_running:
        word = "STARTING"
    if faults is not None:
        if word == "RUNNING" and faults.on(CloudFaultKind.LYING_STATUS, rental.id):
            word = "EXITED"
        if word == "EXITED" and faults.on(CloudFaultKind.STALE, rental.id):
            word = "RUNNING"
        if fault := faults.on(CloudFaultKind.ODD_STATUS, rental.id):
            word = fault.text or "MIGRATING"
    return word


def actions(rental: Rental) -> list[str]:
    allowed = _ACTIONS[status(rental)]
    return [action for action in allowed if action != "stop" or not rental.extra["locked"]]


def pod_row(rental: Rental, now: datetime, faults: ActiveFaults, places: Mapped) -> dict[str, Any]:
    word = status(rental, faults)
    extra = rental.extra
    is_silent = not rental.host.is_online or faults.on(CloudFaultKind.HEARTBEAT_LOST, rental.id) is not None
    direct = places.get(22)
    user = f"{rental.id}-{extra['proxy_suffix']}"
    proxy = {"host": "ssh.runpod.io", "port": 22, "username": user, "command": f"ssh {user}@ssh.runpod.io"}
    return {
        "id": rental.id,
        "name": rental.label or "",
        "status": word,
        "actions": actions(rental),
        "image": rental.image,
        "args": extra["args"],
        "disk": extra["disk"],
        "env": extra["env"],
        "ports": extra["ports"],
        "registry": extra["registry"],
        "mounts": extra["mounts"],
        "gpu": {"id": rental.host.gpu.full_name, "count": rental.gpus},
        "cloud": "SECURE" if rental.host.is_secure else "COMMUNITY",
        "dataCenterId": rental.host.datacenter,
        "cudaVersion": "12.8",
        "template": None,
        "cost": cost(rental),
        "locked": extra["locked"],
        "globalNetworking": {"enabled": False},
        "ssh": {
            "proxy": None if word == "PROVISIONING" else proxy,
            "direct": None
            if direct is None
            else {
                "host": direct.host,
                "port": direct.port,
                "username": "root",
                "command": f"ssh root@{direct.host} -p {direct.port}",
            },
        },
        "runtime": _runtime(rental, now, places) if word == "RUNNING" and not is_silent else None,
        "createdAt": iso(rental.created_at),
        "startedAt": None if rental.started_at is None else iso(rental.started_at),
    }


def cost(rental: Rental) -> Decimal:
    """Dollars per hour at this moment, of which disks are no part."""
    return rental.usd_per_hour if rental.holds_gpu and rental.phase is not Phase.DESTROYING else Decimal(0)


def _runtime(rental: Rental, now: datetime, places: Mapped) -> dict[str, Any]:
    kinds = _kinds(rental)
    return {
        "uptime": int(rental.runs_for(now).total_seconds()),
        "gpus": [{"util": 0, "memoryUtil": 0} for _ in range(rental.gpus)] if places else [],
        "cpu": {"util": 3},
        "memory": {"util": 5},
        "ports": [
            {"private": inside, "public": place.port, "type": kinds[inside], "ip": place.host}
            for inside, place in places.items()
        ],
    }


def _kinds(rental: Rental) -> dict[int, str]:
    return dict(map(port_parts, rental.extra["ports"]))


def port_parts(port: str) -> tuple[int, str]:
    """`22/tcp` as number and kind; ValueError when it is no port."""
    number, _, kind = port.partition("/")
    if kind not in ("tcp", "http", "udp") or not number.isdecimal() or not 0 < int(number) < 65_536:
        raise ValueError(f"{port!r} is no port")
    return int(number), kind


def graphql_pod(rental: Rental, now: datetime, faults: ActiveFaults, places: Mapped) -> dict[str, Any]:
    word = status(rental, faults)
    desired = {"PROVISIONING": "RUNNING", "STARTING": "RUNNING", "ERROR": "RUNNING"}.get(word, word)
    lingers = rental.stopped_at is not None and now - rental.stopped_at < PORTS_LINGER and word == "EXITED"
    shown = places or (rental.extra.get("last_places") if lingers else None)
    extra = rental.extra
    persistent = (extra["mounts"] or {}).get("persistent") or {}
    kinds = _kinds(rental)
    return {
        "id": rental.id,
        "name": rental.label or "",
        "containerDiskInGb": extra["disk"],
        "costPerHr": rental.usd_per_hour,
        "desiredStatus": desired,
        "dockerArgs": extra["args"],
        "dockerId": None,
        "env": [f"{name}={value}" for name, value in extra["env"].items()],
        "gpuCount": rental.gpus,
        "imageName": rental.image,
        "lastStatusChange": f"{desired.title()} by user: {rental.phase_since:%a %b %d %Y %H:%M:%S} GMT+0000",
        "machineId": f"m{rental.host.id:011d}",
        "memoryInGb": rental.host.ram_gb * max(rental.gpus, 1) // rental.host.gpus,
        "podType": "INTERRUPTABLE" if rental.is_spot else "RESERVED",
        "port": None,
        "ports": ",".join(extra["ports"]),
        "uptimeSeconds": 0,
        "vcpuCount": rental.host.cpu_cores * max(rental.gpus, 1) // rental.host.gpus,
        "volumeInGb": persistent.get("size", 0),
        "volumeMountPath": persistent.get("path"),
        "runtime": None
        if shown is None or not (places or lingers)
        else {
            "uptimeInSeconds": int(rental.runs_for(now).total_seconds()),
            "ports": [
                {
                    "ip": place.host,
                    "isIpPublic": kinds.get(inside) != "http",
                    "privatePort": inside,
                    "publicPort": place.port,
                    "type": kinds.get(inside, "tcp"),
                }
                for inside, place in shown.items()
            ],
            "gpus": [{"id": f"GPU-{n}", "gpuUtilPercent": 0, "memoryUtilPercent": 0} for n in range(rental.gpus)],
        },
        "machine": {
            "podHostId": f"{rental.id}-{extra['proxy_suffix']}",
            "gpuDisplayName": rental.host.gpu.name,
            "gpuTypeId": rental.host.gpu.full_name,
            "dataCenterId": rental.host.datacenter,
            "secureCloud": rental.host.is_secure,
        },
    }
