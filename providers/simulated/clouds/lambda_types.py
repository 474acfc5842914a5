"""What Lambda rents: instance types, and in which regions it has how many of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from providers.simulated.clouds.hosts import A100, H100, Gpu, Host

A10 = Gpu("A10", "NVIDIA A10", 23_028, compute_cap=860, tflops=31.2, cuda_cores=9_216, watts=150)
GH200 = Gpu("GH200", "NVIDIA GH200 480GB", 97_871, compute_cap=900, tflops=66.9, cuda_cores=16_896, watts=900)

REGIONS = {
    "us-west-1": "California, USA",
    "us-east-1": "Virginia, USA",
    "us-east-3": "Washington D.C., USA",
    "us-south-1": "Texas, USA",
    "europe-central-1": "Germany",
    "asia-northeast-1": "Osaka, Japan",
}


class InstanceType(NamedTuple):
    name: str
    description: str
    gpu_description: str
    gpu: Gpu
    gpus: int
    vcpus: int
    memory_gib: int
    storage_gib: int
    cents_per_hour: int

    @property
    def usd_per_hour(self) -> Decimal:
        return Decimal(self.cents_per_hour) / 100

    def row(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "gpu_description": self.gpu_description,
            "price_cents_per_hour": self.cents_per_hour,
            "specs": {
                "vcpus": self.vcpus,
                "memory_gib": self.memory_gib,
                "storage_gib": self.storage_gib,
                "gpus": self.gpus,
            },
        }


GPU_1X_A10 = InstanceType("gpu_1x_a10", "1x A10 (24 GB PCIe)", "A10 (24 GB PCIe)", A10, 1, 30, 200, 1_400, 129)
GPU_1X_GH200 = InstanceType("gpu_1x_gh200", "1x GH200 (96 GB)", "GH200 (96 GB)", GH200, 1, 64, 432, 4_096, 149)
GPU_1X_H100 = InstanceType(
    "gpu_1x_h100_sxm5", "1x H100 (80 GB SXM5)", "H100 (80 GB SXM5)", H100, 1, 26, 225, 2_816, 329
)
GPU_8X_A100 = InstanceType(
    "gpu_8x_a100_80gb_sxm4", "8x A100 (80 GB SXM4)", "A100 (80 GB SXM4)", A100, 8, 240, 1_800, 20_480, 1_432
)


@dataclass(slots=True, kw_only=True)
class Stock(Host):
    """All machines of one type in one region."""

    type: InstanceType


def stock(number: int, kind: InstanceType, region: str, machines: int) -> Stock:
    return Stock(
        number,
        kind.gpu,
        kind.gpus * max(machines, 1),
        kind.usd_per_hour / kind.gpus,
        disk_usd_per_gb_month=Decimal(0),
        disk_gb=kind.storage_gib,
        cpu_cores=kind.vcpus,
        ram_gb=kind.memory_gib,
        down_mbit_per_s=10_000.0,
        up_mbit_per_s=10_000.0,
        region=region,
        datacenter=region,
        taken=0 if machines else kind.gpus,
        type=kind,
    )


def default_stock() -> list[Host]:
    return [
        stock(1, GPU_1X_A10, "us-west-1", 2),
        stock(2, GPU_1X_A10, "us-east-1", 1),
        stock(3, GPU_1X_GH200, "us-east-3", 2),
        stock(4, GPU_1X_H100, "us-south-1", 1),
        stock(5, GPU_8X_A100, "europe-central-1", 0),
    ]


def type_of(host: Host) -> InstanceType:
    assert isinstance(host, Stock), "Lambda rents machines of its types only"
    return host.type


def region_row(name: str) -> dict[str, str]:
    return {"name": name, "description": REGIONS.get(name, name)}
