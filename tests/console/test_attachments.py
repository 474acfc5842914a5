"""What may go with a question, and how it stands there."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.chat import attachments
from console.chat.attachments import as_material, image_kind, image_size, read_attachment, safe_name
from console.errors import AttachmentRefused
from tests.rag.pdfs import pdf

DOCUMENTS = Path(__file__).parent.parent / "data" / "documents"


def png(width: int = 3, height: int = 2) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0rest"


def jpeg(width: int, height: int) -> bytes:
    application = b"\xff\xe0\x00\x10JFIF\0" + b"\0" * 9
    thumbnail_tables = b"\xff\xc4\x00\x04ab"
    frame = b"\xff\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\0" * 9
    return b"\xff\xd8" + application + thumbnail_tables + frame


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + b"\x40\0\0\0" + b"WEBP" + kind + b"\x20\0\0\0" + body.ljust(20, b"\0")


IMAGES = [
    pytest.param(png(640, 480), "image/png", id="png"),
    pytest.param(jpeg(640, 480), "image/jpeg", id="jpeg"),
    pytest.param(b"GIF89a" + struct.pack("<HH", 640, 480), "image/gif", id="gif"),
    pytest.param(webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640, 480)), "image/webp", id="webp lossy"),
    pytest.param(
        webp(b"VP8L", b"\x2f" + struct.pack("<I", (640 - 1) | (480 - 1) << 14)), "image/webp", id="webp lossless"
    ),
    pytest.param(
        webp(b"VP8X", b"\0\0\0\0" + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")),
        "image/webp",
        id="webp extended",
    ),
]


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("content", "media_type"), IMAGES)
def test_image_is_known_by_its_bytes_and_measured(tmp_path: Path, content: bytes, media_type: str) -> None:
    attachment = read_attachment(written(tmp_path, "picture.txt", content))

    assert (attachment.media_type, attachment.width, attachment.height) == (media_type, 640, 480)
    assert attachment.is_image
    assert attachment.stored()[:4] == ("picture.txt", media_type, content, "")


def test_text_is_read_whatever_its_name_says(tmp_path: Path) -> None:
    attachment = read_attachment(written(tmp_path, "not really.png", "Größe\r\n".encode()))

    assert (attachment.media_type, attachment.text, attachment.is_image) == ("text/plain", "Größe\n", False)


def test_pdf_is_read_with_its_pages_marked(tmp_path: Path) -> None:
    attachment = read_attachment(written(tmp_path, "report.pdf", pdf(["One", None, "Three"])))

    assert attachment.text == "[page 1]\nOne\n\n[page 2]\n\n\n[page 3]\nThree"
    assert attachment.media_type == "application/pdf"
    assert "page 2" in attachment.notes[0]


@pytest.mark.parametrize(
    ("name", "media_type", "text"),
    [
        ("guide.docx", "wordprocessingml.document", "bow | 120 | 350"),
        ("briefing.pptx", "presentationml.presentation", "[page 2]\nTides this week\nHigh water on Monday at 06:40"),
        ("ledger.xlsx", "spreadsheetml.sheet", "[page 1]\nDate | Berth | Ship"),
        ("guide.odt", "opendocument.text", "bow | 120 | 350"),
        ("ropewalk.epub", "application/epub+zip", "Wire rope came with the mines"),
    ],
)
def test_office_documents_and_books_are_read_as_text(name: str, media_type: str, text: str) -> None:
    attachment = read_attachment(DOCUMENTS / name)

    assert attachment.media_type.endswith(media_type)
    assert text in attachment.text
    assert not attachment.is_image


@pytest.mark.parametrize("name", ["guide.md", "guide.html", "ledger.csv"])
def test_what_a_person_wrote_is_attached_as_it_was_written(name: str) -> None:
    assert read_attachment(DOCUMENTS / name).text == (DOCUMENTS / name).read_text(encoding="utf-8")


def test_archive_is_refused_with_what_to_do() -> None:
    with pytest.raises(AttachmentRefused, match=r"'harbour.zip' is an archive") as caught:
        read_attachment(DOCUMENTS / "harbour.zip")

    assert "one by one" in str(caught.value.hint)


def test_guessed_encoding_is_told(tmp_path: Path) -> None:
    attachment = read_attachment(written(tmp_path, "alt.txt", "Größe".encode("cp1252")))

    assert attachment.text == "Größe"
    assert "Windows-1252" in attachment.notes[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\0\1\2\3", "is not text"),
        (b"PK\x03\x04rest", "office document"),
        (pdf([None]), "no text on any"),
        (pdf(["x"], encrypted=True), "password"),
        (b"%PDF-1.4 rubbish", "broken"),
        (png()[:20], "damaged"),
        (jpeg(5, 5)[:24], "damaged"),
        (png(16_001, 5), "16,001 by 5 pixels"),
        (png(0, 5), "0 by 5 pixels"),
    ],
)
def test_unusable_file_is_refused_with_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(AttachmentRefused, match=reason):
        read_attachment(written(tmp_path, "thing", content))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AttachmentRefused, match="no file"):
        read_attachment(tmp_path / "missing")
    with pytest.raises(AttachmentRefused, match="is a folder"):
        read_attachment(tmp_path)


def test_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "private.txt", b"text")

    def refuse(self: Path, mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom no file mode stops

    with pytest.raises(AttachmentRefused, match=r"'private.txt' cannot be read: Permission denied"):
        read_attachment(path)


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "LARGEST_IMAGE_BYTES", 20)
    monkeypatch.setattr(attachments, "LARGEST_FILE_BYTES", 100)

    with pytest.raises(AttachmentRefused, match="images are sent up to 20"):
        read_attachment(written(tmp_path, "big.png", png()))
    with pytest.raises(AttachmentRefused, match="has 101 bytes; files are read up to 100"):
        read_attachment(written(tmp_path, "big.txt", b"x" * 101))


@given(
    st.binary(max_size=60), st.sampled_from([png(), jpeg(9, 9), b"GIF89a", webp(b"VP8L", b"\x2f"), webp(b"VP8 ", b"")])
)
def test_no_header_breaks_the_measuring(tail: bytes, start: bytes) -> None:
    for cut in (3, 12, 20, len(start)):
        content = start[:cut] + tail
        size = image_size(content)
        assert size is None or (image_kind(content) is not None and min(size) >= 0)


def test_material_stands_under_its_name_between_fences() -> None:
    assert as_material("a.py", "print(1)\n") == 'File "a.py":\n```text\nprint(1)\n```'


@given(st.text(st.sampled_from("`ab\n"), max_size=60))
def test_no_text_can_close_its_own_block(text: str) -> None:
    block = as_material("x", text)

    fence = block.splitlines()[-1]
    inside = block.split("\n", 2)[2].removesuffix(f"\n{fence}")
    assert re.fullmatch("`{3,}", fence)
    assert fence not in inside
    assert inside == text.rstrip()


@given(st.text(max_size=300))
def test_name_is_one_safe_line(name: str) -> None:
    safe = safe_name(name)

    assert 0 < len(safe) <= 120
    assert not re.search('[\x00-\x1f\x7f-\x9f`"]', safe)


def test_name_that_tries_to_control_is_made_visible(tmp_path: Path) -> None:
    attachment = read_attachment(written(tmp_path, "evil\x1b[31m\n```.txt", b"text"))

    assert attachment.name == "evil␛[31m '''.txt"


def test_folder_of_a_file_is_never_told(tmp_path: Path) -> None:
    attachment = read_attachment(written(tmp_path, "note.txt", b"text"))

    assert attachment.name == "note.txt"
    assert str(tmp_path) not in as_material(attachment.name, attachment.text)
