"""The Python documentation as a test of retrieval: its pages, and the questions of its FAQ, which are held out of them.

It comes from Debian's package and is unpacked into a cache folder; nothing of it is kept here.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from rag.documents import Section
from rag.readers import DocumentText

GET = """There is no Python documentation in {folder}. On Debian or Ubuntu, or with their archives at hand:
    mkdir -p {folder} && cd {folder}
    apt-get download python3.11-doc && dpkg-deb -x python3.11-doc_*.deb ."""
_TITLES = 400
_LEFT_OUT = re.compile(r"(^|/)(genindex.*|py-modindex|contents|search|download|changelog|index)\.html$")
_BLOCK_TAGS = "p li dt dd pre tr div table ul ol dl section blockquote figure h1 h2 h3 h4 h5 h6"
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SKIPPED = frozenset(("script", "style", "nav"))
_HELD_OUT_CLASSES = ("contents", "toctree-wrapper", "sphinxsidebar", "related", "topic")


class Question(NamedTuple):
    text: str
    page: str
    start: int
    """Where the answer stands: characters of the page's text."""
    end: int
    kind: str
    """faq: a question as a person asks it · title: the heading of a section."""

    @property
    def is_for_tuning(self) -> bool:
        return blake2b(self.text.encode(), digest_size=1).digest()[0] % 2 == 0


class Corpus(NamedTuple):
    pages: tuple[DocumentText, ...]
    questions: tuple[Question, ...]


def load(folder: Path) -> Corpus:
    """Parses it once; after that it is read from a file beside it. Exits with what to do when it is not there."""
    kept = folder / "corpus-2.json.z"
    if not kept.exists():
        html = next(folder.glob("usr/share/doc/python3*/html"), None)
        if html is None:
            raise SystemExit(GET.format(folder=folder))
        made = _parsed(html)
        kept.write_bytes(zlib.compress(json.dumps(made).encode(), 3))
    raw = json.loads(zlib.decompress(kept.read_bytes()))
    pages = tuple(
        DocumentText(
            name,
            "text/html",
            text,
            sections=tuple(Section(tuple(headings), start, end) for headings, start, end in sections),
        )
        for name, text, sections in raw["pages"]
    )
    return Corpus(pages, tuple(Question(*question) for question in raw["questions"]))


def _parsed(html: Path) -> dict[str, Any]:
    from selectolax.lexbor import LexborHTMLParser

    walks = []
    for path in sorted(html.rglob("*.html")):
        name = path.relative_to(html).as_posix()
        if _LEFT_OUT.search(name) or name.startswith("_"):
            continue
        body = LexborHTMLParser(path.read_text("utf-8")).css_first("div.body")
        if body is not None:
            walks.append(_Walk(name, body))
    titles = _chosen_titles(walks)
    pages, questions = [], []
    for walk in walks:
        text, sections, held_out = walk.written(titles)
        pages.append((walk.name, text, sections))
        questions.extend(held_out)
    return {"pages": pages, "questions": questions}


class _Walk:
    """A page as blocks of text under headings."""

    def __init__(self, name: str, body: Any) -> None:
        self.name = name
        self.parts: list[tuple[tuple[str, ...], list[str]]] = [((), [])]
        self._words: list[str] = []
        self._visit(body, ())

    def _visit(self, node: Any, path: tuple[str, ...]) -> tuple[str, ...]:
        child = node.child
        while child is not None:
            tag = child.tag
            if tag == "-text":
                self._words.append(child.text_content or "")
            elif tag is not None and not tag.startswith("-") and tag not in _SKIPPED:
                path = self._element(child, tag, path)
            child = child.next
        return path

    def _element(self, node: Any, tag: str, path: tuple[str, ...]) -> tuple[str, ...]:
        classes = node.attributes.get("class") or ""
        if any(name in classes.split() for name in _HELD_OUT_CLASSES):
            return path
        if tag == "pre":
            self._end_block()
            self.parts[-1][1].append(node.text(deep=True).strip("\n"))
        elif len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self._end_block()
            title = " ".join(node.text(deep=True).replace("¶", "").split())
            path = (*path[: int(tag[1]) - 1], title)
            self.parts.append((path, []))
        elif tag == "a" and "headerlink" in classes:
            pass
        else:
            if tag in _BLOCKS:
                self._end_block()
            inner = self._visit(node, path)
            if tag in _BLOCKS:
                self._end_block()
            if tag != "section":
                path = inner
        return path

    def _end_block(self) -> None:
        words = " ".join("".join(self._words).split())
        self._words.clear()
        if words:
            self.parts[-1][1].append(words)

    @property
    def is_faq(self) -> bool:
        return self.name.startswith("faq/")

    def written(self, titles: set[tuple[str, str]]) -> tuple[str, list[Any], list[Any]]:
        """The text with its sections. Headings that are asked for are blank, so that no other passes for theirs."""
        text = ""
        sections: list[Any] = []
        held_out: list[Any] = []
        for path, blocks in self.parts:
            if not path and not blocks:
                continue
            title = path[-1] if path else ""
            kind = "faq" if self.is_faq and title.endswith("?") else "title" if (self.name, title) in titles else ""
            hidden = {heading for heading in path if self.is_faq and heading.endswith("?")}
            hidden |= {heading for heading in path if (self.name, heading) in titles}
            headings = ["" if heading in hidden else heading for heading in path]
            start = len(text)
            text += "\n\n".join(blocks if kind or not title else [title, *blocks]) + "\n\n"
            if kind and blocks:
                held_out.append((title, self.name, start, len(text) - 2, kind))
            sections.append((headings, start, len(text)))
        return text, sections, held_out


def _chosen_titles(walks: list[_Walk]) -> set[tuple[str, str]]:
    counts: dict[str, int] = {}
    for walk in walks:
        for path, _ in walk.parts:
            counts[path[-1] if path else ""] = counts.get(path[-1] if path else "", 0) + 1
    good = sorted(_candidates(walks, counts), key=lambda pair: blake2b("\0".join(pair).encode()).digest())
    return set(good[:_TITLES])


def _candidates(walks: list[_Walk], counts: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Headings of two words or more that stand once in the documentation, over a text worth finding."""
    for walk in walks:
        for path, blocks in walk.parts:
            if walk.is_faq or len(path) < 2 or counts[path[-1]] > 1 or walk.name.startswith("whatsnew/"):
                continue
            if len(path[-1].split()) >= 2 and sum(map(len, blocks)) >= 300:
                yield walk.name, path[-1]
