"""The app: rooms as modes, the frame around them, and what works everywhere.

Its work is to show: every service belongs to the runtime, which is made before it and closed after it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget

from console.errors import ConsoleError, explain
from console.text import neutralise
from screens import keys, theme
from screens.bridge import Happened, carry
from screens.kept import KeptDialogs
from screens.keymap import keymap_of, keys_of
from screens.keys import Action, key_name
from screens.leaving import Concerned, answers_under_way, machines_that_bill
from screens.life import LivingApp
from screens.standing import Standing
from screens.theme import Palette, palette
from screens.widgets.ground import ground
from screens.widgets.status import Snapshot, StatusLine

if TYPE_CHECKING:
    from textual.geometry import Region
    from textual.strip import Strip

    from console.clipboard import Clipboard
    from console.events import Event
    from console.links.connector import LoginManners
    from console.runtime import Runtime
    from screens.early import EarlyScreen

log = logging.getLogger(__name__)

PRESS_AGAIN_S = 1.5
"""How soon a second Ctrl+C leaves."""


SAME_S = 5.0
"""How long the same words are not said again."""
MOST_TOASTS = 3


class HawserApp(LivingApp):
    """`runtime` is open for as long as the app runs."""

    TITLE = "Hawser"
    CSS_PATH = "hawser.tcss"
    ENABLE_COMMAND_PALETTE = False
    DEFAULT_MODE = "chat"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("everywhere")]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012 - as the base has it

    def __init__(self, runtime: Runtime, early: EarlyScreen | None = None) -> None:
        super().__init__(early)
        self.runtime = runtime
        self.keys = keys_of(runtime.settings)
        """The keys of each action, by its id."""
        self.quit_concerns: list[Concerned] = [answers_under_way, machines_that_bill]
        """Asked before leaving, each for what the user should decide about first; rooms add theirs."""
        self.recent_actions: list[str] = []
        """The ids of what was last chosen by name."""
        self.kept_dialogs = KeptDialogs(self)
        self.standing = Standing(runtime, self._show_standing)
        self._toasted: dict[str, float] = {}
        self._carrying: asyncio.Task[None] | None = None
        self._clipboards: Clipboard | None = None
        self._pressed_at = float("-inf")
        for each in theme.THEMES:
            self.register_theme(each)
        self._palette: tuple[str, Palette] | None = None
        wanted = runtime.settings.screen.theme
        self.read_css_with(wanted if wanted in self.available_themes else theme.DARK)
        self.animation_level = "full" if runtime.settings.screen.animations else "none"
        self.set_keymap(keymap_of(runtime.settings))
        runtime.login_manners = self._login_manners

    def get_key_display(self, binding: Binding) -> str:
        return key_name(binding.key)

    # ---- life

    def get_default_screen(self) -> Screen[None]:
        """The room that is shown first is the first screen; one more would be laid out and drawn for nothing."""
        from screens.rooms import ROOMS

        return ROOMS[self.DEFAULT_MODE]()

    async def on_mount(self) -> None:
        from screens.rooms import ROOMS

        for name, make in ROOMS.items():
            self.add_mode(name, make)
        self.theme_changed_signal.subscribe(self, self._on_theme_changed)
        self._carrying = asyncio.create_task(carry(self.runtime.bus, self._deliver), name="bridge")
        self.runtime.ring = self.draw
        self.call_after_refresh(self.first_room_shown)
        self.after_first_frame(self.standing.start)
        if (wanted := self.runtime.settings.screen.theme) != self.theme:
            self.warn(f"There is no theme {wanted!r}; choose one with the command Theme.")

    async def on_unmount(self) -> None:
        await self.standing.close()
        if self._carrying is not None:
            self._carrying.cancel()
            await asyncio.wait([self._carrying])

    def _deliver(self, event: Event) -> None:
        """To the app and to every room that is there, whether it is looked at or not."""
        self.standing.note(event)
        self.post_message(Happened(event))
        for stack in self._screen_stacks.values():
            for screen in stack:
                if screen.is_running:
                    screen.post_message(Happened(event))

    def on_app_focus(self) -> None:
        """Somebody comes back to this window: another one may have changed what is shown."""
        if isinstance(self.screen, Room):
            self.screen.looked_at_again()

    def on_happened(self, message: Happened) -> None:
        """What concerns the user wherever they are becomes a toast."""
        event = message.event
        match type(event).__name__:  # by name: what a process never did, it need not load to hear of
            case "AlertRaised":
                tell = self.say if getattr(event, "level", "") == "info" else self.warn
                tell(getattr(event, "text", ""))
            case "AlertCleared":
                self.say(f"Over: {getattr(event, 'text', '')}")
            case "GuardTrouble":
                self.warn(f"Guarding, {getattr(event, 'part', '')}: {getattr(event, 'text', '')}")
            case "LinkBlocked":
                words = (getattr(event, "reason", ""), getattr(event, "hint", None))
                self.warn("\n".join(filter(None, words)), title=getattr(event, "link", ""))
            case _:
                pass

    def _show_standing(self, snapshot: Snapshot) -> None:
        for stack in self._screen_stacks.values():
            for screen in stack:
                for line in screen.query(StatusLine):
                    line.show(snapshot)

    def _login_manners(self) -> LoginManners:
        from console.links.connector import LoginManners
        from screens.dialogs.login import DialogAsk

        return LoginManners(DialogAsk(self), tell=self.say)

    # ---- colours

    @property
    def palette(self) -> Palette:
        # By theme, for something may be drawn between a change of it and the news of that.
        if self._palette is None or self._palette[0] != self.theme:
            self._palette = self.theme, palette(self.get_css_variables(), dark=self.current_theme.dark)
        return self._palette[1]

    def _on_theme_changed(self, _theme: object) -> None:
        for stack in self._screen_stacks.values():
            for screen in stack:
                for widget in (screen, *screen.walk_children()):
                    recolour = getattr(widget, "set_palette", None)
                    if recolour is not None:
                        recolour(self.palette)

    # ---- telling

    def notify(self, message: str, **how: Any) -> None:
        """A toast, unless the same was said a moment ago; of more than three the oldest goes."""
        now = self.runtime.clock.monotonic()
        self._toasted = {text: at for text, at in self._toasted.items() if now - at < SAME_S}
        if message in self._toasted:
            return
        self._toasted[message] = now
        super().notify(message, **how)

    def _refresh_notifications(self) -> None:
        for old in list(self._notifications)[:-MOST_TOASTS]:
            del self._notifications[old]
        super()._refresh_notifications()

    async def on_event(self, event: events.Event) -> None:
        """Esc takes toasts away, beside whatever else it does."""
        if isinstance(event, events.Key) and event.key == "escape" and not event.is_forwarded:
            self.clear_notifications()
        await super().on_event(event)

    def say(self, text: str, *, title: str = "") -> None:
        self.notify(neutralise(text), title=title, markup=False)

    def warn(self, text: str, *, title: str = "") -> None:
        self.notify(neutralise(text), title=title, severity="warning", markup=False)

    def tell(self, error: BaseException) -> None:
        """An error as a toast: its sentence, and what to do."""
        told = explain(error)
        log.info("told on the screen: %s", told.text)
        self.notify(
            neutralise("\n".join(filter(None, (told.text, told.hint)))),
            title=told.title,
            severity="error",
            timeout=10,
            markup=False,
        )

    def copy(self, text: str, what: str = "") -> None:
        """To the clipboard by the best way there is; a toast says which, and when there is none. Returns at once."""
        self._clipboard = text  # what Ctrl+V puts into a text, whatever the terminal does
        self.run_worker(self._copy(text, what), group="copy", exclusive=True)

    def copy_to_clipboard(self, text: str) -> None:
        """Textual's own widgets copy as we do."""
        self.copy(text)

    def on_text_selected(self) -> None:
        """What the mouse has just selected is copied, and stays selected."""
        if selected := self.screen.get_selected_text():
            self.copy(selected, "the selection")

    async def _copy(self, text: str, what: str) -> None:
        if self._clipboards is None:
            self._clipboards = self.runtime.clipboard(self.draw)
        try:
            copied = await self._clipboards.copy(text)
        except ConsoleError as error:
            self.tell(error)
        else:
            self.say(f"Copied {what}: {copied.words}" if what else f"Copied {copied.words}")

    # ---- what works everywhere

    async def action_room(self, name: str) -> None:
        if self.current_mode != name and not self.screen.is_modal:
            await self.switch_mode(name)

    async def action_leave(self) -> None:
        """Leave, unless something goes on that the user should decide about first."""
        from screens.leaving import leave

        self.run_worker(leave(self), exclusive=True, group="leave")

    def action_cancel(self) -> None:
        """Ctrl+C: what is selected is copied, else the room has something to cancel; else twice leaves."""
        if selected := self._selected():
            self.copy(selected)
            self.screen.clear_selection()
            return
        cancel = getattr(self.screen, "cancel_something", None)
        if cancel is not None and cancel():
            return
        now = self.runtime.clock.monotonic()
        if now - self._pressed_at <= PRESS_AGAIN_S:
            self.call_later(self.action_leave)
            return
        self._pressed_at = now
        self.say("Press Ctrl+C once more to leave.")

    def _selected(self) -> str:
        """The text that is selected, with the mouse or in a field."""
        selected = getattr(self.focused, "selected_text", "")
        if callable(selected):  # a method of the transcript, a property of fields
            selected = selected()
        return selected or self.screen.get_selected_text() or ""

    def action_help(self) -> None:
        from screens.dialogs.help import open_help

        if not self.screen.is_modal:
            open_help(self)

    def action_palette(self) -> None:
        from screens.dialogs.palette import open_palette

        open_palette(self)

    def action_choose_theme(self) -> None:
        from screens.dialogs.palette import open_themes

        open_themes(self)

    def action_dismiss_toasts(self) -> None:
        self.clear_notifications()

    async def run_where_it_belongs(self, action: Action) -> None:
        """Do what a key would do, in the room and on the widget whose key it is."""
        owner = self.owner_of(action)
        room = keys.ROOM_OF.get(action.place)
        if owner is None and room is not None and room != self.current_mode:
            await self.switch_mode(room)
            owner = self.owner_of(action)
        if owner is None:
            self.say(f"{action.words}: there is nothing here to do it with.")
            return
        node, does = owner
        if isinstance(node, Widget) and not isinstance(node, Screen) and node.focusable:
            node.focus()
        await self.run_action(does, node)

    def owner_of(self, action: Action) -> tuple[DOMNode, str] | None:
        """Whose key it is, and what the key does there."""
        if action.place == "everywhere":
            return self, action.does or action.name
        for node in (self.screen, *self.screen.walk_children()):
            for _, binding in node._bindings:
                if binding.id == action.id:
                    return node, binding.action
        return None

    async def remember(self, name: str, value: str) -> None:
        """Write one setting to the file, for the next start."""
        from console.settings_file import change_settings

        try:
            await asyncio.to_thread(change_settings, self.runtime.paths, [(name, value)], [])
        except ConsoleError as error:
            self.tell(error)


class Room(Screen[None]):
    """Base of the rooms: what is in the frame of each."""

    def set_focus(self, widget: Widget | None, scroll_visible: bool = True, from_app_focus: bool = False) -> None:
        """Keys that were typed before there was a focus go to it now, so that the first frame has them already."""
        super().set_focus(widget, scroll_visible, from_app_focus)
        if self.focused is not None:
            self.hawser.focus_given()

    def render_lines(self, crop: Region) -> list[Strip]:
        return ground(self, crop)

    def looked_at_again(self) -> None:
        """The terminal got the focus back. A room that shows what others change too looks whether they did."""

    @property
    def hawser(self) -> HawserApp:
        app = self.app
        assert isinstance(app, HawserApp)
        return app

    @property
    def runtime(self) -> Runtime:
        return self.hawser.runtime
