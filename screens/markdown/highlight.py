"""The full colouring of a finished piece of code, by Pygments.

It takes milliseconds and up, and its modules load slowly, so it is called in a thread: `highlight` touches nothing that
is shared. What it returns goes to `Rendering.highlighted`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from screens.markdown.clean import clean_code
from screens.theme import Palette

if TYPE_CHECKING:
    from pygments.token import _TokenType

MOST_LINES = 2_000
MOST_CHARACTERS = 200_000
"""Longer code keeps the colours it got line by line."""


def is_worth_it(language: str, text: str) -> bool:
    """Whether a lexer would add something, and in a bounded time."""
    return (
        bool(language)
        and language not in ("text", "txt", "plain", "plaintext", "none", "output", "log")
        and len(text) <= MOST_CHARACTERS
        and text.count("\n") < MOST_LINES
    )


@lru_cache(maxsize=32)
def highlight(text: str, language: str, palette: Palette) -> list[list[Segment]]:
    """One list of segments for each line of the code, or nothing for a language that Pygments does not know.

    The text of the segments is the text of the line, made harmless. Callers do not change the lists: the last results
    are kept, for the same code is wanted again after a change of width.
    """
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if not is_worth_it(language, text):
        return []
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False, stripall=False)
    except ClassNotFound:
        return []
    styles = _Styles(palette)
    lines: list[list[Segment]] = [[]]
    shown = "\n".join([clean_code(line) for line in text.split("\n")])
    for kind, value in lexer.get_tokens(shown):
        style = styles.of(kind)
        for index, part in enumerate(value.split("\n")):
            if index:
                lines.append([])
            if part:
                lines[-1].append(Segment(part, style))
    return lines


class _Styles:
    """The style of each kind of token: that of the nearest kind above it which has one."""

    def __init__(self, palette: Palette) -> None:
        from pygments import token

        base = palette.code_block
        self._base = base
        self._known: dict[_TokenType, Style] = {
            kind: base + style
            for kind, style in (
                (token.Keyword, palette.syntax_keyword),
                (token.Keyword.Type, palette.syntax_type),
                (token.Keyword.Constant, palette.syntax_number),
                (token.Literal.String, palette.syntax_string),
                (token.Literal.String.Interpol, palette.syntax_operator),
                (token.Literal.Number, palette.syntax_number),
                (token.Comment, palette.syntax_comment),
                (token.Comment.Preproc, palette.syntax_builtin),
                (token.Operator, palette.syntax_operator),
                (token.Operator.Word, palette.syntax_keyword),
                (token.Punctuation, palette.syntax_operator),
                (token.Name.Function, palette.syntax_function),
                (token.Name.Class, palette.syntax_type),
                (token.Name.Exception, palette.syntax_type),
                (token.Name.Builtin, palette.syntax_builtin),
                (token.Name.Decorator, palette.syntax_builtin),
                (token.Name.Attribute, palette.syntax_builtin),
                (token.Name.Tag, palette.syntax_keyword),
                (token.Name.Variable, palette.syntax_builtin),
                (token.Generic.Heading, palette.heading),
                (token.Generic.Subheading, palette.syntax_function),
                (token.Generic.Inserted, palette.ok),
                (token.Generic.Deleted, palette.bad),
                (token.Generic.Prompt, palette.syntax_comment),
                (token.Generic.Output, palette.muted),
                (token.Generic.Error, palette.bad),
                (token.Generic.Emph, palette.emphasis),
                (token.Generic.Strong, palette.strong),
            )
        }

    def of(self, kind: _TokenType) -> Style:
        style = self._known.get(kind)
        if style is None:
            style = self._base if kind.parent is None else self.of(kind.parent)
            self._known[kind] = style
        return style
