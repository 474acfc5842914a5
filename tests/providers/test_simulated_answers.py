"""What the simulated models say: scripts, made-up answers, JSON for a schema, vectors."""

from __future__ import annotations

import math
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.simulated.answers import (
    Answer,
    Answers,
    Question,
    Reply,
    Tool,
    ToolUse,
    Turn,
    count_tokens,
    tokens_of,
)
from providers.simulated.faults import ActiveFaults
from providers.simulated.instances import instance
from providers.simulated.prose import markdown
from providers.simulated.vectors import as_base64, embed, unit

CALM = ActiveFaults()


def asked(text: str, **more: Any) -> Question:
    return Question("m", (Turn("user", text),), **more)


def said(reply: Reply) -> str:
    return "".join(reply.text)


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokens_of(text)) == text


def test_made_up_answers_depend_on_question_voice_and_seed_alone() -> None:
    first = markdown("How do tunnels work?", seed=1, voice="a")

    assert markdown("How do tunnels work?", seed=1, voice="a") == first
    assert markdown("How do tunnels work?", seed=2, voice="a") != first
    assert markdown("How do tunnels work?", seed=1, voice="b") != first
    assert markdown("How do boats work?", seed=1, voice="a") != first


def test_made_up_answer_has_every_kind_of_block() -> None:
    text = said(Answers().reply(asked("How do I keep an SSH tunnel alive?"), CALM))

    assert text.startswith("## ")
    assert "SSH tunnel" in text
    assert text.count("```") == 2
    assert "\n- **" in text
    assert "|---|" in text
    assert any(ord(letter) > 127 for letter in text)
    assert "{topic}" not in text


@given(st.text(max_size=80), st.integers(0, 50))
def test_any_question_gets_an_answer(question: str, seed: int) -> None:
    text = markdown(question, seed=seed, voice="m")

    assert text.strip()


def test_scripts_win_the_later_one_first_and_the_queue_before_all() -> None:
    answers = Answers()
    answers.script("weather", "It rains.")
    answers.script("WEATHER in (rome)", lambda question: question.text.upper())
    answers.queue("one", Answer("two"))

    replies = [said(answers.reply(asked(text), CALM)) for text in ("x", "y", "the weather?", "weather in Rome")]

    assert replies == ["one", "two", "It rains.", "WEATHER IN ROME"]


def test_question_may_ask_for_a_number_of_tokens_or_for_its_own_words() -> None:
    answers = Answers()

    assert len(list(answers.reply(asked("please say 1,234 tokens"), CALM).text)) == 1_234
    assert said(answers.reply(asked("echo a  b\nc"), CALM)) == "a  b\nc"
    assert said(answers.reply(asked("Repeat after me: ü"), CALM)) == "ü"
    assert said(Answers(echo=True).reply(asked("anything"), CALM)) == "anything"
    assert len(list(Answers(length=7).reply(asked("anything"), CALM).text)) == 7


def test_limits_cut_thinking_first_and_say_so() -> None:
    answers = Answers()
    answers.script(".", Answer("four words of text", thinking="three words thought"))

    tight = answers.reply(asked("x", max_tokens=2), CALM)
    loose = answers.reply(asked("x", max_tokens=4), CALM)
    exact = answers.reply(asked("x", max_tokens=7), CALM)

    assert (list(tight.thinking), list(tight.text), tight.finish) == (["three", " words"], [], "length")
    assert (len(loose.thinking), list(loose.text), loose.finish) == (3, ["four"], "length")
    assert (said(exact), exact.finish) == ("four words of text", "stop")


def test_stop_words_end_before_the_first_of_them() -> None:
    answers = Answers()
    answers.script(".", "one two three two")

    reply = answers.reply(asked("x", stop=("three", "two")), CALM)

    assert (said(reply), reply.finish, reply.stop_sequence) == ("one ", "stop_sequence", "two")


@pytest.mark.parametrize(
    ("text", "choice", "called"),
    [
        ("What is the weather in Rome?", "auto", "get_weather"),
        ("Look up the price of copper", "auto", "lookUpPrice"),
        ("Tell me a story", "auto", None),
        ("Tell me a story", "required", "get_weather"),
        ("Tell me a story", "lookUpPrice", "lookUpPrice"),
        ("What is the weather?", "none", None),
    ],
)
def test_the_tool_that_fits_is_called(text: str, choice: str, called: str | None) -> None:
    tools = (Tool("get_weather", {"type": "object"}), Tool("lookUpPrice", {"type": "object"}))

    reply = Answers().reply(asked(text, tools=tools, tool_choice=choice), CALM)

    assert [call.name for call in reply.tool_calls] == ([called] if called else [])
    assert reply.finish == ("tool_calls" if called else "stop")


def test_tool_calls_cost_tokens() -> None:
    answers = Answers()
    answers.queue(Answer(tool_calls=(ToolUse("name", {"city": "Oslo"}),)))

    assert answers.reply(asked("x"), CALM).tool_tokens > 4


def test_prompt_is_counted_with_images_and_tools() -> None:
    plain = asked("one two")
    rich = Question("m", (Turn("system", "be brief"), Turn("user", "one two", images=2)), (Tool("t", {"a": 1}),))

    assert plain.prompt_tokens == 4 + count_tokens("one two") == 6
    assert rich.prompt_tokens > plain.prompt_tokens + 2 * 768


SCHEMAS: list[dict[str, Any]] = [
    {"type": "string", "minLength": 12},
    {"type": "string", "maxLength": 2},
    {"type": "string", "pattern": r"^[A-Z]{2}\d{3}-(x|y)+$"},
    {"type": "string", "pattern": r"^[^a]\s\w.\.$"},
    {"type": "string", "format": "date-time"},
    {"type": "integer", "minimum": 7},
    {"type": "integer", "exclusiveMinimum": 7, "multipleOf": 5},
    {"type": "integer", "maximum": -3},
    {"type": "number", "minimum": 0.25, "maximum": 0.5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": 10, "maximum": 11},
    {"type": ["null", "boolean"]},
    {"enum": ["b", "c"]},
    {"const": {"a": [1]}},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2},
    {"type": "array", "maxItems": 0},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}},
    {"type": "object", "minProperties": 2},
    {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    {"oneOf": [{"type": "object", "properties": {"k": {"const": 1}}, "required": ["k"]}, {"type": "string"}]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "string"}}, "required": ["b"]},
        ]
    },
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["value", "next"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
    {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}, "required": ["children"]},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_instances_satisfy_their_schema(schema: dict[str, Any]) -> None:
    value = instance(schema)

    jsonschema.Draft202012Validator(schema).validate(value)


@given(st.text(), st.sampled_from([64, 384, 768]))
def test_vectors_have_length_one_and_do_not_change(text: str, dimension: int) -> None:
    vector = embed(text, dimension)

    assert len(vector) == dimension
    assert math.isclose(sum(value * value for value in vector), 1.0, rel_tol=1e-5)
    assert embed(text, dimension) == vector
    assert all(math.isclose(value, again, abs_tol=1e-6) for value, again in zip(vector, unit(vector), strict=True))


def test_vectors_pack_as_little_endian_floats() -> None:
    assert as_base64([1.0, -2.0]) == "AACAPwAAAMA="
