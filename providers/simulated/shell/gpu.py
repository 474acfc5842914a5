"""A made-up `nvidia-smi`: figures that move plausibly, the same ones for the same seed and moment."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from providers.simulated.shell.programs import Call, Program, System, UsageError

DRIVER = "570.133.20"
CUDA = "12.8"


class Model(NamedTuple):
    memory_mib: int
    power_w: int
    clock_mhz: int
    compute: str


MODELS: Mapping[str, Model] = {
    "NVIDIA GeForce RTX 3090": Model(24576, 350, 1695, "8.6"),
    "NVIDIA GeForce RTX 4090": Model(24564, 450, 2520, "8.9"),
    "NVIDIA GeForce RTX 5090": Model(32607, 575, 2407, "12.0"),
    "NVIDIA RTX A6000": Model(49140, 300, 1800, "8.6"),
    "NVIDIA L40S": Model(46068, 350, 2520, "8.9"),
    "NVIDIA A100-SXM4-80GB": Model(81920, 400, 1410, "8.0"),
    "NVIDIA H100 80GB HBM3": Model(81559, 700, 1980, "9.0"),
    "NVIDIA H200": Model(143771, 700, 1980, "9.0"),
}


class Reading(NamedTuple):
    """One GPU at one moment."""

    number: int
    name: str
    uuid: str
    bus: str
    utilisation: int
    memory_utilisation: int
    memory_mib: int
    used_mib: int
    temperature_c: int
    power_w: float
    clock_mhz: int
    fan: int


def readings(system: System, now: datetime) -> list[Reading]:
    return [_reading(system, index, name, now) for index, name in enumerate(system.hardware.gpus)]


def _reading(system: System, index: int, name: str, now: datetime) -> Reading:
    dice = random.Random(f"{system.seed}/{system.name}/{index}")  # noqa: S311 - made-up figures
    uuid = "GPU-" + "-".join(f"{dice.getrandbits(4 * length):0{length}x}" for length in (8, 4, 4, 4, 12))
    model = MODELS[name]
    seconds = now.timestamp()
    waves = [(dice.uniform(7, 60), dice.uniform(0, math.tau)) for _ in range(3)]
    load = 0.5 + sum(math.sin(seconds * math.tau / period + phase) for period, phase in waves) / 6
    load = min(1.0, max(0.0, load))
    held = dice.uniform(0.35, 0.7)
    return Reading(
        number=index,
        name=name,
        uuid=uuid,
        bus=f"00000000:{index + 1:02X}:00.0",
        utilisation=round(load * 100),
        memory_utilisation=round(load * 70),
        memory_mib=model.memory_mib,
        used_mib=round(model.memory_mib * (held + 0.05 * load)),
        temperature_c=round(34 + 42 * load),
        power_w=round(model.power_w * (0.12 + 0.8 * load), 2),
        clock_mhz=round(model.clock_mhz * (0.15 + 0.85 * load)),
        fan=round(30 + 60 * load),
    )


_UNITS: Mapping[str, str] = {
    "utilization.gpu": "%",
    "utilization.memory": "%",
    "memory.total": "MiB",
    "memory.used": "MiB",
    "memory.free": "MiB",
    "memory.reserved": "MiB",
    "power.draw": "W",
    "power.limit": "W",
    "enforced.power.limit": "W",
    "clocks.sm": "MHz",
    "clocks.gr": "MHz",
    "clocks.mem": "MHz",
    "clocks.current.graphics": "MHz",
    "clocks.current.sm": "MHz",
    "clocks.max.sm": "MHz",
    "fan.speed": "%",
}


def _fields(reading: Reading, now: datetime, count: int) -> dict[str, str]:
    model = MODELS[reading.name]
    return {
        "index": str(reading.number),
        "name": reading.name,
        "gpu_name": reading.name,
        "uuid": reading.uuid,
        "gpu_uuid": reading.uuid,
        "pci.bus_id": reading.bus,
        "gpu_bus_id": reading.bus,
        "count": str(count),
        "timestamp": now.strftime("%Y/%m/%d %H:%M:%S.") + f"{now.microsecond // 1000:03}",
        "driver_version": DRIVER,
        "compute_cap": model.compute,
        "pstate": "P2" if reading.utilisation > 10 else "P8",
        "utilization.gpu": str(reading.utilisation),
        "utilization.memory": str(reading.memory_utilisation),
        "memory.total": str(reading.memory_mib),
        "memory.used": str(reading.used_mib),
        "memory.free": str(reading.memory_mib - reading.used_mib),
        "memory.reserved": "0",
        "temperature.gpu": str(reading.temperature_c),
        "temperature.memory": "N/A",
        "power.draw": f"{reading.power_w:.2f}",
        "power.limit": f"{model.power_w:.2f}",
        "enforced.power.limit": f"{model.power_w:.2f}",
        "clocks.sm": str(reading.clock_mhz),
        "clocks.gr": str(reading.clock_mhz),
        "clocks.mem": str(model.clock_mhz),
        "clocks.current.graphics": str(reading.clock_mhz),
        "clocks.current.sm": str(reading.clock_mhz),
        "clocks.max.sm": str(model.clock_mhz),
        "fan.speed": str(reading.fan),
        "mig.mode.current": "[N/A]",
        "persistence_mode": "Enabled",
        "ecc.errors.uncorrected.volatile.total": "[N/A]",
    }


def _apps(reading: Reading) -> list[dict[str, str]]:
    """What runs on it: one server, which holds all that is used."""
    return [
        {
            "pid": str(1200 + reading.number),
            "process_name": "/usr/local/bin/ollama",
            "name": "/usr/local/bin/ollama",
            "used_memory": str(reading.used_mib),
            "used_gpu_memory": str(reading.used_mib),
            "gpu_uuid": reading.uuid,
            "gpu_name": reading.name,
            "gpu_bus_id": reading.bus,
        }
    ]


async def nvidia_smi(call: Call) -> int:
    system = call.system
    if not system.hardware.gpus:
        await call.say(
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
            "Make sure that the latest NVIDIA driver is installed and running."
        )
        return 9
    wanted, every_s, chosen = _asked(call)
    for number in itertools.count():
        now = system.clock.now()
        found = readings(system, now)
        shown = [reading for reading in found if chosen is None or chosen & {str(reading.number), reading.uuid}]
        if not shown:
            await call.say("No devices were found")
            return 6
        if "list" in wanted:
            for reading in shown:
                await call.say(f"GPU {reading.number}: {reading.name} (UUID: {reading.uuid})")
        elif "gpu" in wanted:
            rows = [_fields(reading, now, len(found)) for reading in shown]
            if not await _table(call, rows, wanted["gpu"], wanted.get("format", ""), heads=number == 0):
                return 2
        elif "apps" in wanted:
            rows = [row for reading in shown for row in _apps(reading)]
            if not await _table(call, rows, wanted["apps"], wanted.get("format", ""), heads=number == 0):
                return 2
        else:
            await call.say(_picture(shown, now))
        if every_s is None:
            return 0
        await system.clock.sleep(every_s)
    return 0


def _asked(call: Call) -> tuple[dict[str, str], float | None, set[str] | None]:
    wanted: dict[str, str] = {}
    every_s: float | None = None
    chosen: set[str] | None = None
    arguments = iter(call.arguments[1:])
    for argument in arguments:
        word, equals, value = argument.partition("=")
        match word:
            case "--query-gpu":
                wanted["gpu"] = value
            case "--query-compute-apps":
                wanted["apps"] = value
            case "--format":
                wanted["format"] = value
            case "-L" | "--list-gpus":
                wanted["list"] = ""
            case "-i" | "--id":
                chosen = set((value if equals else next(arguments, "")).split(","))
            case "-l" | "--loop":
                every_s = _interval(value if equals else next(arguments, "5"))
            case "-lms" | "--loop-ms":
                every_s = _interval(value if equals else next(arguments, "")) / 1000
            case _:
                raise UsageError(f"Invalid combination of input arguments: not in this shell: {argument}")
    if wanted.keys() & {"gpu", "apps"} and "csv" not in wanted.get("format", "").split(","):
        raise UsageError('"--format=" switch is missing or is not csv')
    return wanted, every_s, chosen


def _interval(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) <= 0:
        raise UsageError(f"Invalid interval: {text!r}")
    return float(text)


async def _table(call: Call, rows: list[dict[str, str]], wanted: str, shape: str, *, heads: bool) -> bool:
    names = [name.strip() for name in wanted.split(",")]
    has_units = "nounits" not in shape.split(",")
    strangers = [name for name in names if rows and name not in rows[0]]
    if strangers:
        await call.say(f'Field "{strangers[0]}" is not a valid field to query.\n')
        return False
    units = {**_UNITS, "used_gpu_memory": "MiB", "used_memory": "MiB"}
    if heads and "noheader" not in shape.split(","):
        await call.say(", ".join(f"{name} [{units[name]}]" if name in units else name for name in names))
    for row in rows:
        cells = [f"{row[name]} {units[name]}" if has_units and name in units else row[name] for name in names]
        await call.say(", ".join(cells))
    return True


def _picture(shown: list[Reading], now: datetime) -> str:
    line = "+" + "-" * 89 + "+"
    rule = "|" + "-" * 41 + "+" + "-" * 24 + "+" + "-" * 22 + "|"
    title = f" NVIDIA-SMI {DRIVER}             Driver Version: {DRIVER}     CUDA Version: {CUDA}"
    lines = [now.strftime("%a %b %e %H:%M:%S %Y"), line, f"|{title:<89}|", rule]
    lines += [
        "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |",
        "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |",
        rule.replace("-", "="),
    ]
    for one in shown:
        model = MODELS[one.name]
        power = f"{one.power_w:.0f}W / {model.power_w:>4}W"
        memory = f"{one.used_mib:>6}MiB / {one.memory_mib:>6}MiB"
        state = "P2" if one.utilisation > 10 else "P8"
        lines += [
            f"| {one.number:>3}  {one.name:<26}  {'On':>6} | {one.bus:<16} {'Off':>5} | {'N/A':>20} |",
            f"| {one.fan:>2}%  {one.temperature_c:>3}C    {state}    {power:>20} | {memory:>22} |"
            f" {one.utilisation:>6}%  {'Default':>11} |",
            rule,
        ]
    lines[-1] = line
    lines += ["", line, f"| {'Processes:':<88}|", f"|  {'GPU    PID   Type   Process name':<72}{'Memory':>14} |"]
    for one in shown:
        for app in _apps(one):
            row = f"{one.number:>3} {app['pid']:>6}      C   {app['process_name']}"
            lines.append(f"|  {row:<72}{app['used_memory'] + 'MiB':>14} |")
    return "\n".join([*lines, line])


COMMANDS: Mapping[str, Program] = {"nvidia-smi": nvidia_smi}
