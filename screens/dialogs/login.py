"""What only a person can answer during a login, asked by dialogs: the app's `Ask`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from screens.dialogs.ask import AskDialog
from screens.dialogs.base import Dialog
from screens.dialogs.confirm import ConfirmDialog

if TYPE_CHECKING:
    from console.links.identity import Target
    from console.links.questions import Challenge
    from screens.app import HawserApp

T = TypeVar("T")


class DialogAsk:
    """Asks in front of whatever is on screen. A question that is withdrawn takes its dialog away."""

    def __init__(self, app: HawserApp) -> None:
        self._app = app

    async def passphrase(self, file: str) -> str | None:
        return await self._answer(AskDialog("Locked key", f"The passphrase of {file}", hidden=True))

    async def accept_host_key(self, target: Target, fingerprint: str) -> bool:
        lines = [
            f"{target.name} at {target.address} is met for the first time.",
            "",
            "Its host key is",
            f"  {fingerprint}",
            "",
            "Compare it with what its owner or its cloud tells. Once pinned, any other key is refused.",
        ]
        dialog = ConfirmDialog(f"Is this {target.name}?", lines, "Pin it and go on", no="Do not connect")
        return await self._answer(dialog) is True

    def can_answer(self) -> bool:
        return self._app.is_running

    async def answers(self, target: Target, challenge: Challenge) -> Sequence[str] | None:
        # Each dialog says whose question it is, so that a machine cannot ask for a passphrase as if we did.
        said = "\n".join(f"{target.name} says: {line}" for line in challenge.lines)
        if not challenge.prompts:
            self._app.say(said, title=target.name)
            return []
        typed: list[str] = []
        for prompt in challenge.prompts:
            label = "\n".join(filter(None, (said, f"{target.name} asks: {prompt.text}")))
            answer = await self._answer(AskDialog(f"Login to {target.name}", label, hidden=not prompt.is_shown))
            if answer is None:
                return None
            typed.append(answer)
        return typed

    async def _answer(self, dialog: Dialog[T]) -> T | None:
        answered: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()

        def note(answer: T | None) -> None:
            if not answered.done():
                answered.set_result(answer)

        # Links have tasks of their own, which know nothing of the app; it does both in its own.
        self._app.call_later(self._app.push_screen, dialog, note)
        try:
            return await answered
        except asyncio.CancelledError:
            self._app.call_later(dialog.withdraw)
            raise
