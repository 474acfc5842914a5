"""What may be ordered from RunPod: the body of a create call, checked and placed on a host."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from providers.simulated.clouds.hosts import Host
from providers.simulated.clouds.market import Market
from providers.simulated.clouds.runpod_pods import port_parts

_FIELDS = frozenset({"name", "image", "templateId", "gpu", "cpu", "cloud", "dataCenterIds", "disk", "mounts", "ports"})
_MORE_FIELDS = frozenset({"env", "args", "startSsh", "startJupyter", "registry", "locked", "globalNetworking"})
_LEAST_VOLUME_GB = 10


class InvalidOrderError(ValueError):
    """A body that no retry makes better; says which field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class PodOrder(NamedTuple):
    name: str
    image: str
    gpu_id: str | None
    gpus: int
    is_secure: bool
    datacenters: tuple[str, ...]
    disk_gb: int
    mounts: Mapping[str, Any] | None
    ports: tuple[str, ...]
    env: Mapping[str, str]
    args: str
    start_ssh: bool
    registry: str | None = None
    locked: bool = False
    bid_per_gpu: Decimal | None = None

    @property
    def volume_gb(self) -> int:
        persistent = (self.mounts or {}).get("persistent") or {}
        return int(persistent.get("size", 0))


def read(body: Mapping[str, Any]) -> PodOrder:
    """The order in a REST v2 body; InvalidOrderError when it is none."""
    unknown = next((field for field in body if field not in _FIELDS | _MORE_FIELDS), None)
    if unknown is not None:
        raise InvalidOrderError(unknown, "unexpected property")
    image = body.get("image") or ("runpod/base:0.6.2-cuda12.4.1" if body.get("templateId") else None)
    if not isinstance(image, str):
        raise InvalidOrderError("image", "image or templateId is required")
    gpu, cpu = body.get("gpu"), body.get("cpu")
    if (gpu is None) == (cpu is None):
        raise InvalidOrderError("gpu", "exactly one of gpu and cpu is required")
    if gpu is not None and (not isinstance(gpu, dict) or not isinstance(gpu.get("id"), str)):
        raise InvalidOrderError("gpu.id", "expected string")
    gpus = gpu.get("count", 1) if gpu is not None else 0
    if not isinstance(gpus, int) or isinstance(gpus, bool) or (gpu is not None and gpus < 1):
        raise InvalidOrderError("gpu.count", "expected integer >= 1")
    cloud = body.get("cloud", "SECURE")
    if cloud not in ("SECURE", "COMMUNITY"):
        raise InvalidOrderError("cloud", "expected SECURE or COMMUNITY")
    return PodOrder(
        name=str(body.get("name") or "my pod"),
        image=image,
        gpu_id=None if gpu is None else gpu["id"],
        gpus=gpus,
        is_secure=cloud == "SECURE",
        datacenters=tuple(_texts(body, "dataCenterIds")),
        disk_gb=_whole(body, "disk", 20),
        mounts=read_mounts(body.get("mounts")),
        ports=read_ports(_texts(body, "ports")),
        env=_env(body.get("env") or {}),
        args=str(body.get("args") or ""),
        start_ssh=bool(body.get("startSsh", False)),
        registry=body.get("registry"),
        locked=bool(body.get("locked", False)),
    )


def read_change(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of ports, disk, env and args a change names, checked as in an order."""
    changed: dict[str, Any] = {}
    if body.get("ports") is not None:
        changed["ports"] = list(read_ports(_texts(body, "ports")))
    if body.get("disk") is not None:
        changed["disk"] = _whole(body, "disk", 0)
    if body.get("env") is not None:
        changed["env"] = _env(body["env"])
    if body.get("args") is not None:
        changed["args"] = str(body["args"])
    return changed


def read_ports(ports: list[str]) -> tuple[str, ...]:
    for port in ports:
        try:
            port_parts(port)
        except ValueError:
            raise InvalidOrderError("ports", "expected strings such as 22/tcp") from None
    return tuple(ports)


def read_mounts(mounts: Any) -> Mapping[str, Any] | None:
    if mounts is None:
        return None
    if not isinstance(mounts, dict) or len(mounts) != 1 or not mounts.keys() <= {"persistent", "network"}:
        raise InvalidOrderError("mounts", "expected either persistent or network")
    persistent = mounts.get("persistent")
    if persistent is not None:
        size = persistent.get("size") if isinstance(persistent, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < _LEAST_VOLUME_GB:
            raise InvalidOrderError("mounts.persistent.size", f"expected number >= {_LEAST_VOLUME_GB}")
        return {"persistent": {"size": size, "path": persistent.get("path") or "/workspace"}}
    network = mounts.get("network")
    if not isinstance(network, list) or not all(isinstance(one, dict) and "volumeId" in one for one in network):
        raise InvalidOrderError("mounts.network", "expected a list of volumes")
    return {"network": network}


def place(order: PodOrder, market: Market) -> Host | None:
    """The cheapest host that has room for it."""
    fitting = [
        host
        for host in market.hosts.values()
        if host.gpu.full_name == order.gpu_id
        and host.is_secure == order.is_secure
        and (not order.datacenters or host.datacenter in order.datacenters)
        and market.can_hold(host, order.gpus, None if order.bid_per_gpu is None else order.bid_per_gpu * order.gpus)
    ]
    return min(fitting, key=lambda host: host.usd_per_gpu_hour, default=None)


def _texts(body: Mapping[str, Any], field: str) -> list[str]:
    value = body.get(field) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidOrderError(field, "expected array of strings")
    return value


def _whole(body: Mapping[str, Any], field: str, default: int) -> int:
    value = body.get(field, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidOrderError(field, "expected integer >= 0")
    return value


def _env(env: Any) -> dict[str, str]:
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise InvalidOrderError("env", "expected object of strings")
    return dict(env)
