"""The twins by the name of their cloud."""

from __future__ import annotations

from collections.abc import Mapping

from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.vast import VastTwin

CLOUDS: Mapping[str, type[CloudTwin]] = {VastTwin.name: VastTwin}
