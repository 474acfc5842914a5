"""TensorDock's hosts and places: their names, their parts and what these cost."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from providers.simulated.clouds.billing import HOURS_PER_MONTH
from providers.simulated.clouds.hosts import A100, H100, L40S, RTX_3090, RTX_4090, RTX_5090, Gpu, Host

USD_PER_VCPU_HOUR = Decimal("0.003")
USD_PER_RAM_GB_HOUR = Decimal("0.002")
_SPACE = uuid.UUID("6f4c2d1e-9a5b-4e37-8c60-1d2e3f4a5b6c")
_DISPLAYED = {
    RTX_3090.name: ("geforcertx3090-pcie-24gb", "NVIDIA GeForce RTX 3090 PCIe 24GB"),
    RTX_4090.name: ("geforcertx4090-pcie-24gb", "NVIDIA GeForce RTX 4090 PCIe 24GB"),
    RTX_5090.name: ("geforcertx5090-pcie-32gb", "NVIDIA GeForce RTX 5090 PCIe 32GB"),
    L40S.name: ("l40s-pcie-48gb", "NVIDIA L40S PCIe 48GB"),
    A100.name: ("a100-sxm4-80gb", "NVIDIA A100 SXM4 80GB"),
    H100.name: ("h100-sxm5-80gb", "NVIDIA H100 SXM5 80GB"),
}
_CPUS_PER_GPU = 16
_RAM_GB_PER_GPU = 64


def hosts() -> list[Host]:
    def host(number: int, gpu: Gpu, gpus: int, usd: str, region: str, *, is_secure: bool) -> Host:
        return Host(
            number,
            gpu,
            gpus,
            Decimal(usd),
            disk_usd_per_gb_month=Decimal("0.036"),
            disk_gb=4_000,
            cpu_cores=32 * gpus,
            ram_gb=128 * gpus,
            down_mbit_per_s=2_500.0,
            up_mbit_per_s=1_000.0,
            reliability=0.999,
            region=region,
            is_secure=is_secure,
        )

    return [
        host(1, RTX_4090, 4, "0.35", "Austin, Texas, United States", is_secure=True),
        host(2, RTX_4090, 2, "0.33", "Austin, Texas, United States", is_secure=False),
        host(3, L40S, 4, "0.79", "Manassas, Virginia, United States", is_secure=True),
        host(4, RTX_3090, 2, "0.20", "Warsaw, Mazovia, Poland", is_secure=False),
        host(5, H100, 8, "2.25", "Manassas, Virginia, United States", is_secure=True),
    ]


def v0_name(gpu: Gpu) -> str:
    return _DISPLAYED[gpu.name][0] if gpu.name in _DISPLAYED else gpu.name.lower().replace(" ", "-")


def display_name(gpu: Gpu) -> str:
    return _DISPLAYED[gpu.name][1] if gpu.name in _DISPLAYED else gpu.full_name


def hostnode_id(host: Host) -> str:
    return str(uuid.uuid5(_SPACE, f"host {host.id}"))


def location_id(host: Host) -> str:
    """Hosts in one place have one location."""
    return str(uuid.uuid5(_SPACE, host.region))


def tier(host: Host) -> int:
    """Hosts below 3 take back GPUs by themselves."""
    return 3 if host.is_secure else 1


def disk_usd_per_gb_hour(host: Host) -> Decimal:
    return host.disk_usd_per_gb_month / HOURS_PER_MONTH


def usd_per_hour(host: Host, gpus: int, vcpus: int, ram_gb: int) -> Decimal:
    """Everything but the disk."""
    return host.usd_per_gpu_hour * gpus + USD_PER_VCPU_HOUR * vcpus + USD_PER_RAM_GB_HOUR * ram_gb


def _pricing(host: Host) -> dict[str, Any]:
    return {
        "per_vcpu_hr": USD_PER_VCPU_HOUR,
        "per_gb_ram_hr": USD_PER_RAM_GB_HOUR,
        "per_gb_storage_hr": disk_usd_per_gb_hour(host),
    }


def _town(host: Host) -> dict[str, Any]:
    city, state, country = (*host.region.split(", "), "", "")[:3]
    return {"city": city, "stateprovince": state, "country": country}


def location_rows(free: Collection[tuple[Host, int]]) -> list[dict[str, Any]]:
    """Places with what the best host there has of each GPU."""
    rows: dict[str, dict[str, Any]] = {}
    best: dict[tuple[str, str], tuple[Host, int]] = {}
    for host, gpus in free:
        rows.setdefault(location_id(host), {"id": location_id(host), **_town(host), "tier": tier(host), "gpus": []})
        place = (location_id(host), host.gpu.name)
        if gpus and (place not in best or gpus > best[place][1]):
            best[place] = (host, gpus)
    for (location, _), (host, gpus) in best.items():
        rows[location]["gpus"].append(
            {
                "v0Name": v0_name(host.gpu),
                "displayName": display_name(host.gpu),
                "max_count": gpus,
                "price_per_hr": host.usd_per_gpu_hour,
                "resources": {
                    "max_vcpus": host.cpu_cores,
                    "max_ram_gb": host.ram_gb,
                    "max_storage_gb": host.disk_gb,
                },
                "pricing": _pricing(host),
                "network_features": {
                    "dedicated_ip_available": host.has_static_address,
                    "port_forwarding_available": True,
                    "network_storage_available": False,
                },
            }
        )
    return list(rows.values())


def hostnode_row(host: Host, gpus: int, ports: Collection[int]) -> dict[str, Any]:
    location = {
        "uuid": location_id(host),
        **_town(host),
        "has_network_storage": False,
        "network_speed_gbps": host.down_mbit_per_s / 1000,
        "network_speed_upload_gbps": host.up_mbit_per_s / 1000,
        "organization": "berth",
        "organizationName": "Berth",
        "tier": tier(host),
    }
    return {
        "id": hostnode_id(host),
        "location_id": location_id(host),
        "engine": "kvm",
        "uptime_percentage": host.reliability * 100,
        "available_resources": {
            "gpus": [
                {"v0Name": v0_name(host.gpu), "availableCount": gpus, "price_per_hr": host.usd_per_gpu_hour},
            ],
            "vcpu_count": host.cpu_cores,
            "ram_gb": host.ram_gb,
            "storage_gb": host.disk_gb,
            "max_vcpus_per_gpu": _CPUS_PER_GPU,
            "max_ram_per_gpu": _RAM_GB_PER_GPU,
            "available_ports": sorted(ports),
            "has_public_ip_available": host.has_static_address,
        },
        "pricing": _pricing(host),
        "location": location,
    }
