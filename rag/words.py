"""Words as embedders take and give them."""

from __future__ import annotations

import re

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def whole(text: str) -> str:
    """Without halves of characters, which cannot be tokenised; nothing moves."""
    return text if text.isascii() else _HALF_CHARACTER.sub("\ufffd", text)


def first_line(error: Exception) -> str:
    """What another library says went wrong, short enough for a sentence of ours."""
    return str(error).strip().partition("\n")[0][:300].rstrip(".") or type(error).__name__
