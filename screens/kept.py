"""Dialogs that stay mounted when they are left: to show one again takes a frame, and no building of widgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from textual.geometry import Size

if TYPE_CHECKING:
    from screens.app import HawserApp
    from screens.dialogs.base import KeptDialog

Dialog = TypeVar("Dialog", bound="KeptDialog[Any]")


class _Kept(NamedTuple):
    dialog: KeptDialog[Any]
    size: Size
    theme: str


class KeptDialogs:
    """One of each kind. One that was drawn for another size or theme is made anew: that is rare, and to bring all of it
    up to date costs as much."""

    def __init__(self, app: HawserApp) -> None:
        self._app = app
        self._kept: dict[type[KeptDialog[Any]], _Kept] = {}

    def take(self, kind: type[Dialog], make: Callable[[], Dialog]) -> Dialog:
        """The kept one, or a new one that is kept from now on. It is not on the screen."""
        app = self._app
        kept = self._kept.get(kind)
        if kept is not None:
            dialog = kept.dialog
            if any(dialog in stack for stack in app._screen_stacks.values()):
                return make()
            if isinstance(dialog, kind) and (kept.size, kept.theme) == (app.size, app.theme):
                return dialog
            app.uninstall_screen(dialog)
            dialog.remove()
        made = make()
        app.install_screen(made, kind.__name__)
        self._kept[kind] = _Kept(made, app.size, app.theme)
        return made
