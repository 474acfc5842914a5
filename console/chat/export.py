"""Chats as documents: lossless JSON, which comes back as it was, and Markdown for people.

The JSON is plain ASCII, so that nothing in it can act on a terminal and odd characters survive every tool between.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from console.history.chats import Chat
from console.history.messages import StoredMessage

if TYPE_CHECKING:
    from console.history.sources import Source

SCHEMA = 1
KIND = "hawser-chats"

HEAD = f'{{"schema": {SCHEMA}, "kind": "{KIND}", "chats": ['
TAIL = "]}\n"
"""Around the chats, which are written one by one: all of them at once may not fit into memory."""


def to_json(chat: Chat, tree: Sequence[StoredMessage]) -> str:
    """One chat with every branch, as an element of the document's list."""
    return json.dumps(as_document(chat, tree), indent=1)


def as_document(chat: Chat, tree: Sequence[StoredMessage]) -> dict[str, Any]:
    return {
        "id": chat.id,
        "title": chat.title,
        "system": chat.system,
        "client": chat.client,
        "active_leaf": chat.active_leaf,
        "created_at": moment(chat.created_at),
        "updated_at": moment(chat.updated_at),
        "origin": chat.origin,
        "model": chat.model,
        "params": dict(chat.params),
        "persona": chat.persona,
        "pinned_at": None if chat.pinned_at is None else moment(chat.pinned_at),
        "titled_by": chat.titled_by,
        "tags": list(chat.tags),
        "documents": chat.among._asdict() if chat.among else None,
        "messages": [_message(message) for message in tree],
    }


def moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(message: StoredMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "parent_id": message.parent_id,
        "role": message.role,
        "state": message.state,
        "text": message.text,
        "thinking": message.thinking,
        "model": message.model,
        "endpoint": message.endpoint,
        "machine": message.machine,
        "finish": message.finish,
        "error": message.error,
        "usage": {
            "input_tokens": message.input_tokens,
            "output_tokens": message.output_tokens,
            "estimated": message.estimated,
        },
        "cost_usd": None if message.cost_usd is None else str(message.cost_usd),
        "timings_ms": {"first_token": message.first_token_ms, "total": message.total_ms},
        "notes": dict(message.notes),
        "created_at": moment(message.created_at),
        "ended_at": None if message.ended_at is None else moment(message.ended_at),
        "excluded": message.excluded,
        "attachments": [
            {
                "name": attachment.name,
                "media_type": attachment.media_type,
                "text": attachment.text,
                "content": b64encode(attachment.content).decode(),
            }
            for attachment in message.attachments
        ],
        "sources": [source.lossless() for source in message.sources],
    }


def to_markdown(chat: Chat, path: Sequence[StoredMessage]) -> str:
    """The messages of one branch, after a head that says what it is. Values in the head are JSON, and so are YAML."""
    models = sorted({message.model for message in path if message.model})
    head: dict[str, Any] = {
        "title": chat.title or "Untitled",
        "id": chat.id,
        "created": moment(chat.created_at),
        "updated": moment(chat.updated_at),
        "models": models,
    }
    costs = [message.cost_usd for message in path if message.cost_usd is not None]
    if costs:
        head["cost_usd"] = str(sum(costs))
    lines = ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()), "---", ""]
    if chat.system:
        lines += ["## Instructions", "", chat.system.strip(), ""]
    for message in path:
        lines += [f"## {speaker(message)}", ""]
        lines += [f"*Attached: {attachment.name}*\n" for attachment in message.attachments]
        lines += [message.text.strip("\n"), ""]
        if message.state != "complete":
            lines += [f"*({ending(message)})*", ""]
        if message.sources:
            lines += [*(f"- {cited(source)}" for source in message.sources), ""]
    return "\n".join(lines)


def to_outline(chat: Chat, tree: Sequence[StoredMessage]) -> str:
    """Every branch: each message a line, set in by its depth below the last fork."""
    children: dict[str | None, list[StoredMessage]] = {}
    for message in tree:
        children.setdefault(message.parent_id, []).append(message)
    lines = [chat.title or "Untitled"]
    waiting = [(message, 1) for message in reversed(children.get(None, []))]
    while waiting:
        message, depth = waiting.pop()
        mark = "*" if message.id == chat.active_leaf else "-"
        state = "" if message.state == "complete" else f" ({message.state})"
        first = " ".join(message.text.split())[:100]
        lines.append(f"{'  ' * depth}{mark} {speaker(message)}{state}: {first}  [{message.id}]")
        below = children.get(message.id, [])
        waiting += [(child, depth + (len(below) > 1)) for child in reversed(below)]
    return "\n".join(lines)


def speaker(message: StoredMessage) -> str:
    match message.role:
        case "user":
            return "You"
        case "assistant":
            return message.model or "Assistant"
        case role:
            return role.capitalize()


def cited(source: Source) -> str:
    """One line: its number, where it stands, and what the check of the answer's words found."""
    place = f", {source.place}" if source.place else ""
    checked = "not cited" if source.verdict is None else source.verdict
    return f"[{source.n}] {source.document}{place} ({source.collection}): {checked}"


def ending(message: StoredMessage) -> str:
    if message.state == "failed":
        return f"failed: {' '.join(message.error.split())}" if message.error else "failed"
    return "still arriving" if message.state == "streaming" else message.state
