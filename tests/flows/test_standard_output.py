"""Where an answer goes: a pipe, a file, a terminal, a reader that leaves, nowhere; always byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from providers.simulated.faults import ActiveFaults
from providers.simulated.http_server import Exchange
from providers.simulated.services import Answer, FaultKind, SimulatedOllama, SimulatedOpenAI, Speed
from tests.flows.kit import CLOSED, COMMAND, Hawser, Services, bare_environment, complaint, endpoint, finish, read_until

AWKWARD = {
    "no newline at the end": "the end",
    "several newlines at the end": "the end\n\n\n",
    "only blanks and newlines between": "\n  a\t\n\n b  ",
    "CR LF": "one\r\ntwo\rthree\r\n",
    "escape codes": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \x7f \x08",
    "emoji and combining marks": "👩‍👩‍👧‍👦 e\u0301 🇩🇪 \U0010ffff ﷽ \ufeff \u202e",
    "NUL": "before\0after\0",
}


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_answer_reaches_a_pipe_and_the_store_byte_for_byte(hawser: Hawser, ollama: SimulatedOllama, text: str) -> None:
    ollama.answers.queue(text)

    done = hawser.ask("Say it")

    assert (done.code, done.out, done.err) == (0, text.encode(), "")
    assert hawser.last_answer().text == text


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_json_holds_the_answer_exactly(hosted: Hawser, openai: SimulatedOpenAI, text: str) -> None:
    openai.answers.queue(text)

    done = hosted.ask("Say it", "--json")

    assert done.json()["text"] == text
    assert done.out.endswith(b"}\n")
    assert done.out.count(b"\n") == 1
    assert b"\x1b" not in done.out


def test_characters_cut_apart_by_the_network_arrive_whole(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue(Answer(tokens=("grü", "ße 👋", "\U0001f600 ende")))
    ollama.faults.once(FaultKind.TINY_WRITES)

    assert hawser.ask("Say it").out == "grüße 👋\U0001f600 ende".encode()


def test_half_a_surrogate_pair_becomes_a_replacement_and_a_split_pair_a_character(
    hawser: Hawser, ollama: SimulatedOllama
) -> None:
    async def surrogates(exchange: Exchange, faults: ActiveFaults) -> None:
        contents = (r"a\ud83d", r"\ude00b", r"\ud800 c")
        lines = [f'{{"message":{{"role":"assistant","content":"{content}"}},"done":false}}\n' for content in contents]
        body = "".join(lines) + '{"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'
        await exchange.reply(200, body.encode(), content_type="application/x-ndjson")

    ollama.route("POST", "/api/chat", surrogates)

    done = hawser.ask("Say it")

    assert done.code == 0
    assert done.out.decode() == hawser.last_answer().text
    assert done.out.decode().startswith("a\U0001f600b")
    assert done.out.decode().endswith(" c")


def test_answer_goes_to_a_file_as_it_is(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    ollama.answers.queue("to a file, without a newline")
    target = tmp_path / "answer.txt"

    with target.open("wb") as file:
        done = hawser.ask("Say it", stdout=file)

    assert done.code == 0
    assert target.read_bytes() == b"to a file, without a newline"


def test_answer_is_added_to_a_file_that_is_appended_to(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    target = tmp_path / "answers.txt"
    for text in ("one\n", "two\n"):
        ollama.answers.queue(text)
        with target.open("ab") as file:
            assert hawser.ask("Say it", stdout=file).code == 0

    assert target.read_bytes() == b"one\ntwo\n"


def test_full_file_system_under_the_answer_is_one_sentence(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue("too much")
    with Path("/dev/full").open("wb") as full:
        done = hawser.ask("Say it", stdout=full)

    assert "No space left" in complaint(done, 1)
    assert hawser.last_answer().text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;owned\x07 \x9b2J\u202eoh", "␛[31mred␛]0;owned␇ �2J�oh\n"),
        ("a\r\nb", "a\nb\n"),
        ("it ends well\n", "it ends well\n"),
    ],
    ids=["codes are shown, not obeyed", "CR LF and a last newline", "no second newline"],
)
def test_terminal_gets_a_harmless_answer(hawser: Hawser, ollama: SimulatedOllama, text: str, shown: str) -> None:
    ollama.answers.queue(Answer(tokens=(text,)))
    ours, theirs = os.openpty()
    try:
        process = hawser.start("--prompt", "Say it", stdout=theirs)
        os.close(theirs)
        came = read_until(ours, lambda came: came.endswith(shown.replace("\n", "\r\n").encode()))
        done = finish(process)
    finally:
        os.close(ours)

    assert done.code == 0
    assert came.decode() == shown.replace("\n", "\r\n")
    assert hawser.last_answer().text == text


@pytest.mark.parametrize("style", [[], ["--jsonl"]], ids=["plain", "jsonl"])
def test_reader_that_leaves_ends_the_call_quietly_and_stops_the_answer(
    hawser: Hawser, services: Services, ollama: SimulatedOllama, style: list[str]
) -> None:
    ollama.faults.once(FaultKind.ENDLESS)
    ollama.speed = Speed(tokens_per_second=400)
    process = hawser.start("--prompt", "Write for ever", *style)
    assert process.stdout is not None

    first = read_until(process.stdout.fileno(), lambda came: len(came) >= 5)
    process.stdout.close()
    process.stdout = None
    done = finish(process)

    assert (done.code, done.err) == (0, "")
    services.until_idle(ollama)
    answer = hawser.last_answer()
    assert answer.state == "stopped"
    assert answer.text
    if not style:
        assert answer.text.encode().startswith(first)


def test_reader_that_leaves_before_the_one_object_of_json_is_no_failure(
    hawser: Hawser, services: Services, ollama: SimulatedOllama
) -> None:
    ollama.speed = Speed(tokens_per_second=100)
    process = hawser.start("--prompt", "say 30 tokens", "--json")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None

    done = finish(process)

    assert (done.code, done.err) == (0, "")
    assert hawser.last_answer().state == "complete"


def test_tokens_go_on_at_once(hawser: Hawser, services: Services, ollama: SimulatedOllama) -> None:
    ollama.faults.once(FaultKind.STALL, 3)
    ollama.answers.queue(Answer(tokens=("one ", "two ", "three ", "four ")))
    process = hawser.start("--prompt", "Say it")
    assert process.stdout is not None

    came = read_until(process.stdout.fileno(), lambda came: came == b"one two three ")
    process.terminate()

    assert came == b"one two three "
    assert finish(process).code == 130


def test_closed_standard_output_is_said_and_nothing_is_asked(hawser: Hawser, ollama: SimulatedOllama) -> None:
    done = hawser.ask("Say it", stdout=CLOSED)

    assert "Standard output is closed" in complaint(done, 2)
    assert not ollama.requests
    assert not hawser.store_file.exists()


def test_closed_standard_error_costs_nothing_but_the_notes(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue("still here")

    done = hawser.ask("Say it", "-v", before="exec 2>&-")

    assert (done.code, done.out, done.err) == (0, b"still here", "")
    assert hawser.run("--prompt", "", before="exec 2>&-") == (2, b"", "")


def test_nobody_reading_standard_error_does_not_end_an_answer(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue(Answer("the answer", thinking="the reasoning"))
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = hawser.ask("Say it", "-m", "inference/qwen3:8b", "-v", stderr=theirs)
    finally:
        os.close(theirs)

    assert (done.code, done.out) == (0, b"the answer")


@pytest.mark.parametrize("variables", [{"LANG": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_locale_does_not_touch_the_bytes(hawser: Hawser, ollama: SimulatedOllama, variables: dict[str, str]) -> None:
    prompt = "echo Grüße an 東京 👋"

    plain = hawser.ask(prompt, env=hawser.env | variables)
    listed = hawser.ask(prompt, "--json", env=hawser.env | variables)
    helped = hawser.run("--help", env=hawser.env | variables)

    assert plain == (0, "Grüße an 東京 👋".encode(), "")
    assert listed.json()["text"] == "Grüße an 東京 👋"
    assert helped.code == 0
    assert "…".encode() in helped.out
    assert ollama.requests_to("/api/chat")[0].json["messages"][-1]["content"] == prompt


def test_argument_that_is_no_text_does_not_break_the_program(hawser: Hawser) -> None:
    process = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" "$(printf "echo caf\\351")"', "sh", *COMMAND, "--prompt"],
        env=hawser.env,
        cwd=hawser.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )

    assert process.returncode in (0, 2), process.stderr
    assert b"fault in Hawser" not in process.stderr


def test_environment_without_anything_but_a_home_is_enough(tmp_path: Path, ollama: SimulatedOllama) -> None:
    """As cron runs it: no terminal, no session, no locale, no HAWSER_HOME."""
    home = tmp_path / "home"
    user = Hawser(home)
    alone = bare_environment() | {"HOME": str(home)}
    config = Path(user.run("config", "path", env=alone).out.decode().splitlines()[0])
    config.parent.mkdir(parents=True)
    config.write_text(endpoint("inference", ollama))
    ollama.answers.queue("good night")

    done = user.ask("Report", "-m", "inference/phi3", env=alone, new_session=True, stdin=CLOSED)

    assert done == (0, b"good night", "")
    assert home in config.parents
    assert list(home.rglob("hawser.db"))


def test_pipe_that_does_not_block_gets_all_of_a_long_answer(hawser: Hawser, ollama: SimulatedOllama) -> None:
    text = "0123456789abcdef" * 65536
    ollama.answers.queue(Answer(tokens=(text,)))
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    process = hawser.start("--prompt", "Write much", stdout=theirs)
    os.close(theirs)

    came = read_until(ours, lambda came: len(came) >= len(text))
    os.close(ours)

    assert came == text.encode()
    assert finish(process).code == 0


@pytest.mark.parametrize("words", [["--help"], ["completion", "bash"], ["config", "show"]], ids=" ".join)
def test_list_whose_reader_has_left_is_no_failure(hawser: Hawser, words: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = hawser.run(*words, stdout=theirs)
    finally:
        os.close(theirs)

    assert (done.code, done.err) == (0, "")


def test_json_on_a_terminal_holds_nothing_it_acts_on(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue(Answer(tokens=("\x1b[31m \x9b2J \u202e é",)))
    ours, theirs = os.openpty()
    try:
        process = hawser.start("--prompt", "Say it", "--json", stdout=theirs)
        os.close(theirs)
        came = read_until(ours, lambda came: came.endswith(b"\n"))
        finish(process)
    finally:
        os.close(ours)

    assert came.isascii()
    assert b"\x1b" not in came
    assert json.loads(came)["text"] == "\x1b[31m \x9b2J \u202e é"


def test_help_that_cannot_be_written_is_a_failure() -> None:
    with Path("/dev/full").open("wb") as full:
        done = finish(subprocess.Popen([*COMMAND, "--help"], env=bare_environment(), stdout=full, stderr=-1))

    assert done.code == 1
    assert done.err == "hawser: Standard output cannot be written: No space left on device.\n"
