"""What a machine asks a person during a login: codes and passwords, alone or after a key, and when nobody is there."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import pty
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from console.clock import SystemClock
from console.errors import Exit, LinkError, LinkUnreachable, LoginRefused, explain
from console.events import Bus
from console.links import events, login
from console.links.connector import Nobody
from console.links.identity import Pins, Target, connect
from console.links.leg import Pace
from console.links.link import Link, LinkState
from console.links.questions import LONGEST_LINE, MOST_CHALLENGES, MOST_PROMPTS, Challenge, Prompt
from console.shell import Shell
from console.terminal_ask import TerminalAsk
from providers.simulated.machine import SimulatedMachine
from tests.conftest import run
from tests.console.ssh_kit import ScriptedAsk, make_key, paths_in, public_line, serving
from tests.flows.kit import read_until
from tests.sshd_kit import SSHD, Sshd

CODE, PASSWORD = "271828", "tr0ub4dor"
CODE_CHALLENGE = Challenge(("Second factor", "Open your authenticator."), (Prompt("Verification code:", False),))
PASSWORD_CHALLENGE = Challenge((), (Prompt("Password:", False),))


def target_of(machine: SimulatedMachine | Sshd, *keys: Path) -> Target:
    return Target(
        "lab",
        "ssh:lab",
        machine.host,
        machine.port,
        machine.user,
        tuple(str(key) for key in keys),
        key_from_cloud=machine.host_key,
    )


@pytest.fixture
def pins(tmp_path: Path) -> Pins:
    return Pins(paths_in(tmp_path))


async def enters(target: Target, pins: Pins, ask: Any, **how: Any) -> None:
    connection = await connect(target, pins, ask=ask, **how)
    connection.close()
    await connection.wait_closed()


async def refusal(target: Target, pins: Pins, ask: Any, **how: Any) -> LinkError:
    with pytest.raises(LinkError) as caught:
        await enters(target, pins, ask, **how)
    return caught.value


# A code after the key


def test_a_code_after_the_key_is_asked_for_without_showing_it(pins: Pins, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []

    def may_ask(question: str) -> bool:
        told.append(question)
        return True

    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            ask = ScriptedAsk(answers=[["000000"], [CODE]])

            await enters(target_of(machine, machine.key_file), pins, ask, may_ask=may_ask)

            assert ask.challenges == [CODE_CHALLENGE, CODE_CHALLENGE]
            assert machine.logins == 1

    run(body())
    assert told == ["Verification code:"]
    assert CODE not in caplog.text


def test_every_login_asks_anew(pins: Pins) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            ask = ScriptedAsk(answers=[[CODE], [CODE]])

            for _ in range(2):
                await enters(target_of(machine, machine.key_file), pins, ask)

            assert len(ask.challenges) == 2

    run(body())


def test_wrong_codes_end_after_three_tries(pins: Pins) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            ask = ScriptedAsk(answers=[["1"]] * 9)

            refused = await refusal(target_of(machine, machine.key_file), pins, ask)

            assert machine.codes_asked == 3
            return refused

    refused = run(body())
    assert isinstance(refused, LoginRefused)
    assert refused.text == "'lab' does not accept what was answered for the user 'root'."
    assert explain(refused).exit_code is Exit.SETTINGS


def test_an_answer_that_is_not_given_ends_it(pins: Pins) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            ask = ScriptedAsk(answers=[None])

            refused = await refusal(target_of(machine, machine.key_file), pins, ask)

            assert len(ask.challenges) == 1
            return refused

    assert run(body()).text == "'lab' asks for 'Verification code:' to let the user 'root' in, and nobody answered."


def test_with_nobody_to_ask_the_machine_is_not_let_begin(pins: Pins) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE

            refused = await refusal(target_of(machine, machine.key_file), pins, Nobody())

            assert machine.codes_asked == 0
            return refused

    refused = run(body())
    assert isinstance(refused, LoginRefused)
    assert refused.text == (
        "'lab' wants an answer at the keyboard, such as a code to let the user 'root' in, and there is nobody to ask."
    )
    assert refused.hint is not None


def test_a_code_of_a_jump_host_is_asked_for_too(pins: Pins) -> None:
    async def body() -> None:
        async with SimulatedMachine("near") as near, SimulatedMachine("far") as far:
            near.second_factor = CODE
            near.services[far.port] = (far.host, far.port)
            jump = target_of(near, near.key_file)._replace(name="near", identity="ssh:near")
            ask = ScriptedAsk(answers=[[CODE]])

            await enters(target_of(far, far.key_file)._replace(jumps=(jump,)), pins, ask)

            assert ask.challenges == [CODE_CHALLENGE]

    run(body())


# Passwords


def test_a_password_lets_in_without_a_key(pins: Pins) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.password = PASSWORD
            ask = ScriptedAsk(answers=[["no"], [PASSWORD]])

            await enters(target_of(machine), pins, ask)

            assert ask.challenges == [PASSWORD_CHALLENGE, PASSWORD_CHALLENGE]

    run(body())


def test_keys_that_need_a_passphrase_come_before_a_password(pins: Pins, tmp_path: Path) -> None:
    right, wrong = make_key(tmp_path / "right", passphrase="open"), make_key(tmp_path / "wrong")

    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.password = PASSWORD
            machine.authorise(public_line(right))
            ask = ScriptedAsk("open", answers=[[PASSWORD]])

            await enters(target_of(machine, wrong, right), pins, ask)

            assert ask.files == [str(right)]
            assert ask.challenges == []

    run(body())


def test_a_key_that_is_refused_and_nobody_for_the_password_is_told(pins: Pins, tmp_path: Path) -> None:
    wrong = make_key(tmp_path / "wrong")

    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            machine.password = PASSWORD
            return await refusal(target_of(machine, wrong), pins, Nobody())

    assert run(body()).text == (
        "'lab' accepts no key of ours for the user 'root'; it would take a password, and there is nobody to ask."
    )


def test_nobody_is_asked_for_the_password_of_a_machine_that_we_rent(pins: Pins) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            machine.password = PASSWORD
            ask = ScriptedAsk(answers=[[PASSWORD]])

            refused = await refusal(target_of(machine)._replace(fleet_key=True), pins, ask)

            assert ask.challenges == []
            return refused

    assert run(body()).text == "'lab' accepts no key of ours for the user 'root'."


def test_a_real_openssh_that_wants_a_password_after_the_key_is_understood(pins: Pins, tmp_path: Path) -> None:
    assert SSHD is not None, "sshd is not installed; the package is openssh-server"
    options = (
        "PasswordAuthentication yes",
        "PermitRootLogin yes",
        "AuthenticationMethods publickey,password",
        "LogLevel VERBOSE",
    )

    async def body(sshd: Sshd) -> tuple[LinkError, LinkError]:
        ask = ScriptedAsk(answers=[["not this"], None])
        alone = await refusal(target_of(sshd, sshd.key_file), pins, Nobody())
        asked = await refusal(target_of(sshd, sshd.key_file), pins, ask)

        assert ask.challenges == [PASSWORD_CHALLENGE, PASSWORD_CHALLENGE]
        return alone, asked

    with Sshd(tmp_path / "sshd", options=options) as sshd:
        alone, asked = run(body(sshd))
        log = sshd.log.read_text()

    assert "Partial publickey" in log
    assert alone.text.startswith("'lab' wants a password to let the user")
    assert asked.text.startswith("'lab' asks for 'Password:'")


# Servers that mean no good, and slow people


class Quiz(asyncssh.SSHServer):
    """Asks whatever it likes by keyboard-interactive, and is content with nothing."""

    def __init__(self, *rounds: tuple[str, str, Sequence[tuple[str, bool]]]) -> None:
        self.rounds = rounds
        self.asked = 0
        self.connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        self.asked += 1
        title, instruction, prompts = self.rounds[(self.asked - 1) % len(self.rounds)]
        return title, instruction, "", list(prompts)

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Any:
        return self.get_kbdint_challenge(username, "", "")


@asynccontextmanager
async def served(quiz: Quiz) -> AsyncIterator[Target]:
    async with serving(lambda: quiz) as (port, key):
        yield Target("lab", "ssh:lab", "127.0.0.1", port, "me", key_from_cloud=key.export_public_key().decode())


def test_what_it_says_is_cut_and_harmless(pins: Pins) -> None:
    async def body() -> Challenge:
        quiz = Quiz(("\x1b[2J" * 9000, "one\r\n" * 500, [("a\x1b]0;x\x07\nb" * 5000, True)]))
        ask = ScriptedAsk(answers=[None])
        async with served(quiz) as target:
            await refusal(target, pins, ask)
        return ask.challenges[0]

    challenge = run(body())
    text = "".join((*challenge.lines, challenge.question))
    assert challenge.lines
    assert challenge.prompts[0].is_shown
    assert "\x1b" not in text
    assert "\n" not in text
    assert all(len(line) <= LONGEST_LINE for line in (*challenge.lines, challenge.question))


@pytest.mark.parametrize(
    "rounds",
    [("", "", [("more?", True)] * (MOST_PROMPTS + 1)), ("", "", []), ("", "Hold the line.", [])],
    ids=["many prompts", "empty for ever", "words for ever"],
)
def test_a_machine_that_asks_without_end_is_left(pins: Pins, rounds: Any) -> None:
    async def body() -> LinkError:
        quiz = Quiz(rounds)
        async with served(quiz) as target:
            refused = await refusal(target, pins, ScriptedAsk(answers=[[]] * 99))
        assert quiz.asked <= MOST_CHALLENGES + 1
        return refused

    refused = run(body())
    assert isinstance(refused, LoginRefused)
    assert refused.text == "'lab' asks too many questions at its login."


class Person(Nobody):
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
        self.times = 0
        self.given_up = asyncio.Event()

    def can_answer(self) -> bool:
        return True

    async def answers(self, target: Target, challenge: Challenge) -> Sequence[str] | None:
        self.times += 1
        self.asked.set()
        try:
            return await self.answer
        except asyncio.CancelledError:
            self.given_up.set()
            raise

    def answer_in(self, delay_s: float, *answers: str) -> None:
        asyncio.get_running_loop().call_later(delay_s, self.answer.set_result, answers)


def test_the_time_limit_stands_still_while_somebody_thinks(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "LIMIT_S", 1.0)

    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            person = Person()
            person.answer_in(1.5, CODE)

            await enters(target_of(machine, machine.key_file), pins, person)

            assert machine.logins == 1

    run(body())


def test_a_machine_that_leaves_while_it_asks_is_not_tried_again_soon(pins: Pins) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            person = Person()
            entering = asyncio.create_task(refusal(target_of(machine, machine.key_file), pins, person))
            await person.asked.wait()
            await machine.drop()
            refused = await entering
            await person.given_up.wait()
            return refused

    refused = run(body())
    assert isinstance(refused, LoginRefused)
    assert refused.is_permanent
    assert refused.text.startswith("'lab' ended the login in which it asked.")


def test_a_question_is_withdrawn_when_the_login_is_given_up(pins: Pins) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            person = Person()
            entering = asyncio.create_task(enters(target_of(machine, machine.key_file), pins, person))
            await person.asked.wait()

            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering

            await person.given_up.wait()
            await machine.until(lambda: machine.connections == 0)

    run(body())


def test_a_second_login_to_the_same_machine_does_not_ask_as_well(pins: Pins) -> None:
    async def body() -> LinkError:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            return await refusal(
                target_of(machine, machine.key_file), pins, ScriptedAsk(answers=[[CODE]]), may_ask=lambda _: False
            )

    refused = run(body())
    assert isinstance(refused, LinkUnreachable)
    assert not refused.is_permanent


# A link that needs somebody


class Story:
    """A link to a machine that asks for a code."""

    def __init__(self, machine: SimulatedMachine, pins: Pins, ask: Any, pace: Pace) -> None:
        self.bus = Bus()
        self.link = Link(self._connect, SystemClock(), self.bus, "lab", pace=pace)
        self._target = target_of(machine, machine.key_file)
        self._pins = pins
        self._ask = ask

    async def _connect(self) -> asyncssh.SSHClientConnection:
        return await connect(self._target, self._pins, ask=self._ask, may_ask=self.link.may_ask)


def test_a_link_asks_once_and_after_a_loss_not_again_until_somebody_wants(pins: Pins) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            ask = ScriptedAsk(answers=[[CODE], [CODE]])
            story = Story(machine, pins, ask, Pace())
            with story.bus.subscribe() as subscription:
                told = aiter(subscription)
                await story.link.start()
                await story.link.wait_up(30)
                assert isinstance(await anext(told), events.LinkAsks)
                assert isinstance(await anext(told), events.LinkUp)

                await machine.drop()
                assert isinstance(await anext(told), events.LinkLost)
                waiting = await anext(told)

                assert isinstance(waiting, events.LinkWaiting)
                assert 20 < waiting.next_try_s <= 30
                assert waiting.reason == "lab asks a person at its login."
                with pytest.raises(LinkUnreachable):
                    await story.link.connection(0.5)
                assert machine.codes_asked == 1
                story.link.kick()
                await story.link.wait_up(30)
                assert machine.codes_asked == 2
            await story.link.close()

    run(body())


def test_a_link_says_that_it_asks_and_is_alone_with_it(pins: Pins) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            person = Person()
            story = Story(machine, pins, person, Pace(second_try=0.1, blocked=0.0, late_idle=0.5, lost_after_late=0.1))
            await story.link.start()
            await person.asked.wait()
            assert story.link.state is LinkState.ASKING
            assert story.link.question == "Verification code:"
            person.answer.set_result([CODE])
            await story.link.wait_up(30)
            assert not story.link.question

            person.answer = asyncio.get_running_loop().create_future()
            person.asked.clear()
            await machine.drop()
            waiting = asyncio.create_task(story.link.wait_up(30))
            await person.asked.wait()
            before = machine.accepted
            story.link.kick()
            await asyncio.sleep(0.5)  # five times the pause after which company would come
            assert (machine.accepted, person.times) == (before, 2)
            person.answer.set_result([CODE])
            await waiting
            await story.link.close()

    run(body())


def test_a_link_with_nobody_to_ask_is_blocked_and_says_why(pins: Pins) -> None:
    async def body() -> None:
        async with SimulatedMachine() as machine:
            machine.second_factor = CODE
            story = Story(machine, pins, Nobody(), Pace())
            await story.link.start()
            with pytest.raises(LoginRefused, match="nobody to ask"):
                await story.link.wait_up(30)

            assert story.link.state is LinkState.BLOCKED
            assert machine.accepted == 1
            await story.link.close()

    run(body())


# On the terminal


def test_the_terminal_shows_what_may_be_seen_and_whose_words_they_are() -> None:
    ours, its = pty.openpty()
    shell = Shell(os.fdopen(os.dup(its)), io.StringIO(), os.fdopen(os.dup(its), "w"), {})
    challenge = Challenge(("Welcome.",), (Prompt("Name:", True), Prompt("Code:", False)))
    target = Target("lab", "ssh:lab", "127.0.0.1", 22, "me")

    async def body() -> tuple[Sequence[str] | None, bytes]:
        asking = asyncio.create_task(TerminalAsk(shell).answers(target, challenge))
        loop = asyncio.get_running_loop()
        came = await loop.run_in_executor(None, read_until, ours, lambda came: came.endswith(b"Name: "))
        os.write(ours, b"ada\n")
        came += await loop.run_in_executor(None, read_until, ours, lambda came: came.endswith(b"Code: "))
        os.write(ours, b"31415\n")
        typed = await asking
        return typed, came + await loop.run_in_executor(None, read_until, ours, lambda came: b"\n" in came)

    typed, came = asyncio.run(body())
    assert shell.stdin is not None
    shell.stdin.close()
    shell.stderr.close()
    for each in (ours, its):
        os.close(each)

    assert typed == ["ada", "31415"]
    assert came.replace(b"\r", b"") == b"lab says: Welcome.\nlab asks: Name: ada\nlab asks: Code: \n"


def test_without_a_terminal_nobody_answers() -> None:
    shell = Shell(io.StringIO("123\n"), io.StringIO(), io.StringIO(), {})
    ask = TerminalAsk(shell)
    target = Target("lab", "ssh:lab", "127.0.0.1", 22, "me")

    assert not ask.can_answer()
    assert asyncio.run(ask.answers(target, PASSWORD_CHALLENGE)) is None
