"""What a file is: by its first bytes, and where those leave a choice between kinds of text, by its name."""

from __future__ import annotations

import re

HEAD_BYTES = 4096
"""How much of a file is looked at."""
_BINARY = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a compressed file"),
    (b"\xfd7zXZ\x00", "a compressed file"),
    (b"BZh", "a compressed file"),
    (b"\x28\xb5\x2f\xfd", "a compressed file (Zstandard)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xd0\xcf\x11\xe0", "an old office document"),
    (b"SQLite format 3\x00", "a database"),
    (b"OggS", "a sound"),
    (b"fLaC", "a sound"),
    (b"ID3", "a sound"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"%!PS-Adobe", "a PostScript file"),
    (b"{\\rtf", "rich text (RTF)"),
)
HINTS = {
    "an old office document": "Save it as docx, xlsx, pptx or PDF, and take that.",
    "rich text (RTF)": "Save it as docx or odt, and take that.",
    "a PostScript file": "Make a PDF of it, and take that.",
    "a 7-Zip archive": "Unpack it and take the files, or pack them as zip or tar.",
    "a RAR archive": "Unpack it and take the files, or pack them as zip or tar.",
    "a compressed file (Zstandard)": "Unpack it and take what is in it.",
    "a PNG image": "Attach it to a question to a model that sees; its text cannot be found.",
    "a JPEG image": "Attach it to a question to a model that sees; its text cannot be found.",
}
# By the end of a name; what is not here is plain text.
_ENDINGS = {
    "markdown": "md markdown mdown mkd qmd rmd",
    "html": "html htm xhtml",
    "csv": "csv tsv tab",
    "notebook": "ipynb",
    "json": "json jsonc geojson webmanifest",
    "lines": "jsonl ndjson xml svg xsd",
    "yaml": "yaml yml",
    "toml": "toml ini cfg conf",
    "mail": "eml",
    "mailbox": "mbox",
    "code": (
        "py pyi pyw js mjs cjs jsx ts tsx mts cts java kt kts scala groovy c h cc cpp cxx hpp hh cu cuh m mm "
        "cs go rs rb php swift dart lua pl pm r jl sh bash zsh fish ps1 sql ex exs erl hs ml clj lisp el zig "
        "nim vue svelte css scss less tf proto graphql cmake mk asm s f90 vb sol"
    ),
}
_BY_ENDING = {each: kind for kind, endings in _ENDINGS.items() for each in endings.split()}
_BY_NAME = {"makefile": "code", "dockerfile": "code", "cmakelists.txt": "code", "jenkinsfile": "code"}
TEXT_KINDS = frozenset({*_BY_ENDING.values(), "text"})
AS_SOURCE = TEXT_KINDS - {"notebook", "mail", "mailbox"}
"""Kinds whose bytes are what a person wrote; the others hold their text in wrappings."""
_HTML = re.compile(
    rb"\s*(?:<!--.{0,500}?-->\s*)?(?:<\?xml[^>]{0,200}>\s*)?<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE | re.DOTALL
)
_MAIL = re.compile(
    rb"(?:(?:From|To|Subject|Date|Received|Return-Path|Message-ID|MIME-Version|Delivered-To): )", re.IGNORECASE
)


def binary_kind(head: bytes) -> str | None:
    """In words, what these bytes are, where they are certainly no text."""
    for magic, kind in _BINARY:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE", b"AVI "):
        return {b"WEBP": "a WebP image", b"WAVE": "a sound"}.get(head[8:12], "a video")
    return "a video" if head[4:8] == b"ftyp" else None


def ending(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name.strip(".") else ""


def kind_of(head: bytes, name: str) -> str:
    """One of the kinds that `formats.py` reads: `pdf`, `zip`, `packed`, `tar` or a kind of text."""
    by_name = _BY_NAME.get(name.lower()) or _BY_ENDING.get(ending(name))
    if head.startswith(b"%PDF-") or (b"%PDF-" in head[:1024] and by_name is None):
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith((b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh")):
        return "packed"
    if head[257:262] == b"ustar":
        return "tar"
    if by_name is not None and by_name != "html":
        return by_name
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")) or by_name == "html":
        return "html"
    if head.startswith(b"From ") and _MAIL.search(head):
        return "mailbox"
    if ending(name) in ("", "txt") and _MAIL.match(head) and len(_MAIL.findall(head)) >= 3:
        return "mail"
    return "code" if head.startswith(b"#!") and not ending(name) else "text"
