"""The nouns of this package as values: collections, documents, chunks, and the passages that are found in them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

DocumentState: TypeAlias = Literal["waiting", "reading", "lexical", "ready", "failed"]
"""waiting: not read yet · reading · lexical: found by its words, vectors to come · ready · failed: see `error`."""
Kind: TypeAlias = Literal["prose", "code", "table", "data"]


class Section(NamedTuple):
    """A stretch of a document's text under one heading. Sections follow each other without gaps."""

    headings: tuple[str, ...]
    """The path of headings down to this one; empty before the first."""
    start: int
    end: int
    """Characters of the document's text, the end excluded."""
    kind: Kind = "prose"


class PageSpan(NamedTuple):
    number: int
    """From 1; a sheet or a slide counts as a page."""
    start: int
    end: int


class Span(NamedTuple):
    """Where something stands: characters from 0, the end excluded; lines and pages from 1, the last included."""

    start: int
    end: int
    first_line: int
    last_line: int
    first_page: int | None = None
    last_page: int | None = None


class Chunk(NamedTuple):
    """A piece of a document as it is found and cited: `text` is exactly `document[span.start:span.end]`."""

    text: str
    headings: tuple[str, ...]
    span: Span
    tokens: int
    hash: bytes
    """16 bytes over what is embedded; equal chunks share a vector."""


class Build(NamedTuple):
    """One way a collection was cut and embedded. A collection answers from its live build; another may be under way."""

    id: int
    collection_id: int
    embedder: str | None
    """The identity of what made the vectors; None without any."""
    dimension: int | None
    chunking: str
    """Names the rules by which its chunks were made; other rules make another build."""
    stamp: str
    """Random; stored in the index too, so that a foreign or older index is noticed."""


class Collection(NamedTuple):
    id: int
    name: str
    created_at: datetime
    used_at: datetime | None
    embedder: str | None
    dimension: int | None
    documents: int
    failed: int
    chunks: int
    embedded: int
    """Chunks of the live build that have their vector."""
    text_bytes: int
    building: str | None
    """The embedder of a build that is under way beside the live one."""
    tags: tuple[str, ...] = ()


class Document(NamedTuple):
    id: int
    collection_id: int
    collection: str
    path: str
    """Absolute; a URL; or an archive's path, `!/` and the path inside."""
    name: str
    media_type: str | None
    size_bytes: int | None
    modified_at: datetime | None
    sha256: str | None
    pages: int | None
    characters: int | None
    chunks: int
    embedded: int
    state: DocumentState
    error: str | None
    hint: str | None
    notes: tuple[str, ...]
    tags: tuple[str, ...]
    added_at: datetime
    read_at: datetime | None
    same_as: int | None = None
    """Another document of the collection with the same bytes; it has the chunks."""


class Folder(NamedTuple):
    """A folder whose files are kept in a collection as they change."""

    id: int
    collection: str
    path: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    quiet_s: float
    scanned_at: datetime | None


class Filters(NamedTuple):
    """What may be found; empty means everything."""

    paths: tuple[str, ...] = ()
    """Files, folders with all that is in them, or patterns: of names without a slash, of paths with one."""
    documents: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    since: datetime | None = None
    """Files changed at or after this."""
    until: datetime | None = None
    without: tuple[bytes, ...] = ()
    """Hashes of chunks that shall not be found again."""


class Wanted(NamedTuple):
    """A question to the documents."""

    text: str
    collections: tuple[str, ...] = ()
    """By name; none means all."""
    top_k: int = 5
    """How many passages at most."""
    budget_tokens: int | None = None
    """How many tokens the passages may have together; then `top_k` is no limit unless it is smaller."""
    filters: Filters = Filters()


class Passage(NamedTuple):
    """What was found: one chunk, or neighbours merged, in the words of the document."""

    collection: str
    document_id: int
    document: str
    """Its name."""
    path: str
    headings: tuple[str, ...]
    text: str
    span: Span
    tokens: int
    score: float
    """Of the fused order: 1 is the best that could be."""
    lexical_rank: int | None
    lexical_score: float | None
    vector_rank: int | None
    vector_score: float | None
    """Cosine."""
    why: str
    """In a few words: which words, which rank, merged with neighbours, moved by the reranker."""
    hashes: tuple[bytes, ...]
    """Of the chunks it is made of."""


class Retrieved(NamedTuple):
    """The answer to `Wanted`."""

    passages: tuple[Passage, ...]
    considered: tuple[Passage, ...] = ()
    """The best that were not taken, for whoever wants to know why."""
    notes: tuple[str, ...] = ()
    """What the reader should know: lexical only, the reranker failed, a collection still being read."""
    tokens: int = 0
    method: Literal["hybrid", "lexical"] = "lexical"
    embed_ms: float = 0.0
    search_ms: float = 0.0


class Skipped(NamedTuple):
    """What was not taken in, and why, in a sentence."""

    path: str
    why: str


class Added(NamedTuple):
    """What `add` took in: kept for good, to be read soon. Files that had not changed are among the documents."""

    document_ids: tuple[int, ...]
    skipped: tuple[Skipped, ...] = ()
    waiting: int = 0
    """How many of the documents are to be read; the others had not changed."""


class Progress(NamedTuple):
    """How far the documents are."""

    waiting: int = 0
    """Documents that are to be read."""
    reading: str | None = None
    """The name of the one that is being read."""
    to_embed: int = 0
    """Chunks whose vector is to be made."""
    embedded: int = 0
    """Chunks that got their vector since there was last nothing to do."""
    rate_per_s: float | None = None
    """Vectors made in a second, lately; None before that is known."""
    eta_s: float | None = None
    """Until everything has its vector; a guess for what was not read yet."""
    embedder: str | None = None
    """The identity of the one that is used for new collections; None while there is none."""
    index_kind: str | None = None
    """What vectors are looked for in: `chromadb`, a server of it, `exact scan` where there are too many for the memory
    of this computer; None while nothing was looked for."""
    index_trouble: str | None = None
    """What is wrong with the index, or what is done about it; None when it is in order."""
    error: str | None = None
    """What holds the work up: the embedder does not answer, the disk is full."""
    hint: str | None = None
    paused: bool = False
    collection: str | None = None
    """The one that is worked on."""


class Finding(NamedTuple):
    """What a check found."""

    text: str
    is_repaired: bool = False
