"""What of a chat is sent: counting tokens, packing into the model's window, and noticing when a server cut it.

The system instruction and the last turn are always sent. Of the rest, whole turns (a question with its answers) are
left out from the oldest on, or stand in as a summary. What happened is told in `Packed.account`; nothing is cut in
silence, neither here nor, as far as its figures show, at the other side.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from console.errors import ContextOverflow
from console.text import plural
from providers.chat.base import Message

IMAGE_TOKENS = 1_000
"""An image in a question; services count between 85 and 1,600 for one, most often about this."""
MESSAGE_TOKENS = 4
"""What marks the beginning, the role and the end of a message."""
SMALLEST_WINDOW = 128
SUMMARY_TITLE = "Summary of the earlier part of this conversation:"

_UPPER = bytes(range(65, 91))
_LOWER = bytes(range(97, 123))
_DIGITS = b"0123456789"
_BLANK = b" \t\r\v\f"
_ASCII = bytes(range(128))
# First bytes of UTF-8 sequences, each standing for one character of these scripts.
_LATIN = bytes(range(0xC2, 0xC6))
_CYRILLIC = b"\xd0\xd1"
_TWO_BYTES = bytes(range(0xC6, 0xE0))
_INDIC = b"\xe0\xe1"
_SIGNS = b"\xe2"
_ASIAN = bytes(range(0xE3, 0xF0))
_FOUR_BYTES = bytes(range(0xF0, 0xF5))

_AT_ONCE = 1 << 18
"""Characters looked at together: the words of a text are many times its size for a moment."""


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is, for any current model, at about ten microseconds per KB.

    The weights were fitted to four tokenizers (cl100k, o200k, Claude, DeepSeek) over code, prose, Markdown, JSON and
    fifteen languages: half of the estimates are within 7 % of their mean and nine in ten within 16 %. Scripts that the
    tokenizers disagree on (Greek, Hindi, Thai, …) can be off by a factor of two either way.
    """
    if len(text) > _AT_ONCE:
        return sum(estimate_tokens(text[first : first + _AT_ONCE]) for first in range(0, len(text), _AT_ONCE))
    raw = text.encode("utf-8", "surrogatepass")
    size = len(raw)

    def count(which: bytes) -> int:
        return size - len(raw.translate(None, which))

    words = len(text.split())
    upper, lower, digits, blank = count(_UPPER), count(_LOWER), count(_DIGITS), count(_BLANK)
    lines = raw.count(b"\n")
    ascii_only = text.isascii()
    others = 0 if ascii_only else size - count(_ASCII)
    punctuation = size - others - upper - lower - digits - blank - lines
    letters = upper + lower
    tokens = (
        0.22 * words
        + 0.22 * upper
        + 0.19 * lower
        + 0.7 * digits
        + 0.58 * punctuation
        + 0.85 * lines
        + 0.03 * max(blank - words, 0)
        + 0.5 * max(letters - 10 * (words + punctuation), 0)  # Base64 and the like: letters without words
    )
    if others:
        cyrillic = count(_CYRILLIC)
        tokens += (
            2.2 * count(_LATIN)
            + 0.42 * cyrillic
            + 0.75 * (count(_TWO_BYTES) - cyrillic)
            + 0.6 * count(_INDIC)
            + 0.75 * count(_SIGNS)
            + 0.95 * count(_ASIAN)
            + 2.7 * count(_FOUR_BYTES)
        )
    return int(tokens) + 1 if text else 0


def message_tokens(message: Message) -> int:
    calls = sum(estimate_tokens(call.name) + estimate_tokens(call.arguments) for call in message.tool_calls)
    return MESSAGE_TOKENS + estimate_tokens(message.text) + IMAGE_TOKENS * len(message.images) + calls


Count = Callable[[Message], int]


class Packed(NamedTuple):
    """What is sent, and what became of the rest."""

    messages: tuple[Message, ...]
    tokens: int
    """Of all that is sent, by the counter that was given."""
    room_tokens: int
    """What there was room for: the window without what is kept free for the answer."""
    turns: int
    dropped: tuple[Message, ...] = ()
    dropped_turns: int = 0
    dropped_tokens: int = 0
    cut_tokens: int = 0
    """Taken out of the middle of what had to be sent."""
    summary: str | None = None
    summary_failed: bool = False

    @property
    def is_whole(self) -> bool:
        return not self.dropped_turns and not self.cut_tokens

    @property
    def account(self) -> str:
        """A sentence or two for the reader; empty when everything was sent."""
        if self.is_whole:
            return ""
        told = []
        if self.dropped_turns:
            fate = "summarised" if self.summary is not None else "left out"
            turns, tokens = plural(self.dropped_turns, "turn"), plural(self.dropped_tokens, "token")
            told.append(f"Of {plural(self.turns, 'turn')} the oldest {turns} (about {tokens}) are {fate}.")
        if self.summary_failed:
            told.append("No summary could be made of them.")
        if self.cut_tokens:
            told.append(f"About {plural(self.cut_tokens, 'token')} were cut out of the middle of the question.")
        told.append(f"Sent are about {self.tokens:,} of {self.room_tokens:,} tokens that fit.")
        return " ".join(told)


def pack(
    messages: Sequence[Message],
    window_tokens: int,
    reserve_tokens: int,
    count: Count = message_tokens,
    *,
    refuse: bool = False,
) -> Packed:
    """Fit a chat into the window, with `reserve_tokens` (at most half of it) kept free for the answer.

    The oldest turns are left out; if the last one alone is too long, the middle of its longest message is cut, with a
    mark in its place. With `refuse`, whatever does not fit is a `ContextOverflow` with the figures.
    """
    room = _room(window_tokens, reserve_tokens)
    packed = _pack_into(messages, room, count)
    if refuse and not packed.is_whole:
        raise ContextOverflow(
            f"The chat is about {sum(map(count, messages)):,} tokens long, and {room:,} fit into the model's window"
            f" of {window_tokens:,}.",
            hint="Start a new chat, ask less at once, or choose a model with a larger window.",
        )
    return packed


async def pack_with_summary(
    messages: Sequence[Message],
    window_tokens: int,
    reserve_tokens: int,
    summarise: Callable[[Sequence[Message], int], Awaitable[str]],
    count: Count = message_tokens,
) -> Packed:
    """The same, with a summary in the place of what is left out, at the end of the system instruction.

    `summarise` gets the messages and the most tokens its text may have. If it fails with one of our errors, or says
    nothing or too much, the turns are left out without one, and the account says so.
    """
    room = _room(window_tokens, reserve_tokens)
    plain = _pack_into(messages, room, count)
    if not plain.dropped:
        return plain
    from console.errors import ConsoleError
    from providers.errors import ProviderError

    share = room // 4
    tight = _pack_into(messages, room - share, count)
    try:
        summary = (await summarise(tight.dropped, share)).strip()
    except (ConsoleError, ProviderError):
        summary = ""
    if summary:
        sent = _with_summary(tight.messages, summary)
        tokens = sum(map(count, sent))
        if tokens <= room:
            return tight._replace(messages=sent, tokens=tokens, room_tokens=room, summary=summary)
    return plain._replace(summary_failed=True)


def detect_truncation(sent_estimate: int, reported: int | None, window_tokens: int | None = None) -> str | None:
    """A sentence when the server's count of the question shows that it read only a part of it, else None.

    Two signs: its count is exactly the window while we sent about that or more, or it is so far below our estimate
    that no tokenizer explains it (ours is at most about twice too high, see `estimate_tokens`).
    """
    if reported is None or reported <= 0 or sent_estimate < 200:
        return None
    filled = reported == window_tokens and sent_estimate > 0.7 * reported
    overfull = (
        window_tokens is not None and reported <= window_tokens < 0.7 * sent_estimate and reported < 0.7 * sent_estimate
    )
    if not filled and not overfull and reported >= 0.45 * sent_estimate:
        return None
    window = f" Its window is {window_tokens:,} tokens." if window_tokens is not None else ""
    return (
        f"The server read only {reported:,} of about {max(sent_estimate, reported):,} tokens:"
        f" the beginning of the chat did not reach the model.{window}"
    )


def _room(window_tokens: int, reserve_tokens: int) -> int:
    if window_tokens < SMALLEST_WINDOW:
        raise ContextOverflow(
            f"A window of {window_tokens:,} tokens is too small to chat in.",
            hint="Set context_tokens to what the model can hold.",
        )
    return window_tokens - min(max(reserve_tokens, 0), window_tokens // 2)


def _turns(messages: Sequence[Message]) -> tuple[list[Message], list[list[Message]]]:
    """The system messages at the beginning, and the rest in turns that each begin with a question."""
    begin = 0
    while begin < len(messages) and messages[begin].role == "system":
        begin += 1
    turns: list[list[Message]] = []
    for message in messages[begin:]:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return list(messages[:begin]), turns


def _pack_into(messages: Sequence[Message], room: int, count: Count) -> Packed:
    system, turns = _turns(messages)
    sizes = [sum(map(count, turn)) for turn in turns]
    total = sum(map(count, system)) + sum(sizes)
    first = 0
    while total > room and first < len(turns) - 1:
        total -= sizes[first]
        first += 1
    kept = [*system, *(message for turn in turns[first:] for message in turn)]
    cut = 0
    if total > room:
        whole = total
        kept = _cut(kept, len(system), room, count)
        total = sum(map(count, kept))
        cut = whole - total
    return Packed(
        tuple(kept),
        total,
        room,
        len(turns),
        tuple(message for turn in turns[:first] for message in turn),
        first,
        sum(sizes[:first]),
        cut,
    )


def _cut(messages: list[Message], systems: int, room: int, count: Count) -> list[Message]:
    """Shorten texts until all fit: the instruction to half of the room if it is longer, then always the longest."""
    least = sum(count(message._replace(text="")) for message in messages)
    if least > room:
        raise ContextOverflow(
            f"The images and calls of the question are about {least:,} tokens, and {room:,} fit.",
            hint="Attach fewer images, or choose a model with a larger window.",
        )
    sizes = [count(message) for message in messages]

    def shorten(index: int, by: int) -> None:
        messages[index] = _cut_middle(messages[index], sizes[index] - by, sizes[index], count)
        sizes[index] = count(messages[index])

    def longest(indexes: range) -> int | None:
        return max((i for i in indexes if messages[i].text), key=sizes.__getitem__, default=None)

    question, instruction = range(systems, len(messages)), range(systems)
    while (over := min(sum(sizes) - room, sum(sizes[:systems]) - room // 2)) > 0:
        index = longest(instruction)
        if index is None:
            break
        shorten(index, over)
    while (over := sum(sizes) - room) > 0:
        index = longest(question)
        if index is None:
            index = longest(instruction)
        assert index is not None  # without any text it fits, as was seen above
        shorten(index, over)
    return messages


def _cut_middle(message: Message, target: int, size: int, count: Count) -> Message:
    """Keep the beginning and the end: the instruction stands at one of them, the material between."""
    text = message.text
    mark = f"\n\n[… about {plural(size - target, 'token')} left out here …]\n\n"
    keep = int(len(text) * max(target, 0) / size)
    while keep > 0:
        if keep < len(mark):
            mark = "[…]"
        head = keep // 2
        shorter = message._replace(text=text[:head] + mark + text[len(text) - (keep - head) :])
        if len(shorter.text) < len(text) and count(shorter) <= target:
            return shorter
        keep = keep * 9 // 10
    return message._replace(text="")


def _with_summary(messages: Sequence[Message], summary: str) -> tuple[Message, ...]:
    # Not a message of its own: many chat templates accept only one system message, and only at the beginning.
    told = f"{SUMMARY_TITLE}\n{summary}"
    first = messages[0] if messages else None
    if first is not None and first.role == "system":
        return (first._replace(text=f"{first.text}\n\n{told}"), *messages[1:])
    return (Message("system", told), *messages)
