"""`hawser link ls`: the tunnels that processes on this computer hold, and whether what is behind them works."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.links.shared import Published, Shared
    from console.shell import Shell

HELP = "tunnels that are up, who holds them, and whether their services work"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("machine", nargs="?", metavar="MACHINE", help="of this machine only")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_list(arguments, shell))


async def _list(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.links.shared import Shared

    if not shell.paths.store_file.exists():  # nothing was ever published, and looking makes no history
        return _show(arguments, shell, [], 0)
    async with shell.runtime() as runtime, Shared(await runtime.store(), runtime.clock) as shared:
        tunnels = [each for each in await shared.every() if arguments.machine in (None, each.machine)]
        rows = [(each, await _state(each, shared), shared.age(each).total_seconds()) for each in tunnels]
        return _show(arguments, shell, rows, int(runtime.clock.now().timestamp() * 1000))


async def _state(published: Published, shared: Shared) -> str:
    """As its owner told it; `silent` for one that runs and does not tell any more."""
    return published.state if await shared.is_live(published) else "silent"


def _show(arguments: argparse.Namespace, shell: Shell, rows: list[tuple[Published, str, float]], now_ms: int) -> int:
    if arguments.json:
        shell.items(
            [
                {
                    "machine": each.machine,
                    "service": each.service,
                    "local_port": each.local_port or None,
                    "remote_port": each.remote_port,
                    "state": state,
                    "pid": each.pid,
                    "heartbeat_age_s": round(age_s, 3),
                    "probe": None
                    if each.probed_ms is None
                    else {
                        "ok": each.probe_error is None,
                        "round_trip_ms": each.probe_ms,
                        "error": each.probe_error,
                        "age_s": round((now_ms - each.probed_ms) / 1000, 3),
                    },
                }
                for each, state, age_s in rows
            ]
        )
    elif rows:
        shell.table(
            ("MACHINE", "SERVICE", "LOCAL PORT", "STATE", "PID", "HEARTBEAT", "SERVICE ANSWERS"),
            [
                (
                    each.machine,
                    each.service,
                    str(each.local_port or "-"),
                    state,
                    str(each.pid),
                    _ago(age_s),
                    _answers(each, now_ms),
                )
                for each, state, age_s in rows
            ],
        )
    else:
        shell.note("No tunnel is up. Open one with: hawser link up TARGET")
    return 0


def _answers(published: Published, now_ms: int) -> str:
    if published.probed_ms is None:
        return "not asked yet"
    ago = _ago((now_ms - published.probed_ms) / 1000)
    if published.probe_error is not None:
        return f"no, {ago}: {published.probe_error}"
    return f"yes, {ago}" if published.probe_ms is None else f"in {published.probe_ms:.0f} ms, {ago}"


def _ago(seconds: float) -> str:
    seconds = max(seconds, 0)
    if seconds < 60:
        return f"{seconds:.1f} s ago"
    return f"{seconds // 60:.0f} min ago" if seconds < 3600 else f"{seconds // 3600:.0f} h ago"
