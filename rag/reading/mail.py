"""Mails and mailboxes: who, when, what about, and the words. What is attached is named, not read."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from rag.errors import Damaged
from rag.reading import html
from rag.reading.decode import decode
from rag.reading.layout import Layout, Reading, one_line
from rag.reading.limits import Limits

_SHOWN = ("From", "To", "Cc", "Date", "Subject")
_BETWEEN = re.compile(rb"^From [^\n]*\n", re.MULTILINE)


def read_mail(name: str, content: bytes, limits: Limits) -> Reading:
    layout = Layout(name, limits)
    layout.title = _pour(name, content, layout)
    return layout.finish("message/rfc822")


def read_mailbox(name: str, content: bytes, limits: Limits) -> Reading:
    layout = Layout(name, limits)
    begins = [found.end() for found in _BETWEEN.finditer(content)]
    ends = [*[found.start() for found in _BETWEEN.finditer(content)][1:], len(content)]
    if not begins:
        raise Damaged(f"{name!r} is not a mailbox that can be read: no message begins in it.")
    for begin, end in zip(begins, ends, strict=True):
        layout.under([])
        _pour(name, content[begin:end], layout)
    return layout.finish("application/mbox")


def _pour(name: str, content: bytes, layout: Layout) -> str:
    try:
        message = message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        subject = one_line(str(message.get("Subject") or ""))
        layout.gap()
        layout.under([(1, subject or "(no subject)")])
        layout.begin(layout.path)
        layout.add("\n".join(f"{field}: {one_line(str(message[field]), 2_000)}" for field in _SHOWN if message[field]))
        body = message.get_body(preferencelist=("plain", "html"))
        written = body.get_payload(decode=True) if isinstance(body, EmailMessage) else b""
        declared = body.get_content_charset() if isinstance(body, EmailMessage) else None
        attached = [one_line(part.get_filename() or part.get_content_type()) for part in message.iter_attachments()]
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        # The parser of mails raises all of these on headers that no program should write.
        raise Damaged(f"{name!r} is not a mail that can be read: its headers are broken.") from error
    text, note = decode(name, written, declared) if isinstance(written, bytes) and written else ("", None)
    if note and note not in layout.notes:
        layout.notes.append(note)
    if body is not None and body.get_content_subtype() == "html":
        html.pour(text, layout)
    elif text.strip():
        layout.gap()
        layout.add(text.strip("\n"))
    if attached:
        layout.notes.append(f"Attached to {subject or name!r} and not read: {', '.join(attached[:8])}.")
    return subject
