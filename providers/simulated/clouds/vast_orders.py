"""What may be ordered at Vast: the body of a rent call, checked as Vast checks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from providers.simulated.clouds.rental import Order
from providers.simulated.clouds.vast_rows import Ask
from providers.simulated.clouds.vast_wire import decimal

_LEAST_DISK_GB = 8
_LEAST_PRICE, _MOST_PRICE = Decimal("0.001"), Decimal(128)
_LIMITS = {"image": 1_024, "label": 256, "onstart": 4_096}
_SCRIPT_LIMIT = 4_096
_ENV_VALUE_LIMIT = 256
_ENV_LIMIT = 32_768


class InvalidOrderError(ValueError):
    """An order that cannot be; `code` is what Vast calls that."""

    def __init__(self, message: str, code: str = "invalid_args") -> None:
        super().__init__(message if code != "invalid_args" else f"error 400/1782: Invalid args: {message}")
        self.code = code


def read(fields: Mapping[str, Any], ask: Ask, keys: tuple[str, ...]) -> Order:
    """The order for a host's GPUs in a rent call's body."""
    image = _text(fields, "image") or ("vastai/base-image:latest" if fields.get("template_hash_id") else "")
    if not image:
        raise InvalidOrderError("image")
    if is_vm(image) and not keys:
        raise InvalidOrderError("a VM needs an SSH key in the account", "no_ssh_key_for_vm")
    script = _text(fields, "onstart")
    if len(script) + len(str(fields.get("args") or "")) > _SCRIPT_LIMIT:
        raise InvalidOrderError("onstart is too long")
    bid = read_price(fields.get("price")) if fields.get("price") is not None else None
    runtype = _text(fields, "runtype") or "ssh"
    return Order(
        host=ask.host,
        gpus=ask.gpus,
        image=image,
        usd_per_hour=ask.host.usd_per_gpu_hour * ask.gpus if bid is None else bid,
        disk_gb=_disk_gb(fields, ask),
        label=_text(fields, "label") or None,
        script=script,
        env=_env(fields.get("env") or {}),
        bid=bid,
        keys=keys,
        wants_to_run=fields.get("target_state") != "stopped",
        has_ssh="args" not in runtype.split(),
        extra={"runtype": runtype, "template_hash_id": fields.get("template_hash_id")},
    )


def read_price(value: Any) -> Decimal:
    """A bid for a machine and an hour."""
    price = decimal(value)
    if price is None or not _LEAST_PRICE <= price <= _MOST_PRICE:
        raise InvalidOrderError(f"price must be between {_LEAST_PRICE} and {_MOST_PRICE}", "invalid_price")
    return price


def is_vm(image: str) -> bool:
    return "vastai/kvm" in image


def _disk_gb(fields: Mapping[str, Any], ask: Ask) -> Decimal:
    disk_gb = decimal(fields.get("disk", 10))
    if disk_gb is None or not _LEAST_DISK_GB <= disk_gb <= ask.host.disk_gb:
        raise InvalidOrderError("disk")
    return disk_gb


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LIMITS.get(name, _SCRIPT_LIMIT):
        raise InvalidOrderError(name)
    return value


def _env(env: Any) -> dict[str, str]:
    if not isinstance(env, dict) or len(json.dumps(env)) > _ENV_LIMIT:
        raise InvalidOrderError("env")
    if any(isinstance(value, dict | list) or len(str(value)) > _ENV_VALUE_LIMIT for value in env.values()):
        raise InvalidOrderError("env")
    return {name: str(value) for name, value in env.items()}
