"""A prompt to a model on a machine, by the machine's name: what connects, what answers, and what goes wrong."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.simulated.services import Answer, FaultKind, SimulatedOllama, SimulatedOpenAI
from tests.flows.kit import ROOT, Hawser, Services, complaint, endpoint, finish, read_until, unmeasured
from tests.flows.machine_kit import OLLAMA, VLLM, GpuBox, link_up, user_of

MODEL = "gpubox/llama3.1:8b"
ONCE = f'[aliases]\nonce = {{ model = "{MODEL}", retries = 0 }}'
PIECES = tuple(f"piece {number}, " for number in range(6))


@pytest.fixture
def box(services: Services, ollama: SimulatedOllama) -> Iterator[GpuBox]:
    each = GpuBox(services, {OLLAMA: ollama})
    yield each
    each.close()


@pytest.fixture
def user(box: GpuBox, tmp_path: Path) -> Hawser:
    """Somebody who has a machine and nothing else, and whose calls are tried once."""
    return user_of(box, tmp_path / "user", ONCE, model="once")


# What answers


def test_a_machine_answers_under_its_own_name(user: Hawser, box: GpuBox) -> None:
    done = user.ask("Hello", "-m", MODEL, "--json")

    assert done.code == 0, done.err
    answer = done.json()
    assert answer["text"]
    assert (answer["machine"], answer["endpoint"]) == ("gpubox", "gpubox")
    assert answer["cost_usd"]["tokens"] == 0
    assert answer["timings_ms"]["wake"] is None
    assert 0 < answer["timings_ms"]["connect"] < answer["timings_ms"]["total"]
    (booked,) = user.ledger()
    assert (booked["machine"], booked["cost_usd"], booked["price_source"]) == ("gpubox", "0.000000", "own")
    box.until(lambda: box.machine.connections == 0)


def test_a_stranger_is_pinned_with_its_fingerprint_where_nobody_can_be_asked(user: Hawser) -> None:
    first, second = user.ask("Hello"), user.ask("Hello")

    assert "is met for the first time" in first.err
    assert "SHA256:" in first.err
    assert second.err == ""


@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("n", 3)])
def test_a_stranger_is_asked_about_on_a_terminal(user: Hawser, typed: str, code: int) -> None:
    ours, theirs = pty.openpty()
    try:
        process = user.start("--prompt", "echo hello", stdin=theirs, stderr=theirs)
        said = read_until(ours, lambda came: b"[y/N]" in came)
        os.write(ours, f"{typed}\n".encode())
        done = finish(process)
    finally:
        os.close(theirs)
        os.close(ours)

    assert b"SHA256:" in said
    assert b"Connecting" not in said.partition(b"SHA256:")[2]  # nothing is told over a question
    assert (done.code, done.out) == (code, b"hello" if code == 0 else b"")


def test_a_second_service_for_chats_has_its_own_name_behind_the_machines(
    services: Services, ollama: SimulatedOllama, tmp_path: Path
) -> None:
    vllm = services.start(SimulatedOpenAI(key=None))
    box = GpuBox(services, {OLLAMA: ollama, VLLM: vllm})
    user = Hawser(tmp_path / "user").settings(box.settings('["ollama", "vllm"]'))

    done = user.ask("echo from vllm", "-m", "gpubox.vllm/gpt-4.1", "--json")
    other = user.ask("echo from ollama", "-m", MODEL)

    assert done.code == 0, done.err
    assert (done.json()["text"], done.json()["machine"]) == ("from vllm", "gpubox")
    assert other.out == b"from ollama"
    assert vllm.requests_to("/v1/chat/completions")
    box.close()


def test_a_service_behind_a_tunnel_hears_the_name_that_it_has_on_the_machine(
    user: Hawser, ollama: SimulatedOllama
) -> None:
    user.ask("Hello")

    (asked,) = ollama.requests_to("/api/chat")
    assert asked.headers["host"] == "127.0.0.1:11434"


def test_a_live_tunnel_is_used_without_ssh(user: Hawser, box: GpuBox) -> None:
    with link_up(user):
        before = box.machine.accepted
        done = user.ask("Hello", "--json")

    assert done.code == 0, done.err
    assert done.json()["machine"] == "gpubox"
    assert box.machine.accepted == before


def test_a_live_tunnel_is_used_without_loading_asyncssh(user: Hawser) -> None:
    code = (
        "from console.cli import main\n"
        f"try:\n    main(['--prompt', 'Hello', '-m', {MODEL!r}, '--no-stdin'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "import sys\nprint()\nprint('asyncssh' in sys.modules, 'console.links.link' in sys.modules)"
    )
    with link_up(user):
        done = subprocess.run(
            [sys.executable, "-c", code], env=unmeasured(user.env), cwd=ROOT, capture_output=True, text=True, check=True
        )

    assert done.stdout.splitlines()[-1] == "False False"


def test_without_any_name_the_only_machine_answers(box: GpuBox, tmp_path: Path) -> None:
    user = user_of(box, tmp_path / "fresh")

    done = user.ask("Hello", "-v")

    assert done.code == 0, done.err
    assert "gpubox, the only endpoint" in done.err


def test_a_bare_name_finds_its_machine_also_when_that_is_not_connected(user: Hawser, ollama: SimulatedOllama) -> None:
    assert user.run("link", "pin", "gpubox").code == 0
    assert user.run("model", "ls").code == 0
    ollama.requests.clear()

    done = user.ask("Hello", "-m", "llama3.1:8b", "--json")

    assert done.json()["machine"] == "gpubox"
    assert [each.path for each in ollama.requests] == ["/api/chat"], "what it has is known from before"


def test_completion_offers_the_models_of_machines(user: Hawser) -> None:
    user.run("link", "pin", "gpubox")
    user.run("model", "ls")

    done = user.run("completion", "words", "--", "-m", "gpubox/ll")

    assert MODEL in done.out.decode()


# Lists


def test_models_of_machines_are_listed_also_while_they_are_off(user: Hawser, box: GpuBox) -> None:
    user.run("link", "pin", "gpubox")
    online = user.run("model", "ls", "--json").json()["items"]
    box.do(box.machine.refuse())

    offline = user.run("model", "ls", "--json")
    table = user.run("model", "ls")

    assert {(each["machine"], each["online"]) for each in online} == {("gpubox", True)}
    assert [each["name"] for each in offline.json()["items"]] == [each["name"] for each in online]
    assert {each["online"] for each in offline.json()["items"]} == {False}
    assert offline.code == 0
    assert "gpubox is offline." in offline.err
    assert all(line.endswith("offline") for line in table.out.decode().splitlines()[1:])


def test_an_off_machine_does_not_keep_the_list_of_the_others(
    box: GpuBox, tmp_path: Path, ollama: SimulatedOllama
) -> None:
    user = user_of(box, tmp_path / "user", endpoint("near", ollama))
    user.run("link", "pin", "gpubox")
    box.do(box.machine.freeze())

    done = user.run("model", "ls", "--json")

    assert done.code == 0
    assert {each["endpoint"] for each in done.json()["items"]} == {"near"}
    assert "gpubox did not answer within 4 s" in done.err


def test_a_list_meets_no_stranger(user: Hawser, box: GpuBox) -> None:
    done = user.run("model", "ls")

    assert done.code == 4
    assert "hawser link pin gpubox" in done.err
    assert box.machine.logins == 0


def test_the_doctor_speaks_of_machines(user: Hawser, box: GpuBox) -> None:
    user.run("link", "pin", "gpubox")

    def said() -> list[tuple[str, str]]:
        items = user.run("doctor", "--json").json()["items"]
        return [(each["state"], each["finding"]) for each in items if each["area"] == "endpoints"]

    (online,) = said()
    box.at_once(box.machine.services.clear)
    (idle,) = said()
    box.do(box.machine.refuse())
    (offline,) = said()
    box.do(box.machine.accept())
    box.at_once(box.machine.new_host_key)
    (another,) = said()

    assert online[0] == "ok"
    assert online[1].startswith("gpubox (ollama on the machine gpubox): ")
    assert idle[0] == "warn"
    assert "Nothing answers at port 11434 on gpubox" in idle[1]
    assert offline[0] == "info"
    assert "is offline" in offline[1]
    assert another[0] == "fail"
    assert "SHA256:" in another[1]


# What goes wrong


def test_a_machine_that_is_off(user: Hawser, box: GpuBox) -> None:
    box.do(box.machine.refuse())

    done = user.ask("Hello", "--json")

    assert "'gpubox' at 127.0.0.1" in complaint(done, 4)
    assert "refuses connections" in done.err
    assert done.json()["finish"] == "failed"


def test_a_machine_that_says_nothing(user: Hawser, box: GpuBox) -> None:
    user.run("link", "pin", "gpubox")
    box.do(box.machine.freeze())

    assert "did not answer within 5 s" in complaint(user.ask("Hello"), 4)


def test_a_machine_that_accepts_no_key_of_ours(user: Hawser, box: GpuBox) -> None:
    box.at_once(box.machine.reject_login)

    assert "accepts no key of ours for the user 'root'" in complaint(user.ask("Hello"), 3)


def test_a_key_file_that_is_not_there(user: Hawser) -> None:
    user.config_file.write_text(user.config_file.read_text().replace('login"', 'lost"'))

    assert "is not there" in complaint(user.ask("Hello"), 3)
    assert "hawser config edit" in user.ask("Hello").err


def test_a_machine_that_shows_another_host_key(user: Hawser, box: GpuBox) -> None:
    assert user.ask("Hello").code == 0
    box.at_once(box.machine.new_host_key)
    logins = box.machine.logins

    done = user.ask("Hello")

    assert complaint(done, 3).count("SHA256:") == 2
    assert box.machine.logins == logins, "nothing was offered to it"


def test_a_service_that_is_down_is_told_at_once(user: Hawser, box: GpuBox) -> None:
    box.at_once(box.machine.services.clear)

    done = user.ask("Hello", "-m", MODEL, "--json")

    assert complaint(done, 4) == "Nothing answers at port 11434 on gpubox."
    assert len(done.json()["tried"]) == 1


def test_a_service_that_is_down_behind_the_tunnel_of_another(user: Hawser, box: GpuBox) -> None:
    with link_up(user):
        box.at_once(box.machine.services.clear)

        done = user.ask("Hello", "-m", MODEL)

    assert "Ollama on gpubox does not answer" in done.err or "Nothing answers at port 11434" in complaint(done, 4)
    assert done.code == 4


def test_a_machine_that_forbids_forwarding(user: Hawser, box: GpuBox) -> None:
    box.at_once(box.machine.forbid_forwarding)

    assert "does not allow forwarding" in complaint(user.ask("Hello"), 4)


def test_a_link_that_is_lost_in_the_middle_keeps_what_came(user: Hawser, box: GpuBox, ollama: SimulatedOllama) -> None:
    ollama.answers.queue(Answer(tokens=PIECES))
    ollama.faults.once(FaultKind.STALL, 3)
    process = user.start("--prompt", "Count")
    assert process.stdout is not None
    read_until(process.stdout.fileno(), lambda came: came.decode() == "".join(PIECES[:3]))

    box.do(box.machine.drop())
    done = finish(process)

    assert "broke off in the middle of the answer" in complaint(done, 4)
    answer = user.last_answer()
    assert (answer.state, answer.text) == ("failed", "".join(PIECES[:3]))


def test_a_chain_goes_on_when_the_link_is_lost_before_the_first_token(
    services: Services, box: GpuBox, tmp_path: Path, ollama: SimulatedOllama
) -> None:
    chain = f'[aliases]\nchain = [{{ model = "{MODEL}", retries = 0 }}, "near/llama3.1:8b"]'
    user = user_of(box, tmp_path / "user", endpoint("near", ollama), chain)
    ollama.faults.once(FaultKind.STALL, 0)
    process = user.start("--prompt", "Hello", "-m", "chain", "--json")
    services.until_running(ollama)

    box.do(box.machine.drop())
    done = finish(process)

    assert done.code == 0, done.err
    assert [each["outcome"] for each in done.json()["tried"]] == ["failed", "answered"]
    assert done.json()["endpoint"] == "near"


def test_a_model_is_fetched_onto_a_machine(user: Hawser, ollama: SimulatedOllama) -> None:
    done = user.run("model", "pull", "gpubox/mistral:7b", "--json")

    assert done.code == 0, done.err
    assert ollama.requests_to("/api/pull")
    assert user.ask("echo new", "-m", "gpubox/mistral:7b").out == b"new"


def test_the_owner_of_a_tunnel_is_killed_in_the_middle(user: Hawser, ollama: SimulatedOllama) -> None:
    ollama.answers.queue(Answer(tokens=PIECES))
    ollama.faults.once(FaultKind.STALL, 3)
    with link_up(user) as owner:
        process = user.start("--prompt", "Count")
        assert process.stdout is not None
        read_until(process.stdout.fileno(), lambda came: came.decode() == "".join(PIECES[:3]))
        owner.kill()
        done = finish(process)
        after = user.ask("echo there again")

    assert "broke off in the middle" in complaint(done, 4)
    assert (after.code, after.out) == (0, b"there again")


def test_a_chain_goes_on_when_the_machine_is_off(box: GpuBox, tmp_path: Path, ollama: SimulatedOllama) -> None:
    chain = f'[aliases]\nchain = ["{MODEL}", "near/llama3.1:8b"]'
    user = user_of(box, tmp_path / "user", endpoint("near", ollama), chain)
    box.do(box.machine.refuse())

    done = user.ask("Hello", "-m", "chain", "--json")

    answer = done.json()
    assert (answer["endpoint"], answer["machine"]) == ("near", None)
    assert [each["outcome"] for each in answer["tried"]] == ["failed", "answered"]
    assert "Trying near/llama3.1:8b" in done.err
    assert [(each["endpoint"], each["machine"], each["outcome"]) for each in user.ledger()] == [
        ("gpubox", "gpubox", "failed"),
        ("near", None, "complete"),
    ]


def test_the_time_of_an_entry_of_a_chain_counts_while_it_connects(
    box: GpuBox, tmp_path: Path, ollama: SimulatedOllama
) -> None:
    chain = f'[aliases]\nchain = [{{ model = "{MODEL}", timeout = 0.5 }}, "near/llama3.1:8b"]'
    user = user_of(box, tmp_path / "user", endpoint("near", ollama), chain)
    box.do(box.machine.freeze())

    done = user.ask("Hello", "-m", "chain", "--json")

    assert done.json()["endpoint"] == "near"
    assert "was not connected within the 0.5 s" in done.json()["tried"][0]["error"]


def test_the_time_to_the_first_token_begins_when_the_machine_is_connected(box: GpuBox, tmp_path: Path) -> None:
    user = Hawser(tmp_path / "user").settings("[chat]\nfirst_token_s = 1.0", box.settings(), ONCE)
    box.machine.banner_delay_s = 1.2

    done = user.ask("Hello", "-m", "once", "--json")

    assert done.code == 0, done.err
    assert done.json()["timings_ms"]["connect"] > 1200
    assert "Connecting to gpubox." in done.err


@pytest.mark.parametrize("phase", ["connecting", "answering"])
def test_interrupted_it_ends_at_the_machine_as_well(
    user: Hawser, services: Services, box: GpuBox, ollama: SimulatedOllama, phase: str
) -> None:
    if phase == "connecting":
        box.machine.banner_delay_s = 60.0
        process = user.start("--prompt", "Count")
        box.until(lambda: box.machine.accepted > 0)
    else:
        ollama.answers.queue(Answer(tokens=PIECES))
        ollama.faults.once(FaultKind.STALL, 3)
        process = user.start("--prompt", "Count")
        assert process.stdout is not None
        read_until(process.stdout.fileno(), lambda came: came.decode() == "".join(PIECES[:3]))

    process.send_signal(signal.SIGINT)
    done = finish(process)

    assert complaint(done, 130) == "Interrupted."
    services.until_idle(ollama)
    if phase == "answering":  # before its banner the simulated machine does not look whether anybody is there
        box.until(lambda: box.machine.connections == 0)
