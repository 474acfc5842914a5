"""Keys that a command prints: `key = "cmd:pass show openai"`."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping

from console.errors import KeyStoreError
from console.keys import COMMAND_LIMIT_S


def first_line_of(command: str, environment: Mapping[str, str], *, limit_s: float = COMMAND_LIMIT_S) -> str:
    """Run a command without a shell and return the first line of its output. What it prints is never repeated."""
    hint = "Run it yourself to see what it says."
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise KeyStoreError(f"The key command {command!r} cannot be read: {error}.") from None
    if not words:
        raise KeyStoreError("The key command is empty.", hint='For example: key = "cmd:pass show openai"')
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, from the user's own settings
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            env=dict(environment),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KeyStoreError(
            f"The key command {words[0]!r} took longer than {limit_s:g} s and was ended.",
            hint="It may be waiting for a passphrase; unlock its agent first.",
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise KeyStoreError(f"The key command {words[0]!r} cannot be run: {reason}.") from None
    if done.returncode != 0:
        raise KeyStoreError(f"The key command {words[0]!r} failed with exit code {done.returncode}.", hint=hint)
    line = done.stdout.decode("utf-8", "replace").partition("\n")[0].strip()
    if not line:
        raise KeyStoreError(f"The key command {words[0]!r} printed nothing.", hint=hint)
    return line
