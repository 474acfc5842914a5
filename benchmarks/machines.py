"""What a machine in between adds to a whole `hawser --prompt`: over a tunnel that is up, and with a link of its own.

Machine and service are simulated on loopback, in a process of their own; each round asks directly, over the tunnel, and
after the tunnel was closed with a link of its own. Figures are medians, and differences those of each round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from providers.simulated.services import SimulatedOllama
from tests.flows.kit import Hawser, Services, endpoint
from tests.flows.machine_kit import OLLAMA, GpuBox, link_up


def asked_ms(user: Hawser, name: str) -> float:
    begun = time.perf_counter()
    done = user.ask("hi", "-m", f"{name}/llama3.1:8b", "--no-save")
    taken = (time.perf_counter() - begun) * 1000
    assert done.code == 0, done.err
    return taken


def rounds_of(user: Hawser, rounds: int) -> tuple[list[float], list[float]]:
    for name in ("near", "gpubox"):
        asked_ms(user, name)
    pairs = [(asked_ms(user, "near"), asked_ms(user, "gpubox")) for _ in range(rounds)]
    return [near for near, _ in pairs], [far for _, far in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with Services() as services, tempfile.TemporaryDirectory() as folder:
        ollama = services.start(SimulatedOllama())
        box = GpuBox(services, {OLLAMA: ollama})
        user = Hawser(Path(folder) / "user").settings(box.settings(), endpoint("near", ollama))
        assert user.run("link", "pin", "gpubox").code == 0
        with link_up(user):
            shared = rounds_of(user, options.rounds)
        own = rounds_of(user, options.rounds)
        box.close()
    figures = {
        name: {
            "direct_ms": statistics.median(near),
            "machine_ms": statistics.median(far),
            "added_ms": statistics.median(b - a for a, b in zip(near, far, strict=True)),
        }
        for name, (near, far) in (("a tunnel that is up", shared), ("a link of its own", own))
    }
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, each in figures.items():
        print(
            f"{name:22} {each['machine_ms']:7.1f} ms, directly {each['direct_ms']:7.1f}, added {each['added_ms']:6.1f}"
        )


if __name__ == "__main__":
    main()
