"""The ways to the clipboard: which is taken where, what each is given, and what happens when one fails."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

import pytest

from console import clipboard
from console.clipboard import LONGEST_OSC_52, Clipboard, Copied, Manner, NotCopied, osc_52
from tests.conftest import run

XTERM = {"TERM": "xterm-256color"}
TMUX = {"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}
X11 = {"DISPLAY": ":0"}
WAYLAND = {"WAYLAND_DISPLAY": "wayland-0"}
SSH = {"SSH_CONNECTION": "192.0.2.1 5000 192.0.2.2 22"}


class Desk:
    """A computer whose programs write what they get into a folder, and a terminal that keeps what it is sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "state" / "clipboard.txt"
        self.drawn: list[str] = []

    def program(self, name: str, does: str = 'cat > "$HERE/got"; printf "%s " "$@" > "$HERE/words"') -> None:
        place = self.folder / "bin" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\nHERE={self.folder}\n{does}\n")
        place.chmod(0o755)

    def find(self, name: str) -> str | None:
        place = self.folder / "bin" / name
        return str(place) if place.exists() else None

    def clipboard(
        self, environment: Mapping[str, str], manner: Manner = "auto", *, system: str = "linux", draws: bool = True
    ) -> Clipboard:
        return Clipboard(
            {"PATH": "/usr/bin:/bin", **environment},
            self.file,
            self.drawn.append if draws else None,
            manner=manner,
            find=self.find,
            system=system,
        )

    @property
    def got(self) -> bytes:
        return (self.folder / "got").read_bytes()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("program", "environment", "system", "words"),
    [
        ("wl-copy", WAYLAND, "linux", "--type text/plain;charset=utf-8 "),
        ("xclip", X11, "linux", "-selection clipboard -in "),
        ("xsel", X11, "linux", "--clipboard --input "),
        ("pbcopy", {}, "darwin", " "),
    ],
)
def test_program_of_the_system_gets_the_text(
    desk: Desk, program: str, environment: dict[str, str], system: str, words: str
) -> None:
    desk.program(program)

    copied = run(desk.clipboard({**XTERM, **environment}, system=system).copy("schön ␛\n"))

    assert copied == Copied("native", program, len("schön ␛\n".encode()))
    assert desk.got.decode() == "schön ␛\n"
    assert (desk.folder / "words").read_text() == words
    assert desk.drawn == []


def test_windows_gets_its_own_encoding(desk: Desk) -> None:
    desk.program("clip.exe")

    run(desk.clipboard({**XTERM, "WSL_DISTRO_NAME": "Debian"}).copy("größer"))

    assert desk.got.decode("utf-16") == "größer"


@pytest.mark.parametrize("environment", [{}, WAYLAND])
def test_program_without_its_display_is_not_tried(desk: Desk, environment: dict[str, str]) -> None:
    desk.program("xclip")

    assert run(desk.clipboard({**XTERM, **environment}).copy("text")).route == "osc52"
    assert not (desk.folder / "got").exists()


def test_terminal_gets_the_text_encoded(desk: Desk) -> None:
    copied = run(desk.clipboard(XTERM).copy("héllo"))

    assert copied == Copied("osc52", "OSC 52", 6)
    (sent,) = desk.drawn
    assert sent.startswith("\x1b]52;c;")
    assert sent.endswith("\x07")
    assert b64decode(sent[7:-1]).decode() == "héllo"


def test_over_ssh_the_terminal_goes_before_programs(desk: Desk) -> None:
    desk.program("xclip")

    copied = run(desk.clipboard({**XTERM, **X11, **SSH}).copy("text"))

    assert copied.route == "osc52"
    assert not (desk.folder / "got").exists()


def test_tmux_is_told_to_pass_it_on(desk: Desk) -> None:
    desk.program("tmux")

    copied = run(desk.clipboard(TMUX).copy("text"))

    assert (copied.route, copied.by) == ("tmux", "tmux")
    assert (desk.folder / "words").read_text() == "load-buffer -w - "
    assert desk.got == b"text"


def test_old_tmux_is_gone_through(desk: Desk) -> None:
    desk.program("tmux", "cat >/dev/null; exit 1")

    copied = run(desk.clipboard(TMUX).copy("text"))

    assert copied.route == "osc52"
    assert desk.drawn == [osc_52(b"text", in_tmux=True)]
    assert desk.drawn[0] == "\x1bPtmux;\x1b\x1b]52;c;dGV4dA==\x07\x1b\\"


@pytest.mark.parametrize(
    "environment",
    [{"TERM": "linux"}, {**XTERM, "VTE_VERSION": "7600"}, {**XTERM, "TERM_PROGRAM": "Apple_Terminal"}],
    ids=["console", "VTE", "Apple"],
)
def test_terminal_that_would_lose_it_is_not_given_it(desk: Desk, environment: dict[str, str]) -> None:
    copied = run(desk.clipboard(environment).copy("text"))

    assert copied == Copied("file", str(desk.file), 4)
    assert desk.file.read_text() == "text"
    assert desk.file.stat().st_mode & 0o777 == 0o600
    assert desk.drawn == []


def test_long_text_does_not_go_through_the_terminal(desk: Desk) -> None:
    fits = run(desk.clipboard(XTERM).copy("x" * LONGEST_OSC_52))
    too_long = run(desk.clipboard(XTERM).copy("x" * (LONGEST_OSC_52 + 1)))

    assert (fits.route, too_long.route) == ("osc52", "file")
    assert len(desk.drawn[0]) <= 100_000


def test_programs_that_fail_are_followed_by_the_next(desk: Desk) -> None:
    desk.program("wl-copy", "exit 3")
    desk.program("xclip", "exec <&-; exit 1")
    desk.program("xsel")

    copied = run(desk.clipboard({**XTERM, **X11, **WAYLAND}).copy("x" * 200_000))

    assert copied.by == "xsel"
    assert len(desk.got) == 200_000


def test_program_that_waits_for_ever_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "LIMIT_S", 0.05)
    desk.program("xclip", "exec cat /dev/zero >/dev/null")

    assert run(desk.clipboard({**XTERM, **X11}).copy("text")).route == "osc52"


def test_program_that_stays_behind_is_not_waited_for(desk: Desk) -> None:
    desk.program("xclip", 'cat > "$HERE/got"; (exec 9<"$HERE/gate") & exit 0')
    os.mkfifo(desk.folder / "gate")

    copied = run(desk.clipboard({**XTERM, **X11}).copy("text"))

    assert (copied.by, desk.got) == ("xclip", b"text")
    os.close(os.open(desk.folder / "gate", os.O_WRONLY))  # waits until it reads there, and then lets it end


@pytest.mark.parametrize(
    ("manner", "route"), [("native", "native"), ("osc52", "osc52"), ("file", "file"), ("auto", "native")]
)
def test_settings_choose_the_way(desk: Desk, manner: Manner, route: str) -> None:
    desk.program("xclip")

    assert run(desk.clipboard({**XTERM, **X11}, manner).copy("text")).route == route


def test_no_way_that_is_allowed_is_an_error(desk: Desk) -> None:
    with pytest.raises(NotCopied, match="no way to the clipboard") as refused:
        run(desk.clipboard(XTERM, "native").copy("text"))

    assert refused.value.hint is not None


def test_file_that_cannot_be_written_is_said(desk: Desk) -> None:
    desk.file.mkdir(parents=True)

    with pytest.raises(NotCopied, match="cannot be kept in"):
        run(desk.clipboard(XTERM, "file").copy("text"))


def test_without_a_terminal_nothing_is_drawn(desk: Desk) -> None:
    assert run(desk.clipboard({**XTERM, **TMUX}, draws=False).copy("text")).route == "file"


def test_what_was_copied_is_said_in_words() -> None:
    assert Copied("osc52", "OSC 52", 1234).words == "1.2 kB by OSC 52"
    assert Copied("file", "/home/me/clipboard.txt", 3).words == "3 B to /home/me/clipboard.txt"
