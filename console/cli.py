"""The command line: finds out which face is wanted, and tells every failure as a sentence, a hint and an exit code.

Start-up is part of the interface. A plain `hawser --version` loads nothing; help loads argparse; a command loads its
own module only. Whatever is heavier is imported where it is used.
"""

from __future__ import annotations

import io
import os
import sys

from console import __version__

TYPE_CHECKING = False  # typing itself would be a third of the time that --version takes
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from console.commands import Command
    from console.shell import Shell
    from screens.early import EarlyScreen

COMMANDS: Mapping[str, str] = {
    "chat": "stored chats: ls, show, search, export, import, rm, restore",
    "vm": "machines: ls, offers, new, up, stop, destroy, bid, ssh, run, logs, lease, audit, adopt, forget",
    "link": "SSH links to machines: ls, up, pin",
    "rag": "documents: add, ls, query, rm, watch, reindex, check, model",
    "model": "models on your endpoints: ls, show, pull, rm, load, unload",
    "guard": "leases and budgets without a screen",
    "cost": "what was spent, by machine, model, endpoint or day",
    "alert": "alerts that stand, and a trial of their channels: ls, test",
    "key": "keys: set, ls, rm; values are never shown",
    "config": "settings: show, path, edit",
    "doctor": "what works, what does not, and what to do",
    "demo": "the same program on simulated services, in a private folder",
    "completion": "a completion script for bash, zsh or fish",
}
"""Every command word, in the order of the help. `console/commands/WORD.py` holds it."""


def entry() -> None:
    """The console script. Leaves without tearing the interpreter down: everything is closed and flushed by then."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # closed streams are None
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        code = main(sys.argv[1:], ends_process=True)
    except KeyboardInterrupt:  # in the few milliseconds before there is anything to interrupt
        code = 130
    for stream in (sys.stderr, sys.stdout):
        if stream is not None:
            try:
                stream.flush()
            except BrokenPipeError:  # its reader is gone; there is no one left to tell
                pass
            except OSError as error:
                code = code or 1
                if stream is sys.stdout and sys.stderr is not None:
                    sys.stderr.write(f"hawser: Standard output cannot be written: {error.strerror}.\n")
                    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str], *, ends_process: bool = False) -> int:
    """Run one command line and return its exit code."""
    if list(arguments) in (["--version"], ["-V"]):
        if sys.stdout is not None:
            sys.stdout.write(f"hawser {__version__}\n")
        return 0
    # A program this short-lived gains more from not collecting than it could give back.
    import gc

    gc.disable()
    if sys.stdout is None:
        if sys.stderr is not None:
            sys.stderr.write("hawser: Standard output is closed, so there is nowhere to write the answer to.\n")
        return 2
    if list(arguments) in ([], ["--debug"]):
        return open_app(os.environ, lambda: _process_shell(ends_process=ends_process), debug=bool(arguments))
    return run(arguments, _process_shell(ends_process=ends_process))


def _process_shell(*, ends_process: bool = False) -> Shell:
    from console.shell import Shell

    stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives as long as the process
    return Shell(sys.stdin, sys.stdout, stderr, os.environ, ends_process=ends_process)


def open_app(environment: Mapping[str, str], make_shell: Callable[[], Shell], *, debug: bool = False) -> int:
    """The terminal app. Its screen is painted before the shell is made, because even that takes longer."""
    screen = _early_screen(environment)
    shell: Shell | None = None
    try:
        refused = screen.refusal
        if refused is not None:
            from console.errors import UsageError

            raise UsageError(refused[0], hint=refused[1])
        screen.paint()
        shell = make_shell()
        shell.debug = shell.debug or debug
        return screen.run_app(shell)
    except SystemExit as leaving:  # asked to end while it started
        return leaving.code if isinstance(leaving.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - the outermost edge: told to the user, with an exit code
        screen.close()
        return tell(error, shell or _process_shell())
    finally:
        screen.close()


def app_is_possible(shell: Shell) -> bool:
    """Whether there is a terminal that the app can be drawn on."""
    return _early_screen(shell.environment).refusal is None


def _early_screen(environment: Mapping[str, str]) -> EarlyScreen:
    from screens.early import EarlyScreen  # what is drawn knows this package; that it is known here too is for this

    return EarlyScreen(environment)


def run(arguments: Sequence[str], shell: Shell) -> int:
    """The whole command line on a given shell; every error has been told when this returns."""
    shell.debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    try:
        return _dispatch(words, shell)
    except BrokenPipeError:
        _silence(shell)
        return 0
    except SystemExit as leaving:  # argparse has said why
        return leaving.code if isinstance(leaving.code, int) else 2
    except BaseException as error:  # noqa: BLE001 - the outermost edge: told to the user, with an exit code
        return tell(error, shell)


def tell(error: BaseException, shell: Shell) -> int:
    """One plain line on stderr, a hint if there is one, the traceback with --debug; returns the exit code."""
    from console.errors import explain

    explanation = explain(error)
    shell.note(f"hawser: {' '.join(explanation.text.split())}")
    if explanation.hint:
        shell.note(f"  {explanation.hint}")
    if shell.debug:
        import traceback

        from console.logs import Redactor

        secrets = [value for name, value in shell.environment.items() if "KEY" in name or "TOKEN" in name]
        shell.note(Redactor(lambda: secrets)("".join(traceback.format_exception(error))))
    return int(explanation.exit_code)


def _silence(shell: Shell) -> None:
    """After a broken pipe nothing may be flushed to it again, or the interpreter would complain at its end."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        try:
            os.dup2(nowhere.fileno(), shell.stdout.fileno())
        except (OSError, ValueError):  # a stream without a descriptor has nothing to redirect
            pass


def _dispatch(words: list[str], shell: Shell) -> int:
    if words and words[0] in COMMANDS:
        return _run_command(words[0], words[1:], shell)
    if words and not words[0].startswith("-"):
        from difflib import get_close_matches

        from console.errors import UsageError

        close = get_close_matches(words[0], COMMANDS, 1)
        raise UsageError(
            f"There is no command {words[0]!r}.",
            hint=f"Did you mean: hawser {close[0]}?"
            if close
            else 'To ask a question, use: hawser --prompt "…"; hawser --help lists the commands.',
        )
    if not words:
        return open_app(shell.environment, lambda: shell, debug=shell.debug)
    from console.prompt_options import make_parser

    options = make_parser(COMMANDS).parse_args(words)
    if options.version:
        shell.say(f"hawser {__version__}")
        return 0
    from console import headless

    return headless.run(options, shell)


def _run_command(word: str, rest: list[str], shell: Shell) -> int:
    from console.arguments import leading_options, new_parser

    command = load_command(word)
    parser = new_parser(f"hawser {word}", command.HELP)
    command.add_arguments(parser)
    if word == "demo":  # a command line inside a command line: only what stands first is the demo's own
        own = leading_options(parser, rest)
        inner = rest[own + 1 :] if rest[own : own + 1] == ["--"] else rest[own:]
        return command.run(parser.parse_args([*rest[:own], "--", *inner]), shell)
    return command.run(parser.parse_args(rest), shell)


def load_command(word: str) -> Command:
    from importlib import import_module

    command: Command = import_module(f"console.commands.{word}")
    return command
