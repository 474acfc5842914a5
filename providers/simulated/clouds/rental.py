"""One rented machine as the cloud knows it: what was ordered, what is wanted, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from providers.simulated.clouds.billing import Bill
from providers.simulated.clouds.hosts import Host


class Phase(StrEnum):
    QUEUED = "queued"
    """Wants to run and has no GPU; runs when one is free."""
    PROVISIONING = "provisioning"
    PULLING = "pulling"
    BOOTING = "booting"
    RUNNING = "running"
    DIED = "died"
    """Its container ended by itself; the GPU is still held, and paid for."""
    BROKEN = "broken"
    """Its container cannot be started. No GPU is held."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    DESTROYING = "destroying"
    GONE = "gone"


ON_THE_WAY = frozenset({Phase.PROVISIONING, Phase.PULLING, Phase.BOOTING})
HOLDS_GPU = frozenset({*ON_THE_WAY, Phase.RUNNING, Phase.DIED, Phase.STOPPING})


class Timings(NamedTuple):
    """How long the steps take."""

    provision_s: float = 5.0
    pull_s: float | None = None
    """None for what the image's size and the host's line make of it."""
    boot_s: float = 10.0
    ssh_s: float = 3.0
    """From running to an SSH server that answers."""
    service_s: float = 5.0
    """From there to a service that answers."""
    stop_s: float = 8.0
    destroy_s: float = 4.0
    restart_s: float = 6.0

    @classmethod
    def booting_in(cls, seconds: float) -> Timings:
        """All of the way to a service that answers in `seconds`, and stops in proportion."""
        return cls(
            provision_s=seconds * 0.15,
            pull_s=seconds * 0.4,
            boot_s=seconds * 0.2,
            ssh_s=seconds * 0.1,
            service_s=seconds * 0.15,
            stop_s=seconds * 0.2,
            destroy_s=seconds * 0.1,
            restart_s=seconds * 0.2,
        )


class Order(NamedTuple):
    """What somebody asked for."""

    host: Host
    gpus: int
    image: str
    usd_per_hour: Decimal
    """For all GPUs together."""
    disk_gb: Decimal
    label: str | None = None
    script: str = ""
    """What runs at every start."""
    env: Mapping[str, str] = {}
    bid: Decimal | None = None
    """For all GPUs together; None for a machine that nobody can take away."""
    keys: tuple[str, ...] = ()
    """Public SSH keys that are let in."""
    ends_at: datetime | None = None
    """When the contract ends; None for when the host leaves the market."""
    wants_to_run: bool = True
    has_ssh: bool = True
    extra: Mapping[str, Any] = {}
    """What only this cloud knows of."""


class LogLine(NamedTuple):
    moment: datetime
    source: str
    """`system` or `container`."""
    text: str


class Rental:
    def __init__(self, machine_id: str, order: Order, now: datetime, bill: Bill) -> None:
        self.id = machine_id
        self.order = order
        self.host = order.host
        self.gpus = order.gpus
        self.label = order.label
        self.image = order.image
        self.disk_gb = order.disk_gb
        self.usd_per_hour = order.usd_per_hour
        self.bid = order.bid
        self.keys = list(order.keys)
        self.extra: dict[str, Any] = dict(order.extra)
        self.bill = bill
        self.created_at = now
        self.ends_at = order.ends_at or order.host.ends_at
        self.wants_to_run = order.wants_to_run
        self.phase = Phase.STOPPED
        self.phase_since = now
        self.started_at: datetime | None = None
        """When it last began to run."""
        self.stopped_at: datetime | None = None
        self.has_run = False
        self.has_image = False
        self.is_restarting = False
        self.is_outbid = False
        self.is_stuck = False
        """Never gets beyond the pull of its image."""
        self.ssh_after_s: float | None = None
        """How long its SSH server takes; None for the usual time."""
        self.was_running = False
        """While it is being stopped or destroyed: whether it was running when that began."""
        self.held_gpu = False
        """While it is being destroyed: whether it had a GPU when that began."""
        self.keeps_gpu = False
        """Whether it holds its GPU while it is stopped, too."""
        self.cannot_start = False
        self.dies_after_s: float | None = None
        self.keys_after_s = 0.0
        """How long after its SSH server its keys are there."""
        self.ssh_up = False
        self.keys_up = False
        self.service_up = False
        self.starts = 0
        self.moves = 0
        """How often its address changed."""
        self.direct_blocked = False
        self.message: str | None = None
        self.own_key = ""
        """A key that may do things to this machine only."""
        self.log: list[LogLine] = []
        self.generation = 0
        """Counts decisions; what was planned under an earlier one does not happen."""

    @property
    def holds_gpu(self) -> bool:
        match self.phase:
            case Phase.DESTROYING:
                return self.held_gpu
            case Phase.STOPPED:
                return self.keeps_gpu
            case phase:
                return phase in HOLDS_GPU

    @property
    def is_gone(self) -> bool:
        return self.phase is Phase.GONE

    @property
    def is_spot(self) -> bool:
        return self.bid is not None

    def enter(self, phase: Phase, now: datetime) -> None:
        self.phase = phase
        self.phase_since = now

    def runs_for(self, now: datetime) -> timedelta:
        """Since it last began to run; zero when it does not."""
        if self.phase is not Phase.RUNNING or self.started_at is None:
            return timedelta(0)
        return now - self.started_at

    def say(self, now: datetime, source: str, text: str) -> None:
        self.log.append(LogLine(now, source, text))
