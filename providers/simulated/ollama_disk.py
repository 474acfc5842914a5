"""The disk of a simulated Ollama: the models installed, the library they are pulled from, and half-finished pulls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from providers.simulated.models import SimulatedModel, find
from providers.simulated.ollama_lines import line
from providers.simulated.pace import Clock
from providers.simulated.stream import Segment

_STEPS = 20
_STEP_BYTES = 4_000_000
_LEAST_PULL_S = 0.05


class Disk:
    def __init__(self, clock: Clock, library: Iterable[SimulatedModel], installed: Iterable[str]) -> None:
        self.library = tuple(library)
        self.models: dict[str, SimulatedModel] = {}
        self.modified: dict[str, datetime] = {}
        self.systems: dict[str, str] = {}
        """By model, the instructions it was created with."""
        self.blobs: set[str] = set()
        self.pulled_bytes: dict[str, int] = {}
        """By digest, how much of a layer an unfinished pull has brought already."""
        self._clock = clock
        for name in installed:
            model = self.in_library(name)
            assert model is not None, f"{name!r} is not in the library"
            self.install(name, model)

    def install(self, name: str, model: SimulatedModel) -> SimulatedModel:
        """Have `model` under `name`."""
        name = tagged(name)
        self.models[name] = replace(model, name=name)
        self.modified[name] = self._clock.now()
        return self.models[name]

    def find(self, name: str) -> SimulatedModel | None:
        return self.models.get(tagged(name))

    def delete(self, name: str) -> None:
        del self.models[name]
        del self.modified[name]
        self.systems.pop(name, None)

    def newest_first(self) -> list[SimulatedModel]:
        return sorted(self.models.values(), key=lambda model: self.modified[model.name], reverse=True)

    def in_library(self, name: str) -> SimulatedModel | None:
        """The library's model of that name; `:latest` is the first one listed of its family."""
        name = tagged(name)
        exact = find(self.library, name)
        if exact is None and name.endswith(":latest"):
            base = name.removesuffix("latest")
            return next((model for model in self.library if model.name.startswith(base)), None)
        return exact

    def pull(self, model: SimulatedModel) -> list[Segment]:
        """The progress lines of each layer, from where an earlier pull left off."""
        return [self._layer(digest, size) for digest, size in model.layers]

    def finish_pull(self, name: str, model: SimulatedModel) -> None:
        self.install(name, model)
        for digest, _size in model.layers:
            self.pulled_bytes.pop(digest, None)

    def _layer(self, digest: str, size: int) -> Segment:
        # Each line counts as a token of the stream, so that it is paced and cut like an answer.
        begin = self.pulled_bytes.get(digest, 0)
        steps = _steps(size)
        marks = [str(begin + (size - begin) * step // steps) for step in range(steps + 1)]

        def encode(tokens: Sequence[str]) -> list[bytes]:
            lines = []
            for mark in tokens:
                if not mark.isdecimal():
                    continue
                completed = self.pulled_bytes[digest] = int(mark)
                progress: dict[str, Any] = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": size}
                lines.append(line(progress | ({"completed": completed} if completed else {})))
            return lines

        return Segment(marks, encode)


def lines_per_second(model: SimulatedModel, bytes_per_second: float) -> float:
    """The pace of a pull's progress lines; 0 for full speed."""
    if not bytes_per_second:
        return 0.0
    lines = sum(_steps(size) + 1 for _digest, size in model.layers)
    return lines / max(model.size_bytes / bytes_per_second, _LEAST_PULL_S)


def tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _steps(size: int) -> int:
    return max(1, min(_STEPS, size // _STEP_BYTES))
