"""The command line itself: what every word answers, how fast it is gone, and what completes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from console import __version__
from console.cli import COMMANDS, load_command
from providers.simulated.services import SimulatedOllama
from tests.flows.kit import COMMAND, Hawser, complaint, unmeasured

HEAVY = ("textual", "rich", "click", "chromadb", "torch", "asyncssh", "keyring", "sqlite_utils", "pydantic", "ollama")
"""What may load only where it is used."""
NETWORK = ("httpx", "asyncio", "sqlite3")
"""What help has no use for."""
IMPORTED = """
import json, os, sys
leave = os._exit
def tell(code):
    sys.stderr.write("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
    sys.stderr.flush()
    leave(code)
os._exit = tell
from console.cli import entry
entry()
"""


def imported(hawser: Hawser, *words: str) -> tuple[int, set[str]]:
    """The exit code of a command line, and what it has loaded when it is done."""
    process = subprocess.run(
        [sys.executable, "-c", IMPORTED, *words],
        env=unmeasured(hawser.env),
        cwd=hawser.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.returncode, set(json.loads(process.stderr.splitlines()[-1]))


@pytest.fixture
def fresh(tmp_path: Path) -> Hawser:
    return Hawser(tmp_path / "fresh")


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version(fresh: Hawser, word: str) -> None:
    assert fresh.run(word) == (0, f"hawser {__version__}\n".encode(), "")


def test_no_word_and_no_terminal_says_where_to_go(fresh: Hawser) -> None:
    done = fresh.run()

    assert (done.code, done.out) == (2, b"")
    assert "The terminal app needs a terminal" in done.err
    assert "hawser --prompt" in done.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["chta"], "hawser chat?"),
        (["what is a rope"], "--prompt"),
        (["--promt", "x"], "hawser --help"),
        (["--prompt"], "hawser --help"),
        (["--prompt", "x", "more"], "hawser --help"),
        (["--prompt", "x", "--thinking", "loud"], "hawser --help"),
        (["--prompt", "x", "--param", "hot"], "hawser --help"),
        (["--prompt", "x", "--json", "--jsonl"], ""),
        (["--prompt", "x", "-c", "--chat", "abc"], ""),
        (["--prompt", "x", "-x", "--schema", "s.json"], ""),
        (["--json"], "--prompt"),
        (["chat"], "hawser chat --help"),
        (["chat", "shw"], "hawser chat show"),
        (["completion", "tcsh"], "hawser completion --help"),
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense_are_one_sentence(fresh: Hawser, words: list[str], hint: str) -> None:
    done = fresh.run(*words)

    assert complaint(done, 2)
    assert hint in done.err
    assert not fresh.store_file.exists()


def test_debug_adds_the_traceback(fresh: Hawser) -> None:
    assert "Traceback" in fresh.run("chta", "--debug").err


def test_help_lists_every_command_and_code(fresh: Hawser) -> None:
    code, modules = imported(fresh, "--help")
    help_text = fresh.run("--help").out.decode()

    assert code == 0
    assert not modules & {*HEAVY, *NETWORK}
    assert all(f"  {word} " in help_text for word in COMMANDS)
    assert "130 interrupted" in help_text


@pytest.mark.parametrize("word", COMMANDS)
def test_every_command_has_help_and_loads_nothing_heavy_for_it(fresh: Hawser, word: str) -> None:
    code, modules = imported(fresh, word, "--help")

    assert code == 0
    assert not modules & {*HEAVY, *NETWORK} - {"asyncio"}
    assert load_command(word).HELP


def test_plain_prompt_loads_nothing_heavy(hawser: Hawser) -> None:
    code, modules = imported(hawser, "--prompt", "echo light")

    assert code == 0
    assert "httpx" in modules
    assert not modules & set(HEAVY)
    assert not modules & {"httpcore", "anyio", "argcomplete", "jsonschema", "pypdfium2", "tomlkit"}


# completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_one_the_shell_takes(fresh: Hawser, tmp_path: Path, shell: str) -> None:
    done = fresh.run("completion", shell)
    (tmp_path / "script").write_bytes(done.out)

    assert (done.code, done.err) == (0, "")
    assert b"hawser completion words --" in done.out
    program = shutil.which(shell)
    if program:
        checked = subprocess.run([program, "-n", str(tmp_path / "script")], capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, b"")


def test_bash_completes_with_the_script(fresh: Hawser, tmp_path: Path) -> None:
    """The function of the script, called as bash calls it, with `hawser` on the path."""
    program = tmp_path / "bin" / "hawser"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec {COMMAND[0]} -c '{COMMAND[2]}' \"$@\"\n")
    program.chmod(0o755)
    (tmp_path / "script").write_bytes(fresh.run("completion", "bash").out)
    call = '. "$1"; COMP_WORDS=(hawser co); COMP_CWORD=1; _hawser; printf "%s\\n" "${COMPREPLY[@]}"'

    done = subprocess.run(
        ["bash", "-c", call, "bash", str(tmp_path / "script")],
        env=fresh.env | {"PATH": f"{program.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split() == ["completion", "config", "cost"]


def words(hawser: Hawser, *line: str) -> list[str]:
    done = hawser.run("completion", "words", "--", *line)
    assert (done.code, done.err) == (0, "")
    return done.out.decode().splitlines()


def test_models_and_chats_complete_from_the_store_and_not_the_network(hawser: Hawser, ollama: SimulatedOllama) -> None:
    assert hawser.run("model", "ls").code == 0
    assert hawser.ask("echo kept").code == 0
    asked = len(ollama.requests)
    chat = hawser.chats()[0].id

    assert "inference/qwen3:8b" in words(hawser, "--prompt", "x", "-m", "inference/q")
    assert {"code", "general", "quick"} <= set(words(hawser, "-m", ""))
    assert words(hawser, "--prompt", "x", "--chat", chat[:4]) == [chat]
    assert words(hawser, "chat", "show", chat[:4]) == [chat]
    assert len(ollama.requests) == asked


def test_words_options_and_files_complete(fresh: Hawser) -> None:
    assert words(fresh, "") == sorted(COMMANDS)
    assert words(fresh, "mo") == ["model"]
    assert "--max-cost" in words(fresh, "--prompt", "x", "--max")
    assert words(fresh, "--prompt", "x", "-a", "") == [":files"]
    assert words(fresh, "--thinking", "") == ["json", "none", "stderr"]
    assert {"ls", "show", "search", "export", "import", "rm"} <= set(words(fresh, "chat", ""))


def test_completion_stays_silent_over_broken_settings(fresh: Hawser) -> None:
    fresh.config_file.parent.mkdir(parents=True)
    fresh.config_file.write_text("[chat\n")

    assert words(fresh, "-m", "") == []
