"""Every reader keeps the same promises, on a real file of each format that another program made."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.errors import Locked, NotText
from rag.readers import DocumentText, Reader, document_limits, is_archive

DOCUMENTS = Path(__file__).parent.parent / "data" / "documents"
EXPECTED: dict[str, dict[str, Any]] = json.loads((DOCUMENTS / "expected.json").read_text(encoding="utf-8"))
ARCHIVES = ("harbour.zip", "harbour.tar.gz", "harbour.tar.xz", "tide.log.gz")
REFUSED = ("guide.rtf", "locked.pdf")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as reader:
        yield reader


def keeps_its_promises(document: DocumentText) -> None:
    text = document.text
    assert text.strip()
    assert not _CONTROL.search(text)
    assert document.media_type.count("/") == 1

    assert [section.start for section in document.sections] == [0, *(each.end for each in document.sections[:-1])]
    assert document.sections[-1].end == len(text)
    for section in document.sections:
        assert text[section.start : section.end].strip()
        assert all(heading and "\n" not in heading and len(heading) <= 200 for heading in section.headings)

    numbers = [span.number for span in document.spans]
    assert numbers == sorted(set(numbers))
    assert [page.number for page in document.pages] == list(range(1, len(document.pages) + 1))
    end = 0
    for span in document.spans:
        assert end <= span.start < span.end <= len(text)
        assert document.pages[span.number - 1].text == text[span.start : span.end]
        end = span.end
    for page in document.pages:
        assert page.text.strip() == "" or page.number in numbers


def test_every_document_has_its_expectation() -> None:
    there = {path.name for path in DOCUMENTS.iterdir() if path.is_file()} - {"README.md", "expected.json"}

    assert there == {*EXPECTED, *ARCHIVES, *REFUSED}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_document_is_read_as_expected(reader: Reader, name: str) -> None:
    expected = EXPECTED[name]

    document = reader.read(str(DOCUMENTS / name), document_limits())

    keeps_its_promises(document)
    assert document.name == name
    assert document.media_type == expected["media_type"]
    assert document.title == expected["title"]
    assert list(document.notes) == expected["notes"]
    for excerpt in expected["excerpts"]:
        assert excerpt in document.text
    sections = [
        [section.kind, " › ".join(section.headings), document.text[section.start : section.end].split("\n")[0]]
        for section in document.sections
    ]
    assert sections == expected["sections"]
    assert [page.text.strip().partition("\n")[0] for page in document.pages] == expected["pages"]


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [("guide.rtf", NotText, r"rich text \(RTF\), not text"), ("locked.pdf", Locked, "wants a password")],
)
def test_document_that_cannot_be_read_says_why_and_what_to_do(
    reader: Reader, name: str, kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind, match=reason) as caught:
        reader.read(str(DOCUMENTS / name))

    assert getattr(caught.value, "hint", None)


@pytest.mark.parametrize("name", ARCHIVES)
def test_members_of_an_archive_are_documents_of_their_own(reader: Reader, name: str) -> None:
    path = DOCUMENTS / name
    assert is_archive(path)

    members = {member.name: member for member in reader.members(str(path))}

    wanted = {"tide.log"} if name.startswith("tide") else {"guide.md", "ledger.xlsx", "tide.log"}
    assert set(members) == wanted
    for member in members.values():
        document = reader.read(member.path)
        keeps_its_promises(document)
        assert document.name == member.name
        assert member.refused is None
        assert member.path.startswith(f"{path}!/")
        if member.name in EXPECTED:
            assert document.text == reader.read(str(DOCUMENTS / member.name)).text


def test_archive_in_an_archive_is_gone_into(reader: Reader) -> None:
    inner = [member.path for member in reader.members(str(DOCUMENTS / "harbour.zip")) if "inner.zip" in member.path]

    assert inner == [f"{DOCUMENTS / 'harbour.zip'}!/inner.zip!/logs/tide.log"]
    assert reader.read(inner[0]).text.startswith("2026-03-02T06:40:00 INFO high water 4.2 m\n")


@pytest.mark.parametrize("name", ["guide.docx", "guide.odt", "ropewalk.epub", "ledger.xlsx"])
def test_office_documents_are_no_archives(name: str) -> None:
    assert not is_archive(DOCUMENTS / name)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_name_says_little_and_the_bytes_say_the_rest(reader: Reader, tmp_path: Path, name: str) -> None:
    """A document that lost its name is still read; only kinds of text cannot be told apart without it."""
    nameless = tmp_path / "nameless"
    nameless.write_bytes((DOCUMENTS / name).read_bytes())

    document = reader.read(str(nameless))

    keeps_its_promises(document)
    if not EXPECTED[name]["media_type"].startswith(("text/", "application/x-ipynb")):
        assert document.media_type == EXPECTED[name]["media_type"]
        assert document.text == reader.read(str(DOCUMENTS / name)).text


def test_wrong_name_is_told(reader: Reader, tmp_path: Path) -> None:
    page = tmp_path / "saved.pdf"
    page.write_bytes((DOCUMENTS / "guide.html").read_bytes())

    document = reader.read(str(page))

    assert document.media_type == "text/html"
    assert document.notes == ("'saved.pdf' is not a PDF, whatever its name says; it was read as text/html.",)


def test_scanned_page_is_recognised_where_that_is_wanted(reader: Reader) -> None:
    """With the real program where it is installed; without it the page is named, and what to do."""
    limits = document_limits(ocr=True)

    document = reader.read(str(DOCUMENTS / "scan.pdf"), limits)

    keeps_its_promises(document)
    if shutil.which("tesseract"):
        assert limits.ocr
        assert "northern fairway is closed" in document.pages[1].text
        assert document.notes == ("'scan.pdf': the text on page 2 was recognised from scans and may hold mistakes.",)
    else:
        assert document.notes == ("'scan.pdf' holds no text on page 2: scans or pictures.",)
