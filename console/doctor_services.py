"""The doctor's look at settings, keys, endpoints and the store."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console.chat.breaker import is_down
from console.doctor import Finding, fail, failed_with, info, ok, warn
from console.errors import ConsoleError, Exit, ForwardRefused, KeyStoreError, NoWay, explain
from console.found_endpoints import HOW_TO_BEGIN
from console.key_places import NoKeyring
from console.keys import HOSTS, Keys
from console.paths import Paths
from providers import errors as outside

if TYPE_CHECKING:
    from console.settings import Endpoint, Settings

ENDPOINT_LIMIT_S = 8.0
STORE_LIMIT_S = 20.0
OLD_BACKUP = timedelta(days=8)


def check_settings(
    paths: Paths, settings: Settings | ConsoleError, environment: Mapping[str, str]
) -> Iterator[Finding]:
    area = "settings"
    if isinstance(settings, ConsoleError):
        yield failed_with(area, settings, "Open the file with: hawser config edit")
        return
    if paths.config_file.exists():
        yield ok(area, f"{paths.config_file} is in order.")
    else:
        yield info(area, f"There is no settings file; all is at its default. It would be {paths.config_file}.")
    for note in settings.notes:
        yield warn(area, note, "Correct or unset the variable.")
    from console.settings import GROUPS

    known = (*(f"HAWSER_{group}_".upper() for group in GROUPS), "HAWSER_KEY_")
    others = ("HAWSER_HOME", "HAWSER_ISOLATED")
    for variable in environment:
        if variable.startswith("HAWSER_") and not variable.startswith(known) and variable not in others:
            yield warn(area, f"The variable {variable} means nothing to this program.", "See: hawser config show")


def check_keys(keys: Keys, settings: Settings | None) -> Iterator[Finding]:
    """Where the keys are, whether the keyring answers, and whether every key that the settings name is there."""
    area = "keys"
    try:
        places = keys.places()
    except KeyStoreError as error:
        yield failed_with(area, error, "See: hawser key ls")
        return
    for name, (place, detail) in places.items():
        if place == "file":
            remedy = None if keys.isolated else f"Where there is a keyring: hawser key set {name}"
            yield info(area, f"{name} is in the private file {detail}, which is not encrypted.", remedy)
        else:
            yield ok(area, f"{name} is in {'the variable ' if place == 'environment' else ''}{detail}.")
    for note in keys.notes:
        yield warn(area, note, "Renew what others may have read.")
    if not keys.isolated:
        yield from _check_keyring(keys, in_use=any(place == "keyring" for place, _ in places.values()))
    for endpoint in settings.endpoints.values() if settings is not None else ():
        yield from _check_endpoint_key(keys, endpoint)


def _check_keyring(keys: Keys, *, in_use: bool) -> Iterator[Finding]:
    area = "keys"
    try:
        yield ok(area, f"The system keyring answers: {keys.keyring_health()}.")
    except NoKeyring as error:
        yield info(area, error.text, "Keys are kept in the environment or in a private file instead.")
    except KeyStoreError as error:
        yield Finding(area, "fail" if in_use else "warn", error.text, error.hint, Exit.SETTINGS)


def _check_endpoint_key(keys: Keys, endpoint: Endpoint) -> Iterator[Finding]:
    try:
        key = keys.for_endpoint(endpoint)
    except KeyStoreError as error:
        yield failed_with("keys", error, "See: hawser key ls")
        return
    if key is None and endpoint.key is not None:
        remedy = f"Store it with: hawser key set {endpoint.key}"
        yield fail(
            "keys", f"{endpoint.key}, which the endpoint {endpoint.name} needs, is missing.", remedy, Exit.SETTINGS
        )
    home = HOSTS.get(endpoint.name.lower())
    if endpoint.key is None and home is not None and not endpoint.base_url.startswith(home):
        remedy = f'Write key = "{endpoint.name}" into its table if that address may have the key.'
        yield info("keys", f"{endpoint.name} is at another address than its key was made for, so it gets none.", remedy)
    if key is not None and endpoint.base_url.startswith("http://") and not endpoint.is_loopback:
        yield warn(
            "keys", f"The key of {endpoint.name} travels unencrypted to {endpoint.base_url}.", "Use https, or a tunnel."
        )


class Reached(NamedTuple):
    """What an endpoint said when it was asked for its models."""

    models: int
    seconds: float
    server_time: datetime | None = None
    is_key_accepted: bool = False


Probe = Callable[["Endpoint"], Awaitable[Reached]]


async def check_endpoints(
    settings: Settings, probe: Probe, *, limit_s: float = ENDPOINT_LIMIT_S
) -> tuple[list[Finding], dict[str, datetime]]:
    """Ask all endpoints at once, each with its own time limit; also tells what time they have."""
    findings, times = [], {}
    for endpoint in settings.endpoints.values():
        if is_rented(settings, endpoint):  # where it is stands in the store, which is not opened here
            text = f"{endpoint.name} is {endpoint.service} on the rented machine {endpoint.machine}."
            findings.append(info("endpoints", text, f"hawser vm ls {endpoint.machine} shows whether it runs."))
    endpoints = [endpoint for endpoint in settings.endpoints.values() if not is_rented(settings, endpoint)]
    outcomes = await asyncio.gather(*(_ask(endpoint, probe, limit_s) for endpoint in endpoints))
    for endpoint, outcome in zip(endpoints, outcomes, strict=True):
        kind = settings.origin(f"endpoints.{endpoint.name}").kind
        finding = _judge(endpoint, kind, outcome)
        if finding.state == "info" and kind == "default" and len(settings.endpoints) == 1:
            finding = finding._replace(remedy=HOW_TO_BEGIN)  # there is nobody else to ask
        findings.append(finding)
        if isinstance(outcome, Reached) and outcome.server_time is not None:
            times[endpoint.name] = outcome.server_time
    if not settings.endpoints:
        remedy = "Add one with `hawser config edit`, or store a key with: hawser key set openai"
        findings.append(info("endpoints", "There are none.", remedy))
    return findings, times


def is_rented(settings: Settings, endpoint: Endpoint) -> bool:
    machine = settings.machines.get(endpoint.machine) if endpoint.machine is not None else None
    return machine is not None and machine.cloud != "ssh"


async def _ask(endpoint: Endpoint, probe: Probe, limit_s: float) -> Reached | Exception:
    try:
        async with asyncio.timeout(limit_s):
            return await probe(endpoint)
    except TimeoutError:
        return outside.TimedOut(f"{endpoint.name} said nothing for {limit_s:g} s.", phase="total", limit_s=limit_s)
    except (ConsoleError, outside.ProviderError) as error:
        return error


def _judge(endpoint: Endpoint, origin: str, outcome: Reached | Exception) -> Finding:
    area = "endpoints"
    place = f"{endpoint.name} ({endpoint.wire} at {endpoint.base_url})"
    if endpoint.machine is not None:
        place = f"{endpoint.name} ({endpoint.service} on the machine {endpoint.machine})"
    match outcome:
        case Reached(models, seconds, _, is_key_accepted):
            counted = f"{models} model{'' if models == 1 else 's'}" + (", key accepted" if is_key_accepted else "")
            if models == 0 and endpoint.wire == "ollama":
                return warn(area, f"{place} answers, but has no model.", "Get one with: hawser model pull llama3.1:8b")
            return ok(area, f"{place}: {counted}, {seconds * 1000:.0f} ms.")
        case outside.KeyMissing() | outside.KeyRefused() as error:
            remedy = error.hint or f"Set another with: hawser key set {endpoint.key or endpoint.name}"
            return fail(area, f"{place}: {error.text}", remedy, Exit.SETTINGS)
        case NoWay(cause=ForwardRefused()) as error:
            remedy = error.hint or "Is the service running there?"
            return warn(area, f"{place}: {error.text}", remedy)
        case NoWay() as error if is_down(error):
            return info(area, f"{place} is offline: {error.text}", error.hint)
        case outside.TimedOut() as error if endpoint.machine is not None:
            return info(area, f"{place} is offline: {error.text}")
        case NoWay() as error:
            told = explain(error)
            return fail(area, f"{place}: {told.text}", told.hint or "See: hawser link pin", told.exit_code)
        case KeyStoreError():
            return warn(area, f"{place} was not asked, for its key cannot be had.", "See the line on its key.")
        case outside.Unreachable() | outside.TimedOut() if origin == "default" and endpoint.is_loopback:
            return info(area, f"No {endpoint.wire} server is running at {endpoint.base_url}.")
        case ConsoleError() | outside.ProviderError() as error:
            remedy = error.hint or f"Check that it runs, and base_url: hawser config show endpoints.{endpoint.name}"
            text = error.text if endpoint.name in error.text else f"{place}: {error.text}"
            return fail(area, text, remedy, Exit.UNREACHABLE) if origin == "file" else warn(area, text, remedy)
        case other:
            raise other


class Copy(NamedTuple):
    """A backup of the store."""

    name: str
    made_at: datetime
    size_bytes: int


def check_store(
    file: Path, copies: Sequence[Copy], now: datetime, *, version: int, limit_s: float = STORE_LIMIT_S
) -> Iterator[Finding]:
    """Look at the store without changing it: opening it as the program does would already repair."""
    area = "store"
    if not file.exists():
        yield info(area, f"There is no history yet. It would be {file}.")
    else:
        yield from _check_file(file, version, limit_s)
    if copies:
        newest = copies[0]
        age = now - newest.made_at
        text = f"{len(copies)} cop{'y' if len(copies) == 1 else 'ies'}, the newest {newest.name} of {_age(age)} ago."
        if age > OLD_BACKUP:
            yield info(area, text, "One is made on every day on which something is stored.")
        else:
            yield ok(area, text)
    elif file.exists():
        yield info(area, "There is no copy yet; one is made on every day on which something is stored.")


def _check_file(file: Path, version: int, limit_s: float) -> Iterator[Finding]:
    area = "store"
    restore = "Bring back the newest copy with: hawser doctor --restore"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            until = time.monotonic() + limit_s
            connection.set_progress_handler(lambda: time.monotonic() > until, 100_000)
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > version:
                remedy = "Update Hawser, or set HAWSER_HOME to another folder."
                text = f"The history is of format {found}; this version knows {version}."
                yield fail(area, text, remedy, Exit.FAILED)
                return
            verdict = _quick_check(connection)
            chats, messages = (_count(connection, table) for table in ("chats", "messages"))
    except sqlite3.OperationalError as error:
        yield fail(area, f"{file} cannot be opened: {error}.", "Is another program holding it?", Exit.FAILED)
    except sqlite3.DatabaseError as error:
        yield fail(area, f"{file} is damaged: {error}.", restore, Exit.FAILED)
    else:
        size = f"{file.stat().st_size / 1e6:,.1f} MB"
        if verdict is None:
            yield info(area, f"{file} opens ({size}); checking all of it would take longer than {limit_s:g} s.")
        elif verdict == "ok":
            yield ok(area, f"{file} is in order: {chats:,} chats, {messages:,} messages, {size}, format {found}.")
        else:
            yield fail(area, f"{file} is damaged: {verdict}.", restore, Exit.FAILED)


def _quick_check(connection: sqlite3.Connection) -> str | None:
    try:
        return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return None
        raise


def _count(connection: sqlite3.Connection, table: str) -> int:
    """How many rows; 0 where the table is not there yet or counting takes too long."""
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own two names
    except sqlite3.OperationalError:
        return 0


def _age(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
