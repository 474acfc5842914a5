"""The rules of the house that a machine can keep: who may import what, and what may be loaded when."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.pty_drive import PtyProgram
from tests.conftest import unmeasured

ROOT = Path(__file__).parent.parent
OWNERS_LIST = (
    "textual", "httpx", "ollama", "keyring", "platformdirs", "sqlite-utils", "chromadb", "sentence-transformers",
    "nvidia-ml-py", "pytest",
)  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after this code."""
    listing = f"try:\n    {code}\nexcept SystemExit:\n    pass\nimport sys\nprint()\nprint(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True, cwd=ROOT, env=unmeasured()
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_every_package_of_the_owners_list_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    lines = [*project["project"]["dependencies"], *(line for extra in extras for line in extra)]
    lines += project["dependency-groups"]["dev"]
    declared = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in lines}

    assert set(OWNERS_LIST) <= declared


@pytest.mark.parametrize("package", ["httpx", "ollama", "keyring", "platformdirs", "sqlite_utils"])
def test_packages_whose_room_exists_are_used_by_the_product(package: str) -> None:
    pattern = re.compile(rf"^\s*(import|from) {package}\b", re.MULTILINE)
    users = [path for top in ("console", "providers", "rag") for path in (ROOT / top).rglob("*.py")]

    assert any(pattern.search(path.read_text()) for path in users)


def test_version_loads_next_to_nothing() -> None:
    loaded = loaded_by("from console.cli import main; main(['--version'])")

    assert not loaded & {"argparse", "asyncio", "httpx", "sqlite3", "tomllib", "json", "typing_extensions"}


def test_help_loads_no_network_and_no_store() -> None:
    loaded = loaded_by("from console.cli import main; main(['--help'])")

    assert not loaded & {"httpx", "sqlite3", "ssl", "socketserver", "tomllib", "platformdirs"}


def test_a_prompt_loads_nothing_that_only_other_rooms_need(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(
        '[endpoints.gone]\nwire = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
        '[machines.gpubox]\ncloud = "ssh"\nhost = "me@gpu.example"\nservices = ["ollama"]\n'
    )
    ask = "import os; os.environ.update(HAWSER_HOME={!r}, HAWSER_ISOLATED='1'); {}".format(
        str(tmp_path), "from console.cli import main; main(['-p', 'hi', '-m', 'gone/m', '--no-stdin'])"
    )

    loaded = loaded_by(ask)

    assert "httpx" in loaded
    assert not loaded & {
        "textual",
        "rich",
        "click",
        "chromadb",
        "torch",
        "asyncssh",
        "keyring",
        "sqlite_utils",
        "ollama",
    }
    assert not loaded & {"pydantic", "anyio", "httpcore", "numpy", "jsonschema", "pypdfium2", "tomlkit", "platformdirs"}


@pytest.mark.parametrize(
    "code",
    [
        "from console.cli import main; main(['--help'])",
        "from console.cli import main; main(['link', 'pin', '--help'])",
        "from console.cli import main; main(['vm', 'ssh', '--help'])",
        "import console.links.identity, console.links.openssh, console.terminal_ask",
    ],
)
def test_asyncssh_is_loaded_only_by_who_wants_a_link(code: str) -> None:
    assert "asyncssh" not in loaded_by(code)


def test_first_paint_loads_next_to_nothing() -> None:
    before = loaded_by("pass")

    loaded = loaded_by("import console.cli, screens.early")

    assert loaded - before <= {"__future__", "console", "screens", "termios"}


FIRST_FRAME = """
import sys
from screens.life import LivingApp
def drawn(self):
    with open("loaded", "w") as file:
        file.write(" ".join(sys.modules))
    self.exit()
LivingApp._first_frame_drawn = drawn
from console.cli import entry
entry()
"""


def test_first_frame_loads_only_what_it_shows(tmp_path: Path) -> None:
    home = {"HAWSER_HOME": str(tmp_path), "HAWSER_ISOLATED": "1", "PYTHONPATH": str(ROOT)}
    with PtyProgram([sys.executable, "-c", FIRST_FRAME], environment=home, folder=tmp_path) as program:
        assert program.ended() == 0
    modules = (tmp_path / "loaded").read_text().split()

    loaded = {name.partition(".")[0] for name in modules}
    assert "textual" in loaded
    assert not loaded & {"httpx", "asyncssh", "ollama", "keyring", "sqlite_utils", "pydantic", "anyio", "jsonschema"}
    assert not loaded & {"markdown_it", "pygments", "PIL", "tomlkit", "chromadb", "numpy", "pypdfium2", "click"}
    assert not loaded & {"json", "sqlite3"}
    assert not set(modules) & {"screens.markdown.rendering", "console.chat.conversation", "screens.dialogs.ask"}
    assert not set(modules) & {"console.history.store", "console.history.listing", "providers.chat.base"}


def test_asking_a_documents_worker_loads_next_to_nothing() -> None:
    ask = "from console.library.once import ask_once; import json, socket, hashlib, tempfile, struct"

    loaded = loaded_by(ask)

    assert not loaded & {"asyncio", "numpy", "chromadb", "onnxruntime", "sqlite3", "tokenizers", "subprocess", "httpx"}


def test_a_client_of_the_documents_worker_loads_neither_vectors_nor_models() -> None:
    loaded = loaded_by("from console.library.client import connect")

    assert not loaded & {"numpy", "chromadb", "onnxruntime", "sqlite3", "tokenizers", "httpx"}
