"""What is told while a machine comes up: at once when a phase stalls, else with growing pauses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from console.clock import Clock
from console.machines import words
from console.machines.boot import Timeline

Tell: TypeAlias = Callable[[str], None]

FIRST_S = 10.0


class Progress:
    def __init__(self, tell: Tell, name: str, clock: Clock) -> None:
        self._tell = tell
        self._name = name
        self._clock = clock
        self._began = clock.monotonic()
        self._next = self._began + FIRST_S
        self._stalled = False

    def at(self, timeline: Timeline | None, news: str) -> None:
        if timeline is not None:
            timeline.tick(news)
            passed = timeline.phases()
            if passed and passed[-1].is_stalled and not self._stalled:
                self._stalled = True
                now = passed[-1]
                self._tell(
                    f"{self._name} is stalled in the phase {now.phase.value!r}: {words.span(now.seconds)}, usually"
                    f" {words.span(now.expected.seconds)}. It is waited for; Ctrl+C gives up waiting, and"
                    f" `hawser vm destroy {self._name}` gives up the machine."
                )
        now_s = self._clock.monotonic()
        if now_s < self._next:
            return
        waited = now_s - self._began
        self._next = now_s + max(FIRST_S, waited / 2)
        phase = timeline.phase.value if timeline is not None and timeline.phase is not None else "waiting"
        left = f", about {words.span(timeline.remaining_s())} to go" if timeline is not None else ""
        self._tell(f"{self._name}: {phase} for {words.span(waited)}{left}. {news}".rstrip())
