"""The status line at the top: where we are, the machine, its tunnel, speed, money today, who guards.

What it shows is a function of a `Snapshot`: the same snapshot, the same line. Where the terminal is narrow the parts of
least weight are left out first, and those that stay are never cut in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.widget import Widget

from console.text import neutralise, plural, shorten

if TYPE_CHECKING:
    from console.history.glance import Glance
    from console.overview import Overview
    from screens.theme import Palette

LinkState: TypeAlias = Literal["up", "suspect", "lost", "waiting", "blocked", "asks"]
LONGEST_NAME = 20
AMBER = 0.8
"""From which share of the day's budget on the money is a warning."""
BRAND = " hawser"


class Snapshot(NamedTuple):
    """All that the line is drawn from."""

    overview: Overview | None = None
    """None until the store was read."""
    links: Mapping[str, LinkState] = {}
    tokens_per_s: float | None = None
    """Of the answer that streams."""
    is_settled: bool = True
    """Whether there was time to begin guarding; before that nobody is told that nobody guards."""
    documents: tuple[str, str] | None = None
    """What is being done with them, in a word, and its colour."""
    room: str = ""
    more: tuple[Part, ...] = ()
    """What the room in sight adds."""


class Part(NamedTuple):
    """Some words with the name of their colour in the palette. The heaviest parts stay where there is little room."""

    weight: int
    words: str
    colour: str = "muted"
    room: str = ""
    """Which room a click leads to."""


def parts_of(snapshot: Snapshot) -> list[Part]:
    """In the order in which they are drawn."""
    parts = list(snapshot.more)
    if snapshot.tokens_per_s:
        parts.append(Part(60, f"{snapshot.tokens_per_s:.0f} tok/s", "accent"))
    parts += _links(snapshot.links)
    if snapshot.documents is not None:
        words, colour = snapshot.documents
        parts.append(Part(35, words, colour, "documents"))
    view = snapshot.overview
    if view is None:
        return parts
    parts += _machines(view)
    if view.strangers:
        parts.append(Part(85, f"{plural(view.strangers, 'stranger')}!", "warn", "machines"))
    if view.alerts:
        is_alarm = any(alert.level == "alarm" for alert in view.alerts)
        count = len(view.alerts)
        parts.append(Part(95, f"▲ {plural(count, 'alert')}", "bad" if is_alarm else "warn", "logs"))
    parts.append(_money(view))
    guard = _guard(view)
    if guard is not None and (snapshot.is_settled or view.guarding != "nobody"):
        parts.append(guard)
    return parts


def _machines(view: Overview) -> list[Part]:
    if not view.machines:
        return []
    awake = [each for each in view.machines if each.state not in ("stopped", "off", "gone")]
    if not awake:
        count = len(view.machines)
        words = f"○ {_name(view.machines[0])} off" if count == 1 else f"○ {plural(count, 'machine')} off"
        return [Part(80, words, "muted", "machines")]
    first, rest = awake[0], len(awake) - 1
    words, colour = _machine(first)
    return [Part(90, words + (f" +{rest}" if rest else ""), colour, "machines")]


def _machine(machine: Glance) -> tuple[str, str]:
    state = machine.doing.what if machine.doing is not None and machine.doing.what != "start" else machine.state
    mark, colour = _MARKS.get(machine.state, ("◐", "warn"))
    return f"{mark} {_name(machine)} {'' if machine.state == 'ready' else state}".rstrip(), colour


_MARKS = {"ready": ("●", "ok"), "running": ("●", "ok"), "lost": ("!", "bad"), "failed": ("!", "bad")}


def _name(machine: Glance) -> str:
    return shorten(neutralise(machine.name), LONGEST_NAME)


def _links(links: Mapping[str, LinkState]) -> list[Part]:
    """The link that is worst off; all is well is said of one, or counted."""
    for state in ("blocked", "asks", "lost", "waiting", "suspect"):
        for name, its in links.items():
            if its == state:
                colour = "warn" if state in ("suspect", "waiting", "asks") else "bad"
                return [Part(75, f"⇅ {shorten(neutralise(name), LONGEST_NAME)} {_LINK_WORDS[state]}", colour)]
    up = [name for name, state in links.items() if state == "up"]
    if not up:
        return []
    words = shorten(neutralise(up[0]), LONGEST_NAME) if len(up) == 1 else plural(len(up), "tunnel")
    return [Part(30, f"⇅ {words}", "ok")]


_LINK_WORDS = {"blocked": "blocked", "asks": "asks", "lost": "lost", "waiting": "waiting", "suspect": "slow"}


def _money(view: Overview) -> Part:
    from console.machines.words import per_hour

    words = f"${view.today_usd:.2f} today"
    if view.unpriced:
        words += " +?"
    rate = view.usd_per_hour
    if rate is None:
        words += " +?/h"
    elif rate:
        words += f" +{per_hour(rate)}"
    share = float(view.share_of_day) if view.today_usd else 0.0
    colour = "bad" if share >= 1 else "warn" if share >= AMBER else "text" if view.running else "muted"
    return Part(70, words, colour, "costs")


def _guard(view: Overview) -> Part | None:
    if view.guarding == "here":
        return Part(40, "guards", "ok", "machines")
    if view.guarding == "elsewhere":
        return Part(40, "guarded", "ok", "machines")
    if view.running:
        return Part(88, "unguarded", "bad", "machines")
    return None


def fitting(parts: Sequence[Part], width: int) -> list[Part]:
    """Those that stay where there are so many cells, in their order."""
    chosen: list[int] = []
    left = width
    for index in sorted(range(len(parts)), key=lambda index: -parts[index].weight):
        cells = Text(parts[index].words).cell_len + 3
        if cells <= left:
            chosen.append(index)
            left -= cells
    return [parts[index] for index in sorted(chosen)]


class StatusLine(Widget):
    """Draws a snapshot; a click on a part leads to the room where more of it is."""

    def __init__(self) -> None:
        super().__init__()
        self._snapshot = Snapshot()
        self._parts: list[Part] = []
        self._places: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        standing = getattr(self.app, "standing", None)
        if standing is not None:
            self.show(standing.snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Paint only if it looks different; where the line is and how large never changes."""
        self._snapshot = snapshot
        parts = parts_of(snapshot)
        if parts != self._parts:
            self._parts = parts
            self.refresh()

    def set_palette(self, _palette: object) -> None:
        self.refresh()

    def render(self) -> RenderResult:
        palette: Palette = self.app.palette  # type: ignore[attr-defined]
        width = self.size.width
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(BRAND, palette.heading)
        room = self._snapshot.room or getattr(self.screen, "room_title", "")
        if room and width >= 60:
            line.append(f" {room}", palette.muted)
        shown = fitting(self._parts, width - line.cell_len - 1)
        cells = sum(Text(part.words).cell_len + 3 for part in shown)
        line.append(" " * max(width - line.cell_len - cells - 1, 0))
        self._places = []
        for number, part in enumerate(shown):
            line.append(" │ " if number else "   ", palette.faint)
            start = line.cell_len
            line.append(part.words, getattr(palette, part.colour))
            self._places.append((start, line.cell_len, part.room))
        return line

    def on_click(self, event: events.Click) -> None:
        for start, end, room in self._places:
            if start <= event.x < end and room:
                event.stop()
                self.run_worker(self.app.run_action(f"room('{room}')"))
                return
