"""The inside of a paragraph: emphasis, code, links, marks and formulas, as runs of styled text.

Every construct is read with work that is bounded by the length of the text: what could be looked for again and again
(a closing back-tick, dollar or bracket) is looked up in what was found before. Emphasis is read as in CommonMark but
for one leniency: a star may open or close next to punctuation, as models write `**Note:**text`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from rich.style import Style

from screens.markdown.clean import clean
from screens.markdown.latex import readable
from screens.markdown.lines import Row
from screens.theme import Palette

STRONG, EMPHASIS, STRIKE, CODE, MATH, MARK, LINK, MUTED = (1 << bit for bit in range(8))
_SPECIAL = re.compile(r"[\\`*_~\[\]<&$\n!]|https?://|www\.")
_ESCAPABLE = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_TICKS = re.compile("`+")
_AUTOLINK = re.compile(r"<((?:https?|ftp|mailto):[^\s<>]{1,2000}|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,8})>")
_BREAK = re.compile(r"<br\s{0,4}/?>\n?", re.IGNORECASE)
_URL = re.compile(r"(?:https?://|www\.)[^\s<>`\x00-\x1f]{1,2000}")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TARGET = re.compile(
    r"""\([ \n]{0,4}(?:<([^<>\n]{0,2000})>|((?:[^\s()<>\\]|\\.|\((?:[^\s()\\]|\\.){0,500}\)){0,2000}))"""
    r"""(?:[ \n]{1,4}(?:"([^"]{0,500})"|'([^']{0,500})'|\(([^()]{0,500})\)))?[ \n]{0,4}\)"""
)
_LABEL = re.compile(r"\[([^\[\]]{0,200})\]")
_MARK = re.compile(r"\[\^?\d{1,3}(?:\s?[,;–-]\s?\d{1,3}){0,8}\]")
_NUMBER = re.compile(r"\d+")
_FORMULA = re.compile(
    r"\$(?![\s\d$])([^$\n]{0,499}?[^\s\\$])\$(?!\d)"
    r"|\$(\d[^$\n]{0,200}?[\\^_=][^$\n]{0,200}?[^\s\\$])\$(?!\d)"
)
_OPENABLE = re.compile(r"(?:https?|ftp)://[^\s]|mailto:[^\s]", re.IGNORECASE)
_TRAILING = ".,:;!?'\"*_~"

References = Mapping[str, str]


class Inline(NamedTuple):
    runs: Row
    wanted: frozenset[str] = frozenset()
    """Labels that looked like references and were not defined yet."""


class Inks:
    """The styles of one palette, combined once each."""

    def __init__(self, palette: Palette) -> None:
        self.palette = palette
        self._made: dict[tuple[Style, int], Style] = {}

    def style(self, base: Style, flags: int) -> Style:
        if not flags:
            return base
        key = (base, flags)
        style = self._made.get(key)
        if style is None:
            style = self._made[key] = self._combined(base, flags)
        return style

    def target(self, base: Style, address: str) -> Style:
        """The style of an address that is shown as it is."""
        if not _OPENABLE.match(address):
            return base
        return self.style(base, LINK) + Style(meta={"link": address})

    def _combined(self, base: Style, flags: int) -> Style:
        palette = self.palette
        style = base
        if flags & MUTED:
            style += palette.muted
        if flags & STRONG:
            style += palette.strong if base is palette.text else Style(bold=True)
        if flags & EMPHASIS:
            style += Style(italic=True)
        if flags & STRIKE:
            style += Style(strike=True)
        if flags & MATH:
            style += Style(italic=True) + Style(color=palette.syntax_number.color)
        if flags & LINK:
            style += palette.link
        if flags & CODE:
            style += palette.code
        if flags & MARK:
            style += palette.accent
        return style


class _Delimiter:
    """A run of stars, underscores or tildes that may begin or end emphasis."""

    __slots__ = ("closes", "count", "node", "opens", "sign")

    def __init__(self, node: int, sign: str, count: int, opens: bool, closes: bool) -> None:
        self.node = node
        self.sign = sign
        self.count = count
        self.opens = opens
        self.closes = closes


def parse(source: str, base: Style, inks: Inks, references: References, *, open_end: bool = False) -> Inline:
    """Runs of a text whose lines are divided by "\\n". Line ends stay line ends: what was broken stays broken.

    With `open_end` the text may go on: emphasis and code that were begun last until its end, and the target of a link
    is not shown while it comes, so that words do not change their looks when the closing sign comes.
    """
    text = clean(source)
    if not _SPECIAL.search(text):
        return Inline([(text, base)] if text else [])
    if open_end:
        text = _without_open_target(text)
    reader = _Reader(text, references, open_end)
    reader.read()
    return Inline(reader.runs(base, inks), frozenset(reader.wanted))


def _without_open_target(text: str) -> str:
    start = text.rfind("](", max(len(text) - 2000, 0))
    if start < 0 or any(character in text[start + 2 :] for character in ") \n"):
        return text
    return text[: start + 2] + ")"


class _Reader:
    def __init__(self, text: str, references: References, open_end: bool) -> None:
        self._text = text
        self._open_end = open_end
        self._references = references
        self.wanted: set[str] = set()
        # A node is text with flags; spans that begin or end at nodes say what lies over it.
        self._nodes: list[str] = []
        self._flags: list[int] = []
        self._addresses: dict[int, tuple[str, str]] = {}  # node -> (key, value) of its own metadata
        self._opens: dict[int, list[tuple[int, str]]] = {}  # before node: flag, address
        self._closes: dict[int, list[tuple[int, str]]] = {}  # before node
        self._delimiters: list[_Delimiter] = []
        self._brackets: list[tuple[int, int, bool]] = []  # node, position after the bracket, of an image
        self._inactive = 0  # so many of the brackets enclose a link
        self._ticks: dict[int, list[int]] | None = None
        self._never: set[str] = set()  # closers of which no more come

    def read(self) -> None:
        text = self._text
        position = 0
        search = _SPECIAL.search
        while True:
            special = search(text, position)
            if special is None:
                self._add(text[position:])
                break
            start = special.start()
            if start > position:
                self._add(text[position:start])
            position = self._special(special[0], start)
        self._emphasis()

    def _add(self, text: str, flags: int = 0) -> int:
        if text:
            self._nodes.append(text)
            self._flags.append(flags)
        return len(self._nodes)

    def _special(self, sign: str, at: int) -> int:
        """Read what begins at `at`; returns where reading goes on."""
        text = self._text
        match sign:
            case "\\":
                return self._escape(at)
            case "`":
                return self._code(at)
            case "*" | "_" | "~":
                return self._delimiter(sign, at)
            case "!":
                if text.startswith("[", at + 1):
                    self._brackets.append((len(self._nodes), at + 2, True))
                    self._add("![")
                    return at + 2
                self._add("!")
                return at + 1
            case "[":
                return self._bracket(at)
            case "]":
                return self._close_bracket(at)
            case "<":
                return self._angle(at)
            case "&":
                return self._entity(at)
            case "$":
                return self._dollar(at)
            case "\n":
                if self._nodes:
                    self._nodes[-1] = self._nodes[-1].rstrip(" ")
                self._add("\n")
                following = at + 1
                while text.startswith(" ", following):
                    following += 1
                return following
            case _:
                return self._address(at)

    def _escape(self, at: int) -> int:
        text = self._text
        following = text[at + 1 : at + 2]
        if following in ("(", "["):
            closer = "\\)" if following == "(" else "\\]"
            end = -1 if closer in self._never else text.find(closer, at + 2, at + 2002)
            if end > at + 2:
                self._add(readable(text[at + 2 : end]), MATH)
                return end + 2
            if end < 0 and text.find(closer, at + 2) < 0:
                self._never.add(closer)
        if following == "\n":
            return at + 1  # a hard break: the line end itself is what is shown
        if following and following in _ESCAPABLE:
            self._add(following)
            return at + 2
        self._add("\\")
        return at + 1

    def _code(self, at: int) -> int:
        text = self._text
        if self._ticks is None:
            self._ticks = {}
            for found in _TICKS.finditer(text):
                self._ticks.setdefault(len(found[0]), []).append(found.start())
            for starts in self._ticks.values():
                starts.reverse()
        run = _TICKS.match(text, at)
        assert run is not None
        size = len(run[0])
        starts = self._ticks.get(size, [])
        while starts and starts[-1] <= at:
            starts.pop()
        if not starts:
            if self._open_end and size < 3 and run.end() < len(text) and "\n" not in text[run.end() :]:
                self._add(text[run.end() :], CODE)
                return len(text)
            self._add(run[0])
            return run.end()
        end = starts[-1]
        inside = text[run.end() : end].replace("\n", " ")
        if len(inside) > 2 and inside[0] == inside[-1] == " " and inside.strip():
            inside = inside[1:-1]
        self._add(inside or " ", CODE)
        return end + size

    def _delimiter(self, sign: str, at: int) -> int:
        text = self._text
        end = at + 1
        while text.startswith(sign, end):
            end += 1
        count = end - at
        before = text[at - 1 : at] or " "
        after = text[end : end + 1] or " "
        opens = not after.isspace()
        closes = not before.isspace()
        if sign == "_":
            opens, closes = opens and not _is_word(before), closes and not _is_word(after)
        elif sign == "~" and count > 2:
            opens = closes = False
        if opens and closes and sign == "*" and not _is_word(after) and _is_word(before):
            opens = False  # a word, stars, punctuation: that ends
        elif (
            opens
            and closes
            and sign == "*"
            and _is_word(after)
            and not _is_word(before)
            and before not in ".,:;!?)]}»”’'\"`。，：；！？）」』"
        ):
            closes = False
        self._add(text[at:end])
        if opens or closes:
            self._delimiters.append(_Delimiter(len(self._nodes) - 1, sign, count, opens, closes))
        return end

    def _bracket(self, at: int) -> int:
        text = self._text
        mark = _MARK.match(text, at)
        if mark and text[mark.end() : mark.end() + 1] not in ("(", "["):
            label = _normal(mark[0][1:-1])
            address = self._references.get(label)
            if address is None:
                self.wanted.add(label)
            self._mark(mark[0], address)
            return mark.end()
        self._brackets.append((len(self._nodes), at + 1, False))
        self._add("[")
        return at + 1

    def _mark(self, text: str, address: str | None) -> None:
        """A numbered mark. Each number in it can be followed on its own."""
        position = 0
        for number in _NUMBER.finditer(text):
            # The brackets belong to the outer numbers, so that a mark of one number is one target.
            end = number.end() if number.end() < len(text) - 1 else len(text)
            key = ("link", address) if address and _OPENABLE.match(address) else ("source", number[0])
            self._addresses[len(self._nodes)] = key
            self._add(text[position:end], MARK)
            position = end

    def _close_bracket(self, at: int) -> int:
        text = self._text
        if not self._brackets:
            self._add("]")
            return at + 1
        node, inside, image = self._brackets.pop()
        if len(self._brackets) < self._inactive:
            self._inactive = len(self._brackets)
            if not image:  # a link holds no link: brackets around one are brackets
                self._add("]")
                return at + 1
        target = _TARGET.match(text, at + 1) if text.startswith("(", at + 1) else None
        if target:
            address = target[1] if target[1] is not None else target[2]
            self._link(node, text[inside:at], _unescaped(address), image)
            return target.end()
        label = _LABEL.match(text, at + 1)
        name = _normal(label[1] if label and label[1] else text[inside:at]) if at - inside <= 200 else ""
        if name in self._references:
            self._link(node, text[inside:at], self._references[name], image)
            return label.end() if label else at + 1
        if name:
            self.wanted.add(name)
        self._add("]")
        return at + 1

    def _link(self, node: int, words: str, address: str, image: bool) -> None:
        """Turn the nodes from the opening bracket to here into a link."""
        if not image:
            self._inactive = len(self._brackets)
        self._nodes[node] = "▣ " if image else ""
        if len(self._nodes) == node + 1:
            self._add(_shown_address(address) or ("image" if image else "link"))
        openable = _OPENABLE.match(address) is not None
        self._opens.setdefault(node, []).append((LINK, address if openable else ""))
        self._closes.setdefault(len(self._nodes), []).append((LINK, address if openable else ""))
        if (not openable and address and address != words) or (openable and _misleads(words, address)):
            self._add(f" ({_shown_address(address)})", MUTED)

    def _angle(self, at: int) -> int:
        text = self._text
        if found := _BREAK.match(text, at):
            self._add("\n")
            return found.end()
        if found := _AUTOLINK.match(text, at):
            address = found[1]
            self._addresses[len(self._nodes)] = ("link", address if ":" in address else f"mailto:{address}")
            self._add(address, LINK)
            return found.end()
        self._add("<")
        return at + 1

    def _entity(self, at: int) -> int:
        found = _ENTITY.match(self._text, at)
        if found:
            from html import unescape  # a table of 2,000 names, for texts that have one

            character = clean(unescape(found[0]))
            if character != found[0]:
                self._add(character.replace("\n", " ") or "\ufffd")
                return found.end()
        self._add("&")
        return at + 1

    def _dollar(self, at: int) -> int:
        text = self._text
        if text.startswith("$$", at):
            end = -1 if "$$" in self._never else text.find("$$", at + 2, at + 2002)
            if end > at + 2:
                self._add(readable(text[at + 2 : end].strip()), MATH)
                return end + 2
            if end < 0:
                self._never.add("$$")
            self._add("$$")
            return at + 2
        if found := _FORMULA.match(text, at):
            self._add(readable(found[1] or found[2]), MATH)
            return found.end()
        self._add("$")
        return at + 1

    def _address(self, at: int) -> int:
        text = self._text
        found = _URL.match(text, at)
        if not found or (at and _is_word(text[at - 1])) or self._in_link_text():
            end = at + 1
            self._add(text[at:end])
            return end
        address = found[0].rstrip(_TRAILING)
        while address.endswith((")", "]", "}")):
            closer = address[-1]
            if address.count(closer) <= address.count("([{"[")]}".index(closer)]):
                break
            address = address[:-1].rstrip(_TRAILING)
        if closer_at := _first_unbalanced(address):
            address = address[:closer_at]
        target = address if address.startswith("http") else f"https://{address}"
        self._addresses[len(self._nodes)] = ("link", target)
        self._add(address, LINK)
        return at + max(len(address), 1)

    def _in_link_text(self) -> bool:
        """Inside brackets that a target follows, a bare address is only words."""
        if not self._brackets:
            return False
        close = self._text.find("](", self._brackets[-1][1], self._brackets[-1][1] + 500)
        return close >= 0

    def _emphasis(self) -> None:
        """Pair the delimiters. A search that failed is not made twice over the same ones."""
        stack: list[_Delimiter] = []
        floor: dict[tuple[str, int, bool], int] = {}
        for delimiter in self._delimiters:
            if delimiter.closes:
                key = (delimiter.sign, delimiter.count % 3, delimiter.opens)
                while delimiter.count:
                    bottom = min(floor.get(key, 0), len(stack))
                    index = len(stack) - 1
                    while index >= bottom and not _pair(stack[index], delimiter):
                        index -= 1
                    if index < bottom:
                        floor[key] = len(stack)
                        break
                    opener = stack[index]
                    del stack[index + 1 :]
                    for known, height in floor.items():
                        if height > len(stack):
                            floor[known] = len(stack)
                    self._span(opener, delimiter)
                    if not opener.count:
                        stack.pop()
            if delimiter.opens and delimiter.count:
                stack.append(delimiter)
        if self._open_end:
            self._leave_open(stack)

    def _leave_open(self, stack: list[_Delimiter]) -> None:
        end = len(self._nodes)
        for opener in stack:
            if opener.sign == "*" and opener.count in (1, 2) and opener.node + 1 < end and not opener.closes:
                self._opens.setdefault(opener.node + 1, []).append((STRONG if opener.count == 2 else EMPHASIS, ""))
                self._nodes[opener.node] = ""

    def _span(self, opener: _Delimiter, closer: _Delimiter) -> None:
        if opener.sign == "~":
            taken, flag = opener.count, STRIKE
        else:
            taken = 2 if opener.count >= 2 and closer.count >= 2 else 1
            flag = STRONG if taken == 2 else EMPHASIS
        for delimiter in (opener, closer):
            delimiter.count -= taken
            self._nodes[delimiter.node] = delimiter.sign * delimiter.count
        self._opens.setdefault(opener.node + 1, []).append((flag, ""))
        self._closes.setdefault(closer.node, []).append((flag, ""))

    def runs(self, base: Style, inks: Inks) -> Row:
        runs: Row = []
        over = [0] * 8
        flags = 0
        address = ""
        for index, text in enumerate(self._nodes):
            for flag, _ in self._closes.get(index, ()):
                bit = flag.bit_length() - 1
                over[bit] -= 1
                if not over[bit]:
                    flags &= ~flag
                if flag == LINK:
                    address = ""
            for flag, target in self._opens.get(index, ()):
                over[flag.bit_length() - 1] += 1
                flags |= flag
                if flag == LINK:
                    address = target
            if not text:
                continue
            style = inks.style(base, flags | self._flags[index])
            own = self._addresses.get(index)
            if address:
                style += Style(meta={"link": address})
            elif own:
                style += Style(meta={own[0]: own[1]})
            if runs and runs[-1][1] == style:
                runs[-1] = (runs[-1][0] + text, runs[-1][1])
            else:
                runs.append((text, style))
        return runs


def _pair(opener: _Delimiter, closer: _Delimiter) -> bool:
    if opener.sign != closer.sign:
        return False
    if opener.sign == "~":
        return opener.count == closer.count
    either = opener.closes or closer.opens
    return not (either and (opener.count + closer.count) % 3 == 0 and (opener.count % 3 or closer.count % 3))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _normal(label: str) -> str:
    return " ".join(label.split()).casefold()


def normal_label(label: str) -> str:
    """The name under which a reference is kept: case and blanks do not count."""
    return _normal(clean(label))


_ESCAPED = re.compile(r"\\([!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~])")


def _unescaped(address: str) -> str:
    return _ESCAPED.sub(r"\1", address)


def _shown_address(address: str) -> str:
    return address if len(address) <= 200 else address[:199] + "…"


_HOST = re.compile(
    r"^(?:[a-z][a-z0-9+.-]{0,20}://)?(?:[^\s/@]{0,100}@)?((?:[\w-]{1,63}\.){1,8}[a-z]{2,24})(?=[/:?#]|$)", re.IGNORECASE
)
_CODE_FILES = "py js ts md txt rs go sh json yaml yml toml html css csv pdf cpp java rb php sql xml ini cfg log"
_FILE_ENDINGS = frozenset(_CODE_FILES.split())


def _misleads(words: str, address: str) -> bool:
    """Whether the words look like one host and the address goes to another one."""
    said = _HOST.match(words.strip(" *_`"))
    if not said or ("/" not in words and said[1].rpartition(".")[2].lower() in _FILE_ENDINGS):
        return False
    goes = _HOST.match(address)
    return not goes or goes[1].lower().removeprefix("www.") != said[1].lower().removeprefix("www.")


def _first_unbalanced(address: str) -> int:
    """Where a bracket closes that was not opened in the address: `[words https://a.b](…`."""
    depth = 0
    for index, character in enumerate(address):
        if character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
            if depth < 0:
                return index
    return 0
