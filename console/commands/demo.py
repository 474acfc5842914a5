"""`hawser demo`: the same program on simulated services, in a private folder that is gone afterwards.

The services run in a process of their own and speak the real protocols over loopback. Nothing of the user's is looked
at: no keys, no keyring, no servers, no settings.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from console.errors import ConsoleError, Exit
from console.paths import write_privately

if TYPE_CHECKING:
    from console.shell import Shell

HELP = "Use Hawser on simulated services and clouds: no key, no GPU, no network, no cost."

START_S = 20.0
BOOT_S = 10.0
EMBEDDER = "inference/nomic-embed-text"
"""A simulated one, so that the demo needs no weights and little of the processor."""
HANDBOOK = "handbook"
_NICENESS = 10
_LEAVE_S = 5.0
_PASSED_ON = (
    "PATH",
    "TERM",
    "COLORTERM",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "NO_COLOR",
    "EDITOR",
    "VISUAL",
    "TMUX",
    "TZ",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "SSH_CONNECTION",
    "SSH_TTY",
)

_WELCOME = """\
Hawser on simulated services. Nothing here costs money or leaves this machine,
and the folder is gone when you leave. Type a question, or a command such as
  rag query "how long does a machine boot?" · --prompt "what is berth?" -r handbook
  model ls · chat ls · cost · doctor · --prompt "hello" -m openai/gpt-4.1 -v
  vm offers · vm new box --gpu 4090 --wait · vm ls · vm stop box --wait
Ctrl+C stops an answer, Ctrl+D leaves."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokens-per-second", type=float, default=60.0, metavar="N", help="how fast the models write (default: 60)"
    )
    parser.add_argument(
        "--boot-seconds",
        type=float,
        default=BOOT_S,
        metavar="S",
        help=f"how long a rented machine takes to come up (default: {BOOT_S:g})",
    )
    parser.add_argument("--lines", action="store_true", help="questions and commands line by line, without the app")
    parser.add_argument("words", nargs="*", metavar="…", help="one command to run there instead of the app")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.cli import app_is_possible, open_app

    with ExitStack() as until_the_end:
        folder = Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="hawser-demo-")))

        def inner() -> Shell:
            services = _simulated_services(arguments.tokens_per_second, arguments.boot_seconds)
            made = _private_shell(folder, until_the_end.enter_context(services), shell)
            until_the_end.callback(_end_documents, made)
            return made

        def inner_with_handbook() -> Shell:
            made = inner()
            until_the_end.enter_context(_handbook(folder, made))
            return made

        if arguments.words:
            from console.cli import run as run_command_line

            return run_command_line(arguments.words, inner())
        if arguments.lines or not app_is_possible(shell):
            return _converse(inner_with_handbook() if shell.is_interactive() else inner())
        return open_app(_private_environment(folder, shell), inner_with_handbook, debug=shell.debug)


@contextmanager
def _simulated_services(tokens_per_second: float, boot_s: float) -> Iterator[dict[str, Any]]:
    """The simulated world in its own process, ended with this one."""
    speed = ["--tokens-per-second", str(tokens_per_second), "--boot-seconds", str(boot_s)]
    process = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        [sys.executable, "-m", "providers.simulated", *speed, "--until-eof"],
        stdin=subprocess.PIPE,  # closed by our end, whatever ends us
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl+C stops an answer, not the services
    )
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        line = process.stdout.readline() if ready else b""
        if not line:
            raise ConsoleError("The simulated services did not start.", hint="See: python -m providers.simulated")
        yield json.loads(line)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def _handbook(folder: Path, shell: Shell) -> Iterator[None]:
    """A small collection to look at and to ask, added by a process beside this one that gives way to it."""
    pages = folder / HANDBOOK
    pages.mkdir()
    for page in (resources.files("console") / "demo_handbook").iterdir():
        if page.name.endswith(".md"):
            (pages / page.name).write_bytes(page.read_bytes())
    gives_way = f"import os; os.nice({_NICENESS}); from console.cli import entry; entry()"
    process = subprocess.Popen(  # noqa: S603 - our own program, by our own interpreter
        [sys.executable, "-c", gives_way, "rag", "add", str(pages), "-C", HANDBOOK, "--no-wait"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(shell.environment) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _end_documents(shell: Shell) -> None:
    """The process that holds documents of the demo goes before their folder does."""
    from console.library.place import worker_place

    place = worker_place(shell.paths, shell.environment)
    if not place.lock.exists():
        return
    import fcntl

    from console.errors import NoWorker, TimeLimit, WorkerFailed
    from console.library.once import ask_once
    from rag.errors import RagError

    with suppress(NoWorker, TimeLimit, WorkerFailed, RagError):
        ask_once(shell.paths, "leave", {"why": "the demo is over"}, _LEAVE_S)
    deadline = time.monotonic() + _LEAVE_S
    with place.lock.open("r+") as lock:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held for as long as it lives
            except BlockingIOError:
                time.sleep(0.02)
            else:
                return


def _private_environment(folder: Path, shell: Shell) -> dict[str, str]:
    environment = {name: shell.environment[name] for name in _PASSED_ON if name in shell.environment}
    return environment | {"HAWSER_HOME": str(folder), "HAWSER_ISOLATED": "1"}


def _private_shell(folder: Path, world: Mapping[str, Any], shell: Shell) -> Shell:
    """A shell whose settings name the simulated endpoints and clouds; their per-run keys stay in memory."""
    from console.shell import Shell

    lines = ["[chat]", 'model = "auto"', ""]
    environment = _private_environment(folder, shell)
    for endpoint in world["endpoints"]:
        name = endpoint["name"]
        lines += [f"[endpoints.{name}]", f'wire = "{endpoint["wire"]}"', f'base_url = "{endpoint["base_url"]}"']
        if endpoint["key"]:
            variable = name.upper().replace("-", "_")
            environment[f"HAWSER_KEY_{variable}"] = endpoint["key"]
            lines += [f'key = "{variable}"', "price = { input = 2.0, output = 8.0 }"]
        lines.append("")
    for cloud in world["clouds"]:
        name = cloud["name"]
        variable = f"SIMULATED_{name.upper()}"
        environment[f"HAWSER_KEY_{variable}"] = cloud["key"]
        lines += [f"[clouds.{name}]", f'base_url = "{cloud["base_url"]}"', f'key = "{variable}"', ""]
    lines += ["[budget]", "day_usd = 5.0", "", "[rag]", f'embedder = "{EMBEDDER}"', ""]
    inner = Shell(shell.stdin, shell.stdout, shell.stderr, environment)
    write_privately(inner.paths.config_file, "\n".join(lines).encode())
    return inner


def _converse(shell: Shell) -> int:
    """Questions and commands, a line each, until the end of input."""
    from console.cli import COMMANDS
    from console.cli import run as run_command_line

    gc.enable()  # this process may live for hours
    shell.note(_WELCOME)
    begun = False
    while (line := _read_line(shell)) is not None:
        if not line.strip():
            continue
        try:
            words = shlex.split(line)
        except ValueError:  # an apostrophe in a question
            words = [line]
        words = words[1:] if words[0] == "hawser" else words
        if words and (words[0] in COMMANDS or words[0].startswith("-")):
            if words[0] == "demo":
                shell.note("You are in the demo already.")
                continue
            run_command_line(words, shell)
        else:
            code = run_command_line(["--no-stdin", *(["--continue"] if begun else []), "--prompt", line], shell)
            begun = begun or code == 0
            if not shell.stdout.isatty():  # an answer ends as the model ended it; here the next one follows
                shell.stdout.write("\n\n")
    return 0


def _leave(_number: int, _frame: object) -> NoReturn:
    """The end of the terminal, or a kill: out through everything that tidies up."""
    raise SystemExit(Exit.INTERRUPTED)


def _read_line(shell: Shell) -> str | None:
    for number in (signal.SIGTERM, signal.SIGHUP):  # anew each time: a prompt puts back what was there at first
        signal.signal(number, _leave)
    shell.stdout.flush()  # tables before the next answer, which goes past the buffer
    if shell.stdin is None:
        return None
    if not shell.is_interactive():
        return shell.stdin.readline() or None
    try:
        import readline  # noqa: F401 - line editing and history for input()
    except ImportError:  # a Python built without it: plain lines
        pass
    try:
        return input("\n› ")
    except EOFError:
        shell.note("")
        return None
    except KeyboardInterrupt:
        shell.note("")
        return ""
