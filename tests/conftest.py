"""What every test stands on: its own folders, no keys, no user settings, and no network but loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.leftovers import end_leftovers
from tests.tmux_kit import TMUX

T = TypeVar("T")
ON_ONE_WORKER = ("tests/contracts/test_embedders.py", "tests/peers/test_litellm.py")
"""Files whose tests share something that takes long to start."""
_REAL_CONNECT = socket.socket.connect
_LOOPBACK = ("127.", "::1", "localhost")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run one async test body on a fresh loop."""
    return asyncio.run(work)


def unmeasured() -> dict[str, str]:
    """The environment without coverage, which loads modules of its own into every process that it measures."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def _connect_on_loopback_only(self: socket.socket, address: Any) -> None:
    if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
        raise AssertionError(f"a test tried to reach {address[0]}")
    _REAL_CONNECT(self, address)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-screens", action="store_true", help="store what the app draws as the pictures it is compared with"
    )


@pytest.fixture(autouse=True)
def _hermetic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(
            ("HAWSER_", "OLLAMA_", "OPENAI_", "ANTHROPIC_", "OPENROUTER_", "SSL_CERT_")
        ) or name.endswith(("_API_KEY", "_API_TOKEN", "_proxy", "_PROXY", "_CA_BUNDLE")):
            monkeypatch.delenv(name)
    for name in ("HAWSER_HOME", "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("HAWSER_ISOLATED", "1")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setattr(socket.socket, "connect", _connect_on_loopback_only)
    # `tmp_path` would be too long for the path of a socket.
    with tempfile.TemporaryDirectory(prefix="hw", ignore_cleanup_errors=True) as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield
        left = end_leftovers(Path(runtime))
    assert not left, f"a documents' worker outlived its test: {left}"


def pytest_report_header() -> list[str]:
    return [] if TMUX else ["tmux is not installed: tests/flows/test_app_tmux.py is left out"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each test goes to whichever worker is free, but those of `ON_ONE_WORKER` stay together and go first.

    The mark `xdist_group` would say it too, but pytest 9.2 no longer shows the scheduler what xdist 3.8 writes for it.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in ON_ONE_WORKER else nodeid

    return Scheduling(config, log)
