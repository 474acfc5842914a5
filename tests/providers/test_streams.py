"""The stream readers: the same for every split, bounded, and never anything but a ProviderError."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.chat.answers import AnswerReader, ThinkTags, mended
from providers.chat.anthropic import AnthropicReader
from providers.chat.base import Host
from providers.chat.ollama import OllamaReader
from providers.chat.openai import OpenAIReader
from providers.chat.streams import MAX_LINE, JsonLines, ServerSentEvents
from providers.errors import BadReply, ProviderError
from tests.providers.raw import ask

HOST = Host("lab", "http://127.0.0.1:1")
READERS: dict[str, type[AnswerReader]] = {"ollama": OllamaReader, "openai": OpenAIReader, "anthropic": AnthropicReader}


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def parsed(parser: ServerSentEvents | JsonLines, parts: list[bytes]) -> list[Any]:
    found: list[Any] = []
    for part in parts:
        found += parser.feed(part)
    return [*found, *parser.finish()]


def breaks(parser: ServerSentEvents | JsonLines, part: bytes) -> bool:
    """Whether the parser refuses to take any more of this, before it has taken a thousand of it."""
    try:
        for _ in range(1000):
            list(parser.feed(part))
    except BadReply:
        return True
    return False


def answered(wire: str, parts: list[bytes]) -> tuple[str, str, list[Any], str]:
    """Everything one can see of an answer: text, thinking, calls, and how it ended."""
    reader = READERS[wire](HOST, ask())
    deltas = []
    for part in parts:
        deltas.append(reader.feed(part))
        if reader.failure is not None or reader.ended:
            break
    deltas.append(reader.finish())
    seen = [delta for delta in deltas if delta is not None]
    end = repr(reader.end()) if reader.failure is None else type(reader.failure).__name__
    calls = [call for delta in seen for call in delta.tool_calls]
    return "".join(delta.text for delta in seen), "".join(delta.thinking for delta in seen), calls, end


# ---- examples


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_events_in_every_line_ending(newline: str) -> None:
    text = (
        "\ufeff: hello\n\nevent: a\ndata: one\ndata:two\nid: 7\nretry: 1\n\ndata\ndata: \n\nevent: lost\n\ndata: last"
    )
    data = text.replace("\n", newline).encode()

    whole = parsed(ServerSentEvents(), [data])
    by_byte = parsed(ServerSentEvents(), [data[at : at + 1] for at in range(len(data))])

    assert whole == by_byte == [(b"a", b"one\ntwo"), (b"", b""), (b"", b"last")]


def test_json_lines_with_blank_lines_and_no_last_newline() -> None:
    data = b'\xef\xbb\xbf{"a":1}\r\n\n  \n{"b":"\xc3\xa9"}'

    assert [json.loads(line) for line in parsed(JsonLines(), [data])] == [{"a": 1}, {"b": "é"}]


@pytest.mark.parametrize("make", [ServerSentEvents, JsonLines])
def test_line_without_end_is_refused_before_it_fills_the_memory(
    make: Callable[[], ServerSentEvents | JsonLines],
) -> None:
    parser = make()
    tracemalloc.start()
    try:
        assert breaks(parser, b"x" * 65536)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * MAX_LINE


def test_event_without_end_is_refused() -> None:
    parser = ServerSentEvents()

    assert breaks(parser, b"data: " + b"x" * 65536 + b"\n")


def test_empty_data_lines_without_end_are_refused() -> None:
    parser = ServerSentEvents()

    assert breaks(parser, b"data:\n" * 10_000)


# ---- generated

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
CUTS = st.lists(st.integers(0, 5000), max_size=30)
SSE_BITS = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"event: x",
        b": c",
        b"\n",
        b"\r\n",
        b"\r",
        b"{}",
        b"[DONE]",
        b"\xef\xbb\xbf",
        b"\xc3\xa9",
        b"a",
    ]
)


@given(st.lists(SSE_BITS, max_size=60).map(b"".join), CUTS)
def test_events_are_the_same_for_every_split(data: bytes, cuts: list[int]) -> None:
    assert parsed(ServerSentEvents(), split_at(data, cuts)) == parsed(ServerSentEvents(), [data])


@given(st.binary(max_size=400), CUTS)
def test_json_lines_are_the_same_for_every_split(data: bytes, cuts: list[int]) -> None:
    assert parsed(JsonLines(), split_at(data, cuts)) == parsed(JsonLines(), [data])


@given(st.lists(st.sampled_from(["<think>", "</think>", "<thi", "nk>", "a", " ", "\n", "</", "é"]), max_size=15), CUTS)
def test_thinking_tags_are_found_in_every_split(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    tags, whole = ThinkTags(), ThinkTags()
    said = thought = ""
    for start, end in pairwise(edges):
        more, thinking = tags.split(text[start:end])
        said, thought = said + more, thought + thinking
    more, thinking = tags.split("", last=True)

    assert (said + more, thought + thinking) == whole.split(text, last=True)


@given(st.lists(st.sampled_from(["\ud83d", "\ude00", "a", "é", "😀"]), max_size=12))
def test_halves_of_characters_are_joined_in_every_split(parts: list[str]) -> None:
    whole, _ = mended("".join(parts), last=True)
    said = cut = ""
    for part in parts:
        more, cut = mended(cut + part)
        said += more
    more, _ = mended(cut, last=True)

    assert said + more == whole
    assert (said + more).encode().decode() == whole


def openai_stream(pieces: list[str]) -> bytes:
    events: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    events += [{"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}]
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a":'}}
    events += [{"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}]
    rest = {"index": 0, "function": {"arguments": "1}"}}
    events += [{"choices": [{"index": 0, "delta": {"tool_calls": [rest]}, "finish_reason": "tool_calls"}]}]
    events += [{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}]
    return b"".join(b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in events) + b"data: [DONE]\n\n"


def ollama_stream(pieces: list[str]) -> bytes:
    rows: list[dict[str, Any]] = [{"message": {"content": piece}, "done": False} for piece in pieces]
    rows += [{"message": {"content": "", "thinking": "hm"}, "done": False}]
    rows += [{"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 2}]
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def anthropic_stream(pieces: list[str]) -> bytes:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"usage": {"input_tokens": 1}}}]
    events += [{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}]
    events += [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": piece}} for piece in pieces]
    events += [{"type": "content_block_stop"}, {"type": "ping"}]
    events += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}]
    events += [{"type": "message_stop"}]
    lines = (f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events)
    return "".join(lines).encode()


STREAMS = {"ollama": ollama_stream, "openai": openai_stream, "anthropic": anthropic_stream}


@pytest.mark.parametrize("wire", READERS)
@given(pieces=st.lists(TEXT, max_size=8), cuts=CUTS)
def test_answer_is_the_same_for_every_split(wire: str, pieces: list[str], cuts: list[int]) -> None:
    data = STREAMS[wire](pieces)

    whole = answered(wire, [data])

    assert answered(wire, split_at(data, cuts)) == whole
    assert whole[3].startswith("End")


@pytest.mark.parametrize("wire", READERS)
@given(pieces=st.lists(TEXT, min_size=1, max_size=5), at=st.integers(0, 10_000), cuts=CUTS)
def test_truncated_answer_is_an_error_that_keeps_its_text(
    wire: str, pieces: list[str], at: int, cuts: list[int]
) -> None:
    data = STREAMS[wire](pieces)
    cut = data[: at % len(data)]

    text, _, _, end = answered(wire, split_at(cut, cuts))

    complete = answered(wire, [data])
    assert complete[0].startswith(text) or text.startswith(complete[0])
    assert end == "StreamBroken" or end.startswith("End")


@pytest.mark.parametrize("wire", READERS)
@given(data=st.binary(max_size=300), cuts=CUTS)
def test_garbage_is_an_error_and_nothing_worse(wire: str, data: bytes, cuts: list[int]) -> None:
    assert answered(wire, split_at(data, cuts)) == answered(wire, [data])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "choices",
    "delta",
    "message",
    "content",
    "role",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "index",
    "id",
    "finish_reason",
    "usage",
    "error",
    "type",
    "text",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "refusal",
    "prompt_tokens",
    "completion_tokens",
    "prompt_tokens_details",
    "cost",
    "done",
    "done_reason",
    "thinking",
    "eval_count",
    "total_duration",
    "content_block",
    "stop_reason",
    "partial_json",
    "input",
    "model",
    "code",
]
VALUES = st.sampled_from(
    [
        "stop",
        "length",
        "message_start",
        "content_block_delta",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message",
        "error",
        "text_delta",
        "thinking_delta",
        "input_json_delta",
        "tool_use",
        "text",
    ]
)
SHAPES = st.recursive(
    JSON | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)


@pytest.mark.parametrize("wire", READERS)
@settings(max_examples=40)
@given(payloads=st.lists(st.dictionaries(st.sampled_from(FIELDS), SHAPES, max_size=6), max_size=4))
def test_fields_of_any_shape_are_an_error_and_nothing_worse(wire: str, payloads: list[dict[str, Any]]) -> None:
    prefix, suffix = (b"", b"\n") if wire == "ollama" else (b"data: ", b"\n\n")
    data = b"".join(prefix + json.dumps(payload).encode() + suffix for payload in payloads)

    text, thinking, calls, end = answered(wire, [data])

    assert isinstance(text + thinking, str)
    assert all(isinstance(call.name, str) and isinstance(call.arguments, str) for call in calls)
    assert end.startswith("End") or issubclass(getattr(__import__("providers.errors").errors, end), ProviderError)


@pytest.mark.parametrize("wire", READERS)
@pytest.mark.parametrize("bomb", [b"[" * 200_000, b'{"a":' * 100_000, b'{"done":' + b"9" * 10_000 + b"}"])
def test_json_made_to_hurt_is_a_bad_reply(wire: str, bomb: bytes) -> None:
    prefix = b"" if wire == "ollama" else b"data: "

    *_, end = answered(wire, [prefix + bomb + b"\n\n"])

    assert end == "BadReply"
