"""The clouds' own clients, each from its locked environment, as processes that know nothing of this machine.

    vastai = Vastai(folder, twin.base_url, twin.key)
    vastai("show", "instances", "--raw").json()

    with Runpod(folder, base_url, key) as runpod:
        runpod("get_pods")

Their home is an empty folder, the key comes by environment, and nothing but loopback can be reached.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from tests.peers.environments import program

PATIENCE_S = 45.0


class Said(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def failure(self) -> Any:
        """What `vastai --raw` says on stderr about a call that failed."""
        return json.loads(self.err)


class _Command:
    environment_name: str
    command: str

    def __init__(self, folder: Path, base_url: str, variables: dict[str, str]) -> None:
        self._folder = folder
        self._variables = {**_only_to(base_url, folder), **variables}

    def __call__(self, *arguments: str) -> Said:
        done = subprocess.run(
            [str(program(self.environment_name, self.command)), *arguments],
            cwd=self._folder,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
        )
        return Said(done.returncode, done.stdout, done.stderr)


class Vastai(_Command):
    environment_name = "vastai"
    command = "vastai"

    def __init__(self, folder: Path, base_url: str, key: str) -> None:
        super().__init__(folder, base_url, {"VAST_URL": base_url, "VAST_API_KEY": key, "VASTAI_NO_UPDATE_CHECK": "1"})


class Lai(_Command):
    environment_name = "lai"
    command = "lai"

    def __init__(self, folder: Path, base_url: str, key: str) -> None:
        """`base_url` without the `/api/v1` that this client adds by itself."""
        super().__init__(folder, base_url, {"LAMBDA_CLOUD_BASE_URL": base_url, "LAMBDA_CLOUD_API_TOKEN": key})


class RunpodError(Exception):
    """What the package raised: the name of its class, and its words."""


class Runpod:
    """The package in a Python of its own: one import serves many calls, because it takes longer than all of them."""

    _SERVE = (
        "import json, os, sys\n"
        "import runpod\n"
        "runpod.api_key = os.environ['KEY']\n"
        "for line in sys.stdin:\n"
        "    name, arguments = json.loads(line)\n"
        "    try:\n"
        "        said = {'returned': getattr(runpod, name)(**arguments)}\n"
        "    except Exception as problem:\n"
        "        said = {'raised': f'{type(problem).__name__}: {problem}'}\n"
        "    print('\\x1e' + json.dumps(said), flush=True)\n"
    )

    def __init__(self, folder: Path, base_url: str, key: str) -> None:
        self._folder = folder
        self._variables = {**_only_to(base_url, folder), "RUNPOD_API_BASE_URL": base_url, "KEY": key}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [str(program("runpod", "python")), "-c", self._SERVE],
            cwd=self._folder,
            env=self._variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        return self

    def __exit__(self, *_: object) -> None:
        _of(self._process.stdin).close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _of(self._process.stdout).close()

    def __call__(self, function: str, /, **arguments: Any) -> Any:
        """Call one of its functions; raises RunpodError with what it raised."""
        print(json.dumps([function, arguments]), file=_of(self._process.stdin), flush=True)
        for line in _of(self._process.stdout):
            if line.startswith("\x1e"):  # the package prints remarks of its own
                said = json.loads(line[1:])
                if "raised" in said:
                    raise RunpodError(said["raised"])
                return said["returned"]
        raise AssertionError(f"the runpod package ended with {self._process.wait(PATIENCE_S)}")


def _of(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _only_to(base_url: str, folder: Path) -> dict[str, str]:
    """An environment in which a client reaches this twin, and nothing that is not on loopback."""
    assert base_url.startswith("http://127.0.0.1:"), "without an address these clients call the real cloud"
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LANG": "C.UTF-8",
        "COLUMNS": "250",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
    }
