"""Commands on machines: what they say, how they end, and that they really end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from console.errors import LinkBroken, TimeLimit, UsageError
from console.links import remote
from console.links.remote import Ended, Line, RemoteCommand, Terminal, run
from tests.console.machines_kit import box, on_every_machine, runs, until


async def lines_of(command: RemoteCommand) -> list[Line]:
    return [line async for line in command.lines()]


@on_every_machine
def test_output_and_exit_code_come_over(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            async with RemoteCommand(machine.connect, "echo one; echo two >&2; printf three; exit 7") as command:
                lines = await lines_of(command)
                ended = await command.ended()

            assert [line.text for line in lines if line.source == "out"] == ["one", "three"]
            assert [line.text for line in lines if line.source == "err"] == ["two"]
            assert ended == Ended(7)

    asyncio.run(body())


@on_every_machine
def test_lines_come_while_the_command_runs(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        gate = tmp_path / "gate"
        async with box(kind, tmp_path) as machine:
            script = f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; echo second"
            async with RemoteCommand(machine.connect, script) as command:
                lines = command.lines()
                assert (await anext(lines)).text == "first"
                gate.touch()
                assert (await anext(lines)).text == "second"
                await lines.aclose()

    asyncio.run(body())


@on_every_machine
def test_a_signal_is_told(tmp_path: Path, kind: str) -> None:
    async def body() -> Ended:
        async with box(kind, tmp_path) as machine:
            return (await run(machine.connect, "kill -KILL $$")).ended

    ended = asyncio.run(body())

    assert ended == Ended(None, "KILL")
    assert str(ended) == "ended by the signal KILL"


@on_every_machine
def test_leaving_stops_the_command_and_its_children(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            script = "sleep 1000 & echo $!; sleep 1001 | cat; echo never"
            async with RemoteCommand(machine.connect, script) as command:
                child = int((await anext(command.lines())).text)
                assert runs(child)

            await until(lambda: not runs(child))

    asyncio.run(body())


@on_every_machine
def test_cancelling_who_waits_stops_the_command(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            told = tmp_path / "pid"
            task = asyncio.create_task(run(machine.connect, f"echo $$ > {told}.new; mv {told}.new {told}; sleep 1000"))
            await until(told.exists)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            await until(lambda: not runs(int(told.read_text())))

    asyncio.run(body())


@on_every_machine
def test_one_that_ignores_the_polite_end_is_forced(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote.kill_script, "__kwdefaults__", {"grace_s": 0.2})

    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            script = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
            async with RemoteCommand(machine.connect, script) as command:
                pid = int((await anext(command.lines())).text)

            await until(lambda: not runs(pid))

    asyncio.run(body())


@on_every_machine
def test_a_time_limit_ends_it_there_too(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            told = tmp_path / "pid"
            with pytest.raises(TimeLimit, match=r"longer than 1 s on berth"):
                await run(machine.connect, f"echo $$ > {told}; sleep 1000", machine="berth", limit_s=1)

            await until(lambda: not runs(int(told.read_text())))

    asyncio.run(body())


@on_every_machine
def test_a_broken_connection_is_told_as_such(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            async with RemoteCommand(machine.connect, "echo here; exec sleep 1000", machine="berth") as command:
                lines = command.lines()
                assert (await anext(lines)).text == "here"
                pid = command._pid
                assert pid is not None
                await machine.cut()
                with pytest.raises(LinkBroken, match="connection to berth broke"):
                    await anext(lines)
                number = pid.result()
            again = await run(machine.connect, remote.kill_script(number))
            assert again.ended == Ended(0)
            assert not runs(number)

    asyncio.run(body())


@on_every_machine
def test_much_output_in_both_streams_comes_whole(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            script = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait"
            output = await run(machine.connect, script, longest=4_000_000)
            cut = await run(machine.connect, script, longest=1000)

        assert (len(output.out), len(output.err), output.is_cut) == (3_000_000, 3_000_000, False)
        assert (len(cut.out), len(cut.err), cut.is_cut) == (1000, 1000, True)

    asyncio.run(body())


@on_every_machine
def test_standard_input_is_given_and_ends(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            content = bytes(range(256)) * 4000
            there = await run(machine.connect, "cat", stdin=content)
            assert there.out == content
            assert (await run(machine.connect, "cat")).out == b""
            assert (await run(machine.connect, "true", stdin=content)).ended == Ended(0)

    asyncio.run(body())


@on_every_machine
def test_quotes_and_odd_bytes_survive(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            output = await run(machine.connect, """printf '%s|' "it's" '$HOME' "a  b" 'ü\n'; printf '\\377\\033[31m'""")
        assert output.out == "it's|$HOME|a  b|ü\n|".encode() + b"\xff\x1b[31m"
        assert output.text.endswith("\ufffd\x1b[31m")

    asyncio.run(body())


# On a terminal


@on_every_machine
def test_on_a_terminal_all_output_is_one_and_the_size_is_right(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            said = await run(
                machine.connect,
                "test -t 0 && test -t 1 && echo $TERM; stty size; echo err >&2; exit 4",
                terminal=Terminal(101, 33, "vt100"),
            )

            assert said.out == b"vt100\r\n33 101\r\nerr\r\n"
            assert said.err == b""
            assert said.ended == Ended(4)
            no_terminal = await run(machine.connect, "test -t 0 || echo none")
            assert no_terminal.out == b"none\n"

    asyncio.run(body())


@on_every_machine
def test_keys_reach_it_and_its_size_can_change(tmp_path: Path, kind: str) -> None:
    script = "stty -echo; echo ready; while read line; do echo $line; stty size; done"

    async def body() -> None:
        async with (
            box(kind, tmp_path) as machine,
            RemoteCommand(machine.connect, script, terminal=Terminal(80, 24)) as command,
        ):
            lines = command.lines()
            assert (await anext(lines)).text == "ready"
            await command.send(b"one\n")
            assert [(await anext(lines)).text for _ in range(2)] == ["one", "24 80"]
            command.resize(120, 40)
            await command.send(b"two\n")
            assert [(await anext(lines)).text for _ in range(2)] == ["two", "40 120"]
            await command.send(b"\x04")
            assert [line async for line in lines] == []
            assert await command.ended() == Ended(0)

    asyncio.run(body())


@on_every_machine
def test_leaving_a_terminal_hangs_up(tmp_path: Path, kind: str) -> None:
    script = f"trap 'touch {tmp_path / 'hung-up'}; exit' HUP; echo $$; while :; do sleep 0.05; done"

    async def body() -> None:
        async with box(kind, tmp_path) as machine:
            async with RemoteCommand(machine.connect, script, terminal=Terminal()) as command:
                pid = int((await anext(command.lines())).text)
                assert runs(pid)
            await until(lambda: not runs(pid))
            if kind == "openssh":  # the simulated machine kills what is left when a session ends
                await until(lambda: (tmp_path / "hung-up").exists())

    asyncio.run(body())


@on_every_machine
def test_leaving_a_terminal_full_of_unread_output_takes_no_grace(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "GRACE_S", 3600.0)

    async def body() -> None:
        async with box(kind, tmp_path) as machine, asyncio.timeout(30):
            async with RemoteCommand(machine.connect, "echo $$; exec yes", terminal=Terminal()) as command:
                pid = int((await anext(command.lines())).text)
                await until(command._pieces.full)
            await until(lambda: not runs(pid))

    asyncio.run(body())


@on_every_machine
def test_input_stays_open_where_that_is_wanted(tmp_path: Path, kind: str) -> None:
    async def body() -> None:
        async with box(kind, tmp_path) as machine, RemoteCommand(machine.connect, "cat", stdin=None) as command:
            pieces = command.pieces()
            await command.send(b"first")
            assert await anext(pieces) == ("out", b"first")
            await command.send(b"second")
            assert await anext(pieces) == ("out", b"second")
            command.end_input()
            assert await command.ended() == Ended(0)

    asyncio.run(body())


def test_a_command_that_is_too_long_is_refused_before_it_is_sent() -> None:
    async def never() -> None:
        raise AssertionError

    with pytest.raises(UsageError, match="100,000 can be sent") as refused:
        RemoteCommand(never, "x" * 200_000)  # type: ignore[arg-type]
    assert refused.value.hint is not None


def cut(*contents: bytes, longest: int = 10) -> list[tuple[str, bool]]:
    cutter = remote._Cutter(longest)
    found = [piece for content in contents for piece in cutter.cut(content)]
    return [*found, *((text, True) for text in cutter.rest())]


def test_lines_end_at_every_kind_of_end() -> None:
    assert cut(b"a\nb\r\nc\rd", b"\n\n") == [("a", True), ("b", True), ("c", True), ("d", True), ("", True)]
    assert cut(b"a\r", b"\nb\r", b"c") == [("a", True), ("b", True), ("c", True)]


def test_long_lines_come_in_pieces_and_letters_stay_whole() -> None:
    assert cut(b"0123456789abc\nd") == [("0123456789", False), ("abc", True), ("d", True)]
    assert cut("123456789ü!".encode()) == [("123456789", False), ("ü!", True)]
    assert cut(b"\xff" * 12) == [("\ufffd" * 10, False), ("\ufffd" * 2, True)]
