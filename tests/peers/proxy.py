"""The LiteLLM proxy as a process: mock answers of its own, and our simulated services behind it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import Any, Self

from providers.chat.base import Host
from providers.simulated.services import SimulatedService
from tests.peers.environments import program

START_S = 90.0
"""It takes about 8 s when nothing else runs."""
_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")

MOCKS = {
    "plain": "The rope holds. Grüße, 世界! 👩‍🚀",
    "rate-limited": "litellm.RateLimitError",
    "too-long": "litellm.ContextWindowExceededError",
    "broken": "litellm.InternalServerError",
    "filtered": "Exception: content_filter_policy",
}
"""Model names, and what LiteLLM is told to say for them: an answer, or one of its own mock errors."""


class LiteLLM:
    key = "sk-peer-master"

    def __init__(self, folder: Path, behind: dict[str, tuple[str, SimulatedService]]) -> None:
        """`behind` are further models: their name, LiteLLM's word for wire and model, and the service."""
        self.base_url = ""
        self._folder = folder
        self._models = [_model(name, "openai/mock", mock_response=said) for name, said in MOCKS.items()]
        self._models += [
            _model(name, model, api_base=service.base_url, api_key=service.key or "none")
            for name, (model, service) in behind.items()
        ]
        self._said: deque[str] = deque(maxlen=200)
        self._is_running = threading.Event()

    def host(self, *, key: str | None = key) -> Host:
        return Host("litellm", self.base_url, key=key)

    def __enter__(self) -> Self:
        settings = self._folder / "config.yaml"
        wanted = {
            "model_list": self._models,
            "general_settings": {"master_key": self.key},
            "litellm_settings": {
                "telemetry": False,
                "num_retries": 0,
                "use_chat_completions_url_for_anthropic_messages": True,
            },
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        # JSON is YAML too, but for characters that JSON escapes in halves.
        settings.write_text(json.dumps(wanted, ensure_ascii=False))
        command = [str(program("litellm", "litellm")), "--config", str(settings), "--host", "127.0.0.1", "--port", "0"]
        self._process = subprocess.Popen(
            command,
            env=_environment(self._folder),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self._listener = threading.Thread(target=self._listen, name="litellm", daemon=True)
        self._listener.start()
        if not self._is_running.wait(START_S) or not self.base_url:
            self.__exit__()
            raise AssertionError("LiteLLM did not start:\n" + "".join(self._said))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        """Keep the latest of what it says, so that its pipe never fills; find the address in it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line)
            if found := _RUNNING.search(line):
                self.base_url = found[1]
                self._is_running.set()
        self._is_running.set()


def _model(name: str, model: str, **more: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": model, "api_key": "none", **more}}


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of this machine's, nothing to download, and no way out but to loopback."""
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "NO_DOCS": "True",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
    }
