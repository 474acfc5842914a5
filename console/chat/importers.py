"""Chats out of files: our own export, ChatGPT's and Open WebUI's, told apart by their shape.

A file is somebody else's word: everything in it is checked, sizes are limited, an archive is read in memory and nothing
of it is written anywhere. Ids are made from what the other program says, so that the same message is the same message
when it comes again. What is not understood is left out and counted.
"""

from __future__ import annotations

import binascii
import json
import mimetypes
import re
import zipfile
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast, get_args

from console.chat.export import KIND, SCHEMA
from console.errors import UsageError
from console.history import sources
from console.history.among import Among
from console.history.chats import Chat
from console.history.messages import State, StoredAttachment, StoredMessage
from console.history.rows import from_ms, to_ms
from console.text import plural

LARGEST_FILE = 1 << 30
LARGEST_ATTACHMENT = 64 << 20
MOST_SOURCES = 1000

_ID = re.compile(r"[0-9a-z]{26}")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TITLED_BY = ("words", "model", "person")
_ROLES = ("user", "assistant", "system", "tool")
_STATES = get_args(State)
_LATEST_MS = 253_402_300_799_000  # the year 9999


class Import(NamedTuple):
    chat: Chat
    tree: Sequence[StoredMessage]


class Source(NamedTuple):
    kind: str
    """In words, for the report."""
    chats: Iterator[Import]
    left_out: list[str]
    """A sentence for each thing that could not be understood; complete when `chats` has ended."""


def read(path: Path) -> Source:
    """Open an export; `UsageError` when it is none that is known."""
    documents, find_file = _documents(path)
    left_out: list[str] = []
    listed: list[Any] = []
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == KIND:
            if document.get("schema") != SCHEMA:
                raise UsageError(f"{str(path)!r} is an export of a later version of Hawser.", hint="Update Hawser.")
            return Source("Hawser", _each(_list(document.get("chats")), _own, left_out), left_out)
        listed += document if isinstance(document, list) else [document]
    sample = next((one for one in listed if isinstance(one, dict)), {})
    if isinstance(sample.get("mapping"), dict):
        return Source("ChatGPT", _each(listed, lambda one: _chatgpt(one, find_file), left_out), left_out)
    if isinstance(sample.get("chat"), dict) or isinstance(sample.get("history"), dict):
        return Source("Open WebUI", _each(listed, _open_webui, left_out), left_out)
    raise UsageError(
        f"{str(path)!r} holds no chats that Hawser understands.",
        hint="It reads its own JSON export, ChatGPT's (.zip or conversations.json) and Open WebUI's (.json).",
    )


FindFile = Callable[[str], tuple[str, bytes] | None]


def _documents(path: Path) -> tuple[list[Any], FindFile]:
    """The JSON documents of a file or archive, and a way to find other files beside them by a part of their name."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UsageError(f"{str(path)!r} is larger than {LARGEST_FILE >> 20} MB.")
        if not zipfile.is_zipfile(path):
            return [_json(path.read_bytes(), str(path))], lambda _: None
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except zipfile.BadZipFile as error:
        raise UsageError(f"{str(path)!r} is a broken archive: {error}.") from error
    members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
    names = [name for name in members if re.fullmatch(r"conversations[\w-]*\.json", PurePosixPath(name).name)]
    if not names:
        names = [name for name in members if name.endswith(".json")][:1]
    budget = LARGEST_FILE
    documents = []
    for name in sorted(names):
        content = _member(archive, members[name], budget)
        budget -= len(content)
        documents.append(_json(content, name))

    def find_file(part: str) -> tuple[str, bytes] | None:
        for name, member in members.items():
            if part in PurePosixPath(name).name and member.file_size <= LARGEST_ATTACHMENT:
                return PurePosixPath(name).name, _member(archive, member, LARGEST_ATTACHMENT)
        return None

    return documents, find_file


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """Read at most `limit` bytes, whatever the archive says about its own size."""
    try:
        with archive.open(member) as stream:
            content = stream.read(limit + 1)
    except (OSError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, ValueError) as error:
        raise UsageError(f"{member.filename!r} in the archive cannot be read: {error}.") from error
    if len(content) > limit:
        raise UsageError(f"{member.filename!r} in the archive is too large.")
    return content


def _json(content: bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name!r} is not JSON: {error}.") from error


def _each(items: Sequence[Any], understand: Callable[[Any], Import], left_out: list[str]) -> Iterator[Import]:
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            left_out.append(f"Entry {number} is no chat.")
            continue
        found = understand(item)
        if found.tree or found.chat.title:
            yield Import(found.chat, _as_tree(found.tree))
        else:
            left_out.append(f"Chat {number} is empty.")


def _as_tree(tree: Sequence[StoredMessage]) -> list[StoredMessage]:
    """The same messages, each once, where every parent is one of them and no chain of parents is a circle."""
    by_id = {message.id: message for message in tree}
    sound: set[str] = set()
    cut: set[str] = set()
    for start in by_id.values():
        on_the_way: dict[str, None] = {}
        at: StoredMessage | None = start
        while at is not None and at.id not in sound:
            if at.id in on_the_way:
                cut.add(at.id)
                break
            on_the_way[at.id] = None
            if at.parent_id is not None and at.parent_id not in by_id:
                cut.add(at.id)
                break
            at = by_id[at.parent_id] if at.parent_id is not None else None
        sound.update(on_the_way)
    return [message._replace(parent_id=None) if message.id in cut else message for message in by_id.values()]


# Our own


def _own(item: Mapping[str, Any]) -> Import:
    created = _moment(item.get("created_at"), datetime(1970, 1, 1, tzinfo=UTC))
    origin = _text_or_none(item.get("origin"))
    chat_id = _own_id(item.get("id"), created, "hawser")
    tree = [
        _own_message(message, chat_id, created) for message in _list(item.get("messages")) if isinstance(message, dict)
    ]
    ids = {message.id for message in tree}
    leaf = _text_or_none(item.get("active_leaf"))
    pinned, titled_by = item.get("pinned_at"), item.get("titled_by")
    return Import(
        Chat(
            chat_id,
            _text(item.get("title")),
            _text_or_none(item.get("system")),
            _text(item.get("client")) or "import",
            leaf if leaf in ids else None,
            created,
            _moment(item.get("updated_at"), created),
            origin,
            model=_text_or_none(item.get("model")),
            params=_mapping(item.get("params")),
            persona=_text_or_none(item.get("persona")),
            pinned_at=None if pinned is None else _moment(pinned, created),
            titled_by=titled_by if titled_by in _TITLED_BY else None,
            tags=tuple(tag for tag in _list(item.get("tags")) if isinstance(tag, str)),
            among=_among(item.get("documents")),
        ),
        tree,
    )


def _own_message(item: Mapping[str, Any], chat_id: str, otherwise: datetime) -> StoredMessage:
    created = _moment(item.get("created_at"), otherwise)
    usage, timings = _mapping(item.get("usage")), _mapping(item.get("timings_ms"))
    parent, ended = item.get("parent_id"), item.get("ended_at")
    role, state = item.get("role"), item.get("state")
    return StoredMessage(
        id=_own_id(item.get("id"), created, chat_id),
        chat_id=chat_id,
        parent_id=None if parent is None else _own_id(parent, created, chat_id),
        role=role if role in _ROLES else "user",
        state=cast("State", state) if state in _STATES else "complete",
        text=_text(item.get("text")),
        thinking=_text(item.get("thinking")),
        model=_text_or_none(item.get("model")),
        endpoint=_text_or_none(item.get("endpoint")),
        machine=_text_or_none(item.get("machine")),
        finish=_text_or_none(item.get("finish")),
        error=_text_or_none(item.get("error")),
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
        estimated=usage.get("estimated") is True,
        cost_usd=_money(item.get("cost_usd")),
        first_token_ms=_number(timings.get("first_token")),
        total_ms=_number(timings.get("total")),
        notes=_mapping(item.get("notes")),
        created_at=created,
        ended_at=None if ended is None else _moment(ended, created),
        attachments=tuple(
            StoredAttachment(
                _text(each.get("name")),
                _text(each.get("media_type")) or "application/octet-stream",
                _bytes(each.get("content")),
                _text(each.get("text")),
            )
            for each in _list(item.get("attachments"))
            if isinstance(each, dict)
        ),
        excluded=item.get("excluded") is True,
        sources=tuple(_sources(item.get("sources"))),
    )


def _among(value: Any) -> Among:
    told = _mapping(value)
    return Among(
        tuple(name for name in _list(told.get("collections")) if isinstance(name, str)),
        tuple(number for number in map(_count, _list(told.get("documents"))) if number is not None),
    )


def _sources(value: Any) -> Iterator[sources.Source]:
    """Those that can be understood, each number once."""
    seen: set[int] = set()
    for each in _list(value)[:MOST_SOURCES]:
        source = sources.from_lossless(each) if isinstance(each, dict) else None
        if source is not None and source.n not in seen:
            seen.add(source.n)
            yield source


def _own_id(value: Any, created: datetime, within: str) -> str:
    return value if isinstance(value, str) and _ID.fullmatch(value) else _made_id(created, within, str(value))


# ChatGPT


def _chatgpt(item: Mapping[str, Any], find_file: FindFile) -> Import:
    created = _moment(item.get("create_time"), datetime(1970, 1, 1, tzinfo=UTC))
    name = _text(item.get("conversation_id") or item.get("id")) or _digest(item.get("title"), item.get("create_time"))
    origin = f"chatgpt:{name}"
    nodes = {str(key): node for key, node in _mapping(item.get("mapping")).items() if isinstance(node, dict)}
    shown = {key: message for key, node in nodes.items() if (message := _chatgpt_message(node, find_file)) is not None}

    def nearest(key: Any) -> str | None:
        """The node itself or the first above it that is shown: hidden ones stand in between."""
        seen = set()
        while isinstance(key, str) and key in nodes and key not in seen:
            if key in shown:
                return key
            seen.add(key)
            key = nodes[key].get("parent")
        return None

    tree = []
    for key, draft in shown.items():
        at = _moment(_mapping(nodes[key].get("message")).get("create_time"), created)
        parent = nearest(nodes[key].get("parent"))
        tree.append(
            _imported(
                _made_id(created, origin, key),
                None if parent is None else _made_id(created, origin, parent),
                draft,
                at,
            )
        )
    leaf = nearest(item.get("current_node"))
    return Import(
        Chat(
            _made_id(created, origin, ""),
            _text(item.get("title")),
            None,
            "import",
            None if leaf is None else _made_id(created, origin, leaf),
            created,
            _moment(item.get("update_time"), created),
            origin,
        ),
        tree,
    )


class _Draft(NamedTuple):
    role: str
    text: str
    thinking: str = ""
    model: str | None = None
    state: State = "complete"
    attachments: tuple[StoredAttachment, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: str | None = None


def _chatgpt_message(node: Mapping[str, Any], find_file: FindFile) -> _Draft | None:
    message = _mapping(node.get("message"))
    role = _mapping(message.get("author")).get("role")
    content, metadata = _mapping(message.get("content")), _mapping(message.get("metadata"))
    if role not in _ROLES or metadata.get("is_visually_hidden_from_conversation"):
        return None
    text, thinking, attachments = "", "", []
    match content.get("content_type"):
        case "thoughts":
            thoughts = [_mapping(thought) for thought in _list(content.get("thoughts"))]
            thinking = "\n\n".join(
                f"{_text(thought.get('summary'))}\n{_text(thought.get('content'))}".strip() for thought in thoughts
            )
        case "reasoning_recap" | "user_editable_context" | "model_editable_context":
            return None
        case "code":
            language = _text(content.get("language"))
            fence = language if language != "unknown" else ""
            text = f"```{fence}\n{_text(content.get('text'))}\n```"
        case _:
            texts = []
            for part in _list(content.get("parts")) or [content.get("text") or content.get("result")]:
                if isinstance(part, str):
                    texts.append(part)
                elif isinstance(part, dict):
                    if isinstance(part.get("text"), str):  # the words of something spoken
                        texts.append(part["text"])
                    elif attachment := _chatgpt_file(part, find_file):
                        attachments.append(attachment)
            text = "\n".join(texts)
    if not (text.strip() or thinking.strip() or attachments):
        return None
    stopped = message.get("status") == "in_progress"
    return _Draft(
        role,
        text,
        thinking,
        _text_or_none(metadata.get("model_slug")) if role == "assistant" else None,
        "stopped" if stopped else "complete",
        tuple(attachments),
    )


def _chatgpt_file(part: Mapping[str, Any], find_file: FindFile) -> StoredAttachment | None:
    """An image of the archive; in a bare conversations.json there is only its name."""
    name = _text(part.get("asset_pointer")).rpartition("://")[2]
    if not re.fullmatch(r"[\w-]{8,}", name):
        return None
    found = find_file(name)
    if found is None:
        return None
    file_name, content = found
    return StoredAttachment(file_name, mimetypes.guess_type(file_name)[0] or "application/octet-stream", content)


# Open WebUI


def _open_webui(item: Mapping[str, Any]) -> Import:
    body = item["chat"] if isinstance(item.get("chat"), dict) else item
    history = _mapping(body.get("history"))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    created = _moment(item.get("created_at") or body.get("timestamp"), epoch)
    title = _text(item.get("title")) or _text(body.get("title"))
    origin = f"open-webui:{_text(item.get('id')) or _text(body.get('id')) or _digest(title, to_ms(created))}"
    nodes = {str(key): node for key, node in _mapping(history.get("messages")).items() if isinstance(node, dict)}
    if not nodes:  # the oldest exports have a plain list and no tree
        before: str | None = None
        for number, node in enumerate(_list(body.get("messages"))):
            if isinstance(node, dict):
                key = _text(node.get("id")) or str(number)
                nodes[key] = {**node, "parentId": node.get("parentId") or before}
                before = key
    tree = []
    for key, node in nodes.items():
        draft = _open_webui_message(node)
        if draft is not None:
            parent = node.get("parentId")
            parent_id = _made_id(created, origin, parent) if isinstance(parent, str) and parent in nodes else None
            at = _moment(node.get("timestamp"), created)
            tree.append(_imported(_made_id(created, origin, key), parent_id, draft, at))
    leaf = history.get("currentId")
    system = _text_or_none(_mapping(body.get("params")).get("system")) or _text_or_none(body.get("system"))
    return Import(
        Chat(
            _made_id(created, origin, ""),
            title,
            system or None,
            "import",
            _made_id(created, origin, leaf) if isinstance(leaf, str) and leaf in nodes else None,
            created,
            _moment(item.get("updated_at"), created),
            origin,
        ),
        tree,
    )


_REASONING = re.compile(r'<details type="reasoning"[^>]*>\s*(?:<summary>[^<]*</summary>)?(.*?)</details>\s*', re.DOTALL)


def _open_webui_message(node: Mapping[str, Any]) -> _Draft | None:
    role = node.get("role")
    if role not in _ROLES:
        return None
    text = _text(node.get("content"))
    thinking = ""
    if role == "assistant":
        thoughts = [re.sub(r"(?m)^> ?", "", match[1]).strip() for match in _REASONING.finditer(text)]
        thinking = "\n\n".join(thoughts)
        text = _REASONING.sub("", text)
    usage = _mapping(node.get("usage")) or _mapping(node.get("info"))
    failure = node.get("error")
    error = _text(_mapping(failure).get("content")) or (_text(failure) or "It failed." if failure else None)
    is_stopped = role == "assistant" and node.get("done") is False
    return _Draft(
        role,
        text,
        thinking,
        _text_or_none(node.get("model")) if role == "assistant" else None,
        "failed" if error else "stopped" if is_stopped else "complete",
        tuple(_open_webui_files(node)),
        _count(usage.get("prompt_tokens") or usage.get("prompt_eval_count") or usage.get("input_tokens")),
        _count(usage.get("completion_tokens") or usage.get("eval_count") or usage.get("output_tokens")),
        error,
    )


def _open_webui_files(node: Mapping[str, Any]) -> Iterator[StoredAttachment]:
    for number, each in enumerate(_list(node.get("files")), 1):
        file = _mapping(each)
        url = _text(file.get("url"))
        if url.startswith("data:") and ";base64," in url[:200]:
            media_type, _, encoded = url.removeprefix("data:").partition(";base64,")
            if content := _bytes(encoded):
                ending = mimetypes.guess_extension(media_type) or ""
                yield StoredAttachment(_text(file.get("name")) or f"image-{number}{ending}", media_type, content)
            continue
        inner = _mapping(file.get("file"))
        text = _text(_mapping(inner.get("data")).get("content"))
        if text:
            name = _text(file.get("name")) or _text(inner.get("filename")) or f"file-{number}"
            yield StoredAttachment(name, "text/plain", text.encode("utf-8", "replace"), text)


# Common


def _imported(message_id: str, parent_id: str | None, draft: _Draft, at: datetime) -> StoredMessage:
    return StoredMessage(
        id=message_id,
        chat_id="",
        parent_id=parent_id,
        role=draft.role,
        state=draft.state,
        text=draft.text,
        thinking=draft.thinking,
        model=draft.model,
        endpoint=None,
        machine=None,
        finish=None,
        error=draft.error,
        input_tokens=draft.input_tokens,
        output_tokens=draft.output_tokens,
        estimated=False,
        cost_usd=None,
        first_token_ms=None,
        total_ms=None,
        notes={},
        created_at=at,
        ended_at=at,
        attachments=draft.attachments,
    )


def _made_id(created: datetime, origin: str, key: str) -> str:
    """An id like ours, with the chat's time in front, that is the same whenever the same thing is imported."""
    chance = sha256(f"{origin}\0{key}".encode("utf-8", "replace")).digest()[:10]
    number = (max(to_ms(created), 0) & (1 << 48) - 1) << 80 | int.from_bytes(chance)
    return "".join([_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)])


def _digest(*values: Any) -> str:
    return sha256(repr(values).encode("utf-8", "replace")).hexdigest()[:16]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e15 else None


def _money(value: Any) -> Decimal | None:
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() and abs(amount) < 10**12 else None


def _bytes(value: Any) -> bytes:
    try:
        content = b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""
    return content if len(content) <= LARGEST_ATTACHMENT else b""


def _moment(value: Any, otherwise: datetime) -> datetime:
    """A time as any of these programs writes it: ISO 8601, or seconds, milli- or nanoseconds since 1970."""
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
            return from_ms(to_ms(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)))
        except (ValueError, OverflowError):
            return otherwise
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        milliseconds = value * 1000 if value < 1e11 else value if value < 1e14 else value / 1e6
        if 0 <= milliseconds <= _LATEST_MS:
            return from_ms(int(milliseconds))
    return otherwise


def told(source: Source, counts: Mapping[str, int]) -> str:
    """What an import did, in a sentence."""
    parts = [f"{plural(counts.get('new', 0), 'chat')} from {source.kind} imported"]
    if counts.get("grown"):
        parts.append(f"{counts['grown']:,} brought up to date")
    if counts.get("known"):
        parts.append(f"{counts['known']:,} here already")
    return ", ".join(parts) + "."
