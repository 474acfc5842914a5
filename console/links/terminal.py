"""Questions of a link, asked on the terminal of a command."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from console.text import neutralise

if TYPE_CHECKING:
    from console.links.identity import Target
    from console.shell import Shell


class TerminalAsk:
    """Asks where there is a terminal. Without one, keys stay locked, and a machine that nobody knows is accepted:
    its key is pinned, and the caller says so."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def passphrase(self, file: str) -> str | None:
        if not self._shell.is_interactive():
            return None
        from getpass import getpass

        try:
            return await asyncio.to_thread(getpass, f"Passphrase of {neutralise(file)}: ") or None
        except EOFError:
            return None

    async def accept_host_key(self, target: Target, fingerprint: str) -> bool:
        if not self._shell.is_interactive():
            return True
        question = (
            f"{target.name} ({target.address}) was never met before. It shows the host key {fingerprint}. Trust it?"
        )
        return await asyncio.to_thread(self._shell.confirm, question)
