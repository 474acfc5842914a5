"""The process that parses one PDF: bytes on standard input, a line of JSON per page on standard output, then an end.

Run by its path, so it imports nothing of ours. Limits are set before the first byte is looked at. Arguments: the most
pages, characters, bytes of memory and seconds of computing.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def limit_this_process(memory_bytes: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows; the parent's clock and output limits hold there
        return
    wanted = {
        "RLIMIT_AS": memory_bytes,
        "RLIMIT_CPU": seconds,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,
    }
    for name, most in wanted.items():
        which = getattr(resource, name, None)
        if which is None:
            continue
        try:
            resource.setrlimit(which, (most, most))
        except (ValueError, OSError):  # a system that does not know this limit, or a lower one that is in force
            continue


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")


def read(content: bytes, most_pages: int, most_characters: int) -> str | None:
    import pypdfium2
    from pypdfium2 import raw

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == raw.FPDF_ERR_PASSWORD:
            return "password"
        return "its encryption is not supported" if code == raw.FPDF_ERR_SECURITY else "its structure is broken"
    if len(document) > most_pages:
        return "pages"
    characters = 0
    for index in range(len(document)):
        try:
            page = document[index]
            reading = page.get_textpage()
            text = reading.get_text_bounded()
            # Closed at once: the library keeps open pages in memory, and a long document would fill it.
            reading.close()
            page.close()
        except pypdfium2.PdfiumError:
            return f"page {index + 1} is broken"
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        characters += len(text)
        if characters > most_characters:
            return "characters"
        say({"page": index + 1, "text": text})
    return None


def main() -> None:
    most_pages, most_characters, memory_bytes, seconds = map(int, sys.argv[1:5])
    limit_this_process(memory_bytes, seconds)
    try:
        say({"end": read(sys.stdin.buffer.read(), most_pages, most_characters)})
    except MemoryError:
        say({"end": "memory"})


if __name__ == "__main__":
    main()
