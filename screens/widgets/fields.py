"""Fields below each other that scroll when they are more than there is room for."""

from __future__ import annotations

from textual.containers import VerticalScroll


class Fields(VerticalScroll, can_focus=False, inherit_bindings=False):
    """Its arrow keys are left to the dialog, which goes from field to field with them: the one that has the focus is
    scrolled into sight."""
