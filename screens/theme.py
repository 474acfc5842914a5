"""The colours: our own light and dark themes, and the styles that line-rendering widgets draw with.

A `Palette` is made from the variables of whichever theme is chosen, Textual's own and the terminal's sixteen colours
among them, so that no widget names a colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rich.style import Style
from textual.color import Color, ColorParseError
from textual.theme import Theme

DARK = "hawser-dark"
LIGHT = "hawser-light"

THEMES = (
    Theme(
        name=DARK,
        primary="#6fb6d9",
        secondary="#7f9fb8",
        accent="#e3b067",
        foreground="#d3dce5",
        background="#10161d",
        surface="#151d26",
        panel="#1c2631",
        success="#86c292",
        warning="#e3b067",
        error="#e4797d",
        dark=True,
        variables={
            "border": "#2e3c4b",
            "block-cursor-background": "#2b4257",
            "block-cursor-foreground": "#e9f0f6",
            "input-selection-background": "#6fb6d9 35%",
            "scrollbar": "#2a3644",
            "scrollbar-hover": "#3b4b5d",
            "scrollbar-active": "#6fb6d9",
            "scrollbar-background": "#10161d",
            "scrollbar-background-hover": "#10161d",
            "scrollbar-background-active": "#10161d",
        },
    ),
    Theme(
        name=LIGHT,
        primary="#175a7e",
        secondary="#436074",
        accent="#824d0a",
        foreground="#22303b",
        background="#faf8f3",
        surface="#f3f0e8",
        panel="#e8e4d9",
        success="#226337",
        warning="#824d0a",
        error="#a62932",
        dark=False,
        variables={
            "border": "#cfc8b8",
            "block-cursor-background": "#cfe0ea",
            "block-cursor-foreground": "#14212b",
            "input-selection-background": "#175a7e 25%",
            "scrollbar": "#d6cfbf",
            "scrollbar-hover": "#c2b9a5",
            "scrollbar-active": "#175a7e",
            "scrollbar-background": "#faf8f3",
            "scrollbar-background-hover": "#faf8f3",
            "scrollbar-background-active": "#faf8f3",
        },
    ),
)


_TEXT, _FAINT, _RULE = (4.5, 3.2), (3.0, 2.2), (1.6, 1.2)
"""How far what is read, what may be overlooked and lines are from the background and from a panel at least."""
WHITE, BLACK = Color(255, 255, 255), Color(0, 0, 0)


class Palette(NamedTuple):
    """What text can be, each as a style without a background unless the background is the point."""

    text: Style
    muted: Style
    faint: Style
    accent: Style
    heading: Style
    strong: Style
    emphasis: Style
    code: Style
    code_block: Style
    link: Style
    quote: Style
    rule: Style
    table_head: Style
    ok: Style
    warn: Style
    bad: Style
    user: Style
    assistant: Style
    thinking: Style
    tool: Style
    match: Style
    match_here: Style
    selection: Style
    syntax_keyword: Style
    syntax_string: Style
    syntax_number: Style
    syntax_comment: Style
    syntax_function: Style
    syntax_type: Style
    syntax_operator: Style
    syntax_builtin: Style


def readable(colour: Color, papers: tuple[Color, Color], share: float) -> Color:
    """A colour that can be read on the background, and well enough on a panel: themes are not made for small text in
    every colour of theirs, so one that is too close is moved away from the paper. `share` says how loud it is meant."""
    floor = _TEXT if share > 0.5 else _FAINT if share > 0.35 else _RULE
    away = WHITE if luminance(papers[0]) < 0.18 else BLACK
    for _ in range(20):
        if all(contrast(colour, paper) >= least for paper, least in zip(papers, floor, strict=True)):
            break
        colour = colour.blend(away, 0.08)
    return colour


def contrast(one: Color, other: Color) -> float:
    """From 1, alike, to 21, as the web's guidelines for accessibility count it."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: Color) -> float:
    """How bright a colour is to the eye, from 0 to 1."""
    red, green, blue = (
        each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in colour.normalized
    )
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def palette(variables: Mapping[str, str], *, dark: bool) -> Palette:
    """The styles of a theme; `variables` are those that Textual made of it."""

    def named(name: str, otherwise: str) -> Color:
        try:
            return Color.parse(variables[name])
        except (KeyError, ColorParseError):
            return Color.parse(otherwise)

    background = named("background", "#10161d" if dark else "#faf8f3")
    foreground = named("foreground", "#d3dce5" if dark else "#22303b")
    primary = named("primary", "#6fb6d9" if dark else "#175a7e")
    secondary = named("secondary", "#7f9fb8" if dark else "#436074")
    accent = named("accent", "#e3b067" if dark else "#824d0a")
    success, warning, error = (
        named("success", "#226337"),
        named("warning", "#824d0a"),
        named("error", "#a62932"),
    )
    panel = named("panel", "#1c2631" if dark else "#e8e4d9")
    own_colours = any(colour.ansi is not None for colour in (background, foreground, primary))
    papers = (background, panel)

    def ink(
        colour: Color,
        share: float = 1.0,
        *,
        bold: bool | None = None,
        italic: bool | None = None,
        underline: bool | None = None,
    ) -> Style:
        """A text style: a colour, mixed with the background where the theme has real colours to mix."""
        mixed = colour if own_colours else readable(background.blend(colour, share), papers, share)
        dim = True if own_colours and share < 0.8 else None
        return Style(color=mixed.rich_color, dim=dim, bold=bold, italic=italic, underline=underline)

    def on_paper(colour: Color) -> Color:
        """The ink that is read on a colour: the background's, or black or white where that is too close."""
        inks = (background, WHITE, BLACK)
        return background if contrast(background, colour) >= 4.5 else max(inks, key=lambda ink: contrast(ink, colour))

    def paper(share: float, colour: Color = primary) -> Style:
        if own_colours:
            return Style(reverse=True)
        return Style(bgcolor=background.blend(colour, share).rich_color)

    text = ink(foreground)
    return Palette(
        text=text,
        muted=ink(foreground, 0.62),
        faint=ink(foreground, 0.38),
        accent=ink(accent),
        heading=ink(primary, bold=True),
        strong=ink(foreground, bold=True),
        emphasis=ink(foreground, italic=True),
        code=ink(accent),
        code_block=text if own_colours else text + Style(bgcolor=panel.blend(background, 0.35).rich_color),
        link=ink(primary, underline=True),
        quote=ink(foreground, 0.72, italic=True),
        rule=ink(foreground, 0.3),
        table_head=ink(foreground, bold=True),
        ok=ink(success),
        warn=ink(warning),
        bad=ink(error),
        user=ink(accent, bold=True),
        assistant=ink(primary, bold=True),
        thinking=ink(foreground, 0.62, italic=True),
        tool=ink(secondary),
        match=paper(0.28, accent),
        match_here=Style(color=on_paper(accent).rich_color, bgcolor=accent.rich_color, bold=True)
        if not own_colours
        else Style(reverse=True, bold=True),
        selection=paper(0.35),
        syntax_keyword=ink(primary),
        syntax_string=ink(success),
        syntax_number=ink(accent),
        syntax_comment=ink(foreground, 0.6, italic=True),
        syntax_function=ink(primary, bold=True),
        syntax_type=ink(warning),
        syntax_operator=ink(foreground, 0.75),
        syntax_builtin=ink(secondary),
    )
