"""What scripts rely on: the JSON object, the JSON lines, and the options that shape question and answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from providers.simulated.services import Answer, Fault, FaultKind, SimulatedAnthropic, SimulatedOllama, SimulatedOpenAI
from tests.flows.kit import Hawser, Services, complaint, endpoint, key_of
from tests.rag.pdfs import pdf

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)
FIELDS: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "text": str,
    "thinking": (str, type(None)),
    "model": (str, type(None)),
    "endpoint": (str, type(None)),
    "machine": type(None),
    "chat": (str, type(None)),
    "finish": str,
    "usage": dict,
    "cost_usd": dict,
    "timings_ms": dict,
    "tokens_per_s": (int, float, type(None)),
    "tried": list,
    "sources": list,
    "cached": bool,
    "stdin": str,
}
INNER = {
    "usage": {"input_tokens", "output_tokens", "estimated"},
    "cost_usd": {"tokens", "gpu", "total"},
    "timings_ms": {"wake", "connect", "first_token", "total"},
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


def checked(document: dict[str, Any], *, failed: bool = False) -> dict[str, Any]:
    """A document that has every field of the contract, each of its kind, and no other."""
    extra = {"error"} if failed else set()
    assert set(document) - {"type"} == set(FIELDS) | extra
    for name, kinds in FIELDS.items():
        assert isinstance(document[name], kinds), (name, document[name])
    for name, fields in INNER.items():
        assert set(document[name]) == fields
    assert all(set(each) == {"endpoint", "model", "outcome", "error"} for each in document["tried"])
    assert document["schema"] == 1
    if failed:
        assert document["finish"] in ("failed", "stopped")
        assert document["error"]
    return document


def test_json_of_an_answer_on_our_own_server(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue("It holds a ship.")

    done = hawser.ask("What is a hawser?", "--json")

    document = checked(done.json())
    assert done.err == ""
    assert document["text"] == "It holds a ship."
    assert (document["endpoint"], document["model"]) == ("inference", "llama3.1:8b")
    assert document["finish"] == "stop"
    assert document["usage"]["output_tokens"] > 0
    assert document["usage"]["estimated"] is False
    assert document["cost_usd"] == {"tokens": 0, "gpu": 0, "total": 0}
    assert document["chat"] == hawser.chats()[0].id
    assert document["stdin"] == "empty"
    assert document["tried"] == [
        {"endpoint": "inference", "model": "llama3.1:8b", "outcome": "answered", "error": None}
    ]


def test_json_of_a_paid_answer_tells_its_cost(hosted: Hawser) -> None:
    document = checked(hosted.ask("say 1000 tokens", "--json").json())

    usage = document["usage"]
    cost = (usage["input_tokens"] * 2 + usage["output_tokens"] * 8) / 1_000_000
    assert usage["output_tokens"] == 1000
    assert document["cost_usd"]["total"] == pytest.approx(cost, abs=1e-6)
    assert [entry["cost_usd"] for entry in hosted.ledger()] == [f"{cost:.6f}"]


def test_counts_that_the_server_did_not_give_are_marked_as_estimates(hosted: Hawser, openai: SimulatedOpenAI) -> None:
    openai.faults.once(FaultKind.NO_USAGE)

    usage = checked(hosted.ask("say 100 tokens", "--json").json())["usage"]

    assert usage["estimated"] is True
    assert 50 <= usage["output_tokens"] <= 400


def test_json_lines_tell_the_answer_as_it_comes(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue(Answer("the answer", thinking="the reasoning"))

    events = hawser.ask("Say it", "-m", "inference/qwen3:8b", "--jsonl", "--thinking", "json").json_lines()

    *before, end = events
    assert {event["type"] for event in before} == {"thinking", "delta"}
    assert "".join(event["text"] for event in before if event["type"] == "thinking") == "the reasoning"
    assert "".join(event["text"] for event in before if event["type"] == "delta") == "the answer"
    assert end.pop("type") == "end"
    assert (checked(end)["text"], end["thinking"]) == ("the answer", "the reasoning")


@pytest.mark.parametrize(
    ("style", "stderr", "in_json"),
    [([], "the reasoning\n\n", None), (["--json"], "", None), (["--json", "--thinking", "json"], "", "the reasoning")],
    ids=["plain", "json", "json with thinking"],
)
def test_reasoning_never_mixes_with_the_answer(
    hawser: Hawser, ollama: SimulatedOllama, style: list[str], stderr: str, in_json: str | None
) -> None:
    ollama.answers.queue(Answer("the answer", thinking="the reasoning"))

    done = hawser.ask("Say it", "-m", "inference/qwen3:8b", *style)

    assert done.err == stderr
    if style:
        assert (done.json()["text"], done.json()["thinking"]) == ("the answer", in_json)
    else:
        assert done.out == b"the answer"
    assert hawser.last_answer().thinking == "the reasoning"


def test_no_reasoning_is_asked_for_when_none_is_wanted(hawser: Hawser, ollama: SimulatedOllama) -> None:
    done = hawser.ask("Why?", "-m", "inference/qwen3:8b", "--thinking", "none")

    assert (done.code, done.err) == (0, "")
    assert ollama.last_json["think"] is False


FAILURES: dict[str, tuple[Fault, int, str]] = {
    "cut": (Fault(FaultKind.CUT, 3), 4, "word1 word2 word3 "),
    "error inside": (Fault(FaultKind.ERROR, 3), 4, "word1 word2 word3 "),
    "stall": (Fault(FaultKind.STALL, 3), 5, "word1 word2 word3 "),
    "no first token": (Fault(FaultKind.SLOW), 5, ""),
    "server error": (Fault(FaultKind.STATUS, 500), 4, ""),
    "garbage": (Fault(FaultKind.GARBAGE), 4, ""),
    "empty": (Fault(FaultKind.EMPTY), 7, ""),
    "model gone": (Fault(FaultKind.MODEL_GONE), 3, ""),
}


@pytest.mark.parametrize("style", ["--json", "--jsonl"])
@pytest.mark.parametrize(("fault", "code", "text"), FAILURES.values(), ids=FAILURES)
def test_failed_call_tells_json_too(
    impatient: Hawser, ollama: SimulatedOllama, style: str, fault: Fault, code: int, text: str
) -> None:
    ollama.faults.always(fault)

    done = impatient.ask("say 6 tokens", style)

    sentence = complaint(done, code)
    document = checked(done.json() if style == "--json" else done.json_lines()[-1], failed=True)
    assert document["error"] == sentence
    assert (document["text"], document["finish"]) == (text, "failed")
    assert [each["outcome"] for each in document["tried"]] == ["failed"]
    assert document["chat"] == impatient.chats()[0].id
    assert (impatient.last_answer().state, impatient.last_answer().text) == ("failed", text)
    assert impatient.last_answer().error == sentence


EARLY: dict[str, tuple[list[str], int]] = {
    "no such chat": (["--prompt", "x", "--chat", "zzzz"], 2),
    "no such model": (["--prompt", "x", "-m", "nobody"], 3),
    "no prompt": (["--prompt", ""], 2),
    "no such template": (["--template", "nothing-like-it"], 2),
    "no such file": (["--prompt", "x", "-a", "missing.pdf"], 2),
    "no such schema": (["--prompt", "x", "--schema", "missing.json"], 2),
}


@pytest.mark.parametrize("style", ["--json", "--jsonl"])
@pytest.mark.parametrize(("words", "code"), EARLY.values(), ids=EARLY)
def test_call_that_fails_before_anybody_is_asked_tells_json_too(
    hawser: Hawser, ollama: SimulatedOllama, style: str, words: list[str], code: int
) -> None:
    done = hawser.run(*words, style)

    sentence = complaint(done, code)
    document = checked(done.json_lines()[-1], failed=True)
    assert document["error"] == sentence
    assert (document["text"], document["tried"]) == ("", [])
    assert not ollama.requests_to("/api/chat")


def test_broken_settings_tell_json_too(hawser: Hawser) -> None:
    hawser.config_file.write_text("[chat\n")

    done = hawser.ask("x", "--json")

    assert checked(done.json(), failed=True)["error"] == complaint(done, 3)


def test_time_limit_in_json_is_a_failure_and_no_stop(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.faults.once(FaultKind.STALL, 2)

    done = hawser.ask("say 6 tokens", "--json", "--timeout", "1.5")

    document = checked(done.json(), failed=True)
    assert document["error"] == complaint(done, 5)
    assert "1.5 s" in document["error"]
    assert (document["finish"], document["text"]) == ("failed", "word1 word2 ")
    assert (hawser.last_answer().state, hawser.last_answer().text) == ("failed", "word1 word2 ")


# options that shape the answer


def test_first_code_block_alone(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue("Here:\n\n```python\nprint(1)\nprint(2)\n```\n\nor\n\n```\nother\n```\n")

    assert hawser.ask("Write it", "-x") == (0, b"print(1)\nprint(2)\n", "")
    assert "Here:" in hawser.last_answer().text


def test_answer_without_a_code_block_is_no_answer_to_extract(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue("I would rather not.")

    done = hawser.ask("Write it", "-x")

    assert "no code block" in complaint(done, 7)
    assert done.out == b""
    assert hawser.last_answer().text == "I would rather not."


@pytest.fixture
def schema(tmp_path: Path) -> str:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    return str(file)


def test_answer_that_matches_the_schema_is_printed(hawser: Hawser, ollama: SimulatedOllama, schema: str) -> None:
    ollama.answers.queue('{"a": 1}')

    assert hawser.ask("Count", "--schema", schema) == (0, b'{"a": 1}', "")
    assert ollama.last_json["format"] == SCHEMA


def test_wrong_answer_is_sent_back_once_with_its_fault(hosted: Hawser, openai: SimulatedOpenAI, schema: str) -> None:
    openai.answers.queue('{"b": 1}', '{"a": 2}')

    done = hosted.ask("Count", "--schema", schema, "--json")

    document = checked(done.json())
    assert document["text"] == '{"a": 2}'
    assert len(done.lines) == 1
    assert "does not match the schema" in done.lines[0]
    assert "'a' is a required property" in openai.last_json["messages"][-1]["content"]
    assert [message.text for message in hosted.messages() if message.role == "assistant"] == ['{"b": 1}', '{"a": 2}']
    # Both calls are in the bill of the one.
    assert len(document["tried"]) == 2
    booked = sum(float(entry["cost_usd"]) for entry in hosted.ledger())
    assert document["cost_usd"]["total"] == pytest.approx(booked, abs=1e-6)


@pytest.mark.parametrize("style", [[], ["--json"]], ids=["plain", "json"])
def test_answer_that_is_wrong_twice_is_none(
    hawser: Hawser, ollama: SimulatedOllama, schema: str, style: list[str]
) -> None:
    ollama.answers.queue('{"b": 1}', "still no JSON")

    done = hawser.ask("Count", "--schema", schema, *style)

    assert "does not match the schema" in complaint(done, 7)
    assert len(ollama.requests_to("/api/chat")) == 2
    if style:
        assert checked(done.json(), failed=True)["text"] == "still no JSON"
    else:
        assert done.out == b""


def test_cap_on_the_cost_holds_for_both_tries(hosted: Hawser, openai: SimulatedOpenAI, schema: str) -> None:
    openai.answers.queue("word " * 100, '{"a": 2}')

    done = hosted.ask("Count", "--schema", schema, "--max-cost", "0.001")

    assert "$" in complaint(done, 6)
    assert len(openai.requests_to("/v1/chat/completions")) == 1


def test_instruction_and_parameters_reach_the_model(hosted: Hawser, openai: SimulatedOpenAI) -> None:
    words = ["-s", "Be brief.", "--param", "temperature=0.5", "--param", "seed=3", "--max-tokens", "5"]

    done = hosted.ask("say 50 tokens", *words)

    assert done.out == b"word1 word2 word3 word4 word5 "
    sent = openai.last_json
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "say 50 tokens"},
    ]
    assert (sent["temperature"], sent["seed"]) == (0.5, 3)


def test_answer_cut_at_its_limit_says_so(hawser: Hawser) -> None:
    document = hawser.ask("say 50 tokens", "--max-tokens", "3", "--json").json()

    assert (document["finish"], document["text"]) == ("length", "word1 word2 word3 ")


def test_template_with_variables(hawser: Hawser, ollama: SimulatedOllama) -> None:
    templates = hawser.home / "config" / "templates"
    templates.mkdir(parents=True)
    (templates / "greet.toml").write_text(
        'system = "Speak {{language}}."\nprompt = "echo {{word}} to {{input}}"\n[defaults]\nword = "Hello"\n'
    )

    done = hawser.run("-t", "greet", "--var", "language=German", "--var", "word=Ahoj", "-p", "you")

    assert (done.code, done.out) == (0, b"Ahoj to you")
    assert ollama.last_json["messages"][0] == {"role": "system", "content": "Speak German."}
    assert "'colour'" in complaint(hawser.run("-t", "greet", "--var", "colour=red", "-p", "you"), 2)
    assert "language" in complaint(hawser.run("-t", "greet", "-p", "you"), 2)


def test_variable_without_a_template_makes_no_sense(hawser: Hawser) -> None:
    assert "--var" in complaint(hawser.ask("x", "--var", "a=b"), 2)


def test_text_and_pdf_are_attached_as_text(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the blue invoice")
    (tmp_path / "bill.pdf").write_bytes(pdf(["Overdue since May", "Page of sums"]))

    done = hawser.ask("Which?", "-a", str(tmp_path / "notes.txt"), "-a", str(tmp_path / "bill.pdf"))

    assert (done.code, done.err) == (0, "")
    content = ollama.last_json["messages"][-1]["content"]
    assert content.startswith("Which?")
    assert all(part in content for part in ("notes.txt", "the blue invoice", "bill.pdf", "Overdue since May"))
    assert str(tmp_path) not in content
    assert [each.name for each in hawser.messages()[0].attachments] == ["notes.txt", "bill.pdf"]


def test_image_goes_to_a_model_that_sees(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    (tmp_path / "dot.png").write_bytes(PNG)

    done = hawser.ask("What is this?", "-m", "inference/llava", "-a", str(tmp_path / "dot.png"))

    assert (done.code, done.err) == (0, "")
    assert len(ollama.last_json["messages"][-1]["images"]) == 1


def test_image_for_a_model_that_is_blind_is_refused(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    (tmp_path / "dot.png").write_bytes(PNG)

    done = hawser.ask("What is this?", "-a", str(tmp_path / "dot.png"))

    assert "cannot see images" in complaint(done, 3)
    assert not ollama.requests_to("/api/chat")


@pytest.mark.parametrize("content", [b"\0\1\2binary", b""], ids=["binary", "empty"])
def test_file_that_cannot_be_attached_is_named(hawser: Hawser, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "thing.bin").write_bytes(content)

    assert "thing.bin" in complaint(hawser.ask("What?", "-a", str(tmp_path / "thing.bin")), 2)


def test_verbose_adds_one_line_about_the_answer(hosted: Hawser, openai: SimulatedOpenAI) -> None:
    done = hosted.ask("say 100 tokens", "-v")

    assert len(done.lines) == 1
    assert "openai/gpt-4.1" in done.lines[0]
    assert "100 out" in done.lines[0]
    assert "$0.000" in done.lines[0]


# chats


def test_chat_goes_on_with_its_messages(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue("first answer", "second answer", "third answer")
    chat = hawser.ask("one", "--json", "-s", "Be brief.").json()["chat"]

    again = hawser.ask("two", "-c", "--json").json()["chat"]
    named = hawser.ask("three", "--chat", chat[:20], "--json").json()["chat"]

    assert chat == again == named
    assert ollama.last_json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "first answer"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "second answer"},
        {"role": "user", "content": "three"},
    ]
    assert len(hawser.chats()) == 1
    assert hawser.chats()[0].title == "one"


def test_going_on_without_a_chat_begins_one(hawser: Hawser) -> None:
    done = hawser.ask("echo hi", "-c")

    assert (done.code, done.out) == (0, b"hi")
    assert done.lines == ["hawser: There is no chat to continue; this begins one."]


def test_chat_that_is_not_there_is_said(hawser: Hawser) -> None:
    assert "'zzzz'" in complaint(hawser.ask("hi", "--chat", "zzzz"), 2)


def test_unsaved_call_leaves_only_its_line_in_the_books(hosted: Hawser) -> None:
    document = checked(hosted.ask("say 10 tokens", "--no-save", "--json").json())

    assert document["chat"] is None
    assert hosted.chats() == []
    (entry,) = hosted.ledger()
    assert (entry["chat_id"], entry["outcome"], entry["output_tokens"]) == (None, "complete", 10)
    assert float(entry["cost_usd"]) > 0


def test_unsaved_second_try_has_the_first_before_it(hawser: Hawser, ollama: SimulatedOllama, schema: str) -> None:
    ollama.answers.queue('{"b": 1}', '{"a": 2}')

    assert hawser.ask("Count", "--schema", schema, "--no-save").out == b'{"a": 2}'
    assert [message["role"] for message in ollama.last_json["messages"]] == ["user", "assistant", "user"]


def test_failed_answer_is_not_sent_along_when_its_chat_goes_on(impatient: Hawser, ollama: SimulatedOllama) -> None:
    ollama.faults.once(FaultKind.EMPTY)
    assert impatient.ask("one").code == 7

    assert impatient.ask("echo two", "-c").out == b"two"
    assert [message["content"] for message in ollama.last_json["messages"]] == ["echo two"]


def test_schema_holds_on_a_wire_that_knows_none(services: Services, tmp_path: Path, schema: str) -> None:
    claude = services.start(SimulatedAnthropic())
    claude.answers.queue('{"a": 3}')
    price = "price = { input = 3.0, output = 15.0 }"
    user = Hawser(tmp_path / "claude", env=key_of("claude", claude)).settings(
        endpoint("claude", claude, 'key = "claude"', price), model="claude/claude-sonnet-4-5"
    )

    done = user.ask("Count", "--schema", schema)

    assert (done.code, done.out) == (0, b'{"a": 3}')
