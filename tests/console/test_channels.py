"""Channels, over the real thing on loopback: SMTP, HTTP, a program on PATH, the apprise library."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message as Mailed
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from console.channels.base import Message
from console.channels.build import outlets
from console.channels.desktop import Desktop
from console.channels.mail import Mail
from console.channels.other import Apprise
from console.channels.terminal import Terminal
from console.channels.web import Web
from console.errors import ChannelFailed
from console.keys import Keys
from console.paths import find_paths
from console.settings import load_settings
from tests.conftest import run
from tests.console.money_kit import NOON, StillClock

TLS = Path(__file__).parents[1] / "data" / "tls"
HOT = Message("heat:gpu1:0", "alarm", "GPU 0 of gpu1 is at 88 °C.", NOON)
COOL = Message("heat:gpu1:0", "alarm", "GPU 0 of gpu1 is at 60 °C.", NOON, cleared=True)
RUDE = Message("x", "alarm", "line\r\nBcc: all@example.org\n\x1b[31m<b>&</b>", NOON)


# ---- mail


class Post:
    """What a mail server got."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.refusal = ""

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: SMTP, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 OK"

    def last(self) -> Mailed:
        content = self.envelopes[-1].content
        assert isinstance(content, bytes)
        return message_from_bytes(content, policy=default)


def _knows(server: SMTP, session: Any, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
    assert isinstance(login, LoginPassword)
    return AuthResult(success=(login.login, login.password) == (b"me", b"secret"), handled=False)


@asynccontextmanager
async def mail_server(post: Post, *, tls: bool = False, **options: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(post, enable_SMTPUTF8=False, hostname="localhost", loop=loop, **options),
        "127.0.0.1",
        0,
        ssl=_tls() if tls else None,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "loopback.pem", TLS / "loopback.key")
    return context


def mail(port: int, security: Any = "none", **more: Any) -> Mail:
    return Mail("me", "127.0.0.1", port, security, "hawser@example.org", ["me@example.org", "you@example.org"], **more)


def test_mail_arrives_at_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        post = Post()
        async with mail_server(post) as port:
            await mail(port).send([HOT])

        assert post.envelopes[0].rcpt_tos == ["me@example.org", "you@example.org"]
        assert post.last()["Subject"] == "Hawser: alarm: GPU 0 of gpu1 is at 88 °C."
        assert post.last().get_content().strip() == "GPU 0 of gpu1 is at 88 °C."  # type: ignore[attr-defined]
        assert post.last()["Auto-Submitted"] == "auto-generated"

    run(body())


def test_several_alerts_are_one_mail() -> None:
    async def body() -> None:
        post = Post()
        async with mail_server(post) as port:
            await mail(port).send([HOT, COOL])

        assert post.last()["Subject"] == "Hawser: 2 alerts"
        assert post.last().get_content().splitlines() == [  # type: ignore[attr-defined]
            "2026-11-20 12:00 UTC  Alarm: GPU 0 of gpu1 is at 88 °C.",
            "2026-11-20 12:00 UTC  Over: GPU 0 of gpu1 is at 60 °C.",
        ]

    run(body())


def test_an_alert_cannot_write_headers_or_control_codes() -> None:
    async def body() -> None:
        post = Post()
        async with mail_server(post) as port:
            await mail(port).send([RUDE])

        assert post.last()["Bcc"] is None
        assert "\x1b" not in str(post.last())

    run(body())


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_over_tls_with_a_login(monkeypatch: pytest.MonkeyPatch, security: str) -> None:
    async def body() -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "loopback.pem"))
        post = Post()
        login: dict[str, Any] = {"authenticator": _knows}
        if security == "starttls":
            server = mail_server(post, tls_context=_tls(), require_starttls=True, auth_required=True, **login)
        else:
            server = mail_server(post, tls=True, auth_require_tls=False, **login)
        async with server as port:
            await mail(port, security, user="me", password="secret").send([HOT])

            with pytest.raises(ChannelFailed) as caught:
                await mail(port, security, user="me", password="guessed").send([HOT])

        assert len(post.envelopes) == 1
        assert "does not take the name or password of 'me'" in caught.value.text
        assert "guessed" not in caught.value.text

    run(body())


def test_a_certificate_of_nobody_is_refused() -> None:
    async def body() -> None:
        post = Post()
        async with mail_server(post, tls=True) as port:
            with pytest.raises(ChannelFailed, match=r"certificate of mail server .* is not acceptable"):
                await mail(port, "tls").send([HOT])

        assert post.envelopes == []

    run(body())


def test_without_starttls_nothing_is_sent_in_the_clear() -> None:
    async def body() -> None:
        post = Post()
        async with mail_server(post) as port:
            with pytest.raises(ChannelFailed, match="does not offer what is needed"):
                await mail(port, "starttls").send([HOT])

        assert post.envelopes == []

    run(body())


def test_a_refused_receiver_and_a_server_that_is_not_there_are_told() -> None:
    async def body() -> None:
        post = Post()
        post.refusal = "550 nobody \x1b[31mhere"
        async with mail_server(post) as port:
            with pytest.raises(ChannelFailed, match=r"takes no mail for me@example\.org, you@example\.org"):
                await mail(port).send([HOT])
        with pytest.raises(ChannelFailed, match="cannot be used: Connection refused"):
            await mail(port).send([HOT])

    run(body())


def test_a_server_that_says_nothing_is_given_up() -> None:
    async def body() -> None:
        gone = asyncio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            finally:
                writer.close()
                gone.set()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ChannelFailed, match=r"did not answer within 0\.1 s"):
                await mail(port, limit_s=0.1).send([HOT])
            await gone.wait()

    run(body())


# ---- HTTP


class Hook:
    """A web server that keeps what it gets and answers with the statuses it is told, the last one again and again."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers) or ["200 OK"]
        self.requests: list[tuple[str, Mapping[str, str], Any]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((head[0], headers, json.loads(body)))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Hook]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self


def test_a_webhook_gets_a_document() -> None:
    async def body() -> None:
        async with Hook().open() as hook:
            await Web("hook", "webhook", f"{hook.url}/in/42?x=1", "TOKEN", StillClock()).send([HOT, COOL])

        ((line, headers, document),) = hook.requests
        assert line == "POST /in/42?x=1 HTTP/1.1"
        assert headers["authorization"] == "Bearer TOKEN"
        assert headers["content-type"] == "application/json"
        assert document == {
            "schema": 1,
            "title": "Hawser: 2 alerts",
            "text": "Alarm: GPU 0 of gpu1 is at 88 °C.\nOver: GPU 0 of gpu1 is at 60 °C.",
            "alerts": [
                {
                    "subject": "heat:gpu1:0",
                    "level": "alarm",
                    "text": message.text,
                    "at": "2026-11-20T12:00:00+00:00",
                    "cleared": message.cleared,
                }
                for message in (HOT, COOL)
            ],
        }

    run(body())


@pytest.mark.parametrize(
    ("manner", "path", "expected"),
    [
        ("ntfy", "/", {"topic": "ropes", "title": "Hawser: alarm", "message": HOT.text, "priority": 5}),
        ("slack", "/ropes", {"text": f"*Hawser: alarm*\n{HOT.text}"}),
        ("discord", "/ropes", {"content": f"**Hawser: alarm**\n{HOT.text}", "allowed_mentions": {"parse": []}}),
    ],
)
def test_services_get_their_own_words(manner: Any, path: str, expected: dict[str, Any]) -> None:
    async def body() -> None:
        async with Hook().open() as hook:
            await Web("it", manner, f"{hook.url}/ropes", None, StillClock()).send([HOT])

        assert [(line.split()[1], document) for line, _, document in hook.requests] == [(path, expected)]

    run(body())


def test_a_webhook_that_breaks_is_tried_again_with_pauses() -> None:
    async def body() -> None:
        clock = StillClock()
        async with Hook("500 No", "429 Slow\r\nretry-after: 7", "503 No", "204 Done").open() as hook:
            await Web("hook", "webhook", hook.url, None, clock).send([HOT])

        assert len(hook.requests) == 4
        assert clock.slept == [1.0, 7.0, 20.0]

    run(body())


def test_a_webhook_that_stays_broken_fails_without_showing_its_secret() -> None:
    async def body() -> None:
        async with Hook("500 No").open() as hook:
            with pytest.raises(ChannelFailed) as caught:
                await Web("hook", "webhook", f"{hook.url}/SECRET", "TOKEN", StillClock()).send([HOT])
            assert len(hook.requests) == 4
        shown = f"{caught.value.text} {caught.value.hint} {Web('hook', 'webhook', '/SECRET', 'TOKEN', StillClock())!r}"
        assert "SECRET" not in shown
        assert "TOKEN" not in shown

    run(body())


def test_a_refusal_is_not_tried_again() -> None:
    async def body() -> None:
        async with Hook("404 Gone").open() as hook:
            with pytest.raises(ChannelFailed):
                await Web("hook", "slack", f"{hook.url}/x", None, StillClock()).send([HOT])
            assert len(hook.requests) == 1

    run(body())


# ---- terminal and desktop


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "\a\x1b]9;Hawser: alarm: GPU 0 of gpu1 is at 88 °C.\a"),
        ({"TMUX": "/tmp/x"}, "\a\x1bPtmux;\x1b\x1b]9;Hawser: alarm: GPU 0 of gpu1 is at 88 °C.\a\x1b\\"),
        ({"STY": "1.x"}, "\a\x1bP\x1b]9;Hawser: alarm: GPU 0 of gpu1 is at 88 °C.\a\x1b\\"),
    ],
)
def test_the_terminal_rings_and_shows(environment: dict[str, str], expected: str) -> None:
    written: list[str] = []

    run(Terminal(written.append, environment).send([HOT]))

    assert written == [expected]


def test_an_alert_cannot_command_the_terminal() -> None:
    written: list[str] = []

    run(Terminal(written.append, {}).send([RUDE]))

    assert written[0].count("\x1b") == 1
    assert written[0].count("\a") == 2


def test_a_terminal_that_is_not_there_is_told() -> None:
    with pytest.raises(ChannelFailed, match="no terminal"):
        run(Terminal(None, {}).send([HOT]))


def program(folder: Path, name: str, body: str) -> dict[str, str]:
    """An environment whose PATH holds one program that writes down its arguments."""
    file = folder / name
    file.write_text(f'#!/bin/sh\nprintf \'%s\\n\' "$@" > "{folder}/said"\n{body}\n')
    file.chmod(0o755)
    return {"PATH": str(folder), "DISPLAY": ":0"}


def test_the_desktop_is_told_by_its_own_program(tmp_path: Path) -> None:
    desktop = Desktop(program(tmp_path, "notify-send", ""))

    assert desktop.is_there()
    run(desktop.send([RUDE]))

    said = (tmp_path / "said").read_text().split("\n", 4)
    assert said[:4] == ["--app-name=hawser", "--urgency=critical", "--", "Hawser: alarm"]
    assert "&lt;b&gt;&amp;" in said[4]
    assert "\x1b" not in said[4]


def test_on_a_mac_the_text_is_data_and_not_script(tmp_path: Path) -> None:
    run(Desktop(program(tmp_path, "osascript", "")).send([Message("x", "info", '" & do shell script "', NOON)]))

    said = (tmp_path / "said").read_text().splitlines()
    assert said[-2:] == ["Hawser: info", '" & do shell script "']
    assert said[0] == "-e"


def test_a_desktop_program_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(ChannelFailed, match="ended with code 3"):
        run(Desktop(program(tmp_path, "notify-send", "exit 3")).send([HOT]))


@pytest.mark.parametrize("environment", [{"PATH": "/nowhere", "DISPLAY": ":0"}, {"PATH": "/nowhere"}])
def test_without_a_desktop_there_is_no_such_channel(environment: dict[str, str]) -> None:
    desktop = Desktop(environment)

    assert not desktop.is_there()
    with pytest.raises(ChannelFailed, match="No desktop"):
        run(desktop.send([HOT]))


# ---- apprise

# The library looks for this module of the standard library, which is on its way out.
IMGHDR = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@IMGHDR
def test_apprise_delivers_to_any_service_it_knows() -> None:
    async def body() -> None:
        async with Hook().open() as hook:
            await Apprise("any", f"json://127.0.0.1:{hook.port}/in").send([HOT])

        ((_, _, document),) = hook.requests
        assert (document["title"], document["message"]) == ("Hawser: alarm", HOT.text)

    run(body())


@IMGHDR
def test_apprise_says_what_is_wrong_without_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        with pytest.raises(ChannelFailed, match="no address that apprise knows"):
            await Apprise("any", "nonsense-SECRET").send([HOT])
        async with Hook("500 No").open() as hook:
            with pytest.raises(ChannelFailed, match="did not take the alert") as caught:
                await Apprise("any", f"json://SECRET@127.0.0.1:{hook.port}").send([HOT])
        assert "SECRET" not in caught.value.text

        monkeypatch.setitem(sys.modules, "apprise", None)
        with pytest.raises(ChannelFailed) as missing:
            await Apprise("any", "json://127.0.0.1").send([HOT])
        assert missing.value.hint == "Install it with: pip install 'hawser[alerts]'"

    run(body())


# ---- from settings


SETTINGS = """
[alerts]
desktop = false

[channels.me]
kind = "mail"
server = "localhost"
security = "none"
to = ["me@example.org"]
level = "alarm"

[channels.team]
kind = "slack"
key = "team-hook"
"""


def test_channels_are_made_from_settings_with_keys_of_their_own(tmp_path: Path) -> None:
    environment = {"HAWSER_HOME": str(tmp_path), "HAWSER_ISOLATED": "1"}
    paths = find_paths(environment)
    paths.config_file.parent.mkdir(parents=True)
    paths.config_file.write_text(SETTINGS)
    settings = load_settings(paths, environment, discover=False)

    async def body() -> None:
        made = outlets(settings, Keys(paths, environment), StillClock(), environment, lambda text: None)
        assert [(outlet.channel.name, outlet.level) for outlet in made] == [
            ("terminal", "warning"),
            ("me", "alarm"),
            ("team", "warning"),
        ]
        with pytest.raises(ChannelFailed, match="key 'team-hook' of the channel 'team' is missing") as caught:
            await made[2].channel.send([HOT])
        assert caught.value.hint == "Set it with: hawser key set team-hook"

        async with Hook().open() as hook:
            with_key = {**environment, "HAWSER_KEY_TEAM_HOOK": f"{hook.url}/services/T1"}
            made = outlets(settings, Keys(paths, with_key), StillClock(), with_key)
            await made[1].channel.send([HOT])
            assert hook.requests[0][0] == "POST /services/T1 HTTP/1.1"

    run(body())
