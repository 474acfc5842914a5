"""The stored corpus of Markdown: sources in tests/data/markdown/*.md, beside each what is drawn of it, as *.txt.

After a change that is meant, write the drawings anew and read the difference before it is committed:

    python -m tests.screens.markdown_corpus

A drawing has the text at two widths and then, at the wider one, the style of every piece of each line by the names of
the palette: `+b` bold, `+i` italic, `+u` underlined, `+s` struck through, `>` a link's or mark's target.
"""

from __future__ import annotations

from pathlib import Path

from rich.color import Color
from rich.style import Style

from screens.markdown import Line, render
from screens.theme import Palette

FOLDER = Path(__file__).parent.parent / "data" / "markdown"
WIDE, NARROW = 64, 24


def named_palette() -> Palette:
    """A palette whose colours tell which field they are: the number of the field is the blue part."""
    styles = [Style(color=Color.from_rgb(0, 0, index)) for index in range(len(Palette._fields))]
    made = Palette(*styles)
    return made._replace(
        strong=made.strong + Style(bold=True),
        emphasis=made.emphasis + Style(italic=True),
        code_block=Style(bgcolor=Color.from_rgb(0, 0, Palette._fields.index("code_block"))),
    )


PALETTE = named_palette()


def sources() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def source(name: str) -> str:
    return (FOLDER / f"{name}.md").read_bytes().decode()


def golden(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_bytes().decode()


def drawing(text: str) -> str:
    parts = []
    for width in (WIDE, NARROW):
        rendering = render(text, width, PALETTE)
        parts.append(f"== {width} cells\n")
        parts.extend(f"{_flags(line)}|{line.strip.text}\n" for line in rendering.lines)
        if width == WIDE:
            codes = [f"{code.number} {code.language} {code.text!a}" for code in rendering.blocks]
            styled = [" ".join([_styled(segment) for segment in line.strip]) for line in rendering.lines]
    parts.append("== styles\n")
    parts.extend(f"{line}\n" for line in styled)
    parts.append("== code\n")
    parts.extend(f"{line[:400]}\n" for line in codes)
    return "".join(parts)


def _flags(line: Line) -> str:
    kind = ("~" if line.joint else "-") if line.continues else " "
    return f"{kind}{line.indent:3}{'#' if line.fill else ' '}"


def _styled(segment: tuple[str, Style | None, object]) -> str:
    text, style, _ = segment
    assert style is not None
    colours = [colour.triplet for colour in (style.bgcolor, style.color) if colour]
    shown = "/".join([Palette._fields[triplet.blue] for triplet in colours if triplet])
    shown += "".join(
        [f"+{name[0]}" for name in ("bold", "italic", "underline", "strike") if getattr(style, name)],
    )
    target = "".join([f">{value}" for value in style.meta.values()])
    return f"{shown}[{len(text)}]{ascii(target)[1:-1] if target else ''}"


def write() -> None:
    for name in sources():
        (FOLDER / f"{name}.txt").write_bytes(drawing(source(name)).encode())


if __name__ == "__main__":
    write()
