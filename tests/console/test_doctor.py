"""The doctor: a finding per line, a remedy for whatever is not well, and a report on the barest of machines."""

from __future__ import annotations

import io
import json
import sqlite3
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from console.arguments import new_parser
from console.clock import SystemClock
from console.commands import doctor as doctor_command
from console.doctor import Finding, carefully, exit_code, fail, info, ok
from console.doctor_here import (
    Terminal,
    check_clipboard,
    check_clock,
    check_folders,
    check_proxies,
    check_terminal,
    check_versions,
)
from console.doctor_services import Copy, Reached, check_endpoints, check_keys, check_settings, check_store
from console.errors import Exit, NotFound, SettingsError
from console.history import schema
from console.history.backups import backups
from console.history.store import Store
from console.key_places import Keyring
from console.keys import Keys
from console.paths import Paths, find_paths
from console.settings import Endpoint, Settings, settings_from
from console.shell import Shell
from providers import errors as outside
from providers.chat.base import Host
from providers.server_time import server_time
from tests.conftest import run

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
GOOD = Terminal(reads=True, writes=True, encoding="utf-8", columns=120, lines=40)
PIPED = Terminal(reads=False, writes=False, encoding="utf-8", columns=80, lines=24)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"HAWSER_HOME": str(tmp_path)})


def states(findings: Iterator[Finding] | list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def said(findings: Iterator[Finding] | list[Finding]) -> str:
    return "\n".join(f"{finding.state} {finding.text} {finding.remedy}" for finding in findings)


# This computer


def test_a_good_terminal_is_in_order() -> None:
    found = list(check_terminal(GOOD, {"TERM": "xterm-256color", "COLORTERM": "truecolor"}))

    assert states(found) == ["ok", "ok"]
    assert "120 x 40, all colours" in found[0].text


@pytest.mark.parametrize(
    ("terminal", "environment", "words"),
    [
        (GOOD, {}, "TERM is not set"),
        (GOOD, {"TERM": "dumb"}, "TERM is dumb"),
        (GOOD._replace(columns=60), {"TERM": "xterm"}, "window is small"),
        (GOOD._replace(encoding="ascii"), {"TERM": "xterm"}, "not UTF-8"),
        (GOOD, {"TERM": "tmux-256color", "TMUX": "/tmp/x"}, "set-clipboard on"),
        (GOOD, {"TERM": "screen", "STY": "1"}, "Inside screen"),
        (GOOD, {"TERM": "xterm", "NO_COLOR": "1"}, "no colours"),
        (GOOD, {"TERM": "xterm", "SSH_TTY": "/dev/pts/0"}, "Over SSH"),
        (PIPED, {}, "not a terminal"),
    ],
)
def test_what_is_odd_about_a_terminal_is_said(terminal: Terminal, environment: dict[str, str], words: str) -> None:
    assert words in said(check_terminal(terminal, environment))


@pytest.mark.parametrize(
    ("environment", "tools", "system", "routes"),
    [
        ({"TERM": "xterm"}, {"pbcopy"}, "darwin", "pbcopy, OSC 52"),
        ({"TERM": "linux", "WAYLAND_DISPLAY": "w"}, {"wl-copy", "xclip"}, "linux", "wl-copy"),
        ({"TERM": "linux", "DISPLAY": ":0"}, {"xclip", "xsel"}, "linux", "xclip, xsel"),
        ({"TERM": "linux", "TMUX": "x"}, {"tmux"}, "linux", "tmux"),
        ({"TERM": "linux", "WSL_DISTRO_NAME": "d"}, {"clip.exe"}, "linux", "clip.exe"),
    ],
)
def test_the_ways_to_the_clipboard_are_listed(
    environment: dict[str, str], tools: set[str], system: str, routes: str
) -> None:
    (found,) = check_clipboard(GOOD, environment, lambda tool: tool if tool in tools else None, system)

    assert found.state == "ok"
    assert routes in found.text


def test_no_way_to_the_clipboard_has_a_remedy() -> None:
    (found,) = check_clipboard(GOOD, {"TERM": "linux", "DISPLAY": ":0"}, lambda tool: None, "linux")

    assert found.state == "warn"
    assert "xclip" in (found.remedy or "")


def test_versions_are_told() -> None:
    assert states(check_versions()) == ["ok", "ok"]


def test_a_proxy_is_told_without_its_password(tmp_path: Path) -> None:
    environment = {"HTTPS_PROXY": "http://me:hunter2@proxy.example:3128", "SSL_CERT_FILE": str(tmp_path / "none.pem")}

    found = said(check_proxies(environment))

    assert "http://proxy.example:3128" in found
    assert "hunter2" not in found
    assert "which is not there" in found


def test_folders_are_told_with_their_room(paths: Paths) -> None:
    (found,) = check_folders(paths)

    assert "free for the settings" in found.text
    assert not paths.config.exists(), "looking makes nothing"


def test_a_disk_that_is_nearly_full_fails(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.doctor_here.LEAST_FREE_BYTES", 1 << 60)

    (found,) = check_folders(paths)

    assert found.state == "fail"
    assert found.remedy is not None


def test_a_folder_that_cannot_be_written_fails(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.doctor_here.os.access", lambda path, mode: False)

    found = list(check_folders(paths))

    assert {(finding.state, finding.exit_code) for finding in found} == {("fail", Exit.SETTINGS)}


@pytest.mark.parametrize(
    ("now", "servers", "state", "words"),
    [
        (NOW, {}, "ok", "2026-05-04"),
        (NOW, {"a": NOW + timedelta(seconds=90)}, "ok", "a agrees"),
        (NOW, {"a": NOW, "b": NOW}, "ok", "a, b agree"),
        (NOW, {"a": NOW + timedelta(minutes=9)}, "warn", "9 minutes behind the one of a"),
        (NOW, {"a": NOW - timedelta(minutes=3)}, "warn", "3 minutes ahead of the one of a"),
        (datetime(1970, 1, 2, tzinfo=UTC), {}, "fail", "cannot be"),
    ],
)
def test_the_clock_is_compared(now: datetime, servers: dict[str, datetime], state: str, words: str) -> None:
    (found,) = check_clock(now, servers)

    assert (found.state, words in found.text) == (state, True)


# Settings, keys, endpoints, store


def test_odd_variables_are_told(paths: Paths) -> None:
    loaded = settings_from("", paths, {"OLLAMA_HOST": "a b"})

    found = said(check_settings(paths, loaded, {"HAWSER_MODEL": "x", "HAWSER_CHAT_MODEL": "y", "HAWSER_HOME": "z"}))

    assert "warn OLLAMA_HOST" in found
    assert "HAWSER_MODEL means nothing" in found
    assert "HAWSER_HOME means nothing" not in found


def test_broken_settings_fail_with_their_sentence(paths: Paths) -> None:
    (found,) = check_settings(paths, SettingsError("config.toml:3: no.", hint="Mend it."), {})

    assert (found.state, found.exit_code, found.remedy) == ("fail", Exit.SETTINGS, "Mend it.")


BOX = '[endpoints.box]\nwire = "openai"\nbase_url = "http://gpu.example/v1"\nkey = "box"'


def test_a_missing_key_fails_and_one_in_the_clear_warns(paths: Paths) -> None:
    loaded = settings_from(BOX, paths, {})

    missing = said(check_keys(Keys(paths, {}), loaded))
    there = said(check_keys(Keys(paths, {"HAWSER_KEY_BOX": "secret-1"}), loaded))

    assert "fail box, which the endpoint box needs, is missing. Store it with: hawser key set box" in missing
    assert "warn The key of box travels unencrypted" in there
    assert "secret-1" not in there


def test_a_keyring_that_hangs_warns_within_its_time_limit(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    monkeypatch.setattr("console.key_places._backend", lambda: ended.wait())
    keys = Keys(paths, {}, keyring=Keyring(limit_s=0.05))

    found = list(check_keys(keys, None))
    ended.set()

    assert states(found) == ["warn"]
    assert "does not answer" in found[0].text
    assert found[0].remedy


TWO = """
[endpoints.up]
wire = "openai"
base_url = "http://127.0.0.1:1/v1"
[endpoints.down]
wire = "ollama"
base_url = "http://127.0.0.1:2"
"""


def asked(settings: Settings, outcomes: Mapping[str, Reached | Exception], limit_s: float = 1) -> list[Finding]:
    async def probe(endpoint: Endpoint) -> Reached:
        outcome = outcomes[endpoint.name]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return run(check_endpoints(settings, probe, limit_s=limit_s))[0]


def test_endpoints_are_told_with_models_speed_and_key(paths: Paths) -> None:
    outcomes: dict[str, Reached | Exception] = {
        "up": Reached(3, 0.012, is_key_accepted=True),
        "down": outside.Unreachable("down refused the connection.", hint="Start it."),
    }

    up, down = asked(settings_from(TWO, paths, {}), outcomes)

    assert (up.state, up.text) == ("ok", "up (openai at http://127.0.0.1:1/v1): 3 models, key accepted, 12 ms.")
    assert (down.state, down.remedy, down.exit_code) == ("fail", "Start it.", Exit.UNREACHABLE)


def test_a_refused_key_is_a_matter_of_keys(paths: Paths) -> None:
    outcomes: dict[str, Reached | Exception] = {
        "up": outside.KeyRefused("up does not take the key."),
        "down": Reached(0, 0.1),
    }

    up, down = asked(settings_from(TWO, paths, {}), outcomes)

    assert (up.state, up.exit_code, up.remedy) == ("fail", Exit.SETTINGS, "Set another with: hawser key set up")
    assert (down.state, "no model" in down.text) == ("warn", True)


def test_an_ollama_that_nobody_configured_may_be_absent(paths: Paths) -> None:
    gone = {"ollama": outside.Unreachable("ollama refused.")}

    (usual,) = asked(settings_from("", paths, {}), gone)
    (named,) = asked(settings_from("", paths, {"OLLAMA_HOST": "127.0.0.1:9"}), gone)

    assert (usual.state, named.state) == ("info", "warn")


def test_endpoints_are_asked_at_once_and_each_has_its_limit(paths: Paths) -> None:
    async def body() -> list[Finding]:
        import asyncio

        both = asyncio.Barrier(2)

        async def probe(endpoint: Endpoint) -> Reached:
            await both.wait()  # passes only if both are under way
            if endpoint.name == "down":
                await asyncio.Event().wait()
            return Reached(1, 0.001)

        return (await check_endpoints(settings_from(TWO, paths, {}), probe, limit_s=0.1))[0]

    up, down = run(body())

    assert (up.state, down.state) == ("ok", "fail")
    assert "said nothing for 0.1 s" in down.text


def test_no_endpoint_at_all_has_a_remedy(paths: Paths) -> None:
    (found,) = asked(settings_from("", paths, {}, discover=False), {})

    assert found.state == "info"
    assert "hawser key set" in (found.remedy or "")


def a_store(paths: Paths) -> None:
    async def body() -> None:
        store = await Store.open(paths, SystemClock())
        await store.add_chat("one", client="test")
        await store.close()

    run(body())


def looked_at(paths: Paths, copies: list[Copy] | None = None, **more: Any) -> list[Finding]:
    return list(check_store(paths.store_file, copies or [], NOW, **{"version": schema.VERSION, **more}))


def test_a_store_in_order_is_told_with_its_size_and_copies(paths: Paths) -> None:
    a_store(paths)

    found = looked_at(paths, [Copy("2026-05-03", NOW - timedelta(hours=25), 1)])

    assert states(found) == ["ok", "ok"]
    assert "1 chats" in found[0].text
    assert "1 copy, the newest 2026-05-03 of 25 h ago" in found[1].text


def test_a_damaged_store_fails_and_is_left_as_it_is(paths: Paths) -> None:
    a_store(paths)
    content = bytearray(paths.store_file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    paths.store_file.write_bytes(content)

    found = looked_at(paths)

    assert found[0].state == "fail"
    assert "hawser doctor --restore" in (found[0].remedy or "")
    assert paths.store_file.read_bytes() == bytes(content)


def test_a_file_that_is_no_store_fails(paths: Paths) -> None:
    paths.data.mkdir()
    paths.store_file.write_text("hello" * 1000)

    assert looked_at(paths)[0].state == "fail"


def test_a_store_of_a_later_version_fails(paths: Paths) -> None:
    a_store(paths)

    found = looked_at(paths, version=schema.VERSION - 1)

    assert "Update Hawser" in (found[0].remedy or "")


def test_checking_a_large_store_ends_in_time(paths: Paths) -> None:
    a_store(paths)
    with closing(sqlite3.connect(paths.store_file)) as connection:
        connection.execute("CREATE TABLE much AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n"
                           " LIMIT 200000) SELECT i, hex(i) AS h FROM n")  # fmt: skip
        connection.commit()

    found = looked_at(paths, limit_s=0)

    assert found[0].state == "info"
    assert "would take longer" in found[0].text


def test_old_copies_are_told(paths: Paths) -> None:
    assert "20 days ago" in said(looked_at(paths, [Copy("x", NOW - timedelta(days=20), 1)]))


# All together


def test_a_check_that_breaks_is_a_finding(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> list[Finding]:
        raise ZeroDivisionError

    (found,) = carefully("clock", broken)

    assert (found.state, "ZeroDivisionError" in found.text) == ("fail", True)
    assert "the check of clock broke" in caplog.text


def test_the_first_failure_gives_the_exit_code() -> None:
    findings = [ok("a", ""), info("b", ""), fail("c", "", "", Exit.UNREACHABLE), fail("d", "", "", Exit.SETTINGS)]

    assert exit_code(findings) == Exit.UNREACHABLE
    assert exit_code(findings[:2]) == Exit.DONE


class Bare:
    """A shell without a terminal, on an environment of our choice."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.shell = Shell(None, self.stdout, self.stderr, environment)

    def run(self, *words: str) -> int:
        parser = new_parser("hawser doctor")
        doctor_command.add_arguments(parser)
        arguments: Namespace = parser.parse_args(words)
        return doctor_command.run(arguments, self.shell)


def test_a_bare_machine_gets_a_report(paths: Paths) -> None:
    bare = Bare({"HAWSER_HOME": str(paths.config.parent), "OLLAMA_HOST": "127.0.0.1:9"})

    code = bare.run("--json")

    items = json.loads(bare.stdout.getvalue())["items"]
    areas = [item["area"] for item in items]
    assert code == 0
    assert areas == sorted(areas, key=areas.index)
    assert {"version", "terminal", "folders", "settings", "keys", "endpoints", "store", "clock"} <= set(areas)
    assert all(item["remedy"] for item in items if item["state"] in ("warn", "fail"))


def test_without_a_home_there_is_still_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    bare = Bare({})

    code = bare.run()

    assert code == Exit.SETTINGS
    assert "HAWSER_HOME" in bare.stdout.getvalue()
    assert "SQLite" in bare.stdout.getvalue()


def test_broken_settings_do_not_stop_the_report(paths: Paths) -> None:
    paths.config.mkdir()
    paths.config_file.write_text("[chta]")
    bare = Bare({"HAWSER_HOME": str(paths.config.parent), "HAWSER_ISOLATED": "1"})

    code = bare.run()

    lines = bare.stdout.getvalue()
    assert code == Exit.SETTINGS
    assert "config.toml:1: chta is not a group of settings" in lines
    assert "store" in lines
    assert "clock" in lines


class _Answer(BaseHTTPRequestHandler):
    date = "Mon, 04 May 2026 12:00:00 GMT"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        is_list = self.path.endswith("/models")
        if not is_list:
            self.server.seen = dict(self.headers)  # type: ignore[attr-defined]
        body = json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]}).encode()
        self.send_response_only(200 if is_list else 404)
        if self.date:
            self.send_header("Date", self.date)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


@pytest.mark.parametrize(("date", "expected"), [(_Answer.date, NOW), ("", None), ("yesterday", None)])
def test_the_servers_time_is_read_without_the_key(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, date: str, expected: datetime | None
) -> None:
    monkeypatch.setattr(_Answer, "date", date)

    found = run(server_time(Host("a", address(server), "secret-key-1")))

    assert found == expected
    assert "secret-key-1" not in str(server.seen)  # type: ignore[attr-defined]


def test_a_server_that_is_not_there_has_no_time() -> None:
    assert run(server_time(Host("a", "http://127.0.0.1:9/v1"), limit_s=1)) is None


def test_a_real_endpoint_is_reached_and_its_clock_compared(paths: Paths, server: ThreadingHTTPServer) -> None:
    paths.config.mkdir()
    paths.config_file.write_text(f'[endpoints.sim]\nwire = "openai"\nbase_url = "{address(server)}"\nkey = "sim"')
    home = str(paths.config.parent)
    bare = Bare({"HAWSER_HOME": home, "HAWSER_ISOLATED": "1", "HAWSER_KEY_SIM": "per-run-key"})

    code = bare.run()

    lines = bare.stdout.getvalue()
    assert code == 0
    assert "1 model, key accepted" in lines
    assert "the one of sim" in lines, "the server's clock stands at a fixed date"
    assert "per-run-key" not in lines


def test_a_key_command_that_fails_is_told_of_its_endpoint(paths: Paths, server: ThreadingHTTPServer) -> None:
    paths.config.mkdir()
    paths.config_file.write_text(f'[endpoints.sim]\nwire = "openai"\nbase_url = "{address(server)}"\nkey = "cmd:false"')
    bare = Bare({"HAWSER_HOME": str(paths.config.parent), "HAWSER_ISOLATED": "1"})

    code = bare.run()

    assert code == Exit.SETTINGS
    assert "The key command 'false' failed with exit code 1" in bare.stdout.getvalue()


def test_restoring_brings_back_the_newest_good_copy(paths: Paths) -> None:
    a_store(paths)
    (good,) = backups(paths)
    (paths.backups / "hawser-2999-01-01.db").write_bytes(b"not a store at all" * 500)
    bare = Bare({"HAWSER_HOME": str(paths.config.parent)})

    assert bare.run("--restore") == 0
    assert "Trying the one before" in bare.stderr.getvalue()
    assert "The history is as it was" in bare.stdout.getvalue()
    assert bare.run("--restore", good.name) == 0


def test_restoring_without_a_copy_is_refused(paths: Paths) -> None:
    paths.data.mkdir()

    with pytest.raises(NotFound):
        Bare({"HAWSER_HOME": str(paths.config.parent)}).run("--restore")
