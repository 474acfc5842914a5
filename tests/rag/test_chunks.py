from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chunks import RoughCounter, Rules, cut, embedded_text
from rag.documents import Chunk, Kind, PageSpan, Section
from rag.readers import DocumentText

ROUGH = RoughCounter()
SMALL = Rules(chunk_tokens=40)
WORDS = st.text("abcdeABé0123456789.,;_()", min_size=1, max_size=12)
STRANGE = st.sampled_from(
    ["数据库连接。", "データベース", "x" * 700, "a.b.c", "\u00a0", "\t", "😀", "\x0c", "\u2028", "ก" * 50]
)
LINES = st.lists(WORDS | STRANGE, min_size=0, max_size=14).map(" ".join)
TEXTS = st.lists(LINES, min_size=1, max_size=30).map("\n".join)
KINDS: st.SearchStrategy[Kind] = st.sampled_from(["prose", "code", "table", "data"])


@st.composite
def documents(draw: st.DrawFn) -> DocumentText:
    """Sections without gaps over any text, and pages between which blanks may stand."""
    text = draw(TEXTS)
    headings = st.lists(st.sampled_from(["One", "Two", "A long heading " * 12]), max_size=3).map(tuple)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=5)))
    bounds = [0, *(at for at in cuts if at < len(text)), len(text)]
    sections = tuple(Section(draw(headings), start, end, draw(KINDS)) for start, end in pairwise(bounds))
    turns = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)))
    spans = tuple(PageSpan(number, start, end) for number, (start, end) in enumerate(pairwise(turns), 3))
    return _document(text, sections if draw(st.booleans()) else (), spans)


def _document(text: str, sections: tuple[Section, ...] = (), spans: tuple[PageSpan, ...] = ()) -> DocumentText:
    return DocumentText("a.txt", "text/plain", text, sections=sections, spans=spans)


def _sectioned(*bodies: tuple[tuple[str, ...], str], kind: Kind = "prose") -> DocumentText:
    text, sections = "", []
    for headings, body in bodies:
        start = len(text)
        text += body + "\n\n"
        sections.append(Section(headings, start, len(text), kind))
    return _document(text, tuple(sections))


def _prose(words: int, name: str = "word") -> str:
    """Sentences of eight words in paragraphs of four sentences."""
    said = [f"{name}{number}" for number in range(words)]
    sentences = [" ".join(said[at : at + 8]) + "." for at in range(0, words, 8)]
    return "\n\n".join(" ".join(sentences[at : at + 4]) for at in range(0, len(sentences), 4))


RULES = st.builds(
    Rules,
    chunk_tokens=st.integers(8, 60),
    overlap_tokens=st.integers(0, 7),
    by_section=st.booleans(),
)


@given(documents(), RULES)
@settings(max_examples=150, deadline=None)
def test_chunks_are_exact_complete_bounded_and_the_same_again(document: DocumentText, rules: Rules) -> None:
    chunks = cut(document, ROUGH, rules)

    covered = bytearray(len(document.text))
    for chunk in chunks:
        span = chunk.span
        assert chunk.text == document.text[span.start : span.end]
        assert chunk.text.strip()
        assert span.first_line == document.text.count("\n", 0, span.start) + 1
        assert span.last_line == document.text.count("\n", 0, span.end - 1) + 1
        # Equal but for long words, whose parts are counted by themselves.
        assert ROUGH.count([chunk.text])[0] <= chunk.tokens <= rules.chunk_tokens
        covered[span.start : span.end] = b"x" * (span.end - span.start)
    assert all(covered[at] or character.isspace() for at, character in enumerate(document.text))
    assert [chunk.span.start for chunk in chunks] == sorted(chunk.span.start for chunk in chunks)
    assert cut(document, ROUGH, rules) == chunks


@given(documents(), st.integers(30, 60))
@settings(max_examples=100, deadline=None)
def test_a_chunk_stays_on_its_page_and_in_its_section(document: DocumentText, most: int) -> None:
    for chunk in cut(document, ROUGH, Rules(chunk_tokens=most)):
        inside = [
            section
            for section in document.sections
            if section.start <= chunk.span.start and chunk.span.end <= section.end
        ]
        assert inside or not document.sections or _only_tiny_ones_are_left(document, chunk)
        if document.spans:
            place = [span for span in document.spans if span.start <= chunk.span.start] or document.spans[:1]
            assert chunk.span.first_page == place[-1].number
        else:
            assert chunk.span.first_page is None


def _only_tiny_ones_are_left(document: DocumentText, chunk: Chunk) -> bool:
    """Whether what a chunk takes from sections that it passes the end of is small."""
    crossed = [section.end for section in document.sections if chunk.span.start < section.end < chunk.span.end]
    return ROUGH.count([document.text[chunk.span.start : crossed[0]]])[0] < 24


@given(documents(), st.integers(20, 60))
@settings(max_examples=100, deadline=None)
def test_neighbours_are_joined_by_line_breaks_alone(document: DocumentText, most: int) -> None:
    chunks = cut(document, ROUGH, Rules(chunk_tokens=most))

    for one, other in pairwise(chunks):
        between = document.text[one.span.end : other.span.start]
        assert between.strip("\n") == "" or between.isspace()
        if len(between) == other.span.first_line - one.span.last_line:
            assert between == "\n" * len(between)


def test_a_section_is_packed_evenly_and_ends_at_paragraphs() -> None:
    chunks = cut(_document(_prose(96)), ROUGH, Rules(chunk_tokens=136))

    # Every made-up word counts for two, every full stop for one: 68 tokens in each of three paragraphs.
    assert [chunk.tokens for chunk in chunks] == [68, 136] or [chunk.tokens for chunk in chunks] == [136, 68]
    assert all(chunk.text.endswith(".") for chunk in chunks)


def test_sections_are_not_mixed() -> None:
    document = _sectioned((("Guide", "Start"), _prose(40, "start")), (("Guide", "Stop"), _prose(40, "stop")))

    chunks = cut(document, ROUGH, Rules(chunk_tokens=200))

    assert [chunk.headings for chunk in chunks] == [("Guide", "Start"), ("Guide", "Stop")]


def test_a_heading_with_nothing_under_it_goes_with_what_follows() -> None:
    document = _sectioned((("Guide",), "Guide"), (("Guide", "Start"), f"Start\n\n{_prose(40)}"))

    (chunk,) = cut(document, ROUGH, Rules(chunk_tokens=200))

    assert chunk.headings == ("Guide", "Start")
    assert chunk.text.startswith("Guide\n\nStart\n\nword0")


def test_tiny_sections_of_one_parent_share_a_chunk() -> None:
    document = _sectioned(
        *((("Words", name), f"{name}\n\nA thing.") for name in ("ant", "bee", "cat")), (("Other",), "B.")
    )

    chunks = cut(document, ROUGH)

    assert [chunk.headings for chunk in chunks] == [("Words",), ("Other",)]
    assert chunks[0].text.startswith("ant")
    assert chunks[0].text.endswith("cat\n\nA thing.")


def test_code_is_cut_between_lines() -> None:
    lines = [f"    value_{number} = compute({number})" for number in range(60)]
    text = "def work():\n" + "\n".join(lines)

    chunks = cut(_document(text, (Section(("work",), 0, len(text), "code"),)), ROUGH, Rules(chunk_tokens=80))

    assert len(chunks) > 5
    assert chunks[0].text.startswith("def work():\n")
    assert all(set(chunk.text.split("\n")) <= {"def work():", *lines} for chunk in chunks)


def test_a_chunk_is_embedded_under_its_own_heading_once() -> None:
    document = _sectioned((("Guide", "Links"), f"Links\n\n{_prose(150)}"))

    chunks = cut(document, ROUGH, Rules(chunk_tokens=150))

    assert embedded_text(chunks[0]) == chunks[0].text
    assert embedded_text(chunks[1]) == f"Links\n{chunks[1].text}"
    assert all(ROUGH.count([embedded_text(chunk)])[0] <= 150 for chunk in chunks)


def test_the_same_text_under_another_heading_is_another_chunk() -> None:
    one, other = (cut(_sectioned(((heading,), _prose(20))), ROUGH)[0] for heading in ("Start", "Stop"))

    assert one.text == other.text
    assert one.hash != other.hash


def test_a_page_ends_a_chunk() -> None:
    text = "First page.\n\nSecond page."

    chunks = cut(_document(text, spans=(PageSpan(1, 0, 13), PageSpan(2, 13, len(text)))), ROUGH)

    assert [(chunk.text, chunk.span.first_page, chunk.span.last_page) for chunk in chunks] == [
        ("First page.", 1, 1),
        ("Second page.", 2, 2),
    ]


@given(st.integers(0, 7), st.text("abc \n.", max_size=300))
@settings(max_examples=50, deadline=None)
def test_an_edit_in_a_section_leaves_the_chunks_of_the_others(number: int, edit: str) -> None:
    bodies = [((f"Section {at}",), _prose(120, f"part{at}x")) for at in range(8)]
    before = cut(_sectioned(*bodies), ROUGH, Rules(chunk_tokens=100))
    bodies[number] = (bodies[number][0], bodies[number][1] + edit)

    after = cut(_sectioned(*bodies), ROUGH, Rules(chunk_tokens=100))

    others = {chunk.hash for chunk in before if chunk.headings != (f"Section {number}",)}
    assert others <= {chunk.hash for chunk in after}


@given(st.integers(0, 399), st.text("abc \n.", max_size=120))
@settings(max_examples=30, deadline=None)
def test_an_edit_in_a_long_text_without_sections_moves_only_chunks_near_it(paragraph: int, edit: str) -> None:
    paragraphs = _prose(400 * 32).split("\n\n")
    before = cut(_document("\n\n".join(paragraphs)), ROUGH, Rules(chunk_tokens=150))
    paragraphs[paragraph] += edit

    after = cut(_document("\n\n".join(paragraphs)), ROUGH, Rules(chunk_tokens=150))

    changed = {chunk.hash for chunk in after} - {chunk.hash for chunk in before}
    assert len(before) > 150
    assert len(changed) <= 40


def test_the_classical_way_is_windows_that_overlap() -> None:
    document = _sectioned((("One",), _prose(800, "one")), (("Two",), _prose(800, "two")))

    chunks = cut(document, ROUGH, Rules(chunk_tokens=1000, overlap_tokens=200, by_section=False))

    assert all(chunk.headings == () for chunk in chunks)
    for one, other in pairwise(chunks):
        shared = ROUGH.count([document.text[other.span.start : one.span.end]])[0]
        assert 120 <= shared <= 200


def test_rules_are_told_apart_by_name() -> None:
    names = {Rules().name, Rules(chunk_tokens=128).name, Rules(overlap_tokens=20).name, Rules(by_section=False).name}

    assert len(names) == 4
    assert Rules().name == "sections-254-0-v1"


@given(st.lists(WORDS | STRANGE, max_size=20).map(" ".join))
def test_the_rough_count_says_where_what_it_counts_stands(text: str) -> None:
    offsets = ROUGH.offsets(text)

    assert len(offsets) == ROUGH.count([text])[0]
    assert all(not text[start:end].isspace() for start, end in offsets)
    assert all(end <= start for (_, end), (start, _) in pairwise(offsets))


def test_characters_of_chinese_count_each() -> None:
    assert ROUGH.count(["数据库连接", "connection to databases", ""]) == [5, 4, 0]
