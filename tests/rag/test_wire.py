"""Values that cross between processes arrive as they were, or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from rag.documents import Collection, Document, Filters, Passage, Progress, Retrieved, Span, Wanted
from rag.readers import DocumentText
from rag.wire import from_json, to_json

moments = some.datetimes(timezones=some.just(UTC)).map(lambda moment: moment.replace(fold=0))
hashes = some.binary(min_size=16, max_size=16)
spans = some.builds(Span, *[some.integers(0, 10**9)] * 4, some.none() | some.integers(1, 9), some.none())
scores = some.none() | some.floats(allow_nan=False, allow_infinity=False)
passages = some.builds(
    Passage, span=spans, hashes=some.tuples(hashes, hashes), vector_score=scores, lexical_score=scores
)
KINDS: list[tuple[type[Any], some.SearchStrategy[Any]]] = [
    (
        Wanted,
        some.builds(Wanted, filters=filters),
    ),
    (Retrieved, some.builds(Retrieved, passages=some.tuples(passages), considered=some.tuples(passages, passages))),
    (Collection, some.builds(Collection, created_at=moments, used_at=some.none() | moments)),
    (Document, some.builds(Document, added_at=moments, modified_at=some.none(), read_at=some.none() | moments)),
    (Progress, some.builds(Progress)),
    (DocumentText, some.builds(DocumentText)),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[kind.__name__ for kind, _ in KINDS])
def test_every_value_arrives_as_it_was(kind: type[Any], values: some.SearchStrategy[Any]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(values)
    def there_and_back(value: Any) -> None:
        line = json.dumps(to_json(value), allow_nan=True)

        assert repr(from_json(kind, json.loads(line))) == repr(value)

    there_and_back()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Wanted, {"text": 5}),
        (Wanted, {}),
        (Wanted, []),
        (Wanted, {"text": "a", "collections": "ropes"}),
        (Wanted, {"text": "a", "top_k": True}),
        (Filters, {"since": "yesterday"}),
        (Filters, {"without": ["no hex"]}),
        (Retrieved, {"passages": [], "method": "magic"}),
        (Span, {"start": 0}),
    ],
)
def test_what_does_not_fit_is_refused(kind: type[Any], said: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        from_json(kind, said)


def test_another_version_may_say_more_or_less() -> None:
    said = {"text": "ropes", "from_tomorrow": 1}

    assert from_json(Wanted, said) == Wanted("ropes")


def test_what_cannot_be_said_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="A object cannot be sent"):
        to_json({"a": object()})


def test_a_moment_keeps_its_zone() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)

    assert from_json(Filters, to_json(Filters(since=moment))).since == moment
