"""The app over a runtime, from its first frame to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.runtime import Runtime


def prepare(runtime: Runtime) -> None:
    """Say what a process that stays open wants of its links; before the first of them."""
    runtime.stays = True
    runtime.ready = runtime.wake


async def run_app(runtime: Runtime) -> int:
    """Show the app until the user leaves; the exit code of the process."""
    from screens.app import HawserApp

    prepare(runtime)
    app = HawserApp(runtime)
    code = await app.run_async()
    return app.return_code or code or 0
