"""The lines around a message's text: head, folds, chips, sources, what went wrong, and the foot.

Each function is from values to lines; nothing here knows where a line ends up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from console.text import neutralise, plural, size_words
from screens import markdown
from screens.markdown import Line
from screens.markdown.lines import LineStrip
from screens.theme import Palette
from screens.widgets.transcript.item import Attached, Item, SourceLine, ToolCall

_UNSEEN = dict.fromkeys((0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF, 0x061C))
TOOL_TEXT_LIMIT = 20_000
"""Characters of a tool's arguments or result that are shown; the whole of it is in the store."""


def plain(text: str) -> str:
    """One line of text from outside, with nothing in it that could act or hide."""
    return neutralise(" ".join(text.split())).translate(_UNSEEN)


def line(segments: Iterable[Segment], *, indent: int = 0) -> Line:
    return Line(strip=LineStrip(segments), continues=False, indent=indent)


def fold_meta(key: str) -> Style:
    return Style(meta={"fold": key})


def flow(parts: Sequence[tuple[str, Style]], width: int, gap: str, gap_style: Style) -> list[Line]:
    """Parts one after the other, broken between them; a part that is too long for a line alone is cut."""
    lines: list[Line] = []
    row: list[Segment] = []
    used = 0
    for words, style in parts:
        room = cell_len(words)
        if row and used + len(gap) + room > width:
            lines.append(line(row))
            row, used = [], 0
        if row:
            row.append(Segment(gap, gap_style))
            used += len(gap)
        if room > width:
            words = cut(words, width)
            room = cell_len(words)
        row.append(Segment(words, style))
        used += room
    if row:
        lines.append(line(row))
    return lines


def cut(words: str, width: int) -> str:
    """As much of `words` as fits into `width` cells, with an ellipsis where something was left out."""
    if cell_len(words) <= width:
        return words
    kept, used = [], 0
    for character in words:
        used += cell_len(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + "…" if width > 0 else ""


def head(item: Item, width: int, palette: Palette) -> list[Line]:
    """Who and when at the left; which of its siblings this is, and whether it is left out, at the right."""
    who, dot, rest = plain(item.head).partition(" · ")
    marks: list[tuple[str, Style]] = []
    if item.excluded:
        marks.append(("not sent", palette.warn))
    if item.siblings > 1:
        marks.append((f"‹{item.sibling}/{item.siblings}›", palette.muted))
    if not who and not marks:
        return []
    at_right = "  ".join(words for words, _ in marks)
    room = max(width - cell_len(at_right) - (2 if marks else 0), 4)
    names = {"user": palette.user, "assistant": palette.assistant}
    left = [Segment(cut(who, room), names.get(item.role, palette.muted))]
    used = cell_len(left[0].text)
    if rest and room - used > 4:
        left.append(Segment(cut(dot + rest, room - used), palette.faint))
        used += cell_len(left[1].text)
    if marks and width > used + 2:
        left.append(Segment(" " * max(width - used - cell_len(at_right), 2)))
        for position, (words, style) in enumerate(marks):
            if position:
                left.append(Segment("  "))
            left.append(Segment(words, style))
    return [Line(strip=LineStrip(left).crop(0, width), continues=False, indent=0)]


def fold(words: str, key: str, is_open: bool, width: int, style: Style) -> Line:
    """The line that stands for something folded; a click on it or Enter opens it."""
    return line([Segment(cut(f"{'▾' if is_open else '▸'} {words}", width), style + fold_meta(key))])


def thinking_words(item: Item, words: int) -> str:
    amount = plural(words, "word")
    if item.state == "streaming" and not item.text:
        return f"thinking · {amount}"
    if item.thinking_s is None:
        return f"thought · {amount}"
    return f"thought for {_seconds(item.thinking_s)} · {amount}"


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 1 else f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def tool(call: ToolCall, number: int, is_open: bool, width: int, palette: Palette) -> list[Line]:
    words = f"{plain(call.name)}({cut(plain(call.arguments[:500]), 60)})"
    if not call.result:
        words += " · no result yet"
    lines = [fold(words, f"tool {number}", is_open, width, palette.tool)]
    if is_open:
        quiet = palette._replace(text=palette.muted)
        for text in filter(None, (call.arguments, call.result)):
            shown = text[:TOOL_TEXT_LIMIT]
            lines.extend(shifted(markdown.raw_lines(shown, max(width - 2, 1), quiet)))
            if len(text) > TOOL_TEXT_LIMIT:
                left_out = f"… {len(text) - TOOL_TEXT_LIMIT:,} more characters"
                lines.append(line([Segment("  "), Segment(cut(left_out, width - 2), palette.faint)], indent=2))
    return lines


def shifted(lines: Iterable[Line]) -> Iterable[Line]:
    """Two cells further to the right."""
    margin = Segment("  ")
    for each in lines:
        yield each._replace(strip=LineStrip([margin, *each.strip], each.strip.cell_length + 2), indent=each.indent + 2)


def chips(attachments: Sequence[Attached], width: int, palette: Palette) -> list[Line]:
    parts = [
        (f"{'▣' if each.is_picture else '▤'} {plain(each.name)} {size_words(each.size_bytes)}", palette.accent)
        for each in attachments
    ]
    return flow(parts, width, "   ", palette.faint)


VERDICTS = {
    "exact": ("✓ exact", "ok"),
    "close": ("≈ close", "warn"),
    "not found": ("✗ not found there", "bad"),
}
"""What the check of quotes says of a source, and the colour of it."""


def sources(given: Sequence[SourceLine], width: int, palette: Palette) -> list[Line]:
    """A line for each; under one whose sentence is not in it, that sentence. A click opens the place."""
    lines = []
    for each in given:
        meta = Style(meta={"source": each.number})
        mark = f"[{each.number}] "
        verdict, colour = VERDICTS.get(each.verdict, ("", "faint"))
        if each.excluded:
            verdict, colour = "put away", "faint"
        room = max(width - len(mark) - (cell_len(verdict) + 2 if verdict else 0), 4)
        style = palette.faint if each.excluded else palette.muted
        if each.verdict == "not found" and not each.excluded:
            style += Style(strike=True)
        segments = [Segment(mark, palette.accent + meta), Segment(cut(plain(each.words), room), style + meta)]
        if verdict:
            segments.append(Segment(f"  {verdict}", getattr(palette, colour) + meta))
        lines.append(line(segments))
        if each.doubt and not each.excluded:
            indent = len(mark)
            words = cut(f"not in it: “{plain(each.doubt)}”", max(width - indent, 4))
            lines.append(line([Segment(" " * indent), Segment(words, palette.bad + meta)], indent=indent))
    return lines


def notes(told: Sequence[str], width: int, palette: Palette) -> list[Line]:
    """What the documents had to say beside their passages."""
    return [each for note in told for each in _told(f"! {note}", width, palette._replace(text=palette.muted))]


def trouble(item: Item, width: int, palette: Palette) -> list[Line]:
    """What ended an answer early, and what can be done about it."""
    if item.state == "failed":
        what, colour, hint = (
            f"✗ {item.error or 'The answer broke off.'}",
            palette.bad,
            "r asks again, c goes on from here.",
        )
    elif item.state == "stopped":
        what, colour, hint = f"■ {item.error or 'Stopped.'}", palette.warn, "c goes on from here, r asks again."
    elif item.error is not None:
        what, colour, hint = f"! {item.error}", palette.warn, ""
    else:
        return []
    lines = list(_told(what, width, palette._replace(text=colour)))
    for each in (item.hint or hint).splitlines():
        lines += _told(f"→ {each}", width, palette._replace(text=palette.muted))
    return lines


def _told(words: str, width: int, palette: Palette) -> Sequence[Line]:
    return markdown.raw_lines(plain(words), max(width, 1), palette)


def foot(item: Item, width: int, palette: Palette) -> list[Line]:
    parts = [(plain(words), getattr(palette, name, palette.faint)) for words, name in item.foot]
    return flow(parts, width, " · ", palette.faint)
