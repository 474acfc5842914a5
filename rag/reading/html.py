"""HTML: what a reader of the page would see, with a section for each heading.

The tree is walked without recursion, because a page may nest as deep as it likes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rag.reading.layout import Layout, Reading
from rag.reading.limits import Limits

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_DROPPED = frozenset((
    "script", "style", "head", "nav", "noscript", "template", "svg", "iframe", "object", "embed", "canvas", "audio",
    "video", "map", "select", "textarea", "button", "input", "dialog", "datalist", "link", "meta", "frameset",
    "frame", "applet",
))  # fmt: skip
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "center", "details", "dir", "div", "dl", "fieldset",
    "figcaption", "figure", "footer", "form", "header", "hr", "html", "li", "main", "menu", "ol", "p", "section",
    "summary", "ul", "dd", "dt", "legend", "hgroup", "caption", "table", "thead", "tbody", "tfoot", "tr", "pre",
    "listing", "xmp", "h1", "h2", "h3", "h4", "h5", "h6",
))  # fmt: skip
_APART = frozenset((
    "p", "ul", "ol", "dl", "table", "pre", "listing", "xmp", "blockquote", "figure", "article", "section", "h1",
    "h2", "h3", "h4", "h5", "h6",
))  # fmt: skip
_AS_WRITTEN = frozenset(("pre", "listing", "xmp"))
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\n\r\f]+")
_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})"""
    rb"""|<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w.:-]{1,40})""",
    re.IGNORECASE,
)
_NAVIGATION_ROLES = ("navigation", "search", "menu", "menubar", "toolbar")
_CELLS = ("td", "th")
_MOST_DEEP = 20_000
"""Elements within elements. The parser's time grows with the square of it: 1 s for this, 20 s for 100,000."""
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_NEVER_DEEP = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "a", "button", "colgroup", "dd", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "li", "nobr", "optgroup", "option",
    "p", "rb", "rp", "rt", "rtc", "tbody", "td", "tfoot", "th", "thead", "tr", "html", "head", "body",
))  # fmt: skip
"""Those that hold nothing, and those that end by themselves where the next one begins, and so need no end."""


def declared_charset(content: bytes) -> str | None:
    found = _DECLARED.search(content[:4096])
    return (found[1] or found[2]).decode("ascii") if found else None


class _Open(NamedTuple):
    """What changes when an element ends."""

    node: LexborNode
    tag: str


class _Writer:
    """Blanks are drawn together as on a page, blocks stand on lines of their own."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.breaks = 0
        """Line ends owed before the next word."""
        self.blank = False
        """Whether a blank is owed."""
        self.prefix = ""
        """Stands before the next word: the sign of a list's item, the bar between cells."""
        self.fresh = True
        """Whether nothing was written yet."""

    def end_line(self, count: int) -> None:
        self.breaks = max(self.breaks, count)

    def write(self, text: str) -> None:
        if not text:
            return
        before = ""
        if self.breaks:
            before = "" if self.fresh else "\n" * self.breaks
        elif self.blank:
            before = " "
        self.layout.add(before + self.prefix + text)
        self.breaks, self.blank, self.prefix, self.fresh = 0, False, "", False

    def words(self, text: str) -> None:
        flowing = _BLANKS.sub(" ", text)
        if flowing.startswith(" "):
            self.blank = True
        stripped = flowing.strip(" ")
        if stripped:
            self.write(stripped)
            self.blank = flowing.endswith(" ")

    def as_written(self, text: str) -> None:
        if self.blank and not self.breaks:
            self.blank = False
        self.write(text.strip("\n") if self.breaks else text)


def _is_shown(node: LexborNode, tag: str) -> bool:
    if tag in _DROPPED:
        return False
    attributes = node.attributes
    if not attributes:
        return True
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return False
    style = attributes.get("style")
    if style and _HIDDEN.search(style):
        return False
    if attributes.get("role") in _NAVIGATION_ROLES:
        return False
    return not (tag == "a" and "headerlink" in (attributes.get("class") or ""))


def _main_part(body: LexborNode) -> LexborNode:
    """The part that the page calls its main one, where it holds enough to be it."""
    for selector in ("main", "[role=main]"):
        found = body.css(selector)
        if len(found) == 1 and len(found[0].text(strip=True)) >= 200:
            return found[0]
    return body


def read(name: str, text: str, limits: Limits) -> Reading:
    layout = Layout(name, limits)
    pour(text, layout)
    return layout.finish("text/html")


def pour(html: str, layout: Layout, *, as_section: bool = False) -> None:
    """The text of a page into a layout that may already hold something."""
    from selectolax.lexbor import LexborHTMLParser

    if html.count("<") > _MOST_DEEP and _depth(html) > _MOST_DEEP:
        layout.refuse_depth(_MOST_DEEP)
    parser = LexborHTMLParser(html)
    title = parser.css_first("head > title")
    if title is not None and not layout.title:
        layout.title = title.text()
    body = parser.body
    if body is None:
        return
    layout.gap()
    if as_section:
        layout.begin(layout.path)
    _walk(_main_part(body), layout)


def _depth(html: str) -> int:
    """About how deep elements stand in each other, without parsing."""
    deep = deepest = 0
    for found in _TAG.finditer(html):
        if found[2].lower() in _NEVER_DEEP:
            continue
        if found[1]:
            deep = max(0, deep - 1)
        else:
            deep += 1
            deepest = max(deepest, deep)
    return deepest


def _walk(root: LexborNode, layout: Layout) -> None:
    writer = _Writer(layout)
    open_elements: list[_Open] = []
    lists: list[int | None] = []
    written = 0  # how many open elements keep their blanks
    node: LexborNode | None = root
    while node is not None:
        tag = node.tag
        inside = None
        if tag == "-text":
            text = node.text_content
            if text:
                if written:
                    writer.as_written(text)
                else:
                    writer.words(text)
        elif tag and tag[0] != "-" and tag != "!doctype" and _is_shown(node, tag):
            if tag in _BLOCKS:
                writer.end_line(2 if tag in _APART and not (lists and tag in ("ul", "ol", "p")) else 1)
            if tag in _HEADINGS:
                words = _BLANKS.sub(" ", node.text().replace("¶", " ")).strip()
                if words:
                    if not writer.fresh:
                        layout.add("\n" * max(writer.breaks, 2))
                    writer.breaks, writer.blank, writer.fresh, writer.prefix = 0, False, True, ""
                    layout.heading(_HEADINGS[tag], words, shown=False)
                    layout.add(words)
                    writer.fresh = False
                    writer.end_line(2)
            elif tag == "br":
                if written:
                    writer.write("\n")
                else:
                    writer.end_line(1)
            elif tag == "img":
                writer.words(f" {(node.attributes.get('alt') or '').strip()} ")
            else:
                if tag in ("ul", "ol", "menu"):
                    lists.append(1 if tag == "ol" else None)
                elif tag == "li":
                    number = lists[-1] if lists else None
                    sign = "- " if number is None else f"{number}. "
                    if number is not None:
                        lists[-1] = number + 1
                    writer.prefix = "  " * (min(len(lists), 8) - 1) + sign
                elif tag in _CELLS and _has_cell_before(node):
                    writer.breaks = 0
                    writer.blank = True
                    writer.prefix += "| "
                elif tag == "dd":
                    writer.prefix = "  "
                elif tag in _AS_WRITTEN:
                    written += 1
                inside = node.child
                if inside is not None:
                    open_elements.append(_Open(node, tag))
                else:
                    lists, written = _leave(tag, writer, lists, written)
        if inside is not None:
            node = inside
            continue
        following = None if node.mem_id == root.mem_id else node.next
        while following is None and open_elements:
            ended = open_elements.pop()
            lists, written = _leave(ended.tag, writer, lists, written)
            following = None if ended.node.mem_id == root.mem_id else ended.node.next
        node = following


def _leave(tag: str, writer: _Writer, lists: list[int | None], written: int) -> tuple[list[int | None], int]:
    if tag in ("ul", "ol", "menu"):
        lists.pop()
        if not lists:
            writer.end_line(2)
    elif tag in _AS_WRITTEN:
        written -= 1
    if tag in _BLOCKS:
        writer.end_line(2 if tag in _APART and not lists else 1)
    if tag == "tr":
        writer.prefix = ""
    return lists, written


def _has_cell_before(cell: LexborNode) -> bool:
    before = cell.prev
    while before is not None:
        if before.tag in _CELLS:
            return True
        if before.tag != "-text":
            return False
        before = before.prev
    return False
