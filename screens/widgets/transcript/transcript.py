"""The transcript: any number of messages in one scroll view that draws its lines itself.

There are no child widgets. What is on the screen is a list of finished strips; after any change it is made again from
strips that are kept, and only rows whose strip is another one are painted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message as Told
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer

from screens import keys, theme
from screens.markdown import CodeBlock
from screens.theme import Palette
from screens.widgets.transcript import paint, selecting
from screens.widgets.transcript.column import Column
from screens.widgets.transcript.finding import Search, locate, logical, row_spans
from screens.widgets.transcript.item import Item
from screens.widgets.transcript.message import END, Look, Message

FRAMES_PER_S = 30
MEASURE = 112
"""No line of text is longer; longer ones are hard to read."""
SLICE_CHARACTERS = 16_000
SLICE_S = 0.008
"""How long one frame may go on with laying out a long message."""
HEAVY_CHARACTERS = 60_000
"""With more text than this in sight, a resize waits until no other follows it before lines are wrapped anew."""
QUIET_S = 0.08
KEPT_ROWS = 1_000
"""Finished rows that are kept of one message."""
BELOW = " ↓ more below, G "
OWN_ACTIONS = frozenset(
    {"older", "newer", "top", "bottom", "page_down", "page_up"}
    | {"copy", "copy_block", "pick_block", "open_link", "unfold", "thinking", "raw"}
    | {"find", "find_next", "find_back", "end_find"}
)
"""What the transcript does itself; every other action of a message is asked of the room by `Wanted`."""


def _bindings() -> Iterable[Binding]:
    for action, binding in zip(
        (each for each in keys.actions_of("messages") if each.keys), keys.bindings("messages"), strict=True
    ):
        if action.name == "copy_block":
            for number, key in enumerate(action.keys, 1):
                yield Binding(key, f"copy_block({number})", action.words, show=False, tooltip=action.help)
        elif action.name in OWN_ACTIONS or action.does:
            yield binding
        else:
            yield Binding(
                binding.key,
                f"want('{action.name}')",
                binding.description,
                id=binding.id,
                show=binding.show,
                tooltip=binding.tooltip,
            )


class Transcript(ScrollView, can_focus=True, inherit_bindings=False):
    """Messages, the newest at the bottom. `show` gives it others; `grow` adds to one that streams."""

    ALLOW_SELECT = True
    FOCUS_ON_CLICK = False  # dragging over text leaves the keys with the composer; a click on a message takes them
    BINDINGS: ClassVar[list[BindingType]] = [*_bindings()]
    DEFAULT_CSS = """
    Transcript {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        background: $background;
    }
    """

    class Moved(Told):
        """Another message is the current one; None when there is none."""

        def __init__(self, item: Item | None) -> None:
            super().__init__()
            self.item = item

    class LinkOpened(Told):
        def __init__(self, url: str) -> None:
            super().__init__()
            self.url = url

    class Copied(Told):
        """Text for the clipboard; `what` says what it is, as in "Copied `what`"."""

        def __init__(self, text: str, what: str) -> None:
            super().__init__()
            self.text = text
            self.what = what

    class FollowChanged(Told):
        def __init__(self, follows: bool) -> None:
            super().__init__()
            self.follows = follows

    class Wanted(Told):
        """An action of the table that is not the transcript's own, on this message."""

        def __init__(self, action: str, item: Item) -> None:
            super().__init__()
            self.action = action
            self.item = item

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
        self._rows: list[Strip] = []
        self._places: list[tuple[int, int]] = []
        self._projecting = False
        self._grown: dict[str, tuple[list[str], list[str]]] = {}
        self._ticker: Timer | None = None
        self._rewrap: Timer | None = None
        self._base = Style()
        self._base_is_stale = True
        self._current: int | None = None
        self._search: Search | None = None
        self._search_from = 0
        self._here: tuple[object, tuple[int, int, int] | None] | None = None
        self._marked: dict[tuple[int, tuple[paint.Span, ...]], tuple[Strip, Strip]] = {}

    # ---- what is shown

    def show(self, items: Sequence[Item], *, at: str | None = None) -> None:
        """These messages; the end of them in sight, or the message `at`. Where some of them are shown already, the
        reader stays where he is."""
        self._flush()
        self._end_selection()
        stays = any(self._column.index_of(item.id) is not None for item in items)
        current = self.current
        self._column.show(items)
        if not stays:
            self._column.follows = True
        index = self._column.index_of(current.id) if current is not None else None
        if index is None or self._current != index:
            self._set_current(index)
        if at is not None:
            self.go_to(at)
        self._settle()

    def append(self, item: Item) -> None:
        self._column.append(item)
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
        if index is not None:
            self.replace(item_id, self._column.messages[index].item._replace(foot=foot))

    def remove_after(self, item_id: str) -> None:
        """The messages that follow this one go."""
        self._flush()
        index = self._column.index_of(item_id)
        if index is not None:
            self._cut(index + 1)

    def clear(self) -> None:
        self._grown.clear()
        self._cut(0)
        self._column.follows = True

    def _cut(self, count: int) -> None:
        self._end_selection()
        self._column.cut(count)
        if self._current is not None and self._current >= count:
            self._set_current(None)
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
                self._column.grow(index, "".join(text), "".join(thinking))
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
        until = monotonic() + SLICE_S
        for index in sorted({index for index, _ in self._column.visible()}):
            message = self._column.messages[index]
            if message.look == self._column.look and message.waits:
                message.lay_on(SLICE_CHARACTERS, lambda: monotonic() >= until)
                self._column.changed(index)
                return True
        return False

    # ---- how it looks

    def set_palette(self, palette: Palette) -> None:
        self._palette = palette
        self._palette_given = True
        self._marked.clear()
        self._base_is_stale = True
        self._relook()

    def toggle_thinking(self) -> None:
        """Unfold or fold what models thought, in all messages."""
        for message in self._column.messages:
            message.as_usual()
        self._end_selection()
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
        self._ticker = self.set_interval(1 / FRAMES_PER_S, self._tick, pause=not self._grown)

    def on_resize(self, _event: events.Resize) -> None:
        column = self._column
        column.room = self.scrollable_content_region.height
        if self._text_width() == column.look.width and self._palette is column.look.palette:
            self._settle()
            return
        self._end_selection()
        if self._rewrap is not None:
            self._rewrap.stop()
            self._rewrap = None
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
        for each in {self._current, index}:
            if each is not None and each < len(self._column):
                self._column.messages[each].strips.clear()
        if index != self._current:
            self._current = index
            self.post_message(self.Moved(self.current))

    def watch_has_focus(self, focused: bool) -> None:
        if focused and self._current is None and len(self._column):
            self._set_current(self._in_sight()[-1])
        elif self._current is not None:
            self._column.messages[self._current].strips.clear()
        self._repaint()

    def _in_sight(self) -> list[int]:
        """Messages whose head is in sight, or the one that fills the window."""
        visible = list(self._column.visible())
        return [index for index, line in visible if line == 0] or [index for index, _ in visible[:1]] or [0]

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Somebody moved the scrollbar, the wheel, or drags a selection over the edge."""
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
        followed = column.follows
        column.settle()
        column.forget()
        if self._current is None and self.has_focus and len(column):
            self._set_current(self._in_sight()[-1])
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
        if column.follows != followed:
            self.post_message(self.FollowChanged(column.follows))
        if self._ticker is not None and any(
            column.messages[index].waits for index in {index for index, _ in column.visible()}
        ):
            self._ticker.resume()

    # ---- painting

    def _repaint(self) -> None:
        """Make the rows again and paint those that are not the same as before."""
        if not self.is_mounted:
            return
        before = self._rows
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
        column = self._column
        width = self.scrollable_content_region.width
        if self._base_is_stale:
            self._base_is_stale = False
            base = self.rich_style
            if base != self._base:
                self._base = base
                self._marked.clear()
                for message in column.messages:
                    message.strips.clear()
        base = self._base
        bar = self._palette.accent if self.has_focus else None
        faint = self._palette.faint
        selection = self.text_selection
        ends = selecting.points(selection, column) if selection is not None else None
        rows: list[Strip] = []
        self._places = places = list(column.visible())
        for index, number in places:
            message = column.messages[index]
            line = message.line(number)
            kept = message.strips.get(id(line))
            if kept is not None and kept[0] is line and kept[1].cell_length == width:
                strip = kept[1]
            else:
                strip = paint.finish(
                    line,
                    width,
                    base,
                    bar if index == self._current and line is not END else None,
                    faint if message.item.excluded else None,
                )
                if len(message.strips) > KEPT_ROWS:
                    message.strips.clear()
                message.strips[id(line)] = (line, strip)
            if ends is not None or self._search is not None:
                strip = self._marks_on(strip, index, number, ends)
            rows.append(strip)
        blank = Strip.blank(width, base)
        rows.extend([blank] * (column.room - len(rows)))
        if not column.follows and rows:
            rows[-1] = self._with_hint(rows[-1], width)
        self._rows = rows
        return rows

    def _with_hint(self, strip: Strip, width: int) -> Strip:
        style = self._base + self._palette.muted + Style(meta={"to": "end"})
        key = (-1, ((0, width, style),))
        kept = self._marked.get(key)
        if kept is None or kept[0] is not strip:
            kept = self._marked[key] = (strip, paint.hint_over(strip, BELOW, style, width))
        return kept[1]

    def _marks_on(
        self, strip: Strip, index: int, number: int, ends: tuple[selecting.Point, selecting.Point] | None
    ) -> Strip:
        """Found words and the selection over a row; the same strip as before where the marks are the same."""
        message = self._column.messages[index]
        spans: list[paint.Span] = []
        if self._search is not None and self._search.needle:
            spans.extend(self._found_on(message, index, number))
        if ends is not None:
            size = len(message.line(number).strip.text)
            chosen = selecting.span(*ends, index, number, size)
            if chosen is not None:
                spans.append((*chosen, self._palette.selection))
        if not spans:
            return strip
        key = (id(strip), tuple(spans))
        kept = self._marked.get(key)
        if kept is None or kept[0] is not strip:
            if len(self._marked) > 500:
                self._marked.clear()
            kept = self._marked[key] = (strip, paint.mark(strip, spans))
        return kept[1]

    def _found_on(self, message: Message, index: int, number: int) -> Iterable[paint.Span]:
        assert self._search is not None
        if not message.body_start <= number < message.body_start + message.body_height:
            return
        first, lines = logical(message, number)
        pieces = row_spans(lines, self._search.needle)[number - first]
        here = self._hit_here()
        for which, start, end in pieces:
            is_here = here is not None and here == (index, first, which)
            yield start, end, self._palette.match_here if is_here else self._palette.match

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows that were made; nothing is put around them, so that each strip keeps its own rendered form."""
        if len(self._rows) != self._column.room or self._base_is_stale:
            self._make_rows()
        strips = self._rows[crop.y : crop.bottom]
        if len(strips) < crop.height:
            blank = Strip.blank(self.size.width, self._base)
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
        if not 0 <= y < len(self._rows):
            return Strip.blank(self.size.width, self._base)
        if y < len(self._places):
            index, number = self._places[y]
        else:
            index, number = len(self._column), 0
        return self._rows[y].apply_offsets(-paint.GUTTER, selecting.offset_y(index, number))

    # ---- selecting

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        self._flush()
        return selecting.selected_text(selection, self._column), "\n"

    def selected_text(self) -> str:
        """What the mouse selected, as it is copied; empty where nothing is."""
        selection = self.text_selection
        return self.get_selection(selection)[0] if selection is not None else ""  # type: ignore[index]

    def selection_updated(self, selection: Selection | None) -> None:
        self._repaint()

    def _end_selection(self) -> None:
        if self.is_mounted and self.text_selection is not None:
            self.screen.clear_selection()

    def _select(self, index: int, line: int, start: int, last_line: int, end: int) -> None:
        from textual.geometry import Offset

        self.screen.selections = {
            self: Selection(
                Offset(start, selecting.offset_y(index, line)), Offset(end, selecting.offset_y(index, last_line))
            )
        }

    def on_click(self, event: events.Click) -> None:
        event.prevent_default()  # which would select everything on a double click
        row = event.y
        place = self._places[row] if 0 <= row < len(self._places) else None
        if event.chain > 1 and place is not None:
            self._select_around(place, event.x - paint.GUTTER, whole=event.chain > 2)
            return
        if self.text_selection is not None:
            return
        meta = event.style.meta
        if "link" in meta:
            self.post_message(self.LinkOpened(str(meta["link"])))
        elif "to" in meta:
            self.to_end()
        elif place is not None:
            self._set_current(place[0])
            if "fold" in meta:
                self._toggle_fold(place[0], str(meta["fold"]))
            self.focus(scroll_visible=False)
            self._repaint()

    def _select_around(self, place: tuple[int, int], character: int, *, whole: bool) -> None:
        """A word by two clicks, a line by three: the line as it was before wrapping."""
        index, number = place
        message = self._column.messages[index]
        text = message.line(number).strip.text
        if whole:
            first, lines = logical(message, number)
            last = first + len(lines) - 1
            self._select(index, first, lines[0].indent, last, len(lines[-1].strip.text))
        elif 0 <= character < len(text) and not text[character].isspace():
            start = end = character
            while start > 0 and not text[start - 1].isspace():
                start -= 1
            while end < len(text) and not text[end].isspace():
                end += 1
            self._select(index, number, start, number, end)

    # ---- folds

    def _toggle_fold(self, index: int, key: str) -> None:
        """Open or fold; the line that was clicked stays where it is."""
        self._end_selection()
        row = self._column.row_of(index)
        self._column.messages[index].toggle(key)
        self._column.changed(index)
        follows = self._column.follows
        if row >= 0:
            self._column.to(index, 0, above=row)
        self._column.follows = self._column.follows or (follows and self._column.heights.total <= self._column.room)
        self._settle()

    def action_unfold(self) -> None:
        if self._current is None:
            raise SkipAction
        folds = self._column.messages[self._current].folds
        if not folds:
            raise SkipAction
        for key in folds:
            self._toggle_fold(self._current, key)

    def action_thinking(self) -> None:
        self.toggle_thinking()

    def action_raw(self) -> None:
        self.toggle_raw()

    # ---- moving

    def _step(self, by: int) -> None:
        if not len(self._column):
            return
        in_sight = {index for index, _ in self._column.visible()}
        heads = self._in_sight()
        if self._current is None or self._current not in in_sight:
            index = heads[0] if by > 0 else heads[-1]
        else:
            index = max(0, min(self._current + by, len(self._column) - 1))
        self._set_current(index)
        self._column.reveal(index)
        self._settle()

    def action_older(self) -> None:
        self._step(-1)

    def action_newer(self) -> None:
        if self._current == len(self._column) - 1 and not self._column.follows:
            self._column.scroll(max(self._column.room - 2, 1))  # there is more of the last message
            self._settle()
            return
        self._step(1)

    def action_page_down(self) -> None:
        self._column.scroll(max(self._column.room - 2, 1))
        self._settle()

    def action_page_up(self) -> None:
        self._column.scroll(-max(self._column.room - 2, 1))
        self._settle()

    def action_top(self) -> None:
        if len(self._column):
            self._set_current(0)
            self._column.to(0)
            self._settle()

    def action_bottom(self) -> None:
        if len(self._column):
            self._set_current(len(self._column) - 1)
            self.to_end()

    def action_want(self, action: str) -> None:
        item = self.current
        if item is not None:
            self.post_message(self.Wanted(action, item))

    # ---- copying and opening

    def action_copy(self) -> None:
        selected = self.selected_text()
        item = self.current
        if selected:
            self.post_message(self.Copied(selected, "the selection"))
        elif item is not None:
            self.post_message(self.Copied(item.text, "the question" if item.role == "user" else "the message"))

    @property
    def blocks(self) -> Sequence[CodeBlock]:
        """The code blocks of the current message."""
        if self._current is None:
            return ()
        self._flush()
        message = self._column.messages[self._current]
        if message.look != self._column.look or self._column.look.raw:
            message = Message(message.item)
            message.lay(self._column.look._replace(raw=False))
        message.lay_on(SLICE_CHARACTERS, lambda: False)
        return message.blocks

    def action_copy_block(self, number: int) -> None:
        blocks = self.blocks
        if 1 <= number <= len(blocks):
            self._copy_block(blocks[number - 1])
        else:
            self.notify(
                f"This message has {len(blocks) or 'no'} code block{'s' * (len(blocks) != 1)}.",
                markup=False,
                severity="warning",
            )

    def _copy_block(self, block: CodeBlock) -> None:
        language = f" ({block.language})" if block.language else ""
        self.post_message(self.Copied(block.text, f"code block {block.number}{language}"))

    def action_pick_block(self) -> None:
        blocks = self.blocks
        if len(blocks) <= 1:
            self.action_copy_block(1)
            return
        from screens.dialogs.pick import PickDialog
        from screens.widgets.transcript.rows import plain

        def words(block: CodeBlock) -> str:
            return f"{block.number}  {plain(block.language) or 'text'}  {plain(block.text[:200])}"

        dialog = PickDialog(
            "Copy a code block", blocks, lambda block, width, here: words(block), lambda b: b.number, text_of=words
        )
        self.app.push_screen(dialog, lambda block: self._copy_block(block) if block is not None else None)

    def action_open_link(self) -> None:
        if self._current is None:
            return
        message = self._column.messages[self._current]
        links = message.links
        if not links:
            self.notify("This message has no link.", markup=False, severity="warning")
        elif len(links) == 1:
            self.post_message(self.LinkOpened(links[0]))
        else:
            from screens.dialogs.pick import PickDialog
            from screens.widgets.transcript.rows import plain

            dialog = PickDialog("Open a link", links, lambda url, width, here: plain(url), str, text_of=plain)
            self.app.push_screen(dialog, lambda url: self.post_message(self.LinkOpened(url)) if url else None)

    # ---- finding

    def find(self, words: str) -> int:
        """Look for words in all messages, from where the reader was when the search began. How often they occur."""
        self._flush()
        if self._search is None:
            self._search = Search()
            self._search_from = self._column.place.message
        count = self._search.look_for(words, self._column.messages)
        self._search.start_at(self._search_from)
        self._show_hit()
        return count

    def find_next(self, step: int = 1) -> None:
        if self._search is not None:
            self._search.step(step)
            self._show_hit()

    def end_find(self) -> None:
        """No marks any more; the view stays where it is."""
        self._search = None
        self._here = None
        self._repaint()

    @property
    def found(self) -> tuple[int, int]:
        """Which hit is looked at, counted from 1, and how many there are."""
        if self._search is None:
            return 0, 0
        return self._search.at + 1, len(self._search.hits)

    def _show_hit(self) -> None:
        assert self._search is not None
        here = self._search.here
        if here is not None:
            index, which = here
            self._set_current(index)
            self._column.measure(index)
            message = self._column.messages[index]
            message.lay_on(SLICE_CHARACTERS, lambda: False)
            place = locate(message, self._search.needle, which)
            line = place[2] if place is not None else 0
            row = self._column.row_of(index, line)
            if not 1 <= row < self._column.room - 2:
                self._column.to(index, line, above=self._column.room // 3)
        self._settle()

    def _hit_here(self) -> tuple[int, int, int] | None:
        """Message, first row of the logical line, and which match in it: the hit that is looked at."""
        search = self._search
        if search is None or search.here is None:
            return None
        index, which = search.here
        message = self._column.messages[index]
        state = (search.needle, index, which, message.look, message.height)
        if self._here is None or self._here[0] != state:
            self._here = (state, locate(message, search.needle, which))
        place = self._here[1]
        return None if place is None else (index, place[0], place[1])

    def action_find(self) -> None:
        from screens.widgets.transcript.find_line import FindLine

        line = next(iter(self.parent.query(FindLine)), None) if self.parent is not None else None
        if line is None:
            line = FindLine(self)
            assert self.parent is not None
            self.parent.mount(line, after=self)
        line.begin()

    def action_find_next(self) -> None:
        self.find_next(1)

    def action_find_back(self) -> None:
        self.find_next(-1)

    def action_end_find(self) -> None:
        if self._search is None:
            raise SkipAction
        self.end_find()
