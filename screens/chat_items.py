"""What the transcript shows of a message: who said it, what it took, and what to do where it broke."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from console.chat.attaching import short_count
from console.machines.words import clock
from console.text import neutralise, plural
from screens.widgets.transcript import Attached, Item, SourceLine

if TYPE_CHECKING:
    from console.chat.estimates import Estimate
    from console.chat.live import Live
    from console.chat.open_chat import Entry
    from console.chat.questions import Question
    from console.history.messages import StoredAttachment, StoredMessage
    from console.history.sources import Source

Foot: TypeAlias = list[tuple[str, str]]

_WAITING = "waiting-"


def item_of(entry: Entry, now: datetime, live: Live | None = None) -> Item:
    """One message of the branch that is shown; `live` is there while its answer arrives."""
    message = entry.message
    is_answer = message.role == "assistant"
    return Item(
        id=message.id,
        role=_role(message.role),
        text=live.text if live is not None else message.text,
        thinking=live.thinking if live is not None else message.thinking,
        state="streaming" if live is not None else message.state,
        head=_head(message, now, live),
        foot=tuple(_foot(message, live) if is_answer else ()),
        attachments=tuple(_attached(each) for each in message.attachments),
        sibling=entry.sibling,
        siblings=entry.siblings,
        sources=_sources(message, live),
        notes=tuple(map(str, message.notes.get("documents") or ())),
        excluded=message.excluded,
        error=_error(message) if live is None else None,
        hint=_hint(message) if live is None else None,
    )


def _sources(message: StoredMessage, live: Live | None) -> tuple[SourceLine, ...]:
    return tuple(source_line(each, message.text) for each in (message.sources if live is None else live.sources))


def source_line(source: Source, answer: str) -> SourceLine:
    where = " › ".join(source.headings[-2:])
    words = " · ".join(filter(None, (source.document, source.place, where)))
    doubt = next((answer[each.start : each.end] for each in source.claims if each.verdict == "not found"), "")
    return SourceLine(source.n, words, source.verdict or "", _bare(doubt), source.excluded)


def _bare(sentence: str) -> str:
    """A sentence without the numbers it cites and the quotes around it."""
    return re.sub(r"\s*\[\d+(?:\s*,\s*\d+)*\]", "", sentence).strip().strip('"“”')


def waiting_item(question: Question, number: int, count: int, *, is_held: bool) -> Item:
    """A question that is sent when the answer before it has ended; held ones wait for a word."""
    what = "waits for /send" if is_held else "waits"
    place = f", {number} of {count}" if count > 1 else ""
    return Item(
        id=f"{_WAITING}{number}",
        role="user",
        text=question.text,
        head=f"You · {what}{place} · Esc takes it back",
        attachments=tuple(
            Attached(each.name, each.media_type, len(each.content) or len(each.text)) for each in question.attachments
        ),
        excluded=True,
    )


def is_waiting(item_id: str) -> bool:
    return item_id.startswith(_WAITING)


def _foot(message: StoredMessage, live: Live | None) -> Foot:
    return foot_of(message) if live is None else foot_of_live(live, live.began)


def foot_of(message: StoredMessage) -> Foot:
    """Model, machine or endpoint, speed, first token, tokens and money; `-` for money that is not known."""
    parts: Foot = []
    place = message.machine or message.endpoint
    if message.model:
        parts.append((message.model, "muted"))
    if place:
        parts.append((place, "muted"))
    if message.total_ms is not None:
        speed = tokens_per_s(message)
        if speed is not None:
            parts.append((f"{speed:.0f} tok/s", "muted"))
        if message.first_token_ms is not None and message.output_tokens:
            parts.append((f"first {seconds(message.first_token_ms)}", "muted"))
        if message.output_tokens is not None and (message.input_tokens or message.output_tokens):
            about = "~" if message.estimated else ""
            parts.append((f"{about}{message.input_tokens or 0:,} → {about}{message.output_tokens:,} tokens", "muted"))
        if message.cost_usd != 0 or message.state != "failed" or message.output_tokens or _gpu_usd(message):
            parts.append((money(message.cost_usd, _gpu_usd(message)), "muted"))
    if message.state == "streaming":
        parts.append(("arrives in another window", "accent"))
    if fallback := fallback_told(message):
        parts.append((fallback, "warn"))
    return parts


def foot_of_live(live: Live, now_s: float) -> Foot:
    """What an answer that grows waits for and for how long, or how fast it comes."""
    parts: Foot = []
    if live.model:
        parts.append((live.model, "muted"))
    if live.machine or live.endpoint:
        parts.append((live.machine or live.endpoint or "", "muted"))
    if live.is_stopping:
        parts.append(("stopping", "warn"))
    elif live.first_token_at is None:
        waited_s = now_s - live.began
        parts.append((live.status or "waiting for the first word", "accent"))
        if waited_s >= 1:
            parts.append((f"{waited_s:.0f} s", "accent"))
    else:
        if live.status:
            parts.append((live.status, "warn"))
        speed = live.tokens_per_s
        parts.append((f"{speed:.0f} tok/s" if speed else "writing", "accent"))
        parts.append((f"~{live.tokens:,} tokens", "muted"))
    return parts


def money(tokens_usd: Decimal | None, gpu_usd: Decimal | None) -> str:
    """What an answer cost: tokens, and the machine's time beside it. Never a number that nobody knows."""
    words = "-" if tokens_usd is None else amount(tokens_usd)
    if gpu_usd:
        words = f"{amount(gpu_usd)} GPU" if not tokens_usd else f"{words} + {amount(gpu_usd)} GPU"
    return words


def amount(value: Decimal) -> str:
    if value == 0:
        return "$0"
    if abs(value) < Decimal("0.0001"):
        return "<$0.0001"
    return f"${value:.4f}" if abs(value) < Decimal("0.1") else f"${value:,.2f}"


def seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else f"{milliseconds / 60_000:.1f} min"


def tokens_per_s(message: StoredMessage) -> float | None:
    """Output over the time it was written in; None where that is too short to mean anything."""
    from console.chat import turn  # what asks and answers is not loaded for the first frame

    return turn.tokens_per_s(message)


def fallback_told(message: StoredMessage) -> str:
    """Who should have answered, where somebody else did."""
    failed = [each for each in tries(message) if each.get("outcome") == "failed"]
    others = dict.fromkeys(str(each.get("endpoint")) for each in failed if each.get("endpoint") != message.endpoint)
    return f"instead of {', '.join(others)}" if others else ""


def tries(message: StoredMessage) -> Sequence[dict[str, Any]]:
    tried = message.notes.get("tried")
    return [each for each in tried if isinstance(each, dict)] if isinstance(tried, list) else []


def details_of(message: StoredMessage) -> list[tuple[str, str]]:
    """All that is known of a message, in rows."""
    rows = [("Message", message.id), ("Written", f"{message.created_at.astimezone():%Y-%m-%d %H:%M:%S}")]
    if message.role == "assistant":
        rows += [
            ("Model", message.model or "-"),
            ("Endpoint", message.endpoint or "-"),
            ("Machine", message.machine or "-"),
            ("State", message.state + (f", {message.finish}" if message.finish else "")),
            ("Route", str(message.notes.get("route") or "-")),
            ("First token", "-" if message.first_token_ms is None else seconds(message.first_token_ms)),
            ("Whole answer", "-" if message.total_ms is None else seconds(message.total_ms)),
            ("Speed", "-" if (speed := tokens_per_s(message)) is None else f"{speed:.1f} tokens/s"),
            ("Tokens in", _count(message.input_tokens, message.estimated)),
            ("Tokens out", _count(message.output_tokens, message.estimated)),
            ("Cost of tokens", "unknown" if message.cost_usd is None else f"${message.cost_usd:f}"),
        ]
        gpu = _gpu_usd(message)
        if gpu is not None:
            rows.append(("Cost of the machine's time", f"${gpu:f}"))
        rows += [(f"Try {number}", _tried(each)) for number, each in enumerate(tries(message), 1)]
        if message.error:
            rows.append(("Error", message.error))
    rows += [("Characters", f"{len(message.text):,}")]
    if message.thinking:
        rows.append(("Thinking", f"{len(message.thinking):,} characters"))
    rows += [("Attached", f"{each.name} ({each.media_type})") for each in message.attachments]
    return [(name, neutralise(value)) for name, value in rows]


def _tried(each: dict[str, Any]) -> str:
    told = f"{each.get('endpoint')}/{each.get('model')}: {each.get('outcome')}"
    return f"{told}, {each['error']}" if each.get("error") else told


def _count(tokens: int | None, estimated: bool) -> str:
    return "-" if tokens is None else f"{'~' if estimated else ''}{tokens:,}"


def _gpu_usd(message: StoredMessage) -> Decimal | None:
    written = message.notes.get("gpu_usd")
    return Decimal(str(written)) if written is not None else None


def _head(message: StoredMessage, now: datetime, live: Live | None) -> str:
    who = (
        {"user": "You", "system": "Summary"}.get(message.role) or (live.model if live else message.model) or "Assistant"
    )
    return f"{who} · {clock(message.created_at, now)}"


def _role(role: str) -> Any:
    return role if role in ("user", "assistant", "system") else "note"


def _attached(each: StoredAttachment) -> Attached:
    content = each.content
    return Attached(each.name, each.media_type, len(content) or len(each.text), (lambda: content) if content else None)


def _error(message: StoredMessage) -> str | None:
    match message.state:
        case "failed":
            return message.error or "The answer failed."
        case "stopped":
            return "Stopped."
        case "complete" if message.finish == "length":
            return "The answer reached its limit of tokens."
        case "complete" if message.role == "assistant" and not message.text and not message.thinking:
            return "The model ended without an answer."
        case _:
            return None


def _hint(message: StoredMessage) -> str | None:
    match message.state:
        case "failed":
            go_on = "c goes on from here, " if message.text else ""
            keys = f"{go_on}r asks again, R asks another model"
            hint = str(message.notes.get("hint") or "")
            return f"{hint}\n  {keys}" if hint else keys
        case "stopped":
            return "c goes on, r asks again"
        case "complete" if message.finish == "length":
            return "c goes on"
        case "complete" if message.role == "assistant" and not message.text and not message.thinking:
            return "r asks again, R asks another model"
        case _:
            return None


def window_words(estimate: Estimate) -> tuple[str, str]:
    """How full the window would be, in words and a colour; amber from three quarters on."""
    about = "~" if estimate.estimated else ""
    passages = f", passages {short_count(estimate.passages_tokens)}" if estimate.passages_tokens else ""
    if not estimate.window_tokens:
        return f"{about}{plural(estimate.tokens, 'token')}{passages}", "muted"
    share = estimate.tokens / estimate.window_tokens
    colour = "bad" if share >= 0.95 else "warn" if share >= 0.75 else "muted"
    return f"{about}{share:.0%} of {window_size(estimate.window_tokens)}{passages}", colour


def estimate_words(estimate: Estimate) -> tuple[str, str]:
    """What sending would take: tokens, and money where it costs some."""
    about = "~" if estimate.estimated else ""
    words = f"{about}{plural(estimate.tokens, 'token')}"
    if estimate.cost_usd is None:
        return f"{words} · price unknown", "muted"
    return (f"{words} · about {amount(estimate.cost_usd)}" if estimate.cost_usd else words), window_words(estimate)[1]


def window_size(tokens: int) -> str:
    """As windows are named: 32k, 128k, 200k, 1M."""
    if tokens >= 1_000_000:
        return f"{tokens / 1_000_000:.2g}M"
    if tokens >= 1000:
        return f"{tokens // 1024}k" if tokens % 1000 and tokens % 1024 == 0 else f"{tokens / 1000:.0f}k"
    return str(tokens)
