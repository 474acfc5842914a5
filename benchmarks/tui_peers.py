"""Other terminal programs for chatting with models, as programs to drive: set up to talk to an Ollama stand-in.

Each lives in a locked environment of its own, built on first use under `.cache/`; one that cannot be built here is
told and left out. They are set up as a user would who has settled in: no splash, no first-run questions, no calls home.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.tui_homes import MODEL
from tests.peers.environments import NotBuilt, build

LOCKS = Path(__file__).parent / "peers"


class Peer(NamedTuple):
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready: bytes
    """On screen once it can be used."""
    send: bytes
    """The key that sends a question, which can be typed from the first frame on."""
    folder: Path | None = None
    """Where it is started."""


def peers(folder: Path, base_url: str) -> tuple[list[Peer], dict[str, str]]:
    """Those that can be had, and why the others cannot."""
    there, missing = [], {}
    for make in (_oterm, _elia, _parllama):
        name = make.__name__.removeprefix("_")
        home = folder / name
        home.mkdir(parents=True, exist_ok=True)
        try:
            place = build(name, locks=LOCKS)
        except NotBuilt as problem:
            missing[name] = str(problem)
            continue
        common = {
            "HOME": str(home),
            "OLLAMA_HOST": base_url,
            "OLLAMA_URL": base_url,
            "PYTHONPATH": "",
            "LANG": "C.UTF-8",
        }
        try:
            there.append(make(place / "bin", home, common, base_url))
        except subprocess.CalledProcessError as problem:
            missing[name] = f"it could not be set up: {problem.stderr.decode(errors='replace')[-200:]}"
    return there, missing


def _oterm(programs: Path, home: Path, common: Mapping[str, str], _base_url: str) -> Peer:
    """With a chat that was begun: its own code puts it into its store."""
    _write(home / ".local/share/oterm/config.json", json.dumps({"theme": "textual-dark", "splash-screen": False}))
    begin = (
        "import asyncio\nfrom oterm.store.store import Store\nfrom oterm.types import ChatModel\n"
        "async def begin():\n    store = await Store.get_store()\n"
        f"    await store.save_chat(ChatModel(name='chat', model={MODEL!r}))\n"
        "asyncio.run(begin())"
    )
    environment = {"PATH": os.environ.get("PATH", ""), **common}
    subprocess.run([str(programs / "python"), "-c", begin], env=environment, check=True, capture_output=True)
    return Peer("oterm", (str(programs / "oterm"),), common, b"toggle thinking", b"\r")


def _elia(programs: Path, home: Path, common: Mapping[str, str], base_url: str) -> Peer:
    model = f"ollama_chat/{MODEL}"
    _write(home / ".config/elia/config.toml", f'default_model = "{model}"\n[[models]]\nname = "{model}"\n')
    local = {
        **common,
        "OLLAMA_API_BASE": base_url,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "XDG_CONFIG_HOME": str(home / ".config"),
    }
    return Peer("elia", (str(programs / "elia"),), local, b"Send message", b"\n")


def _parllama(programs: Path, home: Path, common: Mapping[str, str], base_url: str) -> Peer:
    settings = {
        "starting_tab": "Chat",
        "use_last_tab_on_startup": False,
        "first_run": False,
        "show_first_run": False,
        "check_for_updates": False,
        "last_llm_config": {"provider": "Ollama", "model_name": MODEL},
    }
    _write(home / ".local/share/parllama/settings.json", json.dumps(settings))
    words = (str(programs / "parllama"), "-u", base_url, "-s", "chat", "--use-last-tab-on-startup", "0")
    return Peer("parllama", words, {**common, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}, b"Change Theme", b"\r")


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
