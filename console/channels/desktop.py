"""The desktop's own notifications: `notify-send` on Linux, `osascript` on macOS."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from html import escape

from console.channels.base import Message, body_of, title_of
from console.errors import ChannelFailed
from console.text import neutralise

LIMIT_S = 5.0
_SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)


class Desktop:
    name = "desktop"

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def is_there(self) -> bool:
        """Whether this computer has a desktop that notifications can be shown on."""
        return self._command("", "", False) is not None

    async def send(self, messages: Sequence[Message]) -> None:
        urgent = any(message.level == "alarm" and not message.cleared for message in messages)
        command = self._command(neutralise(title_of(messages)), neutralise(body_of(messages)), urgent)
        if command is None:
            raise ChannelFailed(
                "No desktop was found to show notifications on.", hint="On Linux they need notify-send (libnotify)."
            )
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=dict(self._environment),
            )
        except OSError as error:
            raise ChannelFailed(f"{command[0]} cannot be started: {error.strerror}.") from error
        try:
            async with asyncio.timeout(LIMIT_S):
                code = await process.wait()
        except TimeoutError as error:
            raise ChannelFailed(f"{command[0]} did not end within {LIMIT_S:g} s.") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            raise ChannelFailed(f"{command[0]} ended with code {code}.")

    async def close(self) -> None:
        pass

    def _command(self, title: str, text: str, urgent: bool) -> list[str] | None:
        from shutil import which

        path = self._environment.get("PATH")
        has_session = any(self._environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        if has_session and (notify_send := which("notify-send", path=path)):
            urgency = "critical" if urgent else "normal"
            # The text may hold markup that the desktop would follow.
            return [notify_send, "--app-name=hawser", f"--urgency={urgency}", "--", title, escape(text, quote=False)]
        if osascript := which("osascript", path=path):
            return [osascript, *(word for line in _SCRIPT for word in ("-e", line)), title, text]
        return None
