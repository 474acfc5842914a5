"""What of a chat is sent, and what is said about the rest."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.chat.context import (
    IMAGE_TOKENS,
    SUMMARY_TITLE,
    detect_truncation,
    estimate_tokens,
    message_tokens,
    pack,
    pack_with_summary,
)
from console.errors import ContextOverflow
from providers.chat.base import Image, Message
from providers.errors import Unreachable
from tests.conftest import run

# Counts by cl100k, o200k, Claude's and DeepSeek's tokenizers, averaged.
COUNTED = [
    (
        "english",
        "Artificial intelligence is changing the way we live. Whoever forgets to switch off a rented graphics card"
        " gets a large bill the next morning.",
        28,
    ),
    (
        "german",
        "Künstliche Intelligenz verändert unser Leben. Wer vergisst, die gemietete Grafikkarte abzuschalten,"
        " bekommt am nächsten Morgen eine hohe Rechnung.",
        42,
    ),
    ("russian", "Эта программа в любое время показывает расходы и сама останавливает машину.", 26),
    ("chinese", "我们希望这个程序能够随时显示费用，并且在没有人使用的时候自动停止机器。", 25),
    ("japanese", "このプログラムは、いつでも費用を表示し、自動的に機械を停止します。", 27),
    ("korean", "이 프로그램은 언제든지 비용을 보여 주고 자동으로 기계를 멈춥니다.", 30),
    (
        "code",
        "def mean(values: list[float]) -> float:\n    total = 0.0\n    for value in values:\n        total += value\n"
        "    return total / len(values)\n",
        37,
    ),
    ("json", '{"id": 17, "name": "inference", "ports": [8080, 11434], "ready": true}', 28),
]

texts = st.text(st.sampled_from("ab cd\n\t1.{é語🎉"), max_size=600)
roles = st.sampled_from(["user", "assistant", "user", "tool"])
chats = st.builds(
    lambda system, history, question: (
        ([Message("system", system)] if system else []) + history + [Message("user", question)]
    ),
    texts,
    st.lists(st.builds(Message, roles, texts), max_size=12),
    texts,
)


@pytest.mark.parametrize(("text", "tokens"), [pytest.param(t, n, id=name) for name, t, n in COUNTED])
def test_estimate_is_near_what_tokenizers_count(text: str, tokens: int) -> None:
    assert tokens * 0.85 <= estimate_tokens(text) <= tokens * 1.4


def test_estimate_of_nothing_is_nothing() -> None:
    assert estimate_tokens("") == 0


def test_indentation_is_nearly_free_and_base64_is_dear() -> None:
    assert estimate_tokens(" " * 4000) < 200
    assert estimate_tokens("aGVsbG8gd29ybGQ" * 100) > 1500 / 4 * 1.5


@given(st.text())
def test_estimate_takes_any_text_and_is_never_negative(text: str) -> None:
    assert (estimate_tokens(text) >= 1) == bool(text)


@given(texts, texts)
def test_estimate_grows_with_the_text(first: str, second: str) -> None:
    assert estimate_tokens(f"{first}\n{second}") >= 0.5 * max(estimate_tokens(first), estimate_tokens(second))


def test_chat_that_fits_is_sent_whole_and_without_comment() -> None:
    chat = [
        Message("system", "Be brief."),
        Message("user", "Hello?"),
        Message("assistant", "Hi."),
        Message("user", "Bye"),
    ]

    packed = pack(chat, 4096, 512)

    assert packed.messages == tuple(chat)
    assert packed.account == ""


def test_oldest_turns_go_first_and_as_pairs() -> None:
    chat = [Message("system", "Be brief.")]
    for number in range(10):
        chat += [Message("user", f"question {number} " * 20), Message("assistant", f"answer {number} " * 20)]
    chat.append(Message("user", "the last question"))

    packed = pack(chat, 600, 200)

    assert packed.messages[0].text == "Be brief."
    assert packed.messages[1].role == "user"
    assert packed.messages[-1].text == "the last question"
    assert packed.messages == (chat[0], *chat[1 + 2 * packed.dropped_turns :])
    assert [message.role for message in packed.dropped] == ["user", "assistant"] * packed.dropped_turns
    assert packed.account.startswith(f"Of 11 turns the oldest {packed.dropped_turns} turns (about ")


@settings(max_examples=200, deadline=None)
@given(chats, st.integers(128, 900), st.integers(0, 2000))
def test_packed_chat_never_exceeds_the_window_and_holds_the_last_question(
    chat: list[Message], window: int, reserve: int
) -> None:
    free = min(reserve, window // 2)
    if sum(message_tokens(Message(m.role, "")) for m in chat[-1:]) > window - free:
        return

    packed = pack(chat, window, reserve)

    assert packed.tokens == sum(map(message_tokens, packed.messages)) <= window - free == packed.room_tokens
    assert packed.messages[-1].role == "user"
    assert packed.messages[-1].text == chat[-1].text or packed.cut_tokens
    assert bool(packed.account) != (packed.messages == tuple(chat))
    assert len(packed.messages) + len(packed.dropped) == len(chat)


@settings(max_examples=50, deadline=None)
@given(chats, texts)
def test_a_packed_chat_can_go_on(chat: list[Message], answer: str) -> None:
    packed = pack(chat, 256, 128)
    longer = [*packed.messages, Message("assistant", answer), Message("user", "And then?")]

    assert pack(longer, 256, 128).messages[-1].text == "And then?"


def test_too_long_question_keeps_both_ends_and_shows_the_gap() -> None:
    material = "\n".join(f"line {number} of the material" for number in range(2000))
    question = f"Summarise this.\n{material}\nIn three sentences."

    packed = pack([Message("system", "Be brief."), Message("user", question)], 1000, 300)

    sent = packed.messages[-1].text
    assert sent.startswith("Summarise this.\nline 0")
    assert sent.endswith("In three sentences.")
    assert "left out here …]" in sent
    assert packed.tokens > 500
    assert "cut out of the middle" in packed.account


def test_instruction_that_is_too_long_leaves_half_to_the_question() -> None:
    packed = pack([Message("system", "rule " * 5000), Message("user", "What is the rule? " * 8)], 400, 100)

    assert packed.messages[-1].text == "What is the rule? " * 8
    assert len(packed.messages[0].text) > 100


def test_refusing_tells_the_figures() -> None:
    chat = [Message("user", "word " * 3000), Message("assistant", "yes"), Message("user", "and?")]

    with pytest.raises(ContextOverflow, match=r"about \d,\d{3} tokens long, and 1,500 fit .* window of 2,000"):
        pack(chat, 2000, 500, refuse=True)


def test_images_that_cannot_fit_are_an_error_and_not_cut() -> None:
    picture = Image("image/png", b"")

    with pytest.raises(ContextOverflow, match="images"):
        pack([Message("user", "what is this?", (picture,) * 4)], 2048, 0)


def test_image_counts_as_a_constant() -> None:
    assert message_tokens(Message("user", "", (Image("image/png", b"x" * 9999),))) == IMAGE_TOKENS + 4


def test_window_too_small_for_anything_is_refused() -> None:
    with pytest.raises(ContextOverflow):
        pack([Message("user", "hello")], 10, 0)


def _long_chat() -> list[Message]:
    chat = [Message("system", "Be brief.")]
    for number in range(12):
        chat += [Message("user", f"question {number} " * 15), Message("assistant", f"answer {number} " * 15)]
    return [*chat, Message("user", "the last question")]


def test_summary_stands_for_what_was_left_out() -> None:
    given_to: list[Sequence[Message]] = []

    async def summarise(messages: Sequence[Message], most_tokens: int) -> str:
        given_to.append(messages)
        return "They talked about numbers."

    packed = run(pack_with_summary(_long_chat(), 800, 200, summarise))

    assert packed.messages[0].text == f"Be brief.\n\n{SUMMARY_TITLE}\nThey talked about numbers."
    assert packed.summary == "They talked about numbers."
    assert tuple(given_to[0]) == packed.dropped
    assert packed.tokens <= 600
    assert "summarised" in packed.account


def test_summary_without_an_instruction_becomes_one() -> None:
    async def summarise(messages: Sequence[Message], most_tokens: int) -> str:
        return "Numbers."

    packed = run(pack_with_summary(_long_chat()[1:], 800, 200, summarise))

    assert packed.messages[0] == Message("system", f"{SUMMARY_TITLE}\nNumbers.")
    assert packed.messages[1].role == "user"


@pytest.mark.parametrize("summary", ["", "far too long " * 500, None])
def test_failed_or_endless_summary_falls_back_and_says_so(summary: str | None) -> None:
    async def summarise(messages: Sequence[Message], most_tokens: int) -> str:
        if summary is None:
            raise Unreachable("nobody there")
        return summary

    packed = run(pack_with_summary(_long_chat(), 800, 200, summarise))

    assert packed.messages == pack(_long_chat(), 800, 200).messages
    assert packed.summary is None
    assert "No summary could be made" in packed.account


def test_short_chat_needs_no_summary() -> None:
    async def summarise(messages: Sequence[Message], most_tokens: int) -> str:
        raise AssertionError("nothing to summarise")

    assert run(pack_with_summary([Message("user", "hello")], 800, 200, summarise)).account == ""


@pytest.mark.parametrize(
    ("sent", "reported", "window"),
    [
        (9100, 2048, 2048),  # filled to the last token
        (9100, 1030, 2048),  # cut to half, as a server does that keeps room for the answer
        (9100, 2100, None),  # far below anything an estimate can be wrong by
        (4300, 4096, 4096),
    ],
)
def test_cut_question_is_noticed(sent: int, reported: int, window: int | None) -> None:
    sentence = detect_truncation(sent, reported, window)

    assert sentence is not None
    assert f"only {reported:,} of about {sent:,} tokens" in sentence


@pytest.mark.parametrize(
    ("sent", "reported", "window"),
    [
        (1000, 1100, 4096),
        (1000, 700, 4096),
        (1000, 500, None),  # Arabic in a tokenizer that is good at it
        (3000, 2048, 8192),
        (100, 12, 4096),  # too short to tell
        (9100, None, 2048),  # the server does not say
        (9100, 0, 2048),
    ],
)
def test_what_an_estimate_can_be_wrong_by_is_no_alarm(sent: int, reported: int | None, window: int | None) -> None:
    assert detect_truncation(sent, reported, window) is None
