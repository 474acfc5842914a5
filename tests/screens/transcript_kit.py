"""A small app around one transcript, and messages to put into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot

import screens
from screens import theme
from screens.theme import Palette
from screens.widgets.transcript import Item, Transcript

PATIENCE_S = 20.0
WORDS = "The rope that holds a ship to its berth is called a hawser. "
ANSWER = """Here is **how** it goes.

```python
print("one")
```

And [a page](https://example.org/a).

```sh
ls  -l
```
"""


def item(number: int, text: str = WORDS, **more: Any) -> Item:
    """Questions have even numbers, answers odd ones."""
    made = Item(f"m{number}", "user", text, head="You · 14:02")
    if number % 2:
        made = made._replace(role="assistant", head="Model · 14:02")
    return made._replace(**more)


class Viewer(App[None]):
    """Keeps what the transcript told."""

    CSS_PATH = Path(screens.__file__).with_name("hawser.tcss")

    def __init__(self) -> None:
        super().__init__()
        for each in theme.THEMES:
            self.register_theme(each)
        self.theme = theme.DARK
        self.told: list[Message] = []

    @property
    def palette(self) -> Palette:
        return theme.palette(self.theme_variables, dark=self.current_theme.dark)

    def compose(self) -> ComposeResult:
        yield Transcript()

    def on_transcript_moved(self, event: Transcript.Moved) -> None:
        self.told.append(event)

    def on_transcript_link_opened(self, event: Transcript.LinkOpened) -> None:
        self.told.append(event)

    def on_transcript_copied(self, event: Transcript.Copied) -> None:
        self.told.append(event)

    def on_transcript_follow_changed(self, event: Transcript.FollowChanged) -> None:
        self.told.append(event)

    def on_transcript_earlier_wanted(self, event: Transcript.EarlierWanted) -> None:
        self.told.append(event)

    def on_transcript_wanted(self, event: Transcript.Wanted) -> None:
        self.told.append(event)


class View:
    def __init__(self, app: Viewer, pilot: Pilot[None], happens: asyncio.Event) -> None:
        self.app = app
        self.pilot = pilot
        self.transcript = app.query_one(Transcript)
        self._happens = happens

    @property
    def lines(self) -> list[str]:
        """The screen without the scrollbar and without blanks at the ends."""
        width = self.app.size.width - 1
        return [strip.crop(0, width).text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def screen(self) -> str:
        return "\n".join(self.lines)

    @property
    def copied(self) -> list[tuple[str, str]]:
        return [(told.text, told.what) for told in self.app.told if isinstance(told, Transcript.Copied)]

    @property
    def wanted_earlier(self) -> list[bool]:
        """How often what stands above was asked for; true where all of it was."""
        return [told.all for told in self.app.told if isinstance(told, Transcript.EarlierWanted)]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object]) -> None:
        """Looked at again after every message that any widget gets."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._happens.clear()
                await self.pilot.pause()
                if condition():
                    return
                await self._happens.wait()

    def follows(self) -> bool:
        return self.transcript.follows

    def row(self, words: str) -> int:
        """The row of the screen that these words stand in."""
        return next(number for number, line in enumerate(self.lines) if words in line)


@asynccontextmanager
async def viewing(items: Sequence[Item] = (), size: tuple[int, int] = (60, 20)) -> AsyncIterator[View]:
    """The app with these messages shown and the keys with the transcript."""
    app = Viewer()
    happens = asyncio.Event()

    def note(_message: Message) -> None:
        happens.set()

    async with app.run_test(size=size, message_hook=note) as pilot:
        view = View(app, pilot, happens)
        view.transcript.show(items)
        view.transcript.focus()
        await pilot.pause()
        yield view
