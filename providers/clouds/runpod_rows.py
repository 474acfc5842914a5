"""Pods and kinds of GPU as RunPod writes them, in our words."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from providers.clouds import gpus, regions
from providers.clouds.base import Address, Bills, Offer, Reading, Search, State
from providers.clouds.fields import Row, identity, kept, moment, per_hour, price, row, rows, text, whole

CONTAINER_GB = 20
LEAST_VOLUME_GB = 10
_DISK_RUNNING, _DISK_STOPPED = Decimal("0.10"), Decimal("0.20")
"""USD per GB and month; stopped, only the volume is left."""
_STATES = {
    "PROVISIONING": State.STARTING,
    "STARTING": State.STARTING,
    "RUNNING": State.RUNNING,
    "EXITED": State.STOPPED,
    "ERROR": State.DIED,
    "TERMINATED": State.GONE,
}
_RAW = (
    "status", "actions", "image", "disk", "mounts", "ports", "cloud", "dataCenterId", "cudaVersion", "cost", "locked",
    "runtime", "startedAt",
)  # fmt: skip


def reading(fields: Row) -> Reading:
    word = text(fields.get("status"), 60)
    state = _STATES.get(word, State.UNKNOWN)
    gpu_fields = row(fields.get("gpu"))
    gpu = text(gpu_fields.get("id"))
    cost = price(fields.get("cost"))
    volume_gb = price(row(row(fields.get("mounts")).get("persistent")).get("size")) or Decimal(0)
    container_gb = price(fields.get("disk")) or Decimal(0)
    return Reading(
        id=identity(fields.get("id")),
        label=text(fields.get("name")),
        state=state,
        bills=_bills(state, cost, volume_gb),
        words=word,
        usd_per_hour=cost + per_hour((volume_gb + container_gb) * _DISK_RUNNING) if cost else None,
        usd_per_hour_stopped=per_hour(volume_gb * _DISK_STOPPED),
        addresses=_addresses(fields) if state is State.RUNNING else (),
        gpu=gpus.shown(gpu) if gpu else "",
        gpu_count=whole(gpu_fields.get("count")),
        vram_gb=gpus.vram_gb(gpu) if gpu else None,
        disk_gb=volume_gb or container_gb or None,
        region=_region(text(fields.get("dataCenterId"))),
        created_at=moment(fields.get("createdAt")),
        raw=kept(fields, _RAW),
    )


def _bills(state: State, cost: Decimal | None, volume_gb: Decimal) -> Bills:
    """The price falls to 0 when a pod is stopped, and says nothing of the volume that is kept."""
    if state is State.GONE:
        return Bills.NOTHING
    at_rest = Bills.DISK if volume_gb else Bills.NOTHING
    if state is State.STOPPED:
        return Bills.EVERYTHING if cost else at_rest
    if state in (State.DIED, State.UNKNOWN):
        return Bills.UNKNOWN if cost is None else Bills.EVERYTHING if cost else at_rest
    return Bills.EVERYTHING


def _region(datacenter: str) -> str:
    return regions.place(datacenter, regions.country_of_datacenter(datacenter)) if datacenter else ""


def _addresses(fields: Row) -> tuple[Address, ...]:
    """The direct way, which alone can forward; then the proxy, which is a shell and no more."""
    ssh = row(fields.get("ssh"))
    found: list[Address] = []
    direct = row(ssh.get("direct"))
    if (host := text(direct.get("host"))) and 0 < (port := whole(direct.get("port"))) < 65536:
        found.append(Address(host, port, text(direct.get("username")) or "root"))
    for mapped in rows(row(fields.get("runtime")).get("ports")) if not found else []:
        host, port = text(mapped.get("ip")), whole(mapped.get("public"))
        if mapped.get("private") == 22 and mapped.get("type") == "tcp" and host and 0 < port < 65536:
            found.append(Address(host, port, "root"))
            break
    proxy = row(ssh.get("proxy"))
    if (host := text(proxy.get("host"))) and 0 < (port := whole(proxy.get("port"))) < 65536:
        found.append(Address(host, port, text(proxy.get("username")), forwards=False))
    return tuple(found)


def offers_of(fields: Row, search: Search) -> list[Offer]:
    """A kind of GPU in the secure and in the community cloud."""
    if text(fields.get("availability")) == "NONE":
        return []
    name = text(fields.get("id"))
    prices, most = row(fields.get("price")), row(fields.get("maxCount"))
    volume_gb = max(search.disk_gb.to_integral_value(ROUND_CEILING), Decimal(LEAST_VOLUME_GB))
    disk = per_hour((volume_gb + CONTAINER_GB) * _DISK_RUNNING)
    memory_gb = price(fields.get("memory"))
    return [
        Offer(
            id=f"{name}|{pool.upper()}",
            gpu=gpus.shown(name),
            gpu_count=search.gpu_count,
            vram_gb=gpus.vram_gb(name, None if memory_gb is None else memory_gb * 1024) or Decimal(0),
            usd_per_hour=each * search.gpu_count + disk,
            disk_usd_per_hour=per_hour(volume_gb * _DISK_STOPPED),
            raw={**kept(fields, ("id", "pool", "availability")), "cloud": pool, "price": float(each)},
        )
        for pool in ("secure", "community")
        if name
        and fields.get(pool) is not False
        and (each := price(prices.get(pool)))
        and (pool not in most or whole(most.get(pool)) >= search.gpu_count)
    ]
