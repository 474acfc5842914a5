"""What `nvidia-smi` prints, read into our words. Drivers differ in what they know; what one does not say is None.

One command streams a line per GPU and round. A round is complete when it has as many lines as the driver says that
there are GPUs; a driver too old to say so is read by the numbers starting again.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

EVERY_MS = 1000

_FIELDS = (
    "count",
    "index",
    "name",
    "uuid",
    "utilization.gpu",
    "memory.total",
    "memory.used",
    "temperature.gpu",
    "power.draw",
    "power.limit",
    "clocks.sm",
    "fan.speed",
    "driver_version",
)
_FEW_FIELDS = ("index", "name", "utilization.gpu", "memory.total", "memory.used", "temperature.gpu")
"""What every driver of the last ten years knows."""

LONGEST_NAME = 100
MOST_GPUS = 64


class Gpu(NamedTuple):
    number: int
    name: str
    uuid: str = ""
    use_percent: float | None = None
    total_mb: float | None = None
    used_mb: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    clock_mhz: float | None = None
    fan_percent: float | None = None

    @property
    def memory_share(self) -> float | None:
        """Of its memory in use, 0 to 1."""
        return self.used_mb / self.total_mb if self.total_mb and self.used_mb is not None else None

    @property
    def vram_gb(self) -> Decimal | None:
        return Decimal(round(self.total_mb)) / 1024 if self.total_mb else None


class Snapshot(NamedTuple):
    """All GPUs of a machine in one round."""

    gpus: tuple[Gpu, ...]
    driver: str = ""

    @property
    def busiest_percent(self) -> float | None:
        uses = [gpu.use_percent for gpu in self.gpus if gpu.use_percent is not None]
        return max(uses) if uses else None


def command(*, few_fields: bool = False, every_ms: int | None = EVERY_MS) -> str:
    """What to run on the machine; without `every_ms` it is one round."""
    fields = _FEW_FIELDS if few_fields else _FIELDS
    loop = f" -lms {every_ms}" if every_ms is not None else ""
    return f"nvidia-smi --query-gpu={','.join(fields)} --format=csv,noheader,nounits{loop}"


class Rounds:
    """Lines in, snapshots out. Lines that are no reading are kept as what the tool complains about."""

    def __init__(self, *, few_fields: bool = False) -> None:
        self._fields = _FEW_FIELDS if few_fields else _FIELDS
        self._gpus: list[Gpu] = []
        self._driver = ""
        self.complaint = ""

    def read(self, line: str) -> Iterator[Snapshot]:
        """Take a line; yields the round that it completes, if it does."""
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(self._fields):
            if line.strip():
                self.complaint = " ".join(line.split())[:300]
            return
        said = dict(zip(self._fields, cells, strict=True))
        if not said["index"].isdecimal():
            return
        gpu = _gpu(said)
        if self._gpus and gpu.number <= self._gpus[-1].number:  # the numbers start again
            yield self._snapshot()
        if len(self._gpus) < MOST_GPUS:
            self._gpus.append(gpu)
        self._driver = said.get("driver_version", self._driver)
        count = said.get("count", "")
        if count.isdecimal() and len(self._gpus) >= int(count):
            yield self._snapshot()

    def rest(self) -> Iterator[Snapshot]:
        """The last round, at the end of the output."""
        if self._gpus:
            yield self._snapshot()

    @property
    def wants_fewer_fields(self) -> bool:
        """Whether the driver does not know one of the fields."""
        return "not a valid field" in self.complaint

    def _snapshot(self) -> Snapshot:
        snapshot = Snapshot(tuple(self._gpus), self._driver)
        self._gpus = []
        return snapshot


def _gpu(said: dict[str, str]) -> Gpu:
    return Gpu(
        number=int(said["index"]),
        name=_text(said["name"]),
        uuid=_text(said.get("uuid", "")),
        use_percent=_figure(said.get("utilization.gpu"), most=100),
        total_mb=_figure(said.get("memory.total")),
        used_mb=_figure(said.get("memory.used")),
        temperature_c=_figure(said.get("temperature.gpu"), most=500),
        power_w=_figure(said.get("power.draw")),
        power_limit_w=_figure(said.get("power.limit")),
        clock_mhz=_figure(said.get("clocks.sm")),
        fan_percent=_figure(said.get("fan.speed"), most=200),
    )


def _figure(cell: str | None, *, most: float = 1e9) -> float | None:
    """A number; None for `[N/A]`, `[Not Supported]`, `[Unknown Error]`, and for what cannot be."""
    try:
        figure = float(cell or "")
    except ValueError:
        return None
    return figure if 0 <= figure <= most else None


def _text(cell: str) -> str:
    return "".join(c for c in cell if c.isprintable())[:LONGEST_NAME]
