"""The text of files, and why there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import Damaged, Locked, NoText, NotText, RagError, TooLarge, Unreadable
from rag.readers import Limits, document_text, read_document
from rag.reading import child
from tests.rag.pdfs import pdf


def test_pages_of_a_pdf_keep_their_numbers() -> None:
    document = document_text("report.pdf", pdf(["First page\nwith two lines", "Second (page)"]))

    assert [(page.number, page.text) for page in document.pages] == [
        (1, "First page\nwith two lines"),
        (2, "Second (page)"),
    ]
    assert document.text == "First page\nwith two lines\n\nSecond (page)"
    assert document.media_type == "application/pdf"
    assert document.notes == ()


def test_page_without_text_is_told() -> None:
    document = document_text("report.pdf", pdf(["Text", None, "More", None]))

    assert document.notes == ("'report.pdf' holds no text on pages 2, 4: scans or pictures.",)
    assert [page.number for page in document.pages] == [1, 2, 3, 4]


def test_scanned_pdf_is_never_silently_empty() -> None:
    with pytest.raises(NoText, match="no text on any of its 2 pages") as caught:
        document_text("scan.pdf", pdf([None, None]))

    assert caught.value.hint is not None
    assert "OCR" in caught.value.hint


def test_pdf_without_pages_is_refused() -> None:
    with pytest.raises((NoText, Damaged)):
        document_text("none.pdf", pdf([]))


def test_page_that_is_broken_costs_no_other_page() -> None:
    whole = pdf(["First", "Second", "Third"])
    begin = whole.index(b"6 0 obj\n") + 8  # the second page
    end = whole.index(b"endobj", begin)

    document = document_text("torn.pdf", whole[:begin] + b"null".ljust(end - begin) + whole[end:])

    assert [page.text for page in document.pages] == ["First", "", "Third"]
    assert document.notes == ("'torn.pdf' is damaged: nothing could be read on page 2.",)


def test_locked_pdf_says_so() -> None:
    with pytest.raises(Locked, match="password"):
        document_text("secret.pdf", pdf(["hidden"], encrypted=True))


@pytest.mark.parametrize(
    "content",
    [b"%PDF-1.4\n", b"%PDF-1.7 nonsense " * 50, b"junk before %PDF-1.4 and after"],
)
def test_broken_pdf_says_so(content: bytes) -> None:
    with pytest.raises(Damaged, match="broken"):
        document_text("broken.pdf", content)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 700), st.binary(min_size=1, max_size=40))
def test_mangled_pdf_gives_text_or_a_reason(place: int, rubbish: bytes) -> None:
    whole = pdf(["some text", "more text"])
    mangled = b"%PDF-1.4" + whole[8:place] + rubbish + whole[place + len(rubbish) :]

    try:
        outcome = document_text("mangled.pdf", mangled).text
    except RagError as error:
        outcome = error.text

    assert outcome.strip()


def test_limits_on_pages_characters_and_time() -> None:
    content = pdf(["text of a page"] * 5)

    with pytest.raises(TooLarge, match="more than 4 pages"):
        document_text("long.pdf", content, Limits(pages=4))
    with pytest.raises(TooLarge, match="more than 20 characters"):
        document_text("long.pdf", content, Limits(characters=20))
    with pytest.raises(TooLarge, match=r"not read within 0\.001 s"):
        document_text("long.pdf", content, Limits(seconds=0.001))
    with pytest.raises(TooLarge, match="texts are read up to 20"):
        document_text("long.txt", b"x" * 21, Limits(characters=20))


def test_memory_of_the_pdf_reader_is_limited() -> None:
    with pytest.raises(RagError):
        document_text("bomb.pdf", pdf(["text"]), Limits(memory_bytes=1 << 20))


def test_crash_of_the_pdf_reader_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = tmp_path / "crash.py"
    crash.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setattr(child, "__file__", str(crash))

    with pytest.raises(Damaged, match="crash"):
        document_text("killer.pdf", pdf(["text"]))


@pytest.mark.parametrize("said", ["nonsense", '{"page": "x"}', '{"page": 1}', "[1]"])
def test_rubbish_from_the_pdf_reader_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    liar = tmp_path / "liar.py"
    liar.write_text(f"print({said!r})\n")
    monkeypatch.setattr(child, "__file__", str(liar))

    with pytest.raises(Damaged):
        document_text("liar.pdf", pdf(["text"]))


def test_reading_text_never_loads_the_pdf_library() -> None:
    code = (
        "import sys; from rag.readers import document_text; document_text('a', b'x'); print('pypdfium2' in sys.modules)"
    )

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert said.stdout.strip() == "False"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_text_is_known_by_its_mark(encoding: str) -> None:
    document = document_text("note.txt", "Größe: 5 µm\r\nzweite Zeile\rdritte".encode(encoding))

    assert document.text == "Größe: 5 µm\nzweite Zeile\ndritte"
    assert document.notes == ()


def test_old_windows_text_is_read_and_told() -> None:
    document = document_text("alt.txt", "Größe – 5 €".encode("cp1252"))

    assert document.text == "Größe – 5 €"
    assert document.notes == ("'alt.txt' is not UTF-8; it was read as Windows-1252.",)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "a PNG image"),
        (b"\x7fELF....", "a program"),
        (b"\x00\x01\x02\x03", "not text"),
        (b"\x81\x8d\x8f fine otherwise", "neither UTF-8 nor"),
        (b"\xff\xfeA", "broken further on"),
    ],
)
def test_binary_file_is_refused_by_what_it_is(content: bytes, kind: str) -> None:
    with pytest.raises(NotText, match=kind):
        document_text("thing.bin", content)


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n"])
def test_file_without_text_is_refused(content: bytes) -> None:
    with pytest.raises(NoText):
        document_text("empty.txt", content)


@given(st.binary(max_size=300))
def test_any_bytes_give_text_or_a_reason(content: bytes) -> None:
    if b"%PDF-" in content:
        return
    try:
        assert document_text("any", content).text.strip()
    except RagError as error:
        assert "'any'" in error.text


def test_what_is_not_a_readable_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="no file"):
        read_document(tmp_path / "missing.txt")
    with pytest.raises(Unreadable, match="is a folder"):
        read_document(tmp_path)
    with pytest.raises(Unreadable, match="is not a file"):
        read_document(tmp_path / "pipe")
    with pytest.raises(Unreadable):
        read_document(Path("nul\0inside"))


def test_large_file_is_refused_with_its_size(tmp_path: Path) -> None:
    file = tmp_path / "big.txt"
    file.write_bytes(b"x" * 1001)

    with pytest.raises(TooLarge, match=r"has 1,001 bytes; files are read up to 1,000"):
        read_document(file, Limits(size_bytes=1000))
