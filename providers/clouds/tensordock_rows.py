"""TensorDock's answers in all their shapes, and what they come to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from providers.clouds import gpus, regions
from providers.clouds.base import Address, Bills, Offer, Reading, Search, State
from providers.clouds.fields import Row, identity, kept, price, row, rows, text, whole

LEAST_DISK_GB = Decimal(100)
_RAM_GB = (2, 4, 6, 8, 10, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 512)
_CPUS, _RAM = 8, 32
"""What is taken for each GPU, where the host has it."""
_STATES = {
    "creating": (State.STARTING, Bills.EVERYTHING),
    "starting": (State.STARTING, Bills.EVERYTHING),
    "queued": (State.QUEUED, Bills.DISK),
    "running": (State.RUNNING, Bills.EVERYTHING),
    "stopping": (State.STOPPING, Bills.EVERYTHING),
    "stopped": (State.STOPPED, Bills.EVERYTHING),
    "stoppeddisassociated": (State.STOPPED, Bills.DISK),
    "outbid": (State.OUTBID, Bills.DISK),
    "deleting": (State.DESTROYING, Bills.UNKNOWN),  # its GPU may have gone before
    "deleted": (State.GONE, Bills.NOTHING),
    "terminated": (State.GONE, Bills.NOTHING),
    "error": (State.BROKEN, Bills.UNKNOWN),
}
_HELD = "It is stopped but holds its GPU, which costs as much as running."
_SHOWS_ADDRESS = frozenset({State.RUNNING, State.STARTING, State.STOPPING, State.UNKNOWN})
_RAW = ("status", "rateHourly", "resources", "region", "type", "hostnode_id", "location_id")


def word_of(fields: Row) -> str:
    spelled = text(fields.get("status"), 60).lower()
    return spelled.replace("_", "").replace("-", "").replace(" ", "")


def instances(answer: Any) -> list[Row] | None:
    """The rows of a list in any of its shapes, each with its attributes at the top."""
    data = row(answer).get("data", answer)
    for listed in (data, row(data).get("instances"), row(row(data).get("attributes")).get("instances")):
        if isinstance(listed, list):
            return [_flat(fields) for fields in rows(listed)]
    return None


def instance(answer: Any) -> Row:
    """One thing, bare, in `data`, or in `data.attributes`."""
    fields = row(answer)
    return _flat(row(fields["data"]) if isinstance(fields.get("data"), dict) else fields)


def _flat(fields: Row) -> Row:
    return {**fields, **row(fields.get("attributes"))}


def _forwards(fields: Row) -> list[tuple[int, int]]:
    """Inside and outside; v0 has a map from the outside."""
    listed = fields.get("portForwards", fields.get("port_forwards"))
    if isinstance(listed, dict):
        return [(whole(inside), whole(outside)) for outside, inside in listed.items()]
    return [(whole(pair.get("internal_port")), whole(pair.get("external_port"))) for pair in rows(listed)]


def _addresses(fields: Row) -> tuple[Address, ...]:
    host = text(fields.get("ipAddress"), 100)
    if not host:
        return ()
    forwards = _forwards(fields)
    outside = [port for inside, port in forwards if inside == 22 and 0 < port < 65536]
    if not outside and "portForwards" not in fields and "port_forwards" not in fields:
        return ()
    return tuple(Address(host, port, "user") for port in outside or [22])


def has_way_in(fields: Row) -> bool:
    return bool(_addresses(fields))


def _gpus(resources: Row) -> tuple[str, int]:
    for name, amount in row(resources.get("gpus")).items():
        return text(row(amount).get("v0Name")) or text(name), whole(row(amount).get("count"))
    return "", 0


def reading(fields: Row) -> Reading:
    state, bills = _STATES.get(word_of(fields), (State.UNKNOWN, Bills.UNKNOWN))
    resources = row(fields.get("resources"))
    gpu, count = _gpus(resources)
    return Reading(
        id=identity(fields.get("id")),
        label=text(fields.get("name")),
        state=state,
        bills=bills,
        words=text(fields.get("status"), 60),
        message=_HELD if (state, bills) == (State.STOPPED, Bills.EVERYTHING) else "",
        usd_per_hour=price(fields.get("rateHourly")),
        addresses=_addresses(fields) if state in _SHOWS_ADDRESS else (),
        gpu=gpus.shown(gpu) if gpu else "",
        gpu_count=count,
        vram_gb=gpus.vram_gb(gpu) if gpu else None,
        disk_gb=price(resources.get("storage_gb")),
        region=regions.place(text(fields.get("region"))),
        host=identity(fields.get("hostnode_id")),
        raw=kept(fields, _RAW),
    )


def parts_of(there: Row, count: int) -> tuple[int, int]:
    """Processors, of which there must be an even number, and memory, of which there are only certain sizes."""
    cpus, ram_gb = _CPUS * count, _RAM * count
    for name, share in (("vcpu_count", 1), ("max_vcpus_per_gpu", count)):
        cpus = min(cpus, whole(there.get(name)) * share or cpus)
    for name, share in (("ram_gb", 1), ("max_ram_per_gpu", count)):
        ram_gb = min(ram_gb, whole(there.get(name)) * share or ram_gb)
    return max(2, cpus - cpus % 2), max((size for size in _RAM_GB if size <= ram_gb), default=_RAM_GB[0])


def offers_of(node: Row, search: Search) -> list[Offer]:
    """What a host has free, with as much of a machine around each GPU as we would take."""
    there, prices, place = row(node.get("available_resources")), row(node.get("pricing")), row(node.get("location"))
    disk_gb = max(search.disk_gb, LEAST_DISK_GB)
    disk = (price(prices.get("per_gb_storage_hr")) or Decimal(0)) * disk_gb
    uptime = price(node.get("uptime_percentage"))
    cpus, ram_gb = parts_of(there, search.gpu_count)
    parts = (price(prices.get("per_vcpu_hr")) or 0) * cpus + (price(prices.get("per_gb_ram_hr")) or 0) * ram_gb
    found: list[Offer] = []
    for fields in rows(there.get("gpus")):
        name, each = text(fields.get("v0Name")), price(fields.get("price_per_hr"))
        free = whole(fields.get("availableCount"))
        has_door = there.get("has_public_ip_available") is True or there.get("available_ports") != []
        if not name or each is None or free < search.gpu_count or not has_door:
            continue
        found.append(
            Offer(
                id=f"{identity(node.get('id'))}/{name}",
                gpu=gpus.shown(name),
                gpu_count=search.gpu_count,
                vram_gb=gpus.vram_gb(name) or Decimal(0),
                usd_per_hour=each * search.gpu_count + parts + disk,
                disk_usd_per_hour=disk,
                disk_gb=price(there.get("storage_gb")),
                cpus=Decimal(cpus),
                ram_gb=Decimal(ram_gb),
                down_mbps=_mbps(place.get("network_speed_gbps")),
                up_mbps=_mbps(place.get("network_speed_upload_gbps")),
                reliability=None if uptime is None else uptime / 100,
                region=regions.place(*(text(place.get(name)) for name in ("city", "stateprovince", "country"))),
                host=identity(node.get("id")),
                available=free // search.gpu_count,
                raw={"tier": place.get("tier"), "location_id": node.get("location_id"), "price_per_hr": float(each)},
            )
        )
    return found


def _mbps(gbps: object) -> Decimal | None:
    speed = price(gbps)
    return None if speed is None else speed * 1000
