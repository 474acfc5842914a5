"""Offers and instances as Vast writes them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from providers.simulated.clouds.billing import HOURS_PER_MONTH
from providers.simulated.clouds.faults import ActiveFaults, CloudFaultKind
from providers.simulated.clouds.hosts import Host
from providers.simulated.clouds.rental import Phase, Rental
from providers.simulated.clouds.wire import Place

_CENTS = Decimal("0.000001")


class Ask(NamedTuple):
    """What can be rented: some of a host's GPUs, under an id of its own."""

    id: int
    host: Host
    gpus: int


def storage_usd_per_hour(host: Host, disk_gb: Decimal) -> Decimal:
    return host.disk_usd_per_gb_month * disk_gb / HOURS_PER_MONTH


def offer_row(ask: Ask, now: datetime, disk_gb: Decimal, *, is_bid: bool, is_rentable: bool) -> dict[str, Any]:
    host, gpu, gpus = ask.host, ask.host.gpu, ask.gpus
    share = Decimal(gpus) / host.gpus
    least = host.min_bid_per_gpu_hour
    base = (least if is_bid and least is not None else host.usd_per_gpu_hour) * gpus
    storage = storage_usd_per_hour(host, disk_gb)
    total = base + storage
    ends_at = host.ends_at.timestamp() if host.ends_at is not None else now.timestamp() + 30 * 86_400
    dlperf = round(gpu.tflops * 0.97 * gpus, 1)
    return {
        "id": ask.id,
        "ask_contract_id": ask.id,
        "machine_id": host.id,
        "host_id": host.id // 6 + 1,
        "gpu_name": gpu.name,
        "num_gpus": gpus,
        "gpu_ram": gpu.vram_mb,
        "gpu_total_ram": gpu.vram_mb * gpus,
        "gpu_frac": float(share),
        "gpu_arch": "nvidia",
        "gpu_mem_bw": 900.0,
        "gpu_max_power": float(gpu.watts),
        "gpu_max_temp": 90.0,
        "bw_nvlink": 0.0,
        "cpu_arch": "amd64",
        "cpu_cores": host.cpu_cores,
        "cpu_cores_effective": float(host.cpu_cores * share),
        "cpu_ghz": 3.4,
        "cpu_name": "AMD EPYC 7543 32-Core Processor",
        "cpu_ram": host.ram_gb * 1_000,
        "has_avx": 1,
        "disk_space": float(host.disk_gb),
        "disk_bw": 2_500.0,
        "disk_name": "nvme",
        "dph_base": base,
        "dph_total": total.quantize(_CENTS),
        "min_bid": (least or Decimal(0)) * gpus,
        "storage_cost": host.disk_usd_per_gb_month,
        "storage_total_cost": storage.quantize(_CENTS),
        "inet_up": host.up_mbit_per_s,
        "inet_down": host.down_mbit_per_s,
        "inet_up_cost": host.upload_usd_per_gb,
        "inet_down_cost": host.download_usd_per_gb,
        "reliability": host.reliability,
        "reliability2": host.reliability,
        "total_flops": gpu.tflops * gpus,
        "flops_per_dphtotal": round(gpu.tflops * gpus / float(total), 3),
        "dlperf": dlperf,
        "dlperf_per_dphtotal": round(dlperf / float(total), 3),
        "score": round(dlperf / float(total) * host.reliability, 3),
        "cuda_max_good": 12.8,
        "compute_cap": gpu.compute_cap,
        "driver_version": "570.86.15",
        "direct_port_count": 50,
        "duration": max(0.0, ends_at - now.timestamp()),
        "end_date": ends_at,
        "geolocation": host.region,
        "datacenter": host.is_secure,
        "verification": "verified",
        "verified": True,
        "external": False,
        "rentable": is_rentable,
        "rented": not is_rentable,
        "is_bid": is_bid,
        "static_ip": host.has_static_address,
        "vms_enabled": False,
        "hosting_type": int(host.is_secure),
        "mobo_name": "ROMED8-2T",
        "pci_gen": 4.0,
        "pcie_bw": 24.0,
        "ubuntu_version": "22.04",
    }


class Words(NamedTuple):
    """The four status fields, which only together say how an instance is, and the line a person reads."""

    intended: str
    current: str
    following: str
    actual: str | None
    message: str | None


def words(rental: Rental, now: datetime, faults: ActiveFaults) -> Words:
    said = _true_words(rental, now)
    if not rental.host.is_online:
        said = said._replace(actual="offline", message=None)
    if CloudFaultKind.HEARTBEAT_LOST in faults and faults.on(CloudFaultKind.HEARTBEAT_LOST, rental.id):
        said = said._replace(actual="unknown", message=None)
    if faults.on(CloudFaultKind.LYING_STATUS, rental.id) and said.actual == "running":
        said = said._replace(actual="exited")
    if faults.on(CloudFaultKind.STALE, rental.id) and rental.phase is Phase.STOPPED:
        said = said._replace(actual="running", current="running")
    if fault := faults.on(CloudFaultKind.ODD_STATUS, rental.id):
        said = said._replace(actual=fault.text or "hibernating")
    return said


def _true_words(rental: Rental, now: datetime) -> Words:
    wanted = "running" if rental.wants_to_run else "stopped"
    ended = "exited" if rental.has_run else "created"
    current, actual, message = "stopped", ended, rental.message
    match rental.phase:
        case Phase.PROVISIONING if not rental.has_run and rental.phase_since == now:
            return Words(wanted, "stopped", wanted, None, None)
        case Phase.BOOTING if rental.is_restarting:
            current, actual, message = "running", "rebooting", None
        case Phase.PULLING | Phase.BOOTING:
            current, actual = "running", "loading"
        case Phase.RUNNING:
            current, actual = "running", "running"
        case Phase.DIED:
            current, actual = "running", "exited"
        case Phase.BROKEN:
            actual = "created"
        case Phase.STOPPING | Phase.DESTROYING if rental.holds_gpu:
            current, actual, message = "running", "running" if rental.was_running else "loading", None
        case _:
            message = None
    return Words(wanted, current, wanted, actual, message)


def instance_row(
    rental: Rental,
    now: datetime,
    faults: ActiveFaults,
    *,
    direct: Place | None,
    proxy: Place | None,
    ports: dict[str, Any] | None,
) -> dict[str, Any]:
    host, gpu = rental.host, rental.host.gpu
    said = words(rental, now, faults)
    storage = storage_usd_per_hour(host, rental.disk_gb)
    total = rental.usd_per_hour + storage
    is_up = rental.phase is Phase.RUNNING
    runtype = str(rental.extra.get("runtype", "ssh_proxy"))
    number = int(rental.id)
    proxy_port = 10_000 + number % 20_000 if proxy is None else proxy.port
    started_at = (rental.started_at or rental.created_at).timestamp()
    ends_at = (rental.ends_at or rental.created_at).timestamp()
    if_running = _breakdown(rental.usd_per_hour, storage)
    holds_gpu = rental.holds_gpu
    return {
        "id": number,
        "label": rental.label,
        "machine_id": host.id,
        "host_id": host.id // 6 + 1,
        "num_gpus": rental.gpus,
        "gpu_name": gpu.name,
        "gpu_ram": gpu.vram_mb,
        "gpu_totalram": gpu.vram_mb * rental.gpus,
        "gpu_util": 0.0 if is_up else None,
        "gpu_temp": 41.0 if is_up else None,
        "gpu_frac": rental.gpus / host.gpus,
        "cpu_name": "AMD EPYC 7543 32-Core Processor",
        "cpu_cores": host.cpu_cores,
        "cpu_cores_effective": host.cpu_cores * rental.gpus / host.gpus,
        "cpu_ram": host.ram_gb * 1_000,
        "cpu_util": 0.0,
        "mem_usage": 1.5 if is_up else None,
        "mem_limit": float(host.ram_gb * rental.gpus / host.gpus),
        "disk_space": rental.disk_gb,
        "disk_usage": 3.2 if rental.has_image else 0.0,
        "dph_base": rental.usd_per_hour,
        "dph_total": total.quantize(_CENTS),
        "storage_cost": host.disk_usd_per_gb_month,
        "storage_total_cost": storage.quantize(_CENTS),
        "instance": if_running if holds_gpu else _breakdown(Decimal(0), storage),
        "search": if_running,
        "is_bid": rental.is_spot,
        "min_bid": (host.min_bid_per_gpu_hour or Decimal(0)) * rental.gpus,
        "start_date": started_at,
        "end_date": ends_at,
        "duration": max(0.0, ends_at - now.timestamp()),
        "uptime_mins": rental.runs_for(now).total_seconds() / 60 if is_up else None,
        "ssh_host": "ssh5.vast.ai" if proxy is None else proxy.host,
        "ssh_idx": "5",
        "ssh_port": proxy_port - ("jupyter" in runtype),
        "public_ipaddr": f"{direct.host} " if direct is not None else "",
        "ports": ports,
        "direct_port_start": 41_000,
        "direct_port_end": 41_010,
        "direct_port_count": 10,
        "image_uuid": rental.image,
        "image_runtype": runtype,
        "image_args": [],
        "extra_env": [[name, value] for name, value in rental.order.env.items()],
        "onstart": rental.order.script,
        "status_msg": said.message,
        "geolocation": host.region,
        "country_code": host.region.rpartition(" ")[2],
        "static_ip": host.has_static_address,
        "reliability2": host.reliability,
        "verification": "verified",
        "rentable": False,
        "driver_version": "570.86.15",
        "cuda_max_good": 12.8,
        "dlperf": round(gpu.tflops * 0.97 * rental.gpus, 1),
        "template_id": None,
        "template_hash_id": rental.extra.get("template_hash_id"),
        "template_name": None,
        "local_ipaddrs": "172.17.0.2 ",
        "inet_up": host.up_mbit_per_s,
        "inet_down": host.down_mbit_per_s,
        "inet_up_cost": host.upload_usd_per_gb,
        "inet_down_cost": host.download_usd_per_gb,
        "jupyter_token": "x",
        "actual_status": said.actual,
        "cur_state": said.current,
        "intended_status": said.intended,
        "next_state": said.following,
    }


def _breakdown(gpu: Decimal, disk: Decimal) -> dict[str, Any]:
    total = (gpu + disk).quantize(_CENTS)
    return {
        "gpuCostPerHour": gpu,
        "diskHour": disk.quantize(_CENTS),
        "totalHour": total,
        "discountTotalHour": 0,
        "discountedTotalPerHour": total,
    }
