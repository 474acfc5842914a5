"""The transcript: the view of messages with everything that keys do in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message as Told
from textual.widget import Widget

from screens import keys, markdown
from screens.markdown import CodeBlock
from screens.widgets.transcript.finding import Search
from screens.widgets.transcript.item import Item
from screens.widgets.transcript.message import Message
from screens.widgets.transcript.rows import plain
from screens.widgets.transcript.view import View

if TYPE_CHECKING:
    from screens.widgets.transcript.find_line import FindLine

MOST_TO_RENDER = 100_000
"""Characters that are laid out to find code in the raw view."""
OWN_ACTIONS = frozenset(
    {"older", "newer", "top", "bottom", "page_down", "page_up"}
    | {"copy", "copy_block", "pick_block", "open_link", "unfold", "thinking", "raw"}
    | {"find", "find_next", "find_back", "end_find"}
)
"""What the transcript does itself; every other action of a message is asked of the room by `Wanted`."""


def _bindings() -> Iterable[Binding]:
    for action, binding in zip(keys.actions_of("messages"), keys.bindings("messages"), strict=True):
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


class Transcript(View):
    """Messages, the newest at the bottom. `show` gives it others; `grow` adds to one that streams."""

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

    class Copied(Told):
        """Text for the clipboard; `what` says what it is, as in "Copied `what`"."""

        def __init__(self, text: str, what: str) -> None:
            super().__init__()
            self.text = text
            self.what = what

    class Wanted(Told):
        """An action of the table that is not the transcript's own, on this message."""

        def __init__(self, action: str, item: Item) -> None:
            super().__init__()
            self.action = action
            self.item = item

    # ---- folds

    def action_unfold(self) -> None:
        """What is folded in the message opens or shuts; one without folds leads back to writing."""
        if self._current is None or not self._column.messages[self._current].folds:
            self.action_want("write")
            return
        self._end_selection()
        self._reshape(self._current, Message.toggle_all)

    def action_thinking(self) -> None:
        self.toggle_thinking()

    def action_raw(self) -> None:
        self.toggle_raw()

    # ---- moving

    def _step(self, by: int) -> None:
        if not len(self._column) or self._column.room <= 0:  # nothing there, or nothing drawn yet
            return
        in_sight = {index for index, _ in self._column.visible()}
        heads = self._heads_in_sight()
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
        self.with_all(self._to_top)

    def _to_top(self) -> None:
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
        """The code blocks of the current message; of a very long one those of its beginning."""
        if self._current is None:
            return ()
        self._flush()
        if not self.is_raw:
            self._column.measure(self._current)
            self._lay_whole(self._current)
            self._settle()
            return self._column.messages[self._current].blocks
        text = self._column.messages[self._current].item.text
        return markdown.render(text[:MOST_TO_RENDER], self._column.look.width, self._palette).blocks

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

            dialog = PickDialog("Open a link", links, lambda url, width, here: plain(url), str, text_of=plain)
            self.app.push_screen(dialog, self._open_picked)

    def _open_picked(self, url: str | None) -> None:
        if url is not None:
            self.post_message(self.LinkOpened(url))

    # ---- finding

    _find_line: FindLine | None = None

    def find(self, words: str) -> int:
        """Look for words in all messages, from where the reader was when the search began. How often they occur, among
        the messages that are here; those above come, and are counted then."""
        if words.strip():
            self.with_all(lambda: self._find(words))
        else:
            self._find(words)
        return self.found[1]

    def _find(self, words: str) -> None:
        self._flush()
        search = self._window.search
        if search is None:
            search = self._window.search = Search(self._column.place.message)
        search.look_for(words, self._column.messages)
        self._show_hit(search)

    def find_next(self, step: int = 1) -> None:
        """The next place found, or so many further; after the last one comes the first."""
        search = self._window.search
        if search is not None:
            self._flush()
            search.step(step, self._column.messages)
            self._show_hit(search)

    def end_find(self) -> None:
        """No marks any more; the view stays where it is."""
        self._once_all_is_here = None
        self._window.search = None
        if self._find_line is not None:
            self._find_line.display = False
        self._repaint()

    @property
    def found(self) -> tuple[int, int]:
        """Which hit is looked at, counted from 1, and how many there are."""
        search = self._window.search
        return (search.at + 1, len(search.hits)) if search is not None else (0, 0)

    def _show_hit(self, search: Search) -> None:
        if search.here is not None:
            index = search.here[0]
            self._set_current(index)
            self._column.measure(index)
            self._lay_whole(index)
            hit = self._window.hit(search)
            line = hit[3] if hit is not None else 0
            if not 1 <= self._column.row_of(index, line) < self._column.room - 2:
                self._column.to(index, line, above=self._column.room // 3)
        self._settle()
        if self._find_line is not None:
            self._find_line.count()

    async def action_find(self) -> None:
        if self._find_line is None:
            from screens.widgets.transcript.find_line import FindLine

            assert isinstance(self.parent, Widget)
            self._find_line = FindLine(self)
            await self.parent.mount(self._find_line, after=self)  # the next key is already meant for it
        else:
            self._find_line.begin()

    def action_find_next(self) -> None:
        self.find_next(1)

    def action_find_back(self) -> None:
        self.find_next(-1)

    def action_end_find(self) -> None:
        if self._window.search is None:
            raise SkipAction
        self.end_find()
