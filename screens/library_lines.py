"""What the library shows of a collection, a document, a passage and the work on them: from values to lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.segment import Segment
from rich.text import Text

from console.paths import shown_path
from console.text import plural, size_words
from screens.library_words import lit
from screens.widgets.cells import clip, fit, one_line
from screens.widgets.chat_line import segments_of
from screens.widgets.times import short_time

if TYPE_CHECKING:
    from rich.console import Console

    from console.history.sources import Source
    from console.library.news import LibraryStatus
    from rag.documents import Collection, Document, Folder, Passage, Span
    from screens.theme import Palette
    from screens.widgets.rows import Painted

STATES = {
    "waiting": ("·", "faint", "waiting"),
    "reading": ("◐", "accent", "reading"),
    "lexical": ("◑", "accent", "by words"),
    "ready": ("●", "ok", "ready"),
    "failed": ("✗", "bad", "failed"),
}
"""The mark of each state, its colour, and its word."""
_WITH_FACTS = 62
"""From this width on a document tells pages, chunks and when it was read."""
_BAR = 16


def collection_line(row: Collection, width: int, palette: Palette, *, is_cursor: bool) -> list[Segment]:
    quiet = palette.muted if is_cursor else palette.faint
    share = done_share(row)
    tail, style = (f"{row.documents:,}", quiet) if share is None else (f"{share:.0%}", palette.accent)
    mark, mark_style = ("!", palette.bad) if row.failed else (" ", quiet)
    name = clip(row.name, max(width - len(tail) - 4, 1))
    gap = width - 2 - Text(name).cell_len - len(tail) - 1
    return [
        Segment(f"{mark} ", mark_style),
        Segment(name, palette.text),
        Segment(" " * max(gap, 1)),
        Segment(f"{tail} ", style),
    ]


def done_share(row: Collection) -> float | None:
    """How much of a collection has its vectors; None where there is nothing to wait for."""
    if row.embedder is None or row.embedded >= row.chunks:
        return None
    return row.embedded / row.chunks


def folder_line(row: Folder, width: int, palette: Palette, *, is_cursor: bool) -> list[Segment]:
    quiet = palette.muted if is_cursor else palette.faint
    return [Segment("  ⟳ ", palette.tool), Segment(clip(tail_words(row.path, width - 5), width - 5), quiet)]


def path_words(path: str) -> str:
    """A path or an address as a person reads it."""
    return path if "://" in path else shown_path(Path(path))


def tail_words(path: str, width: int) -> str:
    shown = path_words(path)
    return shown if len(shown) <= width else "…" + shown[-max(width - 1, 1) :]


def document_line(
    row: Document | None, width: int, palette: Palette, now: datetime, *, is_cursor: bool, is_marked: bool
) -> Painted:
    if row is None:
        return Text("  …", palette.faint)
    quiet = palette.muted if is_cursor else palette.faint
    mark, colour, word = STATES[row.state]
    tail: list[Segment] = []
    size = size_words(row.size_bytes) if row.size_bytes is not None else ""
    if width >= _WITH_FACTS:
        pages = f"{row.pages:,} p" if row.pages else ""
        when = short_time(row.read_at, now) if row.read_at is not None else ""
        tail += [
            Segment(f"{pages:>8}", quiet),
            Segment(f"{_chunks_of(row):>13}", palette.muted),
            Segment(f"{size:>8}", quiet),
            Segment(f"  {word:<8}", getattr(palette, colour)),
            Segment(f"{when:>8} ", quiet),
        ]
    else:
        tail += [Segment(f"{size:>8} ", quiet)]
    room = max(width - sum(len(each.text) for each in tail) - 4, 4)
    return [
        Segment("✓" if is_marked else " ", palette.accent),
        Segment(f"{mark} ", getattr(palette, colour)),
        Segment(fit(row.name, room), palette.bad if row.state == "failed" and not is_cursor else palette.text),
        Segment(" "),
        *tail,
    ]


def _chunks_of(row: Document) -> str:
    if row.same_as is not None:
        return "a copy"
    if not row.chunks:
        return ""
    return plural(row.chunks, "chunk") if row.state != "lexical" else f"{row.embedded:,}/{row.chunks:,}"


def collection_head(row: Collection, now: datetime) -> list[tuple[str, str]]:
    """What is told above the documents: words and the names of their colours."""
    parts = [(row.name, "heading"), (plural(row.documents, "document"), "text")]
    parts.append((plural(row.chunks, "chunk"), "muted"))
    if row.failed:
        parts.append((f"{row.failed:,} failed", "bad"))
    if row.building:
        parts.append((f"being embedded anew with {short_model(row.building)}", "accent"))
    elif (share := done_share(row)) is not None:
        parts.append((f"{share:.0%} embedded", "accent"))
    parts.append((short_model(row.embedder) if row.embedder else "found by words only", "muted"))
    if row.used_at is not None:
        parts.append((f"used {short_time(row.used_at, now)}", "muted"))
    if row.text_bytes:
        parts.append((f"{size_words(row.text_bytes)} of text", "muted"))
    parts += [(f"#{tag}", "tool") for tag in row.tags]
    return parts


def short_model(identity: str) -> str:
    """The part of a model's name that tells it from others."""
    return identity.rsplit("/", 1)[-1]


def document_about(row: Document) -> list[tuple[str, str]]:
    """What is told of the document under the cursor, line by line."""
    lines = [(path_words(row.path), "muted")]
    if row.error:
        lines.append((" ".join(filter(None, (row.error, row.hint))), "bad"))
    lines += [(note, "warn") for note in row.notes]
    if row.tags:
        lines.append((" ".join(f"#{tag}" for tag in row.tags), "tool"))
    return lines


def document_facts(row: Document) -> list[tuple[str, str]]:
    """All that is known of it, in rows."""

    def when(at: datetime | None) -> str:
        return "-" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"

    facts = [
        ("Name", row.name),
        ("Path", row.path),
        ("Collection", row.collection),
        ("State", STATES[row.state][2] if row.state != "lexical" else "found by its words, vectors to come"),
        ("Kind", row.media_type or "-"),
        ("Size", size_words(row.size_bytes) if row.size_bytes is not None else "-"),
        ("Pages", f"{row.pages:,}" if row.pages else "-"),
        ("Characters", f"{row.characters:,}" if row.characters is not None else "-"),
        ("Chunks", f"{row.chunks:,}, {row.embedded:,} of them embedded"),
        ("Changed", when(row.modified_at)),
        ("Added", when(row.added_at)),
        ("Read", when(row.read_at)),
        ("SHA-256", row.sha256 or "-"),
    ]
    if row.same_as is not None:
        facts.append(("Same as", "another document here has the same bytes and the chunks"))
    if row.error:
        facts += [("Error", row.error), *([("What to do", row.hint)] if row.hint else [])]
    facts += [("Note", note) for note in row.notes]
    if row.tags:
        facts.append(("Tags", ", ".join(row.tags)))
    return facts


def collection_facts(row: Collection, folders: list[Folder]) -> list[tuple[str, str]]:
    facts = [
        ("Name", row.name),
        ("Documents", f"{row.documents:,}" + (f", {row.failed:,} of them failed" if row.failed else "")),
        ("Chunks", f"{row.chunks:,}, {row.embedded:,} of them embedded"),
        ("Text", size_words(row.text_bytes)),
        ("Embedder", row.embedder or "none: found by words only"),
        ("Dimension", f"{row.dimension:,}" if row.dimension else "-"),
        ("Made", f"{row.created_at.astimezone():%Y-%m-%d %H:%M:%S}"),
        ("Used", "-" if row.used_at is None else f"{row.used_at.astimezone():%Y-%m-%d %H:%M:%S}"),
    ]
    if row.building:
        facts.append(("Being made", f"vectors of {row.building}"))
    if row.tags:
        facts.append(("Tags", ", ".join(row.tags)))
    for folder in folders:
        rules = [*folder.include, *(f"not {each}" for each in folder.exclude)]
        facts.append(("Watched", f"{path_words(folder.path)}{'  ' + ', '.join(rules) if rules else ''}"))
    return facts


# ---- passages


class Found(NamedTuple):
    """A passage in the list, with the words it was found for."""

    passage: Passage
    number: int
    query: str


def passage_lines(row: Found, width: int, palette: Palette, console: Console, *, is_cursor: bool) -> Painted:
    """Where it stands and its scores; then two lines of it, about where the words are."""
    passage, quiet = row.passage, palette.muted if is_cursor else palette.faint
    tail = [Segment(f"  {words}", palette.accent if strong else quiet) for words, strong in scores_of(passage)]
    if width < _WITH_FACTS:
        tail = tail[:1]
    room = max(width - sum(len(each.text) for each in tail) - 1, 1)
    head = Text(no_wrap=True)
    head.append(f"{row.number:>2} ", palette.accent)
    head.append(clip(passage.document, max(room // 2, 12)), palette.strong)
    head.append(f"  {place_words(passage.span)}", palette.muted)
    if passage.headings:
        head.append(f"  {one_line(' › '.join(passage.headings))}", quiet)
    head.truncate(room, overflow="ellipsis")
    gap = Segment(" " * max(width - head.cell_len - sum(len(each.text) for each in tail) - 1, 0))
    text = Text(_excerpt(passage.text, row.query, width), palette.text if is_cursor else palette.muted)
    for start, end in lit(text.plain, row.query):
        text.stylize(palette.match, start, end)
    lines = text.wrap(console, max(width - 5, 8))[:2]
    for line in lines:
        line.style = text.style
    return [*segments_of(head), gap, *tail], *([Segment("   "), *segments_of(line)] for line in lines)


def _excerpt(text: str, query: str, width: int) -> str:
    """About where most of the words stand together."""
    text, room = text[:8000], 2 * width
    found = lit(text, query)
    best = max(found, key=lambda one: _words_within(text, found, one[0], room), default=(0, 0))
    start = best[0] if best[0] > width // 2 else 0
    if start:
        start = max(text.rfind(" ", 0, max(start - width // 4, 1)), 0) + 1
    return ("… " if start else "") + one_line(text[start : start + 3 * width])


def _words_within(text: str, found: Sequence[tuple[int, int]], start: int, room: int) -> int:
    """How many different words are lit from here on."""
    return len({text[one:end].casefold() for one, end in found if start <= one < start + room})


def scores_of(passage: Passage | Source) -> list[tuple[str, bool]]:
    """The fused score, then both it was fused from, with their ranks; the first is the one that counts."""
    parts = [(f"{passage.score:.2f}", True)]
    if passage.lexical_rank is not None:
        score = "" if passage.lexical_score is None else f" {abs(passage.lexical_score):.1f}"
        parts.append((f"words #{passage.lexical_rank}{score}", False))
    if passage.vector_rank is not None:
        score = "" if passage.vector_score is None else f" {passage.vector_score:.2f}"
        parts.append((f"meaning #{passage.vector_rank}{score}", False))
    return parts


def place_words(span: Span) -> str:
    """Pages where there are some, else lines."""
    if span.first_page is not None:
        last = span.last_page or span.first_page
        return f"p. {span.first_page}" if last == span.first_page else f"pp. {span.first_page}-{last}"
    if span.last_line <= span.first_line:
        return f"line {span.first_line}"
    return f"lines {span.first_line}-{span.last_line}"


# ---- work


def work_words(status: LibraryStatus, to_do: int) -> list[tuple[str, str]]:
    """What is being done and how far it is, in words with colours. `to_do` is how many chunks there were to embed when
    it began."""
    if status.error:
        return [(" ".join(filter(None, (status.error, status.hint))), "bad")]
    parts: list[tuple[str, str]] = []
    if status.is_paused:
        parts.append(("Paused.", "warn"))
    if status.reading:
        parts.append((f"Reading {clip(status.reading, 40)}", "accent"))
    if status.waiting:
        parts.append((f"{status.waiting:,} to be read", "muted"))
    if status.to_embed:
        if share := embedded_share(status, to_do):
            parts.append((bar(share), "accent"))
            parts.append((f"{share:.0%}", "accent"))
        parts.append((f"{plural(status.to_embed, 'chunk')} to embed", "muted"))
        if status.rate_per_s:
            parts.append((f"{status.rate_per_s:.0f}/s", "muted"))
        if status.eta_s is not None and not status.is_paused:
            parts.append((f"{time_words(status.eta_s)} left", "muted"))
    return parts


def embedded_share(status: LibraryStatus, to_do: int) -> float | None:
    return 1 - status.to_embed / to_do if to_do > status.to_embed else None


def bar(share: float, width: int = _BAR) -> str:
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    full, part = divmod(eighths, 8)
    drawn = "█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")
    return drawn + "░" * (width - len(drawn))


def time_words(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def short_work(status: LibraryStatus) -> tuple[str, str] | None:
    """A word about the work for the line at the top of every room."""
    if status.error and (status.waiting or status.to_embed):
        return "documents stopped", "bad"
    if not (status.waiting or status.reading or status.to_embed) or not status.is_up:
        return None
    if status.is_paused:
        return "documents paused", "warn"
    if status.waiting or status.reading:
        return f"reading {plural(status.waiting + bool(status.reading), 'document')}", "accent"
    left = f" {time_words(status.eta_s)}" if status.eta_s is not None else ""
    return f"embedding{left}", "accent"


def disk_words(used_bytes: int, folder: Path) -> str:
    return f"{size_words(used_bytes)} on disk in {shown_path(folder)}"
