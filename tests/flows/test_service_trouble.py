"""What goes wrong at the other side, or on the way there: one plain sentence, the right exit code, nothing lost."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from providers.simulated.services import (
    Fault,
    FaultKind,
    SimulatedAnthropic,
    SimulatedOllama,
    SimulatedOpenAI,
    SimulatedService,
    Speed,
)
from tests.flows.kit import Hawser, Services, bare_environment, complaint, endpoint, finish, key_of

WRONG_KEY = "sk-wrong-0123456789abcdef"


# settings and keys


def test_no_settings_at_all_says_what_to_do(tmp_path: Path) -> None:
    done = Hawser(tmp_path / "fresh").ask("Hello")

    assert "no endpoint" in complaint(done, 3)
    assert "OPENAI_API_KEY" in done.lines[-1]


def test_no_settings_and_no_ollama_where_it_is_looked_for(tmp_path: Path) -> None:
    user = Hawser(tmp_path / "fresh", env={"HAWSER_ISOLATED": "", "OLLAMA_HOST": "127.0.0.1:1"})

    done = user.ask("Hello")

    assert "none is known on ollama" in complaint(done, 3)
    assert "Nothing is listening" in done.lines[-1]
    assert "OPENAI_API_KEY" in done.lines[-1]


def test_ollama_is_found_without_any_settings(tmp_path: Path, ollama: SimulatedOllama) -> None:
    user = Hawser(tmp_path / "fresh", env={"HAWSER_ISOLATED": "", "OLLAMA_HOST": f"127.0.0.1:{ollama.port}"})

    assert user.ask("echo found").out == b"found"


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("[chat]\nmodel = \n", 2),
        ("[chat]\nmodle = 'x'\n", 2),
        ("\n\n[endpoints.x]\nwire = 'olama'\nbase_url = 'http://127.0.0.1:1'\n", 4),
        ("[endpoints.x]\nwire = 'openai'\nbase_url = 'http://127.0.0.1:1'\nkey = 'sk-0123456789012345'\n", 4),
    ],
    ids=["no TOML", "unknown name", "unknown wire", "a key in the settings"],
)
def test_broken_settings_name_file_and_line(hawser: Hawser, written: str, line: int) -> None:
    hawser.config_file.write_text(written)

    done = hawser.ask("Hello")

    assert complaint(done, 3).startswith(f"{hawser.config_file}:{line}: ")
    assert "sk-0123456789012345" not in done.err
    assert not hawser.store_file.exists()


def test_model_that_two_endpoints_have_must_be_named_in_full(
    tmp_path: Path, services: Services, ollama: SimulatedOllama
) -> None:
    other = services.start(SimulatedOllama("other"))
    user = Hawser(tmp_path / "two").settings(endpoint("one", ollama), endpoint("two", other))

    done = user.ask("Hello", "-m", "llama3.1:8b")

    assert "on 2 endpoints" in complaint(done, 3)
    assert "one/llama3.1:8b or two/llama3.1:8b" in done.lines[-1]
    assert user.ask("echo here", "-m", "two/llama3.1:8b").out == b"here"


def test_no_key_is_said(tmp_path: Path, openai: SimulatedOpenAI) -> None:
    user = Hawser(tmp_path / "keyless").settings(endpoint("openai", openai), model="openai/gpt-4.1")

    done = user.ask("Hello")

    assert "wants a key" in complaint(done, 3)
    assert "hawser key set" in done.lines[-1]
    assert user.messages()[0].text == "Hello"


@pytest.mark.parametrize("kind", [SimulatedOpenAI, SimulatedAnthropic, SimulatedOllama], ids=lambda kind: kind.wire)
def test_refused_key_is_said_and_not_shown(
    tmp_path: Path, services: Services, kind: type[SimulatedOpenAI | SimulatedAnthropic | SimulatedOllama]
) -> None:
    service = services.start(kind(key="sk-the-right-one"))
    model = {"openai": "gpt-4.1", "anthropic": "claude-sonnet-4-5", "ollama": "llama3.1:8b"}[service.wire]
    user = Hawser(tmp_path / "user", env={"HAWSER_KEY_MINE": WRONG_KEY})
    user.settings(endpoint("paid", service, 'key = "mine"'), model=f"paid/{model}")

    done = user.ask("Hello", "--debug")
    quiet = user.ask("Hello", "--json")

    assert "does not accept the key" in complaint(quiet, 3)
    assert done.code == 3
    stored = "".join(repr(message) for message in user.messages())
    for place in (done.err, quiet.err, quiet.out.decode(), user.log, stored):
        assert WRONG_KEY not in place
    assert len(service.requests) == 2


# the way there


@pytest.fixture
def once(tmp_path: Path) -> Hawser:
    """A user whose `once` is asked a single time at an address still to be written."""
    return Hawser(tmp_path / "once")


def at(user: Hawser, base_url: str, wire: str = "openai") -> Hawser:
    chain = '[aliases]\nonce = { model = "there/model", retries = 0 }'
    free = "price = { input = 0, output = 0 }"
    return user.settings(endpoint("there", base_url, "connect_s = 1", free, wire=wire), chain, model="once")


def test_backend_that_is_down_is_said(once: Hawser) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        done = at(once, f"http://127.0.0.1:{taken.getsockname()[1]}").ask("Hello")

    assert "Nothing is listening at there" in complaint(done, 4)
    question, answer = once.messages()
    assert (question.text, answer.state, answer.text) == ("Hello", "failed", "")


def test_name_that_does_not_exist_is_said(once: Hawser) -> None:
    done = at(once, "http://nosuch.invalid/v1").ask("Hello")

    assert "nosuch.invalid" in complaint(done, 4)


def test_plain_port_asked_for_https_is_said(once: Hawser, ollama: SimulatedOllama) -> None:
    done = at(once, f"https://127.0.0.1:{ollama.port}", "ollama").ask("Hello")

    assert "No secure connection" in complaint(done, 4)
    assert not ollama.requests


def test_port_that_speaks_something_else_is_said(once: Hawser) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = at(once, f"http://127.0.0.1:{server.getsockname()[1]}").start("--prompt", "Hello")
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"220 mail.example.org ESMTP\r\n")
            done = finish(process)

    assert "there" in complaint(done, 4)


def test_web_page_in_the_place_of_a_service_is_said(impatient: Hawser, ollama: SimulatedOllama) -> None:
    ollama.faults.once(FaultKind.HTML, 404)

    assert "web page" in complaint(impatient.ask("Hello"), 4)


# answers that go wrong

TROUBLES: dict[str, tuple[Fault, int, str, str]] = {
    "slow first token": (Fault(FaultKind.SLOW), 5, "", "sent nothing for 0.8 s"),
    "stall at the beginning": (Fault(FaultKind.STALL), 5, "", "sent nothing for 0.8 s"),
    "stall between tokens": (Fault(FaultKind.STALL, 2), 5, "word1 word2 ", "stopped sending for 0.8 s"),
    "cut between words": (Fault(FaultKind.CUT, 2), 4, "word1 word2 ", "broke off"),
    "cut mid-line": (Fault(FaultKind.CUT_LINE, 2), 4, "word1 word2 ", "broke off"),
    "cut mid-character": (Fault(FaultKind.CUT_CHARACTER, 2), 4, "word1 word2 ", "broke off"),
    "reset": (Fault(FaultKind.RESET, 2), 4, "word1 word2 ", "broke off"),
    "ended without its closing word": (Fault(FaultKind.END_EARLY, 2), 4, "word1 word2 ", "broke off"),
    "error inside": (Fault(FaultKind.ERROR, 2, message="GPU on fire"), 4, "word1 word2 ", "GPU on fire"),
    "garbage inside": (Fault(FaultKind.GARBAGE, 2), 4, "word1 word2 ", "not an answer"),
    "line without end": (Fault(FaultKind.LONG_LINE, 9_000_000), 4, "word1 ", "8 MiB"),
    "empty": (Fault(FaultKind.EMPTY), 7, "", "empty answer"),
    "server error": (Fault(FaultKind.STATUS, 503), 4, "", "503"),
    "model gone": (Fault(FaultKind.MODEL_GONE), 3, "", "does not have the model"),
}


@pytest.mark.parametrize("wire", ["ollama", "openai", "anthropic"])
@pytest.mark.parametrize(("fault", "code", "text", "words"), TROUBLES.values(), ids=TROUBLES)
def test_trouble_is_one_sentence_and_what_came_is_kept(
    tmp_path: Path, services: Services, wire: str, fault: Fault, code: int, text: str, words: str
) -> None:
    service: SimulatedService
    service = {"ollama": SimulatedOllama, "openai": SimulatedOpenAI, "anthropic": SimulatedAnthropic}[wire]()
    model = {"openai": "gpt-4.1", "anthropic": "claude-sonnet-4-5", "ollama": "llama3.1:8b"}[wire]
    services.start(service)
    limits = ("first_token_s = 0.8", "between_tokens_s = 0.8", 'key = "there"', "price = { input = 2, output = 8 }")
    user = Hawser(tmp_path / "user", env={"HAWSER_KEY_THERE": service.key or "none"})
    chain = f'[aliases]\nonce = {{ model = "there/{model}", retries = 0 }}'
    user.settings(endpoint("there", service, *limits), chain, model="once")
    service.faults.always(fault)

    done = user.ask("say 5 tokens")

    sentence = complaint(done, code)
    assert words in sentence
    assert done.out.decode() == text
    assert len(done.lines) <= 2
    question, answer = user.messages()
    assert (question.text, question.state) == ("say 5 tokens", "complete")
    assert (answer.state, answer.text, answer.error) == ("failed", text, sentence)
    (entry,) = user.ledger()
    assert (entry["outcome"], entry["error"]) == ("failed", sentence)
    services.until_idle(service)


def test_escape_codes_reach_a_pipe_and_never_stderr(hosted: Hawser, openai: SimulatedOpenAI) -> None:
    openai.faults.once(FaultKind.ESCAPES)
    plain = hosted.ask("Say it")
    openai.faults.once(Fault(FaultKind.STATUS, 400, message="no \x1b]0;owned\x07 \x9b2J way"))
    refused = hosted.ask("Say it")

    assert b"\x1b]52;c;" in plain.out
    assert refused.code == 7
    assert not set(refused.err) & set("\x1b\x07\x9b")
    assert complaint(refused, 7)


def test_time_limit_for_the_whole_call_keeps_what_came(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.speed = Speed(tokens_per_second=40)

    done = hawser.ask("say 1000 tokens", "--timeout", "1")

    assert "after 1 s" in complaint(done, 5)
    assert done.out.startswith(b"word1 word2 ")
    answer = hawser.last_answer()
    assert (answer.state, answer.text) == ("failed", done.out.decode())


def test_failure_before_the_first_token_is_tried_again_and_said(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.faults.once(FaultKind.STATUS, 500)

    done = hawser.ask("echo at last")

    assert (done.code, done.out) == (0, b"at last")
    assert len(done.lines) == 1
    assert "Asking inference/llama3.1:8b again in" in done.lines[0]
    assert [entry["outcome"] for entry in hawser.ledger()] == ["failed", "complete"]


def test_too_many_requests_are_asked_again_when_the_service_says(hosted: Hawser, openai: SimulatedOpenAI) -> None:
    openai.faults.once(Fault(FaultKind.STATUS, 429, retry_after_s=1))

    done = hosted.ask("echo in turn")

    assert (done.code, done.out) == (0, b"in turn")
    assert "again in 1.0 s" in done.lines[0]


def test_wait_that_is_too_long_is_not_waited_for(hosted: Hawser, openai: SimulatedOpenAI) -> None:
    openai.faults.once(Fault(FaultKind.STATUS, 429, retry_after_s=3600))

    done = hosted.ask("Hello")

    assert "too many requests" in complaint(done, 4)
    assert len(openai.requests) == 1


def test_refused_request_says_why(hosted: Hawser, openai: SimulatedOpenAI) -> None:
    openai.faults.once(Fault(FaultKind.STATUS, 400, message="temperature must be at most 2"))

    assert "temperature must be at most 2" in complaint(hosted.ask("Hello", "--param", "temperature=9"), 7)


def test_prompt_that_is_cut_in_silence_is_noticed(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ollama.faults.once(FaultKind.TRUNCATE)

    done = hawser.ask("Summarise", stdin=("one more line of a long text\n" * 2000).encode())

    assert done.code == 0
    assert len(done.lines) == 1
    assert done.lines[0].startswith("hawser: ")
    assert "read only 64 of about" in done.lines[0]


def test_no_home_but_folders_of_its_own_is_enough(tmp_path: Path, ollama: SimulatedOllama) -> None:
    folders = {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    user = Hawser(tmp_path / "cwd")
    config = tmp_path / "config" / "hawser" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(endpoint("inference", ollama))

    done = user.ask("echo homeless", "-m", "inference/phi3", env=bare_environment() | folders)

    assert (done.code, done.out) == (0, b"homeless")
    assert (tmp_path / "data" / "hawser" / "hawser.db").exists()


def test_neither_home_nor_user_is_one_sentence(tmp_path: Path) -> None:
    """As in a container that runs under a number without a name."""
    nobody = (
        "import pwd\n"
        "def getpwuid(number): raise KeyError(number)\n"
        "pwd.getpwuid = getpwuid\n"
        "from console.cli import entry; entry()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", nobody, "--prompt", "Hello", "--no-stdin"],
        env=bare_environment(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    done = finish(process)

    assert "no home folder" in complaint(done, 3)
    assert "HAWSER_HOME" in done.lines[-1]


def test_key_of_one_endpoint_never_goes_to_another(tmp_path: Path, services: Services, openai: SimulatedOpenAI) -> None:
    other = services.start(SimulatedOpenAI("other", key=None))
    price = "price = { input = 2, output = 8 }"
    user = Hawser(tmp_path / "two", env=key_of("mine", openai))
    user.settings(endpoint("mine", openai, price), endpoint("other", other, price))

    assert user.ask("echo paid", "-m", "mine/gpt-4.1").out == b"paid"
    assert user.ask("echo free", "-m", "other/gpt-4.1").out == b"free"
    assert openai.key is not None
    assert openai.key in str(openai.requests[-1].headers)
    assert openai.key not in str(other.requests[-1].headers)


def test_key_of_a_known_service_does_not_go_to_another_address_unasked(tmp_path: Path, openai: SimulatedOpenAI) -> None:
    user = Hawser(tmp_path / "moved", env=key_of("openai", openai))
    user.settings(endpoint("openai", openai, "price = { input = 2, output = 8 }"))

    done = user.ask("Hello", "-m", "openai/gpt-4.1")

    assert "wants a key" in complaint(done, 3)
    assert "authorization" not in openai.requests[-1].headers
