"""Where a citation says a passage stands, there it stands: for every chunk of every document of the corpus.

Lines, pages and characters are counted here by themselves, and compared with what the file itself holds where another
way of reading it is at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest

from rag.chunks import RoughCounter, Rules, cut
from rag.documents import Chunk
from rag.errors import RagError
from rag.readers import DocumentText, Reader, is_archive

DOCUMENTS = Path(__file__).parent.parent / "data" / "documents"
RULES = (Rules(chunk_tokens=40), Rules(), Rules(chunk_tokens=100, overlap_tokens=20))
ENCODED = {"guide.md": "utf-8", "ledger.csv": "utf-8", "guide-cp1252.txt": "cp1252", "guide-utf16.txt": "utf-16-le"}
LEAST_DOCUMENTS, LEAST_CHUNKS = 25, 150


@pytest.fixture(scope="module")
def corpus() -> dict[str, DocumentText]:
    """By path; documents in archives too."""
    found = {}
    with Reader() as reader:
        for path in sorted(each for each in DOCUMENTS.rglob("*") if each.is_file()):
            inside = [each.path for each in reader.members(str(path)) if not each.refused] if is_archive(path) else []
            for each in inside or [str(path)]:
                try:
                    found[each.removeprefix(f"{DOCUMENTS}/")] = reader.read(each)
                except RagError as error:
                    assert error.text.startswith(("'guide.rtf'", "'locked.pdf'", "'notice.png'")), error.text
    return found


def chunks(corpus: dict[str, DocumentText]) -> Iterator[tuple[str, DocumentText, Chunk]]:
    for path, document in corpus.items():
        for rules in RULES:
            for chunk in cut(document, RoughCounter(), rules):
                yield path, document, chunk


def test_every_chunk_stands_where_its_citation_says(corpus: dict[str, DocumentText]) -> None:
    count = 0
    for path, document, chunk in chunks(corpus):
        text, span = document.text, chunk.span
        count += 1
        assert chunk.text == text[span.start : span.end], path
        # One counts line ends, the other takes the lines that are named and looks for the passage in them.
        lines = text.split("\n")
        first = sum(len(line) + 1 for line in lines[: span.first_line - 1])
        last = sum(len(line) + 1 for line in lines[: span.last_line])
        assert first <= span.start < first + len(lines[span.first_line - 1]) + 1, path
        assert chunk.text.rstrip("\n") in "\n".join(lines[span.first_line - 1 : span.last_line]), path
        assert span.end <= last, path
        pages = [page.number for page in document.spans if page.start < span.end and span.start < page.end]
        assert (span.first_page, span.last_page) == ((pages[0], pages[-1]) if pages else (None, None)), path
        for heading in chunk.headings:
            assert heading.strip() == heading != "", path

    assert len(corpus) >= LEAST_DOCUMENTS
    assert count >= LEAST_CHUNKS


@pytest.mark.parametrize("name", sorted(ENCODED))
def test_lines_and_characters_are_those_of_the_file(corpus: dict[str, DocumentText], name: str) -> None:
    source = (DOCUMENTS / name).read_bytes().decode(ENCODED[name]).replace("\r\n", "\n")
    lines = source.split("\n")
    document = corpus[name]

    for rules in RULES:
        for chunk in cut(document, RoughCounter(), rules):
            span = chunk.span
            assert source[span.start : span.end] == chunk.text
            assert chunk.text.rstrip("\n") in "\n".join(lines[span.first_line - 1 : span.last_line])


@pytest.mark.parametrize("name", ["guide.pdf", "guide-print.pdf", "scan.pdf"])
def test_pages_are_those_of_the_file(corpus: dict[str, DocumentText], name: str) -> None:
    pdf = pypdfium2.PdfDocument(DOCUMENTS / name)
    pages = [letters(page.get_textpage().get_text_bounded()) for page in pdf]
    pdf.close()

    for rules in RULES:
        found = cut(corpus[name], RoughCounter(), rules)
        assert found
        for chunk in found:
            assert chunk.span.first_page is not None
            assert chunk.span.last_page is not None
            stands = "".join(pages[chunk.span.first_page - 1 : chunk.span.last_page])
            assert letters(chunk.text) in stands


def letters(text: str) -> str:
    """Without what a reader may lay out in its own way: blanks, hyphens at line ends, and signs before points."""
    return re.sub(r"\W", "", text)
