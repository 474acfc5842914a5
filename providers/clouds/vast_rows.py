"""What Vast says of an instance in four status fields, and of an offer, in our words."""

from __future__ import annotations

from decimal import Decimal

from providers.clouds import gpus, regions
from providers.clouds.base import Address, Bills, Offer, Reading, Search, State
from providers.clouds.fields import Row, identity, kept, moment, number, per_hour, price, row, rows, text, whole

_RAW = (
    "actual_status", "cur_state", "intended_status", "next_state", "status_msg", "is_bid", "min_bid", "dph_base",
    "dph_total", "storage_total_cost", "machine_id", "host_id", "image_uuid", "image_runtype", "verification",
    "geolocation", "reliability2", "cuda_max_good", "driver_version", "direct_port_count", "inet_up", "inet_down",
)  # fmt: skip
_RAW_OFFER = (
    "id", "machine_id", "host_id", "min_bid", "dph_base", "dph_total", "storage_cost", "cuda_max_good", "compute_cap",
    "driver_version", "direct_port_count", "verification", "static_ip", "hosting_type", "dlperf", "score",
)  # fmt: skip
_ON_THE_WAY = ("", "created", "loading", "rebooting")
_AT_REST = ("exited", "stopped", "created", "")
_NO_WAY_IN = frozenset({State.STOPPED, State.QUEUED, State.OUTBID, State.BROKEN})
_FAILURES = ("error response from daemon", "oci runtime", "failed to create", "no such image", "manifest unknown")


def reading(fields: Row) -> Reading:
    state, bills = state_of(fields)
    storage = price(fields.get("storage_total_cost"))
    disk_gb = price(fields.get("disk_space"))
    if storage is None and disk_gb is not None and (month := price(fields.get("storage_cost"))) is not None:
        storage = per_hour(month * disk_gb)
    is_bid = fields.get("is_bid") is True
    gpu = text(fields.get("gpu_name"))
    said = [text(fields.get(name), 40) or "-" for name in ("intended_status", "cur_state", "actual_status")]
    return Reading(
        id=identity(fields.get("id")),
        label=text(fields.get("label"), 1024),
        state=state,
        bills=bills,
        words="/".join(said),
        message=text(fields.get("status_msg"), 500),
        usd_per_hour=price(fields.get("dph_total")),
        usd_per_hour_stopped=storage,
        addresses=() if state in _NO_WAY_IN else addresses(fields),
        gpu=gpus.shown(gpu) if gpu else "",
        gpu_count=whole(fields.get("num_gpus")),
        vram_gb=gpus.vram_gb(gpu, price(fields.get("gpu_ram"))) if gpu else None,
        disk_gb=disk_gb,
        region=regions.place(text(fields.get("geolocation"))),
        host=identity(fields.get("machine_id")),
        spot=is_bid,
        bid_usd_per_hour=price(fields.get("dph_base")) if is_bid else None,
        market_usd_per_hour=price(fields.get("min_bid")) if is_bid else None,
        created_at=moment(fields.get("start_date")),
        ends_at=moment(fields.get("end_date")),
        usd_per_gb_up=price(fields.get("inet_up_cost")),
        usd_per_gb_down=price(fields.get("inet_down_cost")),
        raw=kept(fields, _RAW),
    )


def state_of(fields: Row) -> tuple[State, Bills]:
    """None of the fields can be believed alone; `actual_status` lags behind the others, and behind the truth."""
    wanted, contract, actual = (text(fields.get(name)) for name in ("intended_status", "cur_state", "actual_status"))
    match wanted, contract, actual:
        case _, _, "offline":
            return State.LOST, Bills.NOTHING
        case _, _, "unknown":
            return State.LOST, Bills.UNKNOWN
        case "running", "stopped", "created" if _has_failed(fields):
            return State.BROKEN, Bills.DISK
        case "running", _, way if way in _ON_THE_WAY:
            return State.STARTING, Bills.DISK
        case "running", "running", "running":
            return State.RUNNING, Bills.EVERYTHING
        case "running", "running", "exited" | "stopped":
            return State.DIED, Bills.EVERYTHING
        case "running", "stopped", "exited" | "stopped":
            return State.QUEUED, Bills.DISK
        case "stopped", "running", way if way in _ON_THE_WAY:
            return State.STOPPING, Bills.DISK
        case "stopped", _, "running" | "loading" | "rebooting":
            return State.STOPPING, Bills.EVERYTHING
        case "stopped", "running", "exited" | "stopped":
            return State.STOPPING, Bills.EVERYTHING
        case "stopped", "stopped", rest if rest in _AT_REST:
            return (State.OUTBID if _is_outbid(fields) else State.STOPPED), Bills.DISK
        case _, "running", _:
            return State.UNKNOWN, Bills.EVERYTHING
        case _:
            return State.UNKNOWN, Bills.UNKNOWN


def _has_failed(fields: Row) -> bool:
    message = text(fields.get("status_msg")).lower()
    return any(words in message for words in _FAILURES)


def _is_outbid(fields: Row) -> bool:
    """A bid below the market: whoever stopped it, it will not run again for this bid."""
    bid, market = price(fields.get("dph_base")), price(fields.get("min_bid"))
    return fields.get("is_bid") is True and bid is not None and market is not None and bid < market


def addresses(fields: Row) -> tuple[Address, ...]:
    """The direct way where there is one, then the proxy, which works where hosts block the direct one."""
    found: list[Address] = []
    host = text(fields.get("public_ipaddr"))
    for mapped in rows(row(fields.get("ports")).get("22/tcp")):
        port = whole(mapped.get("HostPort"))
        if host and 0 < port < 65536:
            found.append(Address(host, port, "root"))
            break
    proxy, port = text(fields.get("ssh_host")), whole(fields.get("ssh_port"))
    if proxy and 0 < port < 65535:
        found.append(Address(proxy, port + ("jupyter" in text(fields.get("image_runtype"))), "root"))
    return tuple(found)


def offer(fields: Row, search: Search) -> Offer | None:
    """None for one that cannot be rented, or that says no price."""
    name = text(fields.get("gpu_name"))
    storage = price(fields.get("storage_total_cost"))
    if storage is None:
        storage = per_hour((price(fields.get("storage_cost")) or Decimal(0)) * search.disk_gb)
    if search.spot:
        base = price(fields.get("min_bid")) or price(fields.get("dph_base"))
        total = None if base is None else base + storage
    else:
        base = price(fields.get("dph_base"))
        total = price(fields.get("dph_total")) or (None if base is None else base + storage)
    vram = gpus.vram_gb(name, price(fields.get("gpu_ram"))) or Decimal(0)
    reliability = price(fields.get("reliability")) or price(fields.get("reliability2"))
    if not identity(fields.get("id")) or total is None or fields.get("rentable") is False:
        return None
    ram_mb = price(fields.get("cpu_ram"))
    return Offer(
        id=identity(fields.get("id")),
        gpu=gpus.shown(name),
        gpu_count=whole(fields.get("num_gpus")),
        vram_gb=vram,
        usd_per_hour=total,
        disk_usd_per_hour=storage,
        disk_gb=price(fields.get("disk_space")),
        cpus=price(fields.get("cpu_cores_effective")),
        ram_gb=None if ram_mb is None else ram_mb * (price(fields.get("gpu_frac")) or 1) / 1000,
        down_mbps=price(fields.get("inet_down")),
        up_mbps=price(fields.get("inet_up")),
        usd_per_gb_down=price(fields.get("inet_down_cost")),
        usd_per_gb_up=price(fields.get("inet_up_cost")),
        reliability=reliability,
        region=regions.place(text(fields.get("geolocation"))),
        host=identity(fields.get("machine_id")),
        spot=search.spot,
        ends_at=moment(fields.get("end_date")),
        raw=kept(fields, _RAW_OFFER),
    )


def bid_of(found: Offer) -> Decimal | None:
    """The least bid for an offer, without its disk."""
    return number(found.raw.get("min_bid"))
