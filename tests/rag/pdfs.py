"""A tiny PDF writer, so that tests need no files: pages of text, and the ways a PDF can be unreadable."""

from __future__ import annotations

from collections.abc import Sequence


def pdf(pages: Sequence[str | None], *, encrypted: bool = False) -> bytes:
    """One page per text, in lines; None is a page with a drawing and no text, like a scan."""
    objects: list[bytes] = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        if text is None:
            drawing = b"0 0 200 200 re f"
        else:
            lines = (
                text.encode("latin-1").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)").split(b"\n")
            )
            shown = b" T* ".join(b"(%s) Tj" % line for line in lines)
            drawing = b"BT /F1 12 Tf 14 TL 40 760 Td " + shown + b" ET"
        kids.append(b"%d 0 R" % (len(objects) + 1))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (len(objects) + 2)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing))
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    trailer = b"<< /Size %d /Root 1 0 R" % (len(objects) + 1)
    if encrypted:
        word = b"<" + b"41" * 32 + b">"
        trailer += b" /Encrypt << /Filter /Standard /V 1 /R 2 /O %s /U %s /P -4 >> /ID [<41> <41>]" % (word, word)
    content = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return content + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n%s >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        table,
        trailer,
        len(content),
    )
