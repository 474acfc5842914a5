"""The rules of Lambda's launch call, checked before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

MOST_NAME_CHARACTERS = 64
MOST_USER_DATA_BYTES = 1_000_000
_KNOWN = frozenset(
    {
        "region_name",
        "instance_type_name",
        "ssh_key_names",
        "file_system_names",
        "file_system_mounts",
        "hostname",
        "name",
        "image",
        "user_data",
        "tags",
        "firewall_rulesets",
        "quantity",
    }
)


class BadLaunchError(Exception):
    """The launch breaks a rule; the message says which."""


class Mount(NamedTuple):
    file_system_id: str
    mount_point: str


class Launch(NamedTuple):
    region: str
    instance_type: str
    ssh_key_name: str
    file_system_names: tuple[str, ...]
    mounts: tuple[Mount, ...]
    name: str | None
    hostname: str | None
    image: Mapping[str, Any]
    user_data: str
    tags: tuple[tuple[str, str], ...]
    firewall_rulesets: tuple[str, ...]


def launch_from(body: Any) -> Launch:
    """The launch in a request's body; raises BadLaunchError."""
    if not isinstance(body, dict):
        raise BadLaunchError("The request body must be a JSON object.")
    if unknown := sorted(body.keys() - _KNOWN):
        raise BadLaunchError(f"Unknown field: {unknown[0]}")
    if body.get("quantity", 1) != 1:
        raise BadLaunchError("quantity must be 1")
    ssh_key_names = _texts(body, "ssh_key_names")
    if len(ssh_key_names) != 1:
        raise BadLaunchError("ssh_key_names must contain exactly one name")
    launch = Launch(
        region=_required(body, "region_name"),
        instance_type=_required(body, "instance_type_name"),
        ssh_key_name=ssh_key_names[0],
        file_system_names=_texts(body, "file_system_names"),
        mounts=tuple(
            Mount(_required(item, "file_system_id"), _required(item, "mount_point"))
            for item in _objects(body, "file_system_mounts")
        ),
        name=_optional(body, "name"),
        hostname=_optional(body, "hostname"),
        image=_image(body.get("image")),
        user_data=_optional(body, "user_data") or "",
        tags=tuple((_required(item, "key"), _required(item, "value")) for item in _objects(body, "tags")),
        firewall_rulesets=tuple(_required(item, "id") for item in _objects(body, "firewall_rulesets")),
    )
    check_name(launch.name)
    if len(launch.user_data.encode()) > MOST_USER_DATA_BYTES:
        raise BadLaunchError("user_data cannot exceed 1MB in size")
    return launch


def check_name(name: str | None) -> None:
    if name is not None and len(name) > MOST_NAME_CHARACTERS:
        raise BadLaunchError(f"name must be {MOST_NAME_CHARACTERS} characters or fewer")


def _image(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or sorted(value) not in (["family"], ["id"]):
        raise BadLaunchError("image must have either an id or a family")
    return value


def _objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = body.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise BadLaunchError(f"{name} must be a list of objects")
    return values


def _texts(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = body.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadLaunchError(f"{name} must be a list of names")
    return tuple(values)


def _required(body: Mapping[str, Any], name: str) -> str:
    value = _optional(body, name)
    if not value:
        raise BadLaunchError(f"{name} is required")
    return value


def _optional(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadLaunchError(f"{name} must be text")
    return value
