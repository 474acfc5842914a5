"""How a fresh machine becomes useful: a script that does what is missing, and the services that answer then.

A recipe reaches a machine in whichever way its cloud has: as the start script of the order, or over SSH afterwards. It
is the same script, for it may be run at any time and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import NamedTuple

from console.errors import UsageError


class Recipe(NamedTuple):
    name: str
    title: str
    services: tuple[str, ...]
    """What answers when it is done, as `console/machines/services.py` calls it."""
    image: str
    """The container to rent, where the cloud puts SSH into any."""
    image_with_ssh: str
    """The container to rent, where it must bring its own SSH server."""
    least_disk_gb: Decimal
    download_gb: Decimal
    """Of the image and the program, without models."""
    versions: Mapping[str, str]
    """What the script is to install, by the variables it reads."""
    faults: Mapping[int, str]
    """What its exit codes mean."""

    @property
    def script(self) -> str:
        """With its versions set; ends with a newline."""
        settings = "".join(f"{name}={value}\nexport {name}\n" for name, value in self.versions.items())
        return settings + _script(self.name)

    def fault(self, exit_code: int | None) -> str:
        if exit_code is None:
            return "it was ended from outside"
        return self.faults.get(exit_code, f"exit code {exit_code}")


_WITH_SSH = "runpod/pytorch:2.4.0-py3.11-cuda12.4.1-devel-ubuntu22.04"
_FAULTS = {
    20: "the packages it needs could not be installed",
    21: "the program could not be fetched",
    22: "the program could not be installed",
    23: "the program was started and does not answer",
}

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="inference",
            title="Ollama and its models",
            services=("ollama",),
            image="ollama/ollama:0.12.6",
            image_with_ssh=_WITH_SSH,
            least_disk_gb=Decimal(20),
            download_gb=Decimal(4),
            versions={"OLLAMA_VERSION": "0.12.6"},
            faults=_FAULTS,
        ),
        Recipe(
            name="images",
            title="ComfyUI",
            services=("comfyui",),
            image="pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
            image_with_ssh=_WITH_SSH,
            least_disk_gb=Decimal(60),
            download_gb=Decimal(10),
            versions={"COMFYUI_VERSION": "v0.3.60"},
            faults=_FAULTS,
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    if name in RECIPES:
        return RECIPES[name]
    from console.settings_kinds import nearest  # only to find the right words

    raise UsageError(f"There is no recipe {name!r}.", hint=nearest(name, RECIPES))


@cache
def _script(name: str) -> str:
    return (Path(__file__).parent / f"{name}.sh").read_text(encoding="utf-8")
