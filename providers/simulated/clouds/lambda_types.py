"""What Lambda rents: instance types, and the regions it has them in."""

from __future__ import annotations

from typing import Any, NamedTuple

from providers.simulated.clouds.hosts import Gpu

A10 = Gpu("A10", "NVIDIA A10", 23_028, compute_cap=860, tflops=31.2, cuda_cores=9_216, watts=150)
GH200 = Gpu("GH200", "NVIDIA GH200 480GB", 97_871, compute_cap=900, tflops=66.9, cuda_cores=16_896, watts=900)

REGIONS = {
    "us-west-1": "California, USA",
    "us-west-3": "Utah, USA",
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


def region_row(name: str) -> dict[str, str]:
    return {"name": name, "description": REGIONS[name]}
