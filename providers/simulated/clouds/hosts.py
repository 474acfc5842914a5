"""Hosts that can be rented from: what they have, what they ask, and who has their GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


class Gpu:
    """A kind of GPU under the names the clouds have for it."""

    def __init__(
        self, name: str, full_name: str, vram_mb: int, *, compute_cap: int, tflops: float, cuda_cores: int, watts: int
    ) -> None:
        self.name = name
        self.full_name = full_name
        """As its driver says it."""
        self.vram_mb = vram_mb
        self.memory_gb = -(-vram_mb // 8_192) * 8
        """As its maker says it."""
        self.compute_cap = compute_cap
        self.tflops = tflops
        self.cuda_cores = cuda_cores
        self.watts = watts


RTX_3090 = Gpu(
    "RTX 3090", "NVIDIA GeForce RTX 3090", 24_576, compute_cap=860, tflops=35.6, cuda_cores=10_496, watts=350
)
RTX_4090 = Gpu(
    "RTX 4090", "NVIDIA GeForce RTX 4090", 24_564, compute_cap=890, tflops=82.6, cuda_cores=16_384, watts=450
)
RTX_5090 = Gpu(
    "RTX 5090", "NVIDIA GeForce RTX 5090", 32_607, compute_cap=1200, tflops=104.8, cuda_cores=21_760, watts=575
)
L40S = Gpu("L40S", "NVIDIA L40S", 46_068, compute_cap=890, tflops=91.6, cuda_cores=18_176, watts=350)
A100 = Gpu("A100 SXM4", "NVIDIA A100-SXM4-80GB", 81_920, compute_cap=800, tflops=19.5, cuda_cores=6_912, watts=400)
H100 = Gpu("H100 SXM", "NVIDIA H100 80GB HBM3", 81_559, compute_cap=900, tflops=66.9, cuda_cores=16_896, watts=700)
GPUS = (RTX_3090, RTX_4090, RTX_5090, L40S, A100, H100)


@dataclass(slots=True)
class Host:
    id: int
    gpu: Gpu
    gpus: int
    """How many there are."""
    usd_per_gpu_hour: Decimal
    min_bid_per_gpu_hour: Decimal | None = None
    """What a GPU that can be taken away goes for; None where the host rents none such."""
    disk_usd_per_gb_month: Decimal = Decimal("0.2")
    download_usd_per_gb: Decimal = Decimal(0)
    upload_usd_per_gb: Decimal = Decimal(0)
    disk_gb: int = 1_000
    cpu_cores: int = 32
    ram_gb: int = 128
    down_mbit_per_s: float = 800.0
    up_mbit_per_s: float = 500.0
    reliability: float = 0.998
    region: str = "Sweden, SE"
    datacenter: str = "EU-SE-1"
    is_secure: bool = True
    """In a data centre and not in somebody's cellar."""
    has_static_address: bool = True
    ends_at: datetime | None = None
    """When it leaves the market; rentals end with it."""
    taken: int = 0
    """GPUs that others have."""
    is_online: bool = True
    is_listed: bool = True


def with_stock(hosts: Iterable[Host], free_gpus: int) -> list[Host]:
    """The same hosts with at most so many GPUs free on each."""
    known = list(hosts)
    for host in known:
        host.taken = max(host.taken, host.gpus - free_gpus)
    return known
