"""The rules of TensorDock's create and modify calls, checked before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

LEAST_STORAGE_GB = 100
RAM_SIZES_GB = frozenset({2, 4, 6, 8, 10, *range(16, 257, 16), 512})
IMAGES = (
    "ubuntu2204",
    "ubuntu2404",
    "ubuntu2404_ml_pytorch",
    "ubuntu2404_ml_tensorflow",
    "ubuntu2404_ml_everything",
    "windows10",
)
_CLOUD_INIT = frozenset({"runcmd", "packages", "package_update", "package_upgrade", "write_files", "users", "bootcmd"})


class BadOrderError(Exception):
    """The order breaks a rule; the message says which."""


class Order(NamedTuple):
    """A machine as a create call describes it."""

    name: str
    image: str
    vcpus: int
    ram_gb: int
    storage_gb: int
    gpu: str
    """The GPU's v0Name; empty for a machine without one."""
    gpu_count: int
    location_id: str
    hostnode_id: str
    """Exactly one of the two is given; the other is empty."""
    has_dedicated_ip: bool
    forwards: tuple[tuple[int, int], ...]
    """Internal and external port of each."""
    ssh_key: str
    ssh_key_id: str
    cloud_init: Mapping[str, Any]


class Change(NamedTuple):
    """What a modify call wants other than it is; None leaves a part as it is."""

    vcpus: int | None
    ram_gb: int | None
    storage_gb: int | None
    gpu: str | None
    gpu_count: int | None


def order_from(body: Any) -> Order:
    """The order in a create call's body; raises BadOrderError."""
    attributes = _object(_object(body, "body").get("data"), "data")
    if attributes.get("type") != "virtualmachine":
        raise BadOrderError("data.type must be virtualmachine")
    attributes = _object(attributes.get("attributes"), "data.attributes")
    if attributes.get("type") != "virtualmachine":
        raise BadOrderError("type must be virtualmachine")
    resources = _object(attributes.get("resources"), "resources")
    gpu, gpu_count = _gpus(resources.get("gpus"))
    order = Order(
        name=_text(attributes, "name"),
        image=_text(attributes, "image"),
        vcpus=_whole(resources.get("vcpu_count"), "vcpu_count"),
        ram_gb=_whole(resources.get("ram_gb"), "ram_gb"),
        storage_gb=_whole(resources.get("storage_gb"), "storage_gb"),
        gpu=gpu,
        gpu_count=gpu_count,
        location_id=_text(attributes, "location_id", ""),
        hostnode_id=_text(attributes, "hostnode_id", ""),
        has_dedicated_ip=attributes.get("useDedicatedIp", False) is True,
        forwards=_forwards(attributes.get("port_forwards")),
        ssh_key=_text(attributes, "ssh_key", ""),
        ssh_key_id=_text(attributes, "ssh_key_id", ""),
        cloud_init=_cloud_init(attributes.get("cloud_init")),
    )
    _check(order)
    return order


def _check(order: Order) -> None:
    if not order.name:
        raise BadOrderError("name is required")
    if order.image not in IMAGES:
        raise BadOrderError(f"image must be one of {', '.join(IMAGES)}")
    if bool(order.location_id) == bool(order.hostnode_id):
        raise BadOrderError("exactly one of location_id and hostnode_id is required")
    if order.location_id and order.gpu_count < 1:
        raise BadOrderError("at least one GPU is required with location_id")
    if bool(order.ssh_key) == bool(order.ssh_key_id) and order.image != "windows10":
        raise BadOrderError("exactly one of ssh_key and ssh_key_id is required")
    check_parts(order.vcpus, order.ram_gb, order.storage_gb)


def check_parts(vcpus: int, ram_gb: int, storage_gb: int) -> None:
    """The rules that a machine's parts obey at creation and after every change."""
    if vcpus < 2 or vcpus % 2:
        raise BadOrderError("vcpu_count must be an even number")
    if ram_gb not in RAM_SIZES_GB:
        raise BadOrderError(f"ram_gb must be one of {', '.join(map(str, sorted(RAM_SIZES_GB)))}")
    if storage_gb < LEAST_STORAGE_GB:
        raise BadOrderError(f"storage_gb must be at least {LEAST_STORAGE_GB}")


def change_from(body: Any) -> Change:
    """What a modify call's body asks for; raises BadOrderError."""
    wanted = _object(body, "body")
    gpus = wanted.get("gpus")
    gpu = gpu_count = None
    if gpus is not None:
        gpus = _object(gpus, "gpus")
        gpu, gpu_count = _text(gpus, "gpuV0Name"), _whole(gpus.get("count"), "gpus.count")

    def whole_or_none(name: str) -> int | None:
        return None if wanted.get(name) is None else _whole(wanted[name], name)

    return Change(whole_or_none("cpuCores"), whole_or_none("ramGb"), whole_or_none("diskGb"), gpu, gpu_count)


def _gpus(value: Any) -> tuple[str, int]:
    if not value:
        return "", 0
    gpus = _object(value, "gpus")
    if len(gpus) > 1:
        raise BadOrderError("only one kind of GPU can be chosen")
    ((name, amount),) = gpus.items()
    return name, _whole(_object(amount, "gpus").get("count"), "gpus.count")


def _forwards(value: Any) -> tuple[tuple[int, int], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadOrderError("port_forwards must be a list")
    pairs = [_object(item, "port_forwards") for item in value]
    forwards = tuple((_port(pair, "internal_port"), _port(pair, "external_port")) for pair in pairs)
    if len({external for _, external in forwards}) < len(forwards):
        raise BadOrderError("external ports must differ")
    return forwards


def _port(pair: dict[str, Any], name: str) -> int:
    port = _whole(pair.get(name), name)
    if not 0 < port < 65536:
        raise BadOrderError(f"{name} must be between 1 and 65535")
    return port


def _cloud_init(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    wanted = _object(value, "cloud_init")
    if unknown := sorted(wanted.keys() - _CLOUD_INIT):
        raise BadOrderError(f"cloud_init does not know {', '.join(unknown)}")
    return wanted


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadOrderError(f"{name} must be an object")
    return value


def _text(values: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = values.get(name, default)
    if not isinstance(value, str):
        raise BadOrderError(f"{name} is required and must be text")
    return value


def _whole(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadOrderError(f"{name} must be a whole number")
    return value
