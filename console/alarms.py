"""What is worth an alert: plain rules over plain values, and the words for it. Nothing here asks or tells anybody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from console.money.verdicts import Level
    from console.settings import AlertSettings
    from providers.gpu_smi import Gpu

COOLER_C = Decimal(3)
"""An alert about heat is over when the GPU is this much below the level, so that it does not come and go."""
LESS_MEMORY = Decimal("0.02")
"""The same for the share of memory in use."""


class Finding(NamedTuple):
    """Something that stands, or that does not: `level` is None when all is well again."""

    subject: str
    level: Level | None
    text: str


class GpuState(NamedTuple):
    """What the rules remember of a GPU from one reading to the next."""

    heat: Level | None = None
    hot_since_s: float | None = None
    """Since when it has been too hot, by the clock that only goes forward."""
    memory: Level | None = None


class GpuOutcome(NamedTuple):
    findings: tuple[Finding, ...]
    states: Mapping[int, GpuState]
    """To be handed in with the next reading."""
    pause: bool
    """Our jobs on this machine wait until it has cooled down."""
    stop: bool
    """The machine is to be stopped."""


def judge_gpus(
    machine: str,
    gpus: Iterable[Gpu],
    states: Mapping[int, GpuState],
    now_s: float,
    settings: AlertSettings,
) -> GpuOutcome:
    """The GPUs of a machine against the thresholds. One that was not read keeps its state."""
    findings: list[Finding] = []
    after = dict(states)
    too_long = False
    for gpu in gpus:
        state = states.get(gpu.number, GpuState())
        if gpu.temperature_c is not None:
            state, finding = _heat(machine, gpu, Decimal(str(gpu.temperature_c)), state, now_s, settings)
            findings.append(finding)
        if gpu.memory_share is not None:
            share = Decimal(str(gpu.memory_share))
            state, finding = _memory(machine, gpu, share, state, settings)
            findings.append(finding)
        after[gpu.number] = state
    for state in after.values():
        if state.hot_since_s is not None and now_s - state.hot_since_s >= settings.gpu_hot_s:
            too_long = True
    return GpuOutcome(
        tuple(findings),
        after,
        too_long and settings.at_hot in ("pause", "stop"),
        too_long and settings.at_hot == "stop",
    )


def _heat(
    machine: str, gpu: Gpu, temperature_c: Decimal, state: GpuState, now_s: float, settings: AlertSettings
) -> tuple[GpuState, Finding]:
    level = _level(temperature_c, state.heat, settings.gpu_warm_c, settings.gpu_hot_c, COOLER_C)
    hot_since_s = (now_s if state.hot_since_s is None else state.hot_since_s) if level == "alarm" else None
    text = f"GPU {gpu.number} of {machine} is at {temperature_c:.0f} °C."
    if hot_since_s is not None and now_s - hot_since_s >= settings.gpu_hot_s:
        done = {
            "tell": "",
            "pause": " Jobs there wait until it is cooler.",
            "stop": " Jobs there wait, and it is stopped.",
        }
        text = f"{text[:-1]}, for {now_s - hot_since_s:.0f} s.{done[settings.at_hot]}"
    return state._replace(heat=level, hot_since_s=hot_since_s), Finding(f"heat:{machine}:{gpu.number}", level, text)


def _memory(
    machine: str, gpu: Gpu, share: Decimal, state: GpuState, settings: AlertSettings
) -> tuple[GpuState, Finding]:
    level = _level(share, state.memory, settings.vram_warning, settings.vram_alarm, LESS_MEMORY)
    text = f"The memory of GPU {gpu.number} of {machine} is {share * 100:.0f} % full."
    return state._replace(memory=level), Finding(f"memory:{machine}:{gpu.number}", level, text)


def _level(value: Decimal, before: Level | None, warning: Decimal, alarm: Decimal, slack: Decimal) -> Level | None:
    if value >= alarm or (before == "alarm" and value > alarm - slack):
        return "alarm"
    if value >= warning or (before is not None and value > warning - slack):
        return "warning"
    return None


class Teller(Protocol):
    """The part of `Alerts` that findings need."""

    async def raise_(self, subject: str, level: Level, text: str) -> bool: ...

    async def clear(self, subject: str, text: str = "") -> bool: ...


async def tell(alerts: Teller, findings: Sequence[Finding]) -> None:
    """Raise what stands and clear what does not."""
    for finding in findings:
        if finding.level is None:
            await alerts.clear(finding.subject, finding.text)
        else:
            await alerts.raise_(finding.subject, finding.level, finding.text)
