"""Text from outside made harmless for a screen: control codes, direction overrides, hidden and stacked characters."""

from __future__ import annotations

import re

from console.text import neutralise

_SUSPECT = re.compile(
    "[^\n\x20-\x7e\xa1-\xac\xae-\u02ff\u0370-\u0482\u2010-\u2027\u2030-\u205e\u2190-\u23ff\u2500-\u27bf\u3041-\u30ff\u4e00-\u9fff]"
)
"""Anything that could need a closer look; plain text of most languages has none."""
_INVISIBLE = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2060-\u2064\u206a-\u206f\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(f"[{_INVISIBLE}]")
_LONE_JOINER = re.compile(
    "(?<![\u203c-\u3299\U0001f000-\U0001faff\ufe0f\u0900-\u0dff])\u200d|\u200d(?![\u203c-\u3299\U0001f000-\U0001faff\u0900-\u0dff])"
)
"""A zero-width joiner that is not inside an emoji or an Indic word."""
_LONE_NON_JOINER = re.compile("(?<![\u0600-\u0dff])\u200c|\u200c(?![\u0600-\u0dff])")
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u064b-\u065f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u20d0-\u20ff\ufe20-\ufe2f"
)
_STACK = re.compile(f"([{_MARKS}]{{4}})[{_MARKS}]+")
"""More marks on one letter than any language writes: they would climb over the lines above and below."""
_FIRST_MARKS = re.compile(f"^[{_MARKS}]+")
_CHAIN = re.compile("((?:\u200d[^\u200d][\ufe0f\U0001f3fb-\U0001f3ff]{0,2}){5})\u200d")
"""More emoji joined into one than any that exists."""
_INDIC_JOINER = re.compile("(?<=[\u0900-\u0dff])\u200d")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Prose: control codes become pictures, invisible characters go. Tabs become blanks, line ends stay.

    A line end is only ever "\\n"; other characters that a terminal takes for one become a replacement character.
    """
    if not _SUSPECT.search(text):
        return text
    return _common(_HIDDEN.sub("", text.replace("\t", " ")))


def clean_code(text: str) -> str:
    """Code: the same, but what cannot be seen is shown as a replacement character, since it may be there to deceive."""
    if not _SUSPECT.search(text):
        return text
    return _common(_HIDDEN.sub("\ufffd", text))


def _common(text: str) -> str:
    text = neutralise(text.replace("\r", "\u240d"))
    text = _LONE_NON_JOINER.sub("", _LONE_JOINER.sub("", text))
    # Cells of a joiner's right neighbour are not counted by rich, which is right for emoji only.
    text = _CHAIN.sub(r"\1", _INDIC_JOINER.sub("", _FIRST_MARKS.sub("", text)))
    return _SURROGATE.sub("\ufffd", _STACK.sub(r"\1", text))
