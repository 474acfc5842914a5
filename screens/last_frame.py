"""The frame on screen as bytes that paint it again, for the next start to begin with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from textual.color import Color, ColorParseError

from screens.early import colour_manner, frame_form

if TYPE_CHECKING:
    from textual.app import App

INK = ("background", "panel", "foreground", "border", "primary")
"""The variables of a theme that the outline is drawn in."""
TERMINALS_OWN = "#------"


def frame_of(app: App[Any], *, with_content: bool = True) -> bytes:
    """The room that is shown, without dialogs over it; only its colours where there is nothing to keep."""
    manner = colour_manner(os.environ)
    ink = [_hexadecimal(app.theme_variables.get(name, "")) for name in INK]
    content = _content(app) if with_content else b""
    return frame_form((app.size.width, app.size.height), manner, ink, content)


def _content(app: App[Any]) -> bytes:
    stack = app.screen_stack
    if not stack or stack[0].size != app.size:
        return b""
    strips = stack[0]._compositor.render_strips()
    lines = (f"\x1b[{number};1H{strip.render(app.console)}" for number, strip in enumerate(strips, 1))
    return f"\x1b[0m{''.join(lines)}\x1b[0m".encode("utf-8", "replace")


def _hexadecimal(colour: str) -> str:
    try:
        parsed = Color.parse(colour)
    except ColorParseError:
        return TERMINALS_OWN
    return TERMINALS_OWN if parsed.ansi is not None else f"#{parsed.r:02x}{parsed.g:02x}{parsed.b:02x}"
