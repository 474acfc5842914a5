"""The twins by the name of their cloud."""

from __future__ import annotations

from collections.abc import Mapping

from providers.simulated.clouds.lambda_cloud import LambdaTwin
from providers.simulated.clouds.runpod import RunPodTwin
from providers.simulated.clouds.tensordock import TensorDockTwin
from providers.simulated.clouds.twin import CloudTwin
from providers.simulated.clouds.vast import VastTwin

_TWINS: tuple[type[CloudTwin], ...] = (VastTwin, TensorDockTwin, RunPodTwin, LambdaTwin)
CLOUDS: Mapping[str, type[CloudTwin]] = {twin.name: twin for twin in _TWINS}
