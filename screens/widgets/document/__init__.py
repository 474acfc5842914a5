"""A document's text to be read, of any length, with places in it lit. Begin with `view.py`."""

from __future__ import annotations

from screens.widgets.document.view import DocumentView, Light, LightKind, Moved

__all__ = ["DocumentView", "Light", "LightKind", "Moved"]
