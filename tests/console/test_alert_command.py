"""`hawser alert`."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest

from console import cli
from console.clock import SystemClock
from console.events import Bus
from console.history.store import Store
from console.notify import Alerts
from console.paths import find_paths
from console.shell import Shell
from tests.conftest import run
from tests.console.test_channels import Hook


class Desk:
    def __init__(self, home: Path) -> None:
        self.environment = {"HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1", "PATH": "/nowhere"}
        self.paths = find_paths(self.environment)
        self.errors = ""

    def settings(self, written: str) -> None:
        self.paths.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.paths.config_file.write_text(written)

    def stand(self, *alerts: tuple[str, str, str], cleared: tuple[str, ...] = ()) -> None:
        async def body() -> None:
            store = await Store.open(self.paths, SystemClock())
            service = Alerts(store, [], SystemClock(), Bus())
            for subject, level, text in alerts:
                await service.raise_(subject, level, text)  # type: ignore[arg-type]
            for subject in cleared:
                await service.clear(subject)
            await store.close()

        run(body())

    def ask(self, *words: str) -> tuple[int, str]:
        out, errors = io.StringIO(), io.StringIO()
        code = cli.run(["alert", *words], Shell(None, out, errors, self.environment))
        self.errors = errors.getvalue()
        return code, out.getvalue()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_without_an_alert_it_says_so(desk: Desk) -> None:
    assert desk.ask("ls") == (0, "No alert stands.\n")
    assert desk.ask("ls", "--all") == (0, "There is no alert.\n")


def test_the_loudest_stands_first_and_what_is_over_only_when_asked(desk: Desk) -> None:
    desk.stand(
        ("heat:gpu1:0", "warning", "GPU 0 of gpu1 is at 80 °C."),
        ("stop:gpu1", "alarm", "gpu1 may go on.\x1b[31m"),
        ("old", "alarm", "Long ago."),
        cleared=("old",),
    )

    code, said = desk.ask("ls")
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()] == ["LEVEL", "alarm", "warning"]
    assert "\x1b" not in said
    assert "(alarm)" in desk.ask("ls", "--all")[1]
    items = json.loads(desk.ask("ls", "--all", "--json")[1])["items"]
    assert [(item["subject"], item["open"], item["times"]) for item in items] == [
        ("stop:gpu1", True, 1),
        ("heat:gpu1:0", True, 1),
        ("old", False, 1),
    ]


def test_a_trial_without_any_channel_says_what_to_do(desk: Desk) -> None:
    assert desk.ask("test") == (3, "")
    assert "[channels.NAME]" in desk.errors


def test_a_trial_says_which_channel_failed_and_why(desk: Desk) -> None:
    async def body() -> None:
        async with Hook().open() as hook:
            desk.settings(
                f'[channels.good]\nkind = "webhook"\nurl = "{hook.url}/x"\n'
                '[channels.bad]\nkind = "mail"\nserver = "127.0.0.1"\nport = 1\nsecurity = "none"\n'
                'to = ["me@example.org"]\n'
            )
            assert await asyncio.to_thread(desk.ask, "test") == (4, "good: delivered\nbad: failed\n")
            assert "bad: The mail server 127.0.0.1:1 cannot be used" in desk.errors
            assert await asyncio.to_thread(desk.ask, "test", "good") == (0, "good: delivered\n")
            code, said = await asyncio.to_thread(desk.ask, "test", "bad", "--json")
            assert (code, json.loads(said)["items"][0]["delivered"]) == (4, False)
            assert (await asyncio.to_thread(desk.ask, "test", "other"))[0] == 2

        assert [document["alerts"][0]["subject"] for _, _, document in hook.requests] == ["test", "test"]

    run(body())


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ('[channels.a]\nkind = "mail"\nserver = "x"', "needs the settings 'server' and 'to'"),
        (
            '[channels.a]\nkind = "mail"\nserver = "mail.example.org"\nto = ["a@b"]\nsecurity = "none"',
            "is for a server on this computer only",
        ),
        (
            '[channels.a]\nkind = "mail"\nserver = "localhost"\nto = ["a@b"]\nuser = "me"',
            "needs both 'user' and 'key'",
        ),
        ('[channels.a]\nkind = "mail"\nserver = "localhost"\nto = ["a@b\\nBcc: c@d"]', "must be a mail address"),
        ('[channels.a]\nkind = "slack"', "needs a 'url', or a 'key'"),
        ('[channels.a]\nkind = "apprise"\nurl = "http://x"', "needs a 'key' that holds the address"),
        ('[channels.a]\nkind = "webhook"\nurl = "http://me:secret@x"', "must not hold a user name or password"),
        ('[channels.desktop]\nkind = "slack"\nkey = "a"', "is a channel that is there by itself"),
        ('[channels.a]\nkind = "pigeon"', 'must be one of "mail"'),
    ],
)
def test_channels_that_cannot_work_are_refused_in_the_settings(desk: Desk, written: str, complaint: str) -> None:
    desk.settings(written)

    assert desk.ask("ls")[0] == 3
    assert complaint in desk.errors
