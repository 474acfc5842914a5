"""Questions about logins, asked on the terminal. Without one nobody is asked: see `TerminalAsk`."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from console.links.credentials import Keychain
from console.text import neutralise

if TYPE_CHECKING:
    from console.links.identity import Target
    from console.links.questions import Challenge
    from console.shell import Shell


class TerminalAsk:
    """Asks on the terminal of a shell. Where there is none, a machine that is met for the first time is trusted, and
    the fingerprint of its key is told; passphrases, codes and passwords are not there."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.otherwise: Callable[[], None] | None = None
        """What is called when something is typed while nothing is asked."""

    def listen(self, otherwise: Callable[[], None]) -> None:
        """Call `otherwise` for whatever is typed between the questions. Without a terminal nothing is."""
        if self._shell.stdin is not None and self._shell.is_interactive():
            self.otherwise = otherwise
            asyncio.get_running_loop().add_reader(self._shell.stdin.fileno(), otherwise)

    async def passphrase(self, file: str) -> str | None:
        if not self._shell.is_interactive():
            return None
        return await self._line(f"Passphrase for the key {file} (it will not be shown): ", is_hidden=True)

    async def accept_host_key(self, target: Target, fingerprint: str) -> bool:
        met = f"{target.name!r} at {target.address} is met for the first time; its host key is {fingerprint}"
        if not self._shell.is_interactive():
            self._shell.note(f"hawser: {met}. It is pinned.")
            return True
        answer = await self._line(f"{met}.\nPin it and go on? [y/N] ", is_hidden=False)
        return answer is not None and answer.strip().lower() in ("y", "yes")

    def can_answer(self) -> bool:
        return self._shell.is_interactive()

    async def answers(self, target: Target, challenge: Challenge) -> Sequence[str] | None:
        if not self.can_answer():
            return None
        # Each line says whose it is, so that a machine cannot ask for a passphrase as if we did.
        for line in challenge.lines:
            self._shell.note(f"{target.name} says: {line}")
        typed: list[str] = []
        for prompt in challenge.prompts:
            answer = await self._line(f"{target.name} asks: {prompt.text} ", is_hidden=not prompt.is_shown)
            if answer is None:
                return None
            typed.append(answer)
        return typed

    async def _line(self, question: str, *, is_hidden: bool) -> str | None:
        """A line from the terminal; None at its end. The loop goes on meanwhile, and echo comes back in any case."""
        assert self._shell.stdin is not None
        terminal = self._shell.stdin.fileno()
        self._shell.mutter(neutralise(question))
        before = termios.tcgetattr(terminal)
        if is_hidden:
            silent = termios.tcgetattr(terminal)
            silent[3] &= ~termios.ECHO
            termios.tcsetattr(terminal, termios.TCSAFLUSH, silent)
        try:
            await _until_readable(terminal)
            typed = os.read(terminal, 4096)
        finally:
            if self.otherwise is not None:
                asyncio.get_running_loop().add_reader(terminal, self.otherwise)
            if is_hidden:
                termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
                self._shell.mutter("\n")
        return typed.decode("utf-8", "replace").rstrip("\r\n") if typed else None


async def _until_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(descriptor, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(descriptor)


def terminal_ask(shell: Shell) -> Keychain:
    """What commands give to `connect`: asks on the terminal, each thing once."""
    return Keychain(TerminalAsk(shell))
