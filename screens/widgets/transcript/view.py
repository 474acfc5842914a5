"""The scroll view under the transcript: what is shown, where the reader is, painting, and the mouse.

There are no child widgets. After any change `_settle` brings heights, scrollbar and rows into agreement, and only rows
whose strip is another one than before are painted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from textual import events
from textual.geometry import Offset, Region, Size
from textual.message import Message as Told
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer
from textual.worker import Worker

from screens import theme
from screens.theme import Palette
from screens.widgets.transcript import paint, selecting
from screens.widgets.transcript.aside import Aside
from screens.widgets.transcript.column import Column
from screens.widgets.transcript.finding import logical
from screens.widgets.transcript.item import Item
from screens.widgets.transcript.message import Message
from screens.widgets.transcript.text import Look
from screens.widgets.transcript.window import Window

FRAMES_PER_S = 30
MEASURE = 112
"""No line of text is longer; longer ones are hard to read."""
SLICE_CHARACTERS = 2_000
SLICE_S = 0.008
"""How long one frame may go on with laying out a long message."""
KEY_S = 0.15
"""How long a key may go on with it."""
HEAVY_CHARACTERS = 30_000
"""With more text than this in sight, a resize waits until no other follows it before lines are wrapped anew."""
QUIET_S = 0.08
NEAR_ROOMS = 3
"""How many windows above the reader have to be here before he comes to them."""


class View(ScrollView, can_focus=True, inherit_bindings=False):
    ALLOW_SELECT = True
    virtual_size = Reactive(Size(0, 0), repaint=False)
    """More lines change nothing but the scrollbar, which is always there: Textual's own would lay the whole screen out
    with every frame of a stream."""
    FOCUS_ON_CLICK = False  # dragging over text leaves the keys with the composer; a click on a message takes them

    class Moved(Told, namespace="transcript"):
        """Another message is the current one; None when there is none."""

        def __init__(self, item: Item | None) -> None:
            super().__init__()
            self.item = item

    class LinkOpened(Told, namespace="transcript"):
        def __init__(self, url: str) -> None:
            super().__init__()
            self.url = url

    class SourceOpened(Told, namespace="transcript"):
        """A click on a source of an answer."""

        def __init__(self, item: Item, number: int) -> None:
            super().__init__()
            self.item = item
            self.number = number

    class EarlierWanted(Told, namespace="transcript"):
        """The reader comes near the first of the messages that are here, and there are more above it; `all` of them
        are wanted by who goes to the top or searches."""

        def __init__(self, *, all: bool) -> None:  # noqa: A002 - as one says it
            super().__init__()
            self.all = all

    class FollowChanged(Told, namespace="transcript"):
        def __init__(self, follows: bool) -> None:
            super().__init__()
            self.follows = follows

    def __init__(
        self,
        palette: Palette | None = None,
        *,
        id: str | None = None,  # noqa: A002 - as every widget calls it
        classes: str | None = None,
    ) -> None:
        """Without a palette the theme's is taken when it is mounted."""
        super().__init__(id=id, classes=classes)
        self._palette = palette or theme.palette({}, dark=True)
        self._palette_given = palette is not None
        self._column = Column(Look(80, self._palette))
        self._window = Window(self._column, self._palette)
        self._aside = Aside(self._beside_changed)
        self._projecting = False
        self._grown: dict[str, tuple[list[str], list[str]]] = {}
        self._ticker: Timer | None = None
        self._rewrap: Timer | None = None
        self._base_is_stale = True
        self._current: int | None = None
        self._told_follows = True
        self._earlier = 0
        self._earlier_wanted: tuple[int, bool] | None = None
        self._once_all_is_here: Callable[[], object] | None = None

    # ---- what is shown

    def show(self, items: Sequence[Item], *, at: str | None = None, earlier: int = 0) -> None:
        """These messages; the end of them in sight, or the message `at`. Where some of them are shown already, the
        reader stays where he is. So many `earlier` ones are not among them: they are asked for by `EarlierWanted`."""
        if earlier != self._earlier:
            self._earlier, self._earlier_wanted = earlier, None
        self._flush()
        self._end_selection()
        stays = any(self._column.index_of(item.id) is not None for item in items)
        current = self.current
        first = self._column.messages[0].item.id if len(self._column) else ""
        self._column.show(items)
        if self._window.search is not None and (above := self._column.index_of(first)):
            self._window.search.shift(above)
        if not stays:
            self._column.follows = True
        index = self._column.index_of(current.id) if current is not None else None
        if index is None:
            self._set_current(None)
        else:
            self._current = index
        if at is not None:
            self.go_to(at)
        if not earlier and self._once_all_is_here is not None:
            then, self._once_all_is_here = self._once_all_is_here, None
            then()
        self._settle()

    def _want_earlier(self, *, all: bool = False) -> None:  # noqa: A002
        """Ask for what stands above, once for what is here now."""
        wanted = (self._earlier, all)
        if self._earlier and self._earlier_wanted not in (wanted, (self._earlier, True)):
            self._earlier_wanted = wanted
            self.post_message(self.EarlierWanted(all=all))

    def with_all(self, work: Callable[[], object]) -> None:
        """Do something that needs every message: now, and again when those that are not here have come."""
        self._once_all_is_here = work if self._earlier else None
        self._want_earlier(all=True)
        work()

    def append(self, item: Item) -> None:
        """One more at the end. A question is always brought in sight: somebody has just asked it."""
        self._column.append(item)
        if item.role == "user":
            self._column.follows = True
        self._settle()

    def replace(self, item_id: str, item: Item) -> None:
        """Another item in its place. Its text is the whole text, with what was grown before."""
        self._flush()
        index = self._column.index_of(item_id)
        if index is not None:
            self._column.replace(index, item)
            self._settle()

    def set_foot(self, item_id: str, foot: tuple[tuple[str, str], ...]) -> None:
        """Only what stands under a message: that it waits, how long, how fast it comes."""
        index = self._column.index_of(item_id)
        if index is not None and self._column.messages[index].item.foot != foot:
            self._flush()
            self._column.replace(index, self._column.messages[index].item._replace(foot=foot))
            self._settle()

    def remove_after(self, item_id: str) -> None:
        """The messages that follow this one go."""
        self._flush()
        index = self._column.index_of(item_id)
        if index is not None:
            self._cut(index + 1)

    def clear(self) -> None:
        self._grown.clear()
        self._earlier, self._earlier_wanted, self._once_all_is_here = 0, None, None
        self._cut(0)
        self._column.follows = True

    def _cut(self, count: int) -> None:
        self._end_selection()
        if self._current is not None and self._current >= count:
            self._set_current(None)
        self._column.cut(count)
        self._settle()

    def grow(self, item_id: str, text: str, thinking: str = "") -> None:
        """More of a streaming answer. It is drawn with the next frame, together with whatever comes until then."""
        pieces = self._grown.get(item_id)
        if pieces is None:
            pieces = self._grown[item_id] = ([], [])
        if text:
            pieces[0].append(text)
        if thinking:
            pieces[1].append(thinking)
        if self._ticker is not None:
            self._ticker.resume()

    @property
    def items(self) -> tuple[Item, ...]:
        self._flush()
        return tuple(message.item for message in self._column.messages)

    def _flush(self) -> bool:
        if not self._grown:
            return False
        grown, self._grown = self._grown, {}
        for item_id, (text, thinking) in grown.items():
            index = self._column.index_of(item_id)
            if index is not None:
                self._column.grow(index, "".join(text), "".join(thinking), is_marked=self._window.is_marked)
        return True

    def _tick(self) -> None:
        """One frame: what came since the last one, and a slice of what is not laid out yet."""
        changed = self._flush()
        waits = self._lay_slice()
        if changed or waits:
            self._settle()
        elif self._ticker is not None:
            self._ticker.pause()

    def _lay_slice(self) -> bool:
        index = self._column.wanted()
        if index is not None:
            until = monotonic() + SLICE_S
            self._column.lay_more(index, SLICE_CHARACTERS, lambda: monotonic() >= until)
        return index is not None

    def _lay_whole(self, index: int) -> None:
        """As much of a message as can be laid out while somebody waits for a key to work."""
        until = monotonic() + KEY_S
        self._column.lay_more(index, SLICE_CHARACTERS, lambda: monotonic() >= until)

    def _indexes_in_sight(self) -> list[int]:
        return sorted({index for index, _ in self._column.visible()})

    # ---- how it looks

    def set_palette(self, palette: Palette) -> None:
        self._palette = self._window.palette = palette
        self._palette_given = True
        self._base_is_stale = True
        self._relook()

    def toggle_thinking(self) -> None:
        """Unfold or fold what models thought, in all messages."""
        self._end_selection()
        for message in self._column.messages:
            message.as_usual()
        self._relook(thinking=not self._column.look.thinking)

    def toggle_raw(self) -> None:
        """Messages as they were written, or laid out."""
        self._end_selection()
        self._relook(raw=not self._column.look.raw)

    @property
    def is_raw(self) -> bool:
        return self._column.look.raw

    def _relook(self, *, raw: bool | None = None, thinking: bool | None = None) -> None:
        look = self._column.look
        self._column.relook(
            Look(
                self._text_width(),
                self._palette,
                look.raw if raw is None else raw,
                look.thinking if thinking is None else thinking,
            )
        )
        self._settle()

    def _text_width(self) -> int:
        width = self.scrollable_content_region.width
        return max(min(width - paint.GUTTER - 1, MEASURE), 1) if width else self._column.look.width

    def on_mount(self) -> None:
        if not self._palette_given:
            self._palette = theme.palette(self.app.theme_variables, dark=self.app.current_theme.dark)
            self._window.palette = self._palette
        self._ticker = self.set_interval(1 / FRAMES_PER_S, self._tick, pause=not self._grown)

    def on_resize(self, _event: events.Resize) -> None:
        column = self._column
        column.room = self.scrollable_content_region.height
        if self._rewrap is not None:
            self._rewrap.stop()
            self._rewrap = None
        if self._text_width() == column.look.width and self._palette is column.look.palette:
            self._settle()
            return
        self._end_selection()
        if column.weight > HEAVY_CHARACTERS:
            self._rewrap = self.set_timer(QUIET_S, self._relook)
            self._settle()
        else:
            self._relook()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._base_is_stale = True
        self._repaint()

    # ---- where we are

    @property
    def follows(self) -> bool:
        """Whether the end is in sight, and is kept in sight."""
        return self._column.follows

    def to_end(self) -> None:
        self._column.to_end()
        self._settle()

    def go_to(self, item_id: str) -> None:
        """Bring a message to the top of the window and make it the current one."""
        index = self._column.index_of(item_id)
        if index is not None:
            self._set_current(index)
            self._column.to(index)
            self._settle()

    @property
    def current(self) -> Item | None:
        """The message that keys work on."""
        if self._current is None:
            return None
        self._flush()
        return self._column.messages[self._current].item

    def _set_current(self, index: int | None) -> None:
        if index != self._current:
            self._current = index
            self.post_message(self.Moved(self.current))

    def watch_has_focus(self, _focused: bool) -> None:
        self._settle()

    def _heads_in_sight(self) -> list[int]:
        """Messages whose head is in sight, or the one that fills the window."""
        visible = list(self._column.visible())
        return [index for index, line in visible if line == 0] or [index for index, _ in visible[:1]] or [0]

    def watch_virtual_size(self, size: Size) -> None:
        self._scroll_update(size)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Somebody moved the scrollbar, turned the wheel, or drags a selection over the edge."""
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = new_value
        lines = round(new_value) - round(old_value)
        if self._projecting or not lines:
            return
        if round(new_value) >= self.max_scroll_y:
            self._column.to_end()
        else:
            self._column.scroll(lines)
        self._settle()

    def _settle(self) -> None:
        """Bring everything into agreement after a change: heights, scrollbar, and the rows that are painted."""
        column = self._column
        if column.room <= 0 or not self.is_mounted:
            return
        column.settle()
        column.forget()
        if self._current is None and self.has_focus and len(column):
            self._set_current(self._heads_in_sight()[-1])
        size = Size(self.scrollable_content_region.width, column.heights.total)
        self._projecting = True
        try:
            if size != self.virtual_size:
                self.virtual_size = size
            top = column.top
            if self.scroll_y != top or self.scroll_target_y != top:
                self.scroll_target_y = self.scroll_y = top
        finally:
            self._projecting = False
        self._repaint()
        if column.follows != self._told_follows:
            self._told_follows = column.follows
            self.post_message(self.FollowChanged(column.follows))
        self._begin_what_waits()
        if self._earlier and column.top < NEAR_ROOMS * column.room:
            self._want_earlier()

    def _begin_what_waits(self) -> None:
        """Slices of long messages with the next frames; colours and thumbnails in a thread."""
        messages = [self._column.messages[index] for index in self._indexes_in_sight()]
        if self._ticker is not None and self._column.wanted() is not None:
            self._ticker.resume()
        colour = self._window.base.bgcolor
        background = tuple(colour.get_truecolor()) if colour is not None else (0, 0, 0)
        if self._aside.take(messages, self._palette, (background[0], background[1], background[2])):
            _: Worker[None] = self.run_worker(self._aside.work, group="aside")

    def _beside_changed(self, message: Message, change: Callable[[Message], None]) -> None:
        index = self._column.index_of(message.item.id)
        if index is not None and self._column.messages[index] is message:
            self._reshape(index, change)

    def _reshape(self, index: int, change: Callable[[Message], None]) -> None:
        """Let something change before the text of a message; what is read stays where it is."""
        at_end = self._column.follows and index < self._column.place.message
        self._column.reshape(index, change)
        if at_end:
            self._column.to_end()
        self._settle()

    # ---- painting

    def _repaint(self) -> None:
        """Make the rows again and paint those that are not the same as before."""
        if not self.is_mounted:
            return
        before = self._window.rows
        rows = self._make_rows()
        if len(before) != len(rows):
            self.refresh()
            return
        width = self.size.width
        start: int | None = None
        for number, (old, new) in enumerate(zip(before, rows, strict=True)):
            if old is new:
                if start is not None:
                    self.refresh(Region(0, start, width, number - start))
                    start = None
            elif start is None:
                start = number
        if start is not None:
            self.refresh(Region(0, start, width, len(rows) - start))

    def _make_rows(self) -> list[Strip]:
        window = self._window
        if self._base_is_stale:
            self._base_is_stale = False
            base = self.rich_style
            if base != window.base:
                window.base = base
        selection = self.text_selection
        window.ends = selecting.points(selection, self._column) if selection is not None else None
        window.current = self._current
        window.is_focused = self.has_focus
        return window.make(self.scrollable_content_region.width)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows that were made; nothing is put around them, so that each strip keeps its own rendered form."""
        if len(self._window.rows) != self._column.room or self._base_is_stale:
            self._make_rows()
        strips = self._window.rows[crop.y : crop.bottom]
        if len(strips) < crop.height:
            blank = Strip.blank(self.size.width, self._window.base)
            strips = strips + [blank] * (crop.height - len(strips))
        filters = self.get_line_filters()
        if filters:
            background = self.background_colors[1]
            for each in filters:
                strips = [strip.apply_filter(each, background) for strip in strips]
        if crop.column_span != (0, self.size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """A row with its places in the text, to find out what the mouse points at. Painting takes `render_lines`."""
        window = self._window
        if not 0 <= y < len(window.rows):
            return Strip.blank(self.size.width, window.base)
        index, number = window.places[y] if y < len(window.places) else (len(self._column), 0)
        return window.rows[y].apply_offsets(-paint.GUTTER, selecting.offset_y(index, number))

    # ---- selecting

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        self._flush()
        return selecting.selected_text(selection, self._column), "\n"

    def selected_text(self) -> str:
        """What the mouse selected, as it is copied; empty where nothing is."""
        selection = self.text_selection
        if selection is None:
            return ""
        self._flush()
        return selecting.selected_text(selection, self._column)

    def selection_updated(self, selection: Selection | None) -> None:
        self._repaint()

    def _end_selection(self) -> None:
        if self.is_mounted and self.text_selection is not None:
            self.screen.clear_selection()

    # ---- the mouse

    def on_click(self, event: events.Click) -> None:
        event.prevent_default()  # which would select everything on a double click
        place = self._window.places[event.y] if 0 <= event.y < len(self._window.places) else None
        if event.chain > 1 and place is not None:
            _, offset = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
            self._select_around(*place, offset.x if offset is not None else 0, whole=event.chain > 2)
            return
        if self.text_selection is not None:
            return
        meta = event.style.meta
        if "link" in meta:
            self.post_message(self.LinkOpened(str(meta["link"])))
        elif "to" in meta:
            self.to_end()
        elif "source" in meta and place is not None:
            self._set_current(place[0])
            self.post_message(self.SourceOpened(self._column.messages[place[0]].item, int(meta["source"])))
        elif place is not None:
            self._set_current(place[0])
            self.focus(scroll_visible=False)
            if "fold" in meta:
                self.toggle_fold(place[0], str(meta["fold"]))
            self._repaint()

    def _select_around(self, index: int, number: int, character: int, *, whole: bool) -> None:
        """A word by two clicks, a line by three: the line as it was before wrapping."""
        message = self._column.messages[index]
        text = message.line(number).strip.text
        if whole:
            first, lines = logical(message, number)
            last = first + len(lines) - 1
            start, end = lines[0].indent, len(lines[-1].strip.text)
        elif 0 <= character < len(text) and not text[character].isspace():
            first = last = number
            start = end = character
            while start > 0 and not text[start - 1].isspace():
                start -= 1
            while end < len(text) and not text[end].isspace():
                end += 1
        else:
            return
        begins, ends = Offset(start, selecting.offset_y(index, first)), Offset(end, selecting.offset_y(index, last))
        self.screen.selections = {self: Selection(begins, ends)}
        self.post_message(events.TextSelected())

    def toggle_fold(self, index: int, key: str) -> None:
        """Open or fold something in a message; what is above it stays where it is."""
        self._end_selection()
        self._reshape(index, lambda message: message.toggle(key))
