"""`hawser doctor`: what works, what does not, and what to do about it; and bringing back a copy of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.text import neutralise

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from datetime import datetime

    from console.doctor import Finding
    from console.doctor_here import Terminal
    from console.doctor_services import Copy, Probe
    from console.keys import Keys
    from console.runtime import Runtime
    from console.settings import Endpoint, Settings
    from console.shell import Shell
    from providers.chat.base import ChatProvider

HELP = "what works, what does not, and what to do"
NEWEST = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--restore",
        nargs="?",
        const=NEWEST,
        metavar="WHICH",
        help="bring back a copy of the history: the newest good one, or the one of this name",
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    if arguments.restore is not None:
        return _restore(arguments.restore, shell)
    from console.doctor import exit_code

    findings = list(_examine(shell))
    if arguments.json:
        shell.items([{"area": f.area, "state": f.state, "finding": f.text, "remedy": f.remedy} for f in findings])
    else:
        _print(findings, shell)
    return int(exit_code(findings))


_COLOURS = {"ok": "32", "info": "36", "warn": "33", "fail": "31"}


def _print(findings: list[Finding], shell: Shell) -> None:
    """A line for each finding; on a terminal folded to its width, with the state in colour."""
    import textwrap

    is_terminal = shell.stdout.isatty()
    columns = _terminal(shell).columns if is_terminal else 10_000
    area = max(len(finding.area) for finding in findings)
    margin = " " * (area + 8)
    for finding in findings:
        lines = textwrap.wrap(neutralise(finding.text), max(columns - len(margin), 20), break_on_hyphens=False) or [""]
        if finding.remedy:
            remedy = textwrap.wrap(neutralise(finding.remedy), max(columns - len(margin) - 2, 20))
            lines += [f"{'  ' if number else '→ '}{line}" for number, line in enumerate(remedy)]
        state = f"{finding.state:<4}"
        if is_terminal and "NO_COLOR" not in shell.environment:
            state = f"\x1b[{_COLOURS[finding.state]}m{state}\x1b[0m"
        shell.stdout.write(f"{state}  {finding.area:<{area}}  {lines[0]}\n")
        for line in lines[1:]:
            shell.stdout.write(f"{margin}{line}\n")


def _examine(shell: Shell) -> Iterator[Finding]:
    """All findings, from the terminal outwards."""
    from datetime import UTC, datetime

    from console.doctor import carefully, failed_with
    from console.doctor_documents import check_documents
    from console.doctor_here import (
        check_clipboard,
        check_clock,
        check_folders,
        check_proxies,
        check_terminal,
        check_versions,
    )
    from console.doctor_services import check_keys, check_settings
    from console.errors import ConsoleError, SettingsError
    from console.keys import Keys
    from console.settings import load_settings, settings_from

    environment = shell.environment
    terminal = _terminal(shell)
    yield from carefully("version", check_versions)
    yield from carefully("terminal", lambda: check_terminal(terminal, environment))
    yield from carefully("clipboard", lambda: check_clipboard(terminal, environment))
    yield from carefully("proxy", lambda: check_proxies(environment))
    try:
        paths = shell.paths
    except ConsoleError as error:
        yield failed_with("folders", error, "Set HAWSER_HOME to a folder of your choice.")
        yield from carefully("clock", lambda: check_clock(datetime.now(UTC), {}))
        return
    yield from carefully("folders", lambda: check_folders(paths))
    settings: Settings | SettingsError
    try:
        settings = load_settings(paths, environment, discover=not shell.isolated)
    except SettingsError as error:
        settings = error
    yield from carefully("settings", lambda: check_settings(paths, settings, environment))
    keys = Keys(paths, environment)
    usable = None if isinstance(settings, SettingsError) else settings
    yield from carefully("keys", lambda: check_keys(keys, usable))
    servers: dict[str, datetime] = {}
    in_force = usable or settings_from("", paths, {}, discover=not shell.isolated)
    yield from carefully("endpoints", lambda: _endpoints(shell, in_force, keys, servers))
    yield from carefully("clouds", lambda: _clouds(shell, in_force, keys))
    yield from carefully("store", lambda: _store(shell))
    yield from carefully("documents", lambda: check_documents(paths, in_force))
    yield from carefully("clock", lambda: check_clock(datetime.now(UTC), servers))


def _terminal(shell: Shell) -> Terminal:
    import os

    from console.doctor_here import Terminal

    writes = shell.stdout.isatty()
    size = os.terminal_size((80, 24))
    if writes:
        try:
            size = os.get_terminal_size(shell.stdout.fileno())
        except (OSError, ValueError):  # a terminal without a size
            pass
    reads = shell.stdin is not None and shell.stdin.isatty()
    return Terminal(reads, writes, getattr(shell.stdout, "encoding", None) or "", size.columns, size.lines)


def _endpoints(shell: Shell, settings: Settings, keys: Keys, servers: dict[str, datetime]) -> list[Finding]:
    import asyncio

    from console.clock import SystemClock
    from console.doctor_services import check_endpoints
    from console.links.connector import strangers_refused
    from console.runtime import Runtime

    async def ask() -> list[Finding]:
        # Nobody is asked, no stranger is met, and the store is not opened: opening it would already repair it.
        runtime = Runtime(
            shell.paths,
            settings,
            keys,
            SystemClock(),
            shell.note,
            environment=shell.environment,
            login_manners=strangers_refused,
            looks_for_tunnels=False,
        )
        try:
            findings, times = await check_endpoints(settings, _probe(runtime, settings, keys))
        finally:
            await runtime.close()
        servers.update(times)
        return findings

    return asyncio.run(ask())


def _clouds(shell: Shell, settings: Settings, keys: Keys) -> list[Finding]:
    import asyncio

    from console.clock import SystemClock
    from console.doctor_clouds import check_clouds
    from console.machines.clouds import SSH, Clouds

    async def ask() -> list[Finding]:
        clouds = Clouds(settings, keys, SystemClock(), shell.paths, environment=shell.environment)
        try:
            return await check_clouds([name for name in clouds.names() if name != SSH], clouds.cloud)
        finally:
            await clouds.close()

    return asyncio.run(ask())


def _probe(runtime: Runtime, settings: Settings, keys: Keys) -> Probe:
    import asyncio
    import time

    from console.doctor_services import Reached, is_rented
    from console.errors import ConsoleError
    from providers.errors import ProviderError
    from providers.server_time import server_time

    # Keys are looked up first: a slow keyring or key command must not count as the slowness of an endpoint.
    ready: dict[str, tuple[ChatProvider, bool] | Exception] = {}
    for endpoint in settings.endpoints.values():
        if is_rented(settings, endpoint):
            continue
        try:
            ready[endpoint.name] = runtime.provider(endpoint), keys.for_endpoint(endpoint) is not None
        except (ConsoleError, ProviderError) as error:
            ready[endpoint.name] = error

    async def probe(endpoint: Endpoint) -> Reached:
        prepared = ready[endpoint.name]
        if isinstance(prepared, Exception):
            raise prepared
        provider, has_key = prepared
        clock = asyncio.create_task(server_time(runtime.host(endpoint)))
        try:
            began = time.perf_counter()
            models = await provider.models()
            took = time.perf_counter() - began
            # OpenRouter lists its models to anybody, so its list proves nothing.
            is_proof = has_key and "openrouter.ai" not in endpoint.base_url
            return Reached(len(models), took, await clock, is_proof)
        finally:
            clock.cancel()

    return probe


def _store(shell: Shell) -> Iterator[Finding]:
    from datetime import UTC, datetime

    from console.doctor_services import check_store
    from console.history import schema

    copies = _copies(shell)
    yield from check_store(shell.paths.store_file, copies, datetime.now(UTC), version=schema.VERSION)


def _copies(shell: Shell) -> list[Copy]:
    from console.doctor_services import Copy
    from console.history.backups import backups

    return [Copy(backup.name, backup.made_at, backup.size_bytes) for backup in backups(shell.paths)]


def _restore(which: str, shell: Shell) -> int:
    """The named copy or, without a name, the newest that passes its check."""
    from datetime import UTC, datetime
    from sqlite3 import DatabaseError

    from console.errors import NotFound, StoreDamaged
    from console.history.backups import restore

    if which != NEWEST:
        shell.say(restore(shell.paths, which, datetime.now(UTC)))
        return 0
    for copy in _copies(shell):
        try:
            shell.say(restore(shell.paths, copy.name, datetime.now(UTC)))
        except (StoreDamaged, DatabaseError) as error:
            shell.note(f"The copy {copy.name} is not good: {error}. Trying the one before.")
        else:
            return 0
    raise NotFound("There is no good copy of the history to bring back.")
